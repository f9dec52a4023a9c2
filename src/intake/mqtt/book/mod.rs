//! What the bridges remember over a restart, in one SQLite file: messages that no route understood, and
//! what Sparkplug nodes said at their birth.
//!
//! ```text
//!   a bridge ── put ──┐                         ┌── ls, show ◄── administrator, dashboard
//!            remember ┼─► Round ── write ──► mqtt.db ── drop
//!            replayed ┘  (one transaction)      └── replay ──► marked ──► to_replay ──► the bridge, again
//! ```
//!
//! Everybody has a [`Book`] of his own, that is a connection: the quarantine's thread, the web room, the
//! command line (another process). [`Book::changed`] tells that somebody else wrote.
//!
//! Guarantees:
//! - A round is in the file as a whole or not at all, and once however often it is written.
//! - Messages that ever came = held + missed + shed + dropped + understood, for each bridge
//!   ([`Totals`]).
//! - What is held is bounded ([`Bounds`], [`TOPIC_MESSAGES_MAX`], [`TOPICS_MAX`],
//!   [`REMEMBERED_BYTES_MAX`]). The oldest messages are shed, but the newest of each topic last: it is
//!   the example by which a person makes a route.
//! - An id is never used for another message.
//! - A crash of the process loses no round that was written; a power cut may lose the newest ones, but
//!   damages nothing. That is enough for messages, which are in no ledger of samples: the disk's time
//!   belongs to the spool. A round with births is on disk when it is written.
//!
//! The rooms: `file` tables and opening; `write` rounds and bounds; `people` what people and the replay
//! do with messages; `topic` which topics a filter means.

mod file;
mod people;
#[cfg(test)]
mod tests;
mod topic;
mod write;

pub(crate) use file::FORMAT;
pub use file::{Book, Opened};
pub use topic::fits;

use crate::model::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// How much is kept of the messages of all bridges together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// So many messages.
    pub messages_max: u64,
    /// Bytes that they take: payloads, names, reasons, and [`MESSAGE_BYTES`] for each.
    pub bytes_max: u64,
    /// Messages that came longer ago than this are shed; `None` = never.
    pub age_max: Option<Duration>,
}

impl Bounds {
    /// Of somebody who writes no rounds.
    pub const NONE: Bounds = Bounds { messages_max: u64::MAX, bytes_max: u64::MAX, age_max: None };
}

/// Of a longer payload only the beginning is kept, and the message cannot be replayed.
pub const PAYLOAD_BYTES_MAX: usize = 64 << 10;
/// Messages kept of one topic.
pub const TOPIC_MESSAGES_MAX: usize = 20;
/// Topics with counts of their own; those seen longest ago are forgotten first, and their counts go
/// on in the totals only.
pub const TOPICS_MAX: usize = 1000;
/// What a message takes in the file beside its content: its row, and its places in the indexes.
pub const MESSAGE_BYTES: u64 = 256;
/// Births of Sparkplug nodes, of all bridges; those written longest ago are forgotten first.
pub const REMEMBERED_BYTES_MAX: u64 = 64 << 20;

/// A message that was not understood, on its way into the book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The `name` of its `[[intake.mqtt]]`.
    pub bridge: Arc<str>,
    /// Its topic.
    pub topic: String,
    /// Its payload; of a longer one than [`PAYLOAD_BYTES_MAX`] only the beginning is kept.
    pub payload: Vec<u8>,
    /// The length of the payload as it came.
    pub bytes: u64,
    /// As it was delivered: 0, 1 or 2.
    pub qos: u8,
    /// Whether the broker had retained it.
    pub retained: bool,
    /// When it came.
    pub received_at: Timestamp,
    /// What the publisher says that it is (MQTT 5).
    pub content_type: Option<String>,
    /// The publisher's user properties (MQTT 5).
    pub properties: Vec<(String, String)>,
    /// Why it was not understood: a sentence for the administrator.
    pub reason: String,
    /// The same for programs: the name of a refusal code.
    pub code: &'static str,
}

impl Quarantined {
    /// What it takes, as [`Bounds::bytes_max`] counts.
    #[must_use]
    pub fn cost(&self) -> u64 {
        let properties: usize = self.properties.iter().map(|(k, v)| k.len() + v.len() + 6).sum();
        let content_type = self.content_type.as_ref().map_or(0, String::len);
        let content = self.payload.len() + self.topic.len() + self.reason.len() + content_type;
        MESSAGE_BYTES + (content + properties) as u64
    }
}

/// What is written at once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Round {
    /// Names the round: written again with the same number it changes nothing.
    pub number: u64,
    /// All messages that came, counted, and of each topic the last that came.
    pub seen: Vec<Seen>,
    /// Messages of further topics, per bridge: too many topics at once to count each.
    pub others: Vec<(Arc<str>, u64)>,
    /// Those of the messages that are to be kept, in the order in which they came.
    pub messages: Vec<Quarantined>,
    /// What became of replayed messages.
    pub replayed: Vec<(u64, Outcome)>,
    /// What is to be remembered of Sparkplug nodes; `None` = nothing any more.
    pub remember: Vec<Remember>,
}

