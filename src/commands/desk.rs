//! The commands that are open: which may be sent, which are over. Pure: it is told the time and what
//! happened.
//!
//! Whoever calls writes down what changed before anybody is told: a command before its id is, and
//! "sent" before the command is handed over. That is what at most once rests on: after a crash
//! nothing that may have been written to a connection is queued.

use super::command::{Answer, CancelError, Carrier, Command, Delivery, State, Via};
use crate::model::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// Names one conversation, as long as the daemon runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LineId(pub u64);

/// How much may be open.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Commands of one device.
    pub per_device: usize,
    /// Commands of all.
    pub open: usize,
    /// Bytes of all.
    pub bytes: usize,
    /// One that is sent at least once is sent again if nothing was heard of it for so long.
    pub resend: Duration,
}

/// Why no more is taken; whoever asks comes back later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Full {
    /// Of this device.
    #[error("{max} commands of this device are open; wait until some are over, or cancel them")]
    Device {
        /// As many as there may be.
        max: usize,
    },
    /// Of all.
    #[error("as many commands are open as there may be, of all devices")]
    All,
}

/// All open commands.
#[derive(Debug)]
pub struct Desk {
    bounds: Bounds,
    open: BTreeMap<u64, Open>,
    by_device: HashMap<Arc<str>, BTreeSet<u64>>,
    expiries: BTreeSet<(Timestamp, u64)>,
    bytes: usize,
}

#[derive(Debug)]
struct Open {
    command: Command,
    bytes: usize,
    /// Where it was handed over, as long as that conversation goes on.
    on: Option<LineId>,
}

impl Desk {
    /// An empty one.
    #[must_use]
    pub fn new(bounds: Bounds) -> Desk {
        Desk {
            bounds,
            open: BTreeMap::new(),
            by_device: HashMap::new(),
            expiries: BTreeSet::new(),
            bytes: 0,
        }
    }

    /// These hold from now on; what there is more of stays.
    pub fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// Whether there is room for one more.
    ///
    /// # Errors
    /// [`Full`].
    pub fn has_room(&self, device: &str, bytes: usize) -> Result<(), Full> {
        let max = self.bounds.per_device;
        if self.by_device.get(device).map_or(0, BTreeSet::len) >= max {
            return Err(Full::Device { max });
        }
        if self.open.len() >= self.bounds.open || self.bytes + bytes > self.bounds.bytes {
            return Err(Full::All);
        }
        Ok(())
    }

    /// Takes an open command: a new one, or one that was open before a restart.
    pub fn add(&mut self, command: Command) {
        let (id, bytes) = (command.id, command.bytes());
        self.bytes += bytes;
        self.expiries.insert((command.expires_at, id));
        self.by_device.entry(command.device.clone()).or_default().insert(id);
        self.open.insert(id, Open { command, bytes, on: None });
    }

