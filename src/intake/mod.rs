//! The ways in: what clients send is decoded, offered to the gate, and answered.
//!
//! In: messages of a WebSocket ([`Intake::serve`]) or an HTTP body ([`Intake::post`]). Out: offers to
//! the gate, and for each batch exactly one receipt or refusal to its client. One table
//! (`refusal`) maps every fault of every room to what a client is told, for all transports.

mod account;
mod caps;
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

pub use caps::Caps;
pub use http::{Part, PostAnswer, Posted, PostedAs, RefusedPart, Taken};
pub use ledger::{LedgerLine, ledger_lines};
pub use refusal::{Refusal, Retry};

use crate::commands::Commands;
use crate::config::{FormsConfig, LimitsConfig};
use crate::gate::Gate;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::model::{ClientId, Protocol};
use crate::wire::Credit;
use connections::Connections;
use refused_log::RefusedLog;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Everything that a way in needs; shared by all connections.
pub struct Intake {
    gate: Gate,
    caps: Caps,
    /// How posted bodies of other people's forms are read.
    forms: Arc<FormsConfig>,
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
        caps: Caps,
        forms: Arc<FormsConfig>,
        live: Live,
        commands: Commands,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
    ) -> Intake {
        Intake {
            gate,
            caps,
            forms,
            connections: Connections::default(),
            live,
            commands,
            metrics,
            refused_log: RefusedLog::default(),
            stop,
        }
    }

    /// The caps that clients must keep, now.
    #[must_use]
    pub fn limits(&self) -> Arc<LimitsConfig> {
        self.caps.now().limits.clone()
    }

    /// The credit that a client has now.
    #[must_use]
    pub fn credit(&self, client: &ClientId) -> Credit {
        let terms = *self.gate.share(client).terms().borrow();
        let limits = self.limits();
        terms.credit(limits.credit_batches, limits.credit_bytes).on_wire()
    }

    /// Counts a refusal, says it, and remembers it for the operator who looks at the device.
    fn note(&self, protocol: Protocol, client: &ClientId, refusal: &Refusal) {
        self.metrics.refused(protocol, refusal.code.name());
        self.live.refused(client, refusal.code.name(), &refusal.message);
        self.refused_log.note(protocol, client, refusal);
    }

    /// Forgets what is kept of clients that have been quiet for long; to be called now and then.
    pub fn forget_quiet(&self) {
        self.caps.now().rates.forget_quiet();
    }

    /// How many devices and gateways are connected by WebSocket.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.connections.len()
    }
}
