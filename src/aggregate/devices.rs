//! Who is there: when a device was seen, whether it is online, and what it holds of the log.

use super::names::TableId;
use crate::model::{ClientId, Position, Protocol, Timestamp};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

/// Names a device in this aggregate; counted from 0 in the order in which they were first seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(pub u32);

/// A gap between receipts that is longer than this says nothing about a device's usual interval.
const INTERVAL_MAX_NS: i64 = 60 * 60 * 1_000_000_000;

/// The way that a device's readings come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Via {
    /// Over what.
    pub protocol: Protocol,
    /// Who sends them: the device itself, or its gateway.
    pub client: ClientId,
}

/// A device as the log tells of it.
#[derive(Debug)]
pub struct Device {
    /// Its name.
    pub name: Arc<str>,
    /// Receipt of its first batch, as far as is known.
    pub first_seen: Timestamp,
    /// Receipt of its last batch.
    pub last_seen: Timestamp,
    /// Whether it is heard of as often as usual; or what was told of it.
    pub online: bool,
    /// Since when it is that.
    pub since: Timestamp,
    /// Why it is that, if there is something to say of it.
    pub reason: Option<Arc<str>>,
    /// The way that its last batch came; `None` before the first.
    pub via: Option<Via>,
    /// Somebody who knows tells whether it is online: how often it is heard of says nothing.
    told: bool,
    /// How many series it has.
    pub series: u32,
    /// Its tag sets.
    pub tables: Vec<TableId>,
    /// Latest timestamp of its samples; `i64::MIN` before the first.
    pub(super) watermark: i64,
    /// What the batch being folded makes the watermark.
    pub(super) watermark_next: i64,
    /// A smoothed gap between its receipts, nanoseconds; 0 = not known.
    interval: i64,
    /// Coarsest windows that may still change: (start, the first record that told of it). At most
    /// two: a further one is joined to the newer.
    open: [Option<(i64, Position)>; 2],
    listed: bool,
}

impl Device {
    /// The silence after which it is called offline.
    fn patience(&self, offline_after: Duration) -> Duration {
        let usual = Duration::from_nanos(self.interval.unsigned_abs().saturating_mul(5));
        usual.max(offline_after)
    }

    /// Notes that a record tells of the coarsest window at `start`.
    pub(super) fn hold(&mut self, start: i64, at: Position) {
        match &mut self.open {
            [Some((known, _)), _] | [_, Some((known, _))] if *known == start => {}
            [free @ None, _] | [_, free @ None] => *free = Some((start, at)),
            [_, Some((known, _))] => *known = (*known).max(start),
        }
    }

    /// Lets go of the coarsest windows that ended at or before `limit`.
    pub(super) fn release(&mut self, limit: i64, width: i64) {
        for open in &mut self.open {
            if open.is_some_and(|(start, _)| start.saturating_add(width) <= limit) {
                *open = None;
            }
        }
    }
}

/// All devices.
#[derive(Debug, Default)]
pub(super) struct Devices {
    all: Vec<Device>,
    by_name: HashTable<DeviceId>,
    hasher: RandomState,
    /// Those whose state changed since it was last asked.
    changed: Vec<DeviceId>,
}

impl Devices {
    pub fn get(&self, id: DeviceId) -> &Device {
        &self.all[id.0 as usize]
    }

