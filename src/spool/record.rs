//! What goes into the spool and what comes out.

use crate::model::{Batch, ClientId, Position, Protocol, Seq, SessionId, Timestamp};
use std::error::Error;
use std::sync::Arc;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A batch, as its client sent it. Has a position of its own.
    Batch,
    /// The fold of every batch before it, in the words of the gate. Has no position of its own: its
    /// position says that everything below is folded in.
    Checkpoint,
}

impl Kind {
    pub(super) fn byte(self) -> u8 {
        match self {
            Kind::Batch => 1,
            Kind::Checkpoint => 2,
        }
    }

    pub(super) fn of_byte(byte: u8) -> Option<Kind> {
        match byte {
            1 => Some(Kind::Batch),
            2 => Some(Kind::Checkpoint),
            _ => None,
        }
    }
}

/// A record as it is stored. Self-contained: it can be understood without any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Batch or checkpoint.
    pub kind: Kind,
    /// When the daemon received it.
    pub received_at: Timestamp,
    /// Over what it came.
    pub protocol: Protocol,
    /// Who sent it.
    pub client: &'a str,
    /// The session of the client; 0 = none.
    pub session: SessionId,
    /// Its number in the session; 0 = unnumbered.
    pub seq: Seq,
    /// What the times of a `CLOCK_BOOT` batch are relative to, nanoseconds since 1970; 0 = none.
    pub anchor: i64,
    /// How many samples it has. Stored beside the payload so that the ledger can count a batch
    /// without decoding it, and even one whose payload is damaged.
    pub samples: u32,
    /// The batch as received, or the checkpoint.
    pub payload: &'a [u8],
}

impl<'a> Record<'a> {
    /// A checkpoint with this payload.
    #[must_use]
    pub fn checkpoint(received_at: Timestamp, payload: &'a [u8]) -> Record<'a> {
        Record {
            kind: Kind::Checkpoint,
            received_at,
            protocol: Protocol::Other(0),
            client: "",
            session: SessionId(0),
            seq: 0,
            anchor: 0,
            samples: 0,
            payload,
        }
    }
}

/// A batch in the spool, decoded: what followers get.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its name for ever.
    pub position: Position,
    /// When the daemon received it.
    pub received_at: Timestamp,
    /// Over what it came.
    pub protocol: Protocol,
    /// Who sent it.
    pub client: ClientId,
    /// The session of the client; 0 = none.
    pub session: SessionId,
    /// Its number in the session; 0 = unnumbered.
    pub seq: Seq,
    /// What it says.
    pub batch: Arc<Batch>,
}

impl Entry {
    /// The entry of a record at this position.
    pub(super) fn new(position: Position, record: &Record<'_>, batch: Arc<Batch>) -> Entry {
        Entry {
            position,
            received_at: record.received_at,
            protocol: record.protocol,
            client: ClientId::from(record.client),
            session: record.session,
            seq: record.seq,
            batch,
        }
    }

    /// Bytes of memory that it holds.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of::<Entry>() + self.client.len() + self.batch.memory_bytes()
    }
}

/// Makes the batch of a record that was read from disk. It entered once, so it is expected to decode;
/// a record that does not is set aside and counted.
pub type Decode =
    Arc<dyn Fn(&Record<'_>) -> Result<Batch, Box<dyn Error + Send + Sync>> + Send + Sync>;
