//! What the routes need of the daemon.

use super::boards::Boards;
use super::dead_letters::DeadLetters;
use super::export::Exports;
#[cfg(feature = "mqtt")]
use super::quarantine::Quarantined;
use crate::alerts::Alerts;
use crate::auth::Door;
use crate::commands::Commands;
use crate::intake::Intake;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::model::Reach;
use crate::notify::Notify;
use crate::sinks::history::Reader;
use crate::sinks::influx::Sinks;
use crate::spool::Spool;
use serde_json::Value as Json;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Handles to the rooms that the routes ask.
pub struct App {
    /// Who may come.
    pub door: Door,
    /// Where batches go.
    pub intake: Intake,
    /// What viewers see.
    pub live: Live,
    /// What devices are told.
    pub commands: Commands,
    /// The past.
    pub history: Reader,
    /// Who takes it out, all of it.
    pub exports: Arc<Exports>,
    /// The sinks beside it.
    pub influx: Sinks,
    /// What rules found.
    pub alerts: Alerts,
    /// What sinks could not store.
    pub dead_letters: Arc<DeadLetters>,
    /// The dashboard's saved boards.
    pub boards: Arc<Boards>,
    /// What no route of a bridge understood.
    #[cfg(feature = "mqtt")]
    pub quarantine: Arc<Quarantined>,
    /// Who is told of alerts.
    pub notify: Notify,
    /// The log, for its positions.
    pub spool: Spool,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// What the daemon tells about itself.
    pub status: Arc<dyn StatusSource>,
    /// Viewers' streams end when it is cancelled.
    pub stop: CancellationToken,
}

/// Tells how the daemon is; the shell knows everybody and implements it.
pub trait StatusSource: Send + Sync {
    /// The object of `/api/v1/status`, as it is for who reaches these devices.
    fn status(&self, reach: &Reach) -> Json;
    /// Why no batch would be accepted now, if so.
    fn not_ready(&self) -> Option<String>;
    /// Sets the gauges of `/metrics`.
    fn set_gauges(&self);
}
