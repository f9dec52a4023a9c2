//! What devices, pages and strangers write to do harm where it is read or told again: paths, headers, names and
//! texts. Each gets the answer that docs/http.md names, and costs nobody else anything.

use crate::daemon::{Daemon, PATIENCE, parsed};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use tidegate::clock;
use tidegate::web::{ROWS, Row};

pub const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");
/// Their answers do not end.
pub const STREAMS: [&str; 3] = ["/api/v1/live", "/api/v1/live/ws", "/api/v1/ingest/ws"];
/// Waits, if it is not asked to wait for nothing.
const POLL: &str = "/api/v1/live/poll";
/// No browser runs anything in one of these.
const DATA: [&str; 8] = [
    "application/json",
    "application/problem+json",
    "application/openmetrics-text; version=1.0.0; charset=utf-8",
    "application/x-ndjson",
    "application/x-protobuf",
    "text/csv; charset=utf-8",
    "text/event-stream",
    "text/plain; charset=utf-8",
];

/// Bytes as they are, over a connection of its own; status 0 if it is closed without an answer.
pub fn raw(daemon: &Daemon, request: &[u8]) -> (u16, String, String) {
    let mut socket = TcpStream::connect(daemon.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    // A server that refuses early closes while we still write: its answer tells.
    socket.write_all(request).unwrap_or_default();
    let mut answer = Vec::new();
    if let Err(error) = socket.read_to_end(&mut answer) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    }
    parsed(&answer)
}

