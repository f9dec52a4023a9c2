//! Server-sent events: a viewer as the body of an answer.

use super::mailbox::Viewer;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A comment is sent after so long a silence, so that a dead connection is noticed by both ends.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Tells EventSource to come back after a second.
const OPENING: Bytes = Bytes::from_static(b"retry: 1000\n\n");
const COMMENT: Bytes = Bytes::from_static(b": keep-alive\n\n");

/// The value of `Content-Type`.
pub const CONTENT_TYPE: &str = "text/event-stream";

/// The events of a viewer. Ends when the viewer does, or at `shutdown`.
pub fn body(
    viewer: Viewer,
    shutdown: CancellationToken,
) -> impl Stream<Item = Bytes> + Send + 'static {
    body_every(viewer, shutdown, KEEP_ALIVE)
}

fn body_every(
    viewer: Viewer,
    shutdown: CancellationToken,
    keep_alive: Duration,
) -> impl Stream<Item = Bytes> + Send + 'static {
    let events = stream::unfold(viewer, move |mut viewer| async move {
        match tokio::time::timeout(keep_alive, viewer.next()).await {
            Ok(Some(frame)) => Some((frame.sse(), viewer)),
            Ok(None) => None,
            Err(_silence) => Some((COMMENT, viewer)),
        }
    });
    stream::once(async { OPENING }).chain(events.take_until(shutdown.cancelled_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::frame::{Frame, FrameKind};
    use crate::live::mailbox::{End, Mailbox, Transport};
    use std::pin::pin;
    use std::sync::Arc;

    fn viewer() -> (Arc<Mailbox>, Viewer) {
        let mailbox = Arc::new(Mailbox::new(Transport::Sse));
        (mailbox.clone(), Viewer::new(mailbox, None))
    }

    #[tokio::test]
    async fn events_follow_the_opening_and_the_body_ends_with_the_viewer() {
        let (mailbox, viewer) = viewer();
        let mut events = pin!(body(viewer, CancellationToken::new()));
        assert_eq!(events.next().await.unwrap(), OPENING);
        let frame = Arc::new(Frame::new(FrameKind::Status, None, 1, |out| out.push(b'1')));
        mailbox.put_status(frame.clone());
        assert_eq!(events.next().await.unwrap(), frame.sse());
        mailbox.end(End::Shutdown);
        assert_eq!(events.next().await, None);
    }

    #[tokio::test]
    async fn a_silent_body_is_kept_alive_and_ends_at_shutdown() {
        let (_mailbox, viewer) = viewer();
        let shutdown = CancellationToken::new();
        let mut events = pin!(body_every(viewer, shutdown.clone(), Duration::from_millis(1)));
        events.next().await;
        assert_eq!(events.next().await.unwrap(), COMMENT);
        shutdown.cancel();
        assert_eq!(events.next().await, None);
    }
}
