//! When the daemon itself is in trouble: a full disk, a full spool, a disk that stands still, the end.
//! Clients are told to come back later, and all goes on by itself when the cause is gone.

use crate::client::{Client, Said, reading};
use crate::daemon::{Daemon, PATIENCE, parsed};
use crate::disk::Disk;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use tidegate::clock;
use tidegate::decode;
use tidegate::model::{Batch, BatchBuilder, SessionId};
use tidegate::wire::{Compression, Downstream, Hello, RefusalCode, compress, encode_hello};

const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");
const LINE: &[u8] = b"{\"device\":\"curl\",\"values\":{\"t\":1.5}}\n";

/// 32 KB that can't be compressed, so that they take their place on every disk.
fn notes() -> Batch {
    let text = || -> String { (0..4000).map(|_| rand::random_range('a'..='z')).collect() };
    let mut builder = BatchBuilder::new();
    builder.table("notes", &mut [], [clock::now().0]).unwrap();
    for column in 0..8 {
        builder.texts(&format!("note{column}"), "", [text().as_str()], &[]).unwrap();
    }
    builder.finish()
}

/// 800 KB as columns in memory, next to nothing as a message.
fn large(seq: u64) -> Vec<u8> {
    compress(Compression::Gzip, 6, &large_plain(seq))
}

fn large_plain(seq: u64) -> Vec<u8> {
    let now = clock::now().0;
    let mut builder = BatchBuilder::new();
    builder.table("large", &mut [], (0..50_000).map(|row| now + row)).unwrap();
    builder.ints("count", "", std::iter::repeat_n(7, 50_000), &[]).unwrap();
    decode::encode(&builder.finish(), seq)
}

/// Posts the batch of an `Upstream`, which must be refused: status, `Retry-After` and code.
fn refused_over_http(daemon: &Daemon, upstream: &[u8]) -> (u16, u64, String) {
    let decode::Upstream::Batch(batch) = decode::upstream(upstream).unwrap() else { panic!() };
    let body = compress(Compression::Gzip, 6, batch);
    let headers = [("content-type", "application/x-protobuf")];
    refusal_in(daemon.exchange("POST", "/api/v1/ingest", &headers, &body))
}

/// What a refusal over HTTP says: status, `Retry-After` and code.
fn refusal_in((status, head, body): (u16, String, String)) -> (u16, u64, String) {
    let after = head.lines().find_map(|line| line.strip_prefix("retry-after: "));
    let answer: Value =
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"));
    let refused = &answer["refused"][0];
    assert!(refused["retry_after_ms"].as_u64().is_some_and(|after| after > 0), "{body}");
    let after = after.unwrap_or_else(|| panic!("no Retry-After in {head}")).parse().unwrap();
    (status, after, refused["code"].as_str().unwrap().to_owned())
}

/// Sends batches until one is refused for later; gives its seq, code and sentence.
fn send_until_refused(client: &mut Client, from: u64, most: u64) -> (u64, RefusalCode, String) {
    for seq in from..from + most {
        client.batch(seq, &notes());
        if let Err(refusal) = client.acked_or_refused(seq) {
            return refusal;
        }
    }
    panic!("{most} batches entered");
}

/// What everybody is told while nothing can enter because of `code`, and how it ends.
struct Trouble<'a> {
    daemon: &'a Daemon,
    code: RefusalCode,
    /// In every sentence about it.
    says: &'a str,
}

