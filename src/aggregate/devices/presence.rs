//! Whether a device is there, since when, and why that is thought: a function of its receipts, of what
//! is known of its client's connections, of what others tell, and of the time.
//!
//! ```text
//! online  until  last receipt + missed × usual interval   (at least offline_after)     "no reading for …"
//!         or     its client's connection closed + grace, if that counts                "connection closed"
//! told    counts instead of both, until a reading comes another way                    "Sparkplug death"
//! ```
//! A closed connection counts for the devices whose last readings came over it, if it had stood for
//! longer than their usual interval: who connects only to deliver is not gone when he leaves. It does
//! not count while another way brings readings, nor after the client is back.
//!
//! Nobody is offline because the daemon was away, or its clock jumped: that time is no silence
//! ([`Presence::absent`]), and there is a grace afterwards.

use super::clients::Client;
use super::interval::Interval;
use crate::aggregate::settings::PresenceTerms;
use crate::model::{Protocol, Timestamp};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A connection that stood for so long was held, however seldom the device says something.
const HELD: Duration = Duration::from_secs(10 * 60);
/// Of a device that somebody told of before we were away it is told again, within this time.
const TOLD_AGAIN: Duration = Duration::from_secs(10 * 60);

/// The state of one device.
#[derive(Debug)]
pub(super) struct Presence {
    pub online: bool,
    pub since: Timestamp,
    pub reason: Option<Arc<str>>,
    /// Silence is measured from here: its last receipt, later by the time that we were away.
    /// `i64::MIN` = nothing was received of it in our life: it stays as it was.
    heard: Timestamp,
    /// When something last came by another client than the last one.
    heard_otherwise: Timestamp,
    pub interval: Interval,
    /// An operator's word for the interval.
    pub expected: Option<Duration>,
    /// Somebody who knows tells whether it is there.
    pub told: bool,
    /// Somebody did, before we were away.
    pub was_told: bool,
}

/// Why a device is not there, as people read it.
enum Cause {
    Silent(Silence),
    Closed,
}

enum Silence {
    Times { times: u32, interval: Duration, expected: bool },
    For(Duration),
}

impl Presence {
    /// Of a device of which nothing was received yet.
    pub fn new(seen: Timestamp) -> Presence {
        Presence {
            online: false,
            since: seen,
            reason: None,
            heard: Timestamp(i64::MIN),
            heard_otherwise: Timestamp(i64::MIN),
            interval: Interval::default(),
            expected: None,
            told: false,
            was_told: false,
        }
    }

    /// As it was when we went away. One that was offline stays that until it is heard of.
    pub fn restore(&mut self, online: bool, since: Timestamp, last_seen: Timestamp) {
        (self.online, self.since) = (online, since);
        self.heard = if online { last_seen } else { Timestamp(i64::MIN) };
    }

    /// Notes a receipt; `gap` is the time since the one before, if that says something. `otherwise` =
    /// it came by another client than the one before. Tells whether its state changed.
    pub fn received(&mut self, at: Timestamp, gap: Option<Duration>, otherwise: bool) -> bool {
        if let Some(gap) = gap {
            self.interval.learn(gap);
        }
        if otherwise {
            self.heard_otherwise = self.heard;
        }
        self.heard = self.heard.max(at);
        self.was_told = false;
        if self.online || self.told {
            return false;
        }
        (self.online, self.reason) = (true, None);
        self.since = self.since.max(at);
        true
    }

    /// Somebody who knows tells; from now on only that counts. Tells whether that is news.
    pub fn tell(&mut self, online: bool, reason: Option<&str>, at: Timestamp) -> bool {
        (self.told, self.was_told) = (true, false);
        if self.online != online {
            (self.online, self.since) = (online, at);
        } else if self.reason.as_deref() == reason {
            return false;
        }
        self.reason = reason.map(Into::into);
        true
    }

    /// We were away, or slept: that time was no silence.
    pub fn absent(&mut self, from: Timestamp, until: Timestamp) {
        if self.heard.0 != i64::MIN && self.heard <= from {
            self.heard = self.heard.saturating_add(until.since(from));
        }
    }

