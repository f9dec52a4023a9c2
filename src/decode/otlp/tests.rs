use super::proto::*;
use super::*;
use crate::decode::items::{ITEM_FAULTS_MAX, ItemFault};
use crate::decode::{Upstream, batch, encode, upstream};
use crate::model::{Batch, Timestamp, Values};
use crate::wire::RefusalCode;
use proptest::prelude::*;
use prost::Message;

const NOW: i64 = 1_800_000_000_000_000_000;
const TIME: u64 = NOW as u64;
const STAMP: Stamp<'_> = Stamp { received_at: Timestamp(NOW), booted_at: None, client: "client" };

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

/// A line for each value: `device,tags metric[unit]=value time`, with times from [`NOW`] on.
fn told(batch: &Batch) -> Vec<String> {
    let mut lines = Vec::new();
    for table in batch.tables() {
        let tags: String = table.tags().map(|(key, value)| format!(",{key}={value}")).collect();
        for column in table.columns() {
            for (row, time) in table.times().iter().enumerate() {
                let value = match column.values() {
                    Values::Floats(values) => format!("{:?}", values[row]),
                    Values::Ints(values) => format!("{}i", values[row]),
                    Values::Bools(_) | Values::Texts(_) => panic!("no numbers"),
                };
                let unit = match column.unit() {
                    "" => String::new(),
                    unit => format!("[{unit}]"),
                };
                let (device, metric) = (table.device(), column.metric());
                lines.push(format!("{device}{tags} {metric}{unit}={value} {}", time - NOW));
            }
        }
    }
    lines
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

#[test]
fn each_faulty_point_is_named_by_its_path_and_the_others_enter() {
    let long = "x".repeat(129);
    let histogram = |point: HistogramPoint| Metric {
        histogram: Some(Histogram { data_points: vec![point], aggregation_temporality: 2 }),
        ..metric("h")
    };
    let exponential = |point: ExponentialPoint| Metric {
        exponential_histogram: Some(ExponentialHistogram {
            data_points: vec![point],
            aggregation_temporality: 2,
        }),
        ..metric("e")
    };
    let bounds = |bucket_counts: Vec<u64>, explicit_bounds: Vec<f64>| {
        let count = bucket_counts.iter().sum();
        let point = HistogramPoint { count, bucket_counts, explicit_bounds, ..Default::default() };
        histogram(point)
    };
    let number = |point: NumberPoint| gauge("m", vec![point]);
    let of_sum = |temporality| Metric {
        sum: Some(Numbers {
            data_points: vec![int(1)],
            aggregation_temporality: temporality,
            is_monotonic: false,
        }),
        ..metric("s")
    };
    let buckets = |counts| Some(Buckets { offset: 0, bucket_counts: counts });
    use RefusalCode::*;
    let cases = [
        (number(NumberPoint { as_int: None, ..int(1) }), BadShape, "no value"),
        (number(double(f64::NAN)), NotFinite, "m: the value is not a finite number"),
        (number(double(f64::NEG_INFINITY)), NotFinite, "not a finite number"),
        (number(NumberPoint { time_unix_nano: 1, ..int(1) }), TimeTooOld, "days older"),
        (number(NumberPoint { time_unix_nano: u64::MAX, ..int(1) }), TimeTooFarAhead, "ahead"),
        (
            number(NumberPoint { attributes: vec![text(&long, "v")], ..int(1) }),
            BadName,
            "tag key: ",
        ),
        (
            number(NumberPoint { attributes: vec![text("k", &long)], ..int(1) }),
            BadName,
            "tag value: ",
        ),
        (
            number(NumberPoint { attributes: vec![text("", "v")], ..int(1) }),
            BadName,
            "name is empty",
        ),
        (
            number(NumberPoint { attributes: vec![text("k", "1"), text("k", "2")], ..int(1) }),
            BadName,
            "given twice",
        ),
        (
            number(NumberPoint {
                attributes: (0..17).map(|key| text(&format!("k{key}"), "v")).collect(),
                ..int(1)
            }),
            LimitExceeded,
            "more tags",
        ),
        (gauge("", vec![int(1)]), BadName, "metric: the name is empty"),
        (gauge(&long, vec![int(1)]), BadName, "metric: "),
        (Metric { unit: "\n".to_owned(), ..number(int(1)) }, BadName, "unit: "),
        (of_sum(3), Malformed, "temporality 3 is not known"),
        (of_sum(-1), Malformed, "temporality -1 is not known"),
        (metric("none"), BadShape, "no gauge, sum"),
        (bounds(vec![1, 2], vec![]), BadShape, "0 bounds and 2 counts"),
        (bounds(vec![], vec![1.0]), BadShape, "1 bounds and 0 counts"),
        (bounds(vec![1, 2, 3], vec![2.0, 1.0]), BadShape, "don't rise"),
        (bounds(vec![1, 2, 3], vec![1.0, f64::INFINITY]), BadShape, "don't rise"),
        (bounds(vec![1 << 62, 1 << 62], vec![1.0]), BadShape, "beyond 63 bits"),
        (bounds(vec![0; 1026], vec![0.0; 1025]), LimitExceeded, "more than 1024 buckets"),
        (
            histogram(HistogramPoint { sum: Some(f64::INFINITY), ..Default::default() }),
            NotFinite,
            "h.sum: ",
        ),
        (
            histogram(HistogramPoint {
                attributes: vec![text("le", "1")],
                count: 1,
                bucket_counts: vec![1],
                ..Default::default()
            }),
            BadName,
            "given twice",
        ),
        (
            exponential(ExponentialPoint { scale: 21, ..Default::default() }),
            BadShape,
            "scale 21 is not",
        ),
        (
            exponential(ExponentialPoint { scale: -11, ..Default::default() }),
            BadShape,
            "scale -11 is not",
        ),
        (
            exponential(ExponentialPoint {
                positive: buckets(vec![u64::MAX, 1]),
                ..Default::default()
            }),
            BadShape,
            "beyond 63 bits",
        ),
        (
            exponential(ExponentialPoint {
                negative: buckets(vec![1; 1026]),
                ..Default::default()
            }),
            LimitExceeded,
            "more than 1024 buckets",
        ),
    ];
    for (bad, code, message) in cases {
        let is_metric = matches!(code, Malformed) || message.contains("no gauge");
        let request = one(vec![], vec![gauge("m", vec![int(1)]), bad, gauge("m", vec![int(2)])]);
        let items = read(&request);
        assert_eq!((items.accepted, items.refused, items.batch.samples()), (2, 1, 2), "{message}");
        let fault = &items.faults[0];
        assert_eq!(fault.kind.code(), code, "{}", fault.kind);
        assert!(fault.kind.to_string().contains(message), "{message}: {}", fault.kind);
        let point = if is_metric { "" } else { ".data_points[0]" };
        assert_eq!(fault.at, format!("resource_metrics[0].scope_metrics[1].metrics[1]{point}"));
    }
}

#[test]
fn a_resource_that_can_not_be_kept_costs_its_own_points_only() {
    let points = || vec![gauge("m", vec![int(1), int(2)])];
    let mut request = one(vec![text("service.name", &"x".repeat(200))], points());
    request
        .resource_metrics
        .extend(one(vec![text("other", &"x".repeat(200))], points()).resource_metrics);
    let list = AnyValue { array_value: Some(ArrayValue::default()), ..AnyValue::default() };
    let list = KeyValue { key: "device".to_owned(), value: Some(list) };
    request.resource_metrics.extend(one(vec![list], points()).resource_metrics);
    let items = read(&request);
    assert_eq!((items.accepted, items.refused), (2, 4));
    assert_eq!(
        items.faults[1].at,
        "resource_metrics[0].scope_metrics[1].metrics[0].data_points[1]"
    );
    assert_eq!(
        items.faults[2].kind.to_string(),
        "its resource: attribute device is a list, a map or bytes, which no name can be"
    );
}

#[test]
fn who_may_not_write_a_device_is_told_so() {
    let request = one(vec![text("device", "pump")], vec![gauge("m", vec![int(1)])]);
    let mut request = request;
    let histogram = Histogram {
        data_points: vec![HistogramPoint { time_unix_nano: TIME, ..Default::default() }],
        aggregation_temporality: 2,
    };
    request.resource_metrics[0].scope_metrics[1]
        .metrics
        .push(Metric { histogram: Some(histogram), ..metric("h") });
    request
        .resource_metrics
        .extend(one(vec![text("device", "fan")], vec![gauge("m", vec![int(1)])]).resource_metrics);
    let reach = Reach::only("fan").unwrap();
    let items = with(|naming| {
        otlp(&request.encode_to_vec(), naming, &Limits::default(), &STAMP, &reach).unwrap()
    });
    assert_eq!((items.accepted, items.refused), (1, 2));
    assert!(items.faults.iter().all(|fault| fault.kind.code() == RefusalCode::Forbidden));
}

/// What can't be read costs the smallest message that it is in.
#[test]
fn damage_is_named_by_the_message_that_it_is_in() {
    let good = one(vec![], vec![gauge("m", vec![int(1)])]).encode_to_vec();
    let field = |tag: u8, inner: &[u8]| {
        let mut message = vec![tag << 3 | 2, u8::try_from(inner.len()).unwrap()];
        message.extend_from_slice(inner);
        message
    };
    let bad = [0xff_u8];
    let data = field(5, &field(1, &bad));
    let metrics = [field(1, b"m"), field(1, &[0xff]), [field(1, b"m"), data].concat()];
    let (at, of_point) =
        ("resource_metrics[1]", "resource_metrics[1].scope_metrics[0].metrics[0].data_points[0]");
    for (body, at, message) in [
        (field(1, &bad), at, "ResourceMetrics"),
        (field(1, &field(2, &bad)), "resource_metrics[1].scope_metrics[0]", "ScopeMetrics"),
        (
            field(1, &field(2, &field(2, &bad))),
            "resource_metrics[1].scope_metrics[0].metrics[0]",
            "Metric",
        ),
        (
            field(1, &field(2, &field(2, &metrics[1]))),
            "resource_metrics[1].scope_metrics[0].metrics[0]",
            "Metric",
        ),
        (field(1, &field(2, &field(2, &metrics[2]))), of_point, "data point"),
    ] {
        let items = protobuf_of(&[good.clone(), body].concat()).unwrap();
        let kind = ItemFaultKind::Protobuf { message };
        assert_eq!(items.faults, [ItemFault { at: at.to_owned(), kind }]);
        assert_eq!((items.accepted, items.refused), (1, 1));
    }
    assert!(protobuf_of(&[good.clone(), bad.to_vec()].concat()).is_err(), "no frames at all");
    assert_eq!(protobuf_of(&[]).unwrap(), Items::default());
}

#[test]
fn damaged_json_is_named_by_the_object_that_it_is_in() {
    let good = r#"{"name":"m","gauge":{"dataPoints":[{"asInt":"1"}]}}"#;
    let scope = "resource_metrics[0].scope_metrics[0]";
    for (metric, at, message) in [
        ("7", "metrics[1]", "this is no object"),
        (r#"["m"]"#, "metrics[1]", "this is no object"),
        (r#"{"name":7}"#, "metrics[1]", "expected a string"),
        (r#"{"name":"m","gauge":{"dataPoints":{}}}"#, "metrics[1]", "expected an array"),
        (
            r#"{"name":"m","gauge":{"dataPoints":[{"asInt":"1.5"}]}}"#,
            "metrics[1].data_points[0]",
            "no whole number",
        ),
        (
            r#"{"name":"m","gauge":{"dataPoints":[{"asInt":1e300}]}}"#,
            "metrics[1].data_points[0]",
            "no whole number",
        ),
        (
            r#"{"name":"m","gauge":{"dataPoints":[{"asInt":"9223372036854775808"}]}}"#,
            "metrics[1].data_points[0]",
            "out of range",
        ),
        (
            r#"{"name":"m","gauge":{"dataPoints":[{"asDouble":"many"}]}}"#,
            "metrics[1].data_points[0]",
            "no number",
        ),
        (
            r#"{"name":"m","gauge":{"dataPoints":[{"asDouble":1,"asDouble":2}]}}"#,
            "metrics[1].data_points[0]",
            "duplicate field",
        ),
        (
            r#"{"name":"m","sum":{"dataPoints":[],"aggregationTemporality":"DELTA"}}"#,
            "metrics[1]",
            "no whole number",
        ),
    ] {
        let body = format!(
            r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{good},{metric}]}}]}}]}}"#
        );
        let items = json_of(&body).unwrap();
        assert_eq!((items.accepted, items.refused), (1, 1), "{metric}");
        let fault = &items.faults[0];
        assert_eq!(fault.at, format!("{scope}.{at}"), "{metric}");
        assert!(fault.kind.to_string().contains(message), "{metric}: {}", fault.kind);
    }
    for body in ["", "{", "[]", "{\"resourceMetrics\":7}", "{}x", "\u{feff}{}"] {
        assert!(json_of(body).is_err(), "{body}");
    }
    assert_eq!(json_of("{}").unwrap(), Items::default());
    assert_eq!(json_of(r#"{"resourceMetrics":null}"#).unwrap(), Items::default());
    let items = json_of(
        r#" {"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"\u006d","gauge":{"dataPoints":[{"asInt":1e3},{"asDouble":"-2.5e1"}]}}]}]}]}"#,
    );
    assert_eq!(told(&items.unwrap().batch), ["client m=1000i 0", "client m=-25.0 0"]);
}

#[test]
fn faults_beyond_the_first_hundred_are_counted() {
    let points = vec![NumberPoint { as_int: None, ..int(1) }; 250];
    let items = read(&one(vec![], vec![gauge("m", points)]));
    assert_eq!((items.faults.len(), items.refused), (ITEM_FAULTS_MAX, 250));
}

/// A resource says long names once, a great many short points repeat them; buckets cost a byte each.
#[test]
fn a_small_body_makes_no_large_batch() {
    let name = "n".repeat(110);
    let attributes = (0..14).map(|key| text(&format!("service.{key}.{name}"), &name)).collect();
    let mut points = Vec::new();
    for value in 0..7000 {
        let attributes = vec![text("k", &(value % 1000).to_string())];
        points.push(NumberPoint { attributes, ..int(value) });
    }
    let buckets = |counts| Some(Buckets { offset: 0, bucket_counts: counts });
    let point =
        ExponentialPoint { positive: buckets(vec![1; 1024]), scale: 5, ..Default::default() };
    let data = ExponentialHistogram { data_points: vec![point; 2000], aggregation_temporality: 2 };
    let metrics =
        vec![gauge("m", points), Metric { exponential_histogram: Some(data), ..metric("e") }];
    let body = one(attributes, metrics).encode_to_vec();
    let limits = Limits { tables: usize::MAX, ..Limits::default() };
    let items = with(|naming| otlp(&body, naming, &limits, &STAMP, &Reach::all())).unwrap();
    assert!(items.accepted > 1000 && items.refused > 2500, "{} {}", items.accepted, items.refused);
    // The names, twice while they grow, and the little that is beside them.
    let (bytes, max) = (items.batch.memory_bytes(), 3 * limits.inflated_bytes);
    assert!(bytes < max, "{} sent make {bytes}", body.len());
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-z]{1,3}", 1 => "[a-zA-Z0-9 _.=,\"\\\\/é]{0,12}", 1 => Just("x".repeat(130))]
}

