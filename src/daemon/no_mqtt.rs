//! A daemon that was built without MQTT has no bridges.

use super::{DaemonError, Thread};
use crate::commands::Commands;
use crate::config::{Config, MqttConfig, QuarantineConfig};
use crate::gate::Gate;
use crate::intake::Caps;
use crate::live::Live;
use crate::metrics::{Gauges, Metrics};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

pub(super) struct Bridging(Rooms);

pub(super) struct Rooms {
    pub caps: Caps,
    pub gate: Gate,
    pub metrics: Arc<Metrics>,
    pub live: Live,
    pub commands: Commands,
}

#[derive(Default)]
pub(super) struct Told;

pub(super) type MqttStatus = ();

#[expect(clippy::unnecessary_wraps, reason = "as the other one, which can fail")]
pub(super) fn open(_: &Config, rooms: Rooms) -> Result<Bridging, DaemonError> {
    Ok(Bridging(rooms))
}

impl Bridging {
    pub fn told(&self) -> Told {
        Told
    }

    #[expect(clippy::unused_async, reason = "as the other one, which waits")]
    pub async fn keep(&mut self, _: &QuarantineConfig) {}

    pub fn start(&mut self, _: &CancellationToken) {}

    #[expect(clippy::unused_async, reason = "as the other one, which waits")]
    pub async fn change(
        &mut self,
        _: &[String],
        _: &[MqttConfig],
        _: &[MqttConfig],
        _: &CancellationToken,
    ) -> Vec<(String, String)> {
        Vec::new()
    }

    #[expect(clippy::unused_async, reason = "as the other one, which waits")]
    pub async fn end(self) -> Option<Thread> {
        let Rooms { caps, gate, metrics, live, commands } = self.0;
        drop((caps, gate, metrics, live, commands));
        None
    }
}

impl Told {
    pub fn status(&self) -> Vec<MqttStatus> {
        Vec::new()
    }

    pub fn troubles(&self) -> Vec<(String, Option<String>)> {
        Vec::new()
    }

    pub fn set_gauges(&self, _: &Gauges) {}
}
