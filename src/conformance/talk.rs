//! The words of a scenario: what the scripted daemon says, and what it waits for.

use super::Fault;
use super::station::{Event, Station};
use super::umpire::Heard;
use crate::clock;
use crate::model::Seq;
use crate::wire::{CloseCode, Credit, Downstream, Limits, RefusalCode, Retry, Welcome};
use futures_util::SinkExt;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

/// Credit that is no obstacle.
pub(super) const PLENTY: Credit = Credit { batches: 1000, bytes: 1 << 20 };
/// The first wait before coming back, without its random half.
const BACKOFF_MIN: Duration = Duration::from_millis(250);
/// Timers of clients may be a little early.
const EARLY: Duration = Duration::from_millis(15);

pub(super) fn credit(batches: u32) -> Credit {
    Credit { batches, ..PLENTY }
}

impl Station {
    /// The client's next connection, not yet spoken to. It must not have come too soon.
    pub async fn came(&mut self) -> Result<TcpStream, Fault> {
        let patience = self.comes_within();
        let until = clock::monotonic() + patience;
        loop {
            match self.event(until).await {
                Event::Came(stream) => {
                    self.is_starting = false;
                    self.not_too_soon()?;
                    return Ok(stream);
                }
                Event::Over => return Err(Fault::NotHere(patience)),
                event => self.pass(event)?,
            }
        }
    }

    fn not_too_soon(&mut self) -> Result<(), Fault> {
        let Some(left_at) = self.left_at.take() else { return Ok(()) };
        let after = clock::monotonic() - left_at;
        let failures = self.failures.max(1);
        let least = BACKOFF_MIN * (1 << (failures - 1).min(6));
        match after + EARLY < least {
            true => Err(Fault::TooSoon { after, least, failures }),
            false => Ok(()),
        }
    }

    /// The client's next connection with a WebSocket on it.
    pub async fn upgraded(&mut self) -> Result<(), Fault> {
        let stream = self.came().await?;
        stream.set_nodelay(true).map_err(|error| Fault::Handshake(error.to_string()))?;
        let token = format!("Bearer {}", self.bench.token);
        let mut fault = None;
        #[expect(clippy::result_large_err, reason = "tungstenite's own")]
        let check = |request: &Request, mut response: Response| {
            fault = wrong(request, &token);
            let subprotocol = HeaderValue::from_static("tidegate.v1");
            response.headers_mut().insert("Sec-WebSocket-Protocol", subprotocol);
            Ok(response)
        };
        let upgraded =
            tokio::time::timeout(self.bench.patience, accept_hdr_async(stream, check)).await;
        if let Some(fault) = fault {
            return Err(fault);
        }
        match upgraded {
            Ok(Ok(socket)) => self.socket = Some(socket),
            Ok(Err(error)) => return Err(Fault::Handshake(error.to_string())),
            Err(_) => return Err(Fault::Handshake("it takes too long".to_owned())),
        }
        self.umpire.connected();
        Ok(())
    }

    /// A connection with its Hello.
    pub async fn greeted(&mut self) -> Result<(), Fault> {
        self.upgraded().await?;
        match self.hear("Hello").await? {
            Heard::Hello(_) => Ok(()),
            _ => Err(Fault::NoHello("something else")),
        }
    }

    /// A connection, its Hello, and our Welcome.
    pub async fn welcomed(&mut self, last_seq: Seq, credit: Credit) -> Result<(), Fault> {
        self.greeted().await?;
        self.welcome(last_seq, credit).await
    }

    pub async fn welcome(&mut self, last_seq: Seq, credit: Credit) -> Result<(), Fault> {
        self.failures = 0;
        self.umpire.welcomed(last_seq, credit);
        let server_time = clock::now();
        let limits = Limits::default();
        self.say(&Downstream::Welcome(Welcome { last_seq, credit, limits, server_time })).await
    }

    /// Sends a message. Whether it arrives, what comes back will tell.
    pub async fn say(&mut self, message: &Downstream) -> Result<(), Fault> {
        self.say_bytes(message.encode()).await
    }

