//! The sinks that run now: they may come and go while others look at them.

use super::Influx;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A list that changes. Cheap to clone: all clones are the same.
#[derive(Clone, Default)]
pub struct Sinks(Arc<Mutex<Arc<[Influx]>>>);

impl Sinks {
    /// All of them.
    #[must_use]
    pub fn all(&self) -> Arc<[Influx]> {
        self.lock().clone()
    }

    /// One by its name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Influx> {
        self.all().iter().find(|sink| sink.name() == name).cloned()
    }

    /// These from now on.
    pub fn set(&self, sinks: Vec<Influx>) {
        *self.lock() = sinks.into();
    }

    /// Never held for longer than that: a panic elsewhere does not matter.
    fn lock(&self) -> MutexGuard<'_, Arc<[Influx]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
