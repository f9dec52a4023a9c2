//! A sink that gets rollups: one line per series and window, made of every sample, whatever happens.

use crate::client::Client;
use crate::daemon::Daemon;
use crate::load::{Load, Pace, assert_same, in_victoria};
use crate::store::{Reaction, Store};
use crate::victoria::Victoria;
use std::collections::BTreeMap;
use std::time::Duration;
use tidegate::clock;
use tidegate::model::{Batch, BatchBuilder};

/// A row is a millisecond: so a second of windows passes in a quarter.
const PACE: Pace = Pace { devices: 4, rows: 200, every: Duration::from_millis(50) };
const WINDOW_MS: i64 = 1000;
const LATENESS_MS: i64 = 100;
const SECOND: i64 = 1_000_000_000;

/// What a store has: by device and start of the window, by field.
type Rollups = BTreeMap<(String, i64), BTreeMap<String, f64>>;

/// What the raw samples give, for the windows that are over.
fn of_raw(raw: &BTreeMap<String, BTreeMap<i64, i64>>) -> Rollups {
    let mut rollups = Rollups::new();
    for (device, samples) in raw {
        let limit = samples.last_key_value().unwrap().0 - LATENESS_MS;
        let mut windows = BTreeMap::<i64, Vec<f64>>::new();
        for (time, value) in samples {
            windows.entry(time / WINDOW_MS * WINDOW_MS).or_default().push(*value as f64);
        }
        for (start, values) in windows.into_iter().filter(|(start, _)| start + WINDOW_MS <= limit) {
            let count = values.len() as f64;
            let fold = |better: fn(f64, f64) -> f64| values.iter().copied().reduce(better).unwrap();
            let fields = [
                ("n_count", count),
                ("n_min", fold(f64::min)),
                ("n_max", fold(f64::max)),
                ("n_first", values[0]),
                ("n_last", values[values.len() - 1]),
                ("n_mean", values.iter().sum::<f64>() / count),
            ];
            let fields = fields.map(|(name, value)| (name.to_owned(), value));
            rollups.insert((device.clone(), start), fields.into());
        }
    }
    rollups
}

fn in_store_of_rollups(victoria: &Victoria) -> Rollups {
    let mut rollups = Rollups::new();
    for series in victoria.series("{__name__=~\"rollup_n_.+\"}") {
        let field = series.labels["__name__"].strip_prefix("rollup_").unwrap();
        for (&time, &value) in series.timestamps.iter().zip(&series.values) {
            let fields = rollups.entry((series.labels["device"].clone(), time)).or_default();
            let before = fields.insert(field.to_owned(), value);
            assert!(before.is_none_or(|before| before == value), "{field} at {time}");
        }
    }
    rollups
}

#[test]
fn killed_in_the_middle_the_rollups_are_those_of_all_samples() {
    let mut victoria = Victoria::start();
    let url = victoria.url();
    let mut daemon = Daemon::start(&[
        "sinks.influx.0.name=raw",
        &format!("sinks.influx.0.url={url}"),
        "sinks.influx.0.bucket=b",
        "sinks.influx.1.name=rollups",
        &format!("sinks.influx.1.url={url}"),
        "sinks.influx.1.bucket=b",
        "sinks.influx.1.measurement=rollup",
        "sinks.influx.1.send=rollups",
        "sinks.influx.1.rollup_window=1 s",
        "sinks.influx.1.batch_age=100 ms",
        "sinks.influx.0.breaker.backoff_max=500 ms",
        "sinks.influx.1.breaker.backoff_max=500 ms",
        &format!("live.lateness={LATENESS_MS} ms"),
        // Segments end often, so that a position that was told too early would cost some.
        "spool.segment_size=64 KiB",
        "history.flush_interval=300 ms",
        "live.resume_keep=1 s",
    ]);
    let load = Load::start(&daemon, "gateway", PACE);
    let written = |sink: &serde_json::Value| sink["written"].as_u64() > Some(0);
    daemon.until_sink("rollups", written);
    for round in 0..4 {
        if round == 2 {
            // And once while there is nobody to write to. In order: it keeps what it answered.
            victoria.stop();
            daemon.until_sink("rollups", |sink| sink["breaker"] == "open");
        }
        // In the middle of a window, and a settlement or two after the last kill.
        load.wait_for(load.acked() + 23);
        daemon.kill();
        daemon.restart();
        if round == 2 {
            victoria.restart();
        }
        let before = daemon.sink("rollups")["written"].as_u64();
        daemon.until_sink("rollups", |sink| sink["written"].as_u64() > before);
    }
    let sent = load.finish();
    for name in ["raw", "rollups"] {
        let told = daemon.until_sink(name, |sink| {
            sink["lag_samples"] == 0 && sink["requests"]["under_way"] == 0
        });
        let count = |key: &str| told[key].as_u64().unwrap_or(0);
        let done = count("written") + count("unflushed_samples");
        assert_eq!((done, count("late"), count("lost")), (sent.samples(), 0, 0), "{told:#}");
        assert_eq!(told["imbalance"], 0, "{told:#}");
    }
    let told = daemon.sink("rollups");
    assert_eq!((&told["send"], &told["rollup_window_s"]), (&"rollups".into(), &1.0.into()));
    assert_eq!(daemon.sink("raw")["send"], "raw");
    daemon.stop_and_audit();

    let raw = in_victoria(&victoria);
    assert_same(&raw, &sent.all());
    let (found, wanted) = (in_store_of_rollups(&victoria), of_raw(&raw));
    assert!(wanted.len() >= 12, "{} windows were over", wanted.len());
    let differ = wanted.iter().filter(|(window, fields)| found.get(window) != Some(fields));
    let differ: Vec<_> =
        differ.map(|(window, fields)| (window, fields, found.get(window))).collect();
    assert!(differ.is_empty(), "{} of {}: {:#?}", differ.len(), wanted.len(), differ.first());
    assert_eq!(found.len(), wanted.len(), "and no other");
    eprintln!("{} samples in {} windows, killed 4 times", sent.samples(), wanted.len());
}

