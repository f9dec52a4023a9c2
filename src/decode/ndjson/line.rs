//! One line: its JSON.

use crate::decode::fault::{Counted, FaultKind};
use crate::decode::json::Text;
use crate::decode::lines::LineFaultKind;
use crate::decode::{Content, Reading, Stamp, Value};
use crate::model::Keep;
use crate::wire::Limits;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// Reads a line; names, times and sizes are checked where it is gathered.
pub(super) fn reading<'a>(
    line: &'a [u8],
    limits: &Limits,
    stamp: &Stamp<'a>,
) -> Result<Reading<'a>, LineFaultKind> {
    // An array would be taken for the fields in their order.
    if line.trim_ascii_start().starts_with(b"[") {
        let what = "a line is an object".to_owned();
        return Err(LineFaultKind::Json { column: 1, what });
    }
    let Line { device, time, tags, values, units } =
        serde_json::from_slice(line).map_err(|error| json_fault(&error))?;
    let count = |what, count: usize, max| match count <= max {
        true => Ok(()),
        false => Err(FaultKind::TooMany { what, max }),
    };
    // Before anything is done for each of them.
    count(Counted::Tags, tags.0.len(), limits.tags)?;
    count(Counted::Columns, values.0.len(), limits.columns)?;
    let device = match device {
        Some(Text(device)) if !device.is_empty() => device,
        _ => Cow::Borrowed(stamp.client),
    };
    let tags = tags.0.into_iter().map(|(key, Text(value))| (key, value)).collect();
    let time = instant(time, stamp)?;
    let mut readings = Vec::with_capacity(values.0.len());
    for (metric, raw) in values.0 {
        let unit = units.0.iter().find(|(of, _)| *of == metric);
        let unit = unit.map_or(Cow::Borrowed(""), |(_, Text(unit))| unit.clone());
        if let Some(content) = content(&metric, raw.get())? {
            readings.push(Value { metric, unit, content });
        }
    }
    Ok(Reading { device, tags, time, keep: Keep::default(), values: readings })
}

/// The JSON reader's words without the line number that it adds, which is always 1.
fn json_fault(error: &serde_json::Error) -> LineFaultKind {
    let what = error.to_string();
    let what = what.split(" at line ").next().unwrap_or_default().to_owned();
    LineFaultKind::Json { column: error.column(), what }
}

fn instant(time: Option<&RawValue>, stamp: &Stamp<'_>) -> Result<i64, LineFaultKind> {
    match time.map(RawValue::get) {
        None | Some("null") => Ok(stamp.received_at.0),
        Some(text) if text.starts_with('"') => {
            let text: Text<'_> = serde_json::from_str(text).map_err(|_| LineFaultKind::Time)?;
            let time: jiff::Timestamp = text.0.parse().map_err(|_| LineFaultKind::Time)?;
            i64::try_from(time.as_nanosecond()).map_err(|_| LineFaultKind::Time)
        }
        Some(text) => text.parse().map_err(|_| LineFaultKind::Time),
    }
}

/// Reads a valid JSON value by its first character; `None` for `null`.
fn content<'a>(metric: &str, json: &'a str) -> Result<Option<Content<'a>>, LineFaultKind> {
    let metric = || metric.to_owned();
    Ok(Some(match json.as_bytes() {
        b"null" => return Ok(None),
        b"true" => Content::Bool(true),
        b"false" => Content::Bool(false),
        [b'"', ..] => {
            let text: Text<'a> = serde_json::from_str(json).map_err(|error| json_fault(&error))?;
            Content::Text(text.0)
        }
        [b'{' | b'[', ..] => return Err(LineFaultKind::Value { metric: metric() }),
        // One that is too large becomes infinite here, and is refused where it is gathered.
        _ if json.contains(['.', 'e', 'E']) => Content::Float(json.parse().unwrap_or(f64::NAN)),
        _ => match json.parse() {
            Ok(value) => Content::Int(value),
            Err(_) => return Err(LineFaultKind::IntTooLarge { metric: metric() }),
        },
    }))
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow, default)]
    device: Option<Text<'a>>,
    #[serde(borrow, default)]
    time: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tags: Entries<'a, Text<'a>>,
    #[serde(borrow)]
    values: Entries<'a, &'a RawValue>,
    #[serde(borrow, default)]
    units: Entries<'a, Text<'a>>,
}

/// The entries of an object in the order given, no key twice.
struct Entries<'a, V>(Vec<(Cow<'a, str>, V)>);

impl<V> Default for Entries<'_, V> {
    fn default() -> Self {
        Entries(Vec::new())
    }
}

impl<'de: 'a, 'a, V: Deserialize<'de>> Deserialize<'de> for Entries<'a, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Entries<'a, V>, D::Error> {
        struct EntriesVisitor<'a, V>(PhantomData<(&'a str, V)>);
        impl<'de: 'a, 'a, V: Deserialize<'de>> Visitor<'de> for EntriesVisitor<'a, V> {
            type Value = Entries<'a, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some((Text(key), value)) = map.next_entry()? {
                    entries.push((key, value));
                }
                match duplicate(&entries) {
                    Some(key) => Err(A::Error::custom(format_args!("key {key:?} is given twice"))),
                    None => Ok(Entries(entries)),
                }
            }
        }
        deserializer.deserialize_map(EntriesVisitor(PhantomData))
    }
}

/// A key that is given twice. By sorting, because a hostile line may have a million keys.
fn duplicate<'e, V>(entries: &'e [(Cow<'_, str>, V)]) -> Option<&'e str> {
    let mut keys: Vec<&str> = entries.iter().map(|(key, _)| key.as_ref()).collect();
    keys.sort_unstable();
    keys.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}
