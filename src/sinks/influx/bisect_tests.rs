//! Plans carried out against stores that refuse certain lines, each in its own manner.

use super::{Bisect, Findings, GivenUp, RefusedLine, Verdict};
use crate::sinks::influx::answers::{Cause, Meaning, Refused, Unreached};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

/// How a store tells that it refuses lines.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Manner {
    /// InfluxDB 2, a line that it can't read: nothing is stored.
    All,
    /// InfluxDB 2, a conflict of types: it counts them.
    Counts,
    /// InfluxDB 3: it names the first.
    NamesFirst,
    /// The same, but counting lines in a way of its own.
    NamesWrongly,
    /// InfluxDB 3, partial writes.
    Lists,
    /// Partial writes, with the list cut.
    ListsTwo,
}

const MANNERS: [Manner; 6] = [
    Manner::All,
    Manner::Counts,
    Manner::NamesFirst,
    Manner::NamesWrongly,
    Manner::Lists,
    Manner::ListsTwo,
];

struct Store {
    manner: Manner,
    poison: BTreeSet<u32>,
    stored: BTreeSet<u32>,
    sent: Vec<u32>,
}

fn words(line: u32) -> Arc<str> {
    format!("line {line} is bad").into()
}

impl Store {
    fn new(manner: Manner, poison: &[u32], lines: &Range<u32>) -> Store {
        let (poison, stored) = (poison.iter().copied().collect(), BTreeSet::new());
        Store { manner, poison, stored, sent: vec![0; lines.end as usize] }
    }

    fn send(&mut self, part: Range<u32>) -> Verdict {
        assert!(!part.is_empty());
        part.clone().for_each(|line| self.sent[line as usize] += 1);
        let bad: Vec<u32> = self.poison.range(part.clone()).copied().collect();
        let Some(&first) = bad.first() else {
            self.stored.extend(part);
            return Verdict::Stored;
        };
        let words_of_first = words(first);
        let refused = |line: Option<u32>| Verdict::Refused { words: words(first), line };
        let list = |bad: &[u32], complete| Verdict::Listed {
            lines: bad
                .iter()
                .map(|&line| RefusedLine { line: line - part.start, words: words(line) })
                .collect(),
            complete,
            words: "some are bad".into(),
        };
        let verdict = match self.manner {
            Manner::All => return refused(None),
            Manner::NamesFirst => return refused(Some(first - part.start)),
            Manner::NamesWrongly => return refused(Some((first - part.start).wrapping_sub(2))),
            Manner::Counts => Verdict::Dropped { count: bad.len() as u32, words: words_of_first },
            Manner::Lists => list(&bad, true),
            Manner::ListsTwo => list(&bad[..bad.len().min(2)], bad.len() < 2),
        };
        self.stored.extend(part.filter(|line| !self.poison.contains(line)));
        verdict
    }
}

fn carry_out(store: &mut Store, lines: Range<u32>, requests_max: u32) -> (Findings, u32) {
    let verdict = store.send(lines.clone());
    let mut plan = Bisect::new(lines, verdict, requests_max);
    while let Some(part) = plan.next() {
        let verdict = store.send(part);
        plan.tell(verdict);
    }
    let requests = plan.requests();
    (plan.finish(), requests)
}

fn flat(ranges: &[Range<u32>]) -> Vec<u32> {
    ranges.iter().cloned().flatten().collect()
}

fn log2_up(n: u32) -> u32 {
    n.next_power_of_two().trailing_zeros()
}

