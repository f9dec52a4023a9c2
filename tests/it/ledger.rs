//! What became of every client's samples in every sink: exact over kills, over losses, over upgrades,
//! and for a sink that comes late; and a count that somebody changed is found.

use crate::client::{Client, reading};
use crate::daemon::{Daemon, PATIENCE};
use crate::load::{Load, Pace};
use crate::store::{Reaction, Store};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tidegate::clock;
use tidegate::model::{Batch, BatchBuilder};

const PACE: Pace = Pace { devices: 3, rows: 4, every: Duration::from_millis(10) };
const NDJSON: [(&str, &str); 1] = [("content-type", "application/x-ndjson")];

/// Every tenth sample of one device.
fn is_poison(line: &str) -> bool {
    line.starts_with("telemetry,device=gateway-2-1 ") && line.contains("7i ")
}

fn store() -> Store {
    Store::start(|request| Reaction::influx_3_partial(&request.lines, is_poison))
}

/// Segments end often, and so do flushes.
fn settings(url: &str) -> Vec<String> {
    let settings = [
        "sinks.influx.0.bucket=b",
        "sinks.influx.0.batch_age=20 ms",
        "sinks.influx.0.devices=gateway-*,pump-*",
        "spool.segment_size=64 KiB",
        "history.flush_interval=300 ms",
        "live.resume_keep=1 s",
    ];
    let url = format!("sinks.influx.0.url={url}");
    [url].into_iter().chain(settings.map(str::to_owned)).collect()
}

