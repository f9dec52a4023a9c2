//! Commands: opened with who speaks for devices, and how they stand in `/api/v1/status` and `/metrics`.

use super::{DaemonError, Thread};
use crate::commands::{Carrier, Commands, Looking, Settings, Stats, View, Whereabouts};
use crate::config::Config;
use crate::live::{DeviceState, Live, Via};
use crate::metrics::{Metrics, clamp};
use crate::model::Protocol;
use crate::pulse::Pulse;
use serde::Serialize;
use std::sync::Arc;

/// Opens the book of commands and starts its thread.
pub(super) fn open(
    config: &Config,
    live: &Live,
    metrics: &Arc<Metrics>,
    pulse: Pulse,
) -> Result<(Commands, Thread), DaemonError> {
    let settings = settings(config);
    let seen = Seen(live.clone());
    let (commands, thread) =
        crate::commands::open(settings, pulse, seen, metrics).map_err(DaemonError::Commands)?;
    Ok((commands, ("commands".to_owned(), thread)))
}

/// As configured.
pub(super) fn settings(config: &Config) -> Settings {
    let commands = &config.commands;
    Settings {
        path: config.state_dir.join("commands.db"),
        keep: commands.keep,
        keep_max: commands.keep_max,
        ttl_max: commands.ttl_max,
        per_device_max: commands.per_device_max,
        open_max: commands.open_max,
        open_bytes_max: commands.open_memory,
        resend: commands.resend,
    }
}

/// Of more devices than this all are asked for at once.
const ASKED_ONE_BY_ONE: usize = 100;

/// Who speaks for a device is who sent its last readings.
struct Seen(Live);

impl Whereabouts for Seen {
    fn find(&self, devices: Vec<Arc<str>>) -> Looking {
        let live = self.0.clone();
        Box::pin(async move {
            let mut found = Vec::new();
            if devices.len() <= ASKED_ONE_BY_ONE {
                for device in devices {
                    let carrier = live.device(&device).await.as_ref().and_then(carrier);
                    found.extend(carrier.map(|carrier| (device, carrier)));
                }
                return found;
            }
            for state in live.devices().await {
                // They come sorted.
                if let Ok(at) = devices.binary_search_by(|device| (**device).cmp(&state.id)) {
                    found.extend(carrier(&state).map(|carrier| (devices[at].clone(), carrier)));
                }
            }
            found
        })
    }
}

/// Who came by HTTP can't be told anything.
fn carrier(device: &DeviceState) -> Option<Carrier> {
    let Via { protocol, client } = device.via.clone()?;
    match protocol {
        Protocol::Ws => Some(Carrier::Client(client)),
        Protocol::Mqtt => Some(Carrier::Bridge(client)),
        Protocol::Http | Protocol::Other(_) => None,
    }
}

/// How commands stand; see `docs/http.md` for each field.
#[derive(Serialize)]
pub(super) struct CommandsStatus {
    queued: usize,
    sent: usize,
    lines: usize,
    desired_pending: usize,
    unwritten: usize,
}

impl CommandsStatus {
    pub fn of(commands: &View) -> CommandsStatus {
        let Stats { queued, sent, lines, desired_pending, unwritten } = commands.stats();
        CommandsStatus { queued, sent, lines, desired_pending, unwritten }
    }
}

pub(super) fn set_gauges(commands: &View, metrics: &Metrics) {
    let Stats { queued, sent, desired_pending, .. } = commands.stats();
    let count = |count: usize| clamp(count as u64);
    metrics.commands.set_open(count(queued), count(sent), count(desired_pending));
}
