//! Stories of nodes, told to a host message by message.

use super::proto::payload::metric::Value as Field;
use super::proto::payload::{self, Metric, PropertySet, PropertyValue, property_value};
use super::proto::{DataType as Tahu, Payload};
use super::*;
use crate::decode::{Content, Gather};
use crate::model::{Keep, NANOS_PER_MILLI, NANOS_PER_SECOND, Timestamp};
use crate::wire::{Compression, Limits, RefusalCode, compress};
use prost::Message;
use std::collections::BTreeMap;
use std::time::Duration;

/// Milliseconds since the epoch, by the nodes' clocks and ours.
pub(super) const NOW: u64 = 1_800_000_000_000;

pub(super) fn at(millis: u64) -> Timestamp {
    Timestamp(i64::try_from(NOW + millis).unwrap() * NANOS_PER_MILLI)
}

/// A metric with a name and an alias, as births have them.
pub(super) fn born(name: &str, alias: u64, datatype: DataType, value: Field) -> Metric {
    Metric {
        name: Some(name.to_owned()),
        alias: Some(alias),
        datatype: Some(datatype.number().into()),
        ..aliased(alias, value)
    }
}

/// A metric with an alias only, as data have them.
pub(super) fn aliased(alias: u64, value: Field) -> Metric {
    Metric { alias: Some(alias), timestamp: Some(NOW), value: Some(value), ..Metric::default() }
}

/// A metric with a name only.
pub(super) fn named(name: &str, datatype: DataType, value: Field) -> Metric {
    let metric = Metric { alias: None, ..aliased(0, value) };
    Metric { name: Some(name.to_owned()), datatype: Some(datatype.number().into()), ..metric }
}

pub(super) fn bdseq(number: u64) -> Metric {
    named("bdSeq", DataType::UInt64, Field::LongValue(number))
}

pub(super) fn bytes(seq: Option<u64>, sent: u64, metrics: &[Metric]) -> Vec<u8> {
    let payload = Payload {
        timestamp: Some(NOW + sent),
        metrics: metrics.to_vec(),
        seq,
        ..Payload::default()
    };
    payload.encode_to_vec()
}

/// A host, its clock and what it last said.
struct Story {
    host: Host,
    now: u64,
}

const N: &str = "G/N";
const D: &str = "G/N/D";
const INT: DataType = DataType::Int32;

fn int(value: u32) -> Field {
    Field::IntValue(value)
}

impl Story {
    fn new(settings: Settings) -> Story {
        let mut host = Host::new(settings);
        host.will(at(0));
        host.connected(at(0));
        Story { host, now: 0 }
    }

    /// A host that knows a node with one metric `m` (alias 1) and a device with one, `d` (alias 2).
    fn begun() -> Story {
        let mut story = Story::new(Settings::default());
        story.births(0);
        story
    }

    fn births(&mut self, bd: u64) {
        let heard = self.tell("NBIRTH/N", Some(0), &[bdseq(bd), born("m", 1, INT, int(1))]);
        assert_eq!(heard.refusals, []);
        let heard = self.tell("DBIRTH/N/D", Some(1), &[born("d", 2, INT, int(1))]);
        assert_eq!(heard.refusals, []);
    }

    fn try_tell(
        &mut self,
        topic: &str,
        seq: Option<u64>,
        metrics: &[Metric],
    ) -> Result<Heard, Puzzle> {
        let heard = self.raw(topic, &bytes(seq, self.now, metrics));
        assert_eq!(held(&self.host), self.host.shared.held_bytes);
        heard
    }

    fn raw(&mut self, topic: &str, payload: &[u8]) -> Result<Heard, Puzzle> {
        self.host.message(&format!("spBv1.0/G/{topic}"), payload, at(self.now), false)
    }

    fn tell(&mut self, topic: &str, seq: Option<u64>, metrics: &[Metric]) -> Heard {
        self.try_tell(topic, seq, metrics).unwrap()
    }

    /// Time passes, with every deadline kept; what came of it.
    fn pass(&mut self, until: u64) -> Vec<(u64, Heard)> {
        let mut told = Vec::new();
        while let Some(due) = self.host.next_deadline().filter(|due| *due <= at(until)) {
            let heard = self.host.tick(due);
            let millis = u64::try_from(due.as_millis()).unwrap() - NOW;
            told.push((millis, heard));
        }
        self.now = until;
        told
    }

    /// When rebirths were asked for while time passed.
    fn asked(&mut self, until: u64) -> Vec<u64> {
        let told = self.pass(until);
        told.iter().filter(|(_, heard)| !heard.acts.is_empty()).map(|(at, _)| *at).collect()
    }
}

/// Bytes of what waits, counted anew.
pub(super) fn held(host: &Host) -> usize {
    host.nodes.values().map(node::Node::held_bytes).sum()
}

/// `device metric=value` of everything told, but not who is online.
fn told(heard: &Heard) -> Vec<String> {
    let mut told = Vec::new();
    for reading in heard.readings.iter().map(|heard| &heard.reading) {
        for value in reading.values.iter().filter(|value| value.metric != ONLINE_METRIC) {
            let content = match &value.content {
                Content::Float(value) => format!("{value:?}"),
                Content::Int(value) => value.to_string(),
                Content::Bool(value) => value.to_string(),
                Content::Text(text) => format!("{text:?}"),
            };
            told.push(format!("{} {}={content}", reading.device, value.metric));
        }
    }
    told
}

fn presence(heard: &Heard) -> Vec<(&str, bool)> {
    let online: Vec<_> = heard
        .readings
        .iter()
        .filter(|heard| heard.reading.values[0].metric == ONLINE_METRIC)
        .map(|heard| {
            (&*heard.reading.device, heard.reading.values[0].content == Content::Bool(true))
        })
        .collect();
    let presence: Vec<_> =
        heard.presence.iter().map(|presence| (&*presence.device, presence.online)).collect();
    assert_eq!(online, presence, "who is here is a reading, too");
    presence
}