impl Trouble<'_> {
    /// Another client, a request, the probe, the page and the counters all tell it.
    fn is_told_to_all(&self, neighbour: &mut Client, seq: u64) {
        let Trouble { daemon, code, says } = self;
        neighbour.batch(seq, &notes());
        let (refused, told, sentence) = neighbour.refused_for_later();
        assert_eq!((refused, told), (seq, *code), "{sentence}");
        assert!(sentence.contains(says), "{sentence}");
        assert_eq!(neighbour.settled(), seq - 1);
        let answer = refused_over_http(daemon, &decode::encode(&notes(), 0));
        assert_eq!(answer, (503, 5, code.name().to_owned()));
        let (status, head, body) = daemon.exchange("GET", "/readyz", &[], b"");
        assert_eq!(status, 503, "{body}");
        assert!(body.contains(says) && head.contains("retry-after: 5"), "{head} {body}");
        let status = daemon.json("/api/v1/status");
        assert!(status["trouble"].as_str().unwrap().contains(says), "{status:#}");
        assert_eq!((&status["pressure"], &status["pressure_of"]), (&1.0.into(), &"trouble".into()));
        assert_eq!(daemon.get("/healthz").0, 200);
        assert_eq!(daemon.refused("http", code.name()), 1);
        assert!(daemon.refused("ws", code.name()) >= 2);
    }

    /// Nobody sends anything: the daemon finds out by itself. Then what was refused enters.
    fn passes(&self, clients: &mut [(&mut Client, u64)]) {
        self.daemon.until("/readyz", 200);
        assert_eq!(self.daemon.json("/api/v1/status")["trouble"], Value::Null);
        for (client, seq) in clients {
            client.batch(*seq, &notes());
            client.acked(*seq);
        }
        let (status, body) = self.daemon.request("POST", "/api/v1/ingest", &[NDJSON], LINE);
        assert_eq!(status, 200, "{body}");
    }
}

#[test]
fn a_full_disk_is_a_state_not_a_crash() {
    let disk = Disk::in_memory(24);
    let mut daemon = Daemon::start_in(
        disk.directory(),
        &["spool.segment_size=64 KiB", "spool.reserve=1 MiB", "history.flush_interval=1000 s"],
    );
    let (mut client, _) = Client::greet(&daemon, "pump-7", 1);
    let (mut neighbour, _) = Client::greet(&daemon, "neighbour", 1);
    client.batch(1, &notes());
    client.acked(1);

    let ballast = disk.fill();
    let (seq, code, sentence) = send_until_refused(&mut client, 2, 100);
    assert_eq!(code, RefusalCode::StorageFailed, "{sentence}");
    let trouble = Trouble { daemon: &daemon, code, says: "no space left on the spool's disk" };
    trouble.is_told_to_all(&mut neighbour, 1);

    drop(ballast);
    trouble.passes(&mut [(&mut client, seq), (&mut neighbour, 1)]);

    // Full again, and told to stop: the reserve has room for an end in order.
    let ballast = disk.fill();
    let (seq, _, _) = send_until_refused(&mut client, seq + 1, 100);
    let (status, log) = daemon.stop_and_log();
    assert!(status.success(), "{log:#?}");
    let disorder = log.iter().find(|line| line.contains("could not be closed in order"));
    assert_eq!(disorder, None);
    drop(ballast);
    daemon.restart();
    let (mut client, welcome) = Client::greet(&daemon, "pump-7", 1);
    assert_eq!(welcome.last_seq, seq - 1);
    client.batch(seq, &notes());
    client.acked(seq);

    // Full again, and killed: it starts all the same, and goes on when there is space.
    let ballast = disk.fill();
    let (seq, _, _) = send_until_refused(&mut client, seq + 1, 100);
    daemon.kill();
    daemon.restart();
    let (mut client, welcome) = Client::greet(&daemon, "pump-7", 1);
    assert_eq!(welcome.last_seq, seq - 1);
    // The reserve's space is used up first.
    let (seq, code, _) = send_until_refused(&mut client, seq, 100);
    assert_eq!(code, RefusalCode::StorageFailed);
    drop(ballast);
    daemon.until("/readyz", 200);
    client.batch(seq, &notes());
    client.acked(seq);
    daemon.stop_and_audit();
}

#[test]
fn a_spool_directory_that_is_gone_is_missed_until_it_is_back() {
    let mut daemon = Daemon::start(&["spool.segment_size=64 KiB"]);
    let (mut client, _) = Client::greet(&daemon, "pump-7", 1);
    let (mut neighbour, _) = Client::greet(&daemon, "neighbour", 1);
    client.batch(1, &notes());
    client.acked(1);
    let (spool, away) =
        (daemon.state_dir.path().join("spool"), daemon.state_dir.path().join("away"));

    std::fs::rename(&spool, &away).unwrap();
    let (seq, code, sentence) = send_until_refused(&mut client, 2, 100);
    assert_eq!(code, RefusalCode::StorageFailed, "{sentence}");
    let trouble = Trouble { daemon: &daemon, code, says: "the spool could not be written" };
    trouble.is_told_to_all(&mut neighbour, 1);

    std::fs::rename(&away, &spool).unwrap();
    trouble.passes(&mut [(&mut client, seq), (&mut neighbour, 1)]);
    daemon.stop_and_audit();
}

