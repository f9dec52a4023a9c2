//! A conversation with a device or gateway over WebSocket (docs/devices.md).
//!
//! One task per connection. A message that can't be taken yet waits in `unread` while nothing more is
//! read from the socket: the kernel's buffers fill, and the client waits. Answers, pings and the end
//! of the daemon go on meanwhile.
//!
//! Full-cases: at most one unread message; the queue of answers holds as many as there may be offers
//! (each reserves its slot before it is made); what is written waits in tungstenite's buffer up to
//! its cap, and a client that does not read for [`SEND_TIMEOUT`] is dropped; commands wait on its line.

mod errands;
mod greeting;

use super::Intake;
use super::account::{Account, Admittance};
use super::caps::Followed;
use super::messages::{
    End, SEND_TIMEOUT, binary, close, flush, packed, restart, send, sent, unwelcome,
};
use super::reading::{Read, reached};
use super::refusal::{Refusal, Retry};
use crate::auth::Pass;
use crate::clock;
use crate::commands::{Carrier, Errand, Line};
use crate::gate::{self, Answer, Offer, Outcome, Reserved, Reserving};
use crate::model::Seq;
use crate::spool::Protocol;
use crate::wire::{CloseCode, Downstream};
use bytes::Bytes;
use futures_util::future::OptionFuture;
use futures_util::{FutureExt, SinkExt, StreamExt};
use greeting::Greeted;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::{Instant as Deadline, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Time for the closing handshake.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// While something is ready, so many events pass between two looks at whether to stop: a look takes a
/// lock that all connections share. Who waits for something is woken at once.
const LOOK_EVERY: u32 = 16;
/// Clients come back after a restart spread over this time.
const RECONNECT_SPREAD_MS: u32 = 2000;

impl Intake {
    /// Speaks with a client until one of both ends it.
    pub async fn serve<S>(&self, mut socket: WebSocketStream<S>, peer: SocketAddr, pass: &Pass)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let end = match self.greet(&mut socket, peer, pass).await {
            Ok(greeted) => {
                let client = greeted.client.clone();
                let mut conversation = Conversation::new(self, &mut socket, greeted, pass);
                let end = conversation.run().await;
                conversation.greeted.connected.ends(&self.stop);
                log::debug!(client:% = client, peer:% = peer, end:? = end; "device connection ends");
                end
            }
            Err(end) => end,
        };
        if let End::Close(code, message) = end {
            self.close(&mut socket, code, message).await;
        }
    }

    async fn close<S>(&self, socket: &mut WebSocketStream<S>, code: CloseCode, message: String)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.metrics.closed(code.number());
        let goodbye = Downstream::Goodbye {
            code,
            message: message.clone(),
            reconnect_after_ms: rand::random_range(0..RECONNECT_SPREAD_MS),
        };
        // A close reason is a control frame: at most 123 bytes of it.
        let mut reason = message;
        reason.truncate(reason.floor_char_boundary(123));
        let frame = CloseFrame { code: code.number().into(), reason: reason.into() };
        let closing = async {
            // Whether or not they arrive, we are done with this client.
            if socket.send(Message::Binary(goodbye.encode().into())).await.is_ok()
                && socket.close(Some(frame)).await.is_ok()
            {
                // Read to the client's own close frame, so that ours is not lost in a reset.
                while let Some(Ok(_)) = socket.next().await {}
            }
        };
        if timeout(CLOSE_TIMEOUT, closing).await.is_err() {
            log::debug!(code = code.number(); "the closing handshake was not finished in time");
        }
    }
}

struct Conversation<'a, S> {
    intake: &'a Intake,
    pass: &'a Pass,
    socket: &'a mut WebSocketStream<S>,
    greeted: Greeted,
    account: Account,
    /// For the rates, which are those of now.
    caps_now: Followed,
    /// When each offer at the gate came in, in order.
    offered_at: VecDeque<Instant>,
    answers: mpsc::Receiver<Answer>,
    answer_to: mpsc::Sender<Answer>,
    line: Line,
    /// A message that waits for room at the gate, and its place among those who wait.
    unread: Option<(Bytes, Reserving)>,
    heard_at: Instant,
    batch_at: Instant,
    pinged: bool,
    /// Events since the last look at whether to stop.
    unlooked: u32,
}

