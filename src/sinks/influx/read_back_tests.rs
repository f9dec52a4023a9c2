//! What we write as line protocol, read by our own way in.

use super::lines::{Body, Resume, Room};
use super::names::Naming;
use crate::decode::{Limits, LineNaming, Stamp, TimeUnit, line_protocol};
use crate::model::{Batch, BatchBuilder, Position, Reach, Timestamp, Values};
use proptest::prelude::*;

const NOW: Timestamp = Timestamp(1_763_712_000_000_000_000);

/// Every sample in words: device, tags, time, metric, value.
fn samples(batch: &Batch) -> Vec<String> {
    let mut samples = Vec::new();
    for table in batch.tables() {
        let tags: Vec<_> = table.tags().map(|(key, value)| format!("{key}:{value}")).collect();
        for column in table.columns() {
            for (row, time) in
                table.times().iter().enumerate().filter(|&(row, _)| column.is_present(row))
            {
                let value = match column.values() {
                    Values::Floats(values) => format!("{:?}", values[row]),
                    Values::Ints(values) => format!("{}i", values[row]),
                    Values::Bools(values) => values[row].to_string(),
                    Values::Texts(texts) => format!("{:?}", texts.get(row)),
                };
                let (device, metric) = (table.device(), column.metric());
                let age = NOW.0 - time;
                samples.push(format!("{device} [{}] -{age} {metric}={value}", tags.join(",")));
            }
        }
    }
    samples
}

/// Names as admission takes them, without what our own sinks have to write otherwise.
fn name() -> impl Strategy<Value = String> {
    "[a-zé ,=.]{1,6}[a-z]".prop_map(|name| name)
}

fn any_batch() -> impl Strategy<Value = Batch> {
    let column = (0..4_u8, name(), any::<[i64; 4]>(), proptest::collection::vec("[ -~é]{0,8}", 4));
    let table = (
        name(),
        proptest::collection::btree_map(name(), name(), 0..3),
        1..4_usize,
        proptest::collection::vec(column, 1..4),
    );
    proptest::collection::vec(table, 1..4).prop_map(|tables| {
        let mut builder = BatchBuilder::new();
        for (index, (device, tags, rows, columns)) in tables.into_iter().enumerate() {
            let mut tags: Vec<_> =
                tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            // A device of its own for each table: the order of lines is that of measurements.
            let device = format!("{index}{device}");
            builder.table(&device, &mut tags, (0..rows as i64).map(|row| NOW.0 - row)).unwrap();
            let mut known = std::collections::BTreeSet::new();
            for (kind, metric, numbers, texts) in columns {
                if !known.insert(metric.clone()) {
                    continue;
                }
                let numbers = &numbers[..rows];
                match kind {
                    0 => builder.floats(&metric, "", numbers.iter().map(|&n| n as f64 / 3.0), &[]),
                    1 => builder.ints(&metric, "", numbers.iter().copied(), &[]),
                    2 => builder.bools(&metric, "", numbers.iter().map(|n| n % 2 == 0), &[]),
                    _ => builder.texts(&metric, "", texts[..rows].iter().map(String::as_str), &[]),
                }
                .unwrap();
            }
        }
        builder.finish()
    })
}

proptest! {
    /// What our sinks write is read back as it was: types, values bit for bit, times to the nanosecond.
    #[test]
    fn what_our_sinks_write_is_read_back(batch in any_batch()) {
        let naming = Naming::new("telemetry");
        let mut body = Body::new();
        for (number, table) in batch.tables().enumerate() {
            let room = Room { bytes: usize::MAX, lines: u32::MAX };
            let rest = body.push(&naming, (Position(0), number as u32), table, Resume::default(), room);
            prop_assert!(rest.is_none());
        }
        let device_tags = ["device".to_owned()];
        let naming =
            LineNaming { device_tags: &device_tags, bare_measurement: "telemetry", time_unit: TimeUnit::Nanos(1) };
        let stamp = Stamp { received_at: NOW, booted_at: None, client: "c" };
        let lines = line_protocol(body.bytes(), &naming, &Limits::default(), &stamp, &Reach::all());
        prop_assert_eq!(&lines.faults, &vec![]);
        let (mut written, mut again) = (samples(&batch), samples(&lines.batch));
        written.sort();
        again.sort();
        prop_assert_eq!(written, again);
    }
}
