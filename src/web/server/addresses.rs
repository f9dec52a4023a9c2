//! How much one address may have: connections, new ones per second, viewers.
//!
//! A bound on what one guest can take from the others, not a way to tell guests apart: behind one address
//! there may be a whole site. Of IPv6 a /64 is one address, because whoever has one has all of it.

use super::ServerOptions;
use crate::clock;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Addresses that are told apart. Beyond, those that come new share what one may have: they can be told
/// apart again when others are gone.
pub(crate) const ADDRESSES_MAX: usize = 1 << 16;
/// How often a full table is looked through for addresses that are gone.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// How many times as many as in a second may come at once.
const BURST: u32 = 10;

/// What one address may have.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(test, derive(Default))]
pub struct AddressLimits {
    /// Open connections.
    pub connections: u32,
    /// New ones, in the long run.
    pub handshakes_per_second: u32,
    /// Viewers.
    pub viewers: u32,
}

/// Why a connection is closed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TooMany {
    /// It has as many as it may.
    Connections,
    /// It came too often lately.
    Handshakes,
}

/// All addresses that have something. Cheap to clone.
#[derive(Clone)]
pub(super) struct Addresses {
    inner: Arc<Inner>,
}

struct Inner {
    /// Of this moment.
    options: watch::Receiver<ServerOptions>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    of: HashMap<Key, Usage>,
    swept_at: Option<Instant>,
}

/// `None` = all that the table has no room for.
type Key = Option<IpAddr>;

#[derive(Default)]
struct Usage {
    connections: u32,
    viewers: u32,
    /// When everything that came would be over, had it come at the rate that is allowed.
    paid_until: Option<Instant>,
}

impl Usage {
    fn is_gone(&self, now: Instant) -> bool {
        let is_paid = self.paid_until.is_none_or(|until| until <= now);
        self.connections == 0 && self.viewers == 0 && is_paid
    }
}

/// One of an address's connections, or viewers; given back when dropped.
pub(super) struct Place {
    addresses: Addresses,
    key: Key,
    count: fn(&mut Usage) -> &mut u32,
}

impl Addresses {
    pub fn new(options: watch::Receiver<ServerOptions>) -> Addresses {
        Addresses { inner: Arc::new(Inner { options, known: Mutex::default() }) }
    }

    /// Takes a place for a connection that came now.
    pub fn connection(&self, address: IpAddr) -> Result<Place, TooMany> {
        self.connection_at(address, clock::monotonic())
    }

    fn connection_at(&self, address: IpAddr, now: Instant) -> Result<Place, TooMany> {
        let limits = self.limits();
        let interval = Duration::from_secs(1) / limits.handshakes_per_second.max(1);
        let mut known = self.known();
        let (key, usage) = known.usage(address, now);
        let paid_until = usage.paid_until.map_or(now, |until| until.max(now));
        let ahead_max = interval * (limits.handshakes_per_second.saturating_mul(BURST) - 1);
        if paid_until - now > ahead_max {
            return Err(TooMany::Handshakes);
        }
        usage.paid_until = Some(paid_until + interval);
        if usage.connections >= limits.connections {
            return Err(TooMany::Connections);
        }
        usage.connections += 1;
        drop(known);
        Ok(Place { addresses: self.clone(), key, count: |usage| &mut usage.connections })
    }

    /// Takes a place for a viewer; `None` if there is none.
    pub fn viewer(&self, address: IpAddr) -> Option<Place> {
        let mut known = self.known();
        let (key, usage) = known.usage(address, clock::monotonic());
        if usage.viewers >= self.limits().viewers {
            return None;
        }
        usage.viewers += 1;
        drop(known);
        Some(Place { addresses: self.clone(), key, count: |usage| &mut usage.viewers })
    }

    fn limits(&self) -> AddressLimits {
        self.inner.options.borrow().per_address
    }

    /// A panic elsewhere while it was locked leaves it valid.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.inner.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn usage(&mut self, address: IpAddr, now: Instant) -> (Key, &mut Usage) {
        let mut key = Some(whole(address));
        if self.of.len() >= ADDRESSES_MAX && !self.of.contains_key(&key) {
            if self.swept_at.is_none_or(|at| now - at >= SWEEP_INTERVAL) {
                self.of.retain(|_, usage| !usage.is_gone(now));
                self.swept_at = Some(now);
            }
            if self.of.len() >= ADDRESSES_MAX {
                key = None;
            }
        }
        (key, self.of.entry(key).or_default())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut known = self.addresses.known();
        if let Some(usage) = known.of.get_mut(&self.key) {
            let count = (self.count)(usage);
            *count = count.saturating_sub(1);
        }
    }
}

/// What counts as one address.
fn whole(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses() -> Addresses {
        let per_address = AddressLimits { connections: 3, handshakes_per_second: 10, viewers: 1 };
        let options = ServerOptions { per_address, ..ServerOptions::default() };
        Addresses::new(watch::Sender::new(options).subscribe())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_so_many_connections_and_others_theirs() {
        let addresses = addresses();
        let one = || addresses.connection(ip("192.0.2.1"));
        let mut held: Vec<_> = (0..3).map(|_| one().ok().unwrap()).collect();
        assert_eq!(one().err(), Some(TooMany::Connections));
        assert!(addresses.connection(ip("192.0.2.2")).is_ok());
        held.pop();
        held.push(one().ok().unwrap());
        assert_eq!(one().err(), Some(TooMany::Connections));
        // The same one, as a listener on [::] sees it.
        let mapped = addresses.connection(ip("::ffff:192.0.2.1"));
        assert_eq!(mapped.err(), Some(TooMany::Connections));
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let addresses = addresses();
        let _first = addresses.viewer(ip("2001:db8::1")).unwrap();
        assert!(addresses.viewer(ip("2001:db8::ffff:1")).is_none());
        assert!(addresses.viewer(ip("2001:db8:0:1::1")).is_some());
    }

    #[test]
    fn who_comes_too_often_waits() {
        let addresses = addresses();
        let start = clock::monotonic();
        let come = |ms: u64| {
            let now = start + Duration::from_millis(ms);
            addresses.connection_at(ip("192.0.2.1"), now).map(drop)
        };
        let burst = (0..1000).filter(|_| come(0).is_ok()).count();
        assert_eq!(burst, 100);
        assert_eq!(come(99), Err(TooMany::Handshakes));
        assert_eq!((come(100), come(100)), (Ok(()), Err(TooMany::Handshakes)));
        let later = (0..1000).filter(|_| come(1100).is_ok()).count();
        assert_eq!(later, 10);
        let much_later = (0..1000).filter(|_| come(3_600_000).is_ok()).count();
        assert_eq!(much_later, 100);
    }

    #[test]
    fn the_table_is_bounded_and_those_beyond_share() {
        let addresses = addresses();
        let start = clock::monotonic();
        let come = |number: u32, now| {
            addresses.connection_at(std::net::Ipv4Addr::from_bits(number).into(), now)
        };
        let held: Vec<_> =
            (0..ADDRESSES_MAX as u32).map(|number| come(number, start).ok().unwrap()).collect();
        let mut beyond: Vec<_> =
            (0..3).map(|number| come(1 << 20 | number, start).ok().unwrap()).collect();
        assert_eq!(come(1 << 21, start).err(), Some(TooMany::Connections), "they share");
        assert_eq!(addresses.known().of.len(), ADDRESSES_MAX + 1);
        drop(held);
        let later = start + 2 * SWEEP_INTERVAL;
        beyond.push(come(1 << 21, later).ok().unwrap());
        assert!(addresses.known().of.len() <= 2, "those that are gone are forgotten");
    }
}