    pub async fn say_bytes(&mut self, message: Vec<u8>) -> Result<(), Fault> {
        self.send(Message::Binary(message.into())).await
    }

    pub async fn send(&mut self, message: Message) -> Result<(), Fault> {
        match &mut self.socket {
            Some(socket) => socket.send(message).await.or(Err(Fault::Left)),
            None => Err(Fault::Left),
        }
    }

    pub async fn ack(&mut self, seq: Seq, credit: Credit) -> Result<(), Fault> {
        self.umpire.acked(seq, credit);
        self.say(&Downstream::Ack { seq, credit }).await
    }

    pub async fn throttle(&mut self, credit: Credit, min_interval: Duration) -> Result<(), Fault> {
        self.umpire.granted(credit);
        let min_interval_ms = min_interval.as_millis() as u32;
        let reason = "this is a trial".to_owned();
        self.say(&Downstream::Throttle { credit, min_interval_ms, reason }).await
    }

    pub async fn refuse(&mut self, seq: Seq, retry: Retry) -> Result<(), Fault> {
        let code = match retry {
            Retry::Never => {
                self.umpire.refused_for_good(seq);
                RefusalCode::NotFinite
            }
            Retry::LaterAfterMs(_) => {
                self.umpire.refused_for_now(seq);
                RefusalCode::SpoolFull
            }
        };
        let (message, at) = ("this is a trial".to_owned(), crate::wire::Place::default());
        self.say(&Downstream::Refusal { seq, code, retry, message, at }).await
    }

    /// Waits for the next thing that the client says; messages it may send at any time included.
    pub async fn hear(&mut self, what: &str) -> Result<Heard, Fault> {
        let patience = self.bench.patience;
        let until = clock::monotonic() + patience;
        loop {
            match self.event(until).await {
                Event::Message(message) => {
                    if let Some(heard) = self.heard(message)? {
                        return Ok(heard);
                    }
                }
                Event::Over => {
                    return Err(Fault::Missing { what: what.to_owned(), within: patience });
                }
                event => self.pass(event)?,
            }
        }
    }

    /// So many batches; the umpire looks at each.
    pub async fn batches(&mut self, batches: usize) -> Result<(), Fault> {
        for batch in 0..batches {
            let what = format!("the {}. of {batches} batches that are due", batch + 1);
            self.batch(&what).await?;
        }
        Ok(())
    }

    /// The next batch.
    pub async fn batch(&mut self, what: &str) -> Result<Seq, Fault> {
        loop {
            if let Heard::Batch(seq) = self.hear(what).await? {
                return Ok(seq);
            }
        }
    }

    /// For so long nothing may come that the umpire does not allow; nothing at all is due.
    pub async fn quiet(&mut self, time: Duration) -> Result<(), Fault> {
        let until = clock::monotonic() + time;
        loop {
            match self.event(until).await {
                Event::Over => return Ok(()),
                event => self.pass(event)?,
            }
        }
    }

    /// What nobody waits for at the moment.
    pub fn pass(&mut self, event: Event) -> Result<(), Fault> {
        match event {
            Event::Came(_) | Event::Line | Event::Over => Ok(()),
            Event::Message(message) => self.heard(message).map(drop),
            Event::Lost => Err(Fault::Left),
            Event::Ended(status) => {
                let unsettled = self.umpire.unsettled(self.readings);
                Err(Fault::Ended { status: status.to_string(), unsettled })
            }
        }
    }

    fn heard(&mut self, message: Option<Result<Message, WsError>>) -> Result<Option<Heard>, Fault> {
        match message {
            Some(Ok(Message::Binary(bytes))) => self.umpire.message(&bytes, clock::now()).map(Some),
            Some(Ok(Message::Text(_))) => Err(Fault::Text),
            Some(Ok(Message::Pong(payload))) => Ok(Some(Heard::Pong(payload))),
            Some(Ok(Message::Ping(_) | Message::Frame(_))) => Ok(None),
            Some(Ok(Message::Close(_)) | Err(_)) | None => {
                self.socket = None;
                self.lost = self.umpire.unsettled(self.readings) > 0;
                Ok(None)
            }
        }
    }

