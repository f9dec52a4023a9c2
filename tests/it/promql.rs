//! The read side of Prometheus: asked by Debian's `promtool`, and compared with Debian's Prometheus, which
//! has the same samples.

use crate::daemon::Daemon;
use crate::prometheus::Prometheus;
use serde_json::{Value, json};
use std::fmt::Write as _;
use tidegate::clock;

pub const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");
const STEP_MS: i64 = 10_000;

/// A series: its metric, its labels, its samples by milliseconds.
struct Series {
    metric: &'static str,
    labels: Vec<(&'static str, String)>,
    samples: Vec<(i64, f64)>,
}

/// Numbers that are the same each time and look like noise.
fn noise(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Half an hour of a plant: gauges with gaps, counters that begin again, a histogram. No sample lies at a
/// whole second, so that it doesn't matter at which end a range is open: Debian's Prometheus is version 2,
/// where they are closed on the left.
fn plant(begin_ms: i64) -> Vec<Series> {
    let mut all = Vec::new();
    for device in 0..4_u32 {
        let mut random = noise(u64::from(device) + 7);
        let labels = |device: u32| {
            let area = if device.is_multiple_of(2) { "north" } else { "south" };
            vec![("device", format!("pump-{device}")), ("area", area.to_owned())]
        };
        let (mut gauge, mut counter, mut slow, mut on) = (vec![], vec![], vec![], vec![]);
        // So far above zero that an increase is not cut there: at the beginning of a series version 2 and
        // version 3 differ in that.
        let mut total = 5000.0 * f64::from(device + 1);
        for step in 0..180_i64 {
            let at = begin_ms + step * STEP_MS + 137 + (random() * 700.0) as i64;
            // A gap of eight minutes, during which the latest sample gets too old.
            if device == 1 && (60..108).contains(&step) {
                continue;
            }
            gauge.push((at, 20.0 + f64::from(device) * 3.0 + random() * 5.0));
            total += (random() * 12.0).floor();
            if (device == 2 && step == 70) || (device == 3 && step % 50 == 49) {
                total = 3.0;
            }
            counter.push((at, total));
            if step % 9 == i64::from(device) {
                slow.push((at, (random() * 4.0).floor()));
            }
            on.push((at, f64::from(u8::from(random() > 0.4))));
        }
        for (metric, samples) in
            [("temperature", gauge), ("starts_total", counter), ("mode", slow), ("running", on)]
        {
            all.push(Series { metric, labels: labels(device), samples });
        }
        for (le, share) in [("0.1", 0.2), ("0.5", 0.6), ("2.5", 0.9), ("+Inf", 1.0)] {
            let of = all.iter().rev().find(|it| it.metric == "starts_total").unwrap();
            let samples = of.samples.iter().map(|(at, it)| (*at, (it * share).floor())).collect();
            let mut labels = labels(device);
            labels.push(("le", le.to_owned()));
            all.push(Series { metric: "lag_bucket", labels, samples });
        }
    }
    all
}

fn open_metrics(series: &[Series]) -> String {
    let mut metrics: Vec<_> = series.iter().map(|series| series.metric).collect();
    metrics.sort_unstable();
    metrics.dedup();
    let mut text = String::new();
    for metric in metrics {
        for series in series.iter().filter(|series| series.metric == metric) {
            let labels = series.labels.iter().map(|(name, value)| format!("{name}=\"{value}\""));
            let labels = labels.collect::<Vec<_>>().join(",");
            for (at, value) in &series.samples {
                let seconds = format!("{}.{:03}", at / 1000, at % 1000);
                writeln!(text, "{metric}{{{labels}}} {value} {seconds}").unwrap();
            }
        }
    }
    text + "# EOF\n"
}

fn ingest(daemon: &Daemon, series: &[Series]) {
    let mut lines = String::new();
    for series in series {
        let tags: serde_json::Map<_, _> = series
            .labels
            .iter()
            .filter(|(name, _)| *name != "device")
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        for (at, value) in &series.samples {
            let line = json!({
                "device": series.labels[0].1, "time": at * 1_000_000, "tags": tags,
                "values": {series.metric: value},
            });
            writeln!(lines, "{line}").unwrap();
        }
    }
    for chunk in lines.lines().collect::<Vec<_>>().chunks(2000) {
        let (status, answer) =
            daemon.request("POST", "/api/v1/ingest", &[NDJSON], chunk.join("\n").as_bytes());
        assert_eq!(status, 200, "{answer}");
    }
    let samples: usize = series.iter().map(|series| series.samples.len()).sum();
    let metrics = ["temperature", "starts_total", "mode", "running", "lag_bucket"];
    let counts = metrics.map(|metric| format!("sum(count_over_time({metric}[1d]))")).join(" + ");
    let path = format!("/prom/api/v1/query?query={}", encoded(&counts));
    daemon.eventually(&path, |answer| {
        answer["data"]["result"][0]["value"][1] == json!(samples.to_string())
    });
}

pub fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// What both can be asked, at instants and over ranges.
const EXPRESSIONS: &[&str] = &[
    "temperature",
    "temperature{area=\"north\"}",
    "temperature{device=~\"pump-[12]\",area!=\"north\"}",
    "temperature{device!~\"pump-[12]\"}",
    "temperature offset 7m",
    "temperature offset -3m",
    "temperature @ end()",
    "rate(starts_total[5m] @ end() offset 8m)",
    "sum_over_time(temperature[5m] @ start())",
    "-temperature",
    "temperature * 9 / 5 + 32",
    "temperature % 7",
    "2 ^ mode",
    "temperature > 25",
    "25 < temperature",
    "temperature > bool 25",
    "1 == bool 1",
    "temperature > on(device, area) group_left mode * 10",
    "rate(starts_total[5m])",
    "rate(starts_total[47s])",
    "rate(starts_total[20m])",
    "increase(starts_total[5m])",
    "increase(starts_total[11m] offset 3m)",
    "irate(starts_total[5m])",
    "delta(temperature[5m])",
    "idelta(temperature[5m])",
    "deriv(temperature[5m])",
    "predict_linear(temperature[10m], 600)",
    "resets(starts_total[20m])",
    "changes(mode[10m])",
    "avg_over_time(temperature[5m])",
    "min_over_time(temperature[5m])",
    "max_over_time(temperature[5m])",
    "sum_over_time(temperature[5m])",
    "count_over_time(temperature[5m])",
    "last_over_time(temperature[10m])",
    "present_over_time(temperature[1m])",
    "absent_over_time(temperature{device=\"pump-1\"}[1m])",
    "stddev_over_time(temperature[5m])",
    "stdvar_over_time(temperature[5m])",
    "quantile_over_time(0.9, temperature[5m])",
    "quantile_over_time(-1, temperature[5m])",
    "sum(temperature)",
    "sum by (area) (rate(starts_total[5m]))",
    "sum without (device) (temperature)",
    "avg(temperature)",
    "avg by (area) (temperature)",
    "min by (area) (temperature)",
    "max(temperature)",
    "count by (area) (temperature)",
    "count(temperature > 25)",
    "group by (area) (temperature)",
    "stddev(temperature)",
    "stdvar by (area) (temperature)",
    "quantile by (area) (0.3, temperature)",
    "topk(2, temperature)",
    "bottomk by (area) (1, temperature)",
    "histogram_quantile(0.9, lag_bucket)",
    "histogram_quantile(0.5, sum by (le, area) (rate(lag_bucket[5m])))",
    "histogram_quantile(0.999, sum by (le) (rate(lag_bucket[5m])))",
    "abs(temperature - 25)",
    "ceil(temperature)",
    "floor(temperature)",
    "round(temperature)",
    "round(temperature, 0.2)",
    "clamp(temperature, 22, 25)",
    "clamp_min(temperature, 22)",
    "clamp_max(temperature, 22)",
    "exp(mode)",
    "ln(temperature)",
    "log2(temperature)",
    "log10(temperature)",
    "sqrt(temperature)",
    "sgn(temperature - 25)",
    "ln(mode)",
    "mode / (mode - 1)",
    "scalar(temperature{device=\"pump-0\"})",
    "vector(scalar(temperature))",
    "vector(1.5)",
    "vector(pi())",
    "time()",
    "time() - timestamp(temperature)",
    "timestamp(mode)",
    "sort(temperature)",
    "sort_desc(temperature)",
    "absent(temperature{device=\"pump-9\"})",
    "absent(temperature{device=\"pump-1\"})",
    "label_replace(temperature, \"short\", \"$1\", \"device\", \"pump-(.*)\")",
    "label_join(temperature, \"where\", \"/\", \"area\", \"device\")",
    "temperature / on(device, area) mode",
    "temperature - ignoring(le) group_right lag_bucket",
    "lag_bucket / ignoring(le) group_left sum without (le) (lag_bucket)",
    "running * on(area) group_left avg by (area) (temperature)",
    "temperature and running == 1",
    "temperature unless running == 1",
    "running == 1 or temperature",
    "running or mode",
    "temperature and on(area) mode > 2",
    "temperature == temperature",
    "temperature != bool on(device) mode",
    "atan2(1, 2) or vector(0)",
    // Version 2 leaves the name there.
    "abs(temperature atan2 mode)",
    "nothing",
    "sum(nothing) or vector(0)",
    "temperature * on(area) running",
    "temperature + on(area) group_left running",
    "label_replace(temperature, \"device\", \"x\", \"area\", \".*\")",
    "{__name__=~\"temperature|mode\",device=\"pump-0\"}",
    "rate({__name__=~\"temperature|mode\"}[5m])",
    "1 > 2",
    "sum(temperature",
    "rate(temperature)",
    "temperature[5m]",
];

/// Of these there is nothing at any time: what is compared is that, or how it is refused.
const EMPTY: &[&str] = &[
    "atan2(1, 2) or vector(0)",
    "nothing",
    "temperature * on(area) running",
    "temperature + on(area) group_left running",
    "label_replace(temperature, \"device\", \"x\", \"area\", \".*\")",
    "rate({__name__=~\"temperature|mode\"}[5m])",
    "1 > 2",
    "sum(temperature",
    "rate(temperature)",
];

/// Whether two answers say the same: numbers may differ in the last digits, where sums are computed in
/// another order; errors by their words.
fn same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| same(a, b))
        }
        (Value::Object(ours), Value::Object(theirs)) => {
            ours.len() == theirs.len()
                && ours.iter().all(|(key, a)| theirs.get(key).is_some_and(|b| same(a, b)))
        }
        (Value::String(ours), Value::String(theirs)) if ours != theirs => {
            match (ours.parse::<f64>(), theirs.parse::<f64>()) {
                (Ok(a), Ok(b)) => (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-3),
                _ => false,
            }
        }
        (ours, theirs) => ours == theirs,
    }
}

