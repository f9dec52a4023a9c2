//! InfluxDB's own clients (`tests/neighbours`) write while the daemon is killed and comes back: what they were told
//! of is there, and what they were not they send again.

use crate::daemon::{Daemon, PATIENCE};
use crate::lines::issue;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use tidegate::clock;

const POINTS: usize = 1500;

/// A program of `tests/neighbours` that writes, and what it says.
struct Program {
    name: &'static str,
    child: Child,
    said: Receiver<Json>,
}

impl Program {
    fn start(daemon: &Daemon, name: &'static str, key: &str) -> Program {
        let root = env!("CARGO_MANIFEST_DIR");
        let interpreter = match name.ends_with(".py") {
            true => format!("{root}/.venv-neighbours/bin/python"),
            false => "node".to_owned(),
        };
        let mut child = Command::new(&interpreter)
            .arg(format!("{root}/tests/neighbours/{name}"))
            .args([&format!("http://{}", daemon.address), key, &POINTS.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{interpreter}: {error}; run `make setup-tests`"));
        let (tell, said) = channel();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let said =
                    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                // The test may be over.
                tell.send(said).unwrap_or_default();
            }
        });
        Program { name, child, said }
    }

    fn next(&self) -> Json {
        let said = self.said.recv_timeout(PATIENCE * 4);
        said.unwrap_or_else(|error| panic!("{} says nothing more: {error}", self.name))
    }

    /// Waits until so many more points are stored; gives how many, and whether it is done.
    fn stored(&self, points: usize) -> (usize, bool) {
        let mut stored = 0;
        while stored < points {
            let said = self.next();
            assert_eq!(said["lost"], Json::Null, "{}: {said}", self.name);
            if said["done"] == true {
                return (stored, true);
            }
            stored += said["stored"].as_u64().unwrap() as usize;
        }
        (stored, false)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).unwrap();
    }
}

/// It finds us, is told of a faulty line, and writes over two kills.
fn writes_over_kills(name: &'static str, device: &str) -> (Program, Daemon) {
    // Who shows nothing may look; who shows a key is let in by it, or not at all.
    let mut daemon = Daemon::start(&["auth.anonymous=anywhere"]);
    let key = issue(&daemon, "ingest", device);
    daemon.kill();
    daemon.restart();
    let program = Program::start(&daemon, name, &key);
    let found = program.next();
    assert_eq!((&found["ping"], &found["health"]), (&json!(true), &json!("pass")), "{found}");
    assert!(found["version"].as_str().unwrap().contains("tidegate"), "{found}");
    let refused = program.next();
    let message = refused["refused"].as_str().unwrap();
    assert!(message.contains("line 2"), "{refused}");
    assert!(message.contains("a value: 1.5, 7i"), "{refused}");
    let mut told = 0;
    // Each version has its own way to say so.
    match device {
        "influx1" => assert_eq!(refused["status"], 400),
        "influx3" => {
            assert_eq!(refused["lines"], json!([2]));
            assert_eq!(program.next()["whole"], json!([2]));
        }
        _ => assert_eq!(refused["status"], 422),
    }
    for _ in 0..2 {
        told += program.stored(200).0;
        daemon.kill();
        // Long enough that it notices, and tries in vain.
        std::thread::sleep(std::time::Duration::from_millis(300));
        daemon.restart();
    }
    let (rest, is_done) = program.stored(POINTS);
    assert!(is_done || told + rest >= POINTS, "{told} and {rest} were told to be stored");
    let path = format!("/api/v1/query?device={device}&metric=m.n&from=-1h&to={}", clock::now().0);
    let all: BTreeSet<_> = (0..POINTS as u64).collect();
    let answer = daemon.eventually(&path, |answer| {
        let values = answer["value"].as_array().map_or(&[][..], Vec::as_slice);
        values.iter().filter_map(Json::as_u64).collect::<BTreeSet<_>>() == all
    });
    // What was on disk but not answered when it was killed was sent again, at the same times.
    let times: BTreeSet<_> =
        answer["time"].as_array().unwrap().iter().map(Json::to_string).collect();
    assert_eq!(times.len(), POINTS);
    // The good lines beside the faulty one.
    for (metric, value) in [("told.n", 1), ("told.o", 2)] {
        let range = format!("from=-1h&to={}", clock::now().0);
        let path = format!("/api/v1/query?device={device}&metric={metric}&{range}");
        assert_eq!(daemon.json(&path)["value"], json!([value]));
    }
    daemon.stop_and_audit();
    (program, daemon)
}

#[test]
fn influxdb_of_python_loses_nothing_over_kills() {
    writes_over_kills("influx1.py", "influx1");
}

#[test]
fn influxdb_client_of_python_loses_nothing_over_kills() {
    writes_over_kills("influx2.py", "influx2");
}

#[test]
fn influxdb3_python_loses_nothing_over_kills() {
    writes_over_kills("influx3.py", "influx3");
}

#[test]
fn influxdb_client_of_npm_loses_nothing_over_kills() {
    writes_over_kills("influx2.mjs", "js");
}
