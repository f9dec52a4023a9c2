//! The valve before a store: who wants to send a request waits here until it may.
//!
//! Breaker and concurrency limit decide; the valve owns both, tells them what came of each request,
//! and wakes who waits when they may have changed their minds. A [`Pass`] is one request: dropped
//! without an outcome (cancelled) it is told as abandoned, so that none is ever forgotten.
//!
//! One line is logged when it opens, when the cause changes, and when it closes; not for each probe
//! that fails.

use super::answers::{Cause, Meaning};
use super::concurrency::{Concurrency, Ended};
use crate::clock;
use crate::sinks::breaker::{Action, Breaker, Event, Permit, Settings, State};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The daemon stops, and the store is not well: what is not written stays in the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

/// What the operator may want of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Send nothing until told otherwise.
    Hold,
    /// Try now, also if it is held.
    Probe,
    /// No longer hold.
    Release,
}

impl Wish {
    fn words(self) -> &'static str {
        match self {
            Wish::Hold => "the operator holds it open; what comes stays in the spool",
            Wish::Probe => "the operator wants the store to be tried now",
            Wish::Release => "the operator no longer holds it",
        }
    }
}

/// What people are told of a valve.
#[derive(Debug, Clone, PartialEq)]
pub struct ValveView {
    /// The lamp.
    pub state: State,
    /// The operator holds it open.
    pub held: bool,
    /// Why it is not closed.
    pub cause: Option<String>,
    /// When it will be probed; nothing if it is not waiting for a time.
    pub next_probe: Option<Duration>,
    /// Requests sent and not answered.
    pub under_way: u32,
    /// How many there may be.
    pub allowed: u32,
    /// Requests ever sent.
    pub sent: u64,
    /// Of these: how many the store did not take, whatever their content.
    pub failed: u64,
}

/// See the module's text.
pub struct Valve {
    sink: String,
    state: Mutex<Inner>,
    changed: Notify,
    stop: CancellationToken,
}

struct Inner {
    breaker: Breaker<Cause>,
    concurrency: Concurrency,
    under_way: u32,
    sent: u64,
    failed: u64,
    /// When it opened, and what was logged about it.
    opened: Option<(Instant, Option<String>)>,
    /// A request failed after `stop`: nothing more is tried.
    gave_up: bool,
}

/// Permission for one request.
pub struct Pass<'a> {
    valve: &'a Valve,
    permit: Permit,
    sent_at: Instant,
    ended: bool,
}

impl Valve {
    /// A closed one. After `stop`, requests pass only while the store is well.
    #[must_use]
    pub fn new(
        sink: &str,
        settings: Settings,
        requests_max: u32,
        stop: CancellationToken,
    ) -> Valve {
        let inner = Inner {
            breaker: Breaker::new(settings),
            concurrency: Concurrency::new(requests_max),
            under_way: 0,
            sent: 0,
            failed: 0,
            opened: None,
            gave_up: false,
        };
        Valve { sink: sink.to_owned(), state: Mutex::new(inner), changed: Notify::new(), stop }
    }

