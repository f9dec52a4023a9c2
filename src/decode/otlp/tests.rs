mod faults;
mod properties;

use super::proto::*;
use super::*;
use crate::decode::items::{ITEM_FAULTS_MAX, ItemFault};
use crate::decode::items_tests::{NOW, STAMP, survives, told};
use crate::wire::RefusalCode;
use proptest::prelude::*;
use prost::Message;

const TIME: u64 = NOW as u64;

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn with<T>(read: impl FnOnce(&OtlpNaming<'_>) -> T) -> T {
    let device_attributes = strings(&["device", "host.name"]);
    let globs = Globs::new(&strings(&["service.*", "host.name"])).unwrap();
    read(&OtlpNaming { device_attributes: &device_attributes, resource_tags: globs.as_ref() })
}

fn protobuf_of(body: &[u8]) -> Result<Items, ItemFaultKind> {
    with(|naming| otlp(body, naming, &Limits::default(), &STAMP, &Reach::all()))
}

fn json_of(body: &str) -> Result<Items, ItemFaultKind> {
    with(|naming| otlp_json(body.as_bytes(), naming, &Limits::default(), &STAMP, &Reach::all()))
}

/// In both forms, which must come to the same.
fn read(request: &Request) -> Items {
    let items = protobuf_of(&request.encode_to_vec()).unwrap();
    assert_eq!(json_of(&to_json(request).to_string()).unwrap(), items);
    items
}

fn one(attributes: Vec<KeyValue>, metrics: Vec<Metric>) -> Request {
    let resource = Some(Resource { attributes, dropped: 0 });
    let scope = ScopeMetrics { scope: None, metrics };
    let scope_metrics = vec![ScopeMetrics::default(), scope];
    let resource = ResourceMetrics { resource, scope_metrics, schema_url: "u".to_owned() };
    Request { resource_metrics: vec![resource] }
}

fn metric(name: &str) -> Metric {
    Metric { name: name.to_owned(), unit: "s".to_owned(), ..Metric::default() }
}

fn gauge(name: &str, data_points: Vec<NumberPoint>) -> Metric {
    Metric { gauge: Some(Numbers { data_points, ..Numbers::default() }), ..metric(name) }
}

fn int(value: i64) -> NumberPoint {
    NumberPoint { as_int: Some(value), time_unix_nano: TIME, ..NumberPoint::default() }
}

fn double(value: f64) -> NumberPoint {
    NumberPoint { as_double: Some(value), time_unix_nano: TIME, ..NumberPoint::default() }
}

#[test]
fn numbers_are_readings_of_the_resource_with_tags_of_the_point() {
    let mut later = int(-8);
    later.time_unix_nano += 5;
    let tagged = NumberPoint {
        attributes: vec![text("side", "left"), text("service.name", "own"), text("empty", "")],
        ..double(0.1)
    };
    let sum = |temporality| Numbers {
        data_points: vec![int(i64::MAX)],
        aggregation_temporality: temporality,
        is_monotonic: true,
    };
    let request = one(
        vec![
            text("service.name", "press"),
            text("host.name", "plant-3"),
            text("telemetry.sdk.name", "x"),
            text("device", "press-7"),
        ],
        vec![
            gauge("speed", vec![int(7), later, tagged]),
            Metric { sum: Some(sum(2)), unit: String::new(), ..metric("total") },
            Metric { sum: Some(sum(1)), ..metric("since") },
            gauge("untimed", vec![NumberPoint { time_unix_nano: 0, ..int(1) }]),
        ],
    );
    let items = read(&request);
    assert_eq!((items.accepted, items.refused, items.histograms), (6, 0, 0));
    assert_eq!(
        told(&items.batch),
        [
            "press-7,host.name=plant-3,service.name=press speed[s]=7i 0",
            "press-7,host.name=plant-3,service.name=press speed[s]=-8i 5",
            "press-7,host.name=plant-3,service.name=own,side=left speed[s]=0.1 0",
            "press-7,host.name=plant-3,service.name=press total=9223372036854775807i 0",
            "press-7,host.name=plant-3,service.name=press,temporality=delta since[s]=9223372036854775807i 0",
            "press-7,host.name=plant-3,service.name=press untimed[s]=1i 0",
        ]
    );
    // Without any attribute it is of the client; one that is the device is no tag.
    let gauges = || vec![gauge("speed", vec![double(1.5)])];
    assert_eq!(told(&read(&one(vec![], gauges())).batch), ["client speed[s]=1.5 0"]);
    let request = one(vec![text("host.name", "plant-3"), text("device", "")], gauges());
    assert_eq!(told(&read(&request).batch), ["plant-3 speed[s]=1.5 0"]);
    // The second of two that might be the device is a tag only if it is wanted as one.
    let request = one(vec![text("host.name", "plant-3"), text("device", "press-7")], gauges());
    let device_attributes = strings(&["host.name", "device"]);
    let globs = Globs::new(&strings(&["service.*"])).unwrap();
    let naming =
        OtlpNaming { device_attributes: &device_attributes, resource_tags: globs.as_ref() };
    let body = request.encode_to_vec();
    let items = otlp(&body, &naming, &Limits::default(), &STAMP, &Reach::all()).unwrap();
    assert_eq!(told(&items.batch), ["plant-3 speed[s]=1.5 0"]);
}

#[test]
fn attributes_of_every_type_become_texts_if_they_can() {
    let any = AnyValue::default;
    let point =
        |value| NumberPoint { attributes: vec![KeyValue { key: "k".to_owned(), value }], ..int(1) };
    let values = vec![
        Some(AnyValue { bool_value: Some(true), ..any() }),
        Some(AnyValue { int_value: Some(-5), ..any() }),
        Some(AnyValue { double_value: Some(0.5), ..any() }),
        Some(any()),
        None,
        Some(AnyValue { array_value: Some(ArrayValue::default()), ..any() }),
        Some(AnyValue { bytes_value: Some(vec![0]), ..any() }),
    ];
    let items = read(&one(vec![], vec![gauge("m", values.into_iter().map(point).collect())]));
    assert_eq!(
        told(&items.batch),
        [
            "client,k=true m[s]=1i 0",
            "client,k=-5 m[s]=1i 0",
            "client,k=0.5 m[s]=1i 0",
            "client m[s]=1i 0",
            "client m[s]=1i 0"
        ]
    );
    let not_text = ItemFaultKind::NotText { key: "k".to_owned() };
    let kinds: Vec<_> = items.faults.iter().map(|fault| &fault.kind).collect();
    assert_eq!(kinds, [&not_text, &not_text]);
}

#[test]
fn histograms_are_kept_as_parts() {
    let point = HistogramPoint {
        time_unix_nano: TIME,
        count: 6,
        sum: Some(20.5),
        min: Some(0.5),
        max: Some(9.0),
        bucket_counts: vec![2, 0, 3, 1],
        explicit_bounds: vec![0.005, 1.0, 2.5],
        ..HistogramPoint::default()
    };
    let only_counted = HistogramPoint {
        time_unix_nano: TIME + 1,
        count: 1,
        attributes: vec![text("a", "b")],
        ..HistogramPoint::default()
    };
    let data = Histogram { data_points: vec![point, only_counted], aggregation_temporality: 2 };
    let items = read(&one(vec![], vec![Metric { histogram: Some(data), ..metric("h") }]));
    assert_eq!((items.accepted, items.histograms, items.refused), (2, 2, 0));
    assert_eq!(
        told(&items.batch),
        [
            "client,le=0.005 h.bucket=2i 0",
            "client,le=1 h.bucket=2i 0",
            "client,le=2.5 h.bucket=5i 0",
            "client,le=+Inf h.bucket=6i 0",
            "client h.count=6i 0",
            "client h.sum[s]=20.5 0",
            "client h.min[s]=0.5 0",
            "client h.max[s]=9.0 0",
            "client,a=b h.count=1i 1",
        ]
    );
}

#[test]
fn exponential_histograms_have_the_bounds_of_their_base() {
    let point = ExponentialPoint {
        time_unix_nano: TIME,
        count: 10,
        sum: Some(1.0),
        scale: 1,
        zero_count: 2,
        zero_threshold: 0.25,
        // Above √2^-2 up to √2^-1, and above √2 up to 2.
        positive: Some(Buckets { offset: -2, bucket_counts: vec![1, 0, 0, 3] }),
        // From -4 up to -2√2.
        negative: Some(Buckets { offset: 3, bucket_counts: vec![4] }),
        ..ExponentialPoint::default()
    };
    let data = ExponentialHistogram { data_points: vec![point], aggregation_temporality: 1 };
    let metrics = vec![Metric { exponential_histogram: Some(data), ..metric("e") }];
    let items = read(&one(vec![], metrics));
    let delta = |line: &str| line.replace(" e", ",temporality=delta e");
    let expected = [
        "client,le=-4 e.bucket=0i 0",
        "client,le=-2.82842712474619 e.bucket=4i 0",
        "client,le=-0.25 e.bucket=4i 0",
        "client,le=0.25 e.bucket=6i 0",
        "client,le=0.5 e.bucket=6i 0",
        "client,le=0.7071067811865476 e.bucket=7i 0",
        "client,le=1.4142135623730951 e.bucket=7i 0",
        "client,le=2 e.bucket=10i 0",
        "client,le=+Inf e.bucket=10i 0",
        "client e.count=10i 0",
        "client e.sum[s]=1.0 0",
    ];
    let told: Vec<_> = told(&items.batch)
        .iter()
        .map(|line| line.replace("2.8284271247461903", "2.82842712474619"))
        .collect();
    assert_eq!(told, expected.map(delta));
}

#[test]
fn summaries_are_kept_as_parts() {
    let quantile = |quantile, value| Quantile { quantile, value };
    let point = SummaryPoint {
        time_unix_nano: TIME,
        count: 3,
        quantile_values: vec![quantile(0.5, 1.25), quantile(0.99, f64::NAN), quantile(1.0, 7.0)],
        ..SummaryPoint::default()
    };
    let data = super::proto::Summary { data_points: vec![point] };
    let items = read(&one(vec![], vec![Metric { summary: Some(data), ..metric("q") }]));
    assert_eq!(
        told(&items.batch),
        [
            "client,quantile=0.5 q[s]=1.25 0",
            "client,quantile=1 q[s]=7.0 0",
            "client q.count=3i 0",
            "client q.sum[s]=0.0 0",
        ]
    );
    assert_eq!(items.left_out.not_finite, 1);
}

#[test]
fn a_point_without_a_recorded_value_is_left_out() {
    let gone = NumberPoint { flags: 1, as_int: None, ..int(0) };
    let items = read(&one(vec![], vec![gauge("m", vec![gone, int(1)])]));
    assert_eq!((items.accepted, items.refused, items.left_out.no_value), (1, 0, 1));
}
