//! A part of a table as a batch of its own.

use super::{Batch, BatchBuilder, Column, ShapeError, Table, Values};
use std::ops::Range;

/// The batch with just these rows of these columns, which must be of this table: device, tags,
/// times, units, types, absent values and where it is kept as they are.
///
/// # Panics
/// If the table has no such rows, as slices do.
#[must_use]
pub fn select<'a>(
    table: Table<'a>,
    rows: Range<usize>,
    columns: impl IntoIterator<Item = Column<'a>>,
) -> Batch {
    let mut builder = BatchBuilder::new();
    // A part has the shape of its whole, and is no larger.
    let built = build(&mut builder, table, &rows, columns);
    debug_assert_eq!(built, Ok(()));
    builder.finish()
}

fn build<'a>(
    builder: &mut BatchBuilder,
    table: Table<'a>,
    rows: &Range<usize>,
    columns: impl IntoIterator<Item = Column<'a>>,
) -> Result<(), ShapeError> {
    let mut tags: Vec<_> = table.tags().collect();
    builder.table(table.device(), &mut tags, table.times()[rows.clone()].iter().copied())?;
    builder.keep(table.keep());
    for column in columns {
        let (metric, unit) = (column.metric(), column.unit());
        let absent = absent(column, rows);
        match column.values() {
            Values::Floats(values) => {
                builder.floats(metric, unit, values[rows.clone()].iter().copied(), &absent)
            }
            Values::Ints(values) => {
                builder.ints(metric, unit, values[rows.clone()].iter().copied(), &absent)
            }
            Values::Bools(values) => {
                builder.bools(metric, unit, values[rows.clone()].iter().copied(), &absent)
            }
            Values::Texts(texts) => {
                let values = rows.clone().map(|row| texts.get(row));
                builder.texts(metric, unit, values, &absent)
            }
        }?;
    }
    Ok(())
}

/// The bitmap of those of the rows that have no value.
fn absent(column: Column<'_>, rows: &Range<usize>) -> Vec<u8> {
    let mut bits = vec![0; rows.len().div_ceil(8)];
    for (at, _) in rows.clone().enumerate().filter(|&(_, row)| !column.is_present(row)) {
        bits[at / 8] |= 1 << (at % 8);
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Keep;
    use proptest::prelude::*;

    /// A sample in words: all that there is to say of it.
    type Sample = (String, Vec<(String, String)>, i64, String, String, String);

    fn samples<'a>(
        table: Table<'a>,
        rows: Range<usize>,
        columns: impl Iterator<Item = Column<'a>>,
    ) -> Vec<Sample> {
        let tags: Vec<_> = table.tags().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        let mut samples = Vec::new();
        for column in columns {
            for row in rows.clone().filter(|&row| column.is_present(row)) {
                let value = match column.values() {
                    Values::Floats(values) => format!("float {:x}", values[row].to_bits()),
                    Values::Ints(values) => format!("int {}", values[row]),
                    Values::Bools(values) => format!("bool {}", values[row]),
                    Values::Texts(texts) => format!("text {}", texts.get(row)),
                };
                let (metric, unit) = (column.metric().to_owned(), column.unit().to_owned());
                let (device, time) = (table.device().to_owned(), table.times()[row]);
                samples.push((device, tags.clone(), time, metric, unit, value));
            }
        }
        samples
    }

    /// A table of one to twenty rows with columns of all types, some values absent.
    fn batch() -> impl Strategy<Value = Batch> {
        let column =
            (0..4_u8, "[a-c]{1,2}(\\.[a-c])?", "(|°C|kW)", any::<[i64; 20]>(), any::<u32>());
        let columns = proptest::collection::vec(column, 0..6);
        (any::<[i64; 20]>(), 1..=20_usize, columns).prop_map(|(times, rows, columns)| {
            let mut builder = BatchBuilder::new();
            let tags = &mut [("site", "north"), ("area", "ö")];
            builder.table("pump-7", tags, times[..rows].iter().copied()).unwrap();
            builder.keep(Keep::StoresOnly);
            for (kind, metric, unit, numbers, absent) in columns {
                let numbers = &numbers[..rows];
                // No bits of rows that are not there.
                let absent = &(absent & ((1 << rows) - 1)).to_le_bytes()[..rows.div_ceil(8)];
                let texts: Vec<_> = numbers.iter().map(i64::to_string).collect();
                match kind {
                    0 => builder.floats(
                        &metric,
                        &unit,
                        numbers.iter().map(|&n| n as f64 / 8.0),
                        absent,
                    ),
                    1 => builder.ints(&metric, &unit, numbers.iter().copied(), absent),
                    2 => builder.bools(&metric, &unit, numbers.iter().map(|n| n % 2 == 0), absent),
                    _ => builder.texts(&metric, &unit, texts.iter().map(String::as_str), absent),
                }
                .unwrap();
            }
            builder.finish()
        })
    }

    proptest! {
        #[test]
        fn a_part_has_just_the_samples_of_its_rows_and_columns(
            batch in batch(),
            from in any::<prop::sample::Index>(),
            to in any::<prop::sample::Index>(),
            chosen in any::<u8>(),
        ) {
            let table = batch.tables().next().unwrap();
            let from = from.index(table.times().len());
            let to = from + 1 + to.index(table.times().len() - from);
            let columns = || {
                table.columns().enumerate().filter(|(at, _)| chosen >> at & 1 == 1).map(|(_, c)| c)
            };
            let part = select(table, from..to, columns());
            let part_table = part.tables().next().unwrap();
            prop_assert_eq!(part.tables().len(), 1);
            prop_assert_eq!(part_table.keep(), Keep::StoresOnly);
            prop_assert_eq!(part_table.times(), &table.times()[from..to]);
            prop_assert_eq!(part_table.columns().len(), columns().count());
            let found = samples(part_table, 0..to - from, part_table.columns());
            prop_assert_eq!(part.samples(), found.len());
            prop_assert_eq!(found, samples(table, from..to, columns()));
            let whole = select(table, 0..table.times().len(), table.columns());
            prop_assert_eq!(whole, batch.clone());
        }
    }
}
