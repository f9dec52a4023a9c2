//! Who sends the readings, and whether those are connected.

use crate::model::{ClientId, Timestamp};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;
use std::time::Duration;

/// Names a client; counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClientNumber(u32);

/// More clients than these are not told apart: the way of their devices is not known.
const CLIENTS_MAX: usize = 200_000;

/// A device or gateway that holds connections, or did.
#[derive(Debug)]
pub(super) struct Client {
    pub name: ClientId,
    /// Connections that stand.
    open: u32,
    closed: Option<Closed>,
}

/// The last connection of a client was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Closed {
    pub at: Timestamp,
    /// How long that had stood.
    pub stood: Duration,
}

impl Client {
    /// Its last connection is closed, and it has not come back.
    pub fn closed(&self) -> Option<Closed> {
        self.closed.filter(|_| self.open == 0)
    }
}

#[derive(Debug, Default)]
pub(super) struct Clients {
    all: Vec<Client>,
    by_name: HashTable<ClientNumber>,
    hasher: RandomState,
}

impl Clients {
    pub fn get(&self, number: ClientNumber) -> &Client {
        &self.all[number.0 as usize]
    }

    /// The client of this name; `None` if there are too many.
    pub fn intern(&mut self, name: &ClientId) -> Option<ClientNumber> {
        let hash = self.hasher.hash_one(name);
        let all = &self.all;
        let known = self.by_name.find(hash, |number| all[number.0 as usize].name == *name);
        if let Some(number) = known {
            return Some(*number);
        }
        if self.all.len() >= CLIENTS_MAX {
            return None;
        }
        let number = ClientNumber(self.all.len() as u32);
        self.all.push(Client { name: name.clone(), open: 0, closed: None });
        let (all, hasher) = (&self.all, &self.hasher);
        self.by_name
            .insert_unique(hash, number, |number| hasher.hash_one(&all[number.0 as usize].name));
        Some(number)
    }

    pub fn opened(&mut self, name: &ClientId) {
        let Some(number) = self.intern(name) else { return };
        let client = &mut self.all[number.0 as usize];
        client.open += 1;
        client.closed = None;
    }

    pub fn closed(&mut self, name: &ClientId, at: Timestamp, stood: Duration) {
        let Some(number) = self.intern(name) else { return };
        let client = &mut self.all[number.0 as usize];
        if client.open == 1 {
            client.closed = Some(Closed { at, stood });
        }
        client.open = client.open.saturating_sub(1);
    }

    pub fn memory_bytes(&self) -> usize {
        let names: usize = self.all.iter().map(|client| client.name.len() + 16).sum();
        names + self.all.capacity() * size_of::<Client>() + self.by_name.allocation_size()
    }
}
