//! Which series are known, and how many new ones may come.

use super::Objection;
use crate::model::{Batch, Timestamp};
use foldhash::fast::FixedState;
use hashbrown::HashSet;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

/// Caps on new series.
#[derive(Debug, Clone, Copy)]
pub struct SeriesLimits {
    /// New ones per minute; as many may come at once after a quiet minute.
    pub new_per_minute: usize,
    /// In all.
    pub max: usize,
    /// Seed of the hash, random per process, so that nobody can make names that collide.
    pub seed: u64,
}

const MINUTE_S: f64 = 60.0;

/// A set of 64-bit hashes of (device, tags, metric): 8 bytes a series. Two of a million series share
/// a hash with a chance of 1 in 30 million; then one of them is not counted as new.
#[derive(Debug)]
pub(super) struct KnownSeries {
    limits: SeriesLimits,
    hasher: FixedState,
    known: HashSet<u64, foldhash::fast::RandomState>,
    /// How many new ones may come now. It grows all the time and not with each minute: who has to wait
    /// waits a moment, and what waits behind it too.
    left: f64,
    /// When `left` was so.
    left_at: Timestamp,
    /// New ones of the batch being looked at; kept for its capacity.
    fresh: Vec<u64>,
}

impl KnownSeries {
    pub fn new(limits: SeriesLimits) -> KnownSeries {
        KnownSeries {
            limits,
            hasher: FixedState::with_seed(limits.seed),
            known: HashSet::default(),
            left: limits.new_per_minute as f64,
            left_at: Timestamp(i64::MIN),
            fresh: Vec::new(),
        }
    }

    /// What may come now stays, up to the most that there is then.
    pub fn set_new_per_minute(&mut self, count: usize) {
        self.limits.new_per_minute = count;
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
        if self.known.len() + new > self.limits.max {
            return Err(Objection::TooManySeries { known: self.known.len(), max: self.limits.max });
        }
        self.take(new, now)?;
        self.known.extend(self.fresh.drain(..));
        Ok(())
    }

    /// Takes so many from what is left.
    fn take(&mut self, new: usize, now: Timestamp) -> Result<(), Objection> {
        let per_minute = self.limits.new_per_minute.max(1) as f64;
        // The wall clock may be set back: then nothing comes for that time.
        let seconds = now.since(self.left_at).as_secs_f64();
        self.left = (self.left + per_minute * seconds / MINUTE_S).min(per_minute);
        self.left_at = now;
        // A batch with more new series than there ever are at once enters when all are left: it could
        // never enter otherwise.
        let needed = (new as f64).min(per_minute);
        if needed > self.left {
            let left = self.left as usize;
            let wait = (needed - self.left) / per_minute * MINUTE_S;
            return Err(Objection::NewSeriesTooFast {
                new,
                left,
                retry_after: Duration::from_secs_f64(wait) + Duration::from_millis(1),
            });
        }
        self.left -= needed;
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
    use crate::model::{BatchBuilder, NANOS_PER_SECOND};

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
        let retry_after = |objection| match objection {
            Err(Objection::NewSeriesTooFast { new, left, retry_after }) => {
                (new, left, retry_after.as_secs())
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(series.admit(&batch("a", 8), second(60)), Ok(()));
        assert_eq!(series.admit(&batch("a", 8), second(61)), Ok(()));
        // One comes every six seconds.
        assert_eq!(retry_after(series.admit(&batch("b", 5), second(66))), (5, 3, 12));
        assert_eq!(retry_after(series.admit(&batch("b", 5), second(77))), (5, 4, 1));
        assert_eq!(series.admit(&batch("b", 4), second(77)), Ok(()));
        assert_eq!(retry_after(series.admit(&batch("c", 11), second(131))), (11, 9, 1));
        assert_eq!(series.admit(&batch("c", 11), second(140)), Ok(()), "more than ever at once");
        // The clock was set back.
        assert_eq!(retry_after(series.admit(&batch("d", 1), second(80))), (1, 0, 6));
        assert_eq!(series.admit(&batch("d", 1), second(87)), Ok(()));
        assert_eq!(series.len(), 8 + 4 + 11 + 1);
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
