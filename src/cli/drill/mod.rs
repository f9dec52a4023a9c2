//! `tidegate drill`: a device of its own sends through the running installation, and every promise is
//! looked at where it is kept: receipts, live, history, sinks, breakers.
//!
//! The readings go where all readings go; they are told apart by their device only.

mod device;
mod live;
#[cfg(feature = "influx")]
mod sinks;
#[cfg(feature = "influx")]
mod store;

use super::ask::{Daemon, Whom, wait};
use super::status::{Sink, Status};
use super::{EXIT_UNAVAILABLE, EXIT_USAGE, fail};
use crate::clock;
use crate::config::parse_duration;
use crate::wire::RefusalCode;
use clap::Args;
use device::{Device, METRIC, Said};
use live::Viewer;
use serde_json::Value as Json;
use std::cell::RefCell;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::sleep;

/// Flags of the drill.
#[derive(Debug, Args)]
pub(super) struct DrillCommand {
    #[command(flatten)]
    whom: Whom,
    /// Only this sink; without it, all of the daemon. Each is held for some seconds.
    #[arg(long)]
    sink: Option<String>,
    /// How soon receipts must come, and a viewer must see a reading.
    #[arg(long, value_name = "TIME", default_value = "1 s", value_parser = duration)]
    within: Duration,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "a time is like \"500 ms\" or \"2 s\"".to_owned())
}

/// Readings for the receipts' times.
const READINGS: usize = 200;
/// Until the history has what was acknowledged.
const HISTORY_MAX: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);

pub(super) fn drill(command: &DrillCommand) -> ExitCode {
    let daemon = match command.whom.daemon() {
        Ok(daemon) => daemon,
        Err(code) => return code,
    };
    // A breaker that is held now. Whoever interrupts the drill must not leave it so.
    let held = RefCell::new(None);
    let ran = wait(async {
        let interrupted = async { tokio::signal::ctrl_c().await.is_ok() };
        tokio::select! {
            code = run(command, &daemon, &held) => code,
            _ = interrupted => {
                let name = held.borrow().clone();
                if let Some(name) = name {
                    release(&daemon, &name).await;
                }
                fail(1, "interrupted")
            }
        }
    });
    ran.unwrap_or_else(|code| code)
}

async fn release(daemon: &Daemon, name: &str) {
    use super::breaker::{Action, Granted, set};
    match set(daemon, name, Action::Release).await {
        Ok(Granted::Now(_)) => {}
        _ => eprintln!("tidegate: {name} MAY STILL BE HELD: tidegate breaker {name} release"),
    }
}

async fn run(command: &DrillCommand, daemon: &Daemon, held: &RefCell<Option<String>>) -> ExitCode {
    let status = match daemon.get("/api/v1/status").await {
        Ok(answer) => match Status::of(&answer) {
            Some(status) => status,
            None => return fail(EXIT_UNAVAILABLE, format!("{daemon} is no Tidegate daemon")),
        },
        Err(unanswered) => return unanswered.end(),
    };
    let sinks: Vec<Sink> = status.sinks.into_iter().filter(|it| it.kind != "history").collect();
    let wanted = |sink: &&Sink| command.sink.as_ref().is_none_or(|name| *name == sink.name);
    if let Some(name) = command.sink.as_ref().filter(|_| !sinks.iter().any(|it| wanted(&it))) {
        let known: Vec<_> = sinks.iter().map(|sink| sink.name.as_str()).collect();
        return fail(EXIT_USAGE, format!("there is no sink {name}; the daemon has {known:?}"));
    }
    let device = match Device::connect(daemon).await {
        Ok(device) => device,
        Err(problem) => return fail(EXIT_UNAVAILABLE, problem),
    };
    println!("Drill of {daemon} with the device {}", device.name);
    let (daemon, within) = (daemon.clone(), command.within);
    let mut drill = Drill { daemon, device, within, held, passed: 0, failed: 0 };
    drill.without_sinks().await;
    #[cfg(feature = "influx")]
    {
        let config = command.whom.settings.load().map(|(config, _)| config).ok();
        let configured = config.map_or(Vec::new(), |config| config.sinks.influx);
        for sink in sinks.iter().filter(wanted) {
            let config = configured.iter().find(|config| config.name == sink.name);
            sinks::drill(&mut drill, sink, config).await;
        }
    }
    drill.end()
}

/// A drill under way.
struct Drill<'a> {
    daemon: Daemon,
    device: Device,
    /// How soon receipts must come, and a viewer must see a reading.
    within: Duration,
    /// Named by whoever holds a breaker, before it does.
    #[cfg_attr(not(feature = "influx"), expect(dead_code, reason = "without sinks nobody does"))]
    held: &'a RefCell<Option<String>>,
    passed: usize,
    failed: usize,
}

