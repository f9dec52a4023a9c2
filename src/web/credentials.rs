//! The token that a request shows, wherever the clients of its path put it.
//!
//! Everywhere it is a bearer token (RFC 6750). The streams take it from the query, too, because a browser's
//! EventSource sets no headers. Where InfluxDB's clients write it is what they call a token or a password.

use super::influx;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;
use url::form_urlencoded;
use warp::http::Request;
use warp::http::header::AUTHORIZATION;

/// Paths that a token may be shown to in the query, because their clients can't always set headers.
const STREAMS: [&str; 4] =
    ["/api/v1/ingest/ws", "/api/v1/live", "/api/v1/live/ws", "/api/v1/live/poll"];

/// What is shown, if anything.
pub(super) fn token<B>(request: &Request<B>) -> Option<Cow<'_, str>> {
    let (path, query) = (request.uri().path(), request.uri().query());
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (scheme, shown) = header.and_then(|value| value.split_once(' ')).unwrap_or_default();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Cow::Borrowed(shown.trim()));
    }
    if influx::is_write(path) {
        return in_header_as_influx(scheme, shown.trim()).or_else(|| of_query(query?, "p"));
    }
    of_query(query.filter(|_| STREAMS.contains(&path))?, "access_token")
}

/// A token of InfluxDB 2, or the password of 1.x: either as Basic, or as its 1.8 took both, `USER:PASSWORD`
/// for a token. Clients that have none send an empty one.
fn in_header_as_influx<'a>(scheme: &str, shown: &'a str) -> Option<Cow<'a, str>> {
    let password = |both: &str| both.split_once(':').map(|(_, password)| password.to_owned());
    let token = match scheme {
        it if it.eq_ignore_ascii_case("token") => match password(shown) {
            Some(password) => Cow::Owned(password),
            None => Cow::Borrowed(shown),
        },
        it if it.eq_ignore_ascii_case("basic") => {
            let both = String::from_utf8(STANDARD.decode(shown).ok()?).ok()?;
            Cow::Owned(password(&both)?)
        }
        _ => return None,
    };
    Some(token).filter(|token| !token.is_empty())
}

fn of_query<'a>(query: &'a str, key: &str) -> Option<Cow<'a, str>> {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|(name, _)| name == key).map(|(_, token)| token).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(path: &str, header: Option<&str>) -> Option<String> {
        let request = Request::get(path);
        let request = match header {
            Some(header) => request.header(AUTHORIZATION, header),
            None => request,
        };
        token(&request.body(()).unwrap()).map(Cow::into_owned)
    }

    #[test]
    fn a_token_is_found_where_the_clients_of_a_path_put_it() {
        let basic = format!("Basic {}", STANDARD.encode("ana:key:1"));
        for (path, header, expected) in [
            ("/api/v1/devices", Some("Bearer key"), Some("key")),
            ("/api/v1/devices", Some("bearer  key "), Some("key")),
            ("/api/v1/devices", Some("Token key"), None),
            ("/api/v1/devices", Some(&*basic), None),
            ("/api/v1/devices?access_token=key", None, None),
            ("/api/v1/live?metric=x&access_token=a%2Bb", None, Some("a+b")),
            ("/api/v1/live?p=key", None, None),
            ("/api/v2/write?org=o", Some("Token key"), Some("key")),
            ("/api/v2/write", Some("token ana:key"), Some("key")),
            ("/api/v2/write", Some("Token "), None),
            ("/api/v2/write", Some("Bearer key"), Some("key")),
            ("/write?db=x", Some(&*basic), Some("key:1")),
            ("/write", Some("Basic !"), None),
            ("/write?db=x&u=ana&p=a%2Bb", None, Some("a+b")),
            ("/write?u=ana&p=", None, None),
            ("/write?p=other", Some("Token key"), Some("key")),
            ("/api/v3/write_lp?db=x", Some("Bearer key"), Some("key")),
            ("/ping?p=key", None, None),
        ] {
            assert_eq!(shown(path, header).as_deref(), expected, "{path} {header:?}");
        }
    }
}
