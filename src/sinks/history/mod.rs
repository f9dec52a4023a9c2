//! The embedded history: a SQLite file of compressed column chunks.
//!
//! [`open`] gives one [`Writer`], for the follower that reads the spool, and a [`Reader`] that can be
//! cloned for everybody who asks. A sample goes
//!
//! ```text
//! write ─► head (memory) ── flush: cut by hours, encode ─► segments of level 0 ── compaction ─► 1, 2, 3
//!            └──────────────────────── query: merge ────────────────┘
//! ```
//!
//! Guarantees:
//! - Position and samples are committed in one transaction: each record of the spool counts once.
//! - Samples may come late, in any order, and twice: of equal (series, time) the last written counts.
//! - A metric may change its type; the values stay as they were sent, see [`Values`].
//! - Memory is bounded by [`Options::head_samples_max`]; a full disk makes [`crate::sinks::Sink::write`]
//!   refuse, and nothing is lost.
//! - A damaged chunk is found by its checksum, left out, and counted in the answer; a file that
//!   SQLite cannot read is moved aside and a new one begun.
//!
//! The rooms: `value`, `text` columns of values; `rows` rows in order of arrival and of time; `codec`, `shape`,
//! `chunk` bytes; `file` tables; `head`, `shared` memory; `cut`, `writer` flush; `compact`, `tidy`
//! upkeep; `query`, `buckets`, `walk`, `reader` answers. The format is for others too: `docs/history.md`.

mod buckets;
mod chunk;
mod codec;
mod compact;
mod cut;
mod file;
mod head;
mod numbers;
mod open;
mod query;
mod reader;
mod rows;
mod shape;
mod shared;
#[cfg(test)]
mod tests;
mod text;
mod tidy;
mod value;
mod walk;
mod writer;

pub use buckets::{BucketNumbers, Buckets};
pub(crate) use file::FORMAT;
pub use numbers::{Found, Numbers};
pub use open::{Opened, open, read_only};
pub use query::{Answer, Data, Query, QueryError, Shape};
pub use reader::{Counts, DeviceInfo, Reader, SeriesInfo, Stats};
pub use value::{Kind, Value, Values};
pub use walk::{Page, Walk};
pub use writer::Writer;

pub use super::SetAside;

use std::path::PathBuf;
use std::time::Duration;

/// In the ledger, and among the followers of the log.
pub const NAME: &str = "history";

/// How a history is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The file; SQLite keeps two more beside it. Its folder must exist.
    pub path: PathBuf,
    /// The spool that the positions are of.
    pub spool_id: u64,
    /// Samples older than this are deleted, a segment at a time.
    pub retention: Option<Duration>,
    /// When the file grows beyond this, the oldest samples are deleted.
    pub bytes_max: Option<u64>,
    /// How long samples stay in memory only; the spool keeps them meanwhile.
    pub flush_interval: Duration,
    /// Bound of the memory: with so many samples buffered a flush begins early. A row counts as one
    /// more, and eight bytes of new text as one. In the worst case twice as many are held, eight
    /// bytes each and as much again while they are encoded.
    pub head_samples_max: usize,
    /// How long after its end an hour counts as closed.
    pub compaction_grace: Duration,
}

impl Options {
    /// Flushed every five minutes: a restart replays no more than that, and a chunk of 300 samples
    /// compresses well enough until compaction.
    pub const FLUSH_INTERVAL: Duration = Duration::from_secs(300);
    /// 10,000 series at 1 Hz for the default interval, and a third more; 35 MB.
    pub const HEAD_SAMPLES_MAX: usize = 4_400_000;
    /// Two flush intervals: what came in time has been flushed then.
    pub const COMPACTION_GRACE: Duration = Duration::from_secs(600);

    /// The defaults for a file and a spool: nothing is ever deleted.
    #[must_use]
    pub fn new(path: PathBuf, spool_id: u64) -> Options {
        Options {
            path,
            spool_id,
            retention: None,
            bytes_max: None,
            flush_interval: Options::FLUSH_INTERVAL,
            head_samples_max: Options::HEAD_SAMPLES_MAX,
            compaction_grace: Options::COMPACTION_GRACE,
        }
    }
}

/// What is wrong with the history's file: a matter for the operator. The spool keeps what cannot be
/// written.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// SQLite could not do it: a full disk, missing rights, or a lock that another program holds.
    #[error("the history's file cannot be used")]
    Store(#[from] rusqlite::Error),
    /// The file can't be made, or a damaged one not moved out of the way.
    #[error("the history's file cannot be made, or a damaged one not set aside")]
    SetAside(#[from] std::io::Error),
    /// The file was made by a newer version.
    #[error("the history has format {found}, this program knows {known}")]
    Version {
        /// Of the file.
        found: i64,
        /// The newest known.
        known: i64,
    },
    /// There is a SQLite file under this name that is not ours.
    #[error("the file belongs to another application ({application:#x})")]
    Foreign {
        /// Its application id.
        application: i64,
    },
    /// The head is full and cannot be flushed.
    #[error("memory is full and the last flush failed")]
    Full,
}
