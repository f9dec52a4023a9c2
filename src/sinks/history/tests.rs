//! Tests of the history as a whole, through its door.

mod damage;
mod model;
mod upkeep;

use super::*;
use crate::model::{Batch, BatchBuilder, Position, Timestamp};
use crate::sinks::Sink;
use std::sync::Arc;
use tempfile::TempDir;

const HOUR: i64 = 3_600_000_000_000;
const SECOND: i64 = 1_000_000_000;
/// Long after everything that is written.
const LATE: Timestamp = Timestamp(1_000 * HOUR);

/// A folder in memory where there is one: these tests sync often, and none is about the disk.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn options(folder: &TempDir) -> Options {
    Options::new(folder.path().join("history.db"), 7)
}

fn open_in(folder: &TempDir) -> Opened {
    open(options(folder)).unwrap()
}

/// A batch with one row of one float.
fn reading(device: &str, metric: &str, time: i64, value: f64) -> Batch {
    readings(device, metric, &[(time, value)])
}

fn readings(device: &str, metric: &str, samples: &[(i64, f64)]) -> Batch {
    let mut builder = BatchBuilder::new();
    builder.table(device, &mut [], samples.iter().map(|&(time, _)| time)).unwrap();
    builder.floats(metric, "bar", samples.iter().map(|&(_, value)| value), &[]).unwrap();
    builder.finish()
}

fn raw<'a>(device: &'a str, metric: &'a str) -> Query<'a> {
    let shape = Shape::Raw { max: 1_000_000 };
    Query { device, metric, tags: &[], from: i64::MIN, to: i64::MAX, shape }
}

fn floats(reader: &Reader, device: &str, metric: &str) -> Vec<(i64, f64)> {
    match reader.query(&raw(device, metric)).unwrap().data {
        Data::Raw { times, values: Values::Floats(values) } => {
            times.into_iter().zip(values).collect()
        }
        other => panic!("not floats: {other:?}"),
    }
}

/// Lets the writer do all that is due.
fn settle(writer: &mut Writer, now: Timestamp) {
    writer.look_at = Timestamp(i64::MIN);
    while writer.maintain(now).unwrap() {}
}

fn levels(writer: &Writer) -> Vec<i64> {
    let mut levels: Vec<i64> = writer.segments.values().map(|segment| segment.level).collect();
    levels.sort_unstable();
    levels
}

/// A position after so many batches.
fn after(batches: usize) -> Position {
    Position(batches as u64)
}

/// A text as values have it.
fn text(text: &str) -> Arc<str> {
    text.into()
}
