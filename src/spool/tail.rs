//! The newest entries, decoded, in bounded memory: what followers that keep up read.
//!
//! Knows no files. Full case: the oldest entries are dropped from memory; who still wants them reads
//! them from disk.

use super::record::Entry;
use crate::model::Position;
use std::collections::VecDeque;
use std::sync::Arc;

/// An entry with its place on disk, so that a reader who falls out of the tail need not search.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub entry: Arc<Entry>,
    /// Key of its segment.
    pub segment: u64,
    /// Where in the segment the next record begins.
    pub end: u64,
    /// Samples in all batches up to and with this one.
    pub samples_end: u64,
}

/// A run of entries with consecutive positions that ends with the newest.
#[derive(Debug)]
pub(super) struct Tail {
    slots: VecDeque<Slot>,
    bytes: usize,
    bytes_max: usize,
}

impl Tail {
    pub fn new(bytes_max: usize) -> Tail {
        Tail { slots: VecDeque::new(), bytes: 0, bytes_max }
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    pub fn push(&mut self, slot: Slot) {
        self.bytes += slot.entry.memory_bytes();
        self.slots.push_back(slot);
        while self.bytes > self.bytes_max {
            let Some(slot) = self.slots.pop_front() else { break };
            self.bytes -= slot.entry.memory_bytes();
        }
    }

    /// Forgets everything: a record was stored whose batch is not at hand.
    pub fn clear(&mut self) {
        self.slots.clear();
        self.bytes = 0;
    }

    /// Forgets what nobody needs: entries below this position.
    pub fn release(&mut self, below: Position) {
        while let Some(slot) = self.slots.front()
            && slot.entry.position < below
        {
            self.bytes -= slot.entry.memory_bytes();
            self.slots.pop_front();
        }
    }

    /// The entry at this position and those after it; `None` if it is not in memory.
    pub fn from(&self, position: Position) -> Option<impl Iterator<Item = &Slot>> {
        let front = self.slots.front()?.entry.position;
        let skip = usize::try_from(position.0.checked_sub(front.0)?).ok()?;
        (skip < self.slots.len()).then(|| self.slots.range(skip..))
    }
}
