//! Samples as Apache Parquet, written column by column.
//!
//! A row is a sample; of the four columns of values one is not null. Rows are in the order of the export, so
//! that the statistics of row groups say which series and times are in them. Memory: the rows of one group;
//! and of each group that was written some 2 KiB, which the end of the file is made of.

use super::form::{Series, WriteError, push_tags};
use crate::sinks::history::Value;
use parquet::basic::{Compression, Encoding};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;
use std::iter::repeat_n;
use std::sync::Arc;

const SCHEMA: &str = "
message samples {
  REQUIRED BYTE_ARRAY device (STRING);
  REQUIRED BYTE_ARRAY metric (STRING);
  REQUIRED BYTE_ARRAY tags (STRING);
  REQUIRED INT64 time (TIMESTAMP(NANOS,true));
  OPTIONAL DOUBLE float;
  OPTIONAL INT64 int;
  OPTIONAL BOOLEAN bool;
  OPTIONAL BYTE_ARRAY text (STRING);
  REQUIRED BYTE_ARRAY unit (STRING);
}";
/// Rows of a group: some 10 MiB in memory. Larger ones compress no better and cost more.
const GROUP_ROWS: usize = if cfg!(test) { 50 } else { 131_072 };
/// Bytes of text in a group, of the same weight.
const GROUP_TEXT_BYTES: usize = 8 << 20;

pub(super) struct Parquet {
    /// `None` after the end.
    file: Option<SerializedFileWriter<Vec<u8>>>,
    rows: Rows,
    names: Names,
}

/// Names of a series, shared by all of its rows.
#[derive(Default, Clone, PartialEq)]
struct Names {
    device: ByteArray,
    metric: ByteArray,
    tags: ByteArray,
    unit: ByteArray,
}

/// The rows of the group to come.
#[derive(Default)]
struct Rows {
    /// For how many rows in a row.
    names: Vec<(Names, usize)>,
    times: Vec<i64>,
    floats: Cells<f64>,
    ints: Cells<i64>,
    bools: Cells<bool>,
    texts: Cells<ByteArray>,
    text_bytes: usize,
}

/// An optional column: for each row whether there is a value, and the values.
struct Cells<T> {
    levels: Vec<i16>,
    values: Vec<T>,
}

impl<T> Default for Cells<T> {
    fn default() -> Cells<T> {
        Cells { levels: Vec::new(), values: Vec::new() }
    }
}

impl<T> Cells<T> {
    fn push(&mut self, value: Option<T>) {
        self.levels.push(i16::from(value.is_some()));
        self.values.extend(value);
    }
}

impl Parquet {
    pub fn new() -> Result<Parquet, WriteError> {
        let schema = Arc::new(parse_message_type(SCHEMA)?);
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(concat!("tidegate ", env!("CARGO_PKG_VERSION")).to_owned())
            // Times of a series have small differences, and hardly repeat.
            .set_column_dictionary_enabled(ColumnPath::from("time"), false)
            .set_column_encoding(ColumnPath::from("time"), Encoding::DELTA_BINARY_PACKED)
            .build();
        let file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
        Ok(Parquet { file: Some(file), rows: Rows::default(), names: Names::default() })
    }

    pub fn series(&mut self, series: Series<'_>) {
        let bytes = |text: &str| ByteArray::from(text.as_bytes().to_vec());
        let mut tags = Vec::new();
        push_tags(&mut tags, series.tags);
        self.names = Names {
            device: bytes(series.device),
            metric: bytes(series.metric),
            tags: ByteArray::from(tags),
            unit: bytes(series.unit),
        };
    }

    pub fn sample(
        &mut self,
        time: i64,
        value: &Value,
        out: &mut Vec<u8>,
    ) -> Result<(), WriteError> {
        let rows = &mut self.rows;
        match rows.names.last_mut() {
            Some((names, count)) if *names == self.names => *count += 1,
            _ => rows.names.push((self.names.clone(), 1)),
        }
        rows.times.push(time);
        let (mut float, mut int, mut truth, mut text) = (None, None, None, None);
        match value {
            Value::Float(value) => float = Some(*value),
            Value::Int(value) => int = Some(*value),
            Value::Bool(value) => truth = Some(*value),
            Value::Text(value) => {
                rows.text_bytes += value.len();
                text = Some(ByteArray::from(value.as_bytes().to_vec()));
            }
        }
        rows.floats.push(float);
        rows.ints.push(int);
        rows.bools.push(truth);
        rows.texts.push(text);
        match rows.times.len() >= GROUP_ROWS || rows.text_bytes >= GROUP_TEXT_BYTES {
            true => self.group(out),
            false => Ok(()),
        }
    }

    /// Writes the rows that have gathered.
    fn group(&mut self, out: &mut Vec<u8>) -> Result<(), WriteError> {
        let rows = std::mem::take(&mut self.rows);
        let Some(file) = &mut self.file else { return Ok(()) };
        if !rows.times.is_empty() {
            let mut group = file.next_row_group()?;
            rows.write(&mut group)?;
            group.close()?;
        }
        file.flush().map_err(|error| ParquetError::External(Box::new(error)))?;
        out.append(file.inner_mut());
        Ok(())
    }

    pub fn end(&mut self, out: &mut Vec<u8>) -> Result<(), WriteError> {
        self.group(out)?;
        if let Some(file) = self.file.take() {
            out.append(&mut file.into_inner()?);
        }
        Ok(())
    }
}

type Group<'a> = SerializedRowGroupWriter<'a, Vec<u8>>;

impl Rows {
    fn write(&self, group: &mut Group<'_>) -> Result<(), ParquetError> {
        let named = |pick: fn(&Names) -> &ByteArray| -> Vec<ByteArray> {
            let names = self.names.iter();
            names.flat_map(|(names, count)| repeat_n(pick(names).clone(), *count)).collect()
        };
        column::<ByteArrayType>(group, &named(|names| &names.device), None)?;
        column::<ByteArrayType>(group, &named(|names| &names.metric), None)?;
        column::<ByteArrayType>(group, &named(|names| &names.tags), None)?;
        column::<Int64Type>(group, &self.times, None)?;
        column::<DoubleType>(group, &self.floats.values, Some(&self.floats.levels))?;
        column::<Int64Type>(group, &self.ints.values, Some(&self.ints.levels))?;
        column::<BoolType>(group, &self.bools.values, Some(&self.bools.levels))?;
        column::<ByteArrayType>(group, &self.texts.values, Some(&self.texts.levels))?;
        column::<ByteArrayType>(group, &named(|names| &names.unit), None)
    }
}

/// Writes the next column of the schema.
fn column<T: DataType>(
    group: &mut Group<'_>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> Result<(), ParquetError> {
    let Some(mut column) = group.next_column()? else { return Ok(()) };
    column.typed::<T>().write_batch(values, levels, None)?;
    column.close()
}
