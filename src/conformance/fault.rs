//! What a client can do wrong, and what the contract says of it.

use crate::model::Seq;
use crate::wire::CloseCode;
use std::time::Duration;
use thiserror::Error;

/// What a client did wrong, as a sentence to its author.
#[derive(Debug, Clone, PartialEq, Error)]
#[expect(missing_docs, reason = "the sentences say it")]
pub enum Fault {
    #[error("the command could not be run: {0}")]
    NotRun(String),
    #[error("it did not connect within {0:?}")]
    NotHere(Duration),
    #[error("it asked for the path {0} instead of that of CONFORMANCE_URL")]
    Path(String),
    #[error("its handshake offered the subprotocol {0:?} instead of tidegate.v1")]
    Subprotocol(String),
    #[error("its handshake showed Authorization {0:?} instead of \"Bearer\" and CONFORMANCE_TOKEN")]
    Token(String),
    #[error("its WebSocket handshake is not good: {0}")]
    Handshake(String),
    #[error("it sent a text message")]
    Text,
    #[error("it sent a message that is no Upstream: {0}")]
    Unreadable(String),
    #[error("its first message was {0} instead of Hello")]
    NoHello(&'static str),
    #[error("it sent a second Hello")]
    SecondHello,
    #[error("its Hello says the client {said:?} instead of {expected:?} (CONFORMANCE_CLIENT)")]
    Client { said: String, expected: String },
    #[error("its session is 0")]
    SessionZero,
    #[error("two clients with fresh buffers have the same session {0}")]
    SessionConstant(u64),
    #[error("its session was {before} and is {now}, although its buffer is the same")]
    SessionChanged { before: u64, now: u64 },
    #[error("its Hello.resume is {resume}, although batch {held} is not settled")]
    Resume { resume: Seq, held: Seq },
    #[error(
        "after an outage with {readings} readings and room for {buffer} its Hello.resume is {resume} instead of {}",
        readings - buffer + 1
    )]
    Buffer { resume: Seq, readings: u64, buffer: u64 },
    #[error("it sent a batch before it was welcome: it knew neither what to resend nor its credit")]
    BeforeWelcome,
    #[error("it sent a batch that the daemon would refuse: {0}")]
    Batch(String),
    #[error("batch {seq} does not hold reading {seq}, but {found}")]
    Reading { seq: Seq, found: String },
    #[error("it sent a batch without a seq")]
    NoSeq,
    #[error(
        "it sent batch {got}, where {expected} was due: what it holds goes out oldest first, without gaps"
    )]
    Order { expected: Seq, got: Seq },
    #[error(
        "it sent batch {0} a second time on the same connection, although nothing asked for that"
    )]
    Again(Seq),
    #[error("it sent batch {0} again, although it was settled")]
    Settled(Seq),
    #[error("it sent batch {0} again, although it was refused for good")]
    RefusedAgain(Seq),
    #[error("batch {0} came again with other bytes")]
    Changed(Seq),
    #[error("it had {batches} batches unanswered with a credit of {credit}")]
    CreditBatches { batches: usize, credit: u32 },
    #[error("it had {bytes} bytes unanswered with a credit of {credit}")]
    CreditBytes { bytes: usize, credit: u32 },
    #[error(
        "it sent batch {seq} {after:?} after it was told to send one in {interval:?}: the {nth}. since then"
    )]
    Interval { seq: Seq, nth: u32, after: Duration, interval: Duration },
    #[error("it still sends slowly {0:?} after Throttle.min_interval_ms was 0 again")]
    IntervalStays(Duration),
    #[error("it sent batch {seq} {after:?} after a refusal that told it to wait {wait:?}")]
    Later { seq: Seq, after: Duration, wait: Duration },
    #[error(
        "it came back {after:?} after the connection broke; at least {least:?} is due after {failures} failures in a row"
    )]
    TooSoon { after: Duration, least: Duration, failures: u32 },
    #[error("it came back {after:?} after a Goodbye that told it to wait {wait:?}")]
    Goodbye { after: Duration, wait: Duration },
    #[error("the times that it waits before coming back have no random part: {0}")]
    NoJitter(String),
    #[error(
        "after a connection that went well it waited {0:?} before coming back, as if it had failed all the time"
    )]
    NoReset(Duration),
    #[error("it came back after close code {} ({code})", .code.number())]
    CameBack { code: CloseCode },
    #[error("it closed the connection, although it was not done")]
    Left,
    #[error("it ended ({status}) with {unsettled} readings unsettled")]
    Ended { status: String, unsettled: u64 },
    #[error("it ended with {0}, although all was settled")]
    Status(String),
    #[error("it did not end within {0:?}, although all was settled")]
    NotEnded(Duration),
    #[error("it did not send {what} within {within:?}")]
    Missing { what: String, within: Duration },
    #[error("it did not say {line:?} within {within:?}")]
    NotTold { line: String, within: Duration },
    #[error("its answer to command {id} says ok: nobody knows such a command")]
    CommandDone { id: u64 },
    #[error("its answer to command {id} has no message that says why not")]
    CommandMute { id: u64 },
    #[error("it answered command {0}, which it was not sent")]
    CommandUnasked(u64),
    #[error("it sent Reported, although it was never sent a Desired")]
    ReportedUnasked,
    #[error("its Reported is of {device:?}, version {version}; it was sent version {expected}")]
    Reported { device: String, version: u64, expected: u64 },
}

