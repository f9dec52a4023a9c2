//! One series: its kind and its windows at every level.

use super::arena::{Arena, Slot};
use super::names::{MetricId, TableId, UnitId};
use super::ring::{Closed, Link, Ring};
use super::rollup::Rollup;
use super::settings::{LEVELS_MAX, Windows, align};
use crate::model::{Position, Values};

/// The type of a series' values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 64-bit floats.
    Float,
    /// 64-bit signed integers.
    Int,
    /// Truth values.
    Bool,
    /// Texts.
    Text,
}

impl Kind {
    pub(super) fn of(values: Values<'_>) -> Kind {
        match values {
            Values::Floats(_) => Kind::Float,
            Values::Ints(_) => Kind::Int,
            Values::Bools(_) => Kind::Bool,
            Values::Texts(_) => Kind::Text,
        }
    }

    /// What a series of this kind becomes when values of `other` come; `None` if they can't go on
    /// together. A client that writes 71.5 and then 72 means one series of floats.
    pub(super) fn joined(self, other: Kind) -> Option<Kind> {
        match (self, other) {
            (a, b) if a == b => Some(a),
            (Kind::Float, Kind::Int) | (Kind::Int, Kind::Float) => Some(Kind::Float),
            _ => None,
        }
    }
}

/// A series and its windows: per level a list, newest first. There are millions of these.
#[derive(Debug)]
pub(super) struct Series {
    pub table: TableId,
    pub metric: MetricId,
    pub unit: Option<UnitId>,
    heads: [Slot; LEVELS_MAX],
    /// The rollup of this series that was closed last, at any level.
    closed: Link,
    /// The last record that changed any of its windows.
    pub touched: Position,
    pub kind: Kind,
}

/// What closing windows needs beside the series.
pub(super) struct Store {
    pub windows: Windows,
    pub arena: Arena,
    pub ring: Ring,
    /// Reused by [`Series::close`].
    pub due: Vec<Rollup>,
}

impl Series {
    pub fn new(table: TableId, metric: MetricId, kind: Kind) -> Series {
        Series {
            table,
            metric,
            unit: None,
            heads: [Slot::NONE; LEVELS_MAX],
            closed: Link::NONE,
            touched: Position(0),
            kind,
        }
    }

    /// Forgets all windows: the series goes on with another kind.
    pub fn reset(&mut self, kind: Kind, arena: &mut Arena) {
        for head in &mut self.heads {
            let mut at = std::mem::replace(head, Slot::NONE);
            while !at.is_none() {
                let next = arena.next(at);
                arena.remove(at);
                at = next;
            }
        }
        self.closed = Link::NONE;
        self.kind = kind;
    }

    /// Merges a rollup of samples into the window of `level` that begins at `start`; tells whether
    /// that window is new.
    ///
    /// `newer` is a window that is newer than `start`, or none; it is moved on to the one before which
    /// this rollup went. Who puts many, newest first, so walks the list only once.
    pub fn put(
        &mut self,
        level: usize,
        start: i64,
        width: i64,
        rollup: Rollup,
        newer: &mut Slot,
        arena: &mut Arena,
    ) -> bool {
        let mut at = if newer.is_none() { self.heads[level] } else { arena.next(*newer) };
        while !at.is_none() {
            let time = arena.first_time(at);
            if time < start {
                break;
            }
            if time < start.saturating_add(width) {
                let merged = arena.merge(at, &rollup);
                self.link(level, *newer, merged, arena);
                return false;
            }
            *newer = at;
            at = arena.next(at);
        }
        let slot = arena.insert(rollup, at);
        self.link(level, *newer, slot, arena);
        true
    }

    fn link(&mut self, level: usize, newer: Slot, slot: Slot, arena: &mut Arena) {
        if newer.is_none() {
            self.heads[level] = slot;
        } else {
            arena.set_next(newer, slot);
        }
    }

