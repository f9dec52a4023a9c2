//! Plain tables: which column is what.

use super::{float, instant, not_of};
use crate::decode::lines::LineFaultKind;
use crate::decode::{Content, Counted, Reading, Stamp, Value};
use crate::model::Keep;
use crate::wire::Limits;
use std::borrow::Cow;

/// The type that a column's values are read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CsvType {
    /// A number is a float, `true` and `false` are truth values, all else is a text.
    Guessed,
    /// Floats.
    Float,
    /// Whole numbers.
    Int,
    /// `true`, `false`, `1`, `0`.
    Bool,
    /// Texts, as they are.
    Text,
}

/// What the columns of a table are. Made for its header by [`Mapping::new`].
#[derive(Debug, Clone, PartialEq)]
pub struct Mapping {
    time: Option<usize>,
    /// A column, or one name for all.
    device: Device,
    tags: Vec<(usize, String)>,
    values: Values,
    /// Nanoseconds of the unit that whole numbers of time are in.
    time_unit: i64,
    cells: usize,
}

#[derive(Debug, Clone, PartialEq)]
enum Device {
    Column(usize),
    Named(String),
    /// The client.
    Client,
}

#[derive(Debug, Clone, PartialEq)]
enum Values {
    /// A column each: its metric and type.
    Wide(Vec<(usize, String, CsvType)>),
    /// A record has one value; its metric is in another column.
    Long { metric: usize, value: usize },
}

/// What somebody says of the columns, by the names in the header.
#[derive(Debug, Clone, Default)]
pub struct Said {
    /// The column of times; without one the time of receipt is taken.
    pub time: Option<String>,
    /// The column of devices' names.
    pub device_column: Option<String>,
    /// The device of all records.
    pub device: Option<String>,
    /// The column of metrics' names, with [`Said::value`].
    pub metric: Option<String>,
    /// The column of values.
    pub value: Option<String>,
    /// Columns that are tags.
    pub tags: Vec<String>,
    /// Columns that are passed over.
    pub skipped: Vec<String>,
    /// Types of columns of values.
    pub types: Vec<(String, CsvType)>,
    /// Put before the names of metrics.
    pub prefix: String,
    /// Nanoseconds of the unit of times.
    pub time_unit: i64,
}

/// What was said of the columns does not fit the header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// There is no such column.
    #[error("the header has no column {0:?}")]
    NoColumn(String),
    /// One of both is missing.
    #[error("a column of metrics needs a column of values, and the other way round")]
    Half,
    /// Nothing would be read.
    #[error("no column is left that could be a metric")]
    NoValues,
}

