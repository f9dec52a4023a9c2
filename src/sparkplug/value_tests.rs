//! What metrics become, and what they may cost.

use super::proto::Payload;
use super::proto::payload::metric::Value as Field;
use super::proto::payload::{self, Metric, PropertySet, PropertyValue, property_value};
use super::tests::{INT, NOW, Story, aliased, at, born, bytes, int, kinds, named, told};
use super::*;
use crate::decode::{Content, Gather};
use crate::model::{Keep, NANOS_PER_SECOND};
use crate::wire::{Compression, Limits, RefusalCode, compress};
use prost::Message;
use std::collections::BTreeMap;

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
