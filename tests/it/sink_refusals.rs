//! A store that answers, but does not take everything: poison lines, tokens, buckets, limits.

use crate::daemon::Daemon;
use crate::load::{Load, Pace, Sent, assert_same, end_in_order, in_store};
use crate::store::{Reaction, Request, Store};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The poison: one line of ten thousand.
const POISON: &str = "device=gateway-3 n=477i ";
const POISON_VALUE: i64 = 477;
/// Ten thousand samples, as ten thousand lines.
const PACE: Pace = Pace { devices: 10, rows: 50, every: Duration::from_millis(1) };
const BATCHES: u64 = 20;

fn is_poison(line: &str) -> bool {
    line.contains(POISON)
}

fn daemon(store: &Store, settings: &[&str]) -> Daemon {
    let url = format!("sinks.influx.0.url={}", store.url());
    let all = [&[url.as_str(), "sinks.influx.0.bucket=b"], settings].concat();
    Daemon::start(&all)
}

/// The arguments of `tidegate dead-letters` on the daemon's state; what it prints.
fn dead_letters(daemon: &Daemon, arguments: &[&str]) -> String {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(["dead-letters", "--state-dir"]).arg(daemon.state_dir.path()).args(arguments);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn totals(daemon: &Daemon) -> Value {
    daemon.json("/api/v1/dead-letters")["totals"].clone()
}

/// One line is refused; that is set aside with the server's words, and all others are stored. When the
/// store has changed its mind it is replayed, while the daemon runs.
fn only_the_poison_is_set_aside(refuse: fn(&[String]) -> Reaction, words: &str) {
    let store = Store::start(move |request: &Request| refuse(&request.lines));
    let mut daemon = daemon(&store, &[]);
    let sent = Load::batches(&daemon, "gateway", PACE, BATCHES);
    let sink = daemon.until_sink("influx", |sink| sink["dead_lettered"].as_u64() > Some(0));
    assert_eq!(sink["breaker"], "closed", "{sink:#}");
    daemon.until_sink("influx", |sink| sink["lag_samples"] == 0);

    // It is written down with the next settlement.
    let listed = daemon.eventually("/api/v1/dead-letters", |listed| {
        listed["letters"].as_array().is_some_and(|letters| !letters.is_empty())
    });
    assert_eq!(listed["letters"].as_array().unwrap().len(), 1, "{listed:#}");
    let letter = &listed["letters"][0];
    assert_eq!((&letter["device"], &letter["samples"]), (&json!("gateway-3"), &json!(1)));
    assert_eq!((&letter["client"], &letter["protocol"]), (&json!("gateway"), &json!("ws")));
    let reason = letter["reason"].as_str().unwrap();
    assert!(reason.contains(words), "{reason}");
    let id = letter["id"].to_string();
    let shown = daemon.json(&format!("/api/v1/dead-letters/{id}"));
    let mut wanted = sent.all();
    let poisoned = wanted.get_mut("gateway-3").unwrap();
    let time = *poisoned.iter().find(|(_, value)| **value == POISON_VALUE).unwrap().0;
    poisoned.remove(&time);
    assert_eq!(shown["readings"][0]["time"], format!("{time}000000"), "{shown:#}");
    assert_eq!(shown["readings"][0]["values"], json!({ "n": POISON_VALUE }), "{shown:#}");
    assert_same(&in_store(&store), &wanted);

    // The store has not changed its mind: it stays.
    dead_letters(&daemon, &["replay", &id]);
    let again = daemon.eventually("/api/v1/dead-letters", |listed| {
        listed["letters"][0]["attempts"] == 2 && listed["letters"][0]["replaying"] == false
    });
    assert!(again["letters"][0]["reason"].as_str().unwrap().contains(words), "{again:#}");
    assert_same(&in_store(&store), &wanted);

    store.script(|_| Reaction::stored());
    dead_letters(&daemon, &["replay", "--all"]);
    let told = daemon.eventually("/api/v1/dead-letters", |told| told["totals"]["letters"] == 0);
    assert_eq!(told["totals"]["replayed"], 1, "{told:#}");
    assert_same(&in_store(&store), &sent.all());
    // Once more is harmless.
    dead_letters(&daemon, &["replay", "--all"]);
    assert_eq!(totals(&daemon), told["totals"]);
    daemon.until_sink("influx", |sink| sink["dead_letters"]["replayed"] == 1);

    let told = end_in_order(&mut daemon, &["influx"], &[&sent]);
    assert_eq!(told[0]["dead_lettered"], 1, "{told:#?}");
    assert_eq!(told[0]["dead_letters"]["replayed"], 1, "{told:#?}");
    let poison = store.stored().iter().filter(|stored| is_poison(&stored.line)).count();
    assert_eq!(poison, 1);
    eprintln!("{} requests for {} samples and one poison", store.requests().len(), sent.samples());
}

#[test]
fn one_line_that_influxdb_2_cannot_read_is_a_dead_letter() {
    only_the_poison_is_set_aside(
        |lines| Reaction::influx_2_unreadable(lines, is_poison),
        "missing tag value",
    );
}

#[test]
fn one_line_that_influxdb_2_drops_is_a_dead_letter() {
    only_the_poison_is_set_aside(
        |lines| Reaction::influx_2_conflict(lines, is_poison),
        "field type conflict",
    );
}

#[test]
fn one_line_that_influxdb_3_lists_is_a_dead_letter() {
    only_the_poison_is_set_aside(
        |lines| Reaction::influx_3_partial(lines, is_poison),
        "invalid column type",
    );
}

#[test]
fn one_line_that_influxdb_3_names_is_a_dead_letter() {
    only_the_poison_is_set_aside(
        |lines| Reaction::influx_3_whole(lines, is_poison),
        "No fields were provided",
    );
}

const PROBE_EVERY: Duration = Duration::from_millis(500);

/// A gateway at a walking pace, so that what is asked of the store is few and seen.
fn walking(daemon: &Daemon) -> Load {
    let pace = Pace { devices: 5, rows: 2, every: Duration::from_millis(20) };
    Load::start(daemon, "gateway", pace)
}

/// The store refuses everything with a cause that somebody must fix; it is probed slowly, nothing is
/// set aside, and once it is fixed all is stored.
fn something_must_be_fixed(
    daemon: &mut Daemon,
    store: &Store,
    cause: &[&str],
    status: u16,
    fix: impl FnOnce(),
) -> Sent {
    let load = walking(daemon);
    let open = daemon.until_sink("influx", |sink| sink["breaker"] == "open");
    for words in cause {
        assert!(open["cause"].as_str().unwrap().contains(words), "{words}: {open:#}");
    }
    let refused = |requests: &[Request]| -> Vec<Instant> {
        requests.iter().filter(|it| it.status == status).map(|it| it.at).collect()
    };
    store.wait(|requests, _| refused(requests).len() >= 4);
    let probes = refused(&store.requests());
    let pauses: Vec<_> = probes.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses[1..].iter().all(|pause| *pause > PROBE_EVERY * 9 / 10), "{pauses:?}");
    assert!(store.stored().is_empty());
    fix();
    daemon.until_sink("influx", |sink| sink["breaker"] == "closed");
    let sent = load.finish();
    let told = end_in_order(daemon, &["influx"], &[&sent]);
    assert_eq!(told[0]["cause"], Value::Null);
    assert_eq!(told[0]["dead_lettered"], 0);
    assert_same(&in_store(store), &sent.all());
    assert_eq!((sent.connections, sent.refused_for_later), (1, 0));
    sent
}

