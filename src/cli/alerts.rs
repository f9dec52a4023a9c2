//! `tidegate alerts`: what the rules of a running daemon found, taking notice of it, and silences.

use super::ask::{Answer, Daemon, Unanswered, Whom, wait};
use super::status::refused;
use super::table::{cut, seconds, write_table};
use super::{EXIT_USAGE, fail, printable};
use crate::clock;
use crate::model::{NANOS_PER_MILLI, Timestamp, parse_duration};
use clap::{Args, Subcommand, ValueEnum};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value as Json, json};
use std::io::Write;
use std::process::ExitCode;

/// Flags of the command.
#[derive(Debug, Args)]
pub(super) struct AlertsCommand {
    #[command(flatten)]
    whom: Whom,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List alerts, the newest first.
    Ls {
        /// In which state.
        #[arg(long, value_enum, default_value_t = State::Open)]
        state: State,
        /// Only of this rule.
        #[arg(long)]
        rule: Option<String>,
        /// Only of this device.
        #[arg(long)]
        device: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Print one alert, and what happened to it.
    Show {
        /// Its number.
        id: u64,
    },
    /// Take notice of alerts: nobody is notified of them again.
    Ack {
        /// Their numbers.
        #[arg(required = true)]
        ids: Vec<u64>,
        #[command(flatten)]
        who: Who,
    },
    /// Keep the notifications of some alerts back for a while.
    Silence {
        /// Of rules that fit this glob; may be given more than once. Without any: of all.
        #[arg(long, value_name = "GLOB")]
        rule: Vec<String>,
        /// Of devices that fit this glob, likewise.
        #[arg(long, value_name = "GLOB")]
        device: Vec<String>,
        /// Of this severity, likewise.
        #[arg(long)]
        severity: Vec<String>,
        /// For how long: "30 m", "2 h".
        #[arg(long = "for", value_name = "DURATION")]
        length: String,
        #[command(flatten)]
        who: Who,
    },
    /// List the silences that are not over.
    Silences,
    /// End a silence now.
    Unsilence {
        /// Its number.
        id: u64,
    },
    /// List the rules, whose they are, and what they watch.
    Rules,
}

#[derive(Debug, Args)]
struct Who {
    /// Your name, for those who look at it later [default: $USER].
    #[arg(long, env = "USER", hide_env = true, default_value = "operator")]
    by: String,
    /// What you have to say.
    #[arg(long, default_value = "")]
    note: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum State {
    Open,
    Pending,
    Firing,
    Acknowledged,
    Resolved,
    All,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            State::Open => "open",
            State::Pending => "pending",
            State::Firing => "firing",
            State::Acknowledged => "acknowledged",
            State::Resolved => "resolved",
            State::All => "all",
        }
    }
}

/// What is printed of an answer.
type Print = fn(&Json) -> std::io::Result<ExitCode>;

pub(super) fn alerts(command: &AlertsCommand) -> ExitCode {
    let daemon = match command.whom.daemon() {
        Ok(daemon) => daemon,
        Err(code) => return code,
    };
    match wait(ask(&daemon, &command.action)) {
        Ok(Ok((answer, print))) => told(&daemon, &answer, print),
        Ok(Err(Failure::Usage(problem))) => fail(EXIT_USAGE, problem),
        Ok(Err(Failure::Unanswered(unanswered))) => unanswered.end(),
        Err(code) => code,
    }
}

enum Failure {
    Usage(String),
    Unanswered(Unanswered),
}

impl From<Unanswered> for Failure {
    fn from(unanswered: Unanswered) -> Failure {
        Failure::Unanswered(unanswered)
    }
}