    /// Nothing was heard in the future, whatever our clock was then.
    pub fn not_after(&mut self, now: Timestamp) {
        self.heard = self.heard.min(now);
        self.since = self.since.min(now);
    }

    /// What the state is at `now`, nothing having been heard since. Tells whether it changed.
    pub fn judge(
        &mut self,
        now: Timestamp,
        (protocol, client): (Option<Protocol>, Option<&Client>),
        terms: &PresenceTerms,
        grace_until: Timestamp,
    ) -> bool {
        if self.told || self.heard.0 == i64::MIN {
            return false;
        }
        let over_ws = protocol == Some(Protocol::Ws);
        let (deadline, cause) = self.deadline(client.filter(|_| over_ws), terms);
        // The grace is for those who were there, and for nobody who was not.
        let deadline = if self.online { deadline.max(grace_until) } else { deadline };
        let online = now < deadline;
        if online == self.online {
            return false;
        }
        self.online = online;
        if online {
            (self.since, self.reason) = (now, None);
        } else {
            (self.since, self.reason) = (self.since.max(deadline), Some(cause.to_string().into()));
        }
        true
    }

    /// When it is offline, if nothing is heard of it, and why.
    fn deadline(&self, client: Option<&Client>, terms: &PresenceTerms) -> (Timestamp, Cause) {
        let (patience, silence) = self.patience(terms);
        let silent = self.heard.saturating_add(patience);
        let Some(closed) = client.and_then(Client::closed) else {
            return (silent, Cause::Silent(silence));
        };
        let usual = self.expected.or(self.interval.usual()).unwrap_or(terms.offline_after);
        let counts = closed.at >= self.heard
            && closed.stood > usual.min(HELD)
            && closed.at.since(self.heard_otherwise) > patience;
        let gone = closed.at.saturating_add(terms.reconnect_grace);
        if counts && gone < silent {
            return (gone, Cause::Closed);
        }
        (silent, Cause::Silent(silence))
    }

    fn patience(&self, terms: &PresenceTerms) -> (Duration, Silence) {
        let times = terms.missed;
        if let Some(interval) = self.expected {
            let silence = Silence::Times { times, interval, expected: true };
            return (interval.saturating_mul(times), silence);
        }
        let least = if self.was_told { TOLD_AGAIN } else { terms.offline_after };
        match self.interval.usual() {
            Some(interval) if interval.saturating_mul(times) >= least => {
                let silence = Silence::Times { times, interval, expected: false };
                (interval.saturating_mul(times), silence)
            }
            _ => (least, Silence::For(least)),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Closed => f.write_str("connection closed"),
            Cause::Silent(Silence::For(time)) => write!(f, "no reading for {}", Span(*time)),
            Cause::Silent(Silence::Times { times, interval, expected }) => {
                let kind = if *expected { "expected" } else { "usual" };
                write!(f, "no reading for {times} × its {kind} {}", Span(*interval))
            }
        }
    }
}

/// A duration to two digits, in its largest unit.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        let (value, unit) = match seconds {
            ..0.0995 => (seconds * 1000.0, "ms"),
            ..99.5 => (seconds, "s"),
            ..5970.0 => (seconds / 60.0, "min"),
            ..172_800.0 => (seconds / 3600.0, "h"),
            _ => (seconds / 86_400.0, "days"),
        };
        let tenths = (value * 10.0).round() / 10.0;
        match value < 9.95 && tenths.fract() != 0.0 {
            true => write!(f, "{tenths:.1} {unit}"),
            false => write!(f, "{:.0} {unit}", value.round()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(millis: u64, expected: &str) {
        assert_eq!(Span(Duration::from_millis(millis)).to_string(), expected);
    }

    #[test]
    fn spans_are_short() {
        check(12, "12 ms");
        check(100, "0.1 s");
        check(1000, "1 s");
        check(1540, "1.5 s");
        check(9_960, "10 s");
        check(30_000, "30 s");
        check(90_000, "90 s");
        check(120_000, "2 min");
        check(7_200_000, "2 h");
        check(260_000_000, "3 days");
    }
}
