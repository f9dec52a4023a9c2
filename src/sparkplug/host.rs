//! The host: who is told everything.

use super::heard::{Act, Heard, NodeId, Standing, Will};
use super::puzzle::Puzzle;
use super::settings::Settings;
use crate::decode::Content;
use crate::model::Timestamp;
use thiserror::Error;

/// A host application for one connection to a broker.
pub struct Host {
    settings: Settings,
}

/// Why a command can't be sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CommandError {
    /// No such device was born.
    #[error("no Sparkplug device {device} is known")]
    UnknownDevice {
        /// As asked for.
        device: String,
    },
    /// The device is not online.
    #[error("{device} is offline")]
    Offline {
        /// As asked for.
        device: String,
    },
    /// Its birth had no such metric (tck-id-operational-behavior-data-commands-dcmd-metric-name).
    #[error("{device} has no metric {metric}")]
    UnknownMetric {
        /// As asked for.
        device: String,
        /// As asked for.
        metric: String,
    },
    /// The value does not fit the metric's datatype (…-dcmd-metric-value).
    #[error("the value is not a {datatype}")]
    WrongType {
        /// What it should be.
        datatype: super::DataType,
    },
}

/// Remembered bytes that are not what they were; the node is asked for a rebirth instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the remembered tables are damaged or of another version")]
pub struct Damaged;

impl Host {
    /// A host that knows nobody.
    #[must_use]
    pub fn new(settings: Settings) -> Host {
        Host { settings }
    }

    /// Takes back the tables of a node, before the first message. Until the node is born again its
    /// messages are read by them.
    ///
    /// # Errors
    /// [`Damaged`]: forget those bytes; nothing else is to be done.
    pub fn restore(&mut self, remembered: &[u8]) -> Result<NodeId, Damaged> {
        match remembered {
            [] => Err(Damaged),
            _ => Err(Damaged),
        }
    }

    /// The tables of a node, to be kept over a restart; `None`: there is nothing to be kept.
    #[must_use]
    pub fn remember(&self, _node: &NodeId) -> Option<Vec<u8>> {
        None
    }

    /// The will for the next connection, made at `now`. Without a host id there is none.
    pub fn will(&mut self, _now: Timestamp) -> Option<Will> {
        None
    }

    /// The broker took the connection, and the route's subscription. Do the acts in order.
    pub fn connected(&mut self, _now: Timestamp) -> Vec<Act> {
        Vec::new()
    }

    /// Takes a message of the route.
    ///
    /// # Errors
    /// [`Puzzle`], if nothing of the message can be used. The state of its node may have changed
    /// nevertheless (a malformed payload is a gap): look at [`Host::next_deadline`].
    pub fn message(
        &mut self,
        _topic: &str,
        _payload: &[u8],
        _received_at: Timestamp,
        _retained: bool,
    ) -> Result<Heard, Puzzle> {
        Ok(Heard::default())
    }

    /// The connection was lost: all that is known is stale from now on.
    pub fn disconnected(&mut self, _now: Timestamp) -> Heard {
        Heard::default()
    }

    /// Time passed. Call it at [`Host::next_deadline`].
    pub fn tick(&mut self, _now: Timestamp) -> Heard {
        Heard::default()
    }

    /// When [`Host::tick`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        None
    }

    /// What to publish before an orderly DISCONNECT: STATE offline, at `now`.
    pub fn farewell(&mut self, _now: Timestamp) -> Option<Act> {
        None
    }

    /// The message that tells a device to set a metric.
    ///
    /// # Errors
    /// [`CommandError`] says why there is none.
    pub fn command(
        &self,
        device: &str,
        _metric: &str,
        _value: &Content<'_>,
        _now: Timestamp,
    ) -> Result<Act, CommandError> {
        Err(CommandError::UnknownDevice { device: device.to_owned() })
    }

    /// How it stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        Standing::default()
    }

    /// As it was set up.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}
