//! The alerts: opened before anybody reads the log, fed with what the daemon knows of itself, and what
//! they show in status and metrics.

use super::mqtt::Told;
use super::sink_status::SinkStatus;
use super::{DaemonError, Thread, thread_error};
use crate::alerts::{self, Alerts, Opened, Options};
use crate::clock;
use crate::config::{AlertsConfig, Config};
use crate::live::Live;
use crate::metrics::{AlertGauges, Metrics};
use crate::pulse::Pulse;
use crate::rules::{Fact, What};
use crate::spool::Spool;
use serde::Serialize;
use std::collections::VecDeque;
use tokio_util::sync::CancellationToken;

/// Opens `alerts.db` and follows the log.
pub(super) fn open(config: &Config, spool: &Spool, pulse: Pulse) -> Result<Opened, DaemonError> {
    let options = Options {
        pulse,
        path: config.state_dir.join("alerts.db"),
        subjects_max: config.alerts.series_max,
        forget_after: config.alerts.forget_after,
        changed: changed(&config.alerts),
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

/// What a reload changes.
pub(super) fn changed(config: &AlertsConfig) -> alerts::Changed {
    let AlertsConfig { keep, events_max, ref rules, .. } = *config;
    alerts::Changed { rules: rules.clone(), keep, events_max }
}

/// Starts them; viewers are told of what changes.
pub(super) fn start(
    opened: Opened,
    live: &Live,
    stop: &CancellationToken,
    hurry: &CancellationToken,
) -> Result<(Alerts, Thread), DaemonError> {
    let handle = opened.handle();
    let tell = tell(live);
    let thread = opened.start(tell, stop.clone(), hurry.clone()).map_err(thread_error)?;
    Ok((handle, ("alerts".to_owned(), thread)))
}

fn tell(live: &Live) -> alerts::Tell {
    let live = live.clone();
    Box::new(move |changed| live.alerts(changed))
}

/// Tells the alerts which devices come and go, until `stop`.
pub(super) async fn tell_presence(alerts: Alerts, live: Live, stop: CancellationToken) {
    let watch = live.watch_devices();
    loop {
        let heard = tokio::select! {
            heard = watch.next() => heard,
            () = stop.cancelled() => return,
        };
        let now = clock::now();
        for news in heard.news {
            let reason = news.reason.as_deref().unwrap_or("no readings");
            alerts.presence(now, &news.device, news.online, reason);
        }
    }
}

/// What the daemon knows of itself.
pub(super) struct Condition<'a> {
    pub sinks: &'a [SinkStatus],
    pub bridges: &'a Told,
    /// How full the spool is, 0 to 1.
    pub fill: f64,
    /// Why nothing can enter.
    pub trouble: Option<&'a str>,
    /// Batches that were refused, ever.
    pub refused: u64,
}

/// Batches refused in the last minute, looked at every second.
#[derive(Default)]
pub(super) struct Refusals(VecDeque<u64>);

impl Refusals {
    fn in_a_minute(&mut self, refused: u64) -> u64 {
        self.0.push_back(refused);
        if self.0.len() > 61 {
            self.0.pop_front();
        }
        refused.saturating_sub(self.0.front().copied().unwrap_or(refused))
    }
}

impl Condition<'_> {
    /// As rules of kind daemon are told it.
    pub fn facts(&self, refusals: &mut Refusals) -> Vec<Fact> {
        let is = |what, part: &str, reason: Option<String>| Fact {
            what,
            part: part.into(),
            value: if reason.is_some() { 1.0 } else { 0.0 },
            reason,
        };
        let number = |what, value| Fact { what, part: "".into(), value, reason: None };
        let mut facts = vec![
            number(What::Spool, (self.fill * 1000.0).round() / 1000.0),
            number(What::Refusals, refusals.in_a_minute(self.refused) as f64),
            is(What::Disk, "", self.trouble.map(str::to_owned)),
        ];
        let sinks = self.sinks.iter();
        facts.extend(sinks.map(|sink| is(What::BreakerOpen, &sink.name, sink.trouble())));
        let bridges = self.bridges.troubles().into_iter();
        facts.extend(bridges.map(|(name, trouble)| is(What::Broker, &name, trouble)));
        facts
    }
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

/// Shows them in `/metrics`.
pub(super) fn set_gauges(alerts: &Alerts, spool: &crate::spool::Stats, metrics: &Metrics) {
    let stats = alerts.stats();
    let follower = spool.followers.iter().find(|follower| follower.name == "alerts");
    let behind = follower.and_then(|follower| follower.behind_since);
    metrics.gauges().alerts.set(&AlertGauges {
        pending: stats.counts.pending,
        firing: stats.counts.firing,
        acknowledged: stats.counts.acknowledged,
        events: stats.events,
        rules: stats.rules,
        series: stats.subjects,
        passed_over: stats.passed_over,
        lag_seconds: behind.map_or(0.0, |since| clock::now().since(since).as_secs_f64()),
        stalled: stats.stalled,
    });
}
