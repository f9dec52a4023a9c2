//! Commands for devices behind a broker: Sparkplug nodes and their devices, and devices that listen on
//! a topic.

use crate::commands::{ask, command, until};
use crate::daemon::Daemon;
use crate::mosquitto::{Mosquitto, bridge};
use crate::publisher::{COMMANDED, Publisher, TAHU};
use serde_json::{Value, json};
use std::process::Command;

const NODE: &str = "plant%2Fn1";
const METER: &str = "plant%2Fn1%2Fmeter";

/// Waits until live knows that a device is heard of through the bridge.
fn until_seen(daemon: &Daemon, device: &str) {
    daemon.until(&format!("/api/v1/devices/{device}"), 200);
}

fn node(broker: &Mosquitto) -> Publisher {
    let mut node = Publisher::start(TAHU, broker.port, "n1");
    node.tell("birth");
    node
}

fn heard(device: &mut Publisher, line: &str) {
    device.until_heard(|heard| heard.iter().any(|it| it == line));
}

#[test]
fn a_sparkplug_node_is_written_to_and_its_report_is_the_answer() {
    let broker = Mosquitto::start();
    let settings = [
        "routes.0.topic=spBv1.0/#",
        "routes.0.decoder=sparkplug",
        "routes.0.qos=0",
        "live.offline_after=1 h",
    ];
    let daemon = Daemon::bridged(&broker.url(), &settings);
    daemon.until_subscribed(&broker);
    let mut n1 = node(&broker);
    until_seen(&daemon, METER);
    until_seen(&daemon, NODE);

    let id =
        command(&daemon, METER, &json!({ "name": "temperature", "arguments": { "value": 42.5 } }));
    let done = until(&daemon, id, "acknowledged");
    assert_eq!(
        (&done["via"], &done["message"]),
        (&json!("sparkplug"), &json!("temperature reports 42.5"))
    );
    heard(&mut n1, "written temperature=42.5");
    let id = command(&daemon, NODE, &json!({ "name": "uptime", "arguments": { "value": 9 } }));
    until(&daemon, id, "acknowledged");
    heard(&mut n1, "written uptime=9");
    let values = json!({ "values": { "count": 5, "state": "on" } });
    let id = command(&daemon, METER, &json!({ "name": "set", "arguments": values }));
    until(&daemon, id, "acknowledged");
    heard(&mut n1, "written state=on");
    let id = command(&daemon, NODE, &json!({ "name": "rebirth" }));
    assert_eq!(until(&daemon, id, "acknowledged")["message"], "it was born again");
    heard(&mut n1, "reborn");

    for (asked, why) in [
        (json!({ "name": "speed", "arguments": { "value": 1 } }), "has no metric speed"),
        (json!({ "name": "running", "arguments": { "value": 1 } }), "the value is not a Boolean"),
        (json!({ "name": "running" }), "takes the name of a metric with"),
    ] {
        let id = command(&daemon, METER, &asked);
        let failed = until(&daemon, id, "failed");
        assert!(failed["message"].as_str().unwrap().contains(why), "{failed}");
        assert_eq!((&failed["sent_at"], &failed["attempts"]), (&Value::Null, &json!(0)));
    }

    // One that is away gets it when it is born again; at once the daemon says why it waits.
    n1.tell("device-death");
    let device = format!("/api/v1/devices/{METER}");
    daemon.eventually(&device, |device| device["online"] == false);
    let asked = json!({ "name": "running", "arguments": { "value": true }, "ttl_s": 600 });
    let id = command(&daemon, METER, &asked);
    let path = format!("/api/v1/commands/{id}");
    daemon.eventually(&path, |command| {
        command["message"].as_str().is_some_and(|message| message.contains("is offline"))
    });
    n1.tell("device-birth");
    until(&daemon, id, "acknowledged");
    heard(&mut n1, "written running=True");

    // It does not do it; what it reports instead is told.
    n1.tell("deaf");
    let asked = json!({ "name": "count", "arguments": { "value": 77 }, "ttl_s": 15 });
    let id = command(&daemon, METER, &asked);
    heard(&mut n1, "written count=77");
    n1.tell("data count=3");
    let over = until(&daemon, id, "expired");
    assert_eq!(over["message"], "no answer came: it reports count = 3");
}

