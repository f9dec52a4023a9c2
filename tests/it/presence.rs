//! Who is there: devices that fall silent, are cut off, only deliver, stand behind a gateway; a daemon
//! that restarts; clocks that are off; the inbox.

use crate::client::{Client, Said};
use crate::daemon::{Daemon, PATIENCE};
use serde_json::{Value, json};
use std::time::Duration;
use tidegate::clock;
use tidegate::model::{Batch, BatchBuilder};
use tidegate::wire::{Downstream, RefusalCode};

/// Short times, so that stories are.
const SHORT: [&str; 3] =
    ["live.offline_after=6 s", "devices.reconnect_grace=1 s", "clocks.window=1 s"];
const SECOND: i64 = 1_000_000_000;

fn now() -> i64 {
    clock::now().0
}

/// One reading of each device, at this time.
fn readings(devices: &[&str], time: i64) -> Batch {
    let mut builder = BatchBuilder::new();
    for device in devices {
        builder.table(device, &mut [], [time]).unwrap();
        builder.floats("level", "m", [1.0], &[]).unwrap();
    }
    builder.finish()
}

fn device(daemon: &Daemon, id: &str) -> Value {
    daemon.json(&format!("/api/v1/devices/{id}"))
}

/// Waits until a device is as wanted.
fn until(daemon: &Daemon, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    daemon.eventually(&format!("/api/v1/devices/{id}"), wanted)
}

/// Waits until `/metrics` has this line.
fn until_metric(daemon: &Daemon, line: &str) {
    let deadline = clock::monotonic() + PATIENCE;
    loop {
        let metrics = daemon.until("/metrics", 200);
        if metrics.lines().any(|found| found == line) {
            return;
        }
        assert!(clock::monotonic() < deadline, "no {line} in {metrics}");
        std::thread::sleep(OFTEN);
    }
}

fn patch(daemon: &Daemon, id: &str, body: &Value) -> (u16, Value) {
    let path = format!("/api/v1/devices/{id}");
    let headers = [("content-type", "application/json")];
    let (status, body) = daemon.request("PATCH", &path, &headers, body.to_string().as_bytes());
    (status, serde_json::from_str(&body).unwrap_or_default())
}

fn post(daemon: &Daemon, id: &str, time: i64) -> (u16, String) {
    let line = json!({ "device": id, "time": time, "values": { "level": 1.5 } }).to_string();
    let headers = [("content-type", "application/x-ndjson")];
    daemon.request("POST", &format!("/api/v1/ingest?client={id}"), &headers, line.as_bytes())
}

/// Sends readings of a device until that is how it goes on: a pause among the first few is taken for its way.
/// Returns the next seq.
fn settle(daemon: &Daemon, client: &mut Client, id: &str) -> u64 {
    let deadline = clock::monotonic() + PATIENCE;
    let mut seq = send(client, 1, &[id], 5, OFTEN);
    loop {
        let is = until(daemon, id, |device| arrivals(device) == seq - 1);
        if is["interval_s"].as_f64().unwrap() < 1.0 {
            return seq;
        }
        assert!(clock::monotonic() < deadline, "{is:#}");
        seq = send(client, seq, &[id], 5, OFTEN);
    }
}

fn arrivals(device: &Value) -> u64 {
    let arrivals = device["arrivals"].as_array().map_or(&[][..], Vec::as_slice);
    arrivals.iter().filter_map(Value::as_u64).sum()
}

/// Sends a reading of these devices every `every`, so often.
fn send(client: &mut Client, from: u64, devices: &[&str], times: u64, every: Duration) -> u64 {
    for seq in from..from + times {
        client.batch(seq, &readings(devices, now()));
        client.acked(seq);
        std::thread::sleep(every);
    }
    from + times
}

const OFTEN: Duration = Duration::from_millis(100);

#[test]
fn a_device_that_falls_silent_is_offline_and_one_whose_connection_is_cut_sooner() {
    let daemon = Daemon::start(&SHORT);
    let (mut quiet, _) = Client::greet(&daemon, "quiet", 1);
    let (mut cut, _) = Client::greet(&daemon, "cut", 2);
    let sent = settle(&daemon, &mut quiet, "quiet") - 1;
    let seq = send(&mut cut, 1, &["cut"], 15, OFTEN);
    until(&daemon, "cut", |device| device["online"] == true);
    drop(cut);
    // The one stays connected, and says nothing.
    let is = until(&daemon, "quiet", |device| device["online"] == false);
    assert_eq!(is["reason"], "no reading for 6 s");
    assert_eq!((&is["client"], &is["protocol"]), (&json!("quiet"), &json!("ws")));
    assert_eq!(is["address"], "127.0.0.1");
    let since = is["since"].as_i64().unwrap();
    assert_eq!(since, is["last_seen"].as_i64().unwrap() + 6_000, "silence began with it");
    assert_eq!(arrivals(&is), sent);

    let is = until(&daemon, "cut", |device| device["online"] == false);
    assert_eq!(is["reason"], "connection closed");
    let (mut back, _) = Client::greet(&daemon, "cut", 2);
    send(&mut back, seq, &["cut"], 1, OFTEN);
    let is = until(&daemon, "cut", |device| device["online"] == true);
    assert_eq!(is["reason"], Value::Null);
}

