//! The head: all series that are known, and the samples that are not in the file yet.
//!
//! One lock, private, held for one batch by the writer and for the copy of one group by a reader.
//! A flush takes the samples out as a [`Frozen`] block that readers still see until it is in the
//! file: a query copies from here first and opens its view of the file after that, so that a sample
//! is in one of them or, harmlessly, in both, and never in neither.
//!
//! Hot path: [`Head::apply`]. One look-up per table (by its identity), a guess per column (metrics
//! come in the order in which they came before), then appending to vectors; no allocation per
//! sample. `benches/history.rs` guards it.

use super::rows::{Cells, Rows, value_at};
use super::value::Value;
use crate::model::{self, Batch, Position, Table};
use hashbrown::HashTable;
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

/// Up to so many metrics of a group are looked through in a row.
const LINEAR_SERIES_MAX: usize = 32;

/// Groups and their series, by number and by name, with their buffered rows.
pub(super) struct Head {
    pub groups: Vec<Group>,
    by_identity: HashTable<u32>,
    by_device: HashMap<Arc<str>, Vec<u32>, foldhash::fast::RandomState>,
    metrics: HashMap<Arc<str>, (), foldhash::fast::RandomState>,
    hasher: foldhash::fast::RandomState,
    pub frozen: Option<Arc<Frozen>>,
    /// Samples in the rows of `groups`.
    pub samples: u64,
    /// What they weigh, see [`Head::load`].
    load: Load,
    /// Samples ever taken, those in the head included.
    pub stored_total: u64,
    /// Samples that the log gave up before they could be taken, ever.
    pub shed_total: u64,
    /// Samples that are not for stores, ever.
    pub skipped_total: u64,
    /// Up to where the log has been applied.
    pub applied: Position,
    pub durable: Position,
    pub next_group: i64,
    pub next_series: u32,
}

#[derive(Default)]
struct Load {
    rows: u64,
    /// Beyond eight for each value.
    bytes: u64,
}

/// A device with its tags.
pub(super) struct Group {
    pub id: i64,
    /// Number of the series that its time axis is stored as.
    pub axis: u32,
    /// As [`Table::identity`].
    pub identity: Arc<str>,
    pub device: Arc<str>,
    pub series: Vec<Series>,
    /// Empty as long as there are few.
    by_metric: HashMap<Arc<str>, u32, foldhash::fast::RandomState>,
    pub rows: Rows,
    /// Rows that the head before this one held when it was flushed: as many are to be expected.
    rows_hint: usize,
    in_file: bool,
}

/// One metric of a group.
pub(super) struct Series {
    pub id: u32,
    pub metric: Arc<str>,
    pub unit: Arc<str>,
    pub first: i64,
    pub last: i64,
    /// At `last`; `None` before the first sample.
    pub value: Option<Value>,
    /// Whether it differs from its row in the file.
    dirty: bool,
    /// Values to make room for at once: a little more than the head before this one held.
    hint: usize,
}

/// Samples on their way into the file, with the position and the series that go with them.
pub(super) struct Frozen {
    /// In the order of `index`.
    pub groups: Vec<FrozenGroup>,
    pub new_groups: Vec<GroupRow>,
    pub series: Vec<SeriesRow>,
    pub samples: u64,
    pub stored_total: u64,
    pub shed_total: u64,
    pub skipped_total: u64,
    pub next: Position,
    pub next_group: i64,
    pub next_series: u32,
}

/// The rows of one group in [`Frozen`].
pub(super) struct FrozenGroup {
    /// Into [`Head::groups`].
    pub index: u32,
    pub axis: u32,
    /// Numbers of the series, one for each column of `rows`.
    pub series: Vec<u32>,
    pub rows: Rows,
}

/// A row of the table `grp`.
pub(super) struct GroupRow {
    pub id: i64,
    pub axis: u32,
    pub identity: Arc<str>,
    pub device: Arc<str>,
}

/// A row of the table `series`.
pub(super) struct SeriesRow {
    pub id: u32,
    pub group: i64,
    pub metric: Arc<str>,
    pub unit: Arc<str>,
    pub first: i64,
    pub last: i64,
    pub value: Option<Value>,
}

impl Head {
    pub(super) fn new() -> Head {
        Head {
            groups: Vec::new(),
            by_identity: HashTable::new(),
            by_device: HashMap::default(),
            metrics: HashMap::default(),
            hasher: foldhash::fast::RandomState::default(),
            frozen: None,
            samples: 0,
            load: Load::default(),
            stored_total: 0,
            shed_total: 0,
            skipped_total: 0,
            applied: Position(0),
            durable: Position(0),
            next_group: 1,
            next_series: 1,
        }
    }

