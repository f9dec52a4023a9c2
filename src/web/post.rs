//! What every posted body for the intake takes, whatever its form: who sends it, the body within its
//! limits, and what HTTP says of how it went.
//!
//! A handler reads of its protocol what the form is, and answers as its clients understand it.

use super::body;
use super::problem::Problem;
use super::routes::caller;
use super::server::Peer;
use super::state::App;
use crate::auth::{Caller, How};
use crate::intake::{PostAnswer, Posted, PostedAs};
use crate::model::{ClientId, SessionId, check_name};
use crate::wire::RefusalCode;
use bytes::Buf;
use futures_util::Stream;
use std::net::IpAddr;
use std::sync::Arc;
use warp::http::{HeaderMap, StatusCode, header};
use warp::{Filter, Rejection};

/// A request whose body is for the intake.
pub(super) struct Sent<B> {
    pub headers: HeaderMap,
    peer: IpAddr,
    pub caller: Arc<Caller>,
    body: B,
}

/// What a handler knows of a body.
pub(super) struct Known {
    pub form: PostedAs,
    pub client: ClientId,
    /// 0 = none.
    pub session: SessionId,
    pub seq: u64,
}

/// Takes it from the request.
pub(super) fn sent()
-> impl Filter<Extract = (Sent<impl Stream<Item = Result<impl Buf, warp::Error>>>,), Error = Rejection>
+ Clone {
    warp::header::headers_cloned()
        .and(warp::ext::get::<Peer>())
        .and(caller())
        .and(warp::body::stream())
        .map(|headers, peer: Peer, caller, body| Sent {
            headers,
            peer: peer.address.ip(),
            caller,
            body,
        })
}

impl<S, B> Sent<S>
where
    S: Stream<Item = Result<B, warp::Error>>,
    B: Buf,
{
    /// Who sends it: the caller, or who they say.
    ///
    /// # Errors
    /// 400 if it is no name, 403 if they may not send as that.
    pub fn client(&self, app: &App, said: Option<String>) -> Result<ClientId, Problem> {
        let caller = &self.caller;
        let Some(client) = said else { return Ok(self.sender()) };
        check_name(&client, app.intake.limits().wire.name_bytes)
            .map_err(|error| Problem::bad_request(format!("client: {error}")))?;
        if caller.may_be(&client) {
            return Ok(client.into());
        }
        let detail = format!("{} may not send as the client {client}", caller.name);
        Err(Problem::new(StatusCode::FORBIDDEN, detail))
    }

    /// Who sends it, where nobody says anything else: the caller, or the address of one without a name.
    pub fn sender(&self) -> ClientId {
        match self.caller.how {
            How::Anonymous => self.peer.to_string().into(),
            _ => ClientId::from(self.caller.name.to_string()),
        }
    }

    /// The body's type, without its parameters.
    pub fn media_type(&self) -> Option<&str> {
        let given = self.headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        given.split(';').next().map(str::trim)
    }

    /// Reads the body and gives it to the intake.
    ///
    /// # Errors
    /// 408, 413 or 415, or 400 when the client broke off.
    pub async fn post(self, app: &App, known: Known) -> Result<PostAnswer, Problem> {
        encoding(&self.headers, known.form)?;
        let limits = app.intake.limits();
        let body = body::read(self.body, limits.wire.message_bytes, limits.body_timeout).await?;
        let Known { form, client, session, seq } = known;
        let reach = self.caller.reach.clone();
        let posted = Posted { form, body, client, peer: Some(self.peer), reach, session, seq };
        Ok(app.intake.post(posted).await)
    }
}

/// The compression is recognised by the body's first bytes; the header may only name one that is.
fn encoding(headers: &HeaderMap, form: PostedAs) -> Result<(), Problem> {
    let given = headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?"));
    let (read, others) = match form {
        // A block of snappy has no first bytes of its own.
        PostedAs::RemoteWrite(_) => (&["snappy"][..], "snappy is"),
        _ => (&["identity", "gzip", "deflate", "zstd"][..], "gzip, deflate and zstd are"),
    };
    match given {
        Some(other) if !read.contains(&other) => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("Content-Encoding {other} is not read; {others}"),
        )),
        _ => Ok(()),
    }
}

/// How it went: 200 if all of it entered, 4xx for what will never enter, 429 and 503 for what may come
/// again (`answer.retry_after` says when).
pub(super) fn status(answer: &PostAnswer) -> StatusCode {
    let first = answer.refused.first().map(|part| part.refusal.code);
    match first {
        None => StatusCode::OK,
        Some(RefusalCode::TooLarge) if answer.accepted == 0 => StatusCode::PAYLOAD_TOO_LARGE,
        Some(RefusalCode::RateLimited | RefusalCode::OverCredit | RefusalCode::TooManySeries)
            if answer.retry_after.is_some() =>
        {
            StatusCode::TOO_MANY_REQUESTS
        }
        Some(_) if answer.retry_after.is_some() => StatusCode::SERVICE_UNAVAILABLE,
        Some(_) if answer.unreadable => StatusCode::BAD_REQUEST,
        Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
    }
}
