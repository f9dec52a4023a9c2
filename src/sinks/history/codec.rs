//! Columns as bytes and back.
//!
//! Knows nothing of times, chunks or the file. The shapes, drawn (numbers little-endian):
//!
//! ```text
//! float, int   a standalone pco file of f64, i64
//! bool         a bit block
//! text         u32 entries, block of (u32 length, bytes) per entry, then, if entries > 1, a pco
//!              file of u32 codes
//! mixed        u32 length, pco file of u32 kinds (0 float, 1 int, 2 bool, 3 text); then for each
//!              kind that occurs, in that order: u32 length, the values of that kind as above
//!
//! bit block    u8: 0 all clear, 1 all set, or 2 followed by a block; bit i is bit i % 8 of byte i / 8
//! block        u8: 0 plain, 1 zlib; u32 length unpacked, u32 length stored, bytes
//! ```
//!
//! Hot path: every sample passes through here twice, when flushed and when compacted.
//! `benches/history.rs` guards it. The callers have checked a CRC before they decode; what is found
//! wrong nevertheless is [`Damage`], never a panic.

use super::shape;
use super::text::TextColumn;
use super::value::{Column, Kind, Value};
use flate2::{Compression, Decompress, FlushDecompress, Status, write::ZlibEncoder};
use pco::data_types::Number;
use pco::standalone::{simple_compress_into, simple_decompress_into};
use pco::{ChunkConfig, DeltaSpec, ModeSpec};
use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

/// Stored bytes that are not what their checksum or format promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damage;

/// How much work to spend on making data small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// Fresh data, which compaction will encode again.
    Fresh,
    /// Data that stays as it is.
    Final,
}

impl Effort {
    /// What it is told of the column saves pco two thirds of the time that its own search takes.
    fn pco(self, mode: ModeSpec, delta: DeltaSpec) -> ChunkConfig {
        let level = match self {
            Effort::Fresh => 2,
            Effort::Final => 4,
        };
        ChunkConfig::default()
            .with_compression_level(level)
            .with_mode_spec(mode)
            .with_delta_spec(delta)
    }
}

/// Blocks below this are not worth a try of zlib.
const ZLIB_BYTES_MIN: usize = 64;
/// A block never unpacks to more: SQLite's own limit for a blob is below it.
const BLOCK_BYTES_MAX: usize = 1 << 30;

pub(super) fn put_times(out: &mut Vec<u8>, times: &[i64], effort: Effort) {
    put_numbers(out, times, effort);
}

pub(super) fn times(input: &[u8], count: usize) -> Result<Vec<i64>, Damage> {
    numbers(input, count)
}

/// Encodes a range of a column, which must not be empty.
pub(super) fn put_column(out: &mut Vec<u8>, column: &Column, range: Range<usize>, effort: Effort) {
    match column {
        Column::Floats(values) => {
            let values = &values[range];
            let config = effort.pco(shape::mode(values), shape::delta(values.iter().copied()));
            put_pco(out, values, &config);
        }
        Column::Ints(values) => {
            let values = &values[range];
            let delta = shape::delta(values.iter().map(|&value| value as f64));
            put_pco(out, values, &effort.pco(ModeSpec::Auto, delta));
        }
        Column::Bools(values) => put_bits(out, values[range].iter().copied(), effort),
        Column::Texts(values) => put_texts(out, values, range, effort),
        Column::Mixed(values) => put_mixed(out, &values[range], effort),
    }
}

/// What type the bytes hold: one of the kinds, or a mixture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    One(Kind),
    Mixed,
}

pub(super) fn stored_type(column: &Column) -> Stored {
    match column {
        Column::Floats(_) => Stored::One(Kind::Float),
        Column::Ints(_) => Stored::One(Kind::Int),
        Column::Bools(_) => Stored::One(Kind::Bool),
        Column::Texts(_) => Stored::One(Kind::Text),
        Column::Mixed(_) => Stored::Mixed,
    }
}

/// Decodes `count` values.
pub(super) fn column(input: &[u8], stored: Stored, count: usize) -> Result<Column, Damage> {
    match stored {
        Stored::One(Kind::Float) => Ok(Column::Floats(numbers(input, count)?)),
        Stored::One(Kind::Int) => Ok(Column::Ints(numbers(input, count)?)),
        Stored::One(Kind::Bool) => Ok(Column::Bools(bits(&mut Input(input), count)?)),
        Stored::One(Kind::Text) => texts(input, count),
        Stored::Mixed => mixed(input, count),
    }
}

/// Numbers that mostly go up evenly, or stay as they are: times, codes.
fn put_numbers<T: Number>(out: &mut Vec<u8>, values: &[T], effort: Effort) {
    put_pco(out, values, &effort.pco(ModeSpec::Auto, DeltaSpec::TryConsecutive(1)));
}

