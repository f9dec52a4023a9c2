//! Why a message was not understood.

use super::Decoder;
use crate::decode::{Counted, Fault, UpstreamError};
use crate::model::NameError;
use crate::wire::{InflateError, RefusalCode};
use std::fmt;
use thiserror::Error;

/// Why a message was not understood: for the administrator, in one sentence with the place. The same
/// message will never be understood, unless the route is mended.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum Puzzle {
    /// The payload is no JSON.
    #[error("not valid JSON at line {line}, column {column}: {what}")]
    NotJson {
        /// From 1.
        line: usize,
        /// In bytes, from 1.
        column: usize,
        /// What the JSON reader says.
        what: String,
    },
    /// An object gives a key twice.
    #[error("{}: the key \"{key}\" is given twice", At(at))]
    DuplicateKey {
        /// Pointer to the object.
        at: String,
        /// The key.
        key: String,
    },
    /// Two values would be one metric.
    #[error("two values would be the metric \"{metric}\"; rename one")]
    DuplicateMetric {
        /// Its name.
        metric: String,
    },
    /// Objects and arrays in each other, too often.
    #[error("{}: nested deeper than the {max} levels allowed", At(at))]
    TooDeep {
        /// Pointer to where it was too much.
        at: String,
        /// The cap.
        max: usize,
    },
    /// More of something than the limits allow.
    #[error("more {what} than the {max} allowed")]
    TooMany {
        /// Of what.
        what: Counted,
        /// The limit.
        max: usize,
    },
    /// What the name of a device or metric is made of is not in the message.
    #[error("nothing at {at}, where the route looks for the {needed}")]
    Missing {
        /// For what.
        needed: Needed,
        /// Where.
        at: String,
    },
    /// Where a name or time should be is something else.
    #[error("{}: {found} where the route looks for the {needed}", At(at))]
    Unfit {
        /// For what.
        needed: Needed,
        /// Where.
        at: String,
        /// What is there, in a few words.
        found: &'static str,
    },
    /// A time is none by the route's `time_format`.
    #[error("{}: {text} is no time of the format \"{format}\"{}", At(at), hint(*no_zone))]
    Time {
        /// Where.
        at: String,
        /// The start of what is there.
        text: String,
        /// As the route has it.
        format: &'static str,
        /// Whether all that it lacks is a zone.
        no_zone: bool,
    },
    /// A number that should be whole is not, or has more than 64 bits.
    #[error("{}: {number} is not a whole number of 64 bits", At(at))]
    NotWhole {
        /// Where.
        at: String,
        /// The number, about.
        number: String,
    },
    /// The message has nothing that the route takes.
    #[error(
        "no value that the route takes is in it{}; ignore or may_be_empty = true pass over such \
         messages",
        if *texts { " but texts, which texts = true takes" } else { "" }
    )]
    Nothing {
        /// Whether texts were passed over.
        texts: bool,
    },
    /// A scalar payload is neither a number nor a known word.
    #[error(
        "\"{text}\" is neither a number nor true, false, on or off; texts = true takes texts, and \
         words and no_value tell what others mean"
    )]
    NotScalar {
        /// Its start.
        text: String,
    },
    /// A scalar payload is no text.
    #[error("the payload is no text: byte {at} is not UTF-8")]
    NotUtf8 {
        /// Where, from 0.
        at: usize,
    },
    /// The payload is empty, as when a retained message is deleted.
    #[error("the payload is empty")]
    NoPayload,
    /// A native message can't be inflated.
    #[error(transparent)]
    Inflate(#[from] InflateError),
    /// A native message is neither `Batch` nor `Upstream`.
    #[error("{0}, nor a Batch")]
    Upstream(UpstreamError),
    /// A native message is an `Upstream` of another kind.
    #[error("an Upstream with a {kind}: over MQTT only batches come")]
    NoBatch {
        /// Which.
        kind: &'static str,
    },
    /// A native batch is at fault.
    #[error(transparent)]
    Batch(Box<Fault>),
    /// The client that the topic or a user property tells can't be one.
    #[error("the client: {0}")]
    Client(NameError),
    /// The session that the topic or a user property tells is not a number of 64 bits.
    #[error("the session \"{text}\" is not a number from 0 to 2^64 - 1")]
    Session {
        /// As told.
        text: String,
    },
    /// The route's messages are not read by [`read`](super::read).
    #[error("a message of a {decoder} route came where those are not read")]
    OtherDoor {
        /// Which.
        decoder: Decoder,
    },
}

impl Puzzle {
    /// Its class, as the refusals of other ways in have it.
    #[must_use]
    pub fn code(&self) -> RefusalCode {
        match self {
            Puzzle::NotJson { .. }
            | Puzzle::DuplicateKey { .. }
            | Puzzle::Time { .. }
            | Puzzle::Unfit { .. }
            | Puzzle::NotScalar { .. }
            | Puzzle::NotUtf8 { .. }
            | Puzzle::Upstream(_)
            | Puzzle::NoBatch { .. }
            | Puzzle::OtherDoor { .. } => RefusalCode::Malformed,
            Puzzle::TooDeep { .. } | Puzzle::TooMany { .. } => RefusalCode::LimitExceeded,
            Puzzle::Missing { .. } | Puzzle::DuplicateMetric { .. } | Puzzle::Client(_) => {
                RefusalCode::BadName
            }
            Puzzle::NotWhole { .. } => RefusalCode::BadShape,
            Puzzle::Nothing { .. } | Puzzle::NoPayload => RefusalCode::Empty,
            Puzzle::Inflate(error) => error.code(),
            Puzzle::Batch(fault) => fault.code(),
            Puzzle::Session { .. } => RefusalCode::BadSeq,
        }
    }
}

/// What a route looks for at a pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needed {
    /// The device's name, or a part of it.
    Device,
    /// A metric's name, or a part of it.
    Metric,
    /// A device's name, metric's name or tag.
    Name,
    /// The time.
    Time,
}

impl fmt::Display for Needed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Needed::Device => "device",
            Needed::Metric => "metric",
            Needed::Name => "name",
            Needed::Time => "time",
        })
    }
}

/// A pointer as people read it: the top has none.
struct At<'a>(&'a str);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            "" => f.write_str("at the top"),
            pointer => write!(f, "at {pointer}"),
        }
    }
}

fn hint(no_zone: bool) -> &'static str {
    match no_zone {
        true => ": it tells no zone; time_zone = \"UTC\", or an offset, says which is meant",
        false => "",
    }
}

/// The start of a text, for a message.
pub(super) fn start(text: &str) -> String {
    const CHARS: usize = 40;
    match text.char_indices().nth(CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