proptest! {
    #[test]
    fn it_finds_exactly_the_bad_lines(
        start in 0..50_u32,
        n in 1..3000_u32,
        poison in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        manner in prop::sample::select(&MANNERS[..]),
    ) {
        let lines = start..start + n;
        let poison: BTreeSet<u32> = poison.iter().map(|i| start + i.index(n as usize) as u32).collect();
        let poison: Vec<u32> = poison.into_iter().collect();
        let mut store = Store::new(manner, &poison, &lines);
        let (found, requests) = carry_out(&mut store, lines.clone(), u32::MAX);

        prop_assert!(found.open.is_empty());
        let given_up: Vec<_> = found.given_up.iter().map(|given| given.lines.clone()).collect();
        prop_assert_eq!(flat(&given_up), poison.clone());
        let good: Vec<u32> = lines.clone().filter(|line| !poison.contains(line)).collect();
        prop_assert_eq!(flat(&found.stored), good.clone());
        prop_assert_eq!(store.stored.iter().copied().collect::<Vec<_>>(), good);
        for given in &found.given_up {
            let said = words(given.lines.start);
            prop_assert_eq!(&given.words, &said, "each with the words about it");
        }
        let (k, depth) = (poison.len() as u32, log2_up(n) + 1);
        let most = match manner {
            Manner::Lists => 0,
            // One request about the named line, and at most two about what is around it.
            Manner::NamesFirst => 3 * k,
            Manner::ListsTwo => 5 * k,
            // In vain once in a while, and a half is not inferred then.
            Manner::NamesWrongly => 3 * k * depth + 3 * k,
            Manner::All | Manner::Counts => 2 * k * depth,
        };
        prop_assert!(requests <= most, "{requests} requests for {k} of {n}, {most} would do");
        let halving = [Manner::All, Manner::Counts].contains(&manner);
        let most = store.sent.iter().max().copied().unwrap_or_default();
        prop_assert!(!halving || most <= depth + 1, "a line was sent {most} times");
    }

    #[test]
    fn it_ends_soon_when_nearly_all_is_refused(
        n in 1..3000_u32,
        good in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        requests_max in 0..200_u32,
    ) {
        let good: BTreeSet<u32> = good.iter().map(|i| i.index(n as usize) as u32).collect();
        let poison: Vec<u32> = (0..n).filter(|line| !good.contains(line)).collect();
        let mut store = Store::new(Manner::All, &poison, &(0..n));
        let (found, requests) = carry_out(&mut store, 0..n, requests_max);
        prop_assert!(requests <= requests_max + log2_up(n) + 1);
        let given_up: Vec<_> = found.given_up.iter().map(|given| given.lines.clone()).collect();
        let mut all = [flat(&given_up), flat(&found.stored)].concat();
        all.sort_unstable();
        prop_assert_eq!(all, (0..n).collect::<Vec<_>>(), "each line once");
        prop_assert!(flat(&found.stored).iter().all(|line| store.stored.contains(line)));
    }
}

#[test]
fn all_dropped_is_given_up_at_once() {
    let poison: Vec<u32> = (0..5000).collect();
    let mut store = Store::new(Manner::Counts, &poison, &(0..5000));
    let (found, requests) = carry_out(&mut store, 0..5000, 100);
    assert_eq!(requests, 0);
    assert_eq!(found.given_up, [GivenUp { lines: 0..5000, words: words(0) }]);
}

#[test]
fn a_refusal_that_was_a_passing_one_gives_nothing_up() {
    let refusal = Verdict::Refused { words: "a passing mood".into(), line: None };
    let mut plan = Bisect::new(0..1000, refusal, 100);
    while plan.next().is_some() {
        plan.tell(Verdict::Stored);
    }
    assert!(plan.requests() <= 11, "{}", plan.requests());
    let found = plan.finish();
    assert_eq!((found.given_up, found.open), (Vec::new(), Vec::new()));
    assert_eq!(flat(&found.stored), (0..1000).collect::<Vec<_>>());
}

#[test]
fn a_single_refused_line_needs_no_further_request() {
    let plan = Bisect::new(7..8, Verdict::Refused { words: "bad".into(), line: None }, 100);
    assert_eq!(plan.next(), None);
    assert_eq!(plan.finish().given_up, [GivenUp { lines: 7..8, words: "bad".into() }]);
}

#[test]
fn a_part_that_is_too_large_is_split_without_blame() {
    let mut plan = Bisect::new(0..4, Verdict::TooLarge, 100);
    assert_eq!(plan.next(), Some(0..2));
    plan.tell(Verdict::Stored);
    assert_eq!(plan.next(), Some(2..4), "nothing is inferred of it");
    plan.tell(Verdict::TooLarge);
    plan.tell(Verdict::TooLarge);
    assert_eq!(plan.next(), Some(3..4));
    let found = plan.finish();
    assert_eq!((flat(&found.stored), flat(&found.open)), (vec![0, 1], vec![3]));
    assert_eq!(found.given_up[0].lines, 2..3);
}

#[test]
fn a_list_with_numbers_of_something_else_is_not_believed() {
    let lines = vec![RefusedLine { line: 2, words: "bad".into() }];
    let verdict = Verdict::Listed { lines, complete: true, words: "some".into() };
    let plan = Bisect::new(0..2, verdict, 100);
    assert_eq!(plan.next(), Some(0..1));
}

#[test]
fn an_answer_without_a_verdict_changes_nothing() {
    let cause = Cause::Unreached(Unreached::Timeout);
    assert_eq!(Verdict::of(Meaning::Unavailable { after: None, cause }), None);
    let words: Arc<str> = "w".into();
    let partial = Meaning::Partial { refused: Refused::Untold, words: Arc::clone(&words) };
    assert_eq!(Verdict::of(partial), Some(Verdict::Refused { words, line: None }));
}
