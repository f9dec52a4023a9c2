//! The messages of a conversation as plain types; all but `Batch`.

use super::proto::{self, downstream, refusal, upstream};
use super::{CloseCode, Compression, Desired, Limits, Place, RefusalCode};
use crate::model::{Seq, SessionId, Timestamp};
use prost::Message;
use std::collections::BTreeMap;
use thiserror::Error;

/// The longest message other than a `Batch`. prost reads these and has no limits of its own: 1 byte
/// can make it allocate about 130.
pub const CONTROL_BYTES_MAX: usize = 64 * 1024;

/// Why a control message could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MessageError {
    /// It is longer than [`CONTROL_BYTES_MAX`].
    #[error("the message has {bytes} bytes, {CONTROL_BYTES_MAX} are allowed")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// It is not what the contract says.
    #[error("not a message of the contract")]
    Malformed(#[source] prost::DecodeError),
    /// It holds no message that this version knows.
    #[error("a message of an unknown kind")]
    Unknown,
}

/// Who is speaking: the first message of every connection. Nothing in it is checked but its form.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The client's name for itself.
    pub client: String,
    /// Names its buffer of unsent batches; 0 is a mistake.
    pub session: SessionId,
    /// The lowest seq that it still holds; 0 if it doesn't say.
    pub resume: Seq,
    /// Free facts for operators.
    pub labels: BTreeMap<String, String>,
    /// Program and version.
    pub software: String,
    /// Compression of what it is sent.
    pub accept: Compression,
    /// Its monotonic clock when it said hello, nanoseconds since its boot; 0 if it doesn't say.
    pub boot_time: i64,
}

impl Hello {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Hello, MessageError> {
        let hello: proto::Hello = decode(bytes)?;
        let accept = match hello.accept() {
            proto::Compression::None => Compression::None,
            proto::Compression::Gzip => Compression::Gzip,
            proto::Compression::Zlib => Compression::Zlib,
            proto::Compression::Zstd => Compression::Zstd,
        };
        Ok(Hello {
            client: hello.client,
            session: SessionId(hello.session),
            resume: hello.resume,
            labels: hello.labels,
            software: hello.software,
            accept,
            boot_time: hello.boot_time,
        })
    }

    /// The instant of the client's boot, if it told its clock in a Hello received at `received_at`:
    /// what the times of its `CLOCK_BOOT` batches are relative to.
    #[must_use]
    pub fn booted_at(&self, received_at: Timestamp) -> Option<Timestamp> {
        (self.boot_time > 0).then(|| Timestamp(received_at.0.saturating_sub(self.boot_time)))
    }
}

/// How a command went.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct CommandResult {
    /// The command's id.
    pub id: u64,
    /// Whether it was done.
    pub ok: bool,
    /// For a person to read.
    pub message: String,
    /// What it gave.
    pub payload: Vec<u8>,
}

impl CommandResult {
    pub(crate) fn decode(bytes: &[u8]) -> Result<CommandResult, MessageError> {
        let proto::CommandResult { id, ok, message, payload } = decode(bytes)?;
        Ok(CommandResult { id, ok, message, payload })
    }
}

pub(super) fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M, MessageError> {
    match bytes.len() {
        0..=CONTROL_BYTES_MAX => M::decode(bytes).map_err(MessageError::Malformed),
        bytes => Err(MessageError::TooLarge { bytes }),
    }
}

/// An `Upstream` message with this hello: what a client begins with.
#[must_use]
pub fn encode_hello(hello: &Hello) -> Vec<u8> {
    let accept = match hello.accept {
        Compression::None => proto::Compression::None,
        Compression::Gzip => proto::Compression::Gzip,
        Compression::Zlib => proto::Compression::Zlib,
        Compression::Zstd => proto::Compression::Zstd,
    };
    encode_upstream(upstream::Message::Hello(proto::Hello {
        client: hello.client.clone(),
        session: hello.session.0,
        resume: hello.resume,
        labels: hello.labels.clone(),
        software: hello.software.clone(),
        accept: accept.into(),
        boot_time: hello.boot_time,
    }))
}

/// An `Upstream` message with this result.
#[must_use]
pub fn encode_result(result: &CommandResult) -> Vec<u8> {
    let CommandResult { id, ok, message, payload } = result.clone();
    encode_upstream(upstream::Message::Result(proto::CommandResult { id, ok, message, payload }))
}

pub(super) fn encode_upstream(message: upstream::Message) -> Vec<u8> {
    proto::Upstream { message: Some(message) }.encode_to_vec()
}

/// How much may be unanswered at any time.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Credit {
    /// Batches.
    pub batches: u32,
    /// Bytes of messages as sent.
    pub bytes: u32,
}

/// Whether a refused batch may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same bytes will be refused again.
    Never,
    /// Keep it, and send it with the same seq after so many milliseconds.
    LaterAfterMs(u32),
}

/// The answer to a [`Hello`].
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// Up to this seq all of the session is settled.
    pub last_seq: Seq,
    /// The first credit.
    pub credit: Credit,
    /// The caps to keep.
    pub limits: Limits,
    /// The daemon's clock.
    pub server_time: Timestamp,
}

