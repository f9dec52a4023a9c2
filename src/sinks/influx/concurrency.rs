//! How many requests to a store may be under way at once: as many as it takes well.
//!
//! Additive increase, multiplicative decrease. While answers come as fast as usual and the limit is
//! what holds us back, it grows by one per round of requests. An error halves it; answers much slower
//! than usual take a quarter, because a store that queues is a store that is full. What is usual is
//! smoothed: it follows faster answers at once and slower ones slowly, so that a store that stays
//! slow becomes the usual. Pure: told what happened and when.

use std::time::{Duration, Instant};

/// An answer that takes so many times the usual is a slow one …
const SLOW_FACTOR: f64 = 2.0;
/// … unless it came within this. Small requests are quick, and must not make large ones look slow.
const NEVER_SLOW: Duration = Duration::from_millis(100);
const AFTER_SLOW: f64 = 0.75;
const AFTER_ERROR: f64 = 0.5;
/// How much of the difference the usual follows to a quicker answer, and to a round of slower ones.
const FOLLOW_DOWN: f64 = 0.25;
const FOLLOW_UP: f64 = 1.0 / 32.0;

/// How a request ended, as far as the limit is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The store answered, and is well.
    Answered,
    /// It asked us to slow down, did not answer, or failed.
    Failed,
}

/// The limit.
#[derive(Debug)]
pub struct Concurrency {
    max: u32,
    limit: f64,
    /// Seconds that an answer usually takes.
    usual: Option<f64>,
    decreased_at: Option<Instant>,
}

impl Concurrency {
    /// Begins with one request at a time and never goes above `max` (at least 1).
    #[must_use]
    pub fn new(max: u32) -> Concurrency {
        Concurrency { max: max.max(1), limit: 1.0, usual: None, decreased_at: None }
    }

    /// How many requests may be under way now.
    #[must_use]
    pub fn allowed(&self) -> u32 {
        self.limit as u32
    }

    /// What an answer usually takes; nothing before the first.
    #[must_use]
    pub fn usual(&self) -> Option<Duration> {
        self.usual.map(Duration::from_secs_f64)
    }

    /// A request ended that was sent at `sent`. `under_way` is how many there were, it included.
    pub fn ended(&mut self, ended: Ended, sent: Instant, now: Instant, under_way: u32) {
        match ended {
            Ended::Failed => self.decrease(AFTER_ERROR, sent, now),
            Ended::Answered => {
                let took = now.saturating_duration_since(sent);
                if self.is_slow(took) {
                    self.decrease(AFTER_SLOW, sent, now);
                } else if under_way >= self.allowed() {
                    self.limit = (self.limit + 1.0 / self.limit).min(f64::from(self.max));
                }
                self.follow(took.as_secs_f64());
            }
        }
    }

    /// The store is back after an outage: one at a time again.
    pub fn restart(&mut self) {
        self.limit = 1.0;
    }

    fn is_slow(&self, took: Duration) -> bool {
        let slow = |usual| took.as_secs_f64() > SLOW_FACTOR * usual;
        took > NEVER_SLOW && self.usual.is_some_and(slow)
    }

    /// Once per round: requests that were sent before the last decrease met the store as it was then.
    fn decrease(&mut self, factor: f64, sent: Instant, now: Instant) {
        if self.decreased_at.is_none_or(|at| sent >= at) {
            self.limit = (self.limit * factor).max(1.0);
            self.decreased_at = Some(now);
        }
    }

    fn follow(&mut self, took: f64) {
        let usual = self.usual.unwrap_or(took);
        let share = if took < usual { FOLLOW_DOWN } else { FOLLOW_UP / self.limit };
        self.usual = Some(usual + share * (took - usual));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    /// Rounds of requests that are all under way at once and take `took` each.
    fn rounds(limit: &mut Concurrency, now: &mut Instant, rounds: u32, took: Duration) {
        for _ in 0..rounds {
            let sent = *now;
            *now += took;
            let under_way = limit.allowed();
            for _ in 0..under_way {
                limit.ended(Ended::Answered, sent, *now, under_way);
            }
        }
    }

    #[test]
    fn it_grows_by_one_a_round_up_to_its_cap() {
        let (mut limit, mut now) = (Concurrency::new(8), clock::monotonic());
        let mut seen = Vec::new();
        for _ in 0..12 {
            seen.push(limit.allowed());
            rounds(&mut limit, &mut now, 1, 200 * MS);
        }
        // Never more than one a round, and at the cap soon after as many rounds.
        assert!(seen.windows(2).all(|pair| pair[1] - pair[0] <= 1), "{seen:?}");
        assert_eq!((seen[0], seen[11]), (1, 8), "{seen:?}");
    }

    #[test]
    fn it_does_not_grow_while_it_is_not_the_limit() {
        let (mut limit, start) = (Concurrency::new(8), clock::monotonic());
        rounds(&mut limit, &mut start.clone(), 4, 10 * MS);
        let before = limit.allowed();
        for _ in 0..100 {
            limit.ended(Ended::Answered, start, start + 10 * MS, 1);
        }
        assert!(before > 1);
        assert_eq!(limit.allowed(), before);
    }

    #[test]
    fn a_round_of_errors_halves_it_once() {
        let (mut limit, mut now) = (Concurrency::new(16), clock::monotonic());
        rounds(&mut limit, &mut now, 40, 10 * MS);
        assert_eq!(limit.allowed(), 16);
        let sent = now;
        for _ in 0..16 {
            now += MS;
            limit.ended(Ended::Failed, sent, now, 16);
        }
        assert_eq!(limit.allowed(), 8);
        limit.ended(Ended::Failed, now, now + MS, 8);
        assert_eq!(limit.allowed(), 4);
        limit.restart();
        assert_eq!(limit.allowed(), 1);
    }

    #[test]
    fn a_store_that_slows_down_gets_fewer_and_then_it_is_the_usual() {
        let (mut limit, mut now) = (Concurrency::new(16), clock::monotonic());
        rounds(&mut limit, &mut now, 40, 80 * MS);
        rounds(&mut limit, &mut now, 6, 3000 * MS);
        let squeezed = limit.allowed();
        assert!(squeezed < 10, "{squeezed}");
        rounds(&mut limit, &mut now, 60, 3000 * MS);
        assert!(limit.allowed() > squeezed, "slow is the usual now: {}", limit.allowed());
    }

    #[test]
    fn quick_small_requests_do_not_make_large_ones_slow() {
        let (mut limit, mut now) = (Concurrency::new(4), clock::monotonic());
        rounds(&mut limit, &mut now, 40, 2 * MS);
        rounds(&mut limit, &mut now, 1, 90 * MS);
        assert_eq!(limit.allowed(), 4);
    }

    proptest! {
        #[test]
        fn it_stays_within_its_bounds(
            max in 0..20_u32,
            ends in prop::collection::vec((any::<bool>(), 0..5000_u32, 0..40_u32), 0..200),
        ) {
            let (mut limit, mut now) = (Concurrency::new(max), clock::monotonic());
            for (failed, took, under_way) in ends {
                let sent = now;
                now += took * MS;
                let ended = if failed { Ended::Failed } else { Ended::Answered };
                let before = limit.allowed();
                limit.ended(ended, sent, now, under_way);
                prop_assert!(limit.allowed() >= 1 && limit.allowed() <= max.max(1));
                prop_assert!(!failed || limit.allowed() <= before);
            }
        }
    }
}
