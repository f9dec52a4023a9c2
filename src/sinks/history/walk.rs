//! Walking: every sample of many series, one page after the other.
//!
//! The order is that of devices, then of their tags, then of metrics, then of time: a walk that ended early
//! is gone on with from the last sample that somebody has ([`Walk::after`]).
//!
//! Each page is a range of time of one series, read as a query reads it: from the head, then from a view of
//! the file that is given back before the page is handed out. So each (series, time) is looked at once, in
//! a view that has neither a hole nor a sample twice, whatever is flushed and compacted between pages; and a
//! walk that nobody goes on with holds back no writer, no other reader and no part of the file.

use super::query::{self, QueryError};
use super::reader::{GROUPS_PER_HOLD, Reader};
use super::rows::Run;
use super::shared::{Extent, Place, has_tags};
use super::value::Value;
use crate::model::tags_of_identity;
use std::sync::Arc;

/// A page ends after the chunk with which it weighs so much: a sample is one, and eight bytes of text one.
/// The chunk may be larger than that, as large as compaction makes them (`compact::ROWS_MAX`).
const PAGE_WEIGHT: usize = if cfg!(test) { 5 } else { 16_384 };
/// The range of time that is looked at for the first page; it grows while pages are not full, and shrinks
/// when they are, so that one page looks up few segments.
const RANGE_FIRST: i64 = super::cut::DAY_NS;
const RANGE_FACTOR: i64 = 4;

/// Many series, and how far they were read.
pub struct Walk {
    reader: Reader,
    /// Those that are left, the next one last.
    series: Vec<Member>,
    /// From where on the next one is read.
    from: i64,
    /// Of all.
    extent: Extent,
    range: i64,
}

/// A series.
#[derive(Debug, Clone)]
struct Member {
    place: Place,
    identity: Arc<str>,
    metric: Arc<str>,
}

/// Some samples of one series, in the order of time.
pub struct Page {
    identity: Arc<str>,
    /// Its metric.
    pub metric: Arc<str>,
    /// The unit told last, or empty.
    pub unit: Arc<str>,
    run: Run,
    /// Chunks that could not be read, so that their samples are missing.
    pub damaged_chunks: u64,
}

impl Reader {
    /// Begins to walk over the series that pass and have these tags; samples from `from` on and before `to`.
    /// The series are those that there are now.
    pub fn walk(
        &self,
        device: impl Fn(&str) -> bool,
        metric: impl Fn(&str) -> bool,
        tags: &[(&str, &str)],
        (from, to): (i64, i64),
    ) -> Walk {
        let mut series = Vec::new();
        let mut next = 0;
        loop {
            let head = self.shared.for_reader();
            let Some(groups) = head.groups.get(next..).filter(|groups| !groups.is_empty()) else {
                break;
            };
            for group in groups.iter().take(GROUPS_PER_HOLD) {
                let index = next as u32;
                next += 1;
                if !device(&group.device) || !has_tags(&group.identity, tags) {
                    continue;
                }
                let passing = group
                    .series
                    .iter()
                    .zip(0..)
                    .filter(|(series, _)| series.value.is_some() && metric(&series.metric));
                series.extend(passing.map(|(series, column)| Member {
                    place: Place { group: index, column },
                    identity: group.identity.clone(),
                    metric: series.metric.clone(),
                }));
            }
        }
        series.sort_unstable_by(|a, b| b.key().cmp(&a.key()));
        let extent = Extent { from, to };
        Walk { reader: self.clone(), series, from, extent, range: RANGE_FIRST }
    }
}

