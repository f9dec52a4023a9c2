//! What a sample costs in the embedded history, and what it is to ask for it.
//!
//! Fills a history with a believable plant (1,000 devices of ten metrics at 1 Hz with milliseconds
//! of jitter: drifting floats of one or two decimals, counters, truth values, a state as text),
//! prints CPU time and bytes per sample with all flushes and compactions, then measures queries,
//! alone and while the writer runs flat out.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on may stop")]

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tidegate::model::{Batch, BatchBuilder, Timestamp};
use tidegate::sinks::Sink;
use tidegate::sinks::history::{Opened, Options, Query, Reader, Shape, Writer, open};

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * SECOND;
/// An hour sharp, so that windows are as in real life.
const START: i64 = 490_000 * HOUR;
const STATES: [&str; 4] = ["idle", "starting", "running", "fault: overload"];

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    fn step(&mut self, size: i64) -> i64 {
        self.below(2 * size as u64 + 1) as i64 - size
    }
}

struct Device {
    name: String,
    /// In tenths (the first two) and hundredths.
    levels: [i64; 5],
    counters: [i64; 2],
    on: [bool; 2],
    state: usize,
}

struct Plant {
    random: Random,
    devices: Vec<Device>,
}

impl Plant {
    fn new(devices: usize, name: &str) -> Plant {
        let device = |number| Device {
            name: format!("{name}-{number}"),
            levels: [715, 223, 4012, 998, 23_017],
            counters: [0, 1_000_000],
            on: [true, false],
            state: 2,
        };
        Plant {
            random: Random(88_172_645_463_325_252),
            devices: (0..devices).map(device).collect(),
        }
    }

    /// What a gateway sends: some devices, some seconds.
    fn batch(&mut self, devices: std::ops::Range<usize>, from: i64, rows: i64) -> Batch {
        let mut builder = BatchBuilder::with_capacity(0, devices.len() * rows as usize * 5, 4096);
        let Plant { random, devices: all } = self;
        for device in &mut all[devices] {
            let times: Vec<i64> = (0..rows)
                .map(|row| from + row * SECOND + random.below(10) as i64 * 1_000_000)
                .collect();
            builder.table(&device.name, &mut [("site", "north")], times).unwrap();
            for (number, level) in device.levels.iter_mut().enumerate() {
                let scale = if number < 2 { 10.0 } else { 100.0 };
                let values = (0..rows).map(|_| {
                    if random.below(3) == 0 {
                        *level += random.step(2);
                    }
                    *level as f64 / scale
                });
                let name = ["temperature", "humidity", "pressure", "flow", "voltage"][number];
                builder.floats(name, "u", values, &[]).unwrap();
            }
            for (number, counter) in device.counters.iter_mut().enumerate() {
                let values = (0..rows).map(|_| {
                    *counter += if number == 0 { random.below(2) } else { 17 } as i64;
                    *counter
                });
                builder.ints(["starts", "energy"][number], "", values, &[]).unwrap();
            }
            for (number, on) in device.on.iter_mut().enumerate() {
                let values = (0..rows).map(|_| {
                    *on ^= random.below(500) == 0;
                    *on
                });
                builder.bools(["running", "alarm"][number], "", values, &[]).unwrap();
            }
            let state = &mut device.state;
            let texts = (0..rows).map(|_| {
                if random.below(300) == 0 {
                    *state = random.below(4) as usize;
                }
                STATES[*state]
            });
            builder.texts("state", "", texts, &[]).unwrap();
        }
        builder.finish()
    }
}

/// CPU time of this thread so far, nanoseconds.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

fn resident_mib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Feeds seconds `from..to` of a plant, keeping the history tidy as a follower does.
fn feed(writer: &mut Writer, plant: &mut Plant, from: i64, to: i64, spent: &mut [u64; 2]) -> u64 {
    let rows = 10;
    let mut samples = 0;
    for second in (from..to).step_by(rows) {
        let now = Timestamp(START + (second + rows as i64) * SECOND);
        for first in (0..plant.devices.len()).step_by(100) {
            let devices = first..plant.devices.len().min(first + 100);
            let batch = plant.batch(devices, START + second * SECOND, rows as i64);
            samples += batch.samples() as u64;
            let next = writer.applied().next();
            let before = cpu_ns();
            writer.write(&batch, next).unwrap();
            let written = cpu_ns();
            writer.maintain(now).unwrap();
            spent[0] += written - before;
            spent[1] += cpu_ns() - written;
        }
    }
    samples
}

