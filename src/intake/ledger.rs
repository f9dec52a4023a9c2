//! What came of everybody's batches, for people.

use super::Intake;
use crate::admit::Counts;
use crate::gate::ClientLedger;
use crate::model::ClientId;
use crate::spool::Protocol;
use std::collections::BTreeMap;

/// The counts of a client over a protocol, since the spool was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerLine {
    /// `None`: all that are not remembered by name.
    pub client: Option<ClientId>,
    /// Over what.
    pub protocol: &'static str,
    /// Batches that entered.
    pub batches: u64,
    /// Samples in them.
    pub samples: u64,
    /// Batches that were in the log already.
    pub duplicates: u64,
    /// Batches that were refused.
    pub refused: u64,
}

impl LedgerLine {
    fn of(client: Option<ClientId>, protocol: u8, counts: Counts) -> LedgerLine {
        let Counts { samples, batches, duplicates, refused } = counts;
        let protocol = Protocol::of_byte(protocol).name();
        LedgerLine { client, protocol, batches, samples, duplicates, refused }
    }
}

/// Lines of clients and of the rest, most samples first; those of the rest come last. All together are
/// the tally.
#[must_use]
pub fn ledger_lines(ledger: ClientLedger) -> Vec<LedgerLine> {
    let mut rest: BTreeMap<u8, Counts> = ledger.tally.by_protocol;
    for told in &ledger.clients {
        let rest = rest.entry(told.protocol).or_default();
        rest.samples = rest.samples.saturating_sub(told.counts.samples);
        rest.batches = rest.batches.saturating_sub(told.counts.batches);
        rest.duplicates = rest.duplicates.saturating_sub(told.counts.duplicates);
        rest.refused = rest.refused.saturating_sub(told.counts.refused);
    }
    let clients = ledger.clients.into_iter();
    let mut lines: Vec<_> =
        clients.map(|told| LedgerLine::of(Some(told.client), told.protocol, told.counts)).collect();
    lines.sort_by(|a, b| {
        let order = b.samples.cmp(&a.samples);
        order.then_with(|| a.client.cmp(&b.client)).then_with(|| a.protocol.cmp(b.protocol))
    });
    let rest = rest.into_iter().filter(|(_, counts)| *counts != Counts::default());
    lines.extend(rest.map(|(protocol, counts)| LedgerLine::of(None, protocol, counts)));
    lines
}

impl Intake {
    /// Everybody's counts, as [`ledger_lines`]; `None` if the daemon stops, or has no time for it.
    pub async fn ledger(&self) -> Option<Vec<LedgerLine>> {
        self.gate.ledger().await.ok().map(ledger_lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admit::{ClientCounts, Tally};

    #[test]
    fn lines_are_sorted_and_add_up_to_the_tally() {
        let counts = |samples| Counts { samples, batches: 1, duplicates: 0, refused: 2 };
        let client = |client: &str, protocol, samples| ClientCounts {
            client: client.into(),
            protocol,
            counts: counts(samples),
        };
        let clients = vec![client("b", 1, 5), client("c", 2, 9), client("a", 1, 5)];
        let all = Counts { samples: 13, batches: 3, duplicates: 1, refused: 4 };
        let tally = Tally { by_protocol: [(1, all), (2, counts(9))].into() };
        let lines = ledger_lines(ClientLedger { clients, tally });
        let names: Vec<_> = lines.iter().map(|it| (it.client.as_deref(), it.samples)).collect();
        assert_eq!(names, [(Some("c"), 9), (Some("a"), 5), (Some("b"), 5), (None, 3)]);
        let rest = &lines[3];
        assert_eq!((rest.protocol, rest.batches, rest.duplicates, rest.refused), ("ws", 1, 1, 0));
    }
}
