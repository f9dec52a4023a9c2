//! Torn tails and flipped bytes in every file: the daemon starts, says what it set aside, and loses
//! nothing else.

use crate::client::{Client, reading};
use crate::daemon::Daemon;
use std::fs;
use std::path::Path;

/// Acknowledged batches of one reading each; the daemon is killed, so that the history holds none.
fn killed_with(batches: u64) -> Daemon {
    let mut daemon = Daemon::start(&["spool.segment_size=64 KiB", "spool.size_max=64 MiB"]);
    let (mut client, _) = Client::greet(&daemon, "pump-7", 1);
    for seq in 1..=batches {
        client.batch(seq, &reading("pump-7", "t", seq as f64));
        if seq % 50 == 0 {
            client.acked(seq);
        }
    }
    client.acked(batches);
    daemon.kill();
    daemon
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x40;
    fs::write(path, bytes).unwrap();
}

/// The values that the history gives back after a restart.
fn values(daemon: &mut Daemon, at_least: usize) -> Vec<u64> {
    daemon.restart();
    let answer = daemon.eventually("/api/v1/query?device=pump-7&metric=t&from=-1h", |answer| {
        answer["value"].as_array().is_some_and(|values| values.len() >= at_least)
    });
    let values = answer["value"].as_array().unwrap();
    values.iter().map(|value| value.as_f64().unwrap() as u64).collect()
}

#[test]
fn a_torn_tail_loses_only_what_was_never_acknowledged() {
    let mut daemon = killed_with(200);
    let last = daemon.spool_files().pop().unwrap();
    // What a crash in the middle of a write leaves: half a record after the last whole one.
    let mut bytes = fs::read(&last).unwrap();
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    bytes.extend_from_slice(&[200, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7]);
    fs::write(&last, bytes).unwrap();
    assert_eq!(values(&mut daemon, 200), (1..=200).collect::<Vec<_>>());
    let said = daemon.log().join("\n");
    assert!(said.contains("spool:"), "{said}");
}

#[test]
fn a_flipped_byte_in_the_spool_costs_one_batch_and_is_said() {
    let mut daemon = killed_with(1500);
    let files = daemon.spool_files();
    assert!(files.len() > 2, "{files:?}");
    let middle = fs::metadata(&files[1]).unwrap().len() as usize / 2;
    flip(&files[1], middle);
    let values = values(&mut daemon, 1499);
    assert_eq!(values.len(), 1499);
    daemon.wait_for_log("damage");
    let aside = daemon.state_dir.path().join("spool/damaged");
    assert!(fs::read_dir(aside).unwrap().count() > 0);
}

#[test]
fn a_missing_segment_costs_its_batches_only() {
    let mut daemon = killed_with(1500);
    let files = daemon.spool_files();
    fs::remove_file(&files[1]).unwrap();
    daemon.restart();
    daemon.eventually("/api/v1/status", |status| status["sinks"][0]["lag_samples"] == 0);
    // What it has read it writes at once.
    let held = |answer: &serde_json::Value| answer["value"].as_array().map_or(0, Vec::len);
    let answer = daemon
        .eventually("/api/v1/query?device=pump-7&metric=t&from=-1h", |answer| held(answer) >= 500);
    assert!(held(&answer) < 1500, "{}", held(&answer));
}

#[test]
fn a_damaged_history_is_set_aside_and_a_new_one_begun() {
    let mut daemon = killed_with(200);
    // Begin and stop once, so that there is a history with samples in it.
    daemon.restart();
    assert!(daemon.stop().success());
    let path = daemon.state_dir.path().join("history.db");
    let mut bytes = fs::read(&path).unwrap();
    for byte in &mut bytes[..4096] {
        *byte ^= 0xa5;
    }
    fs::write(&path, bytes).unwrap();
    daemon.restart();
    daemon.wait_for_log("set aside");
    assert!(daemon.state_dir.path().join("history.db").exists());
    let (mut client, welcome) = Client::greet(&daemon, "pump-7", 1);
    assert_eq!(welcome.last_seq, 200, "the spool still knows the session");
    client.batch(201, &reading("pump-7", "t", 201.0));
    client.acked(201);
}

#[test]
fn one_flipped_byte_anywhere_in_any_file_never_stops_the_start() {
    let mut daemon = killed_with(300);
    daemon.restart();
    assert!(daemon.stop().success());
    for path in [daemon.spool_files().pop().unwrap(), daemon.state_dir.path().join("history.db")] {
        let length = fs::metadata(&path).unwrap().len() as usize;
        for part in 0..6 {
            let whole = fs::read(&path).unwrap();
            flip(&path, (length * part / 6 + 13).min(length - 1));
            daemon.restart();
            assert_eq!(daemon.get("/healthz").0, 200);
            daemon.kill();
            fs::write(&path, whole).unwrap();
        }
    }
}
