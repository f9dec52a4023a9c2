//! `tidegate drill` against a running daemon: it passes with a real store, and fails with a broken one.

use crate::daemon::Daemon;
use crate::store::{Reaction, Store};
use crate::victoria::Victoria;

fn start(url: &str) -> Daemon {
    Daemon::start(&[
        &format!("sinks.influx.0.url={url}"),
        "sinks.influx.0.bucket=north",
        "sinks.influx.0.batch_age=50 ms",
        "sinks.influx.0.breaker.failures=1",
    ])
}

fn drill(daemon: &Daemon, arguments: &[&str]) -> (i32, String) {
    // Other tests may keep the machine busy.
    let output = daemon.command("drill").args(["--within", "20 s"]).args(arguments).output();
    let output = output.unwrap();
    let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code().unwrap(), printed)
}

#[test]
fn with_a_store_that_is_well_everything_passes() {
    let victoria = Victoria::start();
    let mut daemon = start(&victoria.url());
    let (code, printed) = drill(&daemon, &["--sink", "influx"]);
    assert!(code == 0 && printed.contains("\n8 of 8 passed\n"), "{code} {printed}");
    for wanted in [
        "PASS  acknowledged           200 readings, p50 ",
        "PASS  nonsense refused       TIME_TOO_FAR_AHEAD",
        "VictoriaMetrics has all 201",
        // Of more, while the sink has not heard that the others are stored.
        "held: lag ",
        " samples, live after ",
        "released: drained after ",
    ] {
        assert!(printed.contains(wanted), "{wanted}: {printed}");
    }
    assert_eq!(victoria.count("{device=~\"tidegate-drill-.+\"}"), 221);
    // The store has them before the sink hears of it.
    daemon.until_sink("influx", |sink| sink["held"] == false && sink["lag_samples"] == 0);

    let (code, printed) = drill(&daemon, &["--sink", "north"]);
    assert!(
        code == 64 && printed.contains("no sink north; the daemon has [\"influx\"]"),
        "{printed}"
    );
    daemon.stop_and_audit();
    assert_eq!(drill(&daemon, &[]).0, 69);
}

#[test]
fn with_a_broken_store_what_is_broken_fails_and_nothing_stays_held() {
    let store = Store::start(|_| Reaction::says(500, "{\"message\":\"out of order\"}"));
    let daemon = start(&store.url());
    let (code, printed) = drill(&daemon, &[]);
    assert!(code == 1 && printed.contains("\n5 of 8 passed\n"), "{code} {printed}");
    for wanted in [
        "PASS  in the history",
        "FAIL  influx: reached",
        "FAIL  influx: written",
        "FAIL  influx: breaker        not tried, because nothing is written",
    ] {
        assert!(printed.contains(wanted), "{wanted}: {printed}");
    }
    assert_eq!(daemon.json("/api/v1/status")["sinks"][1]["held"], false);
}
