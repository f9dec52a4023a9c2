//! Samples into rollups: one per series and window, each given out once, when it can change no more.
//!
//! ```text
//!            a device's windows                       its watermark: its latest time so far
//!   ──┬──────────┬──────────┬──────────┬───►  time               │
//!     │  closed  │  closed  │   open   │ open ··                  ▼
//!   ──┴──────────┴──────────┴──────────┴───►          ◄─ lateness ─┤
//!       given out; what comes now is late    closed when watermark - lateness is past its end
//! ```
//!
//! Pure: told the time, it knows of no clock, log or store. The rules are those of the aggregate that
//! viewers see (widths, lateness, a watermark per device that moves when a whole batch is in); unlike
//! it this gives each window away when that is closed and forgets it, and keeps whole numbers whole.
//!
//! # Folding again
//! A sink settles two positions: the *head*, where all that was closed before is written; and the one
//! to *keep from*, the first record that told of any window that is open. After a crash the log is
//! folded anew from there, and what closes before the head is thrown away. At the head the open windows
//! are then what they were, because
//! - every record that told of one of them is in that stretch;
//! - a device's watermark is the time of a sample in one of its open windows, so that it is found
//!   again, and with it, which samples are late. (That is why only samples that are selected move it.)
//!
//! Two things are not told by that stretch, and are remembered beside the positions: up to where the
//! windows reached of a device that fell silent, because they were closed by the time ([`Floor`]); and
//! the rules, so that it is folded again by the old ones where somebody has changed them.

mod closed;
mod rollup;
mod rules;
#[cfg(test)]
mod tests;

pub use closed::{Closed, samples_of};
pub use rollup::{Rollup, TEXT_BYTES_MAX, Value};
pub use rules::Rules;

use super::round::Source;
use crate::model::{ClientId, Column, Position, Table, Timestamp};
use crate::spool::Protocol;
use foldhash::fast::RandomState;
use rules::Selection;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// What is closed of a device whatever its watermark says: samples before `until` are late.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Floor {
    /// Its name.
    pub device: Arc<str>,
    /// The end of a window, nanoseconds.
    pub until: i64,
}

/// Samples of a record that are in no window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Apart {
    /// Not selected, or live only.
    pub skipped: u64,
    /// Their window was closed before; or their metric went on with another type in it.
    pub late: u64,
}

/// The open windows of all devices.
#[derive(Debug)]
pub struct Fold {
    rules: Rules,
    selection: Selection,
    devices: HashMap<Arc<str>, Device, RandomState>,
    /// Samples in open windows.
    open: u64,
    /// The devices of a batch; reused.
    touched: Vec<Arc<str>>,
}

#[derive(Debug)]
struct Device {
    /// The latest time of its samples; `i64::MIN` before the first.
    watermark: i64,
    /// What the batch being folded makes the watermark.
    next: Option<i64>,
    /// See [`Floor`].
    floor: i64,
    last_received: Timestamp,
    tables: Vec<Open>,
}

/// The open windows of a device with one set of tags.
#[derive(Debug)]
struct Open {
    /// As [`Table::identity`].
    identity: Arc<str>,
    metrics: Vec<Arc<str>>,
    index: HashMap<Arc<str>, usize, RandomState>,
    /// Oldest first.
    windows: Vec<Window>,
}

#[derive(Debug)]
struct Window {
    start: i64,
    /// The first record that told of it.
    first: Position,
    /// Where what came last for it is from.
    protocol: Protocol,
    client: ClientId,
    received_at: Timestamp,
    samples: u64,
    /// By the index of the metric.
    rollups: Vec<Option<Rollup>>,
}

impl Fold {
    /// Without open windows.
    ///
    /// # Errors
    /// If a glob of the rules is none.
    pub fn new(
        rules: Rules,
        floors: impl IntoIterator<Item = Floor>,
    ) -> Result<Fold, globset::Error> {
        let device = |it: Floor| (it.device, Device::new(it.until));
        let devices = floors.into_iter().map(device).collect();
        let selection = Selection::of(&rules)?;
        Ok(Fold { rules, selection, devices, open: 0, touched: Vec::new() })
    }

