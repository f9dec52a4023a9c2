//! Answers of the history as JSON columns and CSV.

use crate::model::Timestamp;
use crate::sinks::history::{Answer, Buckets, Data, SeriesInfo, Value, Values};
use serde::Serialize;
use serde_json::{Map, Value as Json, json};
use std::fmt::Write as _;
use std::sync::Arc;

/// How times are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    /// Nanoseconds since 1970.
    Nanos,
    /// Milliseconds since 1970: what a browser can hold without rounding.
    Millis,
}

impl TimeUnit {
    fn of(self, nanos: i64) -> i64 {
        match self {
            TimeUnit::Nanos => nanos,
            TimeUnit::Millis => Timestamp(nanos).as_millis(),
        }
    }

    fn all(self, nanos: &[i64]) -> Vec<i64> {
        nanos.iter().map(|&nanos| self.of(nanos)).collect()
    }
}

/// One series of a listing.
pub fn series(series: &SeriesInfo) -> Json {
    json!({
        "device": *series.device,
        "metric": *series.metric,
        "tags": tags(&series.tags),
        "type": series.kind.name(),
        "unit": unit(&series.unit),
        "first": Timestamp(series.first).as_millis(),
        "last": Timestamp(series.last).as_millis(),
        "value": value(&series.value),
    })
}

fn tags(tags: &[(String, String)]) -> Json {
    tags.iter()
        .map(|(key, value)| (key.clone(), Json::from(value.as_str())))
        .collect::<Map<_, _>>()
        .into()
}

fn unit(unit: &str) -> Option<&str> {
    (!unit.is_empty()).then_some(unit)
}

fn value(value: &Value) -> Json {
    match value {
        Value::Float(number) => json!(number),
        Value::Int(number) => json!(number),
        Value::Bool(truth) => json!(truth),
        Value::Text(text) => json!(**text),
    }
}

/// An answer as an object of columns: written to JSON as it stands, without a tree in between.
#[derive(Serialize)]
pub struct Columns<'a> {
    device: &'a str,
    metric: &'a str,
    tags: Json,
    unit: Option<&'a str>,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket_ns: Option<i64>,
    time: Vec<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Cells<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<&'a [u64]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<&'a [f64]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<&'a [f64]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avg: Option<Vec<f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<Cells<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    damaged_chunks: u64,
}

/// A column of values.
#[derive(Serialize)]
#[serde(untagged)]
enum Cells<'a> {
    Floats(&'a [f64]),
    Ints(&'a [i64]),
    Bools(&'a [bool]),
    Texts(&'a [Arc<str>]),
}

impl<'a> From<&'a Values> for Cells<'a> {
    fn from(values: &'a Values) -> Cells<'a> {
        match values {
            Values::Floats(values) => Cells::Floats(values),
            Values::Ints(values) => Cells::Ints(values),
            Values::Bools(values) => Cells::Bools(values),
            Values::Texts(values) => Cells::Texts(values),
        }
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The answer to a query, ready to be written.
pub fn columns<'a>(
    device: &'a str,
    metric: &'a str,
    answer: &'a Answer,
    unit_of_time: TimeUnit,
) -> Columns<'a> {
    let mut columns = Columns {
        device,
        metric,
        tags: tags(&answer.tags),
        unit: unit(&answer.unit),
        r#type: "",
        bucket_ns: None,
        time: Vec::new(),
        value: None,
        count: None,
        min: None,
        max: None,
        avg: None,
        last: None,
        damaged_chunks: answer.damaged_chunks,
    };
    match &answer.data {
        Data::Raw { times, values } => {
            columns.r#type = values.kind().name();
            columns.time = unit_of_time.all(times);
            columns.value = Some(values.into());
        }
        Data::Buckets(buckets) => {
            columns.r#type = buckets.last.kind().name();
            columns.bucket_ns = Some(buckets.width_ns);
            columns.time = unit_of_time.all(&buckets.start);
            columns.count = Some(&buckets.count);
            columns.last = Some((&buckets.last).into());
            if let Some(numbers) = &buckets.numbers {
                columns.min = Some(&numbers.min);
                columns.max = Some(&numbers.max);
                columns.avg = Some(averages(buckets));
            }
        }
    }
    columns
}

fn averages(buckets: &Buckets) -> Vec<f64> {
    let sums = buckets.numbers.iter().flat_map(|numbers| &numbers.sum);
    sums.zip(&buckets.count).map(|(sum, &count)| sum / count as f64).collect()
}

/// The answer as CSV (RFC 4180) with a header line.
pub fn csv(answer: &Answer, unit_of_time: TimeUnit) -> String {
    let mut out = String::new();
    let mut line = |cells: &[String]| {
        // Writing to a String does not fail.
        let written = write!(out, "{}\r\n", cells.join(","));
        debug_assert!(written.is_ok());
    };
    let row = |found: &Values, row: usize| match found {
        Values::Floats(values) => values[row].to_string(),
        Values::Ints(values) => values[row].to_string(),
        Values::Bools(values) => values[row].to_string(),
        Values::Texts(values) => quoted(&values[row]),
    };
    match &answer.data {
        Data::Raw { times, values } => {
            line(&["time".to_owned(), "value".to_owned()]);
            for (index, &time) in times.iter().enumerate() {
                line(&[unit_of_time.of(time).to_string(), row(values, index)]);
            }
        }
        Data::Buckets(buckets) => {
            line(&["time", "count", "min", "max", "avg", "last"].map(str::to_owned));
            let averages = averages(buckets);
            for (index, &start) in buckets.start.iter().enumerate() {
                let number = |pick: fn(&crate::sinks::history::BucketNumbers) -> &Vec<f64>| {
                    buckets.numbers.as_ref().map_or(String::new(), |n| pick(n)[index].to_string())
                };
                line(&[
                    unit_of_time.of(start).to_string(),
                    buckets.count[index].to_string(),
                    number(|numbers| &numbers.min),
                    number(|numbers| &numbers.max),
                    averages.get(index).map_or(String::new(), f64::to_string),
                    row(&buckets.last, index),
                ]);
            }
        }
    }
    out
}

/// What a spreadsheet may take for the beginning of a formula; the last four are wide letters.
const FORMULAS: [char; 11] =
    ['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];

/// Whether a spreadsheet may take it for one.
pub fn is_formula(text: &str) -> bool {
    text.starts_with(FORMULAS)
}

/// A text cell: never a formula, and quoted where RFC 4180 needs it or a spreadsheet may part it.
fn quoted(text: &str) -> String {
    let formula = is_formula(text);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', ';', '"', '\t', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_cells_are_quoted_and_are_no_formulas() {
        for (text, expected) in [
            ("idle", "idle"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("=1+1", "'=1+1"),
            ("-2+3", "'-2+3"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "\"'\t=1\""),
            ("\n=1", "\"'\n=1\""),
            ("\u{ff1d}1", "'\u{ff1d}1"),
            ("a;=1", "\"a;=1\""),
            ("a-1", "a-1"),
        ] {
            assert_eq!(quoted(text), expected);
        }
    }
}
