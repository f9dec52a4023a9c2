//! Readings as lines of JSON, for people with curl: `docs/http.md` has the format.
//!
//! A line enters whole or not at all; the good lines of a body enter although others don't. Lines in a
//! row that tell the same device, tags, metrics and types become the rows of one table, so that a
//! file of readings costs what a batch does.
//!
//! What JSON leaves open: an object that gives a key twice is refused, `null` is no value (a line
//! with nothing else is refused as empty), an unknown key of the line is refused because it is a
//! mistyped one, and a whole number beyond 64 bits is refused rather than rounded.

mod line;
mod table;
mod write;

pub use write::readings;

use super::Stamp;
use super::fault::{Counted, FaultKind};
use crate::model::{Batch, BatchBuilder};
use crate::wire::{Limits, RefusalCode};
use line::Reading;
use table::OpenTable;
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
    /// Not as the limits or the model want it; `metric` is empty if it concerns the whole line.
    #[error("{}{kind}", prefix(.metric))]
    Fault {
        /// Of which metric.
        metric: String,
        /// What.
        kind: FaultKind,
    },
}

fn prefix(metric: &str) -> String {
    if metric.is_empty() { String::new() } else { format!("{metric}: ") }
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
            LineFaultKind::Fault { kind, .. } => kind.code(),
        }
    }
}

impl From<FaultKind> for LineFaultKind {
    fn from(kind: FaultKind) -> LineFaultKind {
        LineFaultKind::Fault { metric: String::new(), kind }
    }
}

/// Reads a body of lines, separated by `\n`; empty ones are passed over.
#[must_use]
pub fn ndjson(body: &[u8], limits: &Limits, stamp: &Stamp<'_>) -> Lines {
    let mut reader =
        Reader { limits, builder: BatchBuilder::new(), open: None, tables: 0, samples: 0 };
    let mut lines = Lines::default();
    for (index, line) in body.split(|&byte| byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        match reader.line(line, stamp) {
            Ok(()) => lines.accepted += 1,
            Err(kind) => {
                lines.refused += 1;
                if lines.faults.len() < LINE_FAULTS_MAX {
                    lines.faults.push(LineFault { line: index + 1, kind });
                }
            }
        }
    }
    lines.batch = reader.finish();
    lines
}

struct Reader<'a> {
    limits: &'a Limits,
    builder: BatchBuilder,
    /// The table that the next line may become a row of; counted in `tables`.
    open: Option<OpenTable<'a>>,
    tables: usize,
    samples: usize,
}

impl<'a> Reader<'a> {
    fn line(&mut self, line: &'a [u8], stamp: &Stamp<'a>) -> Result<(), LineFaultKind> {
        let reading = Reading::parse(line, self.limits, stamp)?;
        let samples = self.samples + reading.values.len();
        if samples > self.limits.samples {
            let max = self.limits.samples;
            return Err(FaultKind::TooMany { what: Counted::Samples, max }.into());
        }
        match &mut self.open {
            Some(open) if open.rows() < self.limits.rows && open.takes(&reading) => {
                open.push(reading);
            }
            _ => {
                if self.tables == self.limits.tables {
                    let max = self.limits.tables;
                    return Err(FaultKind::TooMany { what: Counted::Tables, max }.into());
                }
                self.close();
                self.tables += 1;
                self.open = Some(OpenTable::new(reading));
            }
        }
        self.samples = samples;
        Ok(())
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            open.close(&mut self.builder);
        }
    }

    fn finish(mut self) -> Batch {
        self.close();
        self.builder.finish()
    }
}

#[cfg(test)]
mod tests;
