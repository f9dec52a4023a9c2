//! The messages as prost has them, for the tests: what a sender writes, in either form.

use super::super::histogram::number_text;
use serde_json::{Value, json};

macro_rules! message {
    ($name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty,)* }) => {
        #[derive(Clone, PartialEq, prost::Message)]
        pub struct $name { $($(#[$attribute])* pub $field: $type,)* }
    };
}

message!(Request {
    #[prost(message, repeated, tag = "1")]
    resource_metrics: Vec<ResourceMetrics>,
});
message!(ResourceMetrics {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_metrics: Vec<ScopeMetrics>,
    #[prost(string, tag = "3")]
    schema_url: String,
});
message!(Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
    #[prost(uint32, tag = "2")]
    dropped: u32,
});
message!(ScopeMetrics {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    metrics: Vec<Metric>,
});
message!(Scope {
    #[prost(string, tag = "1")]
    name: String,
});
message!(Metric {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    description: String,
    #[prost(string, tag = "3")]
    unit: String,
    #[prost(message, optional, tag = "5")]
    gauge: Option<Numbers>,
    #[prost(message, optional, tag = "7")]
    sum: Option<Numbers>,
    #[prost(message, optional, tag = "9")]
    histogram: Option<Histogram>,
    #[prost(message, optional, tag = "10")]
    exponential_histogram: Option<ExponentialHistogram>,
    #[prost(message, optional, tag = "11")]
    summary: Option<Summary>,
});
message!(Numbers {
    #[prost(message, repeated, tag = "1")]
    data_points: Vec<NumberPoint>,
    #[prost(int32, tag = "2")]
    aggregation_temporality: i32,
    #[prost(bool, tag = "3")]
    is_monotonic: bool,
});
message!(Histogram {
    #[prost(message, repeated, tag = "1")]
    data_points: Vec<HistogramPoint>,
    #[prost(int32, tag = "2")]
    aggregation_temporality: i32,
});
message!(ExponentialHistogram {
    #[prost(message, repeated, tag = "1")]
    data_points: Vec<ExponentialPoint>,
    #[prost(int32, tag = "2")]
    aggregation_temporality: i32,
});
message!(Summary {
    #[prost(message, repeated, tag = "1")]
    data_points: Vec<SummaryPoint>,
});
message!(NumberPoint {
    #[prost(message, repeated, tag = "7")]
    attributes: Vec<KeyValue>,
    #[prost(fixed64, tag = "2")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "3")]
    time_unix_nano: u64,
    #[prost(double, optional, tag = "4")]
    as_double: Option<f64>,
    #[prost(sfixed64, optional, tag = "6")]
    as_int: Option<i64>,
    #[prost(uint32, tag = "8")]
    flags: u32,
});
message!(HistogramPoint {
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(fixed64, tag = "3")]
    time_unix_nano: u64,
    #[prost(fixed64, tag = "4")]
    count: u64,
    #[prost(double, optional, tag = "5")]
    sum: Option<f64>,
    #[prost(fixed64, repeated, tag = "6")]
    bucket_counts: Vec<u64>,
    #[prost(double, repeated, tag = "7")]
    explicit_bounds: Vec<f64>,
    #[prost(uint32, tag = "10")]
    flags: u32,
    #[prost(double, optional, tag = "11")]
    min: Option<f64>,
    #[prost(double, optional, tag = "12")]
    max: Option<f64>,
});
message!(ExponentialPoint {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
    #[prost(fixed64, tag = "3")]
    time_unix_nano: u64,
    #[prost(fixed64, tag = "4")]
    count: u64,
    #[prost(double, optional, tag = "5")]
    sum: Option<f64>,
    #[prost(sint32, tag = "6")]
    scale: i32,
    #[prost(fixed64, tag = "7")]
    zero_count: u64,
    #[prost(message, optional, tag = "8")]
    positive: Option<Buckets>,
    #[prost(message, optional, tag = "9")]
    negative: Option<Buckets>,
    #[prost(uint32, tag = "10")]
    flags: u32,
    #[prost(double, optional, tag = "12")]
    min: Option<f64>,
    #[prost(double, optional, tag = "13")]
    max: Option<f64>,
    #[prost(double, tag = "14")]
    zero_threshold: f64,
});
message!(Buckets {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint64, repeated, tag = "2")]
    bucket_counts: Vec<u64>,
});
message!(SummaryPoint {
    #[prost(message, repeated, tag = "7")]
    attributes: Vec<KeyValue>,
    #[prost(fixed64, tag = "3")]
    time_unix_nano: u64,
    #[prost(fixed64, tag = "4")]
    count: u64,
    #[prost(double, tag = "5")]
    sum: f64,
    #[prost(message, repeated, tag = "6")]
    quantile_values: Vec<Quantile>,
    #[prost(uint32, tag = "8")]
    flags: u32,
});
message!(Quantile {
    #[prost(double, tag = "1")]
    quantile: f64,
    #[prost(double, tag = "2")]
    value: f64,
});
message!(KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
});
message!(AnyValue {
    #[prost(string, optional, tag = "1")]
    string_value: Option<String>,
    #[prost(bool, optional, tag = "2")]
    bool_value: Option<bool>,
    #[prost(int64, optional, tag = "3")]
    int_value: Option<i64>,
    #[prost(double, optional, tag = "4")]
    double_value: Option<f64>,
    #[prost(message, optional, tag = "5")]
    array_value: Option<ArrayValue>,
    #[prost(bytes = "vec", optional, tag = "7")]
    bytes_value: Option<Vec<u8>>,
});
message!(ArrayValue {
    #[prost(message, repeated, tag = "1")]
    values: Vec<AnyValue>,
});

