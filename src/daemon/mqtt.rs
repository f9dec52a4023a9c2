//! The bridges to brokers: opened with the quarantine, run until they go or the daemon stops; and how they are in
//! `/api/v1/status` and `/metrics`.

use super::status::round;
use super::{DaemonError, Thread};
use crate::clock;
use crate::commands::Commands;
use crate::config::{Config, MqttConfig, QuarantineConfig};
use crate::gate::Gate;
use crate::intake::Caps;
use crate::intake::mqtt::book::{BookError, Bounds};
use crate::intake::mqtt::{BridgeView, Bridges, Means, Quarantine, State, Views};
use crate::live::Live;
use crate::metrics::{BridgeGauges, Gauges, Metrics, RouteGauges};
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The bridges, and what is made with the first of them.
pub(super) struct Bridging {
    bounds: Bounds,
    path: PathBuf,
    rooms: Rooms,
    told: Told,
    bridges: Option<Bridges>,
    quarantine_thread: Option<Thread>,
}

/// What bridges are connected with.
pub(super) struct Rooms {
    pub caps: Caps,
    pub gate: Gate,
    pub metrics: Arc<Metrics>,
    pub live: Live,
    pub commands: Commands,
}

/// How the bridges are, for who asks.
#[derive(Default, Clone)]
pub(super) struct Told(Views);

/// Opens the quarantine and makes the bridges, if there are any.
pub(super) fn open(config: &Config, rooms: Rooms) -> Result<Bridging, DaemonError> {
    let bounds = bounds(&config.quarantine);
    let path = config.state_dir.join("mqtt.db");
    let (told, bridges, quarantine_thread) = (Told::default(), None, None);
    let mut bridging = Bridging { bounds, path, rooms, told, bridges, quarantine_thread };
    for bridge in &config.intake.mqtt {
        bridging.open().map_err(DaemonError::Quarantine)?.add(bridge);
    }
    Ok(bridging)
}

fn bounds(config: &QuarantineConfig) -> Bounds {
    let QuarantineConfig { messages_max, bytes_max, age_max } = *config;
    Bounds { messages_max, bytes_max, age_max }
}

impl Bridging {
    pub fn told(&self) -> Told {
        self.told.clone()
    }

    /// The bridges; with the first of them the quarantine is opened.
    fn open(&mut self) -> Result<&mut Bridges, BookError> {
        let bridges = match self.bridges.take() {
            Some(bridges) => bridges,
            None => {
                let (quarantine, thread) = Quarantine::open(&self.path, self.bounds)?;
                self.quarantine_thread = Some(("quarantine".to_owned(), thread));
                let Rooms { caps, gate, metrics, live, commands } = &self.rooms;
                let (caps, gate, metrics) = (caps.clone(), gate.clone(), metrics.clone());
                let (live, commands) = (live.clone(), commands.clone());
                let means = Means { caps, gate, metrics, quarantine, live, commands };
                Bridges::new(means, self.told.0.clone())
            }
        };
        Ok(self.bridges.insert(bridges))
    }

    /// So much is kept of what no route understands from now on. Returns when what is too much is gone, or
    /// could not be dropped now.
    pub async fn keep(&mut self, config: &QuarantineConfig) {
        self.bounds = bounds(config);
        if let Some(bridges) = &self.bridges {
            bridges.quarantine().set_bounds(self.bounds);
            bridges.quarantine().written().await;
        }
    }

    /// Starts those that were opened.
    pub fn start(&mut self, stop: &CancellationToken) {
        if let Some(bridges) = &mut self.bridges {
            bridges.start(stop);
        }
    }

    /// The bridges of these names are gone, are new, or are others now; the rest notices nothing. Those
    /// that stay as they were, and why.
    pub async fn change(
        &mut self,
        names: &[String],
        before: &[MqttConfig],
        after: &[MqttConfig],
        stop: &CancellationToken,
    ) -> Vec<(String, String)> {
        let mut failed = Vec::new();
        for name in names {
            if let Some(before) = before.iter().find(|bridge| bridge.name == *name)
                && let Some(bridges) = &mut self.bridges
            {
                bridges.remove(name).await;
                self.rooms.metrics.gauges().bridges.forget(name, before.routes.len());
            }
            let Some(after) = after.iter().find(|bridge| bridge.name == *name) else { continue };
            // It reads files.
            match tokio::task::block_in_place(|| self.open().map(|bridges| bridges.add(after))) {
                Ok(()) => self.start(stop),
                Err(error) => failed.push((name.clone(), error.to_string())),
            }
        }
        failed
    }

