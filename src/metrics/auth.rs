//! The metrics of who may come.

use super::add;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: &'static str,
}

/// All of them.
#[derive(Debug)]
pub struct Auth {
    denied: Family<ByReason, Counter>,
    keys: Gauge,
    files_failed: Counter,
}

impl Auth {
    pub(super) fn new(r: &mut Registry) -> Auth {
        Auth {
            denied: add(r, "auth_denied", "Requests that were not let in, by reason"),
            keys: add(r, "auth_keys", "API keys that are good"),
            files_failed: add(
                r,
                "auth_files_failed",
                "Times that a changed file of keys could not be used; those in force stayed",
            ),
        }
    }

    /// Somebody was not let in.
    pub fn denied(&self, reason: &'static str) {
        self.denied.get_or_create(&ByReason { reason }).inc();
    }

    /// So many keys are good.
    pub fn set_keys(&self, keys: usize) {
        self.keys.set(i64::try_from(keys).unwrap_or(i64::MAX));
    }

    /// A file of keys changed and can't be used.
    pub fn file_failed(&self) {
        self.files_failed.inc();
    }
}
