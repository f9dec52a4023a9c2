//! A stream that somebody else can end: of a client whose certificate is revoked while it is connected.

use futures_util::FutureExt;
use futures_util::future::{Fuse, FusedFuture};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, DropGuard};

/// For a goodbye: a WebSocket is closed with a word, which is answered or not.
const GRACE: Duration = Duration::from_secs(3);

/// A stream, and what ends it.
pub(super) struct Severable<S> {
    stream: S,
    fallen: Fuse<Sword>,
    /// Tells whoever wants to know that the stream is gone.
    _gone: Option<DropGuard>,
}

type Sword = Pin<Box<dyn Future<Output = ()> + Send>>;

impl<S> Severable<S> {
    /// One that ends soon after `ended` is cancelled.
    pub fn new(stream: S, ended: CancellationToken) -> Severable<S> {
        let sword: Sword = Box::pin(async move {
            ended.cancelled_owned().await;
            tokio::time::sleep(GRACE).await;
        });
        Severable { stream, fallen: sword.fuse(), _gone: None }
    }

    /// Cancels `gone` when it is dropped.
    pub fn telling(self, gone: CancellationToken) -> Severable<S> {
        Severable { _gone: Some(gone.drop_guard()), ..self }
    }

    fn look_up(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.fallen.is_terminated() || self.fallen.poll_unpin(context).is_ready() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Severable<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.look_up(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

/// What waits to be written may be; a stream is read all the time, and ends there.
impl<S: AsyncWrite + Unpin> AsyncWrite for Severable<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
