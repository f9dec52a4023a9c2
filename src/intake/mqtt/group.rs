//! From messages that wait to batches that can be offered. Pure.
//!
//! What waits is one group, as at the gate: the readings of its messages gather into one batch. A
//! message enters whole or not at all; one that can't be read costs the others nothing. Native messages
//! are batches of their own, with their own client, session and number.

use super::link::Delivered;
use super::unacked::Receipt;
use crate::decode::{self, Content, Gather, NotAdded, Reading, Value};
use crate::intake::reading;
use crate::model::{Batch, ClientId, Seq, SessionId};
use crate::routes::{self, Decoder, Message, Puzzle, Route};
use crate::sparkplug;
use crate::wire::{Limits, RefusalCode};
use bytes::Bytes;
use std::borrow::Cow;

/// Messages in one group, at most.
pub(super) const MESSAGES_MAX: usize = 1024;
/// Bytes of their payloads, unless it is one message.
const BYTES_MAX: usize = 1 << 20;

/// A message that is not durable yet.
#[derive(Debug)]
pub(super) struct Waiting {
    /// How manieth of the bridge; groups are offered in this order.
    pub number: u64,
    /// Which route reads it.
    pub route: usize,
    pub message: Delivered,
    /// What the broker is told by that it is durable.
    pub receipt: Option<Receipt>,
    /// Its place in quarantine, if it comes from there.
    pub replay: Option<u64>,
    pub meaning: Meaning,
    /// Samples of it in the group that it is in.
    pub samples: usize,
}

/// What is known of a message's readings.
#[derive(Debug)]
pub(super) enum Meaning {
    /// They are read when a group is formed; a second time if that has to be done again.
    Unread,
    /// They are known already, because they can be read only once.
    Known(Vec<Reading<'static>>),
    /// The message is a batch.
    Native,
}

/// A batch to be offered, and the messages that are durable with it.
#[derive(Debug)]
pub(super) struct Group {
    pub messages: Vec<Waiting>,
    /// `None` = the bridge itself.
    pub client: Option<ClientId>,
    pub session: SessionId,
    pub seq: Seq,
    pub batch: Batch,
    /// As the spool holds it.
    pub record: Bytes,
}

/// Why a message will never be understood as things are.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Why {
    pub reason: String,
    pub code: RefusalCode,
}

impl From<Puzzle> for Why {
    fn from(puzzle: Puzzle) -> Why {
        Why { reason: puzzle.to_string(), code: puzzle.code() }
    }
}

impl From<sparkplug::Puzzle> for Why {
    fn from(puzzle: sparkplug::Puzzle) -> Why {
        Why { reason: puzzle.to_string(), code: puzzle.code() }
    }
}

impl From<NotAdded> for Why {
    fn from(not_added: NotAdded) -> Why {
        let code = match &not_added {
            NotAdded::Fault(fault) => fault.kind.code(),
            NotAdded::Full => RefusalCode::LimitExceeded,
        };
        Why { reason: not_added.to_string(), code }
    }
}

/// What came of forming a group.
#[derive(Debug, Default)]
pub(super) struct Formed {
    /// To be offered.
    pub group: Option<Group>,
    /// Understood, and nothing of them is wanted.
    pub empty: Vec<Waiting>,
    /// Not understood.
    pub hopeless: Vec<(Waiting, Why)>,
    /// For the next group, in order.
    pub rest: Vec<Waiting>,
}

/// How many of these, from the first on, may become one group.
pub(super) fn fitting<'w>(waiting: impl IntoIterator<Item = &'w Waiting>) -> usize {
    let mut bytes = 0;
    let mut count = 0;
    for message in waiting {
        bytes += message.message.payload.len();
        let alone = matches!(message.meaning, Meaning::Native);
        if count > 0 && (alone || bytes > BYTES_MAX || count == MESSAGES_MAX) {
            break;
        }
        count += 1;
        if alone {
            break;
        }
    }
    count
}

/// What became of a message while its group was formed.
enum Fate {
    In(usize),
    Empty,
    Hopeless(Why),
}

/// Forms a group of messages that [fit](fitting) together.
pub(super) fn form(
    routes: &[Route],
    limits: &Limits,
    fallback: &str,
    mut messages: Vec<Waiting>,
) -> Formed {
    if let [Waiting { meaning: Meaning::Native, .. }] = &messages[..] {
        return native(routes, limits, fallback, messages);
    }
    let mut formed = Formed::default();
    let mut end = messages.len();
    let (batch, fates) = loop {
        match gather(routes, limits, &messages[..end]) {
            Ok(gathered) => break gathered,
            Err(full_at) => end = full_at,
        }
    };
    formed.rest = messages.split_off(end);
    let mut inside = Vec::with_capacity(messages.len());
    for (message, fate) in messages.into_iter().zip(fates) {
        match fate {
            Fate::In(samples) => inside.push(Waiting { samples, ..message }),
            Fate::Empty => formed.empty.push(message),
            Fate::Hopeless(why) => formed.hopeless.push((message, why)),
        }
    }
    if !inside.is_empty() {
        let record = reading::record(decode::encode(&batch, 0));
        let (client, session, seq) = (None, SessionId(0), 0);
        formed.group = Some(Group { messages: inside, client, session, seq, batch, record });
    }
    formed
}

