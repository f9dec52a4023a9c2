//! Tables say where they are to be kept: stores and viewers each get theirs, and all of it counts.

use crate::client::Client;
use crate::daemon::Daemon;
use crate::live_resume::Events;
use crate::store::{Reaction, Store};
use serde_json::Value;
use std::collections::BTreeSet;
use tidegate::clock;
use tidegate::model::{Batch, BatchBuilder, Keep};

/// Of each kind a table of one row: 1 value for both, 2 for stores, 3 for live.
fn batch() -> Batch {
    let mut builder = BatchBuilder::new();
    let now = clock::now().0;
    for (device, metrics, keep) in [
        ("pump-7", &["both"][..], Keep::Everywhere),
        ("pump-7", &["buffered", "counted"], Keep::StoresOnly),
        ("pump-8", &["buffered"], Keep::StoresOnly),
        ("pump-7", &["x", "y", "z"], Keep::LiveOnly),
    ] {
        builder.table(device, &mut [], [now]).unwrap();
        builder.keep(keep);
        for metric in metrics {
            builder.floats(metric, "", [1.5], &[]).unwrap();
        }
    }
    builder.finish()
}

const SAMPLES: u64 = 7;
const STORED: u64 = 4;
const LIVE_ONLY: u64 = 3;

/// The metrics of a device in a frame.
fn metrics(frame: &Value, device: &str) -> BTreeSet<String> {
    let devices = frame["data"]["devices"].as_array().unwrap().iter();
    let of_it = devices.filter(|it| it["device"] == device);
    of_it.flat_map(|it| it["rollups"].as_object().unwrap().keys().cloned()).collect()
}

fn in_history(listed: &Value) -> BTreeSet<String> {
    let listed = listed["series"].as_array().unwrap();
    let name = |it: &Value| format!("{} {}", it["device"], it["metric"]).replace('"', "");
    listed.iter().map(name).collect()
}

#[test]
fn stores_and_viewers_each_get_theirs_and_the_ledger_balances_after_kill_nine() {
    let store = Store::start(|_| Reaction::stored());
    let url = format!("sinks.influx.0.url={}", store.url());
    let mut daemon =
        Daemon::start(&[&url, "sinks.influx.0.bucket=b", "sinks.influx.0.batch_age=20 ms"]);
    let (mut client, _) = Client::greet(&daemon, "gateway", 1);
    let mut viewer = Events::open(&daemon, "", None);
    viewer.next(&["snapshot"]);
    client.batch(1, &batch());
    client.acked(1);

    // Live has what is for it, at once, and has heard of a device that has nothing for it.
    let mut seen = BTreeSet::new();
    while seen.len() < 4 {
        let frame = viewer.next(&["rollups"]);
        seen.extend(metrics(&frame, "pump-7"));
        assert_eq!(metrics(&frame, "pump-8"), BTreeSet::new());
    }
    assert_eq!(seen, ["both", "x", "y", "z"].map(str::to_owned).into());
    let online = |frame: &Value| {
        let devices = frame["data"]["devices"].as_array().unwrap().iter();
        let online = devices.filter(|it| it["online"] == true);
        online.map(|it| it["id"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    let devices = Events::open(&daemon, "", None).next(&["device"]);
    assert_eq!(online(&devices), ["pump-7", "pump-8"].map(str::to_owned).into());

    let stored = ["pump-7 both", "pump-7 buffered", "pump-7 counted", "pump-8 buffered"];
    let stored: BTreeSet<String> = stored.map(str::to_owned).into();
    for round in 1..=2 {
        daemon.until_sink("influx", |sink| sink["lag_samples"] == 0);
        daemon.eventually("/api/v1/series", |listed| in_history(listed) == stored);
        let status = daemon.eventually("/api/v1/status", |it| {
            it["ledger"]["skipped"] == LIVE_ONLY * round && it["ledger"]["balanced"] == true
        });
        let ledger = &status["ledger"];
        assert_eq!(ledger["accepted"], SAMPLES * round);
        let count = |name: &str| ledger[name].as_u64().unwrap();
        assert_eq!(count("stored") + count("spooled"), STORED * round, "{ledger}");
        let sink = daemon.sink("influx");
        assert_eq!(
            (&sink["written"], &sink["skipped"]),
            (&(STORED * round).into(), &(LIVE_ONLY * round).into())
        );
        // The history has it in memory only, and counts it anew from the log; then once more.
        daemon.kill();
        daemon.restart();
        if round == 1 {
            let (mut client, welcome) = Client::greet(&daemon, "gateway", 1);
            assert_eq!(welcome.last_seq, 1);
            client.batch(2, &batch());
            client.acked(2);
        }
    }
    daemon.stop_and_audit();
    let audit = || {
        let output = daemon.command("audit").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let told = audit();
    let samples = "samples: accepted 14, stored 8, spooled 0 (in 0 batches), live only 6, shed 0";
    assert!(told.contains(samples), "{told}");
    assert!(
        told.contains("log 14 = before 0 + written 8 + dead-lettered 0 + skipped 6 "),
        "{told}"
    );

    // A count that is wrong by one shows.
    let file = daemon.state_dir.path().join("history.db");
    let history = rusqlite::Connection::open(file).unwrap();
    let less = "UPDATE meta SET value=value-1 WHERE key='skipped_total'";
    assert_eq!(history.execute(less, []).unwrap(), 1);
    drop(history);
    assert!(
        audit().contains("NOT balanced: 1 samples were accepted and are nowhere"),
        "{}",
        audit()
    );

    let lines = store.stored();
    assert!(lines.iter().all(|stored| !stored.line.contains(" x=")), "{lines:#?}");
}

#[test]
fn a_number_that_nobody_knows_is_refused_with_its_place() {
    let daemon = Daemon::start(&[]);
    let (mut client, _) = Client::greet(&daemon, "gateway", 1);
    // An Upstream with a batch: its seq is 1, and keep of its only table 3.
    client.send(&[0x12, 6, 8, 1, 0x1a, 2, 0x28, 3]);
    let (seq, code, message) = client.refused();
    let told = (seq, code.to_string(), message);
    assert_eq!(told, (1, "MALFORMED".into(), "table 0: keep 3 is not known".into()));
}
