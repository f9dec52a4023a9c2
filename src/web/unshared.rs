//! A stream as warp wants its bodies: `Sync`, which few streams are.

use futures_util::{Stream, StreamExt};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

/// A stream that one connection polls: the lock is never contended.
pub(super) struct Unshared<S>(Mutex<Pin<Box<S>>>);

impl<S> Unshared<S> {
    pub fn new(stream: S) -> Unshared<S> {
        Unshared(Mutex::new(Box::pin(stream)))
    }
}

impl<S: Stream> Stream for Unshared<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stream.poll_next_unpin(context)
    }
}
