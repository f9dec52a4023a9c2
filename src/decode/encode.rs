//! The canonical encoding of a batch: what the spool keeps of readings that did not come in our own
//! format, and what the simulator sends.

use crate::model::{Batch, Column, Keep, Seq, Table, Values};
use crate::wire::Writer;

/// The batch as a plain `Upstream` message with absolute times, fields in order, arrays packed.
///
/// Read back with [`Limits::READ_BACK`](super::Limits::READ_BACK) it is the same batch; entries of
/// absent rows may differ, because they mean nothing.
#[must_use]
pub fn encode(batch: &Batch, seq: Seq) -> Vec<u8> {
    let base_time = batch.tables().find_map(|table| table.times().first().copied()).unwrap_or(0);
    let (mut message, mut table, mut column) = (Writer::new(), Writer::new(), Writer::new());
    message.uint(1, seq);
    message.uint(2, base_time.cast_unsigned());
    for rows in batch.tables() {
        message.message(3, &mut table, |table| write_table(table, &mut column, rows, base_time));
    }
    let mut upstream = Writer::new();
    upstream.delimited(2, message.bytes());
    upstream.finish()
}

fn write_table(out: &mut Writer, scratch: &mut Writer, table: Table<'_>, base_time: i64) {
    out.delimited(1, table.device().as_bytes());
    for (key, value) in table.tags() {
        out.message(2, scratch, |entry| {
            entry.delimited(1, key.as_bytes());
            entry.delimited(2, value.as_bytes());
        });
    }
    out.sints(3, changes(base_time, table.times().iter().copied()));
    for column in table.columns() {
        out.message(4, scratch, |out| write_column(out, column));
    }
    match table.keep() {
        Keep::Everywhere => {}
        Keep::StoresOnly => out.uint(5, 1),
        Keep::LiveOnly => out.uint(5, 2),
    }
}

fn write_column(out: &mut Writer, column: Column<'_>) {
    out.delimited(1, column.metric().as_bytes());
    match column.values() {
        Values::Floats(values) => out.doubles(2, values),
        Values::Ints(values) => out.sints(5, present_changes(column, values)),
        Values::Bools(values) => out.bools(6, values),
        Values::Texts(texts) => {
            for text in texts.iter() {
                out.delimited(7, text.as_bytes());
            }
        }
    }
    if let Some(absent) = column.absent() {
        out.delimited(8, absent);
    }
    if !column.unit().is_empty() {
        out.delimited(9, column.unit().as_bytes());
    }
}

/// Each value's change from the one before, modulo 2^64, as the reader adds them up.
fn changes(
    from: i64,
    values: impl Iterator<Item = i64> + Clone,
) -> impl Iterator<Item = i64> + Clone {
    values.scan(from, |before, value| Some(value.wrapping_sub(std::mem::replace(before, value))))
}

/// As [`changes`]; a row without a value changes nothing.
fn present_changes<'a>(
    column: Column<'a>,
    values: &'a [i64],
) -> impl Iterator<Item = i64> + Clone + 'a {
    values.iter().enumerate().scan(0_i64, move |before, (row, &value)| {
        let value = if column.is_present(row) { value } else { *before };
        Some(value.wrapping_sub(std::mem::replace(before, value)))
    })
}
