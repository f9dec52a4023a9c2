//! Signs of life: each thread that must not stand still says so every time round, and where it is.
//!
//! A thread that hangs on a disk or in a bug can't tell. Who looks at its [`Pulse`] sees since when it
//! has been silent, and what it was about to do. Beating costs an uncontended lock, once a round.

use crate::clock;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often a runtime beats.
const BEAT_INTERVAL: Duration = Duration::from_millis(500);

/// A thread's sign of life; a clone is the same one.
#[derive(Debug, Clone)]
pub struct Pulse(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    /// When, and about what; nothing while it rests.
    last: Mutex<Option<(Instant, &'static str)>>,
}

impl Pulse {
    /// Of the thread of that name; it counts as alive now.
    #[must_use]
    pub fn new(name: &str) -> Pulse {
        let last = Mutex::new(Some((clock::monotonic(), "to start")));
        Pulse(Arc::new(Inner { name: name.to_owned(), last }))
    }

    /// The thread goes on, and is about to do this: words that read well after "it was about ".
    pub fn beat(&self, about: &'static str) {
        *self.lock() = Some((clock::monotonic(), about));
    }

    /// The thread waits for another one, for as long as that takes, or has ended as it should: until its
    /// next beat it is not missed.
    pub fn rest(&self) {
        *self.lock() = None;
    }

    /// Beats for a runtime of one thread, for as long as it is polled beside what runs there: what awaits
    /// does not stand still, what blocks does.
    pub async fn keep_beating(&self, about: &'static str) {
        loop {
            self.beat(about);
            tokio::time::sleep(BEAT_INTERVAL).await;
        }
    }

    /// Whose it is.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// For how long nothing was heard at `now`, and what it was about.
    #[must_use]
    pub fn silence(&self, now: Instant) -> (Duration, &'static str) {
        match *self.lock() {
            Some((at, about)) => (now.saturating_duration_since(at), about),
            None => (Duration::ZERO, "to wait"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Instant, &'static str)>> {
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_rests_is_never_silent_and_who_does_not_is_from_the_last_beat_on() {
        let pulse = Pulse::new("lane");
        let later = clock::monotonic() + Duration::from_secs(3600);
        assert_eq!(pulse.silence(later).1, "to start");
        assert!(pulse.silence(later).0 > Duration::from_secs(3500));
        pulse.rest();
        assert_eq!(pulse.silence(later).0, Duration::ZERO);
        pulse.beat("to read");
        let (silent, about) = pulse.silence(later);
        assert!(silent > Duration::from_secs(3500) && about == "to read", "{silent:?} {about}");
    }
}
