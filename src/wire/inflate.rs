//! Compressed messages: recognised by their first bytes, inflated under a cap, and nothing after
//! their end.
//!
//! A message is one gzip member, one zlib stream, one zstd frame, or plain bytes. What follows the
//! end is refused as trailing garbage, a second gzip member or zstd frame too: no client library
//! writes two for one message, and a reader that stops at the first would lose the second silently.
//!
//! Hot path. The decompressors (48 KB for zlib, 160 KB for zstd) live once per thread; the output
//! goes into an initialised slice of the caller's scratch buffer, which grows geometrically up to the
//! cap and is never filled with zeros again (flate2's `decompress_vec` does that on every call).
//! `benches/decode.rs` guards it.

use super::{Limits, RefusalCode};
use flate2::{Decompress, FlushDecompress};
use std::cell::RefCell;
use thiserror::Error;
use zstd::zstd_safe::{self, DCtx};

/// Up to here a message may inflate whatever its ratio: so little is no bomb.
pub const RATIO_FREE_BYTES: usize = 64 * 1024;

/// The scratch buffer's first size.
const SCRATCH_BYTES_MIN: usize = 16 * 1024;

/// How a message is compressed as a whole.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip, RFC 1952.
    Gzip,
    /// zlib, RFC 1950; HTTP calls it "deflate".
    Zlib,
    /// zstd, RFC 8878.
    Zstd,
}

impl Compression {
    /// Recognises a message by its first bytes, which no plain `Upstream`, `Downstream` or `Batch`
    /// starts with.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Compression {
        match bytes {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => Compression::Zlib,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
            _ => Compression::None,
        }
    }
}

/// Why a message could not be inflated. The client must send something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InflateError {
    /// It is, or inflates to, more than [`Limits::inflated_bytes`].
    #[error("the message inflates to more than {max} bytes")]
    TooLarge {
        /// The cap.
        max: usize,
    },
    /// It inflates to more than [`Limits::inflated_ratio`] allows.
    #[error("the message of {sent} bytes inflates to more than {max_ratio} times its size")]
    Ratio {
        /// Bytes as sent.
        sent: usize,
        /// The cap.
        max_ratio: usize,
    },
    /// The compressed data are damaged, or need a dictionary.
    #[error("the compressed data are damaged")]
    Damaged,
    /// It ends too early.
    #[error("the compressed data end too early")]
    Truncated,
    /// Bytes follow its end.
    #[error("{bytes} bytes follow the end of the compressed data")]
    Trailing {
        /// How many.
        bytes: usize,
    },
}

impl InflateError {
    /// What the client is told.
    #[must_use]
    pub fn code(self) -> RefusalCode {
        match self {
            InflateError::TooLarge { .. } | InflateError::Ratio { .. } => RefusalCode::TooLarge,
            InflateError::Damaged | InflateError::Truncated | InflateError::Trailing { .. } => {
                RefusalCode::Malformed
            }
        }
    }
}

/// The plain bytes of a message whose compression is recognised by its first bytes.
///
/// Plain messages are passed through without a copy; others are inflated into `scratch`, whose
/// content is overwritten and which never grows beyond what `limits` allow for a message of this
/// size. Keep it for the next message.
///
/// # Errors
/// [`InflateError`], after at most the capped bytes were inflated.
pub fn inflate<'a>(
    bytes: &'a [u8],
    limits: &Limits,
    scratch: &'a mut Vec<u8>,
) -> Result<&'a [u8], InflateError> {
    inflate_as(Compression::of(bytes), bytes, limits, scratch)
}

