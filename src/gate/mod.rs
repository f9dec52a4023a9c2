//! The only way into the spool: one thread owns admission and the log's writer.
//!
//! ```text
//!  intake ──reserve──► memory (bounded; when full, clients take turns)
//!         ──offer────► queue ──► [gate thread] admit each ──► append all ──► one sync ──► answers
//! ```
//!
//! Everything that waits while the disk is busy is the next group. Every offer gets exactly one
//! [`Answer`], after the group that holds it is durable, in the order of offers.
//!
//! Where clients compete they are held apart: the memory is given out in turns (`memory`), and who
//! takes more than a fair share bears the pressure (`shares`, `flow`). The queue behind the memory
//! needs no turns: a group takes nearly all of it.
//!
//! Full-case of the queue: it holds as many offers as there can be reservations of the smallest
//! size, so that it is never full for who holds one.

mod ceiling;
mod flow;
mod memory;
mod pressure;
mod refusal;
mod refused;
mod round_robin;
mod shares;
mod thread;

pub use ceiling::Ceiling;
pub use flow::{Credit, Fills, Flow, Level, Resource, Terms};
pub use memory::{Reserved, Reserving};
pub use pressure::Pressure;
pub use refusal::Refusal;
pub use shares::Share;
pub use thread::{GateStats, open};

use crate::admit::{ClientCounts, Tally};
use crate::model::{Batch, ClientId, Seq, SessionId, Timestamp};
use crate::pulse::Pulse;
use crate::spool::Protocol;
use bytes::Bytes;
use memory::Memory;
use refused::{Refused, RefusedBefore};
use shares::Shares;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use tokio::sync::{mpsc, oneshot};

/// The least memory that an offer is counted with: bounds the number of offers in the queue.
const OFFER_BYTES_MIN: usize = 2 << 10;
/// Decoded columns take about this many times the bytes of the message that they came in.
const DECODED_RATIO: usize = 8;
/// Greetings that may wait beside the offers; one more is told to come later.
const GREETINGS_MAX: usize = 1024;

/// A decoded batch that wants in.
pub struct Offer {
    /// When it was read from the socket.
    pub received_at: Timestamp,
    /// How it came.
    pub protocol: Protocol,
    /// Who sent it.
    pub client: ClientId,
    /// Its session; 0 = none.
    pub session: SessionId,
    /// Its number in the session.
    pub seq: Seq,
    /// What its boot times are relative to, if its client told.
    pub booted_at: Option<Timestamp>,
    /// What is stored: an `Upstream` message with the batch, compressed or not.
    pub payload: Bytes,
    /// The same, decoded.
    pub batch: Batch,
    /// Where the answer goes; reserved before the offer is made, so that answering never waits.
    pub answer: mpsc::OwnedPermit<Answer>,
}

/// What became of an offer.
#[derive(Debug)]
pub struct Answer {
    /// Number of the batch.
    pub seq: Seq,
    /// Receipt or refusal.
    pub outcome: Outcome,
}

/// Receipt or refusal.
#[derive(Debug)]
pub enum Outcome {
    /// It is durable.
    Stored {
        /// Samples in it.
        samples: usize,
    },
    /// It was durable before.
    Duplicate,
    /// It did not enter.
    Refused(Refusal),
}

/// The daemon stops; nothing enters any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the gate is closed")]
pub struct Closed;

enum Request {
    Offer(Box<Offer>, Reserved),
    Greet {
        client: ClientId,
        session: SessionId,
        resume: Seq,
        at: Timestamp,
        reply: oneshot::Sender<Seq>,
    },
    Tell {
        reply: oneshot::Sender<ClientLedger>,
    },
    NewSeriesPerMinute(usize),
}

/// What came of everybody's batches, since the spool was made.
#[derive(Debug, Default)]
pub struct ClientLedger {
    /// Of each client over each protocol, as far as it is remembered.
    pub clients: Vec<ClientCounts>,
    /// Of all clients together.
    pub tally: Tally,
}

/// Handle to the gate; cheap to clone. When the last one is dropped the log ends.
#[derive(Clone)]
pub struct Gate {
    requests: SyncSender<Request>,
    /// How many are in the queue.
    queued: Arc<AtomicUsize>,
    memory: Arc<Memory>,
    shares: Arc<Shares>,
    refused: Arc<RefusedBefore>,
    pressure: Pressure,
    pulse: Pulse,
}

