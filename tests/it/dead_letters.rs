//! Dead letters as an administrator meets them: `tidegate dead-letters`, on the file alone and beside
//! a running daemon.

use crate::daemon::Daemon;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};
use tidegate::clock;
use tidegate::ledger::Outcomes;
use tidegate::model::{Batch, BatchBuilder, Position, Timestamp};
use tidegate::sinks::book::{
    Book, Bounds, Counts, Filter, NewLetter, News, Shed, Standing, Summary, Which,
};
use tidegate::sinks::influx::progress::Progress;

const SECOND: i64 = 1_000_000_000;

fn book(state_dir: &Path) -> Book {
    Book::open(&state_dir.join("sinks.db"), Bounds::NONE).unwrap().book
}

fn new_letter(position: u64, batch: Batch, words: &str) -> NewLetter {
    NewLetter {
        position: Position(position),
        table: 0,
        column: 0,
        first_row: 0,
        received_at: clock::now(),
        protocol: "ws".to_owned(),
        client: "gateway-1".to_owned(),
        samples: batch.samples() as u64,
        batch,
        words: words.into(),
    }
}

/// Two rows with a column of each type.
fn readings(device: &str, start: i64) -> Batch {
    let mut builder = BatchBuilder::new();
    builder.table(device, &mut [("site", "a")], [start, start + SECOND]).unwrap();
    builder.floats("motor.temperature", "°C", [71.0, 72.5], &[]).unwrap();
    builder.ints("motor.starts", "", [9_007_199_254_740_993, 7], &[0b10]).unwrap();
    builder.bools("running", "", [true, false], &[]).unwrap();
    builder.texts("state", "", ["idle", "line\nfeed \x1b[31m"], &[]).unwrap();
    builder.finish()
}

fn settle(book: &mut Book, sink: &str, letters: &[NewLetter], now: Timestamp) {
    let samples: usize = letters.iter().map(|letter| letter.batch.samples()).sum();
    let progress = Progress::begin(Position(100));
    let counts = Counts { dead_lettered: samples as u64, ..Counts::default() };
    let standing = Standing { spool_id: 1, progress, counts, windows: None };
    let news = News { letters: letters.to_vec(), ..News::default() };
    let mut clients = Outcomes::new(0, []);
    let shed = book.settle(sink, &standing, &mut clients, &news, now).unwrap();
    assert_eq!(shed, Shed::default());
}

fn all(book: &Book) -> Vec<Summary> {
    book.letters(&Filter::default(), 0, 100).unwrap()
}

fn run(state_dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(["dead-letters", "--state-dir"]).arg(state_dir).args(arguments);
    command.output().unwrap()
}

