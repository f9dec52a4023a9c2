//! [`Transport`] over HTTP, with reqwest.
//!
//! Not with the crate `influxdb2`, which would write for us: it hides `Retry-After` and the bodies
//! that tell a refused line from a broken store, takes no 2xx but 204, drops a path in the address,
//! panics at an invalid one, and stands on a reqwest whose TLS has open advisories
//! (docs/decisions.md). What it would do for us are the forty lines of `Http::ask`.
//!
//! No redirects (a write that is moved is a wrong address), no proxies from the environment (the
//! address in the configuration is where data goes), no retries (the breaker decides), HTTP/1.1.

use super::answers::{TokenFault, Unreached};
use super::target::Target;
use super::transport::{Reply, Transport};
use bytes::Bytes;
use reqwest::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER,
};
use reqwest::{Client, Response, Url, redirect, retry};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use std::error::Error;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

/// More of a reply's body is not read.
/// A list of a hundred refused lines must have room.
const REPLY_BYTES_MAX: usize = 256 << 10;
/// Longer tokens are none: InfluxDB's have 88 bytes, signed ones a few hundred.
const TOKEN_BYTES_MAX: usize = 8 << 10;
/// To connect may take half of a request's time, but no longer than this (three attempts of TCP): it
/// tells a machine that is away from a store that hangs.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long a store may take to take a second connection, if TLS did not come about with the first.
const SECOND_CONNECT_MAX: Duration = Duration::from_secs(1);
/// Idle connections are closed by us before VictoriaMetrics does (after a minute), so that no request
/// meets a connection that is about to go.
const IDLE_CONNECTION: Duration = Duration::from_secs(30);

/// Writes to a store's `/api/v2/write`.
#[derive(Debug)]
pub struct Http {
    client: Client,
    url: Url,
    token: Option<TokenFile>,
    timeout: Duration,
    /// It speaks TLS, but there is no authority that it could trust.
    trusts_nobody: bool,
}

/// No HTTP client could be made: nothing that the configuration decides.
#[derive(Debug, thiserror::Error)]
#[error("no HTTP client could be made")]
pub struct HttpError(#[source] Box<dyn Error + Send + Sync>);

impl Http {
    /// A client of its own for `target`; connects with the first request. The certificates of the
    /// machine are read here, once.
    ///
    /// # Errors
    /// [`HttpError`], which nobody has seen.
    pub fn new(target: &Target) -> Result<Http, HttpError> {
        let mut authorities = RootCertStore::empty();
        if target.url.scheme() == "https" {
            // Files that can't be read are left out: the daemon runs without them as well.
            authorities.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Http::trusting(target, authorities)
    }

    fn trusting(target: &Target, authorities: RootCertStore) -> Result<Http, HttpError> {
        Http::asking(target, authorities, Names)
    }

    fn asking(
        target: &Target,
        authorities: RootCertStore,
        names: impl reqwest::dns::Resolve + 'static,
    ) -> Result<Http, HttpError> {
        let trusts_nobody = target.url.scheme() == "https" && authorities.is_empty();
        // reqwest's own verifier would not do: without any authority on the machine it refuses to
        // make a client, also for a store without TLS.
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| HttpError(error.into()))?
            .with_root_certificates(authorities)
            .with_no_client_auth();
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(Arc::new(names))
            .default_headers(headers())
            .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .no_proxy()
            .http1_only()
            .connect_timeout((target.timeout / 2).min(CONNECT_MAX))
            .pool_idle_timeout(IDLE_CONNECTION)
            .pool_max_idle_per_host(target.connections_max)
            .build()
            .map_err(|error| HttpError(error.into()))?;
        Ok(Http {
            client,
            url: target.url.clone(),
            token: target.token_file.as_deref().map(TokenFile::new),
            timeout: target.timeout,
            trusts_nobody,
        })
    }

    /// Asks the store something else than to write, with the same token, trust and deadline: a GET, or
    /// a query in Flux. For people who want to know whether it has what was written.
    ///
    /// # Errors
    /// As [`Transport::write`].
    pub async fn read(&self, url: Url, flux: Option<String>) -> Result<Reply, Unreached> {
        let asking = async {
            let mut request = match flux {
                None => self.client.get(url),
                Some(flux) => self
                    .client
                    .post(url)
                    .header(CONTENT_TYPE, "application/vnd.flux")
                    .header(CONTENT_ENCODING, "identity")
                    .body(flux),
            };
            if let Some(token) = &self.token {
                request = request.header(AUTHORIZATION, token.read().await?);
            }
            let mut response = request.send().await.map_err(|error| unreached(&error))?;
            let status = response.status().as_u16();
            let body = body(&mut response).await?;
            Ok(Reply { status, retry_after: None, body })
        };
        tokio::time::timeout(self.timeout, asking).await.unwrap_or(Err(Unreached::Timeout))
    }

    async fn ask(&self, gzipped: Bytes) -> Result<Response, Unreached> {
        if self.trusts_nobody {
            return Err(Unreached::NoAuthorities);
        }
        let mut request = self.client.post(self.url.clone()).body(gzipped);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.read().await?);
        }
        match request.send().await.map_err(|error| unreached(&error)) {
            Err(Unreached::NoConnection) if self.is_taken().await => Err(Unreached::Timeout),
            answer => answer,
        }
    }

    /// Whether TCP connects, when a connection did not come about in time: with TLS that says nothing
    /// else, for a store that hangs owes us the handshake.
    async fn is_taken(&self) -> bool {
        let host = self.url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let port = self.url.port_or_known_default().unwrap_or_default();
        let connecting = tokio::net::TcpStream::connect((host, port));
        let patience = (self.timeout / 4).min(SECOND_CONNECT_MAX);
        let connected = tokio::time::timeout(patience, connecting).await;
        self.url.scheme() == "https" && connected.is_ok_and(|connected| connected.is_ok())
    }
}

