//! Arrays: `bytes_value`, packed (specification 6.4.16).
//!
//! ```text
//! numbers, DateTimeArray  each in its size, little endian
//! BooleanArray            count: u32 little endian, then bits, the first the highest of its byte
//! StringArray             each text, then a zero byte
//! ```

use super::datatype::DataType;
use super::puzzle::PuzzleKind;
use super::value::{Leaf, finite};
use crate::decode::Content;
use std::borrow::Cow;

/// What an array is of.
pub(super) fn element(array: DataType) -> Option<DataType> {
    use DataType as D;
    Some(match array {
        D::Int8Array => D::Int8,
        D::Int16Array => D::Int16,
        D::Int32Array => D::Int32,
        D::Int64Array => D::Int64,
        D::UInt8Array => D::UInt8,
        D::UInt16Array => D::UInt16,
        D::UInt32Array => D::UInt32,
        D::UInt64Array => D::UInt64,
        D::FloatArray => D::Float,
        D::DoubleArray => D::Double,
        D::BooleanArray => D::Boolean,
        D::StringArray => D::String,
        D::DateTimeArray => D::DateTime,
        _ => return None,
    })
}

/// Tells each element of an array, or says why nothing of it was told.
pub(super) fn each(
    array: DataType,
    bytes: &[u8],
    max: usize,
    tell: &mut dyn FnMut(usize, DataType, Leaf),
) -> Result<(), PuzzleKind> {
    let of = element(array).ok_or(PuzzleKind::Array { datatype: array })?;
    match of {
        DataType::Boolean => booleans(array, bytes, max, tell),
        DataType::String => texts(array, bytes, max, tell),
        of => numbers(array, of, bytes, max, tell),
    }
}

fn numbers(
    array: DataType,
    of: DataType,
    bytes: &[u8],
    max: usize,
    tell: &mut dyn FnMut(usize, DataType, Leaf),
) -> Result<(), PuzzleKind> {
    let size = match of {
        DataType::Int8 | DataType::UInt8 => 1,
        DataType::Int16 | DataType::UInt16 => 2,
        DataType::Int32 | DataType::UInt32 | DataType::Float => 4,
        _ => 8,
    };
    if !bytes.len().is_multiple_of(size) {
        return Err(PuzzleKind::Array { datatype: array });
    }
    fits(bytes.len() / size, max)?;
    for (index, chunk) in bytes.chunks_exact(size).enumerate() {
        let mut wide = [0; 8];
        wide[..size].copy_from_slice(chunk);
        tell(index, of, number(of, u64::from_le_bytes(wide)));
    }
    Ok(())
}

/// The number of a datatype in the low bits.
fn number(of: DataType, bits: u64) -> Leaf {
    use DataType as D;
    let value = match of {
        D::Int8 => i64::from((bits as u8).cast_signed()),
        D::Int16 => i64::from((bits as u16).cast_signed()),
        D::Int32 => i64::from((bits as u32).cast_signed()),
        D::Int64 => bits.cast_signed(),
        D::Float => return finite(f32::from_bits(bits as u32).into()),
        D::Double => return finite(f64::from_bits(bits)),
        _ => i64::try_from(bits).map_err(|_| PuzzleKind::OutOfRange { datatype: of })?,
    };
    Ok(Content::Int(value))
}

fn booleans(
    array: DataType,
    bytes: &[u8],
    max: usize,
    tell: &mut dyn FnMut(usize, DataType, Leaf),
) -> Result<(), PuzzleKind> {
    let bad = PuzzleKind::Array { datatype: array };
    let Some((count, bits)) = bytes.split_first_chunk() else { return Err(bad) };
    let count = u32::from_le_bytes(*count) as usize;
    if bits.len() != count.div_ceil(8) {
        return Err(bad);
    }
    fits(count, max)?;
    for index in 0..count {
        let bit = bits[index / 8] >> (7 - index % 8) & 1;
        tell(index, DataType::Boolean, Ok(Content::Bool(bit == 1)));
    }
    Ok(())
}

fn texts(
    array: DataType,
    bytes: &[u8],
    max: usize,
    tell: &mut dyn FnMut(usize, DataType, Leaf),
) -> Result<(), PuzzleKind> {
    let Some((last, all)) = bytes.split_last() else { return Ok(()) };
    let bad = PuzzleKind::Array { datatype: array };
    let all = match (last, std::str::from_utf8(all)) {
        (0, Ok(all)) => all,
        _ => return Err(bad),
    };
    fits(all.bytes().filter(|byte| *byte == 0).count() + 1, max)?;
    for (index, text) in all.split('\0').enumerate() {
        tell(index, DataType::String, Ok(Content::Text(Cow::Owned(text.to_owned()))));
    }
    Ok(())
}

