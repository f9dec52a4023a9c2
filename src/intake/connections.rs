//! Who is connected: a newer connection of the same client and session replaces the older one.

use crate::model::{ClientId, SessionId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

type Key = (ClientId, SessionId);

/// Open device connections by client and session.
#[derive(Debug, Default, Clone)]
pub(super) struct Connections(Arc<Mutex<HashMap<Key, (u64, CancellationToken)>>>);

/// A place in the register, given up when dropped.
#[derive(Debug)]
pub(super) struct Registered {
    connections: Connections,
    key: Key,
    number: u64,
    /// Cancelled when a newer connection took the place.
    pub replaced: CancellationToken,
}

impl Connections {
    /// Registers a connection; one of the same client and session is told that it is replaced.
    pub fn register(&self, client: ClientId, session: SessionId) -> Registered {
        let replaced = CancellationToken::new();
        let key = (client, session);
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = open.get(&key).map_or(0, |(number, _)| number + 1);
        if let Some((_, older)) = open.insert(key.clone(), (number, replaced.clone())) {
            older.cancel();
        }
        Registered { connections: self.clone(), key, number, replaced }
    }

    pub fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut open = self.connections.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            open.remove(&self.key);
        }
    }
}
