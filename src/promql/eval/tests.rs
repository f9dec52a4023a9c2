use super::*;
use crate::model::NANOS_PER_SECOND;
use crate::promql::labels::View;
use crate::promql::{METRIC_NAME, parse};
use proptest::prelude::*;

const S: i64 = NANOS_PER_SECOND;

/// Series in memory, their times in seconds.
struct Memory {
    series: Vec<(Labels, Vec<(i64, f64)>)>,
    /// How often it is asked whether to go on before it says no.
    patience: Cell<usize>,
}

impl Source for Memory {
    fn select(
        &self,
        selector: &Selector,
        after: i64,
        to: i64,
        tell: Tell<'_>,
    ) -> Result<(), EvalError> {
        for (labels, samples) in &self.series {
            let tags: Vec<_> = labels.iter().filter(|(name, _)| *name != METRIC_NAME).collect();
            let metric = labels.get(METRIC_NAME);
            let device = labels.get("device");
            if selector.fits(&View { device, metric, tags: &tags }) {
                let within = samples.iter().map(|(time, value)| (time * S, *value));
                let (times, values): (Vec<_>, Vec<_>) =
                    within.filter(|(time, _)| *time > after && *time <= to).unzip();
                tell(labels.clone(), &times, &values)?;
            }
        }
        Ok(())
    }

    fn go_on(&self) -> Result<(), SourceError> {
        let left = self.patience.get().checked_sub(1).ok_or(SourceError::TimedOut)?;
        self.patience.set(left);
        Ok(())
    }
}

/// `name{key="value",…}`, its labels.
fn labels(told: &str) -> Labels {
    let (name, rest) = told.split_once('{').unwrap_or((told, "}"));
    let pairs = rest.trim_end_matches('}').split(',').filter_map(|pair| pair.split_once('='));
    let all = pairs.map(|(key, value)| (key.into(), value.trim_matches('"').into()));
    Labels::new(all.chain([(METRIC_NAME.into(), name.into())]).collect())
}

fn told(labels: &Labels) -> String {
    let others = labels.iter().filter(|(name, _)| *name != METRIC_NAME);
    let others: Vec<_> = others.map(|(name, value)| format!("{name}={value}")).collect();
    let name = labels.get(METRIC_NAME);
    if others.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", others.join(",")) }
}

fn memory(series: &[(&str, &[(i64, f64)])]) -> Memory {
    let series = series.iter().map(|(told, samples)| (labels(told), samples.to_vec())).collect();
    Memory { series, patience: Cell::new(usize::MAX) }
}

/// A plant: pumps with a flow at the tenth second, a counter over time, a histogram.
fn plant() -> Memory {
    memory(&[
        ("flow{device=a,area=n}", &[(10, 1.0)]),
        ("flow{device=b,area=n}", &[(10, 2.0)]),
        ("flow{device=c,area=s}", &[(10, 4.0)]),
        ("level{device=a}", &[(10, 10.0)]),
        ("level{device=b}", &[(10, f64::NAN)]),
        ("starts{device=a}", &[(0, 0.0), (10, 10.0), (20, 20.0), (30, 3.0)]),
        ("area.info{area=n,name=north}", &[(10, 1.0)]),
        ("area.info{area=s,name=south}", &[(10, 1.0)]),
        ("lag.bucket{device=a,le=0.1}", &[(10, 10.0)]),
        ("lag.bucket{device=a,le=0.2}", &[(10, 30.0)]),
        ("lag.bucket{device=a,le=+Inf}", &[(10, 40.0)]),
    ])
}

/// The answer at an instant, in the order that it is told in.
fn at(memory: &Memory, seconds: i64, text: &str) -> Vec<String> {
    let expr = parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
    match evaluate(&expr, Grid::instant(seconds * S), memory) {
        Ok(Answer::Scalar(values)) => values.iter().map(ToString::to_string).collect(),
        Ok(Answer::Vector(series)) => series
            .iter()
            .map(|series| format!("{} {}", told(&series.labels), series.points[0].unwrap()))
            .collect(),
        Ok(Answer::Matrix(series)) => {
            series.iter().map(|(labels, samples)| format!("{} {samples:?}", told(labels))).collect()
        }
        Ok(Answer::Text(text)) => vec![text],
        Err(error) => vec![format!("error: {error}")],
    }
}

