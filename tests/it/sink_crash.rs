//! `kill -9` while a sink is in trouble, and other ends: what was acknowledged is stored once, and what
//! was refused is set aside once.

use crate::daemon::{Daemon, PATIENCE, sink};
use crate::load::{Load, Pace, Samples, assert_same, end_in_order, in_store, in_victoria};
use crate::plant::eventually;
use crate::sink_outage::slow_before;
use crate::store::{Reaction, Request, Store};
use crate::victoria::Victoria;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;
use tidegate::clock;

const PACE: Pace = Pace { devices: 20, rows: 10, every: Duration::from_millis(50) };

fn settings(store: &Store) -> Vec<String> {
    settings_of(&store.url())
}

fn settings_of(url: &str) -> Vec<String> {
    vec![
        format!("sinks.influx.0.url={url}"),
        "sinks.influx.0.bucket=b".to_owned(),
        "sinks.influx.0.batch_samples=1000".to_owned(),
        "sinks.influx.0.batch_age=200 ms".to_owned(),
        "sinks.influx.0.timeout=1 s".to_owned(),
        "sinks.influx.0.breaker.backoff_max=500 ms".to_owned(),
        // Segments end often, so that a position that was told too early would cost some.
        "spool.segment_size=64 KiB".to_owned(),
        "history.flush_interval=300 ms".to_owned(),
        "live.resume_keep=1 s".to_owned(),
    ]
}

