//! Rows of a batch that fall into one window, and the rollup of a column over them.
//!
//! Hot path. The rows of a table share their times, so they are cut into runs once, for all columns;
//! a run of a column without gaps is then a loop over a slice. `benches/aggregate.rs` guards it.

use super::rollup::{Numbers, Rollup, Texts};
use super::settings::align;
use crate::model::{Column, Position, Values};
use std::ops::Range;

/// Consecutive rows that fall into one window.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Run {
    pub start: i64,
    pub rows: Range<usize>,
    /// Times don't decrease, so that the first row is the earliest and the last one the latest.
    pub ascending: bool,
    /// The window was closed before this batch.
    pub late: bool,
}

/// Cuts rows into runs, newest window first, those of one window in the order of rows. Windows before
/// `limit` are closed.
pub(super) fn runs(times: &[i64], width: i64, limit: i64, out: &mut Vec<Run>) {
    out.clear();
    for (row, &time) in times.iter().enumerate() {
        if let Some(run) = out.last_mut()
            && time >= run.start
            && time < run.start.saturating_add(width)
        {
            run.ascending &= times[row - 1] <= time;
            run.rows.end = row + 1;
        } else {
            let start = align(time, width);
            out.push(Run { start, rows: row..row + 1, ascending: true, late: start < limit });
        }
    }
    if out.is_sorted_by(|a, b| a.start < b.start) {
        out.reverse();
    } else {
        out.sort_by_key(|run| std::cmp::Reverse(run.start));
    }
}

/// How many rows of the run have a value.
pub(super) fn present(column: Column<'_>, run: &Run) -> usize {
    match column.absent() {
        None => run.rows.len(),
        Some(_) => run.rows.clone().filter(|&row| column.is_present(row)).count(),
    }
}

/// The rollup of a column over a run, or `None` if no row of it has a value.
pub(super) fn rollup(
    column: Column<'_>,
    times: &[i64],
    run: &Run,
    touched: Position,
) -> Option<Rollup> {
    match column.values() {
        Values::Floats(values) => numbers(column, times, run, touched, |row| values[row]),
        Values::Ints(values) => numbers(column, times, run, touched, |row| values[row] as f64),
        Values::Bools(values) => {
            numbers(column, times, run, touched, |row| f64::from(u8::from(values[row])))
        }
        Values::Texts(values) => {
            let mut rows = run.rows.clone().filter(|&row| column.is_present(row));
            let row = rows.next()?;
            let mut texts = Texts::one(times[row], values.get(row), None, touched);
            rows.for_each(|row| texts.add(times[row], values.get(row)));
            Some(Rollup::Text(Box::new(texts)))
        }
    }
}

fn numbers(
    column: Column<'_>,
    times: &[i64],
    run: &Run,
    touched: Position,
    value: impl Fn(usize) -> f64,
) -> Option<Rollup> {
    if column.absent().is_none() && run.ascending {
        return Some(Rollup::Number(dense(times, run.rows.clone(), touched, value)));
    }
    let mut rows = run.rows.clone().filter(|&row| column.is_present(row));
    let row = rows.next()?;
    let mut all = Rollup::Number(Numbers::one(times[row], value(row), touched));
    rows.for_each(|row| {
        all.merge(&Rollup::Number(Numbers::one(times[row], value(row), touched)));
    });
    Some(all)
}

/// Every row has a value and times ascend: only minimum, maximum and sum need a look at each.
fn dense(
    times: &[i64],
    rows: Range<usize>,
    touched: Position,
    value: impl Fn(usize) -> f64,
) -> Numbers {
    let (first_row, last_row) = (rows.start, rows.end - 1);
    let mut all = Numbers::one(times[first_row], value(first_row), touched);
    let mut count = 1_u32;
    for row in first_row + 1..rows.end {
        let value = value(row);
        all.min = if value < all.min { value } else { all.min };
        all.max = if value > all.max { value } else { all.max };
        all.sum += value;
        count += 1;
    }
    all.count = all.count.saturating_add(count - 1);
    (all.last, all.last_time) = (value(last_row), times[last_row]);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_where_the_window_changes() {
        let mut out = Vec::new();
        runs(&[10, 12, 11, 20, 5, 29, 29], 10, 10, &mut out);
        let seen: Vec<_> =
            out.iter().map(|r| (r.start, r.rows.clone(), r.ascending, r.late)).collect();
        assert_eq!(
            seen,
            [
                (20, 3..4, true, false),
                (20, 5..7, true, false),
                (10, 0..3, false, false),
                (0, 4..5, true, true),
            ]
        );
        runs(&[], 10, 0, &mut out);
        assert!(out.is_empty());
    }
}