fn any_attribute() -> impl Strategy<Value = KeyValue> {
    let value = prop_oneof![
        4 => any_text().prop_map(|text| AnyValue { string_value: Some(text), ..AnyValue::default() }),
        1 => any::<bool>().prop_map(|it| AnyValue { bool_value: Some(it), ..AnyValue::default() }),
        1 => any::<i64>().prop_map(|it| AnyValue { int_value: Some(it), ..AnyValue::default() }),
        1 => any_double().prop_map(|it| AnyValue { double_value: Some(it), ..AnyValue::default() }),
        1 => Just(AnyValue { array_value: Some(ArrayValue::default()), ..AnyValue::default() }),
        1 => Just(AnyValue::default()),
    ];
    let keys = prop_oneof![Just("device".to_owned()), Just("service.name".to_owned()), any_text()];
    (keys, proptest::option::weighted(0.9, value)).prop_map(|(key, value)| KeyValue { key, value })
}

fn any_double() -> impl Strategy<Value = f64> {
    prop_oneof![8 => any::<f64>(), 8 => -10.0..10.0_f64, 1 => Just(f64::NAN), 1 => Just(-0.0)]
        // JSON has one NaN.
        .prop_map(|it| if it.is_nan() { f64::NAN } else { it })
}

fn any_attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    proptest::collection::vec(any_attribute(), 0..4)
}

