//! The worst-case memory, added up in one place: every bounded buffer of the daemon with its bound.

use super::{Config, InfluxConfig, MqttConfig};
use crate::ledger::CLIENTS_MAX;
use crate::notify::HELD_MAX;

/// One bounded resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLine {
    /// What it is.
    pub what: &'static str,
    /// The keys that decide it.
    pub keys: &'static str,
    /// Its bound in bytes.
    pub bytes: u64,
}

/// What a connection with TLS holds beside: its keys and what it knows of the other end (7 KiB, measured with
/// 2,000 idle ones), and a record each way.
const TLS_BYTES: u64 = 40 << 10;
/// An address, and what it has.
const ADDRESS_BYTES: u64 = 160;
/// An idle device connection: socket task, read buffer, answer queue (measured, docs/benchmarks.md).
const CONNECTION_BYTES: u64 = 10 << 10;
/// A session with its client's name and a few gaps.
const SESSION_BYTES: u64 = 256;
/// A client in the ledger: its counts, its name and its place in the index.
const CLIENT_BYTES: u64 = 160;
/// The same in the ledger of a store.
const OUTCOME_BYTES: u64 = 200;
/// A series known to admission (its hash), to the aggregate (windows of three widths) and to the
/// history (names, head and last value); measured, docs/benchmarks.md.
const SERIES_BYTES: u64 = 8 + 400 + 200;
/// A device: what the aggregate knows of it beside its series, and what was said of it; measured.
const DEVICE_BYTES: u64 = 1536;
/// One buffered sample of the history: value and its share of the time axis, vectors half full.
const HEAD_SAMPLE_BYTES: u64 = 2 * (8 + 2);
/// What the history and the live side read from the log at a time, decoded, when they are behind its tail.
const BEHIND_BYTES: u64 = (8 + 4) << 20;
/// A viewer: task, control queue, one frame on its way.
const VIEWER_BYTES: u64 = 64 << 10;

/// An export: the largest chunk of numbers that compaction makes, decoded and settled, a piece of it, or a row
/// group of Parquet; and of each series that is to come, where it is.
const EXPORT_BYTES: u64 = 24 << 20;
const EXPORTED_SERIES_BYTES: u64 = 48;

/// A sample of a decoded batch that waits to be stored elsewhere: value, time, its share of names.
const WAITING_SAMPLE_BYTES: u64 = 2 * 40;
/// New data and old, each with a round of requests on its way while the next is made.
const ROUNDS: u64 = 2 * 2;

/// A group of messages as readings, as a batch and encoded; and what waits to be put in quarantine.
const GROUPED_BYTES: u64 = 16 << 20;

/// What an InfluxDB sink holds while its store is slow: in each request the lines, the same gzip'd
/// (at worst no smaller), and the batches that they came from.
fn under_way(sink: &InfluxConfig) -> u64 {
    let samples = sink.batch_samples as u64 * WAITING_SAMPLE_BYTES;
    ROUNDS * u64::from(sink.requests_max) * (2 * sink.batch_bytes as u64 + samples)
}

/// A series in one open window (its rollup, and its metric's name, which the windows share).
const OPEN_ROLLUP_BYTES: u64 = 96 + 16;
/// A series in the fold of a sink: names, and its share of device and tags.
const FOLDED_SERIES_BYTES: u64 = 200;

/// What a sink that gets rollups folds: of each series the windows between its device's newest time
/// and that less the lateness.
fn open_windows(sink: &InfluxConfig, config: &Config) -> u64 {
    let Some(rollups) = sink.rollups else { return 0 };
    let window_ms = rollups.window.as_millis().max(1);
    let windows = config.live.lateness.as_millis().div_ceil(window_ms) as u64 + 1;
    config.limits.series_max as u64 * (FOLDED_SERIES_BYTES + windows * OPEN_ROLLUP_BYTES)
}

/// A series of which rollups are published: its windows that are open, and its names.
const PUBLISHED_SERIES_BYTES: u64 = 1200;

/// An event with its alert: names, tags, and a text.
const EVENT_BYTES: u64 = 2048;

/// What is held for publishing, by all bridges that do.
fn published(config: &Config) -> u64 {
    let published = config.intake.mqtt.iter().filter_map(|bridge| bridge.publish.as_ref());
    let bridges = published.filter(|publish| publish.rollups.is_some()).count() as u64;
    bridges * config.limits.series_max as u64 * PUBLISHED_SERIES_BYTES
}

/// What a bridge holds: messages under way, one more that is being read, the readings of a group and
/// their encoding; the tables of a Sparkplug host.
fn bridged(bridge: &MqttConfig) -> u64 {
    let message = bridge.broker.message_bytes_max as u64;
    let host = bridge
        .sparkplug
        .as_ref()
        .map_or(0, |(_, host)| host.caps.table_bytes + host.caps.held_bytes);
    bridge.in_flight_bytes as u64 + 2 * message + GROUPED_BYTES + host as u64
}

