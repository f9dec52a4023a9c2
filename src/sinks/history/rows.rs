//! Rows of a group as they arrived, and put in order.
//!
//! A group is a device with its tags; its metrics share one time axis. A head collects rows in the
//! order of arrival; so does compaction, which lets the rows of older segments arrive first. Putting
//! them in order is one function for both: ascending times, each once, the last value of a (metric,
//! time) wins.

use super::value::{Column, Kind, Value};
use crate::model;
use std::borrow::Cow;
use std::ops::Range;

/// Times and, for each metric of the group, cells.
#[derive(Debug, Clone, Default)]
pub(super) struct Rows {
    pub times: Vec<i64>,
    pub columns: Vec<Cells>,
}

/// The values of one metric in [`Rows`].
#[derive(Debug, Clone, Default)]
pub(super) struct Cells {
    pub values: Column,
    /// The row of each value, ascending; `None` if value `i` is of row `i`.
    pub rows: Option<Vec<u32>>,
}

impl Cells {
    /// Appends what a batch's column holds for these new rows. Returns the bytes that it had to
    /// keep beyond eight per value, for texts.
    ///
    /// Hot path: a dense column of the type it has had so far is one copy.
    pub(super) fn append(
        &mut self,
        column: model::Column<'_>,
        new_rows: Range<usize>,
        hint: usize,
    ) -> usize {
        let (base, length) = (new_rows.start, new_rows.len());
        if column.present() == 0 {
            return 0;
        }
        if self.values.is_empty() {
            *self =
                Cells { values: Column::with_capacity(kind(column.values()), hint), rows: None };
        }
        let dense = self.rows.is_none() && self.values.len() == base && column.absent().is_none();
        if !dense {
            let own = self.values.len() as u32;
            let rows = self.rows.get_or_insert_with(|| (0..own).collect());
            rows.extend(
                (0..length).filter(|&row| column.is_present(row)).map(|row| (base + row) as u32),
            );
        }
        let present = (0..length).filter(|&row| column.is_present(row));
        match (&mut self.values, column.values()) {
            (Column::Floats(to), model::Values::Floats(from)) if dense => {
                to.extend_from_slice(from)
            }
            (Column::Ints(to), model::Values::Ints(from)) if dense => to.extend_from_slice(from),
            (Column::Bools(to), model::Values::Bools(from)) if dense => to.extend_from_slice(from),
            (Column::Floats(to), model::Values::Floats(from)) => {
                to.extend(present.map(|row| from[row]));
            }
            (Column::Ints(to), model::Values::Ints(from)) => {
                to.extend(present.map(|row| from[row]))
            }
            (Column::Bools(to), model::Values::Bools(from)) => {
                to.extend(present.map(|row| from[row]));
            }
            (Column::Texts(to), model::Values::Texts(from)) => {
                return present.map(|row| to.push(from.get(row))).sum();
            }
            (values, from) => return append_mixed(values.mixed(), from, present),
        }
        0
    }

    /// Appends values of rows that begin at row `base`; `rows` as in [`Cells::rows`], counted from
    /// there.
    pub(super) fn append_cells(
        &mut self,
        values: &Column,
        range: Range<usize>,
        rows: Option<&[u32]>,
        base: usize,
    ) {
        let dense = self.rows.is_none() && self.values.len() == base && rows.is_none();
        if !dense {
            let own = self.values.len() as u32;
            let to = self.rows.get_or_insert_with(|| (0..own).collect());
            match rows {
                Some(rows) => to.extend(rows.iter().map(|row| base as u32 + row)),
                None => to.extend(base as u32..(base + range.len()) as u32),
            }
        }
        self.values.append(values, range);
    }

    /// The range of its values that lie in a range of rows.
    pub(super) fn within(&self, rows: &Range<usize>) -> Range<usize> {
        match &self.rows {
            None => rows.start.min(self.values.len())..rows.end.min(self.values.len()),
            Some(own) => {
                own.partition_point(|&row| (row as usize) < rows.start)
                    ..own.partition_point(|&row| (row as usize) < rows.end)
            }
        }
    }
}

fn append_mixed(
    to: &mut Vec<Value>,
    from: model::Values<'_>,
    present: impl Iterator<Item = usize>,
) -> usize {
    let before = to.len();
    to.extend(present.map(|row| value_at(from, row)));
    // Each of them costs more than a plain number does, and a text its bytes.
    let texts: usize = to[before..].iter().map(|value| value.text_bytes()).sum();
    texts + (to.len() - before) * size_of::<Value>()
}

pub(super) fn kind(values: model::Values<'_>) -> Kind {
    match values {
        model::Values::Floats(_) => Kind::Float,
        model::Values::Ints(_) => Kind::Int,
        model::Values::Bools(_) => Kind::Bool,
        model::Values::Texts(_) => Kind::Text,
    }
}

