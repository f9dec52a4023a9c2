//! More comes than a store takes, or than a disk holds: memory stays bounded, producers are slowed,
//! none is disconnected, nothing is lost.
//!
//! `SPIKE_S` is how long the spike lasts (5).

use crate::daemon::{Daemon, PATIENCE};
use crate::disk::Disk;
use crate::load::{Load, Pace, assert_same, end_in_order, in_store, story_time};
use crate::store::{Reaction, Store};
use std::collections::BTreeSet;
use std::time::Duration;
use tidegate::clock;
use tidegate::simulate::{self, Options, Saturate};
use tokio_util::sync::CancellationToken;

/// Lines that the store takes in a second; a line has two to nine samples.
const LINES_PER_S: u64 = 2_000;
/// The same beside a spike: a tenth of what a busy machine still sends.
const LINES_PER_S_IN_SPIKE: u64 = 500;
const BATCH_SAMPLES: usize = 2_000;
/// What the daemon may grow by during a spike: the bounds that are set in the test (gate 2 × 8, newest
/// batches 8, head of the history 8, requests 6, rollups 4 MiB), and half as much again for messages
/// being decoded and for what the allocator keeps.
const GROWTH_MIB_MAX: u64 = 64;

#[test]
fn a_spike_of_ten_times_what_a_store_takes_is_kept_on_disk() {
    let spike = story_time("SPIKE_S", 5);
    let store = Store::start(|request| request.stored_at(LINES_PER_S_IN_SPIKE));
    let mut daemon = Daemon::start(&[
        &format!("sinks.influx.0.url={}", store.url()),
        "sinks.influx.0.bucket=b",
        // A request takes the store a few seconds.
        "sinks.influx.0.timeout=1 m",
        &format!("sinks.influx.0.batch_samples={BATCH_SAMPLES}"),
        "sinks.influx.0.batch_bytes=256 KiB",
        "sinks.influx.0.requests_max=2",
        "limits.gate_memory=8 MiB",
        "spool.tail_memory=8 MiB",
        "history.head_samples_max=200000",
        "live.resume_memory=4 MiB",
    ]);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let load = |duration, pace| {
        let options = Options {
            url: daemon.ws_url(),
            devices: 40,
            gateways: Some(4),
            rows_per_batch: 10,
            saturate: Some(Saturate {
                duration,
                row_step: Duration::from_millis(100),
                pace: Some(pace),
            }),
            ..Options::default()
        };
        runtime.spawn(simulate::run(options, CancellationToken::new()))
    };
    // As much as the store takes, for a baseline; then ten times that, and more.
    let calm = runtime.block_on(load(Duration::from_secs(2), Duration::from_secs(1)));
    let calm = calm.unwrap().unwrap();
    let before = daemon.memory_mib("VmHWM");
    let spiking = load(spike, Duration::from_millis(40));
    let (mut live_lag, mut pressure, mut backlog) = (0_f64, 0_f64, 0);
    while !spiking.is_finished() {
        let status = daemon.json("/api/v1/status");
        let sink = crate::daemon::sink(&status, "influx");
        live_lag = live_lag.max(sink["live_lag_s"].as_f64().unwrap());
        backlog = backlog.max(sink["lag_samples"].as_u64().unwrap());
        pressure = pressure.max(status["pressure"].as_f64().unwrap());
        std::thread::sleep(Duration::from_millis(100));
    }
    let report = runtime.block_on(spiking).unwrap().unwrap();
    let peak = daemon.memory_mib("VmHWM");
    // What it would take to drain at its own pace is of no interest here.
    store.script(|_| Reaction::stored());
    let told = daemon.until_sink_within(PATIENCE * 2, "influx", |sink| sink["lag_samples"] == 0);
    let after = daemon.memory_mib("VmRSS");
    let accepted = calm.acked_samples + report.acked_samples;
    assert_eq!((report.given_up, report.reconnects, report.refused), (0, 0, 0), "{report}");
    assert_eq!(told["written"], accepted, "{told:#}");
    assert_eq!(told["imbalance"], 0, "{told:#}");
    daemon.stop_and_audit();
    let samples_in = |lines: &[String]| -> usize {
        lines.iter().map(|line| line.matches('=').count() - 1).sum()
    };
    let largest = store.requests().iter().map(|it| samples_in(&it.lines)).max().unwrap();
    // Each line once, and in all lines together as many samples as were acknowledged.
    let stored = store.stored();
    let lines: BTreeSet<&str> = stored.iter().map(|stored| stored.line.as_str()).collect();
    let samples: usize = lines.iter().map(|line| line.matches('=').count() - 1).sum();
    assert_eq!(samples as u64, accepted, "in {} lines, {} distinct", stored.len(), lines.len());
    let (load, capacity) = (
        report.acked_samples / spike.as_secs(),
        LINES_PER_S_IN_SPIKE * accepted / lines.len() as u64,
    );
    eprintln!(
        "{report}\n{load} samples/s for {spike:?} against {capacity}: peak {peak} MiB, {before} before, \
         {after} after; {backlog} samples waited, live lag at most {live_lag} s, pressure {pressure}"
    );
    assert!(load >= 10 * capacity, "{load} is no spike for {capacity}");
    // As many as were wanted, and the batch that was begun; or the devices are not shared out evenly.
    assert!(largest < 5 * BATCH_SAMPLES, "{largest} samples in a request");
    assert!(peak - before < GROWTH_MIB_MAX, "{before} MiB before, {peak} at the peak");
    // At ten times the load it jumps to the newest again and again.
    assert!(live_lag < 30.0, "{live_lag} s");
}