fn put_pco<T: Number>(out: &mut Vec<u8>, values: &[T], config: &ChunkConfig) {
    let start = out.len();
    if simple_compress_into(values, config, &mut *out).is_err() {
        // Compressing into memory fails only for a configuration that pco does not know, which is a
        // mistake of ours that the first test would find; an empty payload reads as damage.
        debug_assert!(false, "pco refused its configuration");
        out.truncate(start);
    }
}

fn numbers<T: Number + Default>(input: &[u8], count: usize) -> Result<Vec<T>, Damage> {
    let mut values = vec![T::default(); count];
    let progress = simple_decompress_into(input, &mut values).map_err(|_| Damage)?;
    if progress.n_processed == count { Ok(values) } else { Err(Damage) }
}

/// Encodes truth values as a bit block.
pub(super) fn put_bits(
    out: &mut Vec<u8>,
    bits: impl ExactSizeIterator<Item = bool>,
    effort: Effort,
) {
    let count = bits.len();
    let mut bytes = vec![0u8; count.div_ceil(8)];
    let mut set = 0;
    for (index, bit) in bits.enumerate() {
        bytes[index / 8] |= u8::from(bit) << (index % 8);
        set += usize::from(bit);
    }
    if set == 0 || set == count {
        out.push(u8::from(set > 0));
    } else {
        out.push(2);
        put_block(out, &bytes, effort);
    }
}

/// Decodes a bit block from the front of the input.
pub(super) fn bits(input: &mut Input<'_>, count: usize) -> Result<Vec<bool>, Damage> {
    match input.byte()? {
        0 => Ok(vec![false; count]),
        1 => Ok(vec![true; count]),
        2 => {
            let bytes = block(input)?;
            if bytes.len() != count.div_ceil(8) {
                return Err(Damage);
            }
            Ok((0..count).map(|index| bytes[index / 8] >> (index % 8) & 1 == 1).collect())
        }
        _ => Err(Damage),
    }
}

fn put_texts(out: &mut Vec<u8>, texts: &TextColumn, range: Range<usize>, effort: Effort) {
    let (codes, entries) = texts.compact(range);
    put_u32(out, entries.len());
    let mut dictionary = Vec::new();
    for entry in &entries {
        put_u32(&mut dictionary, entry.len());
        dictionary.extend_from_slice(entry.as_bytes());
    }
    put_block(out, &dictionary, effort);
    if entries.len() > 1 {
        put_numbers(out, &codes, effort);
    }
}

fn texts(input: &[u8], count: usize) -> Result<Column, Damage> {
    let mut input = Input(input);
    let entry_count = input.u32()?;
    let dictionary = block(&mut input)?;
    let mut dictionary = Input(&dictionary);
    let mut entries: Vec<Arc<str>> = Vec::new();
    for _ in 0..entry_count {
        let length = dictionary.u32()?;
        let text = std::str::from_utf8(dictionary.take(length)?).map_err(|_| Damage)?;
        entries.push(text.into());
    }
    let codes = match entries.len() {
        0 => return Err(Damage),
        1 => vec![0; count],
        _ => numbers(input.0, count)?,
    };
    if codes.iter().any(|&code| code as usize >= entries.len()) {
        return Err(Damage);
    }
    Ok(Column::Texts(TextColumn::from_parts(codes, entries)))
}

fn put_mixed(out: &mut Vec<u8>, values: &[Value], effort: Effort) {
    let kinds: Vec<u32> = values.iter().map(|value| value.kind() as u32).collect();
    put_sized(out, |out| put_numbers(out, &kinds, effort));
    for kind in Kind::ALL {
        let mut column = Column::with_capacity(kind, 0);
        for value in values.iter().filter(|value| value.kind() == kind) {
            column.push(value.clone());
        }
        if !column.is_empty() {
            put_sized(out, |out| put_column(out, &column, 0..column.len(), effort));
        }
    }
}

fn mixed(input: &[u8], count: usize) -> Result<Column, Damage> {
    let mut input = Input(input);
    let length = input.u32()?;
    let kinds: Vec<u32> = numbers(input.take(length)?, count)?;
    let mut columns = [const { None }; Kind::ALL.len()];
    for (number, kind) in Kind::ALL.into_iter().enumerate() {
        let count = kinds.iter().filter(|&&kind| kind as usize == number).count();
        if count > 0 {
            let length = input.u32()?;
            let column = column(input.take(length)?, Stored::One(kind), count)?;
            columns[number] = Some((column, 0));
        }
    }
    let values = kinds.into_iter().map(|kind| {
        let (column, next) =
            columns.get_mut(kind as usize).and_then(Option::as_mut).ok_or(Damage)?;
        *next += 1;
        Ok(column.get(*next - 1))
    });
    Ok(Column::Mixed(values.collect::<Result<_, Damage>>()?))
}

