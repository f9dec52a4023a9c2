//! The fold: a record of the log into the state.

use super::arena::{Arena, Slot};
use super::batch_rollups::{Run, present, rollup, runs};
use super::devices::{DeviceId, Devices, Via};
use super::names::{Names, SeriesId, TableId};
use super::ring::Ring;
use super::series::{Kind, Store};
use super::settings::{Settings, align};
use crate::model::{Batch, Column, Position, Table, Timestamp};

/// The state of all series and devices, as the log tells it up to a position.
pub struct Aggregate {
    pub(super) settings: Settings,
    pub(super) names: Names,
    pub(super) devices: Devices,
    pub(super) store: Store,
    /// The next record to be folded.
    pub(super) next: Position,
    /// See [`Aggregate::set_whole_from`].
    pub(super) whole_from: Position,
    /// The latest receipt in the log so far.
    pub(super) log_time: Timestamp,
    pub(super) counts: Counts,
    /// Tables that changed since this position are listed in `changed`.
    changed_since: Position,
    changed: Vec<TableId>,
    // Reused from batch to batch.
    runs: Vec<Run>,
    batch_devices: Vec<DeviceId>,
    batch_grown: Vec<SeriesId>,
}

/// A series that gets more new windows than this from one table is closed again right after the
/// batch: a backlog of hours must not lie about as open windows.
const GROWN_MAX: usize = 8;

/// What the aggregate has seen.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Samples that were folded.
    pub samples: u64,
    /// Samples whose window was closed when they came.
    pub late_samples: u64,
    /// Samples of series above [`Settings::series_max`].
    pub unfolded_samples: u64,
    /// Samples that are for stores only.
    pub passed_by_samples: u64,
    /// How often a series went on with a type that can't be joined with the one before.
    pub type_changes: u64,
}

impl Aggregate {
    /// An empty one.
    #[must_use]
    pub fn new(settings: Settings) -> Aggregate {
        let devices = Devices::new(settings.devices.clone());
        let store = Store {
            windows: settings.windows.clone(),
            arena: Arena::new(),
            ring: Ring::new(settings.resume_bytes),
            due: Vec::new(),
        };
        Aggregate {
            settings,
            names: Names::default(),
            devices,
            store,
            next: Position(0),
            whole_from: Position(0),
            log_time: Timestamp(i64::MIN),
            counts: Counts::default(),
            changed_since: Position(0),
            changed: Vec::new(),
            runs: Vec::new(),
            batch_devices: Vec::new(),
            batch_grown: Vec::new(),
        }
    }

    /// An empty one, whose log begins at `begin`.
    #[must_use]
    pub fn begin_at(settings: Settings, begin: Position) -> Aggregate {
        Aggregate { next: begin, changed_since: begin, ..Aggregate::new(settings) }
    }

    /// Folds a record. One that lies before [`Aggregate::next`] was folded already and is passed over,
    /// so that no window counts a sample twice.
    pub fn apply(&mut self, position: Position, received_at: Timestamp, batch: &Batch) {
        self.apply_from(position, received_at, None, batch);
    }

    /// Folds a record of which it is known how it came.
    pub fn apply_from(
        &mut self,
        position: Position,
        received_at: Timestamp,
        via: Option<&Via>,
        batch: &Batch,
    ) {
        if position < self.next {
            return;
        }
        self.next = position.next();
        self.log_time = self.log_time.max(received_at);
        for table in batch.tables() {
            self.apply_table((position, received_at, via), table);
        }
        // Only now the watermarks move: tables of one batch are not late to each other.
        let mut devices = std::mem::take(&mut self.batch_devices);
        let coarsest = self.settings.windows.coarsest();
        for id in devices.drain(..) {
            let device = self.devices.get_mut(id);
            device.watermark = device.watermark.max(device.watermark_next);
            device.release(limit(device.watermark, &self.settings), coarsest);
        }
        self.batch_devices = devices;
        while let Some(id) = self.batch_grown.pop() {
            let series = &mut self.names.series[id.0 as usize];
            let device = self.names.tables[series.table.0 as usize].device;
            let limit = limit(self.devices.get(device).watermark, &self.settings);
            series.close(limit, position, &mut self.store);
        }
    }

    fn apply_table(
        &mut self,
        (position, received_at, via): (Position, Timestamp, Option<&Via>),
        table: Table<'_>,
    ) {
        if !table.keep().in_live() {
            self.pass_by((position, received_at, via), table);
            return;
        }
        let times = table.times();
        let Some(latest) = times.iter().copied().max() else { return };
        let Some(id) = self.intern_table(table, received_at) else {
            self.counts.unfolded_samples += table.samples() as u64;
            return;
        };
        let device_id = self.names.tables[id.0 as usize].device;
        self.devices.received(device_id, received_at, via, times.len());
        self.devices.saw_clock(device_id, received_at, latest, false);
        if self.batch_devices.last() != Some(&device_id) {
            self.batch_devices.push(device_id);
        }
        let device = self.devices.get_mut(device_id);
        let entry = &mut self.names.tables[id.0 as usize];
        if entry.read == position.next() {
            // The same table again in one batch is as if it had come in the next one: otherwise a
            // batch could keep any number of windows of a series open.
            device.watermark = device.watermark_next;
        }
        entry.read = position.next();
        device.watermark_next = device.watermark_next.max(latest);
        let limit = limit(device.watermark, &self.settings);
        let mut runs_of_table = std::mem::take(&mut self.runs);
        let finest = self.settings.windows.width(0);
        runs(times, finest, align(limit, finest), &mut runs_of_table);
        let coarsest = self.settings.windows.coarsest();
        for run in runs_of_table.iter().filter(|run| !run.late) {
            device.hold(align(run.start, coarsest), position);
        }
        self.apply_columns(position, table, id, limit, &runs_of_table);
        self.runs = runs_of_table;
    }

