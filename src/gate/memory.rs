//! Memory for batches on their way to the disk: bounded, and fair between clients.
//!
//! ```text
//!   memory ┬ common  15/16 ── in turns, as `round_robin` says, while anybody waits
//!          └ express  1/16 ── only for a client that has next to nothing under way: at once
//! ```
//!
//! A flood fills what is common and waits in its lane; a sensor that sends a reading finds room in
//! what is express, and where that is taken too it waits for one turn of each other client, not for
//! all that they have sent. What is express is never lent to others: a large batch that waits for
//! room in what is common is passed by small ones, but not for ever.
//!
//! The lock is held for a few additions, or for the lookup of whose turn it is; nobody is woken under
//! it. A batch that need not wait costs no allocation.
//!
//! Full-case: wait. One waits for each connection at most, because it reads no further meanwhile.

use super::Closed;
use super::round_robin::{RoundRobin, Ticket};
use super::shares::Share;
use std::mem::take;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// The part of the memory that is express.
const EXPRESS_PART: usize = 16;
/// The part of what is express that one client may take.
const LIGHT_PART: usize = 8;
/// A batch keeps less than this that it does not need until it is through: for a small one to give it
/// back would cost more than it is worth.
const CRUMB_BYTES: usize = 1 << 10;
/// The part of what is common that is a turn's worth.
const QUANTUM_PART: usize = 64;

/// The memory of the gate.
#[derive(Debug)]
pub(super) struct Memory {
    state: Mutex<State>,
    common_max: usize,
    express_max: usize,
}

#[derive(Debug)]
struct State {
    common: usize,
    express: usize,
    waiting: RoundRobin<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    share: Arc<Share>,
    room: oneshot::Sender<Reserved>,
}

/// Memory set aside for one offer; given back when the offer is answered.
#[derive(Debug)]
pub struct Reserved {
    memory: Arc<Memory>,
    share: Arc<Share>,
    common: usize,
    express: usize,
}

/// Waits for memory. Keeps its place while it is not polled, and gives it up when it is dropped.
pub struct Reserving(Wait);

enum Wait {
    Over(Option<Reserved>),
    For { memory: Arc<Memory>, client: u64, ticket: Ticket, room: oneshot::Receiver<Reserved> },
}

impl Memory {
    pub fn new(bytes: usize) -> Arc<Memory> {
        let express_max = bytes / EXPRESS_PART;
        let common_max = bytes - express_max;
        let waiting = RoundRobin::new((common_max / QUANTUM_PART) as u64);
        let state = State { common: common_max, express: express_max, waiting };
        Arc::new(Memory { state: Mutex::new(state), common_max, express_max })
    }

    /// The most that one offer can have.
    pub fn most(&self) -> usize {
        self.common_max
    }

    /// How full it is, 0 to 1; full if somebody waits.
    pub fn fill(&self) -> f64 {
        let state = self.lock();
        if !state.waiting.is_empty() {
            return 1.0;
        }
        let free = state.common + state.express;
        1.0 - free as f64 / (self.common_max + self.express_max).max(1) as f64
    }

    /// Sets memory aside for a client, at once or when it is its turn.
    pub fn reserve(self: &Arc<Self>, share: &Arc<Share>, bytes: usize) -> Reserving {
        let bytes = bytes.min(self.common_max);
        let mut state = self.lock();
        let under_way = share.under_way.load(Ordering::Relaxed) as usize;
        let light = under_way + bytes <= self.express_max / LIGHT_PART;
        if state.waiting.is_empty() && state.common >= bytes {
            return Reserving(Wait::Over(Some(self.give(&mut state, share, bytes, 0))));
        }
        if light && state.express >= bytes && !state.waiting.has(share.number) {
            return Reserving(Wait::Over(Some(self.give(&mut state, share, 0, bytes))));
        }
        let (sender, room) = oneshot::channel();
        let waiter = Waiter { share: share.clone(), room: sender };
        let ticket = state.waiting.push(share.number, bytes as u64, waiter);
        drop(state);
        Reserving(Wait::For { memory: self.clone(), client: share.number, ticket, room })
    }

