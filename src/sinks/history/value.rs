//! Values of every type, one by one and as columns.
//!
//! A column has one type; the rare metric that changes its type in the middle makes the column
//! [`Column::Mixed`], which is slower and otherwise the same.

use super::text::TextColumn;
use std::ops::Range;
use std::sync::Arc;

/// One value of a sample.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A 64-bit float.
    Float(f64),
    /// A 64-bit signed integer.
    Int(i64),
    /// A truth value.
    Bool(bool),
    /// A text.
    Text(Arc<str>),
}

impl Value {
    /// Its type.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Value::Float(_) => Kind::Float,
            Value::Int(_) => Kind::Int,
            Value::Bool(_) => Kind::Bool,
            Value::Text(_) => Kind::Text,
        }
    }

    /// As a number: truth values are 0 and 1; `None` for a text.
    #[must_use]
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Value::Float(value) => Some(*value),
            Value::Int(value) => Some(*value as f64),
            Value::Bool(value) => Some(f64::from(u8::from(*value))),
            Value::Text(_) => None,
        }
    }

    /// Bytes of its text.
    pub(super) fn text_bytes(&self) -> usize {
        match self {
            Value::Text(text) => text.len(),
            _ => 0,
        }
    }

    /// As a text: what a person would write for it.
    #[must_use]
    pub fn to_text(&self) -> Arc<str> {
        match self {
            Value::Float(value) => value.to_string().into(),
            Value::Int(value) => value.to_string().into(),
            Value::Bool(value) => value.to_string().into(),
            Value::Text(text) => text.clone(),
        }
    }
}

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// 64-bit floats.
    Float,
    /// 64-bit signed integers.
    Int,
    /// Truth values.
    Bool,
    /// Texts.
    Text,
}

impl Kind {
    /// All kinds, in the order of their numbers in the file.
    pub(super) const ALL: [Kind; 4] = [Kind::Float, Kind::Int, Kind::Bool, Kind::Text];

    /// The word for it in answers: `float`, `int`, `bool` or `text`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Float => "float",
            Kind::Int => "int",
            Kind::Bool => "bool",
            Kind::Text => "text",
        }
    }
}

/// Values of one series.
#[derive(Debug, Clone)]
pub(super) enum Column {
    Floats(Vec<f64>),
    Ints(Vec<i64>),
    Bools(Vec<bool>),
    Texts(TextColumn),
    Mixed(Vec<Value>),
}

impl Default for Column {
    fn default() -> Column {
        Column::Floats(Vec::new())
    }
}