    /// No window counts it. But its device was heard of; and who shows the past of these series is
    /// told, as of late samples, that stores have more of it now.
    fn pass_by(
        &mut self,
        (position, received_at, via): (Position, Timestamp, Option<&Via>),
        table: Table<'_>,
    ) {
        self.counts.passed_by_samples += table.samples() as u64;
        if let Some(id) = self.names.table(table.identity()) {
            self.names.tables[id.0 as usize].late = position.next();
            self.touch(id, position);
        }
        let has_room = self.devices.iter().len() < self.settings.series_max;
        let id = match self.devices.find(table.device()) {
            Some(id) => id,
            None if has_room => self.devices.intern(table.device(), received_at),
            None => return,
        };
        self.devices.received(id, received_at, via, table.times().len());
    }

    fn apply_columns(
        &mut self,
        position: Position,
        table: Table<'_>,
        id: TableId,
        limit: i64,
        runs: &[Run],
    ) {
        let mut guess = self.names.tables[id.0 as usize].series.first().copied();
        for column in table.columns().filter(|column| column.present() > 0) {
            let known = guess
                .filter(|&guess| self.names.is(guess, id, column.metric()))
                .or_else(|| self.names.series(id, column.metric()));
            let Some(series) = known.or_else(|| self.add_series(id, column)) else {
                self.counts.unfolded_samples += column.present() as u64;
                continue;
            };
            guess = Some(SeriesId(series.0 + 1));
            self.fold_column(position, table.times(), series, column, limit, runs);
        }
    }

    fn fold_column(
        &mut self,
        position: Position,
        times: &[i64],
        id: SeriesId,
        column: Column<'_>,
        limit: i64,
        runs: &[Run],
    ) {
        if !column.unit().is_empty() && self.names.set_unit(id, column.unit()) {
            let table = self.names.series[id.0 as usize].table;
            self.names.tables[table.0 as usize].units_touched = position;
        }
        let series = &mut self.names.series[id.0 as usize];
        let kind = Kind::of(column.values());
        match series.kind.joined(kind) {
            Some(joined) => series.kind = joined,
            None => {
                series.reset(kind, &mut self.store.arena);
                self.counts.type_changes += 1;
            }
        }
        let width = self.settings.windows.width(0);
        let (mut folded, mut late, mut grown) = (0, 0, 0);
        let mut newer = Slot::NONE;
        for run in runs {
            if run.late {
                late += present(column, run) as u64;
            } else if let Some(rollup) = rollup(column, times, run, position) {
                folded += u64::from(rollup.count());
                let arena = &mut self.store.arena;
                grown += usize::from(series.put(0, run.start, width, rollup, &mut newer, arena));
            }
        }
        if grown > 0 {
            series.close(limit, position, &mut self.store);
        }
        if grown > GROWN_MAX {
            self.batch_grown.push(id);
        }
        let table = series.table;
        if folded > 0 {
            self.counts.samples += folded;
            series.touched = position;
            self.touch(table, position);
        }
        if late > 0 {
            self.counts.late_samples += late;
            self.names.tables[table.0 as usize].late = position.next();
            self.touch(table, position);
        }
    }

    fn touch(&mut self, table: TableId, position: Position) {
        let entry = &mut self.names.tables[table.0 as usize];
        // A table that was never touched has position 0, as if the first record had done it.
        let listed = entry.touched >= self.changed_since && entry.touched != Position(0);
        if !listed && self.changed.last() != Some(&table) {
            self.changed.push(table);
        }
        entry.touched = position;
    }

    fn intern_table(&mut self, table: Table<'_>, seen: Timestamp) -> Option<TableId> {
        if let Some(id) = self.names.table(table.identity()) {
            return Some(id);
        }
        let max = self.settings.series_max;
        if self.names.series.len() >= max || self.names.tables.len() >= max {
            return None;
        }
        let device = self.devices.intern(table.device(), seen);
        let id = self.names.add_table(table.identity(), device);
        self.devices.get_mut(device).tables.push(id);
        Some(id)
    }

    fn add_series(&mut self, table: TableId, column: Column<'_>) -> Option<SeriesId> {
        if self.names.series.len() >= self.settings.series_max {
            return None;
        }
        let device = self.names.tables[table.0 as usize].device;
        self.devices.get_mut(device).series += 1;
        Some(self.names.add_series(table, column.metric(), Kind::of(column.values())))
    }

    /// Tables that changed since the last call, in ascending order.
    pub fn take_changed_tables(&mut self) -> Vec<TableId> {
        self.changed_since = self.next;
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        changed
    }
}

/// Windows that end at or before this are closed.
pub(super) fn limit(watermark: i64, settings: &Settings) -> i64 {
    let lateness = i64::try_from(settings.lateness.as_nanos()).unwrap_or(i64::MAX);
    watermark.saturating_sub(lateness)
}
