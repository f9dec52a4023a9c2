//! A daemon that was built without MQTT has no bridges.

use super::{DaemonError, Thread};
use crate::commands::Commands;
use crate::config::Config;
use crate::gate::Gate;
use crate::intake::Caps;
use crate::live::Live;
use crate::metrics::{Gauges, Metrics};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

pub(super) struct Opened;

#[derive(Default)]
pub(super) struct Told;

pub(super) type MqttStatus = ();

#[expect(clippy::unnecessary_wraps, reason = "as the other one, which can fail")]
pub(super) fn open(
    _: &Config,
    _: &Caps,
    _: &Gate,
    _: &Arc<Metrics>,
    _: &Live,
    _: &Commands,
) -> Result<(Opened, Told, Vec<Thread>), DaemonError> {
    Ok((Opened, Told, Vec::new()))
}

impl Opened {
    #[expect(clippy::unused_async, reason = "as the other one, which waits")]
    pub async fn run(self, _: CancellationToken) {}
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
