//! The example clients of `examples/`, run as their readers would run them.

use crate::commands::{ask, command, until};
use crate::daemon::Daemon;
use serde_json::json;
use std::process::{Child, Command, Stdio};

/// The interpreter that `make setup-tests` prepared.
fn python(daemon: &Daemon, example: &str) -> Running {
    let root = env!("CARGO_MANIFEST_DIR");
    let interpreter = format!("{root}/.venv/bin/python");
    let child = Command::new(&interpreter)
        .arg(format!("{root}/examples/{example}"))
        .args([&daemon.ws_url(), "my-sensor"])
        .env("PYTHONPATH", format!("{root}/.venv/generated"))
        .stdout(Stdio::null())
        .spawn();
    Running(child.unwrap_or_else(|error| panic!("{interpreter}: {error}; run `make setup-tests`")))
}

/// The client of examples/clients/python, as it is installed, with a buffer in the daemon's directory.
fn resuming(daemon: &Daemon) -> Running {
    let child = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.venv/bin/tidegate-example"))
        .args([&daemon.ws_url(), "my-sensor"])
        .arg(daemon.state_dir.path().join("readings.db"))
        .stdout(Stdio::null())
        .spawn();
    Running(child.unwrap_or_else(|error| panic!("{error}; run `make setup-tests`")))
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).unwrap();
    }
}

fn readings(daemon: &Daemon, at_least: usize) -> usize {
    let series = daemon.eventually("/api/v1/series?device=my-sensor", |answer| {
        answer["series"].as_array().is_some_and(|series| !series.is_empty())
    });
    let metric = series["series"][0]["metric"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/query?device=my-sensor&metric={metric}&from=-1h");
    let answer = daemon.eventually(&path, |answer| {
        answer["value"].as_array().is_some_and(|values| values.len() >= at_least)
    });
    answer["value"].as_array().unwrap().len()
}

#[test]
fn the_smallest_client_is_seen() {
    let daemon = Daemon::start(&[]);
    let client = python(&daemon, "smallest_client.py");
    assert!(readings(&daemon, 2) >= 2);
    drop(client);
}

#[test]
fn the_resuming_client_loses_nothing_over_a_kill() {
    let mut daemon = Daemon::start(&[]);
    let client = resuming(&daemon);
    let before = readings(&daemon, 2);
    daemon.kill();
    daemon.restart();
    assert!(readings(&daemon, before + 2) >= before + 2);
    drop(client);
    assert!(daemon.stop().success());
    let audit = daemon.command("audit").output().unwrap();
    assert!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stdout));
}

#[test]
fn the_resuming_client_does_what_it_is_told() {
    let daemon = Daemon::start(&[]);
    let _client = resuming(&daemon);
    let desired = json!({ "document": { "interval_s": 0.5 } });
    assert_eq!(ask(&daemon, "PUT", "/api/v1/devices/my-sensor/desired", &desired).0, 200);
    daemon.eventually("/api/v1/devices/my-sensor/desired", |desired| {
        desired["reported"]["ok"] == true && desired["reported"]["document"]["interval_s"] == 0.5
    });
    let asked = json!({ "name": "set-interval", "arguments": { "seconds": 0.1 } });
    let id = command(&daemon, "my-sensor", &asked);
    assert_eq!(until(&daemon, id, "acknowledged")["result"], json!({ "interval_s": 0.1 }));
    let id = command(&daemon, "my-sensor", &json!({ "name": "dance" }));
    assert_eq!(until(&daemon, id, "failed")["message"], "dance is not known here");
}

#[test]
fn the_history_file_can_be_read_by_others() {
    let mut daemon = Daemon::start(&[]);
    let client = resuming(&daemon);
    let rows = readings(&daemon, 2);
    drop(client);
    assert!(daemon.stop().success());
    let root = env!("CARGO_MANIFEST_DIR");
    let output = Command::new(format!("{root}/.venv/bin/python"))
        .arg(format!("{root}/examples/read_history.py"))
        .arg(daemon.state_dir.path().join("history.db"))
        .args(["my-sensor", "temperature"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.lines().count() >= rows, "{text} {}", String::from_utf8_lossy(&output.stderr));
    let query = daemon
        .command("query")
        .args(["my-sensor", "temperature", "--format", "csv"])
        .output()
        .unwrap();
    let csv = String::from_utf8_lossy(&query.stdout);
    assert!(csv.lines().count() > rows, "{csv} {}", String::from_utf8_lossy(&query.stderr));
}
