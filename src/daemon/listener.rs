//! Where clients come in: the socket that the service manager opened, or one of our own.

use super::DaemonError;
use crate::config::{Anonymous, Config};
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// The listener that was opened for us, or one of our own.
pub(super) async fn open(
    config: &Config,
    handed: Option<std::net::TcpListener>,
) -> Result<TcpListener, DaemonError> {
    let exposed = |address: SocketAddr| {
        config.auth.anonymous == Anonymous::Loopback && !address.ip().is_loopback()
    };
    let Some(handed) = handed else {
        if exposed(config.listen) {
            return Err(DaemonError::Exposed(config.listen));
        }
        let bound = TcpListener::bind(config.listen).await;
        return bound.map_err(|source| DaemonError::Listen { address: config.listen, source });
    };
    let address = handed.local_addr().map_err(DaemonError::Runtime)?;
    if exposed(address) {
        return Err(DaemonError::Exposed(address));
    }
    if address != config.listen {
        log::warn!(
            event = "listen-overridden", address:% = address, listen:% = config.listen;
            "tidegate.socket says where to listen; the setting listen is not used"
        );
    }
    TcpListener::from_std(handed).map_err(DaemonError::Runtime)
}
