//! SIGHUP: sinks come, change and go while readings come in; the others do not notice.

use crate::daemon::Daemon;
use crate::load::{Load, Pace, assert_same, end_in_order, in_store};
use crate::reload::{says, started};
use crate::store::{Reaction, Store, row};
use std::time::Duration;

fn sink(name: &str, store: &Store, more: &str) -> String {
    format!(
        "[[sinks.influx]]\nname = \"{name}\"\nurl = \"{}\"\nbucket = \"b\"\nbatch_age = \"100 ms\"\n{more}\n",
        store.url()
    )
}

fn requests(daemon: &Daemon, name: &str) -> u64 {
    daemon.sink(name)["requests"]["sent"].as_u64().unwrap()
}

#[test]
fn sinks_come_change_and_go_and_the_others_do_not_notice() {
    let [stays, mended, goes, comes] = [(); 4].map(|()| Store::start(|_| Reaction::stored()));
    let mut away = Store::start(|_| Reaction::stored());
    away.stop();
    let patient = "breaker.backoff = \"10 m\"\nbreaker.backoff_max = \"10 m\"";
    let all = [
        sink("stays", &stays, ""),
        sink("mended", &away, patient),
        sink("goes", &goes, ""),
        sink("comes", &comes, ""),
    ];
    let mut daemon = started(&all[..3].concat());
    const ROWS: usize = 5;
    let pace = Pace { devices: 5, rows: ROWS, every: Duration::from_millis(10) };
    let row_after = |batches: u64| i64::try_from(batches).unwrap() * ROWS as i64;
    let load = Load::start(&daemon, "gateway", pace);
    for store in [&stays, &goes] {
        store.wait(|_, stored| stored.len() > 100);
    }
    daemon.until_sink("mended", |sink| sink["breaker"] == "open");
    let before = requests(&daemon, "stays");

    // Another order is no change; another address is.
    let fresh = [&*sink("mended", &mended, patient), &all[0], &all[3]].concat();
    let log = daemon.reload(&fresh);
    let applied = "applied=\"sinks.influx.comes, sinks.influx.goes, sinks.influx.mended.url\"";
    assert!(says(&log, &["event=reloaded", applied]), "{log:#?}");
    assert!(!says(&log, &["level=error"]), "{log:#?}");
    assert!(daemon.sink("goes").is_null(), "it is gone");
    // What was on its way is older: so many wait for their acknowledgement, at most.
    let after = row_after(load.acked() + 40);
    for store in [&comes, &mended] {
        store.wait(|_, stored| stored.len() > 100);
    }
    load.wait_for(load.acked() + 90);
    // One that had begun anew would count from nothing.
    assert!(requests(&daemon, "stays") > before);
    let late = goes.stored().into_iter().find(|stored| row(&stored.line) >= after);
    assert!(late.is_none(), "who is gone gets nothing: {late:?}");
    let metrics = daemon.get("/metrics").1;
    assert!(metrics.contains("sink=\"comes\"") && !metrics.contains("sink=\"goes\""), "{metrics}");

    // What it can't become is told, and it goes on as it was.
    let rollups = [&*fresh, "send = \"rollups\"\n"].concat();
    let log = daemon.reload(&rollups);
    assert!(says(&log, &["event=reload-failed", "key=sinks.influx.comes"]), "{log:#?}");
    assert!(says(&log, &["event=reloaded", "applied=nothing"]), "{log:#?}");
    let written = comes.stored().len();
    comes.wait(|_, stored| stored.len() > written + 100);

    // It comes back, and has what came meanwhile.
    let log = daemon.reload(&[&*fresh, &all[2]].concat());
    assert!(says(&log, &["event=reloaded", "applied=sinks.influx.goes"]), "{log:#?}");
    load.wait_for(load.acked() + 20);
    let sent = load.finish();
    end_in_order(&mut daemon, &["stays", "mended", "goes", "comes"], &[&sent]);
    for store in [&stays, &mended, &goes, &comes] {
        assert_same(&in_store(store), &sent.all());
    }
}

#[test]
fn a_sink_whose_store_hangs_goes_nevertheless() {
    let hangs = Store::start(|_| Reaction::hangs());
    let mut daemon = started(&sink("hangs", &hangs, ""));
    let pace = Pace { devices: 1, rows: 1, every: Duration::from_millis(10) };
    let sent = Load::batches(&daemon, "gateway", pace, 10);
    daemon.until_sink("hangs", |sink| sink["requests"]["under_way"] == 1);
    daemon.reload("");
    assert!(daemon.sink("hangs").is_null());
    let store = Store::start(|_| Reaction::stored());
    daemon.reload(&sink("hangs", &store, ""));
    end_in_order(&mut daemon, &["hangs"], &[&sent]);
    assert_same(&in_store(&store), &sent.all());
}