/// As [`inflate`] for a message whose compression was told: by `Content-Encoding`, say.
///
/// # Errors
/// As [`inflate`].
pub fn inflate_as<'a>(
    compression: Compression,
    bytes: &'a [u8],
    limits: &Limits,
    scratch: &'a mut Vec<u8>,
) -> Result<&'a [u8], InflateError> {
    if compression == Compression::None {
        return match bytes.len() <= limits.inflated_bytes {
            true => Ok(bytes),
            false => Err(InflateError::TooLarge { max: limits.inflated_bytes }),
        };
    }
    let max = limits.inflated_max(bytes.len());
    let inflated = DECOMPRESSORS.with_borrow_mut(|state| match compression {
        Compression::Zstd => state.zstd(bytes, max, scratch),
        Compression::Gzip => deflated(&mut Decompress::new_gzip(WINDOW_BITS), bytes, max, scratch),
        Compression::Zlib | Compression::None => {
            state.zlib.reset(true);
            deflated(&mut state.zlib, bytes, max, scratch)
        }
    });
    capped(inflated, bytes.len(), max, limits).map(|len| &scratch[..len])
}

/// As [`inflate`] for raw deflate, RFC 1951, which has no first bytes to be recognised by.
///
/// # Errors
/// As [`inflate`].
pub fn inflate_raw<'a>(
    bytes: &[u8],
    limits: &Limits,
    scratch: &'a mut Vec<u8>,
) -> Result<&'a [u8], InflateError> {
    let max = limits.inflated_max(bytes.len());
    let inflated = deflated(&mut Decompress::new(false), bytes, max, scratch);
    capped(inflated, bytes.len(), max, limits).map(|len| &scratch[..len])
}

/// Says which of the limits stopped it.
fn capped(
    inflated: Result<usize, Stop>,
    sent: usize,
    max: usize,
    limits: &Limits,
) -> Result<usize, InflateError> {
    match inflated {
        Ok(len) => Ok(len),
        Err(Stop::Full) if max == limits.inflated_bytes => Err(InflateError::TooLarge { max }),
        Err(Stop::Full) => Err(InflateError::Ratio { sent, max_ratio: limits.inflated_ratio }),
        Err(Stop::Bad(error)) => Err(error),
    }
}

/// The largest window of zlib and gzip, which every sender may use.
const WINDOW_BITS: u8 = 15;

/// Why inflating stopped before the end.
enum Stop {
    /// The output would exceed the cap.
    Full,
    Bad(InflateError),
}

thread_local! {
    static DECOMPRESSORS: RefCell<Decompressors> = RefCell::new(Decompressors {
        zlib: Decompress::new(true),
        zstd: None,
    });
}

struct Decompressors {
    zlib: Decompress,
    /// Made for the first zstd message: most threads never see one.
    zstd: Option<DCtx<'static>>,
}

impl Decompressors {
    fn zstd(&mut self, bytes: &[u8], max: usize, scratch: &mut Vec<u8>) -> Result<usize, Stop> {
        // Walks the headers of blocks only, so that garbage and truncation are found for nothing.
        let frame = zstd_safe::find_frame_compressed_size(bytes)
            .map_err(|_| Stop::Bad(InflateError::Damaged))?;
        if frame != bytes.len() {
            return Err(Stop::Bad(InflateError::Trailing { bytes: bytes.len() - frame }));
        }
        let told = zstd_safe::get_frame_content_size(bytes)
            .map_err(|_| Stop::Bad(InflateError::Damaged))?;
        let mut room = match told.map(usize::try_from) {
            Some(Ok(len)) if len <= max => len,
            Some(_) => return Err(Stop::Full),
            // A frame that does not tell its size was streamed. Inflated in one step it needs no
            // window of its own (whose size the sender would choose); how much room it needs is
            // found by trying.
            None => SCRATCH_BYTES_MIN.max(bytes.len().saturating_mul(4)).min(max),
        };
        let context = self.zstd.get_or_insert_with(DCtx::create);
        loop {
            reserve(scratch, room);
            match context.decompress(&mut scratch[..room], bytes) {
                Ok(len) => return Ok(len),
                Err(code) if zstd_safe::get_error_name(code) != ZSTD_NO_ROOM => {
                    return Err(Stop::Bad(InflateError::Damaged));
                }
                Err(_) if room < max && told.is_none() => room = room.saturating_mul(2).min(max),
                Err(_) => return Err(Stop::Full),
            }
        }
    }
}

