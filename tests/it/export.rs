//! Taking samples out: every form, with whom it concerns, whatever happens meanwhile.

use crate::daemon::{Daemon, PATIENCE};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use tidegate::clock;

pub const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");
const SECOND: i64 = 1_000_000_000;

/// Sends lines; all of them must enter.
pub fn send(daemon: &Daemon, lines: &str) {
    send_as(daemon, None, lines);
}

/// The same with a key.
fn send_as(daemon: &Daemon, key: Option<&str>, lines: &str) {
    let bearer = format!("Bearer {}", key.unwrap_or_default());
    let headers = [NDJSON, ("authorization", &bearer)];
    let headers = if key.is_some() { &headers[..] } else { &headers[..1] };
    let (status, answer) = daemon.request("POST", "/api/v1/ingest", headers, lines.as_bytes());
    assert_eq!(status, 200, "{answer}");
}

/// Lines with every type, with tags and units, and names that are not nice to any form.
pub fn nasty(now: i64) -> String {
    let mut lines = String::new();
    let names = ["pump-7", "=1+1", "a,b \"c\"", "öl'; DROP", "../../etc/passwd", "'x"];
    for (number, device) in names.iter().enumerate() {
        for row in 0..7_i64 {
            let time = now - (number as i64 * 100 + row) * 1_000_000_007;
            let line = json!({
                "device": device,
                "time": time,
                "tags": {"site": "a b", "device": "=x"},
                "values": {
                    "motor.temperature": 0.1 + row as f64 / 3.0,
                    "telemetry.odd": -row as f64,
                    "starts": i64::MAX - row,
                    "running": row % 2 == 0,
                    "state": format!("=\"{row}\",\r\n'idle"),
                    "empty": "",
                },
                "units": {"motor.temperature": "°C", "starts": "=2"},
            });
            lines += &format!("{line}\n");
        }
        // The same metric without tags, and of another type later.
        let line = json!({"device": device, "time": now - 5, "values": {"mixed": 1, "z": 0.5}});
        lines += &format!("{line}\n");
        let line = json!({"device": device, "time": now - 4, "values": {"mixed": "one"}});
        lines += &format!("{line}\n");
    }
    lines
}

fn get(daemon: &Daemon, query: &str) -> String {
    let (status, body) = daemon.get(&format!("/api/v1/export?{query}"));
    assert_eq!(status, 200, "{query}: {body}");
    body
}

/// An address's part.
pub fn quoted(text: &str) -> String {
    let bytes = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'0'..=b'9' | b'-' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    bytes.collect()
}

#[test]
fn what_is_exported_enters_another_daemon_as_the_same() {
    let (first, second) = (Daemon::start(&[]), Daemon::start(&[]));
    send(&first, &nasty(clock::now().0));
    let all = get(&first, "format=ndjson");
    assert_eq!(all.lines().count(), 6 * (7 * 6 + 3));
    send(&second, &all);
    assert_eq!(get(&second, "format=ndjson"), all);
    for form in ["csv", "lines"] {
        assert_eq!(get(&second, &format!("format={form}")), get(&first, &format!("format={form}")));
    }
}

#[test]
fn an_export_holds_what_was_acknowledged_before_it_was_asked_for() {
    let daemon = Daemon::start(&["history.flush_interval=200 ms"]);
    let now = clock::now().0;
    for round in 1..=60 {
        let time = now - 1000 + round;
        send(
            &daemon,
            &format!("{{\"device\":\"d\",\"time\":{time},\"values\":{{\"t\":{round}}}}}\n"),
        );
        // At once: the history may not have read it yet, and flushes as we ask.
        assert_eq!(get(&daemon, "").lines().count(), round as usize);
    }
}

