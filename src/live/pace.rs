//! How often a viewer gets frames: judged by how long they lie unread, tick by tick.

/// Data frames lie unread that many times in a row before the pace is halved.
const UNREAD_MAX: u32 = 3;
/// Data frames are read in time that many times in a row before the pace is doubled.
const READ_MIN: u32 = 4;
/// The slowest pace: one frame in so many ticks.
const FACTOR_MAX: u32 = 16;

/// The pace of one viewer.
#[derive(Debug)]
pub(super) struct Pace {
    factor: u32,
    unread: u32,
    read: u32,
    /// Frames that were merged into others since this was last told.
    skipped: u64,
}

/// What a viewer is told of its pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Degraded {
    pub factor: u32,
    pub skipped: u64,
}

impl Pace {
    pub fn new() -> Pace {
        Pace { factor: 1, unread: 0, read: 0, skipped: 0 }
    }

    /// A frame is due every so many ticks.
    pub fn factor(&self) -> u32 {
        self.factor
    }

    /// A frame was due, and the viewer had not read the one before.
    pub fn unread(&mut self) -> Option<Degraded> {
        self.skipped += 1;
        self.read = 0;
        self.unread += 1;
        if self.unread < UNREAD_MAX || self.factor == FACTOR_MAX {
            return None;
        }
        self.change(self.factor * 2)
    }

    /// The viewer read a frame before the next one was due.
    pub fn read(&mut self) -> Option<Degraded> {
        self.unread = 0;
        self.read += 1;
        if self.read < READ_MIN || self.factor == 1 {
            return None;
        }
        self.change(self.factor / 2)
    }

    fn change(&mut self, factor: u32) -> Option<Degraded> {
        (self.factor, self.unread, self.read) = (factor, 0, 0);
        Some(Degraded { factor, skipped: std::mem::take(&mut self.skipped) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_falls_with_unread_frames_and_comes_back() {
        let mut pace = Pace::new();
        let told: Vec<_> = (0..40).filter_map(|_| pace.unread()).map(|d| d.factor).collect();
        assert_eq!(told, [2, 4, 8, 16]);
        assert_eq!(pace.skipped, 40 - 12);
        let told: Vec<_> = (0..100).filter_map(|_| pace.read()).collect();
        assert_eq!(told.iter().map(|d| d.factor).collect::<Vec<_>>(), [8, 4, 2, 1]);
        assert_eq!(told[0].skipped, 28);
        assert_eq!(told[1].skipped, 0);
    }

    #[test]
    fn a_single_late_frame_changes_nothing() {
        let mut pace = Pace::new();
        for _ in 0..20 {
            assert_eq!((pace.unread(), pace.unread(), pace.read()), (None, None, None));
        }
    }
}
