//! The same line again and again is written a few times, and then counted.
//!
//! Only what is the same in every word and field is folded, so that nothing that happened goes unsaid.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// So many of the same are written within [`WINDOW`].
const WRITTEN: u64 = 5;
/// Then they are counted, until so long after the first.
const WINDOW: Duration = Duration::from_secs(10);
/// Different lines remembered; when there are more, the next are written and not remembered.
const LINES_MAX: usize = 256;

/// What was written lately. Told the time.
#[derive(Debug)]
pub(super) struct Repeats<L>(HashMap<u64, Seen<L>>);

#[derive(Debug)]
struct Seen<L> {
    first: Instant,
    times: u64,
    line: L,
}

impl<L> Default for Repeats<L> {
    fn default() -> Repeats<L> {
        Repeats(HashMap::new())
    }
}

impl<L> Repeats<L> {
    /// Whether the line with this hash is to be written; `line` makes what [`Repeats::over`] gives back.
    pub fn is_written(&mut self, hash: u64, now: Instant, line: impl FnOnce() -> L) -> bool {
        match self.0.get_mut(&hash) {
            Some(seen) => {
                seen.times += 1;
                seen.times <= WRITTEN
            }
            None => {
                if self.0.len() < LINES_MAX {
                    self.0.insert(hash, Seen { first: now, times: 1, line: line() });
                }
                true
            }
        }
    }

    /// The lines whose time is over and that were not written so often.
    pub fn over(&mut self, now: Instant) -> Vec<(L, u64)> {
        let is_over = |seen: &Seen<L>| now.duration_since(seen.first) >= WINDOW;
        let gone = self.0.extract_if(|_, seen| is_over(seen)).map(|(_, seen)| seen);
        gone.filter(|seen| seen.times > WRITTEN)
            .map(|seen| (seen.line, seen.times - WRITTEN))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{LINES_MAX, Repeats, WINDOW, WRITTEN};

    #[test]
    fn what_is_not_written_is_told_with_its_number() {
        let (mut repeats, now) = (Repeats::default(), crate::clock::monotonic());
        let written = (0..100).filter(|_| repeats.is_written(1, now, || "again")).count() as u64;
        assert_eq!(written, WRITTEN);
        assert!(repeats.is_written(2, now, || "once"));
        assert_eq!(repeats.over(now), []);
        assert_eq!(repeats.over(now + WINDOW), [("again", 100 - WRITTEN)]);
        assert!(repeats.is_written(1, now + WINDOW, || "again"), "a new window");
    }

    #[test]
    fn more_lines_than_can_be_remembered_are_written() {
        let (mut repeats, now) = (Repeats::default(), crate::clock::monotonic());
        let lines = 2 * LINES_MAX as u64;
        assert!((0..lines).all(|line| repeats.is_written(line, now, || line)));
        assert!((0..lines).all(|line| repeats.is_written(line, now, || line)));
    }
}
