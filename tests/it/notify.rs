//! Rules fire on the real daemon, and who wants to be told is told: signed, once, whatever is killed.

use crate::daemon::Daemon;
use crate::plant::eventually;
use crate::receiver::{Endpoint, How};
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

const SECRET: &str = "correct horse battery staple";

/// Settings of one rule and one webhook.
fn settings(endpoint: &Endpoint, secret: &tempfile::NamedTempFile, more: &[&str]) -> Vec<String> {
    std::fs::write(secret.path(), format!("{SECRET}\n")).unwrap();
    let mut all: Vec<String> = [
        "alerts.0.name=motor hot",
        "alerts.0.kind=threshold",
        "alerts.0.metric=motor.temperature",
        "alerts.0.above=80",
        "alerts.0.severity=critical",
        "notify.group_wait=100 ms",
        "notify.group_interval=100 ms",
        "notify.webhook.0.name=ops",
    ]
    .map(str::to_owned)
    .into();
    all.push(format!("notify.webhook.0.url={}", endpoint.url()));
    all.push(format!("notify.webhook.0.secret_file={}", secret.path().display()));
    all.extend(more.iter().map(ToString::to_string));
    all
}

fn start(settings: &[String]) -> Daemon {
    Daemon::start(&settings.iter().map(String::as_str).collect::<Vec<_>>())
}

/// One reading of a pump's temperature.
pub fn measured(daemon: &Daemon, device: &str, value: f64) {
    let values = json!({ "motor.temperature": value });
    let line =
        json!({ "device": device, "values": values, "units": { "motor.temperature": "°C" } });
    let headers = [("content-type", "application/x-ndjson")];
    let (status, answer) =
        daemon.request("POST", "/api/v1/ingest", &headers, line.to_string().as_bytes());
    assert_eq!(status, 200, "{answer}");
}

fn channel(daemon: &Daemon, wanted: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
    let wanted = |answer: &serde_json::Value| wanted(&answer["channels"][0]);
    daemon.eventually("/api/v1/notifications", wanted)["channels"][0].clone()
}

#[test]
fn a_rule_that_fires_is_told_signed_and_so_is_its_end() {
    let (endpoint, secret) = (Endpoint::start(), tempfile::NamedTempFile::new().unwrap());
    let daemon = start(&settings(&endpoint, &secret, &[]));
    measured(&daemon, "pump-7", 92.5);
    let fired = endpoint.taken();
    assert!(fired.is_genuine(SECRET) && !fired.is_genuine("another"), "{fired:?}");
    let said = fired.summary();
    assert!(said.starts_with("[critical] ") && said.contains("pump-7"), "{said}");
    assert!(said.contains("92.5") && said.contains("80"), "{said}");
    assert_eq!((&fired.body["id"], &fired.body["more"]), (&json!(fired.delivery), &json!(0)));
    let event = &fired.body["events"][0];
    assert_eq!((&event["kind"], &event["alert"]["state"]), (&json!("fired"), &json!("firing")));
    assert_eq!(event["alert"]["device"], "pump-7");

    measured(&daemon, "pump-7", 71.0);
    let resolved = endpoint.taken();
    assert!(resolved.is_genuine(SECRET));
    assert!(resolved.summary().starts_with("[resolved] pump-7: motor hot is over"), "{resolved:?}");
    let channel = channel(&daemon, |it| it["sent"] == 2 && it["state"] == "idle");
    assert_eq!(channel["kind"], "webhook");
    let status = daemon.json("/api/v1/status");
    assert_eq!(status["notify"], json!({ "failing": [], "dead_letters": 0 }));
    let metrics = daemon.get("/metrics").1;
    let delivered =
        "tidegate_notifications_total{channel=\"ops\",kind=\"webhook\",outcome=\"delivered\"} 2";
    assert!(metrics.contains(delivered), "{metrics}");
}

#[test]
fn a_thousand_devices_that_fall_silent_make_one_message() {
    const COUNT: usize = 1000;
    let (endpoint, secret) = (Endpoint::start(), tempfile::NamedTempFile::new().unwrap());
    let more = [
        "alerts.1.name=device offline",
        "alerts.1.kind=offline",
        "alerts.1.for=100 ms",
        "live.offline_after=2 s",
        "notify.group_wait=5 s",
    ];
    let daemon = start(&settings(&endpoint, &secret, &more));
    let lines = (0..COUNT).map(|n| format!("{{\"device\":\"pump-{n}\",\"values\":{{\"t\":1}}}}\n"));
    let headers = [("content-type", "application/x-ndjson")];
    let body: String = lines.collect();
    let (status, answer) = daemon.request("POST", "/api/v1/ingest", &headers, body.as_bytes());
    assert_eq!(status, 200, "{answer}");
    let message = endpoint.taken();
    let said = message.summary();
    assert!(said.contains("1,000 alerts fired: device offline (1,000)"), "{said}");
    assert_eq!(message.body["events"].as_array().unwrap().len(), 100);
    assert_eq!(message.body["more"], 900);
    assert!(message.is_genuine(SECRET));
    channel(&daemon, |channel| channel["state"] == "idle" && channel["sent"] == 1);
}

