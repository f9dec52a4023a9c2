//! What no route understood, as an administrator meets it: `tidegate quarantine`, on the file alone and
//! beside a running daemon, and the API that the dashboard asks.

use crate::daemon::Daemon;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};
use tidegate::intake::mqtt::book::{
    Book, Bounds, Filter, Outcome, PAYLOAD_BYTES_MAX, Quarantined, Round, Seen, Summary,
};
use tidegate::model::Timestamp;

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_763_712_000 * SECOND;

fn book(state_dir: &Path) -> Book {
    Book::open(&state_dir.join("mqtt.db"), Bounds::NONE).unwrap().book
}

fn message(bridge: &str, topic: &str, seconds: i64, payload: &[u8]) -> Quarantined {
    Quarantined {
        bridge: bridge.into(),
        topic: topic.to_owned(),
        payload: payload.to_vec(),
        bytes: payload.len() as u64,
        qos: 1,
        retained: false,
        received_at: Timestamp(START + seconds * SECOND),
        content_type: None,
        properties: Vec::new(),
        reason: format!("no route takes the topic {topic}"),
        code: "UNSUPPORTED",
    }
}

/// Writes messages that came one after another.
fn write(book: &mut Book, number: u64, messages: Vec<Quarantined>) {
    let seen = |message: &Quarantined| Seen {
        bridge: message.bridge.clone(),
        topic: message.topic.clone(),
        count: 1,
        first: message.received_at,
        last: message.received_at,
        reason: message.reason.clone(),
        code: message.code,
    };
    let seen = messages.iter().map(seen).collect();
    let round = Round { number, seen, messages, ..Round::default() };
    book.write(&round, Timestamp(START)).unwrap();
}

