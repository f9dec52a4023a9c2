//! What became of the samples of each client in one store: a fold of what its follower has settled.
//!
//! ```text
//!   accepted = before + stored + dead-lettered + skipped + lost + shed + what is still to do
//! ```
//!
//! for each client and protocol. All but the last are here, and whoever keeps them puts them on disk in
//! the transaction that stores the position which they belong to: a crash takes both back, or neither.
//!
//! The first [`CLIENTS_MAX`] clients that come are known by name; of all others there is one line for
//! each protocol. What nobody can say of whom it is (the log has damage, or gave a segment up unread) is
//! in the line of protocol [`UNKNOWN`], until [`Outcomes::name`] learns it from a checkpoint of the log.
//!
//! Hot path: one look-up per batch, and no allocation for a client that is known.

use crate::model::{ClientId, Position};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;

/// So many lines of a store have a client's name. Ten thousand gateways are more than one daemon
/// serves, and their lines are 2 MB.
pub const CLIENTS_MAX: usize = 10_000;
/// No client sends over this protocol.
pub const UNKNOWN: u8 = 0;

/// Samples of one client over one protocol, since the spool was made.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Accepted before the store's first position, or before clients were counted.
    pub before: u64,
    /// Stored.
    pub stored: u64,
    /// Refused by the store for good. What became of the letters later is counted with them.
    pub dead_lettered: u64,
    /// Not selected by the store's filter, or not for stores.
    pub skipped: u64,
    /// Damaged in the log, or deleted from it before the store had them.
    pub lost: u64,
    /// Given up by a full log.
    pub shed: u64,
}

impl Outcome {
    /// All that the store is through with.
    #[must_use]
    pub fn accounted(&self) -> u64 {
        let Outcome { before, stored, dead_lettered, skipped, lost, shed } = *self;
        // A file that somebody changed may hold any numbers.
        let counts = [before, stored, dead_lettered, skipped, lost, shed];
        counts.iter().fold(0, |sum: u64, count| sum.saturating_add(*count))
    }

    /// Takes another's counts in.
    pub fn add(&mut self, other: Outcome) {
        let sum = |own: &mut u64, other: u64| *own = own.saturating_add(other);
        sum(&mut self.before, other.before);
        sum(&mut self.stored, other.stored);
        sum(&mut self.dead_lettered, other.dead_lettered);
        sum(&mut self.skipped, other.skipped);
        sum(&mut self.lost, other.lost);
        sum(&mut self.shed, other.shed);
    }
}

/// The counts of one client over one protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutcomeLine {
    /// `None`: all that have no line of their own.
    pub client: Option<ClientId>,
    /// As the log stores it.
    pub protocol: u8,
    /// What became of the samples.
    pub outcome: Outcome,
}

/// What a client had sent over a protocol up to some position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Who.
    pub client: ClientId,
    /// As the log stores it.
    pub protocol: u8,
    /// How much.
    pub samples: u64,
}

/// Tells what each client had sent below a position, as far as the log still says. Reads the disk.
#[derive(Clone)]
pub struct AcceptedBelow(Arc<dyn Fn(Position) -> Vec<Accepted> + Send + Sync>);

impl AcceptedBelow {
    /// By this way to find out.
    pub fn new(tell: impl Fn(Position) -> Vec<Accepted> + Send + Sync + 'static) -> AcceptedBelow {
        AcceptedBelow(Arc::new(tell))
    }

    /// Below this position.
    #[must_use]
    pub fn at(&self, position: Position) -> Vec<Accepted> {
        (self.0)(position)
    }
}

/// Says nothing.
impl Default for AcceptedBelow {
    fn default() -> AcceptedBelow {
        AcceptedBelow::new(|_| Vec::new())
    }
}

impl fmt::Debug for AcceptedBelow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AcceptedBelow")
    }
}

/// The counts of one store.
#[derive(Debug)]
pub struct Outcomes {
    clients_max: usize,
    /// How many lines have a name.
    clients: usize,
    hasher: RandomState,
    /// Places in `entries`.
    index: HashTable<usize>,
    entries: Vec<Entry>,
    /// Places of those that changed.
    changed: Vec<usize>,
}

#[derive(Debug)]
struct Entry {
    line: OutcomeLine,
    changed: bool,
}