/// What happened next.
enum Event {
    Message(Option<Result<Message, Error>>),
    Room(Result<Reserved, gate::Closed>),
    Answer(Option<Answer>),
    Errand(Errand),
    Terms,
    Tick,
    Replaced,
    Unwelcome,
    Stop,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Conversation<'a, S> {
    fn new(
        intake: &'a Intake,
        socket: &'a mut WebSocketStream<S>,
        greeted: Greeted,
        pass: &'a Pass,
    ) -> Self {
        // Over-credit offers are refused before the gate: so many answers at most are on their way.
        let answers_max = greeted.caps.limits.credit_batches as usize + 1;
        let (answer_to, answers) = mpsc::channel(answers_max);
        let line = intake.commands.line(Carrier::Client(greeted.client.clone()), false);
        let now = clock::monotonic();
        Conversation {
            account: Account::new(greeted.credit),
            caps_now: intake.caps.follow(),
            intake,
            pass,
            socket,
            greeted,
            offered_at: VecDeque::new(),
            answers,
            answer_to,
            line,
            unread: None,
            heard_at: now,
            batch_at: now,
            pinged: false,
            unlooked: 0,
        }
    }

    async fn run(&mut self) -> End {
        let mut stopping = false;
        loop {
            if stopping && self.account.outstanding() == 0 {
                return restart();
            }
            let event = match self.ready(stopping) {
                Some(event) => event,
                None => self.wait(stopping).await,
            };
            let handled = match event {
                Event::Message(message) => self.on_message(message).await,
                Event::Room(room) => match self.unread.take() {
                    Some((message, _)) => self.on_room(message, room, clock::monotonic()).await,
                    None => Ok(()),
                },
                Event::Answer(Some(answer)) => self.on_answers(answer).await,
                // We hold a sender ourselves.
                Event::Answer(None) => Ok(()),
                Event::Errand(errand) => self.on_errand(errand).await,
                Event::Terms => self.on_terms().await,
                Event::Tick => self.on_tick().await,
                Event::Replaced => {
                    close(CloseCode::Replaced, "a newer connection of this client and session came")
                }
                Event::Unwelcome => Err(unwelcome()),
                Event::Stop => {
                    // No more is read; what is at the gate is answered first.
                    stopping = true;
                    Ok(())
                }
            };
            if let Err(end) = handled {
                return end;
            }
        }
    }

    /// What is there already, looked for in the order of [`Self::wait`]. Under load something always
    /// is; to be woken by all the others would then cost more than to read a small batch.
    fn ready(&mut self, stopping: bool) -> Option<Event> {
        self.unlooked += 1;
        if self.unlooked >= LOOK_EVERY {
            self.unlooked = 0;
            if !stopping && self.intake.stop.is_cancelled() {
                return Some(Event::Stop);
            }
            if self.greeted.place.replaced.is_cancelled() {
                return Some(Event::Replaced);
            }
            if self.pass.ended().is_cancelled() {
                return Some(Event::Unwelcome);
            }
        }
        if let Ok(answer) = self.answers.try_recv() {
            return Some(Event::Answer(Some(answer)));
        }
        if self.greeted.terms.has_changed().unwrap_or(false) {
            self.greeted.terms.mark_unchanged();
            return Some(Event::Terms);
        }
        if let Some(errand) = self.line.ready() {
            return Some(Event::Errand(errand));
        }
        match &mut self.unread {
            _ if stopping => None,
            Some((_, room)) => room.now_or_never().map(Event::Room),
            None => self.socket.next().now_or_never().map(Event::Message),
        }
    }

