//! The read side of Prometheus, asked for too much, by who may not see everything, and by who leaves.

use crate::daemon::{Daemon, PATIENCE};
use crate::promql::{NDJSON, encoded};
use serde_json::{Value, json};
use std::io::Write as _;
use std::net::TcpStream;
use tidegate::clock;

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

#[test]
fn a_viewer_sees_their_devices_only() {
    let directory = tempfile::tempdir().unwrap();
    let issue = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(["token", "--listen", "127.0.0.1:0", "--state-dir"]).arg(directory.path());
        let issued = command.arg("issue").args(arguments).output().unwrap();
        assert!(issued.status.success(), "{issued:?}");
        format!("Bearer {}", String::from_utf8(issued.stdout).unwrap().trim())
    };
    let root = issue(&["--name", "root", "--scope", "admin"]);
    let ana = issue(&["--name", "ana", "--scope", "view", "--device", "pump-*"]);
    let daemon = Daemon::start_in(directory, &[]);
    let ask = |bearer: &str, path: &str| {
        let path = format!("/prom/api/v1/{path}");
        let (status, body) = daemon.request("GET", &path, &[("authorization", bearer)], b"");
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str::<Value>(&body).unwrap()["data"].clone()
    };
    for device in ["pump-1", "fan-1"] {
        let line =
            json!({"device": device, "tags": {"of": device}, "values": {device: 1, "runs": true}});
        let headers = [NDJSON, ("authorization", root.as_str())];
        let line = line.to_string();
        let (status, answer) = daemon.request("POST", "/api/v1/ingest", &headers, line.as_bytes());
        assert_eq!(status, 200, "{answer}");
    }
    let deadline = clock::monotonic() + PATIENCE;
    while ask(&root, "query?query=count(runs)")["result"][0]["value"][1] != "2" {
        assert!(clock::monotonic() < deadline, "the history does not have both");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    for path in [
        "query?query={__name__!=%22%22}",
        "query?query=fan_1%20or%20runs",
        "query?query=%7B%22fan-1%22%7D",
        "query_range?query=sum%20by(device)(runs)&start=0&end=1&step=1",
        "series?match[]={__name__!=%22%22}",
        "labels",
        "label/device/values",
        "label/__name__/values",
        "label/of/values",
        "metadata",
    ] {
        let told = ask(&ana, path).to_string();
        assert!(!told.contains("fan-1"), "{path}: {told}");
        // Not because it tells of nobody.
        let empty = ["query?query=fan_1", "query?query=%7B", "query_range"];
        let told = ask(&root, path).to_string();
        let expected = told.contains("fan-1") || empty.iter().any(|it| path.starts_with(it));
        assert!(expected || path == "labels", "{path}: {told}");
    }
    assert_eq!(ask(&ana, "label/device/values"), json!(["pump-1"]));
    // No more than is asked for, of what there was in a range.
    assert_eq!(ask(&root, "label/device/values?limit=1"), json!(["fan-1"]));
    assert_eq!(ask(&root, "labels?limit=2"), json!(["__name__", "device"]));
    assert_eq!(ask(&root, "series?match[]=runs&limit=1").as_array().map(Vec::len), Some(1));
    assert_eq!(ask(&root, "metadata?limit=2").as_object().map(|it| it.len()), Some(2));
    assert_eq!(ask(&root, "label/device/values?start=0&end=1"), json!([]));
    let count = ask(&ana, "query?query=count(runs)");
    assert_eq!(count["result"][0]["value"][1], "1");
}

