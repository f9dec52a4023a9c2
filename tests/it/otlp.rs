//! OpenTelemetry's metrics: by its own SDK and exporter (`tests/neighbours/otlp.py`), and by plain requests.

use crate::daemon::{Daemon, PATIENCE};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use tidegate::clock;

const JSON: (&str, &str) = ("content-type", "application/json");
const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

/// The SDK, in a process of its own.
struct Sdk {
    child: Child,
    orders: ChildStdin,
    said: Receiver<String>,
}

impl Sdk {
    fn start(daemon: &Daemon, key: &str) -> Sdk {
        let root = env!("CARGO_MANIFEST_DIR");
        let interpreter = format!("{root}/.venv-neighbours/bin/python");
        let mut child = Command::new(&interpreter)
            .arg(format!("{root}/tests/neighbours/otlp.py"))
            .args([&format!("http://{}", daemon.address), key])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{interpreter}: {error}; run `make setup-tests`"));
        let orders = child.stdin.take().unwrap();
        let (tell, said) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        let complaints = BufReader::new(child.stderr.take().unwrap());
        let told = tell.clone();
        // The test may be over.
        std::thread::spawn(move || {
            out.lines().map_while(Result::ok).for_each(|line| tell.send(line).unwrap_or_default());
        });
        std::thread::spawn(move || {
            let lines = complaints.lines().map_while(Result::ok);
            lines.for_each(|line| told.send(line).unwrap_or_default());
        });
        Sdk { child, orders, said }
    }

    fn export(&mut self) {
        self.orders.write_all(b"export\n").unwrap();
    }

    /// Waits for a line with that in it.
    fn until(&self, wanted: &str) -> String {
        let mut before = Vec::new();
        loop {
            let line = self.said.recv_timeout(PATIENCE * 4);
            let line = line.unwrap_or_else(|error| panic!("no {wanted}, {error}: {before:#?}"));
            if line.contains(wanted) {
                return line;
            }
            before.push(line);
        }
    }

    /// What it exported, after the exporter has said that it succeeded.
    fn exported(&self) -> Vec<Json> {
        let exported: Json = serde_json::from_str(&self.until("\"succeeded\"")).unwrap();
        assert_eq!(exported["succeeded"], true, "{exported}");
        exported["values"].as_array().unwrap().clone()
    }
}

impl Drop for Sdk {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().unwrap();
    }
}

/// The series among all of them that a value of the export belongs to.
fn series_of<'a>(all: &'a Json, value: &Json) -> Option<&'a Json> {
    let [name, tags, le, ..] = value.as_array().unwrap().as_slice() else { panic!() };
    let mut wanted = json!({ "service.name": "press", "deployment.environment.name": "test" });
    wanted.as_object_mut().unwrap().extend(tags.as_object().unwrap().clone());
    let le = le.as_f64().or(le.as_str().map(|_| f64::INFINITY));
    let bound = |tags: &Json| tags["le"].as_str().map(|le| le.parse::<f64>().unwrap());
    all["series"].as_array().unwrap().iter().find(|series| {
        let mut rest = series["tags"].clone();
        rest.as_object_mut().unwrap().remove("le");
        let near = match (bound(&series["tags"]), le) {
            (Some(bound), Some(le)) => bound == le || (bound / le - 1.0).abs() < 1e-12,
            (bound, le) => bound == le,
        };
        series["metric"] == *name && rest == wanted && near
    })
}

/// Every value of the export is in the history, under its name, tags and time; bounds of buckets as the SDK
/// computes them.
fn is_found(daemon: &Daemon, values: &[Json]) {
    let series = daemon.eventually("/api/v1/series?device=press-7", |answer| {
        let missing = values.iter().find(|value| series_of(answer, value).is_none());
        missing.inspect(|value| println!("no series yet of {value}")).is_none()
    });
    let mut samples: BTreeMap<String, Json> = BTreeMap::new();
    for value in values {
        let [name, _, _, time, number] = value.as_array().unwrap().as_slice() else { panic!() };
        let found = series_of(&series, value).unwrap();
        let mut query = format!("/api/v1/query?device=press-7&metric={}", name.as_str().unwrap());
        for (key, value) in found["tags"].as_object().unwrap() {
            query += &format!("&tag.{key}={}", value.as_str().unwrap().replace('+', "%2B"));
        }
        let has = |answer: &Json| {
            let mut times = answer["time"].as_array().unwrap().iter();
            times.position(|it| it == time).map(|at| answer["value"][at].clone())
        };
        let known = samples.get(&query).and_then(has);
        let stored = known.unwrap_or_else(|| {
            let answer = daemon.eventually(&query, |answer| has(answer).is_some());
            let stored = has(&answer).unwrap();
            samples.insert(query, answer);
            stored
        });
        let bits = |number: &Json| number.as_f64().unwrap().to_bits();
        assert_eq!(bits(&stored), bits(number), "{value}");
        assert_eq!(stored.is_i64(), number.is_i64(), "{value}: {stored}");
    }
}

