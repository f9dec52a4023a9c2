//! A webhook: one POST, signed, to an address of the configuration.
//!
//! ```text
//! POST /… HTTP/1.1
//! Content-Type: application/json
//! Tidegate-Delivery: the id of the message, the same at each attempt
//! Tidegate-Timestamp: seconds since 1970, of this attempt
//! Tidegate-Signature: sha256=hex(HMAC-SHA256(secret, timestamp + "." + body))
//! ```
//!
//! No redirects and no proxies from the environment: what is told goes where the configuration says, or
//! nowhere. The secret is read for each request, so that a new one works at once.

use super::Undelivered;
use super::book::Message;
use super::wording::line;
use crate::clock;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url, redirect, retry};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use sha2::Sha256;
use std::error::Error;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Longer secrets are none.
const SECRET_BYTES_MAX: u64 = 8 << 10;
/// Of what a receiver says when he takes nothing.
const SAID_BYTES_MAX: usize = 1 << 10;
const SAID_CHARS_MAX: usize = 200;
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// A receiver does not keep us waiting for longer.
const RETRY_AFTER_MAX: u64 = 3600;

/// Where a webhook is.
#[derive(Debug, Clone)]
pub struct WebhookTarget {
    /// Its path and query may be secret, too.
    pub url: Url,
    /// `None` = messages are not signed.
    pub secret_file: Option<PathBuf>,
    /// How long a request may take.
    pub timeout: Duration,
}

impl WebhookTarget {
    /// The host only: who knows the rest may be let in by it.
    #[must_use]
    pub fn place(&self) -> String {
        let port = self.url.port().map_or(String::new(), |port| format!(":{port}"));
        format!("{}://{}{port}", self.url.scheme(), self.url.host_str().unwrap_or_default())
    }
}

/// Posts to a webhook.
#[derive(Debug)]
pub(super) struct Webhook {
    client: Client,
    target: WebhookTarget,
}

impl Webhook {
    pub fn new(target: &WebhookTarget) -> Result<Webhook, Undelivered> {
        let mut authorities = RootCertStore::empty();
        if target.url.scheme() == "https" {
            // Files that can't be read are left out.
            authorities.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        let wrong = |error: &dyn Error| Undelivered::Unreachable(chain(error));
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(&error))?
            .with_root_certificates(authorities)
            .with_no_client_auth();
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .no_proxy()
            .http1_only()
            .connect_timeout(target.timeout.min(CONNECT_MAX))
            // Messages are rare: a connection that waited may be gone.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|error| wrong(&error))?;
        Ok(Webhook { client, target: target.clone() })
    }

    /// Delivers a message.
    ///
    /// Cancel-safe: a message whose request is dropped may have been taken or not.
    pub async fn deliver(&self, message: &Message) -> Result<(), Undelivered> {
        let timeout = self.target.timeout;
        let posting = tokio::time::timeout(timeout, self.post(message));
        posting.await.unwrap_or(Err(Undelivered::Timeout(timeout)))
    }

    async fn post(&self, message: &Message) -> Result<(), Undelivered> {
        let seconds = clock::now().as_millis().div_euclid(1000).to_string();
        let mut request = self
            .client
            .post(self.target.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("Tidegate-Delivery", &message.id)
            .header("Tidegate-Timestamp", &seconds);
        if let Some(file) = &self.target.secret_file {
            let secret = secret(file).await?;
            let signature = signature(&secret, &seconds, &message.body);
            request = request.header("Tidegate-Signature", signature);
        }
        let sent = request.body(message.body.clone()).send().await;
        let response =
            sent.map_err(|error| Undelivered::Unreachable(chain(&error.without_url())))?;
        answered(response).await
    }

    /// Whether the host takes a connection; nothing is posted.
    pub async fn reach(&self) -> Result<(), Undelivered> {
        if let Some(file) = &self.target.secret_file {
            secret(file).await?;
        }
        let timeout = self.target.timeout;
        let asking = self.client.head(self.target.url.clone()).send();
        match tokio::time::timeout(timeout, asking).await {
            Err(_) => Err(Undelivered::Timeout(timeout)),
            Ok(Err(error)) => Err(Undelivered::Unreachable(chain(&error.without_url()))),
            // What it says to a HEAD tells nothing of a POST.
            Ok(Ok(_)) => Ok(()),
        }
    }
}

async fn answered(mut response: Response) -> Result<(), Undelivered> {
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let after =
        response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let after = after.map(|seconds: u64| Duration::from_secs(seconds.min(RETRY_AFTER_MAX)));
    let mut said = Vec::new();
    while said.len() < SAID_BYTES_MAX
        && let Ok(Some(chunk)) = response.chunk().await
    {
        said.extend_from_slice(&chunk[..chunk.len().min(SAID_BYTES_MAX - said.len())]);
    }
    let said = line(String::from_utf8_lossy(&said).trim(), SAID_CHARS_MAX);
    let colon = if said.is_empty() { "" } else { ": " };
    let said = format!("it answers {status}{colon}{said}");
    Err(match is_of_message(status) {
        true => Undelivered::Refused(said),
        false => Undelivered::Later { said, after },
    })
}

/// Whether an answer is about this message, and not about the receiver or who may write to him: those
/// can be mended while the message waits.
fn is_of_message(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 405 | 406 | 409 | 411 | 413 | 414 | 415 | 422 | 431)
}

/// The value of `Tidegate-Signature`.
fn signature(secret: &[u8], seconds: &str, body: &str) -> String {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return String::new() };
    mac.update(seconds.as_bytes());
    mac.update(b".");
    mac.update(body.as_bytes());
    let mut hex = "sha256=".to_owned();
    for byte in mac.finalize().into_bytes() {
        for digit in [byte >> 4, byte & 15] {
            hex.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    hex
}

/// The secret in a file, without the blanks and line breaks around it.
pub(super) async fn secret(file: &Path) -> Result<Vec<u8>, Undelivered> {
    let path = file.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let mut text = Vec::new();
        let file = std::fs::File::open(path)?;
        file.take(SECRET_BYTES_MAX + 1).read_to_end(&mut text)?;
        Ok::<_, std::io::Error>(text)
    });
    let wrong = |fault: String| Undelivered::Secret { path: file.display().to_string(), fault };
    let text = match read.await {
        Ok(text) => text.map_err(|error| wrong(error.to_string()))?,
        Err(error) => return Err(wrong(error.to_string())),
    };
    match text.trim_ascii() {
        [] => Err(wrong("it is empty".to_owned())),
        _ if text.len() as u64 > SECRET_BYTES_MAX => Err(wrong("it is too long".to_owned())),
        secret => Ok(secret.to_vec()),
    }
}

/// An error with what is behind it, in one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let (mut text, mut next) = (error.to_string(), error.source());
    while let Some(error) = next {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        next = error.source();
    }
    line(&text, 2 * SAID_CHARS_MAX)
}

#[cfg(test)]
#[path = "webhook_tests.rs"]
mod tests;