fn start(settings: &[String]) -> Daemon {
    Daemon::start(&settings.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Two rows with two readings each, of which one device is filtered out.
fn post(daemon: &Daemon, client: &str, value: u64) {
    let line = |device: &str| {
        format!("{{\"device\":\"{device}\",\"values\":{{\"n\":{value},\"o\":1}}}}\n")
    };
    let body = line("pump-1") + &line("fan-1");
    let path = format!("/api/v1/ingest?client={client}");
    let (status, answer) = daemon.request("POST", &path, &NDJSON, body.as_bytes());
    assert_eq!(status, 200, "{answer}");
}

/// Exit code and report of `tidegate audit --clients`.
fn audit(daemon: &Daemon) -> (i32, String) {
    let output = daemon.command("audit").arg("--clients").output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(printed).unwrap())
}

/// That every line of these sinks is balanced by itself.
fn assert_balanced(daemon: &Daemon, sinks: &[&str]) -> String {
    let (code, printed) = audit(daemon);
    assert_eq!(code, 0, "{printed}");
    for sink in sinks {
        let verdict = format!("sink {sink}: all ");
        let verdict = printed.lines().find(|line| line.starts_with(&verdict));
        assert!(verdict.is_some_and(|it| it.ends_with("lines are balanced")), "{printed}");
    }
    printed
}

type Kinds = BTreeMap<&'static str, u64>;

/// What the ledger says of a sink: accepted and the rest, for each client and protocol.
fn told(ledger: &Value, sink: &str) -> BTreeMap<(String, String), Kinds> {
    let text = |value: &Value| value.as_str().unwrap_or("(others)").to_owned();
    let lines = ledger["clients"].as_array().unwrap().iter();
    lines
        .chain(ledger["other"].as_array().unwrap())
        .map(|line| {
            let sinks = line["sinks"].as_array().unwrap();
            let its = sinks.iter().find(|it| it["sink"] == sink).unwrap();
            let kinds = ["before", "stored", "dead_lettered", "skipped", "lost", "shed", "spooled"];
            let count = |value: &Value| value.as_u64().unwrap();
            let mut told: Kinds = kinds.iter().map(|&kind| (kind, count(&its[kind]))).collect();
            told.insert("accepted", count(&line["samples"]));
            ((text(&line["client"]), text(&line["protocol"])), told)
        })
        .collect()
}

/// The same, once the sink has nothing to do and every line adds up.
fn told_at_rest(daemon: &Daemon, sink: &str) -> BTreeMap<(String, String), Kinds> {
    let adds_up = |told: &Kinds| {
        let sum: u64 = told.values().sum();
        told["spooled"] == 0 && sum == 2 * told["accepted"]
    };
    let at_rest = |ledger: &Value| told(ledger, sink).values().all(adds_up);
    told(&daemon.eventually("/api/v1/ledger", at_rest), sink)
}

fn change(path: &Path, sql: &str) {
    let file = rusqlite::Connection::open(path).unwrap();
    assert_eq!(file.execute(sql, []).unwrap(), 1, "{sql}");
}

#[test]
fn every_clients_samples_are_counted_in_every_sink_over_kills() {
    let store = store();
    let mut daemon = start(&settings(&store.url()));
    let loads = ["gateway-1", "gateway-2"].map(|client| Load::start(&daemon, client, PACE));
    for round in 0..4_u64 {
        for value in 0..5 {
            post(&daemon, "gateway-1", 5 * round + value);
            post(&daemon, "curl", value);
        }
        for load in &loads {
            load.wait_for(load.acked() + 30);
        }
        // Each at another distance from the last settlement.
        std::thread::sleep(Duration::from_millis(rand::random_range(0..400)));
        daemon.kill();
        assert_balanced(&daemon, &["history", "influx"]);
        daemon.restart();
    }
    let sent = loads.map(Load::finish);
    let mut samples: BTreeMap<_, _> =
        sent.iter().map(|sent| ((sent.client.clone(), "ws".to_owned()), sent.samples())).collect();
    for client in ["gateway-1", "curl"] {
        samples.insert((client.to_owned(), "http".to_owned()), 4 * 5 * 4);
    }
    let letters = daemon.until_sink("influx", |sink| sink["lag_samples"] == 0);
    let dead = letters["dead_lettered"].as_u64().unwrap();
    let rows = sent[1].acked_batches * PACE.rows as u64;
    assert_eq!(dead, (0..rows).filter(|row| row % 10 == 7).count() as u64);
    for (sink, is_influx) in [("history", 0), ("influx", 1)] {
        let told = told_at_rest(&daemon, sink);
        assert_eq!(told.len(), samples.len(), "{told:#?}");
        for (key, told) in told {
            let accepted = samples[&key];
            let dead = if key.0 == "gateway-2" { is_influx * dead } else { 0 };
            let skipped = if key.1 == "http" { is_influx * accepted / 2 } else { 0 };
            let expected = Kinds::from([
                ("accepted", accepted),
                ("before", 0),
                ("stored", accepted - dead - skipped),
                ("dead_lettered", dead),
                ("skipped", skipped),
                ("lost", 0),
                ("shed", 0),
                ("spooled", 0),
            ]);
            assert_eq!(told, expected, "{key:?} in {sink}");
        }
    }
    assert!(daemon.stop().success());
    assert_balanced(&daemon, &["history", "influx"]);
    changed_counts_are_found(&daemon);
}

fn changed_counts_are_found(daemon: &Daemon) {
    let dir = daemon.state_dir.path();
    let one = "WHERE client='gateway-1' AND protocol=1";
    for (file, sql, back, wanted) in [
        (
            "sinks.db",
            format!("UPDATE client SET stored=stored-1 {one}"),
            format!("UPDATE client SET stored=stored+1 {one}"),
            ["ws       gateway-1: 1 are nowhere", "sink influx: NOT balanced: 1 of 4 lines"],
        ),
        (
            "history.db",
            format!("UPDATE client SET lost=lost+2 {one}"),
            format!("UPDATE client SET lost=lost-2 {one}"),
            ["ws       gateway-1: 2 too many", "sink history: NOT balanced: 1 of 4 lines"],
        ),
        (
            // The sums stay right.
            "sinks.db",
            format!("UPDATE client SET protocol=3 {one}"),
            "UPDATE client SET protocol=1 WHERE protocol=3".to_owned(),
            [" too many", "sink influx: NOT balanced: 2 of 5 lines"],
        ),
    ] {
        change(&dir.join(file), &sql);
        let (code, printed) = audit(daemon);
        let found = wanted.iter().all(|wanted| printed.contains(wanted));
        assert!(code == 1 && found, "{sql}: {code} {printed}");
        change(&dir.join(file), &back);
        assert_balanced(daemon, &["history", "influx"]);
    }
}

/// Incompressible readings of some kilobytes.
fn notes(device: &str) -> Batch {
    let text: String = (0..3000).map(|_| char::from(rand::random_range(b'a'..=b'z'))).collect();
    let mut builder = BatchBuilder::new();
    builder.table(device, &mut [], [clock::now().0]).unwrap();
    builder.texts("note", "", [text.as_str()], &[]).unwrap();
    builder.finish()
}

#[test]
fn what_a_full_spool_sheds_is_counted_for_the_client_that_sent_it() {
    let store = store();
    let mut settings = settings(&store.url());
    settings.extend(
        [
            "spool.size_max=1 MiB",
            "spool.when_full=shed_oldest",
            "spool.reserve=0 B",
            "spool.tail_memory=64 KiB",
        ]
        .map(str::to_owned),
    );
    let mut daemon = start(&settings);
    let hold = daemon.command("breaker").args(["influx", "hold"]).output().unwrap();
    assert!(hold.status.success(), "{hold:?}");
    let mut clients = ["pump-1", "pump-2"].map(|name| (name, Client::greet(&daemon, name, 1).0));
    for seq in 1..=400 {
        for (number, (name, client)) in (1..).zip(&mut clients) {
            // The second sends a third of what the first does.
            if seq % (2 * number - 1) == 0 {
                client.batch(seq / (2 * number - 1), &notes(name));
                client.acked(seq / (2 * number - 1));
            }
        }
    }
    daemon.eventually("/api/v1/status", |status| {
        status["sinks"][0]["lag_samples"] == 0 && status["spool"]["bytes"].as_u64() > Some(0)
    });
    daemon.kill();
    // The sink has not come to see it, and is said to be behind what the spool has deleted.
    let (code, printed) = audit(&daemon);
    assert!(code == 0 && printed.contains("if the "), "{printed}");
    daemon.restart();
    daemon.until_sink("influx", |sink| sink["lag_samples"] == 0);
    let told = told_at_rest(&daemon, "influx");
    let lost: Vec<_> = clients
        .iter()
        .map(|(name, _)| told[&((*name).to_owned(), "ws".to_owned())]["lost"])
        .collect();
    assert!(lost[0] > 50 && lost[1] > 10 && lost[0] > 2 * lost[1], "{told:#?}");
    assert!(told.keys().all(|(client, _)| client != "(others)"), "{told:#?}");
    assert!(daemon.stop().success());
    assert_balanced(&daemon, &["history", "influx"]);
}

#[test]
fn files_from_before_clients_were_counted_learn_it_from_the_log() {
    let store = store();
    let mut daemon = start(&settings(&store.url()));
    let load = Load::batches(&daemon, "gateway-1", PACE, 20);
    post(&daemon, "curl", 1);
    daemon.until_sink("influx", |sink| sink["lag_samples"] == 0);
    assert!(daemon.stop().success());
    for file in ["sinks.db", "history.db"] {
        let file = rusqlite::Connection::open(daemon.state_dir.path().join(file)).unwrap();
        let later = "DROP TABLE client; DROP TABLE IF EXISTS windows; DROP TABLE IF EXISTS floor";
        file.execute_batch(&format!("{later}; PRAGMA user_version=1")).unwrap();
    }
    let (code, printed) = audit(&daemon);
    assert!(code == 1 && printed.contains("are nowhere"), "{printed}");
    daemon.restart();
    post(&daemon, "curl", 2);
    for sink in ["history", "influx"] {
        let told = told_at_rest(&daemon, sink);
        let line = |client: &str, protocol: &str| &told[&(client.to_owned(), protocol.to_owned())];
        assert_eq!(line("gateway-1", "ws")["before"], load.samples(), "{told:#?}");
        assert_eq!(line("curl", "http")["before"], 4, "{told:#?}");
        assert_eq!(line("curl", "http")["stored"] + line("curl", "http")["skipped"], 4);
    }
    assert!(daemon.stop().success());
    assert_balanced(&daemon, &["history", "influx"]);
}

#[test]
fn a_sink_that_comes_late_knows_who_sent_what_was_before_it() {
    let store = store();
    // Small, so that live does not keep what it may show again.
    let mut settings = settings(&store.url());
    settings.extend(["spool.size_max=1 MiB", "spool.reserve=0 B"].map(str::to_owned));
    let mut daemon = start(&settings[4..]);
    let (mut pump, _) = Client::greet(&daemon, "pump-1", 1);
    pump.batch(1, &notes("pump-1"));
    pump.acked(1);
    post(&daemon, "curl", 1);
    // Until the log's beginning is gone.
    let first = daemon.spool_files()[0].clone();
    let deadline = clock::monotonic() + PATIENCE;
    let mut sent = 1;
    while first.exists() {
        sent += 1;
        pump.batch(sent, &notes("pump-1"));
        pump.acked(sent);
        assert!(clock::monotonic() < deadline, "after {sent} batches {} is there", first.display());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(daemon.stop().success());
    daemon.set(&settings.iter().map(String::as_str).collect::<Vec<_>>());
    daemon.restart();
    let (mut pump, _) = Client::greet(&daemon, "pump-1", 1);
    pump.batch(sent + 1, &reading("pump-1", "n", 1.0));
    pump.acked(sent + 1);
    daemon.until_sink("influx", |sink| sink["lag_samples"] == 0);
    let told = told_at_rest(&daemon, "influx");
    let its = &told[&("pump-1".to_owned(), "ws".to_owned())];
    assert!(its["before"] > 5 && its["stored"] > 0, "{told:#?}");
    assert_eq!(its["before"] + its["stored"], sent + 1, "{told:#?}");
    assert!(daemon.stop().success());
    assert_balanced(&daemon, &["history", "influx"]);
}

#[test]
fn damage_in_the_spool_is_lost_and_told_of_whom_once_the_log_says_so() {
    let store = store();
    let mut daemon = start(&settings(&store.url()));
    // Nothing is written yet when the spool is damaged.
    daemon.kill();
    let settings = settings(&store.url());
    let slow =
        ["history.flush_interval=1000 s", "sinks.influx.0.batch_age=1000 s"].map(str::to_owned);
    let slow: Vec<_> = settings.iter().chain(&slow).map(String::as_str).collect();
    daemon.set(&slow);
    daemon.restart();
    let mut clients = ["pump-1", "pump-2"].map(|name| (name, Client::greet(&daemon, name, 1).0));
    for seq in 1..=40 {
        for (name, client) in &mut clients {
            client.batch(seq, &notes(name));
            client.acked(seq);
        }
    }
    daemon.kill();
    let files = daemon.spool_files();
    assert!(files.len() > 2, "{files:?}");
    let mut bytes = std::fs::read(&files[1]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    std::fs::write(&files[1], bytes).unwrap();
    let (code, printed) = audit(&daemon);
    assert!(code == 0 && printed.contains("damaged 1\n"), "{printed}");
    daemon.set(&settings.iter().map(String::as_str).collect::<Vec<_>>());
    daemon.restart();
    let (mut pump, _) = Client::greet(&daemon, "pump-1", 1);
    pump.batch(41, &notes("pump-1"));
    pump.acked(41);
    for sink in ["history", "influx"] {
        daemon.until_sink(sink, |sink| sink["lag_samples"] == 0);
    }
    // The next start reads it from the checkpoint after the damage.
    assert!(daemon.stop().success());
    daemon.restart();
    for sink in ["history", "influx"] {
        daemon.eventually("/api/v1/ledger", |ledger| {
            told(ledger, sink).values().map(|told| told["lost"]).sum::<u64>() == 1
        });
    }
    pump = Client::greet(&daemon, "pump-1", 1).0;
    pump.batch(42, &notes("pump-1"));
    pump.acked(42);
    for sink in ["history", "influx"] {
        let told = told_at_rest(&daemon, sink);
        let lost = |name: &str| told[&(name.to_owned(), "ws".to_owned())]["lost"];
        assert_eq!(lost("pump-1") + lost("pump-2"), 1, "{sink}: {told:#?}");
    }
    assert!(daemon.stop().success());
    let printed = assert_balanced(&daemon, &["history", "influx"]);
    assert!(printed.contains("damaged 1\n"), "{printed}");
}
