//! The accept loop: a permit before each accept, timeouts on everything that a client can delay.

use super::entry::{self, Entered};
use super::places::Places;
use super::state::App;
use super::{routes, upgrade};
use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;
use warp::Reply;

/// What every response body is boxed to.
pub(super) type Body = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// Headers of one request.
const HEADERS_MAX: usize = 64;
/// Bytes of the headers of one request; also hyper's read buffer for bodies.
const BUFFER_BYTES: usize = 16 << 10;
/// After the daemon was told to stop: how long a connection that was just accepted, and has not asked
/// anything yet, may take to. Whoever comes during a restart is answered by us or by our successor.
const FIRST_REQUEST_GRACE: Duration = Duration::from_secs(1);
/// The kernel gives up on a peer that acknowledges nothing for this long.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);

/// How connections are served.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Open connections at a time.
    pub connections_max: usize,
    /// Time for the headers of a request, and between two requests.
    pub header_timeout: Duration,
}

/// Serves until `stop`, and new connections by the options of that moment; then lets every connection finish its request; returns when all are closed.
pub async fn serve(
    listener: TcpListener,
    app: Arc<App>,
    options: watch::Receiver<ServerOptions>,
    stop: CancellationToken,
) {
    let mut places = Places::new(options);
    let tasks = TaskTracker::new();
    let routes = warp::service(routes::routes(app.clone()));
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
        let Ok((socket, peer)) = accepted else {
            // Out of file descriptors, or the peer left before it was accepted.
            app.metrics.accept_failed();
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        prepare(&socket);
        let held = Held::new(permit, app.clone());
        let connection = connection(
            socket,
            peer,
            held,
            routes.clone(),
            places.options(),
            stop.clone(),
            tasks.clone(),
        );
        tasks.spawn(connection);
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// The other end of a connection.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    /// Where it is: as the accept loop saw it, or as a proxy that is trusted says.
    pub address: SocketAddr,
    /// The name in its certificate, which was verified.
    pub certificate: Option<Arc<str>>,
    /// A proxy stands between.
    pub is_forwarded: bool,
}

/// What a connection holds until it is closed, whether it stays HTTP or becomes a WebSocket.
#[derive(Clone)]
pub(super) struct Held(Arc<Open>);

struct Open {
    _permit: OwnedSemaphorePermit,
    app: Arc<App>,
}

impl Held {
    fn new(permit: OwnedSemaphorePermit, app: Arc<App>) -> Held {
        app.metrics.connection_opened();
        Held(Arc::new(Open { _permit: permit, app }))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.app.metrics.connection_closed();
    }
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

async fn connection<S>(
    socket: TcpStream,
    address: SocketAddr,
    held: Held,
    routes: S,
    options: ServerOptions,
    stop: CancellationToken,
    tasks: TaskTracker,
) where
    S: Service<Request<Incoming>, Error = Infallible> + Clone + Send + 'static,
    S::Response: Reply,
    S::Future: Send,
{
    let asked = CancellationToken::new();
    let peer = Peer { address, certificate: None, is_forwarded: false };
    let has_asked = asked.clone();
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        has_asked.cancel();
        let (held, tasks, mut routes) = (held.clone(), tasks.clone(), routes.clone());
        let peer = peer.clone();
        async move {
            let app = held.0.app.clone();
            app.metrics.request();
            let response = match entry::enter(&app, &request, &peer) {
                Err(problem) => problem.into_response(),
                Ok(Entered::Page) => routes::page(&request),
                Ok(Entered::As(caller)) => match upgrade::Endpoint::of(request.uri().path()) {
                    Some(endpoint) => upgrade::upgrade(
                        endpoint,
                        &app,
                        request,
                        (peer.address, caller),
                        held,
                        &tasks,
                    ),
                    None => {
                        request.extensions_mut().insert(peer);
                        request.extensions_mut().insert(caller);
                        match routes.call(request).await {
                            Ok(reply) => reply.into_response(),
                            Err(never) => match never {},
                        }
                    }
                },
            };
            Ok::<_, Infallible>(response.map(boxed))
        }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        .max_headers(HEADERS_MAX)
        .max_buf_size(BUFFER_BYTES)
        .half_close(false);
    let mut served = pin!(builder.serve_connection(TokioIo::new(socket), service).with_upgrades());
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = stop_after_first(&stop, &asked) => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        log::debug!(peer:% = address, error:% = error; "connection ended with an error");
    }
}

/// When the daemon stops, and this connection has asked something, or had time to.
async fn stop_after_first(stop: &CancellationToken, asked: &CancellationToken) {
    stop.cancelled().await;
    tokio::select! {
        () = asked.cancelled() => {}
        () = tokio::time::sleep(FIRST_REQUEST_GRACE) => {}
    }
}

fn boxed<B>(body: B) -> Body
where
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    body.map_err(Into::into).boxed_unsync()
}
