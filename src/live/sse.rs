//! Server-sent events: a viewer as the body of an answer.

use super::frame::Frame;
use super::gzip::Gzip;
use super::mailbox::Viewer;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A comment is sent after so long a silence, so that a dead connection is noticed by both ends.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Tells EventSource to come back after a second.
const OPENING: Bytes = Bytes::from_static(b"retry: 1000\n\n");
const COMMENT: Bytes = Bytes::from_static(b": keep-alive\n\n");

/// The value of `Content-Type`.
pub const CONTENT_TYPE: &str = "text/event-stream";

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Plain,
    /// `Content-Encoding: gzip`. What viewers share is deflated once for all of them.
    Gzip,
}

/// The events of a viewer. Ends when the viewer does, or at `shutdown`.
pub fn body(
    viewer: Viewer,
    encoding: Encoding,
    shutdown: CancellationToken,
) -> impl Stream<Item = Bytes> + Send + 'static {
    body_every(viewer, encoding, shutdown, KEEP_ALIVE)
}

fn body_every(
    viewer: Viewer,
    encoding: Encoding,
    shutdown: CancellationToken,
    keep_alive: Duration,
) -> impl Stream<Item = Bytes> + Send + 'static {
    let events = stream::unfold(viewer, move |mut viewer| async move {
        match tokio::time::timeout(keep_alive, viewer.next()).await {
            Ok(Some(frame)) => Some((Event::Frame(frame), viewer)),
            Ok(None) => None,
            Err(_silence) => Some((Event::Silence, viewer)),
        }
    });
    let events = stream::once(async { Event::Begin })
        .chain(events.take_until(shutdown.cancelled_owned()))
        .chain(stream::once(async { Event::End }));
    let mut writer = Writer { gzip: None, encoding };
    events
        .map(move |event| writer.write(&event))
        .filter(|bytes| std::future::ready(!bytes.is_empty()))
}

enum Event {
    Begin,
    Frame(Arc<Frame>),
    Silence,
    End,
}

struct Writer {
    encoding: Encoding,
    gzip: Option<Gzip>,
}

impl Writer {
    fn write(&mut self, event: &Event) -> Bytes {
        match self.encoding {
            Encoding::Plain => match event {
                Event::Begin => OPENING,
                Event::Frame(frame) => frame.sse(),
                Event::Silence => COMMENT,
                Event::End => Bytes::new(),
            },
            Encoding::Gzip => {
                let mut out = Vec::new();
                let gzip = self.gzip.get_or_insert_with(|| Gzip::begin(&mut out));
                match event {
                    Event::Begin => gzip.stored(&OPENING, &mut out),
                    Event::Frame(frame) => frame.gzip(gzip, &mut out),
                    Event::Silence => gzip.stored(&COMMENT, &mut out),
                    Event::End => gzip.finish(&mut out),
                }
                out.into()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::frame::FrameKind;
    use crate::live::mailbox::{End, Mailbox, Transport};
    use std::io::Write;
    use std::pin::pin;

    fn viewer() -> (Arc<Mailbox>, Viewer) {
        let mailbox = Arc::new(Mailbox::new(Transport::Sse));
        (mailbox.clone(), Viewer::new(mailbox, None))
    }

    #[tokio::test]
    async fn events_follow_the_opening_and_the_body_ends_with_the_viewer() {
        let (mailbox, viewer) = viewer();
        let mut events = pin!(body(viewer, Encoding::Plain, CancellationToken::new()));
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
        let mut events =
            pin!(body_every(viewer, Encoding::Plain, shutdown.clone(), Duration::from_millis(1)));
        events.next().await;
        assert_eq!(events.next().await.unwrap(), COMMENT);
        shutdown.cancel();
        assert_eq!(events.next().await, None);
    }

    #[tokio::test]
    async fn a_body_in_gzip_reads_as_the_plain_one_and_each_event_can_be_read_at_once() {
        let (mailbox, viewer) = viewer();
        let frame = |n: i64| Arc::new(Frame::new(FrameKind::Status, None, n, |out| out.push(b'1')));
        let mut events = pin!(body(viewer, Encoding::Gzip, CancellationToken::new()));
        let mut decoder = flate2::write::GzDecoder::new(Vec::new());
        let mut plain = OPENING.to_vec();
        decoder.write_all(&events.next().await.unwrap()).unwrap();
        for n in 0..3 {
            mailbox.put_status(frame(n));
            plain.extend_from_slice(&frame(n).sse());
            decoder.write_all(&events.next().await.unwrap()).unwrap();
            decoder.flush().unwrap();
            assert_eq!(decoder.get_ref(), &plain);
        }
        mailbox.end(End::Shutdown);
        decoder.write_all(&events.next().await.unwrap()).unwrap();
        assert_eq!(decoder.finish().unwrap(), plain);
        assert_eq!(events.next().await, None);
    }
}
