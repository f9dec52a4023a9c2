//! Senders that are known by their topics. `docs/mqtt.md` has the same routes, with explanations.

use super::{Decoder, Proposal, RouteSpec, escaped};

/// The route for a sender that is known.
pub(super) fn proposal(levels: &[&str], payload: &[u8]) -> Option<Proposal> {
    let is_json = payload.first().is_some_and(|byte| b"{[".contains(byte));
    match levels {
        ["spBv1.0", ..] => Some(Proposal::new(
            "Sparkplug B. One route for all groups; tidegate asks nodes for a birth once.",
            "spBv1.0/#",
            Decoder::Sparkplug,
        )),
        ["zigbee2mqtt", rest @ ..] => zigbee2mqtt(rest, is_json),
        ["tele" | "stat", _, kind] => tasmota(levels[0], kind, is_json),
        ["cmnd", ..] => Some(Proposal::new("Tasmota: commands.", "cmnd/#", Decoder::Ignore)),
        ["shellies", _, _, ..] if !is_json => Some(Proposal::new(
            "Shelly, first generation.",
            "shellies/{device}/{metric#}",
            Decoder::Scalar,
        )),
        ["shellies", .., last] => {
            let topic =
                if levels.len() == 2 { escaped(levels) } else { format!("shellies/+/{last}") };
            Some(Proposal::new(
                "Shelly, first generation: about the device.",
                &topic,
                Decoder::Ignore,
            ))
        }
        [before @ .., _, "events", "rpc"] if is_json => Some(
            Proposal::new(
                "Shelly, second generation and later: what changed.",
                &under(before, "+/events/rpc"),
                Decoder::Json,
            )
            .with(|spec| {
                spec.device = "{/src}".into();
                spec.root = "/params".into();
                spec.time = "/params/ts".into();
                spec.ignore = texts(&[
                    "/params/*/id",
                    "/params/*/aenergy/by_minute",
                    "/params/*/aenergy/minute_ts",
                    "/params/events",
                ]);
                spec.may_be_empty = true;
            }),
        ),
        ["v3", _, "devices", _, "up"] if is_json => Some(the_things_stack()),
        ["v3", _, "devices", _, _, ..] => Some(Proposal::new(
            "The Things Stack: joins, downlinks, receipts.",
            &format!("v3/+/devices/+/{}", escaped(&levels[4..])),
            Decoder::Ignore,
        )),
        [_, .., "config"] if is_json && tells_topic(payload) => Some(
            Proposal::new(
                "Home Assistant: discovery.",
                &format!("{}/#", escaped(&levels[..1])),
                Decoder::Ignore,
            )
            .remark("Put it after the routes of what else is published there."),
        ),
        ["homeassistant", _, _, last] => home_assistant(last),
        _ => None,
    }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn under(before: &[&str], rest: &str) -> String {
    match before {
        [] => rest.to_owned(),
        before => format!("{}/{rest}", escaped(before)),
    }
}

/// Whether a message tells where the values of an entity will come, as discovery does.
fn tells_topic(payload: &[u8]) -> bool {
    let keys = [&b"\"state_topic\""[..], b"\"stat_t\""];
    keys.iter().any(|key| payload.windows(key.len()).any(|window| window == *key))
}

fn zigbee2mqtt(rest: &[&str], is_json: bool) -> Option<Proposal> {
    match rest {
        ["bridge", ..] => Some(Proposal::new(
            "Zigbee2MQTT: about the bridge itself.",
            "zigbee2mqtt/bridge/#",
            Decoder::Ignore,
        )),
        [.., "set" | "get"] => {
            let topic = format!(
                "zigbee2mqtt/{}/{}",
                "+/".repeat(rest.len().saturating_sub(2)) + "+",
                rest[rest.len() - 1]
            );
            Some(Proposal::new("Zigbee2MQTT: commands.", &topic, Decoder::Ignore))
        }
        [_, "availability"] if is_json => Some(
            Proposal::new(
                "Zigbee2MQTT: whether a device can be reached.",
                "zigbee2mqtt/{device}/availability",
                Decoder::Json,
            )
            .with(|spec| {
                spec.values = texts(&["/state"]);
                spec.rename = [("/state".to_owned(), "online".to_owned())].into();
                online(spec, "online", "offline");
            }),
        ),
        [_, more @ ..] if is_json => {
            let topic = match more.is_empty() {
                true => "zigbee2mqtt/{device}",
                false => "zigbee2mqtt/{device#}",
            };
            Some(
                Proposal::new("Zigbee2MQTT: the state of a device.", topic, Decoder::Json)
                    .remark("An \"action\" of a button is a text: texts = true takes texts.")
                    .with(|spec| {
                        spec.ignore = texts(&["/update", "/device"]);
                        on_and_off(spec);
                        spec.may_be_empty = true;
                    }),
            )
        }
        _ => None,
    }
}

fn online(spec: &mut RouteSpec, yes: &str, no: &str) {
    spec.words = [(yes.to_owned(), true), (no.to_owned(), false)].into();
}

fn on_and_off(spec: &mut RouteSpec) {
    online(spec, "ON", "OFF");
}

fn tasmota(prefix: &str, kind: &str, is_json: bool) -> Option<Proposal> {
    let topic = format!("{prefix}/{{device}}/{}", escaped(&[kind]));
    match (kind, is_json) {
        ("LWT", false) => Some(
            Proposal::new("Tasmota: whether a device is connected.", &topic, Decoder::Scalar).with(
                |spec| {
                    spec.metric = "online".into();
                    online(spec, "Online", "Offline");
                },
            ),
        ),
        ("SENSOR" | "STATE" | "RESULT", true) => Some(
            Proposal::new("Tasmota.", &topic, Decoder::Json)
                .remark(
                    "Its \"Time\" tells no zone and comes at once: the time is that of arrival.",
                )
                .with(|spec| {
                    on_and_off(spec);
                    spec.may_be_empty = kind == "RESULT";
                }),
        ),
        (_, false) => Some(Proposal::new(
            "Tasmota.",
            &format!("{prefix}/{{device}}/{{metric}}"),
            Decoder::Scalar,
        )),
        _ => Some(Proposal::new(
            "Tasmota: about the device.",
            &format!("{prefix}/+/{}", escaped(&[kind])),
            Decoder::Ignore,
        )),
    }
}

fn the_things_stack() -> Proposal {
    Proposal::new(
        "The Things Stack: an uplink.",
        "v3/{application}/devices/{device}/up",
        Decoder::Json,
    )
    .remark("Values are those of the payload formatter, and how well the first gateway heard it.")
    .with(|spec| {
        spec.root = "/uplink_message".into();
        spec.values = texts(&[
            "/uplink_message/decoded_payload",
            "/uplink_message/rx_metadata/0/rssi",
            "/uplink_message/rx_metadata/0/snr",
        ]);
        spec.rename = [
            ("/uplink_message/decoded_payload", ""),
            ("/uplink_message/rx_metadata/0/rssi", "rssi"),
            ("/uplink_message/rx_metadata/0/snr", "snr"),
        ]
        .map(|(pointer, name)| (pointer.to_owned(), name.to_owned()))
        .into();
        spec.units = [("rssi", "dBm"), ("snr", "dB")]
            .map(|(name, unit)| (name.to_owned(), unit.to_owned()))
            .into();
        spec.tags = [("application".to_owned(), "{application}".to_owned())].into();
        spec.time = "/received_at".into();
    })
}

fn home_assistant(last: &str) -> Option<Proposal> {
    match last {
        "state" => Some(
            Proposal::new(
                "Home Assistant, statestream: the state of an entity.",
                "homeassistant/{domain}/{device}/state",
                Decoder::Scalar,
            )
            .remark("Entities whose states are texts need a route of their own, with texts = true.")
            .with(|spec| {
                spec.metric = "state".into();
                spec.no_value = texts(&["unavailable", "unknown"]);
                spec.tags = [("domain".to_owned(), "{domain}".to_owned())].into();
            }),
        ),
        "last_updated" | "last_changed" => Some(Proposal::new(
            "Home Assistant, statestream: times of what comes anyway.",
            &format!("homeassistant/+/+/{last}"),
            Decoder::Ignore,
        )),
        _ => Some(
            Proposal::new(
                "Home Assistant, statestream: attributes.",
                "homeassistant/{domain}/{device}/{metric}",
                Decoder::Json,
            )
            .remark("Put it after the routes of state, last_updated and last_changed.")
            .with(|spec| {
                spec.metric = "{metric}".into();
                spec.tags = [("domain".to_owned(), "{domain}".to_owned())].into();
                spec.may_be_empty = true;
            }),
        ),
    }
}