    fn give(
        self: &Arc<Self>,
        state: &mut State,
        share: &Arc<Share>,
        common: usize,
        express: usize,
    ) -> Reserved {
        state.common -= common;
        state.express -= express;
        share.under_way.fetch_add((common + express) as u64, Ordering::Relaxed);
        Reserved { memory: self.clone(), share: share.clone(), common, express }
    }

    /// Gives to those whose turn it is what there is for them.
    fn serve(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        let mut served = Vec::new();
        while let Some((bytes, waiter)) = {
            let room = state.common as u64;
            state.waiting.next(room)
        } {
            let reserved = self.give(&mut state, &waiter.share, bytes as usize, 0);
            served.push((waiter.room, reserved));
        }
        drop(state);
        for (room, reserved) in served {
            // Who does not wait any more gives it back, to the next.
            drop(room.send(reserved));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reserved {
    /// Whose it is.
    pub(super) fn share(&self) -> &Share {
        &self.share
    }

    /// Makes it as large as the offer turned out to be: what was too much is free again (but for
    /// crumbs), more is taken if there is more. False if there is not.
    pub(super) fn resize(&mut self, bytes: usize) -> bool {
        let bytes = bytes.min(self.memory.most());
        let held = self.common + self.express;
        if (bytes..bytes.saturating_add(CRUMB_BYTES)).contains(&held) {
            return true;
        }
        if bytes > held {
            let more = bytes - held;
            let mut state = self.memory.lock();
            if state.common < more {
                return false;
            }
            state.common -= more;
            self.common += more;
            self.share.under_way.fetch_add(more as u64, Ordering::Relaxed);
        } else {
            let common = (held - bytes).min(self.common);
            self.give_back(common, held - bytes - common);
        }
        true
    }

    fn give_back(&mut self, common: usize, express: usize) {
        let mut state = self.memory.lock();
        state.common += common;
        state.express += express;
        self.common -= common;
        self.express -= express;
        self.share.under_way.fetch_sub((common + express) as u64, Ordering::Relaxed);
        if !state.waiting.is_empty() {
            self.memory.serve(state);
        }
    }
}

/// Gives back what several hold, under one lock.
pub(super) fn give_back<'a>(reserved: impl Iterator<Item = &'a mut Reserved>) {
    let mut reserved = reserved.peekable();
    let Some(memory) = reserved.peek().map(|first| first.memory.clone()) else { return };
    let mut state = memory.lock();
    for reserved in reserved {
        let (common, express) = (take(&mut reserved.common), take(&mut reserved.express));
        state.common += common;
        state.express += express;
        reserved.share.under_way.fetch_sub((common + express) as u64, Ordering::Relaxed);
    }
    if !state.waiting.is_empty() {
        memory.serve(state);
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if self.common + self.express > 0 {
            self.give_back(self.common, self.express);
        }
    }
}

impl Future for Reserving {
    type Output = Result<Reserved, Closed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let reserved = match &mut self.0 {
            Wait::Over(reserved) => reserved.take().ok_or(Closed),
            Wait::For { room, .. } => {
                let Poll::Ready(reserved) = Pin::new(room).poll(context) else {
                    return Poll::Pending;
                };
                reserved.map_err(|_| Closed)
            }
        };
        self.0 = Wait::Over(None);
        Poll::Ready(reserved)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let Wait::For { memory, client, ticket, .. } = self else { return };
        let mut state = memory.lock();
        // Dropped without the lock, as all that may wake somebody.
        let waiter = state.waiting.remove(*client, *ticket);
        // Whose turn it is now may need less.
        memory.serve(state);
        drop(waiter);
    }
}

#[cfg(test)]
mod tests {
    use super::super::flow::Flow;
    use super::*;
    use futures_util::FutureExt;

    const BYTES: usize = 8 << 20;

