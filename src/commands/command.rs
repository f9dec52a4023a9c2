//! A command, and what may become of it.
//!
//! ```text
//!            ┌────────────► cancelled
//!  queued ───┤
//!            ├──► sent ───┬► acknowledged    the device did it
//!            │     │ ▲    ├► failed          it did not, or could not
//!            │     └─┘    └► cancelled       not sent again
//!            │  at least once only
//!            └──────┴──────► expired         its time to live is over
//! ```
//!
//! States only move forward. What is final stays so, but for a late answer, which is noted.

use crate::model::{ClientId, Timestamp};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// How often a command may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Never sent a second time once it may have been written to a connection.
    AtMostOnce,
    /// Sent again after a lost connection or answer, until its time to live ends.
    AtLeastOnce,
}

impl Delivery {
    /// As in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Delivery::AtMostOnce => "at_most_once",
            Delivery::AtLeastOnce => "at_least_once",
        }
    }

    /// The delivery of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Delivery> {
        [Delivery::AtMostOnce, Delivery::AtLeastOnce].into_iter().find(|it| it.name() == name)
    }
}

/// Where a command is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It waits for its device.
    Queued,
    /// It is, or may be, on its way.
    Sent,
    /// The device said that it did it.
    Acknowledged,
    /// The device said that it did not, or nobody could tell it to.
    Failed,
    /// Nobody said anything in its time to live.
    Expired,
    /// Somebody took it back.
    Cancelled,
}

impl State {
    /// In the order of the numbers in the file.
    pub const ALL: [State; 6] = [
        State::Queued,
        State::Sent,
        State::Acknowledged,
        State::Failed,
        State::Expired,
        State::Cancelled,
    ];

    /// As in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            State::Queued => "queued",
            State::Sent => "sent",
            State::Acknowledged => "acknowledged",
            State::Failed => "failed",
            State::Expired => "expired",
            State::Cancelled => "cancelled",
        }
    }

    /// Whether nothing changes any more.
    #[must_use]
    pub fn is_final(self) -> bool {
        self > State::Sent
    }
}

/// How a command goes to its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Via {
    /// Over the WebSocket of the device or of its gateway.
    Ws,
    /// As NCMD or DCMD.
    Sparkplug,
    /// To a topic of a broker.
    Mqtt,
}

impl Via {
    /// In the order of the numbers in the file.
    pub const ALL: [Via; 3] = [Via::Ws, Via::Sparkplug, Via::Mqtt];

    /// As in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Via::Ws => "ws",
            Via::Sparkplug => "sparkplug",
            Via::Mqtt => "mqtt",
        }
    }
}

/// Who can carry something to a device: one end of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Carrier {
    /// A client that is connected by WebSocket.
    Client(ClientId),
    /// The bridge to a broker.
    Bridge(ClientId),
}

impl Carrier {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &ClientId {
        match self {
            Carrier::Client(name) | Carrier::Bridge(name) => name,
        }
    }
}

/// What somebody wants done.
#[derive(Debug, Clone)]
pub struct Wish {
    /// By which device.
    pub device: Arc<str>,
    /// What.
    pub name: String,
    /// With what: JSON, or nothing.
    pub arguments: Option<String>,
    /// How often it may be done.
    pub delivery: Delivery,
    /// Not to be done later than so long after now.
    pub ttl: Duration,
    /// Who wants it.
    pub by: String,
}

/// A command and its life so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Names it, for ever.
    pub id: u64,
    /// For which device.
    pub device: Arc<str>,
    /// What is to be done.
    pub name: String,
    /// With what: JSON.
    pub arguments: Option<String>,
    /// How often it may be done.
    pub delivery: Delivery,
    /// Where it is on its way.
    pub state: State,
    /// Who asked for it.
    pub by: String,
    /// When.
    pub created_at: Timestamp,
    /// It is not sent, and not to be done, after this.
    pub expires_at: Timestamp,
    /// When it was handed over for the last time.
    pub sent_at: Option<Timestamp>,
    /// When its state became final.
    pub finished_at: Option<Timestamp>,
    /// How often it was handed over.
    pub attempts: u32,
    /// How it went.
    pub via: Option<Via>,
    /// To whom it was handed over: only who got it may answer it.
    pub carrier: Option<Carrier>,
    /// For people: what the device said, or why it waits.
    pub message: String,
    /// What the device gave back: JSON.
    pub result: Option<String>,
}

