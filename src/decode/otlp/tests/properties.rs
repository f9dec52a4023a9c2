//! Requests by chance: both forms come to the same, and damage does no harm.

use super::*;

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
