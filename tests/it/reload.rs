//! SIGHUP: what can be applied is, without dropping a connection; what can't is named; and with a mistake
//! everything stays as it was.

use crate::client::{Client, reading};
use crate::commands::{ask, command};
use crate::daemon::{Daemon, PATIENCE};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use tidegate::clock;
use tidegate::model::{Batch, BatchBuilder};
use tidegate::wire::RefusalCode;

/// A daemon with this configuration file.
pub fn started(toml: &str) -> Daemon {
    let state_dir = tempfile::tempdir().unwrap();
    std::fs::write(state_dir.path().join("tidegate.toml"), toml).unwrap();
    Daemon::start_in(state_dir, &[])
}

/// Whether one line has all of these.
pub fn says(log: &[String], texts: &[&str]) -> bool {
    log.iter().any(|line| texts.iter().all(|text| line.contains(text)))
}

fn hot(name: &str, above: u32) -> String {
    format!(
        "[[alerts]]\nname = \"{name}\"\nkind = \"threshold\"\nmetric = [\"heat\"]\nabove = {above}\n"
    )
}

/// Until the alert of this rule is so.
fn until_alert(daemon: &Daemon, rule: &str, state: &str) -> Value {
    let is_it = |alert: &&Value| alert["rule"] == rule && alert["state"] == state;
    let found =
        |value: &Value| value["alerts"].as_array().and_then(|all| all.iter().find(is_it).cloned());
    let told = daemon.eventually("/api/v1/alerts?state=all", |value| found(value).is_some());
    found(&told).unwrap()
}

fn rule(daemon: &Daemon, name: &str, source: &str) -> Value {
    let rules = daemon.json("/api/v1/rules")["rules"].as_array().unwrap().clone();
    let is_it = |rule: &&Value| rule["name"] == name && rule["source"] == source;
    rules.iter().find(is_it).cloned().unwrap_or_default()
}

#[test]
fn rules_come_change_and_go_and_with_a_mistake_nothing_does() {
    let daemon = started(&[hot("stays", 50), hot("goes", 60), hot("changes", 70)].concat());
    let page = br#"{"kind":"threshold","metric":["heat"],"above":1000}"#;
    let (status, body) = daemon.request("PUT", "/api/v1/rules/taken", &[], page);
    assert_eq!(status, 201, "{body}");
    let (mut client, _) = Client::greet(&daemon, "kiln", 1);
    client.batch(1, &reading("kiln", "heat", 100.0));
    client.acked(1);
    let first = until_alert(&daemon, "stays", "firing");
    until_alert(&daemon, "goes", "firing");
    until_alert(&daemon, "changes", "firing");

    // One mistake, and all stays.
    let wrong =
        [hot("new", 10), "[[alerts]]\nname = \"bad\"\nkind = \"threshold\"\n".to_owned()].concat();
    let log = daemon.reload(&wrong);
    assert!(says(&log, &["reload-refused", "alerts.1.above"]), "{log:#?}");
    assert_eq!(rule(&daemon, "goes", "file")["firing"], 1);
    assert!(rule(&daemon, "new", "file").is_null());

    let fresh = [hot("new", 10), hot("taken", 20), hot("changes", 170), hot("stays", 50)].concat();
    let log = daemon.reload(&format!("{fresh}[spool]\ntail_memory = \"1 MiB\"\n"));
    let applied = "applied=\"alerts.changes.above, alerts.goes, alerts.new, alerts.taken\"";
    assert!(says(&log, &["event=reloaded", applied]), "{log:#?}");
    assert!(says(&log, &["event=restart-needed", "keys=spool.tail_memory"]), "{log:#?}");
    // As at a start: who is gone or is another is over, the rest goes on, the page's gives way.
    until_alert(&daemon, "goes", "resolved");
    until_alert(&daemon, "changes", "resolved");
    assert_eq!(until_alert(&daemon, "stays", "firing")["id"], first["id"]);
    let taken = rule(&daemon, "taken", "page");
    assert!(taken["error"].as_str().unwrap().contains("the configuration has a rule"), "{taken}");

    // On the same connection.
    client.batch(2, &reading("kiln", "heat", 101.0));
    client.acked(2);
    until_alert(&daemon, "new", "firing");
    until_alert(&daemon, "taken", "firing");
    assert_eq!(until_alert(&daemon, "stays", "firing")["id"], first["id"]);

    // What is in force is what the next reload is compared with.
    let log = daemon.reload(&format!("{fresh}[spool]\ntail_memory = \"1 MiB\"\n"));
    assert!(says(&log, &["event=reloaded", "applied=nothing"]), "{log:#?}");
    assert!(says(&log, &["event=restart-needed", "keys=spool.tail_memory"]), "{log:#?}");
}

/// Two readings of one series.
fn two(device: &str) -> Batch {
    let mut builder = BatchBuilder::new();
    let now = clock::now().0;
    builder.table(device, &mut [], [now - 1_000_000, now]).unwrap();
    builder.floats("heat", "", [1.0, 2.0], &[]).unwrap();
    builder.finish()
}

/// Sends until it is taken: what was refused for later comes again.
fn until_taken(client: &mut Client, seq: u64, batch: &Batch) {
    let deadline = clock::monotonic() + PATIENCE;
    client.batch(seq, batch);
    while client.acked_or_refused(seq).is_err() {
        assert!(clock::monotonic() < deadline, "batch {seq} is never taken");
        std::thread::sleep(Duration::from_millis(50));
        client.batch(seq, batch);
    }
}