fn kinds(heard: &Heard) -> Vec<PuzzleKind> {
    heard.refusals.iter().map(|puzzle| puzzle.kind.clone()).collect()
}

/// Asks for a rebirth as the specification has it.
fn is_rebirth(act: &Act) -> bool {
    let Act::Publish { topic, payload, qos: 0, retain: false } = act else { return false };
    let payload = Payload::decode(&payload[..]).unwrap();
    topic == "spBv1.0/G/NCMD/N"
        && payload.seq.is_none()
        && payload.metrics.len() == 1
        && payload.metrics[0].name.as_deref() == Some("Node Control/Rebirth")
        && payload.metrics[0].value == Some(Field::BooleanValue(true))
}

#[test]
fn payloads_of_other_encoders_are_read() {
    let expected = |value: &serde_json::Value| match value {
        serde_json::Value::Bool(value) => Content::Bool(*value),
        serde_json::Value::String(text) => Content::Text(text.clone().into()),
        serde_json::Value::Number(number) if number.is_i64() => {
            Content::Int(number.as_i64().unwrap())
        }
        serde_json::Value::Object(float) => {
            Content::Float(float["float"].as_str().unwrap().parse().unwrap())
        }
        // The Python script marks floats; numbers from JSON that are none are ours.
        other => panic!("{other}"),
    };
    for (encoder, lines, count) in [
        ("pysparkplug", include_str!("../../tests/fixtures/sparkplug/pysparkplug.jsonl"), 6),
        ("tahu", include_str!("../../tests/fixtures/sparkplug/tahu.jsonl"), 2),
        (
            "mqtt-spb-wrapper",
            include_str!("../../tests/fixtures/sparkplug/mqtt-spb-wrapper.jsonl"),
            2,
        ),
        (
            "sparkplug-client",
            include_str!("../../tests/fixtures/sparkplug/sparkplug-client.jsonl"),
            6,
        ),
    ] {
        assert_eq!(lines.lines().count(), count);
        let mut host = Host::new(Settings::default());
        host.connected(at(0));
        for (number, line) in lines.lines().enumerate() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let hex = line["payload"].as_str().unwrap();
            let payload: Vec<u8> = (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
                .collect();
            let topic = line["topic"].as_str().unwrap();
            let heard = host.message(topic, &payload, at(1000), false).unwrap();
            let wants_online = line["expect"].get("online").is_some();
            let told: BTreeMap<String, Content<'static>> = heard
                .readings
                .iter()
                .flat_map(|heard| heard.reading.values.clone())
                .map(|value| (value.metric.into_owned(), value.content))
                .filter(|(metric, _)| metric != ONLINE_METRIC || wants_online)
                .collect();
            let wanted: BTreeMap<String, Content<'static>> = line["expect"]
                .as_object()
                .unwrap()
                .iter()
                .map(|(metric, value)| (metric.clone(), expected(value)))
                .collect();
            assert_eq!(told, wanted, "{encoder}, line {}", number + 1);
            let refused = usize::from(encoder == "tahu" && number == 0);
            assert_eq!(heard.refused, refused, "{encoder}: {:?}", heard.refusals);
            assert_eq!(heard.acts, [], "{encoder}");
        }
    }
}

#[test]
fn data_are_named_by_their_births() {
    let mut story = Story::begun();
    let heard = story.tell("NDATA/N", Some(2), &[aliased(1, int(7))]);
    assert_eq!(told(&heard), ["G/N m=7"]);
    let heard = story.tell("DDATA/N/D", Some(3), &[aliased(2, int(8)), named("d", INT, int(9))]);
    assert_eq!(told(&heard), ["G/N/D d=8", "G/N/D d=9"]);
    // An alias is its device's own: some publishers count from 0 for each.
    let heard = story.tell("DDATA/N/D", Some(4), &[aliased(1, int(8))]);
    assert_eq!(kinds(&heard), [PuzzleKind::UnknownAlias { alias: 1 }]);
    assert!(is_rebirth(&heard.acts[0]));
}

#[test]
fn who_is_born_and_dies_is_seen() {
    let mut story = Story::new(Settings::default());
    let heard = story.tell("NBIRTH/N", Some(0), &[bdseq(4)]);
    assert_eq!(presence(&heard), [(N, true)]);
    let heard = story.tell("DBIRTH/N/D", Some(1), &[]);
    assert_eq!(presence(&heard), [(D, true)]);
    story.now = 77;
    let heard = story.tell("DDEATH/N/D", Some(2), &[]);
    assert_eq!(presence(&heard), [(D, false)]);
    assert_eq!(heard.presence[0].at, at(77));
    assert_eq!(heard.readings[0].reading.time, at(77).0);
    story.tell("DBIRTH/N/D", Some(3), &[]);
    let heard = story.tell("NDEATH/N", None, &[bdseq(4)]);
    assert_eq!(presence(&heard), [(N, false), (D, false)]);
    assert!(story.tell("NDEATH/N", None, &[bdseq(4)]).is_empty());
    let standing = story.host.standing();
    assert_eq!((standing.births, standing.deaths), (3, 2));
    assert_eq!((standing.nodes_online, standing.devices_online), (0, 0));
}

