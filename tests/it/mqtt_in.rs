//! What is published at a real broker is in the history, over both versions of MQTT, and acknowledged
//! only when it is durable.

use crate::client::reading;
use crate::daemon::Daemon;
use crate::mosquitto::{JSON_ROUTE, Mosquitto, certificates};
use serde_json::json;
use tidegate::clock;
use tidegate::decode;

fn with<'a>(settings: &[&'a str]) -> Vec<&'a str> {
    JSON_ROUTE.into_iter().chain(settings.iter().copied()).collect()
}

fn json_arrives_over(version: &str) {
    let broker = Mosquitto::start();
    let mut daemon = Daemon::bridged(&broker.url(), &with(&[version]));
    daemon.until_subscribed(&broker);
    let now = clock::now().0 / 1_000_000;
    for n in 0..20 {
        broker.publish("plant/pump-1", &format!("{{\"t\":{n},\"nested\":{{\"on\":true}}}}"));
    }
    let (times, values) = daemon.samples("pump-1", "t", 20);
    assert_eq!(values, (0..20).map(f64::from).collect::<Vec<_>>());
    let sent = now..=clock::now().0 / 1_000_000;
    assert!(times.iter().all(|time| sent.contains(&(time / 1_000_000))), "{times:?} in {sent:?}");
    let series = daemon.json("/api/v1/series?device=pump-1");
    assert_eq!(series["series"].as_array().unwrap().len(), 2, "{series}");

    let bridge = daemon.until_bridge(|bridge| {
        bridge["routes"][0]["samples"] == 40
            && bridge["unacked"] == 0
            && bridge["in_flight_bytes"] == 0
    });
    assert_eq!(bridge["routes"][0]["messages"], 20, "{bridge:#}");
    broker.until_logged("Received PUBACK from tidegate-site", 20);
    let metrics = daemon.get("/metrics").1;
    for line in [
        "tidegate_mqtt_state{bridge=\"site\"} 0",
        "tidegate_mqtt_route_samples_total{bridge=\"site\",route=\"0\"} 40",
        "tidegate_batches_refused_total{protocol=\"mqtt\"",
    ] {
        assert_eq!(metrics.contains(line), !line.contains("refused"), "{line}: {metrics}");
    }
    let ledger = daemon.json("/api/v1/ledger");
    assert!(ledger.to_string().contains("mqtt:site"), "{ledger:#}");
    daemon.stop_and_audit();
    broker.until_logged("Received DISCONNECT from tidegate-site", 1);
}

#[test]
fn json_arrives_over_version_5() {
    json_arrives_over("version=5");
}

#[test]
fn json_arrives_over_version_3() {
    json_arrives_over("version=4");
}

#[test]
fn scalars_and_native_batches_arrive_and_a_native_one_only_once() {
    let broker = Mosquitto::start();
    let mut daemon = Daemon::bridged(
        &broker.url(),
        &[
            "routes.0.topic=scalar/{device}/{metric}",
            "routes.0.decoder=scalar",
            "routes.1.topic=native/{client}/{session}",
            "routes.1.decoder=tidegate",
        ],
    );
    daemon.until_subscribed(&broker);
    broker.publish("scalar/pump-1/speed", "12.5");
    let batch = decode::encode(&reading("pump-2", "t", 7.5), 1);
    for _ in 0..3 {
        broker.publish_bytes("native/gateway/9", &batch, &[]);
    }
    assert_eq!(daemon.samples("pump-1", "speed", 1).1, [12.5]);
    assert_eq!(daemon.samples("pump-2", "t", 1).1, [7.5]);
    let status = daemon.eventually("/api/v1/status", |status| status["ledger"]["duplicates"] == 2);
    assert_eq!(status["ledger"]["accepted"], 2, "{status:#}");
    daemon.until_bridge(|bridge| bridge["unacked"] == 0);
    daemon.stop_and_audit();
}

