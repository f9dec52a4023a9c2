//! The request as protobuf (`opentelemetry/proto/metrics/v1/metrics.proto`), read by the bounded reader.

use super::attributes::{Attribute, AttributeValue, OriginOf, add_tag};
use super::points::{At, Buckets, Kind, Metric, Number, Point, Points, add, is_delta};
use crate::decode::items::ItemFaultKind;
use crate::decode::reader::{DEPTH_MAX, Fields, Malformed, Value, messages, varint, zigzag};
use crate::wire::Limits;
use std::borrow::Cow;

/// Reads an `ExportMetricsServiceRequest`.
pub(super) fn request<'a>(
    body: &'a [u8],
    points: &mut Points<'_, 'a>,
) -> Result<(), ItemFaultKind> {
    const MESSAGE: &str = "ExportMetricsServiceRequest";
    let resources = messages(body, 1, DEPTH_MAX).map_err(ItemFaultKind::in_message(MESSAGE))?;
    for (index, resource) in resources.enumerate() {
        let at = At::default().in_it(index);
        if resource_metrics(resource, at, points).is_err() {
            points.refuse(at, ItemFaultKind::Protobuf { message: "ResourceMetrics" });
        }
    }
    Ok(())
}

fn resource_metrics<'a>(
    message: &'a [u8],
    at: At,
    points: &mut Points<'_, 'a>,
) -> Result<(), Malformed> {
    let scopes = messages(message, 2, DEPTH_MAX - 1)?;
    let mut origin = points.origin();
    let read = resource(message, &mut origin);
    points.resource(read.map(|()| origin));
    for (index, scope) in scopes.enumerate() {
        let at = at.in_it(index);
        if scope_metrics(scope, at, points).is_err() {
            points.refuse(at, ItemFaultKind::Protobuf { message: "ScopeMetrics" });
        }
    }
    Ok(())
}

fn resource<'a>(message: &'a [u8], origin: &mut OriginOf<'a, '_>) -> Result<(), ItemFaultKind> {
    let malformed = ItemFaultKind::in_message("Resource");
    for resource in messages(message, 1, DEPTH_MAX - 1).map_err(&malformed)? {
        for attribute in messages(resource, 1, DEPTH_MAX - 2).map_err(&malformed)? {
            origin.add(key_value(attribute, DEPTH_MAX - 3)?)?;
        }
    }
    Ok(())
}

fn scope_metrics<'a>(
    message: &'a [u8],
    at: At,
    points: &mut Points<'_, 'a>,
) -> Result<(), Malformed> {
    for (index, message) in messages(message, 2, DEPTH_MAX - 2)?.enumerate() {
        let at = at.in_it(index);
        if let Err(kind) = metric(message, at, points) {
            points.refuse(at, kind);
        }
    }
    Ok(())
}

fn metric<'a>(message: &'a [u8], at: At, points: &mut Points<'_, 'a>) -> Result<(), ItemFaultKind> {
    let malformed = ItemFaultKind::in_message("Metric");
    let (mut name, mut unit, mut data) = ("", "", None);
    let mut fields = Fields::new(message, DEPTH_MAX - 3);
    while let Some((tag, value)) = fields.next().map_err(&malformed)? {
        let kind = match tag {
            1 => {
                name = value.text().map_err(&malformed)?;
                continue;
            }
            3 => {
                unit = value.text().map_err(&malformed)?;
                continue;
            }
            5 | 7 => Kind::Number,
            9 => Kind::Histogram,
            10 => Kind::Exponential,
            11 => Kind::Summary,
            _ => continue,
        };
        data = Some((kind, value.bytes().map_err(&malformed)?));
    }
    let (kind, data) = data.ok_or(ItemFaultKind::NoKind)?;
    let mut temporality = 0;
    let mut fields = Fields::new(data, DEPTH_MAX - 4);
    while let Some((tag, value)) = fields.next().map_err(&malformed)? {
        if tag == 2 && kind != Kind::Summary {
            temporality = value.uint().map_err(&malformed)?.cast_signed();
        }
    }
    let is_delta = is_delta(temporality)?;
    let metric = Metric { name: Cow::Borrowed(name), unit: Cow::Borrowed(unit), kind, is_delta };
    let limits = points.limits();
    let read = match kind {
        Kind::Number => number_point,
        Kind::Histogram => histogram_point,
        Kind::Exponential => exponential_point,
        Kind::Summary => summary_point,
    };
    for (index, message) in messages(data, 1, DEPTH_MAX - 4).map_err(malformed)?.enumerate() {
        points.point(at.in_it(index), &metric, read(message, limits));
    }
    Ok(())
}

