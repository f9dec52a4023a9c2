//! The alerts that viewers are to know of: the open ones, and those that changed since the last tick.

use super::render::integer;
use crate::rules::{Alert, State};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The most open alerts that a viewer who comes is told of. Of further ones it is told how many there
/// are (`more`); all of them are in `GET /api/v1/alerts`. Whoever watches already sees each change.
const OPEN_MAX: usize = 10_000;

/// An alert in the form in which it is sent, written once for all viewers.
#[derive(Debug)]
pub(super) struct Told {
    alert: Arc<Alert>,
    json: String,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Alerts {
    open: BTreeMap<u64, Arc<Told>>,
    /// Open ones beyond [`OPEN_MAX`]. Bounded by the alerts that there are.
    left_out: BTreeSet<u64>,
    changed: BTreeMap<u64, Arc<Told>>,
}

impl Alerts {
    /// Learns an alert's state.
    pub fn set(&mut self, alert: Arc<Alert>) {
        let json = alert.json().to_string();
        let told = Arc::new(Told { alert: alert.clone(), json });
        self.changed.insert(alert.id, told.clone());
        self.left_out.remove(&alert.id);
        if alert.state == State::Resolved {
            self.open.remove(&alert.id);
        } else if self.open.len() < OPEN_MAX || self.open.contains_key(&alert.id) {
            self.open.insert(alert.id, told);
        } else {
            self.left_out.insert(alert.id);
        }
    }

    /// The viewers have been told what changed.
    pub fn told(&mut self) {
        self.changed.clear();
    }

    /// Those that changed since the last tick.
    pub fn changed(&self) -> impl Iterator<Item = &Arc<Told>> + Clone {
        self.changed.values()
    }

    /// All that are open, by age, and how many more there are.
    pub fn open(&self) -> (impl Iterator<Item = &Arc<Told>> + Clone, usize) {
        (self.open.values(), self.left_out.len())
    }
}

impl Told {
    /// What it is about; `None` for the daemon.
    pub fn device(&self) -> Option<&str> {
        self.alert.device.as_deref()
    }

    /// The alert.
    pub fn alert(&self) -> &Alert {
        &self.alert
    }

    /// Its name.
    pub fn id(&self) -> u64 {
        self.alert.id
    }
}

/// Appends `{"alerts":[…]}`; `open` = these are all that are open, but for so many.
pub(super) fn json<'a>(
    alerts: impl Iterator<Item = &'a Arc<Told>>,
    open: Option<usize>,
    out: &mut Vec<u8>,
) {
    out.push(b'{');
    if let Some(more) = open {
        out.extend_from_slice(b"\"all\":true,");
        if more > 0 {
            out.extend_from_slice(b"\"more\":");
            integer(i64::try_from(more).unwrap_or(i64::MAX), out);
            out.push(b',');
        }
    }
    out.extend_from_slice(b"\"alerts\":[");
    for (index, told) in alerts.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(told.json.as_bytes());
    }
    out.extend_from_slice(b"]}");
}
