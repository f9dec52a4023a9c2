//! WebSocket handshakes, by hand: small buffers, our subprotocols, a permit that lives as long as
//! the socket.

use super::problem::Problem;
use super::server::{Held, Peer};
use super::state::App;
use crate::auth::Caller;
use crate::live::{Form, ws};
use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_util::task::TaskTracker;
use warp::Reply;
use warp::http::HeaderValue;
use warp::http::header::{SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use warp::reply::Response;

/// tungstenite zero-fills its read buffer at every read: small is fast for small frames, and most
/// connections are idle devices (docs/benchmarks.md).
const READ_BUFFER_BYTES: usize = 2 << 10;
/// What may wait to be written before a send fails: a viewer's largest frame must fit.
const WRITE_BUFFER_BYTES_MAX: usize = 16 << 20;
/// What a viewer may send at a time: a subscription with many globs.
const VIEWER_MESSAGE_BYTES_MAX: usize = 64 << 10;

/// Paths that speak WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// Devices and gateways.
    Ingest,
    /// Viewers.
    Live,
}

impl Endpoint {
    pub fn of(path: &str) -> Option<Endpoint> {
        match path {
            "/api/v1/ingest/ws" => Some(Endpoint::Ingest),
            "/api/v1/live/ws" => Some(Endpoint::Live),
            _ => None,
        }
    }

    /// The subprotocols, the one we like best first.
    fn subprotocols(self) -> Vec<&'static str> {
        match self {
            Endpoint::Ingest => vec!["tidegate.v1"],
            Endpoint::Live => ws::PROTOCOLS.iter().map(|(name, _)| *name).collect(),
        }
    }

    fn message_bytes_max(self, app: &App) -> usize {
        match self {
            Endpoint::Ingest => app.intake.limits().wire.message_bytes,
            Endpoint::Live => VIEWER_MESSAGE_BYTES_MAX,
        }
    }
}

/// Answers a handshake, and serves the socket in a task of its own.
pub(super) fn upgrade(
    endpoint: Endpoint,
    app: &Arc<App>,
    mut request: Request<Incoming>,
    (peer, caller): (Peer, Arc<Caller>),
    held: Held,
    tasks: &TaskTracker,
) -> Response {
    if request.headers().get(UPGRADE).is_none() {
        return Problem::new(StatusCode::UPGRADE_REQUIRED, "this path speaks WebSocket")
            .into_response();
    }
    let subprotocol = match choose(endpoint, &request) {
        Ok(subprotocol) => subprotocol,
        Err(problem) => return problem.into_response(),
    };
    // tungstenite wants a request without a body type of its own.
    let mut response = match create_response_with_body(&request, || ()) {
        Ok(response) => response,
        Err(error) => return Problem::bad_request(error).into_response(),
    };
    if let Some(subprotocol) = subprotocol {
        let subprotocol = HeaderValue::from_static(subprotocol);
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, subprotocol);
    }
    let upgraded = hyper::upgrade::on(&mut request);
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(READ_BUFFER_BYTES)
        .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
        .max_message_size(Some(endpoint.message_bytes_max(app)))
        .max_frame_size(Some(endpoint.message_bytes_max(app)));
    let app = app.clone();
    tasks.spawn(async move {
        let held = held;
        let pass = app.door.pass(caller, &peer.ended);
        let Ok(upgraded) = upgraded.await else { return };
        let socket =
            WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config))
                .await;
        match endpoint {
            Endpoint::Ingest => app.intake.serve(socket, peer.address, &pass).await,
            Endpoint::Live => {
                let chosen = ws::PROTOCOLS.iter().find(|(name, _)| Some(*name) == subprotocol);
                let form = chosen.map_or(Form::Json, |(_, form)| *form);
                super::live::serve_socket(&app, socket, form, &pass).await;
            }
        }
        drop(held);
    });
    let (parts, ()) = response.into_parts();
    let mut response = warp::reply().into_response();
    *response.status_mut() = parts.status;
    *response.headers_mut() = parts.headers;
    response
}

/// Our subprotocol if it is offered; none if none is offered; refused if only others are.
fn choose(
    endpoint: Endpoint,
    request: &Request<Incoming>,
) -> Result<Option<&'static str>, Problem> {
    let offers: Vec<_> = request
        .headers()
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    let ours = endpoint.subprotocols();
    // Who offers several says first what it likes best.
    let chosen = offers.iter().find_map(|offer| ours.iter().find(|ours| *ours == offer).copied());
    if offers.is_empty() || chosen.is_some() {
        return Ok(chosen);
    }
    Err(Problem::bad_request(format!(
        "the subprotocol here is {}; offered were {}",
        ours.join(" or "),
        offers.join(", ")
    )))
}