fn fits(count: usize, max: usize) -> Result<(), PuzzleKind> {
    match count <= max {
        true => Ok(()),
        false => Err(PuzzleKind::TooMany { what: "values of one metric", max }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(array: DataType, bytes: &[u8], expected: Result<&[Content<'static>], PuzzleKind>) {
        let mut told = Vec::new();
        let done = each(array, bytes, 12, &mut |index, _, leaf| {
            assert_eq!(index, told.len());
            told.push(leaf.unwrap());
        });
        assert_eq!(done.map(|()| &told[..]), expected, "{array} {bytes:x?}");
    }

    /// The examples of the specification; its FloatArray and DoubleArray examples are big endian,
    /// against its own text, and its DateTimeArray example leaves bytes out: here as the text has it.
    #[test]
    fn arrays_are_as_the_specification_has_them() {
        use Content::{Bool, Float, Int};
        use DataType as D;
        let text = |text: &'static str| Content::Text(text.into());
        check(D::Int8Array, &[0xef, 0x7b], Ok(&[Int(-17), Int(123)]));
        check(D::Int16Array, &[0xd0, 0x8a, 0x30, 0x75], Ok(&[Int(-30000), Int(30000)]));
        check(
            D::Int32Array,
            &[0xff, 0xff, 0xff, 0xff, 0xfa, 0xaf, 0xcb, 0x12],
            Ok(&[Int(-1), Int(315_338_746)]),
        );
        check(
            D::Int64Array,
            &[
                0xce, 0x06, 0x72, 0xac, 0x18, 0x9c, 0xba, 0xc4, 0xc4, 0xba, 0x9c, 0x18, 0xac, 0x72,
                6, 0xce,
            ],
            Ok(&[Int(-4_270_929_666_821_191_986), Int(-3_601_064_768_563_266_876)]),
        );
        check(D::UInt8Array, &[0x17, 0xfa], Ok(&[Int(23), Int(250)]));
        check(D::UInt16Array, &[0x1e, 0, 0x88, 0xcc], Ok(&[Int(30), Int(52_360)]));
        check(
            D::UInt32Array,
            &[0x34, 0, 0, 0, 0x49, 0xfb, 0x55, 0xc4],
            Ok(&[Int(52), Int(3_293_969_225)]),
        );
        check(D::UInt64Array, &[0x34, 0, 0, 0, 0, 0, 0, 0], Ok(&[Int(52)]));
        check(D::FloatArray, &1.5_f32.to_le_bytes(), Ok(&[Float(1.5)]));
        check(D::DoubleArray, &12.354_213_f64.to_le_bytes(), Ok(&[Float(12.354_213)]));
        let bits = [false, false, true, true, false, true, false, false, true, true, false, true];
        check(D::BooleanArray, &[0x0c, 0, 0, 0, 0x34, 0xdf], Ok(&bits.map(Bool)));
        check(D::StringArray, b"ABC\0hello\0", Ok(&[text("ABC"), text("hello")]));
        check(D::StringArray, b"\0", Ok(&[text("")]));
        check(
            D::DateTimeArray,
            &1_256_102_875_335_u64.to_le_bytes(),
            Ok(&[Int(1_256_102_875_335)]),
        );
        for array in D::ALL.iter().filter(|array| element(**array).is_some()) {
            if *array != D::BooleanArray {
                check(*array, &[], Ok(&[]));
            }
        }
    }

    #[test]
    fn what_is_no_array_is_refused_whole() {
        use DataType as D;
        let bad = |array| Err(PuzzleKind::Array { datatype: array });
        let too_many = || Err(PuzzleKind::TooMany { what: "values of one metric", max: 12 });
        check(D::Int16Array, &[1, 2, 3], bad(D::Int16Array));
        check(D::DateTimeArray, &[0; 12], bad(D::DateTimeArray));
        check(D::BooleanArray, &[], bad(D::BooleanArray));
        check(D::BooleanArray, &[0xff; 5], bad(D::BooleanArray));
        check(D::BooleanArray, &[9, 0, 0, 0, 0], bad(D::BooleanArray));
        check(D::StringArray, b"ABC", bad(D::StringArray));
        check(D::StringArray, b"\xff\0", bad(D::StringArray));
        check(D::Int8Array, &[0; 13], too_many());
        check(D::StringArray, &[0; 13], too_many());
        check(D::BooleanArray, &[13, 0, 0, 0, 0, 0], too_many());
    }

    #[test]
    fn an_element_that_can_not_be_leaves_the_others() {
        let bytes = [f32::NAN, 2.0].map(f32::to_le_bytes).concat();
        let mut told = Vec::new();
        each(DataType::FloatArray, &bytes, 12, &mut |_, _, leaf| told.push(leaf)).unwrap();
        assert_eq!(told, [Err(PuzzleKind::NotFinite), Ok(Content::Float(2.0))]);
        let bytes = [u64::MAX, 1].map(u64::to_le_bytes).concat();
        told.clear();
        each(DataType::UInt64Array, &bytes, 12, &mut |_, _, leaf| told.push(leaf)).unwrap();
        let beyond = PuzzleKind::OutOfRange { datatype: DataType::UInt64 };
        assert_eq!(told, [Err(beyond), Ok(Content::Int(1))]);
    }
}
