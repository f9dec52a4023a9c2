//! The stores beside the history, as configured: each finds its place in the log before anything of the
//! log is given up, and is started when everybody else has found his. While the daemon runs each may
//! come, change and go.

use super::accepted::accepted_below;
use super::onlooker::OfSinks;
use super::stores::open_book;
use super::{DaemonError, Thread, thread_error};
use crate::config::{Config, InfluxConfig, RollupsConfig};
use crate::ledger::AcceptedBelow;
use crate::metrics::Metrics;
use crate::model::Position;
use crate::sinks::book::Bounds;
use crate::sinks::influx::fold::Rules;
use crate::sinks::influx::names::Naming;
use crate::sinks::influx::round::Shape;
use crate::sinks::influx::transport::Http;
use crate::sinks::influx::{self, Influx, Rollups, Sinks};
use crate::spool::Spool;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it is looked whether a sink that goes has ended.
const LEAVE_INTERVAL: Duration = Duration::from_millis(20);

/// Sinks that have their places in the log.
pub(super) struct Prepared(Vec<(influx::Opened, Http)>);

/// The sinks, each with its thread.
pub(super) struct Sinking {
    spool: Spool,
    list: Sinks,
    threads: Vec<(Influx, JoinHandle<()>)>,
    metrics: Arc<Metrics>,
    hurry: CancellationToken,
}

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
    let sinks = config.sinks.influx.iter().map(|sink| prepare(config, sink, spool));
    Ok(Prepared(sinks.collect::<Result<_, DaemonError>>()?))
}

fn prepare(
    config: &Config,
    sink: &InfluxConfig,
    spool: &Spool,
) -> Result<(influx::Opened, Http), DaemonError> {
    let bounds = Bounds {
        bytes_max: config.sinks.dead_letters_bytes_max,
        age_max: config.sinks.dead_letters_age_max,
    };
    let transport = Http::new(&sink.target()).map_err(DaemonError::Http)?;
    let options = options(sink, config.live.lateness, accepted_below(config, spool));
    Ok((influx::open(options, spool, open_book(config, bounds)?)?, transport))
}

impl Prepared {
    /// Starts them; see [`influx::Opened::start`] for when their threads end.
    pub fn start(
        self,
        spool: &Spool,
        metrics: &Arc<Metrics>,
        stop: &CancellationToken,
        hurry: &CancellationToken,
    ) -> Result<Sinking, DaemonError> {
        let (list, spool, metrics) = (Sinks::default(), spool.clone(), metrics.clone());
        let mut sinking =
            Sinking { spool, list, threads: Vec::new(), metrics, hurry: hurry.clone() };
        for prepared in self.0 {
            sinking.start(prepared, stop)?;
        }
        Ok(sinking)
    }
}

impl Sinking {
    /// Those that run.
    pub fn list(&self) -> Sinks {
        self.list.clone()
    }

    fn start(
        &mut self,
        (opened, transport): (influx::Opened, Http),
        stop: &CancellationToken,
    ) -> Result<(), DaemonError> {
        let started = opened.start(transport, stop, &self.hurry).map_err(thread_error)?;
        self.threads.push(started);
        self.tell();
        Ok(())
    }

    fn tell(&self) {
        self.list.set(self.threads.iter().map(|(sink, _)| sink.clone()).collect());
    }

