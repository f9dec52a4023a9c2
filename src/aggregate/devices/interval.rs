//! How far apart a device's readings usually come, learned from the gaps between their receipts.

use std::time::Duration;

/// The usual gap between receipts.
///
/// A gap counts by its length: the estimate is about how long the gap is that one finds oneself in at
/// a random moment, which is what silence is measured against. So five batches at once and then a
/// minute of nothing are "a minute", and a burst of thousands weighs no more than the time that it
/// took. A gap longer than [`CLIP`] times the usual one counts as that: one long pause makes the
/// estimate half as much again, and is forgotten within ten or twenty readings. If another like it
/// comes soon, the device has changed its ways, and it counts for more.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(super) struct Interval {
    /// In seconds, as the others; 0 while not known.
    usual: f32,
    /// The last gap that was too long,
    pause: f32,
    /// and the time since.
    since: f32,
}

/// A gap is taken for at most so many usual ones, or for [`CLIP_MIN`].
const CLIP: f64 = 3.0;
/// Seconds; below that nobody minds what is learned, as nobody is called offline so soon.
const CLIP_MIN: f64 = 2.0;
/// The next pause is soon if it comes within so many times its length,
const SOON: f32 = 4.0;
/// and counts for so many times more at most.
const AGAIN: f64 = 10.0;
/// The estimate follows within so many usual gaps.
const MEMORY: f64 = 8.0;
/// Each second with readings takes the estimate at least so much nearer to the gap: one that is far
/// too long, learned from the first two readings of a device's life, does not last for ever.
const PER_SECOND: f64 = 1.0 / 64.0;

impl Interval {
    /// Learned before.
    pub fn known(interval: Duration) -> Interval {
        Interval { usual: interval.as_secs_f32(), ..Interval::default() }
    }

    /// The usual gap, once there was one.
    pub fn usual(self) -> Option<Duration> {
        (self.usual > 0.0).then(|| Duration::try_from_secs_f32(self.usual).unwrap_or_default())
    }

    /// Learns from a gap between two receipts.
    pub fn learn(&mut self, gap: Duration) {
        let gap = gap.as_secs_f64();
        if gap <= 0.0 {
            return;
        }
        let usual = f64::from(self.usual);
        if usual <= 0.0 {
            self.usual = gap as f32;
            return;
        }
        let gap = self.clipped(gap, (usual * CLIP).max(CLIP_MIN));
        let by_length = gap / (gap + MEMORY * usual);
        let weight = by_length.max(gap.min(1.0) * PER_SECOND);
        self.usual = (usual + (gap - usual) * weight) as f32;
    }

    fn clipped(&mut self, gap: f64, clip: f64) -> f64 {
        if gap <= clip {
            self.since += gap as f32;
            return gap;
        }
        let soon = self.since <= SOON * self.pause;
        let again = f64::from(self.pause).min(gap).min(clip * AGAIN);
        (self.pause, self.since) = (gap as f32, 0.0);
        if soon { clip.max(again) } else { clip }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn learned(gaps: impl IntoIterator<Item = f64>) -> f64 {
        let mut interval = Interval::default();
        gaps.into_iter().for_each(|gap| interval.learn(Duration::from_secs_f64(gap)));
        interval.usual().map_or(0.0, |usual| usual.as_secs_f64())
    }

    fn check(gaps: Vec<f64>, least: f64, most: f64) {
        let usual = learned(gaps.iter().copied());
        assert!((least..=most).contains(&usual), "{usual} of {} gaps", gaps.len());
    }

    #[test]
    fn the_usual_gap_is_the_one_that_silence_is_measured_against() {
        check(vec![], 0.0, 0.0);
        check(vec![10.0; 2], 9.9, 10.1);
        check(vec![10.0; 500], 9.9, 10.1);
        // Daily.
        check(vec![86_400.0; 3], 86_000.0, 87_000.0);
        // Five at once, every minute.
        check([0.01, 0.01, 0.01, 0.01, 60.0].repeat(20), 55.0, 61.0);
        // Five within eight seconds, every minute: three times that must be longer than a minute.
        check([2.0, 2.0, 2.0, 2.0, 52.0].repeat(50), 22.0, 53.0);
    }

    #[test]
    fn neither_a_long_pause_nor_a_burst_spoils_it() {
        let usual = || vec![10.0; 50];
        check([usual(), vec![7200.0]].concat(), 10.0, 16.0);
        check([usual(), vec![7200.0], vec![10.0; 20]].concat(), 10.0, 11.0);
        // What was kept during that pause comes at once.
        check([usual(), vec![7200.0], vec![0.002; 2000]].concat(), 9.0, 16.0);
        // The first gap of a device's life was one of a burst.
        check([vec![0.001], vec![10.0; 20]].concat(), 9.0, 10.1);
    }

    #[test]
    fn a_device_that_changes_its_ways_is_followed() {
        check([vec![1.0; 100], vec![60.0; 6]].concat(), 20.0, 61.0);
        check([vec![60.0; 100], vec![1.0; 300]].concat(), 1.0, 2.0);
        // One reading as a test, the next a day later, then at work.
        check([vec![86_400.0], vec![10.0; 700]].concat(), 10.0, 30.0);
    }

    proptest! {
        #[test]
        fn it_stays_between_the_shortest_and_the_longest_gap(
            gaps in prop::collection::vec(0.001_f64..100_000.0, 1..60),
        ) {
            let least = gaps.iter().copied().fold(f64::MAX, f64::min);
            let most = gaps.iter().copied().fold(0.0, f64::max);
            let usual = learned(gaps);
            prop_assert!(usual >= least * 0.999 && usual <= most * 1.001, "{}", usual);
        }
    }
}