/// What the command prints, which must succeed.
fn said(state_dir: &Path, arguments: &[&str]) -> String {
    let output = run(state_dir, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn problem(state_dir: &Path, arguments: &[&str], code: i32) -> String {
    let output = run(state_dir, arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn without_a_file_there_are_none() {
    let state_dir = tempfile::tempdir().unwrap();
    for arguments in
        [&["ls"][..], &["show", "1"], &["export"], &["replay", "--all"], &["drop", "7"]]
    {
        assert_eq!(problem(state_dir.path(), arguments, 0), "there are no dead letters\n");
        assert_eq!(said(state_dir.path(), arguments), "");
    }
    assert_eq!(std::fs::read_dir(state_dir.path()).unwrap().count(), 0, "none was made");
}

#[test]
fn they_are_listed_shown_marked_and_dropped_by_hand() {
    let state_dir = tempfile::tempdir().unwrap();
    let dir = state_dir.path();
    let mut book = book(dir);
    let start = 1_763_712_000 * SECOND;
    let words = format!("field type conflict: input field \"starts\"\n{}", "and so on ".repeat(20));
    let letters = [
        new_letter(1, readings("pump-7", start), &words),
        new_letter(2, readings("pump-8", start), "no"),
    ];
    settle(&mut book, "influx", &letters, Timestamp(start + 5 * SECOND));
    settle(&mut book, "other", &letters[..1], Timestamp(start + 6 * SECOND));

    let listed = said(dir, &["ls"]);
    let lines: Vec<_> = listed.lines().collect();
    assert_eq!(lines.len(), 5, "{listed}");
    assert!(lines[0].starts_with("id  refused at            sink    device  metrics"), "{listed}");
    assert!(lines[1].starts_with("1   2025-11-21T08:00:05Z  influx  pump-7  motor.temperature, motor.starts, running, state  7"), "{listed}");
    assert!(lines[1].contains("input field \"starts\"\\n"), "one line each: {listed}");
    assert!(lines[1].ends_with('…'), "{listed}");
    assert!(lines[4].starts_with("3 letters with 21 samples, "), "{listed}");
    assert!(lines[4].ends_with("samples so far shed 0, dropped 0, replayed 0"), "{listed}");
    let one = said(dir, &["ls", "--sink", "influx", "--limit", "1"]);
    assert!(one.contains("\nthe oldest 1 of 2 (--limit)\n2 letters with 14 samples"), "{one}");

    let shown = said(dir, &["show", "1"]);
    let expected = "dead letter 1 of influx: 7 samples\n";
    assert!(shown.starts_with(expected), "{shown}");
    assert!(shown.contains(&"and so on ".repeat(20)), "the words in full: {shown}");
    assert!(shown.contains("\nrefused 2025-11-21T08:00:05Z\n"), "{shown}");
    let table: Vec<_> = shown.lines().rev().take(4).collect();
    let cells = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(table[3], "pump-7 site=a");
    let head = ["time", "motor.temperature", "(°C)", "motor.starts", "running", "state"];
    assert_eq!(cells(table[2]), head);
    let first = ["2025-11-21T08:00:00Z", "71.0", "9007199254740993", "true", "\"idle\""];
    assert_eq!(cells(table[1]), first);
    let second = ["2025-11-21T08:00:01Z", "72.5", "-", "false", "\"line\\nfeed", "\\u{1b}[31m\""];
    assert_eq!(cells(table[0]), second, "nothing steers the terminal");
    assert!(problem(dir, &["show", "99"], 1).contains("there is no dead letter 99"));

    // Some of those named are not there: what is there is done, and the rest told.
    let missing = problem(dir, &["replay", "2", "3", "3", "99"], 1);
    assert!(missing.contains("1 of these numbers are of no letter"), "{missing}");
    let marked = |book: &Book| {
        all(book).iter().filter(|it| it.replaying).map(|it| it.id).collect::<Vec<_>>()
    };
    assert!(book.changed().unwrap());
    assert_eq!(marked(&book), [2, 3]);
    assert!(said(dir, &["ls"]).contains("no (to be sent again)"));
    assert!(said(dir, &["replay", "--sink", "influx"]).starts_with("2 letters"));
    assert_eq!(marked(&book), [1, 2, 3]);

    assert_eq!(said(dir, &["drop", "1"]), "1 letters dropped\n");
    assert_eq!(said(dir, &["drop", "--sink", "other"]), "1 letters dropped\n");
    assert_eq!(said(dir, &["drop", "--all"]), "1 letters dropped\n");
    let none = said(dir, &["ls"]);
    assert!(none.starts_with("there are no dead letters\n0 letters with 0 samples"), "{none}");
    assert!(none.contains("dropped 21"), "{none}");

    // What is meant must be said, and said once.
    for arguments in
        [&["drop"][..], &["replay"], &["drop", "1", "--all"], &["drop", "--sink", "a", "--all"]]
    {
        problem(dir, arguments, 64);
    }
}

#[test]
fn an_export_enters_a_daemon_as_the_same_readings() {
    let mut daemon = Daemon::start(&[]);
    let dir = daemon.state_dir.path().to_owned();
    let start = clock::now().0 - 3600 * SECOND;
    let mut book = book(&dir);
    let letters = [
        new_letter(1, readings("pump-7", start), "no"),
        new_letter(2, readings("pump-8", start), "no"),
    ];
    settle(&mut book, "influx", &letters, clock::now());
    settle(&mut book, "other", &[new_letter(1, readings("pump-9", start), "no")], clock::now());
    let exported = said(&dir, &["export", "--sink", "influx"]);
    assert_eq!(exported.lines().count(), 4);
    assert_eq!(said(&dir, &["export"]).lines().count(), 6);
    let headers = [("content-type", "application/x-ndjson")];
    let (status, answer) = daemon.request("POST", "/api/v1/ingest", &headers, exported.as_bytes());
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains("\"accepted\":14"), "{answer}");
    for (metric, kind, values) in [
        ("motor.temperature", "float", "[71.0,72.5]"),
        ("motor.starts", "int", "[9007199254740993]"),
        ("running", "bool", "[true,false]"),
        ("state", "text", "[\"idle\",\"line\\nfeed \\u001b[31m\"]"),
    ] {
        let path = format!("/api/v1/query?device=pump-8&metric={metric}&from=-2h&tag.site=a");
        let answer = daemon.eventually(&path, |answer| answer["value"].is_array());
        assert_eq!((&answer["type"], answer["value"].to_string()), (&kind.into(), values.into()));
        assert_eq!(answer["time"][0], start);
    }
    assert_eq!(daemon.json("/api/v1/series?metric=motor.temperature")["series"][0]["unit"], "°C");
    // It is a copy: the letters stay until somebody replays or drops them.
    assert_eq!(all(&book).len(), 3);
    assert_eq!(book.drop_letters(&Which::All).unwrap(), 3);
    daemon.stop_and_audit();
}

#[test]
fn the_api_lists_shows_marks_and_drops_them() {
    let daemon = Daemon::start(&[]);
    let mut book = book(daemon.state_dir.path());
    let none = daemon.json("/api/v1/dead-letters");
    let zeros = r#"{"bytes":0,"dropped":0,"letters":0,"replayed":0,"samples":0,"shed":0}"#;
    assert_eq!(none["letters"].as_array().unwrap().len(), 0);
    assert_eq!((none["totals"].to_string(), &none["next"]), (zeros.to_owned(), &Value::Null));

    let start = 1_763_712_000 * SECOND;
    let letters: Vec<_> =
        (1..=3).map(|at| new_letter(at, readings("pump-7", start), "no \"x\"")).collect();
    settle(&mut book, "influx", &letters, Timestamp(start + 5 * SECOND));
    settle(&mut book, "other", &letters[..1], Timestamp(start + 6 * SECOND));

    let page = daemon.json("/api/v1/dead-letters?limit=2");
    let ids = |page: &Value| -> Vec<u64> {
        page["letters"].as_array().unwrap().iter().map(|it| it["id"].as_u64().unwrap()).collect()
    };
    assert_eq!((ids(&page), &page["next"]), (vec![1, 2], &2.into()));
    assert_eq!(page["totals"]["samples"], 28);
    let rest = daemon.json("/api/v1/dead-letters?limit=2&after=2");
    assert_eq!((ids(&rest), &rest["next"]), (vec![3, 4], &Value::Null));
    let other = daemon.json("/api/v1/dead-letters?sink=other");
    assert_eq!((ids(&other), &other["totals"]["letters"]), (vec![4], &1.into()));
    let mut first = page["letters"][0].clone();
    let received_at = first.as_object_mut().unwrap().remove("received_at").unwrap();
    assert!(received_at.as_i64().unwrap() > 1_763_712_000_000);
    let expected = json!({
        "id": 1, "sink": "influx", "refused_at": 1_763_712_005_000_i64, "client": "gateway-1",
        "protocol": "ws", "device": "pump-7", "samples": 7, "reason": "no \"x\"",
        "metrics": ["motor.temperature", "motor.starts", "running", "state"],
        "attempts": 1, "replaying": false,
    });
    assert_eq!(first, expected);

    let letter = daemon.json("/api/v1/dead-letters/1");
    assert_eq!((&letter["id"], &letter["reason"]), (&1.into(), &"no \"x\"".into()));
    let readings = letter["readings"].as_array().unwrap();
    assert_eq!(readings.len(), 2);
    let second = json!({
        "device": "pump-7", "time": "1763712001000000000", "tags": {"site": "a"},
        "values": {"motor.temperature": 72.5, "running": false, "state": "line\nfeed \u{1b}[31m"},
        "units": {"motor.temperature": "°C"},
    });
    assert_eq!(readings[1], second);

    let post = |what: &str, headers: &[(&str, &str)], body: &str| {
        let path = format!("/api/v1/dead-letters/{what}");
        daemon.request("POST", &path, headers, body.as_bytes())
    };
    assert_eq!(post("replay", &[], "{\"ids\":[1,99]}"), (200, "{\"letters\":1}".to_owned()));
    assert!(book.changed().unwrap());
    assert_eq!(daemon.json("/api/v1/dead-letters/1")["replaying"], true);
    assert_eq!(book.to_replay("influx", u64::MAX).unwrap().len(), 1);
    assert_eq!(post("replay", &[], "{\"sink\":\"influx\"}"), (200, "{\"letters\":3}".to_owned()));
    assert_eq!(post("drop", &[], "{\"ids\":[2]}"), (200, "{\"letters\":1}".to_owned()));

    // The dashboard's own page may, those of others may not.
    let own = format!("http://{}", daemon.address);
    for origin in ["http://evil.example", "null"] {
        let (status, answer) = post("drop", &[("origin", origin)], "{\"all\":true}");
        assert_eq!(status, 403, "{answer}");
        assert!(answer.contains("\"status\":403"), "a problem document: {answer}");
    }
    assert_eq!(book.totals(None).unwrap().letters, 3);
    let dropped = post("drop", &[("origin", &own)], "{\"all\":true}");
    assert_eq!(dropped, (200, "{\"letters\":3}".to_owned()));
    assert_eq!(daemon.json("/api/v1/dead-letters")["totals"]["dropped"], 28);

    for (method, path, body, wanted) in [
        ("GET", "/api/v1/dead-letters/1", "", 404),
        ("GET", "/api/v1/dead-letters/x", "", 404),
        ("GET", "/api/v1/dead-letters?limit=0", "", 400),
        ("GET", "/api/v1/dead-letters?page=2", "", 400),
        ("POST", "/api/v1/dead-letters/drop", "{}", 400),
        ("POST", "/api/v1/dead-letters/drop", "{\"all\":true,\"ids\":[1]}", 400),
        ("DELETE", "/api/v1/dead-letters/drop", "", 405),
    ] {
        let (status, answer) = daemon.request(method, path, &[], body.as_bytes());
        assert_eq!(status, wanted, "{method} {path} {body}: {answer}");
        assert!(answer.contains(&format!("\"status\":{wanted}")), "{answer}");
    }
}

#[test]
fn a_damaged_file_does_not_stop_a_start() {
    let mut daemon = Daemon::start(&[]);
    daemon.stop();
    let file = daemon.state_dir.path().join("sinks.db");
    std::fs::write(&file, "this is no database, and it is long enough to be taken for one")
        .unwrap();
    assert!(problem(daemon.state_dir.path(), &["ls"], 1).contains("sinks.db"));
    daemon.restart();
    daemon.wait_for_log("sinks.db.damaged-1");
    assert_eq!(daemon.json("/api/v1/dead-letters")["totals"]["letters"], 0);
}
