//! A client over a real socket: connects, says hello, sends what the [`Outbox`] gives, hears the
//! answers, and comes back when the connection breaks.

use super::mischief::{Mischief, mischief};
use super::orders::Orders;
use super::outbox::{Outbox, Settled};
use super::source::Source;
use super::stats::{AckLog, Stats};
use super::{Backoff, SimulateError};
use crate::clock;
use crate::model::SessionId;
use crate::wire::{self, Downstream, Hello, Limits, Retry};
use futures_util::{SinkExt, StreamExt};
use rand::RngExt;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_util::sync::CancellationToken;

/// The daemon pings every 25 s; whoever hears nothing for longer has no connection.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// From the first packet of the connection to the end of the upgrade.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long a device that vanished stays away.
const VANISHED: std::ops::Range<f64> = 3.0..15.0;

/// A connection to the daemon.
pub type Socket = WebSocketStream<TcpStream>;

/// One simulated client.
pub(super) struct Client {
    pub(super) url: String,
    pub(super) token: Option<String>,
    pub(super) name: String,
    pub(super) session: SessionId,
    pub(super) labels: Vec<(String, String)>,
    pub(super) source: Source,
    pub(super) outbox: Outbox,
    pub(super) orders: Orders,
    pub(super) backoff: Backoff,
    pub(super) last_answers: Duration,
    pub(super) misbehaves: bool,
    pub(super) ack_log: Option<AckLog>,
    pub(super) stats: Stats,
}

/// How a conversation ended.
#[derive(Debug, PartialEq)]
enum Ended {
    /// We were told to stop, and did.
    Stopped,
    /// The connection broke or was closed; come back after this time, or after our own back-off.
    Broken(Option<Duration>),
}

impl Client {
    /// Speaks until `stop`, then waits a little for the last answers.
    pub(super) async fn run(mut self, stop: CancellationToken) -> Result<Stats, SimulateError> {
        let mut failures = 0;
        loop {
            let connected = tokio::select! {
                socket = connect(&self.url, self.token.as_deref()) => socket,
                () = stop.cancelled() => break,
            };
            let ended = match connected {
                Ok(socket) => self.converse(socket, &stop, &mut failures).await?,
                Err(WsError::Http(answer)) if matches!(answer.status().as_u16(), 401 | 403) => {
                    return Err(SimulateError::Denied(answer.status().as_u16()));
                }
                Err(error) => {
                    log::debug!(client = self.name.as_str(); "could not connect: {error}");
                    Ended::Broken(None)
                }
            };
            self.outbox.disconnected();
            let Ended::Broken(delay) = ended else { break };
            let delay = delay.unwrap_or_else(|| self.backoff.delay(failures));
            failures = failures.saturating_add(1);
            if !self.stay_away(delay, &stop).await {
                break;
            }
            self.stats.report.reconnects += 1;
        }
        self.stats.report.given_up += self.outbox.given_up() + self.outbox.len() as u64;
        Ok(self.stats)
    }

    /// Goes on reading while there is no connection; tells whether to come back.
    async fn stay_away(&mut self, delay: Duration, stop: &CancellationToken) -> bool {
        let back = sleep(delay);
        tokio::pin!(back);
        loop {
            tokio::select! {
                () = &mut back => return true,
                () = stop.cancelled() => return false,
                () = self.source.due() => self.take(),
            }
        }
    }

    fn take(&mut self) {
        if let Some(frame) = self.source.take(self.outbox.next_seq()) {
            self.outbox.push(frame);
        }
    }

