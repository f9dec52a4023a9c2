//! Socket activation: listeners that were opened before us and outlive us.

use listenfd::ListenFd;
use std::net::TcpListener;
use thiserror::Error;

/// What the service manager handed over can't be listened on; the administrator mends the socket unit.
#[derive(Debug, Error)]
pub enum NotASocket {
    /// Not a TCP listener.
    #[error("the socket that systemd opened is no TCP listener (tidegate.socket): {0}")]
    Kind(#[source] std::io::Error),
    /// More than one.
    #[error(
        "systemd opened {0} sockets, and one is served: tidegate.socket needs one ListenStream="
    )]
    Many(usize),
}

/// The listener that was handed over, if one was; it does not block.
///
/// # Errors
/// [`NotASocket`].
pub fn take_listener() -> Result<Option<TcpListener>, NotASocket> {
    let mut handed = ListenFd::from_env();
    if handed.len() > 1 {
        return Err(NotASocket::Many(handed.len()));
    }
    if handed.len() == 0 {
        return Ok(None);
    }
    let listener = handed.take_tcp_listener(0).map_err(NotASocket::Kind)?;
    if let Some(listener) = &listener {
        listener.set_nonblocking(true).map_err(NotASocket::Kind)?;
    }
    Ok(listener)
}
