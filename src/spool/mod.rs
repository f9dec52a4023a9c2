//! The spool: the log on disk through which every batch goes, and from which followers read.
//!
//! ```text
//!   gate ── append ──► group in memory ── commit ──► segment file, one write, one fdatasync
//!                                             │
//!                                             ├──► tail (bounded, in memory) ──► followers that keep up
//!                                             └──► segment files ──────────────► followers that lag
//! ```
//!
//! [`open`] gives the one [`Writer`], which the gate's thread owns, and the [`Spool`], a cheap handle
//! from which anybody may [follow](Spool::follow). The floors below know only what is under them:
//! `format` (bytes) → `reader` (a segment, with its damage) → `directory` (names, lock, what is set
//! aside) → `segment` (the file being written) → `writer` (doors) and
//! `commit` (what they do to the disk), `recovery`, `follower`.
//!
//! What a crash, a full disk or a bad disk does to it is told in `docs/spool.md`.

mod commit;
mod directory;
mod disk;
mod error;
mod follower;
pub mod format;
mod inspect;
mod reader;
mod record;
mod recovery;
mod reserve;
mod segment;
mod shared;
mod shed;
mod stats;
mod tail;
#[cfg(test)]
mod tests;
mod writer;

pub use crate::model::Protocol;
pub use error::SpoolError;
pub use follower::{Follower, Next};
pub use inspect::{Inspection, SegmentSummary, list, lock, scan, verify, versions};
pub use reader::{Bounds, Cause, Extent, Reader, Source, Step};
pub use record::{Decode, Entry, Kind, Record};
pub use recovery::{Recovery, open};
pub use shared::Spool;
pub use shed::Shed;
pub use stats::{FollowerStats, SYNC_BUCKETS, Stats, SyncTimes};
pub use writer::Writer;

use std::path::PathBuf;
use std::time::Duration;

/// Size at which a segment is finished. Large enough that its opening checkpoint is noise, small
/// enough that trimming gives space back in slices and a restart folds little.
pub const SEGMENT_BYTES: u64 = 64 << 20;
/// Cap of all segments together.
pub const BYTES_MAX: u64 = 8 << 30;
/// Memory for decoded entries that followers have yet to read: a few seconds of a busy gateway.
pub const TAIL_BYTES: usize = 32 << 20;
/// Kept aside for the shutdown's checkpoint on a full disk.
pub const RESERVE_BYTES: u64 = 8 << 20;

/// How the spool is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where its files are; made if it does not exist.
    pub dir: PathBuf,
    /// Size at which a segment is finished. Taken as at most a quarter of `bytes_max`, so that a
    /// full spool always has finished segments that trimming can free.
    pub segment_bytes: u64,
    /// Cap of all segments together.
    pub bytes_max: u64,
    /// What happens to what would take it past the cap.
    pub when_full: WhenFull,
    /// When a commit counts as done.
    pub durability: Durability,
    /// Cap of the memory for decoded entries that followers have yet to read.
    pub tail_bytes: usize,
    /// Disk space kept aside for a clean shutdown; 0 = none.
    pub reserve_bytes: u64,
}

impl Options {
    /// The defaults, in this directory.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Options {
        Options {
            dir: dir.into(),
            segment_bytes: SEGMENT_BYTES,
            bytes_max: BYTES_MAX,
            when_full: WhenFull::Refuse,
            durability: Durability::Group,
            tail_bytes: TAIL_BYTES,
            reserve_bytes: RESERVE_BYTES,
        }
    }
}

/// What happens when a batch would take the spool past its cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// It is [`SpoolError::Full`]: nothing that was acknowledged is given up.
    Refuse,
    /// The oldest segment is given up, whoever needs it, and counted.
    ShedOldest,
}

/// When a commit counts as done, and what a loss of power may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// After `fdatasync` of the group. A loss of power takes nothing that was committed.
    Group,
    /// After the write; `fdatasync` at most this much later. A loss of power takes up to that much.
    Interval(Duration),
    /// After the write; the kernel syncs when it likes. A crash of the daemon alone takes nothing.
    Os,
}
