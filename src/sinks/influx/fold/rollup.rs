//! What one metric did in one window. Whole numbers stay whole, and sums add up in the order of the
//! log: folded again, the same samples give the same rollup to the last bit.

use crate::model::{BatchBuilder, ShapeError, Values};

/// Longer texts are cut to this many bytes, so that open windows are bounded; as live does.
pub const TEXT_BYTES_MAX: usize = 256;

/// One value of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// A float.
    Float(f64),
    /// A whole number.
    Int(i64),
    /// A truth value.
    Bool(bool),
    /// A text.
    Text(&'a str),
}

impl<'a> Value<'a> {
    /// The value in this row of a column.
    ///
    /// # Panics
    /// If there is no such row, as slices do.
    #[must_use]
    pub fn at(values: Values<'a>, row: usize) -> Value<'a> {
        match values {
            Values::Floats(values) => Value::Float(values[row]),
            Values::Ints(values) => Value::Int(values[row]),
            Values::Bools(values) => Value::Bool(values[row]),
            Values::Texts(texts) => Value::Text(texts.get(row)),
        }
    }
}

/// The values at both ends of a window. Of equal times the first in the log is first, and the last is
/// last.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ends<T> {
    first: T,
    first_time: i64,
    last: T,
    last_time: i64,
}

impl<T: Copy> Ends<T> {
    fn one(time: i64, value: T) -> Ends<T> {
        Ends { first: value, first_time: time, last: value, last_time: time }
    }

    fn see(&mut self, time: i64, value: T) {
        if time < self.first_time {
            (self.first, self.first_time) = (value, time);
        }
        if time >= self.last_time {
            (self.last, self.last_time) = (value, time);
        }
    }
}

/// Smallest, largest and sum, and the ends. `S` holds the sum of all that fit in a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Numbers<T, S> {
    count: u64,
    min: T,
    max: T,
    sum: S,
    ends: Ends<T>,
}

impl<T: Copy + PartialOrd, S: From<T> + std::ops::AddAssign> Numbers<T, S> {
    fn one(time: i64, value: T) -> Numbers<T, S> {
        let ends = Ends::one(time, value);
        Numbers { count: 1, min: value, max: value, sum: value.into(), ends }
    }

    fn add(&mut self, time: i64, value: T) {
        self.count += 1;
        self.min = if value < self.min { value } else { self.min };
        self.max = if value > self.max { value } else { self.max };
        self.sum += value.into();
        self.ends.see(time, value);
    }
}

/// What one metric did in one window: at least one sample.
#[derive(Debug, Clone, PartialEq)]
pub enum Rollup {
    /// Whole numbers.
    Int(Numbers<i64, i128>),
    /// Floats, or floats and whole numbers.
    Float(Numbers<f64, f64>),
    /// Truth values, and how many were true.
    Bool {
        /// How many samples.
        count: u64,
        /// How many of them were true.
        trues: u64,
        /// First and last.
        ends: Ends<bool>,
    },
    /// Texts.
    Text {
        /// How many samples.
        count: u64,
        /// The last.
        last: Box<str>,
        /// Its time.
        last_time: i64,
    },
}

impl Rollup {
    /// Of one sample.
    #[must_use]
    pub fn one(time: i64, value: Value<'_>) -> Rollup {
        match value {
            Value::Int(value) => Rollup::Int(Numbers::one(time, value)),
            Value::Float(value) => Rollup::Float(Numbers::one(time, value)),
            Value::Bool(value) => {
                let ends = Ends::one(time, value);
                Rollup::Bool { count: 1, trues: u64::from(value), ends }
            }
            Value::Text(text) => Rollup::Text { count: 1, last: cut(text).into(), last_time: time },
        }
    }

    /// Adds a sample that comes later in the log. Gives how many it no longer tells of: all before, if
    /// the types can't go on together. Whole numbers and floats can, as floats: a client that writes
    /// 71.5 and then 72 means one metric.
    #[must_use = "what is no longer told of must be counted"]
    pub fn add(&mut self, time: i64, value: Value<'_>) -> u64 {
        match (&mut *self, value) {
            (Rollup::Int(numbers), Value::Int(value)) => numbers.add(time, value),
            (Rollup::Int(numbers), Value::Float(value)) => {
                let mut floats = floats(numbers);
                floats.add(time, value);
                *self = Rollup::Float(floats);
            }
            (Rollup::Float(numbers), Value::Float(value)) => numbers.add(time, value),
            (Rollup::Float(numbers), Value::Int(value)) => numbers.add(time, value as f64),
            (Rollup::Bool { count, trues, ends }, Value::Bool(value)) => {
                *count += 1;
                *trues += u64::from(value);
                ends.see(time, value);
            }
            (Rollup::Text { count, last, last_time }, Value::Text(text)) => {
                *count += 1;
                if time >= *last_time {
                    *last_time = time;
                    if **last != *cut(text) {
                        *last = cut(text).into();
                    }
                }
            }
            _ => {
                let gone = self.count();
                *self = Rollup::one(time, value);
                return gone;
            }
        }
        0
    }

    /// How many samples it tells of.
    #[must_use]
    pub fn count(&self) -> u64 {
        match self {
            Rollup::Int(numbers) => numbers.count,
            Rollup::Float(numbers) => numbers.count,
            Rollup::Bool { count, .. } | Rollup::Text { count, .. } => *count,
        }
    }