pub fn text(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { string_value: Some(value.to_owned()), ..AnyValue::default() };
    KeyValue { key: key.to_owned(), value: Some(value) }
}

/// As JSON has it: 64-bit numbers as texts, everything that is not set left out.
pub fn to_json(request: &Request) -> Value {
    let resources = request.resource_metrics.iter().map(|resource| {
        let attributes = resource.resource.as_ref().map(|resource| attributes(&resource.attributes));
        let scopes = resource.scope_metrics.iter().map(|scope| {
            let metrics: Vec<_> = scope.metrics.iter().map(metric).collect();
            json!({ "scope": { "name": "s", "version": null }, "metrics": metrics, "schemaUrl": "u" })
        });
        let scopes: Vec<_> = scopes.collect();
        match attributes {
            Some(attributes) => json!({ "scopeMetrics": scopes, "resource": { "attributes": attributes } }),
            None => json!({ "scopeMetrics": scopes, "resource": null }),
        }
    });
    json!({ "unknown": [{}], "resourceMetrics": resources.collect::<Vec<_>>() })
}

fn metric(metric: &Metric) -> Value {
    let mut value = json!({ "name": metric.name, "unit": metric.unit, "description": "d" });
    let mut set = |key: &str, points: Vec<Value>, temporality: i32| {
        value[key] = json!({ "dataPoints": points, "aggregationTemporality": temporality });
    };
    for (key, numbers) in [("gauge", &metric.gauge), ("sum", &metric.sum)] {
        if let Some(numbers) = numbers {
            let points = numbers.data_points.iter().map(number).collect();
            set(key, points, numbers.aggregation_temporality);
        }
    }
    if let Some(data) = &metric.histogram {
        let points = data.data_points.iter().map(histogram).collect();
        set("histogram", points, data.aggregation_temporality);
    }
    if let Some(data) = &metric.exponential_histogram {
        let points = data.data_points.iter().map(exponential).collect();
        set("exponentialHistogram", points, data.aggregation_temporality);
    }
    if let Some(data) = &metric.summary {
        set("summary", data.data_points.iter().map(summary).collect(), 0);
    }
    value
}

fn number(point: &NumberPoint) -> Value {
    let mut value = base(&point.attributes, point.time_unix_nano, point.flags);
    if let Some(double) = point.as_double {
        value["asDouble"] = self::double(double);
    }
    if let Some(int) = point.as_int {
        value["asInt"] = if int % 2 == 0 { json!(int) } else { json!(int.to_string()) };
    }
    value
}

fn histogram(point: &HistogramPoint) -> Value {
    let mut value = base(&point.attributes, point.time_unix_nano, point.flags);
    let parts = [("sum", point.sum), ("min", point.min), ("max", point.max)];
    for (key, part) in parts {
        if let Some(part) = part {
            value[key] = double(part);
        }
    }
    value["count"] = json!(point.count.to_string());
    value["bucketCounts"] = strings(&point.bucket_counts);
    value["explicitBounds"] = point.explicit_bounds.iter().copied().map(double).collect();
    value
}

fn exponential(point: &ExponentialPoint) -> Value {
    let mut value = base(&point.attributes, point.time_unix_nano, point.flags);
    let parts = [("sum", point.sum), ("min", point.min), ("max", point.max)];
    for (key, part) in parts {
        if let Some(part) = part {
            value[key] = double(part);
        }
    }
    value["count"] = json!(point.count);
    value["scale"] = json!(point.scale);
    value["zeroCount"] = json!(point.zero_count.to_string());
    value["zeroThreshold"] = double(point.zero_threshold);
    for (key, buckets) in [("positive", &point.positive), ("negative", &point.negative)] {
        if let Some(buckets) = buckets {
            let counts = strings(&buckets.bucket_counts);
            value[key] = json!({ "offset": buckets.offset, "bucketCounts": counts });
        }
    }
    value
}

fn summary(point: &SummaryPoint) -> Value {
    let mut value = base(&point.attributes, point.time_unix_nano, point.flags);
    value["count"] = json!(point.count.to_string());
    value["sum"] = double(point.sum);
    let quantiles = point.quantile_values.iter();
    value["quantileValues"] = quantiles
        .map(|it| json!({ "quantile": double(it.quantile), "value": double(it.value) }))
        .collect();
    value
}

fn base(of: &[KeyValue], time: u64, flags: u32) -> Value {
    let attributes = attributes(of);
    json!({ "attributes": attributes, "timeUnixNano": time.to_string(), "flags": flags, "exemplars": [] })
}

fn strings(numbers: &[u64]) -> Value {
    numbers.iter().map(|number| json!(number.to_string())).collect()
}

fn double(double: f64) -> Value {
    match double {
        _ if double.is_nan() => json!("NaN"),
        f64::INFINITY => json!("Infinity"),
        f64::NEG_INFINITY => json!("-Infinity"),
        _ if double > 100.0 => json!(number_text(double)),
        _ => json!(double),
    }
}

fn attributes(of: &[KeyValue]) -> Value {
    let each = of.iter().map(|attribute| {
        let any = attribute.value.as_ref().map(|value| {
            if let Some(text) = &value.string_value {
                json!({ "stringValue": text })
            } else if let Some(bool) = value.bool_value {
                json!({ "boolValue": bool })
            } else if let Some(int) = value.int_value {
                json!({ "intValue": int.to_string() })
            } else if let Some(it) = value.double_value {
                json!({ "doubleValue": double(it) })
            } else if value.array_value.is_some() {
                json!({ "arrayValue": { "values": [{ "stringValue": "a" }] } })
            } else if value.bytes_value.is_some() {
                json!({ "bytesValue": "AAEC" })
            } else {
                json!({})
            }
        });
        json!({ "key": attribute.key, "value": any })
    });
    each.collect()
}