#[test]
fn expressions_have_the_values_of_prometheus() {
    let plant = plant();
    for (text, expected) in [
        ("1 + 2 * 3 ^ 2", &["19"][..]),
        ("-7 % 4", &["-3"]),
        ("1 / 0", &["inf"]),
        ("3 > bool 2", &["1"]),
        ("\"text\"", &["text"]),
        ("time()", &["12"]),
        ("pi() > bool 3", &["1"]),
        (
            "flow",
            &["flow{area=n,device=a} 1", "flow{area=n,device=b} 2", "flow{area=s,device=c} 4"],
        ),
        ("flow{area=\"s\"}", &["flow{area=s,device=c} 4"]),
        ("flow{area!=\"n\",device=~\"b|c\"}", &["flow{area=s,device=c} 4"]),
        ("flow{device!~\"b|c\"}", &["flow{area=n,device=a} 1"]),
        ("flow{nothing=\"\"} > 3", &["flow{area=s,device=c} 4"]),
        ("area_info{area=\"n\"}", &["area.info{area=n,name=north} 1"]),
        ("{\"area.info\", area=\"n\"}", &["area.info{area=n,name=north} 1"]),
        ("nothing", &[]),
        ("-flow{device=\"a\"}", &["{area=n,device=a} -1"]),
        ("flow{device=\"a\"} * 2 + 1", &["{area=n,device=a} 3"]),
        ("10 - flow{device=\"b\"}", &["{area=n,device=b} 8"]),
        // Comparisons keep the value and the name, even with the scalar on the left.
        ("2 <= flow", &["flow{area=n,device=b} 2", "flow{area=s,device=c} 4"]),
        ("flow > bool 1", &["{area=n,device=a} 0", "{area=n,device=b} 1", "{area=s,device=c} 1"]),
        ("level == level", &["level{device=a} 10"]),
        ("level != bool level", &["{device=a} 0", "{device=b} 1"]),
        // Matching.
        ("flow + on(device) level", &["{device=a} 11", "{device=b} NaN"]),
        ("flow + ignoring(area) level", &["{device=a} 11", "{device=b} NaN"]),
        ("flow + level", &[]),
        (
            "flow * on(area) group_left(name) area_info",
            &[
                "{area=n,device=a,name=north} 1",
                "{area=n,device=b,name=north} 2",
                "{area=s,device=c,name=south} 4",
            ],
        ),
        ("area_info * on(area) group_right flow{area=\"s\"}", &["{area=s,device=c} 4"]),
        ("area_info < on(area) group_right flow{area=\"s\"}", &["flow{area=s,device=c} 1"]),
        (
            "flow * on(area) area_info",
            &[
                "error: multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
            ],
        ),
        (
            "area_info * on(area) flow",
            &[
                "error: found duplicate series for the match group {area=\"n\"} on the right hand-side of the operation: [{__name__=\"flow\", area=\"n\", device=\"b\"}, {__name__=\"flow\", area=\"n\", device=\"a\"}];many-to-many matching not allowed: matching labels must be unique on one side",
            ],
        ),
        (
            "flow * on(area) group_left(device) sum by (area) (flow)",
            &["error: multiple matches for labels: grouping labels must ensure unique matches"],
        ),
        // Sets.
        ("flow and on(device) level", &["flow{area=n,device=a} 1", "flow{area=n,device=b} 2"]),
        ("flow unless on(device) level", &["flow{area=s,device=c} 4"]),
        (
            "level or on(device) flow",
            &["flow{area=s,device=c} 4", "level{device=a} 10", "level{device=b} NaN"],
        ),
        // Aggregations.
        ("sum(flow)", &[" 7"]),
        ("avg by (area) (flow)", &["{area=n} 1.5", "{area=s} 4"]),
        ("min without (device) (flow)", &["{area=n} 1", "{area=s} 4"]),
        ("max(flow)", &[" 4"]),
        ("max(level)", &[" 10"]),
        ("count by (area, nothing) (flow)", &["{area=n} 2", "{area=s} 1"]),
        ("group by (area) (flow)", &["{area=n} 1", "{area=s} 1"]),
        ("stddev by (area) (flow)", &["{area=n} 0.5", "{area=s} 0"]),
        ("stdvar(flow{area=\"n\"})", &[" 0.25"]),
        ("quantile(0.5, flow)", &[" 2"]),
        ("topk(2, flow)", &["flow{area=s,device=c} 4", "flow{area=n,device=b} 2"]),
        ("bottomk(1, flow)", &["flow{area=n,device=a} 1"]),
        ("topk by (area) (1, flow)", &["flow{area=n,device=b} 2", "flow{area=s,device=c} 4"]),
        ("topk(0, flow)", &[]),
        ("topk(NaN, flow)", &["error: Parameter value is NaN"]),
        ("topk(2, level)", &["level{device=a} 10", "level{device=b} NaN"]),
        ("sum(nothing)", &[]),
        // Functions of vectors.
        ("abs(-flow{device=\"a\"})", &["{area=n,device=a} 1"]),
        ("round(flow{device=\"a\"} * 2.44, 0.1)", &["{area=n,device=a} 2.4"]),
        (
            "clamp(flow, 2, 3)",
            &["{area=n,device=a} 2", "{area=n,device=b} 2", "{area=s,device=c} 3"],
        ),
        ("clamp(flow, 3, 2)", &[]),
        ("clamp_min(level, 20)", &["{device=a} 20", "{device=b} NaN"]),
        ("sgn(flow{device=\"a\"} - 5)", &["{area=n,device=a} -1"]),
        ("sqrt(flow{device=\"c\"})", &["{area=s,device=c} 2"]),
        ("log2(flow{device=\"c\"})", &["{area=s,device=c} 2"]),
        ("scalar(flow{device=\"c\"})", &["4"]),
        ("scalar(flow)", &["NaN"]),
        ("vector(5)", &[" 5"]),
        ("timestamp(flow{device=\"a\"})", &["{area=n,device=a} 10"]),
        ("timestamp(flow{device=\"a\"} + 1)", &["{area=n,device=a} 12"]),
        (
            "sort_desc(flow)",
            &["flow{area=s,device=c} 4", "flow{area=n,device=b} 2", "flow{area=n,device=a} 1"],
        ),
        ("sort(level)", &["level{device=a} 10", "level{device=b} NaN"]),
        ("sort_desc(level)", &["level{device=a} 10", "level{device=b} NaN"]),
        ("absent(nothing{a=\"1\",b!=\"2\",c=\"3\",c=\"4\"})", &["{a=1} 1"]),
        ("absent(flow)", &[]),
        ("absent(sum(nothing))", &[" 1"]),
        ("absent_over_time(nothing{a=\"1\"}[5m])", &["{a=1} 1"]),
        (
            "label_replace(flow{device=\"a\"}, \"where\", \"in-$1\", \"area\", \"(.*)\")",
            &["flow{area=n,device=a,where=in-n} 1"],
        ),
        (
            "label_replace(flow{device=\"a\"}, \"area\", \"\", \"device\", \"a\")",
            &["flow{device=a} 1"],
        ),
        (
            "label_replace(flow, \"device\", \"x\", \"area\", \".*\")",
            &["error: vector cannot contain metrics with the same labelset"],
        ),
        (
            "label_join(flow{device=\"a\"}, \"j\", \"/\", \"area\", \"device\")",
            &["flow{area=n,device=a,j=n/a} 1"],
        ),
        ("histogram_quantile(0.5, lag_bucket)", &["{device=a} 0.15000000000000002"]),
        (
            "abs({__name__=~\"flow|level\", device=\"a\", area=\"\"} or flow{device=\"c\"})",
            &["{area=s,device=c} 4", "{device=a} 10"],
        ),
    ] {
        assert_eq!(at(&plant, 12, text), expected, "{text}");
    }
}