    /// Every branch is cancel-safe: `next`, `recv`, `changed`, the place at the gate and the timer lose
    /// nothing.
    async fn wait(&mut self, stopping: bool) -> Event {
        let limits = &self.greeted.caps.limits;
        let deadline = self.heard_at
            + if self.pinged {
                limits.ping_interval + limits.pong_timeout
            } else {
                limits.ping_interval
            };
        let deadline = match limits.idle_timeout {
            Some(idle) => deadline.min(self.batch_at + idle),
            None => deadline,
        };
        let is_unread = self.unread.is_some();
        let room = OptionFuture::from(self.unread.as_mut().map(|(_, room)| room));
        tokio::select! {
            biased;
            () = self.intake.stop.cancelled(), if !stopping => Event::Stop,
            () = self.greeted.place.replaced.cancelled() => Event::Replaced,
            () = self.pass.ended().cancelled() => Event::Unwelcome,
            answer = self.answers.recv() => Event::Answer(answer),
            Ok(()) = self.greeted.terms.changed() => Event::Terms,
            Some(errand) = self.line.next() => Event::Errand(errand),
            Some(room) = room, if is_unread && !stopping => Event::Room(room),
            message = self.socket.next(), if !is_unread && !stopping => Event::Message(message),
            () = sleep_until(Deadline::from_std(deadline)) => Event::Tick,
        }
    }

    async fn on_message(&mut self, message: Option<Result<Message, Error>>) -> Result<(), End> {
        let message = binary(message)?;
        let now = clock::monotonic();
        self.heard_at = now;
        self.pinged = false;
        let Some(message) = message else { return Ok(()) };
        self.intake.metrics.received(Protocol::Ws, message.len());
        let mut room = self.intake.gate.reserve(&self.greeted.share, message.len());
        // The message's memory is tungstenite's whole read buffer: what waits is a copy.
        let message = Bytes::copy_from_slice(&message);
        // Mostly there is room at once.
        match (&mut room).now_or_never() {
            Some(room) => self.on_room(message, room, now).await,
            None => {
                self.unread = Some((message, room));
                Ok(())
            }
        }
    }

    /// There is room for a message: read it.
    async fn on_room(
        &mut self,
        message: Bytes,
        room: Result<Reserved, gate::Closed>,
        now: Instant,
    ) -> Result<(), End> {
        let reserved = room.map_err(|_| restart())?;
        let received_at = clock::now();
        let greeted = &self.greeted;
        let booted_at = greeted.booted_at;
        let read =
            self.intake.read(&greeted.caps, &message, received_at, booted_at, &greeted.client);
        let (seq, batch, payload) = match read {
            Read::Batch { seq, batch, payload } => (seq, batch, payload),
            Read::Refused { seq, refusal } => {
                return self.refuse(seq, refusal).await;
            }
            Read::Said(said) => {
                self.on_said(said, received_at);
                return Ok(());
            }
            Read::NotUpstream(problem) => return close(CloseCode::BadPayload, problem),
        };
        self.batch_at = now;
        match self.account.admit(message.len(), now) {
            Admittance::Within => {}
            Admittance::Over => {
                return self.refuse(seq, Refusal::over_credit()).await;
            }
            Admittance::TooOften => {
                return close(CloseCode::OverCredit, "more was sent than the credit allows");
            }
        }
        if let Err(refusal) = reached(&batch, &self.pass.caller().reach) {
            return self.refuse(seq, refusal).await;
        }
        if let Err(after) = self.caps_now.now().rates.check(&greeted.client, batch.samples()) {
            return self.refuse(seq, Refusal::rate_limited(after)).await;
        }
        if seq == 0 {
            return self.refuse(seq, Refusal::bad_seq()).await;
        }
        let Ok(answer) = self.answer_to.clone().try_reserve_owned() else {
            return self.refuse(seq, Refusal::over_credit()).await;
        };
        let bytes = message.len();
        let offer = Offer {
            received_at,
            protocol: Protocol::Ws,
            client: greeted.client.clone(),
            session: greeted.session,
            seq,
            booted_at: greeted.booted_at,
            payload: payload.unwrap_or(message),
            batch,
            answer,
        };
        match self.intake.gate.offer(reserved, offer) {
            Ok(()) => {
                self.account.offered(seq, bytes);
                self.offered_at.push_back(now);
                Ok(())
            }
            Err((_, refusal)) => self.refuse(seq, refusal.into()).await,
        }
    }

