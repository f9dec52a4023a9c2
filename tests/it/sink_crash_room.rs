//! `kill -9` while there is too much to write, no room, or a dead sink beside: what was acknowledged is
//! in every store once.

use crate::daemon::Daemon;
use crate::disk::Disk;
use crate::load::{Load, Pace, assert_same, end_in_order, in_store};
use crate::store::{Reaction, Store};
use std::time::Duration;

const PACE: Pace = Pace { devices: 20, rows: 10, every: Duration::from_millis(50) };

#[test]
fn killed_in_a_spike_it_writes_everything_after() {
    // A tenth of what comes, at most.
    let store = Store::start(|request| request.stored_at(1000));
    let mut daemon = Daemon::start(&[
        &format!("sinks.influx.0.url={}", store.url()),
        "sinks.influx.0.bucket=b",
        "sinks.influx.0.batch_samples=1000",
        "sinks.influx.0.requests_max=2",
        "spool.segment_size=256 KiB",
        "history.flush_interval=300 ms",
    ]);
    let load = Load::start(&daemon, "gateway", Pace { every: Duration::from_millis(10), ..PACE });
    for _ in 0..2 {
        load.wait_for(load.acked() + 100);
        let sink = daemon.until_sink("influx", |sink| sink["lag_samples"].as_u64() > Some(10_000));
        assert_eq!(sink["breaker"], "closed", "{sink:#}");
        daemon.kill();
        daemon.restart();
    }
    load.wait_for(load.acked() + 50);
    store.script(|_| Reaction::stored());
    let sent = load.finish();
    end_in_order(&mut daemon, &["influx"], &[&sent]);
    assert_same(&in_store(&store), &sent.all());
}

#[test]
fn killed_while_the_disk_is_full_and_the_store_down_it_writes_everything_after() {
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
    let load = Load::start(&daemon, "gateway", PACE);
    store.wait(|_, stored| !stored.is_empty());
    store.stop();
    daemon.until_sink("influx", |sink| sink["breaker"] == "open");
    let ballast = disk.fill();
    daemon.until("/readyz", 503);
    daemon.kill();
    daemon.restart();
    // Nothing enters, and the store gets what there is.
    store.restart();
    daemon.until_sink("influx", |sink| sink["lag_samples"] == 0);
    drop(ballast);
    daemon.until("/readyz", 200);
    load.wait_for(load.acked() + 20);
    let sent = load.finish();
    end_in_order(&mut daemon, &["influx"], &[&sent]);
    assert_same(&in_store(&store), &sent.all());
}

#[test]
fn killed_beside_a_dead_neighbour_both_get_everything_after() {
    let (well, mut dead) =
        (Store::start(|_| Reaction::stored()), Store::start(|_| Reaction::stored()));
    let mut daemon = Daemon::start(&[
        "sinks.influx.0.name=well",
        &format!("sinks.influx.0.url={}", well.url()),
        "sinks.influx.0.bucket=b",
        "sinks.influx.1.name=dead",
        &format!("sinks.influx.1.url={}", dead.url()),
        "sinks.influx.1.bucket=b",
        "sinks.influx.1.breaker.backoff_max=500 ms",
        "spool.segment_size=64 KiB",
        "history.flush_interval=300 ms",
    ]);
    let load = Load::start(&daemon, "gateway", PACE);
    dead.wait(|_, stored| !stored.is_empty());
    dead.stop();
    for _ in 0..2 {
        daemon.until_sink("dead", |sink| sink["breaker"] == "open");
        let written = daemon.sink("well")["written"].as_u64();
        daemon.until_sink("well", |sink| sink["written"].as_u64() > written);
        daemon.kill();
        daemon.restart();
    }
    dead.restart();
    let sent = load.finish();
    end_in_order(&mut daemon, &["well", "dead"], &[&sent]);
    assert_same(&in_store(&well), &sent.all());
    assert_same(&in_store(&dead), &sent.all());
}
