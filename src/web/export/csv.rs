//! Samples as CSV (RFC 4180), which [`decode::csv`](crate::decode::csv) reads back exactly.
//!
//! ```text
//! device,metric,tags,time,type,value,unit
//! pump-7,level,"{""site"":""a""}",1763712000000000000,float,71.5,mm
//! ```
//!
//! A text that a spreadsheet would take for a formula has an apostrophe before it, and so has one that begins
//! with an apostrophe itself: who takes one apostrophe away has the text again.

use super::form::{Series, push_float, push_int, push_tags};
use crate::decode::CSV_COLUMNS;
use crate::sinks::history::Value;
use crate::web::history::is_formula;

pub(super) struct Csv {
    has_header: bool,
    prefix: Vec<u8>,
    suffix: Vec<u8>,
}

impl Csv {
    pub fn new(has_header: bool) -> Csv {
        Csv { has_header, prefix: Vec::new(), suffix: Vec::new() }
    }

    pub fn begin(&self, out: &mut Vec<u8>) {
        if self.has_header {
            out.extend_from_slice(CSV_COLUMNS.join(",").as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }

    pub fn series(&mut self, series: Series<'_>) {
        let Csv { prefix, suffix, .. } = self;
        prefix.clear();
        push_text(prefix, series.device);
        prefix.push(b',');
        push_text(prefix, series.metric);
        prefix.push(b',');
        if !series.tags.is_empty() {
            let mut tags = Vec::new();
            push_tags(&mut tags, series.tags);
            push_cell(prefix, &String::from_utf8_lossy(&tags));
        }
        prefix.push(b',');
        suffix.clear();
        suffix.push(b',');
        push_text(suffix, series.unit);
        suffix.extend_from_slice(b"\r\n");
    }

    pub fn sample(&self, time: i64, value: &Value, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.prefix);
        push_int(out, time);
        out.push(b',');
        out.extend_from_slice(value.kind().name().as_bytes());
        out.push(b',');
        match value {
            Value::Float(number) => push_float(out, *number),
            Value::Int(number) => push_int(out, *number),
            Value::Bool(truth) => out.extend_from_slice(if *truth { b"true" } else { b"false" }),
            Value::Text(text) => push_text(out, text),
        }
        out.extend_from_slice(&self.suffix);
    }
}

/// A text that came from somebody.
fn push_text(out: &mut Vec<u8>, text: &str) {
    match is_formula(text) || text.starts_with('\'') {
        true => push_cell(out, &format!("'{text}")),
        false => push_cell(out, text),
    }
}

/// A cell, quoted where RFC 4180 needs it or a spreadsheet may part it.
fn push_cell(out: &mut Vec<u8>, text: &str) {
    if !text.contains([',', ';', '"', '\t', '\n', '\r']) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    for &byte in text.as_bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}
