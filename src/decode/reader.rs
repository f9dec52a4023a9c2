//! Reads protobuf by hand: fields of a message as borrowed slices, nothing allocated. The door
//! within the crate is [`protobuf`](super::protobuf).
//!
//! Takes any legal encoding and agrees with prost on what is legal (`oracle.rs` holds them together):
//! keys with unknown fields of every wire type, groups up to a depth, varints of up to ten bytes.
//! Hot path; `benches/decode.rs` guards it.

/// The bytes are no protobuf message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// How deep messages and groups may nest, counted down: prost's limit.
pub(crate) const DEPTH_MAX: usize = 100;

/// The value of a field.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Delimited(&'a [u8]),
    Fixed32(u32),
    /// A group: no field of the contracts is one, but unknown fields may be.
    Other,
}

impl<'a> Value<'a> {
    pub(crate) fn uint(self) -> Result<u64, Malformed> {
        match self {
            Value::Varint(value) => Ok(value),
            _ => Err(Malformed),
        }
    }

    pub(crate) fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Value::Delimited(bytes) => Ok(bytes),
            _ => Err(Malformed),
        }
    }

    pub(crate) fn text(self) -> Result<&'a str, Malformed> {
        utf8(self.bytes()?)
    }

    /// A `fixed64` or an `sfixed64`.
    pub(super) fn fixed(self) -> Result<u64, Malformed> {
        match self {
            Value::Fixed64(bits) => Ok(bits),
            _ => Err(Malformed),
        }
    }

    pub(super) fn double(self) -> Result<f64, Malformed> {
        self.fixed().map(f64::from_bits)
    }
}

/// The bytes as text.
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed)
}

/// The fields of a message, one after the other, as `(tag, value)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
    /// As wide as the slice's parts: narrower, each copy of this would wait for its own writing.
    depth: usize,
}

impl<'a> Fields<'a> {
    /// Reads a message that lies `depth` levels above the deepest allowed.
    pub(crate) fn new(message: &'a [u8], depth: usize) -> Fields<'a> {
        Fields { rest: message, depth }
    }

    /// The next field, or `None` at the end of the message.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (tag, wire_type) = self.key()?;
        let value = match wire_type {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => Value::Delimited(self.delimited()?),
            5 if self.depth > 0 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            _ => {
                self.skip(tag, wire_type, self.depth)?;
                Value::Other
            }
        };
        Ok(Some((tag, value)))
    }

    /// The key of the next field, as tag and wire type.
    #[inline]
    pub(crate) fn key(&mut self) -> Result<(u32, u32), Malformed> {
        let key = u32::try_from(self.varint()?).map_err(|_| Malformed)?;
        match (key >> 3, key & 7) {
            (0, _) | (_, 6 | 7) => Err(Malformed),
            key => Ok(key),
        }
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Malformed> {
        varint(&mut self.rest)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (&head, rest) = self.rest.split_first_chunk().ok_or(Malformed)?;
        self.rest = rest;
        Ok(head)
    }

    #[inline]
    fn delimited(&mut self) -> Result<&'a [u8], Malformed> {
        let len = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
        let (head, rest) = self.rest.split_at_checked(len).ok_or(Malformed)?;
        self.rest = rest;
        Ok(head)
    }

    /// Steps over the value of an unknown field.
    #[cold]
    fn skip(&mut self, tag: u32, wire_type: u32, depth: usize) -> Result<(), Malformed> {
        let deeper = depth.checked_sub(1).ok_or(Malformed)?;
        match wire_type {
            0 => self.varint().map(drop),
            1 => self.array::<8>().map(drop),
            2 => self.delimited().map(drop),
            3 => loop {
                match self.key()? {
                    (end, 4) if end == tag => return Ok(()),
                    (_, 4) => return Err(Malformed),
                    (inner, wire_type) => self.skip(inner, wire_type, deeper)?,
                }
            },
            5 => self.array::<4>().map(drop),
            _ => Err(Malformed),
        }
    }
}

/// The messages in a field of a message, whose own framing is looked at before.
pub(super) fn messages(
    message: &[u8],
    wanted: u32,
    depth: usize,
) -> Result<impl Iterator<Item = &[u8]>, Malformed> {
    let mut fields = Fields::new(message, depth);
    while let Some((tag, value)) = fields.next()? {
        if tag == wanted {
            value.bytes()?;
        }
    }
    let mut fields = Fields::new(message, depth);
    Ok(std::iter::from_fn(move || {
        loop {
            match fields.next() {
                Ok(Some((tag, Value::Delimited(inner)))) if tag == wanted => return Some(inner),
                Ok(Some(_)) => {}
                Ok(None) | Err(Malformed) => return None,
            }
        }
    }))
}

/// Takes a varint off the front of `bytes`.
#[inline]
pub(crate) fn varint(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    match *bytes {
        // Most are one byte long: small deltas, keys, lengths of names.
        [byte, rest @ ..] if *byte < 0x80 => {
            *bytes = rest;
            Ok(u64::from(*byte))
        }
        _ => long_varint(bytes),
    }
}

fn long_varint(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0;
    for (i, &byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            // The tenth byte holds the highest bit only.
            if i == 9 && byte > 1 {
                return Err(Malformed);
            }
            *bytes = &bytes[i + 1..];
            return Ok(value);
        }
    }
    Err(Malformed)
}

/// The number that a `sint64` varint stands for.
#[inline]
pub(crate) fn zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_varint_has_at_most_ten_bytes_and_64_bits() {
        let check = |mut bytes: &[u8], expected: Result<u64, Malformed>| {
            assert_eq!(varint(&mut bytes), expected, "{bytes:x?}");
        };
        check(&[0], Ok(0));
        check(&[0x7f, 9], Ok(127));
        check(&[0x80, 0x01], Ok(128));
        check(&[0x80, 0x00], Ok(0));
        check(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], Ok(u64::MAX));
        check(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], Err(Malformed));
        check(&[0x80; 11], Err(Malformed));
        check(&[0x80], Err(Malformed));
        check(&[], Err(Malformed));
    }

    #[test]
    fn zigzag_alternates_around_zero() {
        for (value, expected) in
            [(0, 0), (1, -1), (2, 1), (u64::MAX, i64::MIN), (u64::MAX - 1, i64::MAX)]
        {
            assert_eq!(zigzag(value), expected);
        }
    }
}
