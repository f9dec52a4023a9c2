//! Reads a column of a table: its names, then its one array of values.

use super::batch::Reader;
use super::fault::{FaultKind, Named, SCALE_MAX};
use super::reader::{DEPTH_MAX, Fields, Malformed, Value, utf8, varint, zigzag};

/// Where the values of a column gather before they enter the model; kept from column to column.
#[derive(Default)]
pub(super) struct Scratch<'a> {
    floats: Vec<f64>,
    ints: Vec<i64>,
    bools: Vec<bool>,
    texts: Vec<&'a str>,
}

/// The array that is filled, by its tag in the contract.
#[derive(Clone, Copy, PartialEq)]
enum Array {
    Doubles = 2,
    Decimals = 3,
    Ints = 5,
    Bools = 6,
    Strings = 7,
}

/// All of a column but its values.
#[derive(Default)]
struct Head<'a> {
    metric: &'a [u8],
    unit: &'a [u8],
    scale: u32,
    absent: &'a [u8],
    array: Option<Array>,
    /// How many fields the array comes in; usually one packed run.
    runs: u32,
    run: Option<Value<'a>>,
}

impl<'a> Head<'a> {
    #[expect(clippy::cast_possible_truncation, reason = "the upper bits of a uint32 don't count")]
    fn read(mut fields: Fields<'a>) -> Result<Head<'a>, FaultKind> {
        let mut head = Head::default();
        while let Some((tag, value)) = fields.next()? {
            match tag {
                1 => head.metric = value.bytes()?,
                2 => head.run(Array::Doubles, value)?,
                3 => head.run(Array::Decimals, value)?,
                4 => head.scale = value.uint()? as u32,
                5 => head.run(Array::Ints, value)?,
                6 => head.run(Array::Bools, value)?,
                7 => head.run(Array::Strings, value)?,
                8 => head.absent = value.bytes()?,
                9 => head.unit = value.bytes()?,
                _ => {}
            }
        }
        Ok(head)
    }

    fn run(&mut self, array: Array, value: Value<'a>) -> Result<(), FaultKind> {
        if let Value::Delimited([]) = value
            && array != Array::Strings
        {
            // An empty packed run has no entries: a column may name arrays that it doesn't fill.
            return Ok(());
        }
        if self.array.is_some_and(|other| other != array) {
            return Err(FaultKind::MixedTypes);
        }
        self.array = Some(array);
        self.runs = self.runs.saturating_add(1);
        self.run = Some(value);
        Ok(())
    }

    fn is_absent(&self, row: usize) -> bool {
        self.absent.get(row / 8).is_some_and(|byte| byte >> (row % 8) & 1 == 1)
    }
}

impl<'a> Reader<'a> {
    /// Reads column number `index` of the table begun last.
    pub(super) fn column(&mut self, bytes: &'a [u8], index: usize) -> Result<(), FaultKind> {
        let fields = Fields::new(bytes, DEPTH_MAX - 2);
        let head = Head::read(fields)?;
        let names = self.names_of(&head, index)?;
        match head.array.ok_or(FaultKind::NoValues)? {
            Array::Doubles => self.doubles(&head, names, fields),
            Array::Decimals => self.decimals(&head, names, fields),
            Array::Ints => self.ints(&head, names, fields),
            Array::Bools => self.bools(&head, names, fields),
            Array::Strings => self.strings(&head, names, fields),
        }
    }

