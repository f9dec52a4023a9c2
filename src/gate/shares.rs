//! What each client takes of what all share, and what follows for it.
//!
//! A client is known by the name that it gave, however many connections it has. Its share is made
//! when it is first needed and forgotten when nobody holds it and nothing of it was taken for a
//! while.
//!
//! Hot path: a connection keeps its share, so that a batch costs one addition here. Once a second the
//! books of all are read ([`Shares::weigh`]).

use super::flow::{BURDEN_MAX, Flow, Terms, burden};
use crate::model::ClientId;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// What a record of the spool takes beside its message, about.
const RECORD_BYTES: u64 = 128;

/// The share of one client.
#[derive(Debug)]
pub struct Share {
    /// Tells it from others.
    pub(super) number: u64,
    /// Bytes for the spool since the books were last read.
    taken: AtomicU64,
    /// Memory at the gate. Changes under the lock of the memory only.
    pub(super) under_way: AtomicU64,
    terms: watch::Sender<Terms>,
}

impl Share {
    pub(super) fn new(number: u64, terms: Terms) -> Share {
        let (taken, under_way) = (AtomicU64::new(0), AtomicU64::new(0));
        Share { number, taken, under_way, terms: watch::Sender::new(terms) }
    }

    /// What holds for this client, as it changes.
    #[must_use]
    pub fn terms(&self) -> watch::Receiver<Terms> {
        self.terms.subscribe()
    }

    /// A message of this client went to the log.
    pub(super) fn take(&self, message_bytes: usize) {
        self.taken.fetch_add(message_bytes as u64 + RECORD_BYTES, Ordering::Relaxed);
    }
}

/// The shares of all clients.
#[derive(Debug, Default)]
pub(super) struct Shares(Mutex<Books>);

#[derive(Debug, Default)]
struct Books {
    shares: HashMap<ClientId, Book>,
    next_number: u64,
    flow: Flow,
}

#[derive(Debug)]
struct Book {
    share: Arc<Share>,
    /// Bytes taken in the last seconds: of each second half as much counts as of the one after.
    recent: u64,
    burden: u8,
}

impl Shares {
    /// The share of this client.
    pub fn of(&self, client: &ClientId) -> Arc<Share> {
        let mut books = self.lock();
        if let Some(book) = books.shares.get(client) {
            return book.share.clone();
        }
        books.next_number += 1;
        let share = Arc::new(Share::new(books.next_number, books.flow.terms(0)));
        let book = Book { share: share.clone(), recent: 0, burden: 0 };
        books.shares.insert(client.clone(), book);
        share
    }

    /// Pressure changed.
    pub fn tell(&self, flow: Flow) {
        let mut books = self.lock();
        let before = std::mem::replace(&mut books.flow, flow);
        // In between, what a burden means is in between.
        if [0, BURDEN_MAX].iter().any(|&burden| before.terms(burden) != flow.terms(burden)) {
            books.shares.values().for_each(|book| book.tell(flow));
        }
    }

    /// Reads the books: who takes more than a fair share bears the pressure. What all clients together
    /// may take per second without anybody being asked to slow down is `spare`.
    pub fn weigh(&self, spare: u64) {
        let mut books = self.lock();
        let Books { shares, flow, .. } = &mut *books;
        let (mut total, mut active) = (0, 0);
        for book in shares.values_mut() {
            book.recent = book.recent / 2 + book.share.taken.swap(0, Ordering::Relaxed);
            total += book.recent;
            active += u64::from(book.recent > 0);
        }
        // What is taken at an even rate counts twice.
        let fair = total.max(spare.saturating_mul(2)) / active.max(1);
        shares.retain(|_, book| {
            book.burden = burden(book.recent, fair, book.burden);
            book.tell(*flow);
            book.recent > 0 || book.burden > 0 || Arc::strong_count(&book.share) > 1
        });
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// Wakes the client's connections if its credit is another now.
    fn tell(&self, flow: Flow) {
        let terms = flow.terms(self.burden);
        self.share.terms.send_if_modified(|told| std::mem::replace(told, terms) != terms);
    }
}

#[cfg(test)]
mod tests {
    use super::super::flow::{Fills, Meter, Resource};
    use super::*;
    use crate::clock;

    const FULL: u32 = 64;

    fn batches(share: &Share) -> u32 {
        share.terms().borrow().credit(FULL, 1 << 20).batches
    }

    fn flow(of: Resource, fill: f64) -> Flow {
        let mut fills = Fills::default();
        fills.set(of, fill);
        Meter::default().read(&fills, clock::monotonic())
    }

    #[test]
    fn a_flood_bears_the_pressure_and_a_quiet_client_does_not_notice() {
        let shares = Shares::default();
        let (flood, quiet) = (shares.of(&"flood".into()), shares.of(&"quiet".into()));
        let mut noticed = quiet.terms();
        shares.tell(flow(Resource::Spool, 0.95));
        for _ in 0..5 {
            (0..1000).for_each(|_| flood.take(10_000));
            (0..10).for_each(|_| quiet.take(60));
            shares.weigh(0);
        }
        assert_eq!((batches(&flood), batches(&quiet)), (1, FULL));
        assert!(!noticed.has_changed().unwrap(), "it is not even woken");
        shares.tell(flow(Resource::Trouble, 1.0));
        assert_eq!(batches(&quiet), 1);
        assert!(noticed.has_changed().unwrap());
        noticed.mark_unchanged();
        shares.tell(Flow::default());
        assert_eq!((batches(&flood), batches(&quiet)), (FULL, FULL));
    }

    #[test]
    fn those_who_take_as_much_as_each_other_are_slowed_alike() {
        let shares = Shares::default();
        let all: Vec<_> = (0..10).map(|n| shares.of(&format!("{n}").as_str().into())).collect();
        shares.tell(flow(Resource::Spool, 0.95));
        all.iter().for_each(|share| share.take(5000));
        shares.weigh(0);
        assert!(all.iter().all(|share| batches(share) == 1));
        // As long as all of them together leave much of the room there is no need.
        for _ in 0..=BURDEN_MAX {
            all.iter().for_each(|share| share.take(5000));
            shares.weigh(200_000);
        }
        assert!(all.iter().all(|share| batches(share) == FULL));
    }

    #[test]
    fn a_share_is_that_of_the_name_and_forgotten_when_it_is_of_no_use() {
        let shares = Shares::default();
        let share = shares.of(&"pump-7".into());
        assert_eq!(shares.of(&"pump-7".into()).number, share.number);
        share.take(1000);
        let number = share.number;
        drop(share);
        shares.weigh(0);
        assert_eq!(shares.of(&"pump-7".into()).number, number, "who comes back is not new");
        (0..20).for_each(|_| shares.weigh(0));
        assert_ne!(shares.of(&"pump-7".into()).number, number);
    }
}