impl Drill<'_> {
    async fn without_sinks(&mut self) {
        let receipts = self.receipts().await;
        let sends = receipts.is_ok();
        self.tell("acknowledged", receipts);
        if !sends {
            return;
        }
        let seen = self.seen_live().await;
        self.tell("seen live", seen);
        let stored = self.in_history().await;
        self.tell("in the history", stored);
        let recognised = self.duplicate().await;
        self.tell("duplicate recognised", recognised);
        let refused = match self.device.send_from_the_future().await {
            Ok(Said::Refused(RefusalCode::TimeTooFarAhead)) => {
                Ok(RefusalCode::TimeTooFarAhead.name().to_owned())
            }
            Ok(other) => Err(format!("a reading of the year 2200: {other:?}")),
            Err(problem) => Err(problem),
        };
        self.tell("nonsense refused", refused);
    }

    async fn receipts(&mut self) -> Result<String, String> {
        let mut times = Vec::with_capacity(READINGS);
        for _ in 0..READINGS {
            times.push(self.device.send().await?);
        }
        times.sort_unstable();
        let (p50, p99) = (times[READINGS / 2], times[READINGS * 99 / 100]);
        let told = format!("{READINGS} readings, p50 {}, p99 {}", millis(p50), millis(p99));
        if p99 <= self.within { Ok(told) } else { Err(told) }
    }

    async fn seen_live(&mut self) -> Result<String, String> {
        let mut viewer = Viewer::open(&self.daemon, &self.device.name).await?;
        self.device.send().await?;
        let seen = viewer.sees(self.device.sent.len() as f64, self.within).await?;
        Ok(format!("over SSE, {} after the receipt", seconds(seen)))
    }

    async fn in_history(&self) -> Result<String, String> {
        let (began, sent) = (clock::monotonic(), &self.device.sent);
        let (Some(first), Some(last)) = (sent.first(), sent.last()) else {
            return Err(String::new());
        };
        let path = format!(
            "/api/v1/query?device={}&metric={METRIC}&from={}&to={}",
            self.device.name,
            first.0,
            last.0 + 1
        );
        loop {
            let answer = self.daemon.get(&path).await.map_err(|it| it.to_string())?;
            let answer: Json = serde_json::from_slice(&answer.body).unwrap_or_default();
            let numbers = |key: &str| answer[key].as_array().cloned().unwrap_or_default();
            let found = numbers("time").into_iter().zip(numbers("value"));
            let found: Vec<_> =
                found.filter_map(|(time, value)| Some((time.as_i64()?, value.as_f64()?))).collect();
            if found == *sent {
                return Ok(format!("all {}, as they were sent", sent.len()));
            }
            if clock::monotonic() - began > HISTORY_MAX {
                return Err(format!("{} of {}, or others", found.len(), sent.len()));
            }
            sleep(LOOK).await;
        }
    }

    async fn duplicate(&mut self) -> Result<String, String> {
        match self.device.send_again().await? {
            Said::Ack(_) => {}
            Said::Refused(code) => return Err(format!("a resent batch is refused: {code}")),
        }
        let path = format!("/api/v1/ledger?client={}", self.device.name);
        let answer = self.daemon.get(&path).await.map_err(|it| it.to_string())?;
        let answer: Json = serde_json::from_slice(&answer.body).unwrap_or_default();
        let line = &answer["clients"][0];
        let (samples, duplicates) = (line["samples"].as_u64(), line["duplicates"].as_u64());
        if (samples, duplicates) == (Some(self.device.sent.len() as u64), Some(1)) {
            return Ok("acknowledged, and counted once".to_owned());
        }
        Err(format!("the ledger has {line} for {} readings and one resent", self.device.sent.len()))
    }

    /// Prints what came of a step.
    fn tell(&mut self, step: &str, outcome: Result<String, String>) {
        let (word, text) = match outcome {
            Ok(text) => {
                self.passed += 1;
                ("PASS", text)
            }
            Err(text) => {
                self.failed += 1;
                ("FAIL", text)
            }
        };
        println!("{word}  {step:<22} {}", super::printable(&text));
    }

    fn end(&self) -> ExitCode {
        println!("{} of {} passed", self.passed, self.passed + self.failed);
        let name = &self.device.name;
        println!(
            "The readings of {name} stay in the history until it forgets them (history.retention), and \
             in the stores; docs/sinks.md says how to delete them there."
        );
        if self.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

#[cfg(feature = "influx")]
impl Drill<'_> {
    async fn status(&self) -> Result<Status, String> {
        let answer = self.daemon.get("/api/v1/status").await.map_err(|it| it.to_string())?;
        Status::of(&answer).ok_or_else(|| format!("the status has code {}", answer.status))
    }

    fn sink<'s>(&self, status: &'s Status, name: &str) -> Result<&'s Sink, String> {
        let found = status.sinks.iter().find(|sink| sink.name == name);
        found.ok_or_else(|| format!("{} has no sink {name} any more", self.daemon))
    }
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
