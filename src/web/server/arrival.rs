//! From an accepted socket to a stream of which it is known where it comes from.

use super::addresses::{Place, TooMany};
use super::proxy_header::{self, FIXED_BYTES, ProxyHeaderError, Told};
use super::severable::Severable;
use super::tls::Secured;
use super::{Peer, Server};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;

/// The first byte of every TLS connection: a record of the handshake.
const TLS_HANDSHAKE: u8 = 0x16;
/// What is read of somebody who is to get an answer before the connection is closed: with bytes unread the
/// kernel would take the answer back.
const UNREAD_BYTES_MAX: u64 = 64 << 10;
const UNREAD_TIME_MAX: Duration = Duration::from_secs(1);

/// TCP or TLS.
pub(super) type Stream = Either<TcpStream, Severable<TlsStream<TcpStream>>>;

/// A connection that may ask something.
pub(super) struct Arrived {
    pub stream: Stream,
    /// What was agreed on in TLS.
    pub is_http2: bool,
    pub peer: Peer,
    /// Its place among those of its address; `None` = that is not counted.
    pub place: Option<Place>,
}

/// Why a connection is closed before it asked anything.
#[derive(Debug, Error)]
pub(super) enum Refused {
    #[error("its address has as many connections as it may (limits.connections_per_address)")]
    Connections,
    #[error("its address comes too often (limits.handshakes_per_second)")]
    Handshakes,
    #[error("not over within limits.hello_timeout")]
    Late,
    #[error("a trusted proxy sends {0}")]
    ProxyHeader(#[from] ProxyHeaderError),
    #[error("plain HTTP, where TLS is spoken")]
    PlainHttp,
    #[error("no TLS: {0}")]
    Tls(std::io::Error),
    #[error("it broke off: {0}")]
    Gone(#[from] std::io::Error),
}

impl From<tokio::time::error::Elapsed> for Refused {
    fn from(_: tokio::time::error::Elapsed) -> Refused {
        Refused::Late
    }
}

impl Refused {
    /// The label of the counter.
    pub fn reason(&self) -> &'static str {
        match self {
            Refused::Connections => "connections_per_address",
            Refused::Handshakes => "handshakes_per_second",
            Refused::Late => "late",
            Refused::ProxyHeader(_) => "proxy_header",
            Refused::PlainHttp => "plain_http",
            Refused::Tls(_) => "tls",
            Refused::Gone(_) => "gone",
        }
    }
}

impl<S> Server<S> {
    /// Takes a connection. Cancelled at any time, it is closed.
    pub(super) async fn arrive(
        &self,
        mut socket: TcpStream,
        address: SocketAddr,
    ) -> Result<Arrived, Refused> {
        let (has_header, tls) = {
            let options = self.options.borrow();
            let is_trusted = options.proxies.is_trusted(address.ip());
            (options.proxies.has_header && is_trusted, options.tls.clone())
        };
        let told = if has_header {
            read_proxy_header(&mut socket).await?
        } else {
            Told { source: None, is_tls: false }
        };
        let place = match told.source {
            Some(source) => Some(self.addresses.connection(source.ip())),
            None if self.is_exempt(address.ip()) => None,
            None => Some(self.addresses.connection(address.ip())),
        };
        let place = match place.transpose() {
            Ok(place) => place,
            Err(too_many) => {
                reset(&socket);
                return Err(match too_many {
                    TooMany::Connections => Refused::Connections,
                    TooMany::Handshakes => Refused::Handshakes,
                });
            }
        };
        let mut peer = Peer {
            address: plain(told.source.unwrap_or(address)),
            certificate: None,
            is_forwarded: told.source.is_some(),
            is_tls: told.is_tls,
            ended: CancellationToken::new(),
        };
        let Some(tls) = tls else {
            return Ok(Arrived { stream: Either::Left(socket), is_http2: false, peer, place });
        };
        let mut first = [0];
        if socket.peek(&mut first).await? == 0 {
            return Err(Refused::Gone(std::io::ErrorKind::UnexpectedEof.into()));
        }
        if first[0] != TLS_HANDSHAKE {
            return Err(answer_plainly(socket, first[0]).await);
        }
        let Secured { stream, is_http2, certificate, ended } =
            tls.accept(socket, &self.tasks).await.map_err(Refused::Tls)?;
        (peer.is_tls, peer.certificate, peer.ended) = (true, certificate, ended);
        Ok(Arrived { stream: Either::Right(stream), is_http2, peer, place })
    }

    /// Whether what comes from there directly is not counted: this machine, and proxies, which stand for many.
    pub(super) fn is_exempt(&self, address: IpAddr) -> bool {
        address.to_canonical().is_loopback() || self.options.borrow().proxies.is_trusted(address)
    }
}

/// As it is written elsewhere: a listener on [::] sees 192.0.2.1 as ::ffff:192.0.2.1.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

async fn read_proxy_header(socket: &mut TcpStream) -> Result<Told, Refused> {
    let mut fixed = [0; FIXED_BYTES];
    socket.read_exact(&mut fixed).await?;
    let mut rest = vec![0; proxy_header::rest_bytes(&fixed)?];
    socket.read_exact(&mut rest).await?;
    Ok(proxy_header::read(&fixed, &rest)?)
}

/// Tells somebody who speaks plain HTTP, as far as can be seen from its first byte, what is spoken here.
async fn answer_plainly(mut socket: TcpStream, first: u8) -> Refused {
    if !first.is_ascii_alphabetic() {
        return Refused::Tls(std::io::ErrorKind::InvalidData.into());
    }
    let body = r#"{"type":"about:blank","title":"Bad Request","status":400,"detail":"this port speaks TLS: say https:// or wss://"}"#;
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let told = async {
        socket.write_all(answer.as_bytes()).await?;
        socket.shutdown().await?;
        let (mut rest, mut nowhere) = (socket.take(UNREAD_BYTES_MAX), tokio::io::sink());
        tokio::io::copy(&mut rest, &mut nowhere).await
    };
    match tokio::time::timeout(UNREAD_TIME_MAX, told).await {
        Ok(Err(error)) => Refused::Gone(error),
        Ok(Ok(_)) | Err(_) => Refused::PlainHttp,
    }
}

/// Has the connection end at once when it is dropped, with nothing of it left in the kernel.
fn reset(socket: &TcpStream) {
    if let Err(error) = rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO)) {
        log::debug!(error:% = error; "SO_LINGER was refused");
    }
}
