//! A port that stays a test's own, also while nobody listens there.

use std::net::SocketAddr;
use tokio::net::TcpSocket;

/// Bound, and not listened on: who connects meanwhile is refused, who asks for any free port gets another,
/// and who asks for this one as servers do (`SO_REUSEADDR`) may listen there, again and again.
pub struct Port {
    pub address: SocketAddr,
    _held: TcpSocket,
}

impl Port {
    /// A free one, nobody else's until it is dropped.
    pub fn hold() -> Port {
        let held = TcpSocket::new_v4().unwrap();
        held.set_reuseaddr(true).unwrap();
        held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Port { address: held.local_addr().unwrap(), _held: held }
    }
}