    /// Metric and unit of a column, checked.
    fn names_of(&mut self, head: &Head<'a>, index: usize) -> Result<Names<'a>, FaultKind> {
        let known = self.names.get(index).copied().unwrap_or_default();
        if known.0.as_bytes() == head.metric
            && known.1.as_bytes() == head.unit
            && !head.metric.is_empty()
        {
            return Ok(known);
        }
        let metric = utf8(head.metric)?;
        let unit = utf8(head.unit)?;
        self.name(Named::Metric, metric)?;
        if !unit.is_empty() {
            self.name(Named::Unit, unit)?;
        }
        match self.names.get_mut(index) {
            Some(known) => *known = (metric, unit),
            None => self.names.push((metric, unit)),
        }
        Ok((metric, unit))
    }

    fn doubles(
        &mut self,
        head: &Head<'a>,
        (metric, unit): Names<'a>,
        fields: Fields<'a>,
    ) -> Result<(), FaultKind> {
        let rows = self.builder.rows();
        let floats = &mut self.scratch.floats;
        floats.clear();
        each_run(head, fields, |value| match value {
            Value::Fixed64(bits) => push(floats, f64::from_bits(bits), rows),
            value => {
                let (values, rest) = value.bytes()?.as_chunks();
                if !rest.is_empty() {
                    return Err(FaultKind::Malformed);
                }
                if values.len() > rows - floats.len() {
                    return Err(FaultKind::TooManyEntries { rows });
                }
                floats.extend(values.iter().map(|&bytes| f64::from_le_bytes(bytes)));
                Ok(())
            }
        })?;
        if !head.absent.is_empty() {
            for (row, value) in floats.iter_mut().enumerate() {
                if head.is_absent(row) {
                    *value = 0.0;
                }
            }
        }
        if let Some(row) = floats.iter().position(|value| !value.is_finite()) {
            self.at.row = u32::try_from(row).ok();
            return Err(FaultKind::NotFinite);
        }
        let floats = floats.iter().copied();
        Ok(self.builder.floats(metric, unit, floats, head.absent)?)
    }

    fn decimals(
        &mut self,
        head: &Head<'a>,
        (metric, unit): Names<'a>,
        fields: Fields<'a>,
    ) -> Result<(), FaultKind> {
        let scale = head.scale;
        if scale > SCALE_MAX {
            return Err(FaultKind::Scale { scale });
        }
        self.deltas_of(head, fields)?;
        let sums = &mut self.scratch.ints;
        let mut sum = 0_i64;
        for (row, entry) in sums.iter_mut().enumerate() {
            if head.is_absent(row) {
                *entry = 0;
                continue;
            }
            let Some(next) = sum.checked_add(*entry) else {
                self.at.row = u32::try_from(row).ok();
                return Err(FaultKind::Overflow);
            };
            sum = next;
            *entry = sum;
        }
        // A division is right to the last bit, a multiplication by 0.1 is not.
        let power = POWERS_OF_TEN[scale as usize];
        #[expect(clippy::cast_precision_loss, reason = "beyond 2^53 a float holds no more")]
        let floats = sums.iter().map(|&sum| sum as f64 / power);
        Ok(self.builder.floats(metric, unit, floats, head.absent)?)
    }

    fn ints(
        &mut self,
        head: &Head<'a>,
        (metric, unit): Names<'a>,
        fields: Fields<'a>,
    ) -> Result<(), FaultKind> {
        self.deltas_of(head, fields)?;
        let mut value = 0_i64;
        for (row, entry) in self.scratch.ints.iter_mut().enumerate() {
            if !head.is_absent(row) {
                // Modulo 2^64, because the change from one 64-bit number to another may not fit in
                // 64 bits, and senders compute it so.
                value = value.wrapping_add(*entry);
            }
            *entry = value;
        }
        let ints = self.scratch.ints.iter().copied();
        Ok(self.builder.ints(metric, unit, ints, head.absent)?)
    }

    /// Takes the entries of a delta-coded array into `scratch.ints`.
    fn deltas_of(&mut self, head: &Head<'a>, fields: Fields<'a>) -> Result<(), FaultKind> {
        let rows = self.builder.rows();
        let ints = &mut self.scratch.ints;
        ints.clear();
        each_run(head, fields, |value| each_varint(value, |entry| push(ints, zigzag(entry), rows)))
    }

    fn bools(
        &mut self,
        head: &Head<'a>,
        (metric, unit): Names<'a>,
        fields: Fields<'a>,
    ) -> Result<(), FaultKind> {
        let rows = self.builder.rows();
        let bools = &mut self.scratch.bools;
        bools.clear();
        each_run(head, fields, |value| each_varint(value, |entry| push(bools, entry != 0, rows)))?;
        if !head.absent.is_empty() {
            for (row, value) in bools.iter_mut().enumerate() {
                *value &= !head.is_absent(row);
            }
        }
        let bools = bools.iter().copied();
        Ok(self.builder.bools(metric, unit, bools, head.absent)?)
    }

    fn strings(
        &mut self,
        head: &Head<'a>,
        (metric, unit): Names<'a>,
        fields: Fields<'a>,
    ) -> Result<(), FaultKind> {
        let (rows, max) = (self.builder.rows(), self.limits.text_bytes);
        let texts = &mut self.scratch.texts;
        let at = &mut self.at;
        texts.clear();
        each_run(head, fields, |value| {
            let text = value.text()?;
            let row = texts.len();
            if head.is_absent(row) {
                return push(texts, "", rows);
            }
            if text.len() > max {
                at.row = u32::try_from(row).ok();
                return Err(FaultKind::TextTooLong { bytes: text.len(), max });
            }
            push(texts, text, rows)
        })?;
        let texts = texts.iter().copied();
        Ok(self.builder.texts(metric, unit, texts, head.absent)?)
    }
}

/// Metric and unit.
type Names<'a> = (&'a str, &'a str);

/// Hands every field of the column's array to `take`.
#[inline]
fn each_run<'a>(
    head: &Head<'a>,
    mut fields: Fields<'a>,
    mut take: impl FnMut(Value<'a>) -> Result<(), FaultKind>,
) -> Result<(), FaultKind> {
    let (Some(array), Some(run)) = (head.array, head.run) else { return Ok(()) };
    if head.runs == 1 {
        return take(run);
    }
    while let Some((tag, value)) = fields.next()? {
        if tag == array as u32 {
            take(value)?;
        }
    }
    Ok(())
}

/// Hands every varint of a field, packed or not, to `take`.
#[inline]
fn each_varint(
    value: Value<'_>,
    mut take: impl FnMut(u64) -> Result<(), FaultKind>,
) -> Result<(), FaultKind> {
    match value {
        Value::Varint(entry) => take(entry),
        Value::Delimited(mut packed) => {
            while !packed.is_empty() {
                take(varint(&mut packed)?)?;
            }
            Ok(())
        }
        Value::Fixed64(_) | Value::Fixed32(_) | Value::Other => Err(Malformed.into()),
    }
}

#[inline]
fn push<T>(entries: &mut Vec<T>, entry: T, rows: usize) -> Result<(), FaultKind> {
    if entries.len() == rows {
        return Err(FaultKind::TooManyEntries { rows });
    }
    entries.push(entry);
    Ok(())
}

const POWERS_OF_TEN: [f64; SCALE_MAX as usize + 1] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18,
];
