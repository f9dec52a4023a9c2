//! SIGHUP: bridges and their routes come, change and go; the others stay connected.

use crate::daemon::Daemon;
use crate::mosquitto::Mosquitto;
use crate::reload::{says, started};
use serde_json::Value;

fn bridge(name: &str, broker: &Mosquitto, topic: &str) -> String {
    format!(
        "[[intake.mqtt]]\nname = \"{name}\"\nurl = \"{}\"\n\
         [[intake.mqtt.routes]]\ntopic = \"{topic}\"\ndecoder = \"json\"\n",
        broker.url()
    )
}

fn bridge_of(status: &Value, name: &str) -> Value {
    let all = status["intake"]["mqtt"].as_array().unwrap();
    all.iter().find(|bridge| bridge["name"] == name).cloned().unwrap_or_default()
}

/// Waits until it has so many subscriptions there since the broker's start, and is connected.
fn until_subscribed(daemon: &Daemon, name: &str, broker: &Mosquitto, count: usize) {
    broker.until_logged(&format!("Sending SUBACK to tidegate-{name}"), count);
    daemon.eventually("/api/v1/status", |status| bridge_of(status, name)["state"] == "connected");
}

#[test]
fn bridges_come_change_and_go_and_the_others_stay_connected() {
    let (one, two) = (Mosquitto::start(), Mosquitto::start());
    let stays = bridge("stays", &one, "plant/{device}");
    let changes = bridge("changes", &two, "old/{device}");
    let mut daemon = started(&[&*stays, &changes].concat());
    until_subscribed(&daemon, "stays", &one, 1);
    until_subscribed(&daemon, "changes", &two, 1);
    one.publish("plant/a", "{\"t\":1}");
    two.publish("old/b", "{\"t\":2}");
    daemon.samples("a", "t", 1);
    daemon.samples("b", "t", 1);
    // Otherwise the broker would send it again, and it would be there twice.
    two.until_logged("Received PUBACK from tidegate-changes", 1);

    let changed = bridge("changes", &two, "new/{device}");
    let comes = bridge("comes", &one, "more/{device}");
    let log = daemon.reload(&[&*comes, &changed, &stays].concat());
    let applied = "applied=\"intake.mqtt.changes.routes.0.topic, intake.mqtt.comes\"";
    assert!(says(&log, &["event=reloaded", applied]), "{log:#?}");
    two.until_logged("Received DISCONNECT from tidegate-changes", 1);
    until_subscribed(&daemon, "changes", &two, 2);
    until_subscribed(&daemon, "comes", &one, 1);
    one.publish("plant/a", "{\"t\":3}");
    one.publish("more/c", "{\"t\":4}");
    two.publish("new/d", "{\"t\":5}");
    assert_eq!(daemon.samples("a", "t", 2).1, [1.0, 3.0]);
    assert_eq!(daemon.samples("c", "t", 1).1, [4.0]);
    assert_eq!(daemon.samples("d", "t", 1).1, [5.0]);
    let status = daemon.json("/api/v1/status");
    assert_eq!(bridge_of(&status, "stays")["connections"], 1, "{status:#}");
    assert_eq!(bridge_of(&status, "changes")["routes"][0]["topic"], "new/{device}", "{status:#}");
    assert!(one.logged("Received DISCONNECT from tidegate-stays").is_empty());

    // The last one at that broker: it keeps what comes until somebody is there again.
    two.until_logged("Received PUBACK from tidegate-changes", 2);
    let log = daemon.reload(&stays);
    let applied = "applied=\"intake.mqtt.changes, intake.mqtt.comes\"";
    assert!(says(&log, &["event=reloaded", applied]), "{log:#?}");
    one.until_logged("Received DISCONNECT from tidegate-comes", 1);
    two.until_logged("Received DISCONNECT from tidegate-changes", 2);
    let status = daemon.json("/api/v1/status");
    assert!(bridge_of(&status, "comes").is_null(), "{status:#}");
    let metrics = daemon.get("/metrics").1;
    assert!(!metrics.contains("bridge=\"changes\"") && metrics.contains("bridge=\"stays\""));
    two.publish("new/d", "{\"t\":6}");
    daemon.reload(&[&*stays, &changed].concat());
    assert_eq!(daemon.samples("d", "t", 2).1, [5.0, 6.0]);
    daemon.stop_and_audit();
    two.until_logged("Received DISCONNECT from tidegate-changes", 3);
}

#[test]
fn as_much_is_kept_of_what_is_not_understood_as_the_configuration_says_now() {
    let broker = Mosquitto::start();
    let site = bridge("site", &broker, "plant/{device}");
    let daemon = started(&site);
    until_subscribed(&daemon, "site", &broker, 1);
    for n in 0..6 {
        broker.publish(&format!("plant/pump-{n}"), "{");
    }
    let totals = |wanted: [u64; 3]| {
        let is = |page: &Value| {
            ["came", "held", "shed"].map(|key| page["totals"][key].as_u64().unwrap()) == wanted
        };
        daemon.eventually("/api/v1/quarantine", is)
    };
    totals([6, 6, 0]);
    let log = daemon.reload(&format!("{site}[quarantine]\nmessages_max = 4\n"));
    assert!(says(&log, &["event=reloaded", "applied=quarantine.messages_max"]), "{log:#?}");
    // Nothing came meanwhile.
    totals([6, 4, 2]);
    broker.publish("plant/pump-6", "{");
    totals([7, 4, 3]);
    daemon.reload(&format!("{site}[quarantine]\nmessages_max = 10\nage_max = \"1 h\"\n"));
    broker.publish("plant/pump-7", "{");
    totals([8, 5, 3]);
    assert_eq!(bridge_of(&daemon.json("/api/v1/status"), "site")["connections"], 1);
}
