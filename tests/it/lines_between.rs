//! A Tidegate as the sink of another: what our sink writes is what we read. The same series, values bit for bit,
//! types and nanoseconds.

use crate::client::Client;
use crate::daemon::{Daemon, PATIENCE};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::time::Duration;
use tidegate::clock;
use tidegate::model::{Batch, BatchBuilder};

/// Everything that a line may carry, in names and in values.
fn everything(now: i64) -> Batch {
    let floats = [
        0.0,
        -0.0,
        0.1 + 0.2,
        f64::MIN_POSITIVE,
        5e-324,
        f64::MAX,
        f64::MIN,
        1e22,
        123_456_789.123_456_79,
        1.0,
    ];
    let ints = [0, -1, 1, i64::MIN, i64::MAX, 1 << 53, (1 << 53) + 1, -(1 << 62), 7, 8];
    let texts =
        ["run", "", " ", "a\"b", "back\\slash", "\\\"", "comma, = and space", "ação 🌡", "#", "t"];
    let times = || (0..10).map(move |row| now - 7 * row);
    let mut builder = BatchBuilder::new();
    builder.table("pump-7", &mut [], times()).unwrap();
    builder.floats("motor.temperature", "°C", floats, &[]).unwrap();
    builder.ints("motor.starts", "", ints, &[]).unwrap();
    builder.bools("running", "", [true, false].into_iter().cycle().take(10), &[]).unwrap();
    builder.texts("motor.state", "", texts, &[]).unwrap();
    builder.floats("level", "m", floats, &[]).unwrap();
    builder.floats("plant.a.flow", "", floats, &[]).unwrap();
    // Rows in which not every metric has a value.
    builder.ints("sparse.n", "", ints, &[0b1010_1010, 0b01]).unwrap();
    let names = [
        ("a b,c=d", "m x,y=z.f g,h=i"),
        ("ação/π#1", "first#.of#all"),
        ("back\\slash", "a\\b.c\\d"),
        ("quote'", ".begins"),
        ("dots", "ends."),
    ];
    for (device, metric) in names {
        let mut tags =
            [("device", "x"), ("tag.device", "y"), ("k,=  l", "v,= w\\z"), ("site", "north")];
        builder.table(device, &mut tags, [now - 1]).unwrap();
        builder.floats(metric, "", [1.5], &[]).unwrap();
    }
    builder.finish()
}

/// Every sample of a daemon, once it has so many series, of so many samples in all: series and type, then times
/// and values as they are told.
fn samples(daemon: &Daemon, series: usize, samples: usize) -> BTreeMap<String, (Json, Json)> {
    let deadline = clock::monotonic() + PATIENCE;
    loop {
        let told = told(daemon);
        let found: usize = told.values().map(|(_, values)| values.as_array().unwrap().len()).sum();
        if (told.len(), found) == (series, samples) {
            return told;
        }
        assert!(clock::monotonic() < deadline, "{found} of {samples}: {told:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn told(daemon: &Daemon) -> BTreeMap<String, (Json, Json)> {
    let series = daemon.json("/api/v1/series");
    let encode =
        |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02x}")).collect() };
    let mut all = BTreeMap::new();
    for series in series["series"].as_array().unwrap() {
        let (device, metric) =
            (series["device"].as_str().unwrap(), series["metric"].as_str().unwrap());
        let path = format!(
            "/api/v1/query?device={}&metric={}&from=-1h&to={}",
            encode(device),
            encode(metric),
            clock::now().0 + 1_000_000_000
        );
        let answer = daemon.json(&path);
        let name = format!("{device} {metric} {} {}", series["tags"], series["type"]);
        all.insert(name, (answer["time"].clone(), answer["value"].clone()));
    }
    all
}

#[test]
fn what_our_sink_writes_is_what_another_of_us_reads() {
    let mut to = Daemon::start(&[]);
    let mut from = Daemon::start(&[
        &format!("sinks.influx.0.url=http://{}", to.address),
        "sinks.influx.0.bucket=b",
        "sinks.influx.0.batch_age=20 ms",
        "sinks.influx.0.breaker.backoff_max=500 ms",
    ]);
    let (mut client, _) = Client::greet(&from, "gateway", 1);
    let batch = everything(clock::now().0);
    client.batch(1, &batch);
    client.acked(1);
    let written = |sink: &Json| sink["written"].as_u64() == Some(batch.samples() as u64);
    let sink = from.until_sink("influx", written);
    assert_eq!((&sink["dead_lettered"], &sink["imbalance"]), (&0.into(), &0.into()), "{sink:#}");
    let count = batch.samples();
    let expected = samples(&from, 12, count);
    assert!(expected.keys().any(|name| name.starts_with("pump-7 motor.starts {} \"int\"")));
    assert_eq!(samples(&to, 12, count), expected);

    // The other is away for a while, and misses nothing.
    to.kill();
    for seq in 2..=20 {
        let mut builder = BatchBuilder::new();
        builder.table("pump-7", &mut [], [clock::now().0]).unwrap();
        builder.ints("motor.starts", "", [seq as i64], &[]).unwrap();
        client.batch(seq, &builder.finish());
    }
    client.acked(20);
    from.until_sink("influx", |sink| sink["breaker"] == "open");
    to.restart();
    from.until_sink("influx", |sink| sink["lag_samples"] == 0);
    assert_eq!(samples(&to, 12, count + 19), samples(&from, 12, count + 19));
    from.stop_and_audit();
    to.stop_and_audit();
}

#[test]
fn what_another_of_us_refuses_is_a_dead_letter_in_its_words_and_nothing_else_is() {
    let mut to = Daemon::start(&["limits.text_bytes=16"]);
    let mut from = Daemon::start(&[
        &format!("sinks.influx.0.url=http://{}", to.address),
        "sinks.influx.0.bucket=b",
        "sinks.influx.0.batch_age=20 ms",
    ]);
    let now = clock::now().0;
    let texts = (0..50).map(|row| if row == 31 { "much too long for it" } else { "short" });
    let mut builder = BatchBuilder::new();
    builder.table("pump-7", &mut [], (0..50).map(|row| now - row)).unwrap();
    builder.texts("motor.state", "", texts, &[]).unwrap();
    let (mut client, _) = Client::greet(&from, "gateway", 1);
    client.batch(1, &builder.finish());
    client.acked(1);
    let sink = from.until_sink("influx", |sink| sink["lag_samples"] == 0);
    let counts = ["written", "dead_lettered", "imbalance"].map(|key| sink[key].as_u64().unwrap());
    assert_eq!(counts, [49, 1, 0], "{sink:#}");
    let letters = from.json("/api/v1/dead-letters").to_string();
    assert!(letters.contains("the text has 20 bytes, 16 are allowed"), "{letters}");
    let path = format!("/api/v1/query?device=pump-7&metric=motor.state&from=-1h&to={}", now + 1);
    let rows = |answer: &Json| answer["time"].as_array().map_or(0, Vec::len);
    let answer = to.eventually(&path, |answer| rows(answer) >= 49);
    assert_eq!(rows(&answer), 49);
    from.stop_and_audit();
    to.stop_and_audit();
}
