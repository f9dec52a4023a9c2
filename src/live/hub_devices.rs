//! The hub's devices: what it is told of them beside the log, and when it looks who is there.

use super::device_desk::{Amendment, DeviceDesk};
use super::hub::Hub;
use super::presence::{ClientInfo, DeviceState, KnownDevice};
use super::unsaved::Unsaved;
use super::watch::Teller;
use crate::aggregate::{DeviceId, DeviceTerms, Fact};
use crate::model::Timestamp;
use std::mem::take;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

/// How often it is looked who is offline.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Between two ticks passes a quarter of a second. If it is so much by the clock, the machine slept, or
/// the clock was set.
const JUMP: Duration = Duration::from_secs(15);
/// A clock that is set back by less is waited for.
const BACK: Duration = Duration::from_secs(2);
/// With more of the log unread, nobody is judged by what he did since, nor told what became known.
const LAG_MAX: Duration = Duration::from_secs(2);
/// How often changes are written down, but for those of operators.
const SAVE_INTERVAL: Duration = Duration::from_secs(5);
/// While it catches up with the log, more facts than these are dropped, the newest first.
const WAITING_MAX: usize = 400_000;

/// When it was looked who is there, and what waits to be looked at.
#[derive(Debug)]
pub(super) struct Outlook {
    /// The last sign that the daemon before us was there.
    before_us: Timestamp,
    looked_at: Timestamp,
    ticked_at: Option<Timestamp>,
    waiting: Vec<Fact>,
    pub tellers: Vec<Teller>,
    unsaved: Unsaved,
    saver: Option<SyncSender<Vec<DeviceState>>>,
    saved_at: Timestamp,
    /// An operator changed something.
    save_soon: bool,
}

impl Default for Outlook {
    fn default() -> Outlook {
        Outlook {
            before_us: Timestamp(i64::MIN),
            looked_at: Timestamp(i64::MIN),
            ticked_at: None,
            waiting: Vec::new(),
            tellers: Vec::new(),
            unsaved: Unsaved::default(),
            saver: None,
            saved_at: Timestamp(i64::MIN),
            save_soon: false,
        }
    }
}

impl Hub {
    /// Makes devices known from before the log begins. Before the first record is folded.
    pub(super) fn seed(&mut self, known: Vec<KnownDevice>) {
        for known in known {
            self.infos.restore(&known);
            let (name, last_seen) = (known.seed.name.clone(), known.seed.last_seen);
            let is_written = known.seed.rest.is_some();
            self.aggregate.seed_device(known.seed);
            let Some(id) = self.aggregate.find_device(&name) else { continue };
            if is_written {
                self.outlook.before_us = self.outlook.before_us.max(last_seen);
                self.outlook.unsaved.is_saved(id, last_seen);
            } else {
                self.outlook.unsaved.note(&[id]);
            }
        }
        // Nobody knows of them yet: all are told to whoever comes.
        self.aggregate.take_changed_devices();
    }

    /// Hears of a receipt in the log.
    pub(super) fn note_receipt(&mut self, at: Timestamp) {
        if self.settings.started.is_some_and(|started| at <= started) {
            self.outlook.before_us = self.outlook.before_us.max(at);
        }
    }

    /// Takes what others left on the desk.
    pub(super) fn take_desk(&mut self, desk: DeviceDesk) {
        for (client, address) in desk.addresses {
            self.infos.set_address(client, address);
        }
        for (client, (count, notes)) in desk.refused {
            self.infos.refused(client, count, notes);
        }
        self.see_clocks(desk.clocks);
        if let Some(terms) = desk.terms {
            self.set_device_terms(terms);
        }
        if let Some(saver) = desk.saver {
            self.save_devices(saver);
        }
        let room = WAITING_MAX.saturating_sub(self.outlook.waiting.len());
        self.outlook.waiting.extend(desk.facts.into_iter().take(room));
    }

    /// Finds out who is there.
    pub(super) fn look_at_devices(&mut self, now: Timestamp) {
        self.mind_the_clock(now);
        let behind = self.aggregate.log_time().filter(|_| !self.is_idle);
        let until = behind.map_or(now, |log_time| log_time.min(now));
        if now.since(until) <= LAG_MAX {
            let facts = take(&mut self.outlook.waiting);
            self.aggregate.facts(facts, until);
        }
        if now.since(self.outlook.looked_at) >= LOOK_INTERVAL || now < self.outlook.looked_at {
            self.outlook.looked_at = now;
            self.aggregate.presence(until);
            self.look_at_clocks();
        }
    }