impl Gate {
    /// What this client takes of what all share, and the terms that hold for it.
    #[must_use]
    pub fn share(&self, client: &ClientId) -> Arc<Share> {
        self.shares.of(client)
    }

    /// Sets memory aside for a message of `message_bytes` and what it decodes to, as soon as it is the
    /// client's turn. While that is not so its socket is not read.
    #[must_use]
    pub fn reserve(&self, share: &Arc<Share>, message_bytes: usize) -> Reserving {
        let bytes = message_bytes.saturating_mul(1 + DECODED_RATIO).max(OFFER_BYTES_MIN);
        self.memory.reserve(share, bytes)
    }

    /// Hands a decoded batch to the gate's thread; the answer comes through [`Offer::answer`].
    ///
    /// # Errors
    /// The offer back with the reason: [`Refusal::Overloaded`] if it decoded to more than was reserved
    /// and there is no room for that, [`Refusal::ShuttingDown`] if the gate is closed.
    pub fn offer(&self, mut reserved: Reserved, offer: Offer) -> Result<(), (Box<Offer>, Refusal)> {
        let bytes = (offer.payload.len() + offer.batch.memory_bytes()).max(OFFER_BYTES_MIN);
        if !reserved.resize(bytes) {
            return Err((Box::new(offer), Refusal::Overloaded));
        }
        reserved.share().take(offer.payload.len());
        match self.send(Request::Offer(Box::new(offer), reserved)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(Request::Offer(offer, _))) => Err((offer, Refusal::Overloaded)),
            Err(TrySendError::Disconnected(Request::Offer(offer, _))) => {
                Err((offer, Refusal::ShuttingDown))
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Ok(()),
        }
    }

    fn send(&self, request: Request) -> Result<(), TrySendError<Request>> {
        // Counted first: the gate's thread may take it at once.
        self.queued.fetch_add(1, Ordering::Relaxed);
        self.requests.try_send(request).inspect_err(|_| {
            self.queued.fetch_sub(1, Ordering::Relaxed);
        })
    }

    /// Greets for a session: the highest seq up to which everything of it is settled.
    ///
    /// # Errors
    /// [`Refusal::ShuttingDown`] if the daemon stops, [`Refusal::Overloaded`] if so many greet at once
    /// that this one should come later.
    pub async fn greet(
        &self,
        client: &ClientId,
        session: SessionId,
        resume: Seq,
        at: Timestamp,
    ) -> Result<Seq, Refusal> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Greet { client: client.clone(), session, resume, at, reply };
        self.send(request).map_err(|error| match error {
            TrySendError::Full(_) => Refusal::Overloaded,
            TrySendError::Disconnected(_) => Refusal::ShuttingDown,
        })?;
        answer.await.map_err(|_| Refusal::ShuttingDown)
    }

    /// Notes a batch that was refused before it came here: it could not be decoded, or its client
    /// was over its credit or rate.
    pub fn count_refused(&self, protocol: Protocol, client: &ClientId) {
        self.refused.add(protocol, client);
    }

    /// The ledger of all clients, as of all that was answered before.
    ///
    /// # Errors
    /// As [`Gate::greet`].
    pub async fn ledger(&self) -> Result<ClientLedger, Refusal> {
        let (reply, told) = oneshot::channel();
        self.send(Request::Tell { reply }).map_err(|error| match error {
            TrySendError::Full(_) => Refusal::Overloaded,
            TrySendError::Disconnected(_) => Refusal::ShuttingDown,
        })?;
        told.await.map_err(|_| Refusal::ShuttingDown)
    }

    /// So many new series are taken in a minute, from the batches on that are offered after this.
    ///
    /// # Errors
    /// As [`Gate::greet`].
    pub fn set_new_series_per_minute(&self, count: usize) -> Result<(), Refusal> {
        self.send(Request::NewSeriesPerMinute(count)).map_err(|error| match error {
            TrySendError::Full(_) => Refusal::Overloaded,
            TrySendError::Disconnected(_) => Refusal::ShuttingDown,
        })
    }

    /// Whether its thread goes on.
    #[must_use]
    pub(crate) fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// How full everything is.
    #[must_use]
    pub fn pressure(&self) -> &Pressure {
        &self.pressure
    }
}