#[test]
fn only_what_is_asked_for_is_told() {
    let daemon = Daemon::start(&[]);
    let now = clock::now().0;
    let mut lines = String::new();
    for device in ["pump-1", "pump-2", "fan-1"] {
        for site in ["a", "b"] {
            for row in 0..10 {
                let time = now - row * SECOND - 1;
                lines += &format!(
                    "{{\"device\":\"{device}\",\"time\":{time},\"tags\":{{\"site\":\"{site}\"}},\"values\":{{\"t\":1.5,\"u.v\":2}}}}\n"
                );
            }
        }
    }
    send(&daemon, &lines);
    let count = |query: &str| get(&daemon, query).lines().count();
    assert_eq!(count(""), 120);
    assert_eq!(count("device=pump-*"), 80);
    assert_eq!(count("device=pump-1&device=fan-*&metric=t"), 40);
    assert_eq!(count("metric=u.*&tag.site=a"), 30);
    assert_eq!(count("tag.site=a&tag.site=b"), 0);
    assert_eq!(count("device=nobody"), 0);
    assert_eq!(count(&format!("from={}", now - 4 * SECOND)), 4 * 12);
    assert_eq!(count(&format!("from={}&to={}", now - 4 * SECOND, now - 2 * SECOND)), 2 * 12);
    assert_eq!(count(&format!("from={now}&to=-1d")), 0);
    assert_eq!(count("format=csv&device=nobody"), 1);
    let told = get(&daemon, "device=pump-2&tag.site=b&metric=t");
    let first: Value = serde_json::from_str(told.lines().next().unwrap()).unwrap();
    let expected = json!({"device": "pump-2", "tags": {"site": "b"}, "time": now - 9 * SECOND - 1, "values": {"t": 1.5}});
    assert_eq!(first, expected);
    // The range is told, so that it is the same when somebody goes on.
    let (_, head, _) = daemon.exchange("GET", "/api/v1/export?from=-1h", &[], b"");
    let header = |name: &str| {
        let value = head.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        value.trim_start_matches(": ").parse::<i64>().unwrap()
    };
    assert_eq!(header("tidegate-to") - header("tidegate-from"), 3600 * SECOND);
    assert!(
        head.contains("content-disposition: attachment; filename=\"tidegate.ndjson\""),
        "{head}"
    );
}

#[test]
fn hostile_parameters_are_refused_and_break_nothing() {
    let daemon = Daemon::start(&[]);
    send(&daemon, &nasty(clock::now().0));
    let long = "x".repeat(300);
    for query in [
        "format=exe",
        "format=ndjson%0d%0aset-cookie:%20a=b",
        "from=yesterday",
        "to=99999999999999999999",
        "nonsense=1",
        "device=%5B",
        "metric={a",
        &format!("device={long}"),
        &"device=a&".repeat(101),
        "after=1",
        "after=nonsense",
        "after={}",
        "after=%7B%22device%22:%22d%22,%22metric%22:%22m%22,%22time%22:%221%22%7D",
        "after=%7B%22device%22:%22d%22,%22metric%22:%22m%22,%22time%22:1,%22x%22:1%7D",
        "format=parquet&after=%7B%22device%22:%22d%22,%22metric%22:%22m%22,%22time%22:1%7D",
    ] {
        let (status, head, body) =
            daemon.exchange("GET", &format!("/api/v1/export?{query}"), &[], b"");
        assert_eq!(status, 400, "{query}: {body}");
        assert!(!head.contains("set-cookie"), "{head}");
        let told =
            serde_json::from_str::<Value>(&body).unwrap_or_else(|_| panic!("{query}: {body}"));
        let told = told["detail"].as_str().unwrap();
        let is_expected =
            told.ends_with("\"time\":1763712000000000000}") || told.contains("begun anew");
        assert!(is_expected || !query.contains("after="), "{query}: {told}");
    }
    for query in [
        "from=-9223372036854775808&to=9223372036854775807",
        "from=9223372036854775807&to=-9223372036854775808",
        "device=**&metric=%3F*",
        "tag.=&tag.x=%00",
        "device=..%2F..%2Fetc%2Fpasswd",
        "after=%7B%22device%22:%22zzz%22,%22metric%22:%22m%22,%22time%22:9223372036854775807%7D",
    ] {
        assert_eq!(daemon.get(&format!("/api/v1/export?{query}")).0, 200, "{query}");
    }
    assert_eq!(daemon.request("POST", "/api/v1/export", &[], b"").0, 405);
    let (status, _, body) = daemon.exchange("HEAD", "/api/v1/export", &[], b"");
    assert_eq!((status, body.as_str()), (200, ""));
    assert_eq!(daemon.get("/healthz").0, 200);
}