    async fn converse(
        &mut self,
        mut socket: Socket,
        stop: &CancellationToken,
        failures: &mut u32,
    ) -> Result<Ended, SimulateError> {
        if socket.send(Message::Binary(self.hello().into())).await.is_err() {
            return Ok(Ended::Broken(None));
        }
        let mut heard_at = Instant::now();
        let mut leave_at = None;
        let mut come_back = None;
        loop {
            if leave_at.is_none() && stop.is_cancelled() {
                leave_at = Some(Instant::now() + self.last_answers);
            }
            if leave_at.is_some_and(|at| self.outbox.is_empty() || at <= Instant::now()) {
                return Ok(leave(socket).await);
            }
            if self.send_ready(&mut socket, leave_at.is_none()).await.is_err() {
                return Ok(Ended::Broken(come_back));
            }
            let silence = heard_at + SILENCE_MAX;
            let wake_at = self.outbox.wake_at().map_or(silence, Instant::from_std);
            let wake_at = wake_at.min(silence).min(leave_at.unwrap_or(silence));
            // Every branch is cancel-safe: a stream's next, a tick, a sleep, a token.
            tokio::select! {
                message = socket.next() => {
                    heard_at = Instant::now();
                    match message {
                        Some(Ok(Message::Binary(bytes))) => {
                            *failures = 0;
                            match Downstream::decode(&bytes) {
                                Ok(Downstream::Goodbye { reconnect_after_ms, .. }) => {
                                    let after = Duration::from_millis(reconnect_after_ms.into());
                                    come_back = Some(after.max(self.backoff.delay(0)));
                                }
                                Ok(message) => self.hear(message)?,
                                Err(error) => log::warn!("unreadable answer: {error}"),
                            }
                        }
                        Some(Ok(Message::Close(_)) | Err(_)) | None => {
                            return Ok(Ended::Broken(come_back));
                        }
                        Some(Ok(_)) => {}
                    }
                }
                () = self.source.due(), if leave_at.is_none() => {
                    let mischief = if self.misbehaves { mischief(self.outbox.next_seq()) } else { None };
                    match mischief {
                        None => self.take(),
                        Some(Mischief::Batch(frame)) => self.outbox.push(frame),
                        Some(Mischief::Garbage(bytes)) => {
                            if socket.send(Message::Binary(bytes.into())).await.is_err() {
                                return Ok(Ended::Broken(None));
                            }
                        }
                        Some(Mischief::Vanish) => {
                            let seconds = rand::rng().random_range(VANISHED);
                            return Ok(Ended::Broken(Some(Duration::from_secs_f64(seconds))));
                        }
                    }
                }
                () = sleep_until(wake_at) => {
                    if heard_at + SILENCE_MAX <= Instant::now() {
                        return Ok(Ended::Broken(None));
                    }
                }
                () = stop.cancelled(), if leave_at.is_none() => {}
            }
        }
    }

    fn hello(&self) -> Vec<u8> {
        wire::encode_hello(&Hello {
            client: self.name.clone(),
            session: self.session,
            resume: self.outbox.resume(),
            labels: self.labels.iter().cloned().collect(),
            software: concat!("tidegate-simulate ", env!("CARGO_PKG_VERSION")).to_owned(),
            ..Hello::default()
        })
    }

    /// Sends all that may be sent, making more of it if the source works on demand.
    async fn send_ready(&mut self, socket: &mut Socket, make: bool) -> Result<(), WsError> {
        let mut fed = false;
        while let Some(answer) = self.orders.next() {
            socket.feed(Message::Binary(answer.into())).await?;
            fed = true;
        }
        loop {
            let now = clock::monotonic();
            if make
                && let Some(bytes) = self.source.on_demand()
                && self.outbox.wants(bytes, now)
            {
                self.take();
            }
            let Some(frame) = self.outbox.next(now) else { break };
            let report = &mut self.stats.report;
            report.batches += 1;
            report.samples += frame.samples as u64;
            report.wire_bytes += frame.bytes.len() as u64;
            socket.feed(Message::Binary(frame.bytes)).await?;
            fed = true;
        }
        if fed { socket.flush().await } else { Ok(()) }
    }

