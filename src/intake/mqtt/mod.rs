//! Bridges to MQTT brokers: what is published there is offered to the gate, and acknowledged once it is
//! durable.

mod link;
mod room;
mod unacked;
