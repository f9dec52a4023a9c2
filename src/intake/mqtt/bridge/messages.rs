//! What a bridge does with messages: to the route that reads them, to quarantine, and to the broker's
//! acknowledgement.

use super::super::book::{Message as Kept, Outcome, PAYLOAD_BYTES_MAX, Quarantined};
use super::super::group::{Meaning, Waiting, Why, route_of};
use super::super::link::Delivered;
use super::super::offers::Done;
use super::super::spark::{Spark, Told};
use super::super::unacked::Receipt;
use super::{Bridge, Phase};
use crate::routes::Decoder;
use crate::spool::Protocol;
use crate::wire::RefusalCode;
use bytes::Bytes;

impl Bridge {
    pub(super) fn message(&mut self, message: Delivered) {
        self.metrics.received(Protocol::Mqtt, message.bytes);
        let receipt = (message.qos > 0).then(|| self.unacked.received(message.packet));
        self.shown.change(|view| {
            view.messages += 1;
            view.redelivered += u64::from(message.dup);
        });
        if !matches!(self.phase, Phase::Stopping { .. }) {
            self.take(message, receipt, None);
        }
    }

    fn take(&mut self, message: Delivered, receipt: Option<Receipt>, replay: Option<u64>) {
        self.number += 1;
        let (number, max) = (self.number, self.config.broker.message_bytes_max);
        let found = route_of(&self.config.routes, message.topic());
        let route = found.map_or(usize::MAX, |(route, _)| route);
        let mut waiting = Waiting { replay, ..waiting(number, route, message, receipt) };
        let bytes = waiting.message.bytes;
        let why = match found {
            _ if bytes > max || bytes > waiting.message.payload.len() => {
                self.shown.change(|view| view.too_long += 1);
                let reason = format!("{bytes} bytes, {max} are allowed (message_bytes_max)");
                Why { reason, code: RefusalCode::LimitExceeded }
            }
            _ if replay.is_none() && self.errands.is_answer(waiting.message.topic()) => {
                return self.answered(waiting.message, waiting.receipt);
            }
            None if replay.is_none()
                && self.spark.is_some()
                && Spark::is_state(waiting.message.topic()) =>
            {
                return self.hear(waiting.message, waiting.receipt);
            }
            None => {
                self.shown.change(|view| view.unrouted += 1);
                let reason = "no route takes this topic".to_owned();
                Why { reason, code: RefusalCode::Malformed }
            }
            Some((_, Decoder::Json | Decoder::Scalar)) => return self.offers.push(waiting),
            Some((_, Decoder::Tidegate)) => {
                waiting.meaning = Meaning::Native;
                return self.offers.push(waiting);
            }
            Some((_, Decoder::Ignore)) => return self.settled(waiting),
            Some((_, Decoder::Sparkplug)) if replay.is_none() => {
                return self.hear(waiting.message, waiting.receipt);
            }
            Some((_, Decoder::Sparkplug)) => {
                let reason =
                    "Sparkplug messages mean something in their order only: they are not replayed";
                Why { reason: reason.to_owned(), code: RefusalCode::Malformed }
            }
        };
        self.gate.count_refused(Protocol::Mqtt, &self.client);
        self.set_aside(waiting, why);
    }

    /// A message for the Sparkplug host.
    fn hear(&mut self, message: Delivered, receipt: Option<Receipt>) {
        let Some(spark) = &mut self.spark else { return };
        let Delivered { payload, received_at, retained, .. } = &message;
        let link = self.link.as_deref();
        match spark.message(message.topic(), payload, *received_at, *retained, link) {
            Ok(told) => {
                self.errands.born(message.topic());
                self.told(told, message, receipt);
            }
            Err(puzzle) => {
                let (number, route) = (self.number, spark.route);
                let waiting = waiting(number, route, message, receipt);
                self.gate.count_refused(Protocol::Mqtt, &self.client);
                self.set_aside(waiting, puzzle.into());
            }
        }
    }

