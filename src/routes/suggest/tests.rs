use super::*;
use crate::decode::Reading;
use proptest::prelude::*;

/// The route in a suggestion, as the configuration would read it.
fn spec(suggestion: &str) -> RouteSpec {
    #[derive(serde::Deserialize)]
    struct File {
        intake: Intake,
    }
    #[derive(serde::Deserialize)]
    struct Intake {
        mqtt: Mqtt,
    }
    #[derive(serde::Deserialize)]
    struct Mqtt {
        routes: Vec<RouteSpec>,
    }
    let file: File = toml::from_str(suggestion).unwrap_or_else(|e| panic!("{suggestion}\n{e}"));
    file.intake.mqtt.routes.into_iter().next().unwrap()
}

fn check(topic: &str, payload: &str, remark: &str, pattern: &str, decoder: &str, readings: &str) {
    let suggestion = suggest(topic, payload.as_bytes());
    let spec = spec(&suggestion);
    assert!(suggestion.contains(remark), "{suggestion}");
    assert!(!suggestion.contains("would not pass"), "{suggestion}");
    assert_eq!((spec.topic.as_str(), spec.decoder.as_str()), (pattern, decoder), "{suggestion}");
    let route = Route::new(&spec).unwrap();
    let captures = route.takes(topic).unwrap();
    let (received_at, properties) = (Timestamp(0), &[][..]);
    let payload = payload.as_bytes();
    let message =
        Message { topic, payload, received_at, retained: false, content_type: None, properties };
    let told = |reading: &Reading<'_>| {
        let values = reading.values.iter().map(|value| format!(" {}", value.metric));
        format!("{}@{}{}", reading.device, reading.time / 1_000_000_000, values.collect::<String>())
    };
    let found = match read(&route, &captures, &message, &Limits::READ_BACK) {
        Ok(found) => found.iter().map(told).collect::<Vec<_>>().join("; "),
        Err(Puzzle::OtherDoor { .. }) => String::new(),
        Err(puzzle) => panic!("{suggestion}\n{puzzle}"),
    };
    assert_eq!(found, readings, "{suggestion}");
}

use crate::routes::Puzzle;

#[test]
fn senders_that_are_known_are_recognised() {
    check("spBv1.0/g/NDATA/n", "\u{8}", "Sparkplug", "spBv1.0/#", "sparkplug", "");
    check(
        "zigbee2mqtt/lamp",
        r#"{"state":"ON","linkquality":99}"#,
        "Zigbee2MQTT",
        "zigbee2mqtt/{device}",
        "json",
        "lamp@0 state linkquality",
    );
    check(
        "zigbee2mqtt/kitchen/lamp",
        r#"{"linkquality":99}"#,
        "Zigbee2MQTT",
        "zigbee2mqtt/{device#}",
        "json",
        "kitchen/lamp@0 linkquality",
    );
    check(
        "zigbee2mqtt/lamp/availability",
        r#"{"state":"online"}"#,
        "reached",
        "zigbee2mqtt/{device}/availability",
        "json",
        "lamp@0 online",
    );
    check("zigbee2mqtt/bridge/info", "{}", "bridge", "zigbee2mqtt/bridge/#", "ignore", "");
    check("zigbee2mqtt/lamp/set", "{}", "commands", "zigbee2mqtt/+/set", "ignore", "");
    check(
        "tele/plug/SENSOR",
        r#"{"Time":"2024-03-02T18:25:03","AM2301":{"Temperature":22.6},"TempUnit":"C"}"#,
        "arrival",
        "tele/{device}/SENSOR",
        "json",
        "plug@0 AM2301.Temperature",
    );
    check("tele/plug/LWT", "Online", "connected", "tele/{device}/LWT", "scalar", "plug@0 online");
    check("stat/plug/POWER", "ON", "Tasmota", "stat/{device}/{metric}", "scalar", "plug@0 POWER");
    check(
        "shellies/s1/relay/0/power",
        "12.5",
        "Shelly, first",
        "shellies/{device}/{metric#}",
        "scalar",
        "s1@0 relay/0/power",
    );
    check("shellies/announce", "{}", "Shelly, first", "shellies/announce", "ignore", "");
    check("shellies/s1/info", "{}", "Shelly, first", "shellies/+/info", "ignore", "");
    check(
        "home/shellyplus1pm-1/events/rpc",
        r#"{"src":"s2","method":"NotifyStatus","params":{"ts":1631186545.04,"switch:0":{"id":0,"apower":8.9}}}"#,
        "Shelly, second",
        "home/+/events/rpc",
        "json",
        "s2@1631186545 switch:0.apower",
    );
    check(
        "v3/app1@ttn/devices/dev1/up",
        r#"{"received_at":"2020-02-12T15:15:45.787Z","uplink_message":{"decoded_payload":{"t":1.0}}}"#,
        "The Things Stack",
        "v3/{application}/devices/{device}/up",
        "json",
        "dev1@1581520545 t",
    );
    check("v3/a/devices/d/join", "{}", "The Things Stack", "v3/+/devices/+/join", "ignore", "");
    check(
        "homeassistant/sensor/hall/state",
        "21.5",
        "statestream",
        "homeassistant/{domain}/{device}/state",
        "scalar",
        "hall@0 state",
    );
    check(
        "homeassistant/light/hall/brightness",
        "180",
        "attributes",
        "homeassistant/{domain}/{device}/{metric}",
        "json",
        "hall@0 brightness",
    );
    check(
        "homeassistant/sensor/x/config",
        r#"{"state_topic":"a"}"#,
        "discovery",
        "homeassistant/#",
        "ignore",
        "",
    );
}

