//! A route as the configuration has it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// One `[[intake.mqtt.routes]]`: plain strings and numbers, nothing checked. `docs/mqtt.md` explains
/// each key; those that a decoder does not use must be left at their defaults.
///
/// *Pointers* are JSON pointers (RFC 6901), counted from the top of the message, in which `*` stands for
/// any one key or index. *Templates* are texts in which `{name}` stands for what the topic's pattern
/// captured, and, in `json` routes, `{/pointer}` for what the message has there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RouteSpec {
    /// Pattern of topics: levels may be `+` and `#` as in MQTT, and hold captures: `{name}`, `dev-{id}`,
    /// or, at the end, `{name#}` for all levels that remain.
    pub topic: String,
    /// The quality of service to subscribe with: 0, 1 or 2.
    pub qos: u8,
    /// `json`, `scalar`, `tidegate`, `sparkplug` or `ignore`.
    pub decoder: String,
    /// Template of the device's name; empty = `{device}`.
    pub device: String,
    /// Template of a metric's name, in which `{}` stands for the value's own name in a `json` message;
    /// empty = `{}` for json, `{metric}` for scalar.
    pub metric: String,
    /// Templates of tags' values, by key.
    pub tags: BTreeMap<String, String>,
    /// The unit of values that have none under `units`.
    pub unit: String,
    /// `float`, `integer` or `as_written`: what numbers become.
    pub numbers: String,
    /// Whether texts are values: for scalar, whether the payload is a text whatever it looks like.
    pub texts: bool,
    /// Whether a text that is a number is taken as that number (json).
    pub text_numbers: bool,
    /// Texts that stand for a truth value.
    pub words: BTreeMap<String, bool>,
    /// Texts that stand for no value, as `unavailable`.
    pub no_value: Vec<String>,
    /// Whether messages that the broker had kept are taken.
    pub retained: bool,

    /// Pointer to what holds the values; each place that it names is one reading (json).
    pub root: String,
    /// Pointers to values, or to what has only values below; empty = `root` (json).
    pub values: Vec<String>,
    /// Pointers to what is passed over (json).
    pub ignore: Vec<String>,
    /// Names of values, by pointer (json).
    pub rename: BTreeMap<String, String>,
    /// Units of values, by name (json).
    pub units: BTreeMap<String, String>,
    /// Pointers to numbers that are whole (json).
    pub integers: Vec<String>,
    /// Pointer to the time; empty = arrival (json).
    pub time: String,
    /// `auto`, `s`, `ms`, `us`, `ns` or `rfc3339` (json).
    pub time_format: String,
    /// The zone of times that tell none: `UTC` or an offset as `+01:00`; empty = they are refused (json).
    pub time_zone: String,
    /// Whether a message without any of the values is passed over, not refused (json).
    pub may_be_empty: bool,

    /// Our name as a host application; empty = none is announced (sparkplug).
    pub host_id: String,
    /// How long a message may overtake another before a rebirth is asked for (sparkplug).
    pub reorder_timeout: String,
}

impl Default for RouteSpec {
    fn default() -> RouteSpec {
        RouteSpec {
            topic: String::new(),
            qos: 1,
            decoder: String::new(),
            device: String::new(),
            metric: String::new(),
            tags: BTreeMap::new(),
            unit: String::new(),
            numbers: "float".to_owned(),
            texts: false,
            text_numbers: false,
            words: BTreeMap::new(),
            no_value: Vec::new(),
            retained: true,
            root: String::new(),
            values: Vec::new(),
            ignore: Vec::new(),
            rename: BTreeMap::new(),
            units: BTreeMap::new(),
            integers: Vec::new(),
            time: String::new(),
            time_format: "auto".to_owned(),
            time_zone: String::new(),
            may_be_empty: false,
            host_id: "tidegate".to_owned(),
            reorder_timeout: "5 s".to_owned(),
        }
    }
}

/// One thing in a route that the administrator has to mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The key within the route: `topic`, `values.0`, `tags.site`.
    pub key: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Mistake {
    pub(super) fn new(key: impl Into<String>, problem: impl Into<String>) -> Mistake {
        Mistake { key: key.into(), problem: problem.into() }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.problem)
    }
}
