//! The one table from every fault to what a client is told: code, whether to retry, where.

use crate::admit::Objection;
use crate::decode::Fault;
use crate::gate;
use crate::model::Seq;
use crate::wire::{self, Downstream, Place, RefusalCode};
use std::time::Duration;

/// When the same batch may come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same bytes will be refused again.
    Never,
    /// Keep it, and send it again after this time.
    Later(Duration),
}

/// What a client is told about a batch that did not enter.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// The reason, as the wire contract enumerates it.
    pub code: RefusalCode,
    /// Whether to send it again.
    pub retry: Retry,
    /// For a person.
    pub message: String,
    /// Where in the batch.
    pub at: Place,
}

/// The intake is full: it empties as fast as the disk syncs.
const OVERLOADED: Duration = Duration::from_millis(250);
/// The spool is full, or the disk fails: a human or a follower has to make room.
const SPOOL: Duration = Duration::from_secs(5);
/// Credit comes back with the next Ack.
const OVER_CREDIT: Duration = Duration::from_millis(100);
/// The daemon is back within seconds.
const RESTART: Duration = Duration::from_secs(2);
/// The cap on all series moves only by configuration.
const SERIES: Duration = Duration::from_secs(60);

impl Refusal {
    /// Of what will be refused again.
    pub(super) fn for_good(code: RefusalCode, message: impl ToString) -> Refusal {
        let message = message.to_string();
        Refusal { code, retry: Retry::Never, message, at: Place::default() }
    }

    fn later(code: RefusalCode, after: Duration, message: impl ToString) -> Refusal {
        Refusal {
            code,
            retry: Retry::Later(after),
            message: message.to_string(),
            at: Place::default(),
        }
    }

    /// What the client is told about the batch.
    #[must_use]
    pub fn told(&self, seq: Seq) -> Downstream {
        Downstream::Refusal {
            seq,
            code: self.code,
            retry: match self.retry {
                Retry::Never => wire::Retry::Never,
                Retry::Later(after) => {
                    wire::Retry::LaterAfterMs(u32::try_from(after.as_millis()).unwrap_or(u32::MAX))
                }
            },
            message: self.message.clone(),
            at: self.at,
        }
    }

    pub(super) fn over_credit() -> Refusal {
        let message = "more unanswered batches or bytes than your credit";
        Refusal::later(RefusalCode::OverCredit, OVER_CREDIT, message)
    }

    pub(super) fn rate_limited(after: Duration) -> Refusal {
        let message = "more per second than one client may send (limits.batches_per_second, limits.samples_per_second)";
        Refusal::later(RefusalCode::RateLimited, after, message)
    }

    pub(super) fn forbidden(table: usize, device: &str) -> Refusal {
        Refusal {
            code: RefusalCode::Forbidden,
            retry: Retry::Never,
            message: format!("your token does not reach the device {device}"),
            at: Place { table: u32::try_from(table).ok(), ..Place::default() },
        }
    }

    pub(super) fn shutting_down() -> Refusal {
        gate::Refusal::ShuttingDown.into()
    }

    pub(super) fn bad_seq() -> Refusal {
        gate::Refusal::Objection(Objection::SeqZero).into()
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Refusal {
        Refusal {
            code: fault.code(),
            retry: Retry::Never,
            message: fault.to_string(),
            at: fault.at,
        }
    }
}

impl From<gate::Refusal> for Refusal {
    fn from(refusal: gate::Refusal) -> Refusal {
        use RefusalCode as Code;
        let never = |code| Refusal {
            code,
            retry: Retry::Never,
            message: refusal.to_string(),
            at: Place::default(),
        };
        let later = |code, after| Refusal::later(code, after, refusal);
        match refusal {
            gate::Refusal::Objection(objection) => match objection {
                Objection::SeqZero | Objection::TooManyGaps { .. } => never(Code::BadSeq),
                Objection::Empty => never(Code::Empty),
                Objection::NewSeriesTooFast { retry_after, .. } => {
                    later(Code::TooManySeries, retry_after)
                }
                Objection::TooManySeries { .. } | Objection::NoMemoryForSeries { .. } => {
                    later(Code::TooManySeries, SERIES)
                }
            },
            gate::Refusal::Overloaded => later(Code::Overloaded, OVERLOADED),
            gate::Refusal::SpoolFull => later(Code::SpoolFull, SPOOL),
            gate::Refusal::DiskFull | gate::Refusal::StorageFailed => {
                later(Code::StorageFailed, SPOOL)
            }
            gate::Refusal::ShuttingDown => later(Code::ShuttingDown, RESTART),
        }
    }
}
