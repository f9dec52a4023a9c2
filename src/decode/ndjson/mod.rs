//! Readings as lines of JSON, for people with curl: `docs/http.md` has the format.
//!
//! What JSON leaves open: an object that gives a key twice is refused, `null` is no value (a line
//! with nothing else is refused as empty), an unknown key of the line is refused because it is a
//! mistyped one, and a whole number beyond 64 bits is refused rather than rounded.

mod line;
mod write;

pub use write::readings;

use super::Stamp;
use super::lines::{Gathering, Lines};
use crate::model::Reach;
use crate::wire::Limits;

/// Reads a body of lines, separated by `\n`, of devices within `reach`; empty lines are passed over.
#[must_use]
pub fn ndjson(body: &[u8], limits: &Limits, stamp: &Stamp<'_>, reach: &Reach) -> Lines {
    let mut gathering = Gathering::new(limits, stamp.received_at, reach);
    for (index, line) in body.split(|&byte| byte == b'\n').enumerate() {
        if !line.trim_ascii().is_empty() {
            gathering.line(index + 1, line::reading(line, limits, stamp));
        }
    }
    gathering.finish()
}

#[cfg(test)]
mod tests;
