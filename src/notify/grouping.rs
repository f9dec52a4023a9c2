//! Which events go out together, and when. Pure: events and the time in, drafts of messages out.
//!
//! Events of one rule and one kind are a group. It waits for `group_wait` from its first event, and for
//! `group_interval` from its last message. Nothing of a rule is told before what comes first in the life
//! of an alert (fired, acknowledged, resolved), so that each alert is told in order. Above the limit of
//! an hour ([`Pace`]) everything that is due goes in one message.
//!
//! Of an event a group keeps the content while there is room ([`HELD_MAX`]), its number always.

use super::pace::Pace;
use crate::model::Timestamp;
use crate::rules::{Event, EventKind, Severity};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Events that a message shows; of the others it tells how many they are.
pub(super) const SHOWN_MAX: usize = 100;
/// Events that a channel has in memory.
pub const HELD_MAX: usize = 1000;

/// How messages are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rhythm {
    pub group_wait: Duration,
    pub group_interval: Duration,
    pub messages_per_hour: u32,
}

/// Which events a channel is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Of alerts that are at least so bad.
    pub severity_min: Severity,
    /// That it is over, too.
    pub resolved: bool,
    /// That somebody took notice, too.
    pub acknowledged: bool,
}

/// The place of a group, in the order in which an alert goes through its kinds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub rule: Arc<str>,
    rank: u8,
}

impl Key {
    fn of(event: &Event) -> Key {
        let rank = match event.kind {
            EventKind::Fired => 0,
            EventKind::Acknowledged => 1,
            EventKind::Resolved => 2,
        };
        Key { rule: event.alert.rule.clone(), rank }
    }

    pub fn kind(&self) -> EventKind {
        match self.rank {
            0 => EventKind::Fired,
            1 => EventKind::Acknowledged,
            _ => EventKind::Resolved,
        }
    }
}

/// Where a channel is, as it is written down.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Standing {
    /// Events up to this are in messages, or nobody wants them.
    pub position: u64,
    /// Groups of which later events are in messages as well.
    told: Vec<Told>,
    /// When the messages of the last hour were made.
    sent: Vec<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    rule: String,
    rank: u8,
    /// Its events up to this.
    through: u64,
    /// When the last message with it was made.
    at: i64,
}

impl Standing {
    /// Of a channel that is told what happens from now on.
    pub fn at(position: u64) -> Standing {
        Standing { position, ..Standing::default() }
    }
}

/// What becomes a message.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Draft {
    /// Its groups.
    pub parts: Vec<Part>,
    /// Events that it shows, in order.
    pub events: Vec<Event>,
}

/// A group of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub key: Key,
    /// How many events.
    pub count: u64,
    /// The last of them.
    pub through: u64,
    /// How bad the worst is.
    pub worst: Severity,
}

impl Draft {
    pub fn count(&self) -> u64 {
        self.parts.iter().map(|part| part.count).sum()
    }
}

/// Events that wait.
#[derive(Debug)]
struct Pending {
    opened: Timestamp,
    first: u64,
    part: Part,
    held: Vec<Event>,
}

/// The groups of a channel.
#[derive(Debug)]
pub(super) struct Grouping {
    name: String,
    wanted: Wanted,
    rhythm: Rhythm,
    pace: Pace,
    told: BTreeMap<Key, (u64, Timestamp)>,
    /// The last event that was heard of.
    read: u64,
    pending: BTreeMap<Key, Pending>,
    held: usize,
    /// Events that a silence kept back.
    pub silenced: u64,
    /// Events that the journal had no more.
    pub missed: u64,
}

impl Grouping {
    /// Goes on where it was.
    pub fn new(name: &str, wanted: Wanted, rhythm: Rhythm, standing: Standing) -> Grouping {
        let told = standing.told.into_iter().map(|told| {
            let key = Key { rule: told.rule.into(), rank: told.rank };
            (key, (told.through, Timestamp(told.at)))
        });
        Grouping {
            name: name.to_owned(),
            wanted,
            rhythm,
            pace: Pace::of(standing.sent),
            told: told.collect(),
            read: standing.position,
            pending: BTreeMap::new(),
            held: 0,
            silenced: 0,
            missed: 0,
        }
    }

    /// Messages are made so from now on.
    pub fn set_rhythm(&mut self, rhythm: Rhythm) {
        self.rhythm = rhythm;
    }

    /// The journal is to be read from after this.
    pub fn read(&self) -> u64 {
        self.read
    }

    /// Events that wait for their message.
    pub fn waiting(&self) -> u64 {
        self.pending.values().map(|pending| pending.part.count).sum()
    }

    /// What is to be written down.
    pub fn standing(&self) -> Standing {
        let first = self.pending.values().map(|pending| pending.first).min();
        let told = self.told.iter().map(|(key, &(through, at))| Told {
            rule: key.rule.to_string(),
            rank: key.rank,
            through,
            at: at.0,
        });
        Standing {
            position: first.map_or(self.read, |first| first - 1),
            told: told.collect(),
            sent: self.pace.sent().collect(),
        }
    }