#[test]
fn ranges_are_open_on_the_left_and_the_latest_sample_ages() {
    let plant = plant();
    for (seconds, text, expected) in [
        (30, "count_over_time(starts[20s])", &["{device=a} 2"][..]),
        (30, "count_over_time(starts[21s])", &["{device=a} 3"]),
        (30, "starts[15s]", &["starts{device=a} [(20000000000, 20.0), (30000000000, 3.0)]"]),
        (30, "starts offset 15s", &["starts{device=a} 10"]),
        (30, "starts offset -15s", &["starts{device=a} 3"]),
        (9, "starts offset -1s", &["starts{device=a} 10"]),
        (500, "starts @ 20", &["starts{device=a} 20"]),
        (500, "starts @ 20 offset 10s", &["starts{device=a} 10"]),
        (40, "sum_over_time(starts[20s] @ 20)", &["{device=a} 30"]),
        (329, "starts", &["starts{device=a} 3"]),
        (330, "starts", &[]),
        (30, "increase(starts[40s])", &["{device=a} 23"]),
        (30, "rate(starts[40s] offset 10s)", &["{device=a} 0.5"]),
        (30, "last_over_time(starts[1m])", &["starts{device=a} 3"]),
        (30, "resets(starts[1m])", &["{device=a} 1"]),
        (30, "quantile_over_time(0.5, starts[1m])", &["{device=a} 6.5"]),
        (30, "rate(starts[5s])", &[]),
    ] {
        assert_eq!(at(&plant, seconds, text), expected, "{text} at {seconds}");
    }
}

