//! What a metric's value is as readings: one for a plain one, one per element for an array, one per
//! cell for a data set, one per member for an instance of a template.

use super::array;
use super::datatype::DataType;
use super::payload::{Metric, Raw, metric, scalar, uint32};
use super::puzzle::PuzzleKind;
use crate::decode::Content;
use crate::decode::protobuf::{DEPTH_MAX, Fields, Malformed, Value, varint};
use std::borrow::Cow;
use std::fmt::Write as _;

/// How deep templates may lie in each other.
const TEMPLATES_MAX: u32 = 8;

/// What separates a template's name from its member's where a table keeps both: no valid name has it.
pub(super) const MEMBER: char = '\u{1f}';

/// The unit of dates.
pub(super) const MILLISECONDS: &str = "ms";

/// One value, or why there is none.
pub(super) type Leaf = Result<Content<'static>, PuzzleKind>;

/// A plain value.
pub(super) fn plain(datatype: DataType, raw: Raw<'_>) -> Leaf {
    use DataType as D;
    let wrong = PuzzleKind::WrongField { datatype };
    let beyond = PuzzleKind::OutOfRange { datatype };
    Ok(match (datatype, raw) {
        (D::Int8, raw) => Content::Int(signed(raw, 8, wrong, beyond)?),
        (D::Int16, raw) => Content::Int(signed(raw, 16, wrong, beyond)?),
        (D::Int32, raw) => Content::Int(signed(raw, 32, wrong, beyond)?),
        (D::Int64, Raw::Long(value)) => Content::Int(value.cast_signed()),
        (D::Int64, Raw::Int(value)) => Content::Int(i64::from(value)),
        (D::UInt8, raw) => Content::Int(unsigned(raw, u8::MAX.into(), wrong, beyond)?),
        (D::UInt16, raw) => Content::Int(unsigned(raw, u16::MAX.into(), wrong, beyond)?),
        (D::UInt32, raw) => Content::Int(unsigned(raw, u32::MAX.into(), wrong, beyond)?),
        (D::UInt64 | D::DateTime, raw) => {
            Content::Int(unsigned(raw, i64::MAX.cast_unsigned(), wrong, beyond)?)
        }
        (D::Float | D::Double, Raw::Float(value)) => finite(value.into())?,
        (D::Float | D::Double, Raw::Double(value)) => finite(value)?,
        (D::Boolean, Raw::Bool(value)) => Content::Bool(value),
        (D::String | D::Text | D::UUID, Raw::Text(text)) => {
            Content::Text(Cow::Owned(text.to_owned()))
        }
        (D::Bytes | D::File | D::PropertySet | D::PropertySetList, _) => {
            return Err(PuzzleKind::NotKept { datatype });
        }
        _ => return Err(wrong),
    })
}

/// A signed number of so many bits, as its two's complement in those, in 32 or in 64 bits: encoders
/// differ in how far they extend the sign.
fn signed(
    raw: Raw<'_>,
    bits: u32,
    wrong: PuzzleKind,
    beyond: PuzzleKind,
) -> Result<i64, PuzzleKind> {
    let narrow = |value: u64| (value << (64 - bits)).cast_signed() >> (64 - bits);
    let (value, extended) = match raw {
        Raw::Int(value) => (u64::from(value), i64::from(value.cast_signed())),
        Raw::Long(value) if value <= u64::from(u32::MAX) => {
            (value, i64::from((value as u32).cast_signed()))
        }
        Raw::Long(value) => (value, value.cast_signed()),
        _ => return Err(wrong),
    };
    if value >> bits == 0 {
        return Ok(narrow(value));
    }
    match narrow(value) == extended {
        true => Ok(extended),
        false => Err(beyond),
    }
}