fn put_u32(out: &mut Vec<u8>, number: usize) {
    // Counts and lengths stay below a chunk's rows and SQLite's blob limit, both under 4 GiB.
    out.extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
}

/// Writes what `put` writes with its length before it.
pub(super) fn put_sized(out: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    put_u32(out, 0);
    put(out);
    let length = u32::try_from(out.len() - at - 4).unwrap_or(u32::MAX);
    out[at..at + 4].copy_from_slice(&length.to_le_bytes());
}

fn put_block(out: &mut Vec<u8>, bytes: &[u8], effort: Effort) {
    let packed = if bytes.len() >= ZLIB_BYTES_MIN { zlib(bytes, effort) } else { None };
    let (form, stored) = match &packed {
        Some(packed) if packed.len() < bytes.len() => (1, &packed[..]),
        _ => (0, bytes),
    };
    out.push(form);
    put_u32(out, bytes.len());
    put_u32(out, stored.len());
    out.extend_from_slice(stored);
}

/// Fresh bitmaps are small and short-lived; only long dictionaries are worth packing then.
fn zlib(bytes: &[u8], effort: Effort) -> Option<Vec<u8>> {
    let level = match effort {
        Effort::Fresh if bytes.len() < 1024 => return None,
        Effort::Fresh => 1,
        Effort::Final => 6,
    };
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

fn block(input: &mut Input<'_>) -> Result<Vec<u8>, Damage> {
    let form = input.byte()?;
    let length = input.u32()?;
    let stored = input.u32()?;
    let stored = input.take(stored)?;
    match form {
        0 if stored.len() == length => Ok(stored.to_vec()),
        1 if length <= BLOCK_BYTES_MAX => {
            let mut bytes = vec![0; length];
            let mut inflate = Decompress::new(true);
            let status = inflate.decompress(stored, &mut bytes, FlushDecompress::Finish);
            match status {
                Ok(Status::StreamEnd) if inflate.total_out() == length as u64 => Ok(bytes),
                _ => Err(Damage),
            }
        }
        _ => Err(Damage),
    }
}

/// What is left to decode.
pub(super) struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Damage> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Damage)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Damage> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn u32(&mut self) -> Result<usize, Damage> {
        let bytes = self.take(4)?.try_into().map_err(|_| Damage)?;
        Ok(u32::from_le_bytes(bytes) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<f64>().prop_filter("finite", |v| v.is_finite()).prop_map(Value::Float),
            any::<i64>().prop_map(Value::Int),
            any::<bool>().prop_map(Value::Bool),
            "[a-cäö]{0,3}".prop_map(|text| Value::Text(text.into())),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn what_is_decoded_is_what_was_encoded(
            values in prop::collection::vec(value(), 1..200),
            one_kind in any::<bool>(),
            thorough in any::<bool>(),
        ) {
            let mut original = Column::default();
            let kind = values[0].kind();
            for value in &values {
                if !one_kind || value.kind() == kind {
                    original.push(value.clone());
                }
            }
            let effort = if thorough { Effort::Final } else { Effort::Fresh };
            let mut bytes = Vec::new();
            put_column(&mut bytes, &original, 0..original.len(), effort);
            let decoded = column(&bytes, stored_type(&original), original.len()).unwrap();
            for index in 0..original.len() {
                prop_assert_eq!(format!("{:?}", original.get(index)), format!("{:?}", decoded.get(index)));
            }
        }

        #[test]
        fn any_bytes_decode_or_are_damage(
            bytes in prop::collection::vec(any::<u8>(), 0..100),
            count in 1usize..100,
        ) {
            for stored in [Stored::One(Kind::Bool), Stored::One(Kind::Text), Stored::Mixed] {
                if let Ok(column) = column(&bytes, stored, count) {
                    prop_assert_eq!(column.len(), count);
                }
            }
        }
    }

    #[test]
    fn a_long_dictionary_is_packed() {
        let mut texts = TextColumn::default();
        for i in 0..100 {
            texts.push(&format!("the pump number {i} has stopped for an unknown reason"));
        }
        let column_in = Column::Texts(texts);
        let mut bytes = Vec::new();
        put_column(&mut bytes, &column_in, 0..100, Effort::Final);
        assert!(bytes.len() < 1000, "{} bytes", bytes.len());
        let decoded = column(&bytes, Stored::One(Kind::Text), 100).unwrap();
        assert_eq!(decoded.get(99), column_in.get(99));
    }
}