fn grid(memory: &Memory, text: &str, grid: Grid) -> Result<Vec<(String, String)>, EvalError> {
    let Answer::Vector(series) = evaluate(&parse(text).unwrap(), grid, memory)? else { panic!() };
    let points = |series: &Series| {
        let points = series.points.iter();
        let points: Vec<_> =
            points.map(|it| it.map_or("-".to_owned(), |it| it.to_string())).collect();
        points.join(" ")
    };
    Ok(series.iter().map(|series| (told(&series.labels), points(series))).collect())
}

#[test]
fn a_grid_is_an_instant_after_the_other() {
    let plant = plant();
    let all = Grid { start: 0, step: 10 * S, count: 4, end: 39 * S };
    for (text, expected) in [
        ("starts", "0 10 20 3"),
        ("starts > 5", "- 10 20 -"),
        ("starts @ end()", "3 3 3 3"),
        // Not the last instant, but the end that was asked for.
        ("starts @ end() offset 9s", "3 3 3 3"),
        ("starts @ start()", "0 0 0 0"),
        ("topk(1, starts)", "0 10 20 3"),
    ] {
        let found = grid(&plant, text, all).unwrap();
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert_eq!(found[0].1, expected, "{text}");
    }
    // The source tells what any of the instants may see: a sample at the left end of a range is not in it.
    let edge = memory(&[("a", &[(0, 1.0), (100, 2.0)])]);
    let wide = Grid { start: 0, step: 100 * S, count: 5, end: 400 * S };
    for (text, expected) in [
        ("a", "1 2 2 2 -"),
        ("count_over_time(a[100s])", "1 1 - - -"),
        ("count_over_time(a[101s])", "1 2 1 - -"),
    ] {
        assert_eq!(grid(&edge, text, wide).unwrap()[0].1, expected, "{text}");
    }
    // What is at the top changes: each is told where it was.
    let top = memory(&[("a{x=1}", &[(0, 1.0), (10, 5.0)]), ("a{x=2}", &[(0, 2.0), (10, 3.0)])]);
    let two = Grid { count: 2, ..all };
    let expected =
        [("a{x=1}".to_owned(), "- 5".to_owned()), ("a{x=2}".to_owned(), "2 -".to_owned())];
    assert_eq!(grid(&top, "topk(1, a)", two).unwrap(), expected);
    assert_eq!(grid(&top, "absent(a{x=\"3\"})", two).unwrap()[0].1, "1 1");
    assert_eq!(grid(&top, "a or vector(1)", two).unwrap().len(), 3);
}

#[test]
fn what_costs_too_much_ends() {
    let plant = plant();
    let wide = Grid { start: 0, step: S, count: CELLS_MAX / 4, end: S };
    let refused = grid(&plant, "flow offset -1h + 0 + 0", wide);
    assert_eq!(refused, Ok(Vec::new()), "nothing there costs nothing");
    let refused = grid(&plant, "{__name__=~\".+\"} @ 12", wide);
    assert_eq!(refused, Err(EvalError::TooManyCells));
    let refused = grid(&plant, "vector(1) + vector(1) + vector(1) + vector(1)", wide);
    assert_eq!(refused, Err(EvalError::TooManyCells));
    let many: Vec<_> = (0..=CELLS_MAX as i64).map(|time| (time, 1.0)).collect();
    let (all, fits) = (memory(&[("a", &many)]), CELLS_MAX as i64);
    assert_eq!(at(&all, fits, "a[4w]"), [format!("error: {}", EvalError::TooManyCells)]);
    plant.patience.set(0);
    let refused = grid(&plant, "sum_over_time(starts[1h] @ 30)", Grid { count: 400_000, ..wide });
    assert_eq!(refused, Err(EvalError::Source(SourceError::TimedOut)));
}

#[test]
fn labels_do_not_grow_without_end() {
    let plant = plant();
    let twice = |of: &str| {
        format!("label_join({of}, \"area\", \"\", {})", "\"area\",".repeat(19) + "\"area\"")
    };
    let mut text = "flow{device=\"a\"}".to_owned();
    for _ in 0..3 {
        text = twice(&text);
    }
    assert_eq!(at(&plant, 12, &text), ["error: a label would be longer than 4096 bytes"]);
    let template = "$1".repeat(600);
    let text = format!("label_replace(flow, \"x\", \"{template}\", \"device\", \"(.*)\")");
    assert!(at(&plant, 12, &text)[0].contains("longer than 1024 bytes"));
}

