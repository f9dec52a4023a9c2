//! What `/metrics` shows: every counter and gauge, with its name in one file.
//!
//! Counters are incremented where the thing happens; gauges are set from the rooms' own statistics
//! when somebody looks ([`Gauges`]).

mod alerts;
mod auth;
mod bridges;
mod commands;
mod devices;
mod left_out;
mod listener;
mod live;
mod notify;
mod syncs;

pub use alerts::{AlertGauges, Alerts};
pub use auth::Auth;
pub use bridges::{BridgeGauges, Bridges, RouteGauges};
pub use commands::{Commands, Ignored};
pub use devices::Devices;
pub use listener::Listener;
pub use live::{LiveGauges, Viewers};
pub use notify::{ChannelGauges, Channels};
pub use syncs::Syncs;

use crate::spool::Protocol;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

type FloatGauge = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByProtocol {
    protocol: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByRefusal {
    protocol: &'static str,
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByClose {
    code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BySink {
    sink: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByFollower {
    follower: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByResource {
    resource: &'static str,
}

/// All counters; one per daemon.
pub struct Metrics {
    registry: Registry,
    samples_accepted: ProtocolCounter,
    batches_accepted: ProtocolCounter,
    batches_duplicate: ProtocolCounter,
    batches_refused: Family<ByRefusal, Counter>,
    bytes_received: ProtocolCounter,
    receipt_seconds: Histogram,
    device_closes: Family<ByClose, Counter>,
    connections: Gauge,
    accepts_failed: Counter,
    requests: Counter,
    /// Of commands.
    pub commands: Commands,
    /// Of who may come.
    pub auth: Auth,
    /// Of how connections come in.
    pub listener: Listener,
    left_out: left_out::ValuesLeftOut,
    gauges: Gauges,
}

/// A counter for each protocol, which are found without a look-up: they are counted for each batch.
#[derive(Debug)]
struct ProtocolCounter {
    family: Family<ByProtocol, Counter>,
    /// Shown once they have counted anything.
    found: [OnceLock<Counter>; 4],
}

impl ProtocolCounter {
    fn of_family(family: Family<ByProtocol, Counter>) -> ProtocolCounter {
        ProtocolCounter { family, found: Default::default() }
    }

    fn of(&self, protocol: Protocol) -> &Counter {
        let at = match protocol {
            Protocol::Ws => 0,
            Protocol::Http => 1,
            Protocol::Mqtt => 2,
            Protocol::Other(_) => 3,
        };
        let label = ByProtocol { protocol: protocol.name() };
        self.found[at].get_or_init(|| self.family.get_or_create_owned(&label))
    }
}

/// How a sink is; see the help texts of the metrics.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "each is registered below with its help text")]
pub struct SinkGauges {
    pub lag_seconds: f64,
    pub live_lag_seconds: f64,
    pub lag_samples: u64,
    pub breaker_state: i64,
    pub imbalance: i64,
    pub written: u64,
    pub dead_lettered: u64,
    pub requests: u64,
    pub requests_failed: u64,
}

/// What is set when somebody looks.
#[expect(missing_docs, reason = "each is registered below with its help text")]
pub struct Gauges {
    pub pressure: FloatGauge,
    pub spool_bytes: Gauge,
    pub spool_bytes_max: Gauge,
    pub spool_segments: Gauge,
    pub spool_oldest_seconds: FloatGauge,
    pub series: Gauge,
    pub devices: Devices,
    pub late_samples: Gauge,
    pub ledger_imbalance: Gauge,
    pub history_samples: Gauge,
    pub history_unflushed_samples: Gauge,
    pub history_bytes: Gauge,
    pub resident_bytes: Gauge,
    pub start_time_seconds: FloatGauge,
    pub spool_sync_seconds: Syncs,
    pub live_lag_seconds: FloatGauge,
    pub alerts: Alerts,
    pub bridges: Bridges,
    pub notify: Channels,
    pub viewers: Viewers,
    pressure_by_resource: Family<ByResource, FloatGauge>,
    spool_shed_segments: Counter,
    spool_shed_samples: Family<ByFollower, Counter>,
    sink_lag_seconds: Family<BySink, FloatGauge>,
    sink_lag_samples: Family<BySink, Gauge>,
    sink_live_lag_seconds: Family<BySink, FloatGauge>,
    sink_breaker_state: Family<BySink, Gauge>,
    sink_imbalance: Family<BySink, Gauge>,
    sink_written: Family<BySink, Counter>,
    sink_dead_lettered: Family<BySink, Counter>,
    sink_requests: Family<BySink, Counter>,
    sink_requests_failed: Family<BySink, Counter>,
}

impl Gauges {
    /// How a sink is.
    pub fn sink(&self, sink: &str, is: &SinkGauges) {
        let by = BySink { sink: sink.to_owned() };
        self.sink_lag_seconds.get_or_create(&by).set(is.lag_seconds);
        self.sink_live_lag_seconds.get_or_create(&by).set(is.live_lag_seconds);
        self.sink_lag_samples.get_or_create(&by).set(clamp(is.lag_samples));
        self.sink_breaker_state.get_or_create(&by).set(is.breaker_state);
        self.sink_imbalance.get_or_create(&by).set(is.imbalance);
        // Counted by the sink itself; the counters follow it.
        let counters = [
            (&self.sink_written, is.written),
            (&self.sink_dead_lettered, is.dead_lettered),
            (&self.sink_requests, is.requests),
            (&self.sink_requests_failed, is.requests_failed),
        ];
        for (counter, count) in counters {
            counter.get_or_create(&by).inner().store(count, Ordering::Relaxed);
        }
    }

    /// A sink is gone.
    pub fn forget_sink(&self, sink: &str) {
        let by = BySink { sink: sink.to_owned() };
        self.sink_lag_seconds.remove(&by);
        self.sink_live_lag_seconds.remove(&by);
        self.sink_lag_samples.remove(&by);
        self.sink_breaker_state.remove(&by);
        self.sink_imbalance.remove(&by);
        let counters = [
            &self.sink_written,
            &self.sink_dead_lettered,
            &self.sink_requests,
            &self.sink_requests_failed,
        ];
        for counter in counters {
            counter.remove(&by);
        }
    }

    /// How many segments a full spool gave up since the start.
    pub fn spool_shed_segments(&self, segments: u64) {
        self.spool_shed_segments.inner().store(segments, Ordering::Relaxed);
    }

    /// How many samples a full spool gave up before a follower had them.
    pub fn shed(&self, follower: &str, samples: u64) {
        let label = ByFollower { follower: follower.to_owned() };
        self.spool_shed_samples.get_or_create(&label).inner().store(samples, Ordering::Relaxed);
    }

    /// How full a bounded resource is.
    pub fn pressure_of(&self, resource: &'static str, fill: f64) {
        self.pressure_by_resource.get_or_create(&ByResource { resource }).set(fill);
    }
}

/// A count as the registry's gauges hold it.
#[must_use]
pub fn clamp(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Metrics {
        let mut registry = Registry::with_prefix("tidegate");
        let r = &mut registry;
        Metrics {
            samples_accepted: ProtocolCounter::of_family(add(
                r,
                "samples_accepted",
                "Samples in batches that entered",
            )),
            batches_accepted: ProtocolCounter::of_family(add(
                r,
                "batches_accepted",
                "Batches that entered",
            )),
            batches_duplicate: ProtocolCounter::of_family(add(
                r,
                "batches_duplicate",
                "Batches that were in the log already",
            )),
            batches_refused: add(
                r,
                "batches_refused",
                "Batches that did not enter, by refusal code",
            ),
            bytes_received: ProtocolCounter::of_family(add(
                r,
                "received_bytes",
                "Bytes of batches as sent",
            )),
            receipt_seconds: add_times(
                r,
                "receipt_seconds",
                "Time from reading a batch to its receipt",
            ),
            device_closes: add(
                r,
                "device_closes",
                "Device connections closed by us, by close code",
            ),
            connections: add(r, "connections", "Open connections"),
            accepts_failed: add(r, "accepts_failed", "Connections that could not be accepted"),
            requests: add(r, "http_requests", "HTTP requests, handshakes included"),
            commands: Commands::new(r),
            auth: Auth::new(r),
            listener: Listener::new(r),
            left_out: left_out::ValuesLeftOut::new(r),
            gauges: Gauges {
                pressure: add(r, "pressure", "How full the tightest bounded resource is, 0 to 1"),
                spool_bytes: add(r, "spool_bytes", "Size of the spool"),
                spool_bytes_max: add(r, "spool_bytes_max", "Cap of the spool"),
                spool_segments: add(r, "spool_segments", "Segments of the spool"),
                spool_oldest_seconds: add(
                    r,
                    "spool_oldest_seconds",
                    "Age of the spool's oldest record",
                ),
                series: add(r, "series", "Series known"),
                devices: Devices::new(r),
                late_samples: add(r, "late_samples", "Samples too late for their live window"),
                ledger_imbalance: add(
                    r,
                    "ledger_imbalance",
                    "Accepted samples that are neither stored nor spooled nor known to be damaged or shed; 0 unless samples were lost",
                ),
                history_samples: add(r, "history_samples", "Samples durable in the history, ever"),
                history_unflushed_samples: add(
                    r,
                    "history_unflushed_samples",
                    "Samples in the history's memory, durable in the spool",
                ),
                history_bytes: add(r, "history_bytes", "Size of the history's file"),
                resident_bytes: add(r, "resident_bytes", "Resident memory of the process"),
                spool_sync_seconds: add(
                    r,
                    "spool_sync_seconds",
                    "Time of one fdatasync of the spool",
                ),
                start_time_seconds: add(
                    r,
                    "start_time_seconds",
                    "Start of the process since the epoch",
                ),
                spool_shed_segments: add(
                    r,
                    "spool_shed_segments",
                    "Segments that a spool at its cap gave up (spool.when_full)",
                ),
                spool_shed_samples: add(
                    r,
                    "spool_shed_samples",
                    "Samples that a spool at its cap gave up before a follower had them",
                ),
                pressure_by_resource: add(
                    r,
                    "pressure_by_resource",
                    "How full each bounded resource is, 0 to 1; trouble is 0 or 1",
                ),
                sink_lag_seconds: add(
                    r,
                    "sink_lag_seconds",
                    "Age of the oldest batch that a sink has not taken",
                ),
                sink_lag_samples: add(r, "sink_lag_samples", "Samples that a sink has not taken"),
                sink_live_lag_seconds: add(
                    r,
                    "sink_live_lag_seconds",
                    "The same without the backlog, which is written beside new readings",
                ),
                sink_breaker_state: add(r, "sink_breaker_state", "0 closed, 1 open, 2 half-open"),
                sink_imbalance: add(
                    r,
                    "sink_imbalance",
                    "Samples of the log that a sink has dealt with in no known way; 0 unless there is a bug",
                ),
                sink_written: add(
                    r,
                    "sink_samples_written",
                    "Samples that a sink's store has taken",
                ),
                sink_dead_lettered: add(
                    r,
                    "sink_samples_dead_lettered",
                    "Samples that a sink's store refused for good",
                ),
                sink_requests: add(r, "sink_requests", "Requests sent to a sink's store"),
                sink_requests_failed: add(
                    r,
                    "sink_requests_failed",
                    "Requests that a sink's store did not take, whatever their content",
                ),
                alerts: Alerts::new(r),
                bridges: Bridges::new(r),
                notify: Channels::new(r),
                viewers: Viewers::new(r),
                live_lag_seconds: add(
                    r,
                    "live_lag_seconds",
                    "Age of the oldest batch that live has not folded",
                ),
            },
            registry,
        }
    }

    /// A batch entered.
    pub fn stored(&self, protocol: Protocol, samples: usize, took: Duration) {
        self.samples_accepted.of(protocol).inc_by(samples as u64);
        self.batches_accepted.of(protocol).inc();
        self.receipt_seconds.observe(took.as_secs_f64());
    }

    /// A batch was a duplicate.
    pub fn duplicate(&self, protocol: Protocol) {
        self.batches_duplicate.of(protocol).inc();
    }

    /// A batch was refused; `code` is the name in the wire contract.
    pub fn refused(&self, protocol: Protocol, code: &'static str) {
        let label = ByRefusal { protocol: protocol.name(), code };
        self.batches_refused.get_or_create(&label).inc();
    }

    /// A message of that many bytes came in.
    pub fn received(&self, protocol: Protocol, bytes: usize) {
        self.bytes_received.of(protocol).inc_by(bytes as u64);
    }

    /// We closed a device's connection.
    pub fn closed(&self, code: u16) {
        self.device_closes.get_or_create(&ByClose { code }).inc();
    }

    /// A connection was accepted.
    pub fn connection_opened(&self) {
        self.connections.inc();
    }

    /// A connection is gone.
    pub fn connection_closed(&self) {
        self.connections.dec();
    }

    /// How many connections are open.
    pub fn connections(&self) -> i64 {
        self.connections.get()
    }

    /// A connection could not be accepted.
    pub fn accept_failed(&self) {
        self.accepts_failed.inc();
    }

    /// A request came.
    pub fn request(&self) {
        self.requests.inc();
    }

    /// The gauges, to be set before [`Metrics::render`].
    pub fn gauges(&self) -> &Gauges {
        &self.gauges
    }

    /// The page in the Prometheus text format.
    #[must_use]
    pub fn render(&self) -> String {
        let mut page = String::new();
        // Writing to a String does not fail.
        let written = text::encode(&mut page, &self.registry);
        debug_assert!(written.is_ok());
        page
    }
}

/// Registers a histogram of times from half a millisecond to four seconds.
fn add_times(registry: &mut Registry, name: &str, help: &str) -> Histogram {
    let histogram = Histogram::new(exponential_buckets(0.000_5, 2.0, 14));
    registry.register(name, help, histogram.clone());
    histogram
}

/// Registers a metric and gives it; a counter's name gets `_total` by the encoder.
fn add<M>(registry: &mut Registry, name: &str, help: &str) -> M
where
    M: Default + Clone + prometheus_client::registry::Metric,
{
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}
