//! Which series are known, and how many new ones may come.

use super::Objection;
use crate::model::{Batch, NANOS_PER_SECOND, Timestamp};
use foldhash::fast::FixedState;
use hashbrown::HashSet;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

/// Caps on new series.
#[derive(Debug, Clone, Copy)]
pub struct SeriesLimits {
    /// New ones in any one minute.
    pub new_per_minute: usize,
    /// In all.
    pub max: usize,
    /// Seed of the hash, random per process, so that nobody can make names that collide.
    pub seed: u64,
}

const MINUTE: i64 = 60 * NANOS_PER_SECOND;

/// A set of 64-bit hashes of (device, tags, metric): 8 bytes a series. Two of a million series share
/// a hash with a chance of 1 in 30 million; then one of them is not counted as new.
#[derive(Debug)]
pub(super) struct KnownSeries {
    limits: SeriesLimits,
    hasher: FixedState,
    known: HashSet<u64, foldhash::fast::RandomState>,
    minute: i64,
    new_this_minute: usize,
    /// New ones of the batch being looked at; kept for its capacity.
    fresh: Vec<u64>,
}

impl KnownSeries {
    pub fn new(limits: SeriesLimits) -> KnownSeries {
        KnownSeries {
            limits,
            hasher: FixedState::with_seed(limits.seed),
            known: HashSet::default(),
            minute: i64::MIN,
            new_this_minute: 0,
            fresh: Vec::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.known.len()
    }

    pub fn know(&mut self, identity: &str, metric: &str) {
        let hash = self.hash(self.identity(identity), metric);
        self.known.insert(hash);
    }

    /// Takes the batch's new series in, all or none.
    pub fn admit(&mut self, batch: &Batch, now: Timestamp) -> Result<(), Objection> {
        self.fresh.clear();
        for table in batch.tables() {
            let identity = self.identity(table.identity());
            for column in table.columns() {
                let hash = self.hash(identity.clone(), column.metric());
                if !self.known.contains(&hash) {
                    self.fresh.push(hash);
                }
            }
        }
        if self.fresh.is_empty() {
            return Ok(());
        }
        // A series may stand in two tables of the batch: it is new once.
        self.fresh.sort_unstable();
        self.fresh.dedup();
        let new = self.fresh.len();
        let minute = now.0.div_euclid(MINUTE);
        if minute != self.minute {
            (self.minute, self.new_this_minute) = (minute, 0);
        }
        if self.known.len() + new > self.limits.max {
            return Err(Objection::TooManySeries { known: self.known.len(), max: self.limits.max });
        }
        let left = self.limits.new_per_minute.saturating_sub(self.new_this_minute);
        // A batch with more new series than a whole minute takes enters at the start of one: it
        // could never enter otherwise.
        if new > left && self.new_this_minute > 0 {
            let rest = MINUTE - now.0.rem_euclid(MINUTE);
            let retry_after = Duration::from_nanos(rest.unsigned_abs());
            return Err(Objection::NewSeriesTooFast { new, left, retry_after });
        }
        self.new_this_minute += new;
        self.known.extend(self.fresh.drain(..));
        Ok(())
    }

    fn identity(&self, identity: &str) -> impl Hasher + Clone + use<> {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(identity.as_bytes());
        hasher
    }

    fn hash(&self, mut hasher: impl Hasher, metric: &str) -> u64 {
        hasher.write(metric.as_bytes());
        hasher.write_usize(metric.len());
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::BatchBuilder;

    fn batch(device: &str, metrics: usize) -> Batch {
        let mut builder = BatchBuilder::new();
        builder.table(device, &mut [], [0]).unwrap();
        for i in 0..metrics {
            builder.ints(&format!("m{i}"), "", [1], &[]).unwrap();
        }
        builder.finish()
    }

    fn known(new_per_minute: usize, max: usize) -> KnownSeries {
        KnownSeries::new(SeriesLimits { new_per_minute, max, seed: 1 })
    }

    #[test]
    fn new_series_are_limited_per_minute_and_known_ones_are_free() {
        let mut series = known(10, 1000);
        let second = |s: i64| Timestamp(s * NANOS_PER_SECOND);
        assert_eq!(series.admit(&batch("a", 8), second(60)), Ok(()));
        assert_eq!(series.admit(&batch("a", 8), second(61)), Ok(()));
        assert_eq!(
            series.admit(&batch("b", 3), second(70)),
            Err(Objection::NewSeriesTooFast {
                new: 3,
                left: 2,
                retry_after: Duration::from_secs(50)
            })
        );
        assert_eq!(series.admit(&batch("b", 3), second(120)), Ok(()));
        assert_eq!(series.admit(&batch("c", 11), second(180)), Ok(()), "alone in its minute");
        assert_eq!(series.len(), 8 + 3 + 11);
    }

    #[test]
    fn series_are_limited_in_all() {
        let mut series = known(100, 10);
        assert_eq!(series.admit(&batch("a", 8), Timestamp(0)), Ok(()));
        assert_eq!(
            series.admit(&batch("b", 3), Timestamp(0)),
            Err(Objection::TooManySeries { known: 8, max: 10 })
        );
        series.know("a", "m0");
        assert_eq!(series.len(), 8);
    }
}