/// What a device said of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Of which.
    pub id: u64,
    /// Whether it was done.
    pub ok: bool,
    /// For people.
    pub message: String,
    /// What it gave: JSON.
    pub result: Option<String>,
}

/// Why a command can't be taken back; for whoever wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CancelError {
    /// It is over.
    #[error("it is {} already", .0.name())]
    Final(State),
    /// It is on its way, and would not be sent again anyway.
    #[error("it has been sent, and can't be called back")]
    Sent,
}

impl Command {
    /// A new one.
    #[must_use]
    pub fn new(id: u64, wish: Wish, now: Timestamp) -> Command {
        Command {
            id,
            device: wish.device,
            name: wish.name,
            arguments: wish.arguments,
            delivery: wish.delivery,
            state: State::Queued,
            by: wish.by,
            created_at: now,
            expires_at: now.saturating_add(wish.ttl),
            sent_at: None,
            finished_at: None,
            attempts: 0,
            via: None,
            carrier: None,
            message: String::new(),
            result: None,
        }
    }

    /// It is about to be handed over.
    pub(super) fn sent(&mut self, carrier: &Carrier, via: Via, now: Timestamp) {
        self.state = State::Sent;
        self.sent_at = Some(now);
        self.attempts = self.attempts.saturating_add(1);
        (self.via, self.carrier) = (Some(via), Some(carrier.clone()));
        self.message.clear();
    }

    /// Its device answered.
    pub(super) fn answered(&mut self, answer: Answer, now: Timestamp) {
        self.state = if answer.ok { State::Acknowledged } else { State::Failed };
        (self.message, self.result) = (answer.message, answer.result);
        self.finished_at = Some(now);
    }

    /// Its device answered when it was over.
    pub(super) fn answered_late(&mut self, answer: Answer) {
        let said = if answer.ok { "it was done" } else { "it was not done" };
        let colon = if answer.message.is_empty() { "" } else { ": " };
        self.message = format!("{}; told later: {said}{colon}{}", self.message, answer.message);
        self.result = answer.result;
    }

    /// Its time to live is over.
    pub(super) fn expired(&mut self, now: Timestamp) {
        let why = match (self.state, self.message.as_str()) {
            (State::Sent, "") => "no answer came: nobody knows whether it was done".to_owned(),
            (State::Sent, note) => format!("no answer came: {note}"),
            (_, "") => "it could not be sent: the device was away".to_owned(),
            (_, note) => format!("it could not be sent: {note}"),
        };
        (self.state, self.message, self.finished_at) = (State::Expired, why, Some(now));
    }

    /// Somebody takes it back.
    pub(super) fn cancelled(&mut self, by: &str, now: Timestamp) -> Result<(), CancelError> {
        let before = match (self.state, self.delivery) {
            (State::Queued, _) => "",
            (State::Sent, Delivery::AtLeastOnce) => ", after it was sent: it may have been done",
            (State::Sent, Delivery::AtMostOnce) => return Err(CancelError::Sent),
            (state, _) => return Err(CancelError::Final(state)),
        };
        self.message = format!("cancelled by {by}{before}");
        (self.state, self.finished_at) = (State::Cancelled, Some(now));
        Ok(())
    }

    /// What it takes in memory, roughly.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let texts = [&*self.device, &self.name, &self.by, &self.message];
        let texts: usize = texts.iter().map(|text| text.len()).sum();
        let json = [&self.arguments, &self.result].into_iter().flatten();
        size_of::<Command>() + texts + json.map(String::len).sum::<usize>()
    }
}
