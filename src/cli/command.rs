//! `tidegate command` and `tidegate desired`: what an operator wants of a device, told to the daemon.

use super::ask::{Answer, Daemon, Unanswered, Whom, wait};
use super::status::refused;
use super::table::{cut, seconds, write_table};
use super::{EXIT_USAGE, fail, printable};
use crate::config::parse_duration;
use crate::model::{NANOS_PER_MILLI, Timestamp};
use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// How often it is looked whether a command is over.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// What to do with commands.
#[derive(Debug, Args)]
pub(super) struct CommandCommand {
    #[command(flatten)]
    whom: Whom,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Send a command to a device; one that is away gets it when it comes, within its time to live.
    Send(Send),
    /// List the commands of a device, the newest first.
    Ls {
        /// The device.
        device: String,
        /// At most so many.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Print one command, as JSON.
    Show {
        /// Its id.
        id: u64,
    },
    /// Take a command back that waits for its device.
    Cancel {
        /// Its id.
        id: u64,
        /// Who takes it back.
        #[arg(long, env = "USER", default_value = "operator")]
        by: String,
    },
}

#[derive(Debug, Args)]
struct Send {
    /// The device.
    device: String,
    /// What it is to do; of a Sparkplug device, a metric.
    name: String,
    /// With what, as JSON: {"seconds": 5}.
    arguments: Option<String>,
    /// Time to live.
    #[arg(long, default_value = "1 m", value_parser = duration)]
    ttl: Duration,
    /// Send it again after a lost connection or answer; the device must know it again by its id.
    #[arg(long)]
    at_least_once: bool,
    /// Wait until it is over; exit code 0 if the device did it, 1 if not.
    #[arg(long)]
    wait: bool,
    /// Who sends it.
    #[arg(long, env = "USER", default_value = "operator")]
    by: String,
}

/// What to do with what a device should be set to.
#[derive(Debug, Args)]
pub(super) struct DesiredCommand {
    #[command(flatten)]
    whom: Whom,
    #[command(subcommand)]
    action: DesiredAction,
}

#[derive(Debug, Subcommand)]
enum DesiredAction {
    /// Print what a device should be set to, and what it reports, as JSON.
    Get {
        /// The device.
        device: String,
    },
    /// Set what a device should be set to.
    Set {
        /// The device.
        device: String,
        /// A file with a JSON object; "-" is the standard input.
        file: PathBuf,
        /// Who sets it.
        #[arg(long, env = "USER", default_value = "operator")]
        by: String,
    },
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| format!("\"{text}\" is not a duration, like \"10 s\""))
}

pub(super) fn command(command: &CommandCommand) -> ExitCode {
    ended(&command.whom, async |daemon| match &command.action {
        Action::Send(send) => send.done(daemon).await,
        Action::Ls { device, limit } => {
            let path = format!("{}/commands?limit={limit}", of(device));
            let told = understood(daemon, daemon.get(&path).await?, 200)?;
            list(&told["commands"]);
            Ok(ExitCode::SUCCESS)
        }
        Action::Show { id } => {
            let answer = daemon.get(&format!("/api/v1/commands/{id}")).await?;
            Ok(print(&understood(daemon, answer, 200)?))
        }
        Action::Cancel { id, by } => {
            let path = format!("/api/v1/commands/{id}/cancel");
            let answer = daemon.post(&path, &json!({ "by": by })).await?;
            println!("{}", line(&understood(daemon, answer, 200)?));
            Ok(ExitCode::SUCCESS)
        }
    })
}

pub(super) fn desired(command: &DesiredCommand) -> ExitCode {
    ended(&command.whom, async |daemon| match &command.action {
        DesiredAction::Get { device } => {
            let answer = daemon.get(&format!("{}/desired", of(device))).await?;
            let told = understood(daemon, answer, 200)?;
            if told["version"] == 0 {
                let text = format!("nobody has said what {} should be set to", printable(device));
                return Err(Not::Told(fail(ExitCode::FAILURE, text)));
            }
            Ok(print(&told))
        }
        DesiredAction::Set { device, file, by } => {
            let text = if file.as_os_str() == "-" {
                std::io::read_to_string(std::io::stdin())
            } else {
                std::fs::read_to_string(file)
            };
            let text = text.map_err(|error| usage(&format!("{}: {error}", file.display())))?;
            let document: Json =
                serde_json::from_str(&text).map_err(|error| usage(&error.to_string()))?;
            let body = json!({ "document": document, "by": by });
            let answer = daemon.put(&format!("{}/desired", of(device)), &body).await?;
            let told = understood(daemon, answer, 200)?;
            println!("{} should be set to version {}", printable(device), told["version"]);
            Ok(ExitCode::SUCCESS)
        }
    })
}

