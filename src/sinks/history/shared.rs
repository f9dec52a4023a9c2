//! The head behind its lock: what the writer and the readers have in common.

use super::head::Head;
use super::rows::{Cells, Rows, Run};
use crate::clock;
use crate::model::{Position, tags_of_identity};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often the writer lets a waiting reader go first before it insists.
const YIELDS_MAX: usize = 64;

/// The head, shared.
pub(super) struct Shared {
    head: Mutex<Head>,
    applied: Condvar,
    /// Who waits for `applied`; changes under the lock only. Nobody mostly, and to wake nobody would
    /// cost a system call for each batch.
    waiting: AtomicUsize,
    /// Readers that wait for the lock. A lock of the standard library is not fair, and a writer that
    /// takes it again at once would starve them.
    readers_waiting: AtomicUsize,
}

impl Shared {
    pub(super) fn new(head: Head) -> Shared {
        Shared {
            head: Mutex::new(head),
            applied: Condvar::new(),
            waiting: AtomicUsize::new(0),
            readers_waiting: AtomicUsize::new(0),
        }
    }

    /// The lock for the writer, who lets waiting readers go first.
    pub(super) fn for_writer(&self) -> MutexGuard<'_, Head> {
        for _ in 0..YIELDS_MAX {
            if self.readers_waiting.load(Ordering::Relaxed) == 0 {
                break;
            }
            std::thread::yield_now();
        }
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock for a reader, who keeps it for the copy of a group at most.
    pub(super) fn for_reader(&self) -> MutexGuard<'_, Head> {
        self.readers_waiting.fetch_add(1, Ordering::Relaxed);
        let head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        self.readers_waiting.fetch_sub(1, Ordering::Relaxed);
        head
    }

    /// Tells those who wait that more of the log has been applied: after the lock was given back, so
    /// that who looked before it began to wait is counted.
    pub(super) fn notify(&self) {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.applied.notify_all();
        }
    }

    /// Waits until the log has been applied up to `position`; returns whether it has.
    pub(super) fn wait_applied(&self, position: Position, timeout: Duration) -> bool {
        let deadline = clock::monotonic() + timeout;
        let mut head = self.for_reader();
        while head.applied < position {
            let left = deadline.saturating_duration_since(clock::monotonic());
            if left.is_zero() {
                return false;
            }
            self.waiting.fetch_add(1, Ordering::Relaxed);
            let (back, _) =
                self.applied.wait_timeout(head, left).unwrap_or_else(PoisonError::into_inner);
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            head = back;
        }
        true
    }

    /// Slices of the series of a metric, one for each matching set of tags.
    pub(super) fn slices(
        &self,
        device: &str,
        metric: &str,
        tags: &[(&str, &str)],
        extent: Extent,
    ) -> Vec<Slice> {
        let places: Vec<Place> = {
            let head = self.for_reader();
            let of_device = head.groups_of(device).iter().filter_map(|&index| {
                let group = &head.groups[index as usize];
                let column = group.find(metric).filter(|_| has_tags(&group.identity, tags))?;
                Some(Place { group: index, column: column as u32 })
            });
            of_device.collect()
        };
        places.into_iter().map(|place| self.slice(place, extent, usize::MAX)).collect()
    }

    /// Copies what the head has of a series within an extent; of the first samples only, if there are
    /// more than about `max`.
    pub(super) fn slice(&self, place: Place, extent: Extent, max: usize) -> Slice {
        let Place { group: index, column } = place;
        let column = column as usize;
        let head = self.for_reader();
        let frozen = head.frozen.clone();
        let group = &head.groups[index as usize];
        let series = &group.series[column];
        let mut slice = Slice {
            axis: group.axis,
            series: series.id,
            identity: group.identity.clone(),
            unit: series.unit.clone(),
            extent: extent.within(series.first, series.last),
            runs: Vec::new(),
        };
        let newer = copy(&group.rows, column, &mut slice.extent, max);
        drop(head);
        // What is frozen does not change: it is read without the lock.
        if let Some(frozen) = frozen
            && let Ok(at) = frozen.groups.binary_search_by_key(&index, |group| group.index)
            && column < frozen.groups[at].rows.columns.len()
        {
            let older = copy(&frozen.groups[at].rows, column, &mut slice.extent, max);
            slice.runs.push(older.settled());
        }
        slice.runs.push(newer.settled());
        slice
    }
}

/// Where a series is in the head. Neither groups nor series are removed while running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub group: u32,
    pub column: u32,
}

/// A range of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub from: i64,
    /// The instant after the last.
    pub to: i64,
}

impl Extent {
    pub(super) fn is_empty(self) -> bool {
        self.from >= self.to
    }

    fn has(self, time: i64) -> bool {
        (self.from..self.to).contains(&time)
    }

    /// The part of it that may have samples of a series with these first and last ones.
    fn within(self, first: i64, last: i64) -> Extent {
        Extent { from: self.from.max(first), to: self.to.min(last.saturating_add(1)) }
    }
}

/// What the head has of one series.
pub(super) struct Slice {
    pub axis: u32,
    pub series: u32,
    pub identity: Arc<str>,
    pub unit: Arc<str>,
    /// What was asked for, as far as the series goes and the runs have all that the head has of it. A
    /// run that was copied before it was cut short may go beyond.
    pub extent: Extent,
    /// Settled; older before newer.
    pub runs: Vec<Run>,
}

/// Whether a group has all these tags.
pub(super) fn has_tags(identity: &str, wanted: &[(&str, &str)]) -> bool {
    wanted.iter().all(|wanted| tags_of_identity(identity).any(|tag| tag == *wanted))
}

/// The samples of a column within an extent, as they arrived. If there are more than `max`, the extent
/// becomes one that has as many, and those of the same time as the last.
fn copy(rows: &Rows, column: usize, extent: &mut Extent, max: usize) -> Run {
    let Cells { values, rows: own } = &rows.columns[column];
    let time_of = |&index: &u32| match own {
        Some(own) => rows.times[own[index as usize] as usize],
        None => rows.times[index as usize],
    };
    let mut indices: Vec<u32> =
        (0..values.len() as u32).filter(|index| extent.has(time_of(index))).collect();
    let mut times: Vec<i64> = indices.iter().map(time_of).collect();
    if times.len() > max {
        let (_, last, _) = times.select_nth_unstable(max.saturating_sub(1));
        extent.to = last.saturating_add(1);
        indices.retain(|index| extent.has(time_of(index)));
        times = indices.iter().map(time_of).collect();
    }
    Run { times, values: values.gather(&indices) }
}
