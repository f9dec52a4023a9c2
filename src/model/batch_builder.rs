//! Makes a [`Batch`]: what decoders speak to.
//!
//! In: tables and columns, one after the other, as they were read. Out: the batch, or what does not
//! fit its table.

use super::batch::{Batch, ColumnSpan, Keep, Kind, SEPARATOR, Span, TableSpan, bit};
use thiserror::Error;

/// Builds a [`Batch`], table by table, column by column.
///
/// A column belongs to the table begun last. Names and values are taken as they are: the decoder
/// that calls this has checked them.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    batch: Batch,
}

impl BatchBuilder {
    /// A builder with nothing in it.
    #[must_use]
    pub fn new() -> BatchBuilder {
        BatchBuilder::default()
    }

    /// A builder with room for about that many columns, values and bytes of names.
    #[must_use]
    pub fn with_capacity(columns: usize, floats: usize, name_bytes: usize) -> BatchBuilder {
        let mut builder = BatchBuilder::default();
        builder.batch.columns.reserve(columns);
        builder.batch.floats.reserve(floats);
        builder.batch.names.reserve(name_bytes);
        builder
    }

    /// Begins a table with its device, tags (sorted here by key; keys must differ) and the timestamps
    /// of its rows.
    ///
    /// # Errors
    /// [`ShapeError::TooLarge`].
    pub fn table(
        &mut self,
        device: &str,
        tags: &mut [(&str, &str)],
        times: impl IntoIterator<Item = i64>,
    ) -> Result<(), ShapeError> {
        let batch = &mut self.batch;
        let start = batch.names.len();
        batch.names.push_str(device);
        tags.sort_unstable_by_key(|&(key, _)| key);
        for (key, value) in tags {
            batch.names.push(SEPARATOR);
            batch.names.push_str(key);
            batch.names.push(SEPARATOR);
            batch.names.push_str(value);
        }
        let identity = span(start, batch.names.len())?;
        let start = batch.times.len();
        batch.times.extend(times);
        let times = span(start, batch.times.len())?;
        let columns = span(batch.columns.len(), batch.columns.len())?;
        let device_bytes = u32::try_from(device.len()).map_err(|_| ShapeError::TooLarge)?;
        let keep = Keep::default();
        batch.tables.push(TableSpan { identity, device_bytes, times, columns, keep });
        Ok(())
    }

    /// Where the table begun last is to be kept, if not everywhere.
    pub fn keep(&mut self, keep: Keep) {
        if let Some(table) = self.batch.tables.last_mut() {
            table.keep = keep;
        }
    }

    /// Rows of the table begun last.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.batch.tables.last().map_or(0, |table| table.times.len())
    }

    /// Adds a column of floats; `absent` is empty or a bitmap of the rows without a value.
    ///
    /// # Errors
    /// [`ShapeError`] if the column does not fit its table.
    pub fn floats(
        &mut self,
        metric: &str,
        unit: &str,
        values: impl IntoIterator<Item = f64>,
        absent: &[u8],
    ) -> Result<(), ShapeError> {
        let start = self.batch.floats.len();
        self.batch.floats.extend(values);
        let values = span(start, self.batch.floats.len())?;
        self.column(metric, unit, Kind::Float, values, absent)
    }

    /// Adds a column of integers; as [`BatchBuilder::floats`].
    ///
    /// # Errors
    /// [`ShapeError`] if the column does not fit its table.
    pub fn ints(
        &mut self,
        metric: &str,
        unit: &str,
        values: impl IntoIterator<Item = i64>,
        absent: &[u8],
    ) -> Result<(), ShapeError> {
        let start = self.batch.ints.len();
        self.batch.ints.extend(values);
        let values = span(start, self.batch.ints.len())?;
        self.column(metric, unit, Kind::Int, values, absent)
    }

    /// Adds a column of truth values; as [`BatchBuilder::floats`].
    ///
    /// # Errors
    /// [`ShapeError`] if the column does not fit its table.
    pub fn bools(
        &mut self,
        metric: &str,
        unit: &str,
        values: impl IntoIterator<Item = bool>,
        absent: &[u8],
    ) -> Result<(), ShapeError> {
        let start = self.batch.bools.len();
        self.batch.bools.extend(values);
        let values = span(start, self.batch.bools.len())?;
        self.column(metric, unit, Kind::Bool, values, absent)
    }

    /// Adds a column of texts; as [`BatchBuilder::floats`].
    ///
    /// # Errors
    /// [`ShapeError`] if the column does not fit its table.
    pub fn texts<'v>(
        &mut self,
        metric: &str,
        unit: &str,
        values: impl IntoIterator<Item = &'v str>,
        absent: &[u8],
    ) -> Result<(), ShapeError> {
        let start = self.batch.texts.len();
        for value in values {
            let text = self.name(value)?;
            self.batch.texts.push(text);
        }
        let values = span(start, self.batch.texts.len())?;
        self.column(metric, unit, Kind::Text, values, absent)
    }

    /// The batch.
    #[must_use]
    pub fn finish(self) -> Batch {
        self.batch
    }

    fn column(
        &mut self,
        metric: &str,
        unit: &str,
        kind: Kind,
        values: Span,
        absent: &[u8],
    ) -> Result<(), ShapeError> {
        let rows = self.rows();
        if values.len() != rows {
            return Err(ShapeError::ColumnLength { entries: values.len(), rows });
        }
        if !absent.is_empty() && absent.len() != rows.div_ceil(8) {
            return Err(ShapeError::BitmapLength { bytes: absent.len(), rows });
        }
        let missing = match absent {
            [] => 0,
            bits => (0..rows).filter(|&row| bit(bits, row)).count(),
        };
        let metric = self.name(metric)?;
        let unit = self.name(unit)?;
        let batch = &mut self.batch;
        let start = batch.absent.len();
        if missing > 0 {
            batch.absent.extend_from_slice(absent);
        }
        let absent = span(start, batch.absent.len())?;
        let present = u32::try_from(rows - missing).map_err(|_| ShapeError::TooLarge)?;
        batch.columns.push(ColumnSpan { metric, unit, kind, values, absent, present });
        batch.samples += rows - missing;
        if let Some(table) = batch.tables.last_mut() {
            table.columns.end += 1;
        }
        Ok(())
    }

    fn name(&mut self, name: &str) -> Result<Span, ShapeError> {
        let start = self.batch.names.len();
        self.batch.names.push_str(name);
        span(start, self.batch.names.len())
    }
}

