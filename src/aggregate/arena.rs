//! Where windows live: millions of small rollups in chunks that never move.
//!
//! A window of a single number, which is every finest window of a series at up to its pace, takes 28
//! bytes instead of 76. One allocation per window or a vector per series would cost more than the
//! rollups themselves.
//!
//! Freed places are used again and not given back: the arena is as large as its busiest moment.

use super::rollup::{Numbers, Rollup};
use crate::model::Position;

/// A place in the arena, or [`Slot::NONE`]. The highest bit tells a single from a full one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(u32);

const SINGLE: u32 = 1 << 31;
const CHUNK: usize = 1024;

impl Slot {
    pub const NONE: Slot = Slot(u32::MAX);

    pub fn is_none(self) -> bool {
        self == Slot::NONE
    }
}

/// A window with one number in it.
#[derive(Debug, Clone, Copy)]
struct Single {
    time: i64,
    value: f64,
    touched: Position,
}

/// Windows, each with a link to the next older one of its series and level.
#[derive(Debug)]
pub(super) struct Arena {
    singles: Slab<Single>,
    full: Slab<Rollup>,
    /// Bytes of texts.
    heap_bytes: usize,
}

impl Arena {
    pub fn new() -> Arena {
        Arena {
            singles: Slab::new(Single { time: 0, value: 0.0, touched: Position(0) }),
            full: Slab::new(Rollup::Number(Numbers::one(0, 0.0, Position(0)))),
            heap_bytes: 0,
        }
    }

    /// Puts a rollup in, with a link to `next`.
    pub fn insert(&mut self, rollup: Rollup, next: Slot) -> Slot {
        match rollup {
            Rollup::Number(numbers) if numbers.count.get() == 1 => {
                let single = Single {
                    time: numbers.first_time,
                    value: numbers.first,
                    touched: numbers.touched,
                };
                Slot(self.singles.insert(single, next) | SINGLE)
            }
            _ => {
                self.heap_bytes += rollup.heap_bytes();
                Slot(self.full.insert(rollup, next))
            }
        }
    }

    /// The rollup in a slot.
    pub fn get(&self, slot: Slot) -> Rollup {
        match self.single(slot) {
            Some(single) => Rollup::Number(Numbers::one(single.time, single.value, single.touched)),
            None => self.full.get(slot.0).clone(),
        }
    }

    /// Timestamp of the earliest sample in a slot; any timestamp in the window tells which it is.
    pub fn first_time(&self, slot: Slot) -> i64 {
        match self.single(slot) {
            Some(single) => single.time,
            None => self.full.get(slot.0).first_time(),
        }
    }

    /// The last record that changed the rollup in a slot.
    pub fn touched(&self, slot: Slot) -> Position {
        match self.single(slot) {
            Some(single) => single.touched,
            None => self.full.get(slot.0).touched(),
        }
    }

    /// Merges `other` into the rollup in a slot; returns where it is now.
    pub fn merge(&mut self, slot: Slot, other: &Rollup) -> Slot {
        if self.single(slot).is_none() {
            let rollup = self.full.get_mut(slot.0);
            self.heap_bytes -= rollup.heap_bytes();
            rollup.merge(other);
            self.heap_bytes += rollup.heap_bytes();
            return slot;
        }
        let next = self.next(slot);
        let mut rollup = self.remove(slot);
        rollup.merge(other);
        self.insert(rollup, next)
    }

    /// Takes a rollup out; its slot may be given to another.
    pub fn remove(&mut self, slot: Slot) -> Rollup {
        let rollup = self.get(slot);
        if slot.0 & SINGLE != 0 {
            self.singles.free(slot.0 & !SINGLE);
        } else {
            self.heap_bytes -= rollup.heap_bytes();
            self.full.free(slot.0);
        }
        rollup
    }

    pub fn next(&self, slot: Slot) -> Slot {
        if slot.0 & SINGLE != 0 {
            self.singles.next(slot.0 & !SINGLE)
        } else {
            self.full.next(slot.0)
        }
    }

    pub fn set_next(&mut self, slot: Slot, next: Slot) {
        if slot.0 & SINGLE != 0 {
            self.singles.set_next(slot.0 & !SINGLE, next);
        } else {
            self.full.set_next(slot.0, next);
        }
    }

    pub fn memory_bytes(&self) -> usize {
        self.singles.memory_bytes() + self.full.memory_bytes() + self.heap_bytes
    }

    fn single(&self, slot: Slot) -> Option<&Single> {
        (slot.0 & SINGLE != 0).then(|| self.singles.get(slot.0 & !SINGLE))
    }
}

/// Places for items of one size. Free places are a list through `next`.
#[derive(Debug)]
struct Slab<T> {
    chunks: Vec<Chunk<T>>,
    free: Slot,
    filler: T,
}

#[derive(Debug)]
struct Chunk<T> {
    items: Vec<T>,
    next: Vec<Slot>,
}

impl<T: Clone> Slab<T> {
    fn new(filler: T) -> Slab<T> {
        Slab { chunks: Vec::new(), free: Slot::NONE, filler }
    }

    fn insert(&mut self, item: T, next: Slot) -> u32 {
        let place = self.free;
        if !place.is_none() {
            self.free = self.next(place.0);
            *self.get_mut(place.0) = item;
            self.set_next(place.0, next);
            return place.0;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.items.len() == CHUNK) {
            self.chunks
                .push(Chunk { items: Vec::with_capacity(CHUNK), next: Vec::with_capacity(CHUNK) });
        }
        let chunk_index = self.chunks.len() - 1;
        let chunk = &mut self.chunks[chunk_index];
        chunk.items.push(item);
        chunk.next.push(next);
        // Two thousand million windows would take more memory than any machine of ours has.
        (chunk_index * CHUNK + chunk.items.len() - 1) as u32
    }

    fn free(&mut self, place: u32) {
        // The filler drops what the item held on the heap.
        *self.get_mut(place) = self.filler.clone();
        self.set_next(place, self.free);
        self.free = Slot(place);
    }

    fn get(&self, place: u32) -> &T {
        &self.chunks[place as usize / CHUNK].items[place as usize % CHUNK]
    }

    fn get_mut(&mut self, place: u32) -> &mut T {
        &mut self.chunks[place as usize / CHUNK].items[place as usize % CHUNK]
    }

    fn next(&self, place: u32) -> Slot {
        self.chunks[place as usize / CHUNK].next[place as usize % CHUNK]
    }

    fn set_next(&mut self, place: u32, next: Slot) {
        self.chunks[place as usize / CHUNK].next[place as usize % CHUNK] = next;
    }

    fn memory_bytes(&self) -> usize {
        self.chunks.len() * CHUNK * (size_of::<T>() + size_of::<Slot>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_was_freed_is_used_again() {
        let mut arena = Arena::new();
        let one = |t| Rollup::Number(Numbers::one(t, 1.0, Position(0)));
        let first = arena.insert(one(1), Slot::NONE);
        let second = arena.insert(one(2), first);
        assert_eq!(arena.next(second), first);
        let moved = arena.merge(second, &one(3));
        assert_ne!(moved, second);
        assert_eq!((arena.next(moved), arena.get(moved).count()), (first, 2));
        assert_eq!(arena.insert(one(4), Slot::NONE), second);
        assert_eq!(arena.remove(moved).count(), 2);
        assert_eq!(arena.remove(first), one(1));
    }
}
