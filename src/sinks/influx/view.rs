//! What a sink tells about itself while it works: shared by its driver and whoever asks.

use super::lane::Waiting;
use super::valve::ValveView;
use crate::sinks::book::{Counts, Standing, Totals};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How much of a rate is left after a second.
const OLD_SHARE: f64 = 0.8;

/// The state of a sink at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// Its name in the configuration.
    pub name: String,
    /// The width of windows, if it gets rollups; `None` = it gets every sample.
    pub rollups: Option<Duration>,
    /// Breaker and requests.
    pub valve: ValveView,
    /// Accepted samples that it has not dealt with.
    pub lag_samples: u64,
    /// Age of the oldest batch that it has not.
    pub lag: Duration,
    /// The same, without the backlog.
    pub live_lag: Duration,
    /// Samples of the backlog: those that were left out so that new ones go first.
    pub backlog_samples: u64,
    /// When the backlog will be written, at the present rate.
    pub drain_eta: Option<Duration>,
    /// Samples written, of late.
    pub samples_per_s: f64,
    /// What it has dealt with.
    pub counts: Counts,
    /// Its dead letters.
    pub letters: Totals,
    /// Samples that the log had and that were not dealt with in any way; 0 unless there is a bug.
    pub imbalance: i64,
}

/// What the driver tells.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// What the lanes have taken.
    pub live: Arc<Waiting>,
    pub backlog: Arc<Waiting>,
    told: Mutex<Told>,
}

#[derive(Debug, Default, Clone)]
pub(super) struct Told {
    pub counts: Counts,
    pub has_backlog: bool,
    pub letters: Totals,
    pub imbalance: i64,
    pub written: Rate,
    pub drained: Rate,
    drained_samples: u64,
}

impl Tally {
    /// What is done now.
    pub fn tell(&self, standing: &Standing) {
        let mut told = self.lock();
        told.counts = standing.counts;
        told.has_backlog = !standing.progress.gaps().is_empty();
    }

    /// So many samples of the backlog are done.
    pub fn drained(&self, samples: u64) {
        self.lock().drained_samples += samples;
    }

    /// How many dead letters there are now.
    pub fn set_letters(&self, letters: Totals) {
        self.lock().letters = letters;
    }

    /// See [`View::imbalance`].
    pub fn set_imbalance(&self, imbalance: i64) {
        self.lock().imbalance = imbalance;
    }

    /// Once a second.
    pub fn measure(&self, written: u64, now: Instant) {
        let mut told = self.lock();
        let drained = told.drained_samples;
        told.written.measure(written, now);
        told.drained.measure(drained, now);
    }

    /// What was told last.
    pub fn told(&self) -> Told {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How fast a count grows, smoothed over some seconds. Nothing is measured while the store is waited
/// for, and meanwhile nothing grows.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Rate {
    last: Option<(u64, Instant)>,
    per_s: f64,
}

impl Rate {
    fn measure(&mut self, count: u64, now: Instant) {
        if let Some((before, at)) = self.last {
            let seconds = now.saturating_duration_since(at).as_secs_f64().max(0.001);
            let fresh = count.saturating_sub(before) as f64 / seconds;
            self.per_s = fresh + (self.per_s - fresh) * OLD_SHARE.powf(seconds);
        }
        self.last = Some((count, now));
    }

    /// Per second.
    pub fn per_s(self, now: Instant) -> f64 {
        let unmeasured =
            self.last.map_or(Duration::ZERO, |(_, at)| now.saturating_duration_since(at));
        self.per_s * OLD_SHARE.powf((unmeasured.as_secs_f64() - 1.0).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn a_rate_follows_what_grows_and_falls_while_nothing_is_measured() {
        let (start, mut rate) = (clock::monotonic(), Rate::default());
        let at = |second| start + Duration::from_secs(second);
        for second in 0..30 {
            rate.measure(1000 * second, at(second));
        }
        assert!((995.0..=1000.0).contains(&rate.per_s(at(29))), "{rate:?}");
        assert!(rate.per_s(at(40)) < 150.0, "ten seconds in which nothing was written");
        // One measurement over a long time counts for all of it.
        rate.measure(29_000, at(60));
        assert!(rate.per_s(at(60)) < 5.0, "{rate:?}");
    }
}