fn any_time() -> impl Strategy<Value = u64> {
    prop_oneof![8 => TIME - 1000..TIME + 1000, 1 => Just(0), 1 => any::<u64>()]
}

fn any_flags() -> impl Strategy<Value = u32> {
    prop_oneof![8 => Just(0), 1 => Just(1), 1 => any::<u32>()]
}

fn any_optional() -> impl Strategy<Value = Option<f64>> {
    proptest::option::of(any_double())
}

fn any_counts() -> impl Strategy<Value = Vec<u64>> {
    let count = prop_oneof![6 => 0..3_u64, 2 => 0..1000_u64, 1 => any::<u64>()];
    proptest::collection::vec(count, 0..6)
}

fn any_numbers() -> impl Strategy<Value = Numbers> {
    let value = prop_oneof![
        6 => any_double().prop_map(|it| (Some(it), None)),
        6 => any::<i64>().prop_map(|it| (None, Some(it))),
        1 => Just((None, None)),
    ];
    let point = (any_attributes(), any_time(), any_flags(), value).prop_map(
        |(attributes, time_unix_nano, flags, (as_double, as_int))| NumberPoint {
            attributes,
            start_time_unix_nano: 1,
            time_unix_nano,
            as_double,
            as_int,
            flags,
        },
    );
    (proptest::collection::vec(point, 0..4), -1..4).prop_map(
        |(data_points, aggregation_temporality)| Numbers {
            data_points,
            aggregation_temporality,
            is_monotonic: true,
        },
    )
}

