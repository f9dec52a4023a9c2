//! The bridges to brokers: opened with the quarantine, run until the daemon stops; and how they are in
//! `/api/v1/status` and `/metrics`.

use super::status::round;
use super::{DaemonError, Thread};
use crate::clock;
use crate::commands::Commands;
use crate::config::Config;
use crate::gate::Gate;
use crate::intake::Caps;
use crate::intake::mqtt::book::Bounds;
use crate::intake::mqtt::{BridgeView, Bridges, Quarantine, State, Views};
use crate::live::Live;
use crate::metrics::{BridgeGauges, Gauges, Metrics, RouteGauges};
use serde::Serialize;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Bridges that will run.
pub(super) struct Opened(Option<Bridges>);

/// How the bridges are, for who asks.
#[derive(Default)]
pub(super) struct Told(Views);

/// Opens the quarantine and makes the bridges, if there are any.
pub(super) fn open(
    config: &Config,
    caps: &Caps,
    gate: &Gate,
    metrics: &Arc<Metrics>,
    live: &Live,
    commands: &Commands,
) -> Result<(Opened, Told, Vec<Thread>), DaemonError> {
    if config.intake.mqtt.is_empty() {
        return Ok((Opened(None), Told::default(), Vec::new()));
    }
    let bounds = Bounds {
        messages_max: config.quarantine.messages_max,
        bytes_max: config.quarantine.bytes_max,
        age_max: config.quarantine.age_max,
    };
    let path = config.state_dir.join("mqtt.db");
    let (quarantine, thread) = Quarantine::open(&path, bounds).map_err(DaemonError::Quarantine)?;
    let (bridges, views) = Bridges::new(config, caps, gate, metrics, &quarantine, live, commands);
    Ok((Opened(Some(bridges)), Told(views), vec![("quarantine".to_owned(), thread)]))
}

impl Opened {
    /// Runs them until `stop`; ends when what is under way then is answered. With it goes their hold on
    /// the gate.
    pub async fn run(self, stop: CancellationToken) {
        if let Some(bridges) = self.0 {
            bridges.run(stop).await;
        }
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