#[test]
fn a_spool_at_its_cap_refuses_until_the_history_can_be_written() {
    // The history's disk fills up; the spool is on another, which has room.
    let disk = Disk::in_memory(24);
    let spool = tempfile::tempdir().unwrap();
    let state_dir = disk.directory();
    std::os::unix::fs::symlink(spool.path(), state_dir.path().join("spool")).unwrap();
    let mut daemon = Daemon::start_in(
        state_dir,
        &[
            "spool.segment_size=64 KiB",
            "spool.size_max=1 MiB",
            "spool.reserve=0 B",
            "history.flush_interval=1000 s",
        ],
    );
    let (mut client, _) = Client::greet(&daemon, "pump-7", 1);
    let (mut neighbour, _) = Client::greet(&daemon, "neighbour", 1);

    let ballast = disk.fill();
    let (seq, code, sentence) = send_until_refused(&mut client, 1, 200);
    assert_eq!(code, RefusalCode::SpoolFull, "{sentence}");
    let trouble = Trouble { daemon: &daemon, code, says: "spool.size_max" };
    trouble.is_told_to_all(&mut neighbour, 1);
    // The cause is named.
    let status =
        daemon.eventually("/api/v1/status", |status| status["sinks"][0]["breaker"] == "open");
    assert!(status["spool"]["bytes"].as_u64().unwrap() <= 1 << 20, "{status:#}");

    drop(ballast);
    trouble.passes(&mut [(&mut client, seq), (&mut neighbour, 1)]);
    daemon.stop_and_audit();
}

#[test]
fn a_spool_at_its_cap_gives_up_its_oldest_where_the_operator_chose_so() {
    let disk = Disk::in_memory(24);
    let spool = tempfile::tempdir().unwrap();
    let state_dir = disk.directory();
    std::os::unix::fs::symlink(spool.path(), state_dir.path().join("spool")).unwrap();
    let mut daemon = Daemon::start_in(
        state_dir,
        &[
            "spool.segment_size=64 KiB",
            "spool.size_max=1 MiB",
            "spool.when_full=shed_oldest",
            "spool.reserve=0 B",
            "spool.tail_memory=64 KiB",
            "history.flush_interval=1000 s",
            "history.head_samples_max=1000",
        ],
    );
    let (mut client, _) = Client::greet(&daemon, "pump-7", 1);
    // Some are in the history before its disk is full: restarts begin in the middle of the log.
    let batches = 150;
    for seq in 1..=10 {
        client.batch(seq, &notes());
        client.acked(seq);
    }
    let ballast = disk.fill();
    for seq in 11..=batches {
        client.batch(seq, &notes());
        client.acked(seq);
    }
    let said = daemon.wait_for_log("its oldest segment is given up");
    assert!(said.contains("segment=") && said.contains("samples="), "{said}");
    assert_eq!(daemon.get("/readyz").0, 200, "nobody is refused");
    let shed = |daemon: &Daemon| daemon.json("/api/v1/status")["ledger"]["shed"].as_u64().unwrap();
    daemon.eventually("/api/v1/status", |status| status["ledger"]["shed"].as_u64() > Some(0));

    // What was only in memory goes with a crash; what was given up is then lost to it, and counted.
    daemon.kill();
    let audit = daemon.command("audit").output().unwrap();
    let report = String::from_utf8_lossy(&audit.stdout);
    assert!(audit.status.success() && report.contains("balanced"), "{report}");
    drop(ballast);
    daemon.restart();
    daemon.eventually("/api/v1/status", |status| status["ledger"]["shed"].as_u64() > Some(0));
    let after = shed(&daemon);
    assert!(after > 0 && report.contains(&format!("shed {after},")), "{after}: {report}");
    daemon.until("/readyz", 200);
    // What has been read is not shed any more.
    daemon.eventually("/api/v1/status", |status| status["sinks"][0]["lag_samples"] == 0);
    let (mut client, welcome) = Client::greet(&daemon, "pump-7", 1);
    assert_eq!(welcome.last_seq, batches);
    client.batch(batches + 1, &notes());
    client.acked(batches + 1);
    let status = daemon.eventually("/api/v1/status", |status| {
        status["ledger"]["accepted"] == 8 * (batches + 1) && status["sinks"][0]["lag_samples"] == 0
    });
    let ledger = &status["ledger"];
    assert_eq!((&ledger["imbalance"], &ledger["shed"]), (&0.into(), &after.into()), "{status:#}");
    assert_eq!(status["sinks"][0]["shed"], after);
    let metrics = daemon.get("/metrics").1;
    let line = format!("tidegate_spool_shed_samples_total{{follower=\"history\"}} {after}");
    assert!(metrics.contains(&line), "{line} in {metrics}");
    daemon.stop_and_audit();
    // Once more, now that the history has written it down.
    daemon.restart();
    daemon.eventually("/api/v1/status", |status| status["ledger"]["shed"] == after);
    daemon.stop_and_audit();
}

