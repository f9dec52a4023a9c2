//! Bridges to MQTT brokers: what is published there is offered to the gate, and acknowledged once it is
//! durable.
//!
//! ```text
//!  broker ◄──► link ──events──► bridge ──groups──► gate
//!    ▲          its own task     │  ▲                │
//!    └── acks, in order ◄────────┘  └──── answers ───┘
//!                                └─► quarantine: what no route understands, acknowledged too
//! ```
//!
//! An acknowledgement of QoS 1 means what a receipt means elsewhere: the group of the message is
//! durable. While the gate says "later" nothing is acknowledged, and the broker holds back.
//!
//! Door: [`Bridges`].

mod backoff;
pub mod book;
mod bridge;
mod errands;
mod group;
mod link;
mod offers;
pub mod payload;
mod publish;
mod quarantine;
mod room;
mod spark;
pub mod tap;
mod unacked;
mod view;

pub use quarantine::{Quarantine, Replays};
pub use view::{BridgeView, RouteView, State};

use super::Caps;
use crate::commands::Commands;
use crate::config::{Config, MqttConfig};
use crate::gate::Gate;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::model::ClientId;
use bridge::{Bridge, Parts};
use errands::Errands;
use offers::Desk;
use publish::Publisher;
use spark::Spark;
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use view::Shown;

/// All bridges of a daemon, before they run.
pub struct Bridges(Vec<Bridge>);

/// Looks at bridges; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Views(Vec<Shown>);

impl Views {
    /// How each bridge is, in the order of the configuration.
    #[must_use]
    pub fn views(&self) -> Vec<BridgeView> {
        self.0.iter().map(Shown::view).collect()
    }
}

impl Bridges {
    /// One for each `[[intake.mqtt]]`. Reads what is remembered of Sparkplug nodes from the file.
    #[must_use]
    pub fn new(
        config: &Config,
        caps: &Caps,
        gate: &Gate,
        metrics: &Arc<Metrics>,
        quarantine: &Quarantine,
        live: &Live,
        commands: &Commands,
    ) -> (Bridges, Views) {
        let mut views = Vec::new();
        let bridges = config.intake.mqtt.iter().map(|bridge| {
            let shown =
                Shown::new(bridge.name.as_str().into(), bridge.broker.url.clone(), &bridge.routes);
            views.push(shown.clone());
            let name: Arc<str> = bridge.name.as_str().into();
            let spark = bridge
                .sparkplug
                .clone()
                .map(|settings| Spark::new(name, settings, quarantine.clone(), live.clone()));
            let publisher =
                bridge.publish.clone().map(|publish| Publisher::new(publish, live.clone()));
            let client = client_of(bridge);
            let errands = Errands::new(commands.clone(), client.clone(), bridge.commands.clone());
            let desk = desk(caps, bridge, gate, metrics, &client);
            Bridge::new(Parts {
                config: bridge.clone(),
                gate: gate.clone(),
                client,
                metrics: metrics.clone(),
                quarantine: quarantine.clone(),
                shown,
                desk,
                spark,
                publisher,
                errands,
            })
        });
        let bridges = bridges.collect();
        (Bridges(bridges), Views(views))
    }

    /// Runs them until `stop`, and until what is under way then is answered.
    pub async fn run(self, stop: CancellationToken) {
        let mut running = JoinSet::new();
        for bridge in self.0 {
            running.spawn(bridge.run(stop.clone()));
        }
        while let Some(ended) = running.join_next().await {
            if let Err(error) = ended {
                log::error!(error:err = error; "a bridge ended with a bug");
            }
        }
    }
}

/// What a bridge is called as a client.
fn client_of(bridge: &MqttConfig) -> ClientId {
    format!("mqtt:{}", bridge.name).as_str().into()
}

fn desk(
    caps: &Caps,
    bridge: &MqttConfig,
    gate: &Gate,
    metrics: &Arc<Metrics>,
    client: &ClientId,
) -> Desk {
    Desk {
        gate: gate.clone(),
        client: client.clone(),
        routes: bridge.routes.clone(),
        caps: caps.follow(),
        metrics: metrics.clone(),
    }
}
