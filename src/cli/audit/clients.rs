//! The audit client by client: what the gate took from each, and where each sink says it is.

use super::printable;
use crate::intake::LedgerLine;
use crate::ledger::{Outcome, OutcomeLine, UNKNOWN};
use crate::model::ClientId;
use crate::spool::Protocol;
use std::collections::BTreeMap;

/// A client, or all that are not known by name, over a protocol.
type Key = (Option<ClientId>, &'static str);

/// One sink on its way through the audit.
pub(super) struct SinkClients {
    title: String,
    counts: BTreeMap<Key, Counts>,
    /// The spool deleted some before the sink came back to it.
    pub gone: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counts {
    accepted: u64,
    outcome: Outcome,
    to_do: u64,
}

impl Counts {
    /// Samples that were accepted and are nowhere; below zero, that are there too often.
    fn imbalance(&self) -> i128 {
        let Outcome { before, stored, dead_lettered, skipped, lost, shed } = self.outcome;
        let known = [before, stored, dead_lettered, skipped, lost, shed, self.to_do];
        i128::from(self.accepted) - known.map(i128::from).iter().sum::<i128>()
    }
}

/// What the audit says of a sink.
#[derive(Debug, PartialEq)]
enum Verdict {
    Balanced,
    /// All together are; these lines can't be told apart.
    BalancedTogether(usize),
    /// If what the spool deleted is lost.
    BalancedWithout(i128),
    Not(usize),
}

impl SinkClients {
    pub fn new(title: String, lines: &[OutcomeLine]) -> SinkClients {
        let mut clients = SinkClients { title, counts: BTreeMap::new(), gone: false };
        for OutcomeLine { client, protocol, outcome } in lines {
            let key = (client.clone(), Protocol::of_byte(*protocol).name());
            clients.counts.entry(key).or_default().outcome.add(*outcome);
        }
        clients
    }

    /// A batch of the log that the sink has not done.
    pub fn add_to_do(&mut self, client: &str, protocol: Protocol, samples: u64) {
        let key = (Some(client.into()), protocol.name());
        self.counts.entry(key).or_default().to_do += samples;
    }

    /// What can't be read any more the sink will count as lost; whose it was nobody says.
    pub fn add_unknown(&mut self, samples: u64) {
        if samples > 0 {
            let key = (None, Protocol::of_byte(UNKNOWN).name());
            self.counts.entry(key).or_default().to_do += samples;
        }
    }

    /// Prints a line for each client, with what the gate took from it; whether all balance.
    pub fn tell(mut self, accepted: &[LedgerLine]) -> bool {
        for LedgerLine { client, protocol, samples, .. } in accepted {
            self.counts.entry((client.clone(), protocol)).or_default().accepted += samples;
        }
        self.counts.retain(|_, counts| *counts != Counts::default());
        let heads = ["accepted", "stored", "dead-lettered", "skipped", "lost", "shed", "before"];
        let heads: Vec<_> = heads.iter().map(|head| format!("{head:>13}")).collect();
        println!("{}, client by client:", self.title);
        println!("{} {:>13}  protocol client", heads.join(" "), "to do");
        for ((client, protocol), counts) in &self.counts {
            let Outcome { before, stored, dead_lettered, skipped, lost, shed } = counts.outcome;
            let Counts { accepted, to_do, .. } = *counts;
            let counted = [accepted, stored, dead_lettered, skipped, lost, shed, before, to_do];
            let counted = counted.map(|count| format!("{count:>13}")).join(" ");
            let client = client.as_deref().map_or("(others)".to_owned(), printable);
            let wrong = match counts.imbalance() {
                0 => String::new(),
                missing @ 1.. => format!(": {missing} are nowhere"),
                excess => format!(": {} too many", -excess),
            };
            println!("{counted}  {protocol:<8} {client}{wrong}");
        }
        let verdict = self.verdict();
        let lines = self.counts.len();
        match verdict {
            Verdict::Balanced => println!("{}: all {lines} lines are balanced", self.title),
            Verdict::BalancedTogether(some) => println!(
                "{}: balanced; {some} of {lines} lines only together, because not all clients are \
                 known by name",
                self.title
            ),
            Verdict::BalancedWithout(samples) => println!(
                "{}: balanced, if the {samples} that the spool deleted before it came are lost",
                self.title
            ),
            Verdict::Not(wrong) => {
                println!("{}: NOT balanced: {wrong} of {lines} lines", self.title);
            }
        }
        !matches!(verdict, Verdict::Not(_))
    }

    fn verdict(&self) -> Verdict {
        let imbalances: Vec<_> = self.counts.values().map(Counts::imbalance).collect();
        let wrong = imbalances.iter().filter(|imbalance| **imbalance != 0).count();
        let sum: i128 = imbalances.iter().sum();
        let has_others = self.counts.keys().any(|(client, _)| client.is_none());
        match wrong {
            0 => Verdict::Balanced,
            _ if sum == 0 && has_others => Verdict::BalancedTogether(wrong),
            _ if self.gone && imbalances.iter().all(|imbalance| *imbalance >= 0) => {
                Verdict::BalancedWithout(sum)
            }
            _ => Verdict::Not(wrong),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sink(lines: &[(Option<&str>, u64, u64)]) -> SinkClients {
        let mut sink = SinkClients::new("sink".to_owned(), &[]);
        for &(client, accepted, stored) in lines {
            let outcome = Outcome { stored, ..Outcome::default() };
            let counts = Counts { accepted, outcome, to_do: 0 };
            sink.counts.insert((client.map(Into::into), "ws"), counts);
        }
        sink
    }

    #[test]
    fn a_line_may_be_wrong_only_where_names_are_missing() {
        let (a, b) = (Some("a"), Some("b"));
        assert_eq!(sink(&[(a, 1, 1), (b, 2, 2)]).verdict(), Verdict::Balanced);
        assert_eq!(sink(&[(a, 1, 2), (b, 2, 1)]).verdict(), Verdict::Not(2));
        assert_eq!(sink(&[(a, 1, 2), (None, 2, 1)]).verdict(), Verdict::BalancedTogether(2));
        assert_eq!(sink(&[(a, 1, 2), (None, 2, 2)]).verdict(), Verdict::Not(1));
        let mut gone = sink(&[(a, 5, 2), (b, 2, 2)]);
        gone.gone = true;
        assert_eq!(gone.verdict(), Verdict::BalancedWithout(3));
        let mut gone = sink(&[(a, 2, 5), (b, 2, 2)]);
        gone.gone = true;
        assert_eq!(gone.verdict(), Verdict::Not(1));
    }

    #[test]
    fn what_is_to_do_and_what_is_unknown_counts() {
        let line = |client: Option<&str>, samples| LedgerLine {
            client: client.map(Into::into),
            protocol: "ws",
            batches: 0,
            samples,
            duplicates: 0,
            refused: 0,
        };
        let mut one = sink(&[(Some("a"), 0, 1)]);
        one.add_to_do("a", Protocol::Ws, 3);
        assert!(one.tell(&[line(Some("a"), 4)]));
        let mut two = sink(&[(Some("a"), 0, 1)]);
        two.add_unknown(3);
        assert!(two.tell(&[line(Some("a"), 4)]));
        assert!(!sink(&[(Some("a"), 0, 1)]).tell(&[line(Some("a"), 4)]));
    }
}
