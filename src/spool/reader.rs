//! Reads one segment from front to back and steps over damage.
//!
//! Knows nothing of followers or recovery: both, and the command line, read through it. Three things
//! are kept apart, because callers must act differently: an I/O error (nothing is concluded, the same
//! step may be tried again), damage (told with its extent, then stepped over), and the end.

use super::format::{HEAD_BYTES, HEADER_BYTES, Head, MARK};
use super::record::Record;
use crate::model::Position;
use std::fs::File;
use std::io;
use std::ops::Range;

/// How much is read at once.
const READ_BYTES: usize = 256 << 10;

/// Something that a segment can be read from.
pub trait Source {
    /// Reads some bytes at this offset; 0 = there are none.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl Source for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        super::disk::read_at(self, buffer, offset)
    }
}

impl Source for &[u8] {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|at| self.get(at..)).unwrap_or(&[]);
        let bytes = rest.len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&rest[..bytes]);
        Ok(bytes)
    }
}

/// Why something can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A checksum does not match, or a length is impossible.
    Checksum,
    /// Records that were once written are not there, and no bytes of them.
    Missing,
    /// The end of the last segment is incomplete, as a crash in the middle of a write leaves it.
    Torn,
    /// The record is as it was written, but does not decode.
    Undecodable,
    /// The header of the segment; its records may be intact.
    Header,
}

/// A part of a segment that can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    /// First position of the segment: its name.
    pub segment: Position,
    /// Where in the file it begins.
    pub offset: u64,
    /// How many bytes.
    pub bytes: u64,
    /// The positions lost with it; empty if it cost no batch.
    pub positions: Range<Position>,
    /// Samples lost with it, as far as they are known.
    pub samples: u64,
    /// Why.
    pub cause: Cause,
}

impl Extent {
    /// How many batches are lost with it.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.positions.end.0.saturating_sub(self.positions.start.0)
    }
}

/// What comes next in a segment.
#[derive(Debug)]
pub enum Step<'a> {
    /// A record.
    Record {
        /// Its position; of a checkpoint, that of the next batch.
        position: Position,
        /// Where in the file it begins.
        offset: u64,
        /// Its bytes on disk.
        bytes: usize,
        /// What it says.
        record: Record<'a>,
    },
    /// A part that can't be read. Reading goes on after it.
    Damage(Extent),
    /// Nothing more.
    End,
}

/// What a reader may expect of a segment.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Bytes of the file that may be read.
    pub length: u64,
    /// Records at or above this position are void: the next segment has them.
    pub limit: Position,
    /// The position that should be reached; what is missing below it at the end is damage.
    pub after: Position,
}

/// Reads one segment from front to back.
pub struct Reader<S> {
    source: S,
    salt: u32,
    segment: Position,
    bounds: Bounds,
    offset: u64,
    expected: Position,
    window: Vec<u8>,
    window_at: u64,
}

enum Advance {
    Found(Head, u64),
    Damage(Extent),
    End,
}

impl<S: Source> Reader<S> {
    /// A reader of the segment that begins with position `first`, standing before its first record.
    pub fn new(source: S, salt: u32, first: Position, bounds: Bounds) -> Reader<S> {
        Reader {
            source,
            salt,
            segment: first,
            bounds,
            offset: HEADER_BYTES as u64,
            expected: first,
            window: Vec::new(),
            window_at: 0,
        }
    }

    /// The first position of its segment.
    pub fn segment(&self) -> Position {
        self.segment
    }

    /// Where in the file the next record is looked for.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The position that the next batch should have.
    pub fn expected(&self) -> Position {
        self.expected
    }

    /// The segment has grown, or has got a successor.
    pub fn rebound(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// Goes to where the batch at `expected`, or a checkpoint before it, is known to begin.
    pub fn seek(&mut self, offset: u64, expected: Position) {
        (self.offset, self.expected) = (offset, expected);
    }

    /// The next record or damage. After an error the same step can be tried again.
    ///
    /// # Errors
    /// What the system says; an error never counts as damage or as the end.
    pub fn step(&mut self) -> io::Result<Step<'_>> {
        let (head, offset) = match self.advance()? {
            Advance::Found(head, offset) => (head, offset),
            Advance::Damage(extent) => return Ok(Step::Damage(extent)),
            Advance::End => return Ok(Step::End),
        };
        let bytes = head.record_bytes();
        let Some(record) = head.split(&self.slice(offset, bytes)[HEAD_BYTES..]) else {
            return Ok(Step::Damage(self.extent(offset, bytes as u64, head.position..head.end())));
        };
        Ok(Step::Record { position: head.position, offset, bytes, record })
    }