/// What zstd calls the error of an output buffer that is full.
const ZSTD_NO_ROOM: &str = "Destination buffer is too small";

fn deflated(
    state: &mut Decompress,
    bytes: &[u8],
    max: usize,
    scratch: &mut Vec<u8>,
) -> Result<usize, Stop> {
    reserve(scratch, SCRATCH_BYTES_MIN.max(bytes.len().saturating_mul(4)).min(max));
    let (mut read, mut written) = (0, 0);
    loop {
        let room = scratch.len().min(max);
        let before = (state.total_in(), state.total_out());
        let status = state
            .decompress(&bytes[read..], &mut scratch[written..room], FlushDecompress::None)
            .map_err(|_| Stop::Bad(InflateError::Damaged))?;
        read += step(before.0, state.total_in());
        written += step(before.1, state.total_out());
        if status == flate2::Status::StreamEnd {
            return match bytes.len() - read {
                0 => Ok(written),
                bytes => Err(Stop::Bad(InflateError::Trailing { bytes })),
            };
        }
        if written < room {
            return Err(Stop::Bad(InflateError::Truncated));
        }
        if room < max {
            reserve(scratch, room.saturating_mul(2).min(max));
        } else if probe(state, &bytes[read..])? {
            return Ok(written);
        } else {
            return Err(Stop::Full);
        }
    }
}

/// Whether a stream whose output just filled the cap ends there, with no byte after it.
fn probe(state: &mut Decompress, rest: &[u8]) -> Result<bool, Stop> {
    let before = (state.total_in(), state.total_out());
    let mut one_more = [0];
    let status = state
        .decompress(rest, &mut one_more, FlushDecompress::None)
        .map_err(|_| Stop::Bad(InflateError::Damaged))?;
    if state.total_out() != before.1 {
        return Ok(false);
    }
    match (status, rest.len() - step(before.0, state.total_in())) {
        (flate2::Status::StreamEnd, 0) => Ok(true),
        (flate2::Status::StreamEnd, bytes) => Err(Stop::Bad(InflateError::Trailing { bytes })),
        _ => Err(Stop::Bad(InflateError::Truncated)),
    }
}

fn step(before: u64, after: u64) -> usize {
    usize::try_from(after - before).unwrap_or(usize::MAX)
}

