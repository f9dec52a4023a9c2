//! Bridges to MQTT brokers: what is published there is offered to the gate, and acknowledged once it is
//! durable.

pub mod book;
mod link;
mod quarantine;
mod room;
mod unacked;

pub use quarantine::{Quarantine, Replays};