    /// Breaks the connection, without a word.
    pub fn cut(&mut self) {
        self.left();
        self.socket = None;
    }

    /// From now on it is away.
    pub fn left(&mut self) {
        self.left_at = Some(clock::monotonic());
        self.failures += 1;
    }

    /// Closes with a code, after a Goodbye.
    pub async fn close(&mut self, code: CloseCode, reconnect_after_ms: u32) -> Result<(), Fault> {
        let message = "this is a trial".to_owned();
        self.left();
        self.say(&Downstream::Goodbye { code, message, reconnect_after_ms }).await?;
        self.close_number(code.number()).await
    }

    /// Closes with the number of a code, without a Goodbye.
    pub async fn close_number(&mut self, number: u16) -> Result<(), Fault> {
        if self.left_at.is_none() {
            self.left();
        }
        let frame = CloseFrame { code: number.into(), reason: "this is a trial".into() };
        let Some(mut socket) = self.socket.take() else { return Err(Fault::Left) };
        // Read to the client's own close frame, so that ours is not lost in a reset. What it still
        // sends is sent in vain.
        if socket.close(Some(frame)).await.is_ok() {
            let rest = async {
                while let Some(Ok(_)) = futures_util::StreamExt::next(&mut socket).await {}
            };
            if tokio::time::timeout(Duration::from_secs(2), rest).await.is_err() {
                log::debug!("the client did not answer the close");
            }
        }
        Ok(())
    }

    /// Sends part of a frame that holds this message, and breaks the connection.
    pub async fn cut_within(&mut self, message: &Downstream) -> Result<(), Fault> {
        let message = message.encode();
        let Some(socket) = self.socket.take() else { return Err(Fault::Left) };
        let mut frame = vec![0x82, message.len() as u8];
        frame.extend(&message[..message.len() / 2]);
        let mut stream = socket.into_inner();
        self.left();
        stream.write_all(&frame).await.or(Err(Fault::Left))
    }

    /// Reads a request for an upgrade, answers with these bytes, and breaks the connection.
    pub async fn cut_handshake(&mut self, answer: &[u8]) -> Result<(), Fault> {
        let mut stream = self.came().await?;
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let read = stream.read_buf(&mut request);
            match tokio::time::timeout(self.bench.patience, read).await {
                Ok(Ok(1..)) => {}
                _ => return Err(Fault::Handshake("the request breaks off".to_owned())),
            }
        }
        self.left();
        stream.write_all(answer).await.or(Err(Fault::Left))?;
        stream.shutdown().await.or(Err(Fault::Left))
    }

    /// All is settled: the client ends well, and sends nothing again before it does.
    pub async fn finish(&mut self) -> Result<(), Fault> {
        let until = clock::monotonic() + self.bench.patience;
        loop {
            match self.event(until).await {
                Event::Ended(status) if status.success() => break,
                Event::Ended(status) => return Err(Fault::Status(status.to_string())),
                Event::Over => return Err(Fault::NotEnded(self.bench.patience)),
                event => self.pass(event)?,
            }
        }
        self.socket = None;
        for seq in 1..=self.readings {
            let line = format!("kept {seq}");
            if !self.has_said(&line) {
                return Err(Fault::NotTold { line, within: Duration::ZERO });
            }
        }
        Ok(())
    }
}

/// What is wrong with the request of a handshake.
fn wrong(request: &Request, token: &str) -> Option<Fault> {
    let header = |name| {
        let value = request.headers().get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let path = request.uri().path();
    if path != "/api/v1/ingest/ws" {
        return Some(Fault::Path(path.to_owned()));
    }
    let subprotocol = header("Sec-WebSocket-Protocol");
    if !subprotocol.split(',').any(|offer| offer.trim() == "tidegate.v1") {
        return Some(Fault::Subprotocol(subprotocol));
    }
    let shown = header("Authorization");
    (shown != token).then_some(Fault::Token(shown))
}
