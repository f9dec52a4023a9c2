//! The service manager: what it wants to be told, and what it hands over.
//!
//! Everything here is by environment variables and one datagram socket: without a service manager
//! nothing is told and nothing was handed over, and nobody needs to know.

mod notifier;
mod sockets;

pub use notifier::Notifier;
pub use sockets::{NotASocket, take_listener};

/// What the daemon is to who started it.
#[derive(Debug, Default)]
pub struct Service {
    /// Where states are told.
    pub notifier: Notifier,
    /// The listener that was opened for us, so that it stays open while we restart.
    pub listener: Option<std::net::TcpListener>,
}

impl Service {
    /// Reads the environment. To be called before any thread is started, because it takes variables
    /// out of the environment.
    ///
    /// # Errors
    /// If what was handed over is no TCP listener.
    pub fn from_environment() -> Result<Service, NotASocket> {
        Ok(Service { listener: take_listener()?, notifier: Notifier::from_environment() })
    }
}
