//! What an operator types: `tidegate status`, `tidegate breaker`.

use crate::client::{Client, reading};
use crate::daemon::Daemon;
use crate::store::{Reaction, Store};
use std::process::Output;

fn start(store: &Store) -> Daemon {
    let url = format!("sinks.influx.0.url={}", store.url());
    Daemon::start(&[&url, "sinks.influx.0.bucket=north", "sinks.influx.0.batch_age=20 ms"])
}

fn run(daemon: &Daemon, command: &str, arguments: &[&str]) -> (i32, String) {
    let Output { status, stdout, stderr } =
        daemon.command(command).args(arguments).output().unwrap();
    (status.code().unwrap(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

fn says(daemon: &Daemon, command: &str, arguments: &[&str], code: i32, wanted: &[&str]) {
    let (found, printed) = run(daemon, command, arguments);
    let all = wanted.iter().all(|wanted| printed.contains(wanted));
    assert!(
        found == code && all,
        "{command} {arguments:?}: {found}, wanted {code} {wanted:?}: {printed}"
    );
}

#[test]
fn an_operator_sees_how_it_is_and_sets_a_breaker() {
    let store = Store::start(|_| Reaction::stored());
    let mut daemon = start(&store);
    let (mut client, _) = Client::greet(&daemon, "gateway-1", 1);
    client.batch(1, &reading("pump-7", "motor.temperature", 71.5));
    client.acked(1);
    daemon.eventually("/api/v1/status", |status| status["sinks"][1]["written"] == 1);
    let well =
        [": all is well", "ledger    balanced: 1 samples accepted", "sink      influx closed"];
    says(&daemon, "status", &[], 0, &well);
    let (code, json) = run(&daemon, "status", &["--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &json["sinks"][1]["name"]), (0, &"influx".into()));

    says(&daemon, "breaker", &["influx", "hold"], 0, &["influx OPEN, held by an operator"]);
    client.batch(2, &reading("pump-7", "motor.temperature", 72.5));
    client.acked(2);
    daemon.eventually("/api/v1/status", |status| status["sinks"][1]["lag_samples"] == 1);
    let held = ["NEEDS YOU: influx is held by an operator", "influx OPEN", "lag     1 samples, "];
    says(&daemon, "status", &[], 1, &held);
    assert_eq!(store.stored().len(), 1);
    assert_eq!(run(&daemon, "breaker", &["influx", "release"]).0, 0);
    store.wait(|_, stored| stored.len() == 2);
    daemon.eventually("/api/v1/status", |status| status["sinks"][1]["breaker"] == "closed");
    says(&daemon, "status", &[], 0, &["all is well"]);

    says(
        &daemon,
        "breaker",
        &["north/../x", "hold"],
        64,
        &["there is no sink north/../x", "has influx"],
    );
    says(
        &daemon,
        "breaker",
        &["history", "hold"],
        1,
        &["the history is a file of the daemon's own"],
    );
    says(&daemon, "breaker", &["influx", "open"], 64, &["possible values: hold, probe, release"]);

    // Somebody else's HTTP server is no daemon.
    says(&daemon, "status", &["--url", &store.url()], 69, &[&store.url()]);
    let there = format!("http://{}", daemon.address);
    says(&daemon, "status", &["--url", &there], 0, &["all is well"]);
    daemon.stop_and_audit();
    says(&daemon, "status", &[], 69, &["no daemon answers at", &there]);
    says(&daemon, "breaker", &["influx", "probe"], 69, &["no daemon answers at", &there]);
}

#[test]
fn a_daemon_that_hangs_is_told_from_one_that_is_well() {
    let daemon = Daemon::start(&[]);
    daemon.pause();
    let (code, printed) = run(&daemon, "status", &[]);
    daemon.resume();
    assert!(code == 69 && printed.contains("does not answer within 10 s"), "{code} {printed}");
}
