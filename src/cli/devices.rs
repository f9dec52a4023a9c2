//! `tidegate devices`: who is there, and what an operator says of them.

use super::ask::{Answer, Daemon, Unanswered, Whom, wait};
use super::table::{cut, seconds, write_table};
use super::{EXIT_UNAVAILABLE, EXIT_USAGE, fail};
use crate::clock;
use crate::model::{NANOS_PER_MILLI, Timestamp};
use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};
use std::process::ExitCode;

/// Flags of the command.
#[derive(Debug, Args)]
pub(super) struct DevicesCommand {
    #[command(flatten)]
    whom: Whom,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List them.
    Ls {
        /// Only those that are offline.
        #[arg(long)]
        offline: bool,
        /// Only those that no operator knows yet.
        #[arg(long)]
        new: bool,
    },
    /// Print all that is known of one, as JSON.
    Show {
        /// Its name.
        id: String,
    },
    /// Take these out of the inbox.
    Know {
        /// Their names.
        #[arg(required = true)]
        ids: Vec<String>,
    },
}

pub(super) fn devices(command: &DevicesCommand) -> ExitCode {
    let daemon = match command.whom.daemon() {
        Ok(daemon) => daemon,
        Err(code) => return code,
    };
    match wait(ask(&daemon, &command.action)) {
        Ok(Ok(answer)) if answer.status == 200 => match serde_json::from_slice(&answer.body) {
            Ok(body) => print(&command.action, &body),
            Err(_) => Unanswered::Foreign { at: daemon.to_string(), status: 200 }.end(),
        },
        Ok(Ok(answer)) => {
            let code = if answer.status < 500 { EXIT_USAGE } else { EXIT_UNAVAILABLE };
            let status = answer.status;
            fail(code, answer.detail().unwrap_or_else(|| format!("the daemon answers {status}")))
        }
        Ok(Err(unanswered)) => unanswered.end(),
        Err(code) => code,
    }
}

async fn ask(daemon: &Daemon, action: &Action) -> Result<Answer, Unanswered> {
    match action {
        Action::Ls { offline, new } => {
            let mut path = "/api/v1/devices?".to_owned();
            if *offline {
                path.push_str("online=false&");
            }
            if *new {
                path.push_str("known=false");
            }
            daemon.get(path.trim_end_matches(['?', '&'])).await
        }
        Action::Show { id } => {
            let all = percent_encoding::NON_ALPHANUMERIC;
            let id = percent_encoding::utf8_percent_encode(id, all);
            daemon.get(&format!("/api/v1/devices/{id}")).await
        }
        Action::Know { ids } => daemon.post("/api/v1/devices/known", &json!({ "ids": ids })).await,
    }
}

fn print(action: &Action, body: &Json) -> ExitCode {
    match action {
        Action::Ls { .. } => list(body),
        Action::Show { .. } => {
            println!("{body:#}");
            ExitCode::SUCCESS
        }
        Action::Know { .. } => {
            let known = body["known"].as_array().map_or(0, Vec::len);
            println!("{known} devices are known");
            let not = body["not"].as_array().into_iter().flatten();
            let not: Vec<_> = not.filter_map(|not| not["id"].as_str()).map(cut).collect();
            if not.is_empty() {
                return ExitCode::SUCCESS;
            }
            fail(EXIT_USAGE, format!("never seen: {}", not.join(", ")))
        }
    }
}

fn list(body: &Json) -> ExitCode {
    let text = |device: &Json, key: &str| device[key].as_str().map_or(String::new(), cut);
    let time = |device: &Json, key: &str| {
        let millis = device[key].as_i64().unwrap_or_default();
        seconds(Timestamp(millis.saturating_mul(NANOS_PER_MILLI)))
    };
    let head = ["DEVICE", "STATE", "SINCE", "LAST SEEN", "VIA", "EVERY", "CLOCK", "REASON"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for device in body["devices"].as_array().into_iter().flatten() {
        let online = device["online"].as_bool().unwrap_or_default();
        let new = device["known"] == false;
        let state = format!(
            "{}{}",
            if online { "online" } else { "offline" },
            if new { " (new)" } else { "" }
        );
        let every =
            device["interval_s"].as_f64().map_or(String::new(), |every| format!("{every} s"));
        let clock = match device["clock"]["state"].as_str() {
            Some("off") => format!("off by {} ms", device["clock"]["offset_ms"]),
            Some(state) => state.to_owned(),
            None => String::new(),
        };
        rows.push(vec![
            text(device, "id"),
            state,
            time(device, "since"),
            time(device, "last_seen"),
            format!("{} {}", text(device, "protocol"), text(device, "client")),
            every,
            clock,
            text(device, "reason"),
        ]);
    }
    let count = rows.len() - 1;
    if let Err(error) = write_table(&mut std::io::stdout().lock(), &rows) {
        return fail(1, error);
    }
    println!("{count} devices at {}", seconds(clock::now()));
    ExitCode::SUCCESS
}
