//! Finds the lines that a store refuses for good, by sending less and less of them.
//!
//! ```text
//!   refused   ################    16 lines, one of them bad
//!   stored    ########
//!                     ....        its other half has it: not sent as a whole
//!   refused           ####
//!   stored            ##
//!                       ##  …     and so on to the single line, which is sent alone
//! ```
//!
//! A pure planner: [`Bisect::next`] says what to send, [`Bisect::tell`] takes what came of it. Parts
//! are sent in the order of their lines, so that series stay in order. Lines are given up only for
//! what the store said of them: alone, in a list, or of a part in which all were dropped. A line may
//! be sent again after it was stored, which changes nothing (same series and time).
//!
//! Of `n` lines with `k` bad ones it needs at most `2 k (⌈log₂ n⌉ + 1)` requests. A store that refuses
//! nearly everything would make that `2 n`: after `requests_max` a part that is refused is given up
//! whole, so that its good lines come into the dead letters with the bad.

use super::answers::{Meaning, Refused, RefusedLine};
use std::ops::Range;
use std::sync::Arc;

/// What came of sending a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All of it is stored.
    Stored,
    /// At least one line of it is refused for good; the others may be stored or not.
    Refused {
        /// The server's words.
        words: Arc<str>,
        /// A line that the server named, counted from 0 in the part.
        line: Option<u32>,
    },
    /// These lines are refused for good, counted from 0 in the part.
    Listed {
        /// Which.
        lines: Vec<RefusedLine>,
        /// Whether all others are stored; if not, they are sent again.
        complete: bool,
        /// What the server said of the whole.
        words: Arc<str>,
    },
    /// The server counted the lines that it dropped: at least so many.
    Dropped {
        /// How many.
        count: u32,
        /// Why.
        words: Arc<str>,
    },
    /// It is too large to be sent as one.
    TooLarge,
}

impl Verdict {
    /// The verdict in an answer; nothing if the answer is none: the part is to be sent again when
    /// the store is well.
    #[must_use]
    pub fn of(meaning: Meaning) -> Option<Verdict> {
        match meaning {
            Meaning::Done => Some(Verdict::Stored),
            Meaning::Rejected { words, line } => Some(Verdict::Refused { words, line }),
            Meaning::Partial { refused: Refused::Untold, words } => {
                Some(Verdict::Refused { words, line: None })
            }
            Meaning::Partial { refused: Refused::Counted(count), words } => {
                Some(Verdict::Dropped { count, words })
            }
            Meaning::Partial { refused: Refused::Listed { lines, complete }, words } => {
                Some(Verdict::Listed { lines, complete, words })
            }
            Meaning::TooLarge => Some(Verdict::TooLarge),
            Meaning::SlowDown { .. }
            | Meaning::Unavailable { .. }
            | Meaning::Misconfigured { .. } => None,
        }
    }
}

/// Lines that are given up, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp {
    /// Which. More than one line if the server said the same of all, or time was up.
    pub lines: Range<u32>,
    /// The server's words.
    pub words: Arc<str>,
}

/// What is known of all lines. The ranges of both are in order, and together with `open` they are
/// all the lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Stored.
    pub stored: Vec<Range<u32>>,
    /// Refused for good.
    pub given_up: Vec<GivenUp>,
    /// Not decided: empty once [`Bisect::next`] has nothing more.
    pub open: Vec<Range<u32>>,
}

/// The plan for one request that was refused.
#[derive(Debug)]
pub struct Bisect {
    /// Parts to send; the next one last.
    parts: Vec<Part>,
    findings: Findings,
    requests: u32,
    requests_max: u32,
}

#[derive(Debug)]
struct Part {
    lines: Range<u32>,
    /// It is the second half of a part that was refused, and of the first half nothing was: if that
    /// is stored, this has the bad line.
    second_half: bool,
}

impl Part {
    fn new(lines: Range<u32>) -> Part {
        Part { lines, second_half: false }
    }
}

impl Bisect {
    /// A plan for these lines, which were sent as one request, with the verdict on it.
    #[must_use]
    pub fn new(lines: Range<u32>, verdict: Verdict, requests_max: u32) -> Bisect {
        let parts = if lines.is_empty() { Vec::new() } else { vec![Part::new(lines)] };
        let findings = Findings::default();
        let mut plan = Bisect { parts, findings, requests: 0, requests_max };
        plan.tell(verdict);
        plan.requests = 0;
        plan
    }

    /// The lines to send next, alone in one request; the same until a verdict on them is told.
    /// `None` when all is decided.
    #[must_use]
    pub fn next(&self) -> Option<Range<u32>> {
        self.parts.last().map(|part| part.lines.clone())
    }