    fn share(number: u64) -> Arc<Share> {
        Arc::new(Share::new(number, Flow::default().terms(0)))
    }

    fn now(memory: &Arc<Memory>, share: &Arc<Share>, bytes: usize) -> Option<Reserved> {
        memory.reserve(share, bytes).now_or_never().map(Result::unwrap)
    }

    fn is_free(memory: &Memory) -> bool {
        let state = memory.lock();
        (state.common, state.express) == (memory.common_max, memory.express_max)
            && state.waiting.is_empty()
    }

    #[test]
    fn a_quiet_client_has_room_at_once_while_a_flood_waits() {
        let memory = Memory::new(BYTES);
        let (flood, quiet) = (share(1), share(2));
        let mut held = Vec::new();
        while let Some(reserved) = now(&memory, &flood, 100_000) {
            held.push(reserved);
        }
        let mut waiting: Vec<_> = (0..500).map(|_| memory.reserve(&flood, 100_000)).collect();
        assert_eq!(memory.fill(), 1.0);
        let first = now(&memory, &quiet, 2048).expect("room at once");
        let more: Vec<_> = (0..100).map_while(|_| now(&memory, &quiet, 2048)).collect();
        assert!(more.len() < 50, "but not for a flood that looks like many readings");
        assert!(now(&memory, &flood, 1).is_none(), "nor for who has much under way");
        drop(first);
        drop(more);

        // Larger than what is express: one turn, not five hundred batches.
        let large = memory.reserve(&quiet, 200_000);
        for _ in 0..4 {
            held.remove(0);
        }
        let large = large.now_or_never().expect("it waits for one turn");
        let served: Vec<_> = waiting.iter_mut().filter_map(|it| it.now_or_never()).collect();
        assert!(served.len() <= 2, "{}", served.len());
        drop((served, waiting, held, large));
        assert!(is_free(&memory));
    }

    #[test]
    fn memory_comes_back_however_the_wait_ends() {
        let memory = Memory::new(BYTES);
        let (one, two) = (share(1), share(2));
        let all = now(&memory, &one, usize::MAX).expect("all that is common");
        let mut first = memory.reserve(&two, 1 << 20);
        let second = memory.reserve(&two, 1 << 20);
        assert!((&mut first).now_or_never().is_none());
        drop(all);
        // Both were given theirs; one never looked.
        let reserved = first.now_or_never().unwrap().unwrap();
        drop(second);
        assert!(!is_free(&memory));
        drop(reserved);
        assert!(is_free(&memory));
        let (all, gone) = (now(&memory, &one, usize::MAX), memory.reserve(&two, 1 << 20));
        drop(gone);
        drop(all);
        assert!(is_free(&memory));
        assert_eq!(two.under_way.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn who_gives_up_a_large_wait_lets_small_ones_in() {
        let memory = Memory::new(BYTES);
        let (one, two, three) = (share(1), share(2), share(3));
        let half = now(&memory, &one, BYTES / 2).unwrap();
        let large = memory.reserve(&two, usize::MAX);
        let mut small = memory.reserve(&three, 1 << 20);
        assert!((&mut small).now_or_never().is_none(), "room is kept for the large one");
        drop(large);
        assert!(small.now_or_never().is_some());
        drop(half);
        assert!(is_free(&memory));
    }

    #[test]
    fn a_batch_takes_what_it_turns_out_to_need() {
        let memory = Memory::new(BYTES);
        let share = share(1);
        let mut reserved = now(&memory, &share, 10_000).unwrap();
        assert!(reserved.resize(5_000_000));
        assert_eq!(share.under_way.load(Ordering::Relaxed), 5_000_000);
        assert!(!now(&memory, &share, 10_000).unwrap().resize(5_000_000), "there is no more");
        assert!(reserved.resize(1));
        assert_eq!(share.under_way.load(Ordering::Relaxed), 1);
        assert!(now(&memory, &share, 5_000_000).is_some());
        drop(reserved);
        assert!(is_free(&memory));
    }
}
