use super::proto::*;
use super::series::STALE;
use super::*;
use crate::decode::items_tests::{NOW, STAMP, survives, told};
use crate::wire::RefusalCode;
use proptest::prelude::*;
use prost::Message;

const MILLIS: i64 = NOW / 1_000_000;

fn body(version: RemoteWrite, body: &[u8], limits: &Limits) -> Result<Items, ItemFaultKind> {
    let device_labels = ["device".to_owned(), "instance".to_owned()];
    let naming = PrometheusNaming { device_labels: &device_labels };
    remote_write(version, body, &naming, limits, &STAMP, &Reach::all())
}

/// By both versions, which must come to the same.
fn read(request: &WriteRequest) -> Items {
    let limits = Limits::default();
    let items = body(RemoteWrite::V1, &request.encode_to_vec(), &limits).unwrap();
    let second = body(RemoteWrite::V2, &to_v2(request, "").encode_to_vec(), &limits).unwrap();
    assert_eq!(second, items);
    items
}

fn labels(pairs: &[(&str, &str)]) -> Vec<Label> {
    let label =
        |&(name, value): &(&str, &str)| Label { name: name.to_owned(), value: value.to_owned() };
    pairs.iter().map(label).collect()
}

fn sample(value: f64, after: i64) -> Sample {
    Sample { value, timestamp: MILLIS + after }
}

fn series(pairs: &[(&str, &str)], samples: Vec<Sample>) -> TimeSeries {
    TimeSeries { labels: labels(pairs), samples, ..TimeSeries::default() }
}

fn histogram(histogram: Histogram) -> TimeSeries {
    let histogram = Histogram { timestamp: MILLIS, ..histogram };
    let series = series(&[("__name__", "h"), ("instance", "a:1")], vec![]);
    TimeSeries { histograms: vec![histogram], ..series }
}

#[test]
fn a_series_is_a_metric_of_its_instance() {
    let request = WriteRequest {
        timeseries: vec![
            series(
                &[
                    ("__name__", "node_load1"),
                    ("instance", "plant-3:9100"),
                    ("job", "node"),
                    ("empty", ""),
                ],
                vec![sample(0.1, 0), sample(-5e-324, 1)],
            ),
            series(
                &[("__name__", "up"), ("device", "press"), ("instance", "a:1")],
                vec![sample(1.0, 0)],
            ),
            series(&[("__name__", "up")], vec![sample(f64::MAX, -1)]),
        ],
    };
    let items = read(&request);
    assert_eq!((items.accepted, items.refused), (4, 0));
    assert_eq!(
        told(&items.batch),
        [
            "plant-3:9100,job=node node_load1=0.1 0",
            "plant-3:9100,job=node node_load1=-5e-324 1000000",
            "press,instance=a:1 up=1.0 0",
            "client up=1.7976931348623157e308 -1000000",
        ]
    );
    let with_unit = to_v2(&request, "seconds").encode_to_vec();
    let items = body(RemoteWrite::V2, &with_unit, &Limits::default()).unwrap();
    assert_eq!(told(&items.batch)[3], "client up[seconds]=1.7976931348623157e308 -1000000");
}

#[test]
fn what_can_not_be_kept_is_left_out_and_no_fault() {
    let values = [f64::from_bits(STALE), f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.0];
    let samples = values.into_iter().map(|value| sample(value, 0)).collect();
    let items = read(&WriteRequest { timeseries: vec![series(&[("__name__", "m")], samples)] });
    assert_eq!((items.accepted, items.refused, items.batch.samples()), (1, 0, 1));
    assert_eq!((items.left_out.no_value, items.left_out.not_finite), (1, 3));
    let ended = histogram(Histogram { sum: f64::from_bits(STALE), ..Histogram::default() });
    let items = read(&WriteRequest { timeseries: vec![ended] });
    assert_eq!((items.accepted, items.refused, items.left_out.no_value), (0, 0, 1));
    assert_eq!(read(&WriteRequest::default()), Items::default());
}