    /// Judges devices so from now on.
    pub(super) fn set_device_terms(&mut self, terms: DeviceTerms) {
        self.aggregate.set_device_terms(terms);
        self.look_at_clocks();
    }

    /// Time in which we were not there is no silence of anybody.
    fn mind_the_clock(&mut self, now: Timestamp) {
        let before = self.outlook.ticked_at.replace(now);
        match before {
            None if self.settings.started.is_some() => {
                let from = self.outlook.before_us;
                if from.0 != i64::MIN && from < now {
                    self.aggregate.absent(from, now);
                }
            }
            Some(before) if now.since(before) > JUMP => self.aggregate.absent(before, now),
            Some(before) if before.since(now) > BACK => self.aggregate.not_after(now),
            _ => {}
        }
    }

    /// Who writes down what changes.
    pub(super) fn save_devices(&mut self, saver: SyncSender<Vec<DeviceState>>) {
        self.outlook.saver = Some(saver);
    }

    /// Has written down what changed, now and then. What there is no room for waits.
    pub(super) fn save_changed(&mut self, changed: &[DeviceId], now: Timestamp) {
        let outlook = &mut self.outlook;
        let Some(saver) = outlook.saver.clone() else { return };
        outlook.unsaved.note(changed);
        let due = now.since(outlook.saved_at) >= SAVE_INTERVAL || now < outlook.saved_at;
        if !due && !outlook.save_soon {
            return;
        }
        let batch = outlook.unsaved.take(&self.aggregate, due);
        if !batch.is_empty() {
            let states = batch.iter().map(|&id| self.infos.state(&self.aggregate, id)).collect();
            if saver.try_send(states).is_err() {
                return outlook.unsaved.put_back(&batch);
            }
        }
        outlook.save_soon = false;
        if due {
            outlook.saved_at = now;
        }
    }

    /// Has written down all that is not.
    pub(super) fn save_rest(&mut self) {
        let Some(saver) = self.outlook.saver.take() else { return };
        let changed = self.aggregate.take_changed_devices();
        self.outlook.unsaved.note(&changed);
        let rest = self.outlook.unsaved.rest(&self.aggregate);
        let states = rest.iter().map(|&id| self.infos.state(&self.aggregate, id)).collect();
        if saver.send(states).is_err() {
            log::warn!("the register of devices is gone; what changed last is not written down");
        }
    }

    /// Remembers what a client said of itself.
    pub(super) fn set_info(&mut self, client: String, info: ClientInfo) {
        let device = self.aggregate.find_device(&client);
        if self.infos.set(client, info)
            && let Some(id) = device
        {
            self.aggregate.mark_device(id);
        }
    }

    /// Changes what an operator may.
    pub(super) fn amend(
        &mut self,
        ids: &[String],
        amendment: &Amendment,
        now: Timestamp,
    ) -> Vec<DeviceState> {
        let found = ids.iter().filter_map(|id| self.aggregate.find_device(id));
        let found: Vec<DeviceId> = found.collect();
        self.outlook.save_soon = true;
        for &id in &found {
            if let Some(known) = amendment.known {
                self.aggregate.set_known(id, known);
            }
            if let Some(policy) = amendment.clock_policy {
                self.aggregate.set_clock_policy(id, policy);
            }
            self.infos.set_labels(&self.aggregate.device(id).name, &amendment.labels);
            self.aggregate.mark_device(id);
        }
        if let Some(expected) = amendment.expected {
            let facts = found.iter().map(|&id| Fact::Expected(id, expected));
            self.aggregate.facts(facts, now);
        }
        found.iter().map(|&id| self.infos.detailed(&self.aggregate, id, now)).collect()
    }

    /// All devices.
    pub(super) fn devices(&self) -> Vec<DeviceState> {
        self.aggregate.devices().map(|(id, _)| self.infos.state(&self.aggregate, id)).collect()
    }

    /// A device.
    pub(super) fn device(&self, name: &str, now: Timestamp) -> Option<DeviceState> {
        let id = self.aggregate.find_device(name)?;
        Some(self.infos.detailed(&self.aggregate, id, now))
    }

    /// Who wants to be told of devices that come and go. Each hears of all devices with the next tick.
    pub(super) fn watch_devices(&mut self, teller: Teller) {
        self.outlook.tellers.push(teller);
    }
}