/// A gate with little memory, so that two large batches don't fit at a time; a spool for a small disk.
const SMALL_GATE: [&str; 4] = [
    "limits.gate_memory=1280 KiB",
    "limits.inflated_ratio=10000",
    "spool.segment_size=1 MiB",
    "spool.reserve=1 MiB",
];

#[test]
fn batches_that_unpack_to_more_than_the_gate_holds_wait_for_the_disk_at_their_sender() {
    let disk = Disk::that_can_freeze();
    let mut daemon = Daemon::start_in(disk.directory(), &SMALL_GATE);
    let (mut client, _) = Client::greet(&daemon, "large", 5);
    let (mut neighbour, _) = Client::greet(&daemon, "neighbour", 1);

    let frozen = disk.freeze();
    client.send(&large(1));
    client.send(&large(2));
    let (seq, code, sentence) = client.refused_for_later();
    assert_eq!((seq, code), (2, RefusalCode::Overloaded), "{sentence}");
    assert!(sentence.contains("limits.gate_memory"), "{sentence}");
    let answer = refused_over_http(&daemon, &large_plain(0));
    assert_eq!(answer, (503, 1, "OVERLOADED".to_owned()));
    // A small one finds room, and waits for the disk with the first.
    neighbour.batch(1, &reading("neighbour", "t", 1.0));
    assert_eq!((daemon.refused("ws", "OVERLOADED"), daemon.refused("http", "OVERLOADED")), (1, 1));

    drop(frozen);
    neighbour.acked(1);
    client.acked(1);
    assert_eq!(client.settled(), 1, "no Ack passes what is to come again");
    client.batch(3, &reading("large", "t", 1.0));
    client.send(&large(2));
    client.acked(3);
    daemon.until("/readyz", 200);
    daemon.stop_and_audit();
}

/// As many greetings as may wait at [`SMALL_GATE`] while the disk stands still: one for each place
/// of the queue (`gate/mod.rs`), and one that the gate's thread may have taken.
const GREETINGS: u64 = (1280 << 10) / 2048 + 1024 + 1;