    /// Closes the windows that end at or before the `limit`, the watermark less the lateness: into
    /// the ring, and merged into the next level, oldest first, so that sums add up in one order.
    ///
    /// The newest window of a level stays. A level is looked at only if the one below it gave it
    /// something: an older window falls due no later than the moment a newer one appears beside it.
    pub fn close(&mut self, limit: i64, at: Position, store: &mut Store) {
        for level in 0..store.windows.levels() {
            let width = store.windows.width(level);
            if !self.take_due(level, align(limit, width), store) {
                return;
            }
            let mut due = std::mem::take(&mut store.due);
            while let Some(rollup) = due.pop() {
                let closed = Closed {
                    rollup: rollup.clone(),
                    closed_at: at,
                    before: self.closed,
                    level: level as u8,
                };
                self.closed = store.ring.push(closed);
                if level + 1 < store.windows.levels() {
                    let width = store.windows.width(level + 1);
                    let start = align(rollup.first_time(), width);
                    let mut newer = Slot::NONE;
                    self.put(level + 1, start, width, rollup, &mut newer, &mut store.arena);
                }
            }
            store.due = due;
        }
    }

    /// Moves the windows before `limit` from the list into `store.due`, newest first; tells whether
    /// there were any.
    fn take_due(&mut self, level: usize, limit: i64, store: &mut Store) -> bool {
        let Store { arena, due, .. } = store;
        let mut newer = self.heads[level];
        if newer.is_none() {
            return false;
        }
        let mut at = arena.next(newer);
        while !at.is_none() && arena.first_time(at) >= limit {
            newer = at;
            at = arena.next(at);
        }
        if at.is_none() {
            return false;
        }
        arena.set_next(newer, Slot::NONE);
        while !at.is_none() {
            let next = arena.next(at);
            due.push(arena.remove(at));
            at = next;
        }
        true
    }

    /// The windows of `level` as they are now, oldest first: what is closed of them, and the open
    /// finer ones.
    pub fn held(&self, level: usize, store: &Store, out: &mut Vec<(i64, Rollup)>) {
        out.clear();
        self.list(0, Position(0), store, out);
        if level == 0 {
            return;
        }
        let mut finer: Vec<(i64, Rollup)> = Vec::new();
        for level in 1..=level {
            std::mem::swap(&mut finer, out);
            out.clear();
            self.list(level, Position(0), store, out);
            let width = store.windows.width(level);
            for (start, rollup) in finer.drain(..) {
                let start = align(start, width);
                match out.binary_search_by_key(&start, |&(start, _)| start) {
                    Ok(at) => out[at].1.merge(&rollup),
                    Err(at) => out.insert(at, (start, rollup)),
                }
            }
        }
    }

    /// As [`Series::held`], only those touched at or after `since`, and before them those that are
    /// closed by now.
    pub fn since(
        &self,
        level: usize,
        since: Position,
        store: &Store,
        out: &mut Vec<(i64, Rollup)>,
    ) {
        if level == 0 {
            out.clear();
            self.list(0, since, store, out);
        } else {
            self.held(level, store, out);
            out.retain(|(_, rollup)| rollup.touched() >= since);
        }
        let held = out.len();
        let width = store.windows.width(level);
        let mut link = self.closed;
        while let Some(closed) = store.ring.get(link) {
            if closed.closed_at < since {
                break;
            }
            if usize::from(closed.level) == level && closed.rollup.touched() >= since {
                let start = align(closed.rollup.first_time(), width);
                out.push((start, closed.rollup.clone()));
            }
            link = closed.before;
        }
        if out.len() > held {
            out.sort_by_key(|&(start, _)| start);
        }
    }

    /// The list of a level, touched at or after `since`, oldest first, behind what `out` holds.
    fn list(&self, level: usize, since: Position, store: &Store, out: &mut Vec<(i64, Rollup)>) {
        let (begin, width) = (out.len(), store.windows.width(level));
        let mut at = self.heads[level];
        while !at.is_none() {
            if store.arena.touched(at) >= since {
                let rollup = store.arena.get(at);
                out.push((align(rollup.first_time(), width), rollup));
            }
            at = store.arena.next(at);
        }
        out[begin..].reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_small() {
        assert_eq!(size_of::<Series>(), 48);
    }
}
