//! Boards as programs and pages meet them over HTTP.

use crate::daemon::Daemon;
use serde_json::{Value, json};

const NEW: (&str, &str) = ("if-none-match", "*");

fn put(
    daemon: &Daemon,
    id: &str,
    headers: &[(&str, &str)],
    document: &Value,
) -> (u16, String, String) {
    let path = format!("/api/v1/boards/{id}");
    daemon.exchange("PUT", &path, headers, document.to_string().as_bytes())
}

fn tag(head: &str) -> String {
    let line = head.lines().find_map(|line| line.strip_prefix("etag: "));
    line.expect("an answer with an ETag").to_owned()
}

fn board(name: &str) -> Value {
    json!({ "version": 1, "name": name, "panels": [{ "id": "p1" }], "more": [1.0, "ü"] })
}

#[test]
fn a_board_is_kept_as_it_is_sent_and_survives_a_kill() {
    let mut daemon = Daemon::start(&[]);
    assert_eq!(daemon.json("/api/v1/boards"), json!({ "boards": [] }));
    let (status, head, body) = put(&daemon, "pumps", &[NEW], &board("Pumps"));
    assert_eq!(status, 201, "{body}");
    let (status, _, read) = daemon.exchange("GET", "/api/v1/boards/pumps", &[], b"");
    assert_eq!((status, read.as_str()), (200, board("Pumps").to_string().as_str()));

    daemon.kill();
    daemon.restart();
    let (_, again, read) = daemon.exchange("GET", "/api/v1/boards/pumps", &[], b"");
    assert_eq!(read, board("Pumps").to_string());
    assert_eq!(tag(&again), tag(&head), "the tag is of the content");
    let list = daemon.json("/api/v1/boards");
    assert_eq!(list["boards"][0]["name"], "Pumps");
    assert_eq!(list["boards"][0]["panels"], 1);
    assert!(list["boards"][0]["changed_at"].as_i64().is_some_and(|at| at > 1_700_000_000_000));

    assert_eq!(daemon.request("DELETE", "/api/v1/boards/pumps", &[], b"").0, 204);
    assert_eq!(daemon.get("/api/v1/boards/pumps").0, 404);
    assert_eq!(daemon.request("DELETE", "/api/v1/boards/pumps", &[], b"").0, 404);
}

#[test]
fn two_editors_do_not_overwrite_each_other() {
    let daemon = Daemon::start(&[]);
    let (_, head, _) = put(&daemon, "b", &[NEW], &board("first"));
    let first = tag(&head);
    assert_eq!(put(&daemon, "b", &[NEW], &board("another")).0, 412);
    let (status, head, _) = put(&daemon, "b", &[("if-match", &first)], &board("second"));
    assert_eq!(status, 200);
    let (status, _, why) = put(&daemon, "b", &[("if-match", &first)], &board("third"));
    assert_eq!(status, 412);
    assert!(why.contains("somebody else changed"), "{why}");
    assert_eq!(put(&daemon, "b", &[("if-match", &tag(&head))], &board("third")).0, 200);
    assert_eq!(put(&daemon, "b", &[], &board("fourth")).0, 428, "it must say what it replaces");
    let stale = daemon.request("DELETE", "/api/v1/boards/b", &[("if-match", &first)], b"");
    assert_eq!(stale.0, 412);
    assert_eq!(daemon.json("/api/v1/boards/b")["name"], "third");
}

#[test]
fn what_is_no_board_is_refused() {
    let daemon = Daemon::start(&[]);
    let large = json!({ "name": "x", "panels": [], "note": "x".repeat(256 * 1024) });
    for (id, document, wanted) in [
        ("a", json!([]), 400),
        ("a", json!({ "name": "", "panels": [] }), 400),
        ("a", json!({ "name": "x" }), 400),
        ("a", large, 413),
        ("Upper", board("x"), 400),
        ("a.json", board("x"), 400),
        ("%2e%2e", board("x"), 400),
    ] {
        let (status, _, body) = put(&daemon, id, &[NEW], &document);
        assert_eq!(status, wanted, "{id}: {body}");
    }
    let foreign = [NEW, ("origin", "http://evil.example")];
    assert_eq!(put(&daemon, "a", &foreign, &board("x")).0, 403);
    let foreign = [("origin", "http://evil.example")];
    assert_eq!(daemon.request("DELETE", "/api/v1/boards/a", &foreign, b"").0, 403);
    assert_eq!(daemon.json("/api/v1/boards"), json!({ "boards": [] }));
}
