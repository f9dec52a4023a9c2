//! `alerts.db`: what the rules have seen, alerts, and the journal of what happened to them.
//!
//! The worker has one [`Book`] and writes; readers have another. The rooms: `file` tables and opening;
//! `write` rounds and retention; `read` lists.

mod file;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use file::FORMAT;
pub(super) use file::{Book, Remembered};

use super::silence::Silence;
use crate::model::{Position, Reach, Timestamp};
use crate::rules::{Alert, Event, Spec};
use std::collections::BTreeMap;
use std::sync::Arc;
use thiserror::Error;

/// Why the file can't be used. For the administrator.
#[derive(Debug, Error)]
pub enum BookError {
    /// SQLite says no.
    #[error("{0}")]
    Store(#[from] rusqlite::Error),
    /// The file can't be made, looked at or moved aside.
    #[error("{0}")]
    Make(#[from] std::io::Error),
    /// It was written by a newer version.
    #[error("the file is of version {found}, this tidegate knows {known}")]
    Version {
        /// The file's.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// It is something else.
    #[error("the file is of another application ({application:#x})")]
    Foreign {
        /// Which.
        application: i64,
    },
}

/// An alert, and which rule found it for what.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Kept {
    pub alert: Arc<Alert>,
    pub fingerprint: u64,
    pub key: String,
}

/// An event, who made it happen, and what they, or we, had to say.
#[derive(Debug, Clone, PartialEq)]
pub struct Happened {
    /// The event.
    pub event: Event,
    /// Who; empty if nobody did.
    pub by: String,
    /// Why; may be empty.
    pub note: String,
}

/// An alert with all that happened to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Detail {
    /// The alert as it is.
    pub alert: Alert,
    /// What happened, the oldest first.
    pub events: Vec<Happened>,
}

/// Which alerts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// In any of these states; none = all.
    pub states: Vec<&'static str>,
    /// Of this rule.
    pub rule: Option<String>,
    /// Of this device.
    pub device: Option<String>,
    /// Of this severity.
    pub severity: Option<&'static str>,
    /// Of these devices, or of the daemon itself; `None` = all.
    pub reach: Option<Reach>,
}

/// What is written at once.
#[derive(Debug, Default)]
pub(super) struct Round {
    pub position: Position,
    pub now: Timestamp,
    /// Numbers of the next alert, event and silence.
    pub next: [u64; 3],
    pub watch: BTreeMap<u32, Option<Vec<u8>>>,
    /// Nothing of one that goes.
    pub alerts: BTreeMap<u64, Option<Kept>>,
    pub events: Vec<Happened>,
    pub silences: BTreeMap<u64, Silence>,
    pub rules: BTreeMap<String, Option<Spec>>,
    /// Alerts that were pending, and went; they are in no file.
    pub vanished: Vec<Arc<Alert>>,
}

impl Round {
    pub fn has_news(&self) -> bool {
        !(self.alerts.is_empty()
            && self.events.is_empty()
            && self.silences.is_empty()
            && self.rules.is_empty()
            && self.vanished.is_empty())
    }
}
