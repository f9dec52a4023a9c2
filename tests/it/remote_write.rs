//! Prometheus' remote write: by Debian's Prometheus, and by requests of our own.

use crate::daemon::{Daemon, PATIENCE};
use crate::port::Port;
use serde_json::Value as Json;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use tidegate::clock;

/// A Prometheus that scrapes the daemon and writes to it.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    _held: Port,
    _directory: tempfile::TempDir,
}

impl Prometheus {
    fn start(daemon: &Daemon) -> Prometheus {
        let directory = tempfile::tempdir().unwrap();
        let held = Port::hold();
        let address = held.address;
        let target = daemon.address;
        let configuration = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\n\
             scrape_configs:\n\
             - job_name: tidegate\n  static_configs: [{{ targets: ['{target}'], labels: {{ device: press-7 }} }}]\n\
             - job_name: self\n  static_configs: [{{ targets: ['{address}'] }}]\n\
             remote_write:\n\
             - url: http://{target}/api/v1/prom/write\n  \
               queue_config: {{ batch_send_deadline: 500ms, max_backoff: 1s }}\n"
        );
        let file = directory.path().join("prometheus.yml");
        std::fs::File::create(&file).unwrap().write_all(configuration.as_bytes()).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(["--log.level=warn"])
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("prometheus: {error}; run `make setup-tests`"));
        Prometheus { child, address, _held: held, _directory: directory }
    }

    /// All samples of a metric's series that it has itself: labels, and times in ms with texts of values.
    fn samples(&self, metric: &str) -> Vec<(Json, Vec<(i64, String)>)> {
        let path = format!("/api/v1/query?query={metric}%5B1h%5D");
        let (status, _, body) = crate::daemon::exchange(self.address, "GET", &path, &[], b"");
        assert_eq!(status, 200, "{body}");
        let answer: Json = serde_json::from_str(&body).unwrap();
        let series = answer["data"]["result"].as_array().unwrap().iter();
        let of = |series: &Json| {
            let values = series["values"].as_array().unwrap().iter().map(|pair| {
                let millis = (pair[0].as_f64().unwrap() * 1000.0).round();
                (millis as i64, pair[1].as_str().unwrap().to_owned())
            });
            (series["metric"].clone(), values.collect())
        };
        series.map(of).collect()
    }

    /// Waits until it has so many samples of each series of a metric.
    fn until(&self, metric: &str, samples: usize) {
        let deadline = clock::monotonic() + PATIENCE * 2;
        loop {
            // It may not listen yet.
            if std::net::TcpStream::connect(self.address).is_ok() {
                let series = self.samples(metric);
                if !series.is_empty() && series.iter().all(|(_, values)| values.len() >= samples) {
                    return;
                }
            }
            assert!(clock::monotonic() < deadline, "Prometheus has no {samples} of {metric}");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().unwrap();
    }
}