#[test]
fn native_histograms_are_kept_as_parts() {
    let span = |offset, length| Span { offset, length };
    let check = |of: Histogram, expected: &[&str]| {
        let items = read(&WriteRequest { timeseries: vec![histogram(of)] });
        assert_eq!(
            (items.accepted, items.histograms, items.refused),
            (1, 1, 0),
            "{:?}",
            items.faults
        );
        let expected: Vec<_> = expected.iter().map(|line| format!("a:1{line} 0")).collect();
        assert_eq!(told(&items.batch), expected);
    };
    check(
        Histogram {
            count_int: Some(12),
            sum: 2.5,
            zero_threshold: 0.001,
            zero_count_int: 1,
            // Above 1 up to 2 and above 2 up to 4; above 16 up to 32.
            positive_spans: vec![span(1, 2), span(2, 1)],
            positive_deltas: vec![3, -2, 4],
            // From -1 up to -0.5.
            negative_spans: vec![span(0, 1)],
            negative_deltas: vec![2],
            ..Histogram::default()
        },
        &[
            ",le=-1 h.bucket=0i",
            ",le=-0.5 h.bucket=2i",
            ",le=-0.001 h.bucket=2i",
            ",le=0.001 h.bucket=3i",
            ",le=1 h.bucket=3i",
            ",le=2 h.bucket=6i",
            ",le=4 h.bucket=7i",
            ",le=16 h.bucket=7i",
            ",le=32 h.bucket=12i",
            ",le=+Inf h.bucket=12i",
            " h.count=12i",
            " h.sum=2.5",
        ],
    );
    check(
        Histogram {
            count_float: Some(1.5),
            sum: f64::NAN,
            schema: -53,
            custom_values: vec![0.5, 1.0],
            positive_spans: vec![span(1, 2)],
            positive_counts: vec![0.5, 1.0],
            ..Histogram::default()
        },
        &[",le=0.5 h.bucket=0.0", ",le=1 h.bucket=0.5", ",le=+Inf h.bucket=1.5", " h.count=1.5"],
    );
}

#[test]
fn each_faulty_sample_is_named_by_its_path_and_the_others_enter() {
    use RefusalCode::*;
    let long = "x".repeat(129);
    let many: Vec<_> = (0..17).map(|key| format!("k{key}")).collect();
    let many: Vec<_> =
        many.iter().map(|key| (key.as_str(), "v")).chain([("__name__", "m")]).collect();
    let of = |pairs: &[(&str, &str)]| series(pairs, vec![sample(1.0, 0)]);
    let at = |timestamp| series(&[("__name__", "m")], vec![Sample { value: 1.0, timestamp }]);
    let span = |offset, length| Span { offset, length };
    let placed = |spans: Vec<Span>, deltas: Vec<i64>| {
        histogram(Histogram {
            positive_spans: spans,
            positive_deltas: deltas,
            ..Histogram::default()
        })
    };
    let cases = [
        (of(&[("instance", "a:1")]), BadName, "no label __name__"),
        (of(&[("__name__", "")]), BadName, "no label __name__"),
        (of(&[("__name__", "a"), ("__name__", "b")]), BadName, "given twice"),
        (of(&[("__name__", "m"), ("k", "1"), ("k", "2")]), BadName, "given twice"),
        (of(&[("__name__", &long)]), BadName, "metric: "),
        (of(&[("__name__", "m"), ("instance", &long)]), BadName, "device: "),
        (of(&[("__name__", "m"), ("k", &long)]), BadName, "tag value: "),
        (of(&[("__name__", "m"), ("", "v")]), BadName, "tag key: "),
        (of(&many), LimitExceeded, "more tags"),
        (at(0), TimeTooOld, "days older"),
        (at(MILLIS + 1_000_000), TimeTooFarAhead, "ahead"),
        (at(i64::MAX), Malformed, "beyond 64 bits"),
        (placed(vec![span(0, 2)], vec![1]), BadShape, "don't fit"),
        (placed(vec![span(0, 1)], vec![1, 1]), BadShape, "don't fit"),
        (placed(vec![span(0, u32::MAX)], vec![1]), BadShape, "don't fit"),
        (placed(vec![span(0, 2)], vec![1, -2]), BadShape, "don't fit"),
        (placed(vec![span(0, 2)], vec![i64::MAX, 1]), BadShape, "beyond 63 bits"),
        (placed(vec![span(0, 1025)], vec![0; 1025]), LimitExceeded, "more than 1024 buckets"),
        (histogram(Histogram { schema: 21, ..Histogram::default() }), BadShape, "scale 21"),
        (histogram(Histogram { schema: -54, ..Histogram::default() }), BadShape, "scale -54"),
        (
            histogram(Histogram {
                schema: -53,
                custom_values: vec![2.0, 1.0],
                ..Histogram::default()
            }),
            BadShape,
            "don't rise",
        ),
        (
            histogram(Histogram { count_int: Some(u64::MAX), ..Histogram::default() }),
            BadShape,
            "beyond 63 bits",
        ),
    ];
    for (bad, code, message) in cases {
        let list = if bad.samples.is_empty() { "histograms" } else { "samples" };
        let good = of(&[("__name__", "m")]);
        let items = read(&WriteRequest { timeseries: vec![good.clone(), bad, good] });
        assert_eq!((items.accepted, items.refused, items.batch.samples()), (2, 1, 2), "{message}");
        let fault = &items.faults[0];
        assert_eq!(fault.at, format!("timeseries[1].{list}[0]"));
        assert_eq!(fault.kind.code(), code, "{}", fault.kind);
        assert!(fault.kind.to_string().contains(message), "{message}: {}", fault.kind);
    }
}