fn headers() -> HeaderMap {
    HeaderMap::from_iter([
        (CONTENT_ENCODING, HeaderValue::from_static("gzip")),
        (CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
    ])
}

impl Transport for Http {
    async fn write(&self, gzipped: Bytes) -> Result<Reply, Unreached> {
        let deadline = Instant::from_std(crate::clock::monotonic() + self.timeout);
        let late = |_| Unreached::Timeout;
        let mut response = timeout_at(deadline, self.ask(gzipped)).await.map_err(late)??;
        let status = response.status();
        let retry_after = response.headers().get(RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| Some(value.to_str().ok()?.to_owned()));
        let body = timeout_at(deadline, body(&mut response)).await.unwrap_or_else(|e| Err(late(e)));
        let body = match body {
            Ok(body) => body,
            // It is stored: it said so, whatever else it wanted to say.
            Err(_) if status.is_success() => Vec::new(),
            Err(unreached) => return Err(unreached),
        };
        Ok(Reply { status: status.as_u16(), retry_after, body })
    }
}

async fn body(response: &mut Response) -> Result<Vec<u8>, Unreached> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unreached(&error))? {
        let room = REPLY_BYTES_MAX - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == REPLY_BYTES_MAX {
            break;
        }
    }
    Ok(body)
}

/// A token that is read anew for each request, so that a renewed one works at once.
#[derive(Debug)]
struct TokenFile {
    path: Arc<Path>,
    /// One reads at a time: a file system that hangs takes one thread, not one with each attempt.
    reading: Arc<Mutex<()>>,
}

impl TokenFile {
    fn new(path: &Path) -> TokenFile {
        TokenFile { path: path.into(), reading: Arc::default() }
    }

    async fn read(&self) -> Result<HeaderValue, Unreached> {
        let (path, turn) = (self.path.clone(), self.reading.clone().lock_owned().await);
        let reading = tokio::task::spawn_blocking(move || {
            let token = read_token(&path);
            drop(turn);
            token.map_err(|fault| Unreached::TokenFile { path, fault })
        });
        reading.await.unwrap_or(Err(Unreached::Other))
    }
}

fn read_token(path: &Path) -> Result<HeaderValue, TokenFault> {
    let mut text = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(TOKEN_BYTES_MAX as u64 + 1).read_to_end(&mut text))
        .map_err(|error| TokenFault::Unreadable(error.kind()))?;
    let token = text.trim_ascii();
    if token.is_empty() {
        return Err(TokenFault::Empty);
    }
    if text.len() > TOKEN_BYTES_MAX || !token.iter().all(u8::is_ascii_graphic) {
        return Err(TokenFault::NoToken);
    }
    let header = [b"Token ", token].concat();
    let mut header = HeaderValue::from_bytes(&header).map_err(|_| TokenFault::NoToken)?;
    header.set_sensitive(true);
    Ok(header)
}

/// Resolves names as the system does; that one does not resolve is seen by type, not by text.
struct Names;

/// A name does not resolve.
#[derive(Debug, thiserror::Error)]
#[error("the name does not resolve")]
struct Unresolved(#[source] io::Error);

impl reqwest::dns::Resolve for Names {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        Box::pin(async move {
            // The port is replaced by that of the address.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(Unresolved)?;
            let found: reqwest::dns::Addrs = Box::new(found.collect::<Vec<_>>().into_iter());
            Ok(found)
        })
    }
}

/// Why there was no answer: the first thing in the chain of sources that has a name of ours.
fn unreached(error: &reqwest::Error) -> Unreached {
    match first_named(error) {
        None if !error.is_timeout() => Unreached::Other,
        None | Some(Unreached::Timeout) if error.is_connect() => Unreached::NoConnection,
        None | Some(Unreached::Timeout) => Unreached::Timeout,
        Some(unreached) => unreached,
    }
}

fn first_named(error: &reqwest::Error) -> Option<Unreached> {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        let named = named(error);
        if named.is_some() {
            return named;
        }
        // An I/O error's source is that of the error inside, which would be left out.
        let inside = error.downcast_ref().and_then(io::Error::get_ref);
        next = inside.map(|inside| inside as &(dyn Error + 'static)).or_else(|| error.source());
    }
    None
}

fn named(error: &(dyn Error + 'static)) -> Option<Unreached> {
    if error.is::<Unresolved>() {
        return Some(Unreached::NoSuchName);
    }
    if error.is::<rustls::Error>() {
        return Some(Unreached::Tls);
    }
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        let broke = error.is_incomplete_message() || error.is_closed() || error.is_canceled();
        return broke.then_some(Unreached::Reset);
    }
    match error.downcast_ref::<io::Error>()?.kind() {
        io::ErrorKind::ConnectionRefused => Some(Unreached::Refused),
        io::ErrorKind::TimedOut => Some(Unreached::Timeout),
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown => Some(Unreached::NoConnection),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => Some(Unreached::Reset),
        _ => None,
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
