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
/// Each time that the room for series is told, this part of it may be taken.
const ROOM_PART: usize = 4;

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
    /// How many more find memory, and how many have come since that was told.
    room: usize,
    come: usize,
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
            room: usize::MAX,
            come: 0,
            fresh: Vec::new(),
        }
    }

    /// What may come now stays, up to the most that there is then.
    pub fn set_new_per_minute(&mut self, count: usize) {
        self.limits.new_per_minute = count;
    }

    pub fn set_room(&mut self, count: usize) {
        self.room = count;
        self.come = 0;
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
        let left = self.fitting();
        if new > left {
            return Err(Objection::NoMemoryForSeries { new, left });
        }
        self.take(new, now)?;
        self.come += new;
        self.known.extend(self.fresh.drain(..));
        Ok(())
    }

    /// How many find memory now. What came lately may not have taken its memory yet, so that a part of the
    /// room is given at a time; to the first that comes, all.
    fn fitting(&self) -> usize {
        match self.come {
            0 => self.room,
            come => (self.room / ROOM_PART).saturating_sub(come),
        }
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
    fn near_the_ceiling_known_series_go_on_and_new_ones_wait_for_room() {
        let mut series = known(1_000_000, 1_000_000);
        let mut admit = |device: &str, count: usize, room: Option<usize>| {
            room.into_iter().for_each(|room| series.set_room(room));
            series.admit(&batch(device, count), Timestamp(0))
        };
        let no_memory = |new, left| Err(Objection::NoMemoryForSeries { new, left });
        assert_eq!(admit("a", 30, None), Ok(()));
        assert_eq!(admit("b", 41, Some(40)), no_memory(41, 40));
        assert_eq!(admit("b", 6, None), Ok(()), "what was refused takes nothing");
        assert_eq!(admit("c", 5, None), no_memory(5, 4), "a quarter of the room at a time");
        assert_eq!(admit("c", 4, None), Ok(()));
        assert_eq!(admit("d", 1, None), no_memory(1, 0));
        assert_eq!(admit("d", 30, Some(30)), Ok(()), "a large batch must not wait for ever");
        assert_eq!(admit("a", 30, Some(0)), Ok(()), "it is known");
        assert_eq!(admit("e", 1, None), no_memory(1, 0));
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
