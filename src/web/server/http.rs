//! HTTP/1.1 and HTTP/2 on a connection, with a bound on everything that the other end decides.

use super::addresses::Place;
use super::arrival::Stream;
use super::forwarded::{self, Forwarded};
use super::{Body, Held, Peer, Server, grace};
use crate::auth::Denied;
use crate::web::dialect;
use crate::web::entry::{self, Entered};
use crate::web::problem::Problem;
use crate::web::routes;
use crate::web::upgrade::{self, Endpoint};
use crate::web::wary;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;
use warp::Reply;
use warp::http::HeaderValue;
use warp::http::header::HOST;

/// Headers of one request of HTTP/1.1.
const HEADERS_MAX: usize = 64;
/// Bytes of the headers of one request; with HTTP/1.1 also hyper's read buffer for bodies.
const BUFFER_BYTES: usize = 16 << 10;
/// Requests at the same time on a connection of HTTP/2: fewer would slow browsers (RFC 9113, 6.5.2).
const STREAMS_MAX: u32 = 100;
/// Requests that were taken back before we looked at them, and errors that we had to answer with a reset, before
/// the connection ends: more are not met in good faith (CVE-2023-44487).
const RESETS_MAX: usize = 20;
const ERROR_RESETS_MAX: usize = 64;
/// What may wait to be written of a response of HTTP/2.
const SEND_BUFFER_BYTES: usize = 64 << 10;
/// What a client may send of a body, and of all bodies, before we read it.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const WINDOW_BYTES: u32 = 1 << 20;
/// How often the other end of HTTP/2 is asked whether it is still there, and how long it has to answer.
const PING_INTERVAL: Duration = Duration::from_secs(25);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Said on a connection that may not go on.
const CERTIFICATE: &str = "a client certificate that is good is asked for here; connect with one";
/// A viewer too many may try again after this.
const RETRY: Duration = Duration::from_secs(5);

/// A connection with what its requests need.
struct Connection<S> {
    server: Arc<Server<S>>,
    peer: Peer,
    held: Held,
    /// Cancelled by the first request.
    asked: CancellationToken,
}

/// Serves a connection until it ends.
pub(super) async fn serve<S>(
    server: Arc<Server<S>>,
    stream: Stream,
    is_http2: bool,
    peer: Peer,
    held: Held,
) where
    S: Service<Request<Incoming>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Response: Reply,
    S::Future: Send,
{
    let (address, asked) = (peer.address, CancellationToken::new());
    let (stop, tasks) = (server.stop.clone(), server.tasks.clone());
    let over = peer.ended.clone();
    let header_timeout = server.options.borrow().header_timeout;
    let connection = Arc::new(Connection { server, peer, held, asked: asked.clone() });
    let service = service_fn(move |request| {
        let connection = connection.clone();
        async move { Ok::<_, Infallible>(connection.answer(request).await) }
    });
    let stream = TokioIo::new(stream);
    let ended = if is_http2 {
        let served = http2(tasks).serve_connection(stream, service);
        let mut served = pin!(served);
        tokio::select! {
            ended = served.as_mut() => ended,
            // HTTP/1.1 has its own time for headers.
            () = unasked(header_timeout, &asked) => return,
            () = last_request(&stop, &asked, &over) => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        }
    } else {
        let served = http1(header_timeout).serve_connection(stream, service).with_upgrades();
        let mut served = pin!(served);
        tokio::select! {
            ended = served.as_mut() => ended,
            () = last_request(&stop, &asked, &over) => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        }
    };
    if let Err(error) = ended {
        log::debug!(peer:% = address, error:% = error; "connection ended with an error");
    }
}

fn http1(header_timeout: Duration) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_headers(HEADERS_MAX)
        .max_buf_size(BUFFER_BYTES)
        .half_close(false);
    builder
}

fn http2(tasks: TaskTracker) -> http2::Builder<Tasks> {
    let mut builder = http2::Builder::new(Tasks(tasks));
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(BUFFER_BYTES as u32)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(ERROR_RESETS_MAX)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

/// Where the requests of HTTP/2 run.
#[derive(Clone)]
struct Tasks(TaskTracker);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, request: F) {
        self.0.spawn(request);
    }
}

/// When time is over and nothing was asked.
async fn unasked(patience: Duration, asked: &CancellationToken) {
    tokio::select! {
        () = asked.cancelled() => std::future::pending().await,
        () = tokio::time::sleep(patience) => {}
    }
}

