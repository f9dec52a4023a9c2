//! What the daemon tells about itself: `/api/v1/status`, `/readyz`, the gauges of `/metrics`, and
//! the `status` frames of viewers.

use super::alerts::{self, AlertsStatus, Condition, Refusals};
use super::commands::CommandsStatus;
use super::mqtt::{MqttStatus, Told};
use super::notify::{self, NotifyStatus};
use super::sink_status::{HistoryState, SinkStatus};
use super::status_within::within_reach;
use crate::alerts::Alerts;
use crate::clock;
use crate::commands::View as CommandsView;
use crate::config::Config;
use crate::gate::{GateStats, Pressure, Resource};
use crate::ledger::Ledger;
use crate::live::{FrameKind, Live, Stats};
use crate::metrics::{LiveGauges, Metrics, Viewers, clamp};
use crate::model::{Reach, Timestamp};
use crate::notify::Notify;
use crate::sinks::history::{NAME, Reader};
use crate::sinks::influx::Sinks;
use crate::spool::{Durability, Spool};
use crate::web::{App, StatusSource};
use serde::Serialize;
use serde_json::Value as Json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How often viewers are told, and rates are measured.
const INTERVAL: Duration = Duration::from_secs(1);
/// How much of the spool's growth is that of the last second.
const FRESH_SHARE: f64 = 0.1;
/// How often what is kept of quiet clients is forgotten.
const FORGET_INTERVAL: u64 = 60;

/// Sees all rooms.
pub(super) struct Overview {
    pressure: Pressure,
    gate: Arc<Mutex<GateStats>>,
    spool: Spool,
    history: Reader,
    shed_before: u64,
    live: Live,
    ledger: Arc<Ledger>,
    metrics: Arc<Metrics>,
    history_stalled: Arc<AtomicBool>,
    influx: Sinks,
    bridges: Told,
    alerts: Alerts,
    commands: CommandsView,
    notify: Notify,
    started: (Timestamp, Instant),
    tick: Duration,
    windows: Vec<String>,
    durability: &'static str,
    rates: Mutex<Rates>,
    clients: Mutex<usize>,
}

#[derive(Default)]
struct Rates {
    samples: u64,
    batches: u64,
    at: Option<Instant>,
    samples_per_s: f64,
    batches_per_s: f64,
    spool_bytes: u64,
    /// Smoothed over about ten seconds.
    spool_bytes_per_s: f64,
}

#[derive(Serialize)]
struct Status {
    version: &'static str,
    time: i64,
    uptime_s: f64,
    tick_ms: u128,
    windows: Vec<String>,
    pressure: f64,
    pressure_of: Option<&'static str>,
    trouble: Option<String>,
    spool: SpoolStatus,
    sinks: Vec<SinkStatus>,
    live: LiveStatus,
    intake: IntakeStatus,
    notify: NotifyStatus,
    viewers: ViewersStatus,
    commands: CommandsStatus,
    ledger: LedgerStatus,
    alerts: AlertsStatus,
    /// Without TLS there is none.
    tls: Option<TlsStatus>,
}

#[derive(Serialize)]
struct SpoolStatus {
    bytes: u64,
    bytes_max: u64,
    /// At the present rate, while a sink does not take what it should.
    full_in_s: Option<f64>,
    oldest_s: f64,
    durability: &'static str,
    next: u64,
}

#[derive(Serialize)]
struct LiveStatus {
    lag_s: f64,
    series: usize,
    devices: usize,
    late_samples: u64,
}

#[derive(Serialize)]
struct IntakeStatus {
    connections: i64,
    clients: usize,
    samples_per_s: f64,
    batches_per_s: f64,
    mqtt: Vec<MqttStatus>,
}

#[derive(Serialize)]
struct ViewersStatus {
    sse: usize,
    ws: usize,
    poll: usize,
    degraded: usize,
}

#[derive(Serialize)]
struct TlsStatus {
    certificate_expires_at: i64,
}

#[derive(Serialize)]
struct LedgerStatus {
    accepted: u64,
    stored: u64,
    spooled: u64,
    damaged: u64,
    dead_lettered: u64,
    shed: u64,
    skipped: u64,
    received_batches: u64,
    accepted_batches: u64,
    duplicates: u64,
    refused: u64,
    imbalance: i64,
    balanced: bool,
}

/// The rooms that are looked at.
pub(super) struct Rooms {
    pub pressure: Pressure,
    pub gate: Arc<Mutex<GateStats>>,
    pub spool: Spool,
    pub history: Reader,
    /// Samples shed for the history before this run.
    pub shed_before: u64,
    pub live: Live,
    pub ledger: Arc<Ledger>,
    pub metrics: Arc<Metrics>,
    pub history_stalled: Arc<AtomicBool>,
    pub influx: Sinks,
    pub bridges: Told,
    pub alerts: Alerts,
    pub commands: CommandsView,
    pub notify: Notify,
}

