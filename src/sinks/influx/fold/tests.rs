//! The fold against a model that keeps every sample, with crashes wherever they hurt.

use super::{Apart, Closed, Floor, Fold, Rules};
use crate::model::{Batch, BatchBuilder, NANOS_PER_SECOND, Position, Timestamp, Values};
use crate::sinks::influx::round::Source;
use crate::spool::Protocol;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const WIDTH: i64 = 10;
const MANY: usize = usize::MAX;

fn rules(metrics: &[&str]) -> Rules {
    let metrics = metrics.iter().map(ToString::to_string).collect();
    Rules { width: WIDTH, lateness: 3, devices: vec!["d*".into()], metrics }
}

/// A sample as the log has it: device, site, metric, time, value.
type Sample = (u8, u8, u8, i64, i64);

/// A record: when it came, and what is in it; a table for each sample that can't share one.
#[derive(Debug, Clone)]
struct Record {
    received_at: i64,
    samples: Vec<Sample>,
}

const METRICS: [&str; 4] = ["a.int", "a.float", "state", "x.other"];

fn batch(samples: &[Sample]) -> Batch {
    let mut builder = BatchBuilder::new();
    for &(device, site, metric, time, value) in samples {
        let name = format!("{}{device}", if device == 3 { "e" } else { "d" });
        let site = site.to_string();
        builder.table(&name, &mut [("site", &site)], [time]).unwrap();
        let metric = METRICS[usize::from(metric)];
        match metric {
            "a.float" => builder.floats(metric, "", [value as f64 / 3.0], &[]).unwrap(),
            "state" => builder.texts(metric, "", [value.to_string().as_str()], &[]).unwrap(),
            _ => builder.ints(metric, "", [value], &[]).unwrap(),
        }
    }
    builder.finish()
}

fn source(at: usize, record: &Record) -> Source {
    Source {
        position: Position(at as u64),
        received_at: Timestamp(record.received_at),
        protocol: Protocol::Ws,
        skipped: 0,
        client: format!("c{}", at % 2).into(),
        batch: Arc::new(batch(&record.samples)),
    }
}

/// A store: what was written last for a series (field, device and site) and time.
type Written = BTreeMap<(String, i64), String>;

fn write(written: &mut Written, closed: Closed, number: u64) {
    for source in closed.into_sources(number) {
        for table in source.batch.tables() {
            for column in table.columns() {
                let value = match column.values() {
                    Values::Floats(values) => format!("{:?}", values[0]),
                    Values::Ints(values) => format!("{}i", values[0]),
                    Values::Bools(values) => format!("{}", values[0]),
                    Values::Texts(values) => values.get(0).to_owned(),
                };
                let series = format!("{} {}", table.identity().replace('\0', ","), column.metric());
                written.insert((series, table.times()[0]), value);
            }
        }
    }
}

