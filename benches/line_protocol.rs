//! What a sample costs as line protocol, in batches as gateways and as single devices send them.
//!
//! `cargo bench --bench line_protocol`. The point builder of the `influxdb2` crate is not measured
//! beside it: as a dev-dependency it would bring a second HTTP client and TLS stack into every test
//! build. `docs/sinks.md` has the figures.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use tidegate::model::{Batch, BatchBuilder, NANOS_PER_SECOND, Position};
use tidegate::sinks::influx::lines::{Body, Resume, Room};
use tidegate::sinks::influx::names::Naming;

const START: i64 = 1_800_000_000 * NANOS_PER_SECOND;
const ROOM: Room = Room { bytes: usize::MAX, lines: u32::MAX };
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

/// Readings of a plant, with the ten metrics either of one part each or all of one.
fn batch(devices: usize, rows: i64, metric: impl Fn(&str) -> String) -> Batch {
    let mut builder = BatchBuilder::new();
    for device in 0..devices {
        let name = format!("plant-4-pump-{device}");
        let times = (0..rows).map(|row| START + row * NANOS_PER_SECOND / 10);
        builder.table(&name, &mut [("site", "north")], times).expect("a table fits");
        for (column, plain) in METRICS.iter().enumerate() {
            let metric = metric(plain);
            let value = |row: i64| 70.0 + (row * 7 % 10) as f64 / 10.0 + column as f64;
            let added = match column {
                8 => builder.ints(&metric, "", (0..rows).map(|row| 1000 + row), &[]),
                _ => builder.floats(&metric, "", (0..rows).map(value), &[]),
            };
            added.expect("a column fits");
        }
    }
    builder.finish()
}

fn benches(criterion: &mut Criterion) {
    let naming = Naming::new("telemetry");
    let parts = |metric: &str| metric.to_owned();
    let one = |metric: &str| format!("pump.{}", metric.replace('.', "_"));
    let escaped = |metric: &str| format!("pump, no 4.{metric} (mean)");
    for (name, batch) in [
        ("gateway 100x10x10, four measurements", batch(100, 10, parts)),
        ("gateway 100x10x10, one measurement", batch(100, 10, one)),
        ("gateway 100x10x10, escaped names", batch(100, 10, escaped)),
        ("devices 100x10x1, four measurements", batch(100, 1, parts)),
        ("devices 100x10x1, one measurement", batch(100, 1, one)),
    ] {
        let mut body = Body::new();
        let mut encode = |batch: &Batch| {
            body.clear();
            for (index, table) in (0..).zip(batch.tables()) {
                let left = body.push(&naming, (Position(1), index), table, Resume::default(), ROOM);
                assert_eq!(left, None);
            }
            (body.bytes().len(), body.lines())
        };
        let (bytes, lines) = encode(&batch);
        let samples = batch.samples() as u64;
        println!("{name}: {samples} samples, {lines} lines, {bytes} bytes");
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(samples));
        group.bench_function("encode", |bencher| bencher.iter(|| encode(black_box(&batch))));
        group.finish();
    }
}

criterion_group!(line_protocol, benches);
criterion_main!(line_protocol);
