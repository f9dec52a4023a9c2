//! The circuit breaker in front of a sink: whether a request may be sent now.
//!
//! ```text
//!             too many failures, or told to wait           the time has come: one probe
//!   CLOSED ───────────────────────────────────────► OPEN ──────────────────────────────► HALF-OPEN
//!      ▲                                             ▲ ▲                                   │   │
//!      │                                  released,  │ └────────────── it fails ───────────┘   │
//!      │            hold (from any state) probed   HELD                                        │
//!      └───────────────────────────────────────────────────────────────────── it succeeds ─────┘
//! ```
//!
//! A pure state machine: told events, the time and a random number, it answers with an [`Action`].
//! Its specification is the table in `docs/sinks.md`, against which a property test checks it.
//!
//! A request is sent only with a [`Permit`], which comes back with the outcome. Permits know since
//! when the breaker is in its state, so that a request from before it opened says nothing about the
//! probe. Which failures count, and what they are called, the sink says: `C` is its word for a cause.

use std::time::{Duration, Instant};

/// Outcomes that the failure rate is computed over.
const WINDOW: u32 = u64::BITS;
/// A store that asks for more patience than this is asked again after this.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// When it opens, and for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Opens after so many failures in a row.
    pub failures_in_a_row: u32,
    /// Opens when so large a share of the last 64 requests failed …
    pub failure_rate: f64,
    /// … if there have been at least so many since it closed (at most 64).
    pub rate_requests_min: u32,
    /// The longest wait after it opened first. Doubles with each probe that fails; how much of it is
    /// waited is random.
    pub backoff: Duration,
    /// What the doubling ends at.
    pub backoff_max: Duration,
    /// What it ends at earlier while no connection to the store comes about.
    pub unreachable_max: Duration,
    /// How often a store that we are not allowed to write, or that is not there, is probed.
    pub misconfigured_interval: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            // One lost connection is no outage; five answers in a row are.
            failures_in_a_row: 5,
            failure_rate: 0.5,
            rate_requests_min: 20,
            backoff: Duration::from_millis(500),
            backoff_max: Duration::from_secs(60),
            // An attempt costs nobody anything, and new readings are to be seconds late when the
            // store is back, however long it was away.
            unreachable_max: Duration::from_secs(5),
            misconfigured_interval: Duration::from_secs(60),
        }
    }
}

/// Allows one request. Every permit must come back in an event, exactly once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permit {
    era: u64,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<C> {
    /// There is something to send.
    Ask,
    /// The store answered and is well. Content that it refused is such an answer.
    Succeeded(Permit),
    /// The store is not well, or does not let us.
    Failed(Permit, Failure<C>),
    /// The request came to no outcome: it was cancelled.
    Abandoned(Permit),
    /// The operator wants it: send nothing until told otherwise.
    Hold,
    /// The operator wants it: try now, also if it is held.
    Probe,
    /// The operator wants it: no longer hold.
    Release,
}

/// A failed request.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure<C> {
    /// Who must act.
    pub kind: FailureKind,
    /// How long the store asked us to wait.
    pub retry_after: Option<Duration>,
    /// For people.
    pub cause: C,
}

/// Who must act on a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// We: try again.
    Unavailable,
    /// We, too: but the store did not even answer, and each request more would wait as long.
    Unanswered,
    /// We, too: but no connection came about. The store was not burdened by it, and each request more
    /// would end the same.
    Unreachable,
    /// The administrator: something is to be fixed, and each request would fail until it is.
    Misconfigured,
}

/// What the caller is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Action {
    /// Nothing.
    Nothing,
    /// Answer to [`Event::Ask`]: send it.
    Send(Permit),
    /// Answer to [`Event::Ask`]: send it; it is the probe, and the breaker is half-open now.
    SendProbe(Permit),
    /// Answer to [`Event::Ask`]: ask again at that time, or, if none is given, after another event.
    Wait(Option<Instant>),
    /// It opened, or opened again. Say so; send nothing.
    Opened,
    /// It closed. Say so; begin with one request at a time.
    Closed,
    /// What was awaited may have changed: ask again. An operator's wish was granted.
    Changed,
}

