//! A rule as people write it, in the configuration and as JSON: plain texts and numbers.

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;

/// One `[[alerts]]`, or the body of `PUT /api/v1/rules/{name}`: nothing is checked.
/// `docs/alerts.md` explains each key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Spec {
    /// What the alerts of the rule are called.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// `threshold`, `change`, `absence`, `flatline`, `text`, `offline` or `daemon`.
    pub kind: String,
    /// Globs of devices, with `!` of those that are not meant.
    pub device: Vec<String>,
    /// Globs of metrics, likewise.
    pub metric: Vec<String>,
    /// Tags that a series must have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// `info`, `warning` or `critical`.
    pub severity: String,
    /// For how long it must hold; empty = as its kind has it.
    #[serde(rename = "for", skip_serializing_if = "String::is_empty")]
    pub hold: String,
    /// Template of what the alert says; empty = as its kind has it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// Where it says what to do.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub runbook: String,
    /// Names of the channels that are to be notified; empty = all.
    pub notify: Vec<String>,
    /// It holds above this (threshold, change, daemon); not a number = no such limit.
    #[serde(skip_serializing_if = "is_none")]
    pub above: Option<f64>,
    /// It holds below this (threshold, change); not a number = no such limit.
    #[serde(skip_serializing_if = "is_none")]
    pub below: Option<f64>,
    /// How far the value must come back (threshold, change).
    #[serde(skip_serializing_if = "is_zero")]
    pub hysteresis: f64,
    /// The limits are per this (change).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub per: String,
    /// Over how long is measured (change), or nothing moves (flatline).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub over: String,
    /// How long nothing comes (absence).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub after: String,
    /// What is still no movement (flatline).
    #[serde(skip_serializing_if = "is_zero")]
    pub tolerance: f64,
    /// Any of these (text).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub equals: Vec<Equal>,
    /// `breaker_open`, `spool`, `refusals`, `broker` or `disk` (daemon).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub what: String,
}

/// What a value may equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Equal {
    /// A text.
    Text(String),
    /// A truth value.
    Bool(bool),
}

/// One thing that is wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The key.
    pub key: String,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.problem)
    }
}

impl Default for Spec {
    fn default() -> Spec {
        Spec {
            name: String::new(),
            kind: String::new(),
            device: vec!["*".to_owned()],
            metric: vec!["*".to_owned()],
            tags: BTreeMap::new(),
            severity: "warning".to_owned(),
            hold: String::new(),
            text: String::new(),
            runbook: String::new(),
            notify: Vec::new(),
            above: None,
            below: None,
            hysteresis: 0.0,
            per: String::new(),
            over: String::new(),
            after: String::new(),
            tolerance: 0.0,
            equals: Vec::new(),
            what: String::new(),
        }
    }
}

/// No limit is an absent one, or one that is not a number: TOML has no null.
#[expect(clippy::ref_option, reason = "as serde calls it")]
fn is_none(limit: &Option<f64>) -> bool {
    limit.is_none_or(f64::is_nan)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

impl Serialize for Equal {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Equal::Text(text) => to.serialize_str(text),
            Equal::Bool(value) => to.serialize_bool(*value),
        }
    }
}

impl<'de> Deserialize<'de> for Equal {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Equal, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Equal;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, true or false")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Equal, E> {
                Ok(Equal::Text(text.to_owned()))
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Equal, E> {
                Ok(Equal::Bool(value))
            }
        }
        from.deserialize_any(Either)
    }
}
