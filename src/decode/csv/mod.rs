//! Readings as CSV (RFC 4180): what an export writes, and plain tables of others.
//!
//! Ours has the columns [`COLUMNS`], one sample per record, and says of each value what type it has: read back
//! it is the same. One apostrophe before a text is taken away: it is what keeps spreadsheets from taking the
//! text for a formula. Of a plain table a [`Mapping`] says which column is what.

mod plain;
mod record;
#[cfg(test)]
mod tests;

pub use plain::{CsvType, Mapping, MappingError, Said};
pub use record::{Records, record_end};

use super::fault::FaultKind;
use super::lines::{Gathering, LineFaultKind, Lines};
use super::{Content, Reading, Stamp, Value};
use crate::model::{Keep, Reach};
use crate::wire::Limits;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The columns of an export, which are its header.
pub const COLUMNS: [&str; 7] = ["device", "metric", "tags", "time", "type", "value", "unit"];

/// What the columns of a file are.
#[derive(Debug, Clone, PartialEq)]
pub enum CsvColumns {
    /// As an export writes them.
    Exported,
    /// As somebody says.
    Mapped(Mapping),
}

/// Reads records (none of which is the header) of devices within `reach`. Faults name the line that a record
/// begins with, the first of the body being 1.
#[must_use]
pub fn csv(
    body: &[u8],
    delimiter: u8,
    columns: &CsvColumns,
    limits: &Limits,
    stamp: &Stamp<'_>,
    reach: &Reach,
) -> Lines {
    let mut gathering = Gathering::new(limits, stamp.received_at, reach);
    for (line, record) in Records::new(body, delimiter) {
        let record = match record {
            // An empty line is no record of one empty cell.
            Ok(cells) if cells.len() == 1 && cells[0].is_empty() => continue,
            record => record.map_err(|what| LineFaultKind::Csv { what }),
        };
        let read = record.and_then(|cells| match columns {
            CsvColumns::Exported => exported(cells, stamp),
            CsvColumns::Mapped(mapping) => mapping.reading(cells, limits, stamp),
        });
        gathering.line(line, read);
    }
    gathering.finish()
}

/// Reads a record of an export.
fn exported<'a>(cells: Vec<Cow<'a, str>>, stamp: &Stamp<'a>) -> Result<Reading<'a>, LineFaultKind> {
    let count = cells.len();
    let Ok([device, metric, tags, time, kind, value, unit]) =
        <[Cow<'a, str>; COLUMNS.len()]>::try_from(cells)
    else {
        let what = format!("{count} cells where the header has {}", COLUMNS.len());
        return Err(LineFaultKind::Csv { what });
    };
    let device = match device.is_empty() {
        true => Cow::Borrowed(stamp.client),
        false => unguarded(device),
    };
    let (metric, unit) = (unguarded(metric), unguarded(unit));
    let tags = match tags.is_empty() {
        true => Vec::new(),
        false => {
            let tags: BTreeMap<String, String> = serde_json::from_str(&tags).map_err(|error| {
                LineFaultKind::Csv { what: format!("tags are no JSON object of texts: {error}") }
            })?;
            tags.into_iter().map(|(key, value)| (key.into(), value.into())).collect()
        }
    };
    let time = instant(&time, 1).ok_or(LineFaultKind::Time)?;
    let content = match (&*kind, value) {
        ("float", value) => Content::Float(float(&value).ok_or_else(|| not_of(&metric, "float"))?),
        ("int", value) => Content::Int(value.parse().map_err(|_| not_of(&metric, "int"))?),
        ("bool", value) => match &*value {
            "true" => Content::Bool(true),
            "false" => Content::Bool(false),
            _ => return Err(not_of(&metric, "bool")),
        },
        ("text", value) => Content::Text(unguarded(value)),
        (other, _) => {
            let what = format!("the type is float, int, bool or text, not {other:?}");
            return Err(LineFaultKind::Csv { what });
        }
    };
    let values = vec![Value { metric, unit, content }];
    Ok(Reading { device, tags, time, keep: Keep::default(), values })
}

fn not_of(metric: &str, kind: &str) -> LineFaultKind {
    LineFaultKind::Csv { what: format!("{metric}: the value is no {kind}") }
}

/// A text without the apostrophe that guards it.
fn unguarded(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.strip_prefix('\'').unwrap_or(text)),
        Cow::Owned(text) if text.starts_with('\'') => Cow::Owned(text[1..].to_owned()),
        text => text,
    }
}

/// A finite number; not the names of others that Rust reads.
fn float(text: &str) -> Option<f64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| b"0123456789+-.eE".contains(&byte));
    text.parse().ok().filter(|_| is_number)
}

/// RFC 3339, a date and time without a zone (which is UTC), or a whole number of units.
fn instant(text: &str, unit: i64) -> Option<i64> {
    if let Ok(number) = text.parse::<i64>() {
        return number.checked_mul(unit);
    }
    // Seconds since 1970 are often written with a fraction.
    if let Some((whole, fraction)) = text.split_once('.')
        && let Ok(whole) = whole.parse::<i64>()
        && fraction.bytes().all(|byte| byte.is_ascii_digit())
        && fraction.len() <= 18
    {
        let scale = 10_i128.pow(fraction.len() as u32);
        let part = fraction.parse::<i128>().unwrap_or(0) * i128::from(unit) / scale;
        let part = if text.starts_with('-') { -part } else { part };
        return i64::try_from(i128::from(whole) * i128::from(unit) + part).ok();
    }
    let nanos = match text.parse::<jiff::Timestamp>() {
        Ok(time) => time.as_nanosecond(),
        Err(_) => {
            let civil: jiff::civil::DateTime = text.parse().ok()?;
            civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_nanosecond()
        }
    };
    i64::try_from(nanos).ok()
}

/// Too many of something in a record.
fn few(what: super::Counted, count: usize, max: usize) -> Result<(), LineFaultKind> {
    match count <= max {
        true => Ok(()),
        false => Err(FaultKind::TooMany { what, max }.into()),
    }
}
