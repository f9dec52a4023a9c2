//! The bounded reader of payloads (`proto/sparkplug_b.proto`), inflated if need be.
//!
//! Nothing is copied: a payload borrows from its bytes. One allocation, of the list of metrics,
//! grows with what is really there, up to a cap; what a payload merely claims allocates nothing.

use super::puzzle::PuzzleKind;
use crate::decode::protobuf::{DEPTH_MAX, Fields, Malformed, Value};
use crate::wire::{Compression, InflateError, Limits, inflate_as, inflate_raw};

/// Says in `uuid` that `body` is another payload, compressed (specification 6.4, "Compression").
const COMPRESSED: &str = "SPBV1.0_COMPRESSED";

/// A message's payload.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Payload<'a> {
    pub(super) timestamp: Option<u64>,
    pub(super) seq: Option<u64>,
    pub(super) uuid: &'a str,
    pub(super) body: &'a [u8],
    pub(super) metrics: Vec<Metric<'a>>,
}

/// A metric of a payload, or a member of a template.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(super) struct Metric<'a> {
    pub(super) name: Option<&'a str>,
    pub(super) alias: Option<u64>,
    pub(super) timestamp: Option<u64>,
    pub(super) datatype: Option<u32>,
    pub(super) is_historical: bool,
    pub(super) is_transient: bool,
    pub(super) is_null: bool,
    /// A `PropertySet`.
    pub(super) properties: &'a [u8],
    pub(super) value: Option<Raw<'a>>,
}

/// A value by the field it came in; its datatype says what it means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Raw<'a> {
    Int(u32),
    Long(u64),
    Float(f32),
    Double(f64),
    Bool(bool),
    Text(&'a str),
    Bytes(&'a [u8]),
    DataSet(&'a [u8]),
    Template(&'a [u8]),
    Extension,
}

impl From<Malformed> for PuzzleKind {
    fn from(_: Malformed) -> PuzzleKind {
        PuzzleKind::Malformed
    }
}

/// Reads a payload of at most `metrics_max` metrics; if it is compressed, the one inside, inflated
/// into `scratch` under `limits`.
pub(super) fn read<'a>(
    bytes: &'a [u8],
    metrics_max: usize,
    limits: &Limits,
    scratch: &'a mut Vec<u8>,
) -> Result<Payload<'a>, PuzzleKind> {
    let outer = plain(bytes, metrics_max)?;
    if outer.uuid != COMPRESSED {
        return Ok(outer);
    }
    let body =
        inflated(algorithm(&outer)?, outer.body, limits, scratch).map_err(PuzzleKind::Inflate)?;
    let mut inner = plain(body, metrics_max)?;
    if inner.uuid == COMPRESSED {
        return Err(PuzzleKind::CompressedTwice);
    }
    // Publishers number the inner payload, the outer one, or both.
    inner.seq = inner.seq.or(outer.seq);
    inner.timestamp = inner.timestamp.or(outer.timestamp);
    Ok(inner)
}

fn plain(bytes: &[u8], metrics_max: usize) -> Result<Payload<'_>, PuzzleKind> {
    let mut payload = Payload::default();
    let mut fields = Fields::new(bytes, DEPTH_MAX);
    while let Some((tag, value)) = fields.next()? {
        match tag {
            1 => payload.timestamp = Some(value.uint()?),
            2 if payload.metrics.len() == metrics_max => {
                return Err(PuzzleKind::TooMany { what: "metrics", max: metrics_max });
            }
            2 => payload.metrics.push(metric(value.bytes()?)?),
            3 => payload.seq = Some(value.uint()?),
            4 => payload.uuid = value.text()?,
            5 => payload.body = value.bytes()?,
            _ => {}
        }
    }
    Ok(payload)
}