    /// What the Sparkplug host made of a message, or of the time.
    pub(super) fn told(&mut self, told: Told, message: Delivered, receipt: Option<Receipt>) {
        let Some(route) = self.spark.as_ref().map(|spark| spark.route) else { return };
        let Told { readings, refused, refusal } = told;
        self.errands.read(&readings, message.received_at);
        if let Some(puzzle) = refusal {
            let why = Why::from(puzzle);
            self.shown.change(|view| {
                view.fault(route, &why.reason, message.received_at);
                if let Some(route) = view.routes.get_mut(route) {
                    route.refused += refused as u64;
                }
            });
            if !message.topic.is_empty() {
                self.quarantine.put(self.quarantined(&message, why));
            }
        }
        let received_at = message.received_at;
        let mut parts = readings.into_iter().peekable();
        if parts.peek().is_none() {
            return self.settled(waiting(self.number, route, message, receipt));
        }
        // The message itself waits with its last part.
        let mut last = Some((message, receipt));
        while let Some(readings) = parts.next() {
            self.number += 1;
            let carried = if parts.peek().is_none() { last.take() } else { None };
            let (message, receipt) =
                carried.unwrap_or_else(|| (Delivered::nothing(received_at), None));
            let waiting = waiting(self.number, route, message, receipt);
            self.offers.push(Waiting { meaning: Meaning::Known(readings), ..waiting });
        }
    }

    /// A message of the quarantine is to be tried again.
    pub(super) fn replay(&mut self, kept: Kept) {
        let Kept { summary, payload } = kept;
        let message = Delivered {
            topic: summary.topic.into(),
            bytes: usize::try_from(summary.bytes).unwrap_or(usize::MAX),
            payload: payload.into(),
            qos: 0,
            retained: summary.retained,
            dup: false,
            packet: 0,
            received_at: summary.received_at,
            content_type: summary.content_type,
            properties: summary.properties,
            room: None,
        };
        self.take(message, None, Some(summary.id));
    }

    /// Acknowledges what can be.
    pub(super) fn settle(&mut self) {
        let Done { settled, hopeless } = self.offers.take_done();
        for waiting in settled {
            self.settled(waiting);
        }
        for (waiting, why) in hopeless {
            self.set_aside(waiting, why);
        }
        while let Some(packet) = self.unacked.next_ack() {
            if let Some(link) = &self.link {
                link.ack(packet);
            }
        }
    }

    pub(super) fn settled(&mut self, waiting: Waiting) {
        if let Some(receipt) = waiting.receipt {
            self.unacked.settled(receipt);
        }
        if let Some(id) = waiting.replay {
            self.quarantine.replayed(id, Outcome::Understood);
        }
        self.shown.change(|view| {
            if let Some(route) = view.routes.get_mut(waiting.route) {
                route.messages += 1;
                route.samples += waiting.samples as u64;
            }
        });
    }

    /// What is not understood is kept for people, and acknowledged: it would only come again.
    pub(super) fn set_aside(&mut self, waiting: Waiting, why: Why) {
        if let Some(receipt) = waiting.receipt {
            self.unacked.settled(receipt);
        }
        let Why { reason, code } = why;
        self.metrics.refused(Protocol::Mqtt, code.name());
        let message = waiting.message;
        self.shown.change(|view| {
            view.fault(waiting.route, &reason, message.received_at);
            if let Some(route) = view.routes.get_mut(waiting.route) {
                route.messages += 1;
                route.refused += 1;
            }
        });
        if let Some(id) = waiting.replay {
            self.quarantine.replayed(id, Outcome::Refused { reason, code: code.name() });
            return;
        }
        self.quarantine.put(self.quarantined(&message, Why { reason, code }));
    }

    fn quarantined(&self, message: &Delivered, why: Why) -> Quarantined {
        Quarantined {
            bridge: self.name.clone(),
            topic: String::from_utf8_lossy(&message.topic).into_owned(),
            payload: excerpt(&message.payload),
            bytes: message.bytes as u64,
            qos: message.qos,
            retained: message.retained,
            received_at: message.received_at,
            content_type: message.content_type.clone(),
            properties: message.properties.clone(),
            reason: why.reason,
            code: why.code.name(),
        }
    }
}

/// A message whose readings are not known yet.
pub(super) fn waiting(
    number: u64,
    route: usize,
    message: Delivered,
    receipt: Option<Receipt>,
) -> Waiting {
    let (replay, meaning, samples) = (None, Meaning::Unread, 0);
    Waiting { number, route, message, receipt, replay, meaning, samples }
}

/// The beginning of a payload, without the memory of the rest.
fn excerpt(payload: &Bytes) -> Vec<u8> {
    payload[..payload.len().min(PAYLOAD_BYTES_MAX)].to_vec()
}