    /// Takes in a batch; gives how many of its samples are for stores.
    pub(super) fn apply(&mut self, batch: &Batch, next: Position) -> u64 {
        let mut samples = batch.samples() as u64;
        for table in batch.tables() {
            if !table.keep().in_stores() {
                samples -= table.samples() as u64;
                continue;
            }
            let index = self.group_of(table);
            let group = &mut self.groups[index as usize];
            let Head { metrics, next_series, .. } = self;
            let added = group.append(table, |metric| {
                let name = match metrics.get_key_value(metric) {
                    Some((name, ())) => name.clone(),
                    None => {
                        let name: Arc<str> = metric.into();
                        metrics.insert(name.clone(), ());
                        name
                    }
                };
                *next_series += 1;
                Series::new(*next_series - 1, name)
            });
            self.load.rows += added.rows;
            self.load.bytes += added.bytes;
        }
        self.samples += samples;
        self.stored_total += samples;
        self.skipped_total += batch.samples() as u64 - samples;
        self.applied = self.applied.max(next);
        samples
    }

    /// The log has nothing below `next` any more; so many samples of it were never seen here.
    pub(super) fn shed(&mut self, next: Position, samples: u64) {
        self.shed_total += samples;
        self.pass(next);
    }

    /// There is nothing more to be had below `next`.
    pub(super) fn pass(&mut self, next: Position) {
        self.applied = self.applied.max(next);
    }

    /// The memory that the buffered rows take, counted in samples of eight bytes: a sample is one, a
    /// row one for its time, and eight bytes of text one.
    pub(super) fn load(&self) -> u64 {
        self.samples + self.load.rows + self.load.bytes / 8
    }

    pub(super) fn groups_of(&self, device: &str) -> &[u32] {
        self.by_device.get(device).map_or(&[], Vec::as_slice)
    }

    pub(super) fn series_count(&self) -> u64 {
        self.groups.iter().map(|group| group.series.len() as u64).sum()
    }

    fn group_of(&mut self, table: Table<'_>) -> u32 {
        let identity = table.identity();
        let hash = self.hasher.hash_one(identity);
        let groups = &self.groups;
        let found =
            self.by_identity.find(hash, |&index| &*groups[index as usize].identity == identity);
        match found {
            Some(&index) => index,
            None => {
                let (id, axis) = (self.next_group, self.next_series);
                self.next_group += 1;
                self.next_series += 1;
                self.add_group(id, axis, identity.into(), table.device(), false)
            }
        }
    }

    /// Makes a group known.
    pub(super) fn add_group(
        &mut self,
        id: i64,
        axis: u32,
        identity: Arc<str>,
        device: &str,
        in_file: bool,
    ) -> u32 {
        let index = self.groups.len() as u32;
        let device: Arc<str> = match self.by_device.get_key_value(device) {
            Some((device, _)) => device.clone(),
            None => device.into(),
        };
        self.by_device.entry(device.clone()).or_default().push(index);
        let hash = self.hasher.hash_one(&*identity);
        self.groups.push(Group {
            id,
            axis,
            identity,
            device,
            series: Vec::new(),
            by_metric: HashMap::default(),
            rows: Rows::default(),
            rows_hint: 0,
            in_file,
        });
        let Head { groups, hasher, by_identity, .. } = self;
        by_identity.insert_unique(hash, index, |&index| {
            hasher.hash_one(&*groups[index as usize].identity)
        });
        index
    }

    /// Makes a series of a group known, as it is in the file.
    pub(super) fn add_series(&mut self, group: u32, row: SeriesRow) {
        let metric = match self.metrics.get_key_value(&row.metric) {
            Some((name, ())) => name.clone(),
            None => {
                self.metrics.insert(row.metric.clone(), ());
                row.metric
            }
        };
        self.groups[group as usize].push_series(Series {
            id: row.id,
            metric,
            unit: row.unit,
            first: row.first,
            last: row.last,
            value: row.value,
            dirty: false,
            hint: 0,
        });
    }

    /// Takes the samples out, to be flushed; `None` if there is nothing that the file lacks.
    pub(super) fn freeze(&mut self) -> Option<Arc<Frozen>> {
        if self.applied == self.durable && self.samples == 0 {
            return None;
        }
        let mut frozen = Frozen {
            groups: Vec::new(),
            new_groups: Vec::new(),
            series: Vec::new(),
            samples: std::mem::take(&mut self.samples),
            stored_total: self.stored_total,
            shed_total: self.shed_total,
            skipped_total: self.skipped_total,
            next: self.applied,
            next_group: self.next_group,
            next_series: self.next_series,
        };
        self.load = Load::default();
        for (index, group) in self.groups.iter_mut().enumerate() {
            group.freeze(index as u32, &mut frozen);
        }
        let frozen = Arc::new(frozen);
        self.frozen = Some(frozen.clone());
        Some(frozen)
    }

    /// Says that what was frozen last is in the file.
    pub(super) fn thaw(&mut self) {
        if let Some(frozen) = self.frozen.take() {
            self.durable = frozen.next;
        }
    }
}