#[test]
fn an_export_that_broke_off_is_gone_on_with_after_any_line() {
    let daemon = Daemon::start(&[]);
    send(&daemon, &nasty(clock::now().0));
    let to = clock::now().0;
    let whole = get(&daemon, &format!("to={to}"));
    let lines: Vec<_> = whole.lines().collect();
    let csv = get(&daemon, &format!("to={to}&format=csv"));
    let mut ends = vec![];
    let mut rest = csv.as_bytes();
    while let Some(end) = tidegate::decode::csv_record_end(rest, b',') {
        ends.push(ends.last().unwrap_or(&0) + end);
        rest = &rest[end..];
    }
    assert_eq!(ends.len(), lines.len() + 1);
    for at in (0..lines.len()).step_by(7).chain([lines.len() - 1]) {
        let last: Value = serde_json::from_str(lines[at]).unwrap();
        let metric = last["values"].as_object().unwrap().keys().next().unwrap();
        let after = json!({
            "device": last["device"], "metric": metric, "time": last["time"],
            "tags": last.get("tags").unwrap_or(&json!({})),
        });
        let after = quoted(&after.to_string());
        let rest = get(&daemon, &format!("to={to}&after={after}"));
        assert!(rest.lines().eq(lines[at + 1..].iter().copied()), "after line {at}");
        let rest = get(&daemon, &format!("to={to}&format=csv&after={after}"));
        assert_eq!(rest, csv[ends[at + 1]..], "after record {at}");
    }
}

#[test]
fn an_answer_is_compressed_for_who_takes_it() {
    let daemon = Daemon::start(&[]);
    send(&daemon, &nasty(clock::now().0));
    let to = clock::now().0;
    let path = format!("/api/v1/export?to={to}");
    let plain = get(&daemon, &format!("to={to}"));
    let url = format!("http://{}{path}", daemon.address);
    for (accept, unpack) in [("gzip", "gzip -dc"), ("zstd, gzip;q=0.5", "zstd -dc")] {
        let program = unpack.split(' ').next().unwrap();
        if std::process::Command::new(program).arg("--version").output().is_err() {
            continue;
        }
        let pipe = format!("curl -sf -H 'accept-encoding: {accept}' '{url}' | {unpack}");
        let output = std::process::Command::new("sh").args(["-c", &pipe]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), plain, "{accept}");
    }
    let (_, head, _) = daemon.exchange("GET", &path, &[("accept-encoding", "br, gzip;q=0")], b"");
    assert!(!head.contains("content-encoding"), "{head}");
}

/// Enough that no socket holds it all.
fn much(daemon: &Daemon) {
    much_as(daemon, None);
}

fn much_as(daemon: &Daemon, key: Option<&str>) {
    let (now, text) = (clock::now().0, "x".repeat(2000));
    for part in 0..40 {
        let mut lines = String::new();
        for row in 0..400 {
            let time = now - (part * 400 + row + 1) * 1_000_000;
            lines +=
                &format!("{{\"device\":\"d\",\"time\":{time},\"values\":{{\"t\":\"{text}\"}}}}\n");
        }
        send_as(daemon, key, &lines);
    }
}