    /// Goes on with other rules, but for the width of windows. What is closed stays closed: gives what
    /// must be remembered for that.
    ///
    /// # Errors
    /// If a glob of the rules is none; then nothing is changed.
    pub fn go_on_with(&mut self, rules: Rules) -> Result<Vec<Floor>, globset::Error> {
        let mut floors = Vec::new();
        if rules == self.rules {
            return Ok(floors);
        }
        self.selection = Selection::of(&rules)?;
        for (name, device) in &mut self.devices {
            let limit = device.limit(&self.rules);
            if limit > device.floor {
                device.floor = limit;
                floors.push(Floor { device: Arc::clone(name), until: limit });
            }
        }
        self.rules = Rules { width: self.rules.width, ..rules };
        Ok(floors)
    }

    /// The rules in force.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Folds a record. The windows that it closes are moved to `closed`.
    pub fn apply(&mut self, record: &Source, closed: &mut Closed) -> Apart {
        let mut apart = Apart::default();
        for table in record.batch.tables() {
            let mut columns: Vec<_> = table.columns().collect();
            let is_for_it = table.keep().in_stores() && self.selection.has_device(table.device());
            if !is_for_it {
                columns.clear();
            }
            columns.retain(|column| self.selection.has_metric(column.metric()));
            let selected: usize = columns.iter().map(|column| column.present()).sum();
            apart.skipped += (table.samples() - selected) as u64;
            if selected == 0 {
                continue;
            }
            let (name, device) = device(&mut self.devices, table.device());
            if device.next.is_none() {
                self.touched.push(name);
            }
            device.last_received = device.last_received.max(record.received_at);
            let late = device.fold(table, &columns, record, &self.rules);
            apart.late += late;
            self.open += selected as u64;
            self.open -= late;
        }
        // Only now: tables of one batch are not late to each other.
        for name in self.touched.drain(..) {
            let Some(device) = self.devices.get_mut(&name) else { continue };
            device.watermark = device.watermark.max(device.next.take().unwrap_or(i64::MIN));
            let limit = device.limit(&self.rules);
            self.open -= device.close(limit, self.rules.width, closed);
        }
        apart
    }

    /// Closes all windows of the devices of which nothing was received for longer than `patience`, but
    /// of no more devices once `closed` has so many rollups: the others are closed by the next call.
    pub fn end_silent(
        &mut self,
        now: Timestamp,
        patience: Duration,
        closed: &mut Closed,
        rollups_max: usize,
    ) -> Vec<Floor> {
        let mut floors = Vec::new();
        for (name, device) in &mut self.devices {
            if closed.rollups() >= rollups_max {
                break;
            }
            if device.tables.is_empty() || now.since(device.last_received) <= patience {
                continue;
            }
            let windows = device.tables.iter().flat_map(|table| &table.windows);
            let newest = windows.map(|window| window.start).max().unwrap_or(i64::MIN);
            device.floor = device.floor.max(newest.saturating_add(self.rules.width));
            self.open -= device.close(device.floor, self.rules.width, closed);
            floors.push(Floor { device: Arc::clone(name), until: device.floor });
        }
        floors
    }

    /// The first record that told of a window that is open; none if none is.
    #[must_use]
    pub fn keep_from(&self) -> Option<Position> {
        let tables = self.devices.values().flat_map(|device| &device.tables);
        tables.flat_map(|table| &table.windows).map(|window| window.first).min()
    }

    /// Samples in open windows.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.open
    }
}

/// The device of this name, made if it is new.
fn device<'a>(
    devices: &'a mut HashMap<Arc<str>, Device, RandomState>,
    name: &str,
) -> (Arc<str>, &'a mut Device) {
    let name = match devices.get_key_value(name) {
        Some((known, _)) => Arc::clone(known),
        None => name.into(),
    };
    let device = devices.entry(Arc::clone(&name)).or_insert_with(|| Device::new(i64::MIN));
    (name, device)
}

impl Device {
    fn new(floor: i64) -> Device {
        let (watermark, last_received) = (i64::MIN, Timestamp(i64::MIN));
        Device { watermark, next: None, floor, last_received, tables: Vec::new() }
    }

