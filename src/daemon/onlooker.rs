//! One thread looks whether the others go on, and tells the service manager.
//!
//! ```text
//!  gate, followers, commands ──beat──► pulses ◄──looks── onlooker ──► STATUS=, WATCHDOG=1, STOPPING=1 …
//!  listener's task ──beat, status line──────────────────────┘
//! ```
//!
//! It waits for nobody and takes no lock of the rooms: what it says comes to it, so that it can name a
//! thread that hangs with a lock in its hands.

use super::{DaemonError, thread};
use crate::clock;
use crate::gate::Gate;
use crate::logging;
use crate::pulse::Pulse;
use crate::sinks::influx::Influx;
use crate::systemd::Notifier;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often it looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// A thread that is silent for longer is named, if no watchdog says otherwise; with one, half of what
/// the watchdog waits: it is named before it is fatal.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// What is asked for at each look while the pipeline runs dry, which has a deadline of its own.
const DRAIN_EXTENSION: Duration = Duration::from_secs(10);

/// The signs of life that are looked at.
pub(super) struct Pulses {
    pub history: Pulse,
    pub live: Pulse,
    pub alerts: Pulse,
    pub commands: Pulse,
    listener: Pulse,
}

impl Pulses {
    pub fn new() -> Pulses {
        let [history, live, alerts, commands, listener] =
            ["history", "live", "alerts", "commands", "listener"].map(Pulse::new);
        Pulses { history, live, alerts, commands, listener }
    }

    fn with(&self, gate: &Gate) -> Vec<Pulse> {
        let Pulses { history, live, alerts, commands, listener } = self;
        [gate.pulse(), history, live, alerts, commands, listener].into_iter().cloned().collect()
    }
}

/// What it is told.
enum Told {
    /// How the daemon is, in a line.
    Status(String),
    /// The signs of life of all sinks that there are.
    Sinks(Vec<Pulse>),
    /// The pipeline runs dry from now on.
    Draining,
}

/// The end to tell it by. The thread ends when this is dropped.
pub(super) struct Onlooker {
    notifier: Notifier,
    listener: Pulse,
    told: Sender<Told>,
    thread: JoinHandle<()>,
}

impl Onlooker {
    /// Starts the thread.
    pub fn start(
        notifier: Notifier,
        pulses: &Pulses,
        gate: &Gate,
    ) -> Result<Onlooker, DaemonError> {
        let (told, tells) = channel();
        // Reading the log may have taken its time until here.
        pulses.listener.beat("to open the listener");
        let silence_max = notifier.watchdog().map_or(SILENCE_MAX, |watchdog| watchdog / 2);
        let watched = pulses.with(gate).into_iter().map(|pulse| (pulse, false)).collect();
        let sinks = Vec::new();
        let look =
            Look { notifier: notifier.clone(), watched, sinks, silence_max, is_draining: false };
        let thread = thread("onlooker", move || look.run(&tells))?;
        Ok(Onlooker { notifier, listener: pulses.listener.clone(), told, thread })
    }

    /// To tell it which sinks there are.
    pub fn of_sinks(&self) -> OfSinks {
        OfSinks(self.told.clone())
    }

    /// The daemon serves.
    pub fn ready(&self) {
        self.notifier.ready();
    }

    /// Connections are accepted.
    pub fn listens(&self) {
        self.listener.beat("to accept connections");
    }

    /// How the daemon is.
    pub fn status(&self, line: String) {
        self.tell(Told::Status(line));
    }

    /// The daemon ends; threads that end are not missed.
    pub fn draining(&self) {
        self.tell(Told::Draining);
    }

    fn tell(&self, told: Told) {
        // It ends after us.
        self.told.send(told).unwrap_or_default();
    }

    /// Ends the thread.
    pub fn end(self) {
        drop(self.told);
        if self.thread.join().is_err() {
            log::error!(event = "thread-panicked", thread = "onlooker"; "a thread panicked");
        }
    }
}

/// Tells the onlooker which sinks there are. It ends no sooner than this is dropped.
pub(super) struct OfSinks(Sender<Told>);

impl OfSinks {
    pub fn are(&self, sinks: &[Influx]) {
        let pulses = sinks.iter().flat_map(Influx::pulses).collect();
        // It ends after us.
        self.0.send(Told::Sinks(pulses)).unwrap_or_default();
    }
}

struct Look {
    notifier: Notifier,
    /// Each, and whether it was named.
    watched: Vec<(Pulse, bool)>,
    sinks: Vec<(Pulse, bool)>,
    silence_max: Duration,
    is_draining: bool,
}

impl Look {
    fn run(mut self, tells: &Receiver<Told>) {
        let mut looked = clock::monotonic();
        loop {
            let due = (looked + LOOK_INTERVAL).saturating_duration_since(clock::monotonic());
            match tells.recv_timeout(due) {
                Ok(Told::Status(line)) if !self.is_draining => self.notifier.status(&line),
                Ok(Told::Status(_)) => {}
                Ok(Told::Sinks(pulses)) => {
                    self.sinks = pulses.into_iter().map(|pulse| (pulse, false)).collect();
                }
                Ok(Told::Draining) => {
                    self.is_draining = true;
                    self.notifier.stopping();
                    self.notifier.status("stopping: the pipeline runs dry");
                }
                Err(RecvTimeoutError::Timeout) => {
                    let now = clock::monotonic();
                    self.look(now, now.duration_since(looked) > 4 * LOOK_INTERVAL);
                    looked = now;
                    logging::tell_repeats();
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// `was_away`: nobody ran for a while, we neither, so that all were silent: the process was stopped
    /// and goes on, or the machine was suspended.
    fn look(&mut self, now: Instant, was_away: bool) {
        if self.is_draining {
            self.notifier.extend(DRAIN_EXTENSION);
            self.notifier.feed();
            return;
        }
        let mut all_go_on = true;
        for (pulse, named) in self.watched.iter_mut().chain(&mut self.sinks).filter(|_| !was_away) {
            let (silent, about) = pulse.silence(now);
            let is_stuck = silent >= self.silence_max;
            all_go_on &= !is_stuck;
            let silent_s = silent.as_secs();
            if is_stuck && !*named {
                log::error!(
                    event = "thread-stuck", thread = pulse.name(), silent_s;
                    "the thread {} makes no progress: it was about {about}; the watchdog is not fed \
                     until it goes on", pulse.name()
                );
            } else if !is_stuck && *named {
                log::warn!(event = "thread-goes-on", thread = pulse.name(); "the thread {} goes on", pulse.name());
            }
            *named = is_stuck;
        }
        if all_go_on {
            self.notifier.feed();
        }
    }
}
