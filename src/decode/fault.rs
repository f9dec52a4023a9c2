//! What is wrong with a batch: for the client, in one sentence with the numbers.

use crate::model::{NANOS_PER_SECOND, NameError, Seq, ShapeError};
use crate::wire::{Place, RefusalCode};
use std::fmt;
use std::time::Duration;
use thiserror::Error;

/// Why a batch may not enter. The client must mend or drop it: the same bytes will be refused again.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// Its seq, or 0 if it could not be read so far.
    pub seq: Seq,
    /// Where the fault is, as far as it is in one place.
    pub at: Place,
    /// What it is.
    pub kind: FaultKind,
}

impl Fault {
    /// What the client is told.
    #[must_use]
    pub fn code(&self) -> RefusalCode {
        self.kind.code()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at == Place::default() {
            true => self.kind.fmt(f),
            false => write!(f, "{}: {}", self.at, self.kind),
        }
    }
}

impl std::error::Error for Fault {}

/// What is counted against a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Tables of a batch.
    Tables,
    /// Columns of a table.
    Columns,
    /// Rows of a table.
    Rows,
    /// Entries of all columns of a batch.
    Samples,
    /// Tags of a table.
    Tags,
    /// Bytes of the names of a batch, each counted as often as it is needed.
    NameBytes,
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Counted::Tables => "tables",
            Counted::Columns => "columns",
            Counted::Rows => "rows",
            Counted::Samples => "samples",
            Counted::Tags => "tags",
            Counted::NameBytes => "bytes of names",
        })
    }
}

/// Whose name is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// The device.
    Device,
    /// The metric of a column.
    Metric,
    /// The unit of a column.
    Unit,
    /// The key of a tag.
    TagKey,
    /// The value of a tag.
    TagValue,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Named::Device => "device",
            Named::Metric => "metric",
            Named::Unit => "unit",
            Named::TagKey => "tag key",
            Named::TagValue => "tag value",
        })
    }
}

/// The kinds of faults.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum FaultKind {
    /// Not protobuf, or not of the contract's types, or a string that is not UTF-8.
    #[error("not a valid protobuf Batch")]
    Malformed,
    /// More of something than the limits allow.
    #[error("more {what} than the {max} allowed")]
    TooMany {
        /// Of what.
        what: Counted,
        /// The limit.
        max: usize,
    },
    /// A name can't be one.
    #[error("{of}: {error}")]
    Name {
        /// Whose.
        of: Named,
        /// Why.
        error: NameError,
    },
    /// A tag key is given twice.
    #[error("a tag key is given twice")]
    DuplicateTag,
    /// Two arrays of a column are filled.
    #[error("a column has values of more than one type")]
    MixedTypes,
    /// No array of a column is filled.
    #[error("a column has no values")]
    NoValues,
    /// A column has more entries than its table has rows.
    #[error("the column has more entries than its table's {rows} rows")]
    TooManyEntries {
        /// Rows of the table.
        rows: usize,
    },
    /// A column or its bitmap does not fit its table.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A decimal column has more decimal places than there can be.
    #[error("a scale of {scale}, {SCALE_MAX} is the largest")]
    Scale {
        /// As sent.
        scale: u32,
    },
    /// The changes of a column add up beyond 64 bits.
    #[error("the changes add up to more than 64 bits hold")]
    Overflow,
    /// NaN or infinity.
    #[error("the value is not a finite number")]
    NotFinite,
    /// A text value is too long.
    #[error("the text has {bytes} bytes, {max} are allowed")]
    TextTooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A row is older than allowed.
    #[error("the time is {} older than its receipt, {} are allowed", Span(*.by), Span(*.max))]
    TooOld {
        /// How much older than the receipt.
        by: Duration,
        /// The limit.
        max: Duration,
    },
    /// A row is too far in the future.
    #[error("the time is {} ahead of its receipt, {} are allowed", Span(*.by), Span(*.max))]
    TooFarAhead {
        /// How much ahead of the receipt.
        by: Duration,
        /// The limit.
        max: Duration,
    },
    /// `clock` has a number that this version doesn't know.
    #[error("clock {clock} is not known")]
    UnknownClock {
        /// As sent.
        clock: i32,
    },
    /// `keep` of a table has a number that this version doesn't know.
    #[error("keep {keep} is not known")]
    UnknownKeep {
        /// As sent.
        keep: i32,
    },
    /// Times count since the client's boot, but it did not tell its clock.
    #[error("the times count since boot, but no Hello.boot_time told when that was")]
    UnknownBoot,
    /// No samples in it.
    #[error("the batch has no samples")]
    Empty,
}

/// The largest scale of decimals: 10^18 is the largest power of ten in 64 bits.
pub const SCALE_MAX: u32 = 18;

impl FaultKind {
    /// What the client is told.
    #[must_use]
    pub fn code(&self) -> RefusalCode {
        match self {
            FaultKind::Malformed
            | FaultKind::UnknownClock { .. }
            | FaultKind::UnknownKeep { .. }
            | FaultKind::UnknownBoot => RefusalCode::Malformed,
            FaultKind::TooMany { .. } | FaultKind::Shape(ShapeError::TooLarge) => {
                RefusalCode::LimitExceeded
            }
            FaultKind::Name { .. } | FaultKind::DuplicateTag => RefusalCode::BadName,
            FaultKind::MixedTypes
            | FaultKind::NoValues
            | FaultKind::TooManyEntries { .. }
            | FaultKind::Shape(_)
            | FaultKind::Scale { .. }
            | FaultKind::Overflow => RefusalCode::BadShape,
            FaultKind::NotFinite => RefusalCode::NotFinite,
            FaultKind::TextTooLong { .. } => RefusalCode::TextTooLong,
            FaultKind::TooOld { .. } => RefusalCode::TimeTooOld,
            FaultKind::TooFarAhead { .. } => RefusalCode::TimeTooFarAhead,
            FaultKind::Empty => RefusalCode::Empty,
        }
    }
}

/// A duration as people say it: in days, hours, minutes or seconds, whichever fits.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAY: u64 = 24 * 3600;
        match self.0.as_secs() {
            secs @ DAY.. => write!(f, "{} days", secs / DAY),
            secs @ 3600.. => write!(f, "{} hours", secs / 3600),
            secs @ 120.. => write!(f, "{} minutes", secs / 60),
            _ => write!(f, "{:.3} s", self.0.as_secs_f64()),
        }
    }
}

/// How far apart two instants are.
pub(super) fn distance(a: i64, b: i64) -> Duration {
    let nanos = a.abs_diff(b);
    let second = NANOS_PER_SECOND.unsigned_abs();
    Duration::new(nanos / second, u32::try_from(nanos % second).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_reads_as_a_sentence_with_its_numbers() {
        let second = Duration::from_secs(1);
        let kind = FaultKind::TooFarAhead { by: second * 86_400 * 63_000, max: second * 300 };
        let at = Place { table: Some(0), column: None, row: Some(3) };
        assert_eq!(
            Fault { seq: 7, at, kind }.to_string(),
            "table 0, row 3: the time is 63000 days ahead of its receipt, 5 minutes are allowed"
        );
        let kind = FaultKind::TooMany { what: Counted::Columns, max: 1024 };
        let fault = Fault { seq: 0, at: Place::default(), kind };
        assert_eq!(fault.to_string(), "more columns than the 1024 allowed");
    }
}
