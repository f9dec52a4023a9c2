//! How often and how finely a viewer gets frames: judged by how long they lie unread.

use std::time::Duration;

/// A frame that lies unread for so many of its viewer's intervals makes the next ones coarser.
const UNREAD_INTERVALS: u32 = 3;
/// So many frames read in time make the next ones finer. Twice as many after each relapse, so that
/// a viewer between two steps does not swing.
const READ_MIN: u32 = 2;
/// The most frames that have to be read in time.
const READ_MAX: u32 = 64;

/// A step: one frame in so many ticks (or of the viewer's own intervals), in windows so many levels
/// coarser than it asked for.
struct Step {
    factor: u32,
    coarser: usize,
}

/// Frames that come every four seconds hold several windows of 1 s for each series; one of the next
/// width holds the same in one rollup (the least of the minima, the sums added up).
const STEPS: [Step; 6] = [
    Step { factor: 1, coarser: 0 },
    Step { factor: 2, coarser: 0 },
    Step { factor: 4, coarser: 0 },
    Step { factor: 8, coarser: 0 },
    Step { factor: 16, coarser: 1 },
    Step { factor: 32, coarser: 2 },
];

/// The pace of one viewer.
#[derive(Debug)]
pub(super) struct Pace {
    step: usize,
    read: u32,
    read_min: u32,
    /// Frames that were merged into others since this was last told.
    merged: u64,
}

/// What a viewer is told of its pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Degraded {
    pub factor: u32,
    pub merged: u64,
    /// How long the oldest frame had lain unread when this was decided.
    pub age: Duration,
}

impl Pace {
    pub fn new() -> Pace {
        Pace { step: 0, read: 0, read_min: READ_MIN, merged: 0 }
    }

    /// A frame is due every so many beats.
    pub fn factor(&self) -> u32 {
        STEPS[self.step].factor
    }

    /// How many levels coarser its windows are.
    pub fn coarser(&self) -> usize {
        STEPS[self.step].coarser
    }

    /// A frame is merged into the next, because the viewer did not read it.
    pub fn merge(&mut self) {
        self.merged += 1;
    }

    /// A frame was due when the oldest one had lain unread for `age`; `interval` lies between frames of
    /// a viewer who keeps up.
    pub fn unread(&mut self, age: Duration, interval: Duration) -> Option<Degraded> {
        if age < interval * self.factor() * UNREAD_INTERVALS || self.step + 1 == STEPS.len() {
            return None;
        }
        if self.read > 0 || self.read_min > READ_MIN {
            self.read_min = (self.read_min * 2).min(READ_MAX);
        }
        self.step += 1;
        self.changed(age)
    }

    /// The viewer read a frame before the next one was due.
    pub fn read(&mut self) -> Option<Degraded> {
        self.read += 1;
        if self.step == 0 {
            (self.read, self.read_min) = (0, READ_MIN);
            return None;
        }
        if self.read < self.read_min {
            return None;
        }
        self.step -= 1;
        self.changed(Duration::ZERO)
    }

    fn changed(&mut self, age: Duration) -> Option<Degraded> {
        self.read = 0;
        Some(Degraded { factor: self.factor(), merged: std::mem::take(&mut self.merged), age })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(250);

    #[test]
    fn the_pace_falls_with_the_age_of_what_is_unread_and_comes_back() {
        let mut pace = Pace::new();
        let mut told = Vec::new();
        for tick in 1..200_u32 {
            pace.merge();
            told.extend(pace.unread(TICK * tick, TICK).map(|d| (tick, d.factor)));
        }
        assert_eq!(told, [(3, 2), (6, 4), (12, 8), (24, 16), (48, 32)]);
        assert_eq!((pace.coarser(), pace.merged), (2, 199 - 48));
        let told: Vec<_> = (0..100).filter_map(|_| pace.read()).collect();
        assert_eq!(told.iter().map(|d| d.factor).collect::<Vec<_>>(), [16, 8, 4, 2, 1]);
        assert_eq!((told[0].merged, told[1].merged), (151, 0));
        assert_eq!(pace.coarser(), 0);
    }

    #[test]
    fn a_single_late_frame_changes_nothing() {
        let mut pace = Pace::new();
        for _ in 0..20 {
            assert_eq!((pace.unread(TICK, TICK), pace.unread(TICK * 2, TICK)), (None, None));
            assert_eq!(pace.read(), None);
        }
    }

    #[test]
    fn who_relapses_is_trusted_more_slowly() {
        let mut pace = Pace::new();
        let fall = |pace: &mut Pace| {
            while pace.factor() < 8 {
                pace.unread(Duration::from_secs(60), TICK);
            }
        };
        let mut reads = Vec::new();
        for _ in 0..4 {
            fall(&mut pace);
            // A frame is read in time at the finer step, before the viewer falls behind again.
            reads.push((1..1000).find(|_| pace.read().is_some()).unwrap());
            assert_eq!(pace.read(), None);
        }
        assert_eq!(reads, [2, 4, 8, 16]);
    }
}