/// Every sample that Prometheus has of the metric is in the daemon's history, bit for bit; gives how many.
fn is_found(daemon: &Daemon, prometheus: &Prometheus, metric: &str) -> usize {
    let mut found = 0;
    for (labels, samples) in prometheus.samples(metric) {
        let label = |name: &str| labels[name].as_str().unwrap_or_default();
        let device = if label("device").is_empty() { label("instance") } else { label("device") };
        let mut query = format!("/api/v1/query?device={device}&metric={metric}&from=-1h");
        for (name, value) in labels.as_object().unwrap() {
            let is_tag = name != "__name__" && value != device;
            if is_tag {
                let value = value
                    .as_str()
                    .unwrap()
                    .replace('%', "%25")
                    .replace('+', "%2B")
                    .replace(' ', "%20");
                query += &format!("&tag.{name}={}", value.replace('&', "%26").replace('"', "%22"));
            }
        }
        let samples: Vec<_> = samples
            .iter()
            .map(|(millis, text)| (millis * 1_000_000, text.parse::<f64>().unwrap()))
            .filter(|(_, value)| value.is_finite())
            .collect();
        let missing = |answer: &Json| {
            let (times, values) = (answer["time"].as_array().unwrap(), &answer["value"]);
            let stored: std::collections::BTreeMap<_, _> = times
                .iter()
                .enumerate()
                .map(|(at, time)| (time.as_i64().unwrap(), values[at].as_f64().unwrap().to_bits()))
                .collect();
            samples
                .iter()
                .filter(|(time, value)| stored.get(time) != Some(&value.to_bits()))
                .count()
        };
        let deadline = clock::monotonic() + PATIENCE * 2;
        loop {
            let (status, body) = daemon.get(&query);
            let answer: Json = serde_json::from_str(&body).unwrap();
            if status == 200 && missing(&answer) == 0 {
                break;
            }
            assert!(clock::monotonic() < deadline, "{labels}: {samples:?} are not in {body}");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        found += samples.len();
    }
    found
}

#[test]
fn what_prometheus_writes_is_found_again_bit_for_bit_also_after_kill_nine() {
    let mut daemon = Daemon::start(&[]);
    let prometheus = Prometheus::start(&daemon);
    prometheus.until("tidegate_receipt_seconds_count", 2);
    let before = prometheus.samples("up")[0].1.len();
    daemon.kill();
    // It goes on scraping itself meanwhile, and finds the daemon gone: that ends its series.
    prometheus.until("up", before + 3);
    daemon.restart();
    let metric = "tidegate_http_bodies_total";
    let deadline = clock::monotonic() + PATIENCE * 2;
    while prometheus.samples(metric).is_empty() {
        assert!(clock::monotonic() < deadline, "Prometheus never wrote after the restart");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    for (metric, least) in [
        ("up", 2 * (before + 3)),
        ("scrape_duration_seconds", 2 * (before + 3)),
        ("prometheus_http_request_duration_seconds_bucket", 20),
        ("go_gc_duration_seconds", 10),
        ("tidegate_receipt_seconds_bucket", 3),
        ("tidegate_receipt_seconds_count", 3),
    ] {
        let found = is_found(&daemon, &prometheus, metric);
        assert!(found >= least, "{metric}: {found} samples, not {least}");
    }
    let deadline = clock::monotonic() + PATIENCE * 2;
    let metrics = loop {
        let metrics = daemon.get("/metrics").1;
        let left_out =
            metrics.lines().find(|line| line.contains("left_out_total{reason=\"no_value\"}"));
        if left_out.is_some_and(|line| !line.ends_with(" 0")) {
            break metrics;
        }
        assert!(clock::monotonic() < deadline, "no staleness markers: {metrics}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    };
    assert!(!metrics.contains("tidegate_batches_refused_total{protocol=\"http\""), "{metrics}");
    drop(prometheus);
    daemon.stop_and_audit();
}

const V1: (&str, &str) = ("content-type", "application/x-protobuf");
const V2: (&str, &str) =
    ("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request");
const SNAPPY: (&str, &str) = ("content-encoding", "snappy");

fn delimited(tag: u8, inner: &[u8]) -> Vec<u8> {
    let mut message = vec![tag << 3 | 2, u8::try_from(inner.len()).unwrap()];
    message.extend_from_slice(inner);
    message
}

fn sample(value: f64, millis: i64) -> Vec<u8> {
    let mut message = vec![1 << 3 | 1];
    message.extend_from_slice(&value.to_le_bytes());
    message.push(2 << 3);
    let mut rest = millis.cast_unsigned();
    while rest >= 0x80 {
        message.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    message.push(rest as u8);
    delimited(2, &message)
}

/// A series of version 1.
fn first(labels: &[(&str, &str)], samples: &[Vec<u8>]) -> Vec<u8> {
    let labels = labels.iter().map(|(name, value)| {
        delimited(1, &[delimited(1, name.as_bytes()), delimited(2, value.as_bytes())].concat())
    });
    delimited(1, &[labels.collect::<Vec<_>>().concat(), samples.concat()].concat())
}

fn post(daemon: &Daemon, content_type: (&str, &str), message: &[u8]) -> (u16, String, String) {
    let body = snap::raw::Encoder::new().compress_vec(message).unwrap();
    let (status, head, body) =
        daemon.exchange("POST", "/api/v1/prom/write", &[content_type, SNAPPY], &body);
    (status, head.to_lowercase(), body)
}

#[test]
fn good_samples_enter_and_faulty_ones_are_named() {
    let mut daemon = Daemon::start(&[]);
    let now = clock::now().0 / 1_000_000;
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    let body = first(
        &[("__name__", "t"), ("instance", "a:1")],
        &[sample(0.1, now - 1), sample(stale, now)],
    );
    let (status, head, _) = post(&daemon, V1, &body);
    assert_eq!(status, 204, "{head}");
    assert!(!head.contains("x-prometheus-remote-write"), "{head}");
    assert_eq!(post(&daemon, V1, b"").0, 204, "metadata only");
    let ended = first(&[("__name__", "t"), ("instance", "a:1")], &[sample(stale, now)]);
    assert_eq!(post(&daemon, V1, &ended).0, 204, "only the end of a series");

    let faulty = first(&[("instance", "a:1")], &[sample(1.0, now)]);
    let (status, _, answer) = post(&daemon, V1, &[body.clone(), faulty].concat());
    assert_eq!(status, 400, "{answer}");
    assert!(
        answer.contains("timeseries[1].samples[0]: the series has no label __name__"),
        "{answer}"
    );

    // Version 2: symbols, then two series that refer to them.
    let symbols = ["", "__name__", "u", "instance", "a:1", "seconds"];
    let symbols: Vec<_> = symbols.iter().flat_map(|text| delimited(4, text.as_bytes())).collect();
    let series = |labels: &[u8], samples: &[Vec<u8>]| {
        let unit = delimited(5, &[4 << 3, 5]);
        delimited(5, &[delimited(1, labels), samples.concat(), unit].concat())
    };
    let good = series(&[1, 2, 3, 4], &[sample(0.25, now), sample(stale, now + 1)]);
    let (status, head, _) = post(&daemon, V2, &[symbols.clone(), good.clone()].concat());
    assert_eq!(status, 204, "{head}");
    assert!(head.contains("x-prometheus-remote-write-samples-written: 2"), "{head}");
    assert!(head.contains("x-prometheus-remote-write-histograms-written: 0"), "{head}");
    assert!(head.contains("x-prometheus-remote-write-exemplars-written: 0"), "{head}");
    let faulty = series(&[1, 9], &[sample(0.5, now)]);
    let (status, head, answer) = post(&daemon, V2, &[symbols, good, faulty].concat());
    assert_eq!(status, 400, "{answer}");
    assert!(head.contains("x-prometheus-remote-write-samples-written: 2"), "{head}");
    assert!(
        answer.contains("timeseries[1].samples[0]: a label refers to symbol 9, of 6"),
        "{answer}"
    );

    daemon.eventually("/api/v1/query?device=a:1&metric=t&from=-1h", |answer| {
        answer["value"][0] == 0.1
    });
    daemon.eventually("/api/v1/query?device=a:1&metric=u&from=-1h", |answer| {
        answer["value"][0] == 0.25 && answer["unit"] == "seconds"
    });

    // Not compressed, claiming much, of another type or encoding.
    let raw = |headers: &[(&str, &str)], body: &[u8]| {
        daemon.request("POST", "/api/v1/prom/write", headers, body).0
    };
    assert_eq!(raw(&[V1, SNAPPY], b"\x0a\x01\xff"), 400);
    assert_eq!(raw(&[V1, SNAPPY], &[0xff, 0xff, 0xff, 0xff, 0x0f, 0x00]), 413);
    assert_eq!(raw(&[("content-type", "application/json"), SNAPPY], b"{}"), 415);
    assert_eq!(raw(&[("content-type", "application/x-protobuf;proto=x.Y"), SNAPPY], b""), 415);
    assert_eq!(raw(&[V1, ("content-encoding", "gzip")], b""), 415);
    daemon.stop_and_audit();
}

/// Prometheus gives up what is answered 429.
#[test]
fn who_sends_too_much_is_told_when_to_come_again() {
    let daemon = Daemon::start(&["limits.batches_per_second=1"]);
    let now = clock::now().0 / 1_000_000;
    let body = first(&[("__name__", "t")], &[sample(1.0, now)]);
    let head = (0..100)
        .find_map(|_| {
            let (status, head, answer) = post(&daemon, V2, &body);
            assert_eq!(status, 204, "version 1's bytes hold nothing for version 2: {answer}");
            let (status, head_of_first, answer) = post(&daemon, V1, &body);
            assert!([204, 503].contains(&status), "{status} {answer} {head}");
            (status == 503).then_some(head_of_first)
        })
        .unwrap();
    assert!(head.contains("retry-after: "), "{head}");
}
