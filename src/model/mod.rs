//! The words of the domain as types: what every other room speaks.
//!
//! Plain data. No serde, no protobuf, no clock, no I/O: a [`Batch`] is valid because it exists.

mod batch;
mod batch_builder;
mod globs;
mod name;
mod protocol;
mod reach;
mod select;
mod time;

pub use batch::{Batch, Column, Keep, Table, Texts, Values, tags_of_identity};
pub use batch_builder::{BatchBuilder, ShapeError};
pub use globs::Globs;
pub use name::{NAME_BYTES_MAX, NameError, check_name, check_name_length};
pub use protocol::Protocol;
pub use reach::Reach;
pub use select::select;
pub use time::{NANOS_PER_MILLI, NANOS_PER_SECOND, Timestamp, parse_duration};

use std::fmt;
use std::sync::Arc;

/// Names a record of the spool for ever: the first record ever appended has position 0, each next
/// one the next number. A follower's position is that of the next record it will read.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// The position after this one.
    #[must_use]
    pub fn next(self) -> Position {
        Position(self.0 + 1)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who holds a connection: the name that a device or gateway gives itself.
pub type ClientId = Arc<str>;

/// Names a client's buffer of unsent batches; chosen by the client at random. 0 = no session, as
/// batches have that came without one: they are never recognised as duplicates.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// Number of a batch within its session, counted from 1 by the client.
pub type Seq = u64;