    /// Takes one out, as it is.
    pub fn remove(&mut self, id: u64) -> Option<Command> {
        let Open { command, bytes, .. } = self.open.remove(&id)?;
        self.bytes -= bytes;
        self.expiries.remove(&(command.expires_at, id));
        if let Some(ids) = self.by_device.get_mut(&command.device) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_device.remove(&command.device);
            }
        }
        Some(command)
    }

    /// An open command.
    #[must_use]
    pub fn get(&self, id: u64) -> Option<&Command> {
        self.open.get(&id).map(|open| &open.command)
    }

    /// All open commands, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Command> {
        self.open.values().map(|open| &open.command)
    }

    /// How many are in each of the open states: queued, sent.
    #[must_use]
    pub fn counts(&self) -> [usize; 2] {
        let queued = self.iter().filter(|command| command.state == State::Queued).count();
        [queued, self.open.len() - queued]
    }

    /// What may be handed over to a device now, in the order in which it was asked for.
    #[must_use]
    pub fn due(&self, device: &str, now: Timestamp) -> Vec<u64> {
        let ids = self.by_device.get(device).into_iter().flatten();
        ids.copied().filter(|id| self.is_due(*id, now)).collect()
    }

    /// Devices that something may be handed over to now.
    #[must_use]
    pub fn waiting(&self, now: Timestamp) -> Vec<Arc<str>> {
        let devices = self.by_device.iter();
        let waiting = devices.filter(|(_, ids)| ids.iter().any(|id| self.is_due(*id, now)));
        waiting.map(|(device, _)| device.clone()).collect()
    }

    fn is_due(&self, id: u64, now: Timestamp) -> bool {
        let Some(Open { command, on, .. }) = self.open.get(&id) else { return false };
        if now >= command.expires_at {
            return false;
        }
        let unheard = || {
            let sent_at = command.sent_at.unwrap_or_default();
            on.is_none() || now >= sent_at.saturating_add(self.bounds.resend)
        };
        match (command.state, command.delivery) {
            (State::Queued, _) => true,
            (State::Sent, Delivery::AtLeastOnce) => unheard(),
            _ => false,
        }
    }

    /// One that is due is about to be handed over: returns it as it is then. Call
    /// [`Desk::put_back`] if that could not be written down; then it must not be handed over.
    pub fn hand(
        &mut self,
        id: u64,
        line: LineId,
        carrier: &Carrier,
        via: Via,
        now: Timestamp,
    ) -> Option<Command> {
        if !self.is_due(id, now) {
            return None;
        }
        let open = self.open.get_mut(&id)?;
        open.command.sent(carrier, via, now);
        open.on = Some(line);
        Some(open.command.clone())
    }

    /// It was not handed over after all: it is as it was before.
    pub fn put_back(&mut self, before: Command) {
        if let Some(open) = self.open.get_mut(&before.id) {
            (open.command, open.on) = (before, None);
        }
    }

    /// These conversations are over. What was handed over there may be sent again if that is asked for.
    pub fn lost(&mut self, is_lost: impl Fn(LineId) -> bool) {
        for open in self.open.values_mut().filter(|open| open.on.is_some_and(&is_lost)) {
            open.on = None;
        }
    }

    /// Who carries it says how it goes, or why it waits.
    pub fn note(&mut self, id: u64, via: Option<Via>, message: String) -> Option<&Command> {
        let open = self.open.get_mut(&id)?;
        open.command.via = via.or(open.command.via);
        open.command.message = message;
        Some(&open.command)
    }

    /// A device answered: returns the command as it ends.
    pub fn answer(&mut self, answer: Answer, now: Timestamp) -> Option<Command> {
        let mut command = self.remove(answer.id)?;
        command.answered(answer, now);
        Some(command)
    }

    /// Nobody can do it: returns the command as it ends.
    pub fn refuse(&mut self, id: u64, message: String, now: Timestamp) -> Option<Command> {
        self.answer(Answer { id, ok: false, message, result: None }, now)
    }

    /// Somebody takes one back: returns it as it ends; `None` if it is not open.
    ///
    /// # Errors
    /// [`CancelError`]; then nothing changed.
    pub fn cancel(
        &mut self,
        id: u64,
        by: &str,
        now: Timestamp,
    ) -> Result<Option<Command>, CancelError> {
        let Some(open) = self.open.get_mut(&id) else { return Ok(None) };
        open.command.cancelled(by, now)?;
        Ok(self.remove(id))
    }

    /// Those whose time to live is over, as they end.
    pub fn expire(&mut self, now: Timestamp) -> Vec<Command> {
        let mut expired = Vec::new();
        while let Some((at, id)) = self.expiries.first().copied().filter(|(at, _)| *at <= now) {
            self.expiries.remove(&(at, id));
            if let Some(mut command) = self.remove(id) {
                command.expired(now);
                expired.push(command);
            }
        }
        expired
    }

    /// When the next is over.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Timestamp> {
        self.expiries.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
#[path = "desk_tests.rs"]
mod tests;
