//! Frames that cost next to nothing to make: compressed once, then stamped with a new seq and time
//! before each sending. Small ones are not compressed at all.
//!
//! A zlib stream may consist of any number of blocks. The few bytes that change (keys, lengths, `seq`,
//! `base_time`) go into a stored block; the tables, which are relative to `base_time`, are a
//! compressed block made once. Only the checksum over both must be worked out, and that of a
//! concatenation follows from those of its parts.
//!
//! ```text
//! 78 01 | 00 len !len preamble | compressed tables (final) | adler32(preamble + tables)
//! ```

use super::outbox::Frame;
use super::plant::Machine;
use super::rows::{self, Recorder};
use crate::model::{Seq, Timestamp};
use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};
use std::time::Duration;

/// How many different frames a gateway sends in turn, so that equal ones are far apart.
pub(super) const VARIANTS: usize = 8;

/// A device that sends one row at a time has no compressor, and would save little.
const PLAIN_BYTES_MAX: usize = 1024;

/// What a busy sender would use.
const LEVEL: u32 = 6;

/// The frames of one gateway.
#[derive(Debug)]
pub(super) struct Frames {
    variants: Vec<Packed>,
    next: usize,
    /// `base_time` of the next frame, and how far each frame moves it.
    clock: Timestamp,
    span: Duration,
}

#[derive(Debug)]
struct Packed {
    /// The tables, deflated or as they are.
    tables: Vec<u8>,
    plain_bytes: usize,
    /// The checksum of the plain tables, if they are deflated.
    adler: Option<u32>,
    samples: usize,
}

impl Frames {
    /// Frames of `machines` with `rows` rows each, `step` apart, the first beginning at `start`.
    pub(super) fn new(
        machines: Vec<Machine>,
        rows: usize,
        step: Duration,
        start: Timestamp,
    ) -> Frames {
        let mut recorders: Vec<_> = machines.into_iter().map(Recorder::new).collect();
        let span = step * u32::try_from(rows).unwrap_or(u32::MAX);
        let mut base = start;
        let mut variant = || {
            let mut time = base;
            for _ in 0..rows {
                recorders.iter_mut().for_each(|recorder| recorder.read(time));
                time = time.saturating_add(step);
            }
            let tables = rows::tables(&recorders, "", base.0);
            let samples = recorders.iter().map(Recorder::samples).sum();
            recorders.iter_mut().for_each(Recorder::clear);
            base = time;
            Packed::new(tables, samples)
        };
        let variants = (0..VARIANTS).map(|_| variant()).collect();
        Frames { variants, next: 0, clock: start, span }
    }

    /// About how many bytes the next frame will have.
    pub(super) fn bytes(&self) -> usize {
        self.variants[self.next].tables.len() + 64
    }

    /// The next frame. Hot: one copy of its bytes.
    pub(super) fn next(&mut self, seq: Seq) -> Frame {
        let packed = &self.variants[self.next];
        self.next = (self.next + 1) % self.variants.len();
        let bytes = packed.stamp(&rows::preamble(seq, self.clock.0, packed.plain_bytes));
        self.clock = self.clock.saturating_add(self.span);
        Frame { seq, bytes, samples: packed.samples }
    }
}

impl Packed {
    fn new(tables: Vec<u8>, samples: usize) -> Packed {
        let plain_bytes = tables.len();
        if plain_bytes < PLAIN_BYTES_MAX {
            return Packed { tables, plain_bytes, adler: None, samples };
        }
        let adler = Some(adler32(1, &tables));
        Packed { tables: deflate(&tables), plain_bytes, adler, samples }
    }

    fn stamp(&self, preamble: &[u8]) -> Bytes {
        let Some(adler) = self.adler else { return [preamble, &self.tables].concat().into() };
        // A preamble has some thirty bytes; a stored block can hold 65,535.
        let len = u16::try_from(preamble.len()).unwrap_or(u16::MAX);
        let mut bytes = Vec::with_capacity(preamble.len() + self.tables.len() + 16);
        bytes.extend([0x78, 0x01, 0]);
        bytes.extend(len.to_le_bytes());
        bytes.extend((!len).to_le_bytes());
        bytes.extend(preamble);
        bytes.extend(&self.tables);
        let adler = adler32_of_both(adler32(1, preamble), adler, self.plain_bytes);
        bytes.extend(adler.to_be_bytes());
        bytes.into()
    }
}

/// `plain` as raw deflate blocks, the last marked final.
fn deflate(plain: &[u8]) -> Vec<u8> {
    let mut state = Compress::new(Compression::new(LEVEL), false);
    let mut deflated = Vec::with_capacity(plain.len() / 2 + 1024);
    loop {
        let read = usize::try_from(state.total_in()).unwrap_or(usize::MAX);
        let status = state.compress_vec(&plain[read..], &mut deflated, FlushCompress::Finish);
        match status {
            Ok(Status::StreamEnd) | Err(_) => return deflated,
            Ok(_) => deflated.reserve(deflated.capacity()),
        }
    }
}

const ADLER_MODULUS: u64 = 65_521;

fn adler32(start: u32, bytes: &[u8]) -> u32 {
    let (mut a, mut b) = (u64::from(start & 0xffff), u64::from(start >> 16));
    for &byte in bytes {
        a = (a + u64::from(byte)) % ADLER_MODULUS;
        b = (b + a) % ADLER_MODULUS;
    }
    low_32(b << 16 | a)
}

/// The checksum of a concatenation from those of its parts; the second has `len` bytes.
fn adler32_of_both(first: u32, second: u32, len: usize) -> u32 {
    let halves = |adler: u32| (u64::from(adler & 0xffff), u64::from(adler >> 16));
    let ((a1, b1), (a2, b2)) = (halves(first), halves(second));
    let len = len as u64 % ADLER_MODULUS;
    let a = (a1 + a2 + ADLER_MODULUS - 1) % ADLER_MODULUS;
    let b = (len * a1 + b1 + b2 + ADLER_MODULUS - len) % ADLER_MODULUS;
    low_32(b << 16 | a)
}

#[expect(clippy::cast_possible_truncation, reason = "both halves are below 2^16")]
fn low_32(value: u64) -> u32 {
    value as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{self, Limits, Stamp, Upstream};
    use crate::simulate::plant::plant;
    use crate::wire;

    #[test]
    fn stamped_frames_are_valid_zlib_and_move_in_time() {
        let start = Timestamp(1_800_000_000_000_000_000);
        let step = Duration::from_millis(100);
        let mut frames = Frames::new(plant(1, 100), 10, step, start);
        let mut scratch = Vec::new();
        let mut end = start.0;
        for seq in 1..=2 * VARIANTS as u64 {
            let frame = frames.next(seq);
            let plain = wire::inflate(&frame.bytes, &Limits::default(), &mut scratch).unwrap();
            let Ok(Upstream::Batch(batch)) = decode::upstream(plain) else { panic!("no batch") };
            let stamp = Stamp { received_at: start, booted_at: None, client: "gateway" };
            let decoded = decode::batch(batch, &Limits::default(), &stamp).unwrap();
            assert_eq!((decoded.seq, decoded.batch.samples()), (seq, frame.samples));
            let (first, last) = decoded.batch.time_range().unwrap();
            assert_eq!((first, last), (end, end + 900_000_000));
            end += 1_000_000_000;
            assert!(frame.bytes.len() < 2 * frame.samples, "{} bytes", frame.bytes.len());
        }
    }
}
