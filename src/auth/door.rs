//! The door: asks everybody who they are, and knows who is inside.

use super::{Caller, Pass};
use crate::model::Timestamp;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

/// What a request shows of who it is from.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// A key or JWT: `Authorization: Bearer`, or `access_token` of a stream's address.
    pub token: Option<&'a str>,
    /// A browser's session cookie.
    pub cookie: Option<&'a str>,
    /// The name in the client certificate, which TLS has verified.
    pub certificate: Option<&'a str>,
    /// Where it comes from.
    pub address: IpAddr,
    /// It came through a proxy that says so.
    pub is_forwarded: bool,
}

/// Why somebody is not let in. For them to mend, or for the administrator.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Denied {
    /// Nothing was shown.
    #[error("a token is asked for here: a header `Authorization: Bearer …`, or log in")]
    NothingShown,
    /// What was shown is not, or no longer, good.
    #[error("{0}")]
    NotGood(&'static str),
    /// Too much that was not good came from this address.
    #[error("too many wrong tokens came from this address; come back later")]
    TooManyFailures {
        /// When to.
        retry_after: Duration,
    },
}

/// A handle to the door. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Door {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    inside: Mutex<Inside>,
}

/// Whose connections last; as many as there may be connections.
#[derive(Debug, Default)]
struct Inside {
    next: u64,
    passes: HashMap<u64, (Arc<Caller>, CancellationToken)>,
}

impl Door {
    /// A door that lets everybody in.
    #[must_use]
    pub fn open_to_all() -> Door {
        Door { inner: Arc::default() }
    }

    /// Who that is.
    ///
    /// # Errors
    /// [`Denied`], if they can't be let in.
    pub fn enter(&self, _shown: &Shown<'_>, _now: Timestamp) -> Result<Arc<Caller>, Denied> {
        Ok(Arc::new(Caller::anonymous()))
    }

    /// Lets a caller's connection last until they may no longer.
    #[must_use]
    pub fn pass(&self, caller: Arc<Caller>) -> Pass {
        let ended = CancellationToken::new();
        let mut inside = self.inside();
        let number = inside.next;
        inside.next += 1;
        inside.passes.insert(number, (caller.clone(), ended.clone()));
        drop(inside);
        Pass { caller, ended, number, door: self.clone() }
    }

    pub(super) fn returned(&self, number: u64) {
        self.inside().passes.remove(&number);
    }

    /// A panic elsewhere while it was locked leaves it valid.
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inner.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
