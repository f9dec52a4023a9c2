//! What a host makes of what it is told: the words between it and who owns the connection.

use super::Puzzle;
use crate::decode::Reading;
use crate::model::Timestamp;
use std::fmt;
use std::sync::Arc;

/// How many refusals of one message are explained; the others are only counted.
pub const REFUSALS_MAX: usize = 16;

/// What came of a message, of the passing of time, or of a lost broker.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Heard {
    /// What was measured, in the order in which the nodes said it. They keep the host's limits.
    pub readings: Vec<HeardReading>,
    /// Devices that came or went. Each is also a reading of the `online` metric.
    pub presence: Vec<Presence>,
    /// What is to be done at the broker, in this order.
    pub acts: Vec<Act>,
    /// Nodes whose tables changed: keep [`Host::remember`](super::Host::remember), or forget the
    /// node if that is `None`.
    pub remember: Vec<NodeId>,
    /// Metrics that did not become readings, and why; at most [`REFUSALS_MAX`].
    pub refusals: Vec<Puzzle>,
    /// How many did not.
    pub refused: usize,
}

impl Heard {
    /// Whether nothing came of it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Heard::default()
    }

    pub(super) fn refuse(&mut self, puzzle: Puzzle) {
        self.refused += 1;
        if self.refusals.len() < REFUSALS_MAX {
            self.refusals.push(puzzle);
        }
    }
}

/// A reading and when it came.
#[derive(Debug, Clone, PartialEq)]
pub struct HeardReading {
    /// What one device measured at one time. `is_historical` makes it one for stores only,
    /// `is_transient` one for viewers only.
    pub reading: Reading<'static>,
    /// When the message that told it was received.
    pub received_at: Timestamp,
}

/// A device that came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// Its name.
    pub device: Arc<str>,
    /// Whether it is here now.
    pub online: bool,
    /// When we learnt it, by our clock.
    pub at: Timestamp,
}

/// Something to be done at the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Publish a message.
    Publish {
        /// Its topic.
        topic: String,
        /// Its payload.
        payload: Vec<u8>,
        /// Its quality of service.
        qos: u8,
        /// Whether the broker keeps it.
        retain: bool,
    },
    /// Subscribe, and wait for the broker's word before the next act.
    Subscribe {
        /// To what.
        filter: String,
        /// The highest quality of service wanted.
        qos: u8,
    },
}

/// A message that the broker publishes when we are gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Will {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
    /// Its quality of service.
    pub qos: u8,
    /// Whether the broker keeps it.
    pub retain: bool,
}

/// Names an edge node: two of different groups may have the same id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    /// Its group.
    pub group: Arc<str>,
    /// Its id in the group.
    pub node: Arc<str>,
}

impl fmt::Display for NodeId {
    /// `group/node`; neither has a slash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.group, self.node)
    }
}

/// How a host stands: for status and counters. Counts go up only, except the first six.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Nodes known.
    pub nodes: usize,
    /// Nodes that are online.
    pub nodes_online: usize,
    /// Devices known, nodes not counted.
    pub devices: usize,
    /// Devices that are online.
    pub devices_online: usize,
    /// Metrics in all tables.
    pub metrics: usize,
    /// Bytes of all tables and of messages that wait.
    pub memory_bytes: usize,
    /// Births taken, of nodes and devices.
    pub births: u64,
    /// Deaths taken, of nodes and devices.
    pub deaths: u64,
    /// Deaths of a session that was over already.
    pub stale_deaths: u64,
    /// Rebirths asked for.
    pub rebirth_requests: u64,
    /// Messages that came before one that was sent earlier, and waited for it.
    pub held: u64,
    /// Messages that never came, as far as the numbers tell.
    pub lost: u64,
    /// Messages that could not be used: of unknown nodes, after a gap, in a full buffer.
    pub dropped: u64,
    /// Metrics that did not become readings.
    pub refused: u64,
}
