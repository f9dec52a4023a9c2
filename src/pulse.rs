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
    last: Mutex<(Instant, &'static str)>,
}

impl Pulse {
    /// Of the thread of that name; it counts as alive now.
    #[must_use]
    pub fn new(name: &str) -> Pulse {
        let last = Mutex::new((clock::monotonic(), "to start"));
        Pulse(Arc::new(Inner { name: name.to_owned(), last }))
    }

    /// The thread goes on, and is about to do this: words that read well after "it was about ".
    pub fn beat(&self, about: &'static str) {
        *self.lock() = (clock::monotonic(), about);
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
        let (at, about) = *self.lock();
        (now.saturating_duration_since(at), about)
    }

    fn lock(&self) -> MutexGuard<'_, (Instant, &'static str)> {
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
