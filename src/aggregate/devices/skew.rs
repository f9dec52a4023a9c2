//! What a device's clock shows beside ours, from the receipts of its readings.
//!
//! The newest reading of a batch is as old at its receipt as it took to come, by a clock that is
//! right. Of the batches in a window the quickest tells the most: data that were kept for a while come
//! late, and nothing comes before it was measured. A clock that is ahead is known at once, by a reading
//! of the future; one that seems behind only when it stays that far behind for two windows, because
//! old data that are delivered at last look the same for a while.
//!
//! A reading may be as old as the device's readings lie apart: a clock is not called behind for that.

use crate::model::{NANOS_PER_SECOND, Timestamp};
use std::time::Duration;

/// What is done with readings of a device whose clock is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClockPolicy {
    /// They are taken as they are.
    #[default]
    Accept,
    /// Their times are shifted.
    Correct,
    /// They are refused for later.
    Quarantine,
}

impl ClockPolicy {
    /// All there are.
    pub const ALL: [ClockPolicy; 3] =
        [ClockPolicy::Accept, ClockPolicy::Correct, ClockPolicy::Quarantine];

    /// As people write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ClockPolicy::Accept => "accept",
            ClockPolicy::Correct => "correct",
            ClockPolicy::Quarantine => "quarantine",
        }
    }

    /// The policy of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<ClockPolicy> {
        ClockPolicy::ALL.into_iter().find(|policy| policy.name() == name)
    }
}

/// How clocks are judged.
#[derive(Debug, Clone)]
pub struct ClockTerms {
    /// One that is off by more is off.
    pub tolerance: Duration,
    /// The quickest delivery in such a time tells the offset.
    pub window: Duration,
}

impl Default for ClockTerms {
    fn default() -> ClockTerms {
        ClockTerms { tolerance: Duration::from_secs(5), window: Duration::from_secs(60) }
    }
}

/// What is thought of a device's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockState {
    /// It shows what ours does.
    Ok,
    /// It does not.
    Off,
    /// Too little was heard.
    Unknown,
}

impl ClockState {
    /// As people read it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ClockState::Ok => "ok",
            ClockState::Off => "off",
            ClockState::Unknown => "unknown",
        }
    }
}

/// A device's clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clock {
    /// How far it is ahead of ours; negative = behind.
    pub offset_ns: i64,
    /// How much faster it runs, in millionths.
    pub drift_ppm: Option<f64>,
    /// What is thought of it.
    pub state: ClockState,
}

/// Windows that are remembered, for the drift.
const WINDOWS: usize = 8;
/// A line through fewer says nothing.
const DRIFT_WINDOWS: usize = 4;
/// A window with fewer batches goes on.
const BATCHES_MIN: u16 = 3;

/// The deliveries of a device.
#[derive(Debug, Clone)]
pub(super) struct Skew {
    began: Timestamp,
    batches: u16,
    /// The quickest delivery since: its receipt, and the age of its newest reading then.
    quickest: Quickest,
    /// Those of the windows before, the newest first.
    before: [Quickest; WINDOWS],
}

#[derive(Debug, Clone, Copy)]
struct Quickest {
    at: Timestamp,
    age: i64,
}

const NONE: Quickest = Quickest { at: Timestamp(i64::MIN), age: i64::MAX };

impl Skew {
    pub fn new(at: Timestamp) -> Skew {
        Skew { began: at, batches: 0, quickest: NONE, before: [NONE; WINDOWS] }
    }

    /// Of a clock that is known from before to be so far ahead.
    pub fn off(at: Timestamp, offset_ns: i64) -> Skew {
        let mut skew = Skew::new(at);
        let quickest = Quickest { at, age: offset_ns.saturating_neg() };
        (skew.before[0], skew.before[1]) = (quickest, quickest);
        skew
    }

    /// A batch was received whose newest reading is of `newest`, by the device's clock.
    pub fn see(&mut self, at: Timestamp, newest: i64, terms: &ClockTerms) {
        if at.since(self.began) >= terms.window && self.batches >= BATCHES_MIN {
            self.before.rotate_right(1);
            self.before[0] = self.quickest;
            (self.began, self.batches, self.quickest) = (at, 0, NONE);
        }
        self.batches = self.batches.saturating_add(1);
        let age = at.0.saturating_sub(newest);
        if age < self.quickest.age {
            self.quickest = Quickest { at, age };
        }
    }

    /// What is thought of the clock of a device whose readings lie so far apart.
    pub fn clock(&self, usual: Option<Duration>, terms: &ClockTerms) -> Clock {
        let (offset_ns, state) = self.state(usual, terms);
        Clock { offset_ns, drift_ppm: self.drift(), state }
    }

    /// How far it is ahead, and what is thought of that.
    pub fn state(&self, usual: Option<Duration>, terms: &ClockTerms) -> (i64, ClockState) {
        let age = self.quickest.age.min(self.before[0].age);
        let tolerance = nanos(terms.tolerance);
        let may_be_old = tolerance.saturating_add(usual.map_or(0, nanos));
        let stays = |a: Quickest, b: Quickest| {
            b.age != i64::MAX && a.age.abs_diff(b.age) <= tolerance.unsigned_abs()
        };
        let state = if age == i64::MAX {
            ClockState::Unknown
        } else if age < -tolerance {
            ClockState::Off
        } else if age <= may_be_old {
            ClockState::Ok
        } else if stays(self.before[0], self.before[1]) && self.stays_behind(tolerance) {
            ClockState::Off
        } else {
            ClockState::Unknown
        };
        (if age == i64::MAX { 0 } else { age.saturating_neg() }, state)
    }

