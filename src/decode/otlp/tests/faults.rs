//! What is at fault is named by its place, and costs nothing else.

use super::*;

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
        let attributes = vec![text("k", &value.to_string())];
        points.push(NumberPoint { attributes, ..int(value) });
    }
    let buckets = |counts| Some(Buckets { offset: 0, bucket_counts: counts });
    let point =
        ExponentialPoint { positive: buckets(vec![1; 1024]), scale: 5, ..Default::default() };
    let data = ExponentialHistogram { data_points: vec![point; 300], aggregation_temporality: 2 };
    let metrics =
        vec![gauge("m", points), Metric { exponential_histogram: Some(data), ..metric("e") }];
    let body = one(attributes, metrics).encode_to_vec();
    let limits = Limits { tables: usize::MAX, ..Limits::default() };
    let items = with(|naming| otlp(&body, naming, &limits, &STAMP, &Reach::all())).unwrap();
    assert!(items.accepted > 1000 && items.refused > 2000, "{} {}", items.accepted, items.refused);
    // The names, twice while they grow, and the little that is beside them.
    let (bytes, max) = (items.batch.memory_bytes(), 3 * limits.inflated_bytes);
    assert!(bytes < max, "{} sent make {bytes}", body.len());
}
