//! Sparkplug nodes by encoders that nobody here wrote: births, aliases over our restart, lost messages
//! and rebirths, deaths. Where they disagree is told in `tests/publishers/README.md`.

use crate::daemon::{Daemon, PATIENCE};
use crate::live_resume::Events;
use crate::mosquitto::Mosquitto;
use crate::publisher::{
    PYSPARKPLUG, Program, Publisher, SPARKPLUG_CLIENT, SPARKPLUG_CLIENT_DEFLATE,
    SPARKPLUG_CLIENT_GZIP, SPB_WRAPPER, TAHU,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tidegate::clock;

const METER: &str = "plant/n1/meter";

struct Site {
    broker: Mosquitto,
    daemon: Daemon,
}

impl Site {
    fn open() -> Site {
        let broker = Mosquitto::start();
        let settings = [
            "routes.0.topic=spBv1.0/#",
            "routes.0.decoder=sparkplug",
            "routes.0.qos=0",
            "routes.0.reorder_timeout=1 s",
            // Only what a node says or does not say makes it offline here.
            "live.offline_after=1 h",
        ];
        let daemon = Daemon::bridged(&broker.url(), &settings);
        let site = Site { broker, daemon };
        site.until_host_is_online(1);
        site
    }

    /// Waits until our host has said so often whether it is online: it is the last that it does when it
    /// connects, and when it leaves.
    fn until_host_is_online(&self, said: usize) {
        let deadline = clock::monotonic() + PATIENCE;
        while self.host_said() < said {
            assert!(clock::monotonic() < deadline, "the host said {} words", self.host_said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops the daemon in order, and starts it again; returns when our host is online.
    fn restart(&mut self) {
        self.daemon.stop_and_audit();
        // Its last words are written down by then.
        self.broker.until_logged("Received DISCONNECT from tidegate-site", 1);
        let said = self.host_said();
        self.daemon.restart();
        self.until_host_is_online(said + 1);
    }

    fn host_said(&self) -> usize {
        let published = self.broker.logged("Received PUBLISH from tidegate-site");
        published.iter().filter(|line| line.contains("'spBv1.0/STATE/tidegate'")).count()
    }

    fn node(&self, program: Program) -> Publisher {
        let mut node = Publisher::start(program, self.broker.port, "n1");
        node.tell("birth");
        node
    }

    /// The values of a metric in the history, in the order of their times.
    fn values(&self, device: &str, metric: &str) -> Vec<Value> {
        let path = format!("/api/v1/query?device={device}&metric={metric}&from=-1d&to=now");
        let (status, body) = self.daemon.get(&path);
        if status != 200 {
            return Vec::new();
        }
        let answer: Value = serde_json::from_str(&body).unwrap();
        answer["value"].as_array().unwrap().clone()
    }

    fn until(&self, device: &str, metric: &str, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        self.until_within(PATIENCE, device, metric, wanted)
    }

    fn until_within(
        &self,
        patience: Duration,
        device: &str,
        metric: &str,
        wanted: impl Fn(&[Value]) -> bool,
    ) -> Vec<Value> {
        let deadline = clock::monotonic() + patience;
        loop {
            let values = self.values(device, metric);
            if wanted(&values) {
                return values;
            }
            assert!(
                clock::monotonic() < deadline,
                "{device} {metric} stays {values:?}: {:#}",
                self.daemon.bridge()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the history has this value of the meter.
    fn until_has(&self, metric: &str, value: impl Into<Value>) {
        let value = value.into();
        self.until(METER, metric, |values| values.contains(&value));
    }

    fn until_online(&self, device: &str, online: bool) {
        self.until(device, "online", |values| values.last() == Some(&online.into()));
    }

    /// Waits until viewers are told that a device is there, or gone.
    fn until_shown(&self, device: &str, online: bool) {
        let deadline = clock::monotonic() + PATIENCE;
        loop {
            let frame =
                Events::open(&self.daemon, &format!("?device={device}"), None).next(&["device"]);
            let devices = frame["data"]["devices"].as_array().unwrap();
            if devices.iter().any(|it| it["id"] == device && it["online"] == online) {
                return;
            }
            assert!(clock::monotonic() < deadline, "{device} is shown as {frame:#}");
        }
    }

    /// When the tables of the node were last written down.
    fn remembered(&self) -> Option<i64> {
        let file = self.daemon.state_dir.path().join("mqtt.db");
        let book = rusqlite::Connection::open(file).unwrap();
        book.query_row("SELECT written FROM node WHERE node='plant/n1'", [], |row| row.get(0)).ok()
    }

    fn until_remembered(&self, before: Option<i64>) -> Option<i64> {
        let deadline = clock::monotonic() + PATIENCE;
        loop {
            match self.remembered() {
                Some(written) if Some(written) != before => return Some(written),
                _ => assert!(clock::monotonic() < deadline, "the births are not remembered"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Births, data, a lost message and the rebirth, aliases alone after our restart, death by Will.
fn a_node_lives_and_dies(program: Program) {
    let mut site = Site::open();
    let mut node = site.node(program);
    for (metric, value) in [
        ("temperature", json!(20.0)),
        ("running", json!(false)),
        ("count", json!(0)),
        ("state", json!("idle")),
    ] {
        site.until_has(metric, value);
    }
    for device in ["plant/n1", METER] {
        site.until_online(device, true);
        site.until_shown(device, true);
    }
    assert_eq!(site.values("plant/n1", "uptime"), [1]);
    node.tell("data temperature=21.5 running=true");
    site.until_has("temperature", 21.5);
    site.until_has("running", true);
    node.tell("alias count=-7 state=on");
    site.until_has("count", -7);
    site.until_has("state", "on");
    assert_eq!(node.heard(), [""; 0], "nothing was missing");

    let remembered = site.until_remembered(None);
    node.tell("lose");
    node.tell("data count=5");
    node.until_heard(|heard| heard == ["rebirth", "reborn"]);
    node.tell("data count=6");
    site.until_has("count", 6);
    site.until_online(METER, true);
    site.until_remembered(remembered);

    // Asked for its births, it would tell them; so that the aliases can only be remembered, it is not
    // to answer.
    node.tell("deaf");
    site.restart();
    node.tell("alias temperature=22.5 count=-8");
    site.until_has("temperature", 22.5);
    site.until_has("count", -8);
    site.until_shown(METER, true);

    node.kill();
    for device in [METER, "plant/n1"] {
        site.until_online(device, false);
        site.until_shown(device, false);
    }
    site.daemon.stop_and_audit();
}

#[test]
fn a_node_of_pysparkplug_lives_and_dies() {
    a_node_lives_and_dies(PYSPARKPLUG);
}

#[test]
fn a_node_of_sparkplug_client_lives_and_dies() {
    a_node_lives_and_dies(SPARKPLUG_CLIENT);
}

#[test]
fn a_node_of_sparkplug_client_that_deflates_lives_and_dies() {
    a_node_lives_and_dies(SPARKPLUG_CLIENT_DEFLATE);
}

#[test]
fn a_node_of_sparkplug_client_that_gzips_lives_and_dies() {
    a_node_lives_and_dies(SPARKPLUG_CLIENT_GZIP);
}

/// As [`Site::node`], of another name.
fn wrapper(site: &Site) -> Publisher {
    let mut node = Publisher::start(SPB_WRAPPER, site.broker.port, "n2");
    node.tell("birth");
    node
}

#[test]
fn nodes_of_tahu_and_spb_wrapper_live() {
    let mut site = Site::open();
    let mut tahu = site.node(TAHU);
    let mut wrapper = wrapper(&site);
    tahu.tell("data temperature=21.5 running=true");
    tahu.tell("alias count=7");
    site.until_has("count", 7);
    // Its births say DATA/temperature, its data temperature: names win over aliases.
    wrapper.tell("data temperature=21.5 count=-7");
    let other = "plant/n2/meter";
    site.until(other, "DATA.temperature", |values| values == [20.0]);
    site.until(other, "temperature", |values| values == [21.5]);
    site.until(other, "count", |values| values == [-7]);

    // A template's members and a DataSet's cells are metrics below its name.
    tahu.tell("odd");
    let odd = "plant/n1/odd";
    site.until(odd, "motor.rpm", |values| values == [1500]);
    site.until(odd, "table.volts.0", |values| values == [230.5]);
    site.until(odd, "plain", |values| values == [1.5]);
    wrapper.tell("dataset");
    site.until(other, "temperature.values.2", |values| values == [3.5]);

    tahu.tell("lose");
    tahu.tell("data count=8");
    wrapper.tell("lose");
    wrapper.tell("data count=8");
    for node in [&tahu, &wrapper] {
        node.until_heard(|heard| heard == ["rebirth", "reborn"]);
    }
    tahu.tell("data state=back");
    site.until_has("state", "back");
    wrapper.tell("data state=back");
    site.until(other, "state", |values| values.contains(&"back".into()));

    let remembered = site.until_remembered(None);
    tahu.tell("device-birth");
    site.until_remembered(remembered);
    tahu.tell("deaf");
    site.restart();
    tahu.tell("alias temperature=22.5 count=9");
    site.until_has("temperature", 22.5);
    site.until_has("count", 9);
    site.daemon.stop_and_audit();
}

/// Their Wills have another bdSeq than their births: they are asked, and have to answer.
#[test]
fn nodes_that_number_their_deaths_wrongly_are_gone_in_the_end() {
    let site = Site::open();
    let mut tahu = site.node(TAHU);
    let mut wrapper = wrapper(&site);
    let devices = [METER, "plant/n1", "plant/n2/meter", "plant/n2"];
    for device in devices {
        site.until_online(device, true);
    }
    tahu.kill();
    wrapper.kill();
    for device in devices {
        let gone = |values: &[Value]| values.last() == Some(&false.into());
        site.until_within(PATIENCE * 3, device, "online", gone);
        site.until_shown(device, false);
    }
}

#[test]
fn the_death_of_an_earlier_connection_is_none_of_this_one() {
    let site = Site::open();
    let mut node = site.node(PYSPARKPLUG);
    site.until_online(METER, true);
    node.tell("stale");
    node.tell("data temperature=33");
    site.until_has("temperature", 33.0);
    for device in ["plant/n1", METER] {
        assert_eq!(site.values(device, "online"), [true]);
        site.until_shown(device, true);
    }
    assert_eq!(node.heard(), [""; 0], "it was heard of, and is not asked");
}

#[test]
fn a_device_goes_and_comes_without_its_node() {
    for program in [PYSPARKPLUG, SPARKPLUG_CLIENT] {
        let site = Site::open();
        let mut node = site.node(program);
        site.until_online(METER, true);
        node.tell("device-death");
        site.until_online(METER, false);
        site.until_shown(METER, false);
        node.tell("device-birth");
        site.until_online(METER, true);
        site.until_shown(METER, true);
        assert_eq!(site.values("plant/n1", "online"), [true]);
    }
}

#[test]
fn what_is_historical_is_stored_and_not_shown_and_what_is_transient_the_other_way() {
    for program in [PYSPARKPLUG, SPARKPLUG_CLIENT, SPARKPLUG_CLIENT_GZIP] {
        let mut site = Site::open();
        let mut node = site.node(program);
        site.until_has("state", "idle");
        let mut viewer = Events::open(&site.daemon, "?device=plant/n1/meter&metric=state", None);
        node.tell("historical state=past");
        node.tell("transient state=seen");
        node.tell("data state=last");
        // How many texts are in each window, and the last of them.
        let mut shown: BTreeMap<i64, (u64, Value)> = BTreeMap::new();
        while shown.last_key_value().is_none_or(|(_, (_, last))| last != "last") {
            let frame = viewer.next(&["snapshot", "rollups"]);
            for device in frame["data"]["devices"].as_array().unwrap() {
                for rollup in device["rollups"]["state"].as_array().unwrap_or(&Vec::new()) {
                    let (start, count) = (rollup[0].as_i64().unwrap(), rollup[1].as_u64().unwrap());
                    shown.insert(start, (count, rollup[3].clone()));
                }
            }
        }
        let count: u64 = shown.values().map(|(count, _)| count).sum();
        assert_eq!(count, 3, "idle, seen and last: {shown:?}");
        site.until_has("state", "last");
        let stored = site.values(METER, "state");
        assert!(stored.contains(&"past".into()), "{stored:?}");
        assert!(!stored.contains(&"seen".into()), "{stored:?}");
        site.daemon.eventually("/api/v1/status", |status| {
            status["ledger"]["skipped"] == 1 && status["ledger"]["balanced"] == true
        });
        site.daemon.stop_and_audit();
    }
}

#[test]
fn all_types_of_pysparkplug_become_readings_or_are_refused_with_a_reason() {
    let site = Site::open();
    let mut node = site.node(PYSPARKPLUG);
    node.tell("types");
    let device = "plant/n1/types";
    let when = 1_767_323_045_678_i64;
    for (metric, value) in [
        ("int8", json!(-1)),
        ("int16", json!(-2)),
        ("int32", json!(-3)),
        ("int64", json!(-4)),
        ("uint8", json!(255)),
        ("uint16", json!(65535)),
        ("uint32", json!(u32::MAX)),
        ("uint64", json!(i64::MAX)),
        ("float", json!(1.5)),
        ("double", json!(-2.25)),
        ("boolean", json!(true)),
        ("string", json!("täxt")),
        ("datetime", json!(when)),
        ("text", json!("text")),
        ("uuid", json!("6f8e1c7a-0000-4000-8000-000000000001")),
        ("int8_array.0", json!(-1)),
        ("int16_array.1", json!(2)),
        ("int32_array.0", json!(-1)),
        ("int64_array.0", json!(-1)),
        ("uint8_array.1", json!(255)),
        ("uint16_array.1", json!(65535)),
        ("uint32_array.1", json!(u32::MAX)),
        ("uint64_array.1", json!(2)),
        ("float_array.1", json!(-2.5)),
        ("double_array.0", json!(1.5)),
        ("boolean_array.0", json!(true)),
        ("boolean_array.1", json!(false)),
        ("boolean_array.2", json!(true)),
        ("string_array.1", json!("b")),
        ("datetime_array.1", json!(when)),
    ] {
        site.until(device, metric, |values| values == [value.clone()]);
    }
    let series = site.daemon.json("/api/v1/series?device=plant/n1/types");
    let names: Vec<_> =
        series["series"].as_array().unwrap().iter().map(|it| &it["metric"]).collect();
    assert!(!names.contains(&&json!("bytes")) && !names.contains(&&json!("file")), "{names:?}");
    let error = site.daemon.bridge()["routes"][0]["last_error"].clone();
    assert!(error.as_str().unwrap().contains("plant/n1/types"), "{error}");
}

#[test]
fn types_that_sparkplug_client_encodes_in_its_own_way_are_the_same_readings() {
    for program in [SPARKPLUG_CLIENT, SPARKPLUG_CLIENT_DEFLATE] {
        let site = Site::open();
        let mut node = site.node(program);
        node.tell("types");
        for (metric, value) in [
            ("int8", json!(-1)),
            ("int16", json!(-2)),
            ("int32", json!(-3)),
            ("int64", json!(-4)),
            ("uint8", json!(255)),
            ("uint16", json!(65535)),
            ("uint32", json!(u32::MAX)),
            ("uint64", json!(1_u64 << 53)),
            ("float", json!(1.5)),
            ("table.phase.0", json!(3)),
            ("table.volts.0", json!(230.5)),
        ] {
            site.until("plant/n1/types", metric, |values| values == [value.clone()]);
        }
    }
}
