//! Which positions of the log a sink is done with, when it does not do them in order.
//!
//! ```text
//!   position  0        1200  1300     1500 1501       1720
//!             ##########......########....###########|
//!             done      a gap         a gap          head: from here on nothing is done
//! ```
//!
//! The live lane moves the head; when it is too far behind it leaves a gap and jumps, and the backlog
//! lane fills the gap. Persisted as text: the gaps, then the head, `1200-1300 1500-1501 | 1720`.
//!
//! Invariant: the gaps are in order, none is empty, none touches the next, and all end at or below
//! the head.

use crate::model::Position;
use std::fmt;
use std::num::ParseIntError;
use std::ops::Range;
use std::str::FromStr;
use thiserror::Error;

/// How many gaps there may be before the live lane stays where it is: each outage leaves one, and
/// they are written with every settlement.
pub const GAPS_MAX: usize = 64;

/// Which positions of the log are done: all below the head, except those in gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    gaps: Vec<Range<Position>>,
    head: Position,
}

impl Progress {
    /// Of a sink that begins here: what is below is none of its business, and nothing from here on is
    /// done.
    #[must_use]
    pub fn begin(at: Position) -> Progress {
        Progress { gaps: Vec::new(), head: at }
    }

    /// From here on nothing is done.
    #[must_use]
    pub fn head(&self) -> Position {
        self.head
    }

    /// What is not done below the head, in order.
    #[must_use]
    pub fn gaps(&self) -> &[Range<Position>] {
        &self.gaps
    }

    /// The log must be kept from here.
    #[must_use]
    pub fn first_undone(&self) -> Position {
        self.gaps.first().map_or(self.head, |gap| gap.start)
    }

    /// Whether nothing is left to do there.
    #[must_use]
    pub fn is_done(&self, position: Position) -> bool {
        position < self.head && !self.gaps.iter().any(|gap| gap.contains(&position))
    }

    /// The live lane did this much; it begins at the head.
    pub fn advance(&mut self, range: Range<Position>) {
        debug_assert_eq!(range.start, self.head, "the live lane goes on at the head");
        if range.start > self.head {
            // Not to happen; but what was not done must not count as done.
            self.push_gap(self.head..range.start);
        }
        self.head = self.head.max(range.end);
    }

    /// The live lane jumps: what is before `to` becomes a gap. False, and nothing is changed, if
    /// there are [`GAPS_MAX`] already and the jump does not just make the last one longer.
    pub fn leave(&mut self, to: Position) -> bool {
        let left = self.head..to;
        if left.is_empty() {
            return true;
        }
        if self.gaps.len() >= GAPS_MAX && !self.ends_in_gap() {
            return false;
        }
        self.push_gap(left);
        self.head = to;
        true
    }

    /// The backlog lane did this much: all of a gap, or any part of it.
    pub fn fill(&mut self, range: Range<Position>) {
        let rest = |gap: &Range<Position>| {
            let before = gap.start..gap.end.min(range.start);
            let after = gap.start.max(range.end)..gap.end;
            [before, after].into_iter().filter(|part| !part.is_empty())
        };
        if !range.is_empty() {
            self.gaps = self.gaps.iter().flat_map(rest).collect();
        }
    }

    fn ends_in_gap(&self) -> bool {
        self.gaps.last().is_some_and(|gap| gap.end == self.head)
    }

    fn push_gap(&mut self, left: Range<Position>) {
        match self.gaps.last_mut() {
            Some(last) if last.end == left.start => last.end = left.end,
            _ => self.gaps.push(left),
        }
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for gap in &self.gaps {
            write!(f, "{}-{} ", gap.start, gap.end)?;
        }
        write!(f, "| {}", self.head)
    }
}

/// Why a text is no progress.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProgressError {
    /// It is not of the form `1200-1300 1500-1501 | 1720`.
    #[error("it is not of the form \"1200-1300 1500-1501 | 1720\"")]
    Form,
    /// A position is no number.
    #[error("a position is no number")]
    Number(#[from] ParseIntError),
    /// A gap is empty, not in order, overlaps or touches another, or ends after the head.
    #[error("the gap that begins at {start} is empty, or not between the one before and the head")]
    Order {
        /// Where the gap begins.
        start: Position,
    },
}

impl FromStr for Progress {
    type Err = ProgressError;

    fn from_str(text: &str) -> Result<Progress, ProgressError> {
        let (gaps, head) = text.split_once('|').ok_or(ProgressError::Form)?;
        let head = position(head.strip_prefix(' ').ok_or(ProgressError::Form)?)?;
        let mut progress = Progress::begin(head);
        let mut free_from = None;
        for gap in gaps.split_terminator(' ') {
            let (start, end) = gap.split_once('-').ok_or(ProgressError::Form)?;
            let (start, end) = (position(start)?, position(end)?);
            if start >= end || end > head || free_from.is_some_and(|free| start <= free) {
                return Err(ProgressError::Order { start });
            }
            free_from = Some(end);
            progress.gaps.push(start..end);
        }
        Ok(progress)
    }
}