impl Outcomes {
    /// Goes on from lines that were saved; with names for at most so many clients, and for those that
    /// had one.
    #[must_use]
    pub fn new(clients_max: usize, saved: impl IntoIterator<Item = OutcomeLine>) -> Outcomes {
        let mut outcomes = Outcomes {
            clients_max,
            clients: 0,
            hasher: RandomState::default(),
            index: HashTable::new(),
            entries: Vec::new(),
            changed: Vec::new(),
        };
        saved.into_iter().for_each(|line| _ = outcomes.add(line));
        outcomes
    }

    /// What became of a client's samples, to count on.
    pub fn of(&mut self, client: &ClientId, protocol: u8) -> &mut Outcome {
        let at = self.find(Some(client), protocol).unwrap_or_else(|| {
            let named = (self.clients < self.clients_max).then(|| client.clone());
            let known = if named.is_none() { self.find(None, protocol) } else { None };
            known.unwrap_or_else(|| self.begin(named, protocol))
        });
        self.change(at)
    }

    /// The samples of which nobody knows who sent them, to count on.
    pub fn unknown(&mut self) -> &mut Outcome {
        let at = self.find(None, UNKNOWN).unwrap_or_else(|| self.begin(None, UNKNOWN));
        self.change(at)
    }

    /// Whether there are such samples.
    #[must_use]
    pub fn has_unknown(&self) -> bool {
        let at = self.find(None, UNKNOWN);
        at.is_some_and(|at| self.entries[at].line.outcome.accounted() > 0)
    }

    /// Finds out whose the unknown samples are. `done` is what each client had sent in the positions
    /// that the store is through with: where that is more than is known to have become of it, the
    /// difference is this client's.
    pub fn name(&mut self, done: impl IntoIterator<Item = Accepted>) {
        for Accepted { client, protocol, samples } in done {
            let Some(unknown) = self.find(None, UNKNOWN) else { return };
            let known = self.find(Some(&client), protocol);
            if known.is_none() && self.clients >= self.clients_max {
                continue;
            }
            let known = known.map_or(0, |at| self.entries[at].line.outcome.accounted());
            let mut missing = samples.saturating_sub(known);
            let Outcome { before, shed, lost, .. } = &mut self.entries[unknown].line.outcome;
            let [before, shed, lost] = [before, shed, lost].map(|unknown| {
                let moved = missing.min(*unknown);
                *unknown -= moved;
                missing -= moved;
                moved
            });
            if before + shed + lost > 0 {
                self.change(unknown);
                let named = self.of(&client, protocol);
                named.before += before;
                named.shed += shed;
                named.lost += lost;
            }
        }
    }

    /// All lines.
    pub fn lines(&self) -> impl Iterator<Item = &OutcomeLine> {
        self.entries.iter().map(|entry| &entry.line)
    }

    /// The lines that changed since they were [saved](Outcomes::saved). Absolute: saved twice is saved
    /// once.
    pub fn changed(&self) -> impl Iterator<Item = &OutcomeLine> {
        self.changed.iter().map(|&at| &self.entries[at].line)
    }

    /// All lines are on disk as they are now.
    pub fn saved(&mut self) {
        for at in self.changed.drain(..) {
            self.entries[at].changed = false;
        }
    }

    fn find(&self, client: Option<&ClientId>, protocol: u8) -> Option<usize> {
        let hash = self.hash(client, protocol);
        let is = |line: &OutcomeLine| line.protocol == protocol && line.client.as_ref() == client;
        self.index.find(hash, |&at| is(&self.entries[at].line)).copied()
    }

    fn begin(&mut self, client: Option<ClientId>, protocol: u8) -> usize {
        self.add(OutcomeLine { client, protocol, outcome: Outcome::default() })
    }

    fn add(&mut self, line: OutcomeLine) -> usize {
        let (hash, at) = (self.hash(line.client.as_ref(), line.protocol), self.entries.len());
        self.clients += usize::from(line.client.is_some());
        self.entries.push(Entry { line, changed: false });
        let Outcomes { index, entries, hasher, .. } = self;
        index.insert_unique(hash, at, |&at| {
            let OutcomeLine { client, protocol, .. } = &entries[at].line;
            hasher.hash_one((client.as_deref(), *protocol))
        });
        at
    }

    fn change(&mut self, at: usize) -> &mut Outcome {
        let entry = &mut self.entries[at];
        if !std::mem::replace(&mut entry.changed, true) {
            self.changed.push(at);
        }
        &mut entry.line.outcome
    }

    fn hash(&self, client: Option<&ClientId>, protocol: u8) -> u64 {
        self.hasher.hash_one((client.map(|client| &**client), protocol))
    }
}

#[cfg(test)]
#[path = "outcomes_tests.rs"]
mod tests;