#[test]
fn what_is_hostile_or_too_much_is_refused_and_the_daemon_lives() {
    let daemon = Daemon::start(&[]);
    let refused = |query: &str| {
        let body = format!("query={}", encoded(query));
        let (status, answer) =
            daemon.request("POST", "/prom/api/v1/query", &[FORM], body.as_bytes());
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["status"], "error", "{query:.40}");
        (status, answer["errorType"].to_string(), answer["error"].to_string())
    };
    for (query, expected) in [
        ("(".repeat(10_000), "nested deeper"),
        ("-".repeat(10_000), "nested deeper"),
        ("1+".repeat(8_000) + "1", "nested deeper"),
        ("a".repeat(20_000), "20000 bytes"),
        ("a[99999999999999999999999]".to_owned(), "out of range"),
        ("a offset 1e30".to_owned(), "out of range"),
        ("a{b=~\"((a{900}){900}){900}\"}".to_owned(), "larger than"),
        ("max_over_time(rate(a[1m])[1h:])".to_owned(), "subqueries"),
        ("holt_winters(a[1m], 1, 1)".to_owned(), "not available here"),
        ("\u{0}".to_owned(), "unexpected character"),
    ] {
        let (status, kind, error) = refused(&query);
        assert_eq!((status, kind.as_str()), (400, "\"bad_data\""), "{query:.40}");
        assert!(error.contains(expected), "{query:.40}: {error}");
    }
    let answer = |path: &str| {
        let (status, body) = daemon.get(&format!("/prom/api/v1/{path}"));
        let answer: Value = serde_json::from_str(&body).unwrap();
        (status, answer["errorType"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(answer("query?query=a&timeout=0s"), (503, "timeout".to_owned()));
    assert_eq!(answer("query?query=a&timeout=soon"), (400, "bad_data".to_owned()));
    assert_eq!(answer("labels?limit=many"), (400, "bad_data".to_owned()));
    let body = vec![b'a'; 1 << 20];
    assert_eq!(daemon.request("POST", "/prom/api/v1/query", &[FORM], &body).0, 413);
    assert_eq!(daemon.get("/prom/api/v1/rules").0, 404);
    assert_eq!(daemon.get("/healthz").0, 200);
}

/// Who leaves while their query runs costs nothing more: the others get their turn at once.
#[test]
fn a_query_ends_when_its_asker_leaves() {
    let daemon = Daemon::start(&[]);
    let begin = clock::now().0 - 3_000_000_000_000;
    for part in 0..20 {
        let lines: Vec<_> = (0..5000_i64)
            .map(|row| {
                let time = begin + (part * 5000 + row) * 20_000_000;
                json!({"device": "d", "time": time, "values": {"a": row}}).to_string()
            })
            .collect();
        let (status, answer) =
            daemon.request("POST", "/api/v1/ingest", &[NDJSON], lines.join("\n").as_bytes());
        assert_eq!(status, 200, "{answer}");
    }
    daemon.eventually("/prom/api/v1/query?query=count_over_time(a[1d])", |answer| {
        answer["data"]["result"][0]["value"][1] == "100000"
    });
    // 100,000 samples sorted at each of 11,000 instants: minutes.
    let start = begin / 1_000_000_000 + 2100;
    let range = format!("start={start}&end={}&step=0.01", start + 109);
    let query = encoded("quantile_over_time(0.5, a[1d])");
    let path = format!("/prom/api/v1/query_range?query={query}&{range}");
    let asking: Vec<_> = (0..6)
        .map(|_| {
            let mut socket = TcpStream::connect(daemon.address).unwrap();
            let head = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", daemon.address);
            socket.write_all(head.as_bytes()).unwrap();
            socket
        })
        .collect();
    // They have the places: another's question has to wait.
    let late = "/prom/api/v1/query?query=1";
    let busy = |timeout| {
        let socket = TcpStream::connect(daemon.address).unwrap();
        socket.set_read_timeout(Some(timeout)).unwrap();
        (&socket)
            .write_all(
                format!("GET {late} HTTP/1.1\r\nhost: {}\r\n\r\n", daemon.address).as_bytes(),
            )
            .unwrap();
        std::io::Read::read(&mut &socket, &mut [0; 16]).is_err()
    };
    let deadline = clock::monotonic() + PATIENCE;
    while !busy(std::time::Duration::from_millis(500)) {
        assert!(clock::monotonic() < deadline, "the queries do not keep their places");
    }
    let before = clock::monotonic();
    drop(asking);
    let (status, body) = daemon.get(late);
    assert_eq!(status, 200, "{body}");
    // Each of the six would have had its thirty seconds, two at a time.
    assert!(before.elapsed() < std::time::Duration::from_secs(40), "{:?}", before.elapsed());
}
