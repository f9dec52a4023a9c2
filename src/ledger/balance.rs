//! The balance: every accepted sample is stored or still in the spool, or not for stores, or known to
//! be lost.
//!
//! In: what the gate accepted up to which position, and what the history has written and holds.
//! Out: [`Balance`]. Three independent counts have to agree: the gate's (persisted with the log's
//! checkpoints), the history's (persisted in its file, in the transaction that stores the samples),
//! and what the history's follower read. They can be compared whenever the follower stands where
//! the gate stood.

use crate::model::Position;
use std::sync::{Mutex, PoisonError};

/// The counts in samples.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    /// Entered through the gate.
    pub accepted: u64,
    /// Durable in the history.
    pub stored: u64,
    /// In the spool, not durable in the history yet.
    pub spooled: u64,
    /// Of damaged records of the spool, set aside.
    pub lost_to_damage: u64,
    /// Given up by a full spool before the history had them, because the operator chose so.
    pub shed: u64,
    /// Not for stores, as its sender chose.
    pub skipped: u64,
    /// `accepted - stored - spooled - lost - shed - skipped`, when the two sides last stood at the same position.
    pub imbalance: i64,
}

/// What the history's follower made of the log up to a position, in samples.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// Durable in the history.
    pub stored: u64,
    /// In its memory.
    pub held: u64,
    /// Not for stores.
    pub skipped: u64,
    /// What it will never get.
    pub shed: u64,
}

/// Shared by the gate, the history's follower and whoever asks.
#[derive(Debug)]
pub struct Ledger(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    accepted: u64,
    accepted_at: Position,
    stored: u64,
    held: u64,
    lost_to_damage: u64,
    shed: u64,
    skipped: u64,
    imbalance: i64,
}

impl Ledger {
    /// A ledger that starts with what the log's checkpoint says was accepted up to `position`.
    #[must_use]
    pub fn new(accepted: u64, position: Position) -> Ledger {
        Ledger(Mutex::new(State { accepted, accepted_at: position, ..State::default() }))
    }

    /// The gate: `samples` more are durable in the log, which now ends at `end`.
    pub fn accepted(&self, end: Position, samples: u64) {
        let mut state = self.lock();
        state.accepted += samples;
        state.accepted_at = end;
    }

    /// The history's follower: it has applied the log up to `position`, with this outcome.
    pub fn applied(&self, position: Position, outcome: Applied) {
        let mut state = self.lock();
        (state.stored, state.held, state.skipped) = (outcome.stored, outcome.held, outcome.skipped);
        state.shed = state.shed.max(outcome.shed);
        if position == state.accepted_at {
            let known =
                state.stored + state.held + state.lost_to_damage + state.shed + state.skipped;
            state.imbalance = state.accepted.cast_signed() - known.cast_signed();
        }
    }

    /// Samples of damaged records that the history's follower could not get, in all.
    pub fn lost(&self, samples: u64) {
        self.lock().lost_to_damage = samples;
    }

    /// Samples that the spool gave up before the history had them, in all; also while it has not come
    /// to see that.
    pub fn shed(&self, samples: u64) {
        let mut state = self.lock();
        state.shed = state.shed.max(samples);
    }

    /// The counts now.
    #[must_use]
    pub fn balance(&self) -> Balance {
        let state = self.lock();
        Balance {
            accepted: state.accepted,
            stored: state.stored,
            spooled: state
                .accepted
                .saturating_sub(state.stored + state.lost_to_damage + state.shed + state.skipped),
            lost_to_damage: state.lost_to_damage,
            shed: state.shed,
            skipped: state.skipped,
            imbalance: state.imbalance,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_that_is_nowhere_shows() {
        let ledger = Ledger::new(100, Position(5));
        let outcome = |held, skipped, shed| Applied { stored: 60, held, skipped, shed };
        ledger.applied(Position(5), outcome(40, 0, 0));
        assert_eq!(ledger.balance().imbalance, 0);
        ledger.accepted(Position(7), 10);
        ledger.applied(Position(6), outcome(45, 0, 0));
        assert_eq!(ledger.balance().imbalance, 0, "not at the same position: not compared");
        ledger.applied(Position(7), outcome(49, 0, 0));
        assert_eq!(ledger.balance().imbalance, 1);
        let balance = ledger.balance();
        assert_eq!((balance.accepted, balance.stored, balance.spooled), (110, 60, 50));
        ledger.applied(Position(7), outcome(37, 3, 10));
        let balance = ledger.balance();
        assert_eq!((balance.imbalance, balance.spooled), (0, 37));
        assert_eq!((balance.skipped, balance.shed), (3, 10));
    }
}