#[test]
fn who_may_not_write_a_device_is_told_so() {
    let of = |device| series(&[("__name__", "m"), ("device", device)], vec![sample(1.0, 0)]);
    let mut ended = histogram(Histogram::default());
    ended.labels = labels(&[("__name__", "h"), ("device", "pump")]);
    let request = WriteRequest { timeseries: vec![of("pump"), of("fan"), ended] };
    let device_labels = ["device".to_owned()];
    let naming = PrometheusNaming { device_labels: &device_labels };
    let (limits, reach) = (Limits::default(), Reach::only("fan").unwrap());
    let first = request.encode_to_vec();
    let second = to_v2(&request, "").encode_to_vec();
    for (version, body) in [(RemoteWrite::V1, first), (RemoteWrite::V2, second)] {
        let items = remote_write(version, &body, &naming, &limits, &STAMP, &reach).unwrap();
        assert_eq!((items.accepted, items.refused), (1, 2));
        assert_eq!(told(&items.batch), ["fan m=1.0 0"]);
        assert!(items.faults.iter().all(|fault| fault.kind.code() == RefusalCode::Forbidden));
    }
}

#[test]
fn a_series_with_very_many_labels_is_not_read_to_its_end() {
    let device_labels = ["device".to_owned()];
    let limits = Limits { tags: 3, ..Limits::default() };
    let naming = PrometheusNaming { device_labels: &device_labels };
    let mut labels = super::series::Labels::new(&naming, &limits);
    let added = (0..9).filter(|_| labels.add("k", "v").is_ok());
    // One of them may be the device.
    assert_eq!(added.count(), 4);
}

#[test]
fn references_to_symbols_are_looked_at() {
    let symbols = ["", "__name__", "m"].map(str::to_owned).to_vec();
    let check = |labels_refs: &[u32], message: &str| {
        let series = |labels_refs: &[u32]| TimeSeries2 {
            labels_refs: labels_refs.to_vec(),
            samples: vec![sample(1.0, 0), sample(2.0, 1)],
            ..TimeSeries2::default()
        };
        let timeseries = vec![series(&[1, 2]), series(labels_refs)];
        let request = Request2 { symbols: symbols.clone(), timeseries };
        let items = body(RemoteWrite::V2, &request.encode_to_vec(), &Limits::default()).unwrap();
        assert_eq!((items.accepted, items.refused), (2, 2));
        assert_eq!(items.faults[1].at, "timeseries[1].samples[1]");
        assert_eq!(items.faults[1].kind.to_string(), message);
    };
    check(&[1, 3], "a label refers to symbol 3, of 3");
    check(&[1, 2, 0], "an odd number of references makes the labels");
    check(&[], "the series has no label __name__");
    let request = Request2 { symbols: vec![String::new(); (1 << 18) + 1], timeseries: vec![] };
    let refused = body(RemoteWrite::V2, &request.encode_to_vec(), &Limits::default());
    assert_eq!(refused.unwrap_err().code(), RefusalCode::LimitExceeded);
}

#[test]
fn damage_is_named_by_the_series_that_it_is_in() {
    let good =
        WriteRequest { timeseries: vec![series(&[("__name__", "m")], vec![sample(1.0, 0)])] };
    let good = good.encode_to_vec();
    let damaged = [&good[..], &[1 << 3 | 2, 1, 0xff]].concat();
    let items = body(RemoteWrite::V1, &damaged, &Limits::default()).unwrap();
    assert_eq!((items.accepted, items.refused), (1, 1));
    assert_eq!(items.faults[0].at, "timeseries[1]");
    assert!(body(RemoteWrite::V1, &[&good[..], &[0xff]].concat(), &Limits::default()).is_err());
    // The other version's bytes are no samples.
    assert_eq!(body(RemoteWrite::V2, &good, &Limits::default()).unwrap(), Items::default());
}

