//! `tidegate status`: how the daemon is, on one screen, worst first; and whether it needs somebody.

use super::ask::{Answer, Unanswered, Whom, wait};
use super::{EXIT_DENIED, fail, printable};
use bytesize::ByteSize;
use clap::Args;
use serde::Deserialize;
use serde_json::Value as Json;
use std::fmt::Write;
use std::process::ExitCode;

/// Flags of the status.
#[derive(Debug, Args)]
pub(super) struct StatusCommand {
    #[command(flatten)]
    whom: Whom,
    /// Print the object of /api/v1/status as it came.
    #[arg(long)]
    json: bool,
}

/// Whoever reaches some devices only is told of no counts.
const OF_SOME: &str =
    "the token reaches some devices only, and this is about all; --json prints what is for it";

pub(super) fn status(command: &StatusCommand) -> ExitCode {
    let daemon = match command.whom.daemon() {
        Ok(daemon) => daemon,
        Err(code) => return code,
    };
    let answer = match wait(daemon.get("/api/v1/status")) {
        Ok(Ok(answer)) => answer,
        Ok(Err(unanswered)) => return unanswered.end(),
        Err(code) => return code,
    };
    let Some(status) = Status::of(&answer) else {
        return Unanswered::Foreign { at: daemon.to_string(), status: answer.status }.end();
    };
    if !command.json && !status.tells_of_all {
        return fail(EXIT_DENIED, OF_SOME);
    }
    if command.json {
        println!("{}", String::from_utf8_lossy(&answer.body));
    } else {
        print!("{}", screen(&status));
    }
    if complaints(&status).is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The part of the status that a person wants at 3 a.m. What an older daemon does not tell is empty.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    version: String,
    uptime_s: f64,
    pressure: f64,
    pressure_of: Option<String>,
    trouble: Option<String>,
    spool: Spool,
    pub sinks: Vec<Sink>,
    live: Live,
    intake: Intake,
    notify: Notify,
    viewers: Viewers,
    pub ledger: Ledger,
    alerts: Alerts,
    /// It has a ledger.
    #[serde(skip)]
    tells_of_all: bool,
}

/// Open alerts.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Alerts {
    firing: u64,
    pending: u64,
    acknowledged: u64,
    critical: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Spool {
    bytes: u64,
    bytes_max: u64,
    full_in_s: Option<f64>,
    oldest_s: f64,
}

