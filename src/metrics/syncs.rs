//! How long the spool's syncs took.

use crate::spool::{SYNC_BUCKETS, SyncTimes};
use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};
use std::sync::{Arc, Mutex, PoisonError};

/// The spool's own histogram of sync times, as it was when somebody looked.
#[derive(Debug, Clone, Default)]
pub struct Syncs(Arc<Mutex<SyncTimes>>);

impl Syncs {
    /// What the spool tells.
    pub fn set(&self, times: SyncTimes) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = times;
    }
}

impl TypedMetric for Syncs {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Syncs {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let times = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bounds = SYNC_BUCKETS.into_iter().chain([f64::MAX]);
        let buckets: Vec<_> = bounds.zip(times.buckets).collect();
        encoder.encode_histogram::<NoLabelSet>(
            times.total.as_secs_f64(),
            times.count,
            &buckets,
            None,
        )
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}
