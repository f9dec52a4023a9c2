//! Snappy's block format, of Prometheus' remote write: the size is told before the data.

use super::inflate::InflateError;
use super::limits::Limits;

/// The most that a byte can stand for: a copy of 64 bytes takes three.
const RATIO_MAX: usize = 22;

/// As [`inflate`](super::inflate) for a block of snappy, which has no first bytes to be recognised by.
///
/// The size that it claims is held against the limits, and against what so few bytes can hold, before
/// anything is decompressed or made room for.
///
/// # Errors
/// As [`inflate`](super::inflate).
pub fn unsnap<'a>(
    bytes: &[u8],
    limits: &Limits,
    scratch: &'a mut Vec<u8>,
) -> Result<&'a [u8], InflateError> {
    let len = snap::raw::decompress_len(bytes).map_err(|_| InflateError::Damaged)?;
    if len > limits.inflated_bytes {
        return Err(InflateError::TooLarge { max: limits.inflated_bytes });
    }
    if len > limits.inflated_max(bytes.len()) {
        let max_ratio = limits.inflated_ratio;
        return Err(InflateError::Ratio { sent: bytes.len(), max_ratio });
    }
    if len > bytes.len().saturating_mul(RATIO_MAX) {
        return Err(InflateError::Damaged);
    }
    if scratch.len() < len {
        scratch.resize(len, 0);
    }
    let plain = &mut scratch[..len];
    match snap::raw::Decoder::new().decompress(bytes, plain) {
        Ok(written) if written == len => Ok(plain),
        Ok(_) => Err(InflateError::Truncated),
        Err(_) => Err(InflateError::Damaged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapped(plain: &[u8]) -> Vec<u8> {
        snap::raw::Encoder::new().compress_vec(plain).unwrap()
    }

    #[test]
    fn a_block_comes_back() {
        let mut scratch = Vec::new();
        let long = b"abcdefgh".repeat(100_000);
        for plain in [&b""[..], b"a", b"abcabcabcabcabcabc", &long] {
            let inflated = unsnap(&snapped(plain), &Limits::default(), &mut scratch);
            assert_eq!(inflated, Ok(plain));
        }
    }

    #[test]
    fn a_claim_makes_no_room() {
        let limits = Limits { inflated_bytes: 1 << 20, ..Limits::default() };
        let check = |bytes: &[u8], expected: InflateError| {
            let mut scratch = Vec::new();
            assert_eq!(unsnap(bytes, &limits, &mut scratch), Err(expected));
            assert_eq!(scratch.capacity(), 0, "{expected:?}");
        };
        // Sizes of 2^21, of 2^20, and of 2^42.
        check(&[0x80, 0x80, 0x80, 0x01, 0x00], InflateError::TooLarge { max: 1 << 20 });
        check(&[0x80, 0x80, 0x40, 0x00], InflateError::Ratio { sent: 4, max_ratio: 200 });
        check(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01], InflateError::Damaged);
        check(&[0x80, 0x04, 0x00], InflateError::Damaged);
        check(&[], InflateError::Damaged);
        let mut scratch = Vec::new();
        let mut cut = snapped(&b"abcdefgh".repeat(100));
        cut.pop();
        assert!(unsnap(&cut, &limits, &mut scratch).is_err());
    }
}
