//! What a connection has sent and is owed an answer for. Pure.

use crate::gate::Credit;
use crate::model::Seq;
use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// A client that was told of less credit may have sent what the old one allowed.
const GRACE: Duration = Duration::from_secs(2);
/// Batches refused "later" and not sent again yet; a client that has more doesn't follow the rules.
const OPEN_MAX: usize = 4096;
/// Over-credit batches refused before the connection is closed.
const OVER_CREDIT_MAX: u32 = 16;

/// What is to be done with a batch that just came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admittance {
    /// Within the credit.
    Within,
    /// Refuse it with "later".
    Over,
    /// It has gone on and on: close the connection.
    TooOften,
}

/// The books of one connection.
#[derive(Debug)]
pub(super) struct Account {
    /// At the gate, in the order of offers: seq and bytes as sent.
    outstanding: VecDeque<(Seq, u32)>,
    outstanding_bytes: u64,
    /// Refused with "later": an Ack must not pass them.
    open: BTreeSet<Seq>,
    answered: Seq,
    credit: Credit,
    credit_before: Credit,
    credit_changed: Option<Instant>,
    over: u32,
}

impl Account {
    pub fn new(credit: Credit) -> Account {
        Account {
            outstanding: VecDeque::new(),
            outstanding_bytes: 0,
            open: BTreeSet::new(),
            answered: 0,
            credit,
            credit_before: credit,
            credit_changed: None,
            over: 0,
        }
    }

    pub fn credit(&self) -> Credit {
        self.credit
    }

    /// The client is told of another credit.
    pub fn grant(&mut self, credit: Credit, now: Instant) {
        if credit != self.credit {
            self.credit_before = self.credit;
            self.credit_changed = Some(now);
            self.credit = credit;
        }
    }

    /// A batch came in.
    pub fn admit(&mut self, bytes: usize, now: Instant) -> Admittance {
        let grace = self.credit_changed.is_some_and(|at| now.duration_since(at) < GRACE);
        let credit = self.credit;
        let before = if grace { self.credit_before } else { credit };
        let batches_max = credit.batches.max(before.batches) as usize;
        let bytes_max = u64::from(credit.bytes.max(before.bytes));
        // One batch is always allowed, however large.
        let within = self.outstanding.is_empty()
            || (self.outstanding.len() < batches_max
                && self.outstanding_bytes + bytes as u64 <= bytes_max);
        if within {
            self.over = 0;
            return Admittance::Within;
        }
        self.over += 1;
        if self.over > OVER_CREDIT_MAX { Admittance::TooOften } else { Admittance::Over }
    }

    /// A batch went to the gate.
    pub fn offered(&mut self, seq: Seq, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.outstanding.push_back((seq, bytes));
        self.outstanding_bytes += u64::from(bytes);
    }

    /// The gate answered the batch that was offered first.
    pub fn gate_answered(&mut self) {
        if let Some((_, bytes)) = self.outstanding.pop_front() {
            self.outstanding_bytes -= u64::from(bytes);
        }
    }

    /// A batch is settled: durable, or refused for good.
    pub fn settled(&mut self, seq: Seq) {
        self.open.remove(&seq);
        self.answered = self.answered.max(seq);
    }

    /// A batch was refused with "later". False when there are too many of them.
    pub fn postponed(&mut self, seq: Seq) -> bool {
        if seq != 0 {
            self.open.insert(seq);
            self.answered = self.answered.max(seq);
        }
        self.open.len() <= OPEN_MAX
    }

    /// The seq up to which everything that came on this connection is settled.
    pub fn ack(&self) -> Seq {
        let unsettled =
            self.outstanding.iter().map(|&(seq, _)| seq).chain(self.open.first().copied());
        unsettled.min().map_or(self.answered, |first| self.answered.min(first.saturating_sub(1)))
    }

    /// Batches waiting for the gate's answer.
    pub fn outstanding(&self) -> usize {
        self.outstanding.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn credit(batches: u32, bytes: u32) -> Credit {
        Credit { batches, bytes, min_interval: Duration::ZERO }
    }

    #[test]
    fn an_ack_never_passes_a_batch_that_is_to_come_again() {
        let mut account = Account::new(credit(8, 1000));
        for seq in 1..=4 {
            account.offered(seq, 10);
        }
        account.gate_answered();
        account.settled(1);
        assert_eq!(account.ack(), 1);
        account.gate_answered();
        assert!(account.postponed(2));
        account.gate_answered();
        account.settled(3);
        account.gate_answered();
        account.settled(4);
        assert_eq!(account.ack(), 1);
        account.offered(2, 10);
        assert_eq!(account.ack(), 1);
        account.gate_answered();
        account.settled(2);
        assert_eq!(account.ack(), 4);
    }

    #[test]
    fn a_client_over_its_credit_is_refused_then_closed() {
        let now = clock::monotonic();
        let mut account = Account::new(credit(2, 100));
        assert_eq!(account.admit(500, now), Admittance::Within, "one batch of any size");
        account.offered(1, 60);
        assert_eq!(account.admit(41, now), Admittance::Over, "bytes");
        assert_eq!(account.admit(40, now), Admittance::Within);
        account.offered(2, 40);
        for _ in 0..OVER_CREDIT_MAX {
            assert_eq!(account.admit(0, now), Admittance::Over);
        }
        assert_eq!(account.admit(0, now), Admittance::TooOften);
    }

    #[test]
    fn less_credit_counts_after_a_grace() {
        let now = clock::monotonic();
        let mut account = Account::new(credit(2, 100));
        account.offered(1, 1);
        account.grant(credit(1, 100), now);
        assert_eq!(account.admit(1, now + GRACE / 2), Admittance::Within);
        assert_eq!(account.admit(1, now + GRACE), Admittance::Over);
    }
}
