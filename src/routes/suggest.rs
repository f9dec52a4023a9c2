//! A route for a message that no route takes.
//!
//! First who is known by their topics: Sparkplug, Zigbee2MQTT, Tasmota, Shelly, The Things Stack, Home
//! Assistant. Then by the payload: our own batches, JSON, a scalar. The block is only a proposal, so it
//! says what it was taken for, and what it would leave out.

mod known;
mod plain;

use super::{Decoder, Message, Route, RouteSpec, read};
use crate::decode::{self, Stamp, Upstream};
use crate::model::Timestamp;
use crate::wire::{Limits, inflate};
use std::fmt::Write;

/// What a message was taken for, and the route for it.
struct Proposal {
    /// A sentence or two, one per line of comment.
    remarks: Vec<String>,
    spec: RouteSpec,
}

impl Proposal {
    fn new(remark: &str, topic: &str, decoder: Decoder) -> Proposal {
        let (topic, decoder) = (topic.to_owned(), decoder.name().to_owned());
        let spec = RouteSpec { topic, decoder, ..RouteSpec::default() };
        Proposal { remarks: vec![remark.to_owned()], spec }
    }

    fn remark(mut self, remark: &str) -> Proposal {
        self.remarks.push(remark.to_owned());
        self
    }

    fn with(mut self, change: impl FnOnce(&mut RouteSpec)) -> Proposal {
        change(&mut self.spec);
        self
    }
}

/// A `[[intake.mqtt.routes]]` block that would take the message, with a comment that says what it was
/// taken for: to be copied into the configuration and looked over.
#[must_use]
pub fn suggest(topic: &str, payload: &[u8]) -> String {
    let levels: Vec<&str> = topic.split('/').collect();
    // One whose pattern does not fit after all, as where a level is empty, is none.
    let known = known::proposal(&levels, payload).filter(|known| takes(&known.spec, topic));
    let mut proposal = known.unwrap_or_else(|| by_payload(&levels, payload));
    if let Some(problem) = problem(&proposal.spec, topic, payload) {
        proposal.remarks.push(format!("This message alone would not pass: {problem}"));
    }
    written(&proposal)
}

fn by_payload(levels: &[&str], payload: &[u8]) -> Proposal {
    if payload.is_empty() {
        let remark = "An empty payload: so retained messages are deleted.";
        return Proposal::new(remark, &escaped(levels), Decoder::Ignore);
    }
    if is_native(payload) {
        let topic = plain::pattern(levels, &["client"]);
        return Proposal::new("Tidegate's own batches.", &topic, Decoder::Tidegate);
    }
    plain::proposal(levels, payload)
}

/// Whether it is a batch of ours: binary, and readable.
fn is_native(payload: &[u8]) -> bool {
    let mut scratch = Vec::new();
    let Ok(plain) = inflate(payload, &Limits::default(), &mut scratch) else { return false };
    let batch = match decode::upstream(plain) {
        Ok(Upstream::Batch(batch)) => batch,
        Ok(_) => return false,
        Err(_) => plain,
    };
    let stamp =
        Stamp { received_at: Timestamp(0), booted_at: Some(Timestamp(0)), client: "client" };
    decode::batch(batch, &Limits::READ_BACK, &stamp).is_ok()
}

/// Why the route does not read the message that it is for.
fn problem(spec: &RouteSpec, topic: &str, payload: &[u8]) -> Option<String> {
    let route = match Route::new(spec) {
        Ok(route) => route,
        Err(mistakes) => return mistakes.first().map(|mistake| one_line(&mistake.to_string())),
    };
    let Some(captures) = route.takes(topic) else {
        return Some("a level of its topic that would be a name is empty".to_owned());
    };
    if matches!(route.decoder(), Decoder::Sparkplug | Decoder::Tidegate | Decoder::Ignore) {
        return None;
    }
    let (received_at, retained) = (Timestamp(0), false);
    let message =
        Message { topic, payload, received_at, retained, content_type: None, properties: &[] };
    let puzzle = read(&route, &captures, &message, &Limits::READ_BACK).err()?;
    Some(one_line(&puzzle.to_string()))
}

fn takes(spec: &RouteSpec, topic: &str) -> bool {
    Route::new(spec).is_ok_and(|route| route.takes(topic).is_some())
}

/// A text of any characters, in a comment.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Levels as a pattern that matches them literally.
fn escaped(levels: &[&str]) -> String {
    // A pattern can't have control characters; the wildcard takes them.
    let literal = |level: &&str| match level.contains(char::is_control) {
        true => "+".to_owned(),
        false => level.replace('{', "{{").replace('}', "}}"),
    };
    levels.iter().map(literal).collect::<Vec<_>>().join("/")
}

/// The keys of a route in the order in which people read them.
const ORDER: [&str; 24] = [
    "topic",
    "qos",
    "decoder",
    "device",
    "metric",
    "tags",
    "root",
    "values",
    "ignore",
    "rename",
    "unit",
    "units",
    "numbers",
    "integers",
    "texts",
    "text_numbers",
    "words",
    "no_value",
    "time",
    "time_format",
    "time_zone",
    "may_be_empty",
    "retained",
    "host_id",
];

fn written(proposal: &Proposal) -> String {
    let mut text = String::new();
    for remark in &proposal.remarks {
        text += &format!("# {remark}\n");
    }
    text += "[[intake.mqtt.routes]]\n";
    let spec = toml::Table::try_from(&proposal.spec).unwrap_or_default();
    let default = toml::Table::try_from(RouteSpec::default()).unwrap_or_default();
    for key in ORDER {
        if let Some(value) = spec.get(key)
            && default.get(key) != Some(value)
        {
            // Writing to a String does not fail.
            if writeln!(text, "{key} = {value}").is_err() {
                break;
            }
        }
    }
    text
}

#[cfg(test)]
mod tests;