/// Makes `scratch` at least so long. What it already holds stays initialised and is not touched.
fn reserve(scratch: &mut Vec<u8>, len: usize) {
    if scratch.len() < len {
        scratch.reserve_exact(len - scratch.len());
        scratch.resize(len, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::compress;
    use proptest::prelude::*;

    const ALL: [Compression; 3] = [Compression::Gzip, Compression::Zlib, Compression::Zstd];

    fn limits(inflated_bytes: usize, inflated_ratio: usize) -> Limits {
        Limits { inflated_bytes, inflated_ratio, ..Limits::default() }
    }

    #[test]
    fn a_bomb_costs_one_bounded_buffer_and_one_refusal() {
        for codec in ALL {
            let bomb = compress(codec, 9, &vec![0; 64 << 20]);
            let mut scratch = Vec::new();
            let by_ratio = inflate(&bomb, &limits(16 << 20, 10), &mut scratch);
            assert_eq!(
                by_ratio,
                Err(InflateError::Ratio { sent: bomb.len(), max_ratio: 10 }),
                "{codec:?}"
            );
            assert!(scratch.capacity() <= (bomb.len() * 10).max(RATIO_FREE_BYTES));
            let by_size = inflate(&bomb, &limits(1 << 20, usize::MAX), &mut scratch);
            assert_eq!(by_size, Err(InflateError::TooLarge { max: 1 << 20 }), "{codec:?}");
            assert!(scratch.capacity() <= 1 << 20);
        }
        let plain = [0; 11];
        assert_eq!(
            inflate(&plain, &limits(10, 1), &mut Vec::new()),
            Err(InflateError::TooLarge { max: 10 })
        );
    }

    #[test]
    fn a_message_may_be_exactly_as_large_as_the_cap() {
        let plain: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        for codec in ALL {
            let packed = compress(codec, 1, &plain);
            let mut scratch = Vec::new();
            let fits = inflate(&packed, &limits(plain.len(), 200), &mut scratch);
            assert_eq!(fits, Ok(&plain[..]), "{codec:?}");
            let short = inflate(&packed, &limits(plain.len() - 1, 200), &mut scratch);
            assert_eq!(short, Err(InflateError::TooLarge { max: plain.len() - 1 }), "{codec:?}");
        }
    }

    #[test]
    fn what_follows_the_end_or_is_missing_before_it_is_refused() {
        let plain: Vec<u8> = (0..20_000_u32).flat_map(u32::to_le_bytes).collect();
        for codec in ALL {
            let packed = compress(codec, 6, &plain);
            let mut scratch = Vec::new();
            for max in [plain.len(), 1 << 20] {
                let two = [&packed[..], &packed[..]].concat();
                assert_eq!(
                    inflate(&two, &limits(max, 200), &mut scratch),
                    Err(InflateError::Trailing { bytes: packed.len() }),
                    "{codec:?}"
                );
                for end in [4, packed.len() / 2, packed.len() - 1] {
                    let cut = inflate(&packed[..end], &limits(max, 200), &mut scratch);
                    let expected = match codec {
                        Compression::Zstd => InflateError::Damaged,
                        _ => InflateError::Truncated,
                    };
                    assert_eq!(cut, Err(expected), "{codec:?} cut at {end}");
                }
            }
            let mut flipped = packed.clone();
            flipped[packed.len() / 2] ^= 0x10;
            // zstd leaves checksums to the sender, and most senders leave them out.
            if codec != Compression::Zstd {
                let damaged = inflate(&flipped, &limits(1 << 20, 200), &mut scratch);
                assert_eq!(damaged, Err(InflateError::Damaged), "{codec:?}");
            }
        }
    }

    #[test]
    fn a_zstd_frame_that_does_not_tell_its_size_is_read() {
        let plain = vec![7; 300_000];
        let mut packed = Vec::new();
        zstd::stream::copy_encode(&plain[..], &mut packed, 1).unwrap();
        let mut scratch = Vec::new();
        let unlimited = limits(1 << 20, usize::MAX);
        assert_eq!(inflate(&packed, &unlimited, &mut scratch), Ok(&plain[..]));
        assert_eq!(
            inflate(&packed, &limits(plain.len() - 1, usize::MAX), &mut scratch),
            Err(InflateError::TooLarge { max: plain.len() - 1 })
        );
    }

    proptest! {
        #[test]
        fn inflate_gives_back_what_was_compressed(
            plain in prop::collection::vec(0_u8..4, 0..5000),
            level in 1_u32..9,
        ) {
            let mut scratch = Vec::new();
            for codec in ALL {
                let packed = compress(codec, level, &plain);
                prop_assert_eq!(Compression::of(&packed), codec);
                prop_assert_eq!(inflate(&packed, &Limits::default(), &mut scratch), Ok(&plain[..]));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic_and_never_grow_beyond_the_cap(
            mut bytes in prop::collection::vec(any::<u8>(), 4..300),
            magic in 0_usize..3,
        ) {
            let start: &[u8] = [&[0x1f, 0x8b, 8, 0][..], &[0x78, 0x9c], &[0x28, 0xb5, 0x2f, 0xfd]][magic];
            bytes[..start.len()].copy_from_slice(start);
            let mut scratch = Vec::new();
            if let Ok(plain) = inflate(&bytes, &limits(1 << 20, 200), &mut scratch) {
                prop_assert!(plain.len() <= RATIO_FREE_BYTES);
            }
            prop_assert!(scratch.capacity() <= RATIO_FREE_BYTES);
        }
    }
}
