//! One bridge: a connection to a broker, from its first attempt to the daemon's end.
//!
//! One task that never blocks and waits for one thing at a time: an event of the link, an answer of
//! the gate, the next attempt. The link's own loop runs beside it and is never waited for, so that
//! keep-alives go on whatever happens here.

mod commanding;
mod messages;
mod publishing;

use super::backoff::Backoff;
use super::book::Message as Kept;
use super::errands::{self, Errands};
use super::link::{self, Brake, Connect, Delivered, End, Event, Inbox, Link, Target, TlsFiles};
use super::offers::{Desk, Offers, Turn};
use super::publish::Publisher;
use super::quarantine::{Quarantine, Replays};
use super::room::Room;
use super::spark::Spark;
use super::unacked::Unacked;
use super::view::{Shown, State};
use crate::clock;
use crate::config::{Broker, MqttConfig, MqttVersion};
use crate::gate::Gate;
use crate::live::Frame;
use crate::metrics::Metrics;
use crate::model::ClientId;
use futures_util::future::OptionFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant as Deadline, sleep_until};
use tokio_util::sync::CancellationToken;

/// Events taken at once, before others have their turn.
const EVENTS_AT_ONCE: usize = 1024;
/// A connection that the broker drops sooner is one that it did not want.
const SOON: Duration = Duration::from_secs(30);
/// So many of them in a row, the broker being there all the time, are no accident.
const DROPPED_MAX: u32 = 4;
/// When the daemon stops: time for what is under way, and for a farewell.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// What a bridge works with.
pub(super) struct Parts {
    pub config: MqttConfig,
    pub gate: Gate,
    pub client: ClientId,
    pub metrics: Arc<Metrics>,
    pub quarantine: Quarantine,
    pub shown: Shown,
    pub desk: Desk,
    pub spark: Option<Spark>,
    pub publisher: Option<Publisher>,
    pub errands: Errands,
}

pub(super) struct Bridge {
    name: Arc<str>,
    config: MqttConfig,
    target: Arc<Target>,
    gate: Gate,
    client: ClientId,
    metrics: Arc<Metrics>,
    quarantine: Quarantine,
    replays: Replays,
    shown: Shown,
    offers: Offers,
    spark: Option<Spark>,
    publisher: Option<Publisher>,
    errands: Errands,
    unacked: Unacked,
    room: Arc<Room>,
    no_room: Arc<AtomicU64>,
    backoff: Backoff,
    phase: Phase,
    link: Option<Box<dyn Link>>,
    events: Option<mpsc::UnboundedReceiver<Event>>,
    running: JoinSet<End>,
    /// Filters in the order of the subscriptions that are not answered yet.
    subscribing: Vec<String>,
    has_subscribed: bool,
    /// How often in a row the broker took a connection and dropped it soon.
    dropped: u32,
    number: u64,
}

enum Phase {
    Connecting,
    Connected {
        since: Instant,
    },
    /// Until the next attempt.
    Away {
        until: Instant,
    },
    /// Until there is room.
    Full,
    Stopping {
        until: Instant,
    },
}

/// What happened next.
enum Next {
    Stop,
    Ended(End),
    Event(Event),
    Turn(Turn),
    Replay(Kept),
    Told(Arc<Frame>),
    Errand(errands::Turn),
    Roomy,
    Tick,
}

impl Bridge {
    pub fn new(parts: Parts) -> Bridge {
        let Parts {
            config,
            gate,
            client,
            metrics,
            quarantine,
            shown,
            desk,
            spark,
            publisher,
            errands,
        } = parts;
        let name: Arc<str> = config.name.as_str().into();
        Bridge {
            target: Arc::new(target(&config.broker)),
            replays: quarantine.replays(&name),
            offers: Offers::new(desk),
            unacked: Unacked::default(),
            room: Room::new(config.in_flight_bytes),
            no_room: Arc::default(),
            backoff: Backoff::default(),
            phase: Phase::Away { until: clock::monotonic() },
            link: None,
            events: None,
            running: JoinSet::new(),
            subscribing: Vec::new(),
            has_subscribed: false,
            dropped: 0,
            number: 0,
            name,
            config,
            gate,
            client,
            metrics,
            quarantine,
            shown,
            spark,
            publisher,
            errands,
        }
    }

