//! The clients of `examples/clients`, killed while batches are under way that nobody has acknowledged; and their
//! buffers, which only one process at a time may have.

use crate::clients::{C, PYTHON, RUST, Run, TYPESCRIPT, history};
use crate::daemon::{Daemon, PATIENCE, pause};
use std::collections::BTreeMap;
use std::time::Duration;
use tidegate::clock;

const READINGS: u64 = 150;
/// So slow that most of the readings still wait when the first are in.
const SLOW: &str = "limits.batches_per_second=5";
/// How many enter at once nevertheless.
const AT_ONCE: u64 = 50;
/// Of three batches and more; the C client has eight under way at most.
const MANY_BYTES: usize = 150;
const FLUSH: &str = "history.flush_interval=300 ms";

/// What happens to batches that are under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The daemon never reads them.
    Unread,
    /// They are on disk, but the client does not hear of it.
    Unheard,
}

/// Bytes that were sent to the daemon and that it has not read.
fn unread(daemon: &Daemon) -> usize {
    let port = format!(":{:04X}", daemon.address.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let of = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let is_established = fields[1].ends_with(&port) && fields[3] == "01";
        let (_, unread) = fields[4].split_once(':').unwrap();
        let unread = usize::from_str_radix(unread, 16).unwrap();
        if is_established { unread } else { 0 }
    };
    table.lines().skip(1).map(of).sum()
}

/// How many of the client's batches are on disk.
fn accepted(daemon: &Daemon) -> u64 {
    let (_, metrics) = daemon.get("/metrics");
    let mut lines = metrics.lines();
    let line = lines
        .find_map(|line| line.strip_prefix("tidegate_batches_accepted_total{protocol=\"ws\"} "));
    line.map_or(0, |count| count.parse().unwrap())
}

fn until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = clock::monotonic() + PATIENCE;
    while !is() {
        assert!(clock::monotonic() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Stops the daemon where it has batches to read; how many had entered by then.
fn stopped_with_unread(daemon: &Daemon) -> u64 {
    let deadline = clock::monotonic() + PATIENCE;
    loop {
        let before = accepted(daemon);
        daemon.pause();
        let soon = clock::monotonic() + Duration::from_secs(2);
        while clock::monotonic() < soon {
            if unread(daemon) > MANY_BYTES {
                return before;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        // All that the client may have under way was read, but not answered: it sends no more.
        daemon.resume();
        assert!(clock::monotonic() < deadline, "nothing is under way");
    }
}

/// Each reading that the client said it kept is in the history exactly once, although the client was killed
/// while batches were under way, and the daemon right after it.
fn survives_under_way(command: &[&str]) {
    let mut daemon = Daemon::start(&[FLUSH, SLOW]);
    let dir = tempfile::tempdir().unwrap();
    let mut told = BTreeMap::new();
    let mut last_seq = 0;
    for (round, end) in (1..).zip([End::Unread, End::Unheard, End::Unread]) {
        let first = round * 1000;
        let mut run = Run::start(&daemon, command, dir.path(), first, READINGS);
        until("the first do not enter", || accepted(&daemon) >= AT_ONCE);
        let before = stopped_with_unread(&daemon);
        run.until_kept(READINGS as usize);
        if end == End::Unheard {
            pause(&run.child);
            // For so long that the rate lets some of them in.
            std::thread::sleep(Duration::from_secs(1));
            daemon.resume();
            until("nothing of it enters", || accepted(&daemon) >= before + 2);
        }
        run.kill();
        daemon.kill();
        let kept = run.kept();
        last_seq = *kept.last().unwrap();
        told.insert(first, kept.len() as u64);
        daemon.restart();
    }
    daemon.kill();
    daemon.set(&[FLUSH]);
    daemon.restart();
    let mut run = Run::start(&daemon, command, dir.path(), 9000, 1);
    let (success, complaints) = run.end();
    assert!(success, "{complaints}");
    assert_eq!(run.kept(), [last_seq + 1], "all seqs were told");
    told.insert(9000, 1);
    assert!(daemon.stop().success());

    let (mut values, stored) = history(&daemon);
    values.sort_unstable();
    let expected = told.iter().flat_map(|(&first, &count)| first..first + count);
    let expected: Vec<_> = expected.map(u64::cast_signed).collect();
    assert_eq!(values, expected);
    assert_eq!(stored, expected.len() as u64);
    let audit = daemon.command("audit").output().unwrap();
    assert!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stdout));
}

/// A second process that opens a buffer would use the same seqs for other readings.
fn has_its_buffer_alone(command: &[&str]) {
    let mut daemon = Daemon::start(&[]);
    // Nobody takes what the first one keeps: it goes on.
    daemon.kill();
    let dir = tempfile::tempdir().unwrap();
    let mut first = Run::start(&daemon, command, dir.path(), 1, 3);
    first.until_kept(3);
    let mut second = Run::start(&daemon, command, dir.path(), 10, 3);
    let (success, complaints) = second.end();
    assert!(!success && complaints.contains("another process has this buffer"), "{complaints}");
    assert_eq!(second.kept(), [0; 0]);
    // The lock does not outlive its process.
    first.kill();
    daemon.restart();
    let mut third = Run::start(&daemon, command, dir.path(), 4, 1);
    let (success, complaints) = third.end();
    assert!(success, "{complaints}");
    assert_eq!(third.kept(), [4]);
    assert!(daemon.stop().success());
    assert_eq!(history(&daemon).0, [1, 2, 3, 4]);
}

#[test]
fn what_the_python_client_has_under_way_enters_once() {
    survives_under_way(PYTHON);
}

#[test]
fn what_the_typescript_client_has_under_way_enters_once() {
    survives_under_way(TYPESCRIPT);
}

#[test]
fn what_the_rust_client_has_under_way_enters_once() {
    survives_under_way(RUST);
}

#[test]
fn what_the_c_client_has_under_way_enters_once() {
    survives_under_way(C);
}

#[test]
fn the_python_client_has_its_buffer_alone() {
    has_its_buffer_alone(PYTHON);
}

#[test]
fn the_typescript_client_has_its_buffer_alone() {
    has_its_buffer_alone(TYPESCRIPT);
}

#[test]
fn the_rust_client_has_its_buffer_alone() {
    has_its_buffer_alone(RUST);
}

#[test]
fn the_c_client_has_its_buffer_alone() {
    has_its_buffer_alone(C);
}
