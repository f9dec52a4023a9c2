//! When a message is tried again, and when it is given up. Pure.

use super::Undelivered;
use std::time::Duration;

/// The first wait; each is twice the one before.
const FIRST: Duration = Duration::from_secs(2);
const MOST: Duration = Duration::from_secs(300);
/// Somebody who refuses a message so often will not take it.
const REFUSALS_MAX: u64 = 3;

/// What comes after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Another attempt after this.
    Again(Duration),
    /// No other.
    GiveUp,
}

/// After so many attempts, of which the first failed so long ago. `part`, from 0 to 1, is random: half
/// of the wait is, so that many daemons do not come back to a receiver at once.
pub(super) fn after(
    failure: &Undelivered,
    attempts: u64,
    failing_for: Duration,
    give_up_after: Duration,
    part: f64,
) -> Next {
    if failing_for >= give_up_after || (is_refusal(failure) && attempts >= REFUSALS_MAX) {
        return Next::GiveUp;
    }
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(10);
    let most = FIRST.saturating_mul(1 << doublings).min(MOST);
    let wait = most.mul_f64(0.5 + part.clamp(0.0, 1.0) / 2.0);
    match failure {
        Undelivered::Later { after: Some(asked), .. } => Next::Again(wait.max(*asked)),
        _ => Next::Again(wait),
    }
}

fn is_refusal(failure: &Undelivered) -> bool {
    match failure {
        Undelivered::Refused(_) => true,
        Undelivered::Some { first, .. } => is_refusal(first),
        Undelivered::Secret { .. }
        | Undelivered::Unreachable(_)
        | Undelivered::Timeout(_)
        | Undelivered::Later { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn waits_double_up_to_five_minutes_until_it_is_given_up() {
        let away = Undelivered::Unreachable("away".to_owned());
        let waits = (1..=10).map(|attempts| match after(&away, attempts, DAY / 2, DAY, 1.0) {
            Next::Again(wait) => wait.as_secs(),
            Next::GiveUp => panic!("{attempts}"),
        });
        assert_eq!(waits.collect::<Vec<_>>(), [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        let least = after(&away, 1, Duration::ZERO, DAY, 0.0);
        assert_eq!(least, Next::Again(Duration::from_secs(1)));
        assert_eq!(after(&away, 1, DAY, DAY, 1.0), Next::GiveUp);
        assert_eq!(after(&away, u64::MAX, DAY / 2, DAY, 1.0), Next::Again(MOST));
    }

    #[test]
    fn who_refuses_a_message_is_asked_three_times() {
        let refused = Undelivered::Refused("no".to_owned());
        assert_ne!(after(&refused, 2, Duration::ZERO, DAY, 0.0), Next::GiveUp);
        assert_eq!(after(&refused, 3, Duration::ZERO, DAY, 0.0), Next::GiveUp);
        let some = Undelivered::Some { failed: 1, all: 2, first: Box::new(refused) };
        assert_eq!(after(&some, 3, Duration::ZERO, DAY, 0.0), Next::GiveUp);
    }

    #[test]
    fn who_asks_for_time_gets_it() {
        let asked = Duration::from_secs(600);
        let later = Undelivered::Later { said: "429".to_owned(), after: Some(asked) };
        assert_eq!(after(&later, 1, Duration::ZERO, DAY, 0.0), Next::Again(asked));
    }
}
