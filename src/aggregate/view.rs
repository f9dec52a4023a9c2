//! Looking at the state: who there is, and the rollups of a series, all or those that changed.

use super::devices::{Clock, ClockPolicy, ClockState, Device, DeviceId, Fact, Seed, Via};
use super::fold::{Aggregate, Counts, limit};
use super::names::{MetricId, SeriesId, TableId};
use super::rollup::Rollup;
use super::series::Kind;
use super::settings::{DeviceTerms, Windows, align};
use crate::model::{Position, Timestamp, tags_of_identity};
use std::time::Duration;

/// Which rollups of a series are wanted. A snapshot and a delta differ in nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// The open windows, and of a silent series the last one, if no record of it may be missing.
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

    /// Hears that all windows which were open at this position are whole, while those that were closed before may
    /// lack records from before the first that was folded: they are shown no more.
    pub fn set_whole_from(&mut self, position: Position) {
        self.whole_from = position;
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

    /// Makes a device known that was seen before the log begins. Before the first record is folded.
    pub fn seed_device(&mut self, seed: Seed) {
        self.devices.seed(seed);
    }

    /// Takes what became known beside the log at this time.
    pub fn facts(&mut self, facts: impl IntoIterator<Item = Fact>, at: Timestamp) {
        self.devices.facts(facts, at);
    }

    /// We were away from one time to another: that was no silence of any device.
    pub fn absent(&mut self, from: Timestamp, until: Timestamp) {
        self.devices.absent(from, until);
    }

    /// Our clock was set back: nothing was heard after now.
    pub fn not_after(&mut self, now: Timestamp) {
        self.devices.not_after(now);
    }

    /// How devices are judged.
    #[must_use]
    pub fn device_terms(&self) -> &DeviceTerms {
        self.devices.terms()
    }

    /// They are judged so from now on; what was learned of them stays.
    pub fn set_device_terms(&mut self, terms: DeviceTerms) {
        self.devices.set_terms(terms);
    }

    /// Finds out which devices are there at this time.
    pub fn presence(&mut self, now: Timestamp) {
        self.devices.judge_all(now);
    }

    /// The way that a device's last batch came; `None` before the first.
    #[must_use]
    pub fn via(&self, id: DeviceId) -> Option<Via> {
        self.devices.via(id)
    }

    /// What a device's clock shows beside ours; `None` before its first reading.
    #[must_use]
    pub fn clock(&self, id: DeviceId) -> Option<Clock> {
        self.devices.get(id).clock(&self.devices.terms().clocks)
    }

    /// How far a device's clock is ahead, in nanoseconds, and what is thought of that.
    #[must_use]
    pub fn clock_state(&self, id: DeviceId) -> (i64, ClockState) {
        self.devices.get(id).clock_state(&self.devices.terms().clocks)
    }

    /// What is done when a device's clock is off.
    #[must_use]
    pub fn clock_policy(&self, id: DeviceId) -> ClockPolicy {
        self.devices.get(id).clock_policy.unwrap_or(self.devices.terms().clock_policy)
    }

    /// An operator's word for that; or that there is none.
    pub fn set_clock_policy(&mut self, id: DeviceId, policy: Option<ClockPolicy>) {
        self.devices.get_mut(id).clock_policy = policy;
        self.devices.mark(id);
    }

    /// Notes what a device's clock showed at a receipt, as told by who does something about it before
    /// the log, or refuses its batches. A device that is not known becomes so, if `strangers` may.
    pub fn saw_clock(&mut self, name: &str, at: Timestamp, newest: i64, strangers: bool) {
        let id = match self.devices.find(name) {
            Some(id) => id,
            None if strangers => self.devices.intern(name, at),
            None => return,
        };
        self.devices.saw_clock(id, at, newest, true);
    }

    /// Something is done about a device's clock before the log, or no longer.
    pub fn set_remedied(&mut self, id: DeviceId, remedied: bool) {
        self.devices.set_remedied(id, remedied);
    }

    /// An operator knows a device, or wants it in the inbox again.
    pub fn set_known(&mut self, id: DeviceId, known: bool) {
        self.devices.get_mut(id).known = known;
        self.devices.mark(id);
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
            Filter::Held => {
                series.held(level, &self.aggregate.store, out);
                out.retain(|&(start, ref rollup)| self.is_whole(start, rollup));
            }
            Filter::Since(since) => series.since(level, since, &self.aggregate.store, out),
        }
    }

    /// Whether no record of this window may have been before the first that was folded.
    fn is_whole(self, start: i64, rollup: &Rollup) -> bool {
        let Aggregate { whole_from, names, devices, settings, .. } = self.aggregate;
        if rollup.touched() >= *whole_from {
            return true;
        }
        let series = &names.series[self.id.0 as usize];
        let device = devices.get(names.tables[series.table.0 as usize].device);
        // The log is kept from the first record of each of a device's coarsest windows that are open.
        let coarsest = settings.windows.coarsest();
        align(start, coarsest).saturating_add(coarsest) > limit(device.watermark, settings)
    }
}