impl Overview {
    pub fn new(config: &Config, rooms: Rooms) -> Overview {
        let Rooms {
            pressure,
            gate,
            spool,
            history,
            shed_before,
            live,
            ledger,
            metrics,
            history_stalled,
            influx,
            bridges,
            alerts,
            commands,
            notify,
        } = rooms;
        let windows = live.windows();
        let windows =
            (0..windows.levels()).map(|level| crate::live::window_name(windows, level)).collect();
        Overview {
            pressure,
            gate,
            spool,
            history,
            shed_before,
            live,
            ledger,
            metrics,
            history_stalled,
            influx,
            bridges,
            alerts,
            commands,
            notify,
            started: (clock::now(), clock::monotonic()),
            tick: config.live.tick,
            windows,
            durability: match config.spool.durability {
                Durability::Group => "group",
                Durability::Interval(_) => "interval",
                Durability::Os => "os",
            },
            rates: Mutex::default(),
            clients: Mutex::default(),
        }
    }

    /// Once a second until `stop`: measures rates and tells viewers.
    pub async fn watch(self: Arc<Self>, app: Arc<App>, stop: CancellationToken) {
        let mut interval = tokio::time::interval(INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut seconds, mut refusals) = (0, Refusals::default());
        loop {
            tokio::select! {
                _ = interval.tick() => {}
                () = stop.cancelled() => return,
            }
            *lock(&self.clients) = app.intake.clients();
            self.measure();
            let status = self.look();
            self.alerts.daemon(clock::now(), self.condition(&status).facts(&mut refusals));
            let whole = serde_json::to_value(&status).unwrap_or_default();
            self.live.publish_status(whole.to_string(), within_reach(&whole).to_string());
            seconds += 1;
            if seconds % FORGET_INTERVAL == 0 {
                app.intake.forget_quiet();
            }
        }
    }

    fn condition<'a>(&'a self, status: &'a Status) -> Condition<'a> {
        Condition {
            sinks: &status.sinks,
            bridges: &self.bridges,
            fill: self.spool.fill(),
            trouble: status.trouble.as_deref(),
            refused: status.ledger.refused,
        }
    }

    fn measure(&self) {
        let total = lock(&self.gate).tally.total();
        let spool_bytes = self.spool.stats().bytes;
        let now = clock::monotonic();
        let mut rates = lock(&self.rates);
        if let Some(at) = rates.at {
            let seconds = now.duration_since(at).as_secs_f64().max(0.001);
            rates.samples_per_s = (total.samples - rates.samples) as f64 / seconds;
            rates.batches_per_s = (total.batches - rates.batches) as f64 / seconds;
            let grown = (spool_bytes as f64 - rates.spool_bytes as f64) / seconds;
            rates.spool_bytes_per_s += FRESH_SHARE * (grown - rates.spool_bytes_per_s);
        }
        rates.spool_bytes = spool_bytes;
        (rates.samples, rates.batches, rates.at) = (total.samples, total.batches, Some(now));
    }

    fn look(&self) -> Status {
        let gate = lock(&self.gate).clone();
        let total = gate.tally.total();
        let spool = self.spool.stats();
        let counts = self.history.counts();
        let live = self.live.stats();
        let history = spool.followers.iter().find(|follower| follower.name == NAME);
        self.ledger.lost(history.map_or(0, |follower| follower.samples_lost));
        self.ledger.shed(self.shed_before + history.map_or(0, |follower| follower.samples_shed));
        let balance = self.ledger.balance();
        let rates = lock(&self.rates);
        let flow = self.pressure.flow();
        let now = clock::now();
        let stalled = self.history_stalled.load(Ordering::Relaxed);
        let mut sinks = vec![SinkStatus::of_history(HistoryState {
            stalled,
            lag_samples: history.map_or(0, |follower| follower.samples_behind),
            behind_since: history.and_then(|follower| follower.behind_since),
            counts,
            bytes: self.history.file_bytes(),
            shed: balance.shed,
            imbalance: balance.imbalance,
        })];
        sinks.extend(self.influx.all().iter().map(|sink| SinkStatus::of_influx(&sink.view())));
        let free = spool.bytes_max.saturating_sub(spool.bytes) as f64;
        let is_filling = rates.spool_bytes_per_s >= 1.0 && sinks.iter().any(SinkStatus::is_behind);
        let dead_lettered = sinks.iter().map(|sink| sink.dead_lettered).sum();
        let imbalance = sinks.iter().map(|sink| sink.imbalance).find(|imbalance| *imbalance != 0);
        Status {
            version: env!("CARGO_PKG_VERSION"),
            time: now.as_millis(),
            uptime_s: seconds(clock::monotonic() - self.started.1),
            tick_ms: self.tick.as_millis(),
            windows: self.windows.clone(),
            pressure: flow.pressure,
            pressure_of: flow.of.map(Resource::name),
            trouble: gate.trouble.map(|trouble| trouble.to_string()),
            spool: SpoolStatus {
                bytes: spool.bytes,
                bytes_max: spool.bytes_max,
                full_in_s: is_filling.then(|| round(free / rates.spool_bytes_per_s)),
                oldest_s: spool.oldest_at.map_or(0.0, |oldest| seconds(now.since(oldest))),
                durability: self.durability,
                next: self.spool.next().0,
            },
            sinks,
            live: LiveStatus {
                lag_s: seconds(live.lag),
                series: live.series,
                devices: live.devices,
                late_samples: live.late_samples,
            },
            intake: IntakeStatus {
                connections: self.metrics.connections(),
                clients: *lock(&self.clients),
                samples_per_s: round(rates.samples_per_s),
                batches_per_s: round(rates.batches_per_s),
                mqtt: self.bridges.status(),
            },
            notify: NotifyStatus::of(&self.notify),
            viewers: ViewersStatus {
                sse: live.viewers.sse,
                ws: live.viewers.ws,
                poll: live.viewers.poll,
                degraded: live.viewers.degraded,
            },
            commands: CommandsStatus::of(&self.commands),
            ledger: LedgerStatus {
                accepted: balance.accepted,
                stored: balance.stored,
                spooled: balance.spooled,
                damaged: balance.lost_to_damage,
                dead_lettered,
                shed: balance.shed,
                skipped: balance.skipped,
                received_batches: total.batches + total.duplicates + total.refused,
                accepted_batches: total.batches,
                duplicates: total.duplicates,
                refused: total.refused,
                imbalance: imbalance.unwrap_or(0),
                balanced: imbalance.is_none(),
            },
            alerts: AlertsStatus::of(&self.alerts),
            tls: self
                .metrics
                .listener
                .certificate_expires_at()
                .map(|seconds| TlsStatus { certificate_expires_at: (seconds * 1e3) as i64 }),
        }
    }
}

