//! How a bridge is, for status, metrics and people.

use crate::clock;
use crate::model::Timestamp;
use crate::routes::Route;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The state of a bridge's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// On the way to the broker.
    #[default]
    Connecting,
    /// Messages come and are taken in.
    Connected,
    /// Connected, or away by choice, and nothing can be taken in for now: the broker keeps it.
    Holding,
    /// The broker could not be reached, or was lost; the next attempt is near.
    Away,
    /// The broker does not want us as we are: somebody has to mend something.
    Refused,
    /// The daemon stops.
    Stopped,
}

impl State {
    /// As status has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            State::Connecting => "connecting",
            State::Connected => "connected",
            State::Holding => "holding",
            State::Away => "away",
            State::Refused => "refused",
            State::Stopped => "stopped",
        }
    }
}

/// How a bridge is.
#[derive(Debug, Clone)]
pub struct BridgeView {
    /// The `name` of its block.
    pub name: Arc<str>,
    /// The address of its broker.
    pub broker: String,
    /// Its state.
    pub state: State,
    /// Why it is not connected, or what is wrong although it is.
    pub cause: Option<String>,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// One for each route, in their order.
    pub routes: Vec<RouteView>,
    /// Messages that came.
    pub messages: u64,
    /// Messages that no route takes.
    pub unrouted: u64,
    /// Messages that are too long.
    pub too_long: u64,
    /// Messages of QoS 0 that there was no room for.
    pub no_room: u64,
    /// Messages that the broker had sent before.
    pub redelivered: u64,
    /// Connections that the broker took.
    pub connections: u64,
    /// Messages of QoS 1 that the broker waits for.
    pub unacked: usize,
    /// Bytes of messages that are not durable yet.
    pub in_flight_bytes: usize,
    /// Messages of ours.
    pub published: u64,
    /// Rollups that were not published because the broker was away or slow.
    pub not_published: u64,
    /// Messages per second, of the last seconds.
    pub messages_per_s: f64,
}

/// How a route is.
#[derive(Debug, Clone)]
pub struct RouteView {
    /// Its pattern.
    pub topic: String,
    /// Its decoder.
    pub decoder: &'static str,
    /// Messages that it took.
    pub messages: u64,
    /// Samples of it that are durable.
    pub samples: u64,
    /// Messages that it did not understand.
    pub refused: u64,
    /// Why it did not understand the last of them, or why it is not subscribed.
    pub last_error: Option<String>,
    /// When that was.
    pub last_error_at: Option<Timestamp>,
}

/// The view that a bridge keeps and others look at. The lock is held for additions only.
#[derive(Debug, Clone)]
pub(super) struct Shown(Arc<Mutex<Kept>>);

#[derive(Debug)]
struct Kept {
    view: BridgeView,
    /// Where the rate is measured from.
    measured: (Instant, u64),
}

/// The rate is of this time at least.
const RATE_SECONDS: f64 = 1.0;

impl Shown {
    pub fn new(name: Arc<str>, broker: String, routes: &[Route]) -> Shown {
        let routes = routes.iter().map(|route| RouteView {
            topic: route.spec().topic.clone(),
            decoder: route.decoder().name(),
            messages: 0,
            samples: 0,
            refused: 0,
            last_error: None,
            last_error_at: None,
        });
        let view = BridgeView {
            name,
            broker,
            state: State::Connecting,
            cause: None,
            since: clock::now(),
            routes: routes.collect(),
            messages: 0,
            unrouted: 0,
            too_long: 0,
            no_room: 0,
            redelivered: 0,
            connections: 0,
            unacked: 0,
            in_flight_bytes: 0,
            published: 0,
            not_published: 0,
            messages_per_s: 0.0,
        };
        Shown(Arc::new(Mutex::new(Kept { view, measured: (clock::monotonic(), 0) })))
    }

    /// A copy.
    pub fn view(&self) -> BridgeView {
        let mut kept = self.lock();
        let now = clock::monotonic();
        let (from, before) = kept.measured;
        let seconds = now.saturating_duration_since(from).as_secs_f64();
        if seconds >= RATE_SECONDS {
            kept.view.messages_per_s = (kept.view.messages - before) as f64 / seconds;
            kept.measured = (now, kept.view.messages);
        }
        kept.view.clone()
    }

    /// Changes it.
    pub fn change<T>(&self, change: impl FnOnce(&mut BridgeView) -> T) -> T {
        change(&mut self.lock().view)
    }

    /// What is kept is whole at every point: a panic elsewhere does not matter.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BridgeView {
    /// A route did not understand a message, or is not subscribed.
    pub(super) fn fault(&mut self, route: usize, reason: &str, at: Timestamp) {
        if let Some(route) = self.routes.get_mut(route) {
            route.last_error = Some(reason.to_owned());
            route.last_error_at = Some(at);
        }
    }
}
