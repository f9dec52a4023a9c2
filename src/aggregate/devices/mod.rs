//! Who is there: when a device was seen, how its readings come, whether it is online, and what it
//! holds of the log.

mod activity;
mod clients;
mod interval;
mod presence;
mod skew;

pub use activity::MINUTES;
pub use skew::{Clock, ClockPolicy, ClockState, ClockTerms};

use super::names::TableId;
use super::settings::DeviceTerms;
use crate::model::{ClientId, Position, Protocol, Timestamp};
use activity::Activity;
use clients::{ClientNumber, Clients};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use interval::Interval;
use presence::Presence;
use skew::Skew;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

/// Names a device in this aggregate; counted from 0 in the order in which they were first seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(pub u32);

/// The way that a device's readings come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Via {
    /// Over what.
    pub protocol: Protocol,
    /// Who sends them: the device itself, or its gateway.
    pub client: ClientId,
}

/// What is known of a device from before the log begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Seed {
    /// Its name.
    pub name: Arc<str>,
    /// Receipt of its first batch.
    pub first_seen: Timestamp,
    /// Receipt of its last batch.
    pub last_seen: Timestamp,
    /// The rest, if it was written down.
    pub rest: Option<SeedRest>,
}

/// What was written down of a device.
#[derive(Debug, Clone, PartialEq)]
pub struct SeedRest {
    /// Whether it was online.
    pub online: bool,
    /// Since when it was that.
    pub since: Timestamp,
    /// Why, if there was something to say of it.
    pub reason: Option<Arc<str>>,
    /// The way that its last batch came.
    pub via: Option<Via>,
    /// How far apart its readings usually come.
    pub interval: Option<Duration>,
    /// An operator's word for that.
    pub expected: Option<Duration>,
    /// Somebody who knows told whether it was online.
    pub told: bool,
    /// Whether an operator knows it.
    pub known: bool,
    /// An operator's word for what is done when its clock is off.
    pub clock_policy: Option<ClockPolicy>,
    /// How far its clock was ahead, in nanoseconds, if it was off.
    pub clock_off: Option<i64>,
}

/// Something that is known of devices beside the log, at a time.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// A client connected, to stay for a while.
    Opened(ClientId),
    /// A connection of a client is gone, that had stood for so long.
    Closed(ClientId, Duration),
    /// Somebody who knows tells whether a device is online; from now on only that counts.
    Told {
        /// Which.
        device: String,
        /// Whether it is.
        online: bool,
        /// Why, if there is something to say of it.
        reason: Option<&'static str>,
    },
    /// An operator tells how far apart a device's readings are to come; or that it is to be learned.
    Expected(DeviceId, Option<Duration>),
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
    /// An operator knows it; else it waits in the inbox.
    pub known: bool,
    /// How many series it has.
    pub series: u32,
    /// Its tag sets.
    pub tables: Vec<TableId>,
    /// Latest timestamp of its samples; `i64::MIN` before the first.
    pub(super) watermark: i64,
    /// What the batch being folded makes the watermark.
    pub(super) watermark_next: i64,
    presence: Presence,
    /// Of what was folded or written down; `i64::MIN` = nothing. Records up to here were heard.
    last_receipt: Timestamp,
    via: Option<(Protocol, ClientNumber)>,
    activity: Option<Box<Activity>>,
    skew: Option<Box<Skew>>,
    /// An operator's word for what is done when its clock is off.
    pub clock_policy: Option<ClockPolicy>,
    /// Something is done about its clock: what it shows is told by who does it, not by the log.
    remedied: bool,
    /// Coarsest windows that may still change: (start, the first record that told of it). At most
    /// two: a further one is joined to the newer.
    open: [Option<(i64, Position)>; 2],
    listed: bool,
}

impl Device {
    /// Whether it is there.
    #[must_use]
    pub fn online(&self) -> bool {
        self.presence.online
    }

    /// Since when it is that.
    #[must_use]
    pub fn since(&self) -> Timestamp {
        self.presence.since
    }

    /// Why it is that, if there is something to say of it.
    #[must_use]
    pub fn reason(&self) -> Option<&Arc<str>> {
        self.presence.reason.as_ref()
    }

    /// How far apart its readings usually come, once that is learned.
    #[must_use]
    pub fn interval(&self) -> Option<Duration> {
        self.presence.interval.usual()
    }

    /// An operator's word for that.
    #[must_use]
    pub fn expected(&self) -> Option<Duration> {
        self.presence.expected
    }

