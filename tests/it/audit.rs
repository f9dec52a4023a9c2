//! `tidegate audit` counts sinks anew from the files of a real daemon, and finds what does not fit.

use crate::client::{Client, reading};
use crate::daemon::Daemon;
use crate::store::{Reaction, Store};
use std::path::Path;
use std::process::{Command, Output};

/// Refuses lines of `poison`, as InfluxDB 3 does.
fn store() -> Store {
    Store::start(|request| {
        Reaction::influx_3_partial(&request.lines, |line| line.contains("device=poison"))
    })
}

/// 20 readings written, 5 refused, and 7 that the sink has not, because it is held.
fn stopped(store: &Store) -> Daemon {
    let url = format!("sinks.influx.0.url={}", store.url());
    let mut daemon =
        Daemon::start(&[&url, "sinks.influx.0.bucket=north", "sinks.influx.0.batch_age=20 ms"]);
    let (mut client, _) = Client::greet(&daemon, "gateway-1", 1);
    for seq in 1..=25 {
        let device = if seq % 5 == 0 { "poison" } else { "pump-7" };
        client.batch(seq, &reading(device, "motor.temperature", seq as f64));
    }
    client.acked(25);
    daemon.eventually("/api/v1/status", |status| {
        let sink = &status["sinks"][1];
        sink["written"] == 20 && sink["dead_lettered"] == 5
    });
    let hold = daemon.command("breaker").args(["influx", "hold"]).output().unwrap();
    assert!(hold.status.success(), "{hold:?}");
    for seq in 26..=32 {
        client.batch(seq, &reading("pump-7", "motor.temperature", seq as f64));
    }
    client.acked(32);
    assert!(daemon.stop().success());
    daemon
}

fn said(output: Output) -> (i32, String) {
    let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code().unwrap(), printed)
}

fn audit(daemon: &Daemon) -> (i32, String) {
    said(daemon.command("audit").output().unwrap())
}

fn change(state_dir: &Path, sql: &str) {
    let book = rusqlite::Connection::open(state_dir.join("sinks.db")).unwrap();
    assert_eq!(book.execute(sql, []).unwrap(), 1, "{sql}");
}

#[test]
fn what_sinks_have_and_what_they_have_yet_to_do_is_the_log() {
    let store = store();
    let mut daemon = stopped(&store);
    let (code, printed) = audit(&daemon);
    let log = "sink influx: log 32 = before 0 + written 20 + dead-lettered 5 + skipped 0 + lost 0 + to \
               do 7 (in 7 batches): balanced\n";
    let letters = "sink influx: dead letters 5 = held 5 (in ";
    assert!(code == 0 && printed.contains(log) && printed.contains(letters), "{code} {printed}");

    // It is not configured any more: its place and its letters are still known.
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    let (code, printed) = said(
        command.arg("audit").arg("--state-dir").arg(daemon.state_dir.path()).output().unwrap(),
    );
    let named = "sink influx (not in the configuration): log 32 = ";
    assert!(code == 0 && printed.contains(named), "{code} {printed}");
    let other = daemon.command("audit").args(["--set", "sinks.influx.0.name=other"]).output();
    let (code, printed) = said(other.unwrap());
    assert!(code == 0 && printed.contains("sink other: has not begun"), "{code} {printed}");
    assert!(printed.contains(named), "{printed}");

    // The next start goes on where it stood.
    daemon.restart();
    daemon.eventually("/api/v1/status", |status| status["sinks"][1]["lag_samples"] == 0);
    daemon.stop_and_audit();
    let (_, printed) = audit(&daemon);
    assert!(printed.contains("written 27 + dead-lettered 5"), "{printed}");
    assert!(printed.contains("to do 0 (in 0 batches): balanced"), "{printed}");
}

#[test]
fn what_was_changed_by_hand_does_not_balance_and_is_said_which_way() {
    let store = store();
    let daemon = stopped(&store);
    let dir = daemon.state_dir.path();
    for (sql, back, wanted) in [
        (
            "UPDATE sink SET written=written-3",
            "UPDATE sink SET written=written+3",
            "(in 7 batches): NOT balanced: 3 samples were accepted and are nowhere",
        ),
        (
            "UPDATE sink SET written=written+1",
            "UPDATE sink SET written=written-1",
            "(in 7 batches): NOT balanced: 1 samples more than the log ever had",
        ),
        (
            // As if it were done with what it never had.
            "UPDATE sink SET progress='| 32'",
            "UPDATE sink SET progress='| 25'",
            "to do 0 (in 0 batches): NOT balanced: 7 samples were accepted and are nowhere",
        ),
        (
            "UPDATE sink SET progress='3-5 | 25'",
            "UPDATE sink SET progress='| 25'",
            "to do 9 (in 9 batches): NOT balanced: 2 samples more than the log ever had",
        ),
        (
            "UPDATE tally SET samples=samples+1, dropped=dropped-1",
            "UPDATE tally SET samples=samples-1, dropped=dropped+1",
            "samples are there",
        ),
        ("UPDATE sink SET progress='nonsense'", "UPDATE sink SET progress='| 25'", "sinks.db"),
        // Last: it can't be undone.
        ("DELETE FROM letter WHERE id=(SELECT min(id) FROM letter)", "", "samples are nowhere"),
    ] {
        change(dir, sql);
        let (code, printed) = audit(&daemon);
        assert!(code == 1 && printed.contains(wanted), "{sql}: {code} {printed}");
        if !back.is_empty() {
            change(dir, back);
            let (code, printed) = audit(&daemon);
            assert!(code == 0, "{back}: {printed}");
        }
    }
}

