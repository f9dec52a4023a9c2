//! Batches to the daemon: each until it is durable, known, or refused for good.

use super::super::ask::{Daemon, Unanswered};
use super::super::{EXIT_DENIED, EXIT_UNAVAILABLE, fail, printable};
use crate::clock;
use crate::decode::{self, Upstream};
use crate::model::{Batch, SessionId};
use crate::wire::{Compression, Downstream, Hello, Limits, compress, encode_hello};
use futures_util::{SinkExt, StreamExt};
use hyper::Method;
use serde_json::Value as Json;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// A batch is answered when it is on disk; a disk may take its time.
const ANSWER_MAX: Duration = Duration::from_secs(60);
const GREET_MAX: Duration = Duration::from_secs(10);
/// How long to go on without success.
const PATIENCE: Duration = Duration::from_secs(600);
const WAIT_FIRST: Duration = Duration::from_millis(200);
const WAIT_MAX: Duration = Duration::from_secs(15);
/// Below, compressing takes longer than sending.
const COMPRESS_BYTES: usize = 4096;

/// What became of a batch.
pub(super) enum Became {
    /// All of it is durable: now, or from an earlier time.
    Durable,
    /// It will never enter as it is.
    Refused(String),
}

/// Sends the batches of one file.
pub(super) struct Sender<'a> {
    pub daemon: &'a Daemon,
    pub client: Option<&'a str>,
    pub session: u64,
}

impl Sender<'_> {
    /// Sends a batch under a number until it is answered for good.
    pub async fn send(
        &self,
        seq: u64,
        batch: &Batch,
        say: impl Fn(String),
    ) -> Result<Became, ExitCode> {
        let message = decode::encode(batch, seq);
        let Ok(Upstream::Batch(body)) = decode::upstream(&message) else {
            return Err(fail(1, "a batch could not be encoded"));
        };
        let body = match body.len() < COMPRESS_BYTES {
            true => body.to_vec(),
            false => compress(Compression::Zstd, 1, body),
        };
        let mut path = format!("/api/v1/ingest?session={}", self.session);
        if let Some(client) = self.client {
            let set = percent_encoding::NON_ALPHANUMERIC;
            path += &format!("&client={}", percent_encoding::utf8_percent_encode(client, set));
        }
        let until = clock::monotonic() + PATIENCE;
        let mut pause = WAIT_FIRST;
        loop {
            let (why, after) = match self.attempt(&path, &body).await? {
                Ok(became) => return Ok(became),
                Err(later) => later,
            };
            if clock::monotonic() > until {
                let detail = format!("{}\nthe same command goes on with it", printable(&why));
                return Err(fail(EXIT_UNAVAILABLE, detail));
            }
            let wait = after.unwrap_or(pause);
            say(format!("{}; going on in {wait:?}", printable(&why)));
            sleep(wait).await;
            pause = (pause * 2).min(WAIT_MAX);
        }
    }

    /// Once: what became of it, or why it is to be sent again, and when.
    async fn attempt(
        &self,
        path: &str,
        body: &[u8],
    ) -> Result<Result<Became, (String, Option<Duration>)>, ExitCode> {
        let daemon = self.daemon;
        let asking = async {
            let body = body.to_vec().into();
            let mut stream =
                daemon.send(Method::POST, path, "application/x-protobuf", body).await?;
            let after = stream.response.headers().get("retry-after");
            let after = after.and_then(|value| value.to_str().ok()?.parse().ok());
            Ok::<_, Unanswered>((after.map(Duration::from_secs), stream.problem().await))
        };
        let (after, answer) = match timeout(ANSWER_MAX, asking).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(error)) => return Ok(Err((error.to_string(), None))),
            Err(_) => return Ok(Err((format!("{daemon} does not answer"), None))),
        };
        let json: Json = serde_json::from_slice(&answer.body).unwrap_or_default();
        let refused = &json["refused"][0];
        let message = refused["message"].as_str().or(json["detail"].as_str());
        let message = printable(message.unwrap_or_default());
        let why = format!("{daemon} answers {}: {message}", answer.status);
        match answer.status {
            // An answer that broke off says nothing.
            200 if json["accepted"].is_u64() => Ok(Ok(Became::Durable)),
            _ if refused["code"] == "FORBIDDEN" => Err(fail(EXIT_DENIED, message)),
            401 | 403 => Err(fail(EXIT_DENIED, why)),
            // What is too large as a whole may do in parts.
            400 | 413 | 422 => Ok(Ok(Became::Refused(message))),
            429 | 500.. | 200 => Ok(Err((why, after))),
            _ => Err(fail(EXIT_UNAVAILABLE, why)),
        }
    }
}

/// What a batch may hold at most, as the daemon tells every client: so that each record that would be refused
/// is known, by its line, before it is sent. The defaults, if it can't be asked.
pub(super) async fn limits(daemon: &Daemon, client: Option<&str>) -> Limits {
    let asked = timeout(GREET_MAX, welcome(daemon, client.unwrap_or("import"))).await;
    match asked {
        Ok(Some(limits)) => limits,
        _ => Limits::default(),
    }
}

async fn welcome(daemon: &Daemon, client: &str) -> Option<Limits> {
    let stream = daemon.connect().await.ok()?;
    // The scheme says only which port is meant, and the way is gone already.
    let mut request = daemon.ingest().into_client_request().ok()?;
    let headers = request.headers_mut();
    if let Some(token) = daemon.token() {
        headers.insert("authorization", format!("Bearer {token}").parse().ok()?);
    }
    headers.insert("sec-websocket-protocol", "tidegate.v1".parse().ok()?);
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.ok()?;
    let hello = Hello {
        client: client.to_owned(),
        session: SessionId(rand::random_range(1..u64::MAX)),
        software: concat!("tidegate-import ", env!("CARGO_PKG_VERSION")).to_owned(),
        ..Hello::default()
    };
    socket.send(Message::Binary(encode_hello(&hello).into())).await.ok()?;
    let limits = loop {
        if let Message::Binary(bytes) = socket.next().await?.ok()?
            && let Downstream::Welcome(welcome) = Downstream::decode(&bytes).ok()?
        {
            break welcome.limits;
        }
    };
    socket.close(None).await.unwrap_or_default();
    Some(limits)
}
