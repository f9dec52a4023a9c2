//! How many readings came in each of the last sixty minutes, in two bytes each.

use crate::model::{NANOS_PER_SECOND, Timestamp};

/// Minutes that are counted.
pub const MINUTES: usize = 60;
const MINUTE: i64 = 60 * NANOS_PER_SECOND;

/// Counts of the last minutes, the newest at `minute`.
#[derive(Debug)]
pub(super) struct Activity {
    minute: i64,
    /// In that minute, so far.
    now: u32,
    /// Of each minute m before it at m modulo [`MINUTES`].
    past: [Count; MINUTES],
}

impl Default for Activity {
    fn default() -> Activity {
        Activity { minute: i64::MIN, now: 0, past: [Count(0); MINUTES] }
    }
}

/// A count: up to 2047 as it is, above with eleven binary digits.
#[derive(Debug, Clone, Copy)]
struct Count(u16);

impl Count {
    fn get(self) -> u32 {
        (u32::from(self.0) & 0x7FF) << (self.0 >> 11)
    }

    fn of(count: u32) -> Count {
        let shift = (32 - count.leading_zeros()).saturating_sub(11);
        Count((shift << 11 | count >> shift) as u16)
    }
}

impl Activity {
    /// Counts readings; ones that are told late count for the newest minute.
    pub fn count(&mut self, at: Timestamp, readings: usize) {
        let minute = at.0.div_euclid(MINUTE);
        if minute > self.minute {
            if self.minute != i64::MIN {
                self.past[place(self.minute)] = Count::of(self.now);
                let from = self.minute.max(minute - MINUTES as i64);
                (from + 1..=minute).for_each(|passed| self.past[place(passed)] = Count(0));
            }
            (self.minute, self.now) = (minute, 0);
        }
        self.now = self.now.saturating_add(u32::try_from(readings).unwrap_or(u32::MAX));
    }

    /// The last minutes before `now`, oldest first; the last of them is not over.
    pub fn minutes(&self, now: Timestamp) -> [u32; MINUTES] {
        let last = now.0.div_euclid(MINUTE).max(self.minute);
        std::array::from_fn(|index| {
            let minute = last - (MINUTES - 1 - index) as i64;
            match self.minute - minute {
                0 => self.now,
                ago if ago > 0 && ago < MINUTES as i64 => self.past[place(minute)].get(),
                _ => 0,
            }
        })
    }
}

fn place(minute: i64) -> usize {
    minute.rem_euclid(MINUTES as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn counts_are_exact_while_they_are_small_and_right_to_a_thousandth_above() {
        for count in [0, 1, 2047, 2048, 60_000, 600_001, 4_000_000_000, u32::MAX] {
            let told = Count::of(count).get();
            assert!(told <= count && count - told <= count / 1000, "{told} of {count}");
            assert!(count > 2047 || told == count);
        }
    }

    proptest! {
        #[test]
        fn each_reading_counts_for_its_minute(
            steps in prop::collection::vec((0_i64..400, 1_usize..30), 1..200),
        ) {
            let (mut activity, mut model, mut now) = (Activity::default(), Vec::new(), 0);
            for (seconds, readings) in steps {
                now += seconds * NANOS_PER_SECOND / 10;
                activity.count(Timestamp(now), readings);
                model.push((now / MINUTE, readings));
            }
            let later = now + 3 * MINUTE;
            for (index, count) in activity.minutes(Timestamp(later)).into_iter().enumerate() {
                let minute = later / MINUTE - 59 + index as i64;
                let came = model.iter().filter(|(at, _)| *at == minute);
                prop_assert_eq!(count as usize, came.map(|(_, readings)| readings).sum::<usize>());
            }
        }
    }
}