    /// Whether somebody who knows tells if it is online.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.presence.told || self.presence.was_told
    }

    /// Its readings in each of the last minutes before `now`, oldest first.
    #[must_use]
    pub fn arrivals(&self, now: Timestamp) -> [u32; MINUTES] {
        self.activity.as_ref().map_or([0; MINUTES], |activity| activity.minutes(now))
    }

    /// What its clock shows beside ours; `None` before its first reading.
    #[must_use]
    pub fn clock(&self, terms: &ClockTerms) -> Option<Clock> {
        self.skew.as_ref().map(|skew| skew.clock(self.expected().or(self.interval()), terms))
    }

    /// How far its clock is ahead, in nanoseconds, and what is thought of that.
    #[must_use]
    pub fn clock_state(&self, terms: &ClockTerms) -> (i64, ClockState) {
        let usual = self.expected().or(self.interval());
        self.skew.as_ref().map_or((0, ClockState::Unknown), |skew| skew.state(usual, terms))
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
#[derive(Debug)]
pub(super) struct Devices {
    all: Vec<Device>,
    by_name: HashTable<DeviceId>,
    hasher: RandomState,
    clients: Clients,
    terms: DeviceTerms,
    /// Nobody is found offline before.
    grace_until: Timestamp,
    /// When we last began to be there: gaps over it say nothing.
    awake_since: Timestamp,
    /// Those whose state changed since it was last asked.
    changed: Vec<DeviceId>,
}

impl Devices {
    pub fn new(terms: DeviceTerms) -> Devices {
        Devices {
            all: Vec::new(),
            by_name: HashTable::new(),
            hasher: RandomState::default(),
            clients: Clients::default(),
            terms,
            grace_until: Timestamp(i64::MIN),
            awake_since: Timestamp(i64::MIN),
            changed: Vec::new(),
        }
    }

    pub fn terms(&self) -> &DeviceTerms {
        &self.terms
    }

    /// What was learned stays; those in the inbox do, too.
    pub fn set_terms(&mut self, terms: DeviceTerms) {
        let before = std::mem::replace(&mut self.terms, terms);
        if before.clock_policy != self.terms.clock_policy {
            (0..self.all.len()).for_each(|index| self.mark(DeviceId(index as u32)));
        }
    }

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

    /// The way that a device's last batch came.
    pub fn via(&self, id: DeviceId) -> Option<Via> {
        let (protocol, client) = self.get(id).via?;
        Some(Via { protocol, client: self.clients.get(client).name.clone() })
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
            known: !self.terms.inbox,
            series: 0,
            tables: Vec::new(),
            watermark: i64::MIN,
            watermark_next: i64::MIN,
            presence: Presence::new(seen),
            last_receipt: Timestamp(i64::MIN),
            via: None,
            activity: None,
            skew: None,
            clock_policy: None,
            remedied: false,
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

    /// Makes a device known that was seen before the log begins. One of which no more was written down
    /// is offline until the log tells of it, and known: nobody wants an inbox full of old friends.
    pub fn seed(&mut self, seed: Seed) {
        let id = self.intern(&seed.name, seed.first_seen);
        let via = seed.rest.as_ref().and_then(|rest| rest.via.as_ref());
        let via = via.and_then(|via| Some((via.protocol, self.clients.intern(&via.client)?)));
        let device = &mut self.all[id.0 as usize];
        device.first_seen = device.first_seen.min(seed.first_seen);
        device.last_seen = device.last_seen.max(seed.last_seen);
        let Some(rest) = seed.rest else {
            device.known |= device.last_receipt.0 == i64::MIN;
            return;
        };
        device.known = rest.known;
        device.via = via;
        device.last_receipt = seed.last_seen;
        device.presence.restore(rest.online, rest.since, seed.last_seen);
        device.presence.reason = rest.reason;
        device.presence.was_told = rest.told;
        device.presence.expected = rest.expected;
        device.clock_policy = rest.clock_policy;
        device.skew = rest.clock_off.map(|offset| Box::new(Skew::off(seed.last_seen, offset)));
        device.presence.interval = rest.interval.map(Interval::known).unwrap_or_default();
    }

    /// Notes a receipt of so many readings.
    pub fn received(&mut self, id: DeviceId, at: Timestamp, via: Option<&Via>, readings: usize) {
        let index = id.0 as usize;
        let device = &mut self.all[index];
        device.first_seen = device.first_seen.min(at);
        device.last_seen = device.last_seen.max(at);
        if device.last_receipt.0 != i64::MIN && at <= device.last_receipt {
            // Known from before, or another part of the same batch.
            if at == device.last_receipt {
                device.activity.get_or_insert_default().count(at, readings);
            }
            return;
        }
        self.judge(id, at);
        let device = &mut self.all[index];
        let counted = device.last_receipt;
        let gap = (counted.0 != i64::MIN && counted > self.awake_since).then(|| at.since(counted));
        device.last_receipt = at;
        device.activity.get_or_insert_default().count(at, readings);
        let before = device.via;
        if let Some(via) = via {
            let same = before.filter(|&(protocol, client)| {
                protocol == via.protocol && self.clients.get(client).name == via.client
            });
            if same.is_none() {
                let client = self.clients.intern(&via.client);
                device.via = client.map(|client| (via.protocol, client));
            }
            // Who told knows of what comes over a broker, and of nothing else.
            device.presence.told &= matches!(via.protocol, Protocol::Mqtt | Protocol::Other(_));
        }
        let otherwise = before.is_some() && before != device.via;
        if device.presence.received(at, gap, otherwise) {
            self.mark(id);
        }
    }

    /// Notes what a device's clock showed when a batch was received: its newest reading's time. From
    /// the log; or `raw`, from who does something about its clock before the log.
    pub fn saw_clock(&mut self, id: DeviceId, at: Timestamp, newest: i64, raw: bool) {
        let device = &mut self.all[id.0 as usize];
        if device.remedied && !raw {
            return;
        }
        let skew = device.skew.get_or_insert_with(|| Box::new(Skew::new(at)));
        skew.see(at, newest, &self.terms.clocks);
    }

    /// Something is done about a device's clock, or no longer.
    pub fn set_remedied(&mut self, id: DeviceId, remedied: bool) {
        self.get_mut(id).remedied = remedied;
    }

    /// Takes what became known at this time.
    pub fn facts(&mut self, facts: impl IntoIterator<Item = Fact>, at: Timestamp) {
        let mut facts = facts.into_iter().peekable();
        if facts.peek().is_none() {
            return;
        }
        // What was before them is judged without them.
        self.judge_all(at);
        for fact in facts {
            match fact {
                Fact::Opened(client) => self.clients.opened(&client),
                Fact::Closed(client, stood) => self.clients.closed(&client, at, stood),
                Fact::Expected(id, expected) => {
                    self.get_mut(id).presence.expected = expected;
                    self.mark(id);
                }
                Fact::Told { device, online, reason } => {
                    let id = self.intern(&device, at);
                    if self.get_mut(id).presence.tell(online, reason, at) {
                        self.mark(id);
                    }
                }
            }
        }
        self.judge_all(at);
    }

    /// We were away from one time to another: that was no silence of anybody.
    pub fn absent(&mut self, from: Timestamp, until: Timestamp) {
        self.all.iter_mut().for_each(|device| device.presence.absent(from, until));
        self.awake_since = until;
        self.grace_until = until.saturating_add(self.terms.presence.offline_after);
    }

    /// Our clock was set back: nothing was heard after now.
    pub fn not_after(&mut self, now: Timestamp) {
        for device in &mut self.all {
            device.first_seen = device.first_seen.min(now);
            device.last_seen = device.last_seen.min(now);
            device.last_receipt = device.last_receipt.min(now);
            device.presence.not_after(now);
        }
        self.awake_since = now;
        self.grace_until = now.saturating_add(self.terms.presence.offline_after);
    }

    /// Finds out who is there at `now`.
    pub fn judge_all(&mut self, now: Timestamp) {
        (0..self.all.len()).for_each(|index| self.judge(DeviceId(index as u32), now));
    }

    fn judge(&mut self, id: DeviceId, now: Timestamp) {
        let device = &mut self.all[id.0 as usize];
        let client = device.via.map(|(_, client)| self.clients.get(client));
        let way = (device.via.map(|(protocol, _)| protocol), client);
        if device.presence.judge(now, way, &self.terms.presence, self.grace_until) {
            self.mark(id);
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
            .map(|device| {
                let activity = device.activity.as_ref().map_or(0, |_| size_of::<Activity>());
                let skew = device.skew.as_ref().map_or(0, |_| size_of::<Skew>());
                let tables = device.tables.capacity() * size_of::<TableId>();
                device.name.len() + 16 + tables + activity + skew
            })
            .sum();
        heap + self.all.capacity() * size_of::<Device>()
            + self.changed.capacity() * size_of::<DeviceId>()
            + self.by_name.allocation_size()
            + self.clients.memory_bytes()
    }
}

#[cfg(test)]
mod tests;
