//! The counts that must add up: what came in and what became of it.

use super::Decided;
use std::collections::BTreeMap;

/// What was decided about batches. Persisted with checkpoints of the log.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tally {
    /// By the number that the spool stores for a protocol.
    pub by_protocol: BTreeMap<u8, Counts>,
}

/// The counts of one protocol, or of one client over it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Samples in batches that entered.
    pub samples: u64,
    /// Batches that entered.
    pub batches: u64,
    /// Batches that were in the log already.
    pub duplicates: u64,
    /// Batches that were refused.
    pub refused: u64,
}

impl Counts {
    pub(super) fn add(&mut self, decided: Decided) {
        match decided {
            Decided::Entered { samples } => {
                self.batches += 1;
                self.samples += samples;
            }
            Decided::Duplicate => self.duplicates += 1,
            Decided::Refused => self.refused += 1,
        }
    }
}

impl Tally {
    /// The counts of a protocol, to count on.
    pub fn of(&mut self, protocol: u8) -> &mut Counts {
        self.by_protocol.entry(protocol).or_default()
    }

    /// All protocols together.
    #[must_use]
    pub fn total(&self) -> Counts {
        self.by_protocol.values().fold(Counts::default(), |sum, one| Counts {
            samples: sum.samples + one.samples,
            batches: sum.batches + one.batches,
            duplicates: sum.duplicates + one.duplicates,
            refused: sum.refused + one.refused,
        })
    }
}
