//! The conversation: docs/devices.md, rule by rule.

use crate::wire::{self, Downstream};
use crate::{Event, Shared};
use futures_util::{SinkExt, StreamExt};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
const CONNECT_MAX: Duration = Duration::from_secs(20);
/// The daemon pings every 25 s: who hears nothing for longer has no connection.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Commands whose answers are remembered.
const DONE_MAX: usize = 64;
/// Close codes after which coming back does not help.
const FINAL: [u16; 6] = [1002, 1003, 1007, 1008, 4001, 4003];

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// How a connection ended.
enum End {
    /// Come back.
    Broken,
    /// Don't.
    Stop(String),
}

pub(crate) struct Conversation {
    shared: Arc<Shared>,
    /// Connections in a row without a Welcome.
    failures: u32,
    /// What Goodbye said.
    come_back: Duration,
    /// Answers to commands: one that may be done again comes again until it is answered.
    done: BTreeMap<u64, Vec<u8>>,
    // Of this connection:
    welcome: bool,
    credit: (u64, u64),
    /// The last seq that was sent.
    sent: u64,
    unanswered: BTreeMap<u64, u64>,
    interval: Duration,
    last_sent: Option<Instant>,
    not_before: Option<Instant>,
}

impl Conversation {
    pub fn new(shared: Arc<Shared>) -> Conversation {
        Conversation {
            shared,
            failures: 0,
            come_back: Duration::ZERO,
            done: BTreeMap::new(),
            welcome: false,
            credit: (0, 0),
            sent: 0,
            unanswered: BTreeMap::new(),
            interval: Duration::ZERO,
            last_sent: None,
            not_before: None,
        }
    }

    /// Comes and goes until it is told to stop, or not to come back.
    pub async fn run(mut self) {
        while !self.shared.state().stop {
            self.come_back = Duration::ZERO;
            if let Err(trouble) = self.once().await {
                self.shared.state().trouble = Some(trouble);
                self.shared.settled.notify_all();
                return;
            }
            let longest = BACKOFF_FIRST.saturating_mul(1 << self.failures.min(10)).min(BACKOFF_MAX);
            let delay = longest.mul_f64(rand::random_range(0.5..1.0)).max(self.come_back);
            self.failures += 1;
            let back = Instant::now() + delay;
            while !self.shared.state().stop && Instant::now() < back {
                tokio::select! {
                    () = self.shared.news.notified() => {}
                    () = sleep_until(back) => {}
                }
            }
        }
    }

    /// One connection. An error says why there is to be no other.
    async fn once(&mut self) -> Result<(), String> {
        match timeout(CONNECT_MAX, self.connect()).await {
            Ok(Ok(socket)) => match self.converse(socket).await {
                End::Broken => Ok(()),
                End::Stop(trouble) => Err(trouble),
            },
            Ok(Err(Error::Http(answer))) if matches!(answer.status().as_u16(), 401 | 403) => {
                Err(format!("the daemon does not let this client in ({})", answer.status()))
            }
            Ok(Err(Error::Url(error))) => Err(error.to_string()),
            _ => Ok(()),
        }
    }

    async fn connect(&self) -> Result<Socket, Error> {
        let options = &self.shared.options;
        let mut request = options.url.as_str().into_client_request()?;
        let headers = request.headers_mut();
        headers.insert("Sec-WebSocket-Protocol", HeaderValue::from_static("tidegate.v1"));
        if let Some(token) = &options.token {
            let shown = HeaderValue::try_from(format!("Bearer {token}"));
            headers
                .insert("Authorization", shown.map_err(|error| Error::HttpFormat(error.into()))?);
        }
        connect_async(request).await.map(|(socket, _)| socket)
    }

    async fn converse(&mut self, mut socket: Socket) -> End {
        let shared = self.shared.clone();
        (self.welcome, self.credit, self.sent) = (false, (0, 0), 0);
        self.unanswered.clear();
        (self.interval, self.last_sent, self.not_before) = (Duration::ZERO, None, None);
        let hello = {
            let buffer = &shared.state().buffer;
            wire::hello(&shared.options.name, buffer.session(), buffer.lowest())
        };
        // If the connection is closed meanwhile, reading on tells why, and what was said before.
        socket.send(Message::Binary(hello.into())).await.ok();
        let mut heard_at = Instant::now();
        loop {
            if shared.state().stop {
                timeout(Duration::from_secs(1), socket.close(None)).await.ok();
                return End::Broken;
            }
            let silent_at = heard_at + SILENCE_MAX;
            let wake_at = self.send(&mut socket).await.unwrap_or(silent_at);
            tokio::select! {
                message = socket.next() => {
                    heard_at = Instant::now();
                    match message {
                        Some(Ok(Message::Binary(bytes))) => {
                            match self.hear(&bytes) {
                                Ok(Some(answer)) => {
                                    socket.send(Message::Binary(answer.into())).await.ok();
                                }
                                Ok(None) => {}
                                Err(end) => return end,
                            }
                        }
                        Some(Ok(Message::Close(Some(frame)))) if FINAL.contains(&frame.code.into()) => {
                            return End::Stop(format!("the daemon closed with {frame}"));
                        }
                        Some(Ok(Message::Close(_))) | None => {
                            // The answer to its close is on its way.
                            timeout(Duration::from_secs(1), socket.next()).await.ok();
                            return End::Broken;
                        }
                        Some(Ok(_)) => {}
                        Some(Err(_)) => return End::Broken,
                    }
                }
                () = shared.news.notified() => {}
                () = sleep_until(wake_at.min(silent_at)) => {
                    if Instant::now() >= silent_at {
                        return End::Broken;
                    }
                }
            }
        }
    }

