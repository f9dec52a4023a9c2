//! The header with which a proxy begins a connection: PROXY protocol, version 2.
//!
//! ```text
//!  12  0d 0a 0d 0a 00 0d 0a 51 55 49 54 0a
//!   1  2 (version) << 4 | 0 (LOCAL: the proxy itself, as when it looks whether we are well) or 1 (PROXY)
//!   1  family << 4 | transport: 0x11 TCP over IPv4, 0x21 TCP over IPv6; others carry no address for us
//!   2  length of the rest, big-endian
//!   …  source address, destination address, source port, destination port; of IPv4 12 bytes, of IPv6 36
//!   …  more about the connection: type (1), length (2), value; 0x20 begins with a byte of which bit 0 says that
//!      the client speaks TLS with the proxy
//! ```
//!
//! By https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt. Written here, because it is less than what
//! the crates for it would take to be called, and to see that it is bounded.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use thiserror::Error;

/// What comes before the rest.
pub const FIXED_BYTES: usize = 16;
/// The longest rest that is read. Proxies keep the whole within a packet.
const REST_BYTES_MAX: usize = 4096;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
const TYPE_SSL: u8 = 0x20;
const CLIENT_SSL: u8 = 1;

/// What a header tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Where the client is; `None` = it is the proxy itself.
    pub source: Option<SocketAddr>,
    /// Whether it speaks TLS with the proxy.
    pub is_tls: bool,
}

/// The proxy does not speak the protocol; for the administrator of either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProxyHeaderError {
    /// It is something else.
    #[error("what comes is no PROXY header of version 2")]
    Foreign,
    /// It is longer than any.
    #[error("a PROXY header of {0} bytes")]
    TooLong(usize),
    /// It ends within what it has.
    #[error("a PROXY header that ends too early")]
    Short,
}

/// How many bytes follow the first [`FIXED_BYTES`].
///
/// # Errors
/// If these don't begin a header.
pub fn rest_bytes(fixed: &[u8; FIXED_BYTES]) -> Result<usize, ProxyHeaderError> {
    if fixed[..12] != SIGNATURE || fixed[12] >> 4 != 2 || fixed[12] & 0xf > 1 {
        return Err(ProxyHeaderError::Foreign);
    }
    match usize::from(u16::from_be_bytes([fixed[14], fixed[15]])) {
        length @ ..=REST_BYTES_MAX => Ok(length),
        length => Err(ProxyHeaderError::TooLong(length)),
    }
}

/// What the header tells whose rest this is.
///
/// # Errors
/// If it is broken.
pub fn read(fixed: &[u8; FIXED_BYTES], rest: &[u8]) -> Result<Told, ProxyHeaderError> {
    let rest = rest.get(..rest_bytes(fixed)?).ok_or(ProxyHeaderError::Short)?;
    let is_local = fixed[12] & 0xf == 0;
    let (ip, port_at, more_at): (IpAddr, _, _) = match fixed[13] {
        _ if is_local => return Ok(Told { source: None, is_tls: false }),
        0x11 => (Ipv4Addr::from(array::<4>(rest, 0)?).into(), 8, 12),
        0x21 => (Ipv6Addr::from(array::<16>(rest, 0)?).into(), 32, 36),
        _ => return Ok(Told { source: None, is_tls: false }),
    };
    let port = u16::from_be_bytes(array(rest, port_at)?);
    let more = rest.get(more_at..).ok_or(ProxyHeaderError::Short)?;
    Ok(Told { source: Some(SocketAddr::new(ip, port)), is_tls: speaks_tls(more)? })
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], ProxyHeaderError> {
    let found = bytes.get(at..at + N).and_then(|bytes| bytes.try_into().ok());
    found.ok_or(ProxyHeaderError::Short)
}

