//! Who may come: there must be something to ask for, unless the administrator said otherwise.

use super::{DaemonError, ListenError, Thread};
use crate::auth::{Change, Door};
use crate::config::{Anonymous, AuthConfig, Config};
use crate::metrics::Metrics;
use std::net::SocketAddr;
use std::sync::Arc;

/// Reads who may come, and starts the thread that remembers who came.
pub(super) fn open(config: &Config, metrics: &Arc<Metrics>) -> Result<(Door, Thread), DaemonError> {
    let takes = config.tls.as_ref().is_some_and(|tls| tls.clients.is_some());
    let (door, thread) = Door::open(&config.auth, &config.state_dir, takes, metrics.clone())?;
    Ok((door, ("auth".to_owned(), thread)))
}

/// Reads who may come from now on. With it the daemon could also start.
pub(super) fn prepare(
    config: &Config,
    door: &Door,
    takes_certificates: bool,
    address: SocketAddr,
) -> Result<Change, DaemonError> {
    let change = door.prepare(&config.auth, takes_certificates)?;
    expose(&config.auth, change.asks(door), address)?;
    Ok(change)
}

/// Whether it may listen there, if there `is` something to ask for.
pub(super) fn expose(auth: &AuthConfig, is: bool, address: SocketAddr) -> Result<(), ListenError> {
    let is_loopback = address.ip().to_canonical().is_loopback();
    match auth.anonymous {
        Anonymous::Loopback | Anonymous::Nobody if !is_loopback && !is => {
            Err(ListenError::Exposed(address))
        }
        Anonymous::Anywhere | Anonymous::Loopback | Anonymous::Nobody => Ok(()),
    }
}

/// Loudly.
pub(super) fn say_if_nobody_is_asked(auth: &AuthConfig, address: SocketAddr) {
    match auth.anonymous {
        Anonymous::Anywhere if address.ip().to_canonical().is_loopback() => log::warn!(
            event = "nobody-asked", address:% = address;
            "nobody is asked for a token: whoever reaches {address} on this machine, or through a proxy on \
             it, may do everything (auth.anonymous)"
        ),
        Anonymous::Anywhere => log::warn!(
            event = "nobody-asked", address:% = address;
            "NOBODY IS ASKED FOR A TOKEN: whoever reaches {address} over the network may read everything, \
             send commands to devices and change rules (auth.anonymous = \"anywhere\")"
        ),
        Anonymous::Loopback | Anonymous::Nobody => {}
    }
}
