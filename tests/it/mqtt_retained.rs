//! Floods from a broker: what it retains when we subscribe, and a storm of what nobody understands. Both
//! are taken in within bounds, every message is accounted for, and others do not notice.
//!
//! `RETAINED=1000000` makes the first flood as large as docs/mqtt.md tells of.

use crate::client::{Client, reading};
use crate::daemon::Daemon;
use crate::mosquitto::{Mosquitto, bridge};
use serde_json::Value;
use std::io::{BufReader, BufWriter, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tidegate::clock;

/// A broker that writes down who subscribes, and no message: there are too many.
const QUIET: &str = "allow_anonymous true\npersistence false\nlog_type none\nlog_type warning\n\
                     log_type subscribe\n";
/// Topics of one device.
const METRICS: usize = 10;
/// For a round trip, with a broker and a publisher at work on the same processors.
const ROUND_TRIP: Duration = Duration::from_secs(5);
/// Round trips that may take longer, up to the patience of all: of so many one.
const LONGER: usize = 10;
/// Acknowledgements that the publisher lets come late.
const UNDER_WAY: usize = 1000;

fn retained() -> usize {
    std::env::var("RETAINED").map_or(30_000, |count| count.parse().unwrap())
}

/// Publishes with QoS 1 as fast as the broker takes it, for as long as there are messages; returns
/// when it has acknowledged all. Speaks MQTT 3.1.1 by itself: clients are slower than what they test.
fn publish(port: u16, retain: bool, messages: impl Iterator<Item = (String, String)>) -> usize {
    let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut answers = BufReader::new(socket.try_clone().unwrap());
    let mut out = BufWriter::with_capacity(64 << 10, socket);
    out.write_all(b"\x10\x11\0\x04MQTT\x04\x02\0\0\0\x05flood").unwrap();
    out.flush().unwrap();
    answers.read_exact(&mut [0; 4]).unwrap();
    let acknowledged = |answers: &mut BufReader<TcpStream>| {
        let mut answer = [0; 4];
        answers.read_exact(&mut answer).unwrap();
        assert_eq!(answer[..2], [0x40, 2], "no PUBACK");
    };
    let (mut sent, mut acked) = (0, 0);
    for (topic, payload) in messages {
        let length = 2 + topic.len() + 2 + payload.len();
        assert!(length < 128, "its length takes one byte");
        let packet = u16::try_from(sent % 65_535 + 1).unwrap().to_be_bytes();
        let topic_length = u16::try_from(topic.len()).unwrap().to_be_bytes();
        out.write_all(&[0x32 | u8::from(retain), length as u8]).unwrap();
        for part in [&topic_length[..], topic.as_bytes(), &packet, payload.as_bytes()] {
            out.write_all(part).unwrap();
        }
        sent += 1;
        if sent - acked == UNDER_WAY {
            out.flush().unwrap();
            while sent - acked > UNDER_WAY / 2 {
                acknowledged(&mut answers);
                acked += 1;
            }
        }
    }
    out.flush().unwrap();
    (acked..sent).for_each(|_| acknowledged(&mut answers));
    out.write_all(b"\xe0\0").unwrap();
    sent
}

fn retain(broker: &Mosquitto, count: usize) {
    let topic = |n: usize| format!("kept/machine-{}/m{}", n / METRICS, n % METRICS);
    publish(broker.port, true, (0..count).map(|n| (topic(n), format!("{n}.5"))));
}

/// A client of another way in, whose series are known.
struct Neighbour {
    client: Client,
    seq: u64,
    trips: Vec<Duration>,
}

impl Neighbour {
    fn new(daemon: &Daemon) -> Neighbour {
        let client = Client::greet(daemon, "neighbour", 7).0;
        let mut neighbour = Neighbour { client, seq: 0, trips: Vec::new() };
        neighbour.round_trip();
        neighbour
    }

    fn round_trip(&mut self) {
        self.seq += 1;
        let sent_at = clock::monotonic();
        self.client.batch(self.seq, &reading("neighbour", "t", self.seq as f64));
        self.client.acked(self.seq);
        self.trips.push(clock::monotonic() - sent_at);
    }

    /// It was not slowed down; a machine that stands still once makes one round trip long.
    fn was_well(&mut self) {
        self.trips.sort_unstable();
        let (count, longest) = (self.trips.len(), self.trips.last());
        eprintln!("the neighbour's longest round trip of {count}: {longest:?}");
        let well = self.trips[(count - 1) * (LONGER - 1) / LONGER];
        assert!(well < ROUND_TRIP, "{:?}", self.trips);
    }
}

fn settings(broker: &Mosquitto, limits: &[String]) -> Vec<String> {
    let routes = ["routes.0.topic=kept/{device}/{metric}", "routes.0.decoder=scalar"];
    let mut all = bridge(&broker.url(), &routes);
    all.extend_from_slice(limits);
    all
}

fn start(settings: &[String]) -> Daemon {
    Daemon::start(&settings.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The neighbour goes on until the bridge has settled all messages.
fn until_settled(daemon: &Daemon, neighbour: &mut Neighbour, count: usize) -> Value {
    // 200 new series a second, at least; and what a busy machine needs.
    let patience = Duration::from_secs(60 + count as u64 / 200);
    let deadline = clock::monotonic() + patience;
    loop {
        neighbour.round_trip();
        let bridge = daemon.bridge();
        if bridge["routes"][0]["messages"] == count && bridge["unacked"] == 0 {
            return bridge;
        }
        assert!(clock::monotonic() < deadline, "{bridge:#}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_a_broker_retains_is_taken_in_as_fast_as_new_series_may_come() {
    let count = retained();
    let broker = Mosquitto::start_with(QUIET);
    retain(&broker, count);
    // The last fifth has to wait.
    let limits = [format!("limits.new_series_per_minute={}", count * 4 / 5)];
    let mut daemon = start(&settings(&broker, &limits));
    let before = daemon.memory_mib("VmHWM");
    let started = clock::monotonic();
    let mut neighbour = Neighbour::new(&daemon);
    let bridge = until_settled(&daemon, &mut neighbour, count);
    let took = clock::monotonic() - started;
    let peak = daemon.memory_mib("VmHWM");
    eprintln!("{count} retained topics: {took:?}, {before} MiB before, at most {peak} MiB");

    // Who needs so long for all of them is never too fast.
    let slow = took > Duration::from_secs(15);
    assert!(slow || daemon.refused("mqtt", "TOO_MANY_SERIES") > 0, "some had to wait");
    assert_eq!(bridge["messages"], count, "{bridge:#}");
    assert_eq!(bridge["routes"][0]["samples"], count, "{bridge:#}");
    for none in ["unrouted", "too_long", "no_room", "in_flight_bytes"] {
        assert_eq!(bridge[none], 0, "{none}: {bridge:#}");
    }
    assert_eq!(bridge["connections"], 1, "{bridge:#}");
    let status = daemon.json("/api/v1/status");
    assert_eq!(status["ledger"]["accepted"], count as u64 + neighbour.seq, "{status:#}");
    neighbour.was_well();
    // in_flight_bytes and the other buffers, and what is known of each series.
    let bound_mib = before + 200 + count as u64 * 800 / (1 << 20);
    assert!(peak < bound_mib, "{peak} MiB, {bound_mib} are the most");
    daemon.stop_and_audit();
}

#[test]
fn what_is_more_than_all_series_that_may_be_is_explained_and_holds_nobody() {
    let count = retained().min(30_000) / 3;
    let max = count / 2;
    let broker = Mosquitto::start_with(QUIET);
    retain(&broker, count);
    let limits = [format!("limits.series_max={}", max + 1)];
    let mut daemon = start(&settings(&broker, &limits));
    let mut neighbour = Neighbour::new(&daemon);
    let bridge = until_settled(&daemon, &mut neighbour, count);
    let route = &bridge["routes"][0];
    assert_eq!((&route["samples"], &route["refused"]), (&max.into(), &max.into()), "{bridge:#}");
    let reason = route["last_error"].as_str().unwrap();
    assert!(reason.contains("limits.series_max"), "{reason}");
    daemon.eventually("/api/v1/quarantine", |page| page["totals"]["came"] == max);
    // Series that are known go on.
    publish(broker.port, false, [("kept/machine-0/m0".into(), "7".into())].into_iter());
    daemon.until_bridge(|bridge| bridge["routes"][0]["samples"] == max + 1);
    neighbour.was_well();
    daemon.stop_and_audit();
}

#[test]
fn a_storm_of_what_nobody_understands_slows_nobody() {
    let broker = Mosquitto::start_with(QUIET);
    let mut all = settings(&broker, &[]);
    let other = ["name=other", "routes.0.topic=plant/{device}", "routes.0.decoder=json"];
    all.push(format!("intake.mqtt.1.url={}", broker.url()));
    all.extend(other.map(|setting| format!("intake.mqtt.1.{setting}")));
    let mut daemon = start(&all);
    daemon.eventually("/api/v1/status", |status| {
        let bridges = status["intake"]["mqtt"].as_array().unwrap();
        bridges.iter().all(|bridge| bridge["state"] == "connected")
    });
    broker.until_logged("tidegate-site 1 kept/", 1);
    broker.until_logged("tidegate-other 1 plant/", 1);
    let mut neighbour = Neighbour::new(&daemon);

    let (over, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (ends, count, port) = (over.clone(), sent.clone(), broker.port);
    let storm = std::thread::spawn(move || {
        let lines = (0..).map_while(|n: usize| {
            count.store(n, Ordering::Relaxed);
            let more = !ends.load(Ordering::Relaxed);
            more.then(|| (format!("kept/machine-{}/state", n % 5000), "no number".to_owned()))
        });
        publish(port, false, lines)
    });
    daemon.until_bridge(|bridge| bridge["routes"][0]["refused"].as_u64() >= Some(5000));
    let mut others = Vec::new();
    for n in 1..=100 {
        neighbour.round_trip();
        if n % 10 == 0 {
            let began = clock::monotonic();
            broker.publish("plant/pump-1", &format!("{{\"t\":{n}}}"));
            let taken =
                |status: &Value| status["intake"]["mqtt"][1]["routes"][0]["samples"] == n / 10;
            daemon.eventually("/api/v1/status", taken);
            others.push(clock::monotonic() - began);
        }
    }
    others.sort_unstable();
    assert!(
        others[others.len() * (LONGER - 2) / LONGER] < ROUND_TRIP,
        "another bridge: {others:?}"
    );
    let during = sent.load(Ordering::Relaxed);
    over.store(true, Ordering::Relaxed);
    let all = storm.join().unwrap();
    assert!(during > 5000 && all >= during, "the storm went on: {during} of {all}");
    neighbour.was_well();
    eprintln!("a storm of {all}; round trips over another bridge: {others:?}");

    // Each is counted, and some are kept.
    let bridge = until_settled(&daemon, &mut neighbour, all);
    assert_eq!(bridge["routes"][0]["refused"], all, "{bridge:#}");
    let page = daemon.eventually("/api/v1/quarantine", |page| page["totals"]["came"] == all);
    assert!(page["totals"]["held"].as_u64() > Some(0), "{page:#}");
    daemon.stop_and_audit();
}
