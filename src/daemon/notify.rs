//! Notifications: opened after the alerts, whose journal they follow; and how they are in
//! `/api/v1/status` and `/metrics`.

use super::{DaemonError, Thread};
use crate::alerts::Alerts;
use crate::config::Config;
use crate::metrics::{ChannelGauges, Gauges, Metrics};
use crate::notify::{self, Channels, Journal, Notify, Opened, Settings, View};
use crate::rules::Event;
use serde::Serialize;
use std::error::Error;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The channels that run.
pub(super) struct Notifying {
    notify: Notify,
    channels: Channels,
    metrics: Arc<Metrics>,
}

/// Opens the channels and starts them.
pub(super) fn open(
    config: &Config,
    alerts: &Alerts,
    metrics: &Arc<Metrics>,
    stop: &CancellationToken,
) -> Result<Notifying, DaemonError> {
    let opened = notify::open(settings(config), Arc::new(alerts.clone()), stop)?;
    if let Some(set_aside) = &opened.set_aside {
        log::error!(
            path:% = set_aside.path.display(), bytes = set_aside.bytes;
            "the file of notifications was damaged: it was set aside and a new one begun; what was not \
             delivered is in it, and channels are told what happens from now on"
        );
    }
    let Opened { notify, channels, .. } = opened;
    Ok(Notifying { notify, channels, metrics: metrics.clone() })
}

fn settings(config: &Config) -> Settings {
    let is = &config.notify;
    Settings {
        path: config.state_dir.join("notify.db"),
        group_wait: is.group_wait,
        group_interval: is.group_interval,
        messages_per_hour: is.messages_per_hour,
        give_up_after: is.give_up_after,
        page_url: is.page_url.clone(),
        channels: is.channels.clone(),
    }
}

impl Notifying {
    pub fn handle(&self) -> Notify {
        self.notify.clone()
    }

    /// The channels of these names are gone, are new, or are others now; what holds for all does so from
    /// now on. Those that stay as they were, and why.
    pub async fn change(&mut self, names: &[String], config: &Config) -> Vec<(String, String)> {
        let before = self.notify.views();
        let failed = self.channels.change(names, settings(config)).await;
        let now = self.notify.views();
        let is = |one: &View, other: &View| one.name == other.name && one.kind == other.kind;
        for gone in before.iter().filter(|view| !now.iter().any(|other| is(view, other))) {
            self.metrics.gauges().notify.forget(&gone.name, gone.kind);
        }
        failed
    }

    /// Their thread, which ends when the daemon stops.
    pub fn end(self) -> Option<Thread> {
        self.channels.end().map(|thread| ("notify".to_owned(), thread))
    }
}

impl Journal for Alerts {
    fn after(&self, id: u64, max: usize) -> Result<Vec<Event>, Box<dyn Error + Send + Sync>> {
        Alerts::after(self, id, max).map_err(Into::into)
    }

    fn changed(&self) -> watch::Receiver<u64> {
        Alerts::changed(self)
    }
}

/// In the status; everything else is in `/api/v1/notifications`.
#[derive(Serialize)]
pub(super) struct NotifyStatus {
    /// Names of channels whose last attempt failed.
    failing: Vec<String>,
    /// Messages that were given up and are kept.
    dead_letters: u64,
}

impl NotifyStatus {
    pub fn of(notify: &Notify) -> NotifyStatus {
        let dead_letters = notify.views().iter().map(|view| view.dead_letters).sum();
        NotifyStatus { failing: notify.failing(), dead_letters }
    }
}

pub(super) fn set_gauges(notify: &Notify, gauges: &Gauges) {
    for view in notify.views() {
        let View { sent, failed, dead_lettered, dead_letters, pending_events, .. } = view;
        gauges.notify.set(
            &view.name,
            view.kind,
            ChannelGauges {
                delivered: sent,
                failed,
                dead_lettered,
                dead_letters,
                pending_events,
                silenced: view.silenced,
                missed: view.missed,
                is_failing: view.state == "failing",
            },
        );
    }
}