/// Three JSON messages on two topics of one bridge, a binary one of another.
fn fill(book: &mut Book) {
    let plain = Quarantined {
        retained: true,
        content_type: Some("application/json".to_owned()),
        properties: vec![("client".to_owned(), "esc \x1b[31m".to_owned())],
        ..message("site", "plant/a/state", 1, br#"{"temp": 21.50, "b":[1]}"#)
    };
    let messages = vec![
        message("site", "plant/a/state", 0, b"{\"temp\":20}"),
        plain,
        message("site", "plant/b/state", 2, b"{\"temp\":22}"),
        message("other", "spBv1.0/g/NBIRTH/n", 3, &[0x08, 0x96, 0x01, 0x22, 0x02, 0xff, 0xfe]),
    ];
    write(book, 1, messages);
}

/// A state directory with seven messages that no route of the plant took.
pub fn seven_messages(state_dir: &Path) {
    let topics = ["plant/a/state", "plant/b/state"].iter().cycle().zip(0..7);
    let messages = topics.map(|(topic, second)| message("site", topic, second, b"{\"temp\":20}"));
    write(&mut book(state_dir), 1, messages.collect());
}

fn all(book: &Book) -> Vec<Summary> {
    book.messages(&Filter::default(), 0, 100).unwrap()
}

fn marked(book: &Book) -> Vec<u64> {
    all(book).iter().filter(|it| it.replaying).map(|it| it.id).collect()
}

fn run(state_dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(["quarantine", "--state-dir"]).arg(state_dir).args(arguments);
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
        [&["ls"][..], &["topics"], &["show", "1"], &["replay", "--all"], &["drop", "7"]]
    {
        let none = "there are no messages in quarantine\n";
        assert_eq!(problem(state_dir.path(), arguments, 0), none);
        assert_eq!(said(state_dir.path(), arguments), "");
    }
    assert_eq!(std::fs::read_dir(state_dir.path()).unwrap().count(), 0, "none was made");
}

#[test]
fn they_are_listed_shown_marked_and_dropped_by_hand() {
    let state_dir = tempfile::tempdir().unwrap();
    let dir = state_dir.path();
    let mut book = book(dir);
    fill(&mut book);

    let listed = said(dir, &["ls"]);
    let lines: Vec<_> = listed.lines().collect();
    assert_eq!(lines.len(), 6, "{listed}");
    assert!(lines[0].starts_with("id  received at           bridge  topic"), "{listed}");
    assert!(
        lines[1].starts_with(
            "1   2025-11-21T08:00:00Z  site    plant/a/state       11     {\"temp\":20}"
        ),
        "{listed}"
    );
    assert!(lines[1].ends_with("no route takes the topic plant/a/state"), "{listed}");
    assert!(lines[4].contains("  7      0896012202fffe  "), "{listed}");
    assert!(lines[5].starts_with("4 messages, "), "{listed}");
    assert!(
        lines[5].ends_with("of 4 that came, not kept 0, shed 0, dropped 0, understood later 0")
    );
    let some = said(dir, &["ls", "--topic", "plant/+/state", "--limit", "1"]);
    assert!(some.contains("\n1   ") && some.contains("\nthe oldest 1 (--limit)\n"), "{some}");
    assert!(said(dir, &["ls", "--bridge", "other"]).contains("\n4   "));
    let none = said(dir, &["ls", "--topic", "plant/+"]);
    assert!(none.starts_with("there are no messages in quarantine\n"), "{none}");

    let topics = said(dir, &["topics"]);
    let lines: Vec<_> = topics.lines().collect();
    assert_eq!(lines.len(), 5, "{topics}");
    assert!(
        lines[1].starts_with("2025-11-21T08:00:03Z  other   spBv1.0/g/NBIRTH/n  1         1     4"),
        "{topics}"
    );
    assert!(
        lines[3].starts_with("2025-11-21T08:00:01Z  site    plant/a/state       2         2     2"),
        "{topics}"
    );
    let suggested = said(dir, &["topics", "--suggest", "--bridge", "site"]);
    assert_eq!(suggested.matches("\n[[intake.mqtt.routes]]\n").count(), 2, "{suggested}");
    assert!(suggested.contains("# site: 2 messages on plant/a/state\n"), "{suggested}");
    let file: Result<toml::Table, _> = suggested.parse();
    assert!(file.is_ok(), "it may be pasted as it is: {suggested}");

    let shown = said(dir, &["show", "2"]);
    for part in [
        "message 2 on plant/a/state\nreceived 2025-11-21T08:00:01Z by site, QoS 1, retained\n",
        "\ncontent type application/json\nclient: esc \\u{1b}[31m\n",
        "\nno route takes the topic plant/a/state (UNSUPPORTED)\n\n24 bytes\n",
        "\n{\n  \"temp\": 21.50,\n  \"b\": [\n    1\n  ]\n}\n",
        "\n[[intake.mqtt.routes]]\n",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let binary = said(dir, &["show", "4"]);
    assert!(binary.contains("\nas protobuf:\n1: 150\n4: 2 bytes fffe\n"), "{binary}");
    assert!(binary.contains("\n00000000  08 96 01 22 02 ff fe  "), "{binary}");
    assert_eq!(
        run(dir, &["show", "4", "--raw"]).stdout,
        [0x08, 0x96, 0x01, 0x22, 0x02, 0xff, 0xfe]
    );
    assert!(problem(dir, &["show", "99"], 1).contains("there is no message 99"));

    // Some of those named are not there: what is there is done, and the rest told.
    let missing = problem(dir, &["replay", "2", "3", "3", "99"], 1);
    assert!(missing.contains("1 of these numbers are of no message"), "{missing}");
    assert!(book.changed().unwrap());
    assert_eq!(marked(&book), [2, 3]);
    assert!(said(dir, &["ls"]).contains("plant/a/state (to be tried again)"));
    assert!(said(dir, &["show", "2"]).contains("\nto be tried again\n"));
    let found = said(dir, &["replay", "--topic", "plant/a/#", "--bridge", "site"]);
    assert!(found.starts_with("2 messages to be tried again"), "{found}");
    assert_eq!(marked(&book), [1, 2, 3]);

    let outcome = Outcome::Refused { reason: "still not".to_owned(), code: "BAD_SHAPE" };
    let replayed = vec![(1, outcome), (2, Outcome::Understood)];
    book.write(&Round { number: 2, replayed, ..Round::default() }, Timestamp(START)).unwrap();
    assert!(said(dir, &["show", "1"]).contains("\ntried 2 times\n\nstill not (BAD_SHAPE)\n"));

    assert_eq!(said(dir, &["drop", "1"]), "1 messages dropped\n");
    assert_eq!(said(dir, &["drop", "--bridge", "other"]), "1 messages dropped\n");
    assert_eq!(said(dir, &["drop", "--all"]), "1 messages dropped\n");
    let none = said(dir, &["ls"]);
    assert!(none.starts_with("there are no messages in quarantine\n0 messages, 0 B"), "{none}");
    assert!(none.contains("of 4 that came, not kept 0, shed 0, dropped 3, understood later 1"));
    let topics = said(dir, &["topics"]);
    assert!(topics.starts_with("there is no topic with messages"), "{topics}");

    // What is meant must be said, and said once.
    for arguments in [
        &["drop"][..],
        &["replay"],
        &["drop", "1", "--all"],
        &["drop", "--topic", "a", "--all"],
        &["drop", "1", "--topic", "a"],
    ] {
        problem(dir, arguments, 64);
    }
}

#[test]
fn what_was_cut_is_told_and_cannot_be_tried_again() {
    let state_dir = tempfile::tempdir().unwrap();
    let dir = state_dir.path();
    let long = [b'x'; PAYLOAD_BYTES_MAX];
    write(
        &mut book(dir),
        1,
        vec![Quarantined { bytes: 1 << 20, ..message("site", "a", 0, &long) }],
    );
    let shown = said(dir, &["show", "1"]);
    let told = "1048576 bytes, of which the first 65536 are kept: it can't be tried again";
    assert!(shown.contains(told), "{shown}");
    let replayed = said(dir, &["replay", "1"]);
    assert!(replayed.contains("\n1 messages can't be: only the beginning"), "{replayed}");
    assert_eq!(run(dir, &["show", "1", "--raw"]).stdout, long);
}

#[test]
fn the_api_lists_shows_marks_and_drops_them() {
    let daemon = Daemon::start(&[]);
    let none = daemon.json("/api/v1/quarantine");
    assert_eq!((&none["messages"], &none["totals"]["came"]), (&json!([]), &0.into()));
    assert_eq!(daemon.json("/api/v1/quarantine/topics")["topics"], json!([]));
    let mut book = book(daemon.state_dir.path());
    fill(&mut book);

    let ids = |path: &str| -> Vec<u64> {
        let page = daemon.json(path);
        let messages = page["messages"].as_array().unwrap();
        messages.iter().map(|it| it["id"].as_u64().unwrap()).collect()
    };
    let page = daemon.json("/api/v1/quarantine?limit=3");
    assert_eq!((page["messages"].as_array().unwrap().len(), &page["next"]), (3, &3.into()));
    assert_eq!(page["totals"]["held"], 4);
    assert_eq!(ids("/api/v1/quarantine?limit=3&after=3"), [4]);
    assert_eq!(ids("/api/v1/quarantine?bridge=other"), [4]);
    assert_eq!(ids("/api/v1/quarantine?topic=plant/a/%23"), [1, 2]);
    let expected = json!({
        "id": 2, "bridge": "site", "topic": "plant/a/state", "received_at": 1_763_712_001_000_i64,
        "bytes": 24, "kept": 24, "excerpt": "{\"temp\": 21.50, \"b\":[1]}",
        "excerpt_hex": "7b2274656d70223a2032312e35302c202262223a5b315d7d",
        "qos": 1, "retained": true, "content_type": "application/json",
        "properties": [["client", "esc \u{1b}[31m"]],
        "reason": "no route takes the topic plant/a/state", "code": "UNSUPPORTED",
        "attempts": 1, "replaying": false,
    });
    assert_eq!(page["messages"][1], expected);

    let topics = daemon.json("/api/v1/quarantine/topics?bridge=site");
    let names: Vec<_> =
        topics["topics"].as_array().unwrap().iter().map(|it| it["topic"].clone()).collect();
    assert_eq!(names, ["plant/b/state", "plant/a/state"], "the one seen last first");
    let topic = &topics["topics"][1];
    assert_eq!((&topic["count"], &topic["held"]), (&2.into(), &2.into()));
    assert_eq!(topic["example"], expected);
    assert!(topic["suggestion"].as_str().unwrap().contains("[[intake.mqtt.routes]]"));

    let message = daemon.json("/api/v1/quarantine/2");
    assert_eq!(message["text"], "{\"temp\": 21.50, \"b\":[1]}");
    assert_eq!(message["json"], "{\n  \"temp\": 21.50,\n  \"b\": [\n    1\n  ]\n}");
    assert_eq!((&message["protobuf"], &message["hex"]), (&Value::Null, &expected["excerpt_hex"]));
    let binary = daemon.json("/api/v1/quarantine/4");
    let fields = "1: 150\n4: 2 bytes fffe\n";
    assert_eq!((&binary["text"], &binary["protobuf"]), (&Value::Null, &fields.into()));

    let post = |what: &str, headers: &[(&str, &str)], body: &str| {
        let path = format!("/api/v1/quarantine/{what}");
        daemon.request("POST", &path, headers, body.as_bytes())
    };
    let one = "{\"cut\":0,\"messages\":1}".to_owned();
    assert_eq!(post("replay", &[], "{\"ids\":[1,99]}"), (200, one));
    assert_eq!(daemon.json("/api/v1/quarantine/1")["replaying"], true);
    assert_eq!(post("replay", &[], "{\"topic\":\"plant/#\"}").0, 200);
    assert_eq!(marked(&book), [1, 2, 3]);
    assert_eq!(post("drop", &[], "{\"ids\":[2]}"), (200, "{\"messages\":1}".to_owned()));

    // The dashboard's own page may, those of others may not.
    let own = format!("http://{}", daemon.address);
    for what in ["drop", "replay"] {
        let (status, answer) = post(what, &[("origin", "http://evil.example")], "{\"all\":true}");
        assert_eq!(status, 403, "{answer}");
    }
    assert_eq!(book.totals(None).unwrap().held, 3);
    let dropped = post("drop", &[("origin", &own)], "{\"all\":true}");
    assert_eq!(dropped, (200, "{\"messages\":3}".to_owned()));
    assert_eq!(daemon.json("/api/v1/quarantine")["totals"]["dropped"], 4);
    assert_eq!(daemon.json("/api/v1/quarantine/topics")["topics"], json!([]));

    for (method, path, body, wanted) in [
        ("GET", "/api/v1/quarantine/1", "", 404),
        ("GET", "/api/v1/quarantine/x", "", 404),
        ("GET", "/api/v1/quarantine?limit=0", "", 400),
        ("GET", "/api/v1/quarantine/topics?after=2", "", 400),
        ("POST", "/api/v1/quarantine/drop", "{}", 400),
        ("POST", "/api/v1/quarantine/drop", "{\"all\":true,\"ids\":[1]}", 400),
        ("DELETE", "/api/v1/quarantine/drop", "", 405),
    ] {
        let (status, answer) = daemon.request(method, path, &[], body.as_bytes());
        assert_eq!(status, wanted, "{method} {path} {body}: {answer}");
        assert!(answer.contains(&format!("\"status\":{wanted}")), "{answer}");
    }
}
