//! Devices as viewers and the HTTP surface see them.

use crate::aggregate::{Aggregate, Device, Via};
use crate::model::Timestamp;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What a client said of itself when it connected. Shown for the device of the same name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientInfo {
    /// Free facts.
    pub labels: BTreeMap<String, String>,
    /// Program and version; empty if it did not say.
    pub software: String,
}

/// A device that the history knows.
#[derive(Debug, Clone)]
pub struct KnownDevice {
    /// Its name.
    pub id: String,
    /// Receipt of its first batch.
    pub first_seen: Timestamp,
    /// Receipt of its last batch.
    pub last_seen: Timestamp,
    /// What was known of it.
    pub info: ClientInfo,
}

/// The state of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceState {
    /// Its name.
    pub id: String,
    /// Whether it is heard of as often as usual.
    pub online: bool,
    /// Since when it is that.
    pub since: Timestamp,
    /// Why it is that, if there is something to say of it.
    pub reason: Option<Arc<str>>,
    /// The way that its last batch came; `None` if that is not known.
    pub via: Option<Via>,
    /// Receipt of its first batch.
    pub first_seen: Timestamp,
    /// Receipt of its last batch.
    pub last_seen: Timestamp,
    /// What it said of itself.
    pub info: ClientInfo,
    /// How many series live has of it.
    pub series: u32,
}

/// The most clients whose words are remembered; those of further ones are not, and that is counted.
const CLIENTS_MAX: usize = 100_000;

/// What clients said of themselves.
#[derive(Debug, Default)]
pub(super) struct Infos {
    by_name: HashMap<String, ClientInfo>,
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

    pub fn get(&self, name: &str) -> Option<&ClientInfo> {
        self.by_name.get(name)
    }

    pub fn state(&self, device: &Device) -> DeviceState {
        DeviceState {
            id: device.name.to_string(),
            online: device.online,
            since: device.since,
            reason: device.reason.clone(),
            via: device.via.clone(),
            first_seen: device.first_seen,
            last_seen: device.last_seen,
            info: self.get(&device.name).cloned().unwrap_or_default(),
            series: device.series,
        }
    }

    /// All devices.
    pub fn states(&self, aggregate: &Aggregate) -> Vec<DeviceState> {
        aggregate.devices().map(|(_, device)| self.state(device)).collect()
    }
}
