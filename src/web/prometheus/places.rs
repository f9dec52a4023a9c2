//! How many questions are answered at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Questions at once: what each holds is in `config/memory.rs`.
pub const PLACES: usize = 3;
/// Of those, of one caller: the last is for others.
const PLACES_EACH: usize = 2;
/// Callers that are remembered before those who have left are forgotten.
const REMEMBERED: usize = 64;

/// Turns, in the order of asking.
pub(super) struct Places {
    all: Arc<Semaphore>,
    each: Mutex<HashMap<String, Weak<Semaphore>>>,
}

impl Default for Places {
    fn default() -> Places {
        Places { all: Arc::new(Semaphore::new(PLACES)), each: Mutex::default() }
    }
}

/// A turn; over when it is dropped.
pub(super) struct Place {
    _own: (Option<OwnedSemaphorePermit>, Arc<Semaphore>),
    _common: Option<OwnedSemaphorePermit>,
}

impl Places {
    /// Waits for a turn of this caller's, then for one of all.
    pub async fn take(&self, caller: &str) -> Place {
        let own = self.of(caller);
        // They are never closed: there is always a permit in the end.
        let first = own.clone().acquire_owned().await.ok();
        let common = self.all.clone().acquire_owned().await.ok();
        Place { _own: (first, own), _common: common }
    }

    fn of(&self, caller: &str) -> Arc<Semaphore> {
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        if each.len() >= REMEMBERED {
            each.retain(|_, semaphore| semaphore.strong_count() > 0);
        }
        let known = each.get(caller).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let fresh = Arc::new(Semaphore::new(PLACES_EACH));
            each.insert(caller.to_owned(), Arc::downgrade(&fresh));
            fresh
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn nobody_takes_all_places() {
        let places = Places::default();
        let held = [places.take("ana").await, places.take("ana").await];
        assert!(places.take("ana").now_or_never().is_none());
        let eva = places.take("eva").now_or_never();
        assert!(eva.is_some() && places.take("eva").now_or_never().is_none());
        drop(held);
        assert!(places.take("ana").now_or_never().is_some());
    }

    #[tokio::test]
    async fn who_has_left_is_forgotten() {
        let places = Places::default();
        for number in 0..1000 {
            drop(places.take(&number.to_string()).await);
        }
        assert!(places.each.lock().unwrap().len() <= REMEMBERED);
    }
}