#[test]
fn others_are_taken_for_what_they_look_like() {
    check("a/b/pump", r#"{"t":1,"s":"x"}"#, "takes them: s", "a/b/{device}", "json", "pump@0 t");
    check("a/pump/state", r#"{"temp":1}"#, "JSON.", "a/{device}/state", "json", "pump@0 temp");
    check(
        "gw",
        r#"{"device_id":"d7","ts":1700000000,"temp":1}"#,
        "JSON.",
        "{device}",
        "json",
        "d7@1700000000 temp",
    );
    check(
        "gw/a",
        r#"[{"ts":1700000000000,"v":1},{"ts":1700000001000,"v":2}]"#,
        "array of readings",
        "gw/{device}",
        "json",
        "a@1700000000 v; a@1700000001 v",
    );
    check(
        "gw/a",
        r#"{"device":"d","readings":[{"time":"2023-11-14T22:13:20Z","v":1}]}"#,
        "array of readings",
        "gw/{device}",
        "json",
        "d@1700000000 v",
    );
    check(
        "gw/a",
        r#"{"time":"2023-11-14T22:13:20","v":1}"#,
        "tells no zone",
        "gw/{device}",
        "json",
        "a@0 v",
    );
    check(
        "plant/pump/speed",
        "7",
        "A bare value",
        "plant/{device}/{metric}",
        "scalar",
        "pump@0 speed",
    );
    check("speed", "7", "A bare value", "{metric}", "scalar", "mqtt@0 speed");
    check(
        "plant/pump/mode",
        "idle",
        "A bare text",
        "plant/{device}/{metric}",
        "scalar",
        "pump@0 mode",
    );
    check("a/{b}/c", "7", "A bare value", "a/{device}/{metric}", "scalar", "{b}@0 c");
    check("{a}/b/c", "7", "A bare value", "{{a}}/{device}/{metric}", "scalar", "b@0 c");
    check("a/b", "", "deleted", "a/b", "ignore", "");
    check("a/b", "\u{1}\u{2}", "2 bytes that no decoder reads", "a/b", "ignore", "");
    let content = decode::Content::Float(1.0);
    let value = decode::Value { metric: "t".into(), unit: "".into(), content };
    let reading = Reading {
        device: "d".into(),
        tags: vec![],
        time: 7,
        values: vec![value],
        keep: Default::default(),
    };
    let mut gather = decode::Gather::new(&Limits::READ_BACK);
    gather.push(reading, Timestamp(0)).unwrap();
    let batch = decode::encode(&gather.finish(), 1);
    let suggestion = suggest("in/gw", &batch);
    assert_eq!(spec(&suggestion).decoder, "tidegate");
    assert_eq!(spec(&suggestion).topic, "in/{client}");
}

proptest! {
    /// What is suggested can be copied: it is TOML, a route without mistakes, and it takes the message
    /// or says why not.
    #[test]
    fn a_suggestion_is_a_route(
        topic in "(zigbee2mqtt|tele|shellies|v3|homeassistant|a|\\{|\\$x|[^\\x00-\\x1f\\x7f+#/]{0,3})(/([^\\p{Cc}+#/]{0,3}|state|config|up|devices)){0,4}",
        payload in prop_oneof![
            any::<Vec<u8>>(),
            "\\PC*".prop_map(String::into_bytes),
            "[\\[{][\\]}\":a-f0-9, ]{0,9}".prop_map(String::into_bytes),
            Just(br#"[{"device":"{x}","ts":1700000000,"a":[{"b":1}],"s\"":"t"}]"#.to_vec()),
        ],
    ) {
        prop_assume!(!topic.is_empty() && !topic.starts_with('$'));
        let suggestion = suggest(&topic, &payload);
        let route = match Route::new(&spec(&suggestion)) {
            Ok(route) => route,
            Err(mistakes) => panic!("{suggestion}\n{mistakes:?}"),
        };
        prop_assert!(
            route.takes(&topic).is_some() || suggestion.contains("would not pass"),
            "{}\n{}", topic, suggestion
        );
    }
}