#[test]
fn what_is_not_understood_is_kept_for_people_and_slows_nobody() {
    let broker = Mosquitto::start();
    let settings =
        with(&["routes.1.topic=other/#", "routes.1.decoder=ignore", "message_bytes_max=10 KiB"]);
    let daemon = Daemon::bridged(&broker.url(), &settings);
    daemon.until_subscribed(&broker);
    broker.publish("plant/pump-1", "{\"t\":1}");
    broker.publish("plant/pump-1", "{\"t\":");
    broker.publish("other/thing", "whatever");
    broker.publish_bytes("plant/pump-1", &vec![b' '; 300_000], &[]);
    broker.publish_lines("plant/pump-2", (0..5000).map(|_| "nonsense".to_owned()));
    broker.publish("plant/pump-1", "{\"t\":2}");
    assert_eq!(daemon.samples("pump-1", "t", 2).1, [1.0, 2.0]);
    let bridge =
        daemon.until_bridge(|bridge| bridge["unacked"] == 0 && bridge["state"] == "connected");
    assert_eq!(bridge["routes"][0]["refused"], 5002, "{bridge:#}");
    assert_eq!(bridge["too_long"], 1, "{bridge:#}");
    assert_eq!(bridge["connections"], 1, "{bridge:#}");
    let error = bridge["routes"][0]["last_error"].as_str().unwrap();
    assert!(error.contains("not valid JSON"), "{error}");
    broker.until_logged("Received PUBACK from tidegate-site", 5005);
    assert!(daemon.refused("mqtt", "MALFORMED") >= 5001, "{}", daemon.get("/metrics").1);
}

#[test]
fn passwords_and_names_are_states_with_a_cause() {
    let mut broker = Mosquitto::new();
    let passwords = broker.directory.path().join("passwords");
    let made = std::process::Command::new("mosquitto_passwd")
        .args(["-b", "-c"])
        .arg(&passwords)
        .args(["tide", "right"])
        .status();
    assert!(made.unwrap().success());
    broker = broker.configured("allow_anonymous false\npassword_file {}/passwords\n");
    broker.publish_with(&["-u", "tide", "-P", "right"]);
    for (version, subscribed) in [("version=4", 1), ("version=5", 2)] {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "wrong\n").unwrap();
        let password = format!("password_file={}", file.path().display());
        let daemon = Daemon::bridged(&broker.url(), &with(&["username=tide", &password, version]));
        let bridge = daemon.until_bridge(|bridge| bridge["state"] == "refused");
        let cause = bridge["cause"].as_str().unwrap();
        assert!(cause.contains("user"), "{version}: {bridge:#}");
        // The file is read again for the next attempt.
        std::fs::write(file.path(), "right\n").unwrap();
        daemon.until_bridge(|bridge| bridge["state"] == "connected");
        broker.until_logged("Sending SUBACK to tidegate-site", subscribed);
        broker.publish("plant/pump-1", "{\"t\":1}");
        daemon.samples("pump-1", "t", 1);
    }
}

#[test]
fn tls_needs_the_right_authority_and_certificate() {
    let broker = Mosquitto::new();
    certificates(broker.directory.path(), &["broker", "client"]);
    let other = tempfile::tempdir().unwrap();
    certificates(other.path(), &["client"]);
    let mut broker = broker.configured(
        "cafile {}/ca.pem\ncertfile {}/broker.pem\nkeyfile {}/broker.key\nrequire_certificate true\n\
         use_identity_as_username true\nallow_anonymous false\n",
    );
    let file = |directory: &std::path::Path, name: &str| directory.join(name).display().to_string();
    let own = |name: &str| file(broker.directory.path(), name);
    let (authority, certificate, key) = (own("ca.pem"), own("client.pem"), own("client.key"));
    broker.publish_with(&["--cafile", &authority, "--cert", &certificate, "--key", &key]);
    let url = format!("mqtts://localhost:{}", broker.port);
    let daemon = |authority: &str, identity: Option<(&str, &str)>| {
        let mut settings = vec![format!("ca_file={authority}")];
        if let Some((certificate, key)) = identity {
            settings.push(format!("certificate_file={certificate}"));
            settings.push(format!("key_file={key}"));
        }
        Daemon::bridged(&url, &with(&settings.iter().map(String::as_str).collect::<Vec<_>>()))
    };
    let cause = |daemon: &Daemon| {
        let bridge = daemon.until_bridge(|bridge| bridge["state"] == "away");
        bridge["cause"].as_str().unwrap().to_owned()
    };
    let wrong_authority = daemon(&file(other.path(), "ca.pem"), Some((&certificate, &key)));
    let said = cause(&wrong_authority);
    assert!(said.contains("TLS") && said.contains("certificate"), "{said}");
    drop(wrong_authority);
    let without = daemon(&authority, None);
    let said = cause(&without);
    assert!(said.contains("ertificate"), "{said}");
    drop(without);
    let right = daemon(&authority, Some((&certificate, &key)));
    right.until_subscribed(&broker);
    broker.publish_bytes("plant/pump-1", b"{\"t\":3}", &["-h", "localhost"]);
    assert_eq!(right.samples("pump-1", "t", 1).1, [3.0]);
    assert_eq!(right.bridge()["cause"], json!(null));
}
