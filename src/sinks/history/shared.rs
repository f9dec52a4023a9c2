//! The head behind its lock: what the writer and the readers have in common.

use super::head::{Frozen, Head};
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

    /// Copies what the head knows of the series of a metric, one for each matching set of tags.
    pub(super) fn slices(
        &self,
        device: &str,
        metric: &str,
        tags: &[(&str, &str)],
        from: i64,
        to: i64,
    ) -> Vec<Slice> {
        let mut slices = Vec::new();
        let frozen: Option<Arc<Frozen>>;
        let mut indices = Vec::new();
        {
            let head = self.for_reader();
            frozen = head.frozen.clone();
            for &index in head.groups_of(device) {
                let group = &head.groups[index as usize];
                if !has_tags(&group.identity, tags) {
                    continue;
                }
                let Some(column) = group.find(metric) else { continue };
                let series = &group.series[column];
                indices.push((index, column));
                slices.push(Slice {
                    axis: group.axis,
                    series: series.id,
                    identity: group.identity.clone(),
                    unit: series.unit.clone(),
                    runs: vec![copy(&group.rows, column, from, to)],
                });
            }
        }
        // What is frozen does not change: it is read without the lock.
        if let Some(frozen) = frozen {
            for (slice, (index, column)) in slices.iter_mut().zip(indices) {
                if let Ok(at) = frozen.groups.binary_search_by_key(&index, |group| group.index)
                    && column < frozen.groups[at].rows.columns.len()
                {
                    slice.runs.insert(0, copy(&frozen.groups[at].rows, column, from, to));
                }
            }
        }
        for slice in &mut slices {
            slice.runs = slice.runs.drain(..).map(Run::settled).collect();
        }
        slices
    }
}

impl Shared {
    /// Copies what the head knows of one series, by the numbers of its group and column.
    pub(super) fn slice(&self, group: usize, column: usize, from: i64, to: i64) -> Option<Slice> {
        let (mut slice, frozen) = {
            let head = self.for_reader();
            let found = head.groups.get(group)?;
            let series = found.series.get(column)?;
            let slice = Slice {
                axis: found.axis,
                series: series.id,
                identity: found.identity.clone(),
                unit: series.unit.clone(),
                runs: vec![copy(&found.rows, column, from, to)],
            };
            (slice, head.frozen.clone())
        };
        if let Some(frozen) = frozen
            && let Ok(at) = frozen.groups.binary_search_by_key(&group, |it| it.index as usize)
            && column < frozen.groups[at].rows.columns.len()
        {
            slice.runs.insert(0, copy(&frozen.groups[at].rows, column, from, to));
        }
        slice.runs = slice.runs.drain(..).map(Run::settled).collect();
        Some(slice)
    }

    /// Copies what the head has of the series at a place, from `extent.from` on: about `max` samples at
    /// most, of an extent that is cut short accordingly. `None` if it has none in the extent.
    pub(super) fn slice_at(&self, place: Place, extent: &mut Extent, max: usize) -> Option<Slice> {
        let Place { group: index, column } = place;
        let head = self.for_reader();
        let frozen = head.frozen.clone();
        let group = head.groups.get(index as usize)?;
        let series = group.series.get(column as usize)?;
        extent.from = extent.from.max(series.first);
        extent.to = extent.to.min(series.last.saturating_add(1));
        if extent.from >= extent.to {
            return None;
        }
        let newest = copy_first(&group.rows, column as usize, extent, max);
        let mut slice = Slice {
            axis: group.axis,
            series: series.id,
            identity: group.identity.clone(),
            unit: series.unit.clone(),
            runs: vec![newest],
        };
        drop(head);
        if let Some(frozen) = frozen
            && let Ok(at) = frozen.groups.binary_search_by_key(&index, |group| group.index)
            && (column as usize) < frozen.groups[at].rows.columns.len()
        {
            let older = copy_first(&frozen.groups[at].rows, column as usize, extent, max);
            slice.runs.insert(0, older);
        }
        slice.runs = slice.runs.drain(..).map(Run::settled).collect();
        Some(slice)
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

/// What the head has of one series.
pub(super) struct Slice {
    pub axis: u32,
    pub series: u32,
    pub identity: Arc<str>,
    pub unit: Arc<str>,
    /// Settled; older before newer.
    pub runs: Vec<Run>,
}

/// Whether a group has all these tags.
pub(super) fn has_tags(identity: &str, wanted: &[(&str, &str)]) -> bool {
    wanted.iter().all(|wanted| tags_of_identity(identity).any(|tag| tag == *wanted))
}

/// The first samples of a column within an extent, as they arrived. If there are more than `max`, the
/// extent becomes one that has as many, and those of the same time as the last.
fn copy_first(rows: &Rows, column: usize, extent: &mut Extent, max: usize) -> Run {
    let Cells { values, rows: own } = &rows.columns[column];
    let row_of = |index: usize| own.as_ref().map_or(index, |own| own[index] as usize);
    let times = (0..values.len()).map(|index| rows.times[row_of(index)]);
    let mut inside: Vec<i64> =
        times.filter(|time| (extent.from..extent.to).contains(time)).collect();
    if inside.len() > max && max > 0 {
        let (_, last, _) = inside.select_nth_unstable(max - 1);
        extent.to = last.saturating_add(1);
    }
    copy(rows, column, extent.from, extent.to)
}

/// The samples of a column within `from..to`, as they arrived.
fn copy(rows: &Rows, column: usize, from: i64, to: i64) -> Run {
    let Cells { values, rows: own } = &rows.columns[column];
    let time_of = |index: usize| match own {
        Some(own) => rows.times[own[index] as usize],
        None => rows.times[index],
    };
    let indices: Vec<u32> = (0..values.len())
        .filter(|&index| (from..to).contains(&time_of(index)))
        .map(|index| index as u32)
        .collect();
    let times = indices.iter().map(|&index| time_of(index as usize)).collect();
    Run { times, values: values.gather(&indices) }
}