impl Group {
    /// Appends the rows of a table; returns by how much it grew.
    fn append(&mut self, table: Table<'_>, mut new_series: impl FnMut(&str) -> Series) -> Load {
        let times = table.times();
        // Rows without a value would take memory that no count of samples bounds.
        if table.columns().all(|column| column.present() == 0) {
            return Load::default();
        }
        let base = self.rows.times.len();
        if base == 0 && self.rows_hint > 0 {
            self.rows.times.reserve_exact(self.rows_hint);
        }
        self.rows.times.extend_from_slice(times);
        let ascending = times.is_sorted();
        let mut bytes = 0;
        let mut guess = 0;
        for column in table.columns() {
            let index = match self.series.get(guess) {
                Some(series) if &*series.metric == column.metric() => guess,
                _ => self.series_of(column.metric(), &mut new_series),
            };
            guess = index + 1;
            let rows = base..base + times.len();
            let cells = &mut self.rows.columns[index];
            bytes += cells.append(column, rows, self.series[index].hint);
            self.series[index].note(column, times, ascending);
        }
        Load { rows: times.len() as u64, bytes: bytes as u64 }
    }

    /// The index of a metric, which is made known if it is new.
    fn series_of(&mut self, metric: &str, new_series: &mut impl FnMut(&str) -> Series) -> usize {
        match self.find(metric) {
            Some(index) => index,
            None => {
                self.push_series(new_series(metric));
                self.series.len() - 1
            }
        }
    }

    /// The index of a metric. A device has tens of them, which are looked through in a row; one
    /// with thousands gets a table.
    pub(super) fn find(&self, metric: &str) -> Option<usize> {
        if self.series.len() <= LINEAR_SERIES_MAX {
            return self.series.iter().position(|series| &*series.metric == metric);
        }
        self.by_metric.get(metric).map(|&index| index as usize)
    }

    fn push_series(&mut self, series: Series) {
        self.series.push(series);
        self.rows.columns.push(Cells::default());
        if self.series.len() > LINEAR_SERIES_MAX {
            for index in self.by_metric.len()..self.series.len() {
                self.by_metric.insert(self.series[index].metric.clone(), index as u32);
            }
        }
    }

    fn freeze(&mut self, index: u32, frozen: &mut Frozen) {
        if !self.in_file {
            self.in_file = true;
            frozen.new_groups.push(GroupRow {
                id: self.id,
                axis: self.axis,
                identity: self.identity.clone(),
                device: self.device.clone(),
            });
        }
        for (series, cells) in self.series.iter_mut().zip(&self.rows.columns) {
            series.hint = with_room(cells.values.len());
            if std::mem::take(&mut series.dirty) {
                frozen.series.push(series.row(self.id));
            }
        }
        let rows = self.rows.times.len();
        self.rows_hint = with_room(rows);
        if rows > 0 {
            let empty =
                Rows { times: Vec::new(), columns: vec![Cells::default(); self.series.len()] };
            frozen.groups.push(FrozenGroup {
                index,
                axis: self.axis,
                series: self.series.iter().map(|series| series.id).collect(),
                rows: std::mem::replace(&mut self.rows, empty),
            });
        }
    }
}

/// A little more than last time, so that a steady device never grows its vectors.
fn with_room(count: usize) -> usize {
    count + count / 16
}

impl Series {
    fn new(id: u32, metric: Arc<str>) -> Series {
        let (first, last) = (i64::MAX, i64::MIN);
        Series { id, metric, unit: "".into(), first, last, value: None, dirty: true, hint: 0 }
    }

    /// As it is to be in the file.
    pub(super) fn row(&self, group: i64) -> SeriesRow {
        SeriesRow {
            id: self.id,
            group,
            metric: self.metric.clone(),
            unit: self.unit.clone(),
            first: self.first,
            last: self.last,
            value: self.value.clone(),
        }
    }

    /// Keeps unit, first and last up to date.
    fn note(&mut self, column: model::Column<'_>, times: &[i64], ascending: bool) {
        let unit = column.unit();
        if !unit.is_empty() && *self.unit != *unit {
            self.unit = unit.into();
            self.dirty = true;
        }
        if column.present() == 0 {
            return;
        }
        self.dirty = true;
        let mut present = (0..times.len()).filter(|&row| column.is_present(row));
        let (first, last) = if ascending {
            let first = present.next().unwrap_or(0);
            (first, (first..times.len()).rev().find(|&row| column.is_present(row)).unwrap_or(first))
        } else {
            let first = present.clone().min_by_key(|&row| times[row]).unwrap_or(0);
            // `max_by_key` gives the last of equals: the one that was written last.
            (first, present.max_by_key(|&row| times[row]).unwrap_or(first))
        };
        self.first = self.first.min(times[first]);
        if times[last] >= self.last {
            self.last = times[last];
            self.set_value(column.values(), last);
        }
    }

    fn set_value(&mut self, values: model::Values<'_>, row: usize) {
        if let (Some(Value::Text(old)), model::Values::Texts(texts)) = (&self.value, values)
            && **old == *texts.get(row)
        {
            return;
        }
        self.value = Some(value_at(values, row));
    }
}