/// The batch of all these, and the fate of each; or the place of the first that it has no room for.
fn gather(
    routes: &[Route],
    limits: &Limits,
    messages: &[Waiting],
) -> Result<(Batch, Vec<Fate>), usize> {
    let mut gather = Gather::new(limits);
    let mut fates = Vec::with_capacity(messages.len());
    for (place, waiting) in messages.iter().enumerate() {
        let before = gather.samples();
        let fate = match readings(routes, limits, waiting) {
            Err(puzzle) => Fate::Hopeless(puzzle.into()),
            Ok(readings) if readings.is_empty() => Fate::Empty,
            Ok(readings) => match gather.push_all(readings, waiting.message.received_at) {
                Ok(()) => Fate::In(gather.samples() - before),
                // Alone it has no room either; what was gathered of it goes.
                Err(NotAdded::Full) if !fates.iter().any(|fate| matches!(fate, Fate::In(_))) => {
                    gather = Gather::new(limits);
                    Fate::Hopeless(NotAdded::Full.into())
                }
                Err(NotAdded::Full) => return Err(place),
                Err(fault) => Fate::Hopeless(fault.into()),
            },
        };
        fates.push(fate);
    }
    Ok((gather.finish(), fates))
}

fn readings<'a>(
    routes: &'a [Route],
    limits: &Limits,
    waiting: &'a Waiting,
) -> Result<Vec<Reading<'a>>, Puzzle> {
    if let Meaning::Known(readings) = &waiting.meaning {
        return Ok(readings.iter().map(borrowed).collect());
    }
    let route = &routes[waiting.route];
    let message = of(&waiting.message);
    // It took the topic when the message came.
    let Some(captures) = route.takes(waiting.message.topic()) else { return Ok(Vec::new()) };
    routes::read(route, &captures, &message, limits)
}

/// The same reading without a copy of its names.
fn borrowed<'a>(reading: &'a Reading<'static>) -> Reading<'a> {
    let value = |value: &'a Value<'static>| Value {
        metric: Cow::Borrowed(&*value.metric),
        unit: Cow::Borrowed(&*value.unit),
        content: match &value.content {
            Content::Float(value) => Content::Float(*value),
            Content::Int(value) => Content::Int(*value),
            Content::Bool(value) => Content::Bool(*value),
            Content::Text(value) => Content::Text(Cow::Borrowed(&**value)),
        },
    };
    let tags =
        reading.tags.iter().map(|(key, value)| (Cow::Borrowed(&**key), Cow::Borrowed(&**value)));
    Reading {
        device: Cow::Borrowed(&*reading.device),
        tags: tags.collect(),
        values: reading.values.iter().map(value).collect(),
        ..*reading
    }
}

/// A message as routes are told it.
fn of(message: &Delivered) -> Message<'_> {
    Message {
        topic: message.topic(),
        payload: &message.payload,
        received_at: message.received_at,
        retained: message.retained,
        content_type: message.content_type.as_deref(),
        properties: &message.properties,
    }
}

fn native(routes: &[Route], limits: &Limits, fallback: &str, mut messages: Vec<Waiting>) -> Formed {
    let mut formed = Formed::default();
    let Some(waiting) = messages.pop() else { return formed };
    let route = &routes[waiting.route];
    let message = of(&waiting.message);
    let read = route.takes(waiting.message.topic()).map(|captures| {
        routes::native(route, &captures, &message, limits, fallback, &mut Vec::new())
    });
    match read {
        None => formed.empty.push(waiting),
        Some(Err(puzzle)) => formed.hopeless.push((waiting, puzzle.into())),
        Some(Ok(native)) => {
            let samples = native.batch.samples();
            let client = native.client.as_deref().map(ClientId::from);
            let (session, seq, batch) = (native.session, native.seq, native.batch);
            let record = match native.record {
                Cow::Borrowed(_) => waiting.message.payload.clone(),
                Cow::Owned(record) => record.into(),
            };
            let messages = vec![Waiting { samples, ..waiting }];
            formed.group = Some(Group { messages, client, session, seq, batch, record });
        }
    }
    formed
}

/// Which route reads a topic, and what is to be done with its messages.
pub(super) fn route_of(routes: &[Route], topic: &str) -> Option<(usize, Decoder)> {
    let route = routes.iter().position(|route| route.takes(topic).is_some())?;
    Some((route, routes[route].decoder()))
}
