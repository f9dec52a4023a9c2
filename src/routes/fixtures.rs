//! The routes of `docs/mqtt.md`, as they stand there, with messages of real senders.

use super::{Message, Route, RouteSpec, read};
use crate::decode::{Content, Gather, Reading};
use crate::model::Timestamp;
use crate::wire::Limits;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

const MANUAL: &str = include_str!("../../docs/mqtt.md");

macro_rules! fixtures {
    ($($name:literal,)*) => {
        [$(($name, include_str!(concat!("../../tests/fixtures/mqtt/", $name))),)*]
    };
}

const FIXTURES: [(&str, &str); 8] = fixtures! {
    "home-assistant.json",
    "plain.json",
    "readings.json",
    "shelly-gen1.json",
    "shelly-gen2.json",
    "tasmota.json",
    "the-things-stack.json",
    "zigbee2mqtt.json",
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixture<'a> {
    /// Where the shapes are from.
    #[serde(default)]
    #[expect(dead_code, reason = "for people")]
    source: String,
    received_at: String,
    #[serde(borrow)]
    messages: Vec<Sent<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent<'a> {
    topic: String,
    /// JSON as it was sent; a text is the payload itself.
    #[serde(borrow)]
    payload: &'a RawValue,
    readings: Option<Vec<Expected>>,
    puzzle: Option<String>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    device: String,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    /// That of arrival, if none is told.
    time: Option<String>,
    values: BTreeMap<String, serde_json::Value>,
    #[serde(default)]
    units: BTreeMap<String, String>,
}

impl Expected {
    fn of(reading: &Reading<'_>, received_at: i64) -> Expected {
        let text = |text: &str| text.to_owned();
        let values = reading.values.iter().map(|value| {
            let content = match &value.content {
                Content::Float(value) => (*value).into(),
                Content::Int(value) => (*value).into(),
                Content::Bool(value) => (*value).into(),
                Content::Text(value) => (&**value).into(),
            };
            (text(&value.metric), content)
        });
        let units = reading.values.iter().filter(|value| !value.unit.is_empty());
        let time = jiff::Timestamp::from_nanosecond(reading.time.into()).unwrap();
        Expected {
            device: text(&reading.device),
            tags: reading.tags.iter().map(|(key, value)| (text(key), text(value))).collect(),
            time: (reading.time != received_at).then(|| time.to_string()),
            values: values.collect(),
            units: units.map(|value| (text(&value.metric), text(&value.unit))).collect(),
        }
    }
}

/// The routes in the block of the manual that follows the mention of a fixture.
fn routes(fixture: &str) -> Vec<Route> {
    #[derive(Deserialize)]
    struct Block {
        intake: BTreeMap<String, BTreeMap<String, Vec<RouteSpec>>>,
    }
    let link = format!("(../tests/fixtures/mqtt/{fixture})");
    let (_, after) = MANUAL.split_once(&link).expect("the manual has it");
    let (_, block) = after.split_once("```toml\n").expect("a block");
    let (block, _) = block.split_once("```").expect("its end");
    let block: Block = toml::from_str(block).unwrap_or_else(|error| panic!("{fixture}: {error}"));
    let specs = &block.intake["mqtt"]["routes"];
    let route =
        |spec| Route::new(spec).unwrap_or_else(|mistakes| panic!("{fixture}: {mistakes:?}"));
    specs.iter().map(route).collect()
}

#[test]
fn the_manuals_routes_read_what_senders_send() {
    for (name, fixture) in FIXTURES {
        let routes = routes(name);
        let fixture: Fixture<'_> =
            serde_json::from_str(fixture).unwrap_or_else(|error| panic!("{name}: {error}"));
        let received_at: jiff::Timestamp = fixture.received_at.parse().unwrap();
        let received_at = Timestamp(received_at.as_nanosecond().try_into().unwrap());
        let mut taken = vec![false; routes.len()];
        for sent in &fixture.messages {
            let raw = sent.payload.get();
            let payload = serde_json::from_str(raw).unwrap_or_else(|_| raw.to_owned());
            let (number, captures) = routes
                .iter()
                .enumerate()
                .find_map(|(number, route)| Some((number, route.takes(&sent.topic)?)))
                .unwrap_or_else(|| panic!("{name}: no route takes {}", sent.topic));
            taken[number] = true;
            let message = Message {
                topic: &sent.topic,
                payload: payload.as_bytes(),
                received_at,
                retained: false,
                content_type: None,
                properties: &[],
            };
            let limits = Limits::default();
            let readings = match (read(&routes[number], &captures, &message, &limits), &sent.puzzle)
            {
                (Ok(readings), None) => readings,
                (Err(puzzle), Some(expected)) => {
                    assert!(puzzle.to_string().contains(expected), "{name}: {puzzle}");
                    continue;
                }
                (found, expected) => panic!("{name}: {raw}\n{found:?}\n{expected:?}"),
            };
            let found: Vec<_> =
                readings.iter().map(|reading| Expected::of(reading, received_at.0)).collect();
            assert_eq!(Some(&found), sent.readings.as_ref(), "{name}: {raw}");
            let mut gather = Gather::new(&limits);
            for reading in readings {
                gather.push(reading, received_at).unwrap_or_else(|fault| panic!("{name}: {fault}"));
            }
        }
        assert!(!taken.contains(&false), "{name}: a route takes none of the messages: {taken:?}");
    }
}

#[test]
fn every_fixture_of_the_manual_is_read() {
    let links = MANUAL.split("(../tests/fixtures/mqtt/").skip(1);
    let mut named: Vec<_> = links.filter_map(|rest| Some(rest.split_once(')')?.0)).collect();
    named.sort_unstable();
    assert_eq!(named, FIXTURES.map(|(name, _)| name));
}

#[test]
fn every_key_of_a_route_stands_in_the_manual() {
    let keys = toml::Table::try_from(RouteSpec::default()).unwrap();
    for key in keys.keys() {
        assert!(
            MANUAL.contains(&format!("`{key}")) || MANUAL.contains(&format!("\n{key} = ")),
            "{key}"
        );
    }
}
