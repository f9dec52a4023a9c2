//! The limits that hold now, for everybody who comes in: one owner, which a reload may give others.
//!
//! A connection that was told its limits keeps them; a request, a batch of a broker, and the rates of
//! everybody go by what holds at that moment.

use super::rates::Rates;
use crate::config::LimitsConfig;
use crate::wire;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// While clocks are looked at first, nothing is too far ahead.
const AHEAD_MAX: Duration = Duration::from_secs(200 * 366 * 86_400);

/// The limits in force. Cheap to clone: all clones are the same.
#[derive(Clone)]
pub struct Caps(Arc<watch::Sender<Arc<InForce>>>);

/// Limits, and what is made of them.
pub(super) struct InForce {
    pub limits: Arc<LimitsConfig>,
    /// The limits of messages whose times are judged later.
    pub relaxed: wire::Limits,
    pub rates: Arc<Rates>,
}

/// What is in force, for who asks for every batch: that looks at a number, and takes a lock only after
/// a change.
pub(super) struct Followed {
    changes: watch::Receiver<Arc<InForce>>,
    seen: Arc<InForce>,
}

impl Caps {
    /// With these limits.
    #[must_use]
    pub fn new(limits: LimitsConfig) -> Caps {
        let rates = Arc::new(Rates::new(&limits));
        Caps(Arc::new(watch::Sender::new(Arc::new(InForce::new(limits, rates)))))
    }

    /// These hold from now on. With other rates everybody has a full burst again.
    pub fn set(&self, limits: LimitsConfig) {
        self.0.send_modify(|in_force| {
            let before = &in_force.limits;
            let same_rates = before.batches_per_second == limits.batches_per_second
                && before.samples_per_second == limits.samples_per_second;
            let rates =
                if same_rates { in_force.rates.clone() } else { Arc::new(Rates::new(&limits)) };
            *in_force = Arc::new(InForce::new(limits, rates));
        });
    }

    pub(super) fn now(&self) -> Arc<InForce> {
        self.0.borrow().clone()
    }

    pub(super) fn follow(&self) -> Followed {
        let mut changes = self.0.subscribe();
        let seen = changes.borrow_and_update().clone();
        Followed { changes, seen }
    }
}

impl InForce {
    fn new(limits: LimitsConfig, rates: Arc<Rates>) -> InForce {
        let wire = &limits.wire;
        let relaxed = wire::Limits { max_ahead: AHEAD_MAX.max(wire.max_ahead), ..wire.clone() };
        InForce { relaxed, rates, limits: Arc::new(limits) }
    }
}

impl Followed {
    /// Now.
    pub fn now(&mut self) -> &Arc<InForce> {
        if self.changes.has_changed().unwrap_or(false) {
            self.seen = self.changes.borrow_and_update().clone();
        }
        &self.seen
    }
}