fn any_histogram() -> impl Strategy<Value = Histogram> {
    let bounds = prop_oneof![
        4 => proptest::collection::vec(-10.0..10.0_f64, 0..5).prop_map(|mut it| { it.sort_by(f64::total_cmp); it }),
        1 => proptest::collection::vec(any_double(), 0..3),
    ];
    let counts = any_counts();
    let point =
        (any_attributes(), any_time(), any_flags(), counts, bounds, any_optional(), any::<bool>())
            .prop_map(
                |(
                    attributes,
                    time_unix_nano,
                    flags,
                    mut bucket_counts,
                    explicit_bounds,
                    sum,
                    fits,
                )| {
                    if fits {
                        bucket_counts.resize(explicit_bounds.len() + 1, 1);
                    }
                    HistogramPoint {
                        attributes,
                        time_unix_nano,
                        count: 7,
                        sum,
                        bucket_counts,
                        explicit_bounds,
                        flags,
                        min: sum,
                        max: None,
                    }
                },
            );
    proptest::collection::vec(point, 0..3)
        .prop_map(|data_points| Histogram { data_points, aggregation_temporality: 1 })
}

fn any_exponential() -> impl Strategy<Value = ExponentialHistogram> {
    let buckets = || {
        proptest::option::of(
            (prop_oneof![4 => -20..20, 1 => any::<i32>()], any_counts())
                .prop_map(|(offset, bucket_counts)| Buckets { offset, bucket_counts }),
        )
    };
    let scale = prop_oneof![6 => -10..=20, 1 => any::<i32>()];
    let point = (
        any_attributes(),
        any_time(),
        any_flags(),
        scale,
        buckets(),
        buckets(),
        0..5_u64,
        any_double(),
        any_optional(),
    )
        .prop_map(
            |(
                attributes,
                time_unix_nano,
                flags,
                scale,
                positive,
                negative,
                zero_count,
                zero_threshold,
                sum,
            )| {
                ExponentialPoint {
                    attributes,
                    time_unix_nano,
                    count: 9,
                    sum,
                    scale,
                    zero_count,
                    positive,
                    negative,
                    flags,
                    min: None,
                    max: sum,
                    zero_threshold,
                }
            },
        );
    proptest::collection::vec(point, 0..3)
        .prop_map(|data_points| ExponentialHistogram { data_points, aggregation_temporality: 2 })
}

