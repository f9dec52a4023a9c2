//! The same readings as in `benches/line_protocol.rs`, of gateways, by the point builder of the
//! `influxdb2` crate: nanoseconds per sample, the median of eleven rounds.
//!
//! `cargo run --release --manifest-path benches/point_builder/Cargo.toml`

use influxdb2::models::{DataPoint, WriteDataPoint};
use std::hint::black_box;
use std::time::Instant;

const START: i64 = 1_800_000_000_000_000_000;
const FIELDS: [&str; 10] = [
    "temperature", "current", "speed", "flow", "in", "out", "x", "y", "level", "power",
];

/// Readings of a plant: ten fields a point, as many points as devices times rows.
fn write(devices: usize, rows: i64, out: &mut Vec<u8>) {
    for device in 0..devices {
        let name = format!("plant-4-pump-{device}");
        for row in 0..rows {
            let mut point = DataPoint::builder("motor").tag("device", &name).tag("site", "north");
            for (column, field) in FIELDS.iter().enumerate() {
                point = match column {
                    8 => point.field(*field, 1000 + row),
                    _ => point.field(*field, 70.0 + (row * 7 % 10) as f64 / 10.0 + column as f64),
                };
            }
            let point = point.timestamp(START + row * 100_000_000).build().expect("a point");
            point.write_data_point_to(&mut *out).expect("memory");
        }
    }
}

fn main() {
    let (devices, rows) = (100, 10);
    let samples = devices as f64 * rows as f64 * FIELDS.len() as f64;
    let mut rounds: Vec<f64> = (0..11)
        .map(|_| {
            let mut out = Vec::with_capacity(4 << 20);
            let start = Instant::now();
            write(devices, rows, &mut out);
            black_box(&out);
            start.elapsed().as_secs_f64() * 1e9 / samples
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    println!("{:.0} ns per sample by influxdb2's point builder ({:.0} to {:.0})", rounds[5], rounds[0], rounds[10]);
}