/// What a store must have in the end, and how many samples were late and not selected: all samples of
/// each window, in the order of the log.
fn model(records: &[Record], silent_at: &BTreeSet<usize>, patience: i64) -> (Written, Apart) {
    let mut windows = BTreeMap::<(u8, u8, u8, i64), Vec<(i64, i64)>>::new();
    let mut limits = BTreeMap::<u8, i64>::new();
    let mut watermarks = BTreeMap::<u8, i64>::new();
    let mut heard = BTreeMap::<u8, i64>::new();
    let mut apart = Apart::default();
    for (at, record) in records.iter().enumerate() {
        let mut next = watermarks.clone();
        for &(device, site, metric, time, value) in &record.samples {
            if device == 3 || metric == 3 {
                apart.skipped += 1;
                continue;
            }
            heard.insert(device, record.received_at);
            let newest = next.entry(device).or_insert(i64::MIN);
            *newest = time.max(*newest);
            let start = time.div_euclid(WIDTH) * WIDTH;
            if limits.get(&device).is_some_and(|limit| start + WIDTH <= *limit) {
                apart.late += 1;
                continue;
            }
            windows.entry((device, site, metric, start)).or_default().push((time, value));
        }
        watermarks = next;
        for (device, watermark) in &watermarks {
            let limit = limits.entry(*device).or_insert(i64::MIN);
            *limit = (watermark - 3).max(*limit);
        }
        if silent_at.contains(&at) {
            for (device, heard) in &heard {
                if record.received_at - heard > patience {
                    let of_device = windows.keys().filter(|(it, ..)| it == device);
                    let newest = of_device.map(|(.., start)| start + WIDTH).max();
                    let limit = limits.entry(*device).or_insert(i64::MIN);
                    *limit = newest.unwrap_or(i64::MIN).max(*limit);
                }
            }
        }
    }
    let mut written = Written::new();
    for ((device, site, metric, start), samples) in windows {
        let series = format!("d{device},site,{site} {}", METRICS[usize::from(metric)]);
        let mut put = |of: &str, value: String| {
            written.insert((format!("{series}_{of}"), start), value);
        };
        let count = samples.len();
        put("count", format!("{count}i"));
        let earliest = samples.iter().map(|(time, _)| *time).min().unwrap();
        let latest = samples.iter().map(|(time, _)| *time).max().unwrap();
        let first = samples.iter().find(|(time, _)| *time == earliest).unwrap().1;
        let last = samples.iter().rfind(|(time, _)| *time == latest).unwrap().1;
        let values = || samples.iter().map(|(_, value)| *value);
        let (min, max) = (values().min().unwrap(), values().max().unwrap());
        match METRICS[usize::from(metric)] {
            "state" => put("last", last.to_string()),
            "a.float" => {
                let tell = |value: i64| format!("{:?}", value as f64 / 3.0);
                for (of, value) in [("min", min), ("max", max), ("first", first), ("last", last)] {
                    put(of, tell(value));
                }
                let mut sum = first_of(values()) as f64 / 3.0;
                values().skip(1).for_each(|value| sum += value as f64 / 3.0);
                put("mean", format!("{:?}", sum / count as f64));
            }
            _ => {
                for (of, value) in [("min", min), ("max", max), ("first", first), ("last", last)] {
                    put(of, format!("{value}i"));
                }
                put("mean", format!("{:?}", values().sum::<i64>() as f64 / count as f64));
            }
        }
    }
    (written, apart)
}

fn first_of(mut values: impl Iterator<Item = i64>) -> i64 {
    values.next().unwrap()
}

/// What a sink has in its book.
#[derive(Debug, Clone)]
struct Settled {
    head: usize,
    keep_from: usize,
    open: u64,
    floors: Vec<Floor>,
    apart: Apart,
    closed: u64,
}

/// A sink over these records that is killed after some of them: before it settles, if `torn`. Gives
/// the store, and what it counted.
fn run(
    records: &[Record],
    silent_at: &BTreeSet<usize>,
    patience: Duration,
    crashes: &[(usize, bool)],
) -> (Written, Settled) {
    let (mut written, mut crashes) = (Written::new(), crashes.iter().copied());
    let mut settled = Settled {
        head: 0,
        keep_from: 0,
        open: 0,
        floors: Vec::new(),
        apart: Apart::default(),
        closed: 0,
    };
    loop {
        let crash = crashes.next();
        let mut fold = Fold::new(rules(&["a.*", "state"]), settled.floors.clone()).unwrap();
        let mut now = settled.clone();
        for (at, record) in records.iter().enumerate().take(settled.head).skip(settled.keep_from) {
            fold.apply(&source(at, record), &mut Closed::default());
        }
        assert_eq!(fold.open(), settled.open, "the open windows are what they were");
        let mut done = true;
        for (at, record) in records.iter().enumerate().skip(settled.head) {
            let mut closed = Closed::default();
            let apart = fold.apply(&source(at, record), &mut closed);
            if silent_at.contains(&at) {
                let time = Timestamp(record.received_at);
                now.floors.extend(fold.end_silent(time, patience, &mut closed, MANY));
            }
            let samples = closed.samples();
            write(&mut written, closed, now.closed);
            now.head = at + 1;
            now.keep_from = fold.keep_from().map_or(now.head, |it| it.0 as usize);
            now.open = fold.open();
            now.apart.late += apart.late;
            now.apart.skipped += apart.skipped;
            now.closed += samples;
            let (killed, torn) = crash.map_or((false, false), |(at, torn)| (now.head == at, torn));
            // Not every record is settled alone.
            if !torn && (killed || at % 3 == 0) {
                settled = now.clone();
            }
            if killed {
                done = false;
                break;
            }
        }
        if done {
            let mut closed = Closed::default();
            fold.end_silent(Timestamp(i64::MAX), Duration::ZERO, &mut closed, MANY);
            write(&mut written, closed, now.closed);
            assert_eq!(fold.open(), 0);
            return (written, now);
        }
    }
}

