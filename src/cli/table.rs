//! Tables and times as people read them.

use super::printable;
use crate::model::Timestamp;
use std::io::Write;

/// Characters of what others said in a cell.
const CELL_CHARS_MAX: usize = 60;

/// Columns as wide as their widest cell; the last one as it is.
pub(super) fn write_table(out: &mut impl Write, rows: &[Vec<String>]) -> std::io::Result<()> {
    let columns = rows.first().map_or(0, Vec::len);
    let width =
        |at: usize| rows.iter().filter_map(move |row| row.get(at)).map(|it| it.chars().count());
    let widths: Vec<usize> = (0..columns).map(|at| width(at).max().unwrap_or(0)).collect();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// One line of what others said, as much as fits a cell.
pub(super) fn cut(text: &str) -> String {
    let text = printable(text);
    match text.char_indices().nth(CELL_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// A time in whole seconds.
pub(super) fn seconds(time: Timestamp) -> String {
    jiff::Timestamp::from_second(time.as_millis().div_euclid(1000))
        .map_or_else(|_| time.0.to_string(), |time| time.to_string())
}

/// A time as exact as it is.
pub(super) fn nanos(time: i64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(time))
        .map_or_else(|_| time.to_string(), |time| time.to_string())
}
