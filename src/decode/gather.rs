//! Readings on their way to become a batch.
//!
//! In: [`Reading`]s, one by one, from lines of JSON or from messages of a broker. Out: one [`Batch`]
//! of those that are valid by all limits. Readings in a row that tell the same device, tags, metrics
//! and types, and are to be kept in the same places, become the rows of one table, so that a file of
//! readings costs what a batch does.

use super::fault::{Counted, FaultKind};
use super::open_table::OpenTable;
use super::reading::{Reading, ReadingFault};
use crate::model::{Batch, BatchBuilder, Timestamp};
use crate::wire::Limits;

/// Makes a batch of readings.
pub struct Gather<'l, 'a> {
    limits: &'l Limits,
    builder: BatchBuilder,
    /// The table that the next reading may become a row of; counted in `tables`.
    open: Option<OpenTable<'a>>,
    tables: usize,
    samples: usize,
}

/// Why the readings of a message were not added.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NotAdded {
    /// One of them is at fault.
    #[error(transparent)]
    Fault(#[from] ReadingFault),
    /// The batch can take no more samples or tables.
    #[error("more samples or tables than one batch may have (limits.samples, limits.tables)")]
    Full,
}

impl<'l, 'a> Gather<'l, 'a> {
    /// Nothing gathered yet.
    #[must_use]
    pub fn new(limits: &'l Limits) -> Gather<'l, 'a> {
        Gather { limits, builder: BatchBuilder::new(), open: None, tables: 0, samples: 0 }
    }

    /// Adds a reading; it enters whole or not at all.
    ///
    /// # Errors
    /// [`ReadingFault`] says what is wrong with it, or that the batch can take no more
    /// ([`FaultKind::TooMany`] of samples or tables).
    pub fn push(
        &mut self,
        mut reading: Reading<'a>,
        received_at: Timestamp,
    ) -> Result<(), ReadingFault> {
        reading.check(self.limits, received_at)?;
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

    /// Adds the readings of one message: all of them, or none.
    ///
    /// # Errors
    /// [`NotAdded::Fault`] if a reading is at fault; nothing was added. [`NotAdded::Full`] if the batch
    /// can take no more: some may have been added, so what was gathered is to be made anew without them.
    pub fn push_all(
        &mut self,
        mut readings: Vec<Reading<'a>>,
        received_at: Timestamp,
    ) -> Result<(), NotAdded> {
        for reading in &mut readings {
            reading.check(self.limits, received_at)?;
        }
        for reading in readings {
            self.push(reading, received_at).map_err(|_| NotAdded::Full)?;
        }
        Ok(())
    }

    /// Values gathered so far.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// The batch.
    #[must_use]
    pub fn finish(mut self) -> Batch {
        self.close();
        self.builder.finish()
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            open.close(&mut self.builder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Content, Value};
    use crate::model::Keep;

    #[test]
    fn readings_that_are_kept_elsewhere_are_another_table() {
        let limits = Limits::default();
        let mut gather = Gather::new(&limits);
        let keeps = [Keep::LiveOnly, Keep::LiveOnly, Keep::Everywhere, Keep::StoresOnly];
        for (keep, time) in keeps.into_iter().zip(1..) {
            let (metric, unit, content) = ("t".into(), "".into(), Content::Int(time));
            let values = vec![Value { metric, unit, content }];
            let reading = Reading { device: "d".into(), tags: vec![], time, keep, values };
            gather.push(reading, Timestamp(5)).unwrap();
        }
        let batch = gather.finish();
        let tables: Vec<_> =
            batch.tables().map(|table| (table.keep(), table.times().len())).collect();
        let expected = [(Keep::LiveOnly, 2), (Keep::Everywhere, 1), (Keep::StoresOnly, 1)];
        assert_eq!(tables, expected);
    }
}
