//! The clients of `examples/clients` with the real daemon, while both are killed again and again.

use crate::daemon::Daemon;
use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use tidegate::clock;
use tidegate::sinks::history::{Data, Query, Shape, Values, read_only};

pub const PYTHON: &[&str] = &[".venv/bin/tidegate-conformance-client"];
pub const TYPESCRIPT: &[&str] = &["node", "examples/clients/typescript/dist/conformance.js"];
pub const RUST: &[&str] = &["target/clients/debug/tidegate-conformance-client"];
pub const C: &[&str] = &["examples/clients/c/build/conformance"];

/// The clients' own name, and their device's.
const NAME: &str = "survivor";
const ROUNDS: u32 = 8;
const READINGS_PER_ROUND: u64 = 40;
/// A client that is not done by now hangs.
const DONE_WITHIN: Duration = Duration::from_secs(90);

/// A run of a client with readings from `first` on.
pub struct Run {
    pub child: Child,
    said: Receiver<String>,
    /// The seqs that it said it kept.
    kept: Vec<u64>,
}

impl Run {
    pub fn start(daemon: &Daemon, command: &[&str], dir: &Path, first: u64, readings: u64) -> Run {
        let mut child = Command::new(command[0])
            .args(&command[1..])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("CONFORMANCE_URL", daemon.ws_url())
            .env("CONFORMANCE_TOKEN", "")
            .env("CONFORMANCE_CLIENT", NAME)
            .env("CONFORMANCE_DIR", dir)
            .env("CONFORMANCE_BUFFER", "10000")
            .env("CONFORMANCE_FIRST", first.to_string())
            .env("CONFORMANCE_READINGS", readings.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}; run `make setup-tests`"));
        let (tell, said) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        // The test may be over.
        std::thread::spawn(move || {
            let lines = stdout.lines().map_while(Result::ok);
            lines.for_each(|line| tell.send(line).unwrap_or_default());
        });
        Run { child, said, kept: Vec::new() }
    }

    /// What it said that it kept, in all; it ends.
    pub fn kept(&mut self) -> &[u64] {
        while let Ok(line) = self.said.recv() {
            self.note(&line);
        }
        &self.kept
    }

    /// Waits until it has kept so many.
    pub fn until_kept(&mut self, wanted: usize) {
        while self.kept.len() < wanted {
            let line = self.said.recv_timeout(DONE_WITHIN).expect("it keeps what it is given");
            self.note(&line);
        }
    }

    fn note(&mut self, line: &str) {
        let seq = line.strip_prefix("kept ").expect("nothing was refused or given up");
        self.kept.push(seq.parse().unwrap());
    }

    pub fn kill(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).unwrap();
    }

    /// Waits until it ends; whether that was well, and its complaints.
    pub fn end(&mut self) -> (bool, String) {
        let deadline = clock::monotonic() + DONE_WITHIN;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(clock::monotonic() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(50));
        };
        let mut complaints = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut complaints).unwrap();
        (status.success(), complaints)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What was kept is in the history once, however often either side was killed. To the end of the file of
/// the buffer, if it is one that only grows, comes what a write leaves that a power cut tore.
fn survives(command: &[&str], growing: Option<&str>) {
    let mut daemon = Daemon::start(&["history.flush_interval=300 ms"]);
    let dir = tempfile::tempdir().unwrap();
    // Readings and seqs go apart where a run was killed between keeping a reading and saying so.
    let (mut reading, mut last_seq) = (0, 0);
    for round in 0..ROUNDS {
        let mut run = Run::start(&daemon, command, dir.path(), reading + 1, READINGS_PER_ROUND);
        std::thread::sleep(Duration::from_millis(rand::random_range(0..900)));
        if round % 2 == 0 {
            daemon.kill();
            std::thread::sleep(Duration::from_millis(rand::random_range(0..200)));
            run.kill();
            daemon.restart();
        } else {
            run.kill();
        }
        if let Some(file) = growing {
            let mut file =
                OpenOptions::new().append(true).create(true).open(dir.path().join(file)).unwrap();
            file.write_all(&[40, 0, 0, 0, 1, 2, 3, 4, b'B', 9]).unwrap();
        }
        let kept = run.kept();
        reading += kept.len() as u64;
        last_seq = kept.last().copied().unwrap_or(last_seq);
    }
    let mut run = Run::start(&daemon, command, dir.path(), reading + 1, 5);
    let (success, complaints) = run.end();
    assert!(success, "{complaints}");
    reading += 5;
    let last_seq = *run.kept().last().unwrap();
    assert!(daemon.stop().success());

    let (values, stored) = history(&daemon);
    let rows = values.len();
    let values: BTreeSet<_> = values.into_iter().collect();
    let missing: Vec<_> = (1..=reading.cast_signed()).filter(|it| !values.contains(it)).collect();
    assert!(missing.is_empty(), "{missing:?} of {reading} are missing");
    // One batch has one row. A batch that entered twice would be counted twice.
    assert_eq!(stored, last_seq, "{rows} rows, seqs up to {last_seq}");
    let audit = daemon.command("audit").output().unwrap();
    assert!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stdout));
}

/// The readings in the history of a daemon that has ended, and how many samples were ever stored there.
pub fn history(daemon: &Daemon) -> (Vec<i64>, u64) {
    let history = read_only(&daemon.state_dir.path().join("history.db")).unwrap();
    let query = Query {
        device: NAME,
        metric: "conformance",
        tags: &[],
        from: i64::MIN,
        to: i64::MAX,
        shape: Shape::Raw { max: usize::MAX },
    };
    let Data::Raw { values: Values::Ints(values), .. } = history.query(&query).unwrap().data else {
        panic!("these are whole numbers")
    };
    (values, history.counts().stored)
}

#[test]
fn the_python_client_and_the_daemon_survive_kill_nine() {
    survives(PYTHON, None);
}

#[test]
fn the_typescript_client_and_the_daemon_survive_kill_nine() {
    survives(TYPESCRIPT, Some("buffer.log"));
}

#[test]
fn the_rust_client_and_the_daemon_survive_kill_nine() {
    survives(RUST, Some("buffer.log"));
}

#[test]
fn the_c_client_and_the_daemon_survive_kill_nine() {
    survives(C, None);
}

#[test]
fn the_rust_clients_own_tests_pass() {
    let output = Command::new(env!("CARGO"))
        .args(["test", "--quiet", "--locked", "--target-dir", "target/clients", "--manifest-path"])
        .arg("examples/clients/rust/Cargo.toml")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