    /// Adds it to the table begun last, which has one row: a column for each field.
    pub(super) fn write(&self, metric: &str, table: &mut BatchBuilder) -> Result<(), ShapeError> {
        let field = |of: &str| format!("{metric}_{of}");
        table.ints(&field("count"), "", [self.count().cast_signed()], &[])?;
        match self {
            Rollup::Int(Numbers { count, min, max, sum, ends }) => {
                for (of, value) in
                    [("min", *min), ("max", *max), ("first", ends.first), ("last", ends.last)]
                {
                    table.ints(&field(of), "", [value], &[])?;
                }
                table.floats(&field("mean"), "", [*sum as f64 / *count as f64], &[])?;
            }
            Rollup::Float(Numbers { count, min, max, sum, ends }) => {
                for (of, value) in
                    [("min", *min), ("max", *max), ("first", ends.first), ("last", ends.last)]
                {
                    table.floats(&field(of), "", [value], &[])?;
                }
                let mean = sum / *count as f64;
                // The sum of very large numbers is none; line protocol can't say so.
                if mean.is_finite() {
                    table.floats(&field("mean"), "", [mean], &[])?;
                }
            }
            Rollup::Bool { count, trues, ends } => {
                for (of, value) in [("first", ends.first), ("last", ends.last)] {
                    table.bools(&field(of), "", [value], &[])?;
                }
                table.floats(&field("mean"), "", [*trues as f64 / *count as f64], &[])?;
            }
            Rollup::Text { last, .. } => table.texts(&field("last"), "", [&**last], &[])?,
        }
        Ok(())
    }
}

/// Whole numbers that go on as floats.
fn floats(ints: &Numbers<i64, i128>) -> Numbers<f64, f64> {
    let Ends { first, first_time, last, last_time } = ints.ends;
    Numbers {
        count: ints.count,
        min: ints.min as f64,
        max: ints.max as f64,
        sum: ints.sum as f64,
        ends: Ends { first: first as f64, first_time, last: last as f64, last_time },
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fields of these samples, as `name=value`.
    fn check(samples: &[(i64, Value<'_>)], given_up: u64, expected: &str) {
        let mut rollup = Rollup::one(samples[0].0, samples[0].1);
        let gone: u64 = samples[1..].iter().map(|&(time, value)| rollup.add(time, value)).sum();
        assert_eq!(gone, given_up);
        let mut builder = BatchBuilder::new();
        builder.table("d", &mut [], [0]).unwrap();
        rollup.write("m", &mut builder).unwrap();
        let batch = builder.finish();
        let columns = batch.tables().next().unwrap().columns();
        let fields: Vec<_> = columns
            .map(|column| format!("{}={:?}", column.metric(), Value::at(column.values(), 0)))
            .collect();
        assert_eq!(fields.join(" "), expected);
    }

    #[test]
    fn each_type_keeps_itself() {
        use Value::{Bool, Float, Int, Text};
        let large = i64::MAX - 1;
        check(
            &[(2, Int(large)), (1, Int(large - 1)), (3, Int(7))],
            0,
            "m_count=Int(3) m_min=Int(7) m_max=Int(9223372036854775806) \
             m_first=Int(9223372036854775805) m_last=Int(7) m_mean=Float(6.148914691236517e18)",
        );
        check(
            &[(1, Float(1.5)), (1, Float(2.5))],
            0,
            "m_count=Int(2) m_min=Float(1.5) m_max=Float(2.5) m_first=Float(1.5) \
             m_last=Float(2.5) m_mean=Float(2.0)",
        );
        check(
            &[(1, Bool(true)), (2, Bool(true)), (3, Bool(true)), (4, Bool(false))],
            0,
            "m_count=Int(4) m_first=Bool(true) m_last=Bool(false) m_mean=Float(0.75)",
        );
        check(&[(2, Text("b")), (1, Text("a"))], 0, "m_count=Int(2) m_last=Text(\"b\")");
    }

    #[test]
    fn whole_numbers_go_on_as_floats_and_other_types_begin_anew() {
        use Value::{Float, Int, Text};
        check(
            &[(1, Int(1)), (2, Float(2.5)), (3, Int(4))],
            0,
            "m_count=Int(3) m_min=Float(1.0) m_max=Float(4.0) m_first=Float(1.0) \
             m_last=Float(4.0) m_mean=Float(2.5)",
        );
        check(&[(1, Int(1)), (2, Int(2)), (3, Text("x"))], 2, "m_count=Int(1) m_last=Text(\"x\")");
    }

    #[test]
    fn what_no_float_can_say_is_left_out_and_long_texts_are_cut() {
        use Value::{Float, Text};
        check(
            &[(1, Float(f64::MAX)), (2, Float(f64::MAX))],
            0,
            &format!(
                "m_count=Int(2) m_min=Float({0:?}) m_max=Float({0:?}) m_first=Float({0:?}) \
                 m_last=Float({0:?})",
                f64::MAX
            ),
        );
        let (long, cut) = ("ä".repeat(200), "ä".repeat(128));
        check(&[(1, Text(&long))], 0, &format!("m_count=Int(1) m_last=Text({cut:?})"));
    }

    #[test]
    fn a_rollup_is_small() {
        // `config/memory.rs` counts on it.
        assert_eq!(size_of::<Option<Rollup>>(), 96);
    }
}
