//! What a sample costs in the aggregate, and what a series costs in memory.
//!
//! `cargo bench --bench aggregate`. Batches are as gateways send them: 100 devices × 10 metrics × 10
//! rows, 100 ms apart, so that each fills one second of 1,000 series.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use tidegate::aggregate::{Aggregate, Settings};
use tidegate::model::{Batch, BatchBuilder, NANOS_PER_SECOND, Position, Timestamp};

const DEVICES: usize = 100;
const METRICS: [&str; 10] = [
    "motor.temperature",
    "motor.current",
    "motor.speed",
    "flow",
    "pressure.in",
    "pressure.out",
    "vibration.x",
    "vibration.y",
    "level",
    "power",
];
const SERIES: usize = DEVICES * METRICS.len();

/// Second `second` of the devices of gateway `gateway`.
fn batch(gateway: usize, second: i64, rows: i64) -> Batch {
    let mut builder = BatchBuilder::with_capacity(SERIES, SERIES * rows as usize, 32 * SERIES);
    let step = NANOS_PER_SECOND / rows;
    for device in 0..DEVICES {
        let name = format!("plant-{gateway}-pump-{device}");
        let times = (0..rows).map(|row| second * NANOS_PER_SECOND + row * step);
        builder.table(&name, &mut [("site", "north")], times).expect("a table fits");
        for metric in METRICS {
            let values = (0..rows).map(|row| 70.0 + (row * 7 % 10) as f64 / 10.0);
            builder.floats(metric, "°C", values, &[]).expect("a column fits");
        }
    }
    builder.finish()
}

struct Log {
    aggregate: Aggregate,
    position: u64,
}

impl Log {
    fn new() -> Log {
        let settings = Settings { resume_bytes: 16 << 20, ..Settings::default() };
        Log { aggregate: Aggregate::new(settings), position: 0 }
    }

    fn apply(&mut self, second: i64, batch: &Batch) {
        let received = Timestamp(second * NANOS_PER_SECOND);
        self.aggregate.apply(Position(self.position), received, batch);
        self.position += 1;
    }
}

fn apply(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("apply");
    for (gateways, rows) in [(10, 10), (100, 10), (10, 1), (100, 1), (10, 100)] {
        let samples = gateways * SERIES * rows as usize;
        group.throughput(Throughput::Elements(samples as u64));
        let name = format!("{}k series x {rows} rows", gateways * SERIES / 1000);
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            let mut log = Log::new();
            let mut second = 0;
            bencher.iter_custom(|rounds| {
                let mut spent = std::time::Duration::ZERO;
                for _ in 0..rounds {
                    let batches: Vec<_> =
                        (0..gateways).map(|gateway| batch(gateway, second, rows)).collect();
                    let begin = tidegate::clock::monotonic();
                    batches.iter().for_each(|batch| log.apply(second, batch));
                    spent += begin.elapsed();
                    second += 1;
                }
                black_box(log.aggregate.counts());
                spent
            });
        });
    }
    group.finish();
}

/// Not a timing: prints bytes per series after minutes at a pace, without the ring of closed rollups.
fn memory(_: &mut Criterion) {
    for (gateways, rows, every_s, seconds) in
        [(100, 1, 1, 70), (100, 10, 1, 70), (100, 1, 10, 130), (1000, 1, 1, 65), (1000, 1, 20, 61)]
    {
        let before = resident_bytes();
        let mut log = Log::new();
        for second in (0..seconds).step_by(every_s) {
            for gateway in 0..gateways {
                log.apply(second, &batch(gateway, second, rows));
            }
        }
        let series = log.aggregate.series_len();
        let counted = log.aggregate.memory_bytes() - log.aggregate.resume_bytes();
        let resident = resident_bytes().saturating_sub(before + log.aggregate.resume_bytes());
        println!(
            "memory: {series} series, {rows} samples every {every_s} s: {} bytes per series \
             counted, {} resident",
            counted / series,
            resident / series
        );
    }
}

/// What the kernel says this process holds.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.unwrap_or(0) * 4096
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = memory, apply
}
criterion_main!(benches);