/// What came on a topic since the last round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Whose topic.
    pub bridge: Arc<str>,
    /// The topic.
    pub topic: String,
    /// Messages.
    pub count: u64,
    /// When the first came.
    pub first: Timestamp,
    /// When the last came.
    pub last: Timestamp,
    /// Why the last was not understood.
    pub reason: String,
    /// The same for programs.
    pub code: &'static str,
}

/// What is to be remembered of a Sparkplug node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remember {
    /// Whose node.
    pub bridge: Arc<str>,
    /// Its name.
    pub node: String,
    /// What it said at its birth; `None` = forget it.
    pub birth: Option<Vec<u8>>,
}

/// What became of a replayed message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A route understood it, and its readings are durable: it is deleted.
    Understood,
    /// Still none does.
    Refused {
        /// Why: a sentence.
        reason: String,
        /// The same for programs.
        code: &'static str,
    },
}

/// A message in quarantine, without its whole payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Names it for ever.
    pub id: u64,
    /// Whose message.
    pub bridge: String,
    /// Its topic.
    pub topic: String,
    /// The first [`EXCERPT_BYTES`] of the payload.
    pub excerpt: Vec<u8>,
    /// Length of the payload as it came.
    pub bytes: u64,
    /// Length of what is kept of it.
    pub kept: u64,
    /// As it was delivered.
    pub qos: u8,
    /// Whether the broker had retained it.
    pub retained: bool,
    /// When it came.
    pub received_at: Timestamp,
    /// What the publisher says that it is.
    pub content_type: Option<String>,
    /// The publisher's user properties.
    pub properties: Vec<(String, String)>,
    /// Why it was not understood.
    pub reason: String,
    /// The same for programs.
    pub code: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Whether it is to be tried again.
    pub replaying: bool,
}

/// What a list shows of a payload.
pub const EXCERPT_BYTES: usize = 256;

impl Summary {
    /// Whether all of the payload is kept, so that it can be tried again.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.kept == self.bytes
    }
}

/// A message in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// All but the payload.
    pub summary: Summary,
    /// What is kept of the payload.
    pub payload: Vec<u8>,
}

/// A topic on which came what was not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Whose topic.
    pub bridge: String,
    /// The topic.
    pub topic: String,
    /// Messages since the topic is known here, whether or not they were kept.
    pub count: u64,
    /// When the first of them came.
    pub first_seen: Timestamp,
    /// When the last of them came.
    pub last_seen: Timestamp,
    /// Why the last was not understood.
    pub reason: String,
    /// The same for programs.
    pub code: String,
    /// Messages kept of it.
    pub held: u64,
    /// The newest of these.
    pub example: Option<u64>,
}

/// Which messages are meant: all that meet every condition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this bridge's.
    pub bridge: Option<String>,
    /// Only those on topics that fit this; `+` and `#` as in MQTT.
    pub topic: Option<String>,
}

/// Which messages something is done with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// Those that a filter lets through; the empty filter means all.
    Fitting(Filter),
    /// Those with these ids; ids that do not exist mean nothing.
    Ids(Vec<u64>),
}

/// What [`Book::replay`] found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marked {
    /// Messages that are to be tried again.
    pub messages: u64,
    /// Messages that cannot be: only the beginning of their payload is kept.
    pub cut: u64,
}

/// How many messages there are, and what became of those that were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Messages that ever came and were not understood.
    pub came: u64,
    /// Messages held now.
    pub held: u64,
    /// Bytes that they take, as [`Bounds::bytes_max`] counts.
    pub bytes: u64,
    /// Never kept: too many came at once.
    pub missed: u64,
    /// Ever shed, because the bounds were reached.
    pub shed: u64,
    /// Ever dropped by somebody.
    pub dropped: u64,
    /// Ever understood when they were replayed.
    pub understood: u64,
    /// Topics with counts of their own.
    pub topics: u64,
}

/// What is wrong with the book: a matter for the operator.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// SQLite could not do it: a full disk, missing rights, or a lock that another program holds.
    #[error("the bridges' file cannot be used: {0}")]
    Store(#[from] rusqlite::Error),
    /// The file can't be made, or a damaged one not moved out of the way.
    #[error("the bridges' file cannot be made: {0}")]
    Make(#[from] std::io::Error),
    /// The file was made by another version.
    #[error("the bridges' file has format {found}, this program knows {known}")]
    Version {
        /// Of the file.
        found: i64,
        /// The one known.
        known: i64,
    },
    /// There is a SQLite file under this name that is not ours.
    #[error("the bridges' file belongs to another application ({application:#x})")]
    Foreign {
        /// Its application id.
        application: i64,
    },
    /// The payload of a message can't be read back.
    #[error("the payload of message {id} is damaged")]
    Damaged {
        /// Which.
        id: u64,
    },
}