#[test]
fn a_death_of_an_earlier_session_kills_nobody() {
    for number in [Field::LongValue(0), Field::LongValue(256)] {
        let mut story = Story::begun();
        story.births(1);
        // As Int64, though the birth said UInt64.
        let stale = named("bdSeq", DataType::Int64, number);
        assert!(story.tell("NDEATH/N", None, &[stale]).is_empty());
        let heard = story.tell("NDATA/N", Some(2), &[aliased(1, int(7))]);
        assert_eq!(told(&heard), ["G/N m=7"]);
        assert_eq!(story.asked(600_000), [0; 0]);
        assert_eq!(story.host.standing().stale_deaths, 1);
        let real = named("bdSeq", DataType::Int64, Field::LongValue(1));
        assert_eq!(presence(&story.tell("NDEATH/N", None, &[real])), [(N, false), (D, false)]);
    }
}

#[test]
fn a_node_that_numbers_its_death_wrongly_and_is_silent_is_gone() {
    let mut story = Story::begun();
    story.tell("NDEATH/N", None, &[bdseq(9)]);
    let told = story.pass(600_000);
    let acts: Vec<_> = told.iter().filter(|(_, heard)| !heard.acts.is_empty()).collect();
    assert_eq!(acts.len(), 1, "asked once");
    assert_eq!(acts[0].0, 5_000);
    let gone: Vec<_> = told.iter().filter(|(_, heard)| !heard.presence.is_empty()).collect();
    assert_eq!((gone.len(), gone[0].0), (1, 35_000));
    assert_eq!(presence(&gone[0].1), [(N, false), (D, false)]);
}

#[test]
fn a_late_message_is_waited_for() {
    let mut story = Story::begun();
    assert!(story.tell("NDATA/N", Some(3), &[aliased(1, int(3))]).is_empty());
    assert!(story.tell("DDATA/N/D", Some(4), &[aliased(2, int(4))]).is_empty());
    assert_eq!(story.pass(4_999).iter().filter(|(_, heard)| !heard.acts.is_empty()).count(), 0);
    let heard = story.tell("NDATA/N", Some(2), &[aliased(1, int(2))]);
    assert_eq!(told(&heard), ["G/N m=2", "G/N m=3", "G/N/D d=4"]);
    // The receipt of each is its own.
    assert_eq!(heard.readings[1].received_at, at(0));
    assert_eq!(story.asked(600_000), [0; 0]);
    let standing = story.host.standing();
    assert_eq!((standing.held, standing.lost, standing.dropped), (2, 0, 0));
}

#[test]
fn a_message_that_never_comes_makes_for_a_rebirth() {
    let mut story = Story::begun();
    story.now = 1_000;
    story.tell("NDATA/N", Some(4), &[aliased(1, int(3)), named("m", INT, int(4))]);
    story.now = 2_000;
    story.tell("NDATA/N", Some(5), &[aliased(1, int(3))]);
    let told_then = story.pass(6_000);
    let (when, heard) = told_then.iter().find(|(_, heard)| !heard.acts.is_empty()).unwrap();
    assert_eq!(*when, 6_000);
    assert!(is_rebirth(&heard.acts[0]));
    // What was lost may have been a birth, after which alias 1 is something else.
    assert_eq!(told(heard), ["G/N m=4"]);
    assert_eq!(kinds(heard), [PuzzleKind::AwaitingBirth, PuzzleKind::AwaitingBirth]);
    let heard = story.tell("NDATA/N", Some(6), &[aliased(1, int(3))]);
    assert_eq!(kinds(&heard), [PuzzleKind::AwaitingBirth]);
    assert_eq!(heard.acts, [], "one request at a time");
    // Not answered, it is asked again, more and more rarely.
    assert_eq!(story.asked(300_000), [36_000, 96_000, 216_000]);
    story.births(0);
    let heard = story.tell("NDATA/N", Some(2), &[aliased(1, int(7))]);
    assert_eq!(told(&heard), ["G/N m=7"]);
    assert_eq!(story.asked(3_600_000), [0; 0]);
    assert_eq!(story.host.standing().lost, 2);
}

#[test]
fn numbers_go_round() {
    let mut story = Story::begun();
    for seq in 2..1000_u64 {
        let heard = story.tell("NDATA/N", Some(seq % 256), &[aliased(1, int(7))]);
        assert_eq!(told(&heard), ["G/N m=7"], "{seq}");
    }
    // 0 is what encoders of proto3 leave out.
    let mut story = Story::new(Settings::default());
    story.tell("NBIRTH/N", None, &[born("m", 1, INT, int(1))]);
    assert_eq!(told(&story.tell("NDATA/N", Some(1), &[aliased(1, int(7))])), ["G/N m=7"]);
    assert_eq!(story.try_tell("NDATA/N", Some(256), &[]).unwrap_err().kind, PuzzleKind::Seq);
}

#[test]
fn too_many_that_wait_are_not_waited_for() {
    let caps = Caps { held_messages: 3, ..Caps::default() };
    let mut story = Story::new(Settings { caps, ..Settings::default() });
    story.births(0);
    for seq in [5, 4, 3] {
        assert!(story.tell("NDATA/N", Some(seq), &[named("m", INT, int(1))]).is_empty());
    }
    let heard = story.tell("NDATA/N", Some(6), &[named("m", INT, int(6))]);
    assert_eq!(told(&heard).len(), 4);
    assert!(is_rebirth(&heard.acts[0]));
    assert_eq!(story.host.shared.held_bytes, 0);

    let caps = Caps { held_bytes: 900, ..Caps::default() };
    let mut story = Story::new(Settings { caps, ..Settings::default() });
    story.births(0);
    let long = named("m", DataType::String, Field::StringValue("x".repeat(900)));
    let heard = story.tell("NDATA/N", Some(9), std::slice::from_ref(&long));
    assert!(!heard.acts.is_empty(), "there is no room for it");
}