#[test]
fn when_the_spool_is_nearly_full_producers_are_slowed_and_stay() {
    let store = Store::start(|request| request.stored_at(LINES_PER_S));
    let mut daemon = Daemon::start(&[
        &format!("sinks.influx.0.url={}", store.url()),
        "sinks.influx.0.bucket=b",
        "sinks.influx.0.requests_max=1",
        "sinks.influx.0.batch_samples=1000",
        "spool.segment_size=64 KiB",
        "spool.size_max=1 MiB",
        "spool.reserve=0 B",
        "history.flush_interval=500 ms",
        "live.resume_keep=1 s",
    ]);
    let pace = Pace { devices: 50, rows: 20, every: Duration::from_millis(10) };
    let load = Load::start(&daemon, "gateway", pace);
    let status =
        daemon.eventually("/api/v1/status", |status| status["pressure"].as_f64() >= Some(0.7));
    assert!(status["spool"]["bytes"].as_u64().unwrap() <= 1 << 20, "{status:#}");
    let (then, before) = (clock::monotonic(), load.acked());
    std::thread::sleep(Duration::from_secs(2));
    let slowed = (load.acked() - before) as f64 / then.elapsed().as_secs_f64();
    store.script(|_| Reaction::stored());
    daemon.eventually("/api/v1/status", |status| status["pressure"].as_f64() < Some(0.5));
    let sent = load.finish();
    end_in_order(&mut daemon, &["influx"], &[&sent]);
    eprintln!(
        "{} batches; slowed to {slowed:.1} a second, credit down to {}, told so {} times, refused for later {}",
        sent.acked_batches, sent.credit_least, sent.throttled, sent.refused_for_later
    );
    assert_same(&in_store(&store), &sent.all());
    assert_eq!(sent.connections, 1, "none is disconnected");
    assert!(sent.throttled > 0);
    assert!(slowed < 10.0, "of 100 that it wanted to send in a second, {slowed} entered");
}

#[test]
fn a_disk_that_is_full_while_a_store_is_down_holds_up_only_the_intake() {
    let disk = Disk::in_memory(24);
    let mut store = Store::start(|_| Reaction::stored());
    let mut daemon = Daemon::start_in(
        disk.directory(),
        &[
            &format!("sinks.influx.0.url={}", store.url()),
            "sinks.influx.0.bucket=b",
            "sinks.influx.0.breaker.backoff_max=500 ms",
            "spool.segment_size=64 KiB",
            "spool.reserve=1 MiB",
            "history.flush_interval=1000 s",
        ],
    );
    let pace = Pace { devices: 50, rows: 20, every: Duration::from_millis(20) };
    let load = Load::start(&daemon, "gateway", pace);
    store.wait(|_, stored| !stored.is_empty());
    store.stop();
    daemon.until_sink("influx", |sink| sink["breaker"] == "open");
    let ballast = disk.fill();
    daemon.until("/readyz", 503);
    let entered = load.acked();

    // The store comes back before the disk has room: it gets what is there.
    store.restart();
    let sink = daemon.until_sink("influx", |sink| sink["lag_samples"] == 0);
    assert_eq!(daemon.json("/api/v1/status")["pressure"], 1.0);
    assert!(sink["written"].as_u64() >= Some(entered * 1000), "{sink:#}");
    drop(ballast);
    daemon.until("/readyz", 200);
    load.wait_for(entered + 20);
    let sent = load.finish();
    end_in_order(&mut daemon, &["influx"], &[&sent]);
    eprintln!("refused for later {} times, then went on", sent.refused_for_later);
    assert_same(&in_store(&store), &sent.all());
    assert_eq!(sent.connections, 1);
    assert!(sent.refused_for_later > 0);
}
