//! Refusals for good in the log, where an administrator looks for them by device or client.
//!
//! What may come again later is pressure, which has lines of its own. One line a second at most, of all
//! clients together: a client that sends rubbish must not fill the journal. The others are counted.

use super::refusal::{Refusal, Retry};
use crate::clock;
use crate::model::{ClientId, Protocol};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two lines.
const INTERVAL: Duration = Duration::from_secs(1);

/// When the last line was written, and how many were not since.
#[derive(Debug, Default)]
pub(super) struct RefusedLog(Mutex<(Option<Instant>, u64)>);

impl RefusedLog {
    /// Says that something of the client was refused, if it was for good.
    pub fn note(&self, protocol: Protocol, client: &ClientId, refusal: &Refusal) {
        if refusal.retry != Retry::Never {
            return;
        }
        let now = clock::monotonic();
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if said.0.is_some_and(|last| now.duration_since(last) < INTERVAL) {
            said.1 += 1;
            return;
        }
        let others = std::mem::replace(&mut *said, (Some(now), 0)).1;
        drop(said);
        log::warn!(
            event = "client-refused", client:% = client, device:% = client,
            refusal = refusal.code.name(), protocol = protocol.name(), others;
            "a batch was refused for good: {}", refusal.message
        );
    }
}