#[test]
fn what_is_away_is_told_when_it_is_back_although_the_daemon_was_killed() {
    let (mut endpoint, secret) = (Endpoint::away(), tempfile::NamedTempFile::new().unwrap());
    let mut daemon = start(&settings(&endpoint, &secret, &[]));
    measured(&daemon, "pump-7", 92.5);
    let channel_ = channel(&daemon, |channel| channel["state"] == "failing");
    assert!(channel_["last_error"].as_str().unwrap().contains("refused"), "{channel_}");
    assert_eq!(daemon.json("/api/v1/status")["notify"]["failing"], json!(["ops"]));
    let status = daemon.command("status").output().unwrap();
    let said = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(said.contains("notifications of ops are not taken"), "{said}");
    // Another waits behind it.
    measured(&daemon, "pump-8", 93.5);
    channel(&daemon, |channel| channel["pending_events"] == 2);
    daemon.kill();
    daemon.restart();
    channel(&daemon, |channel| channel["state"] == "failing");
    endpoint.come_back();
    assert!(endpoint.taken().summary().contains("pump-7"));
    assert!(endpoint.taken().summary().contains("pump-8"));
    channel(&daemon, |channel| channel["state"] == "idle" && channel["sent"] == 2);
    assert!(endpoint.is_silent(Duration::from_secs(1)), "each once");
}

#[test]
fn killed_between_delivery_and_writing_that_down_it_comes_again_under_the_same_id() {
    let (endpoint, secret) = (Endpoint::start(), tempfile::NamedTempFile::new().unwrap());
    let mut daemon = start(&settings(&endpoint, &secret, &[]));
    endpoint.will(&[How::Hang]);
    measured(&daemon, "pump-7", 92.5);
    let first = endpoint.next(How::Hang);
    daemon.kill();
    daemon.restart();
    let again = endpoint.taken();
    assert_eq!((&first.delivery, &first.raw), (&again.delivery, &again.raw));
    assert!(again.is_genuine(SECRET));
    channel(&daemon, |channel| channel["state"] == "idle" && channel["sent"] == 1);
    daemon.kill();
    daemon.restart();
    measured(&daemon, "pump-9", 99.0);
    assert!(endpoint.taken().summary().contains("pump-9"), "nothing is told twice");
}

#[test]
fn people_send_again_what_was_refused_and_try_a_channel() {
    let (endpoint, secret) = (Endpoint::start(), tempfile::NamedTempFile::new().unwrap());
    let daemon = start(&settings(&endpoint, &secret, &[]));
    let post = |path: &str, body: &serde_json::Value| {
        let body = body.to_string();
        let (status, answer) =
            daemon.request("POST", &format!("/api/v1/notifications/{path}"), &[], body.as_bytes());
        (status, serde_json::from_str::<serde_json::Value>(&answer).unwrap())
    };
    assert_eq!(post("ops/test", &json!({})), (200, json!({ "ok": true })));
    assert!(endpoint.taken().summary().starts_with("[test]"));
    endpoint.will(&[How::Status(410)]);
    let (status, answer) = post("ops/test", &json!({}));
    assert_eq!((status, &answer["ok"]), (200, &json!(false)), "{answer}");
    assert_eq!(post("nobody/test", &json!({})).0, 404);

    endpoint.will(&[How::Status(422); 3]);
    measured(&daemon, "pump-7", 92.5);
    let refused = endpoint.next(How::Status(422));
    let listed = daemon.eventually("/api/v1/notifications", |answer| {
        answer["dead_letters"].as_array().is_some_and(|letters| letters.len() == 1)
    });
    let letter = &listed["dead_letters"][0];
    assert_eq!((&letter["id"], &letter["attempts"]), (&json!(refused.delivery), &json!(3)));
    assert!(letter["reason"].as_str().unwrap().contains("422"), "{letter}");
    let meant = json!({ "ids": [refused.delivery] });
    assert_eq!(post("dead-letters/retry", &meant), (200, json!({ "letters": 1 })));
    assert_eq!(endpoint.taken().delivery, refused.delivery);
    assert_eq!(post("dead-letters/drop", &meant), (200, json!({ "letters": 0 })));
    assert_eq!(post("dead-letters/drop", &json!({})).0, 400);
    let foreign = [("origin", "http://evil.example")];
    let path = "/api/v1/notifications/ops/test";
    assert_eq!(daemon.request("POST", path, &foreign, b"{}").0, 403);
}

