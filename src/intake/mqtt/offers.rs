//! A bridge's way to the gate: groups of messages, offered in order, answered in order.
//!
//! ```text
//!  waiting ──► group ──► memory at the gate ──► offered (a few) ──► answer ──┬─► settled
//!     ▲                                                                      ├─► hopeless
//!     └── again, in order ◄────────────────────────── "later" ───────────────┘
//! ```
//!
//! "Later" holds everything: nothing is offered until its time has come and all that was under way is
//! answered; then one group at a time, until one is taken. A group that is refused for good is halved
//! until the message is found that is to blame.
//!
//! Full-case of `waiting` and `again`: bounded by the room of the bridge (`room`).

use super::group::{Formed, Group, Waiting, Why, fitting, form};
use crate::admit::Objection;
use crate::clock;
use crate::gate::{self, Answer, Gate, Offer, Outcome, Reserved, Reserving, Share};
use crate::intake::caps::Followed;
use crate::intake::{Refusal, Retry};
use crate::metrics::Metrics;
use crate::model::ClientId;
use crate::routes::Route;
use crate::spool::Protocol;
use futures_util::future::OptionFuture;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::{Instant as Deadline, sleep_until};

/// Offers under way at once. While they are, what comes gathers into the next group.
const OFFERS_MAX: usize = 8;

/// Everything that an offer needs.
pub(super) struct Desk {
    pub gate: Gate,
    pub client: ClientId,
    pub routes: Arc<[Route]>,
    pub caps: Followed,
    pub metrics: Arc<Metrics>,
}

/// The books of what a bridge has offered and is going to.
pub(super) struct Offers {
    desk: Desk,
    share: Arc<Share>,
    waiting: VecDeque<Waiting>,
    /// Groups that were refused for later, by the numbers of their messages.
    again: VecDeque<Vec<Waiting>>,
    reserving: Option<(Group, Reserving)>,
    under_way: VecDeque<UnderWay>,
    answers: mpsc::Receiver<Answer>,
    answer_to: mpsc::Sender<Answer>,
    hold: Option<Hold>,
    done: Done,
}

struct UnderWay {
    messages: Vec<Waiting>,
    offered_at: Instant,
}

/// Why nothing is offered for a while.
#[derive(Debug, Clone)]
pub(super) struct Hold {
    pub until: Instant,
    pub cause: String,
}

/// Messages that the broker need not keep any more.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Durable, or understood to have nothing in them.
    pub settled: Vec<Waiting>,
    pub hopeless: Vec<(Waiting, Why)>,
}

/// What happened at the gate.
pub(super) enum Turn {
    Answer(Option<Answer>),
    Room(Result<Reserved, gate::Closed>),
    HoldOver,
}

impl Offers {
    pub fn new(desk: Desk) -> Offers {
        let (answer_to, answers) = mpsc::channel(OFFERS_MAX);
        Offers {
            share: desk.gate.share(&desk.client),
            desk,
            waiting: VecDeque::new(),
            again: VecDeque::new(),
            reserving: None,
            under_way: VecDeque::new(),
            answers,
            answer_to,
            hold: None,
            done: Done::default(),
        }
    }

    /// A message came.
    pub fn push(&mut self, message: Waiting) {
        self.waiting.push_back(message);
    }

    /// What is settled since this was last asked.
    pub fn take_done(&mut self) -> Done {
        std::mem::take(&mut self.done)
    }

    pub fn hold(&self) -> Option<&Hold> {
        self.hold.as_ref()
    }

