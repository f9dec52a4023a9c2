//! `[proxy]`, checked: who may speak for others.

use super::checked::Checker;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Proxy {
    trusted: Vec<String>,
    protocol: String,
}

/// Proxies before us; see `config/tidegate.toml`. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Default))]
pub struct ProxyConfig {
    trusted: Arc<[IpNet]>,
    /// Whether each connection of theirs begins with a PROXY header, version 2.
    pub has_header: bool,
}

impl ProxyConfig {
    /// Whether what comes from there is believed about where it comes from.
    #[must_use]
    pub fn is_trusted(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|network| network.contains(&address))
    }
}

impl Checker<'_> {
    pub(super) fn proxy(&mut self, file: &Proxy) -> ProxyConfig {
        let mut trusted = Vec::new();
        for text in &file.trusted {
            // An address is the network of its own.
            let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            match network {
                Ok(network) if network.prefix_len() == 0 => {
                    let problem = format!(
                        "{network} is everybody, and everybody could say that they come from anywhere"
                    );
                    self.wrong("proxy.trusted", problem);
                }
                Ok(network) => trusted.push(network),
                Err(_) => {
                    let problem = format!(
                        "\"{text}\" is no network or address, like \"10.0.0.0/8\" or \"127.0.0.1\""
                    );
                    self.wrong("proxy.trusted", problem);
                }
            }
        }
        let has_header =
            self.one_of("proxy.protocol", &file.protocol, &[("off", false), ("v2", true)]);
        if has_header && file.trusted.is_empty() {
            let problem = "needs proxy.trusted: a PROXY header is taken from nobody else";
            self.wrong("proxy.protocol", problem.to_owned());
        }
        ProxyConfig { trusted: trusted.into(), has_header }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(trusted: &[&str], protocol: &str) -> (ProxyConfig, usize) {
        let trusted = trusted.iter().map(ToString::to_string).collect();
        let mut mistakes = Vec::new();
        let proxy = Checker { mistakes: &mut mistakes }
            .proxy(&Proxy { trusted, protocol: protocol.into() });
        (proxy, mistakes.len())
    }

    #[test]
    fn only_named_networks_are_trusted() {
        let (proxy, mistakes) = check(&["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"], "v2");
        assert_eq!((mistakes, proxy.has_header), (0, true));
        for (address, trusted) in [
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("192.0.2.1", true),
            ("192.0.2.2", false),
            // How a listener on [::] sees 10.0.0.1.
            ("::ffff:10.0.0.1", true),
            ("2001:db8:1::1", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(proxy.is_trusted(address.parse().unwrap()), trusted, "{address}");
        }
    }

    #[test]
    fn everybody_nobody_and_nonsense_are_mistakes() {
        for (trusted, protocol, mistakes) in [
            (&[][..], "off", 0),
            (&["0.0.0.0/0"], "off", 1),
            (&["::/0"], "off", 1),
            (&["10.0.0.0/33"], "off", 1),
            (&["proxy.example"], "off", 1),
            (&[], "v2", 1),
            (&["10.0.0.1"], "v1", 1),
        ] {
            assert_eq!(check(trusted, protocol).1, mistakes, "{trusted:?} {protocol}");
        }
    }
}
