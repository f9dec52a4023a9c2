//! The stores beside the history, as configured: each finds its place in the log before anything of the
//! log is given up, and is started when everybody else has found his.

use super::accepted::accepted_below;
use super::stores::open_book;
use super::{DaemonError, Thread, thread_error};
use crate::config::{Config, InfluxConfig, RollupsConfig};
use crate::ledger::AcceptedBelow;
use crate::model::Position;
use crate::sinks::book::Bounds;
use crate::sinks::influx::fold::Rules;
use crate::sinks::influx::names::Naming;
use crate::sinks::influx::round::Shape;
use crate::sinks::influx::transport::Http;
use crate::sinks::influx::{self, Influx, Rollups};
use crate::spool::Spool;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Sinks that have their places in the log.
pub(super) struct Prepared(Vec<(influx::Opened, Http)>);

/// The end of what any sink has read. The log's disk may have lost what it had told to be durable.
pub(super) fn head(config: &Config, spool: &Spool) -> Result<Position, DaemonError> {
    let mut head = Position(0);
    if !config.sinks.influx.is_empty() {
        let book = open_book(config, Bounds::NONE)?;
        for sink in &config.sinks.influx {
            let known = book.sink(&sink.name, spool.id())?;
            head = head.max(known.map_or(head, |standing| standing.progress.head()));
        }
    }
    Ok(head)
}

/// Finds where each sink was. The log is kept for it from there on.
pub(super) fn open(config: &Config, spool: &Spool) -> Result<Prepared, DaemonError> {
    let bounds = Bounds {
        bytes_max: config.sinks.dead_letters_bytes_max,
        age_max: config.sinks.dead_letters_age_max,
    };
    let sinks = config.sinks.influx.iter().map(|sink| {
        let transport = Http::new(&sink.target()).map_err(DaemonError::Http)?;
        let options = options(sink, config.live.lateness, accepted_below(config, spool));
        Ok((influx::open(options, spool, open_book(config, bounds)?)?, transport))
    });
    Ok(Prepared(sinks.collect::<Result<_, DaemonError>>()?))
}

impl Prepared {
    /// Starts them; see [`influx::Opened::start`] for when their threads end.
    pub fn start(
        self,
        stop: &CancellationToken,
        hurry: &CancellationToken,
    ) -> Result<(Vec<Influx>, Vec<Thread>), DaemonError> {
        let (mut sinks, mut threads) = (Vec::new(), Vec::new());
        for (opened, transport) in self.0 {
            let (sink, thread) = opened.start(transport, stop, hurry).map_err(thread_error)?;
            threads.push((sink.name().to_owned(), thread));
            sinks.push(sink);
        }
        Ok((sinks, threads))
    }
}

fn options(sink: &InfluxConfig, lateness: Duration, accepted: AcceptedBelow) -> influx::Options {
    let naming = Naming::new(&sink.measurement);
    influx::Options {
        name: sink.name.clone(),
        shape: Shape {
            naming: match &sink.metrics {
                Some(metrics) => naming.only(metrics.clone()),
                None => naming,
            },
            devices: sink.devices.clone(),
            part_samples: sink.batch_samples,
            request_bytes: sink.batch_bytes,
        },
        rollups: sink.rollups.map(|RollupsConfig { window, silence }| Rollups {
            rules: Rules {
                width: nanos(window),
                lateness: nanos(lateness),
                devices: sink.globs.0.clone(),
                metrics: sink.globs.1.clone(),
            },
            silence,
        }),
        batch_age: sink.batch_age,
        requests_max: sink.requests_max,
        backlog_share: sink.backlog_share,
        breaker: sink.breaker.clone(),
        accepted,
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
