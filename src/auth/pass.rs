//! A caller's right to a connection that lasts.

use super::{Caller, Door};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Held by a connection for as long as it is open; [`Pass::ended`] says when it must close.
#[derive(Debug)]
pub struct Pass {
    pub(super) caller: Arc<Caller>,
    pub(super) ended: CancellationToken,
    pub(super) number: u64,
    pub(super) door: Door,
}

impl Pass {
    /// Whose it is.
    #[must_use]
    pub fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    /// Cancelled when the caller may no longer: the key was revoked, the session ended, the time is over.
    #[must_use]
    pub fn ended(&self) -> &CancellationToken {
        &self.ended
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.door.returned(self.number);
    }
}
