//! Rows that gather until a reading comes that is not of the same table.

use super::reading::{Content, Reading, Value};
use crate::model::{BatchBuilder, Keep, ShapeError};
use std::borrow::Cow;

pub(super) struct OpenTable<'a> {
    device: Cow<'a, str>,
    tags: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    keep: Keep,
    times: Vec<i64>,
    columns: Vec<Column<'a>>,
}

struct Column<'a> {
    metric: Cow<'a, str>,
    unit: Cow<'a, str>,
    values: Values<'a>,
}

enum Values<'a> {
    Floats(Vec<f64>),
    Ints(Vec<i64>),
    Bools(Vec<bool>),
    Texts(Vec<Cow<'a, str>>),
}

impl<'a> OpenTable<'a> {
    pub(super) fn new(reading: Reading<'a>) -> OpenTable<'a> {
        let columns = reading.values.into_iter().map(Column::new).collect();
        let Reading { device, tags, time, keep, .. } = reading;
        OpenTable { device, tags, keep, times: vec![time], columns }
    }

    pub(super) fn rows(&self) -> usize {
        self.times.len()
    }

    /// Whether the reading can be the next row.
    pub(super) fn takes(&self, reading: &Reading<'a>) -> bool {
        let mut tags = self.tags.iter().zip(&reading.tags);
        same(&self.device, &reading.device)
            && self.tags.len() == reading.tags.len()
            && tags.all(|(own, other)| same(&own.0, &other.0) && same(&own.1, &other.1))
            && self.keep == reading.keep
            && self.columns.len() == reading.values.len()
            && self.columns.iter().zip(&reading.values).all(|(column, value)| column.takes(value))
    }

    /// Adds a reading that the table [takes](OpenTable::takes).
    pub(super) fn push(&mut self, reading: Reading<'a>) {
        self.times.push(reading.time);
        for (column, value) in self.columns.iter_mut().zip(reading.values) {
            column.push(value.content);
        }
    }

    pub(super) fn close(self, builder: &mut BatchBuilder) {
        // Columns are as long as their table by construction, and a body is far below 4 GiB.
        let written = self.write(builder);
        debug_assert_eq!(written, Ok(()));
    }

    fn write(&self, builder: &mut BatchBuilder) -> Result<(), ShapeError> {
        let mut tags: Vec<_> = self.tags.iter().map(|(key, value)| (&**key, &**value)).collect();
        builder.table(&self.device, &mut tags, self.times.iter().copied())?;
        builder.keep(self.keep);
        for Column { metric, unit, values } in &self.columns {
            match values {
                Values::Floats(values) => builder.floats(metric, unit, values.iter().copied(), &[]),
                Values::Ints(values) => builder.ints(metric, unit, values.iter().copied(), &[]),
                Values::Bools(values) => builder.bools(metric, unit, values.iter().copied(), &[]),
                Values::Texts(values) => {
                    builder.texts(metric, unit, values.iter().map(|text| &**text), &[])
                }
            }?;
        }
        Ok(())
    }
}

/// Whether two names are the same. Many are, because they lie in the same place: a body says them once.
fn same(own: &str, other: &str) -> bool {
    std::ptr::eq(own, other) || own == other
}

impl<'a> Column<'a> {
    fn new(value: Value<'a>) -> Column<'a> {
        let values = match value.content {
            Content::Float(value) => Values::Floats(vec![value]),
            Content::Int(value) => Values::Ints(vec![value]),
            Content::Bool(value) => Values::Bools(vec![value]),
            Content::Text(value) => Values::Texts(vec![value]),
        };
        Column { metric: value.metric, unit: value.unit, values }
    }

    fn takes(&self, value: &Value<'_>) -> bool {
        let same_type = matches!(
            (&self.values, &value.content),
            (Values::Floats(_), Content::Float(_))
                | (Values::Ints(_), Content::Int(_))
                | (Values::Bools(_), Content::Bool(_))
                | (Values::Texts(_), Content::Text(_))
        );
        same_type && same(&self.metric, &value.metric) && same(&self.unit, &value.unit)
    }

    fn push(&mut self, content: Content<'a>) {
        match (&mut self.values, content) {
            (Values::Floats(values), Content::Float(value)) => values.push(value),
            (Values::Ints(values), Content::Int(value)) => values.push(value),
            (Values::Bools(values), Content::Bool(value)) => values.push(value),
            (Values::Texts(values), Content::Text(value)) => values.push(value),
            // `takes` compared the types.
            _ => debug_assert!(false, "a value of another type than its column"),
        }
    }
}