    /// The name of its block.
    pub fn name(&self) -> Arc<str> {
        self.name.clone()
    }

    /// Runs until `stop`; what is under way then is answered and acknowledged first.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            self.offers.advance();
            self.settle();
            self.show();
            if self.is_over() {
                break;
            }
            let open = match self.next(&stop).await {
                Next::Stop => {
                    self.stop();
                    true
                }
                Next::Ended(end) => {
                    self.take_events();
                    self.ended(end);
                    true
                }
                Next::Event(event) => {
                    self.event(event);
                    self.take_events();
                    true
                }
                Next::Turn(turn) => self.offers.handle(turn),
                Next::Replay(message) => {
                    self.replay(message);
                    true
                }
                Next::Told(frame) => {
                    self.publish(&frame);
                    true
                }
                Next::Errand(turn) => {
                    self.carry(turn);
                    true
                }
                Next::Roomy | Next::Tick => {
                    self.tick();
                    true
                }
            };
            if !open {
                // The daemon stops, and the gate went first: the broker keeps the rest.
                self.stop();
                break;
            }
        }
        self.leave().await;
        self.shown.change(|view| (view.state, view.cause) = (State::Stopped, None));
    }

    /// Every branch is cancel-safe: queues and timers lose nothing, and the link's loop is not here.
    async fn next(&mut self, stop: &CancellationToken) -> Next {
        let stopping = matches!(self.phase, Phase::Stopping { .. });
        let full = matches!(self.phase, Phase::Full);
        let due = match self.phase {
            Phase::Away { until } | Phase::Stopping { until } => Some(until),
            Phase::Connecting | Phase::Connected { .. } | Phase::Full => None,
        };
        let alarm = self.spark.as_ref().and_then(Spark::next_deadline).filter(|_| !stopping);
        let alarm = alarm.map(|alarm| clock::monotonic() + alarm.since(clock::now()));
        let due = due.into_iter().chain(alarm).min();
        let due = OptionFuture::from(due.map(|due| sleep_until(Deadline::from_std(due))));
        let event = OptionFuture::from(self.events.as_mut().map(mpsc::UnboundedReceiver::recv));
        let told = OptionFuture::from(self.publisher.as_mut().map(Publisher::next));
        tokio::select! {
            biased;
            () = stop.cancelled(), if !stopping => Next::Stop,
            turn = self.offers.turn() => Next::Turn(turn),
            Some(ended) = self.running.join_next() => {
                Next::Ended(ended.unwrap_or_else(|error| End::Lost(error.to_string())))
            }
            Some(Some(event)) = event => Next::Event(event),
            message = self.replays.next(), if !stopping => Next::Replay(message),
            Some(frame) = told, if !stopping => Next::Told(frame),
            Some(turn) = self.errands.next(), if !stopping => Next::Errand(turn),
            () = self.room.roomy(), if full => Next::Roomy,
            Some(()) = due => Next::Tick,
        }
    }

    fn take_events(&mut self) {
        for _ in 0..EVENTS_AT_ONCE {
            let Some(event) = self.events.as_mut().and_then(|events| events.try_recv().ok()) else {
                return;
            };
            self.event(event);
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Message(message) => self.message(message),
            Event::Connected { session_present } => self.connected(session_present),
            Event::Subscribed(answers) => self.subscribed(answers),
        }
    }

    fn connect(&mut self) {
        let broker = self.config.broker.clone();
        let password = match password(&broker) {
            Ok(password) => password,
            Err(problem) => return self.away(End::Refused(problem)),
        };
        let (sender, events) = mpsc::unbounded_channel();
        let inbox = Inbox {
            events: sender,
            room: self.room.clone(),
            refused: self.no_room.clone(),
            keep_alive: broker.keep_alive,
            hopeless: false,
            brake: Brake::default(),
        };
        let target = self.target.clone();
        let will = self.spark.as_mut().and_then(Spark::will);
        let (link, running) = link::open(Connect { broker, target, password, will, inbox });
        self.running.spawn(running);
        (self.link, self.events) = (Some(link), Some(events));
        self.phase = Phase::Connecting;
    }

    fn connected(&mut self, session_present: bool) {
        self.phase = Phase::Connected { since: clock::monotonic() };
        self.shown.change(|view| view.connections += 1);
        self.enter(State::Connected, None);
        self.errands.open();
        if let Some(publisher) = &mut self.publisher {
            publisher.connected();
        }
        // Over version 5 that brings nothing that was seen before. Over 3.1.1 it brings what the broker
        // retains, so it is done when it must be: other routes come with another bridge.
        let again = self.config.broker.version == MqttVersion::V5 || !self.has_subscribed;
        if !session_present || again {
            let filters = self.config.subscriptions();
            self.subscribing = filters.iter().map(|(filter, _)| filter.clone()).collect();
            if let Some(link) = &self.link {
                link.subscribe(&filters);
            }
        } else if let (Some(spark), Some(link)) = (&mut self.spark, &self.link) {
            spark.connected(&**link);
        }
    }

    fn subscribed(&mut self, answers: Vec<Option<String>>) {
        if let (Some(spark), Some(link)) = (&mut self.spark, &self.link) {
            match self.subscribing.is_empty() {
                true => spark.subscribed(&**link),
                false => spark.connected(&**link),
            }
        }
        self.has_subscribed = true;
        let now = clock::now();
        for (filter, answer) in std::mem::take(&mut self.subscribing).into_iter().zip(answers) {
            let Some(why) = answer else { continue };
            log::warn!(bridge = &*self.name, filter = filter.as_str(), cause = why.as_str(); "a subscription was refused");
            let reason = format!("not subscribed to {filter}: {why}");
            let routes = self.config.routes.iter().enumerate();
            let of_it = routes.filter(|(_, route)| filter.ends_with(route.filter()));
            for (number, _) in of_it {
                self.shown.change(|view| view.fault(number, &reason, now));
            }
            self.shown.change(|view| view.cause = Some(reason));
        }
    }

    /// The connection is gone; what came on it is acknowledged on none.
    fn ended(&mut self, end: End) {
        (self.link, self.events) = (None, None);
        self.errands.close();
        self.unacked.forget();
        self.subscribing.clear();
        let we_go = matches!(self.phase, Phase::Stopping { .. });
        let why = (!we_go).then_some("broker lost");
        if let Some(told) = self.spark.as_mut().map(|spark| spark.disconnected(why)) {
            self.told(told, Delivered::nothing(clock::now()), None);
        }
        match self.phase {
            Phase::Connected { since } => {
                let held = clock::monotonic().saturating_duration_since(since);
                self.backoff.held(held);
                let soon = end == End::Dropped && held < SOON;
                self.dropped = if soon { self.dropped + 1 } else { 0 };
            }
            Phase::Stopping { .. } => return,
            // It is not there: then it did not drop us for another.
            Phase::Connecting => self.dropped = 0,
            Phase::Away { .. } | Phase::Full => {}
        }
        self.away(end);
    }

    fn away(&mut self, end: End) {
        let now = clock::monotonic();
        let (state, cause, refused) = match end {
            End::Full => {
                self.phase = Phase::Full;
                let cause = "as many bytes wait to be durable as may (in_flight_bytes); the broker keeps the rest";
                self.enter(State::Holding, Some(cause.to_owned()));
                return;
            }
            End::Closed => (State::Away, "the connection was closed".to_owned(), false),
            End::Lost(cause) => (State::Away, cause, false),
            // A broker that speaks 3.1.1, and Mosquitto 2.0 always, says no more than that.
            End::Dropped if self.dropped >= DROPPED_MAX => {
                let cause = "the broker takes the connection and closes it again: does another client \
                             have the same client_id?";
                // A guess: not a reason to come back any later.
                (State::Refused, cause.to_owned(), false)
            }
            End::Dropped => (State::Away, "the broker closed the connection".to_owned(), false),
            End::Refused(cause) => (State::Refused, cause, true),
        };
        let wait = self.backoff.after_failure(refused, rand::random());
        self.phase = Phase::Away { until: now + wait };
        self.enter(state, Some(cause));
    }

    fn tick(&mut self) {
        let now = clock::now();
        if let Some(spark) = &mut self.spark
            && spark.next_deadline().is_some_and(|deadline| deadline <= now)
        {
            let told = spark.tick(self.link.as_deref());
            self.told(told, Delivered::nothing(now), None);
        }
        match self.phase {
            Phase::Away { until } if clock::monotonic() >= until => self.connect(),
            Phase::Full => self.connect(),
            _ => {}
        }
    }

    /// Another state, said once.
    fn enter(&self, state: State, cause: Option<String>) {
        let changed = self.shown.change(|view| {
            let changed = view.state != state || (view.cause != cause && state == State::Refused);
            if view.state != state {
                view.since = clock::now();
            }
            (view.state, view.cause) = (state, cause.clone());
            changed
        });
        if !changed {
            return;
        }
        let (bridge, broker) = (&*self.name, self.config.broker.url.as_str());
        let cause = cause.unwrap_or_default();
        match state {
            State::Connecting | State::Stopped => {}
            State::Connected => {
                log::info!(event = "broker-connected", bridge, broker; "connected to the broker")
            }
            State::Holding => {
                log::warn!(event = "broker-holding", bridge, broker, cause = cause.as_str(); "the broker has to keep its messages for now");
            }
            State::Away => {
                log::warn!(event = "broker-away", bridge, broker, cause = cause.as_str(); "the broker is not reached; trying again");
            }
            State::Refused => {
                log::error!(event = "broker-refused", bridge, broker, cause = cause.as_str(); "the broker refuses the connection; somebody has to mend something");
            }
        }
    }

    fn show(&self) {
        let (unacked, in_flight_bytes) = (self.unacked.len(), self.room.taken());
        let no_room = self.no_room.load(Ordering::Relaxed);
        let state = self.shown.change(|view| {
            (view.unacked, view.in_flight_bytes, view.no_room) =
                (unacked, in_flight_bytes, no_room);
            view.state
        });
        if matches!(self.phase, Phase::Connected { .. }) {
            match self.offers.hold() {
                Some(hold) => self.enter(State::Holding, Some(hold.cause.clone())),
                None if state == State::Holding => self.enter(State::Connected, None),
                None => {}
            }
        }
    }

    fn stop(&mut self) {
        self.errands.close();
        self.phase = Phase::Stopping { until: clock::monotonic() + STOP_TIMEOUT };
    }

    /// Whether all is done that can be before the end.
    fn is_over(&self) -> bool {
        match self.phase {
            Phase::Stopping { until } => {
                let held = self.offers.hold().is_some() && !self.offers.is_busy();
                self.offers.is_idle() || held || clock::monotonic() >= until
            }
            _ => false,
        }
    }

    /// Says goodbye, so that the broker need not find out.
    async fn leave(&mut self) {
        if let Some(link) = self.link.take() {
            if let Some(spark) = &mut self.spark {
                spark.farewell(&*link);
            }
            link.disconnect();
            let ended = tokio::time::timeout(STOP_TIMEOUT, self.running.join_next());
            if ended.await.is_err() {
                log::debug!(bridge = &*self.name; "the broker did not let us go in time");
            }
        }
    }
}

/// The password, read anew for every connection; `None` = without.
pub(super) fn password(broker: &Broker) -> Result<Option<String>, String> {
    let Some(file) = &broker.password_file else { return Ok(None) };
    match std::fs::read_to_string(file) {
        Ok(password) => Ok(Some(password.trim_end_matches(['\r', '\n']).to_owned())),
        Err(error) => Err(format!("the password_file {}: {error}", file.display())),
    }
}

pub(super) fn target(broker: &Broker) -> Target {
    let tls = broker.tls.then(|| TlsFiles {
        authorities: broker.ca_file.clone(),
        identity: broker.identity.clone(),
    });
    Target { host: broker.host.clone(), port: broker.port, tls }
}
