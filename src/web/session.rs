//! `/api/v1/session`: who a browser is; a token is shown once, then a cookie stands for it.

use super::body;
use super::entry::{self, COOKIES};
use super::problem::Problem;
use super::routes::{answer, exactly, reading};
use super::server::Peer;
use super::state::App;
use crate::auth::{Caller, Denied, How, Note, Scope, SessionError, Shown};
use crate::clock;
use crate::model::Timestamp;
use bytes::Buf;
use futures_util::Stream;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::time::Duration;
use warp::filters::BoxedFilter;
use warp::http::header::{CACHE_CONTROL, SET_COOKIE};
use warp::http::{HeaderMap, HeaderValue, Request, StatusCode};
use warp::reply::Response;
use warp::{Filter, Reply};

/// A token and what is around it.
const BODY_BYTES_MAX: usize = 16 << 10;
/// When to try again to log in if it could not be written down.
const AGAIN: Duration = Duration::from_secs(5);

/// Who am I, log in, log out. The entry has looked at the page's origin.
pub(super) fn routes(app: Arc<App>) -> BoxedFilter<(Response,)> {
    let with = warp::any().map(move || app.clone()).boxed();
    let peer = || warp::ext::get::<Peer>().boxed();
    let who = reading()
        .and(exactly("api/v1/session"))
        .and(with.clone())
        .and(warp::header::headers_cloned())
        .and(peer())
        .map(|app: Arc<App>, headers, peer: Peer| answer(who(&app, headers, &peer)));
    let begin = warp::post()
        .and(exactly("api/v1/session"))
        .and(with.clone())
        .and(warp::header::headers_cloned())
        .and(peer())
        .and(warp::body::stream())
        .then(|app: Arc<App>, headers: HeaderMap, peer: Peer, body| async move {
            answer(begin(&app, &headers, &peer, body).await)
        });
    let end = warp::delete()
        .and(exactly("api/v1/session"))
        .and(with)
        .and(warp::header::headers_cloned())
        .and(peer())
        .map(|app: Arc<App>, headers: HeaderMap, peer: Peer| end(&app, &headers, &peer));
    who.or(begin).unify().or(end).unify().map(unstored).boxed()
}

/// No cache keeps who somebody is.
fn unstored(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// `GET /api/v1/session`.
fn who(app: &App, headers: HeaderMap, peer: &Peer) -> Result<Response, Problem> {
    let mut request = Request::new(());
    *request.headers_mut() = headers;
    let caller = entry::caller(app, &request, peer)?;
    Ok(warp::reply::json(&told(&caller)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    token: String,
}

/// `POST /api/v1/session`.
async fn begin(
    app: &App,
    headers: &HeaderMap,
    peer: &Peer,
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
) -> Result<Response, Problem> {
    let body = body::read(body, BODY_BYTES_MAX, app.intake.limits().body_timeout).await?;
    // What is wrong with it is not told back: it is a secret.
    let Asked { token } = serde_json::from_slice(&body)
        .map_err(|_| Problem::bad_request("the body is {\"token\":\"…\"}"))?;
    let (now, address) = (clock::now(), peer.address.ip());
    let shown = Shown {
        token: Some(token.trim()),
        cookie: None,
        certificate: None,
        address,
        is_indirect: peer.is_forwarded,
    };
    let entered = app.door.enter(&shown, now).and_then(|caller| match caller.how {
        // Whoever is let in for nothing has shown nothing.
        How::Anonymous => Err(Denied::NotGood("the token is not known here")),
        _ => Ok(caller),
    });
    let caller = entered.map_err(|denied| {
        app.door.records().trail.note_failed_login(now, address, &denied.to_string());
        entry::problem(&denied)
    })?;
    let begun = app.door.records().sessions.begin(&caller, now).await;
    let begun = begun.map_err(|error: SessionError| Problem::unavailable(error, AGAIN))?;
    // Who logs in once more is somebody else from now on.
    if let Some(before) = entry::cookie(headers) {
        app.door.records().sessions.end(before);
    }
    note(app, &caller, peer, now, "login");
    let mut response = warp::reply::json(&told(&begun.caller)).into_response();
    set_cookie(&mut response, peer.is_tls, &begun.cookie, begun.lasts);
    Ok(response)
}

/// `DELETE /api/v1/session`. Whoever is not logged in is so afterwards, too.
fn end(app: &App, headers: &HeaderMap, peer: &Peer) -> Response {
    let ended = entry::cookie(headers).and_then(|cookie| app.door.records().sessions.end(cookie));
    if let Some(caller) = ended {
        note(app, &caller, peer, clock::now(), "logout");
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    set_cookie(&mut response, peer.is_tls, "", Duration::ZERO);
    response
}

fn note(app: &App, caller: &Caller, peer: &Peer, at: Timestamp, did: &'static str) {
    let key = match &caller.how {
        How::Key(id) | How::Session { key: Some(id), .. } => format!("key {id}"),
        _ => String::new(),
    };
    app.door.records().trail.note(Note {
        at,
        by: caller.name.clone(),
        how: caller.how.name(),
        address: Some(peer.address.ip()),
        did,
        what: key,
    });
}

/// Scripts don't see it, other sites don't send it, and over TLS it never leaves that, nor comes from
/// another host of the domain (`__Host-`).
fn set_cookie(response: &mut Response, is_tls: bool, value: &str, lasts: Duration) {
    let [plain, over_tls] = COOKIES;
    let (name, secure) = if is_tls { (over_tls, "; Secure") } else { (plain, "") };
    let seconds = lasts.as_secs();
    let cookie =
        format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}");
    // It has only hexadecimal digits that are not known before.
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
}

/// A caller as the API tells them.
fn told(caller: &Caller) -> Json {
    json!({
        "name": caller.name,
        "scopes": caller.scopes.in_force().map(Scope::name).collect::<Vec<_>>(),
        "devices": caller.reach.globs(),
        "how": caller.how.name(),
        "expires_at": caller.expires_at.map(|at| at.as_millis()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_for_this_host_and_over_tls_for_nothing_else() {
        let cookie = |is_tls, value, seconds| {
            let mut response = Response::default();
            set_cookie(&mut response, is_tls, value, Duration::from_secs(seconds));
            response.headers()[SET_COOKIE].to_str().unwrap().to_owned()
        };
        let plain = "tidegate_session=a1; Path=/; HttpOnly; SameSite=Strict; Max-Age=60";
        assert_eq!(cookie(false, "a1", 60), plain);
        assert_eq!(cookie(true, "a1", 60), format!("__Host-{plain}; Secure"));
        let gone = "__Host-tidegate_session=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0; Secure";
        assert_eq!(cookie(true, "", 0), gone);
    }
}
