//! `kill -9` at random moments under load: what was acknowledged is in the history, and once.
//!
//! `KILL_ROUNDS` is the number of rounds (50).

use crate::daemon::{Daemon, PATIENCE};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tidegate::simulate::{self, Backoff, Options};
use tidegate::sinks::history::{Data, Query, Shape, read_only};
use tokio_util::sync::CancellationToken;

const ROUNDS: u32 = 50;
const DEVICES: usize = 20;

#[test]
fn a_daemon_that_was_killed_before_its_first_reading_is_the_same_afterwards() {
    let mut daemon =
        Daemon::start(&["sinks.influx.0.url=http://127.0.0.1:9", "sinks.influx.0.bucket=b"]);
    let identity = daemon.state_dir.path().join("spool/identity");
    let first = std::fs::read(&identity).unwrap();
    for _ in 0..2 {
        daemon.kill();
        daemon.restart();
        assert_eq!(std::fs::read(&identity).unwrap(), first);
        let warned = daemon.log().into_iter().filter(|line| !line.contains("level=info"));
        let warned: Vec<_> = warned.filter(|line| line.contains("spool")).collect();
        assert!(warned.is_empty(), "{warned:#?}");
    }
    let status = daemon.json("/api/v1/status");
    assert_eq!(status["spool"]["oldest_s"], 0.0, "nothing waits: {status:#}");
    let headers = [("content-type", "application/x-ndjson")];
    let body = b"{\"device\":\"pump-1\",\"values\":{\"level\":1.5}}";
    assert_eq!(daemon.request("POST", "/api/v1/ingest", &headers, body).0, 200);
    daemon.kill();
    daemon.restart();
    daemon.eventually("/api/v1/query?device=pump-1&metric=level&from=-1h", |answer| {
        answer["value"] == serde_json::json!([1.5])
    });
    assert!(daemon.json("/api/v1/status")["spool"]["oldest_s"].as_f64() > Some(0.0));
    daemon.stop_and_audit();
}

#[test]
fn what_was_acknowledged_survives_kill_nine_and_is_there_once() {
    let rounds = std::env::var("KILL_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    // Small segments and early flushes, so that kills meet rolling, trimming, flushing, compaction.
    let mut daemon = Daemon::start(&[
        "spool.segment_size=64 KiB",
        "spool.size_max=64 MiB",
        "history.flush_interval=300 ms",
        "live.resume_keep=1 s",
    ]);
    let scratch = tempfile::tempdir().unwrap();
    let ack_log = scratch.path().join("acks");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let stop = CancellationToken::new();
    let options = Options {
        url: daemon.ws_url(),
        devices: DEVICES,
        interval: Duration::from_millis(20),
        backoff: Backoff { first: Duration::from_millis(10), max: Duration::from_millis(50) },
        last_answers: PATIENCE,
        ack_log: Some(ack_log.clone()),
        ..Options::default()
    };
    let load = runtime.spawn(simulate::run(options, stop.clone()));
    let all_are_here = |status: &serde_json::Value| status["intake"]["clients"] == DEVICES;
    for round in 0..rounds {
        // Random moments, from "still starting" to, sometimes on the slowest machine, too, "in full swing".
        if round % 10 == 0 {
            daemon.eventually("/api/v1/status", all_are_here);
        }
        std::thread::sleep(Duration::from_millis(rand::random_range(0..250)));
        daemon.kill();
        daemon.restart();
        assert_eq!(daemon.get("/healthz").0, 200, "round {round}");
    }
    // Once all are connected again the load ends when all that it holds is acknowledged.
    daemon.eventually("/api/v1/status", all_are_here);
    stop.cancel();
    let report = runtime.block_on(load).unwrap().unwrap();
    assert_eq!(report.given_up, 0, "{report}");
    assert!(u64::from(rounds) / 2 < report.reconnects, "{report}");
    let status = daemon.json("/api/v1/status");
    assert_eq!(status["ledger"]["balanced"], true, "{status:#}");
    assert!(daemon.stop().success());

    // Every (client, session, seq) once in the log of acknowledgements; batches of a client are the
    // rows of its device, one per batch.
    let mut acked: BTreeMap<String, BTreeSet<(u64, u64)>> = BTreeMap::new();
    for line in std::fs::read_to_string(&ack_log).unwrap().lines() {
        let mut parts = line.split(' ');
        let client = parts.next().unwrap().to_owned();
        let mut number = || parts.next().unwrap().parse().unwrap();
        acked.entry(client).or_default().insert((number(), number()));
    }
    assert_eq!(acked.len(), DEVICES);
    let history = read_only(&daemon.state_dir.path().join("history.db")).unwrap();
    let mut rows = 0;
    for (client, batches) in &acked {
        let series = history.series(|device| device == client, |_| true);
        let query = Query {
            device: client,
            metric: &series[0].metric,
            tags: &[],
            from: i64::MIN,
            to: i64::MAX,
            shape: Shape::Raw { max: usize::MAX },
        };
        let Data::Raw { times, .. } = history.query(&query).unwrap().data else { panic!() };
        let distinct: BTreeSet<_> = times.iter().collect();
        assert_eq!(distinct.len(), times.len(), "{client} has a sample twice");
        assert_eq!(
            times.len(),
            batches.len(),
            "{client}: rows in the history and batches acknowledged"
        );
        rows += times.len();
    }
    // Counted by the history as they were written, so a batch that entered twice would show here
    // although it has the same times.
    assert_eq!(history.counts().stored, report.acked_samples, "{rows} rows, {report}");
    let audit = daemon.command("audit").arg("--clients").output().unwrap();
    let said = String::from_utf8_lossy(&audit.stdout);
    let each = format!("sink history: all {DEVICES} lines are balanced");
    assert!(audit.status.success() && said.contains(&each), "{said}");
}
