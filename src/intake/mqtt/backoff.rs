//! How long to wait before the next attempt to connect. Pure.

use std::time::Duration;

/// The first wait, while the broker can't be reached.
const FIRST: Duration = Duration::from_secs(1);
/// The first wait, while somebody must mend something.
const FIRST_REFUSED: Duration = Duration::from_secs(5);
const MOST: Duration = Duration::from_secs(60);
/// A connection that held so long begins anew.
const GOOD: Duration = Duration::from_secs(10);

/// Counts the attempts that failed.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// A connection held so long.
    pub fn held(&mut self, time: Duration) {
        if time >= GOOD {
            self.failures = 0;
        }
    }

    /// The wait after one more failure. `part`, from 0 to 1, is random: all of the wait is, so that
    /// many daemons do not come back to a broker at once.
    pub fn after_failure(&mut self, refused: bool, part: f64) -> Duration {
        let first = if refused { FIRST_REFUSED } else { FIRST };
        let most = first.saturating_mul(1 << self.failures.min(10)).min(MOST);
        self.failures += 1;
        most.mul_f64(part.clamp(0.05, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_begin_anew_after_a_good_connection() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..8).map(|_| backoff.after_failure(false, 1.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        backoff.held(GOOD / 2);
        assert_eq!(backoff.after_failure(false, 0.5).as_secs(), 30);
        backoff.held(GOOD);
        assert_eq!(backoff.after_failure(false, 1.0).as_secs(), 1);
        assert_eq!(backoff.after_failure(true, 1.0).as_secs(), 10);
        assert!(Backoff::default().after_failure(false, 0.0) > Duration::ZERO);
    }
}
