//! Measures how full everything is, and tells clients what follows.
//!
//! The gate's thread measures after each group, when memory and queue hold what came meanwhile. A
//! second thread looks on while that one stands still before a slow disk, and reads what only
//! changes slowly: the disk's free space, and once a second what each client takes.

use super::ceiling::{Ceiling, Weight};
use super::flow::{Fills, Flow, Level, Meter, Resource};
use super::memory::Memory;
use super::shares::Shares;
use crate::clock;
use crate::spool::Spool;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often the second thread looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// It reads the books of all clients after so many looks.
const WEIGH_EVERY: u32 = 4;
/// The gate's thread stands still if it has not measured for this long: memory and queue fill, and
/// nobody else says so.
const STILL: Duration = Duration::from_millis(500);
/// Nobody is asked to slow down who would leave the rest of the spool for this long.
const SPARE_SECONDS: u64 = 600;

/// How full everything is. Cheap to clone.
#[derive(Clone)]
pub struct Pressure(Arc<Shared>);

struct Shared {
    spool: Spool,
    memory: Arc<Memory>,
    queued: Arc<AtomicUsize>,
    queue_max: usize,
    shares: Arc<Shares>,
    ceiling: Option<Ceiling>,
    in_trouble: AtomicBool,
    state: Mutex<State>,
}

struct State {
    fills: Fills,
    meter: Meter,
    flow: Flow,
    measured_by_gate: Instant,
    /// What was found when memory was looked at last, until the gate's thread takes it.
    room_for_series: Option<usize>,
}

impl Pressure {
    pub(super) fn new(
        spool: Spool,
        memory: Arc<Memory>,
        queued: Arc<AtomicUsize>,
        queue_max: usize,
        shares: Arc<Shares>,
        ceiling: Option<Ceiling>,
    ) -> Pressure {
        let state = Mutex::new(State {
            fills: Fills::default(),
            meter: Meter::default(),
            flow: Flow::default(),
            measured_by_gate: clock::monotonic(),
            room_for_series: None,
        });
        let in_trouble = AtomicBool::new(false);
        let pressure = Pressure(Arc::new(Shared {
            spool,
            memory,
            queued,
            queue_max,
            shares,
            ceiling,
            in_trouble,
            state,
        }));
        pressure.0.spool.look_at_disk();
        pressure
    }

    /// The pressure now.
    #[must_use]
    pub fn flow(&self) -> Flow {
        self.lock().flow
    }

    /// How full each resource was when last measured.
    #[must_use]
    pub fn fills(&self) -> Fills {
        self.lock().fills
    }

    /// What the service manager lets the daemon have, if it says so.
    #[must_use]
    pub fn ceiling(&self) -> Option<&Ceiling> {
        self.0.ceiling.as_ref()
    }

    /// How many new series find memory, if that was looked at since it was asked for last.
    pub(super) fn take_room_for_series(&self) -> Option<usize> {
        self.lock().room_for_series.take()
    }

    /// The gate's thread: a group is done, or nothing came.
    pub(super) fn after_group(&self, in_trouble: bool) {
        self.0.in_trouble.store(in_trouble, Ordering::Relaxed);
        let mut state = self.lock();
        state.measured_by_gate = clock::monotonic();
        self.measure(state, true);
    }

    /// Looks on until the other end of `until` is dropped.
    pub(super) fn look_on(&self, until: &Receiver<()>) {
        let mut looks: u32 = 0;
        while let Err(RecvTimeoutError::Timeout) = until.recv_timeout(LOOK_INTERVAL) {
            looks = looks.wrapping_add(1);
            // May wait for a disk that does not answer: not under a lock.
            self.0.spool.look_at_disk();
            // Nor is this, which reads two files of the kernel's.
            let ceiling = self.ceiling().filter(|_| looks.is_multiple_of(WEIGH_EVERY));
            let ceiling = ceiling.map(Ceiling::weigh);
            let mut state = self.lock();
            if let Some(Weight { fill, room_for_series }) = ceiling {
                state.fills.set(Resource::Ceiling, fill);
                state.room_for_series = Some(room_for_series);
            }
            let still = clock::monotonic().duration_since(state.measured_by_gate) >= STILL;
            self.measure(state, still);
            if looks.is_multiple_of(WEIGH_EVERY) {
                self.weigh();
            }
        }
    }

    fn measure(&self, mut state: MutexGuard<'_, State>, all: bool) {
        let Shared { spool, memory, queued, queue_max, .. } = &*self.0;
        let trouble = if self.0.in_trouble.load(Ordering::Relaxed) { 1.0 } else { 0.0 };
        state.fills.set(Resource::Trouble, trouble);
        state.fills.set(Resource::Spool, spool.fill());
        state.fills.set(Resource::Disk, spool.disk_fill());
        if all {
            let waiting = queued.load(Ordering::Relaxed);
            state.fills.set(Resource::Memory, memory.fill());
            state.fills.set(Resource::Queue, waiting as f64 / (*queue_max).max(1) as f64);
        }
        let State { fills, meter, flow, .. } = &mut *state;
        let before = std::mem::replace(flow, meter.read(fills, clock::monotonic()));
        let now = *flow;
        if now == before {
            return;
        }
        // Under the lock, so that of two changes the later is told last.
        self.0.shares.tell(now);
        drop(state);
        say(before, now);
    }

    fn weigh(&self) {
        let spare = match self.flow().of {
            // What is only short for a moment is shared as it is taken.
            Some(Resource::Memory | Resource::Queue | Resource::Ceiling) => 0,
            _ => self.0.spool.room() / SPARE_SECONDS,
        };
        self.0.shares.weigh(spare);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One line for each change of level.
fn say(before: Flow, now: Flow) {
    let (pressure, of) = (now.pressure, now.of.map_or("nothing", Resource::name));
    match now.level() {
        level if level == before.level() => {}
        Level::Calm => {
            log::info!(event = "pressure-changed", pressure, of; "pressure is gone: producers have their full credit")
        }
        Level::Slowing => {
            log::warn!(event = "pressure-changed", pressure, of; "pressure: producers are slowed, because {now}")
        }
        Level::AtLimit => {
            log::warn!(event = "pressure-changed", pressure, of; "pressure: producers are slowed as far as can be, because {now}");
        }
    }
}
