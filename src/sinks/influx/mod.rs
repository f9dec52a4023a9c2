//! The InfluxDB sink's thinking: everything that can be decided without a socket or a clock.
//!
//! ```text
//!   Batch ──► lines (body + index) ──► [ HTTP ] ──► answers ──┬──► done
//!                  ▲                                          ├──► bisect ──► dead letters
//!                  │                                          ├──► breaker (how the store fares)
//!            concurrency (how many at once)                   └──► split, slow down, wait
//! ```
//!
//! Plain synchronous Rust: what drives these parts tells them the time, sends the bytes and keeps the
//! position. How names and answers are mapped is told to people in `docs/sinks.md`.

pub mod answers;
pub mod bisect;
pub mod concurrency;
pub mod lines;
pub mod names;
pub mod progress;
