//! What the daemon itself compresses: canonical records of the spool, and messages to clients that
//! asked for it in `Hello.accept`.

use super::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use std::io::Write;

/// Below this many bytes compression costs more than it saves; such messages go out plain.
pub const COMPRESS_BYTES_MIN: usize = 300;

/// `bytes` compressed at `level`: 1 (fast) to 9 (small).
#[must_use]
pub fn compress(compression: Compression, level: u32, bytes: &[u8]) -> Vec<u8> {
    let level = level.clamp(1, 9);
    let out = Vec::with_capacity(bytes.len() / 4 + 64);
    let packed = match compression {
        Compression::None => return bytes.to_vec(),
        Compression::Gzip => {
            let mut encoder = GzEncoder::new(out, flate2::Compression::new(level));
            encoder.write_all(bytes).and_then(|()| encoder.finish())
        }
        Compression::Zlib => {
            let mut encoder = ZlibEncoder::new(out, flate2::Compression::new(level));
            encoder.write_all(bytes).and_then(|()| encoder.finish())
        }
        Compression::Zstd => zstd::bulk::compress(bytes, level.cast_signed()),
    };
    // Writing into a vector can't fail; should it ever, the plain message means the same, unless it
    // happens to start like a compressed one, which protobuf messages don't.
    packed.unwrap_or_else(|_| bytes.to_vec())
}