#[test]
fn rates_hold_for_all_at_once_and_other_limits_for_who_comes_then() {
    let daemon = started(
        "[limits]\nbatches_per_second = 1\nnew_series_per_minute = 3\n[live]\nviewers_max = 0\n",
    );
    let (mut old, welcome) = Client::greet(&daemon, "old", 1);
    let rows = welcome.limits.rows;
    // Ten at once, as many as come in ten seconds.
    let mut seq = 0;
    let refused = loop {
        seq += 1;
        old.batch(seq, &two("old"));
        if let Err((_, code, _)) = old.acked_or_refused(seq) {
            break code;
        }
        assert!(seq < 1000, "no rate holds");
    };
    assert_eq!(refused, RefusalCode::RateLimited);
    let (mut greedy, _) = Client::greet(&daemon, "greedy", 1);
    // Three, and those that a minute adds meanwhile.
    let mut wanted = 0;
    let refused = loop {
        wanted += 1;
        greedy.batch(wanted, &reading(&format!("greedy-{wanted}"), "heat", 1.0));
        if let Err((_, code, _)) = greedy.acked_or_refused(wanted) {
            break code;
        }
    };
    assert_eq!(refused, RefusalCode::TooManySeries);
    assert_eq!(daemon.get("/api/v1/live/poll?wait_s=0").0, 503);

    let fresh = "[limits]\nbatches_per_second = 100000\nnew_series_per_minute = 100000\nrows = 1\n\
                 series_max = 7\n[live]\nviewers_max = 9\n";
    let log = daemon.reload(fresh);
    let applied = "applied=\"limits.batches_per_second, limits.new_series_per_minute, limits.rows, \
                   live.viewers_max\"";
    assert!(says(&log, &["event=reloaded", applied]), "{log:#?}");
    assert!(says(&log, &["event=restart-needed", "keys=limits.series_max"]), "{log:#?}");
    assert_eq!(daemon.get("/api/v1/live/poll?wait_s=0").0, 200);
    until_taken(&mut greedy, wanted, &reading(&format!("greedy-{wanted}"), "heat", 1.0));
    // The same connection: more than ten, at the rate of now, with as many rows as it was told.
    until_taken(&mut old, seq, &two("old"));
    for seq in seq + 1..seq + 50 {
        old.batch(seq, &two("old"));
        old.acked(seq);
    }
    // Who comes now is told the limits of now.
    let (mut new, welcome) = Client::greet(&daemon, "new", 1);
    assert_eq!((rows, welcome.limits.rows), (65_536, 1));
    new.batch(1, &two("old"));
    assert_eq!(new.refused().1, RefusalCode::LimitExceeded);

    // Slower again, and at once.
    daemon.reload("[limits]\nbatches_per_second = 1\n");
    let slow = (seq + 50..seq + 100).find_map(|seq| {
        old.batch(seq, &two("old"));
        old.acked_or_refused(seq).err()
    });
    assert_eq!(slow.unwrap().1, RefusalCode::RateLimited);
}

#[test]
fn there_is_room_for_more_connections_and_for_fewer_nobody_is_sent_away() {
    let daemon = started("[limits]\nconnections_max = 2\n");
    let (mut first, _) = Client::greet(&daemon, "first", 1);
    let (mut second, _) = Client::greet(&daemon, "second", 1);
    // It waits in the kernel's queue.
    let mut third = TcpStream::connect(daemon.address).unwrap();
    third
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .unwrap();
    third.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(third.read(&mut [0]).is_err(), "there were two places");
    daemon.reload("[limits]\nconnections_max = 3\n");
    third.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = String::new();
    third.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    daemon.reload("[limits]\nconnections_max = 1\n");
    for (name, client) in [("first", &mut first), ("second", &mut second)] {
        client.batch(1, &reading(name, "heat", 1.0));
        client.acked(1);
    }
}

#[test]
fn as_many_commands_are_taken_as_the_configuration_says_now() {
    let daemon = started("[commands]\nper_device_max = 1\nttl_max = \"1 h\"\n");
    let path = "/api/v1/devices/kiln/commands";
    let wish = json!({"name": "stop", "ttl_s": 7200});
    let (status, answer) = ask(&daemon, "POST", path, &wish);
    assert_eq!(status, 400, "longer than the longest: {answer}");
    let wish = json!({"name": "stop", "ttl_s": 60});
    let first = command(&daemon, "kiln", &wish);
    assert_eq!(ask(&daemon, "POST", path, &wish).0, 429);
    let log = daemon.reload("[commands]\nper_device_max = 2\nttl_max = \"3 h\"\n");
    let applied = "applied=\"commands.per_device_max, commands.ttl_max\"";
    assert!(says(&log, &["event=reloaded", applied]), "{log:#?}");
    command(&daemon, "kiln", &json!({"name": "stop", "ttl_s": 7200}));
    // Fewer than there are: they stay.
    daemon.reload("[commands]\nper_device_max = 1\n");
    assert_eq!(daemon.json(&format!("/api/v1/commands/{first}"))["state"], "queued");
    assert_eq!(ask(&daemon, "POST", path, &wish).0, 429);
}