#[test]
fn data_before_births_make_for_a_rebirth() {
    let mut story = Story::new(Settings::default());
    let heard = story.tell("DDATA/N/D", Some(7), &[aliased(2, int(1))]);
    assert_eq!(kinds(&heard), [PuzzleKind::AwaitingBirth]);
    assert!(is_rebirth(&heard.acts[0]));
    for seq in 8..20 {
        assert_eq!(story.tell("DDATA/N/D", Some(seq), &[aliased(2, int(1))]).acts, []);
    }
    story.births(0);
    // A device that was not born with its node.
    let heard = story.tell("DDATA/N/E", Some(2), &[aliased(2, int(1))]);
    assert_eq!((told(&heard).len(), heard.acts.len()), (0, 0));
    // Not sooner than the interval allows.
    assert_eq!(story.asked(29_999), [0; 0]);
    assert_eq!(story.asked(60_000).len(), 1);
}

#[test]
fn a_node_that_never_tells_is_not_asked_for_ever_more_often() {
    let mut story = Story::begun();
    let mut asked = 0;
    for round in 0..200 {
        story.pass(round * 30_000);
        let heard = story.tell("NDATA/N", Some(2), &[aliased(99, int(1))]);
        asked += heard.acts.len() + story.asked(round * 30_000 + 10).len();
        story.births(0);
    }
    assert!((3..20).contains(&asked), "{asked} times in 100 minutes");
}

#[test]
fn a_lost_broker_makes_everything_stale_and_tables_are_recalled() {
    let mut story = Story::begun();
    story.now = 50;
    let heard = story.host.disconnected(at(50));
    assert_eq!(presence(&heard), [(N, false), (D, false)]);
    assert_eq!(heard.presence[0].at, at(50));
    assert!(story.host.disconnected(at(51)).is_empty());
    story.pass(10_000);
    story.host.connected(at(10_000));
    let heard = story.tell("DDATA/N/D", Some(99), &[aliased(2, int(5))]);
    assert_eq!(presence(&heard), [(N, true), (D, true)]);
    assert_eq!(told(&heard), ["G/N/D d=5"]);
    assert_eq!(heard.acts, []);
    // It is asked to confirm its tables, once, when those that come by themselves have come.
    assert_eq!(story.asked(25_000), [20_000]);
    story.births(0);
    assert_eq!(story.asked(600_000), [0; 0]);
}

#[test]
fn a_recalled_table_that_is_contradicted_is_believed_no_more() {
    for wrong in [aliased(3, int(1)), aliased(1, Field::StringValue("no number".to_owned()))] {
        let mut story = Story::begun();
        story.host.disconnected(at(0));
        story.host.connected(at(0));
        let heard = story.tell("NDATA/N", Some(50), &[wrong]);
        assert!(is_rebirth(&heard.acts[0]));
        let heard = story.tell("NDATA/N", Some(51), &[aliased(1, int(1))]);
        assert_eq!(kinds(&heard), [PuzzleKind::AwaitingBirth]);
    }
    // A death that is not of the births we know: we missed one.
    let mut story = Story::begun();
    story.host.disconnected(at(0));
    story.host.connected(at(0));
    let heard = story.tell("NDEATH/N", None, &[bdseq(5)]);
    assert!(is_rebirth(&heard.acts[0]));
}

#[test]
fn tables_survive_a_restart() {
    let mut story = Story::begun();
    let told_then = story.pass(2_000);
    let wanted: Vec<_> = told_then.iter().flat_map(|(_, heard)| heard.remember.clone()).collect();
    assert_eq!(wanted.len(), 1, "births come in bursts, and are written down once");
    let kept = story.host.remember(&wanted[0]).unwrap();

    let mut host = Host::new(Settings::default());
    assert_eq!(host.restore(&kept).unwrap(), wanted[0]);
    assert_eq!(host.restore(&kept), Err(Damaged), "twice");
    host.connected(at(0));
    let mut story = Story { host, now: 0 };
    let heard = story.tell("DDATA/N/D", Some(99), &[aliased(2, int(5))]);
    assert_eq!(told(&heard), ["G/N/D d=5"]);
    assert_eq!(presence(&heard), [(N, true), (D, true)]);
    assert_eq!(heard.acts, []);

    // A node that died meanwhile does not answer, and is told to be offline.
    let mut host = Host::new(Settings::default());
    host.restore(&kept).unwrap();
    host.connected(at(0));
    let mut story = Story { host, now: 0 };
    let told_then = story.pass(60_000);
    let gone: Vec<_> = told_then.iter().filter(|(_, heard)| !heard.presence.is_empty()).collect();
    assert_eq!(gone[0].0, 40_000);
    assert_eq!(presence(&gone[0].1), [(N, false), (D, false)]);

    for at in 0..kept.len() {
        let mut damaged = kept.clone();
        damaged[at] ^= 0x10;
        assert_eq!(Host::new(Settings::default()).restore(&damaged), Err(Damaged), "{at}");
        assert_eq!(Host::new(Settings::default()).restore(&kept[..at]), Err(Damaged), "{at}");
    }
    // Who dies is forgotten.
    let mut story = Story::begun();
    story.tell("NDEATH/N", None, &[bdseq(0)]);
    let told_then = story.pass(2_000);
    assert_eq!(told_then.iter().map(|(_, heard)| heard.remember.len()).sum::<usize>(), 1);
    assert_eq!(story.host.remember(&wanted[0]), None);
}

