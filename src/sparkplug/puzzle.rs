//! What was not understood: for the administrator, in one sentence with the place.

use super::datatype::DataType;
use crate::model::NameError;
use crate::wire::{InflateError, RefusalCode};
use std::fmt;
use thiserror::Error;

/// A message, or one metric of it, that was not understood or not allowed.
#[derive(Debug, Clone, PartialEq, Error)]
pub struct Puzzle {
    /// Of which device; empty if it concerns the whole message.
    pub device: String,
    /// Of which metric; empty if it concerns the whole message.
    pub metric: String,
    /// What.
    pub kind: PuzzleKind,
}

impl fmt::Display for Puzzle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.device.is_empty(), self.metric.is_empty()) {
            (true, true) => self.kind.fmt(f),
            (false, true) => write!(f, "{}: {}", self.device, self.kind),
            (_, false) => write!(f, "{}, {}: {}", self.device, self.metric, self.kind),
        }
    }
}

impl From<PuzzleKind> for Puzzle {
    fn from(kind: PuzzleKind) -> Puzzle {
        Puzzle { device: String::new(), metric: String::new(), kind }
    }
}

/// The kinds of puzzles.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum PuzzleKind {
    /// The topic is not one of Sparkplug B.
    #[error("the topic is not spBv1.0/group/type/node[/device]")]
    Topic,
    /// A name in the topic can't be one.
    #[error("the topic names a device that can't be: {0}")]
    TopicName(NameError),
    /// Not protobuf, or not a Sparkplug payload.
    #[error("not a Sparkplug B payload: malformed protobuf")]
    Malformed,
    /// A compressed payload could not be inflated.
    #[error("the compressed payload: {0}")]
    Inflate(InflateError),
    /// A compressed payload names an algorithm that there is none of.
    #[error("the payload is compressed by {algorithm:?}; GZIP and DEFLATE are known")]
    Algorithm {
        /// As sent.
        algorithm: String,
    },
    /// A payload in a payload in a payload.
    #[error("a compressed payload holds another compressed payload")]
    CompressedTwice,
    /// More metrics or values than allowed.
    #[error("more {what} than the {max} allowed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The cap.
        max: usize,
    },
    /// The sequence number is none (tck-id-payloads-nbirth-seq).
    #[error("the seq is above 255")]
    Seq,
    /// A retained message of a node: an old one, since none may be retained
    /// (tck-id-payloads-nbirth-retain).
    #[error("the message is a retained one, so nobody knows from when")]
    Retained,
    /// A name that the birth did not tell (tck-id-operational-behavior-data-publish-nbirth).
    #[error("the metric was not in the birth")]
    NotBorn,
    /// An alias that the birth did not give.
    #[error("alias {alias} was not in the birth")]
    UnknownAlias {
        /// As sent.
        alias: u64,
    },
    /// The node's birth is not known, or may be another one by now; it has been asked for it.
    #[error("the birth that tells what this is was not received")]
    AwaitingBirth,
    /// STATE is not JSON with `online` and `timestamp`.
    #[error("STATE is not {{\"online\":…,\"timestamp\":…}}")]
    State,
    /// A metric with neither a name nor an alias.
    #[error("the metric has neither a name nor an alias")]
    Nameless,
    /// A birth has an alias twice (tck-id-payloads-alias-uniqueness).
    #[error("alias {alias} is given to two metrics")]
    AliasTwice {
        /// The alias.
        alias: u64,
    },
    /// A name that can't be one.
    #[error("{0}")]
    Name(NameError),
    /// No datatype in the message nor in the birth.
    #[error("the metric's datatype is not known")]
    NoDatatype,
    /// A datatype that this version of Sparkplug does not have.
    #[error("datatype {datatype} is not one of Sparkplug B")]
    UnknownDatatype {
        /// As sent.
        datatype: u32,
    },
    /// The value's field does not belong to its datatype.
    #[error("the value is not a {datatype}")]
    WrongField {
        /// What it should be.
        datatype: DataType,
    },
    /// A number outside its datatype, or an unsigned one above what 64 signed bits hold.
    #[error("the value does not fit {datatype} (the largest whole number kept is 2^63 - 1)")]
    OutOfRange {
        /// What it should be.
        datatype: DataType,
    },
    /// NaN or infinity.
    #[error("the value is not a finite number")]
    NotFinite,
    /// A text value is too long.
    #[error("the text has {bytes} bytes, {max} are allowed")]
    TextTooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The bytes of an array are not a whole number of elements.
    #[error("the bytes are not an array of {datatype}")]
    Array {
        /// What it should be.
        datatype: DataType,
    },
    /// A data set whose rows or types do not fit its columns.
    #[error("the data set's rows do not fit its columns")]
    DataSet,
    /// A datatype that no reading can hold.
    #[error("{datatype} is no telemetry that can be kept here")]
    NotKept {
        /// Which.
        datatype: DataType,
    },
    /// Both historical and transient: it may go neither to viewers nor to stores.
    #[error("the value is both historical and transient, so nobody may have it")]
    Nowhere,
    /// Older than allowed.
    #[error("the time is too long ago")]
    TooOld,
    /// Too far in the future.
    #[error("the time is too far ahead")]
    TooFarAhead,
    /// Templates or property sets in each other without end.
    #[error("nested deeper than the {max} levels allowed")]
    TooDeep {
        /// The cap.
        max: u32,
    },
}

impl PuzzleKind {
    /// The code by which such refusals are counted.
    #[must_use]
    pub fn code(&self) -> RefusalCode {
        use PuzzleKind as K;
        match self {
            K::Inflate(error) => error.code(),
            K::TooMany { .. } | K::TooDeep { .. } => RefusalCode::LimitExceeded,
            K::TopicName(_)
            | K::Name(_)
            | K::Nameless
            | K::NotBorn
            | K::UnknownAlias { .. }
            | K::AliasTwice { .. } => RefusalCode::BadName,
            K::Seq | K::Retained | K::AwaitingBirth => RefusalCode::BadSeq,
            K::NotFinite => RefusalCode::NotFinite,
            K::TextTooLong { .. } => RefusalCode::TextTooLong,
            K::TooOld => RefusalCode::TimeTooOld,
            K::TooFarAhead => RefusalCode::TimeTooFarAhead,
            K::Topic | K::Malformed | K::Algorithm { .. } | K::CompressedTwice | K::State => {
                RefusalCode::Malformed
            }
            K::NoDatatype
            | K::UnknownDatatype { .. }
            | K::WrongField { .. }
            | K::OutOfRange { .. }
            | K::Array { .. }
            | K::DataSet
            | K::NotKept { .. }
            | K::Nowhere => RefusalCode::BadShape,
        }
    }
}

impl Puzzle {
    /// The code by which such refusals are counted.
    #[must_use]
    pub fn code(&self) -> RefusalCode {
        self.kind.code()
    }
}
