//! Where samples go for good: stores that a follower of the spool writes to.
//!
//! A follower reads the log from [`Sink::position`], hands each batch to [`Sink::write`] and calls
//! [`Sink::maintain`] between batches and when there is nothing to read. A sink that cannot go on
//! says so, the follower waits, and the log keeps what was not written: no sink buffers without bound.

pub mod book;
pub mod breaker;
pub mod history;
pub mod influx;
mod outcomes;

pub use crate::sqlite::SetAside;

use crate::model::{Batch, Position, Timestamp};
use std::error::Error;

/// A store for samples, fed by one follower of the spool.
pub trait Sink {
    /// Where a follower must begin to read after a restart: everything before this is durable here.
    fn position(&self) -> Position;

    /// Takes a batch. `next` is the position after the batch's record; once it is durable,
    /// [`Sink::position`] is at least that.
    ///
    /// # Errors
    /// [`SinkError::Unavailable`] if the sink can take no more for now: nothing of this batch was
    /// taken, and the follower is to try it again after a [`Sink::maintain`] that succeeded.
    fn write(&mut self, batch: &Batch, next: Position) -> Result<(), SinkError>;

    /// Does one slice of work that is due: makes durable what waited long enough, tidies up. Returns
    /// whether there was any; the caller may come back at once for more, or later.
    ///
    /// # Errors
    /// [`SinkError::Unavailable`]; nothing is lost, and the work is tried again at a later call.
    fn maintain(&mut self, now: Timestamp) -> Result<bool, SinkError>;

    /// Makes everything written so far durable and returns the position after it, which is then
    /// also [`Sink::position`].
    ///
    /// # Errors
    /// [`SinkError::Unavailable`]; what was written stays and is tried again.
    fn flush(&mut self, now: Timestamp) -> Result<Position, SinkError>;
}

/// Why a sink did not do what it was asked: the follower acts on it.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The store cannot be written for now (a full disk, say): retry later.
    #[error("the sink cannot store for now")]
    Unavailable {
        /// What it failed at.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}