/// Something the operator wants done.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Command {
    /// Names it in the [`CommandResult`].
    pub id: u64,
    /// For which device.
    pub device: String,
    /// What.
    pub name: String,
    /// With what: JSON.
    pub payload: Vec<u8>,
    /// Not to be done after this instant.
    pub expires_at: Timestamp,
}

/// What the daemon says to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Downstream {
    /// First.
    Welcome(Welcome),
    /// All up to `seq` is answered.
    Ack {
        /// Cumulative within the connection.
        seq: Seq,
        /// From now on.
        credit: Credit,
    },
    /// One batch did not enter.
    Refusal {
        /// Which; 0 if it could not be read.
        seq: Seq,
        /// Why.
        code: RefusalCode,
        /// Whether it may later.
        retry: Retry,
        /// For a person to read.
        message: String,
        /// Where the fault is.
        at: Place,
    },
    /// Slow down.
    Throttle {
        /// From now on.
        credit: Credit,
        /// At most one batch in this time; 0 = no such limit.
        min_interval_ms: u32,
        /// For a person to read.
        reason: String,
    },
    /// Do something.
    Command(Command),
    /// Be set so.
    Desired(Desired),
    /// The connection is about to be closed.
    Goodbye {
        /// With this code.
        code: CloseCode,
        /// For a person to read.
        message: String,
        /// When to come back.
        reconnect_after_ms: u32,
    },
}

impl Downstream {
    /// The bytes of the message, plain.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let message = match self.clone() {
            Downstream::Welcome(welcome) => downstream::Message::Welcome(welcome.into()),
            Downstream::Ack { seq, credit } => downstream::Message::Ack(proto::Ack {
                seq,
                credit_batches: credit.batches,
                credit_bytes: credit.bytes,
            }),
            Downstream::Refusal { seq, code, retry, message, at } => {
                downstream::Message::Refusal(proto::Refusal {
                    seq,
                    code: code.number(),
                    message,
                    at: (at != Place::default()).then_some(at.into()),
                    retry: Some(match retry {
                        Retry::Never => refusal::Retry::Never(true),
                        Retry::LaterAfterMs(ms) => refusal::Retry::LaterAfterMs(ms),
                    }),
                })
            }
            Downstream::Throttle { credit, min_interval_ms, reason } => {
                downstream::Message::Throttle(proto::Throttle {
                    credit_batches: credit.batches,
                    credit_bytes: credit.bytes,
                    min_interval_ms,
                    reason,
                })
            }
            Downstream::Command(Command { id, device, name, payload, expires_at }) => {
                let expires_at = expires_at.0;
                downstream::Message::Command(proto::Command {
                    id,
                    device,
                    name,
                    payload,
                    expires_at,
                })
            }
            Downstream::Desired(desired) => downstream::Message::Desired(desired.into()),
            Downstream::Goodbye { code, message, reconnect_after_ms } => {
                let code = code.number().into();
                downstream::Message::Goodbye(proto::Goodbye { code, message, reconnect_after_ms })
            }
        };
        proto::Downstream { message: Some(message) }.encode_to_vec()
    }

    /// Reads what the daemon said: the client's side, for the simulator and tests.
    ///
    /// # Errors
    /// [`MessageError`]; a code that this version doesn't know is [`MessageError::Unknown`].
    pub fn decode(bytes: &[u8]) -> Result<Downstream, MessageError> {
        let message = decode::<proto::Downstream>(bytes)?.message.ok_or(MessageError::Unknown)?;
        Ok(match message {
            downstream::Message::Welcome(welcome) => Downstream::Welcome(welcome.into()),
            downstream::Message::Ack(ack) => Downstream::Ack {
                seq: ack.seq,
                credit: Credit { batches: ack.credit_batches, bytes: ack.credit_bytes },
            },
            downstream::Message::Refusal(refusal) => Downstream::Refusal {
                seq: refusal.seq,
                code: RefusalCode::from_number(refusal.code).ok_or(MessageError::Unknown)?,
                retry: match refusal.retry {
                    Some(refusal::Retry::LaterAfterMs(ms)) => Retry::LaterAfterMs(ms),
                    Some(refusal::Retry::Never(_)) | None => Retry::Never,
                },
                message: refusal.message,
                at: refusal.at.map(Place::from).unwrap_or_default(),
            },
            downstream::Message::Throttle(throttle) => Downstream::Throttle {
                credit: Credit { batches: throttle.credit_batches, bytes: throttle.credit_bytes },
                min_interval_ms: throttle.min_interval_ms,
                reason: throttle.reason,
            },
            downstream::Message::Command(command) => {
                let proto::Command { id, device, name, payload, expires_at } = command;
                let expires_at = Timestamp(expires_at);
                Downstream::Command(Command { id, device, name, payload, expires_at })
            }
            downstream::Message::Desired(desired) => Downstream::Desired(desired.into()),
            downstream::Message::Goodbye(goodbye) => Downstream::Goodbye {
                code: u16::try_from(goodbye.code)
                    .ok()
                    .and_then(CloseCode::from_number)
                    .ok_or(MessageError::Unknown)?,
                message: goodbye.message,
                reconnect_after_ms: goodbye.reconnect_after_ms,
            },
        })
    }
}

