//! The order of a node's messages: numbers 0 to 255 and round again, over the node and its devices
//! (tck-id-payloads-sequence-num-incrementing). What comes too early waits for what is missing, for a
//! time (tck-id-operational-behavior-host-reordering-start).

use super::topic::Verb;
use crate::model::Timestamp;

/// A message that waits.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) seq: u8,
    pub(super) verb: Verb,
    pub(super) device: Option<Box<str>>,
    pub(super) payload: Box<[u8]>,
    pub(super) received_at: Timestamp,
}

/// What number comes next, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// `None`: whatever comes is the first.
    expected: Option<u8>,
    /// At most as many as the cap; few, so that looking through them is cheap.
    held: Vec<Held>,
    /// Since when something has been missing.
    missing_since: Option<Timestamp>,
    /// When the last message that was taken was sent, by the node's clock.
    last_sent: Option<u64>,
}

impl Order {
    /// Starts anew, after the message of that number, and gives back who waited.
    pub(super) fn restart(&mut self, after: Option<u8>) -> Vec<Held> {
        self.expected = after.map(|seq| seq.wrapping_add(1));
        self.missing_since = None;
        self.last_sent = None;
        std::mem::take(&mut self.held)
    }

    /// Whether the message of that number is due.
    pub(super) fn is_next(&self, seq: u8) -> bool {
        self.expected.is_none_or(|expected| expected == seq)
    }

    /// How many messages are missing before that one; many, if its number was taken already.
    pub(super) fn missing_before(&self, seq: u8) -> usize {
        self.expected.map_or(0, |expected| seq.wrapping_sub(expected)).into()
    }

    /// Whether a message was sent before the last one that was taken.
    pub(super) fn is_overtaken(&self, sent: Option<u64>) -> bool {
        matches!((sent, self.last_sent), (Some(sent), Some(last)) if sent < last)
    }

    /// That message was taken.
    pub(super) fn taken(&mut self, seq: u8, sent: Option<u64>) {
        self.expected = Some(seq.wrapping_add(1));
        self.last_sent = sent;
    }

    /// Who waited for its turn and has it now.
    pub(super) fn next_held(&mut self) -> Option<Held> {
        let at = self.held.iter().position(|held| self.expected == Some(held.seq));
        if at.is_none() {
            // Who still waits, waits for another message, from its own coming on.
            self.missing_since = self.held.iter().map(|held| held.received_at).min();
        }
        at.map(|at| self.held.remove(at))
    }

    /// Lets a message wait; gives it back if there is no room or one of its number waits already.
    pub(super) fn hold(&mut self, held: Held, max: usize) -> Result<(), Held> {
        if self.held.len() >= max || self.held.iter().any(|other| other.seq == held.seq) {
            return Err(held);
        }
        self.missing(held.received_at);
        self.held.push(held);
        Ok(())
    }

    /// Something is missing.
    pub(super) fn missing(&mut self, now: Timestamp) {
        self.missing_since.get_or_insert(now);
    }

    /// Since when something has been missing.
    pub(super) fn missing_since(&self) -> Option<Timestamp> {
        self.missing_since
    }

    /// Gives up on what is missing: who waited, in order, and how many never came.
    pub(super) fn give_up(&mut self) -> (Vec<Held>, u64) {
        let expected = self.expected.unwrap_or_default();
        let mut held = self.restart(None);
        held.sort_by_key(|held| held.seq.wrapping_sub(expected));
        let missing = held.first().map_or(1, |held| held.seq.wrapping_sub(expected));
        (held, missing.into())
    }

    /// Bytes of who waits.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.held.iter().map(Held::bytes).sum()
    }
}

impl Held {
    pub(super) fn bytes(&self) -> usize {
        size_of::<Held>()
            + self.payload.len()
            + self.device.as_ref().map_or(0, |device| device.len())
    }
}
