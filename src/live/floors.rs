//! How much of the log must be kept, so that the next process can serve the cursors of this one.
//!
//! A cursor can be served after a restart if all windows that were open at it are folded again from
//! their first record. So the position to keep is the oldest open record as it was some time ago: the
//! time for which cursors are promised to be good. All time here is that of receipts in the log, so
//! that both processes see the same.

use crate::model::{Position, Timestamp};
use std::collections::VecDeque;
use std::time::Duration;

/// How far samples of the floor lie apart.
const STEP: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
struct Floor {
    log_time: Timestamp,
    /// The floor serves cursors at or after this.
    next: Position,
    oldest_open: Position,
}

/// The oldest open record at each second of the last [`Settings::resume_keep`](super::Settings).
#[derive(Debug)]
pub(super) struct Floors {
    keep: Duration,
    begin: Position,
    floors: VecDeque<Floor>,
}

impl Floors {
    pub fn new(keep: Duration, begin: Position) -> Floors {
        Floors { keep, begin, floors: VecDeque::new() }
    }

    /// Whether it is time for a sample.
    pub fn is_due(&self, log_time: Timestamp) -> bool {
        self.floors.back().is_none_or(|last| log_time >= last.log_time.saturating_add(STEP))
    }

    /// Notes the oldest open record, when all before `next` is folded.
    pub fn note(&mut self, log_time: Timestamp, next: Position, oldest_open: Position) {
        self.floors.push_back(Floor { log_time, next, oldest_open });
        let limit = log_time.saturating_sub(self.keep);
        while self.floors.get(1).is_some_and(|second| second.log_time <= limit) {
            self.floors.pop_front();
        }
    }

    /// Nothing before this is needed.
    pub fn keep_from(&self) -> Position {
        match (self.floors.front(), self.floors.back()) {
            (Some(first), Some(last))
                if first.log_time <= last.log_time.saturating_sub(self.keep) =>
            {
                first.oldest_open
            }
            _ => self.begin,
        }
    }

    /// The lowest cursor that can be served by who began to fold at what was kept.
    pub fn resume_from(&self) -> Position {
        let Some(last) = self.floors.back() else { return self.begin };
        if self.begin == Position(0) {
            return self.begin;
        }
        let limit = last.log_time.saturating_sub(self.keep);
        let first = self.floors.iter().find(|floor| floor.log_time > limit);
        first.map_or(last.next, |floor| floor.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(s: i64) -> Timestamp {
        Timestamp(s * 1_000_000_000)
    }

    #[test]
    fn what_is_kept_serves_every_cursor_that_is_promised() {
        let keep = Duration::from_secs(10);
        let mut before = Floors::new(keep, Position(3));
        assert_eq!(before.keep_from(), Position(3));
        for s in 0..40_u64 {
            let now = seconds(s as i64);
            assert!(before.is_due(now));
            before.note(now, Position(100 + s), Position(95 + s));
            assert!(!before.is_due(now));
        }
        // At 39 s the floor of 29 s is kept: it serves cursors from 129 on.
        assert_eq!(before.keep_from(), Position(95 + 29));
        assert!(before.floors.len() <= 12);

        let mut after = Floors::new(keep, before.keep_from());
        assert_eq!(after.resume_from(), Position(95 + 29), "nothing to read: nothing was missed");
        for s in 20..41_u64 {
            after.note(seconds(s as i64), Position(100 + s), Position(95 + s));
        }
        assert!(after.resume_from() >= Position(129));
        assert_eq!(after.resume_from(), Position(131));
    }
}