    /// Waits for the bridges, after the end of what they run until, and gives the thread that ends then.
    /// With them goes their hold on the gate.
    pub async fn end(self) -> Option<Thread> {
        if let Some(bridges) = self.bridges {
            bridges.end().await;
        }
        self.quarantine_thread
    }
}

/// One bridge; see `docs/http.md` for each field.
#[derive(Serialize)]
pub(super) struct MqttStatus {
    name: String,
    broker: String,
    state: &'static str,
    cause: Option<String>,
    since: i64,
    state_s: f64,
    connections: u64,
    messages: u64,
    messages_per_s: f64,
    redelivered: u64,
    unrouted: u64,
    too_long: u64,
    no_room: u64,
    unacked: usize,
    in_flight_bytes: usize,
    published: u64,
    not_published: u64,
    routes: Vec<RouteStatus>,
}

#[derive(Serialize)]
struct RouteStatus {
    topic: String,
    decoder: &'static str,
    messages: u64,
    samples: u64,
    refused: u64,
    last_error: Option<String>,
    last_error_at: Option<i64>,
}

impl Told {
    pub fn status(&self) -> Vec<MqttStatus> {
        self.0.views().into_iter().map(MqttStatus::of).collect()
    }

    /// All bridges, and why their brokers are away, if they are.
    pub fn troubles(&self) -> Vec<(String, Option<String>)> {
        let trouble = |view: BridgeView| {
            let is_away = matches!(view.state, State::Away | State::Refused);
            let cause = view.cause.unwrap_or_else(|| view.state.name().to_owned());
            (view.name.to_string(), is_away.then_some(cause))
        };
        self.0.views().into_iter().map(trouble).collect()
    }

    pub fn set_gauges(&self, gauges: &Gauges) {
        for view in self.0.views() {
            let is = BridgeGauges {
                state: match view.state {
                    State::Connected => 0,
                    State::Holding => 1,
                    State::Connecting => 2,
                    State::Away => 3,
                    State::Refused => 4,
                    State::Stopped => 5,
                },
                connections: view.connections,
                messages: view.messages,
                unrouted: view.unrouted,
                too_long: view.too_long,
                no_room: view.no_room,
                redelivered: view.redelivered,
                unacked: view.unacked as u64,
                in_flight_bytes: view.in_flight_bytes as u64,
                published: view.published,
                not_published: view.not_published,
            };
            gauges.bridges.set(&view.name, &is);
            for (number, route) in view.routes.iter().enumerate() {
                let &crate::intake::mqtt::RouteView { messages, samples, refused, .. } = route;
                let is = RouteGauges { messages, samples, refused };
                gauges.bridges.set_route(&view.name, number, is);
            }
        }
    }
}

impl MqttStatus {
    fn of(view: BridgeView) -> MqttStatus {
        let routes = view.routes.into_iter().map(|route| RouteStatus {
            topic: route.topic,
            decoder: route.decoder,
            messages: route.messages,
            samples: route.samples,
            refused: route.refused,
            last_error: route.last_error,
            last_error_at: route.last_error_at.map(|at| at.as_millis()),
        });
        MqttStatus {
            name: view.name.to_string(),
            broker: view.broker,
            state: view.state.name(),
            cause: view.cause,
            since: view.since.as_millis(),
            state_s: super::status::seconds(clock::now().since(view.since)),
            connections: view.connections,
            messages: view.messages,
            messages_per_s: round(view.messages_per_s),
            redelivered: view.redelivered,
            unrouted: view.unrouted,
            too_long: view.too_long,
            no_room: view.no_room,
            unacked: view.unacked,
            in_flight_bytes: view.in_flight_bytes,
            published: view.published,
            not_published: view.not_published,
            routes: routes.collect(),
        }
    }
}
