//! Plain MQTT by clients that nobody here wrote.

use crate::daemon::Daemon;
use crate::mosquitto::{Mosquitto, certificates};
use crate::publisher::{AIOMQTT, PAHO, Publisher};
use std::collections::BTreeSet;

/// JSON that tells its time, so that what comes twice is there once.
const ROUTE: [&str; 5] = [
    "routes.0.topic=site/{site}/{device}",
    "routes.0.decoder=json",
    "routes.0.tags.site={site}",
    "routes.0.ignore=/at",
    "routes.0.time=/at",
];

/// The numbers of a stream that its publisher has acknowledgements for.
fn acked(heard: &[String]) -> BTreeSet<u64> {
    heard.iter().filter_map(|line| line.strip_prefix("acked ")?.parse().ok()).collect()
}

/// The numbers of a stream that are in the history, in the order of their times.
fn stored(daemon: &Daemon, device: &str, at_least: usize) -> Vec<u64> {
    let (_, values) = daemon.samples(device, "n", at_least);
    values.into_iter().map(|value| value as u64).collect()
}

#[test]
fn what_paho_and_aiomqtt_have_acknowledgements_for_is_there_once_after_kill_nine() {
    const LAST: u64 = 4000;
    let broker = Mosquitto::start();
    let mut daemon = Daemon::bridged(&broker.url(), &ROUTE);
    daemon.until_subscribed(&broker);
    let mut publishers = [
        ("paho-5", Publisher::start(PAHO, broker.port, "paho-5")),
        ("paho-3", Publisher::start_with(PAHO, broker.port, "paho-3", &["--mqtt", "3"])),
        ("aiomqtt", Publisher::start(AIOMQTT, broker.port, "aiomqtt")),
    ];
    for (name, publisher) in &mut publishers {
        publisher.tell("connect");
        publisher.order(&format!("stream site/north/{name} 1 {LAST}"));
    }
    for kills in 1..=2 {
        for (_, publisher) in &publishers {
            publisher.until_heard(|heard| heard.len() as u64 >= LAST * kills / 3);
        }
        daemon.kill();
        daemon.restart();
    }
    for (name, publisher) in &mut publishers {
        publisher.answer("stream");
        publisher.until_heard(|heard| heard.len() as u64 == LAST);
        let acked = acked(&publisher.heard());
        assert_eq!(acked, (1..=LAST).collect());
        assert_eq!(stored(&daemon, name, LAST as usize), acked.into_iter().collect::<Vec<_>>());
    }
    let series = daemon.json("/api/v1/series?metric=n");
    let series = series["series"].as_array().unwrap();
    assert!(series.iter().all(|it| it["tags"]["site"] == "north"), "{series:#?}");
    assert_eq!(series.len(), 3);
    daemon.until_bridge(|bridge| bridge["unacked"] == 0);
    daemon.stop_and_audit();
}

#[test]
fn tls_and_passwords_on_both_sides_and_what_the_broker_retains() {
    let broker = Mosquitto::new();
    let directory = broker.directory.path().to_owned();
    certificates(&directory, &["broker"]);
    let made = std::process::Command::new("mosquitto_passwd")
        .args(["-b", "-c"])
        .arg(directory.join("passwords"))
        .args(["tide", "right"])
        .status();
    assert!(made.unwrap().success());
    let broker = broker.configured(
        "certfile {}/broker.pem\nkeyfile {}/broker.key\nallow_anonymous false\n\
         password_file {}/passwords\n",
    );
    let authority = directory.join("ca.pem").display().to_string();
    let login = ["--ca", &authority, "--username", "tide", "--password", "right"];
    let mut paho = Publisher::start_with(PAHO, broker.port, "paho", &login);
    paho.tell("connect");
    paho.tell("retain site/north/pump-1 {\"n\":1,\"state\":{\"on\":true}}");
    let mut aiomqtt = Publisher::start_with(AIOMQTT, broker.port, "aiomqtt", &login);
    aiomqtt.tell("connect");

    std::fs::write(directory.join("password"), "right\n").unwrap();
    let (ca, password) =
        (format!("ca_file={authority}"), format!("password_file={}/password", directory.display()));
    let mut settings = ROUTE.to_vec();
    settings.extend([&*ca, &*password, "username=tide"]);
    let daemon = Daemon::bridged(&format!("mqtts://localhost:{}", broker.port), &settings);
    daemon.until_subscribed(&broker);
    assert_eq!(daemon.samples("pump-1", "n", 1).1, [1.0], "it was retained");
    aiomqtt.tell("send site/north/pump-2 {\"n\":2}");
    assert_eq!(daemon.samples("pump-2", "n", 1).1, [2.0]);
    paho.tell("leave");
    aiomqtt.tell("leave");

    let wrong = ["--ca", &authority, "--username", "tide", "--password", "wrong"];
    for program in [PAHO, AIOMQTT] {
        let mut refused = Publisher::start_with(program, broker.port, "nobody", &wrong);
        refused.order("connect");
        refused.refusal("connect");
    }
}
