//! The ledger: the counts that must add up.
//!
//! [`Ledger`] balances the daemon as a whole while it runs. [`Outcomes`] are the counts of one store,
//! client by client, persisted with the store's position.

mod balance;
mod outcomes;

pub use balance::{Applied, Balance, Ledger};
pub use outcomes::{Accepted, AcceptedBelow, CLIENTS_MAX, Outcome, OutcomeLine, Outcomes, UNKNOWN};