/// What the breaker's lamp shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Requests pass.
    Closed,
    /// None pass.
    Open,
    /// One passed, and its outcome decides.
    HalfOpen,
}

impl State {
    /// As in status and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            State::Closed => "closed",
            State::Open => "open",
            State::HalfOpen => "half_open",
        }
    }
}

/// What people are told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View<'a, C> {
    /// The lamp.
    pub state: State,
    /// The operator holds it open.
    pub held: bool,
    /// Why it is not closed; nothing if it is held without having failed.
    pub cause: Option<&'a C>,
    /// When it will be probed; nothing if it is not waiting for a time.
    pub next_probe: Option<Duration>,
}

/// The breaker.
#[derive(Debug)]
pub struct Breaker<C> {
    settings: Settings,
    phase: Phase,
    /// Counts changes of phase; permits of an earlier one decide nothing.
    era: u64,
    /// The last outcomes, the latest in the lowest bit; 1 = failed.
    outcomes: u64,
    /// How many of them there are.
    known: u32,
    in_a_row: u32,
    /// The longest that was to be waited when it opened last; nothing since it closed.
    ceiling: Duration,
    cause: Option<C>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Closed,
    Open { until: Instant },
    HalfOpen,
    Held,
}

impl<C> Breaker<C> {
    /// A closed one.
    #[must_use]
    pub fn new(settings: Settings) -> Breaker<C> {
        Breaker {
            settings,
            phase: Phase::Closed,
            era: 0,
            outcomes: 0,
            known: 0,
            in_a_row: 0,
            ceiling: Duration::ZERO,
            cause: None,
        }
    }

