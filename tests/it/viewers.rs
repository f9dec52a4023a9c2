//! Viewers by clients that nobody here wrote (`tests/viewers`): each is cut off by kills of the daemon, comes back,
//! and misses nothing and gets nothing twice.

use crate::client::{Client, reading};
use crate::daemon::{Daemon, PATIENCE};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use tidegate::clock;

/// A program of `tests/viewers` that watches.
struct Program {
    name: &'static str,
    child: Child,
    seen: Arc<(Mutex<Seen>, Condvar)>,
}

/// What it told.
#[derive(Default, Debug)]
struct Seen {
    /// Samples by start of their window.
    windows: BTreeMap<i64, (i64, Value)>,
    kinds: BTreeMap<String, usize>,
    /// Rollups that it was told although it knew them.
    twice: usize,
}

impl Seen {
    fn frame(&mut self, frame: &Value) {
        let kind = frame["type"].as_str().unwrap();
        *self.kinds.entry(kind.to_owned()).or_default() += 1;
        match kind {
            "snapshot" => self.windows.clear(),
            "rollups" => {}
            _ => return,
        }
        for device in frame["data"]["devices"].as_array().unwrap() {
            for rollup in device["rollups"]["t"].as_array().unwrap_or(&Vec::new()) {
                let known = (rollup[1].as_i64().unwrap(), rollup.clone());
                let before = self.windows.insert(rollup[0].as_i64().unwrap(), known.clone());
                self.twice += usize::from(before == Some(known));
            }
        }
    }

    fn samples(&self) -> i64 {
        self.windows.values().map(|(count, _)| count).sum()
    }

    fn count(&self, kind: &str) -> usize {
        self.kinds.get(kind).copied().unwrap_or(0)
    }
}

impl Program {
    fn start(daemon: &Daemon, name: &'static str) -> Program {
        let root = env!("CARGO_MANIFEST_DIR");
        let script = format!("{root}/tests/viewers/{name}");
        let interpreter = match name.rsplit_once('.') {
            Some((_, "py")) => format!("{root}/.venv/bin/python"),
            Some((_, "mjs")) => "node".to_owned(),
            _ => "bash".to_owned(),
        };
        let mut child = Command::new(&interpreter)
            .arg(&script)
            .args([&format!("http://{}", daemon.address), "device=pump-*&metric=t"])
            .env("PYTHONPATH", format!("{root}/.venv/generated"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{interpreter}: {error}; run `make setup-tests`"));
        let seen: Arc<(Mutex<Seen>, Condvar)> = Arc::default();
        let (lines, told) = (BufReader::new(child.stdout.take().unwrap()).lines(), seen.clone());
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let frame: Value = serde_json::from_str(&line).unwrap();
                told.0.lock().unwrap().frame(&frame);
                told.1.notify_all();
            }
        });
        Program { name, child, seen }
    }

    /// Waits until it has seen what is wanted.
    fn until(&self, wanted: impl Fn(&Seen) -> bool) {
        let deadline = clock::monotonic() + PATIENCE * 2;
        let mut seen = self.seen.0.lock().unwrap();
        while !wanted(&seen) {
            assert!(clock::monotonic() < deadline, "{}: {seen:?}", self.name);
            let wait = std::time::Duration::from_millis(100);
            seen = self.seen.1.wait_timeout(seen, wait).unwrap().0;
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).unwrap();
    }
}

/// Readings come, the daemon is killed, readings come before the viewer is back, and again.
fn watch_over_kills(name: &'static str) {
    let mut daemon = Daemon::start(&[]);
    let (mut client, _) = Client::greet(&daemon, "pump-7", 1);
    let mut next = 1;
    let mut send = |client: &mut Client, count: u64| {
        for _ in 0..count {
            client.batch(next, &reading("pump-7", "t", next as f64));
            client.acked(next);
            next += 1;
        }
    };
    send(&mut client, 5);
    let viewer = Program::start(&daemon, name);
    viewer.until(|seen| seen.count("snapshot") == 1 && seen.count("device") > 0);
    send(&mut client, 10);
    viewer.until(|seen| seen.samples() == 15);
    for kills in 1..=2 {
        send(&mut client, 3);
        daemon.kill();
        daemon.restart();
        client = Client::greet(&daemon, "pump-7", 1).0;
        send(&mut client, 4);
        viewer.until(|seen| seen.samples() == 15 + 7 * kills);
    }
    let seen = viewer.seen.0.lock().unwrap();
    assert_eq!(seen.count("snapshot"), 1, "{name} resumed: {:?}", seen.kinds);
    assert_eq!(seen.twice, 0, "{name}");
    assert!(seen.count("rollups") >= 3 && seen.count("alert") > 0, "{name}: {:?}", seen.kinds);
}

#[test]
fn the_npm_package_eventsource_misses_nothing_over_kills() {
    watch_over_kills("eventsource.mjs");
}

#[test]
fn httpx_sse_misses_nothing_over_kills() {
    watch_over_kills("sse_httpx.py");
}

#[test]
fn curl_misses_nothing_over_kills() {
    watch_over_kills("sse_curl.sh");
}

#[test]
fn websockets_misses_nothing_over_kills() {
    watch_over_kills("ws_websockets.py");
}

#[test]
fn websockets_with_protobuf_misses_nothing_over_kills() {
    watch_over_kills("ws_protobuf.py");
}

#[test]
fn long_polls_miss_nothing_over_kills() {
    watch_over_kills("poll_httpx.py");
}
