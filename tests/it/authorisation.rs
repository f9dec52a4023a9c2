//! The authorisation matrix: every row of the table of routes, asked by everybody there is.
//!
//! The rows come from [`tidegate::web::ROWS`], without which the server lets nothing through: a new route
//! is in the matrix as soon as it can be reached.

use crate::daemon::{Daemon, PATIENCE};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;
use tidegate::auth::Scope;
use tidegate::clock;
use tidegate::web::{ForReach, Needs, ROWS, Row};

const SECRET: &[u8] = b"a secret of at least 32 bytes, for tests";
/// The device that the requests are about, and one that the limited callers reach.
const DEVICE: &str = "pump-1";
const OTHER: &str = "other-1";

/// Somebody who asks.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Who {
    /// Shows nothing.
    Nobody,
    /// Shows a token that was good an hour ago.
    Expired,
    /// Shows a good token that was made for another service.
    WrongAudience,
    /// Shows a key that was never issued.
    Unknown,
    /// Has this scope, for all devices.
    Scoped(Scope),
    /// Has this scope, for other devices than those that are asked about.
    Foreign(Scope),
}

const EVERYBODY: [Who; 12] = [
    Who::Nobody,
    Who::Expired,
    Who::WrongAudience,
    Who::Unknown,
    Who::Scoped(Scope::Ingest),
    Who::Scoped(Scope::View),
    Who::Scoped(Scope::Command),
    Who::Scoped(Scope::Admin),
    Who::Foreign(Scope::Ingest),
    Who::Foreign(Scope::View),
    Who::Foreign(Scope::Command),
    Who::Foreign(Scope::Admin),
];

/// How a request ends.
#[derive(Debug, PartialEq)]
enum End {
    /// 401: who are you?
    Asked,
    /// 403: you may not.
    Refused,
    /// The route had it, and whatever it said is the route's business.
    Through,
}

fn has(scope: Scope, wanted: Scope) -> bool {
    scope == wanted || scope == Scope::Admin
}

/// What must become of it.
fn expected(row: &Row, who: Who) -> End {
    let is_stranger = matches!(who, Who::Nobody | Who::Expired | Who::WrongAudience | Who::Unknown);
    let Needs::Scope(needed) = row.needs else {
        // "Who am I?" is for everybody to ask, and the answer to strangers is 401.
        let asks_who = (row.method, row.path) == ("GET", "/api/v1/session");
        return if asks_who && is_stranger { End::Asked } else { End::Through };
    };
    match who {
        _ if is_stranger => End::Asked,
        Who::Scoped(scope) if has(scope, needed) => End::Through,
        Who::Scoped(_) => End::Refused,
        Who::Foreign(scope) if !has(scope, needed) || row.reach == ForReach::Whole => End::Refused,
        Who::Foreign(_) if names_a_device(row) => End::Refused,
        // What is told is filtered: the device is in no answer.
        _ => End::Through,
    }
}

/// Whether our request of that row is about [`DEVICE`] and no other.
fn names_a_device(row: &Row) -> bool {
    let known = ["/api/v1/devices/known", "/api/v1/query"];
    row.path.starts_with("/api/v1/devices/{id}") || known.contains(&row.path)
}

/// The token that is shown.
fn token(who: Who) -> Option<String> {
    let jwt = |claims: serde_json::Value| {
        let key = EncodingKey::from_secret(SECRET);
        Some(jsonwebtoken::encode(&Header::default(), &claims, &key).unwrap())
    };
    let now = clock::now().as_millis() / 1000;
    match who {
        Who::Nobody => None,
        Who::Expired => {
            jwt(json!({"sub": "ana", "aud": "tidegate", "exp": now - 3600, "scope": "admin"}))
        }
        Who::WrongAudience => {
            jwt(json!({"sub": "ana", "aud": "another", "exp": now + 3600, "scope": "admin"}))
        }
        Who::Unknown => Some(format!("tgk_00000000_{}", "0".repeat(43))),
        Who::Scoped(scope) => jwt(
            json!({"sub": "ana", "aud": "tidegate", "exp": now + 3600, "scope": scope.name(), "devices": ["*"]}),
        ),
        Who::Foreign(scope) => jwt(
            json!({"sub": "eva", "aud": "tidegate", "exp": now + 3600, "scope": scope.name(), "devices": ["other-*"]}),
        ),
    }
}