impl Fault {
    /// What the contract says, and where.
    #[must_use]
    pub fn contract(&self) -> &'static str {
        match self {
            Fault::NotRun(_)
            | Fault::NotHere(_)
            | Fault::Path(_)
            | Fault::Reading { .. }
            | Fault::Status(_)
            | Fault::NotEnded(_)
            | Fault::Ended { .. } => {
                "docs/clients.md: the command connects to CONFORMANCE_URL, sends each reading in a batch of its own, \
                 and ends with 0 when all are settled"
            }
            Fault::Subprotocol(_) | Fault::Handshake(_) | Fault::Text | Fault::Unreadable(_) => {
                "docs/devices.md: WebSocket subprotocol tidegate.v1; one binary message holds one Upstream"
            }
            Fault::Token(_) => "docs/access.md: Authorization: Bearer KEY",
            Fault::NoHello(_) | Fault::SecondHello | Fault::BeforeWelcome => {
                "docs/devices.md: Hello is the first message of every connection, once; Welcome tells what to send \
                 next, and the credit"
            }
            Fault::Client { .. } => "ingest.proto, Hello.client: stable over restarts",
            Fault::SessionZero | Fault::SessionConstant(_) | Fault::SessionChanged { .. } => {
                "docs/devices.md, rule 1: session is a random number, not 0, drawn when the buffer of unsent batches \
                 is created, once for ever if it is on disk"
            }
            Fault::Resume { .. } => {
                "docs/devices.md, rule 8, and Hello.resume: the lowest seq that you still hold, 0 if you don't know"
            }
            Fault::Buffer { .. } => {
                "docs/devices.md, rule 8: when your buffer is full, give up the oldest batch, and tell the lowest seq \
                 that you still hold as Hello.resume; docs/clients.md: CONFORMANCE_BUFFER is how many it may hold"
            }
            Fault::Batch(_) => "docs/devices.md, Batches and Refusals",
            Fault::NoSeq | Fault::Order { .. } | Fault::Settled(_) => {
                "docs/devices.md, rules 2 and 4: seq goes up by one; after a reconnect forget what Welcome.last_seq \
                 covers and send all else that you hold, oldest first"
            }
            Fault::Again(_) => {
                "docs/devices.md, rule 3: hold a batch until it is settled; send it again after a reconnect or a \
                 refusal with later_after_ms, not by a clock of your own"
            }
            Fault::RefusedAgain(_) => {
                "docs/devices.md, rule 5: with never, the same bytes will be refused again; drop or mend them"
            }
            Fault::Changed(_) => {
                "docs/devices.md, rule 2: a batch that is sent again keeps its seq, and its bytes"
            }
            Fault::CreditBatches { .. } | Fault::CreditBytes { .. } => {
                "docs/devices.md, rule 6: never more batches, or bytes of messages, unanswered than the last Welcome, \
                 Ack or Throttle said; 0 means wait"
            }
            Fault::Interval { .. } | Fault::IntervalStays(_) => {
                "docs/devices.md, rule 7, and Throttle.min_interval_ms: at most one batch in this time; 0 = no such \
                 limit"
            }
            Fault::Later { .. } => {
                "docs/devices.md, rule 5: stop sending, wait later_after_ms, then send all that you hold again, \
                 oldest first"
            }
            Fault::TooSoon { .. } | Fault::NoJitter(_) | Fault::NoReset(_) => {
                "docs/devices.md, rule 9: wait 0.5 s, then twice as long after each failure up to 30 s, and leave off \
                 a random half"
            }
            Fault::Goodbye { .. } => {
                "docs/devices.md, rule 9: Goodbye.reconnect_after_ms tells a better time to come back"
            }
            Fault::CameBack { .. } => {
                "docs/devices.md, Close codes: not before the client is mended, has other credentials, or is the only \
                 one of its name"
            }
            Fault::Left | Fault::Missing { .. } => {
                "docs/devices.md, rules 3 to 7: what is held is sent as soon as the daemon allows, and the connection \
                 stays for its answers; messages and codes that are not known are passed over"
            }
            Fault::NotTold { .. } => {
                "docs/clients.md: the command says \"kept SEQ\", \"refused SEQ\" and \"gave-up SEQ\": nothing is lost \
                 without its program being told"
            }
            Fault::CommandDone { .. } | Fault::CommandMute { .. } | Fault::CommandUnasked(_) => {
                "docs/devices.md, Commands, 1: answer each by its id, also one that you do not know: ok false, and a \
                 sentence in message"
            }
            Fault::ReportedUnasked | Fault::Reported { .. } => {
                "docs/devices.md, Commands: Reported has the version of the Desired, and is sent only by who has ever \
                 been sent one"
            }
        }
    }
}
