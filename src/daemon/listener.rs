//! Where clients come in: the socket that the service manager opened, or one of our own.

use super::door;
use crate::auth::Door;
use crate::config::Config;
use crate::web::{AddressLimits, ServerOptions, Tls, TlsChange, TlsError};
use std::net::SocketAddr;
use std::sync::Arc;
use thiserror::Error;
use tokio::net::TcpListener;

/// Why nobody could come in; the administrator acts.
#[derive(Debug, Error)]
pub enum ListenError {
    /// The address can't be listened on.
    #[error("{address} can't be listened on: {source}")]
    Address {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The socket that the service manager opened can't be used.
    #[error("the socket that systemd opened can't be used: {0}")]
    Handed(std::io::Error),
    /// It is reachable from elsewhere, and there is nothing to ask for.
    #[error(
        "{0} is not a loopback address, and nobody could be asked for a token: make one with \
         `tidegate token issue --name admin --scope admin`, or listen on 127.0.0.1 (`listen`, or ListenStream= \
         of tidegate.socket), or say auth.anonymous = \"anywhere\" if everybody in that network may come"
    )]
    Exposed(SocketAddr),
    /// The certificate, its key, or who signs clients can't be used.
    #[error("[tls]: {0}")]
    Tls(#[from] TlsError),
}

/// The listener that was opened for us, or one of our own.
pub(super) async fn open(
    config: &Config,
    door: &Door,
    handed: Option<std::net::TcpListener>,
) -> Result<TcpListener, ListenError> {
    let Some(handed) = handed else {
        expose(config, door, config.listen)?;
        let bound = TcpListener::bind(config.listen).await;
        return bound.map_err(|source| ListenError::Address { address: config.listen, source });
    };
    let address = handed.local_addr().map_err(ListenError::Handed)?;
    expose(config, door, address)?;
    if address != config.listen {
        log::warn!(
            event = "listen-overridden", address:% = address, listen:% = config.listen;
            "tidegate.socket says where to listen; the setting listen is not used"
        );
    }
    TcpListener::from_std(handed).map_err(ListenError::Handed)
}

fn expose(config: &Config, door: &Door, address: SocketAddr) -> Result<(), ListenError> {
    door::expose(&config.auth, door.asks(), address)?;
    door::say_if_nobody_is_asked(&config.auth, address);
    Ok(())
}

/// How who comes in is served.
pub(super) fn options(config: &Config, tls: Option<Arc<Tls>>) -> ServerOptions {
    let limits = &config.limits;
    ServerOptions {
        connections_max: limits.connections_max,
        per_address: AddressLimits {
            connections: limits.connections_per_address,
            handshakes_per_second: limits.handshakes_per_second,
            viewers: config.live.viewers_per_address,
        },
        hello_timeout: limits.hello_timeout,
        header_timeout: limits.header_timeout,
        proxies: config.proxy.clone(),
        tls,
    }
}

/// What connections are secured with, if they are.
pub(super) fn tls(config: &Config) -> Result<Option<Arc<Tls>>, ListenError> {
    let read = config.tls.as_ref().map(TlsChange::read).transpose()?;
    Ok(read.map(|read| Arc::new(Tls::new(read))))
}