/// A daemon whose devices are told things over topics, and one of them.
fn site(broker: &Mosquitto, more: &[&str], arguments: &[&str]) -> (Daemon, Publisher) {
    let mut settings = vec!["routes.0.topic=site/{device}/state", "routes.0.decoder=json"];
    settings.extend(more);
    let daemon = Daemon::bridged(&broker.url(), &settings);
    daemon.until_subscribed(broker);
    let mut lamp = Publisher::start_with(COMMANDED, broker.port, "lamp", arguments);
    lamp.tell("connect");
    lamp.tell("send site/lamp/state {\"power\":4.5}");
    until_seen(&daemon, "lamp");
    (daemon, lamp)
}

const TOPIC: &str = "intake.mqtt.0.commands.topic=site/{device}/cmd";
const RESULTS: &str = "intake.mqtt.0.commands.results=site/{device}/cmd/result";

#[test]
fn a_device_at_a_broker_is_told_over_its_topic_and_answers_on_another() {
    let broker = Mosquitto::start();
    let (daemon, lamp) = site(&broker, &[TOPIC, RESULTS], &["--obey"]);
    let asked = json!({ "name": "on", "arguments": { "watts": 5 }, "by": "ana" });
    let id = command(&daemon, "lamp", &asked);
    let done = until(&daemon, id, "acknowledged");
    assert_eq!(
        (&done["via"], &done["message"], &done["result"]),
        (&json!("mqtt"), &json!("done"), &json!({ "was": "on" }))
    );
    lamp.until_heard(|heard| !heard.is_empty());
    let heard = lamp.heard();
    let told: Value = serde_json::from_str(heard[0].strip_prefix("command ").unwrap()).unwrap();
    let expires_at = &done["expires_at"];
    let expected = json!({ "id": id, "device": "lamp", "name": "on", "arguments": { "watts": 5 }, "expires_at": expires_at });
    assert_eq!(told, expected);
    assert_eq!(daemon.bridge()["unrouted"], 0);
}

