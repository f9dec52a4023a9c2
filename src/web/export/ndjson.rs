//! Samples as lines of JSON.
//!
//! ```text
//! {"device":"pump-7","tags":{"site":"a"},"time":1763712000000000000,"values":{"level":71.5},"units":{"level":"mm"}}
//! └──────────────── prefix ──────────────────┘                     └─── middle ────┘    └─────── suffix ─────────┘
//! ```

use super::form::{Series, push_float, push_int, push_json, push_tags};
use crate::sinks::history::Value;

#[derive(Default)]
pub(super) struct Ndjson {
    prefix: Vec<u8>,
    middle: Vec<u8>,
    suffix: Vec<u8>,
}

impl Ndjson {
    pub fn series(&mut self, series: Series<'_>) {
        let Ndjson { prefix, middle, suffix } = self;
        prefix.clear();
        prefix.extend_from_slice(b"{\"device\":");
        push_json(prefix, series.device);
        if !series.tags.is_empty() {
            prefix.extend_from_slice(b",\"tags\":");
            push_tags(prefix, series.tags);
        }
        prefix.extend_from_slice(b",\"time\":");
        middle.clear();
        middle.extend_from_slice(b",\"values\":{");
        push_json(middle, series.metric);
        middle.push(b':');
        suffix.clear();
        suffix.push(b'}');
        if !series.unit.is_empty() {
            suffix.extend_from_slice(b",\"units\":{");
            push_json(suffix, series.metric);
            suffix.push(b':');
            push_json(suffix, series.unit);
            suffix.push(b'}');
        }
        suffix.extend_from_slice(b"}\n");
    }

    pub fn sample(&self, time: i64, value: &Value, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.prefix);
        push_int(out, time);
        out.extend_from_slice(&self.middle);
        match value {
            Value::Float(number) => push_float(out, *number),
            Value::Int(number) => push_int(out, *number),
            Value::Bool(truth) => out.extend_from_slice(if *truth { b"true" } else { b"false" }),
            Value::Text(text) => push_json(out, text),
        }
        out.extend_from_slice(&self.suffix);
    }
}
