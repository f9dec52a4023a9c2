//! The entry: who a request is from, and whether it may go on to a route.

use super::credentials;
use super::problem::Problem;
use super::server::Peer;
use super::state::App;
use super::surface::{self, Asked, Needs};
use crate::auth::{Caller, Denied, Shown};
use crate::clock;
use std::net::IpAddr;
use std::sync::Arc;
use warp::http::header::{COOKIE, HOST, ORIGIN, UPGRADE};
use warp::http::uri::Authority;
use warp::http::{HeaderMap, Method, Request, StatusCode};

/// The cookies of a session: over plain HTTP, and over TLS, where browsers keep it to this host.
pub(super) const COOKIES: [&str; 2] = ["tidegate_session", "__Host-tidegate_session"];

/// Where a request goes on to.
#[derive(Debug)]
pub(super) enum Entered {
    /// To the files of the dashboard, which are for everybody.
    Page,
    /// To its route, as this caller.
    As(Arc<Caller>),
}

/// Lets a request through to its route.
///
/// # Errors
/// 401, 403, 404, 405 or 429.
pub(super) fn enter<B>(app: &App, request: &Request<B>, peer: &Peer) -> Result<Entered, Problem> {
    let (headers, path) = (request.headers(), request.uri().path());
    let asked = surface::find(request.method(), path)?;
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    if changes || headers.contains_key(UPGRADE) {
        own_origin(headers)?;
    }
    let Asked::Row(row) = asked else { return Ok(Entered::Page) };
    if row.needs == Needs::Nothing {
        return Ok(Entered::As(nobody()));
    }
    let caller = caller(app, request, peer)?;
    row.admit(&caller)?;
    Ok(Entered::As(caller))
}

/// A caller who may do nothing.
fn nobody() -> Arc<Caller> {
    Arc::new(Caller { scopes: [].into_iter().collect(), ..Caller::anonymous() })
}

/// Who the request is from.
///
/// # Errors
/// 401 or 429.
pub(super) fn caller<B>(
    app: &App,
    request: &Request<B>,
    peer: &Peer,
) -> Result<Arc<Caller>, Problem> {
    let headers = request.headers();
    let token = credentials::token(request);
    let shown = Shown {
        token: token.as_deref(),
        cookie: cookie(headers),
        certificate: peer.certificate.as_deref(),
        address: peer.address.ip(),
        is_indirect: peer.is_forwarded || is_forwarded(headers) || is_by_name(headers),
    };
    app.door.enter(&shown, clock::now()).map_err(|denied| problem(&denied))
}

/// The answer to somebody who is not let in.
pub(super) fn problem(denied: &Denied) -> Problem {
    match denied {
        Denied::NothingShown | Denied::Indirect => {
            Problem::unauthorized(denied, "Bearer realm=\"tidegate\"")
        }
        Denied::NotGood(_) => {
            Problem::unauthorized(denied, "Bearer realm=\"tidegate\", error=\"invalid_token\"")
        }
        Denied::TooManyFailures { retry_after } => {
            Problem::new(StatusCode::TOO_MANY_REQUESTS, denied).retry_after(*retry_after)
        }
    }
}

/// What the browser's cookie says.
pub(super) fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs =
        all.flat_map(|value| value.split(';')).filter_map(|it| it.trim().split_once('='));
    pairs.find(|(name, _)| COOKIES.contains(name)).map(|(_, value)| value)
}

fn is_forwarded(headers: &HeaderMap) -> bool {
    ["forwarded", "x-forwarded-for", "x-real-ip", "via"]
        .iter()
        .any(|name| headers.contains_key(*name))
}

/// Whether the host is asked for by a name that whoever owns it can have pointed at this machine: a page
/// of theirs would then pass for one of ours (DNS rebinding).
fn is_by_name(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST) else { return false };
    let Ok(authority) = host.to_str().unwrap_or_default().parse::<Authority>() else { return true };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let is_local = host.eq_ignore_ascii_case("localhost");
    !is_local && host.parse::<IpAddr>().is_err()
}

/// Pages of others must not change anything here with the rights of whoever looks at them. A browser
/// names the page's origin in every request that may change something, and in every WebSocket; programs
/// don't. Schemes may differ: a proxy may speak TLS for us.
///
/// # Errors
/// 403, if it is a page of another host.
fn own_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    let page = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    match (page, host) {
        (Some((_, page)), Some(host)) if page.eq_ignore_ascii_case(host) => Ok(()),
        _ => {
            let detail = "a page of another host must not change anything here, nor open a WebSocket (header Origin)";
            Err(Problem::new(StatusCode::FORBIDDEN, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use warp::http::HeaderValue;

    #[test]
    fn only_pages_of_this_host_and_programs_are_taken() {
        let is_own = |origin: Option<&'static str>, host: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            let mut set = |name, value: Option<&'static str>| {
                value.map(|value| headers.insert(name, HeaderValue::from_static(value)))
            };
            set(ORIGIN, origin);
            set(HOST, host);
            own_origin(&headers).is_ok()
        };
        let host = Some("plant.example:8080");
        for (origin, taken) in [
            (None, true),
            (Some("http://plant.example:8080"), true),
            (Some("https://Plant.Example:8080"), true),
            (Some("http://plant.example"), false),
            (Some("http://plant.example:80800"), false),
            (Some("http://evil.example"), false),
            (Some("http://plant.example:8080.evil.example"), false),
            (Some("null"), false),
            (Some(""), false),
        ] {
            assert_eq!(is_own(origin, host), taken, "{origin:?}");
        }
        assert!(!is_own(Some("http://plant.example"), None));
    }

    #[test]
    fn names_that_anybody_can_point_here_are_told_from_this_machine() {
        for (host, expected) in [
            ("localhost", false),
            ("LocalHost:8080", false),
            ("127.0.0.1:8080", false),
            ("[::1]:8080", false),
            ("evil.example:8080", true),
            ("localhost.evil.example", true),
            ("127.0.0.1.evil.example", true),
            ("", true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static(host));
            assert_eq!(is_by_name(&headers), expected, "{host}");
        }
        assert!(!is_by_name(&HeaderMap::new()));
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=1; tidegate_sessions=2"));
        assert_eq!(cookie(&headers), None);
        headers.append(COOKIE, HeaderValue::from_static("b=3; __Host-tidegate_session=x-y"));
        assert_eq!(cookie(&headers), Some("x-y"));
    }
}