/// The first block of a language in the manual.
fn block(language: &str) -> String {
    let manual = include_str!("../../docs/notifications.md");
    let (_, block) = manual.split_once(&format!("```{language}\n")).unwrap();
    block.split_once("```").unwrap().0.to_owned()
}

#[test]
fn the_receivers_of_the_manual_believe_what_is_signed() {
    let directory = tempfile::tempdir().unwrap();
    let secret = tempfile::NamedTempFile::new().unwrap();
    let mut endpoint = Endpoint::away();
    let receiver = directory.path().join("receiver.py");
    std::fs::write(&receiver, block("python")).unwrap();
    let start_receiver = |secret: &std::path::Path| {
        let mut child = Command::new("python3")
            .arg(&receiver)
            .arg(secret)
            .arg(endpoint.port.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Each attempt that finds nobody makes the next one later.
        eventually("the receiver listens", || {
            TcpStream::connect(("127.0.0.1", endpoint.port)).is_ok()
        });
        (child, lines)
    };
    let daemon = start(&settings(&endpoint, &secret, &[]));
    let wrong = directory.path().join("wrong");
    std::fs::write(&wrong, "another").unwrap();
    let (mut child, _) = start_receiver(&wrong);
    measured(&daemon, "pump-7", 92.5);
    channel(&daemon, |channel| {
        channel["last_error"].as_str().is_some_and(|error| error.contains("401"))
    });
    child.kill().and_then(|()| child.wait()).unwrap();
    let (mut child, mut lines) = start_receiver(secret.path());
    let line = lines.next().unwrap().unwrap();
    assert!(line.starts_with("[critical] ") && line.contains("pump-7"), "{line}");
    channel(&daemon, |channel| channel["sent"] == 1);
    child.kill().and_then(|()| child.wait()).unwrap();

    // The shell's check, of a message as it came.
    endpoint.come_back();
    measured(&daemon, "pump-8", 92.5);
    let message = endpoint.taken();
    std::fs::write(directory.path().join("body"), &message.raw).unwrap();
    std::fs::write(directory.path().join("secret"), SECRET).unwrap();
    let check = |signature: &str| {
        let output = Command::new("sh")
            .args(["-c", &block("sh")])
            .current_dir(directory.path())
            .env("TIMESTAMP", &message.timestamp)
            .env("SIGNATURE", signature)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(check(&message.signature), "genuine\n");
    assert_eq!(check(&message.signature.replace("sha256=", "sha256=0")), "");
}

#[test]
fn check_says_who_would_be_told_and_whether_they_answer() {
    let (mut endpoint, secret) = (Endpoint::away(), tempfile::NamedTempFile::new().unwrap());
    let all = settings(&endpoint, &secret, &[]);
    let check = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.arg("check").args(arguments);
        for setting in &all {
            command.args(["--set", setting]);
        }
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(said).unwrap())
    };
    let place = format!("http://127.0.0.1:{}", endpoint.port);
    let (code, said) = check(&[]);
    assert!(code == 69 && said.contains("1 of 1 channels can't be reached"), "{said}");
    assert!(said.contains(&format!("ops  webhook {place}, signed: everything")), "{said}");
    assert_eq!(check(&["--offline"]).0, 0);
    endpoint.come_back();
    let (code, said) = check(&[]);
    assert!(code == 0 && said.contains(&format!("ops  {place}: good")), "{said}");
    assert!(!said.contains(SECRET), "{said}");
}

#[test]
fn a_channel_that_is_configured_no_more_is_forgotten() {
    let (endpoint, secret) = (Endpoint::away(), tempfile::NamedTempFile::new().unwrap());
    let all = settings(&endpoint, &secret, &[]);
    let mut daemon = start(&all);
    measured(&daemon, "pump-7", 92.5);
    channel(&daemon, |channel| channel["state"] == "failing");
    assert!(daemon.stop().success());
    let fewer: Vec<&str> =
        all.iter().map(String::as_str).filter(|setting| !setting.contains("webhook")).collect();
    daemon.set(&fewer);
    daemon.restart();
    let line = daemon.wait_for_log("not configured any more");
    assert!(line.contains("channel=ops") && line.contains("messages=1"), "{line}");
    assert_eq!(daemon.json("/api/v1/notifications"), json!({ "channels": [], "dead_letters": [] }));
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    daemon.stop();
    daemon.set(&all);
    daemon.restart();
    assert_eq!(channel(&daemon, |_| true)["pending_events"], 0, "it begins anew");
}
