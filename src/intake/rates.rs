//! Batches and samples per second, per client (GCRA, by `governor`).

use crate::config::LimitsConfig;
use crate::model::ClientId;
use foldhash::fast::RandomState;
use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use std::num::NonZeroU32;
use std::time::Duration;

/// How many seconds' worth may come at once.
const BURST_SECONDS: u32 = 10;

type Limiter = RateLimiter<ClientId, HashMapStateStore<ClientId, RandomState>, DefaultClock>;

/// The rate limits of all clients.
pub(super) struct Rates {
    batches: Limiter,
    samples: Limiter,
    clock: DefaultClock,
}

impl Rates {
    pub fn new(limits: &LimitsConfig) -> Rates {
        Rates {
            batches: limiter(limits.batches_per_second),
            samples: limiter(limits.samples_per_second),
            clock: DefaultClock::default(),
        }
    }

    /// Counts a batch of that many samples; else when to come again.
    pub fn check(&self, client: &ClientId, samples: usize) -> Result<(), Duration> {
        self.batches.check_key(client).map_err(|not| not.wait_time_from(self.clock.now()))?;
        let Some(samples) = u32::try_from(samples).ok().and_then(NonZeroU32::new) else {
            return Ok(());
        };
        match self.samples.check_key_n(client, samples) {
            // A batch larger than the whole burst passes alone: it could never come otherwise.
            Ok(Ok(())) | Err(_) => Ok(()),
            Ok(Err(not)) => Err(not.wait_time_from(self.clock.now())),
        }
    }

    /// Forgets clients that were quiet long enough to have their full burst again.
    pub fn forget_quiet(&self) {
        self.batches.retain_recent();
        self.samples.retain_recent();
    }
}

fn limiter(per_second: u32) -> Limiter {
    RateLimiter::hashmap_with_hasher(quota(per_second), RandomState::default())
}

fn quota(per_second: u32) -> Quota {
    let rate = NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN);
    let burst = per_second.saturating_mul(BURST_SECONDS);
    Quota::per_second(rate).allow_burst(NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN))
}
