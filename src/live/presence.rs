//! Devices as viewers and the HTTP surface see them, and what is known of them beside the log.

use crate::aggregate::{Aggregate, Clock, ClockPolicy, DeviceId, MINUTES, Seed, Via};
use crate::model::{ClientId, Timestamp};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// What a client said of itself when it connected. Shown for the device of the same name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientInfo {
    /// Free facts.
    pub labels: BTreeMap<String, String>,
    /// Program and version; empty if it did not say.
    pub software: String,
}

/// A device that is known from before the log begins: the history knows it, or it was written down.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownDevice {
    /// What the aggregate begins with.
    pub seed: Seed,
    /// What was known of it.
    pub info: ClientInfo,
    /// An operator's labels.
    pub labels: BTreeMap<String, String>,
    /// Where its client last came from.
    pub address: Option<IpAddr>,
}

/// A batch that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusalNote {
    /// When.
    pub at: Timestamp,
    /// As the wire contract names it.
    pub code: &'static str,
    /// What its client was told.
    pub message: String,
}

/// The state of a device.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceState {
    /// Its name.
    pub id: String,
    /// Whether it is there.
    pub online: bool,
    /// Since when it is that.
    pub since: Timestamp,
    /// Why it is that, if there is something to say of it.
    pub reason: Option<Arc<str>>,
    /// The way that its last batch came; `None` if that is not known.
    pub via: Option<Via>,
    /// Where its client last came from.
    pub address: Option<IpAddr>,
    /// Receipt of its first batch.
    pub first_seen: Timestamp,
    /// Receipt of its last batch.
    pub last_seen: Timestamp,
    /// What it said of itself.
    pub info: ClientInfo,
    /// An operator's labels, which count more than its own.
    pub labels: BTreeMap<String, String>,
    /// How many series live has of it.
    pub series: u32,
    /// How far apart its readings usually come, once that is learned.
    pub interval: Option<Duration>,
    /// An operator's word for that.
    pub expected: Option<Duration>,
    /// Somebody who knows tells whether it is online.
    pub told: bool,
    /// What its clock shows beside ours; `None` before its first reading.
    pub clock: Option<Clock>,
    /// What is done when that is off.
    pub clock_policy: ClockPolicy,
    /// Whether an operator said that.
    pub clock_policy_set: bool,
    /// An operator knows it; else it waits in the inbox.
    pub known: bool,
    /// Batches of its client that were refused since the daemon started.
    pub refused: u64,
    /// More of it, when it was asked for alone.
    pub detail: Option<DeviceDetail>,
}

/// What is told of a device that is asked for alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceDetail {
    /// Its readings in each of the last minutes, oldest first; the last minute is not over.
    pub arrivals: [u32; MINUTES],
    /// The last refusals of its client, oldest first.
    pub refusals: Vec<RefusalNote>,
}

impl DeviceState {
    /// Its labels: the client's, and over them the operator's.
    #[must_use]
    pub fn all_labels(&self) -> BTreeMap<&str, &str> {
        merged(&self.info.labels, &self.labels).collect()
    }
}

fn merged<'a>(
    client: &'a BTreeMap<String, String>,
    operator: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let own = client.iter().filter(|(key, _)| !operator.contains_key(*key));
    own.chain(operator).map(|(key, value)| (key.as_str(), value.as_str()))
}

/// The most clients whose words are remembered, and the most of which it is known where they come
/// from; those of further ones are not, and that is counted.
const CLIENTS_MAX: usize = 100_000;
/// The most clients whose refusals are told apart.
const REFUSED_MAX: usize = 10_000;
/// Refusals of a client that are remembered; the oldest goes first.
pub(super) const NOTES_MAX: usize = 8;

/// Refusals of a client.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    pub count: u64,
    pub last: VecDeque<RefusalNote>,
}

impl Refusals {
    pub fn add(&mut self, count: u64, notes: impl IntoIterator<Item = RefusalNote>) {
        self.count += count;
        for note in notes {
            if self.last.len() >= NOTES_MAX {
                self.last.pop_front();
            }
            self.last.push_back(note);
        }
    }
}

/// What is known of clients and devices beside the log.
#[derive(Debug, Default)]
pub(super) struct Infos {
    by_name: HashMap<String, ClientInfo>,
    /// What operators said of devices.
    labels: HashMap<Arc<str>, BTreeMap<String, String>>,
    addresses: HashMap<ClientId, IpAddr>,
    refused: HashMap<ClientId, Refusals>,
    /// Clients whose words were not remembered.
    pub dropped: u64,
}

