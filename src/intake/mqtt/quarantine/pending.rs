//! What waits to be written: bounded, and added up while it waits.

use crate::intake::mqtt::book::{
    Bounds, Message, Outcome, PAYLOAD_BYTES_MAX, Quarantined, Remember, Round, Seen,
    TOPIC_MESSAGES_MAX,
};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Messages that wait to be written; one more is counted only.
const ROUND_MESSAGES_MAX: usize = 256;
/// Bytes that they take; likewise.
const ROUND_BYTES_MAX: u64 = 2 << 20;
/// Topics with counts of their own in a round; messages of further ones are counted together.
const ROUND_TOPICS_MAX: usize = 256;
/// Births that wait to be written.
const ROUND_BIRTH_BYTES_MAX: usize = 32 << 20;

/// What waits to be written.
#[derive(Default)]
pub(super) struct Pending {
    seen: HashMap<Arc<str>, HashMap<String, Waiting>>,
    /// In all maps of `seen`.
    topics: usize,
    others: HashMap<Arc<str>, u64>,
    messages: Vec<Quarantined>,
    bytes: u64,
    pub(super) replayed: Vec<(u64, Outcome)>,
    remember: HashMap<(Arc<str>, String), Option<Vec<u8>>>,
    birth_bytes: usize,
    pub(super) listeners: Vec<(Arc<str>, mpsc::Sender<Message>)>,
    /// Dropped when what is here is written.
    pub(super) waiting: Vec<mpsc::Sender<()>>,
    pub(super) ended: bool,
    /// So much is kept from now on.
    pub(super) bounds: Option<Bounds>,
}

/// A topic on which messages came, and how many of them wait.
struct Waiting {
    seen: Seen,
    kept: usize,
}

/// When the thread must do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    Idle,
    /// Within half a second.
    Soon,
    Now,
}

impl Pending {
    pub(super) fn urgency(&self) -> Urgency {
        let now = self.ended
            || !self.remember.is_empty()
            || !self.replayed.is_empty()
            || !self.listeners.is_empty()
            || !self.waiting.is_empty()
            || self.bounds.is_some();
        match now {
            true => Urgency::Now,
            false if self.topics > 0 || !self.others.is_empty() => Urgency::Soon,
            false => Urgency::Idle,
        }
    }

    pub(super) fn put(&mut self, mut message: Quarantined) {
        let topics = self.seen.entry(message.bridge.clone()).or_default();
        let waiting = match topics.get_mut(&message.topic) {
            Some(waiting) => waiting,
            None if self.topics >= ROUND_TOPICS_MAX => {
                *self.others.entry(message.bridge).or_default() += 1;
                return;
            }
            None => {
                self.topics += 1;
                topics.entry(message.topic.clone()).or_insert_with(|| Waiting::first(&message))
            }
        };
        let seen = &mut waiting.seen;
        seen.count += 1;
        seen.last = message.received_at;
        seen.code = message.code;
        seen.reason.clone_from(&message.reason);
        if waiting.kept >= TOPIC_MESSAGES_MAX || self.messages.len() >= ROUND_MESSAGES_MAX {
            return;
        }
        // The beginning of a long payload is kept, not its memory.
        message.payload.truncate(PAYLOAD_BYTES_MAX);
        let cost = message.cost();
        if self.bytes + cost > ROUND_BYTES_MAX {
            return;
        }
        message.payload.shrink_to_fit();
        waiting.kept += 1;
        self.bytes += cost;
        self.messages.push(message);
    }

    pub(super) fn remember(&mut self, bridge: &Arc<str>, node: &str, birth: Option<Vec<u8>>) {
        let length = |birth: &Option<Vec<u8>>| birth.as_ref().map_or(0, Vec::len);
        let now = self.remember.entry((bridge.clone(), node.to_owned())).or_default();
        self.birth_bytes -= length(now);
        // It is asked for another rather than known by an older one.
        *now = birth.filter(|birth| self.birth_bytes + birth.len() <= ROUND_BIRTH_BYTES_MAX);
        self.birth_bytes += length(now);
    }

    /// Takes out all that is to be written; who listens, or waits for that, stays.
    pub(super) fn take(&mut self) -> Pending {
        let listeners = std::mem::take(&mut self.listeners);
        let waiting = std::mem::take(&mut self.waiting);
        let ended = self.ended;
        let taken = std::mem::replace(self, Pending { ended, ..Pending::default() });
        (self.listeners, self.waiting) = (listeners, waiting);
        taken
    }

    pub(super) fn into_round(self) -> Round {
        let seen = self.seen.into_values().flatten();
        let remember = self.remember.into_iter();
        Round {
            number: rand::random(),
            seen: seen.map(|(_, waiting)| waiting.seen).collect(),
            others: self.others.into_iter().collect(),
            messages: self.messages,
            replayed: self.replayed,
            remember: remember
                .map(|((bridge, node), birth)| Remember { bridge, node, birth })
                .collect(),
        }
    }
}

impl Waiting {
    fn first(message: &Quarantined) -> Waiting {
        let seen = Seen {
            bridge: message.bridge.clone(),
            topic: message.topic.clone(),
            count: 0,
            first: message.received_at,
            last: message.received_at,
            reason: String::new(),
            code: message.code,
        };
        Waiting { seen, kept: 0 }
    }
}