    /// The sinks of these names are gone, are new, or are others now; the rest notices nothing. `after`
    /// is the configuration with them. Those that stay as they were, and why.
    pub async fn change(
        &mut self,
        names: &[String],
        before: &Config,
        after: &Config,
        watched: &OfSinks,
        stop: &CancellationToken,
    ) -> Vec<(String, String)> {
        let mut failed = Vec::new();
        for name in names {
            let of = |config: &Config| {
                config.sinks.influx.iter().find(|sink| sink.name == *name).cloned()
            };
            let (known, wanted) = (of(before), of(after));
            if let Some(sink) = &wanted
                && let Some(why) = self.hindrance(known.as_ref(), sink, after).await
            {
                failed.push((name.clone(), why));
                continue;
            }
            self.leave(name, watched).await;
            match &wanted {
                None => self.forget(name),
                Some(sink) => {
                    if let Err(error) = self.begin(after, sink, stop).await {
                        failed.push((name.clone(), error.to_string()));
                        if known.is_none() {
                            self.forget(name);
                        }
                        // It could be opened before.
                        if let Some(known) = &known
                            && let Err(error) = self.begin(before, known, stop).await
                        {
                            log::error!(sink = name.as_str(), error:err = error; "the sink does not run until the next start; the spool keeps what comes");
                        }
                    }
                }
            }
            watched.are(&self.list.all());
        }
        failed
    }

    /// Why a sink can't begin so, as far as that is known before the one of its name has ended.
    async fn hindrance(
        &self,
        known: Option<&InfluxConfig>,
        sink: &InfluxConfig,
        config: &Config,
    ) -> Option<String> {
        if let Err(error) = Http::new(&sink.target()) {
            return Some(error.to_string());
        }
        let window = |sink: &InfluxConfig| sink.rollups.as_ref().map(|rollups| rollups.window);
        if known.is_some_and(|known| window(known) != window(sink)) {
            return Some(
                "send and rollup_window can't be changed; give it another name".to_owned(),
            );
        }
        let (config, name) = (config.clone(), sink.name.clone());
        let spool_id = self.spool.id();
        let head = blocking(move || {
            let book = open_book(&config, Bounds::NONE)?;
            Ok(book.sink(&name, spool_id)?.map(|known| known.progress.head()))
        });
        match head.await {
            Err(error) => Some(error.to_string()),
            // As at a start, where the log would go on behind it.
            Ok(Some(head)) if head > self.spool.next() => {
                Some("it has come further than the log; restart the daemon".to_owned())
            }
            Ok(_) => None,
        }
    }

    async fn begin(
        &mut self,
        config: &Config,
        sink: &InfluxConfig,
        stop: &CancellationToken,
    ) -> Result<(), DaemonError> {
        let (config, sink, spool) = (config.clone(), sink.clone(), self.spool.clone());
        let prepared = blocking(move || prepare(&config, &sink, &spool)).await?;
        self.start(prepared, stop)
    }

    /// Returns when the sink of this name has ended, if there is one. Cancelled meanwhile, it still ends.
    async fn leave(&mut self, name: &str, watched: &OfSinks) {
        let Some(at) = self.threads.iter().position(|(sink, _)| sink.name() == name) else {
            return;
        };
        let sink = self.threads[at].0.clone();
        // Who ends is not missed.
        let others = self.threads.iter().filter(|(sink, _)| sink.name() != name);
        watched.are(&others.map(|(sink, _)| sink.clone()).collect::<Vec<_>>());
        sink.leave();
        while !self.threads[at].1.is_finished() {
            tokio::time::sleep(LEAVE_INTERVAL).await;
        }
        let (_, thread) = self.threads.remove(at);
        if thread.join().is_err() {
            log::error!(event = "thread-panicked", thread = name; "a thread of the pipeline panicked");
        }
        self.tell();
        log::info!(sink = name; "the sink has ended; where it is stands in sinks.db");
    }

    fn forget(&self, name: &str) {
        influx::forget(&self.spool, name);
        self.metrics.gauges().forget_sink(name);
    }

    /// Their threads, which end with the log.
    pub fn end(self) -> Vec<Thread> {
        let named = self.threads.into_iter();
        named.map(|(sink, thread)| (sink.name().to_owned(), thread)).collect()
    }
}

/// Work that reads files must not hold up who serves sockets.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DaemonError> + Send + 'static,
) -> Result<T, DaemonError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(DaemonError::Runtime(std::io::Error::other(error))))
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
