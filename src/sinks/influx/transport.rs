//! The way to a store, as narrow as it can be: one body goes, one reply comes.
//!
//! [`Http`] is the way over the network; a store in memory or another protocol takes its place by the
//! one method of [`Transport`].

use super::answers::{Answer, Unreached};
use bytes::Bytes;
use std::future::Future;

#[cfg(feature = "influx")]
pub use super::http::{Http, HttpError};

/// Sends one gzip'd body of line protocol.
pub trait Transport: Send + Sync + 'static {
    /// Sends `gzipped` and waits for the reply, with a timeout of its own.
    ///
    /// Cancel-safe: a request that is dropped may have been stored or not, as one that timed out.
    ///
    /// # Errors
    /// Why there is no reply; the same body may be sent again.
    fn write(&self, gzipped: Bytes) -> impl Future<Output = Result<Reply, Unreached>> + Send;
}

/// What a store answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The header `Retry-After`.
    pub retry_after: Option<String>,
    /// The body, at most 256 KiB of it.
    pub body: Vec<u8>,
}

impl Reply {
    /// As [`super::answers::answered`] wants it.
    #[must_use]
    pub fn answer(&self) -> Answer<'_> {
        Answer { status: self.status, body: &self.body, retry_after: self.retry_after.as_deref() }
    }
}
