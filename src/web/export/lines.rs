//! Samples as line protocol: one field per line, so that each stands for itself.
//!
//! ```text
//! motor,device=pump-7,site=north temperature=71.5 1763712000000000000
//! └──────────── prefix ────────────────────┘
//! ```
//!
//! A metric is split at its last dot, and what has none is a field of the measurement `telemetry`, as sinks
//! write it. So that this is read back as what it was, a metric whose own measurement would be `telemetry` is
//! a field with its whole name. What no reader of line protocol reads right is written as a look-alike
//! (`sinks/influx/names.rs` has the table); the units are not in it.

use super::form::{Series, push_float, push_int};
use crate::sinks::history::Value;
use crate::sinks::influx::names::{DEVICE_TAG, Naming, Part, own_tag, push_name, push_text};

/// The measurement that has no part in the names of metrics.
const BARE_MEASUREMENT: &str = "telemetry";

pub(super) struct Lines {
    naming: Naming,
    prefix: Vec<u8>,
}

impl Default for Lines {
    fn default() -> Lines {
        Lines { naming: Naming::new(BARE_MEASUREMENT), prefix: Vec::new() }
    }
}

impl Lines {
    /// What a line of the series begins with.
    pub fn written(series: Series<'_>) -> Vec<u8> {
        let mut lines = Lines::default();
        lines.series(series);
        lines.prefix
    }

    pub fn series(&mut self, series: Series<'_>) {
        let Lines { naming, prefix } = self;
        prefix.clear();
        let (measurement, field) = match naming.split(series.metric) {
            (BARE_MEASUREMENT, _) => (BARE_MEASUREMENT, series.metric),
            parts => parts,
        };
        // How often a look-alike stands in is not told here: the documents say where.
        push_name(prefix, measurement, Part::Measurement);
        let mut push = |begin: &[u8], key: &str, value: &str| {
            prefix.push(b',');
            prefix.extend_from_slice(begin);
            push_name(prefix, key, Part::Tag);
            prefix.push(b'=');
            push_name(prefix, value, Part::Tag);
        };
        push(b"", DEVICE_TAG, series.device);
        for (key, value) in series.tags {
            let (begin, key) = own_tag(key);
            push(begin.as_bytes(), key, value);
        }
        prefix.push(b' ');
        push_name(prefix, field, Part::FieldKey);
        prefix.push(b'=');
    }

    pub fn sample(&self, time: i64, value: &Value, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.prefix);
        match value {
            Value::Float(number) => push_float(out, *number),
            Value::Int(number) => {
                push_int(out, *number);
                out.push(b'i');
            }
            Value::Bool(truth) => out.extend_from_slice(if *truth { b"true" } else { b"false" }),
            Value::Text(text) => {
                push_text(out, text);
            }
        }
        out.push(b' ');
        push_int(out, time);
        out.push(b'\n');
    }
}
