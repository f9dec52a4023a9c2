//! SIGHUP: what can be applied is, without dropping a connection; what can't is named; and with a mistake
//! everything stays as it was.

use crate::client::{Client, reading};
use crate::daemon::Daemon;
use serde_json::Value;

/// A daemon with this configuration file.
fn started(toml: &str) -> Daemon {
    let state_dir = tempfile::tempdir().unwrap();
    std::fs::write(state_dir.path().join("tidegate.toml"), toml).unwrap();
    Daemon::start_in(state_dir, &[])
}

/// Whether one line has all of these.
fn says(log: &[String], texts: &[&str]) -> bool {
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