    fn advance(&mut self) -> io::Result<Advance> {
        if self.offset >= self.bounds.length {
            return Ok(self.end());
        }
        let offset = self.offset;
        let Some(head) = self.head_at(offset)? else { return self.resync() };
        if head.end() > self.bounds.limit {
            self.offset = self.bounds.length;
            return Ok(self.end());
        }
        if head.position > self.expected {
            return Ok(Advance::Damage(self.missing(head.position)));
        }
        let bytes = head.record_bytes() as u64;
        let there = bytes.min(self.bounds.length - offset);
        let is_intact = there == bytes && self.is_intact(offset, &head)?;
        self.offset = offset + there;
        if is_intact && head.position == self.expected {
            self.expected = head.end();
            return Ok(Advance::Found(head, offset));
        }
        // A sound head below the expected position can only be a stale copy: nothing is lost with it.
        let lost = self.expected..head.end().max(self.expected);
        let mut extent = self.extent(offset, there, lost);
        extent.samples = if extent.records() > 0 { u64::from(head.samples) } else { 0 };
        self.expected = extent.positions.end;
        Ok(Advance::Damage(extent))
    }

    fn end(&mut self) -> Advance {
        match self.expected < self.bounds.after {
            true => Advance::Damage(self.missing(self.bounds.after)),
            false => Advance::End,
        }
    }

    /// Steps over positions that nothing is left of.
    fn missing(&mut self, to: Position) -> Extent {
        let mut extent = self.extent(self.offset, 0, self.expected..to);
        extent.cause = Cause::Missing;
        self.expected = to;
        extent
    }

    /// Looks for the next sound head, byte by byte, since the length of a damaged one means nothing.
    fn resync(&mut self) -> io::Result<Advance> {
        let (from, expected) = (self.offset, self.expected);
        let mut at = from + 1;
        while let Some(found) = self.find_mark(at)? {
            match self.head_at(found)? {
                Some(head) if head.position >= expected && head.end() <= self.bounds.limit => {
                    self.offset = found;
                    self.expected = head.position;
                    let lost = expected..head.position;
                    return Ok(Advance::Damage(self.extent(from, found - from, lost)));
                }
                _ => at = found + 1,
            }
        }
        self.offset = self.bounds.length;
        self.expected = expected.max(self.bounds.after);
        let lost = expected..self.expected;
        Ok(Advance::Damage(self.extent(from, self.bounds.length - from, lost)))
    }

    /// Offset of the first mark at or after `at` that leaves room for a head.
    fn find_mark(&mut self, mut at: u64) -> io::Result<Option<u64>> {
        while at + HEAD_BYTES as u64 <= self.bounds.length {
            // What is in the window is used up first: a payload full of marks must not cost a read
            // for each of them.
            let window_end = self.window_at + self.window.len() as u64;
            let is_inside = at >= self.window_at && at + HEAD_BYTES as u64 <= window_end;
            let end = if is_inside { window_end } else { at + READ_BYTES as u64 };
            let bytes = as_usize(end.min(self.bounds.length) - at);
            if !self.load(at, bytes)? {
                return Ok(None);
            }
            let slice = self.slice(at, bytes);
            if let Some(index) = slice.windows(MARK.len()).position(|bytes| bytes == MARK) {
                return Ok(Some(at + index as u64));
            }
            // The last three bytes might begin a mark.
            at += (bytes - (MARK.len() - 1)) as u64;
        }
        Ok(None)
    }

    fn head_at(&mut self, offset: u64) -> io::Result<Option<Head>> {
        if offset + HEAD_BYTES as u64 > self.bounds.length || !self.load(offset, HEAD_BYTES)? {
            return Ok(None);
        }
        let bytes = self.slice(offset, HEAD_BYTES).first_chunk();
        Ok(bytes.and_then(|bytes| Head::decode(bytes, self.salt)))
    }

    fn is_intact(&mut self, offset: u64, head: &Head) -> io::Result<bool> {
        let bytes = head.record_bytes();
        if !self.load(offset, bytes)? {
            return Ok(false);
        }
        let body = &self.slice(offset, bytes)[HEAD_BYTES..];
        Ok(head.record(body, self.salt).is_some())
    }

    /// Bytes that [`Reader::load`] has brought into the window.
    fn slice(&self, offset: u64, bytes: usize) -> &[u8] {
        let start = as_usize(offset - self.window_at);
        &self.window[start..start + bytes]
    }

    /// Brings bytes into the window; false if the file has become shorter than it should be.
    fn load(&mut self, offset: u64, bytes: usize) -> io::Result<bool> {
        let window_end = self.window_at + self.window.len() as u64;
        if offset >= self.window_at && offset + bytes as u64 <= window_end {
            return Ok(true);
        }
        let wanted = bytes.max(READ_BYTES.min(as_usize(self.bounds.length - offset)));
        self.window.clear();
        // One huge record must not hold its memory for ever.
        self.window.shrink_to(wanted.max(READ_BYTES));
        self.window.resize(wanted, 0);
        self.window_at = offset;
        let result = self.fill(offset);
        let filled = *result.as_ref().unwrap_or(&0);
        self.window.truncate(filled);
        result.map(|filled| filled >= bytes)
    }

    fn fill(&mut self, offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < self.window.len() {
            match self.source.read_at(&mut self.window[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(bytes) => filled += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn extent(&self, offset: u64, bytes: u64, positions: Range<Position>) -> Extent {
        let cause = Cause::Checksum;
        Extent { segment: self.segment, offset, bytes, positions, samples: 0, cause }
    }
}

/// Sizes here are those of a file that fits the disk; on 64-bit machines this never saturates.
fn as_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
