//! The metrics of how connections come in.

use super::{FloatGauge, add};
use crate::model::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use std::sync::OnceLock;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCertificate {
    certificate: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByForm {
    form: &'static str,
}

/// All of them.
pub struct Listener {
    refused: Family<ByReason, Counter>,
    bodies: Family<ByForm, Counter>,
    expires: Family<ByCertificate, FloatGauge>,
    /// Shown once there is one.
    expires_at: OnceLock<FloatGauge>,
}

impl Listener {
    pub(super) fn new(r: &mut Registry) -> Listener {
        Listener {
            refused: add(
                r,
                "connections_refused",
                "Connections that were closed before they asked anything, and viewers that were not taken, by reason",
            ),
            bodies: add(r, "http_bodies", "Posted bodies of readings, by their form"),
            expires: add(
                r,
                "tls_certificate_expires_seconds",
                "When the certificate of [tls] expires, since the epoch",
            ),
            expires_at: OnceLock::new(),
        }
    }

    /// A body of that form was posted.
    pub fn body(&self, form: &'static str) {
        self.bodies.get_or_create(&ByForm { form }).inc();
    }

    /// A connection, or a viewer, was not taken.
    pub fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&ByReason { reason }).inc();
    }

    /// When the certificate expires.
    pub fn certificate_expires(&self, at: Timestamp) {
        let label = ByCertificate { certificate: "listener" };
        let gauge = self.expires_at.get_or_init(|| self.expires.get_or_create_owned(&label));
        gauge.set(at.0 as f64 / 1e9);
    }

    /// The same, if there is one: in seconds since the epoch.
    pub fn certificate_expires_at(&self) -> Option<f64> {
        self.expires_at.get().map(FloatGauge::get)
    }
}
