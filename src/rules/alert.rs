//! An alert: a rule that holds for something, from the moment it began to until it is over.

use crate::model::{Reach, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How bad it is; the greater the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Somebody is to look at it today.
    Warning,
    /// Somebody is to look at it now.
    Critical,
}

/// Where an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// The rule holds, but not yet for as long as it says.
    Pending,
    /// It has held for long enough; nobody has taken notice yet.
    Firing,
    /// It holds, and somebody knows.
    Acknowledged,
    /// It holds no more.
    Resolved,
}

/// A measured value as far as an alert tells of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of floats and whole numbers.
    Number(f64),
    /// A truth value.
    Bool(bool),
    /// A text.
    Text(Arc<str>),
}

/// Who took notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The name that they gave.
    pub by: String,
    /// What they had to say; may be empty.
    pub note: String,
    /// When.
    pub at: Timestamp,
}

/// A rule that holds, or held, for one thing: a series, a device, a part of the daemon.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// Counted from 1; names it for ever.
    pub id: u64,
    /// Name of its rule.
    pub rule: Arc<str>,
    /// How bad it is.
    pub severity: Severity,
    /// The device; `None` for what concerns the daemon itself.
    pub device: Option<Arc<str>>,
    /// The metric; `None` for what concerns the whole device.
    pub metric: Option<Arc<str>>,
    /// The series' tags.
    pub tags: BTreeMap<String, String>,
    /// What it is about if it concerns the daemon: the name of a sink, of a bridge; else empty.
    pub subject: String,
    /// Where it stands.
    pub state: State,
    /// The value that it last changed its state with.
    pub value: Option<Value>,
    /// Unit of the value, or empty.
    pub unit: String,
    /// The rule's text with its places filled in.
    pub text: String,
    /// Where it says what to do; may be empty.
    pub runbook: String,
    /// Since when the rule holds.
    pub pending_at: Timestamp,
    /// When it fired; `None` while it is pending.
    pub fired_at: Option<Timestamp>,
    /// Who took notice, if somebody did.
    pub acknowledged: Option<Acknowledgement>,
    /// When it was over.
    pub resolved_at: Option<Timestamp>,
    /// Whether a silence keeps its notifications back.
    pub silenced: bool,
    /// Names of the channels that are to be notified; empty = all.
    pub notify: Vec<String>,
}

impl Alert {
    /// Whether somebody who reaches these devices may see it: it is about one of them, or about the
    /// daemon.
    #[must_use]
    pub fn is_within(&self, reach: &Reach) -> bool {
        self.device.as_deref().is_none_or(|device| reach.allows(device))
    }
}

/// What happened to an alert. Only what somebody may have to be told: that a rule holds and not for
/// long enough is no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// It fires.
    Fired,
    /// Somebody took notice.
    Acknowledged,
    /// It is over.
    Resolved,
}

/// An entry of the alerts' journal.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Counted from 1, without gaps; the order in which they happened.
    pub id: u64,
    /// When it happened, by the log's time.
    pub at: Timestamp,
    /// What.
    pub kind: EventKind,
    /// The alert as it was then.
    pub alert: Arc<Alert>,
}

impl Severity {
    /// As in configuration and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

impl State {
    /// As in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Firing => "firing",
            State::Acknowledged => "acknowledged",
            State::Resolved => "resolved",
        }
    }
}

impl EventKind {
    /// As in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            EventKind::Fired => "fired",
            EventKind::Acknowledged => "acknowledged",
            EventKind::Resolved => "resolved",
        }
    }
}