fn position(text: &str) -> Result<Position, ParseIntError> {
    text.parse().map(Position)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const BEGIN: u64 = 20;
    const END: u64 = 400;

    #[derive(Debug, Clone)]
    enum Step {
        Advance(u64),
        Leave(u64),
        Fill(u64, u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..6_u64).prop_map(Step::Advance),
            (0..6_u64).prop_map(Step::Leave),
            (0..END, 0..12_u64).prop_map(|(start, length)| Step::Fill(start, start + length)),
        ]
    }

    fn range(range: Range<u64>) -> Range<Position> {
        Position(range.start)..Position(range.end)
    }

    proptest! {
        #[test]
        fn it_is_the_set_of_positions_that_are_done(steps in proptest::collection::vec(step(), 0..120)) {
            let mut progress = Progress::begin(Position(BEGIN));
            let mut head = BEGIN;
            let mut undone = BTreeSet::new();
            for step in steps {
                match step {
                    Step::Advance(by) => {
                        progress.advance(range(head..head + by));
                        head += by;
                    }
                    Step::Leave(by) => {
                        let before = progress.clone();
                        if progress.leave(Position(head + by)) {
                            undone.extend(head..head + by);
                            head += by;
                        } else {
                            prop_assert!(by > 0 && progress.gaps().len() >= GAPS_MAX);
                            prop_assert_eq!(&progress, &before);
                        }
                    }
                    Step::Fill(start, end) => {
                        progress.fill(range(start..end));
                        undone.retain(|position| !(start..end).contains(position));
                    }
                }
                for position in 0..head + 10 {
                    let done = position < head && !undone.contains(&position);
                    prop_assert_eq!(progress.is_done(Position(position)), done, "{}", position);
                }
                prop_assert_eq!(progress.head(), Position(head));
                let first = undone.first().copied().unwrap_or(head);
                prop_assert_eq!(progress.first_undone(), Position(first));
                let gaps = progress.gaps();
                prop_assert!(gaps.iter().all(|gap| !gap.is_empty() && gap.end <= progress.head()));
                prop_assert!(gaps.windows(2).all(|pair| pair[0].end < pair[1].start));
                prop_assert_eq!(progress.to_string().parse(), Ok(progress.clone()));
            }
        }

        #[test]
        fn a_text_that_is_read_is_written_alike(text in "([0-9]{1,2}-[0-9]{1,2} ){0,3}\\| [1-9][0-9]") {
            if let Ok(progress) = text.parse::<Progress>() {
                let plain = progress.to_string();
                prop_assert_eq!(plain.parse(), Ok(progress));
            }
        }
    }

    #[test]
    fn it_is_persisted_as_text() {
        let mut progress = Progress::begin(Position(1200));
        assert_eq!(progress.to_string(), "| 1200");
        assert!(progress.leave(Position(1300)));
        progress.advance(range(1300..1500));
        assert!(progress.leave(Position(1501)));
        progress.advance(range(1501..1720));
        assert_eq!(progress.to_string(), "1200-1300 1500-1501 | 1720");
        assert_eq!(progress.to_string().parse(), Ok(progress));
    }

    #[test]
    fn a_text_that_makes_no_sense_is_refused() {
        let order = |start| Err(ProgressError::Order { start: Position(start) });
        for (text, expected) in [
            ("", Err(ProgressError::Form)),
            ("1720", Err(ProgressError::Form)),
            ("|1720", Err(ProgressError::Form)),
            ("1200 | 1720", Err(ProgressError::Form)),
            ("5-5 | 9", order(5)),
            ("6-5 | 9", order(6)),
            ("5-10 | 9", order(5)),
            ("1-3 2-4 | 9", order(2)),
            ("4-5 1-2 | 9", order(1)),
            ("1-2 2-3 | 9", order(2)),
        ] {
            assert_eq!(text.parse::<Progress>(), expected, "{text:?}");
        }
        for text in ["| ", "| x", "1-x | 9", "| 18446744073709551616", "| 1 "] {
            let error = text.parse::<Progress>().unwrap_err();
            assert!(matches!(error, ProgressError::Number(_)), "{text:?}: {error:?}");
        }
    }

    #[test]
    fn the_live_lane_stays_once_there_are_too_many_gaps() {
        let mut progress = Progress::begin(Position(0));
        for gap in 0..GAPS_MAX as u64 {
            assert!(progress.leave(Position(gap * 2 + 1)));
            progress.advance(range(gap * 2 + 1..gap * 2 + 2));
        }
        let before = progress.clone();
        assert!(!progress.leave(Position(1000)));
        assert_eq!(progress, before);
        progress.fill(range(0..1));
        assert!(progress.leave(Position(1000)));
        assert!(progress.leave(Position(1001)), "the last gap just becomes longer");
    }
}
