//! Stories of nodes, told to a host message by message.

use super::proto::Payload;
use super::proto::payload::Metric;
use super::proto::payload::metric::Value as Field;
use super::*;
use crate::decode::Content;
use crate::model::{NANOS_PER_MILLI, Timestamp};
use crate::wire::RefusalCode;
use prost::Message;

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
pub(super) struct Story {
    pub(super) host: Host,
    pub(super) now: u64,
}

pub(super) const N: &str = "G/N";
pub(super) const D: &str = "G/N/D";
pub(super) const INT: DataType = DataType::Int32;

pub(super) fn int(value: u32) -> Field {
    Field::IntValue(value)
}

impl Story {
    pub(super) fn new(settings: Settings) -> Story {
        let mut host = Host::new(settings);
        host.will(at(0));
        host.connected(at(0));
        Story { host, now: 0 }
    }

    /// A host that knows a node with one metric `m` (alias 1) and a device with one, `d` (alias 2).
    pub(super) fn begun() -> Story {
        let mut story = Story::new(Settings::default());
        story.births(0);
        story
    }

    pub(super) fn births(&mut self, bd: u64) {
        let heard = self.tell("NBIRTH/N", Some(0), &[bdseq(bd), born("m", 1, INT, int(1))]);
        assert_eq!(heard.refusals, []);
        let heard = self.tell("DBIRTH/N/D", Some(1), &[born("d", 2, INT, int(1))]);
        assert_eq!(heard.refusals, []);
    }

    pub(super) fn try_tell(
        &mut self,
        topic: &str,
        seq: Option<u64>,
        metrics: &[Metric],
    ) -> Result<Heard, Puzzle> {
        let heard = self.raw(topic, &bytes(seq, self.now, metrics));
        assert_eq!(held(&self.host), self.host.shared.held_bytes);
        heard
    }

    pub(super) fn raw(&mut self, topic: &str, payload: &[u8]) -> Result<Heard, Puzzle> {
        self.host.message(&format!("spBv1.0/G/{topic}"), payload, at(self.now), false)
    }

    pub(super) fn tell(&mut self, topic: &str, seq: Option<u64>, metrics: &[Metric]) -> Heard {
        self.try_tell(topic, seq, metrics).unwrap()
    }

    /// Time passes, with every deadline kept; what came of it.
    pub(super) fn pass(&mut self, until: u64) -> Vec<(u64, Heard)> {
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
    pub(super) fn asked(&mut self, until: u64) -> Vec<u64> {
        let told = self.pass(until);
        told.iter().filter(|(_, heard)| !heard.acts.is_empty()).map(|(at, _)| *at).collect()
    }
}

/// Bytes of what waits, counted anew.
pub(super) fn held(host: &Host) -> usize {
    host.nodes.values().map(node::Node::held_bytes).sum()
}

/// `device metric=value` of everything told, but not who is online.
pub(super) fn told(heard: &Heard) -> Vec<String> {
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

pub(super) fn presence(heard: &Heard) -> Vec<(&str, bool)> {
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

pub(super) fn kinds(heard: &Heard) -> Vec<PuzzleKind> {
    heard.refusals.iter().map(|puzzle| puzzle.kind.clone()).collect()
}

/// Asks for a rebirth as the specification has it.
pub(super) fn is_rebirth(act: &Act) -> bool {
    let Act::Publish { topic, payload, qos: 0, retain: false } = act else { return false };
    let payload = Payload::decode(&payload[..]).unwrap();
    topic == "spBv1.0/G/NCMD/N"
        && payload.seq.is_none()
        && payload.metrics.len() == 1
        && payload.metrics[0].name.as_deref() == Some("Node Control/Rebirth")
        && payload.metrics[0].value == Some(Field::BooleanValue(true))
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