    /// What comes now is no less far behind than what came before, unless nothing did yet.
    fn stays_behind(&self, tolerance: i64) -> bool {
        self.quickest.age >= self.before[0].age.saturating_sub(tolerance)
    }

    /// The slope of a line through the windows' offsets.
    fn drift(&self) -> Option<f64> {
        let known = self.before.iter().filter(|quickest| quickest.age != i64::MAX);
        let points: Vec<(f64, f64)> = known
            .map(|quickest| {
                let at = (quickest.at.0 - self.before[0].at.0) as f64 / NANOS_PER_SECOND as f64;
                (at, -(quickest.age as f64) / NANOS_PER_SECOND as f64)
            })
            .collect();
        if points.len() < DRIFT_WINDOWS {
            return None;
        }
        let count = points.len() as f64;
        let (mean_at, mean_offset) = points.iter().fold((0.0, 0.0), |(at, offset), point| {
            (at + point.0 / count, offset + point.1 / count)
        });
        let (over, under) = points.iter().fold((0.0, 0.0), |(over, under), point| {
            let at = point.0 - mean_at;
            (over + at * (point.1 - mean_offset), under + at * at)
        });
        (under > 0.0).then(|| over / under * 1e6)
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: i64 = NANOS_PER_SECOND;

    /// The clock after `seconds` of one batch per second, of these offsets and ages at each second.
    fn clock(seconds: i64, offset: impl Fn(i64) -> f64, age: impl Fn(i64) -> f64) -> Clock {
        let terms = ClockTerms::default();
        let mut skew = Skew::new(Timestamp(0));
        for second in 0..seconds {
            let at = Timestamp(second * SECOND);
            let newest = at.0 + ((offset(second) - age(second)) * 1e9) as i64;
            skew.see(at, newest, &terms);
        }
        skew.clock(Some(Duration::from_secs(1)), &terms)
    }

    fn jitter(second: i64) -> f64 {
        0.002 + (second * 7919 % 50) as f64 / 1000.0
    }

    #[test]
    fn a_clock_is_judged_by_the_quickest_delivery() {
        let right = clock(300, |_| 0.0, jitter);
        assert_eq!(right.state, ClockState::Ok);
        assert!(right.offset_ns.abs() < SECOND / 100, "{right:?}");
        assert!(right.drift_ppm.unwrap().abs() < 20.0, "{right:?}");
        assert_eq!(clock(1, |_| 0.0, jitter).state, ClockState::Ok, "known at once");
        assert_eq!(clock(1, |_| 3600.0, jitter).state, ClockState::Off, "known at once");
        let behind = clock(300, |_| -3600.0, jitter);
        assert_eq!(behind.state, ClockState::Off);
        assert!((behind.offset_ns + 3600 * SECOND).abs() < SECOND / 10);
        assert_eq!(clock(100, |_| -3600.0, jitter).state, ClockState::Unknown, "not yet known");
        let fast = clock(600, |second| second as f64 * 200e-6, jitter);
        assert!((fast.drift_ppm.unwrap() - 200.0).abs() < 20.0, "{fast:?}");
    }

    #[test]
    fn old_data_that_come_at_last_are_no_clock_that_is_behind() {
        // An hour of readings that were kept is delivered in ten minutes; all the while its clock is right.
        let old = clock(550, |_| 0.0, |second| 3600.0 * (1.0 - second as f64 / 600.0));
        assert_eq!(old.state, ClockState::Unknown);
        // Between the old ones come new ones.
        let mixed = clock(550, |_| 0.0, |second| if second % 20 == 0 { 0.01 } else { 3600.0 });
        assert_eq!(mixed.state, ClockState::Ok);
    }

    #[test]
    fn a_clock_that_is_set_right_is_right_again_within_two_windows() {
        for off in [3600.0, -3600.0] {
            let set = |second| if second < 300 { off } else { 0.0 };
            assert_eq!(clock(299, set, jitter).state, ClockState::Off);
            assert_eq!(clock(440, set, jitter).state, ClockState::Ok, "{off}");
        }
    }

    #[test]
    fn a_device_that_delivers_once_an_hour_is_not_behind_for_that() {
        let terms = ClockTerms::default();
        let mut skew = Skew::new(Timestamp(0));
        for hour in 1..20 {
            let at = Timestamp(hour * 3600 * SECOND);
            skew.see(at, at.0 - 1800 * SECOND, &terms);
        }
        assert_eq!(skew.clock(Some(Duration::from_secs(3600)), &terms).state, ClockState::Ok);
    }

    proptest! {
        #[test]
        fn the_offset_is_right_to_the_quickest_delivery_whatever_else_comes(
            offset in -100_000_i64..100_000, late in prop::collection::vec(0_i64..1_000_000, 400),
        ) {
            // In milliseconds; every seventh comes within a tenth of a second.
            let age = |second: i64| {
                let late = late[second as usize % late.len()];
                (if second % 7 == 0 { late % 100 } else { late }) as f64 / 1000.0
            };
            let clock = clock(400, |_| offset as f64 / 1000.0, age);
            let error = clock.offset_ns / 1_000_000 - offset;
            prop_assert!((-101..=1).contains(&error), "{} {:?}", error, clock);
            let wanted = if !(-6_100..=5_100).contains(&offset) {
                vec![ClockState::Off]
            } else if (-5_900..4_900).contains(&offset) {
                vec![ClockState::Ok]
            } else {
                vec![ClockState::Ok, ClockState::Off, ClockState::Unknown]
            };
            prop_assert!(wanted.contains(&clock.state), "{:?}", clock);
        }
    }
}
