//! The daemon can take in nothing for a while: the broker keeps what it has, keep-alives go on, and
//! afterwards everything is there.
//!
//! `HOLD_S` is how long nothing can be taken in (6), and until a keep-alive at least; `RETAINED` how many topics
//! are retained (30,000).

use crate::daemon::{Daemon, PATIENCE};
use crate::load::story_time;
use crate::mosquitto::{JSON_ROUTE, Mosquitto};
use crate::store::{Reaction, Store};
use std::time::Duration;
use tidegate::clock;

const MESSAGES: i64 = 900;
/// What the broker logs with each keep-alive.
const PING: &str = "Sending PINGRESP to tidegate-site";

/// A daemon whose spool is full soon, because its store takes nothing.
fn blocked(store: &Store, broker: &Mosquitto, settings: &[&str]) -> Daemon {
    let url = format!("sinks.influx.0.url={}", store.url());
    let mut all: Vec<_> = JSON_ROUTE.into_iter().collect();
    all.extend([
        "routes.0.texts=true",
        "routes.0.time=/ts",
        &url,
        "sinks.influx.0.bucket=b",
        "sinks.influx.0.breaker.backoff_max=500 ms",
        "spool.segment_size=64 KiB",
        "spool.size_max=1 MiB",
        "spool.reserve=0 B",
        "history.flush_interval=300 ms",
        "live.resume_keep=1 s",
    ]);
    all.extend(settings);
    Daemon::bridged(&broker.url(), &all)
}

/// Random texts of 3 KB: incompressible, so that each takes its place in the log.
fn message(n: i64, start_ms: i64) -> String {
    let text: String = (0..3000).map(|_| char::from(rand::random_range(b'a'..=b'z'))).collect();
    format!("{{\"t\":{n},\"ts\":{},\"note\":\"{text}\"}}", start_ms + n)
}

fn assert_whole(daemon: &Daemon) {
    let (times, values) = daemon.samples("pump-1", "t", usize::try_from(MESSAGES).unwrap());
    assert_eq!(values, (0..MESSAGES).map(|n| n as f64).collect::<Vec<_>>());
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "one is there twice");
}

#[test]
fn while_the_spool_is_full_the_broker_keeps_its_messages_and_the_connection_holds() {
    let hold = story_time("HOLD_S", 6);
    let broker = Mosquitto::start();
    let store = Store::start(|_| Reaction::says(503, "later"));
    // So long that neither side takes the other for dead when that stands still for a few seconds.
    const KEEP_ALIVE_S: u64 = 6;
    let keep_alive = format!("keep_alive={KEEP_ALIVE_S} s");
    let mut daemon = blocked(&store, &broker, &["receive_maximum=100", &keep_alive]);
    daemon.until_subscribed(&broker);
    let start = clock::now().0 / 1_000_000 - 1_000_000;
    broker.publish_lines("plant/pump-1", (0..MESSAGES).map(|n| message(n, start)));
    let bridge = daemon.until_bridge(|bridge| bridge["state"] == "holding");
    assert!(bridge["cause"].as_str().unwrap().contains("spool"), "{bridge:#}");
    assert_eq!(bridge["connections"], 1, "{bridge:#}");

    // Two keep-alives later everything that is sent ahead has come. (Mosquitto 2.0.11 sends more ahead
    // than receive_maximum allows.)
    let pings = broker.logged(PING).len();
    broker.until_logged(PING, pings + 2);
    let held = daemon.until_bridge(|bridge| {
        bridge["messages"] == broker.logged("Sending PUBLISH to tidegate-site").len()
    });
    assert!(held["unacked"].as_u64() > Some(0), "{held:#}");
    let pings = broker.logged(PING).len();
    let wanted = usize::try_from(hold.as_secs().div_ceil(KEEP_ALIVE_S)).unwrap();
    let deadline = clock::monotonic() + 5 * hold + PATIENCE;
    while broker.logged(PING).len() < pings + wanted {
        assert!(clock::monotonic() < deadline, "keep-alives do not go on");
        std::thread::sleep(Duration::from_millis(50));
    }
    let still = daemon.bridge();
    assert_eq!(still["state"], "holding", "{still:#}");
    assert_eq!(still["unacked"], held["unacked"], "nothing is acknowledged: {still:#}");
    assert_eq!(still["messages"], held["messages"], "nothing more comes: {still:#}");
    let acked = broker.logged("Received PUBACK from tidegate-site").len() as u64;
    assert_eq!(acked + held["unacked"].as_u64().unwrap(), held["messages"].as_u64().unwrap());

    store.script(|_| Reaction::stored());
    assert_whole(&daemon);
    let bridge =
        daemon.until_bridge(|bridge| bridge["unacked"] == 0 && bridge["state"] == "connected");
    assert_eq!(bridge["connections"], 1, "{bridge:#}");
    assert_eq!(bridge["redelivered"], 0, "{bridge:#}");
    daemon.stop_and_audit();
}

#[test]
fn more_than_may_be_under_way_is_left_at_the_broker() {
    let broker = Mosquitto::start();
    let store = Store::start(|_| Reaction::says(503, "later"));
    let settings = ["in_flight_bytes=64 KiB", "receive_maximum=1000", "keep_alive=1 s"];
    let daemon = blocked(&store, &broker, &settings);
    daemon.until_subscribed(&broker);
    let start = clock::now().0 / 1_000_000 - 1_000_000;
    broker.publish_lines("plant/pump-1", (0..MESSAGES).map(|n| message(n, start)));
    let bridge = daemon.until_bridge(|bridge| {
        bridge["cause"].as_str().is_some_and(|cause| cause.contains("in_flight_bytes"))
    });
    assert_eq!(bridge["state"], "holding", "{bridge:#}");
    assert!(bridge["in_flight_bytes"].as_u64().unwrap() <= 64 << 10, "{bridge:#}");
    store.script(|_| Reaction::stored());
    assert_whole(&daemon);
    daemon.until_bridge(|bridge| bridge["unacked"] == 0 && bridge["state"] == "connected");
}

#[test]
fn what_is_retained_comes_within_bounds() {
    let topics: u64 = std::env::var("RETAINED").map_or(30_000, |topics| topics.parse().unwrap());
    let broker = Mosquitto::start();
    broker.publish_many((0..topics).map(|n| (format!("plant/device-{n}"), n.to_string())), 0, true);
    let daemon = Daemon::bridged(
        &broker.url(),
        &[
            "routes.0.topic=plant/{device}",
            "routes.0.decoder=scalar",
            "routes.0.metric=t",
            "in_flight_bytes=1 MiB",
            "limits.new_series_per_minute=5000000",
        ],
    );
    let before = daemon.memory_mib("VmHWM");
    let bridge = daemon.until_bridge(|bridge| {
        let number = |key: &str| bridge[key].as_u64().unwrap_or_default();
        number("messages") + number("no_room") == topics && number("in_flight_bytes") == 0
    });
    let peak = daemon.memory_mib("VmHWM");
    eprintln!("{topics} retained: {} had no room; {before} MiB, then {peak}", bridge["no_room"]);
    assert_eq!(bridge["connections"], 1, "{bridge:#}");
    assert_eq!(bridge["routes"][0]["samples"], bridge["messages"], "{bridge:#}");
    // Series are remembered, for a few hundred bytes each; what is under way is bounded.
    assert!(peak < before + 80 + topics / 1000, "{before} MiB, then {peak}");
}
