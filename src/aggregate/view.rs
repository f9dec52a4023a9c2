//! Looking at the state: who there is, and the rollups of a series, all or those that changed.

use super::devices::{Device, DeviceId};
use super::fold::{Aggregate, Counts};
use super::names::{MetricId, SeriesId, TableId};
use super::rollup::Rollup;
use super::series::Kind;
use super::settings::Windows;
use crate::model::{Position, Timestamp, tags_of_identity};
use std::time::Duration;

/// Which rollups of a series are wanted. A snapshot and a delta differ in nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// The open windows, and of a silent series the last one.
    Held,
    /// All that records at or after this position changed, closed ones too as far as
    /// [`Aggregate::forgotten`] tells.
    Since(Position),
}

/// A device with its tags.
#[derive(Clone, Copy)]
pub struct TableView<'a> {
    aggregate: &'a Aggregate,
    id: TableId,
}

/// A series.
#[derive(Clone, Copy)]
pub struct SeriesView<'a> {
    aggregate: &'a Aggregate,
    id: SeriesId,
}

impl Aggregate {
    /// The position of the next record to fold: everything before it is in the state.
    #[must_use]
    pub fn next(&self) -> Position {
        self.next
    }

    /// The latest receipt in the log so far; `None` before the first record.
    #[must_use]
    pub fn log_time(&self) -> Option<Timestamp> {
        (self.log_time.0 != i64::MIN).then_some(self.log_time)
    }

    /// The lowest position that [`Filter::Since`] is complete for.
    #[must_use]
    pub fn forgotten(&self) -> Position {
        self.store.ring.forgotten()
    }

    /// The first record that an open window was told by, of devices that were heard of lately:
    /// folding again from here, or from anywhere before, gives the same open windows.
    #[must_use]
    pub fn oldest_open(&self) -> Position {
        let after = self.log_time.saturating_sub(self.settings.hold);
        self.devices.oldest_open(after).unwrap_or(self.next)
    }

    /// The widths of windows.
    #[must_use]
    pub fn windows(&self) -> &Windows {
        &self.settings.windows
    }

    /// What was seen so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// How many series there are.
    #[must_use]
    pub fn series_len(&self) -> usize {
        self.names.series.len()
    }

    /// How many metric names there are; their ids are below this.
    #[must_use]
    pub fn metrics_len(&self) -> usize {
        self.names.metrics_len()
    }

    /// A metric's name.
    ///
    /// # Panics
    /// If the id is not from this aggregate, as slices do; so do the other look-ups by id.
    #[must_use]
    pub fn metric(&self, id: MetricId) -> &str {
        self.names.metric(id)
    }

    /// How many tables there are; their ids are below this.
    #[must_use]
    pub fn tables_len(&self) -> usize {
        self.names.tables.len()
    }

    /// A table.
    #[must_use]
    pub fn table(&self, id: TableId) -> TableView<'_> {
        TableView { aggregate: self, id }
    }

    /// All devices.
    pub fn devices(&self) -> impl ExactSizeIterator<Item = (DeviceId, &Device)> {
        self.devices.iter()
    }

    /// A device.
    #[must_use]
    pub fn device(&self, id: DeviceId) -> &Device {
        self.devices.get(id)
    }

    /// The device of this name.
    #[must_use]
    pub fn find_device(&self, name: &str) -> Option<DeviceId> {
        self.devices.find(name)
    }

    /// Makes a device known that was seen before the log begins; offline until the log tells of it.
    pub fn seed_device(&mut self, name: &str, first_seen: Timestamp, last_seen: Timestamp) {
        let id = self.devices.intern(name, first_seen);
        let device = self.devices.get_mut(id);
        device.first_seen = device.first_seen.min(first_seen);
        device.last_seen = device.last_seen.max(last_seen);
    }

    /// Somebody who knows tells whether a device is online; from now on only that counts.
    pub fn device_told(&mut self, name: &str, online: bool, now: Timestamp) {
        let id = self.devices.intern(name, now);
        self.devices.told(id, online, now);
    }

    /// Calls those devices offline that were not heard of for too long.
    pub fn presence(&mut self, now: Timestamp) {
        self.devices.presence(now, self.settings.offline_after);
    }

    /// Puts a device on the list of changed ones, because something beside the log changed.
    pub fn mark_device(&mut self, id: DeviceId) {
        self.devices.mark(id);
    }

    /// The devices whose state changed since the last call: new, online, offline, marked.
    pub fn take_changed_devices(&mut self) -> Vec<DeviceId> {
        self.devices.take_changed()
    }

    /// Bytes that it holds, from the capacities of its parts; walks over all tables and devices.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.names.memory_bytes()
            + self.devices.memory_bytes()
            + self.store.arena.memory_bytes()
            + self.store.ring.memory_bytes()
    }

    /// Bytes of closed rollups among [`Aggregate::memory_bytes`].
    #[must_use]
    pub fn resume_bytes(&self) -> usize {
        self.store.ring.memory_bytes()
    }

    /// How long a device's open windows hold back the log after its last receipt.
    #[must_use]
    pub fn hold(&self) -> Duration {
        self.settings.hold
    }
}