impl Walk {
    /// Passes over everything up to and with that sample; it need not be there (any more).
    pub fn after(&mut self, device: &str, tags: &[(&str, &str)], metric: &str, time: i64) {
        let mut identity = device.to_owned();
        let mut tags = tags.to_vec();
        tags.sort_unstable();
        for part in tags.into_iter().flat_map(|(key, value)| [key, value]) {
            identity.push('\0');
            identity.push_str(part);
        }
        let key = (&*identity, metric);
        let left = self.series.partition_point(|member| member.key() >= key);
        self.series.truncate(left);
        self.from = match self.series.last().is_some_and(|member| member.key() == key) {
            true => self.extent.after(time),
            false => self.extent.from,
        };
    }

    /// As [`Walk::after`], of the first series that is meant; `false` if there is none.
    pub fn after_meant(
        &mut self,
        time: i64,
        mut is_meant: impl FnMut(&str, &[(&str, &str)], &str) -> bool,
    ) -> bool {
        let meant = self.series.iter().rposition(|Member { identity, metric, .. }| {
            let tags: Vec<_> = tags_of_identity(identity).collect();
            is_meant(device_of(identity), &tags, metric)
        });
        if let Some(at) = meant {
            self.series.truncate(at + 1);
            self.from = self.extent.after(time);
        }
        meant.is_some()
    }

    /// The next page; it may be empty. `None` at the end.
    ///
    /// # Errors
    /// If the file can't be read.
    pub fn next_page(&mut self) -> Result<Option<Page>, QueryError> {
        let Some(member) = self.series.last() else { return Ok(None) };
        let wanted = Extent { from: self.from, ..self.extent };
        let mut slice = self.reader.shared.slice(member.place, wanted, PAGE_WEIGHT);
        let mut page = Page {
            identity: member.identity.clone(),
            metric: member.metric.clone(),
            unit: slice.unit.clone(),
            run: Run::default(),
            damaged_chunks: 0,
        };
        let Extent { from, to } = slice.extent;
        if slice.extent.is_empty() {
            self.next_series();
            return Ok(Some(page));
        }
        let end = to.min(from.saturating_add(self.range));
        slice.extent.to = end;
        let (read, damaged) = self.reader.pool.with(|connection| {
            let view = connection.unchecked_transaction()?;
            query::page(&view, slice, PAGE_WEIGHT)
        })?;
        let is_full = read.is_full();
        page.run = read.run;
        page.damaged_chunks = damaged;
        let last = page.run.times.last().copied();
        match last.filter(|_| is_full) {
            Some(last) => {
                self.range = (self.range / RANGE_FACTOR).max(RANGE_FIRST);
                self.from = last.saturating_add(1);
            }
            None => {
                self.range = self.range.saturating_mul(RANGE_FACTOR);
                self.from = end;
            }
        }
        Ok(Some(page))
    }

    fn next_series(&mut self) {
        self.series.pop();
        self.from = self.extent.from;
    }
}

impl Extent {
    /// Where it goes on after a time. The last instant that can be named is in no range.
    fn after(self, time: i64) -> i64 {
        time.checked_add(1).map_or(self.to, |next| self.from.max(next))
    }
}

/// The device of an identity.
fn device_of(identity: &str) -> &str {
    identity.split('\0').next().unwrap_or_default()
}

impl Member {
    fn key(&self) -> (&str, &str) {
        (&self.identity, &self.metric)
    }
}

impl Page {
    /// The device.
    #[must_use]
    pub fn device(&self) -> &str {
        device_of(&self.identity)
    }

    /// Its tags, in the order of their keys.
    pub fn tags(&self) -> impl Iterator<Item = (&str, &str)> {
        tags_of_identity(&self.identity)
    }

    /// How many samples there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.run.times.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.run.times.is_empty()
    }

    /// The time of a sample.
    ///
    /// # Panics
    /// If there is no such sample, as slices do.
    #[must_use]
    pub fn time(&self, index: usize) -> i64 {
        self.run.times[index]
    }

    /// The value of a sample, of the type that it was sent with.
    ///
    /// # Panics
    /// If there is no such sample, as slices do.
    #[must_use]
    pub fn value(&self, index: usize) -> Value {
        self.run.values.get(index)
    }
}
