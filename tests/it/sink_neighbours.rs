//! Several sinks: each has its own position, breaker and choice; a dead one is nobody else's business.

use crate::client::Client;
use crate::daemon::{Daemon, PATIENCE, sink};
use crate::load::{Load, Pace, assert_same, end_in_order, in_store, in_victoria};
use crate::store::{Reaction, Store};
use crate::victoria::Victoria;
use std::collections::BTreeMap;
use std::time::Duration;
use tidegate::clock;
use tidegate::model::BatchBuilder;

/// Requests wait up to a second to be filled; the rest is for a busy machine.
const FRESH_S: f64 = 30.0;
/// How often one has to look at least to see how far a sink is behind before its requests.
const LOOKS: u32 = 50;

#[test]
fn a_dead_sink_neither_slows_nor_delays_its_neighbour() {
    let victoria = Victoria::start();
    let mut dead = Store::start(|_| Reaction::stored());
    let mut daemon = Daemon::start(&[
        "sinks.influx.0.name=well",
        &format!("sinks.influx.0.url={}", victoria.url()),
        "sinks.influx.0.bucket=b",
        "sinks.influx.1.name=dead",
        &format!("sinks.influx.1.url={}", dead.url()),
        "sinks.influx.1.bucket=b",
        "sinks.influx.1.breaker.backoff_max=500 ms",
    ]);
    let pace = Pace { devices: 20, rows: 10, every: Duration::from_millis(50) };
    let load = Load::start(&daemon, "gateway", pace);
    // The furthest that the other was behind in three seconds, and how much it wrote per second: so long, or
    // longer, until that is not too little.
    let watch = |breaker: &str, least: f64| {
        let began = clock::monotonic();
        let (mut lag, written) = (0_f64, daemon.sink("well")["written"].as_u64().unwrap());
        let mut looks = 0;
        loop {
            looks += 1;
            let status = daemon.json("/api/v1/status");
            let well = sink(&status, "well");
            assert_eq!(well["breaker"], "closed", "{well:#}");
            let state = &sink(&status, "dead")["breaker"];
            assert!((state == "closed") == (breaker == "closed"), "{status:#}");
            lag = lag.max(well["lag_s"].as_f64().unwrap());
            let took = began.elapsed();
            let rate = (well["written"].as_u64().unwrap() - written) as f64 / took.as_secs_f64();
            if took > Duration::from_secs(3) && looks >= LOOKS && (rate > least || took > PATIENCE)
            {
                return (lag, rate);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let written = |sink: &serde_json::Value| sink["written"].as_u64() > Some(0);
    daemon.until_sink("well", written);
    daemon.until_sink("dead", written);
    let before = watch("closed", 0.0);
    dead.stop();
    daemon.until_sink("dead", |sink| sink["breaker"] == "open");
    // Requests end when they end: one more or less may be in three seconds.
    let during = watch("open", before.1 / 4.0);
    daemon.until_sink("dead", |sink| sink["lag_s"].as_f64() > Some(3.0));
    dead.restart();
    daemon.until_sink("dead", |sink| sink["breaker"] == "closed");

    let sent = load.finish();
    end_in_order(&mut daemon, &["well", "dead"], &[&sent]);
    eprintln!(
        "lag and samples per second: {before:?} beside a well one, {during:?} beside a dead one"
    );
    assert_same(&in_victoria(&victoria), &sent.all());
    assert_same(&in_store(&dead), &sent.all());
    // What is gathered for a request is lag, too.
    assert!((0.5..FRESH_S).contains(&before.0) && during.0 < FRESH_S, "{before:?} {during:?}");
    assert!(during.1 * 4.0 > before.1, "{before:?} {during:?}");
}

#[test]
fn a_sink_gets_only_what_it_is_to_have() {
    let (motors, states) =
        (Store::start(|_| Reaction::stored()), Store::start(|_| Reaction::stored()));
    let mut daemon = Daemon::start(&[
        "sinks.influx.0.name=motors",
        &format!("sinks.influx.0.url={}", motors.url()),
        "sinks.influx.0.bucket=b",
        "sinks.influx.0.devices=pump-*,fan-1",
        "sinks.influx.0.metrics=motor.*",
        "sinks.influx.1.name=states",
        &format!("sinks.influx.1.url={}", states.url()),
        "sinks.influx.1.bucket=b",
        "sinks.influx.1.metrics=running",
        "sinks.influx.1.measurement=state",
    ]);
    let devices = ["pump-1", "pump-2", "fan-1", "fan-2", "boiler-1"];
    let (batches, start) = (40, clock::now().0 / 1_000_000_000 * 1_000_000_000);
    let (mut client, _) = Client::greet(&daemon, "gateway", 1);
    for seq in 1..=batches {
        let mut builder = BatchBuilder::new();
        for device in devices {
            builder.table(device, &mut [], [start + seq as i64]).unwrap();
            builder.ints("motor.speed", "", [seq as i64], &[]).unwrap();
            builder.floats("motor.temperature", "°C", [0.5], &[]).unwrap();
            builder.bools("running", "", [true], &[]).unwrap();
        }
        client.batch(seq, &builder.finish());
    }
    client.acked(batches);
    let count = |name: &str| {
        let told = daemon.until_sink(name, |sink| sink["lag_samples"] == 0);
        assert_eq!(told["imbalance"], 0, "{told:#}");
        (told["written"].as_u64().unwrap(), told["skipped"].as_u64().unwrap())
    };
    assert_eq!(count("motors"), (3 * 2 * batches, 9 * batches));
    assert_eq!(count("states"), (5 * batches, 10 * batches));
    daemon.stop_and_audit();

    let stored = |store: &Store| {
        let mut lines = BTreeMap::new();
        for stored in store.stored() {
            let (series, time) = stored.line.rsplit_once(' ').unwrap();
            let seq = time.parse::<i64>().unwrap() - start;
            let (series, values) = series.split_once(' ').unwrap();
            let values = values.replace(&format!("={seq}i"), "=SEQ");
            *lines.entry(format!("{series} {values}")).or_insert(0) += 1;
        }
        lines
    };
    let motor = |device| (format!("motor,device={device} speed=SEQ,temperature=0.5"), batches);
    assert_eq!(stored(&motors), ["fan-1", "pump-1", "pump-2"].map(motor).into());
    let state = |device| (format!("state,device={device} running=true"), batches);
    assert_eq!(stored(&states), devices.map(state).into());
}