fn unsigned(
    raw: Raw<'_>,
    max: u64,
    wrong: PuzzleKind,
    beyond: PuzzleKind,
) -> Result<i64, PuzzleKind> {
    let value = match raw {
        Raw::Int(value) => u64::from(value),
        Raw::Long(value) => value,
        _ => return Err(wrong),
    };
    match i64::try_from(value) {
        Ok(number) if value <= max => Ok(number),
        _ => Err(beyond),
    }
}

pub(super) fn finite(value: f64) -> Leaf {
    match value.is_finite() {
        true => Ok(Content::Float(value)),
        false => Err(PuzzleKind::NotFinite),
    }
}

/// Takes one value apart, and stops at its cap.
pub(super) struct Expansion<'e> {
    /// The most values there may be.
    pub(super) max: usize,
    /// The datatype of a template's member whose message doesn't tell, by its path.
    pub(super) known: &'e dyn Fn(&str) -> Option<DataType>,
    /// Is told each value: its path below the metric (with [`MEMBER`] before members of templates),
    /// its datatype, and itself.
    pub(super) tell: &'e mut dyn FnMut(&str, DataType, Leaf),
}

impl Expansion<'_> {
    /// Takes apart the value of a metric.
    pub(super) fn value(&mut self, datatype: DataType, raw: Raw<'_>) {
        self.any(datatype, raw, &mut String::new(), 0);
    }

    fn any(&mut self, datatype: DataType, raw: Raw<'_>, path: &mut String, depth: u32) {
        let done = match (datatype, raw) {
            (DataType::Template, Raw::Template(bytes)) => self.template(bytes, path, depth),
            (DataType::DataSet, Raw::DataSet(bytes)) => self.data_set(bytes, path),
            (datatype, Raw::Bytes(bytes)) if array::element(datatype).is_some() => {
                array::each(datatype, bytes, self.max, &mut |index, element, leaf| {
                    self.max = self.max.saturating_sub(1);
                    below(path, |path| {
                        let _infallible = write!(path, ".{index}");
                        (self.tell)(path, element, leaf);
                    });
                })
            }
            (datatype, raw) => {
                let leaf = plain(datatype, raw);
                self.tell_one(path, datatype, leaf);
                return;
            }
        };
        if let Err(kind) = done {
            (self.tell)(path, datatype, Err(kind));
        }
    }

    fn tell_one(&mut self, path: &str, datatype: DataType, leaf: Leaf) {
        self.max = self.max.saturating_sub(1);
        (self.tell)(path, datatype, leaf);
    }

    /// Members under their names; a definition has no values, and parameters are no measurements.
    fn template(&mut self, bytes: &[u8], path: &mut String, depth: u32) -> Result<(), PuzzleKind> {
        if depth == TEMPLATES_MAX {
            return Err(PuzzleKind::TooDeep { max: TEMPLATES_MAX });
        }
        if is_definition(bytes)? {
            return Ok(());
        }
        let cap = self.max;
        let mut fields = Fields::new(bytes, DEPTH_MAX);
        while let Some((tag, value)) = fields.next()? {
            if tag != 2 {
                continue;
            }
            if self.max == 0 {
                return Err(PuzzleKind::TooMany { what: "values of one metric", max: cap });
            }
            let member = metric(value.bytes()?)?;
            below(path, |path| {
                path.push(MEMBER);
                path.push_str(member.name.unwrap_or_default());
                self.member(&member, path, depth);
            });
        }
        Ok(())
    }

    fn member(&mut self, member: &Metric<'_>, path: &mut String, depth: u32) {
        let datatype = match member.datatype.filter(|datatype| *datatype != 0) {
            Some(number) => DataType::from_number(number)
                .ok_or(PuzzleKind::UnknownDatatype { datatype: number }),
            None => (self.known)(path).ok_or(PuzzleKind::NoDatatype),
        };
        match (datatype, member.value, member.name) {
            (_, _, None | Some("")) => {
                self.tell_one(path, DataType::Template, Err(PuzzleKind::Nameless));
            }
            (Err(kind), ..) => self.tell_one(path, DataType::Template, Err(kind)),
            (Ok(datatype), Some(raw), _) if !member.is_null => {
                self.any(datatype, raw, path, depth + 1);
            }
            _ => {}
        }
    }

    /// Cells under `.column.row`.
    fn data_set(&mut self, bytes: &[u8], path: &mut String) -> Result<(), PuzzleKind> {
        let (mut columns, mut types): (Vec<&str>, Vec<u32>) = (Vec::new(), Vec::new());
        let cap = self.max;
        let too_many = PuzzleKind::TooMany { what: "values of one metric", max: cap };
        let mut fields = Fields::new(bytes, DEPTH_MAX);
        while let Some((tag, value)) = fields.next()? {
            match (tag, value) {
                (2, value) => columns.push(value.text()?),
                (3, Value::Delimited(mut packed)) => {
                    while !packed.is_empty() && types.len() <= cap {
                        types.push(varint(&mut packed)? as u32);
                    }
                }
                (3, value) => types.push(uint32(value)?),
                _ => {}
            }
            if columns.len().max(types.len()) > cap {
                return Err(too_many);
            }
        }
        if columns.len() != types.len() {
            return Err(PuzzleKind::DataSet);
        }
        let mut fields = Fields::new(bytes, DEPTH_MAX);
        let mut row = 0_usize;
        while let Some((tag, value)) = fields.next()? {
            if tag != 4 {
                continue;
            }
            if self.max < columns.len() {
                return Err(too_many);
            }
            self.row(value.bytes()?, row, &columns, &types, path)?;
            // A row without columns costs bytes, but no values.
            self.max = self.max.saturating_sub(columns.len());
            row += 1;
        }
        Ok(())
    }

    fn row(
        &mut self,
        bytes: &[u8],
        row: usize,
        columns: &[&str],
        types: &[u32],
        path: &mut String,
    ) -> Result<(), PuzzleKind> {
        let mut cells = Fields::new(bytes, DEPTH_MAX);
        let mut of = columns.iter().zip(types);
        while let Some((tag, value)) = cells.next()? {
            if tag != 1 {
                continue;
            }
            let (column, &number) = of.next().ok_or(PuzzleKind::DataSet)?;
            let Some(raw) = cell(value.bytes()?)? else { continue };
            let leaf = DataType::from_number(number)
                .ok_or(PuzzleKind::UnknownDatatype { datatype: number });
            let (datatype, leaf) = match leaf {
                Ok(datatype) => (datatype, plain(datatype, raw)),
                Err(kind) => (DataType::DataSet, Err(kind)),
            };
            below(path, |path| {
                let _infallible = write!(path, ".{column}.{row}");
                (self.tell)(path, datatype, leaf);
            });
        }
        match of.next() {
            None => Ok(()),
            Some(_) => Err(PuzzleKind::DataSet),
        }
    }
}

/// Lets `work` lengthen the path and shortens it again.
fn below(path: &mut String, work: impl FnOnce(&mut String)) {
    let len = path.len();
    work(path);
    path.truncate(len);
}

fn is_definition(template: &[u8]) -> Result<bool, Malformed> {
    let mut fields = Fields::new(template, DEPTH_MAX);
    let mut is_definition = false;
    while let Some((tag, value)) = fields.next()? {
        if tag == 5 {
            is_definition = value.uint()? != 0;
        }
    }
    Ok(is_definition)
}

/// The value of a `DataSetValue`; none is null.
fn cell(bytes: &[u8]) -> Result<Option<Raw<'_>>, Malformed> {
    let mut fields = Fields::new(bytes, DEPTH_MAX);
    let mut cell = None;
    while let Some((tag, value)) = fields.next()? {
        match tag {
            1..=6 => cell = Some(scalar(tag - 1, value)?),
            7 => cell = Some(Raw::Extension),
            _ => {}
        }
    }
    Ok(cell)
}