    /// Sends what may be sent; says when more may be, if time is all it takes.
    async fn send(&mut self, socket: &mut Socket) -> Option<Instant> {
        while self.welcome {
            let now = Instant::now();
            let next = self.not_before.max(self.last_sent.map(|at| at + self.interval));
            if next.is_some_and(|next| now < next) {
                return next;
            }
            let (seq, message) = {
                let state = self.shared.state();
                let (seq, message) = state.buffer.after(self.sent)?;
                let (batches, bytes) = self.credit;
                let unanswered: u64 = self.unanswered.values().sum();
                // One batch may always be sent, however large, if the credit is one at all.
                let room = self.unanswered.is_empty() || unanswered + message.len() as u64 <= bytes;
                if self.unanswered.len() as u64 >= batches || !room {
                    return None;
                }
                (seq, message.to_vec())
            };
            self.unanswered.insert(seq, message.len() as u64);
            (self.sent, self.last_sent) = (seq, Some(now));
            socket.send(Message::Binary(message.into())).await.ok()?;
        }
        None
    }

    /// Takes what was said; gives what is to be answered.
    fn hear(&mut self, bytes: &[u8]) -> Result<Option<Vec<u8>>, End> {
        let Some(message) = wire::downstream(bytes) else { return Err(End::Broken) };
        match message {
            Downstream::Welcome { last_seq, batches, bytes } => {
                (self.failures, self.welcome) = (0, true);
                self.settle(last_seq)?;
                (self.sent, self.credit) = (last_seq, (batches, bytes));
            }
            Downstream::Ack { seq, batches, bytes } => {
                self.settle(seq)?;
                self.credit = (batches, bytes);
            }
            Downstream::Refusal { later_after_ms: Some(ms), .. } => {
                // All that is held is sent again, as after a reconnect.
                self.unanswered.clear();
                self.sent = 0;
                let until = Instant::now() + Duration::from_millis(ms);
                self.not_before = self.not_before.max(Some(until));
            }
            Downstream::Refusal { seq, why, .. } => {
                self.unanswered.remove(&seq);
                if self.shared.state().buffer.settle_one(seq).map_err(disk)? {
                    (self.shared.options.on_event)(Event::Refused(seq, &why));
                }
                self.shared.settled.notify_all();
            }
            Downstream::Throttle { batches, bytes, min_interval_ms } => {
                self.credit = (batches, bytes);
                self.interval = Duration::from_millis(min_interval_ms);
            }
            Downstream::Goodbye { reconnect_after_ms } => {
                self.come_back = Duration::from_millis(reconnect_after_ms);
            }
            Downstream::Command { id, device, name, payload } => {
                return Ok(Some(self.obey(id, &device, &name, &payload)));
            }
            Downstream::Desired { version, device, document } => {
                let become_it = self.shared.options.on_desired.as_ref();
                return Ok(
                    become_it.map(|it| wire::reported(&device, version, &it(&device, &document)))
                );
            }
            Downstream::Unknown => {}
        }
        Ok(None)
    }

    fn obey(&mut self, id: u64, device: &str, name: &str, payload: &[u8]) -> Vec<u8> {
        let options = &self.shared.options;
        let answer = self.done.entry(id).or_insert_with(|| {
            let done = match &options.on_command {
                Some(obey) => obey(device, name, payload),
                None => Err("this client takes no commands".to_owned()),
            };
            wire::result(id, &done)
        });
        let answer = answer.clone();
        if self.done.len() > DONE_MAX {
            self.done.pop_first();
        }
        answer
    }

    fn settle(&mut self, seq: u64) -> Result<(), End> {
        self.shared.state().buffer.settle(seq).map_err(disk)?;
        self.unanswered = self.unanswered.split_off(&seq.saturating_add(1));
        self.shared.settled.notify_all();
        Ok(())
    }
}

/// The buffer can't be written any more: nothing is to be sent that it does not know of.
fn disk(error: std::io::Error) -> End {
    End::Stop(format!("the buffer: {error}"))
}
