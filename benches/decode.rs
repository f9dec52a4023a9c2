//! What a batch costs on its way in: inflating and decoding, per frame of the simulated plant.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::Duration;
use tidegate::decode::{self, Limits, Stamp, Upstream};
use tidegate::model::Timestamp;
use tidegate::simulate::prepared_frames;
use tidegate::wire;

const START: Timestamp = Timestamp(1_800_000_000_000_000_000);

fn frame(devices: usize, rows: usize) -> (Vec<u8>, Vec<u8>, u64) {
    let step = Duration::from_secs(1);
    let frame = prepared_frames(1, devices, rows, step, START).remove(0);
    let mut scratch = Vec::new();
    let plain = wire::inflate(&frame.bytes, &Limits::default(), &mut scratch);
    (frame.bytes.to_vec(), plain.unwrap_or_default().to_vec(), frame.samples as u64)
}

fn read(plain: &[u8], limits: &Limits) -> usize {
    let stamp = Stamp { received_at: START, booted_at: None, client: "gateway" };
    match decode::upstream(plain) {
        Ok(Upstream::Batch(batch)) => {
            decode::batch(batch, limits, &stamp).map_or(0, |decoded| decoded.batch.samples())
        }
        _ => 0,
    }
}

fn benches(criterion: &mut Criterion) {
    let limits = Limits::default();
    for (name, devices, rows) in [("gateway 100x10x10", 100, 10), ("device 10x1", 2, 1)] {
        let (sent, plain, samples) = frame(devices, rows);
        assert_eq!(read(&plain, &limits) as u64, samples, "the frame must be a good one");
        println!("{name}: {samples} samples, {} bytes plain, {} sent", plain.len(), sent.len());
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(samples));
        group.bench_function("decode", |bencher| {
            bencher.iter(|| read(black_box(&plain), &limits));
        });
        group.bench_function("inflate and decode", |bencher| {
            let mut scratch = Vec::new();
            bencher.iter(|| {
                let plain = wire::inflate(black_box(&sent), &limits, &mut scratch);
                plain.map_or(0, |plain| read(plain, &limits))
            });
        });
        group.finish();
    }
}

criterion_group!(decode_benches, benches);
criterion_main!(decode_benches);
