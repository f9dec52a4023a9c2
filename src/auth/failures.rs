//! Addresses from which wrong tokens come, and how long they wait. Pure: told the time.
//!
//! After `max` wrong tokens an address waits a second; after each further one that comes when it waits no
//! more, twice as long, up to five minutes. What comes while it waits is not counted. A good token, or
//! half an hour of quiet, and all is forgotten.

use crate::model::Timestamp;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// The first wait.
const DELAY: Duration = Duration::from_secs(1);
/// The longest one.
pub(super) const DELAY_MAX: Duration = Duration::from_secs(300);
/// Without a wrong token for so long, an address is like any other.
const QUIET: Duration = Duration::from_secs(1800);
/// Addresses that are remembered. One more, and the one that was quiet for longest is forgotten.
const ADDRESSES_MAX: usize = 4096;

/// Who failed, and until when they wait.
#[derive(Debug)]
pub(super) struct Failures {
    max: u32,
    by: HashMap<IpAddr, Failing>,
}

#[derive(Debug, Clone, Copy)]
struct Failing {
    count: u32,
    last: Timestamp,
    until: Timestamp,
}

/// What a wrong token means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failed {
    /// It was counted; if it was one too many, the address waits for so long from now on.
    Counted(Option<Duration>),
    /// The address waits already, for so long still.
    Waits(Duration),
}

impl Failures {
    /// After `max` wrong tokens an address has to wait.
    pub fn new(max: u32) -> Failures {
        Failures { max, by: HashMap::new() }
    }

    /// So many from now on; what was counted stays.
    pub fn set_max(&mut self, max: u32) {
        self.max = max;
    }

    /// A wrong token came.
    pub fn failed(&mut self, address: IpAddr, now: Timestamp) -> Failed {
        let address = neighbourhood(address);
        if let Some(waits) = self.by.get(&address).and_then(|known| known.waits(now)) {
            return Failed::Waits(waits);
        }
        if self.by.get(&address).is_some_and(|known| known.is_quiet(now)) {
            self.by.remove(&address);
        }
        if self.by.len() >= ADDRESSES_MAX && !self.by.contains_key(&address) {
            self.forget(now);
        }
        let fresh = Failing { count: 0, last: now, until: now };
        let failing = self.by.entry(address).or_insert(fresh);
        failing.count = failing.count.saturating_add(1);
        failing.last = now;
        let Some(beyond) = failing.count.checked_sub(self.max) else {
            return Failed::Counted(None);
        };
        let delay = DELAY.saturating_mul(1 << beyond.min(16)).min(DELAY_MAX);
        failing.until = now.saturating_add(delay);
        Failed::Counted(Some(delay))
    }

    /// A good token came.
    pub fn succeeded(&mut self, address: IpAddr) {
        if !self.by.is_empty() {
            self.by.remove(&neighbourhood(address));
        }
    }

    /// Makes room: those that are quiet go, or else who was for longest.
    fn forget(&mut self, now: Timestamp) {
        self.by.retain(|_, failing| !failing.is_quiet(now));
        if self.by.len() >= ADDRESSES_MAX {
            let oldest = self.by.iter().min_by_key(|(_, failing)| failing.last);
            if let Some(address) = oldest.map(|(address, _)| *address) {
                self.by.remove(&address);
            }
        }
    }
}

impl Failing {
    /// A wait that is longer than any comes from a clock that was put back: it is over.
    fn waits(&self, now: Timestamp) -> Option<Duration> {
        let left = u64::try_from(self.until.0.saturating_sub(now.0)).ok()?;
        let left = Duration::from_nanos(left);
        (!left.is_zero() && left <= DELAY_MAX).then_some(left)
    }

    fn is_quiet(&self, now: Timestamp) -> bool {
        now.0.abs_diff(self.last.0) > QUIET.as_nanos() as u64
    }
}

