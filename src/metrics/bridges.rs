//! The metrics of bridges to brokers: counted by the bridges themselves, set when somebody looks.

use super::{add, clamp};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::atomic::Ordering;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByBridge {
    bridge: String,
}

/// Routes have numbers here: topics are chosen by people, and may be many.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByRoute {
    bridge: String,
    route: u32,
}

/// How a bridge is; see the help texts of the metrics.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "each is registered below with its help text")]
pub struct BridgeGauges {
    pub state: i64,
    pub connections: u64,
    pub messages: u64,
    pub unrouted: u64,
    pub too_long: u64,
    pub no_room: u64,
    pub redelivered: u64,
    pub unacked: u64,
    pub in_flight_bytes: u64,
    pub published: u64,
    pub not_published: u64,
}

/// How a route is; likewise.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "each is registered below with its help text")]
pub struct RouteGauges {
    pub messages: u64,
    pub samples: u64,
    pub refused: u64,
}

/// All of them.
pub struct Bridges {
    state: Family<ByBridge, Gauge>,
    connections: Family<ByBridge, Counter>,
    messages: Family<ByBridge, Counter>,
    unrouted: Family<ByBridge, Counter>,
    too_long: Family<ByBridge, Counter>,
    no_room: Family<ByBridge, Counter>,
    redelivered: Family<ByBridge, Counter>,
    unacked: Family<ByBridge, Gauge>,
    in_flight_bytes: Family<ByBridge, Gauge>,
    published: Family<ByBridge, Counter>,
    not_published: Family<ByBridge, Counter>,
    route_messages: Family<ByRoute, Counter>,
    route_samples: Family<ByRoute, Counter>,
    route_refused: Family<ByRoute, Counter>,
}

impl Bridges {
    pub(super) fn new(r: &mut Registry) -> Bridges {
        Bridges {
            state: add(
                r,
                "mqtt_state",
                "0 connected, 1 holding, 2 connecting, 3 away, 4 refused, 5 stopped",
            ),
            connections: add(r, "mqtt_connections", "Connections that the broker took"),
            messages: add(r, "mqtt_messages", "Messages that the broker delivered"),
            unrouted: add(r, "mqtt_messages_unrouted", "Messages that no route takes"),
            too_long: add(
                r,
                "mqtt_messages_too_long",
                "Messages that are longer than message_bytes_max",
            ),
            no_room: add(
                r,
                "mqtt_messages_no_room",
                "Messages of QoS 0 that were refused because in_flight_bytes were taken",
            ),
            redelivered: add(
                r,
                "mqtt_messages_redelivered",
                "Messages that the broker had delivered before",
            ),
            unacked: add(r, "mqtt_unacked", "Messages of QoS 1 that are not acknowledged yet"),
            in_flight_bytes: add(
                r,
                "mqtt_in_flight_bytes",
                "Bytes of messages that are not durable yet",
            ),
            published: add(r, "mqtt_published", "Messages that were published at the broker"),
            not_published: add(
                r,
                "mqtt_not_published",
                "Rollups that were not published because the broker was away or slow",
            ),
            route_messages: add(r, "mqtt_route_messages", "Messages that a route took"),
            route_samples: add(r, "mqtt_route_samples", "Samples of a route that are durable"),
            route_refused: add(
                r,
                "mqtt_route_refused",
                "Messages that a route did not understand; see the quarantine",
            ),
        }
    }

    /// How a bridge is.
    pub fn set(&self, bridge: &str, is: &BridgeGauges) {
        let by = ByBridge { bridge: bridge.to_owned() };
        self.state.get_or_create(&by).set(is.state);
        self.unacked.get_or_create(&by).set(clamp(is.unacked));
        self.in_flight_bytes.get_or_create(&by).set(clamp(is.in_flight_bytes));
        let counters = [
            (&self.connections, is.connections),
            (&self.messages, is.messages),
            (&self.unrouted, is.unrouted),
            (&self.too_long, is.too_long),
            (&self.no_room, is.no_room),
            (&self.redelivered, is.redelivered),
            (&self.published, is.published),
            (&self.not_published, is.not_published),
        ];
        for (counter, count) in counters {
            counter.get_or_create(&by).inner().store(count, Ordering::Relaxed);
        }
    }

    /// A bridge is gone, or another of its name comes, with as many routes.
    pub fn forget(&self, bridge: &str, routes: usize) {
        let by = ByBridge { bridge: bridge.to_owned() };
        for gauge in [&self.state, &self.unacked, &self.in_flight_bytes] {
            gauge.remove(&by);
        }
        let counters = [
            &self.connections,
            &self.messages,
            &self.unrouted,
            &self.too_long,
            &self.no_room,
            &self.redelivered,
            &self.published,
            &self.not_published,
        ];
        for counter in counters {
            counter.remove(&by);
        }
        for route in 0..routes as u32 {
            let by = ByRoute { bridge: bridge.to_owned(), route };
            for counter in [&self.route_messages, &self.route_samples, &self.route_refused] {
                counter.remove(&by);
            }
        }
    }

    /// How a route of a bridge is.
    pub fn set_route(&self, bridge: &str, route: usize, is: RouteGauges) {
        let route = u32::try_from(route).unwrap_or(u32::MAX);
        let by = ByRoute { bridge: bridge.to_owned(), route };
        let counters = [
            (&self.route_messages, is.messages),
            (&self.route_samples, is.samples),
            (&self.route_refused, is.refused),
        ];
        for (counter, count) in counters {
            counter.get_or_create(&by).inner().store(count, Ordering::Relaxed);
        }
    }
}
