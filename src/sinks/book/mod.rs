//! What the sinks must remember over a crash, in one SQLite file: how far each has come, what it
//! counted, and the dead letters of all.
//!
//! ```text
//!   a sink's round ── settle ──┐ one transaction:       ┌── ls, show, export ◄── administrator,
//!                              ├─► progress and counts  │                        dashboard
//!                              └─► dead letters ────────┼── drop
//!   a sink, again ◄─ to_replay ────────── marked ◄──────┴── replay
//!        └─ replayed ─► gone, or refused again
//! ```
//!
//! Everybody has a [`Book`] of his own, that is a connection: each sink, the web room, the command
//! line (another process). [`Book::changed`] tells that somebody else wrote.
//!
//! Guarantees:
//! - Progress, counts (of all, and of each client) and letters never disagree: a settlement is in the file as a whole or not at
//!   all, and on disk when [`Book::settle`] returns.
//! - Settled twice is settled once: [`Standing`] is absolute, and a letter is known by the spool, the
//!   position, and where in the batch it is from.
//! - Samples that ever became letters = held + shed + dropped + replayed, for each sink ([`Totals`]).
//! - Letters are bounded ([`Bounds`]): past the bounds the oldest are shed, and their samples counted.
//! - An id is never used for another letter.
//!
//! The rooms: `file` tables and opening; `settle` what a sink writes; `letters` what people and the
//! replay do with dead letters; `windows` what a sink of rollups remembers; `recount` what an audit
//! compares.

mod file;
mod letters;
mod recount;
mod settle;
#[cfg(test)]
mod tests;
mod windows;

pub(crate) use file::FORMAT;
pub use file::{Book, Opened};
pub use recount::Recounted;

use super::influx::fold::{Floor, Rules};
use super::influx::progress::Progress;
use crate::model::{Batch, Position, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// How much is kept of the letters of all sinks together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes that they take: readings, names, the server's words, and [`LETTER_BYTES`] for each.
    pub bytes_max: u64,
    /// Letters that were refused longer ago than this are shed; `None` = never.
    pub age_max: Option<Duration>,
}

impl Bounds {
    /// Of somebody who never settles.
    pub const NONE: Bounds = Bounds { bytes_max: u64::MAX, age_max: None };
}

/// What a letter takes in the file beside its content: its row, and its places in the indexes.
pub const LETTER_BYTES: u64 = 256;

/// How far a sink has come, and what became of the samples on the way. Absolute: told twice it is
/// the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The spool that the positions are of.
    pub spool_id: u64,
    /// Which positions are done.
    pub progress: Progress,
    /// What became of them.
    pub counts: Counts,
    /// The windows of a sink that gets rollups; `None` for one that gets every sample.
    pub windows: Option<OpenWindows>,
}

impl Standing {
    /// The log must be kept from here.
    #[must_use]
    pub fn keep_from(&self) -> Position {
        let windows = self.windows.as_ref().map(|windows| windows.keep_from);
        windows.unwrap_or_else(|| self.progress.first_undone())
    }
}

/// What makes the open windows anew: folded by these rules from there to the head of the progress,
/// the log gives what they were (`influx::fold`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenWindows {
    /// The first record that told of one of them, or the head.
    pub keep_from: Position,
    /// How they were folded.
    pub rules: Rules,
}

/// What a settlement brings beside the standing.
#[derive(Debug, Clone, Default)]
pub struct News {
    /// What was refused for good.
    pub letters: Vec<NewLetter>,
    /// What was closed of devices.
    pub floors: Vec<Floor>,
}

impl News {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.letters.is_empty() && self.floors.is_empty()
    }
}

/// Samples, since the sink began. Exact, because they change with the progress in one transaction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// In the log before the sink began.
    pub before: u64,
    /// Stored.
    pub written: u64,
    /// Refused for good, and put into dead letters. What becomes of those later is in [`Totals`].
    pub dead_lettered: u64,
    /// Not selected by the sink's filter, or not for stores.
    pub skipped: u64,
    /// Damaged in the log, or trimmed from it before the sink came to them.
    pub lost: u64,
    /// Came when their window was closed: no rollup tells of them.
    pub late: u64,
    /// In windows that are open, and so in no rollup that was written yet.
    pub open: u64,
}

