//! Alert rules: what somebody wants to be told of, and when it is so.
//!
//! Pure: in go the records of the log, facts about devices and the daemon, and the time; out come
//! [`Event`]s. The same input gives the same events, however it is cut.

mod alert;
mod json;

pub use alert::{Acknowledgement, Alert, Event, EventKind, Severity, State, Value};
