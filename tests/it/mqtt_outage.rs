//! The broker is away, or the daemon is: what the broker acknowledged to a publisher is in the history,
//! once.

use crate::daemon::Daemon;
use crate::mosquitto::{JSON_ROUTE, Mosquitto};
use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;
use tidegate::clock;

/// A route whose messages tell their own time, in milliseconds.
fn timed() -> Vec<&'static str> {
    JSON_ROUTE.into_iter().chain(["routes.0.time=/ts"]).collect()
}

fn message(n: i64, start_ms: i64) -> String {
    format!("{{\"t\":{n},\"ts\":{}}}", start_ms + n)
}

/// Every message from 0 to `count` is there once.
fn assert_whole(daemon: &Daemon, count: i64, start_ms: i64) {
    let (times, values) = daemon.samples("pump-1", "t", usize::try_from(count).unwrap());
    let sent: BTreeSet<_> = (0..count).map(|n| (start_ms + n) * 1_000_000).collect();
    assert_eq!(times.len(), sent.len(), "a message is there twice");
    assert_eq!(times.iter().copied().collect::<BTreeSet<_>>(), sent);
    assert_eq!(values, (0..count).map(|n| n as f64).collect::<Vec<_>>());
}

#[test]
fn what_was_acknowledged_to_a_publisher_survives_kill_nine_of_the_daemon() {
    let rounds: i64 = std::env::var("KILL_ROUNDS").map_or(8, |rounds| rounds.parse().unwrap());
    const PER_ROUND: i64 = 300;
    for version in ["version=5", "version=4"] {
        let broker = Mosquitto::start();
        let mut settings = timed();
        settings.extend([version, "receive_maximum=50", "history.flush_interval=300 ms"]);
        let mut daemon = Daemon::bridged(&broker.url(), &settings);
        daemon.until_subscribed(&broker);
        let start = clock::now().0 / 1_000_000 - 1_000_000;
        let mut publisher = broker.publisher("plant/pump-1", &["-l"], &[]);
        let mut stdin = publisher.stdin.take().unwrap();
        let mut n = 0;
        for _ in 0..rounds {
            for _ in 0..PER_ROUND {
                writeln!(stdin, "{}", message(n, start)).unwrap();
                n += 1;
                if n % 10 == 0 {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            // In full swing, or as it comes.
            std::thread::sleep(Duration::from_millis(rand::random_range(0..30)));
            daemon.kill();
            daemon.restart();
        }
        drop(stdin);
        assert!(publisher.wait().unwrap().success(), "the broker acknowledged every message");
        assert_whole(&daemon, n, start);
        daemon.until_bridge(|bridge| bridge["unacked"] == 0 && bridge["state"] == "connected");
        daemon.stop_and_audit();
    }
}

#[test]
fn what_came_while_the_daemon_was_stopped_is_there_afterwards() {
    let broker = Mosquitto::start();
    let mut daemon = Daemon::bridged(&broker.url(), &timed());
    daemon.until_subscribed(&broker);
    let start = clock::now().0 / 1_000_000 - 1_000_000;
    broker.publish("plant/pump-1", &message(0, start));
    daemon.samples("pump-1", "t", 1);
    assert!(daemon.stop().success());
    broker.publish_lines("plant/pump-1", (1..500).map(|n| message(n, start)));
    daemon.restart();
    assert_whole(&daemon, 500, start);
    // A route that is new since is subscribed to, although the broker knows us.
    assert!(daemon.stop().success());
    let mut settings = timed();
    settings.extend(["routes.1.topic=new/{device}", "routes.1.decoder=json"]);
    let settings = crate::mosquitto::bridge(&broker.url(), &settings);
    daemon.set(&settings.iter().map(String::as_str).collect::<Vec<_>>());
    daemon.restart();
    broker.until_logged("new/+ (QoS 1)", 1);
    broker.publish("new/pump-2", "{\"t\":1}");
    daemon.samples("pump-2", "t", 1);
}

#[test]
fn a_broker_that_is_not_there_yet_is_waited_for() {
    let mut broker = Mosquitto::start();
    broker.stop();
    let daemon = Daemon::bridged(&broker.url(), &timed());
    let bridge = daemon.until_bridge(|bridge| bridge["state"] == "away");
    assert!(bridge["cause"].as_str().unwrap().contains("refused"), "{bridge:#}");
    broker.restart();
    daemon.until_subscribed(&broker);
    broker.publish("plant/pump-1", "{\"t\":1}");
    daemon.samples("pump-1", "t", 1);
}

#[test]
fn a_broker_that_is_killed_is_connected_to_again_and_asked_again() {
    let mut broker = Mosquitto::start();
    let mut daemon = Daemon::bridged(&broker.url(), &timed());
    daemon.until_subscribed(&broker);
    let start = clock::now().0 / 1_000_000 - 1_000_000;
    let mut n = 0;
    for round in 1..=3 {
        broker.publish_lines("plant/pump-1", (n..n + 100).map(|n| message(n, start)));
        n += 100;
        daemon.samples("pump-1", "t", usize::try_from(n).unwrap());
        broker.kill();
        daemon.until_bridge(|bridge| bridge["state"] == "away");
        broker.restart();
        let connections = round + 1;
        broker.until_logged("Sending SUBACK to tidegate-site", connections);
        let bridge = daemon.until_bridge(|bridge| bridge["state"] == "connected");
        assert_eq!(bridge["connections"], connections, "{bridge:#}");
    }
    broker.publish_lines("plant/pump-1", (n..n + 100).map(|n| message(n, start)));
    assert_whole(&daemon, n + 100, start);
    daemon.stop_and_audit();
}

#[test]
fn a_daemon_that_comes_with_the_same_name_is_a_state_with_a_cause() {
    let broker = Mosquitto::start();
    let first = Daemon::bridged(&broker.url(), &timed());
    first.until_subscribed(&broker);
    let second = Daemon::bridged(&broker.url(), &timed());
    second.until_bridge(|bridge| bridge["connections"].as_u64() > Some(0));
    // They send each other away in turn; which of them notices first is chance.
    let noticed = |status: &serde_json::Value| {
        let cause = status["intake"]["mqtt"][0]["cause"].as_str().unwrap_or_default();
        cause.contains("same client_id")
    };
    let deadline = clock::monotonic() + Duration::from_secs(90);
    while ![&first, &second].iter().any(|daemon| noticed(&daemon.json("/api/v1/status"))) {
        assert!(clock::monotonic() < deadline, "{:#} {:#}", first.bridge(), second.bridge());
        std::thread::sleep(Duration::from_millis(20));
    }
}