/// Levels above the deepest allowed.
const POINT_DEPTH: usize = DEPTH_MAX - 5;
const POINT: &str = "data point";

fn number_point<'a>(message: &'a [u8], limits: &Limits) -> Result<Point<'a>, ItemFaultKind> {
    let malformed = ItemFaultKind::in_message(POINT);
    let mut point = Point::default();
    let mut fields = Fields::new(message, POINT_DEPTH);
    while let Some((tag, value)) = fields.next().map_err(&malformed)? {
        match tag {
            3 => point.time = value.fixed().map_err(&malformed)?,
            4 => point.number = Some(Number::Double(value.double().map_err(&malformed)?)),
            6 => {
                let bits = value.fixed().map_err(&malformed)?;
                point.number = Some(Number::Int(bits.cast_signed()));
            }
            7 => attribute(value, &mut point, limits)?,
            8 => point.flags = low(value.uint().map_err(&malformed)?),
            _ => {}
        }
    }
    Ok(point)
}

fn histogram_point<'a>(message: &'a [u8], limits: &Limits) -> Result<Point<'a>, ItemFaultKind> {
    let malformed = ItemFaultKind::in_message(POINT);
    let mut point = Point::default();
    let mut fields = Fields::new(message, POINT_DEPTH);
    while let Some((tag, value)) = fields.next().map_err(&malformed)? {
        match tag {
            3 => point.time = value.fixed().map_err(&malformed)?,
            4 => point.count = value.fixed().map_err(&malformed)?,
            5 => point.sum = Some(value.double().map_err(&malformed)?),
            6 => each_fixed(value, |bits| add(&mut point.counts, bits))?,
            7 => each_fixed(value, |bits| add(&mut point.bounds, f64::from_bits(bits)))?,
            9 => attribute(value, &mut point, limits)?,
            10 => point.flags = low(value.uint().map_err(&malformed)?),
            11 => point.min = Some(value.double().map_err(&malformed)?),
            12 => point.max = Some(value.double().map_err(&malformed)?),
            _ => {}
        }
    }
    Ok(point)
}

fn exponential_point<'a>(message: &'a [u8], limits: &Limits) -> Result<Point<'a>, ItemFaultKind> {
    let malformed = ItemFaultKind::in_message(POINT);
    let mut point = Point::default();
    let mut fields = Fields::new(message, POINT_DEPTH);
    while let Some((tag, value)) = fields.next().map_err(&malformed)? {
        match tag {
            1 => attribute(value, &mut point, limits)?,
            3 => point.time = value.fixed().map_err(&malformed)?,
            4 => point.count = value.fixed().map_err(&malformed)?,
            5 => point.sum = Some(value.double().map_err(&malformed)?),
            6 => point.scale = small_zigzag(value.uint().map_err(&malformed)?),
            7 => point.zero_count = value.fixed().map_err(&malformed)?,
            8 => buckets(value.bytes().map_err(&malformed)?, &mut point.positive)?,
            9 => buckets(value.bytes().map_err(&malformed)?, &mut point.negative)?,
            10 => point.flags = low(value.uint().map_err(&malformed)?),
            12 => point.min = Some(value.double().map_err(&malformed)?),
            13 => point.max = Some(value.double().map_err(&malformed)?),
            14 => point.zero_threshold = value.double().map_err(&malformed)?,
            _ => {}
        }
    }
    Ok(point)
}

