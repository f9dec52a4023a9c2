//! The metrics of viewers: counted by live's own thread, set when somebody looks.

use super::{FloatGauge, add, clamp};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByKind {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByTransport {
    transport: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    outcome: &'static str,
}

/// How viewers are; see the help texts of the metrics.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "each is registered below with its help text")]
pub struct LiveGauges {
    pub subscriptions: usize,
    pub degraded: usize,
    pub bytes: u64,
    pub merged: u64,
    pub resumed: u64,
    pub begun_anew: u64,
    pub overflows: u64,
    pub oldest_unread_s: f64,
    pub read: u64,
    pub waited_s: f64,
}

/// All of them.
pub struct Viewers {
    viewers: Family<ByTransport, Gauge>,
    frames: Family<ByKind, Counter>,
    subscriptions: Gauge,
    degraded: Gauge,
    bytes: Counter,
    merged: Counter,
    resumes: Family<ByOutcome, Counter>,
    overflows: Counter,
    oldest_unread: FloatGauge,
    read: Counter,
    waited: Counter<f64, AtomicU64>,
}

impl Viewers {
    pub(super) fn new(r: &mut Registry) -> Viewers {
        Viewers {
            viewers: add(r, "live_viewers", "Viewers, by transport; of polls, those that wait"),
            frames: add(r, "live_frames", "Frames put for viewers, by type"),
            subscriptions: add(
                r,
                "live_subscriptions",
                "Distinct subscriptions: one rendering each",
            ),
            degraded: add(r, "live_viewers_degraded", "Viewers who get less because they are slow"),
            bytes: add(r, "live_frame_bytes", "Bytes of frames put for viewers, not compressed"),
            merged: add(
                r,
                "live_frames_merged",
                "Frames that were not read in time, and were merged into later ones",
            ),
            resumes: add(
                r,
                "live_resumes",
                "Viewers who came back: told what they had missed, or everything anew",
            ),
            overflows: add(
                r,
                "live_viewers_overflowed",
                "Viewers who were ended because they did not read frames that must not be lost",
            ),
            oldest_unread: add(
                r,
                "live_queue_age_max_seconds",
                "Age of the oldest frame that any viewer has yet to read",
            ),
            read: add(r, "live_frames_read", "Data and control frames that viewers took"),
            waited: add(
                r,
                "live_queue_age_seconds",
                "How long the frames that viewers took had lain, added up",
            ),
        }
    }

    /// How many frames of a kind there were since the start.
    pub fn frames(&self, kind: &'static str, frames: u64) {
        self.frames.get_or_create(&ByKind { kind }).inner().store(frames, Ordering::Relaxed);
    }

    /// How many watch by which transport.
    pub fn viewers(&self, transport: &'static str, viewers: usize) {
        self.viewers.get_or_create(&ByTransport { transport }).set(clamp(viewers as u64));
    }

    /// How they are.
    pub fn set(&self, is: LiveGauges) {
        self.subscriptions.set(clamp(is.subscriptions as u64));
        self.degraded.set(clamp(is.degraded as u64));
        let outcomes = [("resumed", is.resumed), ("snapshot", is.begun_anew)];
        for (outcome, count) in outcomes {
            let counter = self.resumes.get_or_create(&ByOutcome { outcome });
            counter.inner().store(count, Ordering::Relaxed);
        }
        self.bytes.inner().store(is.bytes, Ordering::Relaxed);
        self.merged.inner().store(is.merged, Ordering::Relaxed);
        self.overflows.inner().store(is.overflows, Ordering::Relaxed);
        self.oldest_unread.set(is.oldest_unread_s);
        self.read.inner().store(is.read, Ordering::Relaxed);
        self.waited.inner().store(is.waited_s.to_bits(), Ordering::Relaxed);
    }
}