async fn ask(daemon: &Daemon, action: &Action) -> Result<(Answer, Print), Failure> {
    Ok(match action {
        Action::Ls { state, rule, device, limit } => {
            let mut path = format!("/api/v1/alerts?state={}&limit={limit}", state.name());
            for (key, value) in [("rule", rule), ("device", device)] {
                if let Some(value) = value {
                    path += &format!("&{key}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
                }
            }
            (daemon.get(&path).await?, list)
        }
        Action::Show { id } => (daemon.get(&format!("/api/v1/alerts/{id}")).await?, show),
        Action::Ack { ids, who: Who { by, note } } => {
            let body = json!({ "ids": ids, "by": by, "note": note });
            (daemon.post("/api/v1/alerts/acknowledge", &body).await?, acknowledged)
        }
        Action::Silence { rule, device, severity, length, who: Who { by, note } } => {
            let wrong = || Failure::Usage(format!("--for {length}: a duration, like \"2 h\""));
            let length = parse_duration(length).ok_or_else(wrong)?;
            let until = clock::now().saturating_add(length).as_millis();
            let body = json!({
                "rule": rule, "device": device, "severity": severity, "until": until,
                "by": by, "note": note,
            });
            (daemon.post("/api/v1/silences", &body).await?, silenced)
        }
        Action::Silences => (daemon.get("/api/v1/silences").await?, silences),
        Action::Unsilence { id } => {
            (daemon.delete(&format!("/api/v1/silences/{id}")).await?, ended)
        }
        Action::Rules => (daemon.get("/api/v1/rules").await?, rules),
    })
}

fn told(daemon: &Daemon, answer: &Answer, print: Print) -> ExitCode {
    let foreign = || Unanswered::Foreign { at: daemon.to_string(), status: answer.status };
    let json = match (answer.status, &*answer.body) {
        (204, _) | (200 | 201, b"") => Json::Null,
        (200 | 201, body) => match serde_json::from_slice(body) {
            Ok(json) => json,
            Err(_) => return foreign().end(),
        },
        _ => return refused(answer, foreign()),
    };
    print(&json).unwrap_or_else(|error| match error.kind() {
        // Whoever reads the output has seen enough.
        std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        _ => fail(1, error),
    })
}

/// A text of an answer, fit for a terminal.
fn text(json: &Json) -> String {
    match json {
        Json::String(text) => printable(text),
        Json::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

fn time(json: &Json) -> String {
    json.as_i64()
        .map_or("-".to_owned(), |ms| seconds(Timestamp(ms.saturating_mul(NANOS_PER_MILLI))))
}

fn words(json: &Json) -> String {
    let words: Vec<_> = json.as_array().into_iter().flatten().map(text).collect();
    if words.is_empty() { "all".to_owned() } else { words.join(" ") }
}

fn table<'a>(
    head: &[&str],
    rows: impl Iterator<Item = &'a Json>,
    cells: impl Fn(&'a Json) -> Vec<String>,
) -> std::io::Result<()> {
    let head = head.iter().map(|cell| (*cell).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows.map(cells)).collect();
    write_table(&mut std::io::stdout().lock(), &rows)
}

fn list(answer: &Json) -> std::io::Result<ExitCode> {
    let alerts = answer["alerts"].as_array().map_or(&[][..], Vec::as_slice);
    let mut out = std::io::stdout();
    if alerts.is_empty() {
        writeln!(out, "there is no such alert")?;
    } else {
        let head = ["id", "state", "severity", "since", "rule", "what"];
        table(&head, alerts.iter(), |alert| {
            let mark = if alert["silenced"] == true { " (silenced)" } else { "" };
            vec![
                text(&alert["id"]),
                text(&alert["state"]) + mark,
                text(&alert["severity"]),
                time(&alert["pending_at"]),
                text(&alert["rule"]),
                text(&alert["text"]),
            ]
        })?;
    }
    if answer["next"].is_u64() {
        writeln!(out, "the newest {} (--limit)", alerts.len())?;
    }
    let counts = &answer["counts"];
    let of = |state: &str| text(&counts[state]);
    writeln!(
        out,
        "{} firing, {} pending, {} acknowledged",
        of("firing"),
        of("pending"),
        of("acknowledged")
    )?;
    Ok(ExitCode::SUCCESS)
}

fn show(alert: &Json) -> std::io::Result<ExitCode> {
    let mut out = std::io::stdout();
    writeln!(out, "{}", text(&alert["text"]))?;
    writeln!(
        out,
        "alert {} of rule {}, {}, {}",
        text(&alert["id"]),
        text(&alert["rule"]),
        text(&alert["severity"]),
        text(&alert["state"])
    )?;
    for (key, name) in [("device", "device"), ("metric", "metric"), ("runbook", "what to do")] {
        if alert[key].as_str().is_some_and(|text| !text.is_empty()) {
            writeln!(out, "{name}: {}", text(&alert[key]))?;
        }
    }
    for (key, value) in alert["tags"].as_object().into_iter().flatten() {
        writeln!(out, "{}: {}", printable(key), text(value))?;
    }
    writeln!(out, "holds since {}", time(&alert["pending_at"]))?;
    let events = alert["events"].as_array().into_iter().flatten();
    for event in events {
        let by = match event["by"].as_str() {
            Some("") | None => String::new(),
            Some(by) => format!(" by {}", printable(by)),
        };
        let note = match event["note"].as_str() {
            Some("") | None => String::new(),
            Some(note) => format!(": {}", printable(note)),
        };
        writeln!(out, "{}  {}{by}{note}", time(&event["at"]), text(&event["kind"]))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn acknowledged(answer: &Json) -> std::io::Result<ExitCode> {
    let done = answer["acknowledged"].as_array().map_or(0, Vec::len);
    writeln!(std::io::stdout(), "{done} alerts acknowledged")?;
    let not: Vec<_> = answer["not"].as_array().into_iter().flatten().collect();
    for it in &not {
        eprintln!("tidegate: alert {}: {}", text(&it["id"]), text(&it["why"]));
    }
    Ok(if not.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn silenced(silence: &Json) -> std::io::Result<ExitCode> {
    let (id, until) = (text(&silence["id"]), time(&silence["until"]));
    writeln!(std::io::stdout(), "silence {id} until {until}")?;
    Ok(ExitCode::SUCCESS)
}

fn ended(_: &Json) -> std::io::Result<ExitCode> {
    writeln!(std::io::stdout(), "the silence is over")?;
    Ok(ExitCode::SUCCESS)
}

fn silences(answer: &Json) -> std::io::Result<ExitCode> {
    let silences = answer["silences"].as_array().map_or(&[][..], Vec::as_slice);
    if silences.is_empty() {
        writeln!(std::io::stdout(), "there are no silences")?;
        return Ok(ExitCode::SUCCESS);
    }
    let head = ["id", "from", "until", "rules", "devices", "severities", "by", "note"];
    table(&head, silences.iter(), |silence| {
        vec![
            text(&silence["id"]),
            time(&silence["from"]),
            time(&silence["until"]),
            words(&silence["rule"]),
            words(&silence["device"]),
            words(&silence["severity"]),
            text(&silence["by"]),
            silence["note"].as_str().map_or(String::new(), cut),
        ]
    })?;
    Ok(ExitCode::SUCCESS)
}

fn rules(answer: &Json) -> std::io::Result<ExitCode> {
    let rules = answer["rules"].as_array().map_or(&[][..], Vec::as_slice);
    let head = ["rule", "kind", "severity", "whose", "watches", "pending", "firing", "trouble"];
    table(&head, rules.iter(), |rule| {
        vec![
            text(&rule["name"]),
            text(&rule["kind"]),
            text(&rule["severity"]),
            text(&rule["source"]),
            text(&rule["matching"]),
            text(&rule["pending"]),
            text(&rule["firing"]),
            text(&rule["error"]),
        ]
    })?;
    Ok(ExitCode::SUCCESS)
}