/// When no further request is taken: the connection may not go on, or the daemon stops.
async fn last_request(
    stop: &CancellationToken,
    asked: &CancellationToken,
    over: &CancellationToken,
) {
    tokio::select! {
        () = over.cancelled() => {}
        () = stop_after_first(stop, asked) => {}
    }
}

/// When the daemon stops, and this connection has asked something, or had time to.
async fn stop_after_first(stop: &CancellationToken, asked: &CancellationToken) {
    tokio::select! {
        () = async { stop.cancelled().await; asked.cancelled().await } => {}
        () = grace(stop) => {}
    }
}

impl<S> Connection<S>
where
    S: Service<Request<Incoming>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Response: Reply,
    S::Future: Send,
{
    async fn answer(&self, mut request: Request<Incoming>) -> Response<Body> {
        self.asked.cancel();
        let app = &self.server.app;
        app.metrics.request();
        let peer = match self.asker(&mut request) {
            Ok(peer) => peer,
            Err(problem) => return boxed(problem.into_response(), None),
        };
        if peer.ended.is_cancelled() {
            return boxed(entry::problem(&Denied::NotGood(CERTIFICATE)).into_response(), None);
        }
        let caller = match entry::enter(app, &request, &peer) {
            Ok(Entered::As(caller)) => caller,
            Ok(Entered::Page) => return boxed(routes::page(&request), None),
            Err(problem) => return boxed(dialect::told(&request, problem), None),
        };
        let viewer = match self.viewer(request.uri().path(), &peer) {
            Ok(viewer) => viewer,
            Err(problem) => return boxed(problem.into_response(), None),
        };
        if let Some(endpoint) = Endpoint::of(request.uri().path()) {
            let held = self.held.clone().viewing(viewer);
            let who = (peer, caller);
            let tasks = &self.server.tasks;
            return boxed(upgrade::upgrade(endpoint, app, request, who, held, tasks), None);
        }
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(caller);
        match self.server.routes.clone().call(request).await {
            Ok(reply) => boxed(reply.into_response(), viewer),
            Err(never) => match never {},
        }
    }

    /// Who a request is from, and what they call us: as trusted proxies say it.
    fn asker(&self, request: &mut Request<Incoming>) -> Result<Peer, Problem> {
        let headers = request.headers();
        if headers.get_all(HOST).iter().nth(1).is_some() {
            return Err(Problem::bad_request("a request names one host"));
        }
        let from = self.peer.address.ip();
        let Forwarded { address, is_tls, host } =
            forwarded::read(headers, from, &self.server.options.borrow().proxies);
        // With HTTP/2 it stands in the address.
        let named = || {
            let authority =
                request.uri().authority().filter(|_| request.version() == Version::HTTP_2)?;
            HeaderValue::from_str(authority.as_str()).ok()
        };
        if let Some(host) = host.or_else(named) {
            request.headers_mut().insert(HOST, host);
        }
        Ok(Peer {
            address: address.map_or(self.peer.address, |address| SocketAddr::new(address, 0)),
            is_forwarded: self.peer.is_forwarded || address.is_some(),
            is_tls: is_tls.unwrap_or(self.peer.is_tls),
            certificate: self.peer.certificate.clone(),
            ended: self.peer.ended.clone(),
        })
    }

    /// The place of a viewer, if one comes whose address is counted.
    fn viewer(&self, path: &str, peer: &Peer) -> Result<Option<Place>, Problem> {
        let is_viewer = matches!(path, "/api/v1/live" | "/api/v1/live/ws" | "/api/v1/live/poll");
        let address = peer.address.ip();
        if !is_viewer || (!peer.is_forwarded && self.server.is_exempt(address)) {
            return Ok(None);
        }
        let place = self.server.addresses.viewer(address);
        if place.is_none() {
            self.server.app.metrics.listener.refused("viewers_per_address");
            let max = self.server.options.borrow().per_address.viewers;
            let detail = format!(
                "{address} has {max} viewers, no more are taken (live.viewers_per_address)"
            );
            let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, detail);
            return Err(problem.retry_after(RETRY));
        }
        Ok(place)
    }
}

/// The answer as it goes out.
fn boxed<B>(response: Response<B>, viewer: Option<Place>) -> Response<Body>
where
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    wary::guarded(response).map(|body| {
        let body = body.map_err(Into::into).boxed_unsync();
        match viewer {
            None => body,
            Some(place) => Seated { body, _place: place }.boxed_unsync(),
        }
    })
}

/// What a viewer reads: their place is held for as long as they do.
struct Seated {
    body: Body,
    _place: Place,
}

impl hyper::body::Body for Seated {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