    /// What people are told of it now.
    #[must_use]
    pub fn view(&self, now: Instant) -> View<'_, C> {
        let (state, next_probe) = match self.phase {
            Phase::Closed => (State::Closed, None),
            Phase::Open { until } => (State::Open, Some(until.saturating_duration_since(now))),
            Phase::HalfOpen => (State::HalfOpen, None),
            Phase::Held => (State::Open, None),
        };
        let held = self.phase == Phase::Held;
        View { state, held, cause: self.cause.as_ref(), next_probe }
    }

    /// Takes an event. `random` is fresh, from 0 to below 1; it is used only when it opens.
    pub fn handle(&mut self, event: Event<C>, now: Instant, random: f64) -> Action {
        match event {
            Event::Ask => self.asked(now),
            Event::Succeeded(permit) if permit.era == self.era => self.succeeded(),
            Event::Failed(permit, failure) if permit.era == self.era => {
                self.failed(failure, now, random)
            }
            Event::Failed(_, failure) => self.failed_late(&failure, now),
            Event::Abandoned(permit) if permit.era == self.era => self.abandoned(now),
            Event::Succeeded(_) | Event::Abandoned(_) => Action::Nothing,
            Event::Hold => self.hold(),
            Event::Probe => self.probe(now),
            Event::Release => self.release(now),
        }
    }

    fn asked(&mut self, now: Instant) -> Action {
        match self.phase {
            Phase::Closed => Action::Send(Permit { era: self.era }),
            Phase::Open { until } if now < until => Action::Wait(Some(until)),
            Phase::Open { .. } => {
                self.enter(Phase::HalfOpen);
                Action::SendProbe(Permit { era: self.era })
            }
            Phase::HalfOpen | Phase::Held => Action::Wait(None),
        }
    }

    fn succeeded(&mut self) -> Action {
        match self.phase {
            Phase::Closed => {
                self.note(false);
                Action::Nothing
            }
            Phase::HalfOpen => {
                self.enter(Phase::Closed);
                (self.outcomes, self.known, self.in_a_row) = (0, 0, 0);
                self.ceiling = Duration::ZERO;
                self.cause = None;
                Action::Closed
            }
            Phase::Open { .. } | Phase::Held => Action::Nothing,
        }
    }

    fn failed(&mut self, failure: Failure<C>, now: Instant, random: f64) -> Action {
        match self.phase {
            Phase::Closed => {
                self.note(true);
                let told_to_wait = failure.retry_after.is_some();
                let one_is_enough = failure.kind != FailureKind::Unavailable;
                if told_to_wait || one_is_enough || self.has_failed_too_often() {
                    self.open(failure, now, random)
                } else {
                    Action::Nothing
                }
            }
            Phase::HalfOpen => self.open(failure, now, random),
            Phase::Open { .. } | Phase::Held => Action::Nothing,
        }
    }

    /// A failure of a request from before the last change. Only the store's wish to be left alone
    /// still counts.
    fn failed_late(&mut self, failure: &Failure<C>, now: Instant) -> Action {
        if let (Phase::Open { until }, Some(after)) = (self.phase, failure.retry_after) {
            self.phase = Phase::Open { until: until.max(now + after.min(RETRY_AFTER_MAX)) };
        }
        Action::Nothing
    }

    fn abandoned(&mut self, now: Instant) -> Action {
        match self.phase {
            Phase::HalfOpen => {
                self.enter(Phase::Open { until: now });
                Action::Changed
            }
            Phase::Closed | Phase::Open { .. } | Phase::Held => Action::Nothing,
        }
    }

    fn hold(&mut self) -> Action {
        if self.phase == Phase::Held {
            return Action::Nothing;
        }
        self.enter(Phase::Held);
        Action::Changed
    }

    fn probe(&mut self, now: Instant) -> Action {
        match self.phase {
            Phase::Open { .. } | Phase::Held => {
                self.enter(Phase::Open { until: now });
                Action::Changed
            }
            Phase::Closed | Phase::HalfOpen => Action::Nothing,
        }
    }

    fn release(&mut self, now: Instant) -> Action {
        match self.phase {
            Phase::Held => self.probe(now),
            Phase::Closed | Phase::Open { .. } | Phase::HalfOpen => Action::Nothing,
        }
    }

    fn open(&mut self, failure: Failure<C>, now: Instant, random: f64) -> Action {
        let wait = match failure.kind {
            FailureKind::Unavailable | FailureKind::Unanswered => {
                self.back_off(self.settings.backoff_max, random)
            }
            FailureKind::Unreachable => {
                let most = self.settings.unreachable_max.min(self.settings.backoff_max);
                self.back_off(most, random)
            }
            FailureKind::Misconfigured => self.settings.misconfigured_interval,
        };
        let asked = failure.retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
        self.enter(Phase::Open { until: now + wait.max(asked) });
        self.cause = Some(failure.cause);
        Action::Opened
    }

    /// How long to wait now, and twice as long the next time. `most` also lowers what was reached
    /// before: what comes back after it could not be reached has not seen our requests.
    fn back_off(&mut self, most: Duration, random: f64) -> Duration {
        self.ceiling = self.ceiling.saturating_mul(2).max(self.settings.backoff).min(most);
        self.ceiling.mul_f64(random.clamp(0.0, 1.0))
    }

    fn note(&mut self, failed: bool) {
        self.outcomes = self.outcomes << 1 | u64::from(failed);
        self.known = (self.known + 1).min(WINDOW);
        self.in_a_row = if failed { self.in_a_row.saturating_add(1) } else { 0 };
    }

    fn has_failed_too_often(&self) -> bool {
        let share = f64::from(self.outcomes.count_ones()) / f64::from(self.known.max(1));
        self.in_a_row >= self.settings.failures_in_a_row
            || (self.known >= self.settings.rate_requests_min.min(WINDOW)
                && share >= self.settings.failure_rate)
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.era += 1;
    }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
