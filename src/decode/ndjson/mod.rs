//! Readings as lines of JSON, for people with curl: `docs/http.md` has the format.
//!
//! A line enters whole or not at all; the good lines of a body enter although others don't.
//!
//! What JSON leaves open: an object that gives a key twice is refused, `null` is no value (a line
//! with nothing else is refused as empty), an unknown key of the line is refused because it is a
//! mistyped one, and a whole number beyond 64 bits is refused rather than rounded.

mod line;
mod write;

pub use write::readings;

use super::fault::FaultKind;
use super::{Gather, ReadingFault, Stamp};
use crate::model::Batch;
use crate::wire::{Limits, RefusalCode};
use thiserror::Error;

/// How many faulty lines are told one by one; those beyond are counted.
pub const LINE_FAULTS_MAX: usize = 100;

/// What a body of lines came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lines {
    /// The readings of the good lines. May be empty.
    pub batch: Batch,
    /// How many lines are in it.
    pub accepted: usize,
    /// The first [`LINE_FAULTS_MAX`] lines that are not.
    pub faults: Vec<LineFault>,
    /// How many lines are not, in all.
    pub refused: usize,
}

/// A line that did not enter.
#[derive(Debug, Clone, PartialEq)]
pub struct LineFault {
    /// Which; the first is 1.
    pub line: usize,
    /// Why.
    pub kind: LineFaultKind,
}

/// Why a line did not enter.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum LineFaultKind {
    /// It is no JSON object of the documented form.
    #[error("not a valid reading at column {column}: {what}")]
    Json {
        /// Where in the line, in bytes from 1.
        column: usize,
        /// What the JSON reader says.
        what: String,
    },
    /// `time` is neither RFC 3339 nor nanoseconds in 64 bits.
    #[error("time is neither RFC 3339 nor a whole number of nanoseconds")]
    Time,
    /// A value is an object or an array.
    #[error("{metric}: a value is a number, a string, true, false or null")]
    Value {
        /// Of which metric.
        metric: String,
    },
    /// A whole number needs more than 64 bits.
    #[error("{metric}: a whole number beyond 64 bits")]
    IntTooLarge {
        /// Of which metric.
        metric: String,
    },
    /// Not as the limits or the model want it.
    #[error(transparent)]
    Fault(#[from] ReadingFault),
}

impl LineFaultKind {
    /// What the client is told.
    #[must_use]
    pub fn code(&self) -> RefusalCode {
        match self {
            LineFaultKind::Json { .. } | LineFaultKind::Time => RefusalCode::Malformed,
            LineFaultKind::Value { .. } | LineFaultKind::IntTooLarge { .. } => {
                RefusalCode::BadShape
            }
            LineFaultKind::Fault(fault) => fault.kind.code(),
        }
    }
}

impl From<FaultKind> for LineFaultKind {
    fn from(kind: FaultKind) -> LineFaultKind {
        LineFaultKind::Fault(kind.into())
    }
}

/// Reads a body of lines, separated by `\n`; empty ones are passed over.
#[must_use]
pub fn ndjson(body: &[u8], limits: &Limits, stamp: &Stamp<'_>) -> Lines {
    let mut gather = Gather::new(limits);
    let mut lines = Lines::default();
    for (index, line) in body.split(|&byte| byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let entered = line::reading(line, limits, stamp)
            .and_then(|reading| Ok(gather.push(reading, stamp.received_at)?));
        match entered {
            Ok(()) => lines.accepted += 1,
            Err(kind) => {
                lines.refused += 1;
                if lines.faults.len() < LINE_FAULTS_MAX {
                    lines.faults.push(LineFault { line: index + 1, kind });
                }
            }
        }
    }
    lines.batch = gather.finish();
    lines
}

#[cfg(test)]
mod tests;
