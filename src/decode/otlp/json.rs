//! The request as JSON: protobuf's own mapping, with the exceptions that OTLP makes (names in
//! lowerCamelCase only, enumerations as numbers).
//!
//! 64-bit numbers come as texts or as numbers, what is not known is passed over, `null` is as if nothing
//! was there. Each level is cut out of the one above without being looked into, so that a fault costs its
//! own item only.

use super::attributes::{Attribute, AttributeValue, OriginOf, add_tag};
use super::points::{At, Buckets, Kind, Metric, Number, Point, Points, add, is_delta};
use crate::decode::items::ItemFaultKind;
use crate::decode::json::{self, Double, Text, Whole};
use crate::wire::Limits;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

type Raw<'a> = Option<&'a RawValue>;

/// Reads an `ExportMetricsServiceRequest`.
pub(super) fn request<'a>(
    body: &'a [u8],
    points: &mut Points<'_, 'a>,
) -> Result<(), ItemFaultKind> {
    let body = std::str::from_utf8(body).map_err(|error| {
        let what = format!("the text is not UTF-8 at byte {}", error.valid_up_to());
        ItemFaultKind::Json { what }
    })?;
    let request: Request<'_> = json::object(body)?;
    let mut at = 0;
    json::elements(request.resource_metrics, |resource| {
        let here = At::default().in_it(at);
        at += 1;
        if let Err(kind) = resource_metrics(resource, here, points) {
            points.refuse(here, kind);
        }
        Ok(())
    })
}

fn resource_metrics<'a>(
    raw: &'a RawValue,
    at: At,
    points: &mut Points<'_, 'a>,
) -> Result<(), ItemFaultKind> {
    let message: ResourceMetrics<'a> = json::object(raw.get())?;
    let mut origin = points.origin();
    let read = resource(message.resource, &mut origin);
    points.resource(read.map(|()| origin));
    let mut index = 0;
    json::elements(message.scope_metrics, |scope| {
        let here = at.in_it(index);
        index += 1;
        if let Err(kind) = scope_metrics(scope, here, points) {
            points.refuse(here, kind);
        }
        Ok(())
    })
}

fn resource<'a>(raw: Raw<'a>, origin: &mut OriginOf<'a, '_>) -> Result<(), ItemFaultKind> {
    let Some(raw) = raw else { return Ok(()) };
    let message: Resource<'a> = json::object(raw.get())?;
    json::elements(message.attributes, |attribute| origin.add(key_value(attribute)?))
}

fn scope_metrics<'a>(
    raw: &'a RawValue,
    at: At,
    points: &mut Points<'_, 'a>,
) -> Result<(), ItemFaultKind> {
    let message: ScopeMetrics<'a> = json::object(raw.get())?;
    let mut index = 0;
    json::elements(message.metrics, |raw| {
        let here = at.in_it(index);
        index += 1;
        if let Err(kind) = metric(raw, here, points) {
            points.refuse(here, kind);
        }
        Ok(())
    })
}

fn metric<'a>(raw: &'a RawValue, at: At, points: &mut Points<'_, 'a>) -> Result<(), ItemFaultKind> {
    let message: MetricMessage<'a> = json::object(raw.get())?;
    let kinds = [
        (message.gauge, Kind::Number),
        (message.sum, Kind::Number),
        (message.histogram, Kind::Histogram),
        (message.exponential_histogram, Kind::Exponential),
        (message.summary, Kind::Summary),
    ];
    let mut data = kinds.into_iter().filter_map(|(data, kind)| Some((data?, kind)));
    let (data, kind) = data.next().ok_or(ItemFaultKind::NoKind)?;
    let data: Data<'a> = json::object(data.get())?;
    let is_delta = match kind {
        Kind::Summary => false,
        _ => is_delta(data.aggregation_temporality.map_or(Ok(0), Whole::get)?)?,
    };
    let (name, unit) = (Text::or_empty(message.name), Text::or_empty(message.unit));
    let metric = Metric { name, unit, kind, is_delta };
    let limits = points.limits();
    let mut index = 0;
    json::elements(data.data_points, |raw| {
        let here = at.in_it(index);
        index += 1;
        points.point(here, &metric, point(raw, kind, limits));
        Ok(())
    })
}

fn point<'a>(raw: &'a RawValue, kind: Kind, limits: &Limits) -> Result<Point<'a>, ItemFaultKind> {
    let message: PointMessage<'a> = json::object(raw.get())?;
    let mut point = Point {
        time: message.time_unix_nano.map_or(Ok(0), Whole::get)?,
        flags: message.flags.map_or(Ok(0), Whole::get)?,
        ..Point::default()
    };
    json::elements(message.attributes, |raw| add_tag(&mut point.tags, key_value(raw)?, limits))?;
    if kind == Kind::Number {
        point.number = match (message.as_int, message.as_double) {
            (Some(int), _) => Some(Number::Int(int.get()?)),
            (None, double) => double.map(|double| Number::Double(double.0)),
        };
        return Ok(point);
    }
    point.count = message.count.map_or(Ok(0), Whole::get)?;
    point.sum = message.sum.map(|sum| sum.0);
    if kind == Kind::Summary {
        point.sum = point.sum.or(Some(0.0));
        json::elements(message.quantile_values, |raw| {
            let Quantile { quantile, value } = json::object(raw.get())?;
            add(&mut point.quantiles, (Double::or_zero(quantile), Double::or_zero(value)))
        })?;
        return Ok(point);
    }
    point.min = message.min.map(|min| min.0);
    point.max = message.max.map(|max| max.0);
    if kind == Kind::Histogram {
        whole_numbers(message.bucket_counts, &mut point.counts)?;
        json::elements(message.explicit_bounds, |raw| {
            add(&mut point.bounds, json::value::<Double>(raw.get())?.0)
        })?;
        return Ok(point);
    }
    point.scale = message.scale.map_or(Ok(0), Whole::get::<i32>)?.into();
    point.zero_count = message.zero_count.map_or(Ok(0), Whole::get)?;
    point.zero_threshold = Double::or_zero(message.zero_threshold);
    buckets(message.positive, &mut point.positive)?;
    buckets(message.negative, &mut point.negative)?;
    Ok(point)
}

