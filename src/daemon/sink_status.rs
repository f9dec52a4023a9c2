//! A sink in `/api/v1/status`, in the `status` frames of viewers and in `/metrics`.

use super::status::{round, seconds};
use crate::clock;
use crate::metrics::SinkGauges;
use crate::model::Timestamp;
use crate::sinks::breaker::State;
use crate::sinks::history::Counts;
use crate::sinks::influx::{ValveView, View};
use serde::Serialize;
use std::time::Duration;

/// A sink that lags more than this lets the spool fill.
const BEHIND: Duration = Duration::from_secs(10);

/// One sink, the history or another; see `docs/http.md` for each field.
#[derive(Serialize)]
pub(super) struct SinkStatus {
    pub name: String,
    kind: &'static str,
    /// What it gets: `raw` or `rollups`.
    #[serde(skip_serializing_if = "Option::is_none")]
    send: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rollup_window_s: Option<f64>,
    breaker: &'static str,
    held: bool,
    cause: Option<String>,
    next_probe_s: Option<f64>,
    lag_samples: u64,
    lag_s: f64,
    live_lag_s: f64,
    backlog_samples: u64,
    drain_eta_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    samples_per_s: Option<f64>,
    written: u64,
    pub dead_lettered: u64,
    skipped: u64,
    shed: u64,
    lost: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    late: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requests: Option<Requests>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letters: Option<DeadLetters>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unflushed_samples: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    pub imbalance: i64,
}

#[derive(Serialize)]
struct Requests {
    under_way: u32,
    allowed: u32,
    sent: u64,
    failed: u64,
}

#[derive(Serialize)]
struct DeadLetters {
    letters: u64,
    samples: u64,
    bytes: u64,
    shed: u64,
    dropped: u64,
    replayed: u64,
}

/// What is known of the history.
pub(super) struct HistoryState {
    pub stalled: bool,
    pub lag_samples: u64,
    pub behind_since: Option<Timestamp>,
    pub counts: Counts,
    pub bytes: u64,
    pub shed: u64,
    pub imbalance: i64,
}

impl SinkStatus {
    /// Why its store is not written, if so.
    pub fn trouble(&self) -> Option<String> {
        let cause = || self.cause.clone().unwrap_or_else(|| "its breaker is open".to_owned());
        match (self.breaker, self.held) {
            ("closed", _) => None,
            (_, true) => Some("held by an operator".to_owned()),
            _ => Some(cause()),
        }
    }

    pub fn of_history(history: HistoryState) -> SinkStatus {
        let HistoryState { stalled, lag_samples, behind_since, counts, bytes, shed, imbalance } =
            history;
        let lag_s = behind_since.map_or(0.0, |since| seconds(clock::now().since(since)));
        SinkStatus {
            name: "history".to_owned(),
            kind: "history",
            send: None,
            rollup_window_s: None,
            breaker: if stalled { "open" } else { "closed" },
            held: false,
            cause: stalled.then(|| "the history's file can't be written".to_owned()),
            next_probe_s: None,
            lag_samples,
            lag_s,
            live_lag_s: lag_s,
            backlog_samples: 0,
            drain_eta_s: None,
            samples_per_s: None,
            written: counts.stored,
            dead_lettered: 0,
            skipped: counts.skipped,
            shed,
            lost: 0,
            late: None,
            requests: None,
            dead_letters: None,
            unflushed_samples: Some(counts.held),
            bytes: Some(bytes),
            imbalance,
        }
    }

    pub fn of_influx(view: &View) -> SinkStatus {
        let ValveView { state, held, cause, next_probe, under_way, allowed, sent, failed } =
            view.valve.clone();
        let letters = view.letters;
        SinkStatus {
            name: view.name.clone(),
            kind: "influx",
            send: Some(if view.rollups.is_some() { "rollups" } else { "raw" }),
            rollup_window_s: view.rollups.map(seconds),
            breaker: state.as_str(),
            held,
            cause,
            next_probe_s: next_probe.map(seconds),
            lag_samples: view.lag_samples,
            lag_s: seconds(view.lag),
            live_lag_s: seconds(view.live_lag),
            backlog_samples: view.backlog_samples,
            drain_eta_s: view.drain_eta.map(seconds),
            samples_per_s: Some(round(view.samples_per_s)),
            written: view.counts.written,
            dead_lettered: view.counts.dead_lettered,
            skipped: view.counts.skipped,
            // Part of what it calls lost.
            shed: 0,
            lost: view.counts.lost,
            late: view.rollups.map(|_| view.counts.late),
            requests: Some(Requests { under_way, allowed, sent, failed }),
            dead_letters: Some(DeadLetters {
                letters: letters.letters,
                samples: letters.samples,
                bytes: letters.bytes,
                shed: letters.shed,
                dropped: letters.dropped,
                replayed: letters.replayed,
            }),
            // Those in open windows.
            unflushed_samples: view.rollups.map(|_| view.counts.open),
            bytes: None,
            imbalance: view.imbalance,
        }
    }

    /// Whether what comes piles up before it.
    pub fn is_behind(&self) -> bool {
        self.breaker != State::Closed.as_str() || self.lag_s > BEHIND.as_secs_f64()
    }

    /// As `/metrics` shows it.
    pub fn gauges(&self) -> SinkGauges {
        SinkGauges {
            lag_seconds: self.lag_s,
            live_lag_seconds: self.live_lag_s,
            lag_samples: self.lag_samples,
            breaker_state: match self.breaker {
                "closed" => 0,
                "open" => 1,
                _ => 2,
            },
            written: self.written,
            dead_lettered: self.dead_lettered,
            imbalance: self.imbalance,
            requests_failed: self.requests.as_ref().map_or(0, |requests| requests.failed),
            requests: self.requests.as_ref().map_or(0, |requests| requests.sent),
        }
    }
}
