//! The ways in: what clients send is decoded, offered to the gate, and answered.
//!
//! In: messages of a WebSocket ([`Intake::serve`]) or an HTTP body ([`Intake::post`]). Out: offers to
//! the gate, and for each batch exactly one receipt or refusal to its client. One table
//! (`refusal`) maps every fault of every room to what a client is told, for all transports.

mod account;
mod clocks;
mod connections;
mod http;
mod ledger;
mod messages;
#[cfg(feature = "mqtt")]
pub mod mqtt;
mod rates;
mod reading;
mod refusal;
mod refused_log;
mod ws;

pub use http::{PostAnswer, Posted, PostedAs};
pub use ledger::{LedgerLine, ledger_lines};
pub use refusal::{Refusal, Retry};

use crate::commands::Commands;
use crate::config::LimitsConfig;
use crate::gate::Gate;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::model::{ClientId, Protocol};
use crate::wire::Credit;
use connections::Connections;
use rates::Rates;
use refused_log::RefusedLog;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Everything that a way in needs; shared by all connections.
pub struct Intake {
    gate: Gate,
    limits: Arc<LimitsConfig>,
    /// The limits of messages whose times are judged later.
    relaxed: crate::wire::Limits,
    rates: Rates,
    connections: Connections,
    live: Live,
    commands: Commands,
    metrics: Arc<Metrics>,
    refused_log: RefusedLog,
    /// No new batch is read any more; what is on its way is answered.
    stop: CancellationToken,
}

impl Intake {
    /// An intake in front of `gate`, until `stop`.
    #[must_use]
    pub fn new(
        gate: Gate,
        limits: Arc<LimitsConfig>,
        live: Live,
        commands: Commands,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
    ) -> Intake {
        Intake {
            gate,
            relaxed: Intake::relaxed(&limits.wire),
            rates: Rates::new(&limits),
            connections: Connections::default(),
            live,
            commands,
            metrics,
            refused_log: RefusedLog::default(),
            stop,
            limits,
        }
    }

    /// The caps that clients must keep.
    #[must_use]
    pub fn limits(&self) -> &LimitsConfig {
        &self.limits
    }

    /// The credit that a client has now.
    #[must_use]
    pub fn credit(&self, client: &ClientId) -> Credit {
        let terms = *self.gate.share(client).terms().borrow();
        terms.credit(self.limits.credit_batches, self.limits.credit_bytes).on_wire()
    }

    /// Counts a refusal, says it, and remembers it for the operator who looks at the device.
    fn note(&self, protocol: Protocol, client: &ClientId, refusal: &Refusal) {
        self.metrics.refused(protocol, refusal.code.name());
        self.live.refused(client, refusal.code.name(), &refusal.message);
        self.refused_log.note(protocol, client, refusal);
    }

    /// Forgets what is kept of clients that have been quiet for long; to be called now and then.
    pub fn forget_quiet(&self) {
        self.rates.forget_quiet();
    }

    /// How many devices and gateways are connected by WebSocket.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.connections.len()
    }
}