impl StatusSource for Overview {
    fn status(&self, reach: &Reach) -> Json {
        let whole = serde_json::to_value(self.look()).unwrap_or_default();
        if reach.is_all() { whole } else { within_reach(&whole) }
    }

    fn not_ready(&self) -> Option<String> {
        let trouble = lock(&self.gate).trouble?;
        Some(trouble.to_string())
    }

    fn set_gauges(&self) {
        let status = self.look();
        let spool = self.spool.stats();
        let live = self.live.stats();
        let counts = self.history.counts();
        let gauges = self.metrics.gauges();
        gauges.pressure.set(status.pressure);
        for (resource, fill) in self.pressure.fills().each() {
            gauges.pressure_of(resource.name(), fill);
        }
        gauges.spool_bytes.set(clamp(spool.bytes));
        gauges.spool_bytes_max.set(clamp(spool.bytes_max));
        gauges.spool_segments.set(clamp(spool.segments as u64));
        gauges.spool_shed_segments(spool.shed_segments);
        for follower in &spool.followers {
            let before = if follower.name == NAME { self.shed_before } else { 0 };
            gauges.shed(&follower.name, before + follower.samples_shed);
        }
        gauges.spool_oldest_seconds.set(status.spool.oldest_s);
        gauges.series.set(clamp(live.series as u64));
        let unknown = live.devices_unknown;
        gauges.devices.set((live.devices, live.devices_online, unknown, live.clocks_off));
        gauges.late_samples.set(clamp(live.late_samples));
        gauges.ledger_imbalance.set(status.ledger.imbalance);
        gauges.history_samples.set(clamp(counts.stored));
        gauges.history_unflushed_samples.set(clamp(counts.held));
        gauges.history_bytes.set(clamp(self.history.file_bytes()));
        gauges.start_time_seconds.set(self.started.0.0 as f64 / 1e9);
        gauges.resident_bytes.set(resident_bytes());
        for sink in &status.sinks {
            gauges.sink(&sink.name, &sink.gauges());
        }
        self.bridges.set_gauges(gauges);
        alerts::set_gauges(&self.alerts, &spool, &self.metrics);
        super::commands::set_gauges(&self.commands, &self.metrics);
        notify::set_gauges(&self.notify, gauges);
        gauges.spool_sync_seconds.set(spool.sync);
        gauges.live_lag_seconds.set(status.live.lag_s);
        set_viewers(&gauges.viewers, &live);
    }
}

fn set_viewers(gauges: &Viewers, live: &Stats) {
    gauges.viewers("sse", live.viewers.sse);
    gauges.viewers("ws", live.viewers.ws);
    gauges.viewers("poll", live.viewers.poll);
    for (kind, frames) in FrameKind::ALL.iter().zip(live.counts.frames) {
        gauges.frames(kind.name(), frames);
    }
    gauges.set(LiveGauges {
        subscriptions: live.subscriptions,
        degraded: live.viewers.degraded,
        bytes: live.counts.bytes,
        merged: live.counts.merged,
        resumed: live.counts.resumed,
        begun_anew: live.counts.begun_anew,
        overflows: live.counts.overflows,
        oldest_unread_s: live.oldest_unread.as_secs_f64(),
        read: live.reads.0,
        waited_s: live.reads.1.as_secs_f64(),
    });
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn seconds(duration: Duration) -> f64 {
    round(duration.as_secs_f64())
}

/// To milliseconds or thousandths: more digits are noise.
pub(super) fn round(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

/// Resident memory as the kernel counts it; 0 where there is no /proc.
fn resident_bytes() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<i64>().ok());
    kib.unwrap_or(0) * 1024
}