impl Mapping {
    /// What was said, for the columns of this header.
    ///
    /// # Errors
    /// [`MappingError`].
    pub fn new(header: &[Cow<'_, str>], said: &Said) -> Result<Mapping, MappingError> {
        let at = |name: &String| {
            let found = header.iter().position(|column| column.trim() == name.trim());
            found.ok_or_else(|| MappingError::NoColumn(name.clone()))
        };
        let time = said.time.as_ref().map(at).transpose()?;
        let device = match (&said.device_column, &said.device) {
            (Some(column), _) => Device::Column(at(column)?),
            (None, Some(name)) => Device::Named(name.clone()),
            (None, None) => Device::Client,
        };
        let tags: Vec<_> = said
            .tags
            .iter()
            .map(|name| Ok((at(name)?, name.trim().to_owned())))
            .collect::<Result<_, _>>()?;
        let skipped: Vec<_> = said.skipped.iter().map(at).collect::<Result<_, _>>()?;
        let types: Vec<_> = said
            .types
            .iter()
            .map(|(name, kind)| Ok((at(name)?, *kind)))
            .collect::<Result<_, _>>()?;
        let values = match (&said.metric, &said.value) {
            (Some(metric), Some(value)) => Values::Long { metric: at(metric)?, value: at(value)? },
            (None, None) => {
                let taken = |column: usize| {
                    Some(column) == time
                        || device == Device::Column(column)
                        || tags.iter().any(|(tag, _)| *tag == column)
                        || skipped.contains(&column)
                };
                let columns = (0..header.len()).filter(|&column| !taken(column)).map(|column| {
                    let kind = types.iter().find(|(of, _)| *of == column);
                    let kind = kind.map_or(CsvType::Guessed, |(_, kind)| *kind);
                    (column, format!("{}{}", said.prefix, header[column].trim()), kind)
                });
                Values::Wide(columns.collect())
            }
            _ => return Err(MappingError::Half),
        };
        if matches!(&values, Values::Wide(columns) if columns.is_empty()) {
            return Err(MappingError::NoValues);
        }
        Ok(Mapping { time, device, tags, values, time_unit: said.time_unit, cells: header.len() })
    }

    /// Reads a record.
    pub(super) fn reading<'a>(
        &self,
        cells: Vec<Cow<'a, str>>,
        limits: &Limits,
        stamp: &Stamp<'a>,
    ) -> Result<Reading<'a>, LineFaultKind> {
        if cells.len() != self.cells {
            let what = format!("{} cells where the header has {}", cells.len(), self.cells);
            return Err(LineFaultKind::Csv { what });
        }
        super::few(Counted::Tags, self.tags.len(), limits.tags)?;
        let time = match self.time {
            None => stamp.received_at.0,
            Some(column) => {
                instant(cells[column].trim(), self.time_unit).ok_or(LineFaultKind::Time)?
            }
        };
        let device = match &self.device {
            Device::Column(column) if !cells[*column].is_empty() => cells[*column].clone(),
            Device::Named(name) => Cow::Owned(name.clone()),
            Device::Column(_) | Device::Client => Cow::Borrowed(stamp.client),
        };
        // A tag without a value is none.
        let tags = self.tags.iter().filter(|(column, _)| !cells[*column].is_empty());
        let tags = tags.map(|(column, key)| (Cow::Owned(key.clone()), cells[*column].clone()));
        let tags = tags.collect();
        let mut values = Vec::new();
        match &self.values {
            Values::Long { metric, value } => {
                let metric = cells[*metric].clone();
                let content = content(&metric, &cells[*value], CsvType::Guessed)?;
                values.extend(content.map(|content| value_of(metric, content)));
            }
            Values::Wide(columns) => {
                super::few(Counted::Columns, columns.len(), limits.columns)?;
                for (column, metric, kind) in columns {
                    let metric = Cow::Owned(metric.clone());
                    let content = content(&metric, &cells[*column], *kind)?;
                    values.extend(content.map(|content| value_of(metric, content)));
                }
            }
        }
        Ok(Reading { device, tags, time, keep: Keep::default(), values })
    }
}

fn value_of<'a>(metric: Cow<'a, str>, content: Content<'a>) -> Value<'a> {
    Value { metric, unit: Cow::Borrowed(""), content }
}

/// The value of a cell; an empty one has none.
fn content<'a>(
    metric: &str,
    cell: &Cow<'a, str>,
    kind: CsvType,
) -> Result<Option<Content<'a>>, LineFaultKind> {
    let text = cell.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let truth = match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    };
    Ok(Some(match kind {
        CsvType::Guessed => match (float(text), truth) {
            (Some(number), _) => Content::Float(number),
            (None, Some(truth)) => Content::Bool(truth),
            (None, None) => Content::Text(cell.clone()),
        },
        CsvType::Float => Content::Float(float(text).ok_or_else(|| not_of(metric, "float"))?),
        CsvType::Int => Content::Int(text.parse().map_err(|_| not_of(metric, "int"))?),
        CsvType::Bool => match (truth, text) {
            (Some(truth), _) => Content::Bool(truth),
            (None, "1") => Content::Bool(true),
            (None, "0") => Content::Bool(false),
            _ => return Err(not_of(metric, "bool")),
        },
        CsvType::Text => Content::Text(cell.clone()),
    }))
}
