//! The two properties of a metric that mean something here: its unit and its quality.

use super::datatype::DataType;
use super::payload::{Raw, scalar};
use super::value::plain;
use crate::decode::Content;
use crate::decode::protobuf::{DEPTH_MAX, Fields, Malformed};

/// What publishers call the unit; in any case.
const UNITS: [&str; 5] = ["engUnit", "engineeringUnits", "engineeringUnit", "units", "unit"];
/// What the specification calls the quality (6.4.9, "Quality Codes").
const QUALITY: &str = "Quality";

/// The quality of a value that may be relied on; 0 is bad, 500 is stale.
pub(super) const GOOD: i64 = 192;

/// What a `PropertySet` says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Properties<'a> {
    pub(super) unit: Option<&'a str>,
    pub(super) quality: Option<i64>,
}

impl Properties<'_> {
    /// Reads a `PropertySet`: keys and values are two lists of one length
    /// (tck-id-payloads-propertyset-keys-array-size).
    pub(super) fn read(set: &[u8]) -> Result<Properties<'_>, Malformed> {
        let mut properties = Properties::default();
        if set.is_empty() {
            return Ok(properties);
        }
        let (mut unit_at, mut quality_at, mut keys) = (None, None, 0_usize);
        let mut fields = Fields::new(set, DEPTH_MAX);
        while let Some((tag, value)) = fields.next()? {
            if tag == 1 {
                let key = value.text()?;
                if UNITS.iter().any(|unit| unit.eq_ignore_ascii_case(key)) {
                    unit_at = Some(keys);
                } else if key.eq_ignore_ascii_case(QUALITY) {
                    quality_at = Some(keys);
                }
                keys += 1;
            }
        }
        let mut fields = Fields::new(set, DEPTH_MAX);
        let mut at = 0;
        while let Some((tag, value)) = fields.next()? {
            if tag == 2 {
                if unit_at == Some(at) {
                    properties.unit = text(value.bytes()?)?;
                } else if quality_at == Some(at) {
                    properties.quality = whole(value.bytes()?)?;
                }
                at += 1;
            }
        }
        Ok(properties)
    }
}

/// The value of a `PropertyValue`.
fn raw(property: &[u8]) -> Result<Option<Raw<'_>>, Malformed> {
    let mut fields = Fields::new(property, DEPTH_MAX);
    let (mut raw, mut is_null) = (None, false);
    while let Some((tag, value)) = fields.next()? {
        match tag {
            2 => is_null = value.uint()? != 0,
            3..=8 => raw = Some(scalar(tag - 3, value)?),
            _ => {}
        }
    }
    Ok(raw.filter(|_| !is_null))
}

fn text(property: &[u8]) -> Result<Option<&str>, Malformed> {
    Ok(match raw(property)? {
        Some(Raw::Text(text)) => Some(text),
        _ => None,
    })
}

fn whole(property: &[u8]) -> Result<Option<i64>, Malformed> {
    let number = raw(property)?
        .map(|raw| plain(DataType::Int32, raw).or_else(|_| plain(DataType::Int64, raw)));
    Ok(match number {
        Some(Ok(Content::Int(number))) => Some(number),
        _ => None,
    })
}