impl Column {
    pub(super) fn with_capacity(kind: Kind, values: usize) -> Column {
        match kind {
            Kind::Float => Column::Floats(Vec::with_capacity(values)),
            Kind::Int => Column::Ints(Vec::with_capacity(values)),
            Kind::Bool => Column::Bools(Vec::with_capacity(values)),
            Kind::Text => Column::Texts(TextColumn::with_capacity(values)),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Column::Floats(values) => values.len(),
            Column::Ints(values) => values.len(),
            Column::Bools(values) => values.len(),
            Column::Texts(values) => values.len(),
            Column::Mixed(values) => values.len(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn get(&self, index: usize) -> Value {
        match self {
            Column::Floats(values) => Value::Float(values[index]),
            Column::Ints(values) => Value::Int(values[index]),
            Column::Bools(values) => Value::Bool(values[index]),
            Column::Texts(values) => Value::Text(values.get(index).clone()),
            Column::Mixed(values) => values[index].clone(),
        }
    }

    pub(super) fn push(&mut self, value: Value) {
        if self.is_empty() {
            *self = Column::with_capacity(value.kind(), 1);
        }
        match (&mut *self, value) {
            (Column::Floats(values), Value::Float(value)) => values.push(value),
            (Column::Ints(values), Value::Int(value)) => values.push(value),
            (Column::Bools(values), Value::Bool(value)) => values.push(value),
            (Column::Texts(values), Value::Text(value)) => {
                values.push(&value);
            }
            (Column::Mixed(values), value) => values.push(value),
            (_, value) => self.mixed().push(value),
        }
    }

    /// Appends a range of another column, whatever its type.
    pub(super) fn append(&mut self, other: &Column, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        if self.is_empty() {
            *self = other.slice(range);
            return;
        }
        match (&mut *self, other) {
            (Column::Floats(to), Column::Floats(from)) => to.extend_from_slice(&from[range]),
            (Column::Ints(to), Column::Ints(from)) => to.extend_from_slice(&from[range]),
            (Column::Bools(to), Column::Bools(from)) => to.extend_from_slice(&from[range]),
            (Column::Texts(to), Column::Texts(from)) => to.append(from, range),
            (_, other) => {
                let values = self.mixed();
                values.extend(range.map(|index| other.get(index)));
            }
        }
    }

    /// What a range of it weighs: a sample is one, and eight bytes of text one.
    pub(super) fn weight(&self, range: Range<usize>) -> usize {
        let text_bytes = match self {
            Column::Floats(_) | Column::Ints(_) | Column::Bools(_) => 0,
            Column::Texts(values) => range.clone().map(|index| values.get(index).len()).sum(),
            Column::Mixed(values) => values[range.clone()].iter().map(Value::text_bytes).sum(),
        };
        range.len() + text_bytes / 8
    }

    /// Turns it into a mixed column, to which everything can be added.
    pub(super) fn mixed(&mut self) -> &mut Vec<Value> {
        if !matches!(self, Column::Mixed(_)) {
            let values = (0..self.len()).map(|index| self.get(index)).collect();
            *self = Column::Mixed(values);
        }
        match self {
            Column::Mixed(values) => values,
            _ => unreachable!("was made mixed above"),
        }
    }

    pub(super) fn slice(&self, range: Range<usize>) -> Column {
        match self {
            Column::Floats(values) => Column::Floats(values[range].to_vec()),
            Column::Ints(values) => Column::Ints(values[range].to_vec()),
            Column::Bools(values) => Column::Bools(values[range].to_vec()),
            Column::Texts(values) => Column::Texts(values.slice(range)),
            Column::Mixed(values) => Column::Mixed(values[range].to_vec()),
        }
    }

    /// The values at these indices, in their order.
    pub(super) fn gather(&self, indices: &[u32]) -> Column {
        fn pick<T: Clone>(values: &[T], indices: &[u32]) -> Vec<T> {
            indices.iter().map(|&index| values[index as usize].clone()).collect()
        }
        match self {
            Column::Floats(values) => Column::Floats(pick(values, indices)),
            Column::Ints(values) => Column::Ints(pick(values, indices)),
            Column::Bools(values) => Column::Bools(pick(values, indices)),
            Column::Texts(values) => Column::Texts(values.gather(indices)),
            Column::Mixed(values) => Column::Mixed(pick(values, indices)),
        }
    }
}

/// Values of an answer: of one type, whatever was stored.
///
/// If the samples differ in type: all numbers and truth values become floats; if there is a text
/// among them, all become texts.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// 64-bit floats.
    Floats(Vec<f64>),
    /// 64-bit signed integers.
    Ints(Vec<i64>),
    /// Truth values.
    Bools(Vec<bool>),
    /// Texts.
    Texts(Vec<Arc<str>>),
}

impl Values {
    /// The type of all of them.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Values::Floats(_) => Kind::Float,
            Values::Ints(_) => Kind::Int,
            Values::Bools(_) => Kind::Bool,
            Values::Texts(_) => Kind::Text,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Values::Floats(values) => values.len(),
            Values::Ints(values) => values.len(),
            Values::Bools(values) => values.len(),
            Values::Texts(values) => values.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Column> for Values {
    fn from(column: Column) -> Values {
        match column {
            Column::Floats(values) => Values::Floats(values),
            Column::Ints(values) => Values::Ints(values),
            Column::Bools(values) => Values::Bools(values),
            Column::Texts(values) => Values::Texts(values.iter().cloned().collect()),
            Column::Mixed(values) => unify(&values),
        }
    }
}

fn unify(values: &[Value]) -> Values {
    let kinds: Vec<Kind> =
        Kind::ALL.into_iter().filter(|&kind| values.iter().any(|v| v.kind() == kind)).collect();
    if let [kind] = kinds[..] {
        let mut column = Column::with_capacity(kind, values.len());
        values.iter().for_each(|value| column.push(value.clone()));
        return column.into();
    }
    match values.iter().map(Value::as_number).collect() {
        Some(numbers) => Values::Floats(numbers),
        None => Values::Texts(values.iter().map(Value::to_text).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(values: &[Value]) -> Values {
        let mut column = Column::default();
        values.iter().for_each(|value| column.push(value.clone()));
        column.into()
    }

    #[test]
    fn a_metric_that_changes_its_type_is_answered_in_the_widest() {
        let text: Value = Value::Text("x".into());
        assert_eq!(answer(&[Value::Int(1), Value::Int(2)]), Values::Ints(vec![1, 2]));
        assert_eq!(answer(&[Value::Int(1), Value::Float(0.5)]), Values::Floats(vec![1.0, 0.5]));
        assert_eq!(answer(&[Value::Bool(true), Value::Int(3)]), Values::Floats(vec![1.0, 3.0]));
        assert_eq!(
            answer(&[Value::Bool(true), text, Value::Float(0.5)]),
            Values::Texts(vec!["true".into(), "x".into(), "0.5".into()])
        );
    }

    #[test]
    fn a_mixed_column_of_one_type_keeps_it() {
        let mut column = Column::Ints(vec![7]);
        column.mixed();
        assert_eq!(Values::from(column), Values::Ints(vec![7]));
    }
}
