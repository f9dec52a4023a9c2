//! Who may come, at the start: there must be something to ask for, unless the administrator said otherwise.

use super::{DaemonError, ListenError, Thread};
use crate::auth::Door;
use crate::config::{Anonymous, Config};
use crate::metrics::Metrics;
use std::net::SocketAddr;
use std::sync::Arc;

/// Reads who may come, and starts the thread that remembers who came.
pub(super) fn open(config: &Config, metrics: &Arc<Metrics>) -> Result<(Door, Thread), DaemonError> {
    let takes = config.tls.as_ref().is_some_and(|tls| tls.clients.is_some());
    let (door, thread) = Door::open(&config.auth, &config.state_dir, takes, metrics.clone())?;
    Ok((door, ("auth".to_owned(), thread)))
}

/// Whether it may listen there. Where nobody is asked, that is said, loudly.
pub(super) fn expose(config: &Config, door: &Door, address: SocketAddr) -> Result<(), ListenError> {
    let is_loopback = address.ip().to_canonical().is_loopback();
    match config.auth.anonymous {
        Anonymous::Anywhere if is_loopback => log::warn!(
            event = "nobody-asked", address:% = address;
            "nobody is asked for a token: whoever reaches {address} on this machine, or through a proxy on \
             it, may do everything (auth.anonymous)"
        ),
        Anonymous::Anywhere => log::warn!(
            event = "nobody-asked", address:% = address;
            "NOBODY IS ASKED FOR A TOKEN: whoever reaches {address} over the network may read everything, \
             send commands to devices and change rules (auth.anonymous = \"anywhere\")"
        ),
        Anonymous::Loopback | Anonymous::Nobody if !is_loopback && !door.asks() => {
            return Err(ListenError::Exposed(address));
        }
        Anonymous::Loopback | Anonymous::Nobody => {}
    }
    Ok(())
}
