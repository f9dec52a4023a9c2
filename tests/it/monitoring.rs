//! What others watch us by: `/metrics`, alert rules for Prometheus, dashboards for Grafana.

use crate::daemon::Daemon;
use crate::plant::eventually;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use tidegate::promql::parse;

const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");

/// A daemon that has one of everything that metrics tell of, and the page of its metrics.
fn page() -> (Daemon, String) {
    let directory = tempfile::tempdir().unwrap();
    let configuration = "
[[notify.webhook]]
name = \"ops\"
url = \"http://127.0.0.1:9/\"

[[sinks.influx]]
name = \"store\"
url = \"http://127.0.0.1:9\"
bucket = \"b\"
";
    #[cfg(feature = "mqtt")]
    let configuration = configuration.to_owned()
        + "
[[intake.mqtt]]
name = \"broker\"
url = \"mqtt://127.0.0.1:9\"
[[intake.mqtt.routes]]
topic = \"{device}/a\"
decoder = \"json\"
";
    std::fs::write(directory.path().join("tidegate.toml"), configuration).unwrap();
    let daemon = Daemon::start_in(directory, &[]);
    let line = json!({"device": "pump-1", "values": {"level": 1.5, "flow": 2}}).to_string();
    let post = |query: &str, body: &str| {
        let path = format!("/api/v1/ingest{query}");
        daemon.request("POST", &path, &[NDJSON], body.as_bytes()).0
    };
    // One that enters, comes twice, and one that is refused.
    assert_eq!(post("?client=gw&session=7&seq=1", &line), 200);
    assert_eq!(post("?client=gw&session=7&seq=1", &line), 200);
    assert_eq!(post("", "nonsense"), 400);
    let (status, page) = daemon.get("/metrics");
    assert_eq!(status, 200);
    (daemon, page)
}

/// Words in a text that are names of our metrics.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
    words.filter(|word| word.starts_with("tidegate_")).map(str::to_owned).collect()
}

/// The texts of a JSON document under a key, wherever.
fn texts(json: &Value, key: &str, into: &mut Vec<String>) {
    match json {
        Value::Object(object) => {
            for (name, value) in object {
                match value.as_str() {
                    Some(text) if name == key => into.push(text.to_owned()),
                    _ => texts(value, key, into),
                }
            }
        }
        Value::Array(array) => array.iter().for_each(|value| texts(value, key, into)),
        _ => {}
    }
}

fn dashboard(name: &str) -> Value {
    let path = Path::new("packaging/grafana").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// An expression as Grafana asks it.
fn filled_in(expression: &str) -> String {
    let expression = expression.replace("$__rate_interval", "1m").replace("$instance", ".+");
    expression.replace("$metric", "level").replace("$device", ".+")
}

fn expressions(dashboard: &Value) -> Vec<String> {
    let mut all = Vec::new();
    texts(dashboard, "expr", &mut all);
    assert!(!all.is_empty());
    all
}

#[test]
fn promtool_has_nothing_to_say_of_our_metrics() {
    let (_daemon, page) = page();
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tests/setup installs prometheus");
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let told = promtool.wait_with_output().unwrap();
    let told = [told.stdout, told.stderr].concat();
    let told = String::from_utf8(told).unwrap();
    // It reads the text format of old, where a counter's help stands under the name of its sample; in
    // OpenMetrics, which this is, it stands under that of the family, without `_total`.
    let wrong: Vec<_> = told
        .lines()
        .filter(|line| {
            let counter = line.strip_suffix("_total no help text");
            !counter.is_some_and(|family| page.contains(&format!("# HELP {family} ")))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn alert_rules_and_the_dashboard_name_metrics_that_there_are() {
    let rules = "packaging/prometheus/tidegate.rules.yml";
    let check = Command::new("promtool").args(["check", "rules", rules]).output();
    let check = check.expect("tests/setup installs prometheus");
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    // What they say of a daemon in trouble, and of one without.
    let test = "tests/fixtures/prometheus/tidegate_test.yml";
    let test = Command::new("promtool").args(["test", "rules", test]).output().unwrap();
    assert!(test.status.success(), "{}", String::from_utf8_lossy(&test.stdout));
    let rules = std::fs::read_to_string(rules).unwrap();
    let mut asked = named(&rules);
    for expression in expressions(&dashboard("tidegate.json")) {
        asked.extend(named(&expression));
        if let Err(fault) = parse(&filled_in(&expression)) {
            panic!("{expression}: {fault}");
        }
    }
    assert!(asked.len() > 20, "{asked:?}");
    // Only with TLS; tests/it/tls.rs looks for it there.
    asked.remove("tidegate_tls_certificate_expires_seconds");
    #[cfg(not(feature = "mqtt"))]
    asked.retain(|name| !name.starts_with("tidegate_mqtt"));
    let (daemon, _) = page();
    eventually("each metric is there", || {
        let page = daemon.get("/metrics").1;
        let samples = page.lines().filter(|line| !line.starts_with('#'));
        let there = samples.map(|line| line.split(['{', ' ']).next().unwrap().to_owned()).collect();
        let missing: Vec<_> = asked.difference(&there).collect();
        println!("missing: {missing:?}");
        missing.is_empty()
    });
}

#[test]
fn the_dashboard_of_devices_is_answered_by_us() {
    let dashboard = dashboard("tidegate-devices.json");
    let (daemon, _) = page();
    daemon.eventually("/prom/api/v1/query?query=flow", |answer| {
        answer["data"]["result"] != json!([])
    });
    for expression in expressions(&dashboard) {
        let query = filled_in(&expression);
        let query =
            percent_encoding::utf8_percent_encode(&query, percent_encoding::NON_ALPHANUMERIC);
        let answer = daemon.json(&format!("/prom/api/v1/query?query={query}"));
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        // Of one reading there is a value, but no slope.
        let empty = answer["data"]["result"] == json!([]);
        assert_eq!(empty, expression.starts_with("deriv"), "{expression}: {answer}");
    }
    // What its variables ask.
    let metrics = daemon.json("/prom/api/v1/label/__name__/values");
    assert_eq!(metrics["data"], json!(["flow", "level"]));
    let devices = "/prom/api/v1/label/device/values?match%5B%5D=%7B__name__%3D~%22flow%22%7D";
    assert_eq!(daemon.json(devices)["data"], json!(["pump-1"]));
}
