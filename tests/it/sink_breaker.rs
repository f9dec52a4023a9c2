//! The operator's hand on a sink's breaker, over HTTP.

use crate::daemon::Daemon;
use crate::load::{Load, Pace, assert_same, end_in_order, in_store};
use crate::store::{Reaction, Store};
use serde_json::{Value, json};
use std::time::Duration;

fn ask(daemon: &Daemon, sink: &str, body: &str, headers: &[(&str, &str)]) -> (u16, Value) {
    let path = format!("/api/v1/sinks/{sink}/breaker");
    let (status, answer) = daemon.request("POST", &path, headers, body.as_bytes());
    (status, serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{answer}")))
}

fn set(daemon: &Daemon, action: &str) -> Value {
    let body = json!({ "action": action }).to_string();
    let (status, sink) = ask(daemon, "influx", &body, &[]);
    assert_eq!((status, &sink["name"]), (200, &json!("influx")), "{sink:#}");
    sink
}

#[test]
fn a_breaker_is_held_probed_and_released_over_http() {
    let mut store = Store::start(|_| Reaction::stored());
    let url = format!("sinks.influx.0.url={}", store.url());
    let mut daemon = Daemon::start(&[
        &url,
        "sinks.influx.0.bucket=b",
        "sinks.influx.0.batch_age=100 ms",
        // Nobody would wait for these.
        "sinks.influx.0.breaker.backoff=10 m",
        "sinks.influx.0.breaker.backoff_max=10 m",
        "sinks.influx.0.breaker.unreachable_max=10 m",
    ]);
    let pace = Pace { devices: 5, rows: 5, every: Duration::from_millis(20) };
    let load = Load::start(&daemon, "gateway", pace);
    store.wait(|_, stored| stored.len() > 100);

    let held = set(&daemon, "hold");
    assert_eq!((&held["breaker"], &held["held"]), (&json!("open"), &json!(true)), "{held:#}");
    assert!(held["cause"].as_str().unwrap().contains("operator"), "{held:#}");
    assert_eq!(held["next_probe_s"], Value::Null, "{held:#}");
    daemon.until_sink("influx", |sink| sink["requests"]["under_way"] == 0);
    let asked = store.requests().len();
    daemon.until_sink("influx", |sink| sink["lag_s"].as_f64() > Some(1.0));
    assert_eq!(store.requests().len(), asked, "nothing is sent while it is held");
    set(&daemon, "hold");
    let released = set(&daemon, "release");
    assert_eq!(released["held"], false, "{released:#}");
    daemon.until_sink("influx", |sink| {
        sink["breaker"] == "closed" && sink["lag_s"].as_f64() < Some(1.0)
    });

    // Down, and back: the breaker would find out in minutes, the operator knows now.
    store.stop();
    let open = daemon.until_sink("influx", |sink| sink["breaker"] == "open");
    assert!(open["next_probe_s"].as_f64() > Some(0.0), "{open:#}");
    store.restart();
    set(&daemon, "probe");
    daemon.until_sink("influx", |sink| sink["breaker"] == "closed" && sink["cause"].is_null());
    set(&daemon, "hold");
    set(&daemon, "probe");
    daemon.until_sink("influx", |sink| sink["breaker"] == "closed" && sink["held"] == false);

    let sent = load.finish();
    end_in_order(&mut daemon, &["influx"], &[&sent]);
    assert_same(&in_store(&store), &sent.all());
}

#[test]
fn wishes_that_make_no_sense_are_refused() {
    let store = Store::start(|_| Reaction::stored());
    let url = format!("sinks.influx.0.url={}", store.url());
    let daemon = Daemon::start(&[&url, "sinks.influx.0.bucket=b"]);
    let hold = "{\"action\":\"hold\"}";
    let foreign = [("origin", "http://elsewhere.example")];
    let own = format!("http://{}", daemon.address);
    let own = [("origin", own.as_str())];
    for (sink, body, headers, wanted) in [
        ("nobody", hold, &[][..], 404),
        ("history", hold, &[], 409),
        ("influx", "", &[], 400),
        ("influx", "{}", &[], 400),
        ("influx", "{\"action\":\"smash\"}", &[], 400),
        ("influx", "{\"action\":\"hold\",\"for\":\"ever\"}", &[], 400),
        ("influx", hold, &foreign, 403),
        ("influx", "{\"action\":\"release\"}", &own, 200),
    ] {
        let (status, answer) = ask(&daemon, sink, body, headers);
        assert_eq!(status, wanted, "{sink} {body}: {answer:#}");
        assert!(status == 200 || answer["detail"].is_string(), "{answer:#}");
    }
    assert_eq!(daemon.sink("influx")["held"], false);
}