impl<'a> TableView<'a> {
    /// Its id.
    #[must_use]
    pub fn id(self) -> TableId {
        self.id
    }

    /// The device.
    #[must_use]
    pub fn device(self) -> &'a Device {
        self.aggregate.device(self.aggregate.names.tables[self.id.0 as usize].device)
    }

    /// Its tags, in the order of their keys.
    pub fn tags(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        tags_of_identity(&self.aggregate.names.tables[self.id.0 as usize].identity)
    }

    /// The last record that changed any of its series, or had late samples for them.
    #[must_use]
    pub fn touched(self) -> Position {
        self.aggregate.names.tables[self.id.0 as usize].touched
    }

    /// Whether a record at or after `since` had samples for it whose windows were closed: no rollup
    /// tells of them.
    #[must_use]
    pub fn has_late(self, since: Position) -> bool {
        self.aggregate.names.tables[self.id.0 as usize].late > since
    }

    /// The last record that changed any unit of its series.
    #[must_use]
    pub fn units_touched(self) -> Position {
        self.aggregate.names.tables[self.id.0 as usize].units_touched
    }

    /// Its series, in the order in which they were first seen.
    pub fn series(self) -> impl ExactSizeIterator<Item = SeriesView<'a>> {
        let aggregate = self.aggregate;
        aggregate.names.tables[self.id.0 as usize]
            .series
            .iter()
            .map(move |&id| SeriesView { aggregate, id })
    }
}

impl<'a> SeriesView<'a> {
    /// Its id.
    #[must_use]
    pub fn id(self) -> SeriesId {
        self.id
    }

    /// The id of its metric's name.
    #[must_use]
    pub fn metric_id(self) -> MetricId {
        self.aggregate.names.series[self.id.0 as usize].metric
    }

    /// Its metric's name.
    #[must_use]
    pub fn metric(self) -> &'a str {
        self.aggregate.metric(self.metric_id())
    }

    /// Its unit, if the client told it.
    #[must_use]
    pub fn unit(self) -> Option<&'a str> {
        let unit = self.aggregate.names.series[self.id.0 as usize].unit?;
        Some(self.aggregate.names.unit(unit))
    }

    /// The type of its values.
    #[must_use]
    pub fn kind(self) -> Kind {
        self.aggregate.names.series[self.id.0 as usize].kind
    }

    /// The last record that changed it.
    #[must_use]
    pub fn touched(self) -> Position {
        self.aggregate.names.series[self.id.0 as usize].touched
    }

    /// Its rollups at a level as (start, rollup), oldest first, into `out`, which is cleared.
    pub fn rollups(self, level: usize, filter: Filter, out: &mut Vec<(i64, Rollup)>) {
        let series = &self.aggregate.names.series[self.id.0 as usize];
        match filter {
            Filter::Held => series.held(level, &self.aggregate.store, out),
            Filter::Since(since) => series.since(level, since, &self.aggregate.store, out),
        }
    }
}
