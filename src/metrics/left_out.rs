//! The metrics of values that no store can hold.

use super::add;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: &'static str,
}

/// All of them.
pub(super) struct ValuesLeftOut(Family<ByReason, Counter>);

impl ValuesLeftOut {
    pub(super) fn new(r: &mut Registry) -> ValuesLeftOut {
        ValuesLeftOut(add(
            r,
            "values_left_out",
            "Values of OTLP and remote write that mean that there is none (no_value), or are no finite number (not_finite)",
        ))
    }
}

impl super::Metrics {
    /// So many values were left out of a body.
    pub fn left_out(&self, reason: &'static str, count: usize) {
        if count > 0 {
            self.left_out.0.get_or_create(&ByReason { reason }).inc_by(count as u64);
        }
    }
}
