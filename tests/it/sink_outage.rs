//! A store that is down, hangs, flaps or is slow, under load.
//!
//! `OUTAGE_S` is how long it is away (6), with the breaker's own patience if it is given. If it is not,
//! a store that is away has used up a patience that is longer than the test, as after days.

use crate::daemon::{Daemon, PATIENCE};
use crate::load::{Load, Pace, assert_same, end_in_order, in_store, in_victoria, story_time};
use crate::store::{Reaction, Request, Store, row};
use crate::victoria::Victoria;
use crate::viewer::{Viewer, Watched};
use serde_json::Value;
use std::time::Duration;
use tidegate::clock;

/// Viewers get something new four times a second, whatever a store does. What they got is printed;
/// this much is left for a machine that is busy with other tests.
const BLINK: Duration = Duration::from_secs(15);
/// So much they get in any case while a store is away.
const FRAMES: u64 = 8;
/// Behind its newest data a sink may be so far once it has recovered.
const LIVE_LAG_S: f64 = 5.0;
/// And while a backlog drains, on a machine that is busy with other tests.
const LIVE_LAG_MOST_S: f64 = 30.0;

fn outage() -> Duration {
    story_time("OUTAGE_S", 6)
}

/// The breaker in a short story about a store that answers badly: it must not wait for a minute.
const IMPATIENT: &[&str] = &["sinks.influx.0.breaker.backoff_max=1 s"];
/// The breaker in a short story about a store that is away: it must not wait for an hour.
const PATIENT: &[&str] =
    &["sinks.influx.0.breaker.backoff=1 h", "sinks.influx.0.breaker.backoff_max=1 h"];

/// A daemon with this sink.
fn daemon(url: &str, patience: &[&str], settings: &[&str]) -> Daemon {
    let url = format!("sinks.influx.0.url={url}");
    let mut all = vec![url.as_str(), "sinks.influx.0.bucket=b"];
    if std::env::var_os("OUTAGE_S").is_none() {
        all.extend(patience);
    }
    all.extend(settings);
    Daemon::start(&all)
}

fn cause(sink: &Value) -> &str {
    sink["cause"].as_str().unwrap_or_default()
}

/// Takes 10,000 samples a second, but of what was measured before this row only 2,000: a backlog that is there
/// until somebody has seen it.
pub fn slow_before(row_of_now: i64) -> impl FnMut(&Request) -> Reaction + Send + 'static {
    move |request| {
        let is_old = request.lines.first().is_some_and(|line| row(line) < row_of_now);
        request.stored_at(if is_old { 2_000 } else { 10_000 })
    }
}

fn never_blinked(watched: &Watched) {
    assert!(watched.longest_gap < BLINK, "{watched:?}");
}

#[test]
fn a_store_that_was_down_under_load_has_everything_once() {
    let mut victoria = Victoria::start();
    let mut daemon = daemon(&victoria.url(), PATIENT, &[]);
    let pace = Pace { devices: 20, rows: 10, every: Duration::from_millis(40) };
    let load = Load::start(&daemon, "gateway", pace);
    let viewer = Viewer::open(&daemon);
    daemon.until_sink("influx", |sink| sink["written"].as_u64() > Some(0));

    victoria.stop();
    let open = daemon.until_sink("influx", |sink| sink["breaker"] == "open");
    assert!(cause(&open).contains("nothing listens at the store"), "{open:#}");
    let lagging = outage().as_secs_f64() - 1.0;
    let lagging = daemon.until_sink_within(outage() * 2 + PATIENCE, "influx", |sink| {
        assert_ne!(sink["breaker"], "closed", "{sink:#}");
        sink["lag_s"].as_f64().unwrap() > lagging
    });
    assert!(lagging["lag_samples"].as_u64() > Some(0), "{lagging:#}");
    viewer.sees(FRAMES);
    victoria.restart();
    let back = clock::monotonic();
    let minute = Duration::from_secs(60);
    daemon.until_sink_within(minute, "influx", |sink| sink["breaker"] == "closed");
    let closed = back.elapsed();
    let fresh = daemon.until_sink_within(minute, "influx", |sink| {
        sink["live_lag_s"].as_f64().unwrap() < LIVE_LAG_S
    });
    let caught_up = back.elapsed();
    assert!(caught_up < minute, "{caught_up:?}");

    // It knocked often, and said once why.
    daemon.wait_for_log("breaker closed");
    let count = |said: &str| daemon.log().iter().filter(|line| line.contains(said)).count();
    assert_eq!(count("breaker open: nothing listens at the store"), 1, "{:#?}", daemon.log());
    assert_eq!(count("breaker closed"), 1, "{:#?}", daemon.log());

    let watched = viewer.close();
    let sent = load.finish();
    end_in_order(&mut daemon, &["influx"], &[&sent]);
    eprintln!(
        "{} samples, away for {:?}; after the return: closed in {closed:.1?}, live lag {} s in \
         {caught_up:.1?} with a backlog of {}; longest gap of a viewer {:.0?}",
        sent.samples(),
        outage(),
        fresh["live_lag_s"],
        fresh["backlog_samples"],
        watched.longest_gap
    );
    assert_same(&in_victoria(&victoria), &sent.all());
    assert_eq!(sent.connections, 1);
    never_blinked(&watched);
}