fn buckets(raw: Raw<'_>, buckets: &mut Buckets) -> Result<(), ItemFaultKind> {
    let Some(raw) = raw else { return Ok(()) };
    let message: BucketsMessage<'_> = json::object(raw.get())?;
    buckets.offset = message.offset.map_or(Ok(0), Whole::get::<i32>)?.into();
    whole_numbers(message.bucket_counts, &mut buckets.counts)
}

fn whole_numbers(raw: Raw<'_>, numbers: &mut Vec<u64>) -> Result<(), ItemFaultKind> {
    json::elements(raw, |raw| add(numbers, json::value::<Whole>(raw.get())?.get()?))
}

fn key_value(raw: &RawValue) -> Result<Attribute<'_>, ItemFaultKind> {
    let message: KeyValue<'_> = json::object(raw.get())?;
    let key = Text::or_empty(message.key);
    let value = message.value.map_or(Ok(AttributeValue::default()), any_value)?;
    Ok(Attribute { key, value })
}

fn any_value(raw: &RawValue) -> Result<AttributeValue<'_>, ItemFaultKind> {
    let any: AnyValue<'_> = json::object(raw.get())?;
    Ok(match any {
        AnyValue { string_value: Some(Text(text)), .. } => AttributeValue::Text(text),
        AnyValue { bool_value: Some(value), .. } => AttributeValue::bool(value),
        AnyValue { int_value: Some(value), .. } => AttributeValue::int(value.get()?),
        AnyValue { double_value: Some(value), .. } => AttributeValue::double(value.0),
        AnyValue { array_value: Some(_), .. }
        | AnyValue { kvlist_value: Some(_), .. }
        | AnyValue { bytes_value: Some(_), .. } => AttributeValue::NotText,
        _ => AttributeValue::Text(Cow::Borrowed("")),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    #[serde(borrow, default)]
    resource_metrics: Raw<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceMetrics<'a> {
    #[serde(borrow, default)]
    resource: Raw<'a>,
    #[serde(borrow, default)]
    scope_metrics: Raw<'a>,
}

#[derive(Deserialize)]
struct Resource<'a> {
    #[serde(borrow, default)]
    attributes: Raw<'a>,
}

#[derive(Deserialize)]
struct ScopeMetrics<'a> {
    #[serde(borrow, default)]
    metrics: Raw<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetricMessage<'a> {
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    unit: Option<Text<'a>>,
    #[serde(borrow, default)]
    gauge: Raw<'a>,
    #[serde(borrow, default)]
    sum: Raw<'a>,
    #[serde(borrow, default)]
    histogram: Raw<'a>,
    #[serde(borrow, default)]
    exponential_histogram: Raw<'a>,
    #[serde(borrow, default)]
    summary: Raw<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    #[serde(borrow, default)]
    data_points: Raw<'a>,
    #[serde(default)]
    aggregation_temporality: Option<Whole>,
}

/// A data point of any kind.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PointMessage<'a> {
    #[serde(borrow, default)]
    attributes: Raw<'a>,
    time_unix_nano: Option<Whole>,
    flags: Option<Whole>,
    as_double: Option<Double>,
    as_int: Option<Whole>,
    count: Option<Whole>,
    sum: Option<Double>,
    min: Option<Double>,
    max: Option<Double>,
    #[serde(borrow, default)]
    bucket_counts: Raw<'a>,
    #[serde(borrow, default)]
    explicit_bounds: Raw<'a>,
    scale: Option<Whole>,
    zero_count: Option<Whole>,
    zero_threshold: Option<Double>,
    #[serde(borrow, default)]
    positive: Raw<'a>,
    #[serde(borrow, default)]
    negative: Raw<'a>,
    #[serde(borrow, default)]
    quantile_values: Raw<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BucketsMessage<'a> {
    offset: Option<Whole>,
    #[serde(borrow, default)]
    bucket_counts: Raw<'a>,
}

#[derive(Deserialize)]
struct Quantile {
    quantile: Option<Double>,
    value: Option<Double>,
}

#[derive(Deserialize)]
struct KeyValue<'a> {
    #[serde(borrow, default)]
    key: Option<Text<'a>>,
    #[serde(borrow, default)]
    value: Raw<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnyValue<'a> {
    #[serde(borrow, default)]
    string_value: Option<Text<'a>>,
    bool_value: Option<bool>,
    int_value: Option<Whole>,
    double_value: Option<Double>,
    #[serde(borrow, default)]
    array_value: Raw<'a>,
    #[serde(borrow, default)]
    kvlist_value: Raw<'a>,
    #[serde(borrow, default)]
    bytes_value: Raw<'a>,
}