    /// The next event of the journal.
    pub fn hear(&mut self, event: Event, now: Timestamp) {
        if event.id <= self.read {
            return;
        }
        self.missed += event.id - self.read - 1;
        self.read = event.id;
        if !self.wants(&event) {
            return;
        }
        let key = Key::of(&event);
        if self.told.get(&key).is_some_and(|(through, _)| event.id <= *through) {
            return;
        }
        if event.alert.silenced {
            self.silenced += 1;
            return;
        }
        let worst = event.alert.severity;
        let pending = self.pending.entry(key.clone()).or_insert_with(|| Pending {
            opened: now,
            first: event.id,
            part: Part { key, count: 0, through: 0, worst },
            held: Vec::new(),
        });
        let Pending { part, held, .. } = pending;
        part.count += 1;
        part.through = event.id;
        part.worst = part.worst.max(worst);
        if self.held < HELD_MAX && held.len() < SHOWN_MAX {
            self.held += 1;
            held.push(event);
        }
    }

    fn wants(&self, event: &Event) -> bool {
        let Wanted { severity_min, resolved, acknowledged } = self.wanted;
        let channels = &event.alert.notify;
        event.alert.severity >= severity_min
            && (channels.is_empty() || channels.contains(&self.name))
            && match event.kind {
                EventKind::Fired => true,
                EventKind::Acknowledged => acknowledged,
                EventKind::Resolved => resolved,
            }
    }

    /// When the next message is due; `None` if nothing waits.
    pub fn next_at(&mut self, now: Timestamp) -> Option<Timestamp> {
        let due = self.pending.keys().map(|key| self.due_at(key, now)).min()?;
        Some(due.max(self.pace.next(self.rhythm.messages_per_hour, now)))
    }

    /// When a group may go, as far as itself and those before it are concerned.
    fn due_at(&self, key: &Key, now: Timestamp) -> Timestamp {
        let Rhythm { group_wait, group_interval, .. } = self.rhythm;
        let own = |key: &Key| {
            // The clock may have been set back since.
            let opened = self.pending.get(key)?.opened.min(now);
            let waited = opened.saturating_add(group_wait);
            let told = self.told.get(key).map(|(_, at)| (*at).min(now));
            Some(waited.max(told.map_or(waited, |at| at.saturating_add(group_interval))))
        };
        let before = (0..=key.rank).map(|rank| Key { rule: key.rule.clone(), rank });
        before.filter_map(|key| own(&key)).max().unwrap_or(now)
    }

    /// What is to go now. Nothing changes by that: see [`Grouping::made`].
    pub fn due(&mut self, now: Timestamp) -> Option<Draft> {
        let per_hour = self.rhythm.messages_per_hour;
        if self.pace.next(per_hour, now) > now {
            return None;
        }
        let due = self.pending.iter().filter(|(key, _)| self.due_at(key, now) <= now);
        let mut due: Vec<&Pending> = due.map(|(_, pending)| pending).collect();
        if !self.pace.is_pressed(per_hour) {
            let first = due.iter().min_by_key(|pending| pending.first)?;
            let rule = first.part.key.rule.clone();
            // Of its rule, what comes first.
            due.retain(|pending| pending.part.key.rule == rule);
            due.truncate(1);
        }
        if due.is_empty() {
            return None;
        }
        // Those that somebody must know of are shown, whatever else there is.
        let mut events: Vec<&Event> = due.iter().flat_map(|pending| &pending.held).collect();
        events.sort_by_key(|event| std::cmp::Reverse(event.alert.severity));
        events.truncate(SHOWN_MAX);
        events.sort_by_key(|event| event.id);
        Some(Draft {
            parts: due.iter().map(|pending| pending.part.clone()).collect(),
            events: events.into_iter().cloned().collect(),
        })
    }

    /// A draft will be a message: what is to be written down together with it. It is one when that is
    /// done, and [`Grouping::made`] is told.
    pub fn standing_with(&self, draft: &Draft, now: Timestamp) -> Standing {
        let mut next = Grouping {
            name: String::new(),
            wanted: self.wanted.clone(),
            pace: self.pace.clone(),
            told: self.told.clone(),
            pending: BTreeMap::new(),
            ..*self
        };
        // Only where the groups begin matters.
        for (key, pending) in &self.pending {
            let Pending { opened, first, ref part, .. } = *pending;
            let (part, held) = (part.clone(), Vec::new());
            next.pending.insert(key.clone(), Pending { opened, first, part, held });
        }
        next.made(draft, now);
        next.standing()
    }

    /// A draft became a message, which is written down.
    pub fn made(&mut self, draft: &Draft, now: Timestamp) {
        self.pace.send(now);
        for part in &draft.parts {
            if let Some(pending) = self.pending.remove(&part.key) {
                self.held = self.held.saturating_sub(pending.held.len());
            }
            self.told.insert(part.key.clone(), (part.through, now));
        }
        let first = self.pending.values().map(|pending| pending.first).min();
        let position = first.map_or(self.read, |first| first - 1);
        let interval = self.rhythm.group_interval;
        // What is neither needed to know what was told nor when.
        self.told.retain(|_, (through, at)| *through > position || now.since(*at) < interval);
    }
}

#[cfg(test)]
#[path = "grouping_tests.rs"]
mod tests;
