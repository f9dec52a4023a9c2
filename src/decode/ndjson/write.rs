//! Batches as readings again: what [`ndjson`](super::ndjson) reads.

use crate::model::{Batch, Column, Table, Values};
use serde_json::{Map, Value as Json};

/// The rows of a batch as the objects of NDJSON lines, each with its time as integer nanoseconds;
/// rows without a value are left out. Read back they are the same samples, types and units.
///
/// A row that has two values of one metric (no object can) becomes two.
pub fn readings(batch: &Batch) -> impl Iterator<Item = Map<String, Json>> {
    batch
        .tables()
        .flat_map(|table| (0..table.times().len()).flat_map(move |row| row_of(table, row)))
}

fn row_of(table: Table<'_>, row: usize) -> Vec<Map<String, Json>> {
    let mut objects: Vec<(Map<String, Json>, Map<String, Json>)> = Vec::new();
    for column in table.columns().filter(|column| column.is_present(row)) {
        let metric = column.metric();
        let free = objects.iter().position(|(values, _)| !values.contains_key(metric));
        let at = free.unwrap_or_else(|| {
            objects.push((Map::new(), Map::new()));
            objects.len() - 1
        });
        let (values, units) = &mut objects[at];
        values.insert(metric.to_owned(), value(column, row));
        if !column.unit().is_empty() {
            units.insert(metric.to_owned(), column.unit().into());
        }
    }
    objects.into_iter().map(|(values, units)| object(table, row, values, units)).collect()
}

fn object(
    table: Table<'_>,
    row: usize,
    values: Map<String, Json>,
    units: Map<String, Json>,
) -> Map<String, Json> {
    let mut object = Map::new();
    object.insert("device".to_owned(), table.device().into());
    object.insert("time".to_owned(), table.times()[row].into());
    let tags: Map<_, _> =
        table.tags().map(|(key, value)| (key.to_owned(), Json::from(value))).collect();
    for (name, entries) in [("tags", tags), ("values", values), ("units", units)] {
        if !entries.is_empty() {
            object.insert(name.to_owned(), entries.into());
        }
    }
    object
}

fn value(column: Column<'_>, row: usize) -> Json {
    match column.values() {
        // Finite, and written with a fraction or an exponent: it stays a float.
        Values::Floats(values) => values[row].into(),
        Values::Ints(values) => values[row].into(),
        Values::Bools(values) => values[row].into(),
        Values::Texts(texts) => texts.get(row).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Limits, Stamp, ndjson};
    use crate::model::{BatchBuilder, Timestamp};
    use proptest::prelude::*;

    /// A sample in words: all that there is to say of it.
    type Sample = (String, Vec<(String, String)>, i64, String, String, String);

    fn samples(batch: &Batch) -> Vec<Sample> {
        let mut samples = Vec::new();
        for table in batch.tables() {
            let tags: Vec<_> = table.tags().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
            for column in table.columns() {
                for (row, &time) in table.times().iter().enumerate() {
                    if !column.is_present(row) {
                        continue;
                    }
                    let value = match column.values() {
                        Values::Floats(values) => format!("float {:x}", values[row].to_bits()),
                        Values::Ints(values) => format!("int {}", values[row]),
                        Values::Bools(values) => format!("bool {}", values[row]),
                        Values::Texts(texts) => format!("text {}", texts.get(row)),
                    };
                    let (metric, unit) = (column.metric().to_owned(), column.unit().to_owned());
                    let device = table.device().to_owned();
                    samples.push((device, tags.clone(), time, metric, unit, value));
                }
            }
        }
        samples.sort();
        samples
    }

    fn batch() -> impl Strategy<Value = Batch> {
        let float = any::<f64>().prop_filter("finite", |value| value.is_finite());
        let whole = (-1000..1000_i32).prop_map(f64::from);
        let floats = proptest::collection::vec(prop_oneof![float, whole], 4);
        let texts = proptest::collection::vec(".{0,5}|\n\"\\\\", 4);
        let column =
            (0..4_u8, "[a-b\"\\\\ö]{1,2}", "(|°C)", floats, any::<[i64; 4]>(), texts, 0..16_u8);
        let table = (
            "(pump|ö\"7)",
            "(|a|\\\\b)",
            any::<[i64; 4]>(),
            proptest::collection::vec(column, 1..5),
        );
        proptest::collection::vec(table, 1..4).prop_map(|tables| {
            let mut builder = BatchBuilder::new();
            for (device, tag, times, columns) in tables {
                let mut tags = vec![(&*tag, "x y")];
                tags.retain(|(key, _)| !key.is_empty());
                builder.table(&device, &mut tags, times).unwrap();
                for (kind, metric, unit, floats, ints, texts, absent) in columns {
                    match kind {
                        0 => builder.floats(&metric, &unit, floats, &[absent]),
                        1 => builder.ints(&metric, &unit, ints, &[absent]),
                        2 => builder.bools(&metric, &unit, ints.map(|n| n > 0), &[absent]),
                        _ => builder.texts(
                            &metric,
                            &unit,
                            texts.iter().map(String::as_str),
                            &[absent],
                        ),
                    }
                    .unwrap();
                }
            }
            builder.finish()
        })
    }

    proptest! {
        #[test]
        fn written_and_read_back_they_are_the_same_samples(batch in batch()) {
            let mut text = Vec::new();
            for reading in readings(&batch) {
                serde_json::to_writer(&mut text, &reading).unwrap();
                text.push(b'\n');
            }
            let stamp = Stamp { received_at: Timestamp(0), booted_at: None, client: "nobody" };
            let lines = ndjson(&text, &Limits::READ_BACK, &stamp, &crate::model::Reach::all());
            prop_assert_eq!(lines.refused, 0, "{:?}", lines.faults);
            prop_assert_eq!(samples(&lines.batch), samples(&batch));
        }
    }
}
