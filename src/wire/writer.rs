//! Writes protobuf by hand: the counterpart of `decode`'s reader, for batches.

/// Appends protobuf fields to a buffer.
///
/// Fields are written as they are told, zero or not; a proto3 reader takes both alike.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

/// Wire type of a varint.
const VARINT: u32 = 0;
/// Wire type of bytes with a length before them.
const DELIMITED: u32 = 2;

impl Writer {
    /// An empty buffer.
    #[must_use]
    pub fn new() -> Writer {
        Writer::default()
    }

    /// What was written so far.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What was written.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }

    /// Forgets what was written and keeps the buffer.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// A `uint64`, `int64` (as its two's complement), `bool` or enum field.
    pub fn uint(&mut self, tag: u32, value: u64) {
        self.key(tag, VARINT);
        self.varint(value);
    }

    /// A `string`, `bytes` or message field.
    pub fn delimited(&mut self, tag: u32, value: &[u8]) {
        self.prefix(tag, value.len());
        self.bytes.extend_from_slice(value);
    }

    /// What comes before the `len` bytes of a delimited field, which the caller appends elsewhere.
    pub fn prefix(&mut self, tag: u32, len: usize) {
        self.key(tag, DELIMITED);
        self.varint(len as u64);
    }

    /// A message field whose content `content` writes into `scratch`, which is cleared before.
    pub fn message(&mut self, tag: u32, scratch: &mut Writer, content: impl FnOnce(&mut Writer)) {
        scratch.clear();
        content(scratch);
        self.delimited(tag, &scratch.bytes);
    }

    /// A packed `repeated sint64` field.
    pub fn sints(&mut self, tag: u32, values: impl Iterator<Item = i64> + Clone) {
        let zigzag = |value: i64| ((value << 1) ^ (value >> 63)).cast_unsigned();
        self.key(tag, DELIMITED);
        let len: usize = values.clone().map(|value| varint_len(zigzag(value))).sum();
        self.varint(len as u64);
        for value in values {
            self.varint(zigzag(value));
        }
    }

    /// A packed `repeated double` field.
    pub fn doubles(&mut self, tag: u32, values: &[f64]) {
        self.key(tag, DELIMITED);
        self.varint(size_of_val(values) as u64);
        self.bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }

    /// A packed `repeated bool` field.
    pub fn bools(&mut self, tag: u32, values: &[bool]) {
        self.key(tag, DELIMITED);
        self.varint(values.len() as u64);
        self.bytes.extend(values.iter().map(|&value| u8::from(value)));
    }

    fn key(&mut self, tag: u32, wire_type: u32) {
        self.varint(u64::from(tag << 3 | wire_type));
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push((value & 0x7f) as u8);
    }
}

/// Bytes of `value` as a varint: seven bits in each, at least one.
fn varint_len(value: u64) -> usize {
    (u64::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize
}