pub(super) fn value_at(values: model::Values<'_>, row: usize) -> Value {
    match values {
        model::Values::Floats(values) => Value::Float(values[row]),
        model::Values::Ints(values) => Value::Int(values[row]),
        model::Values::Bools(values) => Value::Bool(values[row]),
        model::Values::Texts(values) => Value::Text(values.get(row).into()),
    }
}

/// Whether times ascend and none occurs twice.
pub(super) fn ascend(times: &[i64]) -> bool {
    times.windows(2).all(|pair| pair[0] < pair[1])
}

/// Rows with ascending times, each once: of several values of a metric at one time the last to
/// arrive is kept. Nothing is copied if they are so already.
pub(super) fn settle(rows: &Rows) -> Cow<'_, Rows> {
    if ascend(&rows.times) {
        return Cow::Borrowed(rows);
    }
    let (times, slots) = slots(&rows.times);
    let columns = rows.columns.iter().map(|cells| settle_cells(cells, &slots, times.len()));
    Cow::Owned(Rows { columns: columns.collect(), times })
}

/// The different times, ascending, and for each row the index of its time among them.
fn slots(arrived: &[i64]) -> (Vec<i64>, Vec<u32>) {
    let mut order: Vec<u32> = (0..arrived.len() as u32).collect();
    order.sort_by_key(|&row| arrived[row as usize]);
    let mut times: Vec<i64> = Vec::with_capacity(arrived.len());
    let mut slots = vec![0; arrived.len()];
    for row in order {
        let time = arrived[row as usize];
        if times.last() != Some(&time) {
            times.push(time);
        }
        slots[row as usize] = times.len() as u32 - 1;
    }
    (times, slots)
}

fn settle_cells(cells: &Cells, slots: &[u32], slot_count: usize) -> Cells {
    const NONE: u32 = u32::MAX;
    let mut winners = vec![NONE; slot_count];
    for index in 0..cells.values.len() {
        let row = cells.rows.as_ref().map_or(index, |rows| rows[index] as usize);
        // In the order of arrival, so that the last one stays.
        winners[slots[row] as usize] = index as u32;
    }
    if winners.iter().all(|&index| index != NONE) {
        return Cells { values: cells.values.gather(&winners), rows: None };
    }
    let (rows, indices): (Vec<u32>, Vec<u32>) =
        (0..slot_count as u32).zip(winners).filter(|&(_, index)| index != NONE).unzip();
    Cells { values: cells.values.gather(&indices), rows: Some(rows) }
}

/// The samples of one series.
#[derive(Debug, Clone, Default)]
pub(super) struct Run {
    pub times: Vec<i64>,
    pub values: Column,
}

impl Run {
    /// In the order of time, each time once, the last to arrive kept.
    pub(super) fn settled(self) -> Run {
        if ascend(&self.times) {
            return self;
        }
        let mut order: Vec<u32> = (0..self.times.len() as u32).collect();
        order.sort_by_key(|&index| self.times[index as usize]);
        let mut kept: Vec<u32> = Vec::with_capacity(order.len());
        for index in order {
            match kept.last_mut() {
                Some(last) if self.times[*last as usize] == self.times[index as usize] => {
                    *last = index;
                }
                _ => kept.push(index),
            }
        }
        let times = kept.iter().map(|&index| self.times[index as usize]).collect();
        Run { times, values: self.values.gather(&kept) }
    }

    /// The indices of an ascending run that lie in `from..to`.
    pub(super) fn within(times: &[i64], from: i64, to: i64) -> Range<usize> {
        let start = times.partition_point(|&time| time < from);
        start..start + times[start..].partition_point(|&time| time < to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_times_the_last_value_of_each_metric_wins() {
        let rows = Rows {
            times: vec![30, 10, 20, 10, 30],
            columns: vec![
                Cells { values: Column::Ints(vec![1, 2, 3, 4, 5]), rows: None },
                Cells { values: Column::Ints(vec![7, 8]), rows: Some(vec![1, 2]) },
                Cells::default(),
            ],
        };
        let settled = settle(&rows);
        assert_eq!(settled.times, [10, 20, 30]);
        let Column::Ints(values) = &settled.columns[0].values else { panic!("not ints") };
        assert_eq!((values.as_slice(), &settled.columns[0].rows), (&[4, 3, 5][..], &None));
        let Column::Ints(values) = &settled.columns[1].values else { panic!("not ints") };
        assert_eq!((values.as_slice(), &settled.columns[1].rows), (&[7, 8][..], &Some(vec![0, 1])));
        assert!(settled.columns[2].values.is_empty());
    }
}