/// Whoever has one IPv6 address has 2^64 of them.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) => {
            let network = ip.to_bits() >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: i64 = 1_000_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * SECOND)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn delays_grow_and_end_and_what_comes_meanwhile_is_not_counted() {
        let (mut failures, here) = (Failures::new(3), ip("10.0.0.7"));
        for _ in 0..2 {
            assert_eq!(failures.failed(here, at(0)), Failed::Counted(None));
        }
        let mut now = 0;
        for delay in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            let delay_s = Duration::from_secs(delay);
            assert_eq!(failures.failed(here, at(now)), Failed::Counted(Some(delay_s)));
            assert_eq!(failures.failed(here, at(now)), Failed::Waits(delay_s));
            let last = Timestamp(at(now + delay as i64).0 - 1);
            assert_eq!(failures.failed(here, last), Failed::Waits(Duration::from_nanos(1)));
            // Others are not concerned.
            assert_eq!(Failures::new(3).failed(ip("10.0.0.8"), at(now)), Failed::Counted(None));
            now += delay as i64;
        }
        failures.succeeded(ip("::ffff:10.0.0.7"));
        assert_eq!(failures.failed(here, at(now)), Failed::Counted(None));
    }

    #[test]
    fn quiet_is_forgiven_and_a_clock_that_is_put_back_locks_nobody_out() {
        let (mut failures, here) = (Failures::new(1), ip("10.0.0.7"));
        assert_eq!(failures.failed(here, at(10_000)), Failed::Counted(Some(DELAY)));
        assert_eq!(failures.failed(here, at(11_700)), Failed::Counted(Some(2 * DELAY)));
        assert_eq!(failures.failed(here, at(13_600)), Failed::Counted(Some(DELAY)));
        // An hour back.
        assert_eq!(failures.failed(here, at(10_000)), Failed::Counted(Some(DELAY)));
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let mut failures = Failures::new(1);
        assert_eq!(failures.failed(ip("2001:db8::1"), at(0)), Failed::Counted(Some(DELAY)));
        assert_eq!(failures.failed(ip("2001:db8::ffff:2"), at(0)), Failed::Waits(DELAY));
        assert_eq!(failures.failed(ip("2001:db8:0:1::1"), at(0)), Failed::Counted(Some(DELAY)));
    }

    #[test]
    fn many_addresses_take_no_more_room_and_the_oldest_goes() {
        let mut failures = Failures::new(1);
        let nth = |n: u32| IpAddr::from(n.to_be_bytes());
        for n in 0..ADDRESSES_MAX as u32 + 10 {
            failures.failed(nth(n), Timestamp(i64::from(n)));
            assert!(failures.by.len() <= ADDRESSES_MAX);
        }
        let now = Timestamp(ADDRESSES_MAX as i64 + 10);
        assert!(matches!(failures.failed(nth(10), now), Failed::Waits(_)));
        assert!(matches!(failures.failed(nth(9), now), Failed::Counted(_)));
    }

    proptest! {
        /// Whatever comes when: no wait is longer than five minutes, what is counted comes when nobody
        /// waits, and however many tokens are tried, no more are counted than the delays leave room for.
        #[test]
        fn no_more_is_tried_than_the_delays_leave_room_for(
            max in 1..5u32,
            steps in prop::collection::vec((0..3u8, 0..400i64), 1..400),
        ) {
            let (mut failures, mut now) = (Failures::new(max), 0);
            let mut waits_until = HashMap::new();
            let mut counted = HashMap::<u8, Vec<i64>>::new();
            for (who, pause) in steps {
                now += pause;
                let address = IpAddr::from([10, 0, 0, who]);
                match failures.failed(address, at(now)) {
                    Failed::Waits(left) => {
                        prop_assert!(left <= DELAY_MAX && !left.is_zero());
                        prop_assert_eq!(waits_until[&who], at(now).saturating_add(left));
                    }
                    Failed::Counted(delay) => {
                        let until = waits_until.get(&who).copied().unwrap_or(at(0));
                        prop_assert!(until <= at(now));
                        waits_until.insert(who, at(now).saturating_add(delay.unwrap_or_default()));
                        counted.entry(who).or_default().push(now);
                    }
                }
            }
            for times in counted.values() {
                // Within twenty minutes: those without delay, 1 + 2 + … + 256 seconds, and what 300 each fit.
                for (index, start) in times.iter().enumerate() {
                    let within = times[index..].iter().filter(|time| **time < start + 1200).count();
                    prop_assert!(within <= max as usize + 9 + 3, "{} in {:?}", within, times);
                }
            }
        }
    }
}