fn any_record() -> impl Strategy<Value = (i64, Vec<Sample>)> {
    // Devices advance with the log, with readings that are a window or two late or early.
    let sample = (0..4_u8, 0..2_u8, 0..4_u8, -25..12_i64, -100..100_i64);
    (0..40_i64, prop::collection::vec(sample, 1..8))
}

fn records(steps: Vec<(i64, Vec<Sample>)>) -> Vec<Record> {
    let mut received_at = 0;
    let mut of_step = |(step, mut samples): (i64, Vec<Sample>)| {
        received_at += step;
        samples.iter_mut().for_each(|sample| sample.3 += received_at / 3);
        Record { received_at, samples }
    };
    steps.into_iter().map(&mut of_step).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// However often it is killed, and wherever: what the store has in the end is what all samples of
    /// each window give, and every sample is in a window, late, or not selected.
    #[test]
    fn killed_anywhere_it_writes_the_rollups_of_all_samples(
        steps in prop::collection::vec(any_record(), 1..40),
        silent_at in prop::collection::btree_set(0..40_usize, 0..8),
        crashes in prop::collection::vec((1..40_usize, any::<bool>()), 0..6),
        patience in 1..120_i64,
    ) {
        let records = records(steps);
        let (expected, apart) = model(&records, &silent_at, patience);
        let patience = Duration::from_nanos(patience.unsigned_abs());
        let (written, told) = run(&records, &silent_at, patience, &crashes);
        prop_assert_eq!(&written, &expected);
        prop_assert_eq!(told.apart, apart);
        let all: usize = records.iter().map(|record| record.samples.len()).sum();
        let accounted = told.closed + told.open + apart.late + apart.skipped;
        prop_assert_eq!(accounted, all as u64);
    }

    /// Other rules: what was closed by the old ones is not given out again.
    #[test]
    fn with_other_rules_no_window_is_given_out_twice(
        steps in prop::collection::vec(any_record(), 1..40), at in 0..40_usize,
        crash in 0..40_usize, lateness in 0..60_i64,
    ) {
        let records = records(steps);
        let mut fold = Fold::new(rules(&["a.*", "state"]), []).unwrap();
        let other = Rules { lateness, ..rules(&["*"]) };
        let mut seen = BTreeSet::new();
        let mut floors = Vec::new();
        let mut give = |closed: Closed| {
            for source in closed.into_sources(0) {
                for table in source.batch.tables() {
                    let window = (table.identity().to_owned(), table.times()[0]);
                    assert!(seen.insert(window.clone()), "{window:?}");
                }
            }
        };
        for (index, record) in records.iter().enumerate() {
            if index == at {
                floors.extend(fold.go_on_with(other.clone()).unwrap());
            }
            if index > at && index == crash {
                let from = fold.keep_from().map_or(index, |it| it.0 as usize);
                fold = Fold::new(other.clone(), floors.clone()).unwrap();
                for (index, record) in records.iter().enumerate().take(index).skip(from) {
                    fold.apply(&source(index, record), &mut Closed::default());
                }
            }
            let mut closed = Closed::default();
            fold.apply(&source(index, record), &mut closed);
            give(closed);
        }
        let mut closed = Closed::default();
        fold.end_silent(Timestamp(i64::MAX), Duration::ZERO, &mut closed, MANY);
        give(closed);
    }
}