#[test]
fn many_recalled_nodes_are_asked_one_after_the_other() {
    let mut host = Host::new(Settings::default());
    host.connected(at(0));
    for node in 0..50 {
        let birth = bytes(Some(0), 0, &[born("m", 1, INT, int(1))]);
        host.message(&format!("spBv1.0/G/NBIRTH/{node}"), &birth, at(0), false).unwrap();
    }
    host.disconnected(at(0));
    assert!(host.connected(at(0)).is_empty(), "no host id, no STATE");
    let mut story = Story { host, now: 0 };
    let asked = story.asked(34_501);
    assert_eq!(asked.len(), 50);
    let fast = |gap: &[u64]| gap[1] - gap[0] != 500;
    assert_eq!(asked.windows(2).filter(|gap| fast(gap)).count(), 0, "{asked:?}");
    assert_eq!(asked[0], 10_000);
}

#[test]
fn a_device_that_is_not_born_again_is_gone() {
    let mut story = Story::begun();
    let heard = story.tell("NBIRTH/N", Some(0), &[bdseq(0)]);
    assert_eq!(presence(&heard), []);
    // Its aliases are of the births before.
    let heard = story.tell("DDATA/N/D", Some(1), &[aliased(2, int(1))]);
    assert_eq!((told(&heard).len(), heard.acts.len()), (0, 1));
    let told_then = story.pass(5_000);
    let (_, heard) = told_then.iter().find(|(_, heard)| !heard.presence.is_empty()).unwrap();
    assert_eq!(presence(heard), [(D, false)]);
    assert_eq!(story.host.standing().devices, 0);
}