#[test]
fn what_the_sdk_exports_is_found_again_and_it_waits_for_a_daemon_that_is_away() {
    let mut daemon = Daemon::start(&[]);
    let mut sdk = Sdk::start(&daemon, "");
    sdk.export();
    let first = sdk.exported();
    assert!(first.len() > 30, "{first:#?}");
    is_found(&daemon, &first);

    daemon.kill();
    sdk.export();
    sdk.until("Transient error");
    daemon.restart();
    let second = sdk.exported();
    is_found(&daemon, &second);
    is_found(&daemon, &first);
    let (_, metrics) = daemon.get("/metrics");
    assert!(metrics.contains("tidegate_http_bodies_total{form=\"otlp\"} 1\n"), "{metrics}");
    drop(sdk);
    daemon.stop_and_audit();
}

fn request(points: &[Json]) -> String {
    let metrics = json!([{ "name": "t", "unit": "Cel", "gauge": { "dataPoints": points } }]);
    let attributes = json!([{ "key": "host.name", "value": { "stringValue": "plant-3" } }]);
    let resource = json!({ "resource": { "attributes": attributes }, "scopeMetrics": [{ "metrics": metrics }] });
    json!({ "resourceMetrics": [resource] }).to_string()
}

#[test]
fn good_points_enter_and_faulty_ones_are_named_in_partial_success() {
    let mut daemon = Daemon::start(&[]);
    let post = |body: &str| {
        let (status, body) = daemon.request("POST", "/v1/metrics", &[JSON], body.as_bytes());
        (
            status,
            serde_json::from_str::<Json>(&body).unwrap_or_else(|error| panic!("{error}: {body}")),
        )
    };
    let now = clock::now().0;
    let good =
        |value: f64, time: i64| json!({ "asDouble": value, "timeUnixNano": time.to_string() });
    assert_eq!(post(&request(&[good(71.5, now - 1)])), (200, json!({})));
    assert_eq!(post("{}"), (200, json!({})), "nothing to say is no fault");
    let gone = json!({ "flags": 1, "timeUnixNano": now });
    assert_eq!(post(&request(&[gone])), (200, json!({})));

    let points = [
        good(72.25, now),
        json!({ "timeUnixNano": now }),
        good(1.0, 1),
        json!({ "asDouble": "NaN" }),
    ];
    let (status, answer) = post(&request(&points));
    assert_eq!((status, &answer["partialSuccess"]["rejectedDataPoints"]), (200, &json!("3")));
    let message = answer["partialSuccess"]["errorMessage"].as_str().unwrap();
    let at = "resource_metrics[0].scope_metrics[0].metrics[0].data_points";
    for fault in [
        "[1]: the data point has no value; ",
        "[2]: the time is ",
        "[3]: t: the value is not a finite",
    ] {
        assert!(message.contains(&format!("{at}{fault}")), "{message}");
    }
    daemon.eventually("/api/v1/query?device=plant-3&metric=t&from=-1h", |answer| {
        answer["value"] == json!([71.5, 72.25]) && answer["unit"] == "Cel"
    });
    // Those that the message does not list are counted as well.
    let mut many = vec![good(73.0, now + 1)];
    many.extend(vec![json!({ "timeUnixNano": now }); 150]);
    let (status, answer) = post(&request(&many));
    assert_eq!((status, &answer["partialSuccess"]["rejectedDataPoints"]), (200, &json!("150")));
    let message = answer["partialSuccess"]["errorMessage"].as_str().unwrap();
    assert!(message.ends_with("; and 140 more"), "{message}");
    // What nothing enters of is an error, which exporters log.
    let (status, answer) = post(&request(&points[1..2]));
    assert_eq!((status, &answer["code"]), (400, &json!(3)), "{answer}");
    for body in ["", "[]", "{\"resourceMetrics\":7}"] {
        assert_eq!(post(body).0, 400, "{body}");
    }

    // Protobuf is answered as protobuf.
    let (status, head, body) = daemon.exchange("POST", "/v1/metrics", &[PROTOBUF], b"");
    assert_eq!((status, body.as_str()), (200, ""));
    assert!(head.to_lowercase().contains("content-type: application/x-protobuf"), "{head}");
    let (status, head, body) = daemon.exchange("POST", "/v1/metrics", &[PROTOBUF], b"\xff");
    assert_eq!(status, 400);
    assert!(head.to_lowercase().contains("content-type: application/x-protobuf"), "{head}");
    assert!(body.contains("not a valid protobuf ExportMetricsServiceRequest"), "{body}");
    let (status, _) = daemon.request("POST", "/v1/metrics", &[("content-type", "text/plain")], b"");
    assert_eq!(status, 415);

    let (_, metrics) = daemon.get("/metrics");
    assert!(
        metrics.contains("tidegate_values_left_out_total{reason=\"no_value\"} 1\n"),
        "{metrics}"
    );
    daemon.stop_and_audit();
}

#[test]
fn who_sends_too_much_is_told_when_to_come_again() {
    let daemon = Daemon::start(&["limits.batches_per_second=1"]);
    let body = request(&[json!({ "asInt": "1" })]);
    let (head, answer) = (0..100)
        .find_map(|_| {
            let (status, head, answer) =
                daemon.exchange("POST", "/v1/metrics", &[JSON], body.as_bytes());
            assert!([200, 429].contains(&status), "{status} {answer}");
            (status == 429).then_some((head, answer))
        })
        .unwrap();
    assert!(head.to_lowercase().contains("retry-after: "), "{head}");
    let answer: Json = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["code"], 8, "{answer}");
}