/// The answer without what need not be the same: the words of a refusal, the order of what has none.
fn comparable(mut answer: Value, ordered: bool) -> Value {
    if answer["status"] == "error" {
        return json!({"status": "error", "errorType": answer["errorType"]});
    }
    if let Some(result) = answer.pointer_mut("/data/result").and_then(Value::as_array_mut)
        && !ordered
    {
        result.sort_by_key(|series| series["metric"].to_string());
    }
    answer["data"].take()
}

#[test]
fn answers_are_those_of_prometheus() {
    let begin = (clock::now().as_millis() / 60_000 - 60) * 60_000;
    let plant = plant(begin);
    let daemon = Daemon::start(&[]);
    ingest(&daemon, &plant);
    let prometheus = Prometheus::start(&open_metrics(&plant));
    let begin = begin / 1000;
    let (mut compared, mut wrong) = (0, String::new());
    let mut empty: Vec<&str> = EXPRESSIONS.to_vec();
    let mut compare = |path: &str, text: &str| {
        let ordered = text.starts_with("sort") || text.starts_with("topk");
        let ours: Value = serde_json::from_str(&daemon.get(&format!("/prom{path}")).1).unwrap();
        let theirs = prometheus.json(path);
        let (ours, theirs) = (comparable(ours, ordered), comparable(theirs, ordered));
        compared += 1;
        if theirs["result"].as_array().is_some_and(|result| !result.is_empty()) {
            empty.retain(|it| *it != text);
        }
        if !same(&ours, &theirs) {
            writeln!(wrong, "{text}: {path}\n  ours   {ours}\n  theirs {theirs}").unwrap();
        }
    };
    for text in EXPRESSIONS {
        let query = encoded(text);
        for at in [begin + 600, begin + 1105, begin + 1799, begin + 2090] {
            compare(&format!("/api/v1/query?query={query}&time={at}"), text);
        }
        for step in ["15s", "60", "173.5"] {
            let (start, end) = (begin - 100, begin + 2200);
            let range = format!("start={start}&end={end}&step={step}");
            compare(&format!("/api/v1/query_range?query={query}&{range}"), text);
        }
    }
    for path in [
        "/api/v1/labels",
        "/api/v1/label/device/values",
        "/api/v1/label/__name__/values",
        "/api/v1/label/nothing/values",
        "/api/v1/series?match[]=temperature&match[]=mode{area=%22south%22}",
        "/api/v1/labels?match[]=temperature",
        "/api/v1/label/le/values?match[]=lag_bucket{device=%22pump-1%22}",
        "/api/v1/series",
        "/api/v1/query?query=1&time=nonsense",
        "/api/v1/query_range?query=1&start=0&end=11001&step=1",
        "/api/v1/query_range?query=1&start=0&end=11000&step=1",
        "/api/v1/query_range?query=1&start=0&end=10&step=0",
        "/api/v1/query_range?query=1&start=10&end=0&step=1",
        "/api/v1/query_range?query=%22a%22&start=0&end=10&step=1",
        "/api/v1/query?query=%22a%22&time=1.5",
        "/api/v1/query?query=1e21%2B1e-7&time=1.5",
        "/api/v1/query?query=1e-7&time=0",
        "/api/v1/query?query=-1/0&time=0",
    ] {
        compare(path, path);
    }
    assert_eq!(empty, EMPTY, "what has no values compares none");
    assert!(wrong.is_empty(), "{} of {compared}:\n{wrong}", wrong.lines().count() / 3);
    assert_eq!(compared, EXPRESSIONS.len() * 7 + 18);
}

