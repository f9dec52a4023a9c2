//! Line protocol, as InfluxDB's clients send it: what enters, what is told of the rest, and who may.

use crate::daemon::Daemon;
use crate::store::{Reaction, Store};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};
use std::process::Command;
use tidegate::clock;
use tidegate::wire::{Compression, compress};

const V1: &str = "/write?db=x";
const V2: &str = "/api/v2/write?org=o&bucket=b";
const V3: &str = "/api/v3/write_lp?db=x";

fn write(daemon: &Daemon, path: &str, body: &[u8]) -> (u16, Json) {
    told(daemon.request("POST", path, &[], body))
}

fn told((status, body): (u16, String)) -> (u16, Json) {
    let json = if body.is_empty() { Json::Null } else { serde_json::from_str(&body).unwrap() };
    (status, json)
}

/// The samples of a series, oldest first, once there are so many.
fn samples(daemon: &Daemon, device: &str, metric: &str, count: usize) -> Json {
    let to = clock::now().0 + 60_000_000_000;
    let path = format!("/api/v1/query?device={device}&metric={metric}&from=0&to={to}");
    daemon.eventually(&path, |answer| answer["time"].as_array().is_some_and(|it| it.len() == count))
}

/// Issues a key that may reach these devices.
pub fn issue(daemon: &Daemon, scope: &str, devices: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(["token", "--listen", "127.0.0.1:0", "--state-dir"]).arg(daemon.state_dir.path());
    let name = format!("{scope}-{}", devices.replace('*', "any"));
    command.args(["issue", "--name", &name, "--scope", scope, "--device", devices]);
    let output = command.env("USER", "ana").env_remove("SUDO_USER").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn lines_enter_with_their_types_tags_and_nanoseconds_and_are_durable_when_answered() {
    let mut daemon = Daemon::start(&[]);
    let now = clock::now().0;
    let body = format!(
        "# what Telegraf sends\n\
         motor,device=pump-7,site=north temperature=71.5,speed=1480i,state=\"run\",on=true {now}\n\
         motor,device=pump-7,site=north temperature=-0.0 {}\n\
         cpu,host=gw-1,cpu=cpu0 usage_idle=99.5\n\
         telemetry,device=pump-7 level=7u {now}\n\
         plain value=1\n",
        now - 1
    );
    let (status, head, body) = daemon.exchange("POST", V2, &[], body.as_bytes());
    assert_eq!((status, body.as_str()), (204, ""), "{head}");
    assert!(head.contains("x-influxdb-version: v2."), "{head}");
    // It was answered: a kill takes nothing of it.
    daemon.kill();
    daemon.restart();
    let answer = samples(&daemon, "pump-7", "motor.temperature", 2);
    assert_eq!(answer["time"], json!([now - 1, now]));
    assert_eq!(answer["value"].to_string(), "[-0.0,71.5]");
    assert_eq!(answer["tags"], json!({"site": "north"}));
    assert_eq!(samples(&daemon, "pump-7", "motor.speed", 1)["value"], json!([1480]));
    assert_eq!(samples(&daemon, "pump-7", "motor.state", 1)["value"], json!(["run"]));
    assert_eq!(samples(&daemon, "pump-7", "motor.on", 1)["value"], json!([true]));
    assert_eq!(samples(&daemon, "pump-7", "level", 1)["value"], json!([7]));
    assert_eq!(samples(&daemon, "gw-1", "cpu.usage_idle", 1)["tags"], json!({"cpu": "cpu0"}));
    // Whoever sends a line without a device is its device.
    assert_eq!(samples(&daemon, "127.0.0.1", "plain.value", 1)["value"], json!([1.0]));
    let (_, metrics) = daemon.get("/metrics");
    assert!(!metrics.contains("tidegate_http_bodies_total{form=\"lines\"}"), "counted anew");
    assert_eq!(write(&daemon, V2, b"plain value=2").0, 204);
    let (_, metrics) = daemon.get("/metrics");
    assert!(metrics.contains("tidegate_http_bodies_total{form=\"lines\"} 1"), "{metrics}");
    daemon.stop_and_audit();
}

#[test]
fn the_device_and_the_bare_measurement_are_those_of_the_configuration() {
    let daemon = Daemon::start(&[
        "intake.lines.device_tags=serial,host",
        "intake.lines.bare_measurement=plant",
    ]);
    let body = b"plant,host=gw-1,serial=s7,device=d level=1\nm,host=gw-1 level=2\nm x=3\n";
    assert_eq!(write(&daemon, V2, body).0, 204);
    assert_eq!(samples(&daemon, "s7", "level", 1)["tags"], json!({"device": "d", "host": "gw-1"}));
    assert_eq!(samples(&daemon, "gw-1", "m.level", 1)["value"], json!([2.0]));
    assert_eq!(samples(&daemon, "127.0.0.1", "m.x", 1)["value"], json!([3.0]));
}

#[test]
fn times_are_in_the_precision_that_the_client_says_and_bodies_may_be_compressed() {
    let daemon = Daemon::start(&[]);
    let hour = clock::now().0 / 3_600_000_000_000;
    let (seconds, nanos) = (hour * 3600, hour * 3_600_000_000_000);
    let cases = [
        (V2, "", nanos),
        (V2, "&precision=ns", nanos),
        (V2, "&precision=us", seconds * 1_000_000),
        (V2, "&precision=ms", seconds * 1000),
        (V2, "&precision=s", seconds),
        (V1, "", nanos),
        (V1, "&precision=n", nanos),
        (V1, "&precision=u", seconds * 1_000_000),
        (V1, "&precision=ms", seconds * 1000),
        (V1, "&precision=s", seconds),
        (V1, "&precision=m", hour * 60),
        (V1, "&precision=h", hour),
        (V3, "", seconds),
        (V3, "", nanos),
        (V3, "&precision=auto", seconds * 1000),
        (V3, "&precision=nanosecond", nanos),
        (V3, "&precision=second", seconds),
    ];
    for (number, (path, precision, time)) in cases.into_iter().enumerate() {
        let body = format!("m,device=d v{number}=1i {time}");
        let zipped = compress(Compression::Gzip, 6, body.as_bytes());
        let (headers, body) = match number % 2 {
            0 => (&[][..], body.as_bytes()),
            _ => (&[("content-encoding", "gzip")][..], &*zipped),
        };
        let path = format!("{path}{precision}");
        let (status, answer) = daemon.request("POST", &path, headers, body);
        assert_eq!(status, 204, "{path}: {answer}");
    }
    for (number, case) in cases.iter().enumerate() {
        let answer = samples(&daemon, "d", &format!("m.v{number}"), 1);
        assert_eq!(answer["time"], json!([nanos]), "{case:?}");
    }
    for (path, precision) in [(V2, "m"), (V2, "nanosecond"), (V1, "d"), (V3, "h")] {
        let path = format!("{path}&precision={precision}");
        let (status, answer) = write(&daemon, &path, b"m,device=d w=1");
        assert_eq!(status, 400, "{path}");
        assert!(answer.to_string().contains("is none of"), "{answer}");
    }
    assert_eq!(daemon.get("/api/v1/query?device=d&metric=m.w").0, 404);
}

/// Faulty lines, and what is said of each.
const FAULTY: [(&str, &str); 24] = [
    ("m", "a space before the fields"),
    ("m,t f=1", "the key of a tag"),
    ("m,t= f=1", "the value of a tag"),
    ("m,=v f=1", "the key of a tag"),
    (",t=v f=1", "the measurement"),
    ("m f", "an equals sign after the key of a field"),
    ("m f=", "a value"),
    ("m f=1,", "the key of a field"),
    ("m f=NaN", "a value"),
    ("m f=inf", "a value"),
    ("m f=1e999", "not a finite number"),
    ("m f=0x10", "a value"),
    ("m f=9223372036854775808i", "beyond 64 bits"),
    ("m f=18446744073709551615u", "beyond 64 bits"),
    ("m f=1 1e9", "the time"),
    ("m f=1 9999999999999999999", "64 bits"),
    ("m f=1 0", "days older than its receipt"),
    ("m f=1 9000000000000000000", "ahead of its receipt"),
    ("m f=1,f=2", "given twice"),
    ("m,a=1,a=2 f=1", "a tag key is given twice"),
    ("m,device=a\u{7} f=1", "control"),
    ("m f=tru", "a value"),
    ("{\"device\":\"d\",\"values\":{\"t\":1}}", "an equals sign after the key of a tag"),
    // A text may have line feeds: this one ends nowhere, and takes no other line with it.
    ("m f=\"no end", "the quote that ends this text"),
];

#[test]
fn each_faulty_line_is_named_and_the_good_ones_enter() {
    let mut daemon = Daemon::start(&[]);
    let bad = 1 + FAULTY.len() as u64;
    let now = clock::now().0;
    // Every second line is good; one of the faulty ones is not even text.
    let mut body = Vec::new();
    for (number, (line, _)) in FAULTY.iter().enumerate() {
        body.extend_from_slice(
            format!("good,device=d n={number}i {}\n{line}\n", now - number as i64).as_bytes(),
        );
    }
    body.extend_from_slice(b"m\xff f=1\n");
    body.extend_from_slice(format!("good,device=d n=-1i {}", now - 1_000).as_bytes());
    let good = FAULTY.len() + 1;
    for (path, wanted) in [(V2, 422), (V1, 400), (V3, 400)] {
        let (status, answer) = write(&daemon, path, &body);
        assert_eq!(status, wanted, "{path}: {answer}");
        let message = match path {
            V2 => {
                assert_eq!(
                    (&answer["code"], &answer["line"]),
                    (&json!("unprocessable entity"), &json!(2))
                );
                answer["message"].as_str().unwrap()
            }
            _ => answer["error"].as_str().unwrap(),
        };
        if path == V3 {
            assert_eq!(message, "partial write of line protocol occurred");
            let told = answer["data"].as_array().unwrap();
            assert_eq!(told.len() as u64, bad);
            for (number, (line, what)) in FAULTY.iter().enumerate() {
                let told = &told[number];
                assert_eq!(told["line_number"], 2 * number + 2, "{line}");
                let why = told["error_message"].as_str().unwrap();
                assert!(why.contains(what), "{line}: {why}");
            }
        } else {
            let beginning =
                format!("partial write: {good} values entered, {bad} lines did not: line 2: ");
            assert!(message.starts_with(&beginning), "{message}");
            assert!(message.ends_with(", 46, 48, 49"), "{message}");
        }
    }
    // What has no good line says so, in the words that agents look for.
    for (path, key) in [(V1, "error"), (V2, "message")] {
        let (status, answer) = write(&daemon, path, b"m\n# only that\n");
        assert_eq!(status, 400, "{answer}");
        assert!(answer[key].as_str().unwrap().starts_with("unable to parse: "), "{answer}");
        assert_eq!(write(&daemon, path, b"").0, 400);
        assert_eq!(write(&daemon, path, b"\n# nothing\n").0, 400);
    }
    // Three times the same lines: the history has each once, the ledger counts all.
    let values = samples(&daemon, "d", "good.n", good)["value"].to_string();
    assert!(values.starts_with("[-1,23,22,") && values.ends_with(",1,0]"), "{values}");
    // All or nothing, where that is asked for.
    let path = format!("{V3}&accept_partial=false");
    let (status, answer) = write(&daemon, &path, b"whole,device=d n=1i\nm\n");
    assert_eq!((status, &answer["error"]), (400, &json!("parsing failed for write_lp endpoint")));
    assert_eq!(answer["data"][0]["line_number"], 2);
    assert_eq!(write(&daemon, &path, b"whole,device=d n=2i\n").0, 204);
    assert_eq!(samples(&daemon, "d", "whole.n", 1)["value"], json!([2]));
    let mistyped = format!("{V3}&accept_partial=no");
    let (status, answer) = write(&daemon, &mistyped, b"whole,device=d n=3i\n");
    assert_eq!(status, 400);
    assert!(answer.to_string().contains("is none of true and false"), "{answer}");
    let status = daemon.json("/api/v1/status");
    assert_eq!(status["ledger"]["accepted"], 3 * good + 1);
    assert_eq!(status["ledger"]["imbalance"], 0, "{status}");
    daemon.stop_and_audit();
}

#[test]
fn the_credentials_of_influxdbs_clients_are_keys_and_reach_what_the_key_does() {
    let mut daemon = Daemon::start(&[]);
    let all = issue(&daemon, "ingest", "*");
    let some = issue(&daemon, "ingest", "pump-*");
    let view = issue(&daemon, "view", "*");
    daemon.kill();
    daemon.restart();
    let basic = |key: &str| {
        let both = STANDARD.encode(format!("telegraf:{key}"));
        format!("Basic {both}")
    };
    let line = b"m,device=pump-1 f=1";
    for (path, header, status) in [
        (V2.to_owned(), Some(format!("Token {all}")), 204),
        (V2.to_owned(), Some(format!("Bearer {some}")), 204),
        (V2.to_owned(), Some(format!("Token telegraf:{all}")), 204),
        (V1.to_owned(), Some(basic(&all)), 204),
        (format!("{V1}&u=telegraf&p={all}"), None, 204),
        (V3.to_owned(), Some(format!("Token {all}")), 204),
        (V2.to_owned(), None, 401),
        (V2.to_owned(), Some("Token ".to_owned()), 401),
        (V2.to_owned(), Some("Token my-token".to_owned()), 401),
        (V1.to_owned(), Some(basic("wrong")), 401),
        (format!("{V1}&p=wrong"), None, 401),
        (V2.to_owned(), Some(format!("Token {view}")), 403),
        (V1.to_owned(), Some(basic(&view)), 403),
        // Only there: elsewhere a token is a bearer token.
        ("/api/v1/ingest".to_owned(), Some(format!("Token {all}")), 401),
        (format!("/api/v1/series?p={view}"), None, 401),
    ] {
        let headers: Vec<_> = header.iter().map(|it| ("authorization", it.as_str())).collect();
        let method = if path.contains("series") { "GET" } else { "POST" };
        let (got, head, body) = daemon.exchange(method, &path, &headers, line);
        assert_eq!(got, status, "{path} {header:?}: {body}");
        if got < 400 || path.starts_with("/api/v1/") {
            continue;
        }
        let answer: Json = serde_json::from_str(&body).unwrap();
        let code = if got == 401 { "unauthorized" } else { "forbidden" };
        match path.starts_with("/write") {
            true => assert!(answer["error"].is_string(), "{answer}"),
            false => assert_eq!(answer["code"], code, "{answer}"),
        }
        assert_eq!(head.contains("www-authenticate: bearer"), got == 401, "{head}");
    }
    // Some of the devices: a key enters what it reaches, and is told of the others.
    let token = format!("Token {some}");
    let headers = [("authorization", token.as_str())];
    let body = b"m,device=pump-2 f=1\nm,device=fan-1 f=1\nm f=1\n";
    let (status, answer) = told(daemon.request("POST", V2, &headers, body));
    assert_eq!((status, &answer["line"]), (422, &json!(2)), "{answer}");
    let message = answer["message"].as_str().unwrap();
    assert!(message.contains("line 2: your token does not reach the device fan-1"), "{message}");
    assert!(message.contains("line 3: "), "{message}");
    let (status, answer) = told(daemon.request("POST", V2, &headers, b"m,device=fan-1 f=1"));
    assert_eq!((status, &answer["code"]), (403, &json!("forbidden")), "{answer}");
    let (_, log) = daemon.stop_and_log();
    for key in [&all, &some, &view] {
        let secret = key.rsplit_once('_').unwrap().1;
        assert!(!log.iter().any(|line| line.contains(secret)), "{log:#?}");
    }
}

#[test]
fn what_is_too_much_is_refused_in_words_that_agents_act_on() {
    let daemon = Daemon::start(&[
        "limits.message_bytes=64 KiB",
        "limits.tables=100",
        "limits.batches_per_second=1",
    ]);
    let line = |number: usize| format!("m,device=d{number} f=1\n");
    // Agents that are told "too large" send half as many; those that hear of lines give them up.
    let body: String = (0..101).map(line).collect();
    let (status, answer) = write(&daemon, V2, body.as_bytes());
    assert_eq!((status, &answer["code"]), (413, &json!("request too large")), "{answer}");
    let message = answer["message"].as_str().unwrap();
    assert!(message.contains("100") && message.contains("send fewer lines"), "{message}");
    assert_eq!(daemon.get("/api/v1/devices/d0").0, 404, "nothing of it enters");
    let (status, answer) = write(&daemon, V1, &[b'x'; 65 << 10]);
    assert_eq!(status, 413, "{answer}");
    assert!(answer["error"].as_str().unwrap().contains("limits.message_bytes"), "{answer}");
    let body: String = (0..100).map(line).collect();
    assert_eq!(write(&daemon, V2, body.as_bytes()).0, 204);
    // Ten at once are a burst.
    let (status, head, answer) = (0..300)
        .map(|_| daemon.exchange("POST", V2, &[], b"m,device=d0 f=1"))
        .find(|(status, ..)| *status != 204)
        .unwrap();
    assert_eq!(status, 429, "{answer}");
    assert!(head.contains("\r\nretry-after: "), "{head}");
    let answer: Json = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["code"], "too many requests", "{answer}");
}

