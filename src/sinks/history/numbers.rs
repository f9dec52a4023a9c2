//! Series one by one, as numbers: for questions about many of them at once.
//!
//! Each is read by itself: the head's lock and a connection to the file are held for one series at a
//! time, so that a question about thousands lets others go in between.

use super::query::{QueryError, one};
use super::reader::{GROUPS_PER_HOLD, Reader};
use super::shared::{Extent, Place};
use super::value::{Column, Kind};
use crate::model::tags_of_identity;
use std::sync::Arc;

/// A series that was found, and where it is while the daemon runs.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its device.
    pub device: Arc<str>,
    /// Its metric.
    pub metric: Arc<str>,
    /// Type of its last value.
    pub kind: Kind,
    /// The unit told last, or empty.
    pub unit: Arc<str>,
    /// Its earliest sample, nanoseconds since the epoch; retention may have deleted it.
    pub first: i64,
    /// Its latest sample.
    pub last: i64,
    identity: Arc<str>,
    place: Place,
}

impl Found {
    /// Its tags, in the order of their keys.
    #[must_use]
    pub fn tags(&self) -> Vec<(&str, &str)> {
        tags_of_identity(&self.identity).collect()
    }
}

/// The samples of one series that are numbers; truth values are 0 and 1, texts are left out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Numbers {
    /// Nanoseconds since the epoch, ascending.
    pub times: Vec<i64>,
    /// As many values.
    pub values: Vec<f64>,
    /// Chunks in the range that are damaged, so that their samples are missing here.
    pub damaged_chunks: u64,
}

impl Reader {
    /// The series of devices that pass `device` and that pass `fits` themselves; it is given their tags
    /// as well. Neither is asked under a lock.
    pub fn find(
        &self,
        device: impl Fn(&str) -> bool,
        mut fits: impl FnMut(&Found, &[(&str, &str)]) -> bool,
    ) -> Vec<Found> {
        let mut all = Vec::new();
        let mut next = 0;
        loop {
            let mut held = Vec::new();
            {
                // Groups are never removed while running, so that a number stays what it is.
                let head = self.shared.for_reader();
                let groups = head.groups.get(next..).unwrap_or_default();
                for (group, index) in groups.iter().take(GROUPS_PER_HOLD).zip(next as u32..) {
                    let of_group = group.series.iter().zip(0..).filter_map(|(series, column)| {
                        Some(Found {
                            device: group.device.clone(),
                            metric: series.metric.clone(),
                            kind: series.value.as_ref()?.kind(),
                            unit: series.unit.clone(),
                            first: series.first,
                            last: series.last,
                            identity: group.identity.clone(),
                            place: Place { group: index, column },
                        })
                    });
                    held.push(of_group.collect::<Vec<_>>());
                }
            }
            if held.is_empty() {
                return all;
            }
            next += held.len();
            for of_group in held {
                let Some(first) = of_group.first().filter(|first| device(&first.device)) else {
                    continue;
                };
                let identity = first.identity.clone();
                let tags: Vec<_> = tags_of_identity(&identity).collect();
                all.extend(of_group.into_iter().filter(|found| fits(found, &tags)));
            }
        }
    }

    /// The numbers of a series from `from` until before `to`.
    ///
    /// # Errors
    /// It has more than `max` samples there, or the file cannot be read. Damaged chunks are not an
    /// error; they are counted.
    pub fn numbers(
        &self,
        series: &Found,
        from: i64,
        to: i64,
        max: usize,
    ) -> Result<Numbers, QueryError> {
        // The head first, as in `query`.
        let slice = self.shared.slice(series.place, Extent { from, to }, usize::MAX);
        if slice.extent.is_empty() {
            return Ok(Numbers::default());
        }
        let (run, damaged_chunks) = self.pool.with(|connection| {
            let view = connection.unchecked_transaction()?;
            one(&view, slice, max)
        })?;
        let (times, values) = match run.values {
            Column::Floats(values) => (run.times, values),
            Column::Ints(values) => (run.times, values.iter().map(|&it| it as f64).collect()),
            Column::Bools(values) => {
                (run.times, values.iter().map(|&it| f64::from(u8::from(it))).collect())
            }
            Column::Texts(_) => (Vec::new(), Vec::new()),
            Column::Mixed(values) => {
                let both = run.times.iter().zip(&values);
                both.filter_map(|(&time, value)| Some((time, value.as_number()?))).unzip()
            }
        };
        Ok(Numbers { times, values, damaged_chunks })
    }
}