    /// Whether nothing waits or is under way.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.again.is_empty() && !self.is_busy()
    }

    /// Whether an answer or memory is awaited.
    pub fn is_busy(&self) -> bool {
        self.reserving.is_some() || !self.under_way.is_empty()
    }

    /// Offers the next group, if it may be.
    pub fn advance(&mut self) {
        while self.may_offer() {
            let Some(messages) = self.next_messages() else { return };
            let caps = self.desk.caps.now().clone();
            let Desk { routes, client, .. } = &self.desk;
            let Formed { group, empty, hopeless, rest } =
                form(routes, &caps.limits.wire, client, messages);
            for waiting in rest.into_iter().rev() {
                self.waiting.push_front(waiting);
            }
            for _ in &hopeless {
                self.desk.gate.count_refused(Protocol::Mqtt, &self.desk.client);
            }
            self.done.settled.extend(empty);
            self.done.hopeless.extend(hopeless);
            if let Some(group) = group {
                let share = match &group.client {
                    None => self.share.clone(),
                    Some(client) => self.desk.gate.share(client),
                };
                // So that what it is resized to is what it already has.
                let bytes = (group.record.len() + group.batch.memory_bytes()).div_ceil(9);
                let room = self.desk.gate.reserve(&share, bytes);
                self.reserving = Some((group, room));
            }
        }
    }

    fn may_offer(&self) -> bool {
        self.reserving.is_none()
            && match &self.hold {
                None => self.under_way.len() < OFFERS_MAX,
                Some(hold) => self.under_way.is_empty() && clock::monotonic() >= hold.until,
            }
    }

    fn next_messages(&mut self) -> Option<Vec<Waiting>> {
        if let Some(group) = self.again.pop_front() {
            return Some(group);
        }
        let count = fitting(&self.waiting);
        (count > 0).then(|| self.waiting.drain(..count).collect())
    }

    /// What happens next. Cancel-safe: answers stay in their queue, and memory is waited for where it
    /// was.
    pub async fn turn(&mut self) -> Turn {
        let holding = match &self.hold {
            Some(hold) if !self.is_busy() => Some(sleep_until(Deadline::from_std(hold.until))),
            _ => None,
        };
        let is_held = holding.is_some();
        let room = OptionFuture::from(self.reserving.as_mut().map(|(_, room)| room));
        tokio::select! {
            biased;
            answer = self.answers.recv() => Turn::Answer(answer),
            Some(room) = room => Turn::Room(room),
            Some(()) = OptionFuture::from(holding), if is_held => Turn::HoldOver,
        }
    }

    /// Takes note of it. False if the gate is closed.
    pub fn handle(&mut self, turn: Turn) -> bool {
        match turn {
            // We hold a sender ourselves.
            Turn::Answer(None) | Turn::HoldOver => true,
            Turn::Answer(Some(answer)) => {
                let mut next = Some(answer);
                let mut open = true;
                while let Some(answer) = next {
                    open &= self.answered(answer);
                    next = self.answers.try_recv().ok();
                }
                open
            }
            Turn::Room(Ok(room)) => self.offer(room),
            Turn::Room(Err(gate::Closed)) => false,
        }
    }

    fn offer(&mut self, room: Reserved) -> bool {
        let Some((group, _)) = self.reserving.take() else { return true };
        let Group { messages, client, session, seq, batch, record } = group;
        let Ok(answer) = self.answer_to.clone().try_reserve_owned() else {
            // There are as many places as offers under way.
            self.keep(messages);
            return true;
        };
        let offer = Offer {
            received_at: clock::now(),
            protocol: Protocol::Mqtt,
            client: client.unwrap_or_else(|| self.desk.client.clone()),
            session,
            seq,
            booted_at: None,
            payload: record,
            batch,
            answer,
        };
        let offered_at = clock::monotonic();
        match self.desk.gate.offer(room, offer) {
            Ok(()) => {
                self.under_way.push_back(UnderWay { messages, offered_at });
                true
            }
            Err((_, refusal)) => self.refused(messages, refusal),
        }
    }

    /// False if the gate is closed.
    fn answered(&mut self, answer: Answer) -> bool {
        let Some(UnderWay { messages, offered_at }) = self.under_way.pop_front() else {
            return true;
        };
        let metrics = &self.desk.metrics;
        match answer.outcome {
            Outcome::Stored { samples } => {
                let took = clock::monotonic().saturating_duration_since(offered_at);
                metrics.stored(Protocol::Mqtt, samples, took);
            }
            Outcome::Duplicate => metrics.duplicate(Protocol::Mqtt),
            Outcome::Refused(refusal) => return self.refused(messages, refusal),
        }
        self.done.settled.extend(messages);
        // One was taken: the others may come.
        self.hold = None;
        true
    }

    /// False if the gate is closed.
    fn refused(&mut self, messages: Vec<Waiting>, refusal: gate::Refusal) -> bool {
        if refusal == gate::Refusal::ShuttingDown {
            return false;
        }
        let told = Refusal::from(refusal);
        self.desk.metrics.refused(Protocol::Mqtt, told.code.name());
        match self.blame(refusal, messages.len()) {
            Blame::Nobody(wait) => {
                self.keep(messages);
                let cause = told.message;
                self.hold = Some(Hold { until: clock::monotonic() + wait, cause });
            }
            Blame::Somebody(wait) => {
                let mut first = messages;
                let second = first.split_off(first.len() / 2);
                self.keep(second);
                self.keep(first);
                if let Some(wait) = wait {
                    let cause = told.message;
                    self.hold = Some(Hold { until: clock::monotonic() + wait, cause });
                }
            }
            Blame::This => {
                let why = Why { reason: told.message, code: told.code };
                let hopeless = messages.into_iter().map(|message| (message, why.clone()));
                self.done.hopeless.extend(hopeless);
            }
        }
        true
    }

    fn new_series_per_minute(&mut self) -> usize {
        self.desk.caps.now().limits.new_series_per_minute as usize
    }

    /// Whose fault a refusal is.
    fn blame(&mut self, refusal: gate::Refusal, messages: usize) -> Blame {
        let alone = messages <= 1;
        match refusal {
            gate::Refusal::Objection(Objection::NewSeriesTooFast { new, retry_after, .. }) => {
                match alone {
                    true if new > self.new_series_per_minute() => Blame::This,
                    true => Blame::Nobody(retry_after),
                    // Those without new series need not wait; nor must all come in one minute.
                    false => Blame::Somebody(Some(retry_after)),
                }
            }
            // Only the configuration helps, or devices that go: it must not hold all the others.
            gate::Refusal::Objection(_) if alone => Blame::This,
            gate::Refusal::Objection(_) => Blame::Somebody(None),
            refusal => match Refusal::from(refusal).retry {
                Retry::Later(wait) => Blame::Nobody(wait),
                Retry::Never if alone => Blame::This,
                Retry::Never => Blame::Somebody(None),
            },
        }
    }

    /// To be offered again, in its place.
    fn keep(&mut self, group: Vec<Waiting>) {
        let Some(number) = group.first().map(|message| message.number) else { return };
        let later = |other: &Vec<Waiting>| other.first().is_some_and(|first| first.number < number);
        let place = self.again.partition_point(later);
        self.again.insert(place, group);
    }
}

enum Blame {
    /// Everybody waits.
    Nobody(Duration),
    /// One of the messages, perhaps; the halves may come after this time, or at once.
    Somebody(Option<Duration>),
    /// The only one.
    This,
}