#[test]
fn what_is_no_answer_is_put_in_quarantine_and_one_of_another_device_is_not_taken() {
    let broker = Mosquitto::start();
    let (mut daemon, mut lamp) = site(&broker, &[TOPIC, RESULTS], &[]);
    let asked = json!({ "name": "on", "ttl_s": 600, "delivery": "at_least_once" });
    let id = command(&daemon, "lamp", &asked);
    lamp.until_heard(|heard| !heard.is_empty());
    let path = format!("/api/v1/commands/{id}");
    let sent = daemon.eventually(&path, |it| it["message"] != "");
    assert_eq!(sent["message"], "the broker took it; the device has not answered");
    lamp.tell(&format!("send site/other/cmd/result {{\"id\":{id},\"ok\":true}}"));
    lamp.tell("send site/lamp/cmd/result nonsense");
    let quarantined =
        daemon.eventually("/api/v1/quarantine", |it| it["messages"].as_array().unwrap().len() == 2);
    let reasons: Vec<_> = quarantined["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["reason"].as_str().unwrap())
        .collect();
    assert!(
        reasons[0].contains("was for lamp") && reasons[1].contains("no answer to a command"),
        "{reasons:?}"
    );
    assert_eq!(daemon.json(&path)["state"], "sent");
    // The next daemon sends it again: it may come twice.
    daemon.kill();
    daemon.restart();
    lamp.until_heard(|heard| heard.len() == 2);
    lamp.tell(&format!(
        "send site/lamp/cmd/result {{\"id\":{id},\"ok\":false,\"message\":\"no bulb\"}}"
    ));
    let failed = until(&daemon, id, "failed");
    assert_eq!((&failed["message"], &failed["attempts"]), (&json!("no bulb"), &json!(2)));
}

#[test]
fn without_a_topic_for_answers_the_broker_is_all_that_answers_and_without_any_nothing_is_sent() {
    let broker = Mosquitto::start();
    let (daemon, lamp) = site(&broker, &[TOPIC], &[]);
    let id = command(&daemon, "lamp", &json!({ "name": "on" }));
    let done = until(&daemon, id, "acknowledged");
    assert_eq!(done["message"], "the broker took it; what the device does is not known");
    lamp.until_heard(|heard| heard.len() == 1);
    drop((daemon, lamp));
    let (daemon, _lamp) = site(&broker, &[], &[]);
    let id = command(&daemon, "lamp", &json!({ "name": "on" }));
    let failed = until(&daemon, id, "failed");
    assert!(failed["message"].as_str().unwrap().contains("intake.mqtt.commands"), "{failed}");
}

#[test]
fn topics_that_make_no_sense_are_told_before_the_start() {
    let check = |settings: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(["check", "--offline"]);
        for setting in bridge("mqtt://127.0.0.1:1", settings) {
            command.args(["--set", &setting]);
        }
        String::from_utf8(command.output().unwrap().stderr).unwrap()
    };
    let json = ["routes.0.topic=site/{device}/+", "routes.0.decoder=json"];
    for (settings, problem) in [
        (vec![RESULTS], "nobody answers without commands.topic"),
        (vec!["intake.mqtt.0.commands.topic=site/cmd"], "{device} is missing"),
        (vec![TOPIC, "intake.mqtt.0.commands.results=site/{device}/cmd"], "from where commands go"),
        ([&[TOPIC], &json[..]].concat(), "takes what is published there"),
    ] {
        let said = check(&settings);
        assert!(said.contains(problem), "{settings:?}: {said}");
    }
}

#[test]
fn an_operator_sends_commands_and_documents_from_the_command_line() {
    let broker = Mosquitto::start();
    let (daemon, _lamp) = site(&broker, &[TOPIC, RESULTS], &["--obey"]);
    let run = |name: &str, arguments: &[&str]| {
        let output = daemon.command(name).args(arguments).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(said).unwrap())
    };
    let sent = run("command", &["send", "lamp", "on", "{\"watts\":5}", "--wait", "--by", "ana"]);
    assert!(
        sent.0 == 0 && sent.1.ends_with("lamp on acknowledged: done: {\"was\":\"on\"}\n"),
        "{sent:?}"
    );
    let sent = run("command", &["send", "away", "on", "--ttl", "1 s", "--wait"]);
    assert!(sent.0 == 1 && sent.1.contains("away on expired: it could not be sent"), "{sent:?}");
    let listed = run("command", &["ls", "lamp"]);
    assert!(listed.0 == 0 && listed.1.contains("acknowledged  mqtt  ana"), "{listed:?}");
    let (code, said) = run("command", &["send", "lamp", "on", "{watts:5}"]);
    assert!(code == 64 && said.contains("are no JSON"), "{said}");
    let file = daemon.state_dir.path().join("wanted.json");
    std::fs::write(&file, "{\"interval_s\": 5}").unwrap();
    let set = run("desired", &["set", "lamp", file.to_str().unwrap()]);
    assert_eq!(set, (0, "lamp should be set to version 1\n".to_owned()));
    let (code, got) = run("desired", &["get", "lamp"]);
    assert!(code == 0 && got.contains("\"interval_s\": 5"), "{got}");
    assert_eq!(run("desired", &["get", "nobody"]).0, 1);
    assert_eq!(ask(&daemon, "POST", "/api/v1/commands/1/cancel", &json!({})).0, 404);
}