/// Asks, and reads no more than the head of the answer and a body that has a length.
fn ask(daemon: &Daemon, row: &Row, token: Option<&str>) -> (u16, String) {
    let path = match row.path {
        "/api/v1/query" => format!("{}?device={DEVICE}&metric=level", row.path),
        "/api/v1/live/poll" => format!("{}?wait_s=0", row.path),
        path if path.starts_with("/api/v1/devices/{id}") => path.replace("{id}", DEVICE),
        path => path.replace("{id}", "1").replace("{name}", "x").replace("{channel}", "x"),
    };
    let body = match (row.method, row.path) {
        ("POST", "/api/v1/ingest") => {
            format!("{{\"device\":\"{OTHER}\",\"values\":{{\"level\":1}}}}")
        }
        ("POST", "/api/v2/write" | "/api/v3/write_lp" | "/write") => {
            format!("m,device={OTHER} level=1")
        }
        ("POST", "/api/v1/devices/known") => format!("{{\"ids\":[\"{DEVICE}\"]}}"),
        ("GET", _) => String::new(),
        _ => "{}".to_owned(),
    };
    let mut head = format!(
        "{} {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/x-ndjson\r\ncontent-length: {}\r\n",
        row.method,
        daemon.address,
        body.len()
    );
    if row.path.ends_with("/ws") {
        head += "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    }
    if let Some(token) = token {
        head += &format!("authorization: Bearer {token}\r\n");
    }
    let mut socket = TcpStream::connect(daemon.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(format!("{head}\r\n{body}").as_bytes()).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    let head = String::from_utf8(answer).unwrap().to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    socket.read_exact(&mut body).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, String::from_utf8_lossy(&body).into_owned())
}

fn start() -> Daemon {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("jwt-secret");
    std::fs::write(&secret, SECRET).unwrap();
    let secret = format!("auth.jwt.secret_file={}", secret.display());
    let settings = [
        &secret,
        "auth.jwt.algorithm=HS256",
        "auth.jwt.audience=tidegate",
        "auth.failures_max=1000",
    ];
    Daemon::start_in(directory, &settings)
}

#[test]
fn everybody_gets_as_far_as_they_may_at_every_route() {
    let daemon = start();
    let admin = token(Who::Scoped(Scope::Admin)).unwrap();
    let bearer = format!("Bearer {admin}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/x-ndjson")];
    let furnish = |method, path, body: String| {
        let (status, body) = daemon.request(method, path, &headers, body.as_bytes());
        assert!((200..300).contains(&status), "{method} {path}: {status} {body}");
    };
    // Something of the device at every route that tells of devices.
    furnish(
        "PUT",
        "/api/v1/rules/high",
        json!({"kind": "threshold", "metric": ["level"], "above": 0}).to_string(),
    );
    furnish(
        "POST",
        "/api/v1/ingest",
        json!({"device": DEVICE, "values": {"level": 1}}).to_string(),
    );
    furnish(
        "POST",
        &format!("/api/v1/devices/{DEVICE}/commands"),
        json!({"name": "stop", "ttl_s": 3600}).to_string(),
    );
    let deadline = clock::monotonic() + PATIENCE;
    while !daemon.request("GET", "/api/v1/alerts", &headers[..1], b"").1.contains(DEVICE) {
        assert!(clock::monotonic() < deadline, "no alert fires");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let mut wrong = Vec::new();
    let mut asked = 0;
    for who in EVERYBODY {
        let token = token(who);
        for row in ROWS {
            let (status, body) = ask(&daemon, row, token.as_deref());
            asked += 1;
            let end = match status {
                401 => End::Asked,
                403 => End::Refused,
                _ => End::Through,
            };
            // 404 of a thing is the route's answer; this is the one of no route at all.
            let is_served = status != 405 && !body.contains("there is nothing here");
            let expected = expected(row, who);
            let is_foreign =
                matches!(who, Who::Foreign(_)) && status < 300 && body.contains(DEVICE);
            if end != expected || !is_served || is_foreign {
                wrong.push(format!(
                    "{who:?} {} {}: {status} {body}, not {expected:?}",
                    row.method, row.path
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {asked} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(asked, EVERYBODY.len() * ROWS.len());
}