#[test]
fn each_client_is_counted_over_each_protocol_and_over_crashes() {
    let mut daemon = Daemon::start(&["spool.segment_size=64 KiB", "spool.size_max=64 MiB"]);
    let (mut pump, _) = Client::greet(&daemon, "pump-7", 1);
    let (mut gateway, _) = Client::greet(&daemon, "gateway-1", 2);
    for seq in 1..=1000 {
        gateway.batch(seq, &reading("boiler-1", "t", seq as f64));
        gateway.batch(seq, &reading("boiler-1", "t", seq as f64));
        if seq <= 30 {
            pump.batch(seq, &reading("pump-7", "t", seq as f64));
        }
        if seq % 10 == 0 {
            gateway.acked(seq);
        }
    }
    pump.acked(30);
    pump.batch(31, &reading("pump-7", "t", f64::NAN));
    assert_eq!(pump.refused().0, 31);
    let line = "{\"device\":\"pump-7\",\"values\":{\"t\":1,\"u\":2}}\n";
    let ndjson = [("content-type", "application/x-ndjson")];
    for (body, status) in [(line, 200), ("nonsense\n", 422)] {
        let path = "/api/v1/ingest?client=pump-7";
        let (found, answer) = daemon.request("POST", path, &ndjson, body.as_bytes());
        assert!(found == status || found == 400, "{found} {answer}");
    }
    let told = |ledger: &serde_json::Value| -> Vec<(String, String, [u64; 4])> {
        let lines = ledger["clients"].as_array().unwrap().iter();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        lines
            .map(|it| {
                let counts = ["batches", "samples", "duplicates", "refused"];
                let counts = counts.map(|count| it[count].as_u64().unwrap());
                (text(&it["client"]), text(&it["protocol"]), counts)
            })
            .collect()
    };
    let line = |client: &str, protocol: &str, counts| (client.into(), protocol.into(), counts);
    let expected = [
        line("gateway-1", "ws", [1000, 1000, 1000, 0]),
        line("pump-7", "ws", [30, 30, 0, 1]),
        line("pump-7", "http", [1, 2, 0, 1]),
    ];
    // The second of two that are the same may still be on its way.
    let ledger = daemon.eventually("/api/v1/ledger", |ledger| told(ledger) == expected);
    assert_eq!((&ledger["clients_known"], &ledger["other"]), (&3.into(), &serde_json::json!([])));
    assert_eq!(ledger["sinks"][0]["name"], "history");
    assert_eq!(told(&daemon.json("/api/v1/ledger?limit=1")), expected[..1]);
    assert_eq!(told(&daemon.json("/api/v1/ledger?client=pump-7")), expected[1..]);
    for wrong in ["limit=0", "limit=x", "page=1"] {
        assert_eq!(daemon.get(&format!("/api/v1/ledger?{wrong}")).0, 400, "{wrong}");
    }
    assert!(daemon.spool_files().len() > 1, "over a checkpoint");

    // What entered is in the log; the rest a crash may take back to the newest checkpoint.
    daemon.kill();
    daemon.restart();
    let after = told(&daemon.json("/api/v1/ledger"));
    let entered = |lines: &[(String, String, [u64; 4])]| -> Vec<_> {
        lines
            .iter()
            .map(|(client, protocol, it)| (client.clone(), protocol.clone(), it[0], it[1]))
            .collect()
    };
    assert_eq!(entered(&after), entered(&expected));
    let (mut gateway, _) = Client::greet(&daemon, "gateway-1", 2);
    gateway.batch(1001, &reading("boiler-1", "t", 0.0));
    gateway.acked(1001);
    assert!(daemon.stop().success());
    let (code, printed) = said(daemon.command("audit").arg("--clients").output().unwrap());
    assert!(code == 0 && printed.contains("  ws       gateway-1\n"), "{code} {printed}");
    assert!(printed.contains("            1001         1001 "), "{printed}");
    assert!(printed.contains("               2            1            0 "), "{printed}");
}
