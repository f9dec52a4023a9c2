//! The hub's look at clocks: whose are off, and what is done about them.

use super::hub::Hub;
use super::remedies::{InForce, Remedies, Remedy};
use crate::aggregate::{ClockPolicy, ClockState};
use crate::model::Timestamp;
use std::collections::HashMap;
use std::sync::Arc;

/// Devices that are known only because their batches were refused for their clocks.
const STRANGERS_MAX: usize = 10_000;
/// A shift follows the clock in steps of this part of what is tolerated: so times keep their order
/// but for those steps.
const STEP: u64 = 10;

/// What is done about clocks, and what is known of it.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    pub in_force: Arc<InForce>,
    now: Remedies,
    strangers: usize,
    pub counts: Counts,
}

/// How many devices are so, when last counted.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counts {
    pub online: usize,
    pub unknown: usize,
    pub off: usize,
}

impl Hub {
    /// Notes what clocks showed, as told by who does something about them: of each device the time of
    /// its newest reading at a receipt.
    pub(super) fn see_clocks(&mut self, seen: HashMap<Arc<str>, (Timestamp, i64)>) {
        for (device, (at, newest)) in seen {
            let is_stranger = self.aggregate.find_device(&device).is_none();
            let has_room = self.clocks.strangers < STRANGERS_MAX
                && self.aggregate.devices().len() < self.settings.aggregate.series_max;
            self.clocks.strangers += usize::from(is_stranger && has_room);
            self.aggregate.saw_clock(&device, at, newest, has_room);
        }
    }

    /// Finds out what is to be done about clocks.
    pub(super) fn look_at_clocks(&mut self) {
        let terms = self.aggregate.device_terms();
        let (policy, tolerance) = (terms.clock_policy, terms.clocks.tolerance.as_nanos());
        let step = u64::try_from(tolerance).unwrap_or(u64::MAX) / STEP;
        let mut next = Remedies { policy, devices: HashMap::new() };
        let mut counts = Counts::default();
        for (id, device) in self.aggregate.devices() {
            let (offset, state) = self.aggregate.clock_state(id);
            counts.online += usize::from(device.online());
            counts.unknown += usize::from(!device.known);
            counts.off += usize::from(state == ClockState::Off);
            let wanted = self.aggregate.clock_policy(id);
            let before = self.clocks.now.devices.get(&device.name).copied();
            let remedy = match (wanted, state) {
                (ClockPolicy::Accept, _) => None,
                (ClockPolicy::Correct, ClockState::Off) => Some(Remedy::Shift(match before {
                    Some(Remedy::Shift(shift)) if shift.abs_diff(offset) <= step => shift,
                    _ => offset,
                })),
                (ClockPolicy::Quarantine, ClockState::Off) => Some(Remedy::Refuse(offset)),
                // While it is not known whether it is still off, what was done goes on.
                (ClockPolicy::Correct, ClockState::Unknown) => {
                    before.filter(|before| matches!(before, Remedy::Shift(_)))
                }
                (ClockPolicy::Quarantine, ClockState::Unknown) => {
                    before.filter(|before| matches!(before, Remedy::Refuse(_)))
                }
                (_, ClockState::Ok) => None,
            };
            // Under a policy of its own it is watched at the door from the beginning.
            let own = device.clock_policy.filter(|own| *own != ClockPolicy::Accept);
            if let Some(remedy) = remedy.or(own.map(|_| Remedy::Watch)) {
                next.devices.insert(device.name.clone(), remedy);
            }
        }
        self.clocks.counts = counts;
        if next == self.clocks.now {
            return;
        }
        for name in self.clocks.now.devices.keys().chain(next.devices.keys()) {
            let acts = next.devices.get(name).is_some_and(|remedy| *remedy != Remedy::Watch);
            if let Some(id) = self.aggregate.find_device(name) {
                self.aggregate.set_remedied(id, acts);
            }
        }
        self.clocks.in_force.set(next.clone());
        self.clocks.now = next;
    }
}
