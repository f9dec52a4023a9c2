//! What a message on a topic means: from topic and payload to readings. Pure.
//!
//! A [`Route`] is a topic pattern with named captures and a decoder; [`Route::new`] compiles it from
//! the configuration's [`RouteSpec`] and tells every mistake in it. [`Route::takes`] matches a topic;
//! then [`read`] makes [`Reading`](crate::decode::Reading)s of a JSON or scalar payload and [`native`]
//! reads our own `Batch`. What can't be read is a [`Puzzle`]: a sentence with the place.
//! [`suggest`] writes the route that would take a message.
//!
//! A payload is read in one pass, in about a microsecond for a sensor's message (`benches/routes.rs`),
//! and what a hostile one costs is bounded by its length: nesting, values and readings have caps that
//! apply while reading.
//!
//! `docs/mqtt.md` is the manual of all this for people, and its routes are tested as they stand there.

mod json;
mod native;
mod number;
mod plan;
mod pointer;
mod puzzle;
mod route;
mod scalar;
mod spec;
mod suggest;
mod template;
mod time;
mod topic;

#[cfg(test)]
mod fixtures;

pub use native::{Native, native};
pub use puzzle::{Needed, Puzzle};
pub use route::{Decoder, Route};
pub use spec::{Mistake, RouteSpec};
pub use suggest::suggest;
pub use topic::Captures;

use crate::decode::Reading;
use crate::model::Timestamp;
use crate::wire::Limits;

/// A message as the broker delivered it.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// The topic it was published to.
    pub topic: &'a str,
    /// Its content.
    pub payload: &'a [u8],
    /// When it came: the time of readings that don't tell theirs.
    pub received_at: Timestamp,
    /// Whether the broker had kept it and delivers it because of our subscription.
    pub retained: bool,
    /// Its MIME type, if the publisher told it (MQTT 5). Not needed by any decoder: for people.
    pub content_type: Option<&'a str>,
    /// User properties (MQTT 5).
    pub properties: &'a [(String, String)],
}

/// Reads a message of a `json`, `scalar` or `ignore` route. No readings means that the message was
/// understood and has nothing that the route wants: `null`, what is listed under `ignore`, a retained
/// message where they are not wanted.
///
/// The readings are not held against all limits yet: [`Gather`](crate::decode::Gather) does that.
///
/// # Errors
/// [`Puzzle`]. The message is refused as a whole.
pub fn read<'a>(
    route: &'a Route,
    captures: &Captures<'a>,
    message: &Message<'a>,
    limits: &Limits,
) -> Result<Vec<Reading<'a>>, Puzzle> {
    if message.retained && !route.retained() {
        return Ok(Vec::new());
    }
    match route.decoder() {
        Decoder::Json => json::read(route, captures, message, limits),
        Decoder::Scalar => scalar::read(route, captures, message),
        Decoder::Ignore => Ok(Vec::new()),
        decoder @ (Decoder::Tidegate | Decoder::Sparkplug) => Err(Puzzle::OtherDoor { decoder }),
    }
}