    /// Waits until a request may be sent; as long as it takes.
    ///
    /// Cancel-safe. # Errors [`Stopped`].
    pub async fn pass(&self) -> Result<Pass<'_>, Stopped> {
        loop {
            // Before the look, so that no change is missed.
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let until = match self.ask()? {
                Answer::Pass(pass) => return Ok(pass),
                Answer::Wait(until) => until,
            };
            let time = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until.into()).await,
                    None => std::future::pending().await,
                }
            };
            // Asked again after `stop`, too: if the store is well it is only busy.
            tokio::select! {
                () = changed => {}
                () = time => {}
                () = self.stop.cancelled(), if !self.stop.is_cancelled() => {}
            }
        }
    }

    /// What the operator wants. Whether it changed anything.
    pub fn wish(&self, wish: Wish) -> bool {
        let event = match wish {
            Wish::Hold => Event::Hold,
            Wish::Probe => Event::Probe,
            Wish::Release => Event::Release,
        };
        let mut inner = self.lock();
        let now = clock::monotonic();
        let granted = inner.breaker.handle(event, now, rand::random()) != Action::Nothing;
        if granted {
            inner.opened.get_or_insert((now, None));
            log::warn!(event = "breaker-wished", sink = self.sink.as_str(); "breaker: {}", wish.words());
        }
        drop(inner);
        self.changed.notify_waiters();
        granted
    }

    /// What people are told.
    #[must_use]
    pub fn view(&self) -> ValveView {
        let inner = self.lock();
        let view = inner.breaker.view(clock::monotonic());
        ValveView {
            state: view.state,
            held: view.held,
            cause: match (view.cause, view.held) {
                (Some(cause), _) => Some(cause.to_string()),
                (None, true) => Some("the operator holds it".to_owned()),
                (None, false) => None,
            },
            next_probe: view.next_probe,
            under_way: inner.under_way,
            allowed: inner.concurrency.allowed(),
            sent: inner.sent,
            failed: inner.failed,
        }
    }

    /// How many requests there may be at the same time now.
    #[must_use]
    pub fn allowed(&self) -> u32 {
        self.lock().concurrency.allowed()
    }

    /// Whether the daemon stops.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// The daemon stops, and a request that is under way had this much time since.
    pub async fn stopped_for(&self, grace: Duration) {
        self.stop.cancelled().await;
        tokio::time::sleep(grace).await;
    }

    fn ask(&self) -> Result<Answer<'_>, Stopped> {
        let mut inner = self.lock();
        let now = clock::monotonic();
        let state = inner.breaker.view(now).state;
        if self.stop.is_cancelled() && (inner.gave_up || state != State::Closed) {
            return Err(Stopped);
        }
        // The one that passes while it is half-open is alone by the breaker's own rule.
        if inner.under_way >= inner.concurrency.allowed() && state == State::Closed {
            return Ok(Answer::Wait(None));
        }
        let permit = match inner.breaker.handle(Event::Ask, now, 0.0) {
            Action::Send(permit) | Action::SendProbe(permit) => permit,
            Action::Wait(until) => return Ok(Answer::Wait(until)),
            Action::Nothing | Action::Opened | Action::Closed | Action::Changed => {
                return Ok(Answer::Wait(None));
            }
        };
        inner.under_way += 1;
        inner.sent += 1;
        Ok(Answer::Pass(Pass { valve: self, permit, sent_at: now, ended: false }))
    }

    fn end(&self, permit: Permit, sent_at: Instant, meaning: Option<&Meaning>) {
        let mut inner = self.lock();
        let now = clock::monotonic();
        let under_way = inner.under_way;
        inner.under_way -= 1;
        let event = match meaning.map(Meaning::failure) {
            None => Event::Abandoned(permit),
            Some(None) => {
                inner.concurrency.ended(Ended::Answered, sent_at, now, under_way);
                Event::Succeeded(permit)
            }
            Some(Some(failure)) => {
                inner.failed += 1;
                inner.gave_up |= self.stop.is_cancelled();
                inner.concurrency.ended(Ended::Failed, sent_at, now, under_way);
                Event::Failed(permit, failure)
            }
        };
        match inner.breaker.handle(event, now, rand::random()) {
            Action::Opened => self.opened(&mut inner, now),
            Action::Closed => self.closed(&mut inner, now),
            _ => {}
        }
        drop(inner);
        self.changed.notify_waiters();
    }

    fn opened(&self, inner: &mut Inner, now: Instant) {
        let view = inner.breaker.view(now);
        let cause = view.cause.map(ToString::to_string);
        let next_probe = view.next_probe.unwrap_or_default().as_secs_f64();
        let (since, logged) = match inner.opened.take() {
            Some((since, logged)) => (since, logged == cause),
            None => (now, false),
        };
        if !logged {
            let words = cause.as_deref().unwrap_or("unknown");
            log::warn!(
                event = "breaker-opened", sink = self.sink.as_str(), next_probe_s:% = format!("{next_probe:.1}");
                "breaker open: {words}; what comes stays in the spool"
            );
        }
        inner.opened = Some((since, cause));
    }

    fn closed(&self, inner: &mut Inner, now: Instant) {
        inner.concurrency.restart();
        let open_s = inner.opened.take().map_or(0.0, |(at, _)| (now - at).as_secs_f64());
        log::info!(
            event = "breaker-closed", sink = self.sink.as_str(), open_s:% = format!("{open_s:.1}");
            "breaker closed: the store takes requests again"
        );
    }

    /// Every change under the lock is complete when it can panic.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Answer<'a> {
    Pass(Pass<'a>),
    Wait(Option<Instant>),
}

impl Pass<'_> {
    /// What came of the request.
    pub fn end(mut self, meaning: &Meaning) {
        self.ended = true;
        self.valve.end(self.permit, self.sent_at, Some(meaning));
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.valve.end(self.permit, self.sent_at, None);
        }
    }
}
