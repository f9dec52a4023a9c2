//! Bridges to MQTT brokers: what is published there is offered to the gate, and acknowledged once it is
//! durable.

pub mod book;
pub mod payload;
mod quarantine;

pub use quarantine::{Quarantine, Replays};
