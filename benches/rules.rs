//! What alert rules cost: 10,000 series at one reading a second, under fifty rules.
//!
//! `cargo bench --bench rules`. The time is that of one second of the fleet, so a share of a core can be
//! read off: 10 ms are one per cent.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use tidegate::model::{Batch, BatchBuilder, NANOS_PER_SECOND, Timestamp};
use tidegate::rules::{Rule, Settings, Spec, Watch};

const GATEWAYS: usize = 10;
const DEVICES: usize = 100;
const METRICS: usize = 10;
const SERIES: usize = GATEWAYS * DEVICES * METRICS;
const RULES: usize = 50;

fn metric(number: usize) -> String {
    format!("metric-{number}")
}

/// A second of the devices of a gateway; values go up and down, so that some rules fire now and then.
fn batch(gateway: usize, second: i64) -> Batch {
    let mut builder = BatchBuilder::new();
    for device in 0..DEVICES {
        let name = format!("plant-{gateway}-pump-{device}");
        builder
            .table(&name, &mut [("site", "north")], [second * NANOS_PER_SECOND])
            .expect("it fits");
        for number in 0..METRICS {
            let value = ((second + device as i64) % 60) as f64;
            builder.floats(&metric(number), "°C", [value], &[]).expect("it fits");
        }
    }
    builder.finish()
}

/// Rules of the kinds that look at numbers, in turns. Those that fire do for one value in sixty.
fn rules(metrics: impl Fn(usize) -> Vec<String>) -> Vec<Arc<Rule>> {
    let rule = |number: usize| {
        let name = format!("rule {number}");
        let mut spec = Spec { name, metric: metrics(number), ..Spec::default() };
        match number % 4 {
            0 => {
                (spec.kind, spec.above, spec.hysteresis) = ("threshold".to_owned(), Some(58.5), 2.0)
            }
            1 => (spec.kind, spec.after) = ("absence".to_owned(), "1 m".to_owned()),
            2 => (spec.kind, spec.over) = ("flatline".to_owned(), "10 m".to_owned()),
            _ => {
                (spec.kind, spec.above) = ("threshold".to_owned(), Some(58.5));
                spec.hold = "10 s".to_owned();
            }
        }
        Arc::new(Rule::new(&spec).expect("it is a rule"))
    };
    (0..RULES).map(rule).collect()
}

fn record(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rules");
    group.throughput(Throughput::Elements(SERIES as u64)).sample_size(20);
    let each = rules(|number| vec![metric(number % METRICS)]);
    for (name, rules) in [
        ("none", Vec::new()),
        ("50, each for one metric in ten", each),
        ("50, each for every series", rules(|_| Vec::new())),
    ] {
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            let forget_after = Duration::from_secs(3600);
            let settings = Settings { subjects_max: 1_000_000, forget_after };
            let mut watch = Watch::new(rules.clone(), settings, Timestamp(0));
            let mut second = 0;
            let mut pass = |watch: &mut Watch| {
                second += 1;
                let batches: Vec<_> = (0..GATEWAYS).map(|gateway| batch(gateway, second)).collect();
                let begin = tidegate::clock::monotonic();
                let now = Timestamp(second * NANOS_PER_SECOND);
                batches.iter().for_each(|batch| watch.record(now, batch));
                black_box(watch.take_transitions());
                black_box(watch.take_changed());
                begin.elapsed()
            };
            // Every series is met once before the clock runs.
            pass(&mut watch);
            bencher.iter_custom(|rounds| (0..rounds).map(|_| pass(&mut watch)).sum());
        });
    }
    group.finish();
}

criterion_group!(benches, record);
criterion_main!(benches);
