//! A daemon that was built without the InfluxDB sink has none.

use super::onlooker::OfSinks;
use super::{DaemonError, Thread};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::model::Position;
use crate::sinks::influx::Sinks;
use crate::spool::Spool;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

pub(super) struct Prepared;

pub(super) struct Sinking;

#[expect(clippy::unnecessary_wraps, reason = "as the other one, which can fail")]
pub(super) fn head(_: &Config, _: &Spool) -> Result<Position, DaemonError> {
    Ok(Position(0))
}

#[expect(clippy::unnecessary_wraps, reason = "as the other one, which can fail")]
pub(super) fn open(_: &Config, _: &Spool) -> Result<Prepared, DaemonError> {
    Ok(Prepared)
}

impl Prepared {
    #[expect(clippy::unnecessary_wraps, reason = "as the other one, which can fail")]
    pub fn start(
        self,
        _: &Spool,
        _: &Arc<Metrics>,
        _: &CancellationToken,
        _: &CancellationToken,
    ) -> Result<Sinking, DaemonError> {
        Ok(Sinking)
    }
}

impl Sinking {
    pub fn list(&self) -> Sinks {
        Sinks::default()
    }

    #[expect(clippy::unused_async, reason = "as the other one, which waits")]
    pub async fn change(
        &mut self,
        _: &[String],
        _: &Config,
        _: &Config,
        _: &OfSinks,
        _: &CancellationToken,
    ) -> Vec<(String, String)> {
        Vec::new()
    }

    pub fn end(self) -> Vec<Thread> {
        Vec::new()
    }
}
