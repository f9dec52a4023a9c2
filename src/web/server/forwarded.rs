//! What a proxy that speaks HTTP says of a request. Believed only from those that are trusted: the others could
//! say anything.

use crate::config::ProxyConfig;
use std::net::{IpAddr, SocketAddr};
use warp::http::{HeaderMap, HeaderValue};

/// What trusted proxies say; what they don't is `None`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Forwarded {
    /// Where the client is.
    pub address: Option<IpAddr>,
    /// Whether it speaks TLS with the first of them.
    pub is_tls: Option<bool>,
    /// What it calls the daemon: the host of the page that it has open.
    pub host: Option<HeaderValue>,
}

/// Reads `X-Forwarded-…` of a request that comes from this address.
pub(super) fn read(headers: &HeaderMap, from: IpAddr, proxies: &ProxyConfig) -> Forwarded {
    if !proxies.is_trusted(from) {
        return Forwarded::default();
    }
    let scheme = last(headers, "x-forwarded-proto");
    Forwarded {
        address: client(headers, proxies),
        is_tls: scheme.map(|scheme| scheme.eq_ignore_ascii_case("https")),
        host: last(headers, "x-forwarded-host").and_then(|host| host.parse().ok()),
    }
}

/// Each proxy adds where its own peer is at the end. So from the end: the first that is not trusted is the
/// client, and what stands before it is what that one says.
fn client(headers: &HeaderMap, proxies: &ProxyConfig) -> Option<IpAddr> {
    let mut client = None;
    for entry in entries(headers, "x-forwarded-for").rev() {
        let Some(address) = address(entry) else { break };
        client = Some(address);
        if !proxies.is_trusted(address) {
            break;
        }
    }
    client
}

/// With or without a port, which some proxies add.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse().map(|address: SocketAddr| address.ip());
    bare.parse().or_else(|_| with_port()).ok()
}

fn last<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    entries(headers, name).next_back().filter(|value| !value.is_empty())
}

/// Of all headers of that name, in their order.
fn entries<'a>(headers: &'a HeaderMap, name: &str) -> std::vec::IntoIter<&'a str> {
    let values = headers.get_all(name).iter();
    // One that is no text is none that a proxy writes.
    let texts = values.map(|value| value.to_str().unwrap_or_default());
    let entries: Vec<_> = texts.flat_map(|text| text.split(',')).map(str::trim).collect();
    entries.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};

    fn proxies() -> ProxyConfig {
        let flags = vec![("proxy.trusted".to_owned(), "10.0.0.0/8,::1".to_owned())];
        load(&Sources { flags, ..Sources::default() }).unwrap().0.proxy
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for &(name, value) in pairs {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn the_client_is_the_last_that_no_trusted_proxy_stands_for() {
        for (lines, client) in [
            (&["198.51.100.7"][..], Some("198.51.100.7")),
            // What the client itself wrote does not count.
            (&["127.0.0.1, 198.51.100.7"], Some("198.51.100.7")),
            (&["127.0.0.1", "198.51.100.7"], Some("198.51.100.7")),
            (&["203.0.113.1, 198.51.100.7, 10.0.0.5"], Some("198.51.100.7")),
            (&["198.51.100.7:51000, 10.0.0.5:80"], Some("198.51.100.7")),
            (&["[2001:db8::7]:51000"], Some("2001:db8::7")),
            (&["[2001:db8::7]"], Some("2001:db8::7")),
            (&["2001:db8::7, ::1"], Some("2001:db8::7")),
            // All are proxies: the one that is furthest away.
            (&["10.0.0.6, 10.0.0.5"], Some("10.0.0.6")),
            (&["unknown, 10.0.0.5"], Some("10.0.0.5")),
            (&["198.51.100.7, nonsense"], None),
            (&["198.51.100.7, "], None),
            (&[], None),
        ] {
            let lines: Vec<_> = lines.iter().map(|&line| ("x-forwarded-for", line)).collect();
            let told = read(&headers(&lines), "10.0.0.1".parse().unwrap(), &proxies());
            assert_eq!(told.address, client.map(|ip| ip.parse().unwrap()), "{lines:?}");
        }
    }

    #[test]
    fn others_are_not_believed() {
        let headers = headers(&[
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "plant.example"),
        ]);
        let stranger = read(&headers, "198.51.100.7".parse().unwrap(), &proxies());
        assert_eq!(stranger, Forwarded::default());
        let proxy = read(&headers, "10.0.0.1".parse().unwrap(), &proxies());
        assert_eq!(proxy.is_tls, Some(true));
        assert_eq!(proxy.host.unwrap(), "plant.example");
    }

    #[test]
    fn the_nearest_proxy_has_the_last_word() {
        let headers = headers(&[
            ("x-forwarded-proto", "https, http"),
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-host", "plant.example:8443"),
        ]);
        let told = read(&headers, "::1".parse().unwrap(), &proxies());
        assert_eq!((told.is_tls, told.address), (Some(false), None));
        assert_eq!(told.host.unwrap(), "plant.example:8443");
    }
}