impl Counts {
    /// All samples of the log below the head of the sink's progress, but for its gaps.
    #[must_use]
    pub fn accounted(&self) -> u64 {
        let Counts { before, written, dead_lettered, skipped, lost, late, open } = *self;
        before + written + dead_lettered + skipped + lost + late + open
    }
}

/// Readings of one table that a store refuses for good, on their way into the book.
#[derive(Debug, Clone)]
pub struct NewLetter {
    /// The record of the log. With `table`, `column`, `first_row`, the sink and the spool it names the
    /// letter.
    pub position: Position,
    /// The table, counted in its batch.
    pub table: u32,
    /// The first column of the measurement.
    pub column: u32,
    /// The first row.
    pub first_row: u32,
    /// When the batch came.
    pub received_at: Timestamp,
    /// By which protocol.
    pub protocol: String,
    /// From whom.
    pub client: String,
    /// The refused rows and columns, nothing else.
    pub batch: Batch,
    /// How many samples it stands for: those in it, or those that its rollups tell of.
    pub samples: u64,
    /// What the server said.
    pub words: Arc<str>,
}

/// A dead letter without its readings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Names it for ever.
    pub id: u64,
    /// Whose store refused it.
    pub sink: String,
    /// When it was refused last.
    pub refused_at: Timestamp,
    /// When its batch came.
    pub received_at: Timestamp,
    /// From whom.
    pub client: String,
    /// By which protocol.
    pub protocol: String,
    /// Whose readings they are.
    pub device: String,
    /// Of which metrics, each once.
    pub metrics: Vec<String>,
    /// How many samples.
    pub samples: u64,
    /// What the server said.
    pub reason: String,
    /// How often it was refused.
    pub attempts: u32,
    /// Whether it is to be sent again.
    pub replaying: bool,
}

/// A dead letter.
#[derive(Debug, Clone, PartialEq)]
pub struct Letter {
    /// All but the readings.
    pub summary: Summary,
    /// The readings, as they came.
    pub batch: Batch,
}

/// Which letters are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this sink's.
    pub sink: Option<String>,
}

/// Which letters are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// All of all sinks.
    All,
    /// All of one sink.
    Sink(String),
    /// Those with these ids; ids that do not exist mean nothing.
    Ids(Vec<u64>),
}

/// How many letters there are, and what became of those that were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Letters held now.
    pub letters: u64,
    /// Samples in them.
    pub samples: u64,
    /// Bytes that they take, as [`Bounds::bytes_max`] counts.
    pub bytes: u64,
    /// Samples ever shed, because the bounds were reached.
    pub shed: u64,
    /// Samples ever dropped by somebody.
    pub dropped: u64,
    /// Samples ever stored by a replay.
    pub replayed: u64,
}

/// What was shed to keep the bounds; worth a line in the log if there is any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[must_use = "what was shed is gone: somebody should be told"]
pub struct Shed {
    /// Letters.
    pub letters: u64,
    /// Samples in them.
    pub samples: u64,
}

/// What is wrong with the book: a matter for the operator.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// SQLite could not do it: a full disk, missing rights, or a lock that another program holds.
    #[error("the sinks' file cannot be used: {0}")]
    Store(#[from] rusqlite::Error),
    /// The file can't be made, or a damaged one not moved out of the way.
    #[error("the sinks' file cannot be made: {0}")]
    Make(#[from] std::io::Error),
    /// The file was made by another version.
    #[error("the sinks' file has format {found}, this program knows {known}")]
    Version {
        /// Of the file.
        found: i64,
        /// The one known.
        known: i64,
    },
    /// There is a SQLite file under this name that is not ours.
    #[error("the sinks' file belongs to another application ({application:#x})")]
    Foreign {
        /// Its application id.
        application: i64,
    },
    /// The readings of a letter can't be read back.
    #[error("the readings of dead letter {id} are damaged")]
    Damaged {
        /// Which.
        id: u64,
    },
}
