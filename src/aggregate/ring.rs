//! Closed rollups, for viewers who resume: appended in the order of closing, forgotten oldest first.

use super::rollup::Rollup;
use crate::model::Position;
use std::collections::VecDeque;

/// Names an entry for ever, whether it is still there or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link(u64);

impl Link {
    pub const NONE: Link = Link(u64::MAX);
}

/// A rollup that will not change any more.
#[derive(Debug)]
pub(super) struct Closed {
    pub rollup: Rollup,
    /// The record by whose reading it was closed: later than, or the same as, the one that touched it.
    pub closed_at: Position,
    /// The one closed before it, of the same series.
    pub before: Link,
    pub level: u8,
}

/// A bounded queue of [`Closed`]. When it is full, the oldest is dropped and remembered as forgotten.
#[derive(Debug)]
pub(super) struct Ring {
    entries: VecDeque<Closed>,
    /// Name of the oldest entry.
    begin: u64,
    bytes: usize,
    bytes_max: usize,
    /// A viewer who knows less than this can't be told all that it missed.
    forgotten: Position,
}

impl Ring {
    pub fn new(bytes_max: usize) -> Ring {
        // Reserved at once, because a queue that doubles would take twice what it may.
        let entries = VecDeque::with_capacity(bytes_max / size_of::<Closed>() + 1);
        Ring { entries, begin: 0, bytes: 0, bytes_max, forgotten: Position(0) }
    }

    /// Appends one.
    pub fn push(&mut self, closed: Closed) -> Link {
        self.bytes += bytes(&closed.rollup);
        self.entries.push_back(closed);
        let link = Link(self.begin + self.entries.len() as u64 - 1);
        while self.bytes > self.bytes_max
            && let Some(oldest) = self.entries.pop_front()
        {
            self.begin += 1;
            self.bytes -= bytes(&oldest.rollup);
            self.forgotten = self.forgotten.max(oldest.rollup.touched().next());
        }
        link
    }

    /// The entry, unless it is forgotten.
    pub fn get(&self, link: Link) -> Option<&Closed> {
        let index = link.0.checked_sub(self.begin)?;
        self.entries.get(usize::try_from(index).ok()?)
    }

    /// The lowest cursor for which everything touched at or after it is still here.
    pub fn forgotten(&self) -> Position {
        self.forgotten
    }

    pub fn memory_bytes(&self) -> usize {
        self.bytes + (self.entries.capacity() - self.entries.len()) * size_of::<Closed>()
    }
}

fn bytes(rollup: &Rollup) -> usize {
    size_of::<Closed>() + rollup.heap_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::rollup::Numbers;

    #[test]
    fn the_oldest_are_forgotten_first_and_that_is_told() {
        let mut ring = Ring::new(3 * size_of::<Closed>());
        let links: Vec<_> = (0..5)
            .map(|at| {
                ring.push(Closed {
                    rollup: Rollup::Number(Numbers::one(0, 0.0, Position(at))),
                    closed_at: Position(at + 10),
                    before: Link::NONE,
                    level: 0,
                })
            })
            .collect();
        let kept: Vec<_> =
            links.iter().map(|&link| ring.get(link).map(|c| c.rollup.touched().0)).collect();
        assert_eq!(kept, [None, None, Some(2), Some(3), Some(4)]);
        assert_eq!(ring.forgotten(), Position(2));
        assert!(ring.get(Link::NONE).is_none());
    }
}
