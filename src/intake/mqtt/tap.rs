//! What the routes of a bridge make of messages, for people who write routes. Nothing enters, nothing is
//! published, and nobody else is disturbed: a tap has a name of its own at the broker, a session that ends
//! with it, and no part in a group.

use super::bridge::{password, target};
use super::group::{Formed, Meaning, Waiting, Why, form, route_of};
use super::link::{self, Brake, Connect, Delivered, End, Event, Inbox, Link};
use super::room::Room;
use crate::config::{Broker, MqttConfig};
use crate::model::{Batch, Timestamp};
use crate::routes::{Decoder, Route};
use crate::sparkplug::{Host, Settings};
use crate::wire::Limits;
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Bytes of messages that wait to be told.
const ROOM_BYTES: usize = 16 << 20;

/// A message, wherever it is from.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Its topic.
    pub topic: String,
    /// Its payload, or the beginning of one that is too long.
    pub payload: Bytes,
    /// Length of the whole payload.
    pub bytes: usize,
    /// As it was delivered.
    pub qos: u8,
    /// Whether the broker had retained it.
    pub retained: bool,
    /// When it came.
    pub received_at: Timestamp,
    /// What the publisher says that it is (MQTT 5).
    pub content_type: Option<String>,
    /// The publisher's user properties (MQTT 5).
    pub properties: Vec<(String, String)>,
}

/// What the routes make of a message.
#[derive(Debug)]
pub enum Told {
    /// None takes its topic.
    NoRoute,
    /// It is longer than `message_bytes_max`.
    TooLong,
    /// This one reads it.
    Route {
        /// Which, counted from 0.
        number: usize,
        /// What it makes of it.
        readings: Result<Box<Batch>, String>,
        /// What it leaves out of it, and why.
        left_out: Option<String>,
    },
}

/// The routes of one bridge.
pub struct Tap {
    name: String,
    routes: Arc<[Route]>,
    limits: Limits,
    bytes_max: usize,
    host: Option<Host>,
}

impl Tap {
    /// Of this bridge.
    #[must_use]
    pub fn new(config: &MqttConfig, limits: &Limits) -> Tap {
        let host = config.sparkplug.as_ref().map(|(_, settings)| {
            // One that is nobody's primary host says nothing of itself.
            Host::new(Settings { host_id: String::new(), ..settings.clone() })
        });
        Tap {
            name: format!("mqtt:{}", config.name),
            routes: config.routes.clone(),
            limits: limits.clone(),
            bytes_max: config.broker.message_bytes_max,
            host,
        }
    }

    /// What the routes make of a message, as when it enters. What Sparkplug nodes said at their births
    /// is known from the messages before this one only.
    pub fn told(&mut self, sample: &Sample) -> Told {
        if sample.bytes > self.bytes_max.min(sample.payload.len()) {
            return Told::TooLong;
        }
        let (number, meaning) = match route_of(&self.routes, &sample.topic) {
            None => return Told::NoRoute,
            Some((number, Decoder::Sparkplug)) => return self.heard(number, sample),
            Some((number, Decoder::Ignore)) => {
                let readings = Ok(Box::default());
                return Told::Route { number, readings, left_out: None };
            }
            Some((number, Decoder::Tidegate)) => (number, Meaning::Native),
            Some((number, Decoder::Json | Decoder::Scalar)) => (number, Meaning::Unread),
        };
        let left_out = None;
        Told::Route { number, readings: self.formed(number, meaning, sample), left_out }
    }

    /// The same way as a message of the bridge.
    fn formed(
        &self,
        route: usize,
        meaning: Meaning,
        sample: &Sample,
    ) -> Result<Box<Batch>, String> {
        let (receipt, replay, message) = (None, None, delivered(sample));
        let waiting = Waiting { number: 0, route, message, receipt, replay, meaning, samples: 0 };
        let Formed { group, hopeless, .. } =
            form(&self.routes, &self.limits, &self.name, vec![waiting]);
        match (group, hopeless.into_iter().next()) {
            (Some(group), _) => Ok(Box::new(group.batch)),
            (None, Some((_, Why { reason, .. }))) => Err(reason),
            (None, None) => Ok(Box::default()),
        }
    }