#[test]
fn one_greeting_too_many_is_told_to_come_later_and_gets_in_later() {
    allow_open_files(2 * GREETINGS);
    let disk = Disk::that_can_freeze();
    // It takes its time to bring so many together, and nobody reads meanwhile.
    let settings = [&SMALL_GATE[..], &["limits.ping_interval=10 m"]].concat();
    let mut daemon = Daemon::start_in(disk.directory(), &settings);
    let (mut neighbour, _) = Client::greet(&daemon, "neighbour", 1);

    let frozen = disk.freeze();
    neighbour.batch(1, &reading("neighbour", "t", 1.0));
    let hello = |session| Hello {
        client: "crowd".to_owned(),
        session: SessionId(session),
        ..Hello::default()
    };
    // One more than there is room for, so that when it is refused all places are taken.
    let mut crowd: Vec<_> = (1..=GREETINGS + 1)
        .map(|session| {
            let mut client = Client::connect(&daemon);
            client.send(&encode_hello(&hello(session)));
            client
        })
        .collect();
    let closed =
        || daemon.get("/metrics").1.contains("tidegate_device_closes_total{code=\"1013\"}");
    let deadline = clock::monotonic() + PATIENCE;
    while !closed() {
        assert!(clock::monotonic() < deadline, "nobody was told to come later");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let mut late = Client::connect(&daemon);
    late.send(&encode_hello(&hello(1 << 32)));
    assert_eq!(late.closed(), 1013);

    drop(frozen);
    neighbour.acked(1);
    let (mut late, welcome) = Client::greet(&daemon, "crowd", 1 << 32);
    assert_eq!(welcome.last_seq, 0);
    late.batch(1, &reading("late", "t", 1.0));
    late.acked(1);
    // Who was first in the crowd was let in, too.
    crowd[0].batch(1, &reading("early", "t", 1.0));
    assert!(matches!(crowd[0].next(), Said::Message(Downstream::Welcome(_))));
    crowd[0].acked(1);
    drop(crowd);
    daemon.stop_and_audit();
}

#[test]
fn a_connection_too_many_is_not_refused_but_waits_until_another_closes() {
    let daemon = Daemon::start(&["limits.connections_max=2"]);
    let (leaving, _) = Client::greet(&daemon, "leaving", 1);
    let (mut neighbour, _) = Client::greet(&daemon, "neighbour", 1);
    let mut waiting = TcpStream::connect(daemon.address).unwrap();
    waiting
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .unwrap();
    waiting.set_read_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
    let nothing = waiting.read(&mut [0; 1]).unwrap_err();
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    neighbour.batch(1, &reading("neighbour", "t", 1.0));
    neighbour.acked(1);

    drop(leaving);
    waiting.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = Vec::new();
    waiting.read_to_end(&mut answer).unwrap();
    assert_eq!(parsed(&answer).0, 200);
}

#[test]
fn a_batch_at_the_gate_is_answered_before_the_end_and_one_after_the_signal_comes_again() {
    let disk = Disk::that_can_freeze();
    let mut daemon = Daemon::start_in(disk.directory(), &SMALL_GATE);
    let (mut client, _) = Client::greet(&daemon, "pump-7", 1);
    let (mut idle, _) = Client::greet(&daemon, "idle", 1);

    let frozen = disk.freeze();
    client.send(&large(1));
    client.send(&large(2));
    // The second has found the first at the gate.
    assert_eq!(client.refused_for_later().1, RefusalCode::Overloaded);
    daemon.terminate();
    assert_eq!(idle.closed(), 1012, "who waits for nothing goes at once");
    client.send(&large(2));

    drop(frozen);
    client.acked(1);
    assert_eq!(client.closed(), 1012);
    assert_eq!(daemon.wait().code(), Some(0));
    daemon.restart();
    let (mut client, welcome) = Client::greet(&daemon, "pump-7", 1);
    assert_eq!(welcome.last_seq, 1);
    client.send(&large(2));
    client.acked(2);
    daemon.stop_and_audit();
}

#[test]
fn a_request_that_is_read_to_its_end_after_the_signal_is_told_to_come_again() {
    let mut daemon = Daemon::start(&["shutdown.deadline=60 s"]);
    let (mut idle, _) = Client::greet(&daemon, "idle", 1);
    let mut socket = TcpStream::connect(daemon.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "POST /api/v1/ingest HTTP/1.1\r\nhost: localhost\r\ncontent-type: {}\r\ncontent-length: {}\r\n\
         expect: 100-continue\r\n\r\n",
        NDJSON.1,
        LINE.len()
    );
    socket.write_all(head.as_bytes()).unwrap();
    // Said when the daemon begins to read the body.
    let mut go_on = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    socket.read_exact(&mut go_on).unwrap();
    assert!(go_on.starts_with(b"HTTP/1.1 100 "), "{}", String::from_utf8_lossy(&go_on));

    daemon.terminate();
    assert_eq!(idle.closed(), 1012, "the signal has arrived");
    socket.write_all(LINE).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    assert_eq!(refusal_in(parsed(&answer)), (503, 2, "SHUTTING_DOWN".to_owned()));
    assert_eq!(daemon.wait().code(), Some(0));

    daemon.restart();
    // The counters of a process end with it; the tally is kept.
    let tally = daemon.json("/api/v1/status");
    assert_eq!((&tally["ledger"]["refused"], &tally["ledger"]["accepted"]), (&1.into(), &0.into()));
    let (status, body) = daemon.request("POST", "/api/v1/ingest", &[NDJSON], LINE);
    assert_eq!(status, 200, "{body}");
    daemon.stop_and_audit();
}

/// Lets this test, and the daemon that it starts, have so many files open each.
fn allow_open_files(wanted: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit { current: Some(wanted), ..limit };
        setrlimit(Resource::Nofile, raised)
            .unwrap_or_else(|error| panic!("this test needs {wanted} open files: {error}"));
    }
}
