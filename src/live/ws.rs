//! WebSocket: several subscriptions over one connection (`docs/http.md`). What viewers say are JSON text
//! messages; frames are, too, or for programs binary messages of protobuf.

use super::frame::{Frame, FrameKind};
use super::handle::{Live, SubscribeError};
use super::mailbox::{End, Transport, Viewer};
use super::subscription::Form;
use super::ws_messages::{Request, echo, error, pong};
use crate::model::Reach;
use futures_util::{SinkExt, StreamExt};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_util::sync::CancellationToken;

/// The subprotocols, and how frames are written in each. Who asks for none gets the first.
pub const PROTOCOLS: [(&str, Form); 2] =
    [("tidegate.live.v1", Form::Json), ("tidegate.live.v1+proto", Form::Protobuf)];

/// The close code for a viewer who did not read frames that must not be lost.
pub const TOO_SLOW: u16 = 4008;

/// The most subscriptions of one connection.
const SUBSCRIPTIONS_MAX: usize = 32;

/// How long is waited for what.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// For the socket to take a message.
    send: Duration,
    /// Between pings.
    ping: Duration,
    /// For any sign of life after a ping.
    pong: Duration,
}

/// A viewer behind a slow network is slow, not gone: what the kernel holds for it takes this long to arrive,
/// and its pong comes after that. Who is gone is found by TCP (`TCP_USER_TIMEOUT`).
const PATIENCE: Patience = Patience {
    send: Duration::from_secs(60),
    ping: Duration::from_secs(25),
    pong: Duration::from_secs(120),
};

/// Why a connection ended before its time. Worth a line at debug level.
#[derive(Debug, Error)]
pub enum WsError {
    /// It took no message for too long.
    #[error("the viewer took no message for {0:?}")]
    SendTimeout(Duration),
    /// It gave no sign of life after a ping.
    #[error("the viewer did not answer a ping for {0:?}")]
    PongTimeout(Duration),
    /// The connection broke.
    #[error("the connection broke")]
    Socket(#[from] tungstenite::Error),
}

/// What a viewer may see, and for how long.
#[derive(Debug, Clone)]
pub struct Guest {
    /// These devices.
    pub reach: Reach,
    /// Until this is cancelled.
    pub ended: CancellationToken,
}

/// Serves a viewer until it goes, until it may no longer (code 1008), or until `shutdown`, when it is
/// sent away with code 1012.
///
/// # Errors
/// [`WsError`], if it ended before its time; its subscriptions are ended in any case.
pub async fn serve<S>(
    socket: WebSocketStream<S>,
    live: Live,
    form: Form,
    guest: Guest,
    shutdown: CancellationToken,
) -> Result<(), WsError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    serve_with(socket, live, form, guest, shutdown, PATIENCE).await
}

async fn serve_with<S>(
    socket: WebSocketStream<S>,
    live: Live,
    form: Form,
    guest: Guest,
    shutdown: CancellationToken,
    patience: Patience,
) -> Result<(), WsError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut connection =
        Connection { socket, live, form, guest, seats: Seats::default(), patience };
    loop {
        let event = connection.event(&shutdown).await;
        if !connection.handle(event).await? {
            return Ok(());
        }
    }
}

/// What can happen.
enum Event {
    Message(Option<Result<Message, tungstenite::Error>>),
    Frame(u32, Option<Arc<Frame>>),
    PingDue,
    PongOverdue,
    Unwelcome,
    Shutdown,
}

struct Connection<S> {
    socket: WebSocketStream<S>,
    live: Live,
    form: Form,
    guest: Guest,
    seats: Seats,
    patience: Patience,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Waits for what happens next. Every branch is cancel-safe: nothing is taken before it is returned.
    async fn event(&mut self, shutdown: &CancellationToken) -> Event {
        let Seats { heard_at, pinged_at, .. } = self.seats;
        let deadline = match pinged_at {
            Some(at) => at + self.patience.pong,
            None => heard_at + self.patience.ping,
        };
        tokio::select! {
            biased;
            () = shutdown.cancelled() => Event::Shutdown,
            () = self.guest.ended.cancelled() => Event::Unwelcome,
            message = self.socket.next() => Event::Message(message),
            (sub, frame) = self.seats.next_frame() => Event::Frame(sub, frame),
            () = tokio::time::sleep_until(deadline) => match pinged_at {
                Some(_) => Event::PongOverdue,
                None => Event::PingDue,
            },
        }
    }