#[test]
fn our_state_has_the_timestamp_of_our_will() {
    let settings = Settings { host_id: "scada".to_owned(), ..Settings::default() };
    let mut host = Host::new(settings);
    let will = host.will(at(5)).unwrap();
    assert_eq!((will.qos, will.retain, &*will.topic), (1, true, "spBv1.0/STATE/scada"));
    assert_eq!(will.payload, format!(r#"{{"online":false,"timestamp":{}}}"#, NOW + 5).as_bytes());
    let online = Act::Publish {
        topic: "spBv1.0/STATE/scada".to_owned(),
        payload: format!(r#"{{"online":true,"timestamp":{}}}"#, NOW + 5).into_bytes(),
        qos: 1,
        retain: true,
    };
    let subscribe = Act::Subscribe { filter: "spBv1.0/STATE/scada".to_owned(), qos: 1 };
    assert_eq!(host.connected(at(9)), [subscribe, online.clone()]);
    let mut state = |host_id: &str, payload: &str, retained| {
        let topic = format!("spBv1.0/STATE/{host_id}");
        host.message(&topic, payload.as_bytes(), at(20), retained).unwrap().acts
    };
    assert_eq!(state("scada", r#"{"online":true,"timestamp":7}"#, false), []);
    assert_eq!(state("other", r#"{"online":false,"timestamp":7}"#, false), []);
    assert_eq!(
        state("scada", r#"{"online":false,"timestamp":7}"#, true),
        std::slice::from_ref(&online)
    );
    assert_eq!(state("scada", "OFFLINE", false), [online]);
    // Nodes would not believe an older one.
    let newer = format!(r#"{{"online":false,"timestamp":{}}}"#, NOW + 10);
    let [Act::Publish { payload, .. }] = &state("scada", &newer, false)[..] else { panic!() };
    assert_eq!(payload, format!(r#"{{"online":true,"timestamp":{}}}"#, NOW + 20).as_bytes());
    let Some(Act::Publish { payload, .. }) = host.farewell(at(30)) else { panic!() };
    assert_eq!(payload, format!(r#"{{"online":false,"timestamp":{}}}"#, NOW + 30).as_bytes());
    assert_eq!(Host::new(Settings::default()).will(at(0)), None);
}

#[test]
fn values_go_where_they_belong() {
    let mut story = Story::begun();
    let historical = Metric { is_historical: Some(true), ..aliased(1, int(1)) };
    let transient = Metric { is_transient: Some(true), ..aliased(1, int(2)) };
    let nowhere = Metric { is_transient: Some(true), ..historical.clone() };
    let null = Metric { is_null: Some(true), value: None, ..aliased(1, int(4)) };
    let metrics = [historical, transient, nowhere, null, aliased(1, int(5))];
    let heard = story.tell("NDATA/N", Some(2), &metrics);
    let keeps: Vec<_> = heard.readings.iter().map(|heard| heard.reading.keep).collect();
    assert_eq!(keeps, [Keep::StoresOnly, Keep::LiveOnly, Keep::Everywhere]);
    assert_eq!(told(&heard), ["G/N m=1", "G/N m=2", "G/N m=5"]);
    assert_eq!(kinds(&heard), [PuzzleKind::Nowhere]);
}

#[test]
fn times_are_the_metrics_own() {
    let mut story = Story::begun();
    let timed = |timestamp| Metric { timestamp, ..aliased(1, int(1)) };
    let metrics = [
        timed(Some(NOW - 60_000)),
        timed(None),
        timed(Some(1)),
        timed(Some(NOW * 2)),
        timed(Some(u64::MAX)),
    ];
    story.now = 30;
    let heard = story.tell("NDATA/N", Some(2), &metrics);
    let times: Vec<_> = heard.readings.iter().map(|heard| heard.reading.time).collect();
    assert_eq!(times, [at(0).0 - 60 * NANOS_PER_SECOND, at(30).0]);
    use PuzzleKind::{TooFarAhead, TooOld};
    assert_eq!(kinds(&heard), [TooOld, TooFarAhead, TooFarAhead]);
}

#[test]
fn units_and_qualities_are_told() {
    let property = |key: &str, value| {
        let value = PropertyValue { value: Some(value), ..PropertyValue::default() };
        Some(PropertySet { keys: vec![key.to_owned()], values: vec![value] })
    };
    use property_value::Value as P;
    let mut story = Story::begun();
    let unit = property("engUnit", P::StringValue("°C".to_owned()));
    let birth =
        Metric { properties: unit, ..born("m", 1, DataType::Double, Field::DoubleValue(1.0)) };
    let heard = story.tell("NBIRTH/N", Some(0), &[birth]);
    assert_eq!(heard.readings[0].reading.values[0].unit, "°C");
    let double = |value| aliased(1, Field::DoubleValue(value));
    let heard = story.tell("NDATA/N", Some(1), &[double(2.0)]);
    assert_eq!(heard.readings[0].reading.values[0].unit, "°C");
    let quality = |code| property("Quality", P::IntValue(code));
    let bad = Metric { properties: quality(0), ..double(3.0) };
    assert_eq!(told(&story.tell("NDATA/N", Some(2), &[bad])), ["G/N m.quality=0"]);
    let heard = story.tell("NDATA/N", Some(3), &[double(4.0)]);
    assert_eq!(told(&heard), ["G/N m.quality=192", "G/N m=4.0"]);
    let good = Metric { properties: quality(192), ..double(5.0) };
    assert_eq!(told(&story.tell("NDATA/N", Some(4), &[good])), ["G/N m=5.0"]);
}

#[test]
fn names_are_told_apart() {
    let mut story = Story::new(Settings::default());
    let names = ["Motor/Temperature", "a/b", "a.b", "plain"];
    let birth: Vec<_> = names
        .iter()
        .zip(1..)
        .map(|(name, alias)| born(name, alias, INT, int(alias as u32)))
        .collect();
    let heard = story.tell("NBIRTH/N", Some(0), &birth);
    assert_eq!(told(&heard), ["G/N Motor.Temperature=1", "G/N a/b=2", "G/N a.b=3", "G/N plain=4"]);
    // What no birth told is taken as long as it can't be mistaken for another.
    let later = [named("new/one", INT, int(5)), named("Motor.Temperature", INT, int(6))];
    let heard = story.tell("NDATA/N", Some(1), &later);
    assert_eq!(told(&heard), ["G/N new.one=5"]);
    assert_eq!(kinds(&heard), [PuzzleKind::NotBorn]);
    let again = [named("new/one", INT, int(7)), named("new.one", INT, int(8))];
    assert_eq!(told(&story.tell("NDATA/N", Some(2), &again)), ["G/N new.one=7"]);
    // An alias that stands for two metrics stands for none.
    let twice = [born("x", 1, INT, int(1)), born("y", 1, INT, int(2))];
    let heard = story.tell("NBIRTH/N", Some(0), &twice);
    assert_eq!(told(&heard), ["G/N x=1", "G/N y=2"]);
    let heard = story.tell("NDATA/N", Some(1), &[aliased(1, int(3))]);
    assert_eq!((kinds(&heard), heard.acts), (vec![PuzzleKind::AliasTwice { alias: 1 }], vec![]));
}

#[test]
fn a_metric_that_is_called_online_is_the_devices_own() {
    let mut story = Story::new(Settings::default());
    let own = born(ONLINE_METRIC, 1, DataType::Boolean, Field::BooleanValue(false));
    let heard = story.tell("NBIRTH/N", Some(0), &[own]);
    assert_eq!(heard.readings.len(), 1);
    assert_eq!(heard.readings[0].reading.values[0].content, Content::Bool(false));
    assert_eq!(heard.presence.len(), 1);
}

#[test]
fn what_is_told_fits_a_batch() {
    let mut story = Story::new(Settings::default());
    let long = "x".repeat(200);
    let mut birth: Vec<_> = (0..3000).map(|i| born(&format!("m{i}"), i, INT, int(7))).collect();
    birth.push(born(&long, 5000, INT, int(1)));
    birth.push(born("nan", 5001, DataType::Double, Field::DoubleValue(f64::NAN)));
    birth.push(born("text", 5002, DataType::Text, Field::StringValue("x".repeat(5000))));
    birth.push(born("line\nbreak", 5003, INT, int(1)));
    birth.push(born("m1", 1, INT, int(8)));
    let heard = story.tell("NBIRTH/N", Some(0), &birth);
    assert_eq!(heard.refused, 4, "{:?}", heard.refusals);
    let limits = Limits::default();
    let mut gather = Gather::new(&limits);
    for heard in heard.readings {
        gather.push(heard.reading, heard.received_at).unwrap();
    }
    assert_eq!(gather.samples(), 3002, "with who is online");
}

#[test]
fn a_payload_costs_no_more_than_it_has() {
    let mut story = Story::begun();
    // Two bytes a metric.
    let metrics = [0x12, 0].repeat(100_000);
    let too_many = PuzzleKind::TooMany { what: "metrics", max: 65_536 };
    assert_eq!(story.raw("NDATA/N", &metrics).unwrap_err().kind, too_many);
    assert_eq!(too_many.code(), RefusalCode::LimitExceeded);
    // A length that is not there.
    let claim = [0x12, 0xff, 0xff, 0xff, 0xff, 0x0f];
    assert_eq!(story.raw("NDATA/N", &claim).unwrap_err().kind, PuzzleKind::Malformed);
    let packed = |compression, uuid: &str, plain: &[u8]| {
        let body = Some(compress(compression, 9, plain));
        Payload { uuid: Some(uuid.to_owned()), body, ..Payload::default() }.encode_to_vec()
    };
    for compression in [Compression::Gzip, Compression::Zlib] {
        let bomb = packed(compression, "SPBV1.0_COMPRESSED", &vec![0; 64 << 20]);
        let refused = story.raw("NDATA/N", &bomb).unwrap_err();
        assert_eq!(refused.code(), RefusalCode::TooLarge, "{refused}");
        assert!(story.host.shared.scratch.len() <= 16 << 20);
        let inner = bytes(Some(2), 0, &[]);
        let twice = packed(
            compression,
            "SPBV1.0_COMPRESSED",
            &packed(compression, "SPBV1.0_COMPRESSED", &inner),
        );
        assert_eq!(story.raw("NDATA/N", &twice).unwrap_err().kind, PuzzleKind::CompressedTwice);
    }
    let damaged = Payload {
        uuid: Some("SPBV1.0_COMPRESSED".to_owned()),
        body: Some(vec![0x78, 0x9c, 1, 2, 3]),
        ..Payload::default()
    };
    let refused = story.raw("NDATA/N", &damaged.encode_to_vec()).unwrap_err();
    assert_eq!(refused.code(), RefusalCode::Malformed, "{refused}");
    let algorithm = named("algorithm", DataType::String, Field::StringValue("LZ4".to_owned()));
    let other = Payload { metrics: vec![algorithm], ..damaged };
    let refused = story.raw("NDATA/N", &other.encode_to_vec()).unwrap_err();
    assert_eq!(refused.kind, PuzzleKind::Algorithm { algorithm: "LZ4".to_owned() });
    // None of it moved the order of messages.
    let heard = story.tell("NDATA/N", Some(2), &[aliased(1, int(7))]);
    assert_eq!(told(&heard), ["G/N m=7"]);
}

#[test]
fn one_message_becomes_no_more_values_than_allowed() {
    let caps = Caps { elements: 4, message_values: 6, ..Caps::default() };
    let mut story = Story::new(Settings { caps, ..Settings::default() });
    let array =
        |name: &str, len: usize| named(name, DataType::Int8Array, Field::BytesValue(vec![1; len]));
    let heard = story.tell(
        "NBIRTH/N",
        Some(0),
        &[array("a", 4), array("b", 5), array("c", 3), array("d", 2)],
    );
    assert_eq!(told(&heard).len(), 6);
    let too_many = |max| PuzzleKind::TooMany { what: "values of one metric", max };
    assert_eq!(kinds(&heard), [too_many(2), too_many(2)]);
    // A data set or template is cut off there, and that is said.
    let rows = vec![
        payload::data_set::Row {
            elements: vec![payload::data_set::DataSetValue {
                value: Some(payload::data_set::data_set_value::Value::IntValue(1)),
            }]
        };
        9
    ];
    let table = payload::DataSet {
        num_of_columns: Some(1),
        columns: vec!["x".to_owned()],
        types: vec![3],
        rows,
    };
    let heard = story.tell(
        "NDATA/N",
        Some(1),
        &[named("t", DataType::DataSet, Field::DatasetValue(table))],
    );
    assert_eq!((told(&heard).len(), kinds(&heard)), (4, vec![too_many(4)]));
}

#[test]
fn nodes_and_tables_are_bounded() {
    let caps =
        Caps { nodes: 3, devices: 2, node_metrics: 5, table_bytes: 10_000, ..Caps::default() };
    let mut story = Story::new(Settings { caps, ..Settings::default() });
    for node in ["A", "B", "C"] {
        story.raw(&format!("NDATA/{node}"), &bytes(Some(0), 0, &[])).unwrap();
    }
    let full = PuzzleKind::TooMany { what: "nodes", max: 3 };
    assert_eq!(story.try_tell("NDATA/N", Some(0), &[]).unwrap_err().kind, full);
    // Who was only ever asked for makes room.
    story.pass(31_000);
    story.births(0);
    assert_eq!(story.host.standing().nodes, 1);
    let six: Vec<_> = (0..6).map(|i| born(&format!("m{i}"), i, INT, int(1))).collect();
    let heard = story.tell("DBIRTH/N/E", Some(2), &six);
    assert_eq!(kinds(&heard), [PuzzleKind::TooMany { what: "metrics of a node", max: 2 }]);
    let heard = story.tell("DBIRTH/N/F", Some(3), &[]);
    assert_eq!(kinds(&heard), [PuzzleKind::TooMany { what: "devices of a node", max: 2 }]);
    let long = born(&"x".repeat(20_000), 7, INT, int(1));
    let heard = story.tell("DBIRTH/N/E", Some(4), &[long]);
    assert_eq!(kinds(&heard), [PuzzleKind::TooMany { what: "bytes of tables", max: 10_000 }]);
    let counted: usize = story
        .host
        .nodes
        .values()
        .flat_map(node::Node::scopes)
        .map(|scope| scope.table.bytes())
        .sum();
    assert_eq!(story.host.shared.table_bytes, counted);
    // An NBIRTH that is too large leaves nothing to be believed.
    let refused = story.try_tell("NBIRTH/N", Some(0), &six).unwrap_err();
    assert_eq!(refused.kind, PuzzleKind::TooMany { what: "metrics of a node", max: 5 });
    let heard = story.tell("NDATA/N", Some(1), &[aliased(1, int(1))]);
    assert_eq!(kinds(&heard), [PuzzleKind::AwaitingBirth]);
}

#[test]
fn commands_go_to_who_is_here_and_has_the_metric() {
    let mut story = Story::begun();
    let set = |story: &Story, device: &str, metric: &str, value: Content<'_>| {
        story.host.command(device, metric, &value, at(3))
    };
    let Ok(Act::Publish { topic, payload, qos: 0, retain: false }) =
        set(&story, D, "d", Content::Int(-2))
    else {
        panic!()
    };
    assert_eq!(topic, "spBv1.0/G/DCMD/N/D");
    let payload = Payload::decode(&payload[..]).unwrap();
    assert_eq!((payload.timestamp, payload.seq), (Some(NOW + 3), None));
    let metric = &payload.metrics[0];
    assert_eq!(metric.name.as_deref(), Some("d"));
    assert_eq!(metric.datatype, Some(Tahu::Int32 as u32));
    assert_eq!(metric.value, Some(Field::IntValue(-2_i32 as u32)));
    let error = |result: Result<Act, CommandError>| result.unwrap_err().to_string();
    assert_eq!(error(set(&story, D, "d", Content::Bool(true))), "the value is not a Int32");
    assert_eq!(error(set(&story, D, "d", Content::Int(1 << 40))), "the value is not a Int32");
    assert_eq!(error(set(&story, D, "e", Content::Int(1))), "G/N/D has no metric e");
    assert_eq!(error(set(&story, "G/X", "e", Content::Int(1))), "no Sparkplug device G/X is known");
    story.tell("DDEATH/N/D", Some(2), &[]);
    assert_eq!(error(set(&story, D, "d", Content::Int(1))), "G/N/D is offline");
}

#[test]
fn what_is_not_for_us_is_left_alone() {
    let mut story = Story::begun();
    assert!(story.tell("NCMD/N", None, &[]).is_empty());
    assert!(story.tell("DCMD/N/D", None, &[]).is_empty());
    assert!(story.tell("NDEATH/X", None, &[]).is_empty());
    assert_eq!(story.raw("XDATA/N", &[]).unwrap_err().kind, PuzzleKind::Topic);
    let name = story.raw("NBIRTH/N\u{202e}", &[]).unwrap_err();
    assert_eq!(name.code(), RefusalCode::BadName);
    let old = bytes(Some(0), 0, &[]);
    let retained = story.host.message("spBv1.0/G/NBIRTH/N", &old, at(0), true).unwrap_err();
    assert_eq!(retained.kind, PuzzleKind::Retained);
    assert_eq!(retained.to_string(), "the message is a retained one, so nobody knows from when");
}

#[test]
fn a_birth_that_can_not_be_read_is_one_nevertheless() {
    let mut story = Story::begun();
    let heard = story.raw("NBIRTH/N", &[0xff]).unwrap();
    assert_eq!(kinds(&heard), [PuzzleKind::Malformed]);
    assert!(is_rebirth(&heard.acts[0]));
    let heard = story.tell("NDATA/N", Some(2), &[aliased(1, int(7))]);
    assert_eq!(kinds(&heard), [PuzzleKind::AwaitingBirth]);
}

#[test]
fn a_device_without_its_nodes_birth_is_read_by_names() {
    let mut story = Story::new(Settings::default());
    let heard = story.tell("DBIRTH/N/D", Some(9), &[born("d", 2, INT, int(1))]);
    assert_eq!((told(&heard), presence(&heard)), (vec!["G/N/D d=1".to_owned()], vec![(D, true)]));
    assert!(is_rebirth(&heard.acts[0]));
    let data = [aliased(2, int(3)), named("d", INT, int(4))];
    let heard = story.tell("DDATA/N/D", Some(9), &data);
    assert_eq!(told(&heard), ["G/N/D d=4"]);
    assert_eq!(presence(&story.tell("DDEATH/N/D", None, &[])), [(D, false)]);
}

#[test]
fn a_message_of_the_session_before_does_not_take_the_new_tables() {
    let mut story = Story::begun();
    story.now = 100;
    // The alias of `m` is now that of `other`.
    let swapped = [bdseq(1), born("m", 2, INT, int(1)), born("other", 1, INT, int(1))];
    story.tell("NBIRTH/N", Some(0), &swapped);
    // Sent at 50, before the birth: its number fits by chance.
    let late = bytes(Some(1), 50, &[aliased(1, int(9)), named("m", INT, int(9))]);
    let heard = story.raw("NDATA/N", &late).unwrap();
    assert_eq!(told(&heard), ["G/N m=9"]);
    assert_eq!(kinds(&heard), [PuzzleKind::AwaitingBirth]);
    // And one whose number does not fit does not wait for its turn.
    let late = bytes(Some(7), 50, &[aliased(1, int(9))]);
    assert!(story.raw("NDATA/N", &late).unwrap().is_empty());
    assert_eq!(story.host.shared.held_bytes, 0);
    let heard = story.tell("NDATA/N", Some(2), &[aliased(1, int(10))]);
    assert_eq!(told(&heard), ["G/N other=10"]);
    assert_eq!(story.asked(600_000), [0; 0]);
}

#[test]
fn a_birth_of_an_earlier_connection_does_not_replace_the_later() {
    let mut story = Story::begun();
    story.now = 100;
    story.births(1);
    let late = bytes(Some(0), 50, &[bdseq(0), born("old", 1, INT, int(1))]);
    assert!(story.raw("NBIRTH/N", &late).unwrap().is_empty());
    let heard = story.tell("NDATA/N", Some(2), &[aliased(1, int(7))]);
    assert_eq!(told(&heard), ["G/N m=7"]);
    // A node whose clock was set back is another matter.
    let reborn = bytes(Some(0), 50, &[bdseq(2), born("new", 1, INT, int(1))]);
    assert_eq!(told(&story.raw("NBIRTH/N", &reborn).unwrap()), ["G/N new=1"]);
}

#[test]
fn nobody_is_asked_through_a_broker_that_is_gone() {
    let mut story = Story::begun();
    story.tell("NDATA/N", Some(9), &[]);
    story.host.disconnected(at(0));
    assert_eq!(story.asked(600_000), [0; 0]);
    let mut story = Story::begun();
    story.tell("DDATA/N/E", Some(2), &[aliased(1, int(1))]);
    story.host.farewell(at(0));
    assert_eq!(story.asked(600_000), [0; 0]);
    assert_eq!(Duration::from_millis(600_000), REBIRTH_INTERVAL_MIN * 20);
}
