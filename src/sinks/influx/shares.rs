//! What became of a round's samples, client by client. Pure.

use super::progress::Progress;
use super::round::Round;
use crate::ledger::{Accepted, AcceptedBelow, Outcomes};
use crate::model::{ClientId, Position};
use crate::sinks::book::NewLetter;
use std::collections::BTreeMap;

/// A round is decided: all of it is stored, but what was not selected and what the letters hold. One
/// look-up for each batch, and each letter.
pub(super) fn count(outcomes: &mut Outcomes, round: &Round, letters: &[NewLetter]) {
    for source in &round.sources {
        let outcome = outcomes.of(&source.client, source.protocol.byte());
        outcome.skipped += source.skipped;
        outcome.stored += source.batch.samples() as u64 - source.skipped;
    }
    for letter in letters {
        let Some(source) = round.source(letter.position) else { continue };
        let outcome = outcomes.of(&source.client, source.protocol.byte());
        outcome.stored -= letter.batch.samples() as u64;
        outcome.dead_lettered += letter.batch.samples() as u64;
    }
}

/// What became of a client's samples when they were folded.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    /// In windows: they count as stored from then on, and as refused if their rollup is.
    pub folded: u64,
    /// Not selected, or late.
    pub apart: u64,
}

/// A round of rollups is decided. A window may have samples of several clients: a letter is counted for
/// the one who sent the last of them, as far as that one has sent as many.
pub(super) fn count_folded(
    outcomes: &mut Outcomes,
    shares: &BTreeMap<(ClientId, u8), Share>,
    round: &Round,
    letters: &[NewLetter],
) {
    for ((client, protocol), share) in shares {
        let outcome = outcomes.of(client, *protocol);
        outcome.stored += share.folded;
        outcome.skipped += share.apart;
    }
    for letter in letters {
        let Some(source) = round.source(letter.position) else { continue };
        let outcome = outcomes.of(&source.client, source.protocol.byte());
        let refused = letter.samples.min(outcome.stored);
        outcome.stored -= refused;
        outcome.dead_lettered += refused;
    }
}

/// Finds out whose the samples are that the sink never saw, from what the log says of the positions that
/// are done.
pub(super) fn name(outcomes: &mut Outcomes, accepted: &AcceptedBelow, progress: &Progress) {
    if !outcomes.has_unknown() {
        return;
    }
    let mut done: BTreeMap<(ClientId, u8), i128> = BTreeMap::new();
    let mut add = |position: Position, sign: i128| {
        for Accepted { client, protocol, samples } in accepted.at(position) {
            *done.entry((client, protocol)).or_default() += sign * i128::from(samples);
        }
    };
    add(progress.head(), 1);
    for gap in progress.gaps() {
        add(gap.end, -1);
        add(gap.start, 1);
    }
    outcomes.name(done.into_iter().map(|((client, protocol), samples)| Accepted {
        client,
        protocol,
        samples: u64::try_from(samples).unwrap_or(0),
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::OutcomeLine;

    /// Client `a` sends one sample with each even position, `b` two with each odd one.
    fn log() -> AcceptedBelow {
        AcceptedBelow::new(|Position(below)| {
            let told =
                |client: &str, samples| Accepted { client: client.into(), protocol: 1, samples };
            vec![told("a", below.div_ceil(2)), told("b", below / 2 * 2)]
        })
    }

    fn before(outcomes: &Outcomes) -> Vec<(Option<&str>, u64)> {
        let line = |it: &'_ OutcomeLine| it.outcome.before;
        let mut lines: Vec<_> =
            outcomes.lines().map(|it| (it.client.as_deref(), line(it))).collect();
        lines.sort_unstable();
        lines
    }

    #[test]
    fn what_is_done_is_all_below_the_head_but_the_gaps() {
        let mut progress = Progress::begin(Position(10));
        assert!(progress.leave(Position(14)));
        progress.advance(Position(14)..Position(20));
        // Without the gap: 8 of `a`, 16 of `b`.
        let mut outcomes = Outcomes::new(10, []);
        outcomes.unknown().before = 24;
        name(&mut outcomes, &log(), &progress);
        assert_eq!(before(&outcomes), [(None, 0), (Some("a"), 8), (Some("b"), 16)]);
    }

    #[test]
    fn a_log_that_says_nothing_leaves_it_unknown() {
        let mut outcomes = Outcomes::new(10, []);
        outcomes.unknown().before = 24;
        name(&mut outcomes, &AcceptedBelow::default(), &Progress::begin(Position(10)));
        assert_eq!(before(&outcomes), [(None, 24)]);
    }
}
