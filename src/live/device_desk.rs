//! What others tell live of devices, and ask it of them.

use super::handle::{Command, Live};
use super::presence::{DeviceState, NOTES_MAX, RefusalNote};
use super::remedies::Remedies;
use crate::aggregate::{ClockPolicy, DeviceTerms, Fact};
use crate::clock;
use crate::model::{ClientId, Timestamp};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Facts that wait for the thread. More come only while it catches up with a long log: those are
/// dropped, and presence goes by readings instead.
const FACTS_MAX: usize = 200_000;
/// Clients that wait for the thread with where they come from or what was refused of them.
const CLIENTS_MAX: usize = 10_000;

/// What waits for the thread.
#[derive(Debug, Default)]
pub(super) struct DeviceDesk {
    pub facts: Vec<Fact>,
    pub addresses: HashMap<ClientId, IpAddr>,
    pub refused: HashMap<ClientId, (u64, Vec<RefusalNote>)>,
    /// Of each device the receipt of its quickest batch, and the time of its newest reading.
    pub clocks: HashMap<Arc<str>, (Timestamp, i64)>,
    pub saver: Option<SyncSender<Vec<DeviceState>>>,
    pub terms: Option<DeviceTerms>,
}

/// What an operator changes about a device; `None` leaves it as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Amendment {
    /// Whether it is known.
    pub known: Option<bool>,
    /// How far apart its readings are to come; or that this is to be learned.
    pub expected: Option<Option<Duration>>,
    /// The operator's labels that are set, or removed.
    pub labels: BTreeMap<String, Option<String>>,
    /// What is done when its clock is off; or that it is as for all.
    pub clock_policy: Option<Option<ClockPolicy>>,
}

/// A client's connection, from which readings come while it stands. Dropped when it is gone.
#[derive(Debug)]
pub struct Connected {
    live: Live,
    client: ClientId,
    since: Instant,
    is_our_end: bool,
}

impl Connected {
    /// It ends; if we stop it is we who close it, which says nothing of the client.
    pub fn ends(&mut self, stop: &CancellationToken) {
        self.is_our_end = stop.is_cancelled();
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        if !self.is_our_end {
            let stood = clock::monotonic().saturating_duration_since(self.since);
            self.live.fact(Fact::Closed(self.client.clone(), stood));
        }
    }
}

impl Live {
    /// A client connected, to stay for a while.
    #[must_use]
    pub fn connected(&self, client: &ClientId, address: IpAddr) -> Connected {
        self.client_at(client, address);
        self.fact(Fact::Opened(client.clone()));
        let (client, since) = (client.clone(), clock::monotonic());
        Connected { live: self.clone(), client, since, is_our_end: false }
    }

    /// Where a client comes from.
    pub fn client_at(&self, client: &ClientId, address: IpAddr) {
        let addresses = &mut self.desk().devices.addresses;
        if addresses.len() < CLIENTS_MAX {
            addresses.insert(client.clone(), address);
        }
    }

    /// A batch of a client was refused.
    pub fn refused(&self, client: &ClientId, code: &'static str, message: &str) {
        let refused = &mut self.desk().devices.refused;
        if refused.len() >= CLIENTS_MAX && !refused.contains_key(client) {
            return;
        }
        let (count, notes) = refused.entry(client.clone()).or_default();
        *count += 1;
        if notes.len() >= NOTES_MAX {
            notes.remove(0);
        }
        notes.push(RefusalNote { at: clock::now(), code, message: message.to_owned() });
    }

    /// Somebody who knows tells whether a device is online, and why: from now on only that counts, not
    /// how often it is heard of.
    pub fn presence(&self, device: &str, online: bool, reason: Option<&'static str>) {
        self.fact(Fact::Told { device: device.to_owned(), online, reason });
    }

    /// Hands the states of devices that changed to who writes them down: batches of some thousands at
    /// most, but for the last. One that finds the queue full is offered again later; live waits only at
    /// its end.
    pub fn save_devices(&self, saver: SyncSender<Vec<DeviceState>>) {
        self.desk().devices.saver = Some(saver);
    }

    /// How devices are judged, from the next tick on. Never waits.
    pub fn set_device_terms(&self, terms: DeviceTerms) {
        self.desk().devices.terms = Some(terms);
    }

    /// What is to be done about clocks before readings enter; `None` if nothing is.
    #[must_use]
    pub fn remedies(&self) -> Option<Arc<Remedies>> {
        self.in_force.get()
    }

    /// What clocks showed at a receipt: devices, and the times of their newest readings.
    pub fn clocks_seen(&self, at: Timestamp, newest: impl Iterator<Item = (Arc<str>, i64)>) {
        let clocks = &mut self.desk().devices.clocks;
        for (device, newest) in newest {
            let is_full = clocks.len() >= CLIENTS_MAX;
            let age = |(at, newest): (Timestamp, i64)| at.0.saturating_sub(newest);
            match clocks.get_mut(&device) {
                Some(seen) if age((at, newest)) < age(*seen) => *seen = (at, newest),
                Some(_) => {}
                None if is_full => {}
                None => drop(clocks.insert(device, (at, newest))),
            }
        }
    }

    fn fact(&self, fact: Fact) {
        let facts = &mut self.desk().devices.facts;
        if facts.len() < FACTS_MAX {
            facts.push(fact);
        }
    }

    /// All devices. Empty if the daemon stops.
    pub async fn devices(&self) -> Vec<DeviceState> {
        let (answer, devices) = oneshot::channel();
        if self.commands.send(Command::Devices(answer)).await.is_err() {
            return Vec::new();
        }
        devices.await.unwrap_or_default()
    }

    /// A device with all that is known of it, if live knows it; nor does it if the daemon stops.
    pub async fn device(&self, id: &str) -> Option<DeviceState> {
        let (answer, device) = oneshot::channel();
        self.commands.send(Command::Device(id.to_owned(), answer)).await.ok()?;
        device.await.ok().flatten()
    }

    /// Changes what an operator may about these devices. Answers with them as they are then; those that
    /// live does not know are left out.
    pub async fn amend(&self, ids: Vec<String>, amendment: Amendment) -> Vec<DeviceState> {
        let (answer, amended) = oneshot::channel();
        if self.commands.send(Command::Amend(ids, amendment, answer)).await.is_err() {
            return Vec::new();
        }
        amended.await.unwrap_or_default()
    }
}
