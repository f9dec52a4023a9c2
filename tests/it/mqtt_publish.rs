//! Others at the broker are told rollups, and which devices are online.

use crate::daemon::{Daemon, PATIENCE};
use crate::mosquitto::{Mosquitto, bridge};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use tidegate::clock;

/// `mosquitto_sub`: what is published, with its topics.
pub struct Subscriber {
    child: Child,
    lines: Receiver<String>,
}

/// A message, and whether the broker had kept it.
#[derive(Debug, Clone)]
pub struct Message {
    pub retained: bool,
    pub topic: String,
    pub payload: Value,
}

impl Subscriber {
    /// Returns when it is subscribed.
    pub fn start(broker: &Mosquitto, filter: &str) -> Subscriber {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let id = format!("subscriber-{}-", STARTED.fetch_add(1, Ordering::Relaxed));
        let mut child = Command::new("mosquitto_sub")
            .args(["-h", "127.0.0.1", "-p", &broker.port.to_string(), "-q", "1", "-t", filter])
            .args(["-i", &id, "-F", "%r\t%t\t%p"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("mosquitto_sub; tests/setup installs it");
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // The test may be over.
                drop(sender.send(line));
            }
        });
        broker.until_logged(&format!("Sending SUBACK to {id}"), 1);
        Subscriber { child, lines }
    }

    /// The next message that is wanted; others pass by.
    pub fn until(&self, what: &str, mut wanted: impl FnMut(&Message) -> bool) -> Message {
        let deadline = clock::monotonic() + PATIENCE;
        let mut seen = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(clock::monotonic());
            let Ok(line) = self.lines.recv_timeout(left) else { panic!("{what} in {seen:#?}") };
            let mut parts = line.splitn(3, "\t");
            let mut part = || parts.next().unwrap().to_owned();
            let (retained, topic) = (part() == "1", part());
            let payload = serde_json::from_str(&part()).unwrap_or_default();
            let message = Message { retained, topic, payload };
            if wanted(&message) {
                return message;
            }
            seen.push(message);
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).ok();
    }
}

fn settings(broker: &Mosquitto, version: &str) -> Vec<String> {
    let mut all = bridge(
        &broker.url(),
        &[version, "routes.0.topic=plant/{device#}", "routes.0.decoder=json"],
    );
    let publish =
        ["rollups=tidegate/{device}/{metric}", "presence=online/{device}", "window=1 s", "qos=1"];
    all.extend(publish.map(|setting| format!("intake.mqtt.0.publish.{setting}")));
    all.push("live.offline_after=2 s".to_owned());
    all
}

fn start(settings: &[String]) -> Daemon {
    Daemon::start(&settings.iter().map(String::as_str).collect::<Vec<_>>())
}

fn is_online(device: &str, online: bool) -> impl Fn(&Message) -> bool {
    let topic = format!("online/{device}");
    move |message| message.topic == topic && message.payload["online"] == online
}