    fn hear(&mut self, message: Downstream) -> Result<(), SimulateError> {
        let now = clock::monotonic();
        match message {
            Downstream::Welcome(welcome) => {
                let settled = self.outbox.welcome(welcome.last_seq, welcome.credit);
                return self.settle(&settled);
            }
            Downstream::Ack { seq, credit } => {
                let settled = self.outbox.ack(seq, credit, now);
                return self.settle(&settled);
            }
            Downstream::Refusal { seq, code, retry, message, .. } => {
                self.stats.report.refused += 1;
                log::debug!(client = self.name.as_str(); "refused {seq}: {code}: {message}");
                match retry {
                    Retry::Never => {
                        self.outbox.refused_for_good(seq);
                    }
                    Retry::LaterAfterMs(ms) => {
                        let delay = Duration::from_millis(ms.into());
                        self.outbox.refused_for_now(seq, delay, now);
                    }
                }
            }
            Downstream::Throttle { credit, min_interval_ms, .. } => {
                self.outbox.throttle(credit, Duration::from_millis(min_interval_ms.into()));
            }
            // Its firmware is so old that it knows nothing of them.
            Downstream::Command(_) | Downstream::Desired(_) if self.misbehaves => {}
            Downstream::Command(command) => {
                self.orders.command(&mut self.source, &command, clock::now());
            }
            Downstream::Desired(desired) => self.orders.desired(&mut self.source, &desired),
            Downstream::Goodbye { .. } => {}
        }
        Ok(())
    }

    fn settle(&mut self, settled: &[Settled]) -> Result<(), SimulateError> {
        for batch in settled {
            self.stats.report.acked += 1;
            self.stats.report.acked_samples += batch.samples as u64;
            if let Some(after) = batch.after {
                self.stats.latencies.record(after);
            }
        }
        match &self.ack_log {
            Some(log) if !settled.is_empty() => {
                let seqs = settled.iter().map(|batch| batch.seq);
                log.write(&self.name, self.session, seqs).map_err(SimulateError::AckLog)
            }
            _ => Ok(()),
        }
    }
}

/// Connects to the daemon's WebSocket, as a device does, and shows the token if there is one.
///
/// # Errors
/// If the daemon can't be reached, or does not speak the protocol.
pub async fn connect(url: &str, token: Option<&str>) -> Result<Socket, WsError> {
    let request = url.into_client_request()?;
    let host = request.uri().host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = request.uri().port_u16().unwrap_or(80);
    let connecting = async {
        let stream = TcpStream::connect((host.as_str(), port)).await?;
        stream.set_nodelay(true)?;
        upgrade(url, token, stream).await
    };
    timeout(CONNECT_MAX, connecting).await.unwrap_or_else(|_| Err(late()))
}

/// Becomes a device's connection on `stream`, which leads to the daemon of `url`.
///
/// # Errors
/// What the daemon, or the connection, said.
pub async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(
    url: &str,
    token: Option<&str>,
    stream: S,
) -> Result<WebSocketStream<S>, WsError> {
    let mut request = url.into_client_request()?;
    if let Some(token) = token {
        let shown = HeaderValue::try_from(format!("Bearer {token}"));
        let shown = shown.map_err(|error| WsError::HttpFormat(error.into()))?;
        request.headers_mut().insert("Authorization", shown);
    }
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("tidegate.v1"));
    let config = WebSocketConfig::default()
        .read_buffer_size(4 * 1024)
        .max_message_size(Some(wire::CONTROL_BYTES_MAX))
        .max_write_buffer_size(4 * Limits::default().message_bytes);
    let upgraded = tokio_tungstenite::client_async_with_config(request, stream, Some(config));
    let upgraded = timeout(CONNECT_MAX, upgraded).await.unwrap_or_else(|_| Err(late()));
    upgraded.map(|(socket, _)| socket)
}

fn late() -> WsError {
    WsError::Io(std::io::ErrorKind::TimedOut.into())
}

/// Closes in good order; what happens to the connection meanwhile makes no difference.
async fn leave(mut socket: Socket) -> Ended {
    let close = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    if socket.close(Some(close)).await.is_ok() {
        let rest = async { while let Some(Ok(_)) = socket.next().await {} };
        if timeout(Duration::from_secs(1), rest).await.is_err() {
            log::debug!("no answer to our close");
        }
    }
    Ended::Stopped
}
