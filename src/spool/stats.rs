//! What the spool tells about itself.

use super::shed::Shed;
use crate::model::{Position, Timestamp};
use std::time::Duration;

/// Upper bounds of the buckets of [`SyncTimes`], in seconds; a last bucket takes what is longer. From
/// a disk with a power-safe cache (0.2 ms) to one that is dying.
pub const SYNC_BUCKETS: [f64; 12] =
    [0.000_25, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0];

/// How long `fdatasync` took, as a histogram.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct SyncTimes {
    /// How many there were.
    pub count: u64,
    /// How many failed; they are not in the histogram.
    pub failed: u64,
    /// All together.
    pub total: Duration,
    /// The longest.
    pub max: Duration,
    /// How many fell into each bucket of [`SYNC_BUCKETS`], not cumulative; the last = longer.
    pub buckets: [u64; SYNC_BUCKETS.len() + 1],
}

impl SyncTimes {
    pub(super) fn add(&mut self, took: Duration) {
        self.count += 1;
        self.total += took;
        self.max = self.max.max(took);
        self.buckets[SYNC_BUCKETS.partition_point(|&bound| bound < took.as_secs_f64())] += 1;
    }
}

/// The state of the spool at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Stats {
    /// Bytes of all segments.
    pub bytes: u64,
    /// Their cap.
    pub bytes_max: u64,
    /// How many segments.
    pub segments: usize,
    /// The lowest position that may still be held.
    pub first: Position,
    /// The position that the next batch will get; all below are published.
    pub next: Position,
    /// Samples in all batches ever published, in this and all earlier runs.
    pub samples: u64,
    /// When the oldest held segment was begun; `None` while no batch is held.
    pub oldest_at: Option<Timestamp>,
    /// Memory of the tail.
    pub tail_bytes: usize,
    /// Its cap.
    pub tail_bytes_max: usize,
    /// How long syncs took.
    pub sync: SyncTimes,
    /// Damaged extents found since the spool was opened, at opening and by followers, each once.
    pub damaged_extents: u64,
    /// Bytes in them.
    pub damaged_bytes: u64,
    /// Batches lost with them.
    pub damaged_records: u64,
    /// Samples lost with them, as far as known.
    pub damaged_samples: u64,
    /// What was given up because the spool was full, ever.
    pub shed: Shed,
    /// Segments given up since the spool was opened.
    pub shed_segments: u64,
    /// Everybody who follows or has followed, by name.
    pub followers: Vec<FollowerStats>,
}

/// Where one follower is.
#[derive(Debug, Clone, PartialEq)]
pub struct FollowerStats {
    /// Its name.
    pub name: String,
    /// The next position that it will read.
    pub position: Position,
    /// It needs nothing below this.
    pub committed: Position,
    /// Positions that it has yet to read.
    pub records_behind: u64,
    /// Samples that it has yet to read.
    pub samples_behind: u64,
    /// When the oldest batch that it has yet to read was received, or one read shortly before it;
    /// `None` if it has read everything.
    pub behind_since: Option<Timestamp>,
    /// Batches that it could not get because of damage, since it began to follow.
    pub records_lost: u64,
    /// Samples in them, as far as known.
    pub samples_lost: u64,
    /// Samples that it could not get because the spool was full and gave them up, since it began to
    /// follow.
    pub samples_shed: u64,
}
