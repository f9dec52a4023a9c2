//! What a tick costs: rendering once per subscription, and putting the frame before each viewer.
//!
//! `cargo bench --bench fan_out`. Sockets are not part of it: sending costs 6 to 9 µs per viewer,
//! nearly all in the kernel, and is done by the viewers' own tasks.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::FutureExt;
use std::sync::Arc;
use tidegate::aggregate::Windows;
use tidegate::live::{Begin, Entry, Hub, LiveQuery, Settings, Viewer};
use tidegate::model::{BatchBuilder, NANOS_PER_SECOND, Position, Protocol, Timestamp};

const METRICS: usize = 10;

/// A second of `devices` devices: one reading of ten metrics each.
fn entry(second: i64, devices: usize) -> Entry {
    let mut builder = BatchBuilder::new();
    let time = second * NANOS_PER_SECOND;
    for device in 0..devices {
        builder.table(&format!("pump-{device}"), &mut [], [time]).expect("a table fits");
        for metric in 0..METRICS {
            let value = 71.5 + ((second + metric as i64) % 17) as f64 / 10.0;
            let name = format!("motor.metric-{metric}");
            builder.floats(&name, "°C", [value], &[]).expect("a column fits");
        }
    }
    Entry {
        position: Position(second as u64),
        received_at: Timestamp(time),
        protocol: Protocol::Ws,
        client: "plant".into(),
        batch: Arc::new(builder.finish()),
    }
}

struct Rig {
    hub: Hub,
    viewers: Vec<Viewer>,
    devices: usize,
    second: i64,
}

impl Rig {
    fn new(devices: usize, queries: impl Iterator<Item = String>) -> Rig {
        let mut hub = Hub::new(Settings::new(1, Begin::Kept(Position(0))));
        hub.idle();
        let windows = Windows::default();
        let viewers = queries
            .map(|query| LiveQuery::parse(&query, &windows).expect("a query"))
            .map(|query| hub.view(query.subscription, query.cursor))
            .collect();
        let mut rig = Rig { hub, viewers, devices, second: 0 };
        for _ in 0..6 {
            rig.fold();
            rig.tick();
            rig.read();
        }
        rig
    }

    fn fold(&mut self) {
        self.hub.fold(&entry(self.second, self.devices));
        self.second += 1;
    }

    fn tick(&mut self) {
        self.hub.tick(Timestamp(self.second * NANOS_PER_SECOND));
    }

    /// Each viewer takes what waits for it, and waits again.
    fn read(&mut self) -> usize {
        let mut bytes = 0;
        for viewer in &mut self.viewers {
            while let Some(Some(frame)) = viewer.next().now_or_never() {
                bytes += frame.sse().len();
            }
        }
        bytes
    }
}

/// One viewer: the time is that of rendering.
fn render(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("render");
    for (devices, window) in [(10, "1s"), (1000, "1s"), (1000, "1m")] {
        group.throughput(Throughput::Elements((devices * METRICS) as u64));
        let name = format!("{} rollups of {window}", devices * METRICS);
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            let mut rig = Rig::new(devices, std::iter::once(format!("window={window}")));
            bencher.iter_custom(|rounds| {
                let mut spent = std::time::Duration::ZERO;
                for _ in 0..rounds {
                    rig.fold();
                    let begin = tidegate::clock::monotonic();
                    rig.tick();
                    spent += begin.elapsed();
                    assert!(rig.read() > 0);
                }
                spent
            });
        });
    }
    group.finish();
}

/// Many viewers of a frame of about 4 KB: one subscription that all share, and one for each.
fn fan_out(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fan_out");
    for (viewers, shared) in [(1000, true), (10_000, true), (1000, false)] {
        group.throughput(Throughput::Elements(viewers as u64));
        let name = format!("{viewers} viewers, {}", if shared { "shared" } else { "each its own" });
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            let query = |viewer: usize| match shared {
                true => "device=pump-1*".to_owned(),
                false => format!("device=pump-1*&device=other-{viewer}"),
            };
            let mut rig = Rig::new(10, (0..viewers).map(query));
            bencher.iter_batched(
                || (),
                |()| {
                    rig.fold();
                    rig.tick();
                    rig.read()
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = render, fan_out
}
criterion_main!(benches);
