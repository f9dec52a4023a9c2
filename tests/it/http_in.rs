//! Batches by HTTP, and what reads them back.

use crate::client::{reading, reading_at};
use crate::daemon::Daemon;
use serde_json::{Value, json};
use tidegate::clock;
use tidegate::decode;
use tidegate::wire::{Compression, compress};

const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");
const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

fn post(daemon: &Daemon, query: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, Value) {
    let (status, answer) = daemon.request("POST", &format!("/api/v1/ingest{query}"), headers, body);
    (status, serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}")))
}

/// The `Batch` inside an encoded `Upstream`.
fn batch_bytes(upstream: &[u8]) -> &[u8] {
    let decode::Upstream::Batch(batch) = decode::upstream(upstream).unwrap() else { panic!() };
    batch
}

#[test]
fn lines_enter_and_are_read_back_with_their_types_and_units() {
    let daemon = Daemon::start(&[]);
    let now = clock::now().0;
    let lines = format!(
        "{{\"device\":\"pump-7\",\"time\":{},\"tags\":{{\"site\":\"a\"}},\"values\":{{\"motor.temperature\":71.5,\"running\":true,\"starts\":1042,\"state\":\"idle\"}},\"units\":{{\"motor.temperature\":\"°C\"}}}}\n\
         {{\"device\":\"pump-7\",\"time\":{},\"tags\":{{\"site\":\"a\"}},\"values\":{{\"motor.temperature\":72.25}}}}\n",
        now - 1_000_000_000,
        now
    );
    let (status, answer) = post(&daemon, "", &[NDJSON], lines.as_bytes());
    assert_eq!((status, &answer["accepted"]), (200, &json!(5)), "{answer}");

    let query = "/api/v1/query?device=pump-7&metric=motor.temperature&from=-1h&to=%2B1m";
    let query = query.replace("%2B1m", "now");
    let answer = daemon.eventually(&query, |answer| answer["value"] == json!([71.5, 72.25]));
    assert_eq!(answer["time"], json!([now - 1_000_000_000, now]));
    assert_eq!(answer["unit"], "°C");
    assert_eq!(answer["tags"], json!({"site": "a"}));
    let series = daemon.json("/api/v1/series?device=pump-*");
    let types: Vec<_> = series["series"]
        .as_array()
        .unwrap()
        .iter()
        .map(|series| (series["metric"].as_str().unwrap(), series["type"].as_str().unwrap()))
        .collect();
    for expected in
        [("motor.temperature", "float"), ("running", "bool"), ("starts", "int"), ("state", "text")]
    {
        assert!(types.contains(&expected), "{types:?}");
    }
    daemon.eventually("/api/v1/devices/pump-7", |device| {
        device["series"] == 4 && device["online"] == true
    });
    assert_eq!(daemon.get("/api/v1/devices/nobody").0, 404);
}

#[test]
fn good_lines_enter_and_bad_ones_are_named() {
    let daemon = Daemon::start(&[]);
    let body = "{\"device\":\"a\",\"values\":{\"t\":1.5}}\n\
                this is not JSON\n\
                {\"device\":\"a\\u0007\",\"values\":{\"t\":1}}\n\
                {\"device\":\"a\",\"time\":\"1970-01-01T00:00:00Z\",\"values\":{\"t\":1}}\n\
                {\"device\":\"a\",\"values\":{\"u\":2.5}}\n";
    let (status, answer) = post(&daemon, "", &[NDJSON], body.as_bytes());
    assert_eq!((status, &answer["accepted"]), (422, &json!(2)), "{answer}");
    let refused: Vec<_> = answer["refused"]
        .as_array()
        .unwrap()
        .iter()
        .map(|refused| (refused["line"].as_u64().unwrap(), refused["code"].as_str().unwrap()))
        .collect();
    assert_eq!(refused, [(2, "MALFORMED"), (3, "BAD_NAME"), (4, "TIME_TOO_OLD")]);
    let (status, answer) = post(&daemon, "", &[NDJSON], b"nothing here is JSON\n");
    assert_eq!(status, 400, "{answer}");
}

