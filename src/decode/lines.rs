//! What is common to bodies of lines, of whatever form: a line enters whole or not at all, and the good
//! ones enter although others don't.

use super::fault::{Counted, FaultKind};
use super::{Gather, Reading, ReadingFault};
use crate::model::{Batch, Reach, Timestamp};
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
    /// Lines are not in it because a batch can take no more.
    pub full: Option<FaultKind>,
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
    /// It is no line of the line protocol.
    #[error("not a valid line at column {column}: {what}")]
    LineProtocol {
        /// Where in the line, in bytes from 1.
        column: usize,
        /// What is expected there.
        what: &'static str,
    },
    /// It is no record of the table.
    #[error("{what}")]
    Csv {
        /// What is wrong with it.
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
    /// A metric is given twice.
    #[error("{metric} is given twice")]
    Twice {
        /// Which.
        metric: String,
    },
    /// Who sends it may not write this device.
    #[error("your token does not reach the device {device}")]
    Forbidden {
        /// Which.
        device: String,
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
            LineFaultKind::Json { .. }
            | LineFaultKind::LineProtocol { .. }
            | LineFaultKind::Csv { .. }
            | LineFaultKind::Time => RefusalCode::Malformed,
            LineFaultKind::Value { .. }
            | LineFaultKind::IntTooLarge { .. }
            | LineFaultKind::Twice { .. } => RefusalCode::BadShape,
            LineFaultKind::Forbidden { .. } => RefusalCode::Forbidden,
            LineFaultKind::Fault(fault) => fault.kind.code(),
        }
    }
}

impl From<FaultKind> for LineFaultKind {
    fn from(kind: FaultKind) -> LineFaultKind {
        LineFaultKind::Fault(kind.into())
    }
}

/// Gathers the readings of lines, and notes the lines that have none.
pub(super) struct Gathering<'l, 'a> {
    gather: Gather<'l, 'a>,
    lines: Lines,
    received_at: Timestamp,
    reach: &'l Reach,
}

impl<'l, 'a> Gathering<'l, 'a> {
    pub fn new(limits: &'l Limits, received_at: Timestamp, reach: &'l Reach) -> Gathering<'l, 'a> {
        Gathering { gather: Gather::new(limits), lines: Lines::default(), received_at, reach }
    }

    /// Takes what line `number` came to.
    pub fn line(&mut self, number: usize, read: Result<Reading<'a>, LineFaultKind>) {
        let entered = read.and_then(|reading| match self.reach.allows(&reading.device) {
            true => Ok(self.gather.push(reading, self.received_at)?),
            false => Err(LineFaultKind::Forbidden { device: reading.device.into_owned() }),
        });
        match entered {
            Ok(()) => self.lines.accepted += 1,
            Err(kind) => {
                self.lines.refused += 1;
                if let Some(full) = is_full(&kind) {
                    self.lines.full.get_or_insert(full);
                }
                if self.lines.faults.len() < LINE_FAULTS_MAX {
                    self.lines.faults.push(LineFault { line: number, kind });
                }
            }
        }
    }

    pub fn finish(mut self) -> Lines {
        self.lines.batch = self.gather.finish();
        self.lines
    }
}

/// The limit of the batch that kept a line out, if one did.
fn is_full(kind: &LineFaultKind) -> Option<FaultKind> {
    match kind {
        LineFaultKind::Fault(ReadingFault { kind, .. }) => match kind {
            FaultKind::TooMany { what: Counted::Tables | Counted::Samples, .. } => {
                Some(kind.clone())
            }
            _ => None,
        },
        _ => None,
    }
}