fn span(start: usize, end: usize) -> Result<Span, ShapeError> {
    match (u32::try_from(start), u32::try_from(end)) {
        (Ok(start), Ok(end)) => Ok(start..end),
        _ => Err(ShapeError::TooLarge),
    }
}

/// Why a column or table could not be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ShapeError {
    /// A column does not have one entry for each row.
    #[error("the column has {entries} entries, its table {rows} rows")]
    ColumnLength {
        /// Entries in the column.
        entries: usize,
        /// Rows in the table.
        rows: usize,
    },
    /// A bitmap of absent rows is not as long as the rows need.
    #[error("the bitmap of absent rows has {bytes} bytes for {rows} rows")]
    BitmapLength {
        /// Bytes in the bitmap.
        bytes: usize,
        /// Rows in the table.
        rows: usize,
    },
    /// More than 4 GiB in one batch.
    #[error("the batch is too large")]
    TooLarge,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Values;

    #[test]
    fn a_batch_gives_back_what_was_put_in() {
        let mut builder = BatchBuilder::new();
        builder.table("pump-7", &mut [("site", "b"), ("area", "a")], [10, 20, 30]).unwrap();
        builder.floats("t", "°C", [1.5, 0.0, 2.5], &[0b010]).unwrap();
        builder.texts("state", "", ["idle", "run", ""], &[]).unwrap();
        builder.table("pump-8", &mut [], [5]).unwrap();
        builder.keep(Keep::LiveOnly);
        builder.ints("starts", "", [7], &[]).unwrap();
        builder.bools("on", "", [true], &[1]).unwrap();
        let batch = builder.finish();

        assert_eq!(batch.samples(), 2 + 3 + 1);
        assert_eq!(batch.time_range(), Some((5, 30)));
        let tables: Vec<_> = batch.tables().collect();
        assert_eq!(tables[0].device(), "pump-7");
        assert_eq!(tables[0].identity(), "pump-7\0area\0a\0site\0b");
        assert_eq!(tables[0].tags().collect::<Vec<_>>(), [("area", "a"), ("site", "b")]);
        assert_eq!(tables[0].times(), [10, 20, 30]);
        let columns: Vec<_> = tables[0].columns().collect();
        assert_eq!((columns[0].metric(), columns[0].unit(), columns[0].present()), ("t", "°C", 2));
        assert!(columns[0].is_present(0) && !columns[0].is_present(1) && columns[0].is_present(2));
        assert!(matches!(columns[0].values(), Values::Floats([1.5, _, 2.5])));
        let Values::Texts(texts) = columns[1].values() else { panic!("not texts") };
        assert_eq!(texts.iter().collect::<Vec<_>>(), ["idle", "run", ""]);
        assert_eq!((tables[0].keep(), tables[1].keep()), (Keep::Everywhere, Keep::LiveOnly));
        assert_eq!((tables[0].samples(), tables[1].samples()), (2 + 3, 1));
        assert_eq!(tables[1].tags().count(), 0);
        let columns: Vec<_> = tables[1].columns().collect();
        assert!(matches!(columns[0].values(), Values::Ints([7])));
        assert!(matches!(columns[1].values(), Values::Bools([true])));
        assert_eq!(columns[1].present(), 0);
    }

    #[test]
    fn a_column_that_does_not_fit_its_table_is_refused() {
        let mut builder = BatchBuilder::new();
        builder.table("d", &mut [], [1, 2]).unwrap();
        assert_eq!(
            builder.ints("a", "", [1], &[]),
            Err(ShapeError::ColumnLength { entries: 1, rows: 2 })
        );
        assert_eq!(
            builder.ints("a", "", [1, 2], &[0, 0]),
            Err(ShapeError::BitmapLength { bytes: 2, rows: 2 })
        );
    }
}