fn tidy(writer: &mut Writer, now: Timestamp) -> u64 {
    let before = cpu_ns();
    writer.flush(now).unwrap();
    let mut now = now;
    // Two looks: the second gives back what the first has freed.
    for _ in 0..2 {
        while writer.maintain(now).unwrap() {}
        now = now.saturating_add(std::time::Duration::from_secs(60));
    }
    cpu_ns() - before
}

fn fill(folder: &Path) -> (Writer, Reader) {
    let options = Options::new(folder.join("history.db"), 1);
    let Opened { mut writer, reader, .. } = open(options).unwrap();
    let mut plant = Plant::new(1000, "pump");
    let mut spent = [0; 2];
    let seconds = 4_500;
    let samples = feed(&mut writer, &mut plant, 0, seconds, &mut spent);
    let resident = resident_mib();
    let fresh = reader.stats().unwrap();
    let last = tidy(&mut writer, Timestamp(START + 30 * HOUR));
    let stats = reader.stats().unwrap();
    let per = |ns: u64| ns as f64 / samples as f64;
    println!("{samples} samples, {} series", stats.series);
    println!(
        "CPU ns/sample: write {:.1}, flush and compaction {:.1}, together {:.1}",
        per(spent[0]),
        per(spent[1] + last),
        per(spent[0] + spent[1] + last)
    );
    println!(
        "bytes/sample: {:.3} at the end of feeding ({} in the head), {:.3} compacted; RSS {resident} MiB",
        fresh.file_bytes as f64 / (samples - fresh.head_samples) as f64,
        fresh.head_samples,
        stats.file_bytes as f64 / samples as f64,
    );
    weigh(&folder.join("history.db"));
    // One device for a day, to be asked for.
    let mut day = Plant::new(1, "day");
    feed(&mut writer, &mut day, 0, 86_400, &mut spent);
    tidy(&mut writer, Timestamp(START + 60 * HOUR));
    (writer, reader)
}

/// Where the bytes of the file are.
fn weigh(path: &Path) {
    let file = rusqlite::Connection::open(path).unwrap();
    let number = |sql: &str| file.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let samples = number("SELECT sum(n) FROM chunk WHERE typ > 0") as f64;
    let pages = number("PRAGMA page_count") - number("PRAGMA freelist_count");
    println!("bytes/sample without free pages and log: {:.3}", pages as f64 * 8192.0 / samples);
    for (typ, name) in ["axis", "float", "int", "bool", "text"].iter().enumerate() {
        let count = number(&format!("SELECT sum(n) FROM chunk WHERE typ={typ}")) as f64;
        let bytes = number(&format!("SELECT sum(length(data)) FROM chunk WHERE typ={typ}")) as f64;
        println!("  {name}: {:.3} bytes each", bytes / count);
    }
}

fn query<'a>(metric: &'a str, hours: i64, shape: Shape) -> Query<'a> {
    Query { device: "day-0", metric, tags: &[], from: START, to: START + hours * HOUR, shape }
}

fn ask(c: &mut Criterion, reader: &Reader, suffix: &str) {
    let raw = Shape::Raw { max: 1_000_000 };
    let buckets = Shape::Buckets { width_ns: 24 * HOUR / 500, max: 1_000 };
    for (name, metric, hours, shape) in [
        ("hour_raw", "temperature", 1, raw),
        ("day_raw", "temperature", 24, raw),
        ("day_to_500_buckets", "temperature", 24, buckets),
        ("day_of_counter_to_500_buckets", "starts", 24, buckets),
        ("day_of_state_to_500_buckets", "state", 24, buckets),
    ] {
        let query = query(metric, hours, shape);
        c.bench_function(&format!("{name}{suffix}"), |b| {
            b.iter(|| black_box(reader.query(black_box(&query)).unwrap()));
        });
    }
}

fn history(c: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, reader) = fill(folder.path());
    ask(c, &reader, "");

    // The writer flat out beside it, with flushes whenever the head is full.
    let done = Arc::new(AtomicBool::new(false));
    let flat_out = {
        let done = done.clone();
        std::thread::spawn(move || {
            let mut plant = Plant::new(1000, "pump");
            let mut second = 40 * 3_600;
            let mut spent = [0; 2];
            while !done.load(Ordering::Relaxed) {
                feed(&mut writer, &mut plant, second, second + 10, &mut spent);
                second += 10;
            }
        })
    };
    ask(c, &reader, "_while_written");
    done.store(true, Ordering::Relaxed);
    flat_out.join().unwrap();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(50).measurement_time(std::time::Duration::from_secs(3));
    targets = history
}
criterion_main!(benches);
