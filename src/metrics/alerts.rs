//! The metrics of alerts. Rules have no labels here: people choose their names, and may make many.

use super::{FloatGauge, add, clamp};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::atomic::Ordering;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByState {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByKind {
    kind: &'static str,
}

/// How alerts are; see the help texts of the metrics.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "each is registered below with its help text")]
pub struct AlertGauges {
    pub pending: u64,
    pub firing: u64,
    pub acknowledged: u64,
    /// Fired, acknowledged, resolved.
    pub events: [u64; 3],
    pub rules: u64,
    pub series: u64,
    pub passed_over: u64,
    pub lag_seconds: f64,
    pub stalled: bool,
}

/// All of them.
pub struct Alerts {
    open: Family<ByState, Gauge>,
    events: Family<ByKind, Counter>,
    rules: Gauge,
    series: Gauge,
    passed_over: Counter,
    lag_seconds: FloatGauge,
    stalled: Gauge,
}

impl Alerts {
    pub(super) fn new(r: &mut Registry) -> Alerts {
        Alerts {
            open: add(r, "alerts", "Open alerts, by state"),
            events: add(r, "alert_events", "What happened to alerts since the start, by kind"),
            rules: add(r, "alert_rules", "Rules that work"),
            series: add(
                r,
                "alert_series",
                "Series, devices and parts of the daemon that rules watch",
            ),
            passed_over: add(
                r,
                "alert_samples_passed_over",
                "Samples that no rule has judged because the spool was filling up",
            ),
            lag_seconds: add(
                r,
                "alert_lag_seconds",
                "Age of the oldest batch that no rule has judged",
            ),
            stalled: add(r, "alert_store_stalled", "1 while alerts.db can't be written"),
        }
    }

    /// How they are.
    pub fn set(&self, is: &AlertGauges) {
        let states =
            [("pending", is.pending), ("firing", is.firing), ("acknowledged", is.acknowledged)];
        for (state, count) in states {
            self.open.get_or_create(&ByState { state }).set(clamp(count));
        }
        for (kind, count) in ["fired", "acknowledged", "resolved"].into_iter().zip(is.events) {
            let counter = self.events.get_or_create(&ByKind { kind });
            counter.inner().store(count, Ordering::Relaxed);
        }
        self.rules.set(clamp(is.rules));
        self.series.set(clamp(is.series));
        self.passed_over.inner().store(is.passed_over, Ordering::Relaxed);
        self.lag_seconds.set(is.lag_seconds);
        self.stalled.set(i64::from(is.stalled));
    }
}