#[test]
fn after_an_outage_new_data_is_there_at_once_while_the_backlog_drains() {
    // Takes 10,000 samples a second, of which 4,000 are new.
    let mut store = Store::start(|request| request.stored_at(10_000));
    let mut daemon = daemon(
        &store.url(),
        PATIENT,
        &["sinks.influx.0.batch_samples=1000", "sinks.influx.0.requests_max=1"],
    );
    const ROWS: usize = 10;
    let pace = Pace { devices: 20, rows: ROWS, every: Duration::from_millis(50) };
    let load = Load::start(&daemon, "gateway", pace);
    let viewer = Viewer::open(&daemon);
    store.wait(|_, stored| !stored.is_empty());

    store.stop();
    let before = load.acked();
    let away = outage().as_secs_f64();
    daemon.until_sink_within(outage() * 2 + PATIENCE, "influx", |sink| {
        sink["lag_s"].as_f64() > Some(away)
    });
    viewer.sees(FRAMES);
    let during = load.acked() - before;
    // Of what came meanwhile the older half waits until it has been seen that it waits.
    let old = i64::try_from(before + during / 2).unwrap() * ROWS as i64;
    store.script(slow_before(old));
    store.restart();
    let back = clock::monotonic();
    let minute = Duration::from_secs(60);
    let fresh = daemon.until_sink_within(minute, "influx", |sink| {
        sink["live_lag_s"].as_f64().unwrap() < LIVE_LAG_S
            && sink["backlog_samples"].as_u64() > Some(0)
    });
    let caught_up = back.elapsed();
    store.script(|request| request.stored_at(10_000));
    // And stays so until the last of the backlog is written.
    let mut live_lag_most = 0_f64;
    let end = clock::monotonic() + outage() * 4 + minute / 2;
    loop {
        let sink = daemon.sink("influx");
        if sink["backlog_samples"] == 0 {
            break;
        }
        live_lag_most = live_lag_most.max(sink["live_lag_s"].as_f64().unwrap());
        assert!(clock::monotonic() < end, "{sink:#}");
        std::thread::sleep(Duration::from_millis(50));
    }
    let drained = back.elapsed();

    let watched = viewer.close();
    let sent = load.finish();
    end_in_order(&mut daemon, &["influx"], &[&sent]);
    eprintln!(
        "away for {:?} and {during} batches; after the return: live lag {} s in {caught_up:.1?} with \
         a backlog of {}, at most {live_lag_most} s until it was drained in {drained:.1?}; longest gap \
         of a viewer {:.0?}",
        outage(),
        fresh["live_lag_s"],
        fresh["backlog_samples"],
        watched.longest_gap
    );
    assert_same(&in_store(&store), &sent.all());
    let allowed = if std::env::var_os("OUTAGE_S").is_some() { LIVE_LAG_S } else { LIVE_LAG_MOST_S };
    assert!(live_lag_most < allowed, "{live_lag_most}");
    assert!(caught_up < drained, "{caught_up:?} of {drained:?}");
    never_blinked(&watched);
}