fn speaks_tls(mut more: &[u8]) -> Result<bool, ProxyHeaderError> {
    let mut is_tls = false;
    while !more.is_empty() {
        let [kind, high, low] = array(more, 0)?;
        let end = 3 + usize::from(u16::from_be_bytes([high, low]));
        let value = more.get(3..end).ok_or(ProxyHeaderError::Short)?;
        if kind == TYPE_SSL {
            is_tls = value.first().is_some_and(|client| client & CLIENT_SSL != 0);
        }
        more = &more[end..];
    }
    Ok(is_tls)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A header as a proxy writes it.
    fn write(source: SocketAddr, more: &[(u8, Vec<u8>)]) -> (Vec<u8>, Vec<u8>) {
        let mut rest = Vec::new();
        let family = match source.ip() {
            IpAddr::V4(ip) => {
                rest.extend(ip.octets());
                rest.extend([192, 0, 2, 1]);
                0x11
            }
            IpAddr::V6(ip) => {
                rest.extend(ip.octets());
                rest.extend([0; 16]);
                0x21
            }
        };
        rest.extend(source.port().to_be_bytes());
        rest.extend(443u16.to_be_bytes());
        for (kind, value) in more {
            rest.push(*kind);
            rest.extend((value.len() as u16).to_be_bytes());
            rest.extend(value);
        }
        let mut fixed = SIGNATURE.to_vec();
        fixed.extend([0x21, family]);
        fixed.extend((rest.len() as u16).to_be_bytes());
        (fixed, rest)
    }

    fn parse(fixed: &[u8], rest: &[u8]) -> Result<Told, ProxyHeaderError> {
        read(fixed.try_into().unwrap(), rest)
    }

    #[test]
    fn a_proxy_that_looks_after_us_has_no_client() {
        let (mut fixed, rest) = write("198.51.100.7:51000".parse().unwrap(), &[]);
        fixed[12] = 0x20;
        assert_eq!(parse(&fixed, &rest), Ok(Told { source: None, is_tls: false }));
        // UNSPEC, UDP, a Unix socket.
        for family in [0x00, 0x12, 0x31] {
            let (mut fixed, rest) = write("198.51.100.7:51000".parse().unwrap(), &[]);
            fixed[13] = family;
            assert_eq!(parse(&fixed, &rest).unwrap().source, None, "{family:#x}");
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let (fixed, rest) = write("198.51.100.7:51000".parse().unwrap(), &[]);
        let with = |at: usize, byte: u8| {
            let mut fixed = fixed.clone();
            fixed[at] = byte;
            parse(&fixed, &rest)
        };
        assert_eq!(with(0, b'G'), Err(ProxyHeaderError::Foreign));
        assert_eq!(with(12, 0x11), Err(ProxyHeaderError::Foreign), "version 1 of it");
        assert_eq!(with(12, 0x22), Err(ProxyHeaderError::Foreign), "an unknown command");
        assert_eq!(with(14, 0xff), Err(ProxyHeaderError::TooLong(0xff0c)));
        assert_eq!(with(15, 11), Err(ProxyHeaderError::Short));
        assert_eq!(parse(b"GET / HTTP/1.1\r\n", b""), Err(ProxyHeaderError::Foreign));
    }

    fn address() -> impl Strategy<Value = SocketAddr> {
        let v4 = (any::<[u8; 4]>(), any::<u16>()).prop_map(|(ip, port)| (IpAddr::from(ip), port));
        let v6 = (any::<[u8; 16]>(), any::<u16>()).prop_map(|(ip, port)| (IpAddr::from(ip), port));
        prop_oneof![v4, v6].prop_map(|(ip, port)| SocketAddr::new(ip, port))
    }

    fn values() -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
        let value = (any::<u8>(), proptest::collection::vec(any::<u8>(), 0..40));
        proptest::collection::vec(value, 0..6)
    }

    proptest! {
        #[test]
        fn what_a_proxy_writes_is_what_is_read(source in address(), mut more in values(), is_tls in any::<bool>()) {
            more.retain(|(kind, _)| *kind != TYPE_SSL);
            more.push((TYPE_SSL, vec![u8::from(is_tls), 0, 0, 0, 0]));
            let (fixed, rest) = write(source, &more);
            prop_assert_eq!(rest_bytes(fixed[..].try_into().unwrap()), Ok(rest.len()));
            prop_assert_eq!(parse(&fixed, &rest), Ok(Told { source: Some(source), is_tls }));
        }

        #[test]
        fn nothing_cut_off_is_read(source in address(), more in values(), cut in any::<prop::sample::Index>()) {
            let (fixed, rest) = write(source, &more);
            prop_assert_eq!(parse(&fixed, &rest[..cut.index(rest.len())]), Err(ProxyHeaderError::Short));
        }

        #[test]
        fn no_bytes_are_too_strange(fixed in any::<[u8; 4]>(), rest in proptest::collection::vec(any::<u8>(), 0..600)) {
            let mut whole = SIGNATURE.to_vec();
            whole.extend(fixed);
            let read_whole = parse(&whole, &rest);
            if let Ok(length) = rest_bytes(whole[..].try_into().unwrap()) && length > rest.len() {
                prop_assert_eq!(read_whole, Err(ProxyHeaderError::Short));
            }
        }
    }
}