impl From<Welcome> for proto::Welcome {
    fn from(welcome: Welcome) -> proto::Welcome {
        proto::Welcome {
            last_seq: welcome.last_seq,
            credit_batches: welcome.credit.batches,
            credit_bytes: welcome.credit.bytes,
            limits: Some(welcome.limits.into()),
            server_time: welcome.server_time.0,
        }
    }
}

impl From<proto::Welcome> for Welcome {
    fn from(welcome: proto::Welcome) -> Welcome {
        Welcome {
            last_seq: welcome.last_seq,
            credit: Credit { batches: welcome.credit_batches, bytes: welcome.credit_bytes },
            limits: welcome.limits.map(Limits::from).unwrap_or_default(),
            server_time: Timestamp(welcome.server_time),
        }
    }
}

impl From<Place> for proto::Place {
    fn from(Place { table, column, row }: Place) -> proto::Place {
        proto::Place { table, column, row }
    }
}

impl From<proto::Place> for Place {
    fn from(proto::Place { table, column, row }: proto::Place) -> Place {
        Place { table, column, row }
    }
}

impl From<Limits> for proto::Limits {
    fn from(limits: Limits) -> proto::Limits {
        let cap = |limit: usize| u32::try_from(limit).unwrap_or(u32::MAX);
        proto::Limits {
            message_bytes: cap(limits.message_bytes),
            inflated_bytes: cap(limits.inflated_bytes),
            inflated_ratio: cap(limits.inflated_ratio),
            tables: cap(limits.tables),
            columns: cap(limits.columns),
            rows: cap(limits.rows),
            samples: cap(limits.samples),
            name_bytes: cap(limits.name_bytes),
            text_bytes: cap(limits.text_bytes),
            tags: cap(limits.tags),
            max_age_seconds: limits.max_age.as_secs(),
            max_ahead_seconds: limits.max_ahead.as_secs(),
        }
    }
}

impl From<proto::Limits> for Limits {
    fn from(limits: proto::Limits) -> Limits {
        use std::time::Duration;
        Limits {
            message_bytes: limits.message_bytes as usize,
            inflated_bytes: limits.inflated_bytes as usize,
            inflated_ratio: limits.inflated_ratio as usize,
            tables: limits.tables as usize,
            columns: limits.columns as usize,
            rows: limits.rows as usize,
            samples: limits.samples as usize,
            name_bytes: limits.name_bytes as usize,
            text_bytes: limits.text_bytes as usize,
            tags: limits.tags as usize,
            max_age: Duration::from_secs(limits.max_age_seconds),
            max_ahead: Duration::from_secs(limits.max_ahead_seconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_daemon_says_is_read_back() {
        let credit = Credit { batches: 8, bytes: 1 << 20 };
        let all = [
            Downstream::Welcome(Welcome {
                last_seq: 7,
                credit,
                limits: Limits::default(),
                server_time: Timestamp(1_800_000_000_000_000_000),
            }),
            Downstream::Ack { seq: 9, credit },
            Downstream::Refusal {
                seq: 10,
                code: RefusalCode::NotFinite,
                retry: Retry::Never,
                message: "table 0: no".into(),
                at: Place { table: Some(0), column: None, row: Some(3) },
            },
            Downstream::Refusal {
                seq: 11,
                code: RefusalCode::SpoolFull,
                retry: Retry::LaterAfterMs(0),
                message: String::new(),
                at: Place::default(),
            },
            Downstream::Throttle { credit, min_interval_ms: 100, reason: "full".into() },
            Downstream::Command(Command { id: 1, name: "reboot".into(), ..Command::default() }),
            Downstream::Desired(Desired {
                version: 3,
                device: "pump-7".into(),
                document: b"{}".to_vec(),
            }),
            Downstream::Goodbye {
                code: CloseCode::Restart,
                message: "soon".into(),
                reconnect_after_ms: 50,
            },
        ];
        for message in all {
            assert_eq!(Downstream::decode(&message.encode()), Ok(message));
        }
    }

    #[test]
    fn a_long_control_message_is_refused_before_it_is_read() {
        let bytes = vec![0x0a; CONTROL_BYTES_MAX + 1];
        let expected = MessageError::TooLarge { bytes: bytes.len() };
        assert_eq!(Hello::decode(&bytes), Err(expected.clone()));
        assert_eq!(CommandResult::decode(&bytes), Err(expected));
    }

    #[test]
    fn the_boot_of_a_client_is_when_its_clock_was_zero() {
        let hello = Hello { boot_time: 40, ..Hello::default() };
        assert_eq!(hello.booted_at(Timestamp(100)), Some(Timestamp(60)));
        assert_eq!(Hello::default().booted_at(Timestamp(100)), None);
    }
}
