//! Messages over a device's socket: what one that came means, and how one is sent. Either may be the
//! end of the connection ([`End`]).

use crate::wire::{COMPRESS_BYTES_MIN, CloseCode, Compression, Downstream, compress};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{self, Error, Message};

/// A client that takes nothing for this long is gone.
pub(super) const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a conversation ends.
#[derive(Debug)]
pub(super) enum End {
    /// The client is gone, or closed.
    Gone,
    /// We close.
    Close(CloseCode, String),
}

pub(super) fn close<T>(code: CloseCode, message: impl Into<String>) -> Result<T, End> {
    Err(End::Close(code, message.into()))
}

pub(super) fn restart() -> End {
    End::Close(CloseCode::Restart, "the daemon stops or restarts; reconnect in a moment".to_owned())
}

pub(super) fn unwelcome() -> End {
    let message = "your token or certificate is no longer good; reconnect with another";
    End::Close(CloseCode::Policy, message.to_owned())
}

/// The next binary message; answers to pings and the like pass by.
pub(super) async fn next_binary<S>(socket: &mut WebSocketStream<S>) -> Result<Bytes, End>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        if let Some(message) = binary(socket.next().await)? {
            return Ok(message);
        }
    }
}

/// What a message means: a binary one, something of the protocol itself (`None`), or the end.
pub(super) fn binary(message: Option<Result<Message, Error>>) -> Result<Option<Bytes>, End> {
    match message {
        Some(Ok(Message::Binary(bytes))) => Ok(Some(bytes)),
        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(None),
        Some(Ok(Message::Text(_))) => {
            close(CloseCode::UnsupportedData, "a text message came; only binary ones are read")
        }
        Some(Ok(Message::Close(_))) | None => Err(End::Gone),
        Some(Err(Error::Capacity(problem))) => close(CloseCode::MessageTooBig, problem.to_string()),
        Some(Err(Error::Protocol(
            tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
        ))) => Err(End::Gone),
        Some(Err(Error::Protocol(problem))) => close(CloseCode::ProtocolError, problem.to_string()),
        Some(Err(Error::Utf8(problem))) => close(CloseCode::BadPayload, problem),
        Some(Err(_)) => Err(End::Gone),
    }
}

/// The bytes of a message, compressed if the client asked for it and it pays.
pub(super) fn packed(message: &Downstream, accept: Compression) -> Bytes {
    let plain = message.encode();
    if accept == Compression::None || plain.len() < COMPRESS_BYTES_MIN {
        return plain.into();
    }
    compress(accept, 1, &plain).into()
}

pub(super) async fn send<S>(socket: &mut WebSocketStream<S>, message: Bytes) -> Result<(), End>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    sent(timeout(SEND_TIMEOUT, socket.send(Message::Binary(message))).await)
}

pub(super) async fn flush<S>(socket: &mut WebSocketStream<S>) -> Result<(), End>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    sent(timeout(SEND_TIMEOUT, socket.flush()).await)
}

pub(super) fn sent(
    sent: Result<Result<(), Error>, tokio::time::error::Elapsed>,
) -> Result<(), End> {
    match sent {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(End::Gone),
    }
}
