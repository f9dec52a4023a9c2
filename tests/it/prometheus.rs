//! A real Prometheus (Debian's `prometheus`), on a port and in a directory of its own, with given samples.

use crate::daemon::{PATIENCE, exchange};
use crate::port::Port;
use serde_json::Value;
use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tidegate::clock;

/// A server that runs until it is dropped.
pub struct Prometheus {
    address: SocketAddr,
    child: Child,
    _held: Port,
    _directory: tempfile::TempDir,
}

impl Prometheus {
    /// Starts it with these samples, in OpenMetrics' text; returns when it answers.
    pub fn start(open_metrics: &str) -> Prometheus {
        let held = Port::hold();
        let address = held.address;
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("samples"), open_metrics).unwrap();
        std::fs::write(at("prometheus.yml"), "").unwrap();
        let blocks = Command::new("promtool")
            .args(["tsdb", "create-blocks-from", "openmetrics"])
            .args([at("samples"), at("data")])
            .output()
            .expect("tests/setup installs prometheus");
        assert!(blocks.status.success(), "{}", String::from_utf8_lossy(&blocks.stderr));
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", at("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", at("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(["--storage.tsdb.retention.time=100y", "--log.level=error"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(at("log")).unwrap())
            .spawn()
            .expect("tests/setup installs prometheus");
        let mut prometheus = Prometheus { address, child, _held: held, _directory: directory };
        let deadline = clock::monotonic() + PATIENCE * 2;
        while TcpStream::connect(address).is_err() || !prometheus.is_ready() {
            let ended = prometheus.child.try_wait().unwrap();
            let log = std::fs::read_to_string(prometheus._directory.path().join("log"));
            let late = clock::monotonic() > deadline;
            assert!(ended.is_none() && !late, "it does not start ({ended:?}): {log:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        prometheus
    }

    fn is_ready(&self) -> bool {
        exchange(self.address, "GET", "/-/ready", &[], b"").0 == 200
    }

    /// What it answers, whatever the status.
    pub fn json(&self, path: &str) -> Value {
        let (status, _, body) = exchange(self.address, "GET", path, &[], b"");
        serde_json::from_str(&body)
            .unwrap_or_else(|error| panic!("{path}: {status} {error}: {body}"))
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().unwrap_or_default();
        self.child.wait().unwrap();
    }
}
