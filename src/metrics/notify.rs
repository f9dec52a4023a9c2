//! The metrics of notifications: counted by the channels themselves, set when somebody looks.

use super::{add, clamp};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::atomic::Ordering;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    channel: String,
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByChannel {
    channel: String,
    kind: &'static str,
}

/// How a channel is; see the help texts of the metrics.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "each is registered below with its help text")]
pub struct ChannelGauges {
    pub delivered: u64,
    pub failed: u64,
    pub dead_lettered: u64,
    pub dead_letters: u64,
    pub pending_events: u64,
    pub silenced: u64,
    pub missed: u64,
    pub is_failing: bool,
}

/// All of them.
pub struct Channels {
    notifications: Family<ByOutcome, Counter>,
    events_pending: Family<ByChannel, Gauge>,
    dead_letters: Family<ByChannel, Gauge>,
    silenced: Family<ByChannel, Counter>,
    missed: Family<ByChannel, Counter>,
    failing: Family<ByChannel, Gauge>,
}

impl Channels {
    pub(super) fn new(r: &mut Registry) -> Channels {
        Channels {
            notifications: add(
                r,
                "notifications",
                "Attempts to deliver a message: delivered, failed; and messages given up: dead_lettered",
            ),
            events_pending: add(
                r,
                "notification_events_pending",
                "Events of alerts that a channel has not been told yet",
            ),
            dead_letters: add(
                r,
                "notification_dead_letters",
                "Messages that were given up and are kept",
            ),
            silenced: add(
                r,
                "notification_events_silenced",
                "Events that a silence kept back from a channel",
            ),
            missed: add(
                r,
                "notification_events_missed",
                "Events that the journal of alerts gave up before a channel was told",
            ),
            failing: add(r, "notification_failing", "1 if the last attempt of a channel failed"),
        }
    }

    /// There is no such channel any more.
    pub fn forget(&self, channel: &str, kind: &'static str) {
        let by = ByChannel { channel: channel.to_owned(), kind };
        for family in [&self.events_pending, &self.dead_letters, &self.failing] {
            family.remove(&by);
        }
        for family in [&self.silenced, &self.missed] {
            family.remove(&by);
        }
        for outcome in ["delivered", "failed", "dead_lettered"] {
            let by = ByOutcome { channel: channel.to_owned(), kind, outcome };
            self.notifications.remove(&by);
        }
    }

    /// How a channel is.
    pub fn set(&self, channel: &str, kind: &'static str, is: ChannelGauges) {
        let by = ByChannel { channel: channel.to_owned(), kind };
        self.events_pending.get_or_create(&by).set(clamp(is.pending_events));
        self.dead_letters.get_or_create(&by).set(clamp(is.dead_letters));
        self.failing.get_or_create(&by).set(i64::from(is.is_failing));
        for (counter, count) in [(&self.silenced, is.silenced), (&self.missed, is.missed)] {
            counter.get_or_create(&by).inner().store(count, Ordering::Relaxed);
        }
        let outcomes = [
            ("delivered", is.delivered),
            ("failed", is.failed),
            ("dead_lettered", is.dead_lettered),
        ];
        for (outcome, count) in outcomes {
            let by = ByOutcome { channel: channel.to_owned(), kind, outcome };
            self.notifications.get_or_create(&by).inner().store(count, Ordering::Relaxed);
        }
    }
}
