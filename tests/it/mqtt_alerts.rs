//! Others at the broker are told of alerts.

use crate::daemon::Daemon;
use crate::mosquitto::{Mosquitto, bridge};
use crate::mqtt_publish::{Message, Subscriber};
use crate::notify::measured;
use serde_json::Value;

fn settings(broker: &Mosquitto) -> Vec<String> {
    let mut all = bridge(
        &broker.url(),
        &["version=5", "routes.0.topic=plant/{device#}", "routes.0.decoder=json"],
    );
    let more = [
        "intake.mqtt.0.publish.alerts=tidegate/alerts/{rule}/{device}",
        "intake.mqtt.0.publish.alerts_clear=3 s",
        "intake.mqtt.0.publish.qos=1",
        "alerts.0.name=motor hot",
        "alerts.0.kind=threshold",
        "alerts.0.metric=motor.temperature",
        "alerts.0.above=80",
    ];
    all.extend(more.map(str::to_owned));
    all
}

fn is(device: &str, state: &str) -> impl Fn(&Message) -> bool {
    let topic = format!("tidegate/alerts/motor hot/{device}");
    move |message| message.topic == topic && message.payload["state"] == state
}

#[test]
fn an_alert_is_retained_while_it_is_open_and_cleared_when_it_is_over() {
    let mut broker = Mosquitto::start();
    let settings = settings(&broker);
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let mut daemon = Daemon::start(&settings);
    daemon.until_subscribed(&broker);
    // Names in topics have blanks; the subscriber prints the topic before the payload.
    let watching = Subscriber::start(&broker, "tidegate/alerts/#");
    measured(&daemon, "pump-7", 92.5);
    measured(&daemon, "pump-8", 93.5);
    let fired = watching.until("fired", is("pump-7", "firing"));
    assert!(!fired.retained && fired.payload["rule"] == "motor hot", "{fired:?}");
    watching.until("fired", is("pump-8", "firing"));
    let late =
        Subscriber::start(&broker, "tidegate/alerts/#").until("kept", is("pump-7", "firing"));
    assert!(late.retained, "{late:?}");

    // A broker that has lost what it kept is told again; so is it by a daemon that was killed.
    drop(watching);
    broker.kill();
    std::fs::remove_file(broker.directory.path().join("mosquitto.db")).ok();
    daemon.until_bridge(|bridge| bridge["state"] == "away");
    broker.restart();
    Subscriber::start(&broker, "tidegate/alerts/#").until("again", is("pump-8", "firing"));
    daemon.kill();
    let watching = Subscriber::start(&broker, "tidegate/alerts/#");
    daemon.restart();
    let open = is("pump-7", "firing");
    watching.until("told again", |message| !message.retained && open(message));
    measured(&daemon, "pump-7", 71.0);
    watching.until("over", is("pump-7", "resolved"));
    let cleared = watching.until("cleared", |message| message.payload == Value::Null);
    assert_eq!(cleared.topic, "tidegate/alerts/motor hot/pump-7");
    let kept = Subscriber::start(&broker, "tidegate/alerts/#").until("kept", |_| true);
    assert_eq!(kept.topic, "tidegate/alerts/motor hot/pump-8", "only what is open");
}
