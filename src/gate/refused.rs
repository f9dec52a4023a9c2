//! Batches that were refused before they came to the gate's thread, until it counts them.

use crate::model::ClientId;
use crate::spool::Protocol;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Clients that are told apart between two groups; those of others count for their protocol only.
const CLIENTS_MAX: usize = 1024;

/// Shared by all connections and the gate's thread.
#[derive(Debug, Default)]
pub(super) struct RefusedBefore(Mutex<Refused>);

/// What came together.
#[derive(Debug, Default)]
pub(super) struct Refused {
    pub named: HashMap<(ClientId, Protocol), u64>,
    pub others: HashMap<Protocol, u64>,
}

impl RefusedBefore {
    pub fn add(&self, protocol: Protocol, client: &ClientId) {
        let mut refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (client.clone(), protocol);
        if refused.named.len() < CLIENTS_MAX || refused.named.contains_key(&key) {
            *refused.named.entry(key).or_default() += 1;
        } else {
            *refused.others.entry(protocol).or_default() += 1;
        }
    }

    pub fn take(&self) -> Refused {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
