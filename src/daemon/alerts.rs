//! The alerts: opened before anybody reads the log, fed with what the daemon knows of itself, and what
//! they show in status and metrics.

use super::{DaemonError, Thread, thread_error};
use crate::alerts::{self, Alerts, Opened, Options};
use crate::config::Config;
use crate::live::Live;
use crate::spool::Spool;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

/// Opens `alerts.db` and follows the log.
pub(super) fn open(config: &Config, spool: &Spool) -> Result<Opened, DaemonError> {
    let options = Options {
        path: config.state_dir.join("alerts.db"),
        rules: config.alerts.rules.clone(),
        subjects_max: config.alerts.series_max,
        forget_after: config.alerts.forget_after,
        keep: config.alerts.keep,
        events_max: config.alerts.events_max,
    };
    let opened = alerts::open(options, spool).map_err(DaemonError::Alerts)?;
    if let Some(set_aside) = &opened.set_aside {
        log::error!(
            path:% = set_aside.path.display(), bytes = set_aside.bytes;
            "the file of the alerts was damaged: it was set aside and a new one begun; rules made on the \
             page are gone, and rules begin anew with what comes now"
        );
    }
    Ok(opened)
}

/// Starts them; viewers are told of what changes.
pub(super) fn start(
    opened: Opened,
    live: &Live,
    hurry: &CancellationToken,
) -> Result<(Alerts, Thread), DaemonError> {
    let handle = opened.handle();
    let tell = tell(live);
    let thread = opened.start(tell, hurry.clone()).map_err(thread_error)?;
    Ok((handle, ("alerts".to_owned(), thread)))
}

/// SEAM: how viewers learn of alerts that changed. When `Live::alerts` is there this is
/// `Box::new(move |changed| live.alerts(changed))`.
fn tell(_live: &Live) -> alerts::Tell {
    Box::new(|_changed| {})
}

/// Open alerts in the status.
#[derive(Serialize)]
pub(super) struct AlertsStatus {
    firing: u64,
    pending: u64,
    acknowledged: u64,
    critical: u64,
}

impl AlertsStatus {
    pub fn of(alerts: &Alerts) -> AlertsStatus {
        let alerts::Counts { pending, firing, acknowledged, critical } = alerts.stats().counts;
        AlertsStatus { firing, pending, acknowledged, critical }
    }
}