/// Reads one metric.
pub(super) fn metric(bytes: &[u8]) -> Result<Metric<'_>, Malformed> {
    let mut metric = Metric::default();
    let mut fields = Fields::new(bytes, DEPTH_MAX - 1);
    while let Some((tag, value)) = fields.next()? {
        match tag {
            1 => metric.name = Some(value.text()?),
            2 => metric.alias = Some(value.uint()?),
            3 => metric.timestamp = Some(value.uint()?),
            4 => metric.datatype = Some(uint32(value)?),
            5 => metric.is_historical = value.uint()? != 0,
            6 => metric.is_transient = value.uint()? != 0,
            7 => metric.is_null = value.uint()? != 0,
            8 => drop(value.bytes()?),
            9 => metric.properties = value.bytes()?,
            10..=15 => metric.value = Some(scalar(tag - 10, value)?),
            16 => metric.value = Some(Raw::Bytes(value.bytes()?)),
            17 => metric.value = Some(Raw::DataSet(value.bytes()?)),
            18 => metric.value = Some(Raw::Template(value.bytes()?)),
            19 => metric.value = Some(Raw::Extension),
            _ => {}
        }
    }
    Ok(metric)
}

/// The value of a `oneof` whose first field, `int_value`, is at `offset` 0: they all go on alike.
pub(super) fn scalar(offset: u32, value: Value<'_>) -> Result<Raw<'_>, Malformed> {
    Ok(match (offset, value) {
        (0, value) => Raw::Int(uint32(value)?),
        (1, value) => Raw::Long(value.uint()?),
        (2, Value::Fixed32(bits)) => Raw::Float(f32::from_bits(bits)),
        (3, Value::Fixed64(bits)) => Raw::Double(f64::from_bits(bits)),
        (4, value) => Raw::Bool(value.uint()? != 0),
        (5, value) => Raw::Text(value.text()?),
        _ => return Err(Malformed),
    })
}

/// A `uint32`: protobuf keeps the low 32 bits of a longer varint, which is how a negative `int32`
/// comes from some encoders.
pub(super) fn uint32(value: Value<'_>) -> Result<u32, Malformed> {
    Ok(value.uint()? as u32)
}

#[derive(Clone, Copy)]
enum Algorithm {
    Gzip,
    Deflate,
}

/// What the metric `algorithm` says; DEFLATE if there is none.
fn algorithm(payload: &Payload<'_>) -> Result<Algorithm, PuzzleKind> {
    let told = payload.metrics.iter().find(|metric| metric.name == Some("algorithm"));
    match told.and_then(|metric| metric.value) {
        None => Ok(Algorithm::Deflate),
        Some(Raw::Text(text)) if text.eq_ignore_ascii_case("DEFLATE") => Ok(Algorithm::Deflate),
        Some(Raw::Text(text)) if text.eq_ignore_ascii_case("GZIP") => Ok(Algorithm::Gzip),
        Some(Raw::Text(text)) => {
            Err(PuzzleKind::Algorithm { algorithm: text.chars().take(32).collect() })
        }
        Some(_) => Err(PuzzleKind::Algorithm { algorithm: String::new() }),
    }
}

/// What is called DEFLATE is zlib from most publishers and raw deflate from some; gzip is known by
/// its first bytes whatever it is called.
fn inflated<'s>(
    algorithm: Algorithm,
    body: &[u8],
    limits: &Limits,
    scratch: &'s mut Vec<u8>,
) -> Result<&'s [u8], InflateError> {
    let gzip = matches!(algorithm, Algorithm::Gzip) || body.starts_with(&[0x1f, 0x8b, 8]);
    let compression = match gzip {
        true => Compression::Gzip,
        false => Compression::Zlib,
    };
    let len = match gzip || is_zlib(body) {
        true => inflate_as(compression, body, limits, scratch).map(<[u8]>::len),
        false => Err(InflateError::Damaged),
    };
    let len = match len {
        // A raw stream may happen to begin like a zlib header.
        Err(InflateError::Damaged) if !gzip => {
            inflate_raw(body, limits, scratch).map(<[u8]>::len)?
        }
        len => len?,
    };
    Ok(&scratch[..len])
}