#[test]
fn a_token_that_expired_is_renewed_in_its_file() {
    let store = Store::start(|_| Reaction::stored());
    store.require_token("the-new-one");
    let scratch = tempfile::tempdir().unwrap();
    let token_file = scratch.path().join("token");
    std::fs::write(&token_file, "the-old-one\n").unwrap();
    let setting = format!("sinks.influx.0.token_file={}", token_file.display());
    let interval = format!("sinks.influx.0.breaker.fix_interval={} ms", PROBE_EVERY.as_millis());
    let mut daemon = daemon(&store, &[&setting, &interval]);
    let renew = || std::fs::write(&token_file, "the-new-one\n").unwrap();
    something_must_be_fixed(&mut daemon, &store, &["token", "token_file"], 401, renew);
    assert!(store.requests().iter().any(|it| it.token.as_deref() == Some("the-old-one")));
}

#[test]
fn a_bucket_that_was_missing_is_made() {
    let body = r#"{"code":"not found","message":"bucket \"b\" not found"}"#;
    let store = Store::start(|_| Reaction::says(404, body));
    let interval = format!("sinks.influx.0.breaker.fix_interval={} ms", PROBE_EVERY.as_millis());
    let mut daemon = daemon(&store, &[&interval]);
    let make = || store.script(|_| Reaction::stored());
    something_must_be_fixed(&mut daemon, &store, &["bucket"], 404, make);
}

