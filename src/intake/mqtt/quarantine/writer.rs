//! The thread: owns the book, writes rounds, and hands out what somebody wants tried again.

use super::pending::Urgency;
use super::{Desk, REPLAYS_MAX};
use crate::clock;
use crate::intake::mqtt::book::{Book, BookError, Message, Round};
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Between rounds that hold messages only.
const ROUND_INTERVAL: Duration = Duration::from_millis(500);
/// How often the thread looks whether somebody marked messages; and tries again what failed.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How often what has become too old is shed while nothing comes.
const SHED_INTERVAL: Duration = Duration::from_secs(600);

/// The thread: owns the book and says what became of it.
pub(super) struct Writer {
    book: Book,
    desk: Arc<Desk>,
    /// One that could not be written: tried again before anything else is.
    failed: Option<Round>,
    /// Whether the last turn failed, which was said.
    failing: bool,
    listeners: Vec<Listener>,
    /// Somebody may have marked messages since they were last looked for.
    look: bool,
    wrote_at: Instant,
}

/// A bridge, and the messages that it has not told the outcome of.
struct Listener {
    bridge: Arc<str>,
    sender: mpsc::Sender<Message>,
    handed: BTreeSet<u64>,
}

impl Writer {
    pub(super) fn new(book: Book, desk: Arc<Desk>) -> Writer {
        let (listeners, wrote_at) = (Vec::new(), clock::monotonic());
        Writer { book, desk, failed: None, failing: false, listeners, look: true, wrote_at }
    }

    pub(super) fn run(mut self) {
        loop {
            let ended = self.wait();
            self.turn();
            if ended {
                break;
            }
        }
        if let Some(round) = self.failed {
            log::error!(
                messages = round.messages.len(), births = round.remember.len();
                "the quarantine ends, and its last messages could not be written"
            );
        }
    }

    /// Sleeps until there is something to do; true if it is the last.
    fn wait(&mut self) -> bool {
        let began = clock::monotonic();
        let mut pending = self.desk.lock();
        loop {
            let due = match pending.urgency() {
                _ if pending.ended => return true,
                // A disk that fails is not tried all the time.
                _ if self.failing => began + LOOK_INTERVAL,
                Urgency::Now => began,
                Urgency::Soon => (self.wrote_at + ROUND_INTERVAL).min(began + LOOK_INTERVAL),
                Urgency::Idle => began + LOOK_INTERVAL,
            };
            let left = due.saturating_duration_since(clock::monotonic());
            if left.is_zero() {
                return false;
            }
            pending = self
                .desk
                .came
                .wait_timeout(pending, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn turn(&mut self) {
        let came = std::mem::take(&mut self.desk.lock().listeners);
        let waiting = std::mem::take(&mut self.desk.lock().waiting);
        self.look |= !came.is_empty();
        self.listeners.extend(came.into_iter().map(|(bridge, sender)| Listener {
            bridge,
            sender,
            handed: BTreeSet::new(),
        }));
        self.listeners.retain(|listener| !listener.sender.is_closed());
        let done = self.write().and_then(|()| self.hand_out());
        drop(waiting);
        let failed = std::mem::replace(&mut self.failing, done.is_err());
        match done {
            Err(error) if !failed => log::warn!(
                error:err = error;
                "the bridges' file can't be used: what is not understood is counted, and written when it can be"
            ),
            Ok(()) if failed => log::info!("the bridges' file can be used again"),
            Ok(()) | Err(_) => {}
        }
    }

    fn write(&mut self) -> Result<(), BookError> {
        if let Some(round) = self.failed.take() {
            self.write_round(round)?;
        }
        let pending = self.desk.lock().take();
        if let Some(bounds) = pending.bounds {
            self.book.set_bounds(bounds);
        }
        let old = clock::monotonic().saturating_duration_since(self.wrote_at) > SHED_INTERVAL;
        if pending.urgency() > Urgency::Idle || old {
            self.write_round(pending.into_round())?;
        }
        Ok(())
    }

    fn write_round(&mut self, round: Round) -> Result<(), BookError> {
        if let Err(error) = self.book.write(&round, clock::now()) {
            self.failed = Some(round);
            return Err(error);
        }
        self.wrote_at = clock::monotonic();
        for listener in &mut self.listeners {
            for (id, _) in &round.replayed {
                // There is room for another.
                self.look |= listener.handed.remove(id);
            }
        }
        Ok(())
    }

    /// Hands out what somebody marked, as much as each bridge has room for.
    fn hand_out(&mut self) -> Result<(), BookError> {
        self.look |= self.book.changed()?;
        if !self.look {
            return Ok(());
        }
        for listener in &mut self.listeners {
            let marked = self.book.to_replay(&listener.bridge, REPLAYS_MAX)?;
            for message in marked {
                let id = message.summary.id;
                if !listener.handed.contains(&id) && listener.sender.try_send(message).is_ok() {
                    listener.handed.insert(id);
                }
            }
        }
        self.look = false;
        Ok(())
    }
}