fn rollups_and_presence_over(version: &str) {
    const COUNT: u64 = 30;
    const GROUP: u64 = 10;
    let mut broker = Mosquitto::start();
    let daemon = start(&settings(&broker, version));
    daemon.until_subscribed(&broker);
    let rollups = Subscriber::start(&broker, "tidegate/#");
    let presence = Subscriber::start(&broker, "online/#");
    // The name has a slash, which would make a level.
    // Every sample is in one window, which is told once.
    let (mut count, mut sum, mut end, mut windows) = (0, 0.0, 0, 0);
    let mut told = |sent: u64| {
        rollups.until("all samples", |message| {
            if message.topic != "tidegate/line%2F1/t" {
                return false;
            }
            let told = &message.payload;
            assert!(told["start"].as_i64().unwrap() >= end, "in order, each once: {message:?}");
            end = told["end"].as_i64().unwrap();
            windows += 1;
            count += told["count"].as_u64().unwrap();
            sum += told["mean"].as_f64().unwrap() * told["count"].as_f64().unwrap();
            count >= sent
        })
    };
    let group = |from: u64| {
        for n in from..from + GROUP {
            broker.publish("plant/line/1", &format!("{{\"t\":{n},\"mode\":\"auto\"}}"));
        }
    };
    group(1);
    let online = presence.until("online", is_online("line%2F1", true));
    assert!(!online.retained, "it was told when it happened");
    // What comes after a window was told is in another.
    told(GROUP);
    group(1 + GROUP);
    told(2 * GROUP);
    group(1 + 2 * GROUP);
    let last = told(COUNT);
    assert_eq!((count, sum.round()), (COUNT, (COUNT * (COUNT + 1) / 2) as f64));
    assert!(windows >= 3 && !last.retained, "{windows} {last:?}");
    assert_eq!(last.payload["max"], COUNT);
    assert_eq!((&last.payload["device"], &last.payload["metric"]), (&json!("line/1"), &json!("t")));

    // It falls silent, perhaps not for the first time; who comes later is told the last of it.
    let device = "/api/v1/devices/line%2F1";
    let silent = daemon.eventually(device, |device| device["online"] == false)["since"].as_i64();
    let offline = is_online("line%2F1", false);
    presence
        .until("offline", |message| offline(message) && message.payload["time"].as_i64() >= silent);
    let late = Subscriber::start(&broker, "online/#").until("kept", |_| true);
    assert!(late.retained && late.payload["online"] == false, "{late:?}");

    // A broker that has lost what it kept is told again.
    drop((rollups, presence));
    broker.kill();
    std::fs::remove_file(broker.directory.path().join("mosquitto.db")).ok();
    daemon.until_bridge(|bridge| bridge["state"] == "away");
    broker.restart();
    let again = Subscriber::start(&broker, "online/#");
    again.until("again", is_online("line%2F1", false));

    let bridge = daemon.until_bridge(|bridge| bridge["state"] == "connected");
    assert!(bridge["published"].as_u64() >= Some(windows + 3), "{bridge:#}");
    assert_eq!(bridge["messages"], COUNT, "it hears nothing of its own: {bridge:#}");
    let metrics = daemon.get("/metrics").1;
    assert!(metrics.contains("tidegate_mqtt_not_published_total{bridge=\"site\"} 0"), "{metrics}");
}

#[test]
fn rollups_and_presence_are_published_over_version_5() {
    rollups_and_presence_over("version=5");
}

#[test]
fn rollups_and_presence_are_published_over_version_3() {
    rollups_and_presence_over("version=4");
}

#[test]
fn what_a_bridge_would_take_from_itself_is_refused_at_the_start() {
    let broker = Mosquitto::start();
    let check = |more: &[&str]| {
        let mut all = settings(&broker, "version=5");
        all.extend(more.iter().map(|setting| format!("intake.mqtt.0.{setting}")));
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        let state_dir = tempfile::tempdir().unwrap();
        command.args(["check", "--state-dir"]).arg(state_dir.path());
        for setting in &all {
            command.args(["--set", setting]);
        }
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    };
    let (fine, said) = check(&[]);
    assert!(fine, "{said}");
    let (fine, said) = check(&["routes.1.topic={a}/{device}/+", "routes.1.decoder=json"]);
    assert!(!fine && said.contains("intake.mqtt.0.publish.rollups"), "{said}");
    assert!(said.contains("routes.1 takes what is published there"), "{said}");
    let (fine, said) = check(&[
        "routes.1.topic=tidegate/#",
        "routes.1.decoder=ignore",
        "routes.2.topic=+/{device}/+",
        "routes.2.decoder=json",
    ]);
    assert!(fine, "{said}");
    let (fine, said) = check(&["publish.window=7 s"]);
    assert!(!fine && said.contains("none of live.windows"), "{said}");
}
