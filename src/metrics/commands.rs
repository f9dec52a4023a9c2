//! The metrics of commands.

use super::add;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    via: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByState {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: &'static str,
}

/// Why what a device said of a command, or of what it is set to, was passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignored {
    /// No answer is awaited of it: there is no such command, or it was answered already.
    Unknown,
    /// It was not handed to this client.
    Foreign,
    /// It is longer than a message may be.
    TooLarge,
}

/// All of them.
pub struct Commands {
    over: Family<ByOutcome, Counter>,
    open: Family<ByState, Gauge>,
    ignored: Family<ByReason, Counter>,
    answer_seconds: Histogram,
    desired_pending: Gauge,
}

impl Commands {
    pub(super) fn new(r: &mut Registry) -> Commands {
        let answer_seconds = Histogram::new(exponential_buckets(0.001, 4.0, 10));
        r.register(
            "command_answer_seconds",
            "Time from handing a command over to its answer",
            answer_seconds.clone(),
        );
        Commands {
            over: add(r, "commands", "Commands that are over, by way and outcome"),
            open: add(r, "commands_open", "Commands that are not over, by state"),
            ignored: add(
                r,
                "command_results_ignored",
                "Answers and reports of devices that nobody waited for, by reason",
            ),
            answer_seconds,
            desired_pending: add(
                r,
                "desired_pending",
                "Devices that have not reported the desired version",
            ),
        }
    }

    /// A command is over; `took` if its device answered.
    pub fn over(&self, via: &'static str, outcome: &'static str, took: Option<Duration>) {
        self.over.get_or_create(&ByOutcome { via, outcome }).inc();
        if let Some(took) = took {
            self.answer_seconds.observe(took.as_secs_f64());
        }
    }

    /// Something a device said was passed over.
    pub fn ignored(&self, why: Ignored) {
        let reason = match why {
            Ignored::Unknown => "unknown",
            Ignored::Foreign => "foreign",
            Ignored::TooLarge => "too_large",
        };
        self.ignored.get_or_create(&ByReason { reason }).inc();
    }

    /// How many are open now.
    pub fn set_open(&self, queued: i64, sent: i64, desired_pending: i64) {
        self.open.get_or_create(&ByState { state: "queued" }).set(queued);
        self.open.get_or_create(&ByState { state: "sent" }).set(sent);
        self.desired_pending.set(desired_pending);
    }
}