/// Why nothing came of it.
enum Not {
    Unanswered(Unanswered),
    /// Said already.
    Told(ExitCode),
}

impl From<Unanswered> for Not {
    fn from(unanswered: Unanswered) -> Not {
        Not::Unanswered(unanswered)
    }
}

fn usage(problem: &str) -> Not {
    Not::Told(fail(EXIT_USAGE, problem))
}

fn ended(whom: &Whom, asking: impl AsyncFnOnce(&Daemon) -> Result<ExitCode, Not>) -> ExitCode {
    let daemon = match whom.daemon() {
        Ok(daemon) => daemon,
        Err(code) => return code,
    };
    match wait(asking(&daemon)) {
        Ok(Ok(code)) | Ok(Err(Not::Told(code))) | Err(code) => code,
        Ok(Err(Not::Unanswered(unanswered))) => unanswered.end(),
    }
}

/// The answer's JSON; what the daemon refuses is said in its words.
fn understood(daemon: &Daemon, answer: Answer, wanted: u16) -> Result<Json, Not> {
    let foreign = |status| Unanswered::Foreign { at: daemon.to_string(), status };
    if answer.status != wanted {
        let status = answer.status;
        return Err(Not::Told(refused(&answer, foreign(status))));
    }
    Ok(serde_json::from_slice(&answer.body).map_err(|_| foreign(answer.status))?)
}

fn of(device: &str) -> String {
    let encoded = percent_encoding::utf8_percent_encode(device, percent_encoding::NON_ALPHANUMERIC);
    format!("/api/v1/devices/{encoded}")
}

impl Send {
    async fn done(&self, daemon: &Daemon) -> Result<ExitCode, Not> {
        let arguments: Json = match &self.arguments {
            None => Json::Null,
            Some(text) => serde_json::from_str(text)
                .map_err(|error| usage(&format!("the arguments are no JSON: {error}")))?,
        };
        let delivery = if self.at_least_once { "at_least_once" } else { "at_most_once" };
        let body = json!({
            "name": self.name, "arguments": arguments, "ttl_s": self.ttl.as_secs(),
            "delivery": delivery, "by": self.by,
        });
        let answer = daemon.post(&format!("{}/commands", of(&self.device)), &body).await?;
        let mut command = understood(daemon, answer, 202)?;
        if !self.wait {
            println!("{}", line(&command));
            return Ok(ExitCode::SUCCESS);
        }
        let path = format!("/api/v1/commands/{}", command["id"]);
        while command["finished_at"].is_null() {
            tokio::time::sleep(LOOK_INTERVAL).await;
            command = understood(daemon, daemon.get(&path).await?, 200)?;
        }
        println!("{}", line(&command));
        Ok(if command["state"] == "acknowledged" { ExitCode::SUCCESS } else { 1.into() })
    }
}

fn text(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => printable(text),
        other => printable(&other.to_string()),
    }
}

/// A command in one line.
fn line(command: &Json) -> String {
    let mut line =
        ["id", "device", "name", "state"].map(|key| text(&command[key])).join(" ").to_owned();
    for key in ["message", "result"] {
        let text = text(&command[key]);
        if !text.is_empty() {
            line.push_str(": ");
            line.push_str(&text);
        }
    }
    line
}

fn print(told: &Json) -> ExitCode {
    let text = serde_json::to_string_pretty(told).unwrap_or_default();
    // JSON has no control characters but these.
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => 1.into(),
    }
}

fn list(commands: &Json) {
    let heads = ["ID", "ASKED AT", "NAME", "ARGUMENTS", "STATE", "VIA", "BY", "MESSAGE"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for command in commands.as_array().into_iter().flatten() {
        let at = command["created_at"].as_i64().unwrap_or_default();
        let at = seconds(Timestamp(at.saturating_mul(NANOS_PER_MILLI)));
        let cell = |key: &str| cut(&text(&command[key]));
        rows.push(vec![
            cell("id"),
            at,
            cell("name"),
            cell("arguments"),
            cell("state"),
            cell("via"),
            cell("by"),
            cell("message"),
        ]);
    }
    // Who does not read on needs no more.
    write_table(&mut std::io::stdout().lock(), &rows).unwrap_or_default();
}
