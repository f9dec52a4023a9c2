//! The scripted store does what stories rely on.

use super::{Reaction, Store};
use crate::daemon::exchange;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tidegate::clock;

fn gzip(text: &str) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

fn write(store: &Store, token: &str, lines: &str) -> (u16, String, String) {
    let token = format!("Token {token}");
    let headers = [("Content-Encoding", "gzip"), ("Authorization", token.as_str())];
    exchange(store.address, "POST", "/api/v2/write?bucket=b", &headers, &gzip(lines))
}

fn lines(store: &Store) -> Vec<String> {
    store.stored().into_iter().map(|stored| stored.line).collect()
}

#[test]
fn a_write_is_taken_down_as_it_came() {
    let store = Store::start(|_| Reaction::stored());
    let before = clock::monotonic();
    assert_eq!(write(&store, "t", "m v=1 1\nm v=2 2\n").0, 204);
    assert_eq!(lines(&store), ["m v=1 1", "m v=2 2"]);
    let request = store.requests().remove(0);
    assert_eq!((request.path.as_str(), request.status), ("/api/v2/write?bucket=b", 204));
    assert_eq!(request.token.as_deref(), Some("t"));
    assert_eq!(request.lines.len(), 2);
    let stored = &store.stored()[1];
    assert!(before <= request.at && request.at <= stored.at && stored.request == 0);
    assert!(store.url().ends_with(&store.address.port().to_string()));
}

#[test]
fn a_script_changes_its_mind() {
    let asked = AtomicU64::new(0);
    let store = Store::start(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => Reaction::says(503, "busy").with("Retry-After", "7"),
        _ => Reaction::stored(),
    });
    let (status, head, body) = write(&store, "t", "m v=1 1");
    assert_eq!((status, body.as_str()), (503, "busy"));
    assert!(head.contains("retry-after: 7\r\n"), "{head}");
    assert_eq!(write(&store, "t", "m v=1 1").0, 204);
    store.script(|_| Reaction::says(500, ""));
    assert_eq!(write(&store, "t", "m v=2 2").0, 500);
    assert_eq!(lines(&store), ["m v=1 1"]);
}

#[test]
fn it_refuses_as_the_servers_do() {
    let bad = |line: &str| line.contains("bad");
    let three = "m v=1 1\nm bad=2 2\nm v=3 3";
    let store = Store::start(move |request| Reaction::influx_2_unreadable(&request.lines, bad));
    let (status, _, body) = write(&store, "t", three);
    assert_eq!(status, 400);
    let expected =
        "{\"code\":\"invalid\",\"message\":\"unable to parse 'm bad=2 2': missing tag value\"}";
    assert_eq!(body, expected);
    assert!(store.stored().is_empty());
    store.script(move |request| Reaction::influx_3_whole(&request.lines, bad));
    let (status, _, body) = write(&store, "t", three);
    assert!(status == 400 && body.contains("\"line_number\":2"), "{status} {body}");
    assert!(store.stored().is_empty());
    store.script(move |request| Reaction::influx_2_conflict(&request.lines, bad));
    let (status, _, body) = write(&store, "t", three);
    assert!(status == 422 && body.contains("dropped=1"), "{status} {body}");
    assert_eq!(lines(&store), ["m v=1 1", "m v=3 3"]);
    store.script(move |request| Reaction::influx_3_partial(&request.lines, bad));
    let many: Vec<_> = (0..150).map(|number| format!("m bad={number}")).collect();
    let (status, _, body) = write(&store, "t", &format!("{}\nm v=4 4", many.join("\n")));
    assert_eq!((status, body.matches("line_number").count()), (400, 100));
    assert_eq!(lines(&store), ["m v=1 1", "m v=3 3", "m v=4 4"]);
    for rule in [Reaction::influx_2_unreadable, Reaction::influx_3_whole] {
        store.script(move |request| rule(&request.lines, bad as fn(&str) -> bool));
        assert_eq!(write(&store, "t", "m v=5 5").0, 204);
    }
}

#[test]
fn only_the_right_token_may_write() {
    let store = Store::start(|_| Reaction::stored());
    store.require_token("new");
    let (status, _, body) = write(&store, "old", "m v=1 1");
    assert_eq!(status, 401);
    assert_eq!(body, r#"{"code":"unauthorized","message":"unauthorized access"}"#);
    assert_eq!(write(&store, "new", "m v=1 1").0, 204);
    assert_eq!(store.stored().len(), 1);
}

/// Sends a write on a connection of its own, and nothing more.
fn send(store: &Store) -> TcpStream {
    let mut socket = TcpStream::connect(store.address).unwrap();
    let body = gzip("m v=1 1");
    write!(
        socket,
        "POST / HTTP/1.1\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .unwrap();
    socket.write_all(&body).unwrap();
    socket
}

#[test]
fn it_closes_without_an_answer_having_stored_or_not() {
    let store = Store::start(|_| Reaction::closes());
    assert_eq!(send(&store).read(&mut [0]).unwrap_or(0), 0);
    assert!(store.stored().is_empty());
    store.script(|_| Reaction::stored_and_closes());
    assert_eq!(send(&store).read(&mut [0]).unwrap_or(0), 0);
    assert_eq!(store.stored().len(), 1);
}

#[test]
fn it_hangs_until_it_is_stopped_and_listens_there_again() {
    let mut store = Store::start(|_| Reaction::hangs());
    let (mut first, _second) = (send(&store), send(&store));
    store.wait(|requests, _| requests.len() == 2);
    assert_eq!(store.under_way_most(), 2);
    store.stop();
    assert_eq!(first.read(&mut [0]).unwrap_or(0), 0);
    assert!(TcpStream::connect(store.address).is_err());
    store.restart();
    store.script(|_| Reaction::stored());
    assert_eq!(write(&store, "t", "m v=1 1").0, 204);
    assert_eq!((store.stored().len(), store.requests()[0].status), (1, 0));
}

#[test]
fn a_delay_passes_before_it_stores() {
    let delay = Duration::from_millis(100);
    let store = Store::start(move |_| Reaction::stored().after(delay));
    let _socket = send(&store);
    let stored = store.wait(|_, stored| !stored.is_empty());
    assert!(stored[0].at - store.requests()[0].at >= delay);
}
