//! Senders that are not known: by what topic and payload look like.

use super::super::number::Number;
use super::super::time::{self, Format, TimeFault};
use super::{Decoder, Proposal, RouteSpec, escaped};
use serde_json::{Map, Value};

pub(super) fn proposal(levels: &[&str], payload: &[u8]) -> Proposal {
    match serde_json::from_slice(payload) {
        Ok(Value::Object(entries)) => json_object(levels, &entries, ""),
        Ok(Value::Array(items)) => match items.first() {
            Some(Value::Object(entries)) => json_object(levels, entries, "/*"),
            _ => json(levels, "JSON, an array: its values have numbers for names."),
        },
        _ => scalar(levels, payload),
    }
}

/// Levels that tell the kind of a message, not whose it is.
const KINDS: [&str; 20] = [
    "state",
    "status",
    "data",
    "telemetry",
    "sensor",
    "sensors",
    "up",
    "uplink",
    "event",
    "events",
    "value",
    "values",
    "measurement",
    "measurements",
    "json",
    "rx",
    "out",
    "tele",
    "attributes",
    "readings",
];

/// A pattern that captures the last levels by these names, innermost last; none that tells a kind.
pub(super) fn pattern(levels: &[&str], names: &[&str]) -> String {
    let is_kind = |level: &str| KINDS.contains(&level.to_ascii_lowercase().as_str());
    let kinds = match levels.last() {
        Some(last) if levels.len() > names.len() && is_kind(last) => 1,
        _ => 0,
    };
    let captured = names.len().min(levels.len() - kinds);
    let (rest, kind) = levels.split_at(levels.len() - kinds);
    let literal = &rest[..rest.len() - captured];
    let captures = names[names.len() - captured..].iter().map(|name| format!("{{{name}}}"));
    let literals = literal.iter().chain(kind).map(|level| escaped(&[level]));
    let mut pattern: Vec<String> = literals.collect();
    let at = literal.len();
    pattern.splice(at..at, captures);
    pattern.join("/")
}

fn json(levels: &[&str], remark: &str) -> Proposal {
    Proposal::new(remark, &pattern(levels, &["device"]), Decoder::Json)
}

/// Keys under which senders tell the time,
const TIMES: [&str; 12] = [
    "time",
    "timestamp",
    "ts",
    "datetime",
    "date_time",
    "date",
    "received_at",
    "measured_at",
    "created_at",
    "last_seen",
    "utc",
    "t",
];
/// and whose it is.
const DEVICES: [&str; 10] = [
    "device",
    "device_id",
    "deviceid",
    "dev_id",
    "devid",
    "dev_eui",
    "deveui",
    "device_name",
    "sensor_id",
    "sensorid",
];

/// An object at `root`, which is the message or each item of it.
fn json_object(levels: &[&str], entries: &Map<String, Value>, root: &str) -> Proposal {
    // A message that is an envelope of readings.
    let arrays: Vec<_> = entries
        .iter()
        .filter_map(|(key, value)| match value.as_array()?.first()? {
            Value::Object(item) => Some((key, item)),
            _ => None,
        })
        .collect();
    let numbers = entries.values().filter(|value| value.is_number()).count();
    if let ([(key, item)], "") = (arrays.as_slice(), root)
        && numbers <= 1
    {
        let inner = format!("{}/*", pointer("", key));
        let mut proposal = json_object(levels, item, &inner);
        told_in(entries, "", &mut proposal, true);
        return proposal;
    }
    let what = if root.is_empty() { "JSON." } else { "JSON, an array of readings." };
    let mut proposal = json(levels, what).with(|spec| spec.root = root.to_owned());
    told_in(entries, root, &mut proposal, false);
    let texts: Vec<_> = entries
        .iter()
        .filter(|(key, value)| value.is_string() && !is_used(&proposal.spec, &pointer(root, key)))
        .map(|(key, _)| super::one_line(key))
        .take(8)
        .collect();
    if !texts.is_empty() {
        let remark = format!("Texts are left out, texts = true takes them: {}", texts.join(", "));
        proposal = proposal.remark(&remark);
    }
    proposal
}

/// Finds time and device among the entries at `root`; in an envelope they go before nothing said within.
fn told_in(entries: &Map<String, Value>, root: &str, proposal: &mut Proposal, envelope: bool) {
    for (key, value) in entries {
        let at = pointer(root, key);
        let lower = key.to_ascii_lowercase();
        if TIMES.contains(&lower.as_str()) && proposal.spec.time.is_empty() {
            match is_time(value) {
                Some(None) => proposal.spec.time = at.clone(),
                Some(Some(TimeFault::NoZone)) => proposal.remarks.push(format!(
                    "The time at {} tells no zone: that of arrival is taken, unless time and \
                     time_zone say otherwise.",
                    super::one_line(&at)
                )),
                _ => {}
            }
        }
        let is_name = value.as_str().is_some_and(|text| !text.is_empty());
        if DEVICES.contains(&lower.as_str()) && is_name && !at.contains(['{', '}']) {
            let known = proposal.spec.device.is_empty();
            if known || !envelope {
                proposal.spec.device = format!("{{{at}}}");
            }
        }
    }
}

fn is_used(spec: &RouteSpec, pointer: &str) -> bool {
    spec.time == pointer || spec.device == format!("{{{pointer}}}")
}

/// Whether a value is a time that a sensor may tell: nothing if not, and then why it can't be taken.
fn is_time(value: &Value) -> Option<Option<TimeFault>> {
    /// 2001 to 2286.
    const BELIEVABLE: std::ops::Range<i64> = 1_000_000_000..10_000_000_000;
    let time = match value {
        Value::String(text) => match time::of_text(text, Format::Auto, None) {
            Ok(time) => time,
            Err(TimeFault::NoZone) => return Some(Some(TimeFault::NoZone)),
            Err(TimeFault::NoTime) => return None,
        },
        Value::Number(number) => time::of_number(Number::read(&number.to_string())?, Format::Auto)?,
        _ => return None,
    };
    BELIEVABLE.contains(&(time / crate::model::NANOS_PER_SECOND)).then_some(None)
}

/// A pointer to a key below another.
fn pointer(root: &str, key: &str) -> String {
    let mut pointer = root.to_owned();
    super::super::pointer::push(&mut pointer, key);
    pointer
}

fn scalar(levels: &[&str], payload: &[u8]) -> Proposal {
    let topic = pattern(levels, &["device", "metric"]);
    let device_missing = levels.len() < 2;
    let described = |remark: &str, decoder| {
        Proposal::new(remark, &topic, decoder).with(|spec| {
            if device_missing && decoder == Decoder::Scalar {
                spec.device = "mqtt".to_owned();
            }
        })
    };
    let text = std::str::from_utf8(super::super::scalar::trimmed(payload)).map(str::trim);
    match text {
        Ok(text) if text.starts_with(['{', '[']) => {
            described("It looks like JSON, but is none.", Decoder::Json).with(|spec| {
                spec.topic = pattern(levels, &["device"]);
            })
        }
        Ok(text) if Number::read(text).is_some() || is_word(text) => {
            described("A bare value.", Decoder::Scalar)
        }
        Ok(text) if !text.contains(char::is_control) => {
            let remark = "A bare text. Where it stands for a truth value, `words` says so; where it \
                          says that there is no value, `no_value`.";
            described(remark, Decoder::Scalar).with(|spec| spec.texts = true)
        }
        _ => {
            let remark = format!("{} bytes that no decoder reads.", payload.len());
            Proposal::new(&remark, &escaped(levels), Decoder::Ignore)
        }
    }
}

fn is_word(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), "true" | "false" | "on" | "off")
}
