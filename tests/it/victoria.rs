//! A real VictoriaMetrics (Debian's `victoria-metrics`), on a port and in a directory of its own.

use crate::daemon::{PATIENCE, exchange, signal};
use crate::port::Port;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tidegate::clock;

/// A store that runs, or was killed and can be started again on the same data.
pub struct Victoria {
    pub address: SocketAddr,
    _held: Port,
    directory: tempfile::TempDir,
    child: Option<Child>,
}

/// What it has of one series.
#[derive(Debug, serde::Deserialize)]
pub struct Series {
    /// Tags, and as `__name__` measurement and field.
    #[serde(rename = "metric")]
    pub labels: BTreeMap<String, String>,
    pub values: Vec<f64>,
    /// Milliseconds.
    pub timestamps: Vec<i64>,
}

/// Whether all threads of a process are stopped; one that ends meanwhile counts as such.
fn stands_still(process: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    threads.into_iter().all(|thread| {
        let stat = std::fs::read_to_string(thread.unwrap().path().join("stat")).unwrap_or_default();
        // The state comes after the name, which is in brackets.
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
    })
}

impl Victoria {
    /// Starts it without data; returns when it answers.
    pub fn start() -> Victoria {
        let (held, directory) = (Port::hold(), tempfile::tempdir().unwrap());
        let address = held.address;
        let mut victoria = Victoria { address, _held: held, directory, child: None };
        victoria.restart();
        victoria
    }

    /// Starts it again on the same data, after [`Victoria::kill`].
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let log = File::create(self.directory.path().join("log")).unwrap();
        let child = Command::new("victoria-metrics")
            .arg(format!("-httpListenAddr={}", self.address))
            .arg(format!("-storageDataPath={}", self.directory.path().join("data").display()))
            // Writes that come twice are stored once; nothing is too old.
            .args(["-dedup.minScrapeInterval=1ms", "-retentionPeriod=100y"])
            // By default it wants most of the machine's memory.
            .arg("-memory.allowedBytes=256MiB")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        let child = child.expect("tests/setup installs victoria-metrics");
        self.child = Some(child);
        let deadline = clock::monotonic() + PATIENCE * 2;
        while TcpStream::connect(self.address).is_err() || self.get("/health").0 != 200 {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            let late = clock::monotonic() > deadline;
            assert!(ended.is_none() && !late, "it does not start ({ended:?}): {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// SIGKILL. What it answered in its last seconds it may have forgotten.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM: it keeps all that it answered.
    pub fn stop(&mut self) {
        let mut child = self.child.take().unwrap();
        signal(&child, Signal::TERM);
        child.wait().unwrap();
    }

    /// SIGSTOP: connections are taken (by the kernel), nothing is answered. Returns when the last of
    /// its threads stands still.
    pub fn pause(&self) {
        let child = self.child.as_ref().unwrap();
        signal(child, Signal::STOP);
        let deadline = clock::monotonic() + PATIENCE;
        while !stands_still(child.id()) {
            assert!(clock::monotonic() < deadline, "it does not stop");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// SIGCONT.
    pub fn resume(&self) {
        signal(self.child.as_ref().unwrap(), Signal::CONT);
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn get(&self, path: &str) -> (u16, String) {
        let (status, _, body) = exchange(self.address, "GET", path, &[], b"");
        (status, body)
    }

    /// All that it has of the series that fit, as in `{device="pump-7"}`, oldest first; ordered by
    /// labels. Equal samples that came twice may be there twice.
    pub fn series(&self, selector: &str) -> Vec<Series> {
        // What came a moment ago can be seen only after this.
        assert_eq!(self.get("/internal/force_flush").0, 200);
        let encoded =
            percent_encoding::utf8_percent_encode(selector, percent_encoding::NON_ALPHANUMERIC);
        let (status, body) = self.get(&format!("/api/v1/export?match[]={encoded}"));
        assert_eq!(status, 200, "{body}");
        let mut series: Vec<Series> =
            body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        series
    }

    /// How many samples it has of the series that fit.
    pub fn count(&self, selector: &str) -> usize {
        self.series(selector).iter().map(|series| series.values.len()).sum()
    }

    /// Waits until it has at least so many.
    pub fn wait_for(&self, selector: &str, count: usize) {
        let deadline = clock::monotonic() + PATIENCE;
        loop {
            let found = self.count(selector);
            if found >= count {
                return;
            }
            assert!(clock::monotonic() < deadline, "{found} of {count} samples of {selector}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Victoria {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().and_then(|()| child.wait()).ok();
        }
    }
}

mod tests {
    use super::Victoria;
    use crate::daemon::exchange;
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::time::Duration;

    const WRITE: &str = "/api/v2/write?bucket=b&precision=ns";

    fn write(victoria: &Victoria, lines: &str) {
        let (status, _, body) = exchange(victoria.address, "POST", WRITE, &[], lines.as_bytes());
        assert_eq!(status, 204, "{body}");
    }

    #[test]
    fn two_lines_are_written_and_queried_back() {
        let victoria = Victoria::start();
        write(
            &victoria,
            "m,device=a v=1.5 1763712000001000000\nm,device=a v=2 1763712000002000000\n",
        );
        write(&victoria, "m,device=b v=3,w=4i 1763712000001000000\n");
        let series = victoria.series("{device=\"a\"}");
        assert_eq!(series.len(), 1);
        assert_eq!(series[0].labels["__name__"], "m_v");
        assert_eq!(series[0].values, [1.5, 2.0]);
        assert_eq!(series[0].timestamps, [1_763_712_000_001, 1_763_712_000_002]);
        assert_eq!(victoria.count("{device=~\".+\"}"), 4);
        victoria.wait_for("{device=\"b\"}", 2);
        assert_eq!(victoria.count("{device=\"c\"}"), 0);
    }

    #[test]
    fn it_starts_again_after_a_kill() {
        let mut victoria = Victoria::start();
        let url = victoria.url();
        write(&victoria, "m,device=a v=1 1763712000000000000\n");
        assert_eq!(victoria.count("{device=\"a\"}"), 1);
        // A flush makes it seen, not durable: that comes a few seconds later. So only that it starts.
        victoria.kill();
        assert!(TcpStream::connect(victoria.address).is_err());
        victoria.restart();
        assert_eq!(victoria.url(), url);
        write(&victoria, "m,device=b v=1 1763712000000000000\n");
        assert_eq!(victoria.count("{device=\"b\"}"), 1);
    }

    #[test]
    fn paused_it_answers_nothing_and_resumed_it_does() {
        let victoria = Victoria::start();
        victoria.pause();
        let mut socket = TcpStream::connect(victoria.address).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        socket.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        assert!(socket.read(&mut [0; 64]).is_err());
        victoria.resume();
        socket.set_read_timeout(Some(crate::daemon::PATIENCE)).unwrap();
        let mut answer = [0; 12];
        socket.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
    }
}