    /// Sends the receipts and refusals that are there, in one write.
    async fn on_answers(&mut self, first: Answer) -> Result<(), End> {
        let now = clock::monotonic();
        let mut next = Some(first);
        let mut acked = false;
        while let Some(Answer { seq, outcome }) = next {
            self.account.gate_answered();
            let took =
                self.offered_at.pop_front().map_or(Duration::ZERO, |at| now.duration_since(at));
            match outcome {
                Outcome::Stored { samples } => {
                    self.intake.metrics.stored(Protocol::Ws, samples, took);
                    self.account.settled(seq);
                    acked = true;
                }
                Outcome::Duplicate => {
                    self.intake.metrics.duplicate(Protocol::Ws);
                    self.account.settled(seq);
                    acked = true;
                }
                Outcome::Refused(refusal) => {
                    let refusal = Refusal::from(refusal);
                    self.intake.note(Protocol::Ws, &self.greeted.client, &refusal);
                    self.tell_refusal(seq, &refusal).await?;
                }
            }
            next = self.answers.try_recv().ok();
        }
        if acked {
            let (seq, credit) = (self.account.ack(), self.account.credit().on_wire());
            self.feed(&Downstream::Ack { seq, credit }).await?;
        }
        flush(self.socket).await
    }

    /// Refuses a batch that does not reach the gate.
    async fn refuse(&mut self, seq: Seq, refusal: Refusal) -> Result<(), End> {
        self.intake.note(Protocol::Ws, &self.greeted.client, &refusal);
        self.intake.gate.count_refused(Protocol::Ws, &self.greeted.client);
        self.tell_refusal(seq, &refusal).await?;
        flush(self.socket).await
    }

    async fn tell_refusal(&mut self, seq: Seq, refusal: &Refusal) -> Result<(), End> {
        match refusal.retry {
            Retry::Never => self.account.settled(seq),
            Retry::Later(_) => {
                if !self.account.postponed(seq) {
                    return close(
                        CloseCode::OverCredit,
                        "too many batches that were refused for later have not been sent again",
                    );
                }
            }
        }
        self.feed(&refusal.told(seq)).await
    }

    /// Puts a message into the socket's buffer; [`flush`] sends it with its neighbours.
    async fn feed(&mut self, message: &Downstream) -> Result<(), End> {
        let message = packed(message, self.greeted.accept);
        sent(timeout(SEND_TIMEOUT, self.socket.feed(Message::Binary(message))).await)
    }

    /// Pressure changed, or this client's part in it: tell the new credit before anything is full.
    async fn on_terms(&mut self) -> Result<(), End> {
        let limits = &self.greeted.caps.limits;
        let terms = *self.greeted.terms.borrow_and_update();
        let credit = terms.credit(limits.credit_batches, limits.credit_bytes);
        if credit == self.account.credit() {
            return Ok(());
        }
        self.account.grant(credit, clock::monotonic());
        let throttle = Downstream::Throttle {
            credit: credit.on_wire(),
            min_interval_ms: credit.min_interval.as_millis() as u32,
            reason: terms.why.to_string(),
        };
        send(self.socket, packed(&throttle, self.greeted.accept)).await
    }

    /// Nothing was heard for a while.
    async fn on_tick(&mut self) -> Result<(), End> {
        let limits = &self.greeted.caps.limits;
        let now = clock::monotonic();
        if limits.idle_timeout.is_some_and(|idle| now >= self.batch_at + idle) {
            return close(CloseCode::Idle, "no batch came for a while (limits.idle_timeout)");
        }
        // A message that waits for room is a sign of life.
        if self.unread.is_some() {
            self.heard_at = now;
            return Ok(());
        }
        if self.pinged && now >= self.heard_at + limits.ping_interval + limits.pong_timeout {
            return close(CloseCode::PongTimeout, "no answer to our ping");
        }
        if !self.pinged && now >= self.heard_at + limits.ping_interval {
            self.pinged = true;
            let ping = self.socket.send(Message::Ping(Bytes::new()));
            return sent(timeout(SEND_TIMEOUT, ping).await);
        }
        Ok(())
    }
}