    /// Windows that end at or before this are closed.
    fn limit(&self, rules: &Rules) -> i64 {
        self.watermark.saturating_sub(rules.lateness).max(self.floor)
    }

    /// Folds the columns of a table; gives how many samples are in no window.
    fn fold(
        &mut self,
        table: Table<'_>,
        columns: &[Column<'_>],
        record: &Source,
        rules: &Rules,
    ) -> u64 {
        let limit = self.limit(rules);
        let is_of_it = |open: &Open| *open.identity == *table.identity();
        let at = self.tables.iter().position(is_of_it).unwrap_or_else(|| {
            self.tables.push(Open::new(table.identity()));
            self.tables.len() - 1
        });
        let open = &mut self.tables[at];
        let mut late = 0;
        let mut latest = self.next.unwrap_or(i64::MIN);
        for column in columns {
            let metric = open.metric(column.metric());
            let values = column.values();
            for (row, &time) in table.times().iter().enumerate() {
                if !column.is_present(row) {
                    continue;
                }
                latest = latest.max(time);
                let start = time.div_euclid(rules.width).saturating_mul(rules.width);
                if start.saturating_add(rules.width) <= limit {
                    late += 1;
                    continue;
                }
                let window = open.window(start, record);
                late += window.add(metric, time, Value::at(values, row), record);
            }
        }
        self.next = Some(latest);
        if open.windows.is_empty() {
            self.tables.swap_remove(at);
        }
        late
    }

    /// Moves the windows that end at or before `limit` to `closed`; gives how many samples they have.
    fn close(&mut self, limit: i64, width: i64, closed: &mut Closed) -> u64 {
        let mut samples = 0;
        for table in &mut self.tables {
            let is_due = |window: &Window| window.start.saturating_add(width) <= limit;
            let due = table.windows.partition_point(is_due);
            for window in table.windows.drain(..due) {
                samples += window.samples;
                closed.push(&table.identity, &table.metrics, window);
            }
        }
        self.tables.retain(|table| !table.windows.is_empty());
        samples
    }
}

impl Open {
    fn new(identity: &str) -> Open {
        let (metrics, windows) = (Vec::new(), Vec::new());
        Open { identity: identity.into(), metrics, index: HashMap::default(), windows }
    }

    /// The index of a metric.
    fn metric(&mut self, name: &str) -> usize {
        if let Some(&index) = self.index.get(name) {
            return index;
        }
        let name: Arc<str> = name.into();
        self.metrics.push(Arc::clone(&name));
        self.index.insert(name, self.metrics.len() - 1);
        self.metrics.len() - 1
    }

    /// The window that begins at `start`; most samples are for the newest.
    fn window(&mut self, start: i64, record: &Source) -> &mut Window {
        let found = match self.windows.last() {
            Some(newest) if newest.start == start => Ok(self.windows.len() - 1),
            _ => self.windows.binary_search_by_key(&start, |window| window.start),
        };
        let at = found.unwrap_or_else(|at| {
            self.windows.insert(at, Window::new(start, record));
            at
        });
        &mut self.windows[at]
    }
}

impl Window {
    fn new(start: i64, record: &Source) -> Window {
        Window {
            start,
            first: record.position,
            protocol: record.protocol,
            client: record.client.clone(),
            received_at: record.received_at,
            samples: 0,
            rollups: Vec::new(),
        }
    }

    /// Adds a sample; gives how many it no longer tells of.
    fn add(&mut self, metric: usize, time: i64, value: Value<'_>, record: &Source) -> u64 {
        if self.received_at != record.received_at || *self.client != *record.client {
            self.received_at = record.received_at;
            self.client = record.client.clone();
            self.protocol = record.protocol;
        }
        if self.rollups.len() <= metric {
            self.rollups.resize(metric + 1, None);
        }
        let gone = match &mut self.rollups[metric] {
            Some(rollup) => rollup.add(time, value),
            empty => {
                *empty = Some(Rollup::one(time, value));
                0
            }
        };
        self.samples += 1;
        self.samples -= gone;
        gone
    }
}
