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
use crate::config::MqttConfig;
use crate::gate::Gate;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::model::ClientId;
use bridge::{Bridge, Parts};
use errands::Errands;
use offers::Desk;
use publish::Publisher;
use spark::Spark;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use view::Shown;

/// All bridges of a daemon: each runs by itself, and may come, change and go.
pub struct Bridges {
    means: Means,
    views: Views,
    /// Made, and not started yet.
    made: Vec<Bridge>,
    running: Vec<Running>,
}

/// What bridges work with.
#[derive(Clone)]
pub struct Means {
    /// The limits of messages.
    pub caps: Caps,
    /// Where readings go.
    pub gate: Gate,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// Where goes what is not understood.
    pub quarantine: Quarantine,
    /// What is published, and who learns of devices.
    pub live: Live,
    /// What devices are told.
    pub commands: Commands,
}

struct Running {
    name: Arc<str>,
    stop: CancellationToken,
    task: JoinSet<()>,
}

/// Looks at bridges; cheap to clone: all clones see the same ones.
#[derive(Debug, Clone, Default)]
pub struct Views(Arc<Mutex<Vec<Shown>>>);

impl Views {
    /// How each bridge is.
    #[must_use]
    pub fn views(&self) -> Vec<BridgeView> {
        self.lock().iter().map(Shown::view).collect()
    }

    /// What is kept is whole at every point: a panic elsewhere does not matter.
    fn lock(&self) -> MutexGuard<'_, Vec<Shown>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bridges {
    /// None yet.
    #[must_use]
    pub fn new(means: Means, views: Views) -> Bridges {
        Bridges { means, views, made: Vec::new(), running: Vec::new() }
    }

    /// Where goes what is not understood.
    #[must_use]
    pub fn quarantine(&self) -> &Quarantine {
        &self.means.quarantine
    }

    /// Makes one; it runs from [`Bridges::start`] on. Reads what is remembered of Sparkplug nodes from
    /// the file.
    pub fn add(&mut self, config: &MqttConfig) {
        let (bridge, shown) = make(config, &self.means);
        self.views.lock().push(shown);
        self.made.push(bridge);
    }

    /// Starts those that were made; each runs until `stop`, and until what is under way then is
    /// answered.
    pub fn start(&mut self, stop: &CancellationToken) {
        for bridge in self.made.drain(..) {
            let (name, stop) = (bridge.name(), stop.child_token());
            let mut task = JoinSet::new();
            task.spawn(bridge.run(stop.clone()));
            self.running.push(Running { name, stop, task });
        }
    }

    /// Ends one: what is under way is answered, what is not acknowledged the broker keeps. Returns when
    /// it has left and all that it had to remember is written. Cancelled meanwhile, it still ends.
    pub async fn remove(&mut self, name: &str) {
        let found = self.running.iter_mut().enumerate().find(|(_, it)| *it.name == *name);
        if let Some((at, running)) = found {
            running.stop.cancel();
            running.ended().await;
            self.running.remove(at);
        }
        self.means.quarantine.written().await;
        self.views.lock().retain(|shown| *shown.view().name != *name);
    }

    /// Waits for all that run, after the end of what they run until.
    pub async fn end(mut self) {
        for running in &mut self.running {
            running.ended().await;
        }
    }
}

impl Running {
    async fn ended(&mut self) {
        while let Some(ended) = self.task.join_next().await {
            if let Err(error) = ended {
                log::error!(error:err = error; "a bridge ended with a bug");
            }
        }
    }
}

fn make(config: &MqttConfig, means: &Means) -> (Bridge, Shown) {
    let Means { caps, gate, metrics, quarantine, live, commands } = means.clone();
    let name: Arc<str> = config.name.as_str().into();
    let shown = Shown::new(name.clone(), config.broker.url.clone(), &config.routes);
    let spark = config.sparkplug.clone();
    let spark = spark.map(|settings| Spark::new(name, settings, quarantine.clone(), live.clone()));
    let publisher = config.publish.clone().map(|publish| Publisher::new(publish, live));
    let client = client_of(config);
    let desk = Desk {
        gate: gate.clone(),
        client: client.clone(),
        routes: config.routes.clone(),
        caps: caps.follow(),
        metrics: metrics.clone(),
    };
    let bridge = Bridge::new(Parts {
        config: config.clone(),
        errands: Errands::new(commands, client.clone(), config.commands.clone()),
        gate,
        client,
        metrics,
        quarantine,
        shown: shown.clone(),
        desk,
        spark,
        publisher,
    });
    (bridge, shown)
}

/// What a bridge is called as a client.
fn client_of(bridge: &MqttConfig) -> ClientId {
    format!("mqtt:{}", bridge.name).as_str().into()
}
