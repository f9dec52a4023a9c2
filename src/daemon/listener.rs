//! Where clients come in: the socket that the service manager opened, or one of our own.

use super::{DaemonError, door};
use crate::auth::Door;
use crate::config::Config;
use tokio::net::TcpListener;

/// The listener that was opened for us, or one of our own.
pub(super) async fn open(
    config: &Config,
    door: &Door,
    handed: Option<std::net::TcpListener>,
) -> Result<TcpListener, DaemonError> {
    let Some(handed) = handed else {
        door::expose(config, door, config.listen)?;
        let bound = TcpListener::bind(config.listen).await;
        return bound.map_err(|source| DaemonError::Listen { address: config.listen, source });
    };
    let address = handed.local_addr().map_err(DaemonError::Runtime)?;
    door::expose(config, door, address)?;
    if address != config.listen {
        log::warn!(
            event = "listen-overridden", address:% = address, listen:% = config.listen;
            "tidegate.socket says where to listen; the setting listen is not used"
        );
    }
    TcpListener::from_std(handed).map_err(DaemonError::Runtime)
}
