//! What live needs of the log.

use crate::model::{Batch, ClientId, Position, Protocol, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// A record of the log.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Where it stands.
    pub position: Position,
    /// When it was received.
    pub received_at: Timestamp,
    /// Over what it came.
    pub protocol: Protocol,
    /// Who sent it.
    pub client: ClientId,
    /// What was received.
    pub batch: Arc<Batch>,
}

/// What a [`Feed`] has.
#[derive(Debug)]
pub enum FeedNext {
    /// Records, in order.
    Entries(Vec<Arc<Entry>>),
    /// Nothing more for now: all that is in the log was read.
    Idle,
    /// The log was closed and all of it was read: nothing will come any more.
    Ended,
}

/// A follower of the log.
pub trait Feed: Send {
    /// The next records; blocks up to `timeout` for the first of them, and not for more.
    fn next(&mut self, timeout: Duration) -> FeedNext;

    /// Nothing before `position` will be needed, by this process or by the next one. The next one is
    /// to open its feed at the last such position, or before.
    ///
    /// It is a wish: a log that is full may be trimmed beyond it, and the next process then begins
    /// with [`Begin::Cut`].
    fn keep_from(&self, position: Position);
}

/// Where a [`Feed`] begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// At or before the position last given to [`Feed::keep_from`], or at the log's first record ever.
    Kept(Position),
    /// Later: windows that were open may lack samples, so that older cursors can't be served.
    Cut(Position),
}

impl Begin {
    /// The first position that the feed brings.
    #[must_use]
    pub fn position(self) -> Position {
        match self {
            Begin::Kept(position) | Begin::Cut(position) => position,
        }
    }
}