fn promtool(daemon: &Daemon, arguments: &[&str]) -> String {
    let url = format!("http://{}/prom", daemon.address);
    let run = std::process::Command::new("promtool")
        .args(&arguments[..2])
        .arg(&url)
        .args(&arguments[2..])
        .output()
        .expect("tests/setup installs prometheus");
    let (out, error) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{arguments:?}: {out}{error}");
    out.into_owned()
}

#[test]
fn promtool_asks_us() {
    let daemon = Daemon::start(&[]);
    let now = clock::now().as_millis();
    let line = json!({
        "device": "pump-7", "time": (now - 1000) * 1_000_000, "tags": {"site": "a"},
        "values": {"motor.temperature": 71.5, "running": true, "starts": 1042, "state": "idle"},
        "units": {"motor.temperature": "°C"},
    });
    let (status, answer) =
        daemon.request("POST", "/api/v1/ingest", &[NDJSON], line.to_string().as_bytes());
    assert_eq!(status, 200, "{answer}");
    daemon.eventually("/prom/api/v1/query?query=running", |answer| {
        answer["data"]["result"] != json!([])
    });
    let found = promtool(&daemon, &["query", "instant", "motor_temperature{site=\"a\"} + 0.5"]);
    assert!(found.starts_with("{device=\"pump-7\", site=\"a\"} => 72 @["), "{found}");
    let found = promtool(&daemon, &["query", "instant", "running"]);
    assert!(found.starts_with("running{device=\"pump-7\", site=\"a\"} => 1 @["), "{found}");
    let (start, end) = ((now / 1000 - 60).to_string(), (now / 1000 + 1).to_string());
    let asked = ["query", "range", "starts", "--start", &start, "--end", &end, "--step", "1s"];
    let found = promtool(&daemon, &asked);
    assert!(found.contains("1042 @["), "{found}");
    // Texts are no series here.
    let found = promtool(&daemon, &["query", "series", "--match", "{device=\"pump-7\"}"]);
    assert_eq!(found.lines().count(), 3, "{found}");
    let found = promtool(&daemon, &["query", "labels", "__name__"]);
    assert_eq!(found, "motor.temperature\nrunning\nstarts\n");
    let metadata = daemon.json("/prom/api/v1/metadata?metric=motor.temperature");
    assert_eq!(metadata["data"]["motor.temperature"][0]["unit"], "°C");
    assert_eq!(daemon.json("/prom/api/v1/status/buildinfo")["data"]["version"], "3.0.0");
}