    fn heard(&mut self, number: usize, sample: &Sample) -> Told {
        let Some(host) = &mut self.host else { return Told::NoRoute };
        let Sample { topic, payload, received_at, retained, .. } = sample;
        let heard = match host.message(topic, payload, *received_at, *retained) {
            Ok(heard) => heard,
            Err(puzzle) => {
                return Told::Route { number, readings: Err(puzzle.to_string()), left_out: None };
            }
        };
        let left_out = heard.refusals.first().map(|first| match heard.refused {
            1 => first.to_string(),
            more => format!("{more} metrics, the first: {first}"),
        });
        let readings = heard.readings.into_iter().map(|heard| heard.reading).collect();
        Told::Route {
            number,
            readings: self.formed(number, Meaning::Known(readings), sample),
            left_out,
        }
    }
}

fn delivered(sample: &Sample) -> Delivered {
    Delivered {
        topic: sample.topic.clone().into(),
        payload: sample.payload.clone(),
        bytes: sample.bytes,
        qos: sample.qos,
        retained: sample.retained,
        content_type: sample.content_type.clone(),
        properties: sample.properties.clone(),
        ..Delivered::nothing(sample.received_at)
    }
}

/// What is heard of a broker.
#[derive(Debug)]
pub enum Heard {
    /// It took the connection.
    Connected,
    /// It answered the subscription: for each filter nothing, or why it is not subscribed.
    Subscribed(Vec<(String, Option<String>)>),
    /// A message came.
    Message(Sample),
}

/// The broker could not be asked, or went.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unheard(String);

/// Subscribes to filters and hands on what is heard, until `each` says that it is enough. What comes
/// while `each` takes too long is lost.
///
/// # Errors
/// [`Unheard`].
pub async fn listen(
    config: &MqttConfig,
    filters: &[(String, u8)],
    mut each: impl FnMut(Heard) -> bool,
) -> Result<(), Unheard> {
    let broker = Broker {
        client_id: format!("tidegate-tap-{:08x}", rand::random::<u32>()),
        persistent: false,
        ..(*config.broker).clone()
    };
    let password = password(&broker).map_err(Unheard)?;
    let (sender, mut events) = mpsc::unbounded_channel();
    let inbox = Inbox {
        events: sender,
        room: Room::new(ROOM_BYTES),
        refused: Arc::default(),
        keep_alive: broker.keep_alive,
        hopeless: false,
        brake: Brake::default(),
    };
    let (target, will) = (Arc::new(target(&broker)), None);
    let (link, mut running) =
        link::open(Connect { broker: Arc::new(broker), target, password, will, inbox });
    loop {
        // Both are cancel-safe: the loop goes on where it was, and an event is taken or not.
        tokio::select! {
            biased;
            Some(event) = events.recv() => {
                if !hand_on(event, &*link, filters, &mut each) {
                    link.disconnect();
                    running.await;
                    return Ok(());
                }
            }
            end = &mut running => return Err(unheard(end)),
        }
    }
}

/// False if it is enough.
fn hand_on(
    event: Event,
    link: &dyn Link,
    filters: &[(String, u8)],
    each: &mut impl FnMut(Heard) -> bool,
) -> bool {
    match event {
        Event::Connected { .. } => {
            if !filters.is_empty() {
                link.subscribe(filters);
            }
            each(Heard::Connected)
        }
        Event::Subscribed(answers) => {
            let names = filters.iter().map(|(filter, _)| filter.clone());
            each(Heard::Subscribed(names.zip(answers).collect()))
        }
        Event::Message(message) => each(Heard::Message(Sample {
            topic: message.topic().to_owned(),
            payload: message.payload,
            bytes: message.bytes,
            qos: message.qos,
            retained: message.retained,
            received_at: message.received_at,
            content_type: message.content_type,
            properties: message.properties,
        })),
    }
}

fn unheard(end: End) -> Unheard {
    Unheard(match end {
        End::Closed => "the connection was closed".to_owned(),
        End::Dropped => "the broker closed the connection".to_owned(),
        End::Full => "messages come faster than they can be told".to_owned(),
        End::Refused(why) | End::Lost(why) => why,
    })
}
