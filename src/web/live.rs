//! `GET /api/v1/live` and the WebSocket beside it: viewers.

use super::entry;
use super::problem::Problem;
use super::state::App;
use super::unshared::Unshared;
use crate::auth::{Caller, Denied, Pass};
use crate::live::sse::{self, Encoding};
use crate::live::{Cursor, Form, LiveQuery, PollQuery, SubscribeError, Transport, ws};
use futures_util::StreamExt;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_util::sync::CancellationToken;
use warp::Reply;
use warp::http::{HeaderMap, HeaderValue, header};
use warp::reply::Response;

/// A viewer too many may try again after this.
const RETRY: Duration = Duration::from_secs(5);

/// `GET /api/v1/live`: the events of a subscription that the query string tells, from
/// `Last-Event-ID` or `cursor` on if that is still known.
///
/// # Errors
/// 400 if the query string says what can't be, 503 if there are too many viewers.
pub async fn events(
    app: Arc<App>,
    (caller, ended): (Arc<Caller>, CancellationToken),
    query: String,
    last_event_id: Option<String>,
    accept_encoding: Option<String>,
) -> Result<Response, Problem> {
    let asked = LiveQuery::parse(&query, app.live.windows()).map_err(Problem::bad_request)?;
    // A browser reconnects with the id of the last event it saw: newer than the address's cursor.
    // One that is no id of ours (of another server before us) is as good as none.
    let last = last_event_id.and_then(|id| id.parse::<Cursor>().ok());
    let viewer = app
        .live
        .subscribe(asked.subscription.within(&caller.reach), last.or(asked.cursor), Transport::Sse)
        .await
        .map_err(unavailable)?;
    let encoding = encoding(accept_encoding.as_deref());
    let pass = app.door.pass(caller, &ended);
    // It ends with either; the pass is held for as long as the body is read.
    let ended = pass.ended().clone();
    let events = sse::body(viewer, encoding, app.stop.clone());
    let body = Unshared::new(events.take_until(ended.cancelled_owned()).map(move |event| {
        let _held = &pass;
        Ok::<_, Infallible>(event)
    }));
    let mut response = warp::reply::stream(body).into_response();
    let headers = response.headers_mut();
    say_encoding(encoding, headers);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(sse::CONTENT_TYPE));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx would hold events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// `GET /api/v1/live/poll`: what came after the cursor, as soon as there is something.
///
/// # Errors
/// 400 if the query string says what can't be, 503 if there are too many viewers or the daemon stops.
pub async fn poll(
    app: Arc<App>,
    (caller, ended): (Arc<Caller>, CancellationToken),
    query: String,
    accept_encoding: Option<String>,
) -> Result<Response, Problem> {
    let asked = PollQuery::parse(&query, app.live.windows()).map_err(Problem::bad_request)?;
    let asked = PollQuery { subscription: asked.subscription.within(&caller.reach), ..asked };
    let pass = app.door.pass(caller, &ended);
    let polled = tokio::select! {
        polled = app.live.poll(asked) => polled.map_err(unavailable)?,
        () = pass.ended().cancelled() => return Err(entry::problem(&Denied::NotGood("your token, login or certificate is no longer good"))),
        () = app.stop.cancelled() => return Err(unavailable(SubscribeError::Ended)),
    };
    let encoding = encoding(accept_encoding.as_deref());
    let body = match encoding {
        Encoding::Plain => polled.json(),
        Encoding::Gzip => polled.gzip(),
    };
    let mut response = body.into_response();
    let headers = response.headers_mut();
    say_encoding(encoding, headers);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn unavailable(error: SubscribeError) -> Problem {
    match error {
        SubscribeError::TooManyViewers { .. } | SubscribeError::Ended => {
            Problem::unavailable(error, RETRY)
        }
    }
}

/// gzip, if it is accepted and not with a weight of zero.
fn encoding(accept: Option<&str>) -> Encoding {
    let takes_gzip = |offer: &str| {
        let (name, weight) = offer.split_once(';').unwrap_or((offer, ""));
        let weight = weight.trim().strip_prefix("q=").map_or(Ok(1.0), str::parse::<f64>);
        name.trim().eq_ignore_ascii_case("gzip") && weight.is_ok_and(|weight| weight > 0.0)
    };
    match accept {
        Some(accept) if accept.split(',').any(takes_gzip) => Encoding::Gzip,
        _ => Encoding::Plain,
    }
}

fn say_encoding(encoding: Encoding, headers: &mut HeaderMap) {
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if encoding == Encoding::Gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
}

/// Serves a viewer's WebSocket until it goes or the daemon stops.
pub async fn serve_socket<S>(app: &App, socket: WebSocketStream<S>, form: Form, pass: &Pass)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let guest = ws::Guest { reach: pass.caller().reach.clone(), ended: pass.ended().clone() };
    if let Err(error) = ws::serve(socket, app.live.clone(), form, guest, app.stop.clone()).await {
        log::debug!(error:err = error; "a viewer's connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_taken_by_who_says_so() {
        for (accept, expected) in [
            (None, Encoding::Plain),
            (Some("identity"), Encoding::Plain),
            (Some("br, gzip;q=0"), Encoding::Plain),
            (Some("gzip, deflate, br"), Encoding::Gzip),
            (Some("deflate, GZIP; q=0.5"), Encoding::Gzip),
        ] {
            assert_eq!(encoding(accept), expected, "{accept:?}");
        }
    }
}