fn buckets(message: &[u8], buckets: &mut Buckets) -> Result<(), ItemFaultKind> {
    let malformed = ItemFaultKind::in_message("Buckets");
    let mut fields = Fields::new(message, POINT_DEPTH - 1);
    while let Some((tag, value)) = fields.next().map_err(&malformed)? {
        match (tag, value) {
            (1, value) => buckets.offset = small_zigzag(value.uint().map_err(&malformed)?),
            (2, Value::Varint(count)) => add(&mut buckets.counts, count)?,
            (2, value) => {
                let mut packed = value.bytes().map_err(&malformed)?;
                while !packed.is_empty() {
                    add(&mut buckets.counts, varint(&mut packed).map_err(&malformed)?)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn summary_point<'a>(message: &'a [u8], limits: &Limits) -> Result<Point<'a>, ItemFaultKind> {
    let malformed = ItemFaultKind::in_message(POINT);
    // A summary has a sum always; as a double that is 0 it is not sent.
    let mut point = Point { sum: Some(0.0), ..Point::default() };
    let mut fields = Fields::new(message, POINT_DEPTH);
    while let Some((tag, value)) = fields.next().map_err(&malformed)? {
        match tag {
            3 => point.time = value.fixed().map_err(&malformed)?,
            4 => point.count = value.fixed().map_err(&malformed)?,
            5 => point.sum = Some(value.double().map_err(&malformed)?),
            6 => {
                let message = value.bytes().map_err(&malformed)?;
                add(&mut point.quantiles, quantile(message).map_err(&malformed)?)?;
            }
            7 => attribute(value, &mut point, limits)?,
            8 => point.flags = low(value.uint().map_err(&malformed)?),
            _ => {}
        }
    }
    Ok(point)
}

fn quantile(message: &[u8]) -> Result<(f64, f64), Malformed> {
    let (mut quantile, mut at) = (0.0, 0.0);
    let mut fields = Fields::new(message, POINT_DEPTH - 1);
    while let Some((tag, value)) = fields.next()? {
        match tag {
            1 => quantile = value.double()?,
            2 => at = value.double()?,
            _ => {}
        }
    }
    Ok((quantile, at))
}

/// Hands every entry of a field of 64-bit numbers, packed or not, to `take`.
fn each_fixed(
    value: Value<'_>,
    mut take: impl FnMut(u64) -> Result<(), ItemFaultKind>,
) -> Result<(), ItemFaultKind> {
    let malformed = ItemFaultKind::in_message(POINT);
    if let Value::Fixed64(bits) = value {
        return take(bits);
    }
    let (entries, rest) = value.bytes().map_err(&malformed)?.as_chunks();
    if !rest.is_empty() {
        return Err(malformed(Malformed));
    }
    entries.iter().try_for_each(|&bytes| take(u64::from_le_bytes(bytes)))
}

fn attribute<'a>(
    value: Value<'a>,
    point: &mut Point<'a>,
    limits: &Limits,
) -> Result<(), ItemFaultKind> {
    let message = value.bytes().map_err(ItemFaultKind::in_message("KeyValue"))?;
    add_tag(&mut point.tags, key_value(message, POINT_DEPTH - 1)?, limits)
}

fn key_value(message: &[u8], depth: usize) -> Result<Attribute<'_>, ItemFaultKind> {
    let malformed = ItemFaultKind::in_message("KeyValue");
    let mut attribute = Attribute { key: Cow::Borrowed(""), value: AttributeValue::default() };
    let mut fields = Fields::new(message, depth);
    while let Some((tag, value)) = fields.next().map_err(&malformed)? {
        match tag {
            1 => attribute.key = Cow::Borrowed(value.text().map_err(&malformed)?),
            2 => {
                let message = value.bytes().map_err(&malformed)?;
                attribute.value = any_value(message, depth - 1).map_err(&malformed)?;
            }
            _ => {}
        }
    }
    Ok(attribute)
}

/// What lies in a list or a map is not read.
fn any_value(message: &[u8], depth: usize) -> Result<AttributeValue<'_>, Malformed> {
    let mut any = AttributeValue::default();
    let mut fields = Fields::new(message, depth);
    while let Some((tag, value)) = fields.next()? {
        match tag {
            1 => any = AttributeValue::Text(Cow::Borrowed(value.text()?)),
            2 => any = AttributeValue::bool(value.uint()? != 0),
            3 => any = AttributeValue::int(value.uint()?.cast_signed()),
            4 => any = AttributeValue::double(value.double()?),
            5..=7 => {
                value.bytes()?;
                any = AttributeValue::NotText;
            }
            _ => {}
        }
    }
    Ok(any)
}

/// A `uint32`, of which the upper bits of the varint don't count.
fn low(value: u64) -> u32 {
    value as u32
}

/// A `sint32`, of which the upper bits of the varint don't count.
fn small_zigzag(value: u64) -> i64 {
    zigzag(u64::from(low(value)))
}
