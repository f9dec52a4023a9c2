use super::*;

fn status(text: &str) -> Status {
    let answer = Answer { status: 200, body: text.to_owned().into() };
    Status::of(&answer).unwrap()
}

/// As `/api/v1/status` has it.
const WELL: &str = r#"{"version":"0.1.0","time":1763712000000,"uptime_s":273600.0,"tick_ms":250,
 "windows":["1s"],"pressure":0.041,"pressure_of":"spool","trouble":null,
 "spool":{"bytes":1048576,"bytes_max":8589934592,"full_in_s":null,"oldest_s":12.1,"durability":"group","next":7},
 "sinks":[
  {"name":"history","kind":"history","breaker":"closed","held":false,"cause":null,"next_probe_s":null,
   "lag_samples":0,"lag_s":0.0,"live_lag_s":0.0,"backlog_samples":0,"drain_eta_s":null,"written":1234567,
   "dead_lettered":0,"skipped":0,"lost":0,"unflushed_samples":5000,"bytes":123456,"imbalance":0},
  {"name":"influx","kind":"influx","breaker":"closed","held":false,"cause":null,"next_probe_s":null,
   "lag_samples":1600,"lag_s":0.82,"live_lag_s":0.82,"backlog_samples":0,"drain_eta_s":null,
   "samples_per_s":1598.7,"written":1230000,"dead_lettered":17,"skipped":0,"lost":0,
   "requests":{"under_way":1,"allowed":2,"sent":1234,"failed":5},
   "dead_letters":{"letters":2,"samples":17,"bytes":415,"shed":0,"dropped":0,"replayed":0},"imbalance":0}],
 "live":{"lag_s":0.1,"series":1600,"devices":200,"late_samples":0},
 "intake":{"connections":201,"clients":200,"samples_per_s":1600.0,"batches_per_s":200.0},
 "viewers":{"sse":1,"ws":1,"degraded":0},
 "ledger":{"accepted":1239567,"stored":1234567,"spooled":5000,"damaged":0,"dead_lettered":17,"shed":0,
  "received_batches":7,"accepted_batches":7,"duplicates":0,"refused":0,"imbalance":0,"balanced":true}}"#;

#[test]
fn a_daemon_that_is_well_fits_one_screen() {
    let status = status(WELL);
    assert_eq!(complaints(&status), Vec::<String>::new());
    let expected = "\
Tidegate  0.1.0, up 3 d 4 h: all is well
pressure  4 % (spool)
intake    1,600 samples/s, 200 batches/s; 200 clients, 201 connections
spool     1.0 MiB of 8.0 GiB (0 %), the oldest 12 s old
live      0.1 s behind; 1,600 series of 200 devices; viewers 2
ledger    balanced: 1,239,567 samples accepted = 1,234,567 stored + 5,000 spooled; batches 7 accepted, \
0 duplicate, 0 refused

sink      history closed
  lag     none
  written 1,234,567 samples; 5,000 more in memory (and in the spool)

sink      influx closed
  lag     1,600 samples, 0.8 s
  written 1,230,000 samples, 1,599 samples/s; requests 1 of 2, 1,234 sent, 5 failed
  refused 2 dead letters with 17 samples, 415 B
";
    assert_eq!(screen(&status), expected);
}

#[test]
fn a_critical_alert_needs_somebody() {
    let mut status = status(WELL);
    status.alerts = Alerts { firing: 3, pending: 1, acknowledged: 2, critical: 0 };
    assert_eq!(complaints(&status), Vec::<String>::new());
    let line = "alerts    3 firing (0 critical), 1 pending, 2 acknowledged\n";
    assert!(screen(&status).contains(line), "{}", screen(&status));
    status.alerts.critical = 2;
    assert_eq!(complaints(&status), ["2 critical alerts fire (tidegate alerts ls)"]);
}

#[test]
fn what_needs_somebody_is_said_first() {
    let mut bad = status(WELL);
    bad.trouble = Some("the spool is full".to_owned());
    bad.spool.full_in_s = Some(0.0);
    bad.ledger.imbalance = 3;
    let sink = &mut bad.sinks[1];
    sink.breaker = "open".to_owned();
    sink.cause = Some("the store answers 401\u{1b}[2J".to_owned());
    sink.next_probe_s = Some(41.6);
    sink.backlog_samples = 9_000_000;
    sink.lag_samples = 9_001_600;
    sink.lag_s = 9000.0;
    sink.drain_eta_s = Some(33.0);
    let text = screen(&bad);
    let first = text.lines().next().unwrap();
    let expected = ": NEEDS YOU: nothing can enter: the spool is full; influx can't be written; the \
                    ledger is not balanced";
    assert!(first.ends_with(expected), "{first}");
    for line in [
        "sink      influx OPEN: the store answers 401\\u{1b}[2J; next probe in 42 s",
        "  lag     9,001,600 samples, 2 h 30 min; new data 0.8 s; backlog 9,000,000 samples, drained in about 33 s",
        "trouble   the spool is full",
    ] {
        assert!(text.lines().any(|it| it == line), "{line}\n{text}");
    }
    assert!(text.contains("; FULL IN 0.0 s at this rate"), "{text}");
    assert!(text.contains("ledger    NOT BALANCED, 3 samples are nowhere: "), "{text}");
}

#[test]
fn each_of_these_alone_needs_somebody() {
    let check = |change: fn(&mut Status), expected: &str| {
        let mut changed = status(WELL);
        change(&mut changed);
        assert_eq!(complaints(&changed), [expected]);
    };
    check(|it| it.trouble = Some("x".into()), "nothing can enter: x");
    check(|it| it.sinks[0].breaker = "open".into(), "history can't be written");
    check(|it| it.sinks[1].breaker = "half_open".into(), "influx is being probed");
    check(
        |it| (it.sinks[1].breaker, it.sinks[1].held) = ("open".into(), true),
        "influx is held by an operator",
    );
    check(
        |it| (it.sinks[1].imbalance, it.ledger.imbalance) = (-1, -1),
        "the ledger of influx is not balanced",
    );
    check(|it| it.ledger.imbalance = 1, "the ledger is not balanced");
}

#[test]
fn an_older_daemon_tells_less() {
    let status = status(r#"{"version":"0.0.9","sinks":[{"name":"history","breaker":"closed"}]}"#);
    assert_eq!(complaints(&status), Vec::<String>::new());
    assert!(screen(&status).contains("sink      history closed"));
    let other = Answer { status: 200, body: "{}".into() };
    assert!(Status::of(&other).is_none(), "somebody else's JSON");
}

#[test]
fn numbers_are_written_for_tired_eyes() {
    let counts = [0, 999, 1000, 1_234_567].map(count);
    assert_eq!(counts, ["0", "999", "1,000", "1,234,567"]);
    let times = [0.04, 9.94, 59.6, 121.0, 7260.0, 180_000.0].map(time);
    assert_eq!(times, ["0.0 s", "9.9 s", "60 s", "2 min 1 s", "2 h 1 min", "2 d 2 h"]);
}

#[test]
fn a_broker_that_is_not_reached_needs_somebody() {
    let status = |state: &str| -> Status {
        let bridge = serde_json::json!({"name": "site", "state": state, "cause": "refused\u{7}"});
        serde_json::from_value(serde_json::json!({"intake": {"mqtt": [bridge]}})).unwrap()
    };
    assert_eq!(complaints(&status("connected")), [""; 0]);
    let told = complaints(&status("away"));
    assert!(told[0].starts_with("the broker of site is away: refused"), "{told:?}");
    assert!(!told[0].contains('\u{7}'), "{told:?}");
}