#[test]
fn a_daemon_that_takes_nothing_says_later_and_loses_nothing() {
    let store = Store::start(|_| Reaction::says(503, "later"));
    let mut daemon = Daemon::start(&[
        &format!("sinks.influx.0.url={}", store.url()),
        "sinks.influx.0.bucket=b",
        "spool.segment_size=64 KiB",
        "spool.size_max=1 MiB",
        "spool.reserve=0 B",
    ]);
    let mut accepted = 0;
    let (head, answer) = loop {
        // Random texts: each takes its place in the log.
        let text: String = (0..3000).map(|_| char::from(rand::random_range(b'a'..=b'z'))).collect();
        let line = format!("m,device=d note=\"{text}\"");
        let (status, head, answer) = daemon.exchange("POST", V2, &[], line.as_bytes());
        if status == 503 {
            break (head, answer);
        }
        assert_eq!(status, 204, "{answer}");
        accepted += 1;
        assert!(accepted < 10_000, "it takes any number");
    };
    assert!(head.contains("\r\nretry-after: "), "{head}");
    let answer: Json = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["code"], "unavailable", "{answer}");
    assert_eq!(daemon.json("/api/v1/status")["ledger"]["accepted"], accepted);
    daemon.stop_and_audit();
}

#[test]
fn clients_find_us_alive_and_ready() {
    let daemon = Daemon::start(&[]);
    for path in ["/ping", "/ping?verbose=true", "/api/v2/ping"] {
        for method in ["GET", "HEAD"] {
            let (status, head, body) = daemon.exchange(method, path, &[], b"");
            assert_eq!((status, body.as_str()), (204, ""), "{method} {path}");
            assert!(head.contains("x-influxdb-version: v2."), "{head}");
        }
    }
    let health = daemon.json("/health");
    assert_eq!((&health["status"], &health["name"]), (&json!("pass"), &json!("tidegate")));
    // Paths that InfluxDB has and we have not are said to be not there.
    for path in ["/api/v2/query", "/api/v2/signin"] {
        assert_eq!(daemon.request("POST", path, &[], b"").0, 404, "{path}");
    }
    assert_eq!(daemon.request("GET", "/api/v2/write", &[], b"").0, 405);
}
