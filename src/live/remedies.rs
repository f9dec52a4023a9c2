//! What is done about clocks that are off, before readings enter: told by the hub, which judges the
//! clocks, to who takes readings in.

use crate::aggregate::ClockPolicy;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// What is done with a device's readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Nothing yet: its clock is watched.
    Watch,
    /// Their times are moved back by so many nanoseconds.
    Shift(i64),
    /// They are refused for later, because the clock is so far ahead.
    Refuse(i64),
}

/// What is done, device by device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remedies {
    /// With devices that are not named.
    pub policy: ClockPolicy,
    pub(super) devices: HashMap<Arc<str>, Remedy>,
}

impl Remedies {
    /// What is done with a device's readings; `None` = they are taken as they are.
    #[must_use]
    pub fn of(&self, device: &str) -> Option<Remedy> {
        let watched = (self.policy != ClockPolicy::Accept).then_some(Remedy::Watch);
        self.devices.get(device).copied().or(watched)
    }

    /// Whether all readings are taken as they are.
    pub(super) fn is_nothing(&self) -> bool {
        self.policy == ClockPolicy::Accept && self.devices.is_empty()
    }
}

/// The remedies in force. Looking whether there are any costs next to nothing.
#[derive(Debug, Default)]
pub(super) struct InForce {
    any: AtomicBool,
    remedies: RwLock<Arc<Remedies>>,
}

impl InForce {
    pub fn set(&self, remedies: Remedies) {
        let any = !remedies.is_nothing();
        *self.remedies.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(remedies);
        self.any.store(any, Ordering::Release);
    }

    pub fn get(&self) -> Option<Arc<Remedies>> {
        let any = self.any.load(Ordering::Acquire);
        any.then(|| self.remedies.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}