#[test]
fn a_device_that_connects_only_to_deliver_stays_online() {
    let daemon = Daemon::start(&["live.offline_after=20 s", "devices.reconnect_grace=0 s"]);
    for _ in 0..10 {
        assert_eq!(post(&daemon, "poster", now()).0, 200);
        std::thread::sleep(Duration::from_millis(700));
        let (mut client, welcome) = Client::greet(&daemon, "caller", 1);
        let seq = welcome.last_seq + 1;
        client.batch(seq, &readings(&["caller"], now()));
        client.acked(seq);
    }
    // Presence is looked at every second.
    let deadline = clock::monotonic() + Duration::from_millis(2500);
    while clock::monotonic() < deadline {
        for id in ["poster", "caller"] {
            let is = device(&daemon, id);
            assert_eq!(is["online"], true, "{is:#}");
        }
        std::thread::sleep(OFTEN);
    }
    assert_eq!(device(&daemon, "poster")["protocol"], "http");
    assert_eq!(device(&daemon, "poster")["address"], "127.0.0.1");
}

#[test]
fn with_a_gateway_go_all_devices_behind_it_and_viewers_are_told_why() {
    let settings = ["live.offline_after=60 s", "devices.reconnect_grace=1 s"];
    let daemon = Daemon::start(&settings);
    let names: Vec<String> = (0..100).map(|number| format!("meter-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (mut gateway, _) = Client::greet(&daemon, "gw", 1);
    send(&mut gateway, 1, &names, 20, OFTEN);
    daemon.eventually("/api/v1/devices?online=true", |body| {
        body["devices"].as_array().unwrap().len() == 100
    });
    drop(gateway);
    let gone = daemon.eventually("/api/v1/devices?online=false", |body| {
        body["devices"].as_array().unwrap().len() == 100
    });
    for device in gone["devices"].as_array().unwrap() {
        assert_eq!(
            (&device["reason"], &device["client"]),
            (&json!("connection closed"), &json!("gw"))
        );
    }
    until_metric(&daemon, "tidegate_devices{state=\"offline\"} 100");
    let ls = daemon.command("devices").args(["ls", "--offline"]).output().unwrap();
    let printed = String::from_utf8_lossy(&ls.stdout);
    assert_eq!(printed.matches("connection closed").count(), 100, "{printed}");
}

/// Whether the register has that down of a device.
fn is_written(daemon: &Daemon, id: &str, what: &str) -> bool {
    let file = daemon.state_dir.path().join("devices.db");
    let register = rusqlite::Connection::open(file).unwrap();
    let query = format!("SELECT {what} FROM device WHERE name=?1");
    register.query_row(&query, [id], |row| row.get(0)).unwrap_or(false)
}

#[test]
fn a_restart_of_the_daemon_makes_nobody_come_or_go() {
    let settings = ["live.offline_after=4 s", "devices.reconnect_grace=1 s"];
    for kill in [false, true] {
        let mut daemon = Daemon::start(&settings);
        let (mut client, _) = Client::greet(&daemon, "gw", 1);
        let (mut gone, _) = Client::greet(&daemon, "gone", 2);
        send(&mut gone, 1, &["gone"], 15, OFTEN);
        drop(gone);
        let mut seq = send(&mut client, 1, &["there"], 20, OFTEN);
        until(&daemon, "there", |device| device["online"] == true);
        let labels = json!({ "expected_s": 3, "labels": { "site": "north" }, "known": true });
        assert_eq!(patch(&daemon, "there", &labels).0, 200);
        let was_gone = until(&daemon, "gone", |device| device["online"] == false);
        // States are written within five seconds, what an operator says within one.
        let deadline = clock::monotonic() + PATIENCE;
        while !is_written(&daemon, "gone", "online=0") || !is_written(&daemon, "there", "known=1") {
            seq = send(&mut client, seq, &["there"], 1, OFTEN);
            assert!(clock::monotonic() < deadline, "states are not written");
        }
        let was = until(&daemon, "there", |device| device["online"] == true);
        assert_eq!(was["known"], true);
        if kill {
            daemon.kill()
        } else {
            assert!(daemon.stop().success())
        }
        drop(client);
        std::thread::sleep(Duration::from_secs(5));
        daemon.restart();
        let is = device(&daemon, "there");
        assert_eq!((&is["online"], &is["since"]), (&was["online"], &was["since"]), "{is:#}");
        assert_eq!((&is["labels"]["site"], &is["expected_s"]), (&json!("north"), &json!(3.0)));
        assert_eq!(is["first_seen"], was["first_seen"]);
        assert_eq!(is["known"], true);
        let is = device(&daemon, "gone");
        assert_eq!((&is["online"], &is["since"]), (&json!(false), &was_gone["since"]));
        assert_eq!(is["reason"], was_gone["reason"]);
        assert_eq!(is["known"], false, "a restart takes nobody out of the inbox");
        // It does not come back: now it is gone.
        let is = until(&daemon, "there", |device| device["online"] == false);
        assert_eq!(is["reason"], "no reading for 3 × its expected 3 s");
    }
}

#[test]
fn devices_never_seen_before_wait_in_the_inbox() {
    let mut daemon = Daemon::start(&SHORT);
    for id in ["old", "older"] {
        assert_eq!(post(&daemon, id, now()).0, 200);
    }
    let inbox = |daemon: &Daemon| {
        let devices = daemon.json("/api/v1/devices?known=false");
        let ids = devices["devices"].as_array().unwrap().iter().map(|it| it["id"].clone());
        ids.collect::<Vec<_>>()
    };
    until(&daemon, "older", |device| device["known"] == false);
    assert_eq!(inbox(&daemon), ["old", "older"]);
    let know = daemon.command("devices").args(["know", "old", "nobody"]).output().unwrap();
    assert_eq!(know.status.code(), Some(64));
    let said = String::from_utf8_lossy(&know.stderr).into_owned();
    assert!(said.contains("never seen: nobody"), "{said}");
    assert_eq!(inbox(&daemon), ["older"]);
    let (status, is) = patch(&daemon, "older", &json!({ "known": true }));
    assert_eq!((status, &is["known"]), (200, &json!(true)));
    for (body, expected) in [
        (json!({ "expected_s": -1 }), 400),
        (json!({ "clock_policy": "guess" }), 400),
        (json!({ "colour": "red" }), 400),
        (json!({ "labels": { "site": "a" } }), 200),
        (json!({ "labels": { "site": null } }), 200),
    ] {
        assert_eq!(patch(&daemon, "older", &body).0, expected, "{body}");
    }
    assert_eq!(patch(&daemon, "nobody", &json!({ "known": true })).0, 404);
    let foreign = [("origin", "http://evil.example"), ("content-type", "application/json")];
    assert_eq!(daemon.request("PATCH", "/api/v1/devices/old", &foreign, b"{}").0, 403);

    // The register is lost: who has a history is an old friend.
    assert!(daemon.stop().success());
    for file in crate::daemon::files(daemon.state_dir.path(), "db") {
        if file.ends_with("devices.db") {
            std::fs::write(file, vec![0x55; 4096]).unwrap();
        }
    }
    daemon.restart();
    assert!(daemon.state_dir.path().join("devices.db.damaged-1").exists());
    assert!(inbox(&daemon).is_empty());
}

/// Sends until this number of batches came in, or `wanted` of the device.
fn keep_sending(daemon: &Daemon, id: &str, offset: i64, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = clock::monotonic() + PATIENCE;
    let mut stamp = 0;
    loop {
        stamp += 1;
        let (status, body) = post(daemon, id, now() + offset + stamp % 2);
        let (found, is) = daemon.get(&format!("/api/v1/devices/{id}"));
        let is: Value = serde_json::from_str(&is).unwrap_or_default();
        if found == 200 && wanted(&is) {
            return is;
        }
        assert!(clock::monotonic() < deadline, "{status} {body}: {is:#}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn newest(daemon: &Daemon, id: &str) -> i64 {
    let path = format!("/api/v1/query?device={id}&metric=level&from=-1d&to=2100-01-01T00:00:00Z");
    let newest = |answer: &Value| answer["time"].as_array()?.iter().filter_map(Value::as_i64).max();
    newest(&daemon.eventually(&path, |answer| newest(answer).is_some())).unwrap()
}

#[test]
fn a_clock_that_is_behind_is_found_out_and_accepted_corrected_or_refused() {
    const HOUR: i64 = 3600 * SECOND;
    let mut daemon = Daemon::start(&SHORT);
    let off = |device: &Value| device["clock"]["state"] == "off";
    let is = keep_sending(&daemon, "late", -HOUR, off);
    let offset = is["clock"]["offset_ms"].as_i64().unwrap();
    assert!((-3_605_000..=-3_599_900).contains(&offset), "{is:#}");
    assert_eq!(is["clock"]["policy"], "accept");
    assert!(newest(&daemon, "late") < now() - HOUR + 5 * SECOND, "taken as it is");
    keep_sending(&daemon, "right", 0, |device| {
        let offset_ms = device["clock"]["offset_ms"].as_i64();
        device["clock"]["state"] == "ok" && offset_ms.is_some_and(|it| it.abs() < 1000)
    });
    until_metric(&daemon, "tidegate_device_clocks_off 1");

    assert_eq!(patch(&daemon, "late", &json!({ "clock_policy": "correct" })).0, 200);
    let corrected = |_: &Value| newest(&daemon, "late") > now() - 60 * SECOND;
    keep_sending(&daemon, "late", -HOUR, corrected);
    let error = now() - newest(&daemon, "late");
    assert!((-2 * SECOND..20 * SECOND).contains(&error), "{error}");
    assert_eq!(device(&daemon, "late")["clock"]["state"], "off", "it still is");

    // Also after a restart, from its first batch on.
    assert!(daemon.stop().success());
    daemon.restart();
    until(&daemon, "late", |device| device["clock"]["state"] == "off");
    let restarted = now();
    keep_sending(&daemon, "late", -HOUR, |_| newest(&daemon, "late") > restarted - 2 * SECOND);

    assert_eq!(patch(&daemon, "late", &json!({ "clock_policy": "quarantine" })).0, 200);
    keep_sending(&daemon, "late", -HOUR, |device| device["refused"].as_u64() > Some(0));
    let (status, body) = post(&daemon, "late", now() - HOUR);
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("CLOCK_OFF") && body.contains("retry_after_ms"), "{body}");
    let is = device(&daemon, "late");
    assert_eq!(is["last_refusals"].as_array().unwrap().last().unwrap()["code"], "CLOCK_OFF");
    // It is set right: it is taken again.
    keep_sending(&daemon, "late", 0, |device| device["clock"]["state"] == "ok");
    daemon.stop_and_audit();
}

#[test]
fn a_clock_that_is_ahead_is_told_although_nothing_enters_and_corrected_if_wanted() {
    const HOUR: i64 = 3600 * SECOND;
    let mut daemon = Daemon::start(&SHORT);
    let (mut client, _) = Client::greet(&daemon, "early", 1);
    client.batch(1, &readings(&["early"], now() + HOUR));
    let (seq, code, _) = client.refused();
    assert_eq!((seq, code), (1, RefusalCode::TimeTooFarAhead));
    let is = until(&daemon, "early", |device| device["clock"]["state"] == "off");
    assert_eq!((&is["online"], &is["known"]), (&json!(false), &json!(false)));
    let offset = is["clock"]["offset_ms"].as_i64().unwrap();
    assert!((3_590_000..=3_600_000).contains(&offset), "{is:#}");
    assert_eq!(patch(&daemon, "early", &json!({ "clock_policy": "correct" })).0, 200);
    let deadline = clock::monotonic() + PATIENCE;
    let mut seq = 2;
    loop {
        client.batch(seq, &readings(&["early"], now() + HOUR));
        match client.next() {
            Said::Message(Downstream::Ack { .. }) => break,
            Said::Message(Downstream::Refusal { .. }) => seq += 1,
            other => panic!("{other:?}"),
        }
        assert!(clock::monotonic() < deadline, "it is not corrected");
        std::thread::sleep(OFTEN);
    }
    // Sent again, it is a duplicate; and what followers read after a restart is the same.
    client.batch(seq, &readings(&["early"], now() + HOUR));
    daemon.eventually("/api/v1/query?device=early&metric=level&from=-1h&to=now", |answer| {
        answer["time"].as_array().is_some_and(|times| times.len() == 1)
    });
    let before = newest(&daemon, "early");
    assert!((now() - before).abs() < 60 * SECOND, "{before}");
    daemon.kill();
    daemon.restart();
    daemon.eventually("/api/v1/query?device=early&metric=level&from=-1h&to=now", |answer| {
        answer["time"].as_array().is_some_and(|times| times.len() == 1)
    });
    assert_eq!(newest(&daemon, "early"), before);
    daemon.stop_and_audit();
}
