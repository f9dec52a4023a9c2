//! A payload that is one value: a number, a truth value or a text.
//!
//! With `texts` the payload is a text whatever it looks like, so that a metric whose texts may look like
//! numbers (`7`, then `idle`) keeps one type. Without it a text is refused.

use super::number::Number;
use super::puzzle::{Needed, start};
use super::template::Filling;
use super::{Captures, Message, Puzzle, Route};
use crate::decode::{Content, Reading, Value};
use crate::model::Keep;
use std::borrow::Cow;

pub(super) fn read<'a>(
    route: &'a Route,
    captures: &Captures<'a>,
    message: &Message<'a>,
) -> Result<Vec<Reading<'a>>, Puzzle> {
    let payload = trimmed(message.payload);
    let text = std::str::from_utf8(payload)
        .map_err(|error| Puzzle::NotUtf8 { at: error.valid_up_to() })?
        .trim();
    if route.texts.is_no_value(text) {
        return Ok(Vec::new());
    }
    if text.is_empty() {
        return Err(Puzzle::NoPayload);
    }
    let content = match route.texts.word(text) {
        Some(truth) => Content::Bool(truth),
        None if route.texts.taken => Content::Text(Cow::Borrowed(text)),
        None => match (Number::read(text), word(text)) {
            (Some(number), _) => number.content(route.numbers, String::new)?,
            (None, Some(truth)) => Content::Bool(truth),
            (None, None) => return Err(Puzzle::NotScalar { text: start(text) }),
        },
    };
    let naming = &route.naming;
    // Scalar routes have no slots, so that all templates can be filled.
    let missing = |needed| move |_| Puzzle::Missing { needed, at: String::new() };
    let fill = |template: &'a super::template::Template, needed| {
        template.fill(captures, Filling::default()).map_err(missing(needed))
    };
    let metric = fill(&naming.metric, Needed::Metric)?;
    let mut tags = Vec::with_capacity(naming.tags.len());
    for (key, value) in &naming.tags {
        tags.push((Cow::Borrowed(&**key), fill(value, Needed::Name)?));
    }
    Ok(vec![Reading {
        device: fill(&naming.device, Needed::Device)?,
        tags,
        time: message.received_at.0,
        values: vec![Value { metric, unit: Cow::Borrowed(&naming.unit), content }],
        keep: Keep::Everywhere,
    }])
}

/// The words that everybody uses. Not `open` and `closed`, which mean true to one and false to another.
fn word(text: &str) -> Option<bool> {
    match text {
        "true" | "TRUE" | "True" | "on" | "ON" | "On" => Some(true),
        "false" | "FALSE" | "False" | "off" | "OFF" | "Off" => Some(false),
        _ => None,
    }
}

/// Without the zero byte that programs in C leave at the end of texts.
pub(super) fn trimmed(payload: &[u8]) -> &[u8] {
    payload.strip_suffix(b"\0").unwrap_or(payload)
}

#[cfg(test)]
mod tests;