impl Infos {
    /// Remembers it; tells whether that is news.
    pub fn set(&mut self, client: String, info: ClientInfo) -> bool {
        if self.by_name.get(&client) == Some(&info) {
            return false;
        }
        if self.by_name.len() >= CLIENTS_MAX && !self.by_name.contains_key(&client) {
            self.dropped += 1;
            return false;
        }
        self.by_name.insert(client, info);
        true
    }

    /// What is known of a device from before.
    pub fn restore(&mut self, known: &KnownDevice) {
        let name = &known.seed.name;
        if known.info != ClientInfo::default() && !self.by_name.contains_key(&**name) {
            self.set(name.to_string(), known.info.clone());
        }
        if !known.labels.is_empty() {
            self.labels.insert(name.clone(), known.labels.clone());
        }
        let via = known.seed.rest.as_ref().and_then(|rest| rest.via.as_ref());
        if let (Some(via), Some(address)) = (via, known.address) {
            self.set_address(via.client.clone(), address);
        }
    }

    pub fn set_address(&mut self, client: ClientId, address: IpAddr) {
        if self.addresses.len() < CLIENTS_MAX || self.addresses.contains_key(&client) {
            self.addresses.insert(client, address);
        }
    }

    /// Sets an operator's labels; `None` removes one.
    pub fn set_labels(&mut self, device: &Arc<str>, changes: &BTreeMap<String, Option<String>>) {
        let labels = self.labels.entry(device.clone()).or_default();
        for (key, value) in changes {
            match value {
                Some(value) => drop(labels.insert(key.clone(), value.clone())),
                None => drop(labels.remove(key)),
            }
        }
        if labels.is_empty() {
            self.labels.remove(device);
        }
    }

    pub fn refused(&mut self, client: ClientId, count: u64, notes: Vec<RefusalNote>) {
        if self.refused.len() < REFUSED_MAX || self.refused.contains_key(&client) {
            self.refused.entry(client).or_default().add(count, notes);
        }
    }

    /// Program and version of a device, as it said.
    pub fn software(&self, name: &str) -> &str {
        self.by_name.get(name).map_or("", |info| &info.software)
    }

    /// A device's labels, the operator's over its own.
    pub fn labels(&self, name: &str) -> impl Iterator<Item = (&str, &str)> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        let client = self.by_name.get(name).map_or(&NONE, |info| &info.labels);
        merged(client, self.labels.get(name).unwrap_or(&NONE))
    }

    pub fn refused_count(&self, via: Option<&Via>) -> u64 {
        via.and_then(|via| self.refused.get(&via.client)).map_or(0, |refused| refused.count)
    }

    pub fn state(&self, aggregate: &Aggregate, id: DeviceId) -> DeviceState {
        let device = aggregate.device(id);
        let via = aggregate.via(id);
        DeviceState {
            id: device.name.to_string(),
            online: device.online(),
            since: device.since(),
            reason: device.reason().cloned(),
            address: via.as_ref().and_then(|via| self.addresses.get(&via.client)).copied(),
            first_seen: device.first_seen,
            last_seen: device.last_seen,
            info: self.by_name.get(&*device.name).cloned().unwrap_or_default(),
            labels: self.labels.get(&device.name).cloned().unwrap_or_default(),
            series: device.series,
            interval: device.interval(),
            expected: device.expected(),
            told: device.is_told(),
            clock: aggregate.clock(id),
            clock_policy: aggregate.clock_policy(id),
            clock_policy_set: device.clock_policy.is_some(),
            known: device.known,
            refused: self.refused_count(via.as_ref()),
            via,
            detail: None,
        }
    }

    /// A device with all that is known of it.
    pub fn detailed(&self, aggregate: &Aggregate, id: DeviceId, now: Timestamp) -> DeviceState {
        let mut state = self.state(aggregate, id);
        let refused = state.via.as_ref().and_then(|via| self.refused.get(&via.client));
        state.detail = Some(DeviceDetail {
            arrivals: aggregate.device(id).arrivals(now),
            refusals: refused
                .map_or_else(Vec::new, |refused| refused.last.iter().cloned().collect()),
        });
        state
    }
}