/// Asks, and reads nothing but the beginning.
fn begin(daemon: &Daemon) -> (TcpStream, String) {
    let mut socket = TcpStream::connect(daemon.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("GET /api/v1/export HTTP/1.1\r\nhost: {}\r\n\r\n", daemon.address);
    socket.write_all(request.as_bytes()).unwrap();
    let mut head = vec![0; 200];
    socket.read_exact(&mut head).unwrap();
    (socket, String::from_utf8_lossy(&head).into_owned())
}

#[test]
fn clients_who_leave_make_room_and_an_export_too_many_is_told_when_to_come_back() {
    let daemon = Daemon::start(&["limits.message_bytes=4 MiB"]);
    much(&daemon);
    // Each holds its place as long as it is there, though it reads nothing.
    let mut held: Vec<_> = (0..4).map(|_| begin(&daemon)).collect();
    assert!(held.iter().all(|(_, head)| head.starts_with("HTTP/1.1 200")), "{held:?}");
    let (status, head, _) = daemon.exchange("GET", "/api/v1/export", &[], b"");
    assert_eq!(status, 503);
    assert!(head.contains("retry-after: 10"), "{head}");
    // Who only looks is not held up by them.
    assert_eq!(daemon.get("/api/v1/series").0, 200);
    assert_eq!(daemon.get("/api/v1/query?device=d&metric=t&buckets=10").0, 200);
    let memory = daemon.memory_mib("VmRSS");
    for round in 0..20 {
        held.remove(0);
        let deadline = clock::monotonic() + PATIENCE;
        let begun = loop {
            let (socket, head) = begin(&daemon);
            if head.starts_with("HTTP/1.1 200") {
                break (socket, head);
            }
            assert!(clock::monotonic() < deadline, "round {round}: no place is free: {head}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        };
        held.push(begun);
    }
    let grown = daemon.memory_mib("VmRSS").saturating_sub(memory);
    assert!(grown < 60, "{grown} MiB more than {memory}");
    drop(held);
    let whole = daemon.until("/api/v1/export?format=lines", 200);
    assert_eq!(whole.lines().count(), 16_000);
}

#[test]
fn a_daemon_that_stops_breaks_exports_off_visibly() {
    let mut daemon = Daemon::start(&["limits.message_bytes=4 MiB"]);
    much(&daemon);
    let (mut socket, head) = begin(&daemon);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    daemon.terminate();
    // It has heard of it when nobody is let in any more: before, it may tell all that is left.
    let deadline = clock::monotonic() + PATIENCE;
    while TcpStream::connect(daemon.address).is_ok() {
        assert!(clock::monotonic() < deadline, "it goes on");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let mut rest = Vec::new();
    // However the connection ends, the last chunk of the body is missing.
    let _ended = socket.read_to_end(&mut rest);
    assert!(!rest.ends_with(b"0\r\n\r\n"), "an export that is not whole looks as if it were");
    assert!(daemon.wait().success());
}

/// A key, made before the daemon starts.
fn issue(state_dir: &std::path::Path, name: &str, more: &[&str]) -> String {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(["token", "--listen", "127.0.0.1:0", "--state-dir"]).arg(state_dir);
    let output = command.args(["issue", "--name", name]).args(more).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn an_export_tells_of_devices_within_reach_only() {
    let directory = tempfile::tempdir().unwrap();
    let all = issue(directory.path(), "all", &["--scope", "admin"]);
    let pumps = issue(directory.path(), "pumps", &["--scope", "view", "--device", "pump-*"]);
    let sender = issue(directory.path(), "sender", &["--scope", "ingest", "--device", "*"]);
    let daemon = Daemon::start_in(directory, &[]);
    let bearer = |key: &str| format!("Bearer {key}");
    let time = clock::now().0 - SECOND;
    let line = |device: &str| {
        format!("{{\"device\":\"{device}\",\"time\":{time},\"values\":{{\"t\":1}}}}\n")
    };
    let lines = ["pump-1", "pump-2", "fan-1"].map(line).concat();
    let headers = [NDJSON, ("authorization", &*bearer(&sender))];
    assert_eq!(daemon.request("POST", "/api/v1/ingest", &headers, lines.as_bytes()).0, 200);
    let ask = |key: &str, query: &str| {
        let path = format!("/api/v1/export?{query}");
        daemon.request("GET", &path, &[("authorization", &*bearer(key))], b"")
    };
    let count = |key: &str, query: &str| match ask(key, query) {
        (200, body) => body.lines().count(),
        other => panic!("{other:?}"),
    };
    assert_eq!((count(&all, ""), count(&pumps, "")), (3, 2));
    assert_eq!((count(&all, "device=fan-*"), count(&pumps, "device=fan-*")), (1, 0));
    let after =
        format!("after={}", quoted(&json!({"device": "a", "metric": "t", "time": 1}).to_string()));
    assert_eq!((count(&all, &after), count(&pumps, &after)), (3, 2));
    assert_eq!(ask(&sender, "").0, 403);
    assert_eq!(daemon.get("/api/v1/export").0, 401);
}

#[test]
fn an_export_ends_visibly_when_its_key_is_revoked() {
    let directory = tempfile::tempdir().unwrap();
    let viewer = issue(directory.path(), "ana", &["--scope", "view"]);
    let sender = issue(directory.path(), "sender", &["--scope", "ingest", "--device", "*"]);
    let mut daemon = Daemon::start_in(directory, &["limits.message_bytes=4 MiB"]);
    much_as(&daemon, Some(&sender));
    let mut socket = TcpStream::connect(daemon.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!(
        "GET /api/v1/export HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {viewer}\r\n\r\n",
        daemon.address
    );
    socket.write_all(request.as_bytes()).unwrap();
    let mut begin = [0; 12];
    socket.read_exact(&mut begin).unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200");
    let mut command = daemon.command("token");
    assert!(command.args(["revoke", "ana"]).output().unwrap().status.success());
    daemon.wait_for_log("event=connections-ended");
    let header = format!("Bearer {viewer}");
    let again = daemon.request("GET", "/api/v1/status", &[("authorization", &header)], b"");
    assert_eq!(again.0, 401, "{}", again.1);
    let mut rest = Vec::new();
    let _ended = socket.read_to_end(&mut rest);
    assert!(!rest.ends_with(b"0\r\n\r\n"), "an export that is not whole looks as if it were");
    assert!(rest.len() < 32_000_000, "{} bytes came", rest.len());
}