#[test]
fn batches_of_rollups_are_numbered_by_what_was_closed_before() {
    let record = |at: usize, samples: Vec<Sample>| {
        source(at, &Record { received_at: at as i64 * NANOS_PER_SECOND, samples })
    };
    let mut fold = Fold::new(rules(&["*"]), []).unwrap();
    let mut closed = Closed::default();
    fold.apply(&record(0, vec![(0, 0, 0, 1, 5), (0, 0, 0, 2, 7)]), &mut closed);
    fold.apply(&record(1, vec![(1, 0, 0, 1, 5)]), &mut closed);
    assert!(closed.is_empty());
    assert_eq!((fold.keep_from(), fold.open()), (Some(Position(0)), 3));
    fold.apply(&record(2, vec![(0, 0, 0, 13, 1), (1, 0, 0, 13, 1)]), &mut closed);
    assert_eq!((fold.keep_from(), fold.open()), (Some(Position(2)), 2));
    assert_eq!((closed.samples(), closed.rollups()), (3, 2));
    let sources = closed.into_sources(100);
    let told: Vec<_> = sources
        .iter()
        .map(|it| (it.position.0, &*it.client, super::samples_of(&it.batch), it.received_at.0))
        .collect();
    let second = NANOS_PER_SECOND;
    assert_eq!(told, [(100, "c0", 2, 0), (102, "c1", 1, second)]);
}

#[test]
fn a_device_that_is_silent_is_closed_and_what_comes_for_it_then_is_late() {
    let record = |at: i64, time: i64| {
        source(at as usize, &Record { received_at: at, samples: vec![(0, 0, 0, time, 1)] })
    };
    let mut fold = Fold::new(rules(&["*"]), []).unwrap();
    let mut closed = Closed::default();
    fold.apply(&record(0, 7), &mut closed);
    let patience = Duration::from_nanos(50);
    assert_eq!(fold.end_silent(Timestamp(50), patience, &mut closed, MANY), []);
    let floors = fold.end_silent(Timestamp(51), patience, &mut closed, MANY);
    assert_eq!(floors, [Floor { device: "d0".into(), until: 10 }]);
    assert_eq!((closed.samples(), fold.open(), fold.keep_from()), (1, 0, None));
    let late = Apart { skipped: 0, late: 1 };
    assert_eq!(fold.apply(&record(60, 9), &mut closed), late);
    // Also after a crash, when nothing of it is folded again.
    let mut again = Fold::new(rules(&["*"]), floors).unwrap();
    assert_eq!(again.apply(&record(61, 9), &mut closed), late);
    assert_eq!(again.apply(&record(62, 10), &mut closed), Apart::default());
}

#[test]
fn no_more_silent_devices_are_closed_at_a_time_than_there_is_room_for() {
    let samples = |device| (device, 0, 0, 1, 1);
    let record = Record { received_at: 0, samples: (0..3).map(samples).collect() };
    let mut fold = Fold::new(rules(&["*"]), []).unwrap();
    let mut closed = Closed::default();
    fold.apply(&source(0, &record), &mut closed);
    let mut floors = 0;
    for (call, expected) in [(1, 2), (2, 3), (3, 3)] {
        floors += fold.end_silent(Timestamp(9), Duration::ZERO, &mut closed, 2).len();
        assert_eq!((floors, fold.open()), (expected, 3 - expected as u64), "{call}");
        closed.clear();
    }
}