    /// Does what the event asks for; tells whether to go on.
    async fn handle(&mut self, event: Event) -> Result<bool, WsError> {
        match event {
            Event::Message(None) => return Ok(false),
            Event::Message(Some(message)) => return self.message(message).await,
            Event::Frame(sub, Some(frame)) => self.frame(sub, &frame).await?,
            Event::Frame(sub, None) => return self.ended(sub).await,
            Event::PingDue => {
                self.seats.pinged_at = Some(Instant::now());
                self.send(Message::Ping(bytes::Bytes::new())).await?;
            }
            Event::PongOverdue => return Err(WsError::PongTimeout(self.patience.pong)),
            Event::Unwelcome => {
                self.close(CloseCode::Policy, "your token, login or certificate is no longer good")
                    .await?;
                return Ok(false);
            }
            Event::Shutdown => {
                self.close(CloseCode::Restart, "the daemon stops").await?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn message(
        &mut self,
        message: Result<Message, tungstenite::Error>,
    ) -> Result<bool, WsError> {
        self.seats.heard_at = Instant::now();
        self.seats.pinged_at = None;
        match message {
            Ok(Message::Text(text)) => self.request(&text).await?,
            Ok(Message::Binary(_)) => {
                self.close(CloseCode::Unsupported, "only text messages are read").await?;
                return Ok(false);
            }
            // The close handshake is finished by reading on.
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_)) => {}
            Err(tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed) => {
                return Ok(false);
            }
            Err(tungstenite::Error::Capacity(_)) => {
                self.close(CloseCode::Size, "the message is too long").await?;
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }

    async fn request(&mut self, text: &str) -> Result<(), WsError> {
        match Request::parse(text, self.live.windows()) {
            Err(wrong) => self.text(error(wrong.sub(), &wrong.to_string())).await,
            Ok(Request::Ping) => self.text(pong()).await,
            Ok(Request::Echo { data }) => self.text(echo(&data)).await,
            Ok(Request::Unsubscribe { sub }) => {
                if self.seats.remove(sub) {
                    return Ok(());
                }
                self.text(error(Some(sub), "there is no such subscription")).await
            }
            Ok(Request::Subscribe { sub, .. }) if !self.seats.has_room(sub) => {
                let message =
                    format!("{SUBSCRIPTIONS_MAX} subscriptions are open, no more are taken");
                self.text(error(Some(sub), &message)).await
            }
            Ok(Request::Subscribe { sub, subscription, cursor }) => {
                // A subscription of the same number is replaced.
                self.seats.remove(sub);
                let subscription = subscription.written_in(self.form).within(&self.guest.reach);
                match self.live.subscribe(subscription, cursor, Transport::Ws).await {
                    Ok(viewer) => self.seats.viewers.push((sub, viewer)),
                    Err(
                        wrong @ (SubscribeError::TooManyViewers { .. } | SubscribeError::Ended),
                    ) => {
                        self.text(error(Some(sub), &wrong.to_string())).await?;
                    }
                }
                Ok(())
            }
        }
    }

    async fn frame(&mut self, sub: u32, frame: &Arc<Frame>) -> Result<(), WsError> {
        if frame.kind() != FrameKind::Status {
            return self.send(frame.message(Some(sub))).await;
        }
        // It comes once for each subscription, and is about none of them.
        let known = self.seats.status.replace(frame.clone());
        if known.is_some_and(|known| Arc::ptr_eq(&known, frame)) {
            return Ok(());
        }
        self.send(frame.message(None)).await
    }

    async fn ended(&mut self, sub: u32) -> Result<bool, WsError> {
        match self.seats.end(sub) {
            Some(End::ControlOverflow) => {
                let message = "too slow: frames of devices or alerts would be lost";
                self.text(error(Some(sub), message)).await?;
                self.close(TOO_SLOW.into(), message).await?;
                Ok(false)
            }
            Some(End::Shutdown) | None => {
                self.close(CloseCode::Restart, "the daemon stops").await?;
                Ok(false)
            }
        }
    }

    async fn text(&mut self, text: String) -> Result<(), WsError> {
        self.send(Message::Text(text.into())).await
    }

    async fn close(&mut self, code: CloseCode, reason: &'static str) -> Result<(), WsError> {
        self.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await
    }

    async fn send(&mut self, message: Message) -> Result<(), WsError> {
        match tokio::time::timeout(self.patience.send, self.socket.send(message)).await {
            Ok(Err(tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed)) => {
                Ok(())
            }
            Ok(sent) => Ok(sent?),
            Err(_late) => Err(WsError::SendTimeout(self.patience.send)),
        }
    }
}

/// The subscriptions of a connection, and when it was heard of.
struct Seats {
    viewers: Vec<(u32, Viewer)>,
    /// Whom to ask first, so that a busy subscription does not starve the others.
    turn: usize,
    /// The status that was sent last.
    status: Option<Arc<Frame>>,
    heard_at: Instant,
    pinged_at: Option<Instant>,
}

impl Default for Seats {
    fn default() -> Seats {
        let heard_at = Instant::now();
        Seats { viewers: Vec::new(), turn: 0, status: None, heard_at, pinged_at: None }
    }
}

impl Seats {
    fn has_room(&self, sub: u32) -> bool {
        self.viewers.len() < SUBSCRIPTIONS_MAX
            || self.viewers.iter().any(|(known, _)| *known == sub)
    }

    fn remove(&mut self, sub: u32) -> bool {
        let before = self.viewers.len();
        self.viewers.retain(|(known, _)| *known != sub);
        self.viewers.len() < before
    }

    fn end(&self, sub: u32) -> Option<End> {
        self.viewers.iter().find(|(known, _)| *known == sub)?.1.end()
    }

    /// The next frame of any subscription, with its number. Pending for ever if there are none.
    async fn next_frame(&mut self) -> (u32, Option<Arc<Frame>>) {
        std::future::poll_fn(|context| self.poll_frame(context)).await
    }

    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<(u32, Option<Arc<Frame>>)> {
        let count = self.viewers.len();
        for step in 0..count {
            let at = (self.turn + step) % count;
            let (sub, viewer) = &mut self.viewers[at];
            if let Poll::Ready(frame) = viewer.poll_frame(context) {
                self.turn = at + 1;
                return Poll::Ready((*sub, frame));
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
#[path = "ws_tests.rs"]
mod tests;