/// A sink as the status tells it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Sink {
    pub name: String,
    pub kind: String,
    pub breaker: String,
    pub held: bool,
    pub cause: Option<String>,
    next_probe_s: Option<f64>,
    pub lag_samples: u64,
    pub lag_s: f64,
    pub live_lag_s: f64,
    pub backlog_samples: u64,
    drain_eta_s: Option<f64>,
    samples_per_s: Option<f64>,
    pub written: u64,
    pub dead_lettered: u64,
    skipped: u64,
    lost: u64,
    late: u64,
    /// It gets rollups of this, not every sample.
    pub rollup_window_s: Option<f64>,
    requests: Option<Requests>,
    dead_letters: Option<DeadLetters>,
    unflushed_samples: Option<u64>,
    imbalance: i64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Requests {
    under_way: u64,
    allowed: u64,
    sent: u64,
    failed: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct DeadLetters {
    letters: u64,
    samples: u64,
    bytes: u64,
    shed: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Live {
    lag_s: f64,
    series: u64,
    devices: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Intake {
    connections: u64,
    clients: u64,
    samples_per_s: f64,
    batches_per_s: f64,
    mqtt: Vec<Bridge>,
}

/// Who is told of alerts.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Notify {
    failing: Vec<String>,
    dead_letters: u64,
}

/// A bridge to a broker.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Bridge {
    name: String,
    state: String,
    cause: Option<String>,
    messages_per_s: f64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Viewers {
    sse: u64,
    ws: u64,
    poll: u64,
    degraded: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Ledger {
    pub accepted: u64,
    stored: u64,
    spooled: u64,
    damaged: u64,
    skipped: u64,
    accepted_batches: u64,
    duplicates: u64,
    refused: u64,
    imbalance: i64,
}

impl Status {
    /// Nothing if it is not the answer of a daemon.
    pub fn of(answer: &Answer) -> Option<Status> {
        let whole: Json = serde_json::from_slice(&answer.body).ok()?;
        let tells_of_all = whole.get("ledger").is_some();
        let status = Status { tells_of_all, ..Status::deserialize(whole).ok()? };
        (answer.status == 200 && !status.version.is_empty()).then_some(status)
    }
}

/// What needs a person; nothing if all is well.
fn complaints(status: &Status) -> Vec<String> {
    let mut complaints = Vec::new();
    if let Some(trouble) = &status.trouble {
        complaints.push(format!("nothing can enter: {}", printable(trouble)));
    }
    for sink in &status.sinks {
        match (sink.breaker.as_str(), sink.held) {
            ("closed", _) => {}
            (_, true) => complaints.push(format!("{} is held by an operator", sink.name)),
            ("half_open", _) => complaints.push(format!("{} is being probed", sink.name)),
            _ => complaints.push(format!("{} can't be written", sink.name)),
        }
        if sink.imbalance != 0 {
            complaints.push(format!("the ledger of {} is not balanced", sink.name));
        }
    }
    for bridge in status.intake.mqtt.iter().filter(|bridge| bridge.state != "connected") {
        let cause = bridge.cause.as_deref().map(|cause| format!(": {}", printable(cause)));
        let cause = cause.unwrap_or_default();
        complaints.push(format!("the broker of {} is {}{cause}", bridge.name, bridge.state));
    }
    match status.alerts.critical {
        0 => {}
        1 => complaints.push("a critical alert fires (tidegate alerts ls)".to_owned()),
        some => complaints.push(format!("{some} critical alerts fire (tidegate alerts ls)")),
    }
    for channel in &status.notify.failing {
        complaints.push(format!("notifications of {} are not taken", printable(channel)));
    }
    if status.notify.dead_letters > 0 {
        let letters = count(status.notify.dead_letters);
        complaints.push(format!("{letters} notifications are given up"));
    }
    if status.ledger.imbalance != 0 && status.sinks.iter().all(|sink| sink.imbalance == 0) {
        complaints.push("the ledger is not balanced".to_owned());
    }
    complaints
}

/// All of it as text.
fn screen(status: &Status) -> String {
    let mut out = String::new();
    let verdict = match complaints(status).as_slice() {
        [] => "all is well".to_owned(),
        complaints => format!("NEEDS YOU: {}", complaints.join("; ")),
    };
    let Status { spool, live, intake, viewers, .. } = status;
    let mut line = |name: &str, text: String| {
        // A string takes everything.
        writeln!(out, "{name:<9} {text}").unwrap_or_default();
    };
    line("Tidegate", format!("{}, up {}: {verdict}", status.version, time(status.uptime_s)));
    let of = status.pressure_of.as_ref().map_or(String::new(), |of| format!(" ({of})"));
    line("pressure", format!("{:.0} %{of}", status.pressure * 100.0));
    if let Some(trouble) = &status.trouble {
        line("trouble", printable(trouble));
    }
    line(
        "intake",
        format!(
            "{} samples/s, {} batches/s; {} clients, {} connections",
            rate(intake.samples_per_s),
            rate(intake.batches_per_s),
            count(intake.clients),
            count(intake.connections),
        ),
    );
    for bridge in &intake.mqtt {
        let speed = rate(bridge.messages_per_s);
        line("broker", format!("{} {}, {speed} messages/s", bridge.name, bridge.state));
    }
    line("spool", spooled(spool));
    line(
        "live",
        format!(
            "{} behind; {} series of {} devices; viewers {}{}",
            time(live.lag_s),
            count(live.series),
            count(live.devices),
            viewers.sse + viewers.ws + viewers.poll,
            if viewers.degraded > 0 {
                format!(", {} of them slow", viewers.degraded)
            } else {
                String::new()
            },
        ),
    );
    line("ledger", ledger(&status.ledger));
    let Alerts { firing, pending, acknowledged, critical } = status.alerts;
    if firing + pending + acknowledged > 0 {
        line(
            "alerts",
            format!(
                "{firing} firing ({critical} critical), {pending} pending, {acknowledged} acknowledged"
            ),
        );
    }
    for sink in &status.sinks {
        out.push('\n');
        out.push_str(&sink_lines(sink));
    }
    out
}

fn spooled(spool: &Spool) -> String {
    let share = spool.bytes as f64 / (spool.bytes_max as f64).max(1.0) * 100.0;
    let full = match spool.full_in_s {
        Some(seconds) => format!("; FULL IN {} at this rate", time(seconds)),
        None => String::new(),
    };
    format!(
        "{} of {} ({share:.0} %), the oldest {} old{full}",
        ByteSize(spool.bytes),
        ByteSize(spool.bytes_max),
        time(spool.oldest_s)
    )
}

fn ledger(ledger: &Ledger) -> String {
    let verdict = match ledger.imbalance {
        0 => "balanced".to_owned(),
        1.. => format!("NOT BALANCED, {} samples are nowhere", count(ledger.imbalance as u64)),
        _ => format!("NOT BALANCED, {} samples too many", count(ledger.imbalance.unsigned_abs())),
    };
    let damaged = match ledger.damaged {
        0 => String::new(),
        damaged => format!(", {} damaged", count(damaged)),
    };
    let skipped = match ledger.skipped {
        0 => String::new(),
        skipped => format!(" + {} live only", count(skipped)),
    };
    format!(
        "{verdict}: {} samples accepted = {} stored + {} spooled{skipped}{damaged}; batches {} accepted, {} \
         duplicate, {} refused",
        count(ledger.accepted),
        count(ledger.stored),
        count(ledger.spooled),
        count(ledger.accepted_batches),
        count(ledger.duplicates),
        count(ledger.refused),
    )
}

/// A sink's breaker in a sentence: also what `tidegate breaker` says.
pub(super) fn lamp(sink: &Sink) -> String {
    let lamp = match (sink.breaker.as_str(), sink.held) {
        ("closed", _) => "closed".to_owned(),
        (_, true) => "OPEN, held by an operator".to_owned(),
        ("half_open", _) => "HALF-OPEN, one request is trying".to_owned(),
        _ => "OPEN".to_owned(),
    };
    let cause = match &sink.cause {
        Some(cause) if !sink.held => format!(": {}", printable(cause)),
        _ => String::new(),
    };
    let probe = match sink.next_probe_s {
        Some(seconds) if !sink.held => format!("; next probe in {}", time(seconds)),
        _ => String::new(),
    };
    format!("{} {lamp}{cause}{probe}", sink.name)
}

fn sink_lines(sink: &Sink) -> String {
    let mut out = format!("sink      {}\n", lamp(sink));
    let mut line = |name: &str, text: String| {
        writeln!(out, "  {name:<7} {text}").unwrap_or_default();
    };
    let mut lag = match sink.lag_samples {
        0 => "none".to_owned(),
        samples => format!("{} samples, {}", count(samples), time(sink.lag_s)),
    };
    if sink.backlog_samples > 0 {
        let eta = match sink.drain_eta_s {
            Some(seconds) => format!("drained in about {}", time(seconds)),
            None => "not draining now".to_owned(),
        };
        let backlog = count(sink.backlog_samples);
        lag += &format!("; new data {}; backlog {backlog} samples, {eta}", time(sink.live_lag_s));
    }
    line("lag", lag);
    let mut written = format!("{} samples", count(sink.written));
    if let Some(per_s) = sink.samples_per_s {
        written += &format!(", {} samples/s", rate(per_s));
    }
    if let Some(Requests { under_way, allowed, sent, failed }) = &sink.requests {
        let (sent, failed) = (count(*sent), count(*failed));
        written += &format!("; requests {under_way} of {allowed}, {sent} sent, {failed} failed");
    }
    if let Some(unflushed) = sink.unflushed_samples.filter(|samples| *samples > 0) {
        written += &format!("; {} more in memory (and in the spool)", count(unflushed));
    }
    let others = [
        (sink.skipped, "not for it (filters, live only)"),
        (sink.late, "late for their window"),
        (sink.lost, "LOST"),
    ];
    for (samples, what) in others {
        if samples > 0 {
            written += &format!("; {} {what}", count(samples));
        }
    }
    if let Some(window) = sink.rollup_window_s {
        written += &format!("; as rollups of {}", time(window));
    }
    line("written", written);
    if let Some(letters) = &sink.dead_letters {
        let mut text = match letters.letters {
            0 => "no dead letters".to_owned(),
            some => format!(
                "{} dead letters with {} samples, {}",
                count(some),
                count(letters.samples),
                ByteSize(letters.bytes)
            ),
        };
        if letters.shed > 0 {
            text += &format!("; {} samples shed so far", count(letters.shed));
        }
        line("refused", text);
    }
    if sink.imbalance != 0 {
        line("ledger", format!("NOT BALANCED by {} samples", sink.imbalance));
    }
    out
}

/// 1234567 as 1,234,567.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn rate(per_s: f64) -> String {
    if per_s < 10.0 { format!("{per_s:.1}") } else { count(per_s.round() as u64) }
}

/// In the two largest units that say something.
pub(super) fn time(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        _ if seconds < 9.95 => format!("{seconds:.1} s"),
        0..120 => format!("{whole} s"),
        120..7200 => format!("{} min {} s", whole / 60, whole % 60),
        7200..172_800 => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
        _ => format!("{} d {} h", whole / 86_400, whole % 86_400 / 3600),
    }
}

/// An answer that is no status: the daemon's own words, or that it is none.
pub(super) fn refused(answer: &Answer, unanswered: Unanswered) -> ExitCode {
    match answer.detail() {
        Some(detail) => fail(1, printable(&detail)),
        None => unanswered.end(),
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
