//! Things that rules watch: series, devices, parts of the daemon.

use super::alert::Value;
use super::instance::{Instance, Reading};
use super::rule::What;
use crate::model::tags_of_identity;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What an alert is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// A series: device and tags as [`Table::identity`](crate::model::Table::identity) has them, and
    /// the metric.
    Series(Arc<str>, Arc<str>),
    /// A device.
    Device(Arc<str>),
    /// A trouble of the daemon: which, and the name of the sink or bridge, or nothing.
    Daemon(What, Arc<str>),
}

impl Subject {
    /// The device that it is about.
    #[must_use]
    pub fn device(&self) -> Option<&str> {
        match self {
            Subject::Series(identity, _) => identity.split('\0').next(),
            Subject::Device(device) => Some(device),
            Subject::Daemon(..) => None,
        }
    }

    /// The metric that it is about.
    #[must_use]
    pub fn metric(&self) -> Option<&Arc<str>> {
        match self {
            Subject::Series(_, metric) => Some(metric),
            _ => None,
        }
    }

    /// The tags of the series.
    #[must_use]
    pub fn tags(&self) -> BTreeMap<String, String> {
        let Subject::Series(identity, _) = self else { return BTreeMap::new() };
        tags_of_identity(identity).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    /// The part of the daemon that it is about; else empty.
    #[must_use]
    pub fn part(&self) -> &str {
        match self {
            Subject::Daemon(_, part) => part,
            _ => "",
        }
    }

    /// As one text, equal exactly if they are.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Subject::Series(identity, metric) => format!("s\0{metric}\0{identity}"),
            Subject::Device(device) => format!("d\0{device}"),
            Subject::Daemon(what, part) => format!("t\0{}\0{part}", what.name()),
        }
    }
}

/// A thing that is watched, and what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tracked {
    pub subject: Subject,
    /// Time of the newest reading, by the device's own clock.
    pub newest: i64,
    /// When something was last heard of it, by the log's.
    pub heard: i64,
    pub value: Option<Value>,
    pub unit: Arc<str>,
    /// In the order of rules.
    pub instances: Vec<Instance>,
}

impl Tracked {
    pub fn new(subject: Subject, heard: i64) -> Tracked {
        let (value, unit) = (None, "".into());
        Tracked { subject, newest: i64::MIN, heard, value, unit, instances: Vec::new() }
    }

    /// Remembers what it says; texts that stay the same cost nothing.
    pub fn remember(&mut self, value: Reading<'_>) {
        if !self.value.as_ref().is_some_and(|known| value.is(known)) {
            self.value = Some(value.to_value());
        }
    }
}