fn any_summary() -> impl Strategy<Value = super::proto::Summary> {
    let quantile =
        (any_double(), any_double()).prop_map(|(quantile, value)| Quantile { quantile, value });
    let quantiles = proptest::collection::vec(quantile, 0..4);
    let point = (any_attributes(), any_time(), any_flags(), quantiles, any_double()).prop_map(
        |(attributes, time_unix_nano, flags, quantile_values, sum)| SummaryPoint {
            attributes,
            time_unix_nano,
            count: 3,
            sum,
            quantile_values,
            flags,
        },
    );
    proptest::collection::vec(point, 0..3)
        .prop_map(|data_points| super::proto::Summary { data_points })
}

fn any_metric() -> impl Strategy<Value = Metric> {
    let data = prop_oneof![
        4 => any_numbers().prop_map(|it| Metric { gauge: Some(it), ..Metric::default() }),
        4 => any_numbers().prop_map(|it| Metric { sum: Some(it), ..Metric::default() }),
        4 => any_histogram().prop_map(|it| Metric { histogram: Some(it), ..Metric::default() }),
        4 => any_exponential().prop_map(|it| Metric { exponential_histogram: Some(it), ..Metric::default() }),
        4 => any_summary().prop_map(|it| Metric { summary: Some(it), ..Metric::default() }),
        1 => Just(Metric::default()),
    ];
    (any_text(), any_text(), data).prop_map(|(name, unit, data)| Metric { name, unit, ..data })
}

