//! A stream that somebody else can end: of a client whose certificate is revoked while it is connected.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};

/// A stream, and what ends it.
pub(super) struct Severable<S> {
    stream: S,
    sword: Option<Sword>,
}

struct Sword {
    fallen: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Tells whoever holds the sword that the stream is gone.
    _gone: DropGuard,
}

/// The other end of the sword.
pub(super) struct Above {
    pub severed: CancellationToken,
    /// Cancelled when the stream is dropped.
    pub gone: CancellationToken,
}

impl<S> Severable<S> {
    /// One that nobody ends.
    pub fn never(stream: S) -> Severable<S> {
        Severable { stream, sword: None }
    }

    /// One that ends when `severed` is cancelled.
    pub fn new(stream: S) -> (Severable<S>, Above) {
        let (severed, gone) = (CancellationToken::new(), CancellationToken::new());
        let sword = Sword {
            fallen: Box::pin(severed.clone().cancelled_owned()),
            _gone: gone.clone().drop_guard(),
        };
        (Severable { stream, sword: Some(sword) }, Above { severed, gone })
    }

    fn look_up(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let Some(sword) = &mut self.sword else { return Ok(()) };
        match sword.fallen.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(()),
        }
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