    /// How many verdicts it has been told.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.requests
    }

    /// What came of sending [`Bisect::next`]. Ignored if there is none.
    pub fn tell(&mut self, verdict: Verdict) {
        let Some(Part { lines, .. }) = self.parts.pop() else { return };
        self.requests = self.requests.saturating_add(1);
        // If it is a first half, it has a bad line itself: the second may have none.
        if verdict != Verdict::Stored
            && let Some(next) = self.parts.last_mut()
        {
            next.second_half = false;
        }
        match verdict {
            Verdict::Stored => {
                self.stored(lines);
                self.infer();
            }
            Verdict::Refused { words, line } => self.refused(lines, words, line),
            Verdict::Listed { lines: listed, complete, words } => {
                self.listed(lines, listed, complete, words);
            }
            Verdict::Dropped { count, words } if count >= len(&lines) => {
                self.give_up(lines, words);
            }
            Verdict::Dropped { words, .. } => self.refused(lines, words, None),
            Verdict::TooLarge if len(&lines) == 1 => {
                self.give_up(lines, "the line alone is too large for the store".into());
            }
            Verdict::TooLarge => {
                let middle = middle(&lines);
                self.parts.push(Part::new(middle..lines.end));
                self.parts.push(Part::new(lines.start..middle));
            }
        }
    }

    /// What was found. Whoever stops early finds the rest in `open`.
    #[must_use]
    pub fn finish(mut self) -> Findings {
        while let Some(part) = self.parts.pop() {
            push_range(&mut self.findings.open, part.lines);
        }
        self.findings
    }

    fn refused(&mut self, lines: Range<u32>, words: Arc<str>, line: Option<u32>) {
        if len(&lines) == 1 || self.requests > self.requests_max {
            return self.give_up(lines, words);
        }
        let named = line.and_then(|line| lines.start.checked_add(line));
        match named.filter(|named| lines.contains(named)) {
            // The server is asked again about the line that it named: its numbers may be of another
            // kind than we think.
            Some(named) => {
                for part in [named + 1..lines.end, named..named + 1, lines.start..named] {
                    if !part.is_empty() {
                        self.parts.push(Part::new(part));
                    }
                }
            }
            None => self.halve(lines),
        }
    }

    fn halve(&mut self, lines: Range<u32>) {
        let middle = middle(&lines);
        self.parts.push(Part { lines: middle..lines.end, second_half: true });
        self.parts.push(Part::new(lines.start..middle));
    }

    /// The first half of a refused part is stored: what was refused is in the second. A single line
    /// is sent all the same, for the server's words about it.
    fn infer(&mut self) {
        if let Some(part) = self.parts.pop_if(|part| part.second_half && len(&part.lines) > 1) {
            self.halve(part.lines);
        }
    }

    fn listed(
        &mut self,
        lines: Range<u32>,
        mut listed: Vec<RefusedLine>,
        complete: bool,
        words: Arc<str>,
    ) {
        if listed.is_empty() || listed.iter().any(|refused| refused.line >= len(&lines)) {
            // Its numbers are not of our lines.
            return self.refused(lines, words, None);
        }
        listed.sort_by_key(|refused| refused.line);
        listed.dedup_by_key(|refused| refused.line);
        if !complete {
            return self.listed_in_part(&lines, listed);
        }
        let mut from = lines.start;
        for refused in listed {
            let line = lines.start + refused.line;
            self.stored(from..line);
            self.give_up(line..line + 1, refused.words);
            from = line + 1;
        }
        self.stored(from..lines.end);
    }

    /// The named lines are sent alone, which is what puts them into the order of the findings; the
    /// lines between them as parts.
    fn listed_in_part(&mut self, lines: &Range<u32>, listed: Vec<RefusedLine>) {
        let mut end = lines.end;
        for refused in listed.iter().rev() {
            let line = lines.start + refused.line;
            for part in [line + 1..end, line..line + 1] {
                if !part.is_empty() {
                    self.parts.push(Part::new(part));
                }
            }
            end = line;
        }
        if end > lines.start {
            self.parts.push(Part::new(lines.start..end));
        }
    }

    fn stored(&mut self, lines: Range<u32>) {
        push_range(&mut self.findings.stored, lines);
    }

    fn give_up(&mut self, lines: Range<u32>, words: Arc<str>) {
        self.findings.given_up.push(GivenUp { lines, words });
    }
}

fn len(lines: &Range<u32>) -> u32 {
    lines.end - lines.start
}

fn middle(lines: &Range<u32>) -> u32 {
    lines.start + len(lines) / 2
}

/// Appends a range to ranges in order; one that goes on where the last ended makes it longer.
fn push_range(ranges: &mut Vec<Range<u32>>, lines: Range<u32>) {
    match ranges.last_mut() {
        _ if lines.is_empty() => {}
        Some(last) if last.end == lines.start => last.end = lines.end,
        _ => ranges.push(lines),
    }
}

#[cfg(test)]
#[path = "bisect_tests.rs"]
mod tests;