    pub fn get_mut(&mut self, id: DeviceId) -> &mut Device {
        &mut self.all[id.0 as usize]
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (DeviceId, &Device)> {
        self.all.iter().enumerate().map(|(index, device)| (DeviceId(index as u32), device))
    }

    pub fn find(&self, name: &str) -> Option<DeviceId> {
        let hash = self.hasher.hash_one(name);
        self.by_name.find(hash, |id| &*self.all[id.0 as usize].name == name).copied()
    }

    /// The device of this name; a new one is offline until something is received from it.
    pub fn intern(&mut self, name: &str, seen: Timestamp) -> DeviceId {
        if let Some(id) = self.find(name) {
            return id;
        }
        let id = DeviceId(self.all.len() as u32);
        self.all.push(Device {
            name: name.into(),
            first_seen: seen,
            last_seen: seen,
            online: false,
            since: seen,
            reason: None,
            via: None,
            told: false,
            series: 0,
            tables: Vec::new(),
            watermark: i64::MIN,
            watermark_next: i64::MIN,
            interval: 0,
            open: [None; 2],
            listed: false,
        });
        let (all, hasher) = (&self.all, &self.hasher);
        self.by_name.insert_unique(hasher.hash_one(name), id, |id| {
            hasher.hash_one(&*all[id.0 as usize].name)
        });
        self.mark(id);
        id
    }

    /// Notes a receipt.
    pub fn received(&mut self, id: DeviceId, at: Timestamp) {
        let device = &mut self.all[id.0 as usize];
        let gap = at.0.saturating_sub(device.last_seen.0);
        if gap > 0 && gap < INTERVAL_MAX_NS && device.watermark != i64::MIN {
            device.interval = if device.interval == 0 {
                gap
            } else {
                device.interval + (gap - device.interval) / 8
            };
        }
        device.last_seen = device.last_seen.max(at);
        device.first_seen = device.first_seen.min(at);
        if !device.online && !device.told {
            device.online = true;
            device.since = at;
            device.reason = None;
            self.mark(id);
        }
    }

    /// Notes the way that a batch came.
    pub fn came(&mut self, id: DeviceId, via: &Via) {
        let device = &mut self.all[id.0 as usize];
        if device.via.as_ref() != Some(via) {
            device.via = Some(via.clone());
        }
    }

    /// Somebody who knows tells whether it is online; from now on only that counts.
    pub fn told(&mut self, id: DeviceId, online: bool, now: Timestamp) {
        let device = &mut self.all[id.0 as usize];
        device.told = true;
        if std::mem::replace(&mut device.online, online) != online {
            device.since = now;
            device.reason = None;
            self.mark(id);
        }
    }

    /// Calls those offline that were not heard of for too long.
    pub fn presence(&mut self, now: Timestamp, offline_after: Duration) {
        for index in 0..self.all.len() {
            let device = &mut self.all[index];
            if device.online
                && !device.told
                && now.since(device.last_seen) > device.patience(offline_after)
            {
                let patience = device.patience(offline_after);
                device.online = false;
                device.since = device.last_seen.saturating_add(patience);
                let reason = format!("no reading for {} s", patience.as_secs());
                device.reason = Some(reason.into());
                self.mark(DeviceId(index as u32));
            }
        }
    }

    /// Puts it on the list of those whose state changed.
    pub fn mark(&mut self, id: DeviceId) {
        let device = &mut self.all[id.0 as usize];
        if !std::mem::replace(&mut device.listed, true) {
            self.changed.push(id);
        }
    }

    /// Those whose state changed since the last call.
    pub fn take_changed(&mut self) -> Vec<DeviceId> {
        let changed = std::mem::take(&mut self.changed);
        for id in &changed {
            self.all[id.0 as usize].listed = false;
        }
        changed
    }

    /// The first record that an open window of a device heard of since `after` was told by.
    pub fn oldest_open(&self, after: Timestamp) -> Option<Position> {
        let alive = self.all.iter().filter(|device| device.last_seen >= after);
        alive.flat_map(|device| device.open.iter().flatten()).map(|&(_, at)| at).min()
    }

    pub fn memory_bytes(&self) -> usize {
        let heap: usize = self
            .all
            .iter()
            .map(|device| device.name.len() + 16 + device.tables.capacity() * size_of::<TableId>())
            .sum();
        heap + self.all.capacity() * size_of::<Device>()
            + self.changed.capacity() * size_of::<DeviceId>()
            + self.by_name.allocation_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(s: i64) -> Timestamp {
        Timestamp(s * 1_000_000_000)
    }

    #[test]
    fn a_device_is_offline_after_five_of_its_intervals_or_the_configured_time() {
        let mut devices = Devices::default();
        let id = devices.intern("pump", seconds(0));
        assert_eq!(devices.take_changed(), [id]);
        for s in 0..20 {
            devices.received(id, seconds(60 * s));
            devices.get_mut(id).watermark = 0;
        }
        assert_eq!(devices.take_changed(), [id], "it came online once");
        let last = 60 * 19;
        let patience = Duration::from_secs(30);
        devices.presence(seconds(last + 299), patience);
        assert!(devices.get(id).online);
        devices.presence(seconds(last + 301), patience);
        assert!(!devices.get(id).online);
        assert_eq!(devices.take_changed(), [id]);
        assert!(devices.take_changed().is_empty());
    }

    #[test]
    fn what_is_told_of_a_device_counts_more_than_how_often_it_is_heard_of() {
        let mut devices = Devices::default();
        let id = devices.intern("pump", seconds(0));
        devices.received(id, seconds(0));
        devices.told(id, true, seconds(0));
        assert_eq!(devices.take_changed(), [id]);
        devices.presence(seconds(10_000), Duration::from_secs(30));
        assert!(devices.get(id).online, "it is quiet, and there");
        devices.told(id, false, seconds(10_000));
        devices.received(id, seconds(10_001));
        assert!(!devices.get(id).online, "the reading that tells of its death is no sign of life");
        assert_eq!(devices.take_changed(), [id]);
    }

    #[test]
    fn more_open_windows_than_fit_hold_the_log_no_less() {
        let mut devices = Devices::default();
        let id = devices.intern("pump", seconds(0));
        let device = devices.get_mut(id);
        for (start, at) in [(0, 5), (60, 6), (120, 7), (0, 8)] {
            device.hold(start, Position(at));
        }
        device.release(60, 60);
        assert_eq!(devices.oldest_open(seconds(0)), Some(Position(6)));
        devices.get_mut(id).release(120, 60);
        assert_eq!(devices.oldest_open(seconds(0)), Some(Position(6)), "120 was joined to it");
        devices.get_mut(id).release(180, 60);
        assert_eq!(devices.oldest_open(seconds(0)), None);
    }
}
