//! The drill's own device: speaks as any other, over the real WebSocket, and remembers what it sent.

use crate::cli::ask::Daemon;
use crate::cli::way::Stream;
use crate::clock;
use crate::decode;
use crate::model::{Batch, BatchBuilder, SessionId};
use crate::simulate::upgrade;
use crate::wire::{Downstream, Hello, RefusalCode, encode_hello};
use futures_util::{SinkExt, StreamExt};
use std::time::Duration;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// Whoever is not answered by then has failed.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// A store may keep no finer times.
const MILLISECOND: i64 = 1_000_000;
/// No daemon takes a reading of the year 2200.
const YEAR_2200: i64 = 7_258_118_400_000_000_000;

/// What every reading of the drill is called.
pub(super) const METRIC: &str = "drill.number";

pub(super) struct Device {
    pub name: String,
    socket: WebSocketStream<Stream>,
    seq: u64,
    /// Times and values of all that was acknowledged; the values are 1, 2, 3, …
    pub sent: Vec<(i64, f64)>,
}

/// How a batch was answered.
#[derive(Debug, PartialEq)]
pub(super) enum Said {
    Ack(u64),
    Refused(RefusalCode),
}

impl Device {
    /// Connects and greets.
    pub async fn connect(daemon: &Daemon) -> Result<Device, String> {
        let name = format!("tidegate-drill-{:08x}", rand::random::<u32>());
        let url = daemon.ingest();
        let stream = daemon.connect().await.map_err(|unanswered| unanswered.to_string())?;
        let socket = upgrade(&url, daemon.token(), stream).await;
        let socket = socket.map_err(|error| format!("{url}: {error}"))?;
        let mut device = Device { name, socket, seq: 0, sent: Vec::new() };
        let hello = encode_hello(&Hello {
            client: device.name.clone(),
            session: SessionId(rand::random_range(1..u64::MAX)),
            software: concat!("tidegate-drill ", env!("CARGO_PKG_VERSION")).to_owned(),
            ..Hello::default()
        });
        device.write(hello).await?;
        loop {
            if let Downstream::Welcome(_) = device.hear().await? {
                return Ok(device);
            }
        }
    }

    /// Sends the next reading and waits for its receipt: how long that took.
    pub async fn send(&mut self) -> Result<Duration, String> {
        let last = self.sent.last().map_or(0, |(time, _)| *time);
        let now = clock::now().0;
        let time = (now - now % MILLISECOND).max(last + MILLISECOND);
        let value = self.sent.len() as f64 + 1.0;
        self.seq += 1;
        let began = clock::monotonic();
        self.write(decode::encode(&reading(time, value), self.seq)).await?;
        match self.answer().await? {
            Said::Ack(seq) if seq == self.seq => {}
            other => return Err(format!("{other:?} instead of a receipt for {}", self.seq)),
        }
        self.sent.push((time, value));
        Ok(clock::monotonic() - began)
    }

    /// Sends the last reading once more, as if its receipt had been lost.
    pub async fn send_again(&mut self) -> Result<Said, String> {
        let (time, value) = self.sent.last().copied().unwrap_or_default();
        self.write(decode::encode(&reading(time, value), self.seq)).await?;
        self.answer().await
    }

    /// Sends what must be refused. It is given up: the next batch has its number.
    pub async fn send_from_the_future(&mut self) -> Result<Said, String> {
        self.seq += 1;
        self.write(decode::encode(&reading(YEAR_2200, 0.0), self.seq)).await?;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<Said, String> {
        loop {
            match self.hear().await? {
                Downstream::Ack { seq, .. } => return Ok(Said::Ack(seq)),
                Downstream::Refusal { code, .. } => return Ok(Said::Refused(code)),
                Downstream::Goodbye { .. } => return Err("the daemon stops".to_owned()),
                Downstream::Welcome(_)
                | Downstream::Throttle { .. }
                | Downstream::Command(_)
                | Downstream::Desired(_) => {}
            }
        }
    }

    async fn write(&mut self, message: Vec<u8>) -> Result<(), String> {
        let sending = timeout(ANSWER_MAX, self.socket.send(Message::Binary(message.into())));
        match sending.await {
            Ok(sent) => sent.map_err(|error| error.to_string()),
            Err(_) => Err(format!("nothing could be sent for {} s", ANSWER_MAX.as_secs())),
        }
    }

    async fn hear(&mut self) -> Result<Downstream, String> {
        let hearing = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Binary(bytes))) => {
                        return Downstream::decode(&bytes).map_err(|error| error.to_string());
                    }
                    Some(Ok(Message::Close(_))) | None => {
                        return Err("the daemon closed the connection".to_owned());
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error.to_string()),
                }
            }
        };
        let late = |_| Err(format!("no answer within {} s", ANSWER_MAX.as_secs()));
        timeout(ANSWER_MAX, hearing).await.unwrap_or_else(late)
    }
}

/// One reading; its device is the client.
fn reading(time: i64, value: f64) -> Batch {
    let mut builder = BatchBuilder::new();
    // A batch of one value can't fail; if it did, an empty one would be refused, and the drill say so.
    let built =
        builder.table("", &mut [], [time]).and_then(|()| builder.floats(METRIC, "", [value], &[]));
    debug_assert_eq!(built, Ok(()));
    builder.finish()
}
