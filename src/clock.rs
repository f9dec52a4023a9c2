//! The one place where the clocks of the machine are read.

use crate::model::Timestamp;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The wall clock: nanoseconds since the Unix epoch.
#[must_use]
pub fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    let now = SystemTime::now();
    let nanos = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    Timestamp(i64::try_from(nanos).unwrap_or(i64::MAX))
}

/// The monotonic clock, for measuring and for deadlines.
#[must_use]
pub fn monotonic() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    Instant::now()
}