fn any_double() -> impl Strategy<Value = f64> {
    prop_oneof![8 => any::<f64>(), 8 => -10.0..10.0_f64, 1 => Just(f64::from_bits(STALE))]
}

fn any_millis() -> impl Strategy<Value = i64> {
    prop_oneof![8 => MILLIS - 1000..MILLIS + 1000, 1 => any::<i64>()]
}

fn any_histogram() -> impl Strategy<Value = Histogram> {
    let spans = || {
        let span = (
            prop_oneof![6 => -5..5, 1 => any::<i32>()],
            prop_oneof![8 => 0..3_u32, 1 => any::<u32>()],
        );
        let span = span.prop_map(|(offset, length)| Span { offset, length });
        proptest::collection::vec(span, 0..3)
    };
    let deltas = || proptest::collection::vec(prop_oneof![8 => 0..5_i64, 1 => any::<i64>()], 0..5);
    let floats = || proptest::collection::vec(any_double(), 0..4);
    let schema = prop_oneof![6 => -10..=20, 3 => Just(-53), 1 => any::<i32>()];
    let counts = (any::<Option<u64>>(), proptest::option::weighted(0.3, any_double()));
    (
        counts,
        any_double(),
        schema,
        spans(),
        deltas(),
        spans(),
        deltas(),
        floats(),
        floats(),
        any_millis(),
    )
        .prop_map(
            |(
                (count_int, count_float),
                sum,
                schema,
                positive_spans,
                positive_deltas,
                negative_spans,
                negative_deltas,
                floats,
                custom_values,
                timestamp,
            )| {
                Histogram {
                    count_int,
                    count_float: if count_int.is_some() { None } else { count_float },
                    sum,
                    schema,
                    zero_threshold: sum,
                    zero_count_int: 2,
                    zero_count_float: 0.5,
                    negative_spans,
                    negative_deltas,
                    negative_counts: floats.clone(),
                    positive_spans,
                    positive_deltas,
                    positive_counts: floats,
                    timestamp,
                    custom_values,
                }
            },
        )
}

fn any_request() -> impl Strategy<Value = WriteRequest> {
    let name = prop_oneof![Just("__name__".to_owned()), Just("instance".to_owned()), "[a-z]{0,3}"];
    let label = (name, "[a-zé\n]{0,4}").prop_map(|(name, value)| Label { name, value });
    let labels = proptest::collection::vec(label, 0..5);
    let sample =
        (any_double(), any_millis()).prop_map(|(value, timestamp)| Sample { value, timestamp });
    let samples = proptest::collection::vec(sample, 0..4);
    let histograms = proptest::collection::vec(any_histogram(), 0..2);
    let series = (labels, samples, histograms).prop_map(|(labels, samples, histograms)| {
        TimeSeries { labels, samples, exemplars: vec![], histograms }
    });
    proptest::collection::vec(series, 0..5).prop_map(|timeseries| WriteRequest { timeseries })
}

proptest! {
    #[test]
    fn both_versions_of_a_request_come_to_the_same(request in any_request()) {
        let items = read(&request);
        survives(&items);
        let samples: usize = request.timeseries.iter().map(|it| it.samples.len() + it.histograms.len()).sum();
        prop_assert_eq!(items.accepted + items.refused + items.empty, samples);
        let limits = Limits { tables: 5, samples: 9, name_bytes: 3, tags: 2, ..Limits::default() };
        survives(&body(RemoteWrite::V1, &request.encode_to_vec(), &limits).unwrap());
    }

    #[test]
    fn a_damaged_request_is_read_without_harm(request in any_request(), at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
        let second = to_v2(&request, "s").encode_to_vec();
        for (version, mut bytes) in [(RemoteWrite::V1, request.encode_to_vec()), (RemoteWrite::V2, second)] {
            if bytes.is_empty() {
                continue;
            }
            let at = at.index(bytes.len());
            if let Ok(items) = body(version, &bytes[..at], &Limits::default()) {
                survives(&items);
            }
            bytes[at] ^= flip;
            if let Ok(items) = body(version, &bytes, &Limits::default()) {
                survives(&items);
            }
        }
    }
}
