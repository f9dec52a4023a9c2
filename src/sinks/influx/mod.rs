//! The InfluxDB sink: its thinking, which needs neither socket nor clock, and its way to the store.
//!
//! ```text
//!   Batch ──► lines (body + index) ──► [ HTTP ] ──► answers ──┬──► done
//!                  ▲                                          ├──► bisect ──► dead letters
//!                  │                                          ├──► breaker (how the store fares)
//!            concurrency (how many at once)                   └──► split, slow down, wait
//! ```
//!
//! Plain synchronous Rust, but for `transport` and `http`, the way in the brackets: what drives these
//! parts tells them the time, sends the bytes and keeps the position. How names and answers are mapped is told to people in `docs/sinks.md`.

pub mod answers;
pub mod bisect;
pub mod concurrency;
#[cfg(feature = "influx")]
mod http;
pub mod lines;
pub mod names;
pub mod progress;
pub mod target;
pub mod transport;
