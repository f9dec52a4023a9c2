//! `tidegate breaker`: what an operator wants of a sink's breaker, told to the daemon.

use super::ask::{Daemon, Unanswered, Whom, wait};
use super::status::{Sink, Status, lamp, refused};
use super::{EXIT_USAGE, fail};
use clap::{Args, ValueEnum};
use serde_json::json;
use std::process::ExitCode;

/// Flags of the command.
#[derive(Debug, Args)]
pub(super) struct BreakerCommand {
    #[command(flatten)]
    whom: Whom,
    /// The sink's name.
    sink: String,
    /// What it is to do.
    #[arg(value_enum)]
    action: Action,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Action {
    /// Send nothing until told otherwise; the spool keeps what comes.
    Hold,
    /// Try now, also if it is held.
    Probe,
    /// Hold no longer.
    Release,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Action::Hold => "hold",
            Action::Probe => "probe",
            Action::Release => "release",
        }
    }
}

/// What came of it.
pub(super) enum Granted {
    Now(Box<Sink>),
    /// In the daemon's words.
    Refused(super::ask::Answer),
    /// There are only these.
    Unknown(Vec<String>),
}

pub(super) fn breaker(command: &BreakerCommand) -> ExitCode {
    let daemon = match command.whom.daemon() {
        Ok(daemon) => daemon,
        Err(code) => return code,
    };
    match wait(set(&daemon, &command.sink, command.action)) {
        Ok(Ok(Granted::Now(sink))) => {
            println!("{}", lamp(&sink));
            ExitCode::SUCCESS
        }
        Ok(Ok(Granted::Unknown(known))) if known.is_empty() => {
            fail(EXIT_USAGE, "the daemon has no sinks with a breaker: [[sinks.influx]] makes one")
        }
        Ok(Ok(Granted::Unknown(known))) => {
            let (sink, known) = (&command.sink, known.join(", "));
            fail(EXIT_USAGE, format!("there is no sink {sink}; the daemon has {known}"))
        }
        Ok(Ok(Granted::Refused(answer))) => {
            let status = answer.status;
            refused(&answer, Unanswered::Foreign { at: daemon.to_string(), status })
        }
        Ok(Err(unanswered)) => unanswered.end(),
        Err(code) => code,
    }
}

/// Sets the breaker of the daemon's sink.
pub(super) async fn set(
    daemon: &Daemon,
    sink: &str,
    action: Action,
) -> Result<Granted, Unanswered> {
    let encoded = percent_encoding::utf8_percent_encode(sink, percent_encoding::NON_ALPHANUMERIC);
    let path = format!("/api/v1/sinks/{encoded}/breaker");
    let answer = daemon.post(&path, &json!({ "action": action.name() })).await?;
    match answer.status {
        200 => {
            let foreign = |_| Unanswered::Foreign { at: daemon.to_string(), status: 200 };
            Ok(Granted::Now(Box::new(serde_json::from_slice(&answer.body).map_err(foreign)?)))
        }
        404 => {
            let status = Status::of(&daemon.get("/api/v1/status").await?);
            Ok(Granted::Unknown(status.map_or(Vec::new(), |status| {
                let sinks = status.sinks.into_iter().filter(|sink| sink.kind != "history");
                sinks.map(|sink| sink.name).collect()
            })))
        }
        _ => Ok(Granted::Refused(answer)),
    }
}