/// The head of an answer that does not end.
fn beginning(daemon: &Daemon, path: &str) -> String {
    let mut socket = TcpStream::connect(daemon.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", daemon.address).unwrap();
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"\r\n\r\n") {
        socket.read_exact(&mut byte).unwrap();
        answer.extend(byte);
    }
    parsed(&answer).1
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// Whether a browser takes the answer for data, whatever is in it.
pub fn check_guarded(at: &str, head: &str) {
    assert_eq!(header(head, "x-content-type-options"), Some("nosniff"), "{at}: {head}");
    assert_eq!(header(head, "referrer-policy"), Some("no-referrer"), "{at}: {head}");
    let policy = header(head, "content-security-policy").unwrap_or_default();
    assert!(policy.starts_with("default-src 'none'; "), "{at}: {head}");
    if let Some(content_type) = header(head, "content-type") {
        assert!(DATA.contains(&content_type), "{at}: {head}");
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// The row's path with this in the place of every name, and this query.
pub fn path_of(row: &Row, name: &str, query: &str) -> String {
    let segments = row.path.split('/').map(|it| if it.starts_with('{') { name } else { it });
    let path = segments.collect::<Vec<_>>().join("/");
    let wait = if row.path == POLL { "wait_s=0&" } else { "" };
    format!("{path}?{wait}{query}")
}

pub fn post_lines(daemon: &Daemon, lines: &[Value]) -> (u16, String) {
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
    daemon.request("POST", "/api/v1/ingest", &[NDJSON], body.as_bytes())
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn no_path_leads_to_other_files() {
    const DOCUMENT: &str = r#"{"name":"secret","panels":[]}"#;
    let daemon = Daemon::start(&[]);
    let state = daemon.state_dir.path();
    std::fs::write(state.join("secret.json"), DOCUMENT).unwrap();
    let new = [("if-none-match", "*")];
    let pumps = br#"{"name":"Pumps","panels":[]}"#;
    assert_eq!(daemon.request("PUT", "/api/v1/boards/pumps", &new, pumps).0, 201);
    let before = names(state);
    for up in ["..", "%2e%2e", "%2E.", ".%2e", "%252e%252e", "%c0%ae%c0%ae", "..;", "pumps/.."] {
        for slash in ["/", "//", "%2f", "%252f", "\\", "%5c", "%c0%af", "%00/"] {
            for name in ["secret", "secret.json", "secret%00.json", "secret.json%00.html"] {
                for place in ["/", "/assets/", "/api/v1/boards/"] {
                    let path = format!("{place}{up}{slash}{name}");
                    let (status, head, body) = daemon.exchange("GET", &path, &[], b"");
                    assert!([400, 404].contains(&status), "{path}: {status} {body}");
                    assert!(!body.contains("\"secret\""), "{path}: {body}");
                    check_guarded(&path, &head);
                }
                let path = format!("/api/v1/boards/{up}{slash}{name}");
                for (method, sent) in
                    [("PUT", &DOCUMENT.replace("[]", "[1]")), ("DELETE", &String::new())]
                {
                    let any = [("if-match", "*")];
                    let (status, body) = daemon.request(method, &path, &any, sent.as_bytes());
                    assert!([400, 404, 405].contains(&status), "{method} {path}: {status} {body}");
                }
            }
        }
    }
    for target in [
        "/etc/passwd",
        "//etc/passwd",
        "/assets//etc/passwd",
        "/api/v1/boards//etc/passwd",
        "/api/v1/boards/%2fetc%2fpasswd",
        "/api/v1/boards/file:%2f%2f%2fetc%2fpasswd",
        "http://elsewhere.example/../../../etc/passwd",
        "file:///etc/passwd",
        "etc/passwd",
        "*",
        "/\0",
        "/index.html\0",
        "/C:\\Windows\\win.ini",
    ] {
        let request =
            format!("GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        let (status, _, body) = raw(&daemon, request.as_bytes());
        assert!([400, 404].contains(&status), "{target:?}: {status} {body}");
        assert!(!body.contains("root:"), "{target:?}: {body}");
    }
    assert_eq!(names(state), before);
    assert_eq!(names(&state.join("boards")), ["pumps.json"]);
    assert_eq!(std::fs::read_to_string(state.join("secret.json")).unwrap(), DOCUMENT);
}

#[test]
fn no_name_or_token_becomes_a_header() {
    let daemon = Daemon::start(&[]);
    let check = |at: &str, request: &str| {
        let (status, head, body) = raw(&daemon, request.as_bytes());
        assert!((200..500).contains(&status), "{at}: {status} {body}");
        assert!(!head.contains("evil"), "{at}: {head}");
        assert!(!body.contains("\nHTTP/1.1 "), "{at}: a second answer: {body}");
    };
    let request = |method: &str, path: &str, headers: &str| {
        format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 2\r\n{headers}\r\n{{}}"
        )
    };
    let splits = ["%0d%0a", "%0a", "%0d", "%E5%98%8A%E5%98%8D", "%E2%80%A8", "%00", "%250d%250a"];
    for split in splits {
        let evil = format!("a{split}set-cookie:%20evil=1{split}{split}HTTP%2f1.1%20200%20OK");
        for row in ROWS.iter().filter(|row| !STREAMS.contains(&row.path)) {
            let query = format!("client={evil}&device={evil}&{evil}={evil}");
            for path in [path_of(row, &evil, ""), path_of(row, "1", &query)] {
                check(&path, &request(row.method, &path, ""));
            }
            for name in
                ["authorization: Bearer", "cookie: tidegate_session=", "if-match:", "accept:"]
            {
                let headers = format!("{name} {evil}\r\n");
                check(&headers, &request(row.method, &path_of(row, "1", ""), &headers));
            }
        }
        check(&evil, &request("GET", &format!("/{evil}"), ""));
    }
    // What is no header at all: refused by the reader of heads, whatever it is in.
    for value in
        ["a\rset-cookie: evil", "a\nset-cookie evil", "a\0b", "a\r\n set-cookie: evil", "a\x7f"]
    {
        for name in ["cookie", "authorization", "x-y"] {
            let request = request("GET", "/api/v1/status", &format!("{name}: {value}\r\n"));
            let (status, head, _) = raw(&daemon, request.as_bytes());
            assert_eq!(status, 400, "{request:?}: {head}");
        }
    }
    // Names in bodies: nobody can call anything so.
    let name = "a\r\nset-cookie: evil";
    let (status, told) = post_lines(&daemon, &[json!({ "device": name, "values": { "t": 1 } })]);
    assert!(status == 400 && told.contains("BAD_NAME"), "{status} {told}");
    assert_eq!(post_lines(&daemon, &[json!({ "device": "d", "values": { "t": 1 } })]).0, 200);
    daemon.until("/api/v1/devices/d", 200);
    for (method, path, body) in [
        ("PATCH", "/api/v1/devices/d", json!({ "labels": { "site": name } })),
        ("PATCH", "/api/v1/devices/d", json!({ "labels": { name: "a" } })),
        ("POST", "/api/v1/devices/d/commands", json!({ "name": name })),
        ("POST", "/api/v1/devices/d/commands", json!({ "name": "set", "by": name })),
        ("PUT", "/api/v1/devices/d/desired", json!({ "document": {}, "by": name })),
        ("PUT", "/api/v1/rules/a%0d%0ab", json!({ "kind": "offline" })),
    ] {
        let (status, told) = daemon.request(method, path, &[], body.to_string().as_bytes());
        assert_eq!(status, 400, "{method} {path} {body}: {told}");
    }
}

#[test]
fn markup_in_names_and_texts_is_told_as_data_only() {
    const MARKUP: &str = "<img src=x onerror=alert(1)>";
    let daemon = Daemon::start(&[]);
    let reading = json!({
        "device": MARKUP, "tags": { MARKUP: MARKUP }, "units": { MARKUP: MARKUP },
        "values": { MARKUP: MARKUP, "t": 99.5 },
    });
    let line = format!("{reading}\n");
    let client = format!("/api/v1/ingest?client={}", encoded(MARKUP));
    assert_eq!(daemon.request("POST", &client, &[NDJSON], line.as_bytes()).0, 200);
    let name = encoded(MARKUP);
    daemon.until(&format!("/api/v1/devices/{name}"), 200);
    let new = ("if-none-match", "*");
    for (method, path, body, wanted) in [
        (
            "PUT",
            format!("/api/v1/rules/{name}"),
            json!({ "kind": "threshold", "above": 1, "text": MARKUP }),
            201,
        ),
        ("PUT", "/api/v1/boards/b".to_owned(), json!({ "name": MARKUP, "panels": [MARKUP] }), 201),
        ("PATCH", format!("/api/v1/devices/{name}"), json!({ "labels": { MARKUP: MARKUP } }), 200),
        (
            "POST",
            format!("/api/v1/devices/{name}/commands"),
            json!({ "name": MARKUP, "by": MARKUP }),
            202,
        ),
    ] {
        let (status, told) = daemon.request(method, &path, &[new], body.to_string().as_bytes());
        assert_eq!(status, wanted, "{method} {path}: {told}");
    }
    assert_eq!(daemon.request("POST", &client, &[NDJSON], line.as_bytes()).0, 200);
    daemon.eventually("/api/v1/alerts", |told| told["alerts"] != json!([]));
    daemon.eventually("/api/v1/series", |told| told["series"] != json!([]));

    let mut told = 0;
    for row in ROWS.iter().filter(|row| !STREAMS.contains(&row.path)) {
        for place in [name.as_str(), "b", "1", "nothing"] {
            let query = format!("device={name}&metric={name}&client={name}&{name}={name}");
            for path in [path_of(row, place, ""), path_of(row, place, &query)] {
                let body = reading.to_string();
                let (status, head, body) = daemon.exchange(row.method, &path, &[], body.as_bytes());
                let at = format!("{} {path}", row.method);
                assert!(status < 500, "{at}: {status} {body}");
                check_guarded(&at, &head);
                told += usize::from(body.contains("onerror"));
            }
        }
    }
    assert!(told > 20, "{told}: what is told again is not what this test is about");
    let query = format!("/api/v1/query?device={name}&metric={name}");
    for path in [&query, &format!("{query}&format=csv"), &format!("/{name}")] {
        let (_, head, body) = daemon.exchange("GET", path, &[], b"");
        assert!(body.contains("onerror"), "{path}: {body}");
        check_guarded(path, &head);
    }
    let unknown = daemon.exchange(MARKUP.split(' ').next().unwrap(), "/", &[], b"");
    assert!([400, 405].contains(&unknown.0), "a method that is none: {unknown:?}");
    check_guarded("events", &beginning(&daemon, "/api/v1/live"));

    if cfg!(feature = "dashboard") {
        let (status, head, _) = daemon.exchange("GET", "/", &[], b"");
        let policy = header(&head, "content-security-policy").unwrap_or_default();
        assert!(status == 200 && policy.starts_with("default-src 'self'; "), "{head}");
        assert!(!policy.contains("unsafe"), "{head}");
        assert_eq!(header(&head, "x-content-type-options"), Some("nosniff"));
        let tag = header(&head, "etag").unwrap();
        let (status, head, _) = daemon.exchange("GET", "/", &[("if-none-match", tag)], b"");
        // It would replace the policy of the page that the browser has.
        assert!(status == 304 && header(&head, "content-security-policy").is_none(), "{head}");
    }
}

#[test]
fn no_text_of_a_device_is_a_formula_in_a_spreadsheet() {
    let mut daemon = Daemon::start(&[]);
    let texts = [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "\"'\t=1\""),
        ("\r=1", "\"'\r=1\""),
        ("a;=1", "\"a;=1\""),
        ("a,\"=1\"", "\"a,\"\"=1\"\"\""),
        ("idle", "idle"),
        ("\u{1b}[2J", "\u{1b}[2J"),
    ];
    let start = clock::now().0 - 1_000_000_000;
    let lines: Vec<_> = (start..)
        .zip(texts)
        .map(|(time, (text, _))| json!({ "device": "d", "time": time, "values": { "s": text, "n": -1.5 } }))
        .collect();
    assert_eq!(post_lines(&daemon, &lines).0, 200);
    let cells: String =
        (start..).zip(texts).map(|(time, (_, cell))| format!("{time},{cell}\r\n")).collect();
    let texts_as_csv = format!("time,value\r\n{cells}");
    let numbers: String =
        (start..).zip(texts).map(|(time, _)| format!("{time},-1.5\r\n")).collect();
    let numbers_as_csv = format!("time,value\r\n{numbers}");
    let raw_query = "/api/v1/query?device=d&metric=s&from=-1m&to=now";
    daemon.until(raw_query, 200);
    daemon.eventually(raw_query, |told| {
        told["time"].as_array().is_some_and(|it| it.len() == texts.len())
    });
    for (metric, wanted) in [("s", &texts_as_csv), ("n", &numbers_as_csv)] {
        let path = format!("/api/v1/query?device=d&metric={metric}&from=-1m&format=csv");
        assert_eq!(&daemon.get(&path).1, wanted);
    }

    assert!(daemon.stop().success());
    let query = |metric: &str, format: &str| {
        let output = daemon.command("query").args(["d", metric, "--format", format]).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    assert_eq!(query("s", "csv"), texts_as_csv);
    assert_eq!(query("n", "csv"), numbers_as_csv);
    assert!(!query("s", "table").contains('\u{1b}'), "a device speaks to the terminal");
}
