//! An administrator mends a mapping: looks at what comes, at what was not understood, and has that tried
//! again.

use crate::daemon::Daemon;
use crate::mosquitto::{JSON_ROUTE, Mosquitto, bridge};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output, Stdio};
use tidegate::clock;

/// Routes that take the topics of the plant, but read them wrongly.
const WRONG_ROUTE: [&str; 3] =
    ["routes.0.topic=plant/{device}", "routes.0.decoder=scalar", "routes.0.metric=state"];

/// `tidegate` with a daemon's settings.
fn run(daemon: &Daemon, command: &str, arguments: &[&str]) -> Output {
    daemon.command(command).args(arguments).output().unwrap()
}

fn said(daemon: &Daemon, command: &str, arguments: &[&str]) -> String {
    let output = run(daemon, command, arguments);
    assert!(output.status.success(), "{command} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Starts the daemon again with other routes.
fn mend(daemon: &mut Daemon, broker: &Mosquitto, routes: &[&str]) {
    let settings = bridge(&broker.url(), routes);
    daemon.set(&settings.iter().map(String::as_str).collect::<Vec<_>>());
    daemon.restart();
    daemon.until_subscribed(broker);
}

fn totals(daemon: &Daemon, wanted: impl Fn(&Value) -> bool) -> Value {
    daemon.eventually("/api/v1/quarantine", |page| wanted(&page["totals"]))["totals"].clone()
}

#[test]
fn once_a_route_is_mended_a_replay_brings_the_readings_of_then() {
    let broker = Mosquitto::start();
    let mut daemon = Daemon::bridged(&broker.url(), &WRONG_ROUTE);
    daemon.until_subscribed(&broker);
    let before = clock::now().0;
    for n in 0..10 {
        broker.publish("plant/pump-1", &format!("{{\"t\":{n}}}"));
    }
    broker.publish("plant/pump-2", "{\"t\":");
    totals(&daemon, |totals| totals["held"] == 11);
    // Without its acknowledgement the broker would send it again, to the next one.
    broker.until_logged("Received PUBACK from tidegate-site", 11);
    let after = clock::now().0;
    let topics = daemon.json("/api/v1/quarantine/topics");
    let topic = &topics["topics"][1];
    assert_eq!((&topic["topic"], &topic["count"]), (&"plant/pump-1".into(), &10.into()));
    let suggestion = topic["suggestion"].as_str().unwrap();
    assert!(suggestion.contains("decoder = \"json\""), "{suggestion}");
    daemon.kill();

    mend(&mut daemon, &broker, &JSON_ROUTE);
    let replayed = said(&daemon, "quarantine", &["replay", "--topic", "plant/#"]);
    assert!(replayed.starts_with("11 messages to be tried again"), "{replayed}");
    let (times, values) = daemon.samples("pump-1", "t", 10);
    assert_eq!(values, (0..10).map(f64::from).collect::<Vec<_>>());
    // Clocks of brokers and publishers have no part in it.
    assert!(times.iter().all(|time| (before..after).contains(time)), "{before} {times:?} {after}");

    let totals = totals(&daemon, |totals| totals["understood"] == 10 && totals["held"] == 1);
    assert_eq!(totals["came"], 11, "{totals}");
    let left = daemon.eventually("/api/v1/quarantine", |page| {
        page["messages"][0]["attempts"] == 2 && page["messages"][0]["replaying"] == false
    });
    assert_eq!(left["messages"][0]["topic"], "plant/pump-2", "{left:#}");
    let reason = left["messages"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("not valid JSON"), "told by the new route: {reason}");
    let topics = daemon.json("/api/v1/quarantine/topics");
    assert_eq!(topics["topics"].as_array().unwrap().len(), 1, "{topics:#}");
    daemon.stop_and_audit();
}

#[test]
fn a_replay_while_the_daemon_is_down_is_done_when_it_is_up() {
    let broker = Mosquitto::start();
    let mut daemon = Daemon::bridged(&broker.url(), &WRONG_ROUTE);
    daemon.until_subscribed(&broker);
    broker.publish("plant/pump-1", "{\"t\":7}");
    totals(&daemon, |totals| totals["held"] == 1);
    broker.until_logged("Received PUBACK from tidegate-site", 1);
    daemon.stop();
    said(&daemon, "quarantine", &["replay", "--all"]);
    mend(&mut daemon, &broker, &JSON_ROUTE);
    assert_eq!(daemon.samples("pump-1", "t", 1).1, [7.0]);
    totals(&daemon, |totals| totals["held"] == 0);
}

#[test]
fn a_tap_tells_what_routes_make_of_messages_and_takes_none_away() {
    let broker = Mosquitto::start();
    let mut daemon = Daemon::bridged(&broker.url(), &JSON_ROUTE);
    daemon.until_subscribed(&broker);
    broker.publish_bytes("plant/kept", b"{\"t\":1}", &["-r"]);
    let arguments = ["tap", "--topic", "#", "--count", "4"];
    let mut tap = daemon.command("mqtt").args(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(tap.stdout.take().unwrap()).lines().map(Result::unwrap);
    // What the broker has retained comes when the tap is subscribed.
    assert_eq!(lines.next().unwrap(), "plant/kept  7 bytes, QoS 0, retained");
    broker.publish("plant/pump-1", "{\"t\":21.50}");
    broker.publish("plant/pump-1", "{\"t\":");
    broker.publish("else/pump-1", "on");
    let told: Vec<String> = lines.collect();
    assert!(tap.wait().unwrap().success());
    let told = told.join("\n");
    for part in [
        "  {\"t\":1}\n  route 1 (plant/{device}, json):\n    {\"device\":\"kept\",",
        "\n\nplant/pump-1  11 bytes, QoS 0\n  {\"t\":21.50}\n  route 1 (plant/{device}, json):\n    {",
        "\"values\":{\"t\":21.5}",
        "\n    not understood: not valid JSON at line 1",
        "\n\nelse/pump-1  2 bytes, QoS 0\n  on\n  no route takes it; one that would:\n",
        "\n[[intake.mqtt.routes]]\n",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    // The daemon had all of its own meanwhile, on the connection that it had before.
    daemon.samples("pump-1", "t", 1);
    let bridge = daemon.until_bridge(|bridge| bridge["messages"] == 3);
    assert_eq!(bridge["connections"], 1, "{bridge:#}");
    totals(&daemon, |totals| totals["came"] == 1);
    daemon.stop_and_audit();
}

#[test]
fn a_tap_reads_what_somebody_recorded() {
    let settings = bridge("mqtt://127.0.0.1:1", &JSON_ROUTE);
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.arg("mqtt");
    for setting in &settings {
        command.args(["--set", setting]);
    }
    let mut tap = command
        .args(["tap", "--sample", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = tap.stdin.take().unwrap();
    stdin.write_all(b"plant/pump-1 {\"t\": 1, \"on\": true}\n\nplant/pump-2 {\n").unwrap();
    drop(stdin);
    let output = tap.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("\"values\":{\"on\":true,\"t\":1.0}"), "{told}");
    assert!(told.contains("plant/pump-2  1 bytes, QoS 0\n  {\n  route 1"), "{told}");
    assert_eq!(told.matches("not understood").count(), 1, "{told}");
}

#[test]
fn a_check_subscribes_and_says_what_the_broker_answers() {
    let mut broker = Mosquitto::start();
    let daemon = Daemon::bridged(&broker.url(), &JSON_ROUTE);
    daemon.until_subscribed(&broker);
    let checked = said(&daemon, "check", &[]);
    let url = broker.url();
    assert!(checked.contains(&format!("\n#       site  {url}: good\n")), "{checked}");
    assert!(checked.contains("plant/+: good\n"), "{checked}");
    assert!(!said(&daemon, "check", &["--offline"]).contains("brokers answer"));
    let bridge = daemon.until_bridge(|bridge| bridge["state"] == "connected");
    assert_eq!(bridge["connections"], 1, "it was not sent away: {bridge:#}");

    broker.kill();
    let output = run(&daemon, "check", &[]);
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    let problem = String::from_utf8(output.stderr).unwrap();
    assert!(problem.contains("1 of 1 brokers can't be subscribed to"), "{problem}");
}
