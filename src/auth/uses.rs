//! When each key was last used: in memory, written now and then.

use crate::model::Timestamp;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// It is known and written to so much.
const SEEN: Duration = Duration::from_secs(60);
/// Keys of which it is known. There are not so many; beyond, it is not known of others.
const USES_MAX: usize = 20_000;

/// When each key was last used; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Uses {
    inner: Arc<Mutex<HashMap<Arc<str>, Use>>>,
}

#[derive(Debug, Clone, Copy)]
struct Use {
    at: Timestamp,
    is_written: bool,
}

impl Uses {
    pub(super) fn new(stored: Vec<(Arc<str>, Timestamp)>) -> Uses {
        let uses = stored.into_iter().map(|(key, at)| (key, Use { at, is_written: true }));
        Uses { inner: Arc::new(Mutex::new(uses.collect())) }
    }

    /// A key, which is good, was shown.
    pub fn used(&self, key: &Arc<str>, now: Timestamp) {
        let mut uses = self.lock();
        let has_room = uses.len() < USES_MAX;
        match uses.get_mut(key) {
            Some(known) if now.since(known.at) < SEEN => {}
            Some(known) => *known = Use { at: now, is_written: false },
            None if has_room => {
                uses.insert(key.clone(), Use { at: now, is_written: false });
            }
            None => {}
        }
    }

    /// When a key was last used, to a minute.
    #[must_use]
    pub fn last(&self, key: &str) -> Option<Timestamp> {
        self.lock().get(key).map(|known| known.at)
    }

    /// What is to be written.
    pub(super) fn unwritten(&self) -> Vec<(Arc<str>, Timestamp)> {
        let mut uses = self.lock();
        let unwritten = uses.iter_mut().filter(|(_, it)| !it.is_written);
        unwritten
            .map(|(key, known)| {
                known.is_written = true;
                (key.clone(), known.at)
            })
            .collect()
    }

    pub(super) fn not_written(&self, keys: &[(Arc<str>, Timestamp)]) {
        let mut uses = self.lock();
        for (key, _) in keys {
            if let Some(known) = uses.get_mut(key) {
                known.is_written = false;
            }
        }
    }

    /// A panic elsewhere while it was locked leaves it valid.
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Use>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
