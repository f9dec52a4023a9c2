//! Bodies and queries that nobody would send: each gets the answer that docs/http.md names, and costs the daemon
//! neither memory nor an error.

use crate::abuse_content::{NDJSON, STREAMS, check_guarded, path_of, post_lines, raw};
use crate::daemon::Daemon;
use serde_json::json;
use tidegate::web::ROWS;

/// A text so deep that whoever reads it by calling itself would run out of stack.
fn nested(levels: usize) -> String {
    format!("{}{}", "[".repeat(levels), "]".repeat(levels))
}

#[test]
fn bodies_that_nobody_would_send_are_refused_as_documented() {
    let daemon = Daemon::start(&[]);
    assert_eq!(post_lines(&daemon, &[json!({ "device": "d", "values": { "t": 1.5 } })]).0, 200);
    daemon.until("/api/v1/devices/d", 200);
    let deep = nested(2000);
    let many = format!("{{\"ids\":[{}1]}}", "1,".repeat(20_000));
    let commands = "/api/v1/devices/d/commands";
    let desired = "/api/v1/devices/d/desired";
    let (known, device) = ("/api/v1/devices/known", "/api/v1/devices/d");
    let (letters, silences) = ("/api/v1/dead-letters/drop", "/api/v1/silences");
    let (messages, board) = ("/api/v1/quarantine/drop", "/api/v1/boards/b");
    let lost = "/api/v1/notifications/dead-letters/drop";
    let cases: Vec<(&str, &str, String, u16)> = [
        // Depth.
        ("POST", commands, format!("{{\"name\":\"set\",\"arguments\":{deep}}}"), 400),
        ("PUT", desired, format!("{{\"document\":{{\"a\":{deep}}}}}"), 400),
        ("PUT", board, format!("{{\"name\":\"b\",\"panels\":{deep}}}"), 400),
        ("PUT", board, format!("{{\"name\":\"b\",\"panels\":[],\"note\":{deep}}}"), 400),
        ("PUT", "/api/v1/rules/r", format!("{{\"kind\":\"offline\",\"device\":{deep}}}"), 400),
        ("PATCH", device, format!("{{\"labels\":{deep}}}"), 400),
        ("POST", known, deep.clone(), 400),
        ("POST", letters, format!("{{\"ids\":{deep}}}"), 400),
        // Numbers.
        ("POST", commands, "{\"name\":\"set\",\"arguments\":1e999}".to_owned(), 400),
        ("POST", commands, "{\"name\":\"set\",\"ttl_s\":1e400}".to_owned(), 400),
        ("POST", commands, "{\"name\":\"set\",\"ttl_s\":-1}".to_owned(), 400),
        ("PATCH", device, "{\"expected_s\":1e400}".to_owned(), 400),
        ("PATCH", device, "{\"expected_s\":1e308}".to_owned(), 400),
        ("POST", letters, "{\"ids\":[18446744073709551616]}".to_owned(), 400),
        ("POST", letters, "{\"ids\":[18446744073709551615]}".to_owned(), 200),
        ("POST", messages, "{\"ids\":[18446744073709551615]}".to_owned(), 200),
        ("POST", silences, "{\"until\":9e99}".to_owned(), 400),
        ("POST", silences, "{\"until\":9223372036854775807}".to_owned(), 400),
        ("POST", silences, format!("{{\"until\":1,\"from\":{}}}", i64::MIN), 400),
        // Keys that are given twice: refused, but where any key may be; there the last counts.
        ("POST", commands, "{\"name\":\"a\",\"name\":\"b\"}".to_owned(), 400),
        ("POST", letters, "{\"ids\":[],\"ids\":[1]}".to_owned(), 400),
        ("PUT", board, "{\"name\":\"a\",\"name\":\"b\",\"panels\":[]}".to_owned(), 400),
        ("PATCH", device, "{\"labels\":{\"a\":\"1\",\"a\":\"2\"}}".to_owned(), 200),
        // An array of the values in the order of the keys.
        ("PATCH", device, "[true]".to_owned(), 400),
        ("POST", commands, "[\"set\"]".to_owned(), 400),
        ("PUT", board, "[\"b\",[]]".to_owned(), 400),
        ("POST", letters, "[[1],null,null]".to_owned(), 400),
        ("POST", "/api/v1/sinks/influx/breaker", "[\"hold\"]".to_owned(), 400),
        // What is not here.
        ("POST", "/api/v1/ingest?nothing=1", "{}".to_owned(), 400),
        ("GET", "/api/v1/alerts/acknowledge", String::new(), 404),
        ("DELETE", "/api/v1/silences/x", String::new(), 404),
        ("GET", "/api/v1/commands/18446744073709551616", String::new(), 404),
        ("DELETE", "/api/v1/ingest", String::new(), 405),
        // Many.
        ("POST", letters, many.clone(), 400),
        ("POST", messages, many.clone(), 400),
        ("POST", lost, many.replace('1', "\"1\""), 400),
        ("POST", known, many.replace('1', "\"1\""), 400),
        ("POST", "/api/v1/alerts/acknowledge", many, 400),
        ("POST", letters, "x".repeat((1 << 20) + 1), 413),
        ("PUT", board, "x".repeat((256 << 10) + 1), 413),
        ("POST", silences, "x".repeat((256 << 10) + 1), 413),
        ("POST", commands, "x".repeat((80 << 10) + 1), 413),
    ]
    .into();
    let new = [("if-none-match", "*")];
    for (method, path, body, wanted) in cases {
        let (status, head, told) = daemon.exchange(method, path, &new, body.as_bytes());
        let sent = &body[..body.len().min(60)];
        assert_eq!(status, wanted, "{method} {path} {sent}: {told}");
        check_guarded(path, &head);
    }
    assert_eq!(daemon.json(device)["labels"], json!({ "a": "2" }));
    // Not UTF-8.
    let cases: [(&str, &str, &[u8]); 9] = [
        ("POST", commands, b"{\"name\":\"\xff\"}"),
        ("POST", commands, b"{\"name\":\"set\",\"arguments\":\"\xff\"}"),
        ("PUT", desired, b"{\"document\":{\"a\":\"\xff\"}}"),
        ("PUT", board, b"{\"name\":\"b\",\"panels\":[],\"note\":\"\xff\"}"),
        ("PATCH", device, b"{\"labels\":{\"a\":\"\xc0\xaf\"}}"),
        ("POST", silences, b"\xff\xfe{\x00}\x00"),
        ("PUT", "/api/v1/rules/%ff", b"{\"kind\":\"offline\"}"),
        ("GET", "/api/v1/devices/%ff", b""),
        ("GET", "/api/v1/devices/%c0%ae", b""),
    ];
    for (method, path, body) in cases {
        let (status, told) = daemon.request(method, path, &new, body);
        assert_eq!(status, 400, "{method} {path}: {told}");
    }
    assert_eq!(daemon.json("/api/v1/boards"), json!({ "boards": [] }));
    assert_eq!(daemon.json(&format!("{device}/commands"))["commands"], json!([]));
    // JSON is read whatever it is said to be; what is compressed, or no JSON lines, is not.
    for content_type in
        ["application/json", "text/plain", "text/html", "multipart/form-data", "x", ""]
    {
        let (status, told) =
            daemon.request("PATCH", device, &[("content-type", content_type)], b"{\"known\":true}");
        assert_eq!(status, 200, "{content_type}: {told}");
    }
    let line = b"{\"values\":{\"t\":1}}";
    let cases: [(&[(&str, &str)], u16); 8] = [
        (&[], 415),
        (&[("content-type", "application/json")], 415),
        (&[("content-type", "text/plain")], 415),
        (&[("content-type", "application/x-ndjson-not")], 415),
        (&[NDJSON, ("content-encoding", "br")], 415),
        (&[NDJSON, ("content-encoding", "gzip, gzip")], 415),
        (&[("content-type", "application/x-protobuf")], 400),
        (&[("content-type", "application/x-ndjson; charset=utf-8")], 200),
    ];
    for (headers, wanted) in cases {
        let (status, told) = daemon.request("POST", "/api/v1/ingest", headers, line);
        assert_eq!(status, wanted, "{headers:?}: {told}");
    }
    for line in [
        nested(10_000),
        format!("{{\"values\":{{\"t\":{}}}}}", nested(10_000)),
        "[\"d\",null,{},{\"t\":1}]".to_owned(),
        "{\"values\":{\"t\":1e999}}".to_owned(),
        "{\"values\":{\"t\":123456789012345678901234567890}}".to_owned(),
        "{\"values\":{\"t\":1},\"values\":{\"t\":2}}".to_owned(),
        "{\"time\":1e99,\"values\":{\"t\":1}}".to_owned(),
    ] {
        let (status, told) = daemon.request("POST", "/api/v1/ingest", &[NDJSON], line.as_bytes());
        let sent = &line[..line.len().min(60)];
        assert_eq!(status, 400, "{sent}: {told}");
    }
    let (status, told) = daemon.request(
        "POST",
        "/api/v1/ingest",
        &[NDJSON],
        b"{\"device\":\"\xff\",\"values\":{\"t\":1}}",
    );
    assert_eq!(status, 400, "{told}");
}