fn daemon(settings: &[String]) -> Daemon {
    Daemon::start(&settings.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn killed_during_an_outage_it_writes_everything_after() {
    let mut store = Store::start(|_| Reaction::stored());
    let mut daemon = daemon(&settings(&store));
    let load = Load::start(&daemon, "gateway", PACE);
    store.wait(|_, stored| stored.len() > 1000);
    store.stop();
    for _ in 0..3 {
        daemon.until_sink("influx", |sink| sink["breaker"] == "open");
        load.wait_for(load.acked() + 10);
        daemon.kill();
        daemon.restart();
    }
    daemon.until_sink("influx", |sink| sink["lag_samples"].as_u64() > Some(0));
    store.restart();
    let sent = load.finish();
    end_in_order(&mut daemon, &["influx"], &[&sent]);
    assert_same(&in_store(&store), &sent.all());
    assert!(sent.connections >= 3, "{}", sent.connections);
}

#[test]
fn killed_while_the_store_hangs_it_writes_everything_after() {
    let store = Store::start(|_| Reaction::stored());
    let mut daemon = daemon(&settings(&store));
    let load = Load::start(&daemon, "gateway", PACE);
    store.wait(|_, stored| stored.len() > 1000);
    for _ in 0..3 {
        store.script(|_| Reaction::hangs());
        daemon.until_sink("influx", |sink| sink["requests"]["under_way"].as_u64() > Some(0));
        let asked = store.requests().len();
        load.wait_for(load.acked() + 10);
        daemon.kill();
        store.script(|_| Reaction::stored());
        daemon.restart();
        store.wait(|requests, _| requests[asked..].iter().any(|it| it.status == 204));
    }
    let sent = load.finish();
    end_in_order(&mut daemon, &["influx"], &[&sent]);
    assert_same(&in_store(&store), &sent.all());
}

#[test]
fn killed_while_a_real_store_stands_still_it_writes_everything_after() {
    let victoria = Victoria::start();
    let mut daemon = daemon(&settings_of(&victoria.url()));
    let load = Load::start(&daemon, "gateway", PACE);
    for _ in 0..2 {
        let before = daemon.sink("influx")["written"].as_u64();
        daemon.until_sink("influx", |sink| sink["written"].as_u64() > before);
        victoria.pause();
        // It finds out, and so does the next one.
        for _ in 0..2 {
            let open = daemon.until_sink("influx", |sink| sink["breaker"] == "open");
            let cause = open["cause"].as_str().unwrap();
            assert!(cause.contains("does not answer in time"), "{open:#}");
            load.wait_for(load.acked() + 10);
            daemon.kill();
            daemon.restart();
        }
        victoria.resume();
    }
    let sent = load.finish();
    end_in_order(&mut daemon, &["influx"], &[&sent]);
    assert_same(&in_victoria(&victoria), &sent.all());
}

#[test]
fn killed_while_the_store_flaps_it_writes_everything_after() {
    // Some of what it stores it does not say that it stored.
    let mut calls = 0_u32;
    let flaky = move |_: &_| {
        calls += 1;
        if calls.is_multiple_of(7) { Reaction::stored_and_closes() } else { Reaction::stored() }
    };
    let mut store = Store::start(flaky);
    let mut daemon = daemon(&settings(&store));
    let load = Load::start(&daemon, "gateway", PACE);
    let moment = || std::thread::sleep(Duration::from_millis(rand::random_range(100..1500)));
    let mut stored_before = 0;
    for flap in 0..8 {
        // Some of it came through in each of its good times.
        let stored = store.wait(|_, stored| stored.len() > stored_before);
        stored_before = stored.len();
        moment();
        store.stop();
        moment();
        // Killed while it is down, while it is up, or not at all.
        if flap % 3 == 0 {
            daemon.kill();
            daemon.restart();
            load.wait_for(load.acked() + 1);
        }
        store.restart();
        if flap % 3 == 1 {
            moment();
            daemon.kill();
            daemon.restart();
            load.wait_for(load.acked() + 1);
        }
    }
    let sent = load.finish();
    end_in_order(&mut daemon, &["influx"], &[&sent]);
    assert_same(&in_store(&store), &sent.all());
    assert!(sent.connections > 5, "{}", sent.connections);
}

#[test]
fn killed_while_the_store_is_slow_it_writes_everything_after() {
    let store = Store::start(|_| Reaction::stored());
    let mut settings = settings(&store);
    settings.retain(|setting| !setting.contains("timeout"));
    let mut daemon = daemon(&settings);
    let load = Load::start(&daemon, "gateway", PACE);
    store.wait(|_, stored| stored.len() > 1000);
    let mut in_the_middle = 0;
    for slow in [300, 3000] {
        let asked = store.requests().len();
        store.script(move |_| Reaction::stored().after(Duration::from_millis(slow)));
        for kill in 1..=3 {
            // A slow answer came, and others are waited for.
            let slow_ones =
                |it: &[Request]| it[asked..].iter().filter(|it| it.status == 204).count();
            store.wait(|requests, _| slow_ones(requests) >= 2 * kill);
            daemon.until_sink("influx", |sink| sink["requests"]["under_way"].as_u64() > Some(0));
            load.wait_for(load.acked() + 10);
            daemon.kill();
            in_the_middle += u32::from(store.requests().iter().any(|it| it.status == 0));
            daemon.restart();
        }
    }
    store.script(|_| Reaction::stored());
    let sent = load.finish();
    let told = end_in_order(&mut daemon, &["influx"], &[&sent]);
    assert_same(&in_store(&store), &sent.all());
    assert_eq!(told[0]["requests"]["failed"], 0, "slow is not broken");
    eprintln!("{in_the_middle} of 6 kills were in the middle of a request");
    assert!(in_the_middle > 0);
}

#[test]
fn killed_while_its_token_is_expired_it_writes_everything_after() {
    let store = Store::start(|_| Reaction::stored());
    store.require_token("the-old-one");
    let scratch = tempfile::tempdir().unwrap();
    let token_file = scratch.path().join("token");
    std::fs::write(&token_file, "the-old-one\n").unwrap();
    let mut settings = settings(&store);
    settings.push(format!("sinks.influx.0.token_file={}", token_file.display()));
    settings.push("sinks.influx.0.breaker.fix_interval=300 ms".to_owned());
    let mut daemon = daemon(&settings);
    let load = Load::start(&daemon, "gateway", PACE);
    store.wait(|_, stored| stored.len() > 1000);
    store.require_token("the-new-one");
    for _ in 0..3 {
        let open = daemon.until_sink("influx", |sink| sink["breaker"] == "open");
        assert!(open["cause"].as_str().unwrap().contains("token_file"), "{open:#}");
        load.wait_for(load.acked() + 10);
        daemon.kill();
        daemon.restart();
    }
    let stored = store.stored().len();
    daemon.until_sink("influx", |sink| sink["breaker"] == "open");
    assert_eq!(store.stored().len(), stored, "nothing gets in without the new one");
    std::fs::write(&token_file, "the-new-one\n").unwrap();
    let sent = load.finish();
    let told = end_in_order(&mut daemon, &["influx"], &[&sent]);
    assert_same(&in_store(&store), &sent.all());
    assert_eq!(told[0]["dead_lettered"], 0);
    // The last daemon may have nothing to be sent any more.
    assert!(sent.connections >= 3, "{}", sent.connections);
}

/// What is not written, in two ranges: the backlog, and what is new.
fn drains_with_a_gap(sink: &Value) -> bool {
    sink["backlog_samples"].as_u64() > Some(2000) && sink["live_lag_s"].as_f64() < Some(3.0)
}

/// Whether the book has a gap of the sink; see `src/sinks/influx/progress.rs`.
fn knows_of_a_gap(daemon: &Daemon) -> bool {
    let file = daemon.state_dir.path().join("sinks.db");
    let book = rusqlite::Connection::open(file).unwrap();
    let query = "SELECT progress FROM sink WHERE name='influx'";
    let progress = book.query_row(query, [], |row| row.get::<_, String>(0));
    progress.is_ok_and(|progress| progress.split('|').next().unwrap().contains('-'))
}

#[test]
fn killed_while_a_backlog_drains_it_knows_both_ranges() {
    // Takes 10,000 samples a second, of which 4,000 are new.
    let mut store = Store::start(|request| request.stored_at(10_000));
    let mut settings = settings(&store);
    settings.retain(|setting| !setting.contains("timeout"));
    settings.push("sinks.influx.0.requests_max=1".to_owned());
    let mut daemon = daemon(&settings);
    let load = Load::start(&daemon, "gateway", PACE);
    store.wait(|_, stored| stored.len() > 1000);
    store.stop();
    let before = load.acked();
    daemon.until_sink("influx", |sink| sink["lag_s"].as_f64() > Some(6.0));
    // The older half of what came meanwhile is there until it was killed in the middle of it, twice.
    let half = before + (load.acked() - before) / 2;
    store.script(slow_before(i64::try_from(half).unwrap() * PACE.rows as i64));
    store.restart();
    let mut gaps = Vec::new();
    for _ in 0..2 {
        let sink = daemon.until_sink("influx", drains_with_a_gap);
        // A settlement must have seen the gap: they come once a second.
        eventually("the gap is in the book", || knows_of_a_gap(&daemon));
        load.wait_for(load.acked() + 25);
        daemon.kill();
        gaps.push((sink["backlog_samples"].as_u64(), sink["live_lag_s"].as_f64()));
        daemon.restart();
        // It was in the book: nothing had to be found out again.
        let first = daemon.sink("influx");
        assert!(first["backlog_samples"].as_u64() > Some(0), "{first:#}");
    }
    store.script(|_| Reaction::stored());
    let sent = load.finish();
    end_in_order(&mut daemon, &["influx"], &[&sent]);
    eprintln!("killed with backlog and live lag {gaps:?}");
    assert_same(&in_store(&store), &sent.all());
}

/// Every tenth sample of one device.
fn is_poison(line: &str) -> bool {
    line.starts_with("telemetry,device=gateway-7 ") && line.contains("7i ")
}

#[test]
fn killed_while_it_looks_for_poison_it_sets_each_aside_once() {
    let script = |request: &Request| {
        Reaction::influx_2_unreadable(&request.lines, is_poison).after(Duration::from_millis(2))
    };
    let store = Store::start(script);
    let mut daemon = daemon(&settings(&store));
    let load = Load::start(&daemon, "gateway", PACE);
    let mut refused = 0;
    for _ in 0..8 {
        // In the middle of a bisection: some halves are refused, and more will be.
        let count = |requests: &[Request]| requests.iter().filter(|it| it.status == 400).count();
        let more = refused + rand::random_range(2..8);
        store.wait(|requests, _| count(requests) >= more);
        daemon.kill();
        refused = count(&store.requests());
        daemon.restart();
    }
    let sent = load.finish();
    daemon.until_sink("influx", |sink| sink["lag_samples"] == 0);
    let poison: BTreeSet<i64> = sent.all()["gateway-7"]
        .values()
        .copied()
        .filter(|value| is_poison(&format!("telemetry,device=gateway-7 n={value}i 0")))
        .collect();
    // What was refused last is written down with the next settlement.
    let poisoned = poison.len() as u64;
    let letters = daemon.eventually("/api/v1/dead-letters?limit=1000", |told| {
        told["totals"]["letters"].as_u64() >= Some(poisoned)
    });
    let told = end_in_order(&mut daemon, &["influx"], &[&sent]);
    // All that is poison is set aside, each once; all else is stored.
    let (letters, totals) = (letters["letters"].as_array().unwrap(), &letters["totals"]);
    assert!(letters.iter().all(|it| it["samples"] == 1), "{letters:#?}");
    let count = |of: &Value| of.as_u64().unwrap();
    assert_eq!(
        [&totals["letters"], &totals["samples"], &told[0]["dead_lettered"]].map(count),
        [poisoned; 3]
    );
    let mut wanted: Samples = sent.all();
    wanted.get_mut("gateway-7").unwrap().retain(|_, value| !poison.contains(value));
    eprintln!("{} samples, {} of them poison, killed 8 times", sent.samples(), poison.len());
    assert_same(&in_store(&store), &wanted);
}

#[test]
fn a_store_that_is_away_does_not_hold_up_the_end_and_gets_the_rest_after() {
    for hangs in [false, true] {
        let mut store = Store::start(|_| Reaction::stored());
        let mut settings = settings(&store);
        // Long enough that waiting for it would be seen.
        settings.push("sinks.influx.0.timeout=10 m".to_owned());
        settings.push("sinks.influx.0.breaker.backoff_max=10 m".to_owned());
        settings.push("shutdown.deadline=10 m".to_owned());
        let mut daemon = daemon(&settings);
        let load = Load::start(&daemon, "gateway", PACE);
        store.wait(|_, stored| stored.len() > 1000);
        match hangs {
            true => store.script(|_| Reaction::hangs()),
            false => store.stop(),
        }
        daemon.until_sink("influx", |sink| match hangs {
            true => sink["requests"]["under_way"].as_u64() > Some(0),
            false => sink["breaker"] == "open",
        });
        load.wait_for(load.acked() + 20);
        let sent = load.finish();
        let began = clock::monotonic();
        daemon.stop_and_audit();
        let took = began.elapsed();
        eprintln!(
            "stopped in {took:.1?} beside a store that {}",
            if hangs { "hangs" } else { "is down" }
        );
        match hangs {
            true => store.script(|_| Reaction::stored()),
            false => store.restart(),
        }
        daemon.restart();
        end_in_order(&mut daemon, &["influx"], &[&sent]);
        assert_same(&in_store(&store), &sent.all());
        assert!(took < PATIENCE, "it took {took:?}");
    }
}

#[test]
fn a_sink_that_was_taken_out_goes_on_where_it_was_when_it_comes_back() {
    let store = Store::start(|_| Reaction::stored());
    let plain = Store::start(|_| Reaction::stored());
    let with =
        vec![format!("sinks.influx.0.url={}", store.url()), "sinks.influx.0.bucket=b".to_owned()];
    let mut daemon = daemon(&with);
    let first = Load::batches(&daemon, "first", PACE, 20);
    end_in_order(&mut daemon, &["influx"], &[&first]);
    let requests = store.requests().len();

    daemon.set(&[]);
    daemon.restart();
    assert_eq!(sink(&daemon.json("/api/v1/status"), "influx"), &Value::Null);
    let second = Load::batches(&daemon, "second", PACE, 20);
    daemon.stop_and_audit();
    assert_eq!(store.requests().len(), requests, "nobody asked it");

    // The log still has what came meanwhile, and beside it there is another that is new.
    let more = [
        "sinks.influx.1.name=new".to_owned(),
        format!("sinks.influx.1.url={}", plain.url()),
        "sinks.influx.1.bucket=b".to_owned(),
    ];
    let both = [with, more.to_vec()].concat();
    daemon.set(&both.iter().map(String::as_str).collect::<Vec<_>>());
    daemon.restart();
    let third = Load::batches(&daemon, "third", PACE, 20);
    end_in_order(&mut daemon, &["influx", "new"], &[&first, &second, &third]);
    let mut wanted = first.all();
    wanted.extend(second.all());
    wanted.extend(third.all());
    assert_same(&in_store(&store), &wanted);
    assert_same(&in_store(&plain), &wanted);
    let stored = store.stored();
    let again = stored.iter().filter(|stored| stored.line.contains("device=first-")).count();
    assert_eq!(again as u64, first.samples(), "what it had is not sent again");
}
