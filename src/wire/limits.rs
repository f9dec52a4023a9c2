//! The caps that a message must keep. They apply while it is read, never after.

use crate::model::NAME_BYTES_MAX;
use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// A gateway's frame of 10,000 samples has 10 to 30 KiB compressed: this leaves room for a hundred.
pub const MESSAGE_BYTES: usize = MIB;
/// Bounds what one message can make us hold while it is read.
pub const INFLATED_BYTES: usize = 16 * MIB;
/// Believable telemetry compresses 3 to 60 fold; a bomb a thousandfold.
pub const INFLATED_RATIO: usize = 200;
/// Devices that one gateway reports at once, or what an agent sends of many: ten thousand lines, each of another
/// series. A table costs a hundred bytes and its names, which lie in the message.
pub const TABLES: usize = 16_384;
/// Metrics of one device.
pub const COLUMNS: usize = 1024;
/// Readings of one device that it kept while it was cut off: 18 hours at 1 Hz.
pub const ROWS: usize = 65_536;
/// Bounds the memory of a decoded batch.
pub const SAMPLES: usize = 1_000_000;
/// Names are for people; longer ones are mistakes.
pub const NAME_BYTES: usize = 128;
/// A state or a message, not a document.
pub const TEXT_BYTES: usize = 4096;
/// Tags of one table.
pub const TAGS: usize = 16;
/// Ten years: a device that kept readings for long may still deliver them, one that believes it is
/// 1970 is told so.
pub const MAX_AGE: Duration = Duration::from_secs(3650 * 24 * 3600);
/// A clock that is a little fast does no harm; the live windows must not be moved by more.
pub const MAX_AHEAD: Duration = Duration::from_secs(5 * 60);

/// The caps that a message must keep; they are told to every client in its Welcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a message as sent.
    pub message_bytes: usize,
    /// Bytes of a message after decompression.
    pub inflated_bytes: usize,
    /// Inflated bytes per byte sent; applies above [`RATIO_FREE_BYTES`](super::RATIO_FREE_BYTES)
    /// inflated.
    pub inflated_ratio: usize,
    /// Tables in a batch.
    pub tables: usize,
    /// Columns in a table.
    pub columns: usize,
    /// Rows in a table.
    pub rows: usize,
    /// Entries of all columns in a batch, absent ones included, because they cost the same memory.
    pub samples: usize,
    /// Bytes of a device, metric, tag key, tag value or unit; at most [`NAME_BYTES_MAX`].
    pub name_bytes: usize,
    /// Bytes of a text value.
    pub text_bytes: usize,
    /// Tags of a table.
    pub tags: usize,
    /// How much older than its receipt a sample may be.
    pub max_age: Duration,
    /// How much ahead of its receipt a sample may be.
    pub max_ahead: Duration,
}

impl Limits {
    /// No caps but those that the formats themselves have: for reading back what was admitted under
    /// limits that may have been tightened since.
    pub const READ_BACK: Limits = Limits {
        message_bytes: usize::MAX,
        inflated_bytes: usize::MAX,
        inflated_ratio: usize::MAX,
        tables: usize::MAX,
        columns: usize::MAX,
        rows: usize::MAX,
        samples: usize::MAX,
        name_bytes: NAME_BYTES_MAX,
        text_bytes: usize::MAX,
        tags: usize::MAX,
        max_age: Duration::MAX,
        max_ahead: Duration::MAX,
    };

    /// The most bytes that a message of `sent` bytes may inflate to.
    pub(super) fn inflated_max(&self, sent: usize) -> usize {
        let by_ratio = sent.saturating_mul(self.inflated_ratio).max(super::RATIO_FREE_BYTES);
        by_ratio.min(self.inflated_bytes)
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            message_bytes: MESSAGE_BYTES,
            inflated_bytes: INFLATED_BYTES,
            inflated_ratio: INFLATED_RATIO,
            tables: TABLES,
            columns: COLUMNS,
            rows: ROWS,
            samples: SAMPLES,
            name_bytes: NAME_BYTES,
            text_bytes: TEXT_BYTES,
            tags: TAGS,
            max_age: MAX_AGE,
            max_ahead: MAX_AHEAD,
        }
    }
}