/// Whether the bytes begin with a zlib header (RFC 1950, 2.2).
fn is_zlib(bytes: &[u8]) -> bool {
    matches!(bytes, [method, flags, ..]
        if method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]) % 31 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sparkplug::proto;
    use crate::sparkplug::proto::payload::metric::Value as Field;
    use proptest::prelude::*;
    use prost::Message;

    fn fixtures() -> Vec<Vec<u8>> {
        let lines = concat!(
            include_str!("../../tests/fixtures/sparkplug/pysparkplug.jsonl"),
            include_str!("../../tests/fixtures/sparkplug/tahu.jsonl"),
            include_str!("../../tests/fixtures/sparkplug/mqtt-spb-wrapper.jsonl"),
            include_str!("../../tests/fixtures/sparkplug/sparkplug-client.jsonl"),
        );
        let bytes = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let hex = line["payload"].as_str().unwrap().to_owned();
            let at = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            (0..hex.len()).step_by(2).map(at).collect()
        };
        lines.lines().map(bytes).collect()
    }

    /// What prost takes is taken, and means the same.
    fn check(bytes: &[u8]) {
        let Ok(theirs) = proto::Payload::decode(bytes) else { return };
        let ours = plain(bytes, usize::MAX).unwrap();
        assert_eq!((ours.timestamp, ours.seq), (theirs.timestamp, theirs.seq));
        assert_eq!((ours.uuid, ours.body), (theirs.uuid(), theirs.body()));
        assert_eq!(ours.metrics.len(), theirs.metrics.len());
        for (our, their) in ours.metrics.iter().zip(&theirs.metrics) {
            assert_eq!((our.name, our.alias), (their.name.as_deref(), their.alias));
            assert_eq!((our.timestamp, our.datatype), (their.timestamp, their.datatype));
            assert_eq!(our.is_historical, their.is_historical());
            assert_eq!((our.is_transient, our.is_null), (their.is_transient(), their.is_null()));
            match (our.value, &their.value) {
                (None, None) | (Some(Raw::Extension), Some(Field::ExtensionValue(_))) => {}
                (Some(Raw::Int(our)), Some(Field::IntValue(their))) => assert_eq!(our, *their),
                (Some(Raw::Long(our)), Some(Field::LongValue(their))) => assert_eq!(our, *their),
                (Some(Raw::Float(our)), Some(Field::FloatValue(their))) => {
                    assert_eq!(our.to_bits(), their.to_bits());
                }
                (Some(Raw::Double(our)), Some(Field::DoubleValue(their))) => {
                    assert_eq!(our.to_bits(), their.to_bits());
                }
                (Some(Raw::Bool(our)), Some(Field::BooleanValue(their))) => assert_eq!(our, *their),
                (Some(Raw::Text(our)), Some(Field::StringValue(their))) => assert_eq!(our, their),
                (Some(Raw::Bytes(our)), Some(Field::BytesValue(their))) => assert_eq!(our, their),
                // Told twice, prost puts the two together; the last is enough.
                (Some(Raw::DataSet(_)), Some(Field::DatasetValue(_)))
                | (Some(Raw::Template(_)), Some(Field::TemplateValue(_))) => {}
                (our, their) => panic!("{our:?} is {their:?}"),
            }
        }
    }

    #[test]
    fn payloads_are_read_as_prost_reads_them() {
        let fixtures = fixtures();
        assert_eq!(fixtures.len(), 16);
        for payload in &fixtures {
            assert!(proto::Payload::decode(&payload[..]).is_ok());
            check(payload);
        }
    }

    proptest! {
        #[test]
        fn damaged_payloads_are_read_as_prost_reads_them(
            which in 0_usize..16,
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let mut payload = fixtures().swap_remove(which);
            for (at, byte) in damage {
                let at = at.index(payload.len());
                payload[at] = byte;
            }
            check(&payload);
        }
    }
}