#[test]
fn a_protobuf_batch_enters_once_however_often_it_is_sent() {
    let daemon = Daemon::start(&[]);
    let message = decode::encode(&reading("boiler", "t", 80.5), 3);
    let body = batch_bytes(&message);
    let query = "?client=curl&session=77";
    assert_eq!(post(&daemon, query, &[PROTOBUF], body).1["accepted"], 1);
    let (status, answer) = post(&daemon, query, &[PROTOBUF], body);
    assert_eq!((status, &answer["duplicate"]), (200, &json!(true)));
    let zipped = compress(Compression::Gzip, 6, body);
    let (_, answer) = post(&daemon, query, &[PROTOBUF, ("content-encoding", "gzip")], &zipped);
    assert_eq!(answer["duplicate"], true);
    // Answers go out before the counts of their group are shown.
    let status = daemon.eventually("/api/v1/status", |status| status["ledger"]["duplicates"] == 2);
    assert_eq!(status["ledger"]["accepted"], 1);
    // Without a session nothing is recognised: each request enters.
    assert_eq!(post(&daemon, "", &[PROTOBUF], body).1["accepted"], 1);
    assert_eq!(post(&daemon, "", &[PROTOBUF], body).1["accepted"], 1);
}

#[test]
fn a_fault_in_a_batch_is_named_with_its_place() {
    let daemon = Daemon::start(&[]);
    let message = decode::encode(&reading_at("d", "t", 1.0, 1), 1);
    let (status, answer) = post(&daemon, "", &[PROTOBUF], batch_bytes(&message));
    assert_eq!(status, 422);
    assert_eq!(answer["refused"][0]["code"], "TIME_TOO_OLD");
    assert_eq!(answer["refused"][0]["at"]["row"], 0);
    let (status, answer) = post(&daemon, "", &[PROTOBUF], b"\xff\xff");
    assert_eq!((status, &answer["refused"][0]["code"]), (400, &json!("MALFORMED")));
}

#[test]
fn what_can_not_be_read_is_refused_with_the_right_status() {
    let daemon = Daemon::start(&["limits.message_bytes=64 KiB"]);
    let too_large = vec![b'x'; 65 << 10];
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a [u8], u16);
    let refusals: [Case<'_>; 5] = [
        (&[], b"{}", 415),
        (&[("content-type", "text/plain")], b"{}", 415),
        (&[NDJSON, ("content-encoding", "br")], b"{}", 415),
        (&[NDJSON], &too_large, 413),
        (&[NDJSON, ("content-encoding", "gzip")], b"\x1f\x8bnot gzip", 400),
    ];
    for (headers, body, expected) in refusals {
        let (status, answer) = daemon.request("POST", "/api/v1/ingest", headers, body);
        assert_eq!(status, expected, "{headers:?}: {answer}");
    }
    assert_eq!(daemon.request("DELETE", "/api/v1/ingest", &[], b"").0, 405);
    assert_eq!(daemon.get("/api/v1/nothing").0, 404);
    let (status, problem) = daemon.get("/api/v1/query?device=x&metric=y&from=yesterday");
    assert_eq!(status, 400);
    let problem: Value = serde_json::from_str(&problem).unwrap();
    assert!(problem["detail"].as_str().unwrap().contains("yesterday"));
    assert_eq!(daemon.get("/api/v1/query?device=x&metric=y").0, 404);
}

#[test]
fn buckets_and_csv_tell_the_same_as_the_samples() {
    let daemon = Daemon::start(&[]);
    let second = 1_000_000_000;
    let start = clock::now().0 / (60 * second) * (60 * second) - 120 * second;
    let lines: String = (0..60)
        .map(|i| {
            format!(
                "{{\"device\":\"m\",\"time\":{},\"values\":{{\"p\":{i}.5}}}}\n",
                start + i * second
            )
        })
        .collect();
    assert_eq!(post(&daemon, "", &[NDJSON], lines.as_bytes()).0, 200);
    let range = format!("device=m&metric=p&from={start}&to={}", start + 60 * second);
    // On disk, and in the history a moment later.
    let answer = daemon.eventually(&format!("/api/v1/query?{range}&bucket=10s"), |answer| {
        answer["count"] == json!([10, 10, 10, 10, 10, 10])
    });
    assert_eq!(answer["min"][1], 10.5);
    assert_eq!(answer["max"][1], 19.5);
    assert_eq!(answer["avg"][1], 15.0);
    assert_eq!(answer["last"][5], 59.5);
    assert_eq!(answer["time"][0], start);
    let few = daemon.json(&format!("/api/v1/query?{range}&buckets=7"));
    assert!(few["time"].as_array().unwrap().len() <= 7);
    let in_ms = daemon.json(&format!("/api/v1/query?{range}&time=ms"));
    assert_eq!(in_ms["time"][1], (start + second) / 1_000_000);
    let (_, csv) = daemon.get(&format!("/api/v1/query?{range}&format=csv"));
    assert_eq!(csv.lines().count(), 61);
    assert_eq!(csv.lines().nth(2).unwrap(), format!("{},1.5", start + second));
}