/// A series that rules watch, with three rules of which one has an open alert, one measures a rate.
const WATCHED_BYTES: u64 = 2 << 10;
/// Names that were met, of tables and of metrics, and which rules take them.
const WATCHED_NAME_BYTES: u64 = 160;

/// Everything that is bounded, with its bound; the sum is what the daemon can hold at worst.
#[must_use]
pub fn worst_case_memory(config: &Config) -> Vec<MemoryLine> {
    let mut lines = buffers(config);
    lines.extend(held(config));
    lines
}

/// What fills whenever much comes, or a disk or a store is slow, and is empty again after it.
#[must_use]
pub fn buffers(config: &Config) -> Vec<MemoryLine> {
    let limits = &config.limits;
    let workers = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    vec![
        line(
            "messages being inflated and decoded",
            "limits.inflated_bytes, one per processor",
            workers * limits.wire.inflated_bytes as u64 * 3,
        ),
        line(
            "messages of brokers that are not durable yet",
            "each of intake.mqtt: in_flight_bytes, message_bytes_max",
            config.intake.mqtt.iter().map(bridged).sum(),
        ),
        line("batches at the gate", "limits.gate_memory", limits.gate_memory as u64),
        line("group being written", "limits.gate_memory", limits.gate_memory as u64),
        line("newest batches, decoded", "spool.tail_memory", config.spool.tail_memory as u64),
        line("older batches, read from the log by who is behind", "fixed", BEHIND_BYTES),
        line(
            "samples not flushed to the history",
            "history.head_samples_max, twice while flushing",
            config.history.head_samples_max as u64 * HEAD_SAMPLE_BYTES * 2,
        ),
        line(
            "requests to stores",
            "each of sinks.influx: requests_max, batch_bytes, batch_samples",
            config.sinks.influx.iter().map(under_way).sum(),
        ),
        line("closed rollups", "live.resume_memory", config.live.resume_memory as u64),
    ]
}

/// What there is for each series, device, connection and viewer, and for what people ask.
fn held(config: &Config) -> Vec<MemoryLine> {
    let limits = &config.limits;
    vec![
        line(
            "connections",
            "limits.connections_max",
            limits.connections_max as u64 * CONNECTION_BYTES,
        ),
        line(
            "TLS of connections",
            "limits.connections_max, if [tls] is set up",
            config.tls.as_ref().map_or(0, |_| limits.connections_max as u64 * TLS_BYTES),
        ),
        line(
            "addresses that are told apart",
            "fixed",
            crate::web::ADDRESSES_MAX as u64 * ADDRESS_BYTES,
        ),
        line(
            "what the kernel holds of connections",
            "limits.connections_max, of clients that send faster than they are read",
            limits.connections_max as u64 * 2 * crate::web::RECEIVE_BUFFER_BYTES as u64,
        ),
        line(
            "messages being received",
            "limits.connections_max, limits.message_bytes",
            limits.connections_max as u64 * limits.wire.message_bytes as u64,
        ),
        line(
            "windows to be published at brokers",
            "limits.series_max, for each of intake.mqtt that publishes rollups",
            published(config),
        ),
        line("sessions", "limits.sessions_max", limits.sessions_max as u64 * SESSION_BYTES),
        line(
            "clients in the ledger",
            "limits.sessions_max",
            limits.sessions_max as u64 * CLIENT_BYTES,
        ),
        line(
            "what became of each client's samples",
            "the history, which writes a copy, and each of sinks.influx",
            (2 + config.sinks.influx.len() as u64) * CLIENTS_MAX as u64 * OUTCOME_BYTES,
        ),
        line("series", "limits.series_max", limits.series_max as u64 * SERIES_BYTES),
        line(
            "devices",
            "fixed; those of more are not written down",
            crate::devices::DEVICES_MAX as u64 * DEVICE_BYTES,
        ),
        line(
            "open windows of sinks that get rollups",
            "limits.series_max, live.lateness, each of sinks.influx: rollup_window",
            config.sinks.influx.iter().map(|sink| open_windows(sink, config)).sum(),
        ),
        line(
            "events that channels of notifications hold",
            "each of notify.webhook and notify.email",
            (config.notify.channels.len() * HELD_MAX) as u64 * EVENT_BYTES,
        ),
        line("open commands", "commands.open_memory", config.commands.open_memory as u64),
        line(
            "what alert rules watch",
            "alerting.series_max, and names by limits.series_max",
            config.alerts.series_max as u64 * WATCHED_BYTES
                + config.limits.series_max as u64 * WATCHED_NAME_BYTES,
        ),
        line(
            "exports",
            "limits.series_max, for each of four",
            crate::web::EXPORTS_MAX as u64
                * (EXPORT_BYTES + limits.series_max as u64 * EXPORTED_SERIES_BYTES),
        ),
        line("answers in PromQL", "fixed", crate::web::ANSWER_BYTES_MAX as u64),
        line("viewers", "live.viewers_max", config.live.viewers_max as u64 * VIEWER_BYTES),
    ]
}

fn line(what: &'static str, keys: &'static str, bytes: u64) -> MemoryLine {
    MemoryLine { what, keys, bytes }
}