/// Ten readings of a motor, a second apart.
fn readings(device: &str, start: i64) -> Batch {
    let mut builder = BatchBuilder::new();
    let times = (0..10).map(|second| start + second * SECOND);
    builder.table(device, &mut [("site", "a")], times).unwrap();
    builder.ints("motor.speed", "", 0..10, &[]).unwrap();
    builder.bools("motor.on", "", (0..10).map(|second| second < 4), &[]).unwrap();
    builder.texts("state", "", ["idle"; 10], &[]).unwrap();
    builder.floats("secret", "", [0.5; 10], &[]).unwrap();
    builder.finish()
}

#[test]
fn a_silent_devices_windows_are_written_and_a_refused_rollup_is_explained() {
    let store = Store::start(|request| {
        Reaction::influx_2_unreadable(&request.lines, |line| line.contains("device=bad"))
    });
    let mut daemon = Daemon::start(&[
        &format!("sinks.influx.0.url={}", store.url()),
        "sinks.influx.0.bucket=b",
        "sinks.influx.0.metrics=motor.*,state",
        "sinks.influx.0.send=rollups",
        "sinks.influx.0.rollup_window=1 m",
        "sinks.influx.0.rollup_silence=2 s",
        "sinks.influx.0.batch_age=100 ms",
    ]);
    // A whole minute, an hour ago.
    let start = clock::now().0 / (60 * SECOND) * (60 * SECOND) - 3600 * SECOND;
    let (mut client, _) = Client::greet(&daemon, "gateway", 1);
    client.batch(1, &readings("pump", start));
    client.batch(2, &readings("bad", start));
    client.acked(2);
    // Also in the book, which is all that a restart knows.
    let told = daemon.until_sink("influx", |sink| {
        sink["dead_letters"]["samples"] == 30 && sink["written"] == 30
    });
    let counts = (&told["dead_lettered"], &told["skipped"]);
    assert_eq!(counts, (&30.into(), &20.into()), "{told:#}");
    let mut lines: Vec<_> = store.stored().into_iter().map(|stored| stored.line).collect();
    lines.sort();
    lines.dedup();
    assert_eq!(
        lines,
        [
            format!(
                "motor,device=pump,site=a speed_count=10i,speed_min=0i,speed_max=9i,speed_first=0i,\
                 speed_last=9i,speed_mean=4.5,on_count=10i,on_first=true,on_last=false,on_mean=0.4 \
                 {start}"
            ),
            format!("telemetry,device=pump,site=a state_count=10i,state_last=\"idle\" {start}"),
        ]
    );
    // What is written can't be changed any more, also after a restart.
    daemon.kill();
    daemon.restart();
    let (mut client, _) = Client::greet(&daemon, "gateway", 2);
    client.batch(1, &readings("pump", start + 20 * SECOND));
    client.acked(1);
    let told = daemon.until_sink("influx", |sink| sink["late"] == 30 && sink["lag_samples"] == 0);
    assert_eq!((&told["written"], &told["imbalance"]), (&30.into(), &0.into()), "{told:#}");
    let status = daemon.command("status").output().unwrap();
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(status.contains("30 late for their window; as rollups of 60 s"), "{status}");

    let letters = daemon.json("/api/v1/dead-letters?limit=10");
    let letters = letters["letters"].as_array().unwrap();
    let motor = letters.iter().find(|letter| letter["samples"] == 20).unwrap();
    assert_eq!((&motor["device"], &motor["client"]), (&"bad".into(), &"gateway".into()));
    assert_eq!(motor["metrics"][0], "motor.speed_count", "{motor:#}");
    assert!(motor["reason"].as_str().unwrap().contains("unable to parse"), "{motor:#}");
    // When the store has changed its mind, it gets the same lines.
    store.script(|_| Reaction::stored());
    let replay = daemon.command("dead-letters").args(["replay", "--all"]).output().unwrap();
    assert!(replay.status.success());
    daemon.until_sink("influx", |sink| sink["dead_letters"]["replayed"] == 30);
    let line = format!("telemetry,device=bad,site=a state_count=10i,state_last=\"idle\" {start}");
    store.wait(|_, stored| stored.iter().any(|stored| stored.line == line));
    daemon.stop_and_audit();

    // It can't go on as another kind of sink, and says so.
    daemon.set(&[&format!("sinks.influx.0.url={}", store.url()), "sinks.influx.0.bucket=b"]);
    let refused = daemon.command("run").output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("give it another name"), "{said}");
}

#[test]
fn a_drill_knows_a_sink_that_gets_rollups() {
    let victoria = Victoria::start();
    let daemon = Daemon::start(&[
        &format!("sinks.influx.0.url={}", victoria.url()),
        "sinks.influx.0.bucket=b",
        "sinks.influx.0.send=rollups",
        "sinks.influx.0.batch_age=50 ms",
    ]);
    let output = daemon.command("drill").args(["--within", "60 s"]).output().unwrap();
    let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{printed}");
    assert!(printed.contains("it gets rollups"), "{printed}");
    daemon.until_sink("influx", |sink| sink["unflushed_samples"].as_u64() > Some(0));
}