#[test]
fn no_request_costs_memory_or_an_error_of_the_daemon() {
    let daemon = Daemon::start(&[]);
    assert_eq!(post_lines(&daemon, &[json!({ "device": "d", "values": { "t": 1.5 } })]).0, 200);
    daemon.until("/api/v1/devices/d", 200);
    let before = daemon.memory_mib("VmHWM");
    let queries = [
        "a=1&".repeat(3000),
        "&".repeat(12_000),
        "=&".repeat(6000),
        format!("device={}", "d".repeat(12_000)),
        "device=d&".repeat(1200),
        format!("device={}", "?".repeat(12_000)),
        format!("device={}", "%7B".repeat(4000)),
        format!("device={}", "%7Ba,b%7D".repeat(1000)),
        format!("metric={}&device={}", "*a".repeat(3000), "**/".repeat(2000)),
        "device=%7B%7B*,?%7D,%5B!a%5D%7D&".repeat(350),
        "tag.a=b&".repeat(1500),
        format!("tag.{}=1", "a".repeat(12_000)),
        format!("limit={}", "9".repeat(12_000)),
        format!("limit=1&after={0}&before={0}", "9".repeat(20)),
        "limit=-1".to_owned(),
        "limit=1e3".to_owned(),
        format!("device=d&metric=t&from={0}&to={0}", i64::MIN),
        format!("device=d&metric=t&from={}&to={}&buckets=1", i64::MIN, i64::MAX),
        format!("device=d&metric=t&from={}&to={}&bucket=1ms", i64::MIN, i64::MAX),
        "device=d&metric=t&from=-99999999999999999d".to_owned(),
        "device=d&metric=t&bucket=9999999999999h".to_owned(),
        "device=d&metric=t&after=ffffffffffffffff-18446744073709551615".to_owned(),
        "%".repeat(12_000),
        "%ff=%ff&%00=%00".to_owned(),
        "wait_s=18446744073709551616".to_owned(),
        "max_hz=nan&max_points=1e9".to_owned(),
    ];
    let names = [
        "1",
        "18446744073709551616",
        "-1",
        "%00",
        "%25",
        "a%2fb",
        "%f0%9f%92%a9",
        &"9".repeat(9000),
    ];
    let bodies = [
        String::new(),
        nested(200_000),
        "{\"a\":".repeat(100_000),
        "\"".repeat(1000),
        "1e99999".to_owned(),
    ];
    for row in ROWS.iter().filter(|row| !STREAMS.contains(&row.path)) {
        let asked = queries.iter().map(|query| path_of(row, "d", query));
        let named = names.iter().filter(|_| row.path.contains('{'));
        for path in asked.chain(named.map(|name| path_of(row, name, ""))) {
            let (status, head, body) = daemon.exchange(row.method, &path, &[], b"{}");
            let at = format!("{} {}", row.method, &path[..path.len().min(150)]);
            assert!((200..500).contains(&status), "{at}: {status} {body}");
            check_guarded(&at, &head);
        }
        let path = path_of(row, "d", "");
        for body in bodies.iter().filter(|_| row.method != "GET") {
            let (status, _, told) = daemon.exchange(row.method, &path, &[], body.as_bytes());
            assert!((200..500).contains(&status), "{} {path}: {status} {told}", row.method);
        }
    }
    // More than the head of a request may have: the reader of heads refuses, or closes.
    for path in ["/api/v1/query?device=", "/", "/api/v1/devices/"] {
        let long =
            format!("GET {path}{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "a".repeat(100 << 10));
        let (status, ..) = raw(&daemon, long.as_bytes());
        assert!([0, 414, 431].contains(&status), "{path}: {status}");
    }
    let many =
        format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "a: b\r\n".repeat(1000));
    assert!([0, 431].contains(&raw(&daemon, many.as_bytes()).0));

    let grown = daemon.memory_mib("VmHWM") - before;
    assert!(grown < 100, "{grown} MiB for nothing");
    assert_eq!(daemon.get("/readyz").0, 200);
    assert_eq!(daemon.json("/api/v1/devices")["devices"].as_array().map(Vec::len), Some(1));
}
