//! Alerts when the daemon itself is in trouble: no space for what they remember, and its own restart.

use crate::client::{Client, reading};
use crate::daemon::Daemon;
use crate::disk::Disk;
use serde_json::{Value, json};

const HOT: [&str; 4] =
    ["alerts.0.name=hot", "alerts.0.kind=threshold", "alerts.0.metric=t", "alerts.0.above=80"];

fn kinds(daemon: &Daemon, rule: &str) -> Vec<Vec<String>> {
    let listed = daemon.json(&format!("/api/v1/alerts?state=all&limit=1000&rule={rule}"));
    let events = |alert: &Value| {
        let detail = daemon.json(&format!("/api/v1/alerts/{}", alert["id"]));
        let events = detail["events"].as_array().unwrap();
        events.iter().map(|event| event["kind"].as_str().unwrap().to_owned()).collect()
    };
    listed["alerts"].as_array().unwrap().iter().map(events).collect()
}

#[test]
fn on_a_full_disk_no_alert_is_lost_or_told_twice() {
    let disk = Disk::in_memory(24);
    let settings =
        ["spool.segment_size=64 KiB", "spool.reserve=1 MiB", "history.flush_interval=1000 s"];
    let mut daemon = Daemon::start_in(disk.directory(), &[&settings[..], &HOT].concat());
    let (mut client, _) = Client::greet(&daemon, "gateway", 1);
    client.batch(1, &reading("pump-7", "t", 90.0));
    client.acked(1);
    let firing = |it: &Value| {
        it["alerts"].as_array().is_some_and(|all| all.iter().any(|it| it["rule"] == "hot"))
    };
    daemon.eventually("/api/v1/alerts?state=firing", firing);

    // What still enters is judged as soon as it can be written down; the rest comes again.
    let ballast = disk.fill();
    let mut seq = 2;
    loop {
        client.batch(seq, &reading("pump-7", "t", if seq % 2 == 0 { 20.0 } else { 90.0 }));
        if client.acked_or_refused(seq).is_err() {
            break;
        }
        seq += 1;
        assert!(seq < 2_000, "the disk is not full");
    }
    daemon.until("/readyz", 503);
    assert_eq!(daemon.get("/api/v1/alerts").0, 200, "what is known is told");
    drop(ballast);
    daemon.until("/readyz", 200);
    client.batch(seq, &reading("pump-7", "t", 20.0));
    client.acked(seq);
    // Each change of side is an alert of its own: 90 fires it, 20 ends it.
    let fired = (1..seq).filter(|seq| seq % 2 == 1).count();
    let all = |it: &Value| it["alerts"].as_array().is_some_and(|all| all.len() >= fired);
    daemon.eventually("/api/v1/alerts?state=resolved&limit=1000&rule=hot", all);
    let found = kinds(&daemon, "hot");
    assert!(found.iter().all(|kinds| kinds == &["fired", "resolved"]), "{found:?}");
    assert_eq!(found.len(), fired, "{seq} batches entered");
    daemon.stop_and_audit();
}

#[test]
fn a_restart_of_ours_is_no_silence_of_a_device() {
    let settings = [
        "alerts.0.name=away",
        "alerts.0.kind=offline",
        "alerts.0.for=0 s",
        "live.offline_after=10 s",
    ];
    let mut daemon = Daemon::start(&settings);
    let (mut client, _) = Client::greet(&daemon, "gateway", 1);
    client.batch(1, &reading("pump-7", "t", 1.0));
    client.acked(1);
    daemon.eventually("/api/v1/devices/pump-7", |it| it["online"] == true);
    for kill in [false, true] {
        if kill {
            daemon.kill();
        } else {
            assert!(daemon.stop().success());
        }
        daemon.restart();
        // It comes back at its own pace, within its time.
        let (mut client, welcome) = Client::greet(&daemon, "gateway", 1);
        let next = welcome.last_seq + 1;
        client.batch(next, &reading("pump-7", "t", 1.0));
        client.acked(next);
        daemon.eventually("/api/v1/devices/pump-7", |it| it["online"] == true);
        assert_eq!(daemon.json("/api/v1/alerts?state=all&rule=away")["alerts"], json!([]));
    }
    // One that does not come back is missed.
    drop(client);
    daemon.kill();
    daemon.restart();
    let away = |it: &Value| it["alerts"][0]["device"] == "pump-7";
    daemon.eventually("/api/v1/alerts?state=firing&rule=away", away);
}
