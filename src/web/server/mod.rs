//! The accept loop: a permit before each accept, timeouts on everything that a client can delay.
//!
//! ```text
//!  accept ─► PROXY header? ─► room for its address? ─► TLS? ─► HTTP/1.1 or 2 ─► web::entry ─► route
//!            proxy_header     addresses                tls     http, forwarded
//! ```
//!
//! Everything up to the end of TLS must be over within `limits.hello_timeout`.

mod addresses;
mod arrival;
mod certificate;
mod forwarded;
mod http;
mod own_too;
mod proxy_header;
mod severable;
mod tls;

use super::places::Places;
use super::routes;
use super::state::App;
use crate::config::ProxyConfig;
use addresses::{Addresses, Place};
use arrival::Arrived;
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::Request;
use hyper::body::Incoming;
use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;
use warp::Reply;

pub(crate) use addresses::ADDRESSES_MAX;
pub use addresses::AddressLimits;
pub use proxy_header::{
    FIXED_BYTES as PROXY_HEADER_FIXED_BYTES, ProxyHeaderError, Told as ProxyHeader,
    read as read_proxy_header, rest_bytes as proxy_header_rest_bytes,
};
pub use tls::{Tls, TlsChange, TlsError};

/// What every response body is boxed to.
pub(super) type Body = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// After the daemon was told to stop: how long a connection that was just accepted, and has not asked
/// anything yet, may take to. Whoever comes during a restart is answered by us or by our successor.
const FIRST_REQUEST_GRACE: Duration = Duration::from_secs(1);
/// The kernel gives up on a peer that acknowledges nothing for this long.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);

/// How connections are served.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(Default))]
pub struct ServerOptions {
    /// Open connections at a time.
    pub connections_max: usize,
    /// What one address may have.
    pub per_address: AddressLimits,
    /// Time for everything before the first request.
    pub hello_timeout: Duration,
    /// Time for the headers of a request, and between two requests.
    pub header_timeout: Duration,
    /// Who may speak for others.
    pub proxies: ProxyConfig,
    /// `None` = plain HTTP.
    pub tls: Option<Arc<Tls>>,
}

/// What all connections share.
struct Server<S> {
    app: Arc<App>,
    /// Of this moment.
    options: watch::Receiver<ServerOptions>,
    routes: S,
    addresses: Addresses,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// What the kernel may hold for us of a connection that sends faster than it is read; with its own books the kernel
/// takes twice that. Left to itself it would hold 6 MiB of each, all of which counts as the daemon's memory
/// (`MemoryHigh=`). At 100 ms from here to the client this is 2.5 MB/s, a million samples of a gateway.
pub(crate) const RECEIVE_BUFFER_BYTES: usize = 256 << 10;

fn keep_receive_buffers_small(listener: &TcpListener) {
    let set = rustix::net::sockopt::set_socket_recv_buffer_size(listener, RECEIVE_BUFFER_BYTES);
    if let Err(error) = set {
        log::debug!(error:err = error; "the kernel's receive buffers stay as large as it likes");
    }
}

/// Serves until `stop`, new connections by the options of that moment; then lets every connection finish its request; returns when all are closed.
pub async fn serve(
    listener: TcpListener,
    app: Arc<App>,
    options: watch::Receiver<ServerOptions>,
    stop: CancellationToken,
) {
    keep_receive_buffers_small(&listener);
    let mut places = Places::new(options.clone());
    let tls = options.borrow().tls.clone();
    let server = Arc::new(Server {
        routes: warp::service(routes::routes(app.clone())),
        addresses: Addresses::new(options.clone()),
        app,
        options,
        stop: stop.clone(),
        tasks: TaskTracker::new(),
    });
    if let Some(tls) = tls {
        server.tasks.spawn(tls.watch(server.app.metrics.clone(), stop.clone()));
    }
    loop {
        // The permit first: a client too many waits in the kernel's queue, and costs nothing here.
        let accepted = async {
            let permit = places.take().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = stop.cancelled() => break,
        };
        let Ok((socket, address)) = accepted else {
            // Out of file descriptors, or the peer left before it was accepted.
            server.app.metrics.accept_failed();
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let open = Open::new(permit, server.app.clone());
        server.tasks.spawn(server.clone().connection(socket, address, open));
    }
    drop(listener);
    server.tasks.close();
    server.tasks.wait().await;
}

/// The other end of a connection; of a request, if a trusted proxy says who that is from.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    /// Where it is: as the accept loop saw it, or as a proxy that is trusted says.
    pub address: SocketAddr,
    /// The name in its certificate, which was verified.
    pub certificate: Option<Arc<str>>,
    /// A proxy stands between.
    pub is_forwarded: bool,
    /// Nobody on the way reads along: it speaks TLS, with us or with a proxy that is trusted.
    pub is_tls: bool,
    /// Of the connection: cancelled when it may not go on, though whoever asks might.
    pub ended: CancellationToken,
}

/// What a connection holds until it is closed, whether it stays HTTP or becomes a WebSocket; and the
/// place of a viewer, if it has become one.
#[derive(Clone)]
pub(super) struct Held {
    _open: Arc<Open>,
    _viewer: Option<Arc<Place>>,
}

struct Open {
    _permit: OwnedSemaphorePermit,
    app: Arc<App>,
    /// `None` = its address is not counted.
    place: Option<Place>,
}

impl Open {
    fn new(permit: OwnedSemaphorePermit, app: Arc<App>) -> Open {
        app.metrics.connection_opened();
        Open { _permit: permit, app, place: None }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.app.metrics.connection_closed();
    }
}

impl Held {
    fn viewing(self, viewer: Option<Place>) -> Held {
        Held { _viewer: viewer.map(Arc::new), ..self }
    }
}

impl<S> Server<S>
where
    S: Service<Request<Incoming>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Response: Reply,
    S::Future: Send,
{
    async fn connection(self: Arc<Self>, socket: TcpStream, address: SocketAddr, mut open: Open) {
        prepare(&socket);
        let hello_timeout = self.options.borrow().hello_timeout;
        let arrived = tokio::select! {
            arrived = timeout(hello_timeout, self.arrive(socket, address)) => arrived,
            () = grace(&self.stop) => return,
        };
        let Arrived { stream, is_http2, peer, place } =
            match arrived.unwrap_or_else(|late| Err(late.into())) {
                Ok(arrived) => arrived,
                Err(refused) => {
                    self.app.metrics.listener.refused(refused.reason());
                    log::debug!(peer:% = address, error:% = refused; "a connection was not taken");
                    return;
                }
            };
        open.place = place;
        let held = Held { _open: Arc::new(open), _viewer: None };
        http::serve(self, stream, is_http2, peer, held).await;
    }
}

/// When the daemon stops, and who came just before had time to ask something.
async fn grace(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(FIRST_REQUEST_GRACE).await;
}

fn prepare(socket: &TcpStream) {
    // Both are improvements of an open connection; one that refuses them works without.
    if let Err(error) = socket.set_nodelay(true) {
        log::debug!(error:% = error; "TCP_NODELAY was refused");
    }
    let timeout = TCP_USER_TIMEOUT.as_millis() as u32;
    if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(socket, timeout) {
        log::debug!(error:% = error; "TCP_USER_TIMEOUT was refused");
    }
}
