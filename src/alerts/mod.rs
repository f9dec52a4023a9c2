//! Alerts: the rules at work behind the log, what they found, and who took notice.
//!
//! ```text
//!   SPOOL ──► worker (one thread) ── Watch, Desk ──► Round ──► alerts.db ──► changed() ──► notify
//!   presence, facts ──┘  ▲                            (one transaction)  └──► live (after it)
//!        Alerts (handle) ┘ acknowledge, silence, rules
//! ```
//!
//! Guarantees:
//! - What the rules have seen, the position in the log, the alerts and their events are written in one
//!   transaction: an end at any moment, `kill -9` too, neither loses an event nor tells it twice.
//! - Events have numbers without gaps, and are told to others only when they are on disk.
//! - Everything is bounded: things watched and alerts by [`Options::subjects_max`], events and alerts
//!   that are over by [`Changed::events_max`] and [`Changed::keep`], rules and silences by
//!   [`RULES_MAX`] and [`SILENCES_MAX`].
//! - The intake never waits for it: with the log filling up and `alerts.db` not to be written, what
//!   would have to wait is passed over, and said so.
//!
//! The rooms: `book` the file; `desk` what transitions mean for alerts; `silence`; `rulebook` rules of
//! all sources; `worker` the thread; `handle` its door.

mod book;
mod desk;
mod handle;
mod rulebook;
mod silence;
mod worker;

pub(crate) use book::FORMAT;
pub use book::{BookError, Detail, Filter, Happened};
pub use handle::{Alerts, Asked, Counts, Refused, Stats};
pub use rulebook::{RuleView, Source};
pub use silence::Silence;
pub use worker::{Opened, Tell, open};

use crate::pulse::Pulse;
use crate::rules::{self, Spec};
use std::path::PathBuf;
use std::time::Duration;

/// Rules of all sources together.
pub const RULES_MAX: usize = 1000;
/// Silences that are not over.
pub const SILENCES_MAX: usize = 1000;
/// The longest name of who acts, in bytes.
pub const BY_BYTES_MAX: usize = 128;
/// The longest note, in bytes.
pub const NOTE_BYTES_MAX: usize = 1024;

/// What can be changed while they run.
#[derive(Debug, Clone)]
pub struct Changed {
    /// The rules of the configuration.
    pub rules: Vec<Spec>,
    /// How long events, and alerts that are over, are kept; `None` = for ever.
    pub keep: Option<Duration>,
    /// And how many.
    pub events_max: u64,
}

/// How alerts are kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// The file; made if it does not exist.
    pub path: PathBuf,
    /// What they begin with.
    pub changed: Changed,
    /// Things that rules watch.
    pub subjects_max: usize,
    /// What was not heard of for so long is not watched any more.
    pub forget_after: Duration,
    /// How it tells that its thread goes on.
    pub pulse: Pulse,
}

impl Options {
    fn watch(&self) -> rules::Settings {
        rules::Settings { subjects_max: self.subjects_max, forget_after: self.forget_after }
    }
}