fn any_request() -> impl Strategy<Value = Request> {
    let metrics = proptest::collection::vec(any_metric(), 0..4);
    let scopes = proptest::collection::vec(
        metrics.prop_map(|metrics| ScopeMetrics { scope: None, metrics }),
        0..3,
    );
    let resource =
        (proptest::option::of(any_attributes()), scopes).prop_map(|(attributes, scope_metrics)| {
            let resource = attributes.map(|attributes| Resource { attributes, dropped: 1 });
            ResourceMetrics { resource, scope_metrics, schema_url: String::new() }
        });
    proptest::collection::vec(resource, 0..3)
        .prop_map(|resource_metrics| Request { resource_metrics })
}

/// What came to be is a batch like any other.
fn survives(items: &Items) {
    assert_eq!(items.accepted == 0, items.batch.samples() == 0);
    if items.accepted > 0 {
        let encoded = encode(&items.batch, 1);
        let Ok(Upstream::Batch(message)) = upstream(&encoded) else { panic!("no batch") };
        assert_eq!(batch(message, &Limits::READ_BACK, &STAMP).unwrap().batch, items.batch);
    }
}

/// The points of a request, those of damaged metrics not counted.
fn points(request: &Request) -> usize {
    let scopes = request.resource_metrics.iter().flat_map(|it| &it.scope_metrics);
    let count = |metric: &Metric| {
        let numbers = |it: &Option<Numbers>| match it {
            Some(it) if (0..=2).contains(&it.aggregation_temporality) => it.data_points.len(),
            Some(_) => 1,
            None => 0,
        };
        let none = *metric
            == Metric { name: metric.name.clone(), unit: metric.unit.clone(), ..Metric::default() };
        usize::from(none)
            + numbers(&metric.gauge)
            + numbers(&metric.sum)
            + metric.histogram.as_ref().map_or(0, |it| it.data_points.len())
            + metric.exponential_histogram.as_ref().map_or(0, |it| it.data_points.len())
            + metric.summary.as_ref().map_or(0, |it| it.data_points.len())
    };
    scopes.flat_map(|scope| &scope.metrics).map(count).sum()
}

proptest! {
    /// Every point is in the batch, at fault, or left out; and the form makes no difference.
    #[test]
    fn both_forms_of_a_request_come_to_the_same(request in any_request()) {
        let items = read(&request);
        survives(&items);
        prop_assert_eq!(items.accepted + items.refused + items.empty, points(&request));
        // Tight limits make no difference to that.
        let limits = Limits { tables: 5, samples: 9, name_bytes: 9, tags: 2, ..Limits::default() };
        let few = with(|naming| otlp(&request.encode_to_vec(), naming, &limits, &STAMP, &Reach::all())).unwrap();
        survives(&few);
        prop_assert_eq!(few.accepted + few.refused + few.empty, points(&request));
    }

    #[test]
    fn a_damaged_request_is_read_without_harm(request in any_request(), at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
        let mut body = request.encode_to_vec();
        prop_assume!(!body.is_empty());
        let at = at.index(body.len());
        if let Ok(items) = protobuf_of(&body[..at]) {
            survives(&items);
        }
        body[at] ^= flip;
        if let Ok(items) = protobuf_of(&body) {
            survives(&items);
        }
        let mut body = to_json(&request).to_string().into_bytes();
        let at = at % body.len();
        body[at] ^= flip;
        let read = with(|naming| otlp_json(&body, naming, &Limits::default(), &STAMP, &Reach::all()));
        if let Ok(items) = read {
            survives(&items);
        }
    }
}