#[test]
fn a_store_that_hangs_instead_of_failing_is_waited_for() {
    let victoria = Victoria::start();
    let mut daemon = daemon(&victoria.url(), IMPATIENT, &["sinks.influx.0.timeout=1 s"]);
    let pace = Pace { devices: 20, rows: 10, every: Duration::from_millis(40) };
    let load = Load::start(&daemon, "gateway", pace);
    let viewer = Viewer::open(&daemon);
    daemon.until_sink("influx", |sink| sink["written"].as_u64() > Some(0));

    victoria.pause();
    let open = daemon.until_sink("influx", |sink| sink["breaker"] == "open");
    assert!(cause(&open).contains("does not answer in time"), "{open:#}");
    let hung = outage().as_secs_f64() / 2.0;
    daemon.until_sink_within(outage() * 2 + PATIENCE, "influx", |sink| {
        sink["lag_s"].as_f64() > Some(hung)
    });
    viewer.sees(FRAMES);
    victoria.resume();
    let back = clock::monotonic();
    daemon.until_sink_within(Duration::from_secs(60), "influx", |sink| {
        sink["breaker"] == "closed" && sink["live_lag_s"].as_f64().unwrap() < LIVE_LAG_S
    });
    let caught_up = back.elapsed();

    let watched = viewer.close();
    let sent = load.finish();
    end_in_order(&mut daemon, &["influx"], &[&sent]);
    eprintln!(
        "hung for {hung} s, caught up {caught_up:.1?} after; longest gap of a viewer {:.0?}",
        watched.longest_gap
    );
    assert_same(&in_victoria(&victoria), &sent.all());
    assert_eq!(sent.connections, 1);
    never_blinked(&watched);
}

#[test]
fn a_store_that_flaps_loses_nothing() {
    // Half of the time it stores what it does not say that it stored.
    let mut calls = 0_u32;
    let flaky = move |_: &_| {
        calls += 1;
        if calls.is_multiple_of(7) { Reaction::stored_and_closes() } else { Reaction::stored() }
    };
    let mut store = Store::start(flaky);
    let mut daemon = daemon(&store.url(), IMPATIENT, &["sinks.influx.0.batch_age=100 ms"]);
    let pace = Pace { devices: 20, rows: 10, every: Duration::from_millis(50) };
    let load = Load::start(&daemon, "gateway", pace);
    let viewer = Viewer::open(&daemon);
    let end = clock::monotonic() + story_time("FLAP_S", 10);
    let mut flaps = 0;
    while clock::monotonic() < end {
        std::thread::sleep(Duration::from_millis(rand::random_range(300..1500)));
        store.stop();
        std::thread::sleep(Duration::from_millis(rand::random_range(300..1500)));
        store.restart();
        flaps += 1;
    }
    let watched = viewer.close();
    let sent = load.finish();
    let told = end_in_order(&mut daemon, &["influx"], &[&sent]);
    eprintln!(
        "{flaps} flaps, {} of {} requests failed; longest gap of a viewer {:.0?}",
        told[0]["requests"]["failed"], told[0]["requests"]["sent"], watched.longest_gap
    );
    assert!(told[0]["requests"]["failed"].as_u64() > Some(0));
    assert_same(&in_store(&store), &sent.all());
    assert_eq!(sent.connections, 1);
    never_blinked(&watched);
}

#[test]
fn a_slow_store_gets_fewer_requests_at_a_time_and_everything() {
    let store = Store::start(|_| Reaction::stored());
    let mut daemon = daemon(
        &store.url(),
        IMPATIENT,
        &["sinks.influx.0.batch_samples=500", "sinks.influx.0.requests_max=8"],
    );
    let pace = Pace { devices: 50, rows: 10, every: Duration::from_millis(100) };
    let load = Load::start(&daemon, "gateway", pace);
    let allowed = |sink: &Value| sink["requests"]["allowed"].as_u64().unwrap();
    let well = allowed(&daemon.until_sink("influx", |sink| allowed(sink) >= 4));
    store.script(|_| Reaction::stored().after(Duration::from_millis(300)));
    let slower = allowed(&daemon.until_sink("influx", |sink| allowed(sink) < 4));
    // Well again; then slower than that.
    store.script(|_| Reaction::stored());
    daemon.until_sink("influx", |sink| allowed(sink) >= 4);
    store.script(|_| Reaction::stored().after(Duration::from_secs(3)));
    let slowest = allowed(&daemon.until_sink("influx", |sink| allowed(sink) < 4));
    store.script(|_| Reaction::stored());
    let sent = load.finish();
    let told = end_in_order(&mut daemon, &["influx"], &[&sent]);
    eprintln!("at the same time {well}; slow {slower}; slower {slowest}: {:#}", told[0]);
    assert_same(&in_store(&store), &sent.all());
    assert_eq!((sent.connections, sent.refused_for_later), (1, 0));
    assert_eq!(told[0]["requests"]["failed"], 0, "slow is not broken");
}
