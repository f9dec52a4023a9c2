//! The alerts that viewers are to know of: the open ones, and those that changed since the last tick.

use super::render::integer;
use crate::rules::{Alert, State};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The most open alerts that a viewer who comes is told of. Of further ones it is told how many there
/// are (`more`); all of them are in `GET /api/v1/alerts`. Whoever watches already sees each change.
const OPEN_MAX: usize = 10_000;

/// Which alerts to render.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// All that are open.
    Open,
    /// Those that changed since the last tick.
    Changed,
}

/// An alert in the form in which it is sent, written once for all viewers.
#[derive(Debug)]
struct Told {
    device: Option<Arc<str>>,
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
    pub fn set(&mut self, alert: &Alert) {
        let told = Told { device: alert.device.clone(), json: alert.json().to_string() };
        let told = Arc::new(told);
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

    /// Appends `{"alerts":[…]}` with those about the daemon and about devices that are wanted, by age;
    /// tells how many. All open ones are marked so: `"all":true`, and `"more":n` if some are left out.
    pub fn render(&self, which: Which, wants: impl Fn(&str) -> bool, out: &mut Vec<u8>) -> usize {
        let wanted = |told: &&Arc<Told>| told.device.as_deref().is_none_or(&wants);
        out.push(b'{');
        let count = match which {
            Which::Open => {
                out.extend_from_slice(b"\"all\":true,");
                if !self.left_out.is_empty() {
                    out.extend_from_slice(b"\"more\":");
                    integer(i64::try_from(self.left_out.len()).unwrap_or(i64::MAX), out);
                    out.push(b',');
                }
                list(self.open.values().filter(wanted), out)
            }
            Which::Changed => list(self.changed.values().filter(wanted), out),
        };
        out.push(b'}');
        count
    }
}

fn list<'a>(alerts: impl Iterator<Item = &'a Arc<Told>>, out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(b"\"alerts\":[");
    let mut count = 0;
    for told in alerts {
        if count > 0 {
            out.push(b',');
        }
        count += 1;
        out.extend_from_slice(told.json.as_bytes());
    }
    out.push(b']');
    count
}
