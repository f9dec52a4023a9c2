//! One flooding gateway does not throttle a quiet sensor: the flood is slowed, the sensor does not
//! notice, nobody is disconnected, nothing is lost.

use crate::client::{Client, reading};
use crate::daemon::{Daemon, PATIENCE};
use crate::disk::Disk;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tidegate::clock;
use tidegate::model::{Batch, BatchBuilder};
use tidegate::wire::{Credit, Downstream};
use tokio_tungstenite::tungstenite::Message;

/// 16 KB that can't be compressed.
fn notes() -> Batch {
    let text = || -> String { (0..4000).map(|_| rand::random_range('a'..='z')).collect() };
    let mut builder = BatchBuilder::new();
    builder.table("notes", &mut [], [clock::now().0]).unwrap();
    for column in 0..4 {
        builder.texts(&format!("note{column}"), "", [text().as_str()], &[]).unwrap();
    }
    builder.finish()
}

/// A client that keeps to its credit, and writes down what it is told.
struct Polite {
    client: Client,
    seq: u64,
    acked: u64,
    credit: Credit,
    interval: Duration,
    sent_at: Option<Instant>,
    reason: String,
}

impl Polite {
    fn greet(daemon: &Daemon, name: &str, session: u64) -> Polite {
        let (client, welcome) = Client::greet(daemon, name, session);
        Polite {
            client,
            seq: 0,
            acked: 0,
            credit: welcome.credit,
            interval: Duration::ZERO,
            sent_at: None,
            reason: String::new(),
        }
    }

    fn may_send(&self) -> bool {
        let waited = self.sent_at.is_none_or(|at| clock::monotonic() - at >= self.interval);
        waited && self.seq - self.acked < u64::from(self.credit.batches)
    }

    fn send(&mut self, batch: &Batch) {
        self.seq += 1;
        self.sent_at = Some(clock::monotonic());
        self.client.batch(self.seq, batch);
    }

    /// Hears what is said within a moment; anything but receipts and credits fails.
    fn hear(&mut self) {
        let moment = Duration::from_millis(20);
        self.client.socket.get_ref().set_read_timeout(Some(moment)).unwrap();
        match self.client.socket.read() {
            Ok(Message::Binary(bytes)) => match Downstream::decode(&bytes).unwrap() {
                Downstream::Ack { seq, credit } => (self.acked, self.credit) = (seq, credit),
                Downstream::Throttle { credit, min_interval_ms, reason } => {
                    self.credit = credit;
                    self.interval = Duration::from_millis(min_interval_ms.into());
                    self.reason = reason;
                }
                other => panic!("{other:?}"),
            },
            Ok(Message::Ping(_)) => {}
            Ok(other) => panic!("{other:?}"),
            Err(tokio_tungstenite::tungstenite::Error::Io(error))
                if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// Until everything is acknowledged.
    fn settle(&mut self) {
        let deadline = clock::monotonic() + PATIENCE;
        while self.acked < self.seq {
            assert!(clock::monotonic() < deadline, "{} of {} acknowledged", self.acked, self.seq);
            self.hear();
        }
    }
}

const CONNECTIONS: u64 = 4;

/// Ends the flood, also when the test fails: its threads are waited for.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_flooding_gateway_is_slowed_and_a_quiet_sensor_is_not() {
    // The history's disk is full, so that the spool, on another, fills and does not empty.
    let disk = Disk::in_memory(24);
    let spool = tempfile::tempdir().unwrap();
    let state_dir = disk.directory();
    std::os::unix::fs::symlink(spool.path(), state_dir.path().join("spool")).unwrap();
    let mut daemon = Daemon::start_in(
        state_dir,
        &[
            "spool.segment_size=1 MiB",
            "spool.size_max=32 MiB",
            "spool.reserve=0 B",
            "history.flush_interval=1000 s",
        ],
    );
    let ballast = disk.fill();
    let (stop, slowed) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut quiet = Polite::greet(&daemon, "sensor", 1);
    let (full, mut slowest) = (quiet.credit, Duration::ZERO);
    thread::scope(|scope| {
        let flood = |session| {
            let (daemon, stop, slowed) = (&daemon, &stop, &slowed);
            move || {
                let mut gateway = Polite::greet(daemon, "gateway", session);
                let mut told = false;
                while !stop.load(Ordering::Relaxed) {
                    while gateway.may_send() {
                        gateway.send(&notes());
                    }
                    gateway.hear();
                    if !told && gateway.credit.batches <= full.batches / 2 {
                        assert!(!gateway.interval.is_zero());
                        assert!(gateway.reason.contains("the spool is"), "{}", gateway.reason);
                        slowed.fetch_add(1, Ordering::Relaxed);
                        told = true;
                    }
                }
                // It is told when the pressure is gone.
                gateway.settle();
                let deadline = clock::monotonic() + PATIENCE;
                while gateway.credit != full || !gateway.interval.is_zero() {
                    assert!(clock::monotonic() < deadline, "{:?} still", gateway.credit);
                    gateway.hear();
                }
            }
        };
        let _stop = StopAtEnd(&stop);
        let floods: Vec<_> = (1..=CONNECTIONS).map(|session| scope.spawn(flood(session))).collect();
        // The sensor goes on until every connection of the flood was slowed, and then some.
        let (deadline, mut since) = (clock::monotonic() + 2 * PATIENCE, 0);
        while since < 30 {
            assert!(clock::monotonic() < deadline, "only {slowed:?} were slowed");
            assert!(floods.iter().all(|flood| !flood.is_finished()), "a gateway gave up");
            quiet.send(&reading("sensor", "t", 1.0));
            quiet.settle();
            let now = clock::monotonic();
            slowest = slowest.max(now - quiet.sent_at.unwrap());
            assert_eq!((quiet.credit, quiet.interval), (full, Duration::ZERO));
            since += u64::from(slowed.load(Ordering::Relaxed) == CONNECTIONS);
            // Ten readings per second, as a sensor sends them.
            thread::sleep(Duration::from_millis(100).saturating_sub(now - quiet.sent_at.unwrap()));
        }
        let status = daemon.json("/api/v1/status");
        assert_eq!(status["pressure_of"], "spool", "{status:#}");
        assert!(status["pressure"].as_f64().unwrap() > 0.6, "{status:#}");
        assert_eq!(status["trouble"], serde_json::Value::Null, "{status:#}");
        let metrics = daemon.get("/metrics").1;
        let of_spool = metrics.lines().find_map(|line| {
            line.strip_prefix("tidegate_pressure_by_resource{resource=\"spool\"} ")
        });
        assert!(of_spool.unwrap().parse::<f64>().unwrap() > 0.5, "{of_spool:?}");
        drop(ballast);
    });
    println!("the sensor's slowest receipt took {slowest:?}");
    assert_eq!(quiet.seq, quiet.acked);
    let status = daemon.json("/api/v1/status");
    assert_eq!(status["ledger"]["refused"], 0, "{status:#}");
    // One line when it began, and one when it was over, whatever lies between.
    daemon.wait_for_log("pressure is gone");
    let said = daemon.log();
    let lines = said.iter().filter(|line| line.contains("msg=\"pressure")).count();
    assert!((2..=5).contains(&lines), "{said:#?}");
    daemon.stop_and_audit();
}