#[test]
fn a_store_that_names_a_time_is_not_asked_before() {
    let mut asked = 0;
    let store = Store::start(move |_| {
        asked += 1;
        match asked {
            3 | 5 => {
                Reaction::says(429, r#"{"code":"too many requests"}"#).with("retry-after", "2")
            }
            _ => Reaction::stored(),
        }
    });
    let mut daemon =
        daemon(&store, &["sinks.influx.0.requests_max=1", "sinks.influx.0.batch_age=100 ms"]);
    let load = walking(&daemon);
    let limited = |requests: &[Request]| requests.iter().filter(|it| it.status == 429).count();
    store.wait(|requests, _| limited(requests) == 2 && requests.len() > 8);
    let sent = load.finish();
    let told = end_in_order(&mut daemon, &["influx"], &[&sent]);
    assert_eq!((&told[0]["requests"]["failed"], &told[0]["dead_lettered"]), (&json!(2), &json!(0)));
    let requests = store.requests();
    let pauses = requests.windows(2).map(|pair| (pair[0].status, pair[1].at - pair[0].at));
    let pauses: Vec<_> = pauses.filter(|(status, _)| *status == 429).map(|it| it.1).collect();
    assert!(pauses.iter().all(|pause| *pause >= Duration::from_secs(2)), "{pauses:?}");
    assert_same(&in_store(&store), &sent.all());
    eprintln!("asked again after {pauses:.1?}");
}

#[test]
fn a_store_that_takes_only_small_requests_gets_those() {
    const BYTES_MAX: usize = 40_000;
    let bytes = |lines: &[String]| lines.iter().map(|line| line.len() + 1).sum::<usize>();
    let store = Store::start(move |request: &Request| match bytes(&request.lines) {
        0..=BYTES_MAX => Reaction::stored(),
        _ => Reaction::says(413, r#"{"error":"request body is too large"}"#),
    });
    let mut daemon = daemon(&store, &[]);
    let sent = Load::batches(&daemon, "gateway", PACE, 3 * BATCHES);
    let told = end_in_order(&mut daemon, &["influx"], &[&sent]);
    assert_same(&in_store(&store), &sent.all());
    assert_eq!((&told[0]["requests"]["failed"], &told[0]["dead_lettered"]), (&json!(0), &json!(0)));
    let requests = store.requests();
    let (large, small): (Vec<_>, Vec<_>) = requests.iter().partition(|it| it.status == 413);
    let last = requests.iter().rposition(|it| it.status == 413).unwrap();
    eprintln!("{} too large, {} stored; none too large after {last}", large.len(), small.len());
    assert!((1..=8).contains(&large.len()), "it does not remember the size: {}", large.len());
}