/// The deepest expressions that are parsed are evaluated on a thread as queries have it.
#[test]
fn the_deepest_expression_fits_a_thread_of_the_runtime() {
    let deepest = [
        "1+".repeat(99) + "1",
        format!("{}flow{}", "abs(".repeat(49), ")".repeat(49)),
        format!("{}flow{}", "sum(".repeat(49), ")".repeat(49)),
        format!("{}1", "2^".repeat(98)),
        format!("{}flow", "-".repeat(98)),
    ];
    let thread = std::thread::Builder::new().stack_size(2 << 20);
    let run = thread.spawn(move || {
        for text in deepest {
            match parse(&text) {
                Ok(expr) => {
                    let answer = evaluate(&expr, Grid::instant(12 * S), &plant());
                    assert!(answer.is_ok(), "{text}: {answer:?}");
                }
                Err(fault) => assert!(fault.to_string().contains("deeper"), "{text}: {fault}"),
            }
        }
    });
    run.unwrap().join().unwrap();
}

/// The latest sample not later than `at` and younger than `range`.
fn naive(samples: &[(i64, f64)], at: i64, range: i64) -> Vec<f64> {
    let within = samples.iter().filter(|(time, _)| *time <= at && *time > at - range);
    within.map(|(_, value)| *value).collect()
}

fn samples() -> impl Strategy<Value = Vec<(i64, f64)>> {
    prop::collection::btree_map(0..900_i64, -5..20_i32, 0..40)
        .prop_map(|all| all.into_iter().map(|(time, value)| (time, f64::from(value))).collect())
}

proptest! {
    /// Every instant of a grid has the value that looking at the samples one by one has.
    #[test]
    fn grids_are_as_a_naive_look_has_it(
        one in samples(), two in samples(),
        start in 0..600_i64, step in 1..200_i64, count in 1..8_usize,
        range in 1..400_i64, offset in -100..300_i64,
    ) {
        let memory = memory(&[("a{x=1}", &one), ("a{x=2}", &two)]);
        let all = Grid { start: start * S, step: step * S, count, end: start * S };
        let offset_text = if offset < 0 { format!("offset -{}s", -offset) } else { format!("offset {offset}s") };
        type Naive = fn(&[f64]) -> f64;
        let cases: [(String, i64, Naive); 6] = [
            (format!("a {offset_text}"), 300, |values| values[values.len() - 1]),
            (format!("sum_over_time(a[{range}s] {offset_text})"), range, |values| values.iter().sum()),
            (format!("count_over_time(a[{range}s] {offset_text})"), range, |values| values.len() as f64),
            (format!("max_over_time(a[{range}s] {offset_text})"), range, |values| values.iter().copied().fold(f64::MIN, f64::max)),
            (format!("min_over_time(a[{range}s] {offset_text})"), range, |values| values.iter().copied().fold(f64::MAX, f64::min)),
            (format!("changes(a[{range}s] {offset_text})"), range, |values| values.windows(2).filter(|it| it[0] != it[1]).count() as f64),
        ];
        for (text, range, value_of) in cases {
            let expr = parse(&text).unwrap();
            let Ok(Answer::Vector(found)) = evaluate(&expr, all, &memory) else { panic!("{text}") };
            let sum = parse(&format!("sum({text})")).unwrap();
            let Ok(Answer::Vector(sums)) = evaluate(&sum, all, &memory) else { panic!("{text}") };
            for index in 0..count {
                let at = start + step * index as i64 - offset;
                let mut sum = None;
                for (x, samples) in [("1", &one), ("2", &two)] {
                    let values = naive(samples, at, range);
                    let expected = (!values.is_empty()).then(|| value_of(&values));
                    let series = found.iter().find(|series| series.labels.get("x") == x);
                    let point = series.and_then(|series| series.points[index]);
                    prop_assert_eq!(point, expected, "{} at {} of {}", &text, at, x);
                    if let Some(value) = expected {
                        sum = Some(sum.unwrap_or(0.0) + value);
                    }
                }
                prop_assert_eq!(sums.first().and_then(|sums| sums.points[index]), sum, "{}", &text);
            }
        }
    }
}
