//! gzip bodies put together from blocks that were deflated once, for all viewers.
//!
//! A gzip stream belongs to one viewer, and normally each part of it refers back to what came before.
//! These blocks don't: each is deflated by itself, ends at a whole byte (a full flush), and can so
//! stand at any place in anybody's stream. Between them stand stored blocks, which are as long as what
//! they hold and five bytes more. The checksum of the whole is combined from those of its blocks.
//!
//! ```text
//! 1f 8b 08 00 00000000 00 ff      header: deflate, no name, no time
//! 00 LEN ~LEN  event: rollups…    stored: the part of one viewer
//! …            00 00 00 ff ff     deflated, shared, ends with an empty stored block
//! 01 00 00 ff ff  CRC32 SIZE      the end
//! ```

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};

const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
const END: [u8; 5] = [1, 0, 0, 0xff, 0xff];
/// Frames come again and again, and are sent to many: more effort shortens them by a few per cent.
const EFFORT: Compression = Compression::new(4);

/// Something deflated by itself.
#[derive(Debug)]
pub(super) struct Block {
    bytes: Bytes,
    crc: Crc,
}

impl Block {
    /// Deflates it.
    pub fn new(data: &[u8]) -> Block {
        let mut crc = Crc::new();
        crc.update(data);
        let mut deflate = Compress::new(EFFORT, false);
        // More than deflate needs at worst, so that one step is enough.
        let mut out = Vec::with_capacity(data.len() + data.len() / 64 + 128);
        let step = deflate.compress_vec(data, &mut out, FlushCompress::Full);
        let all = deflate.total_in() == data.len() as u64 && out.len() < out.capacity();
        if !(all && matches!(step, Ok(Status::Ok))) {
            out.clear();
            Gzip::default().stored(data, &mut out);
        }
        out.shrink_to_fit();
        Block { bytes: out.into(), crc }
    }

    /// How long it is.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// Writes a gzip stream.
#[derive(Debug, Default)]
pub(super) struct Gzip {
    crc: Crc,
}

impl Gzip {
    /// Begins a stream.
    pub fn begin(out: &mut Vec<u8>) -> Gzip {
        out.extend_from_slice(&HEADER);
        Gzip::default()
    }

    /// Appends something as it is.
    pub fn stored(&mut self, data: &[u8], out: &mut Vec<u8>) {
        self.crc.update(data);
        for chunk in data.chunks(usize::from(u16::MAX)) {
            let len = chunk.len() as u16;
            out.push(0);
            out.extend_from_slice(&len.to_le_bytes());
            out.extend_from_slice(&(!len).to_le_bytes());
            out.extend_from_slice(chunk);
        }
    }

    /// Appends a block.
    pub fn block(&mut self, block: &Block, out: &mut Vec<u8>) {
        self.crc.combine(&block.crc);
        out.extend_from_slice(&block.bytes);
    }

    /// Ends the stream.
    pub fn finish(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&END);
        out.extend_from_slice(&self.crc.sum().to_le_bytes());
        out.extend_from_slice(&self.crc.amount().to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn unzipped(bytes: &[u8]) -> Vec<u8> {
        let mut decoder = flate2::write::GzDecoder::new(Vec::new());
        decoder.write_all(bytes).unwrap();
        decoder.finish().unwrap()
    }

    proptest! {
        #[test]
        fn blocks_read_as_what_they_were_wherever_they_stand(
            pieces in prop::collection::vec((any::<bool>(), "([a-z]{1,9}|[0-9.]{1,6},|.){0,400}"), 0..12),
        ) {
            let (mut out, mut plain) = (Vec::new(), Vec::new());
            let shared = Block::new(b"shared by all");
            let mut gzip = Gzip::begin(&mut out);
            for (stored, piece) in &pieces {
                plain.extend_from_slice(piece.as_bytes());
                if *stored {
                    gzip.stored(piece.as_bytes(), &mut out);
                } else {
                    gzip.block(&Block::new(piece.as_bytes()), &mut out);
                    gzip.block(&shared, &mut out);
                    plain.extend_from_slice(b"shared by all");
                }
            }
            gzip.finish(&mut out);
            prop_assert_eq!(unzipped(&out), plain);
        }
    }

    #[test]
    fn long_frames_are_read_whole_and_become_short() {
        let long = "[1700000000000,1,71.5,71.5,71.5,71.5,71.5],".repeat(5_000);
        let block = Block::new(long.as_bytes());
        assert!(block.len() < long.len() / 20, "{}", block.len());
        let mut out = Vec::new();
        let mut gzip = Gzip::begin(&mut out);
        gzip.block(&block, &mut out);
        gzip.stored(long.as_bytes(), &mut out);
        gzip.finish(&mut out);
        assert_eq!(unzipped(&out), [long.as_bytes(), long.as_bytes()].concat());
    }
}
