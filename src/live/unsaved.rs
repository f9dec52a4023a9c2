//! Which devices the register does not know as they are.

use crate::aggregate::{Aggregate, DeviceId};
use crate::model::Timestamp;
use std::collections::VecDeque;

/// In one batch: more would keep viewers waiting.
const BATCH_MAX: usize = 4_000;
/// A device that only goes on is written once in so many batches.
const ROUNDS: usize = 12;

/// Devices that changed, and when the others were last written.
#[derive(Debug, Default)]
pub(super) struct Unsaved {
    /// Those whose state changed, each once.
    changed: VecDeque<DeviceId>,
    /// Of each device, whether it is among them and which receipt was written.
    known: Vec<(bool, Timestamp)>,
    /// Where to go on looking for devices that were heard of.
    cursor: usize,
}

impl Unsaved {
    /// Notes that this device is written down as of this receipt.
    pub fn is_saved(&mut self, id: DeviceId, last_seen: Timestamp) {
        let index = id.0 as usize;
        self.known.resize(self.known.len().max(index + 1), (false, Timestamp(i64::MIN)));
        self.known[index].1 = last_seen;
    }

    /// Notes that the states of these changed.
    pub fn note(&mut self, changed: &[DeviceId]) {
        for &id in changed {
            let index = id.0 as usize;
            if index >= self.known.len() {
                self.known.resize(index + 1, (false, Timestamp(i64::MIN)));
            }
            if !std::mem::replace(&mut self.known[index].0, true) {
                self.changed.push_back(id);
            }
        }
    }

    /// A batch of devices to write: those that changed, and with `round` some of the others. They
    /// count as written.
    pub fn take(&mut self, aggregate: &Aggregate, round: bool) -> Vec<DeviceId> {
        let count = self.changed.len().min(BATCH_MAX);
        let mut batch: Vec<_> = self.changed.drain(..count).collect();
        if round {
            let all = aggregate.devices().len();
            self.known.resize(all.max(self.known.len()), (false, Timestamp(i64::MIN)));
            let looks = all.div_ceil(ROUNDS).min(BATCH_MAX);
            for _ in 0..looks {
                self.cursor = if self.cursor + 1 < all { self.cursor + 1 } else { 0 };
                let (is_changed, written) = self.known[self.cursor];
                let id = DeviceId(self.cursor as u32);
                if !is_changed && aggregate.device(id).last_seen > written {
                    batch.push(id);
                }
            }
        }
        for id in &batch {
            self.known[id.0 as usize] = (false, aggregate.device(*id).last_seen);
        }
        batch
    }

    /// These were not written after all.
    pub fn put_back(&mut self, batch: &[DeviceId]) {
        self.note(batch);
    }

    /// All that changed or were heard of, at the end.
    pub fn rest(&mut self, aggregate: &Aggregate) -> Vec<DeviceId> {
        self.known.resize(aggregate.devices().len(), (false, Timestamp(i64::MIN)));
        let unwritten = aggregate.devices().filter(|(id, device)| {
            let (is_changed, written) = self.known[id.0 as usize];
            is_changed || device.last_seen > written
        });
        unwritten.map(|(id, _)| id).collect()
    }
}
