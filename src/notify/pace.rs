//! How often a channel may be told something: never more than so many messages in an hour. Pure.
//!
//! The first half of an hour's messages go when they are due. Once they are used up the others are
//! spread, so that news never waits for the rest of the hour; they are merged meanwhile.

use crate::model::Timestamp;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// The messages of the last hour.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pace(Vec<Timestamp>);

impl Pace {
    /// As it was before a restart.
    pub fn of(sent: impl IntoIterator<Item = i64>) -> Pace {
        Pace(sent.into_iter().map(Timestamp).collect())
    }

    /// When the messages of the last hour were sent, in order.
    pub fn sent(&self) -> impl Iterator<Item = i64> {
        self.0.iter().map(|at| at.0)
    }

    /// Takes note of a message.
    pub fn send(&mut self, now: Timestamp) {
        self.forget(now);
        self.0.push(now);
    }

    /// When there may be one more.
    pub fn next(&mut self, per_hour: u32, now: Timestamp) -> Timestamp {
        self.forget(now);
        let (sent, most) = (self.0.len(), per_hour.max(1) as usize);
        let free = most / 2;
        match (self.0.first(), self.0.last()) {
            (Some(first), _) if sent >= most => first.saturating_add(HOUR),
            (_, Some(last)) if sent >= free => {
                let rest = u32::try_from(most - free).unwrap_or(u32::MAX);
                last.saturating_add(HOUR / rest)
            }
            _ => now,
        }
    }

    /// Whether what is due must share one message.
    pub fn is_pressed(&self, per_hour: u32) -> bool {
        self.0.len() >= per_hour.max(1) as usize / 2
    }

    fn forget(&mut self, now: Timestamp) {
        // The clock may have been set back: nothing was sent in the future.
        self.0.iter_mut().for_each(|at| *at = now.min(*at));
        self.0.retain(|at| now.since(*at) < HOUR);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(n: u64) -> Timestamp {
        Timestamp(1_000_000_000_000_000_000).saturating_add(Duration::from_secs(n))
    }

    /// Somebody who always has something to tell: when is he let?
    fn told(per_hour: u32, seconds: u64) -> Vec<u64> {
        let mut pace = Pace::default();
        let mut told = Vec::new();
        for n in 0..seconds {
            while pace.next(per_hour, second(n)) <= second(n) {
                pace.send(second(n));
                told.push(n);
            }
        }
        told
    }

    #[test]
    fn no_hour_has_more_than_it_may_and_nobody_waits_for_the_rest_of_it() {
        for per_hour in [1, 2, 3, 7, 60, 1000] {
            let told = told(per_hour, 4 * 3600);
            for (at, first) in told.iter().enumerate() {
                let within = told[at..].iter().take_while(|then| *then - first < 3600).count();
                assert!(within <= per_hour as usize, "{per_hour}: {within} from {first}");
            }
            let longest = told.windows(2).map(|two| two[1] - two[0]).max().unwrap();
            let spread = 3600 / u64::from(per_hour.div_ceil(2)) + 1;
            assert!(longest <= spread.max(121), "{per_hour}: {longest} s of silence");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_keeps_nobody_waiting() {
        let mut pace = Pace::default();
        pace.send(second(1_000_000));
        assert_eq!(pace.next(60, second(0)), second(0));
        let mut one = Pace::of([second(1_000_000).0]);
        assert_eq!(one.next(1, second(0)), second(3600));
    }
}
