//! The bytes of a segment, format version 1. Little-endian, nothing aligned, no padding.
//!
//! ```text
//! segment  = header record*                         file name: first position, 20 digits, ".seg"
//!
//! header   0  magic            8  "TIDESPL\n"
//!          8  version          4  1
//!         12  salt             4  seeds the checksums of every record of this spool
//!         16  spool id         8  random, made with the spool
//!         24  first            8  position of the first batch in here
//!         32  after            8  position after the last batch before this segment, as then known
//!         40  samples before   8  samples in all batches before this segment, as then known
//!         48  created at       8  nanoseconds since 1970
//!         56  zero             4
//!         60  checksum         4  CRC32C of bytes 0..60
//!
//! record   0  mark             4  a5 54 47 52
//!          4  head checksum    4  CRC32C, seeded with salt, of bytes 8..64
//!          8  body checksum    4  CRC32C, seeded with salt, of the body
//!         12  body bytes       4  client and payload together
//!         16  position         8  batch: its own; checkpoint: of the next batch
//!         24  received at      8  nanoseconds since 1970
//!         32  session          8  0 = none
//!         40  seq              8  0 = unnumbered
//!         48  anchor           8  what CLOCK_BOOT times are relative to; 0 = none
//!         56  samples          4
//!         60  client bytes     2
//!         62  kind             1  1 batch, 2 checkpoint
//!         63  protocol         1  1 ws, 2 http, 3 mqtt; others are kept as they are
//!         64  client           .  UTF-8
//!          .  payload          .
//! ```
//!
//! What holds:
//! - The first record of a segment is a checkpoint; its position is the header's `first`.
//! - Inside a segment positions rise by one from batch to batch. `first` may lie above `after`: the
//!   positions between were given up, because a torn tail might once have had them, and no position
//!   ever names two batches that somebody saw.
//! - A segment's records at or above the next segment's `first` are void: they were given up when a
//!   sync failed, and written again in the next segment.
//! - The head has its own checksum, so that a flipped byte in a payload costs one record and leaves
//!   its length, position and samples known. When the head is hit, the next mark with a valid head
//!   checksum and a possible position is where reading goes on.
//! - The salt makes a record that a client hides inside its payload worthless: it can't know the
//!   checksum, so reading never resumes inside a payload.
//! - The first 12 bytes and the header's size and checksum stay the same in every version.

use super::record::{Kind, Record};
use crate::model::{Position, Protocol, SessionId, Timestamp};
use crc32c::{crc32c, crc32c_append};

/// First bytes of every segment.
pub const MAGIC: [u8; 8] = *b"TIDESPL\n";
/// The version that is written, and the latest that is read.
pub const VERSION: u32 = 1;
/// Bytes of a segment's header.
pub const HEADER_BYTES: usize = 64;
/// First bytes of every record.
pub const MARK: [u8; 4] = [0xa5, b'T', b'G', b'R'];
/// Bytes of a record before its client and payload.
pub const HEAD_BYTES: usize = 64;
/// The largest record: well above any batch that may enter, and the bound of what a damaged length
/// can make a reader allocate.
pub const RECORD_BYTES_MAX: usize = 64 << 20;

/// What names a spool: two spools never agree on both numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The spool id, shown to the world as the epoch of live ids.
    pub id: u64,
    /// Seeds the checksums of records; never shown.
    pub salt: u32,
}

/// The header of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Of which spool.
    pub identity: Identity,
    /// Position of the first batch in the segment.
    pub first: Position,
    /// Position after the last batch before the segment, as known when it was begun.
    pub after: Position,
    /// Samples in all batches before the segment, as known when it was begun.
    pub samples_before: u64,
    /// When the segment was begun.
    pub created_at: Timestamp,
}

/// What the first bytes of a segment are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderFound {
    /// A header of this version.
    Valid(Header),
    /// A sound header of a later version.
    Newer(u32),
    /// Not a header, or a damaged one.
    Damaged,
}

impl Header {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.identity.salt.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.identity.id.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first.0.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.after.0.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.samples_before.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.created_at.0.to_le_bytes());
        let checksum = crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads the first bytes of a segment; fewer than [`HEADER_BYTES`] are damage.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> HeaderFound {
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else { return HeaderFound::Damaged };
        if bytes[..8] != MAGIC || u32_at(bytes, 60) != crc32c(&bytes[..60]) {
            return HeaderFound::Damaged;
        }
        match u32_at(bytes, 8) {
            VERSION => HeaderFound::Valid(Header {
                identity: Identity { id: u64_at(bytes, 16), salt: u32_at(bytes, 12) },
                first: Position(u64_at(bytes, 24)),
                after: Position(u64_at(bytes, 32)),
                samples_before: u64_at(bytes, 40),
                created_at: Timestamp(i64_at(bytes, 48)),
            }),
            newer => HeaderFound::Newer(newer),
        }
    }
}

/// The fixed part of a record, its own checksum verified, the body's not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub(super) kind: Kind,
    pub(super) position: Position,
    pub(super) samples: u32,
    protocol: Protocol,
    received_at: Timestamp,
    session: SessionId,
    seq: u64,
    anchor: i64,
    body_checksum: u32,
    body_bytes: u32,
    client_bytes: u16,
}

impl Head {
    /// Reads a head; `None` if it is not one of the spool with this salt.
    #[must_use]
    pub fn decode(bytes: &[u8; HEAD_BYTES], salt: u32) -> Option<Head> {
        if bytes[..4] != MARK || u32_at(bytes, 4) != crc32c_append(salt, &bytes[8..]) {
            return None;
        }
        let head = Head {
            kind: Kind::of_byte(bytes[62])?,
            position: Position(u64_at(bytes, 16)),
            samples: u32_at(bytes, 56),
            protocol: Protocol::of_byte(bytes[63]),
            received_at: Timestamp(i64_at(bytes, 24)),
            session: SessionId(u64_at(bytes, 32)),
            seq: u64_at(bytes, 40),
            anchor: i64_at(bytes, 48),
            body_checksum: u32_at(bytes, 8),
            body_bytes: u32_at(bytes, 12),
            client_bytes: u16::from_le_bytes([bytes[60], bytes[61]]),
        };
        (head.record_bytes() <= RECORD_BYTES_MAX).then_some(head)
    }

    /// Bytes of the whole record.
    #[must_use]
    pub fn record_bytes(&self) -> usize {
        HEAD_BYTES + self.body_bytes as usize
    }

    /// The position after this record: a checkpoint takes none.
    pub(super) fn end(&self) -> Position {
        match self.kind {
            Kind::Batch => Position(self.position.0.saturating_add(1)),
            Kind::Checkpoint => self.position,
        }
    }

    /// The record with this body; `None` if the body is damaged.
    pub(super) fn record<'a>(&self, body: &'a [u8], salt: u32) -> Option<Record<'a>> {
        let intact = crc32c_append(salt, body) == self.body_checksum;
        intact.then(|| self.split(body)).flatten()
    }

    /// The record with this body, whose checksum was verified before.
    pub(super) fn split<'a>(&self, body: &'a [u8]) -> Option<Record<'a>> {
        let (client, payload) = body.split_at_checked(usize::from(self.client_bytes))?;
        Some(Record {
            kind: self.kind,
            received_at: self.received_at,
            protocol: self.protocol,
            client: str::from_utf8(client).ok()?,
            session: self.session,
            seq: self.seq,
            anchor: self.anchor,
            samples: self.samples,
            payload,
        })
    }
}

/// The record is too large to be stored; its size is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge(pub usize);

/// Appends the record to `buffer` and returns its size. Allocates only if `buffer` has to grow.
///
/// # Errors
/// [`TooLarge`], and then `buffer` is as it was.
pub fn encode(
    buffer: &mut Vec<u8>,
    salt: u32,
    position: Position,
    record: &Record<'_>,
) -> Result<usize, TooLarge> {
    let body_bytes = record.client.len().saturating_add(record.payload.len());
    let bytes = HEAD_BYTES.saturating_add(body_bytes);
    let (Ok(client_bytes), Ok(body_bytes)) =
        (u16::try_from(record.client.len()), u32::try_from(body_bytes))
    else {
        return Err(TooLarge(bytes));
    };
    if bytes > RECORD_BYTES_MAX {
        return Err(TooLarge(bytes));
    }
    // The body's checksum runs over its two parts before they are copied: they are hot in the cache.
    let body_checksum =
        crc32c_append(crc32c_append(salt, record.client.as_bytes()), record.payload);
    let mut head = [0; HEAD_BYTES];
    head[..4].copy_from_slice(&MARK);
    head[8..12].copy_from_slice(&body_checksum.to_le_bytes());
    head[12..16].copy_from_slice(&body_bytes.to_le_bytes());
    head[16..24].copy_from_slice(&position.0.to_le_bytes());
    head[24..32].copy_from_slice(&record.received_at.0.to_le_bytes());
    head[32..40].copy_from_slice(&record.session.0.to_le_bytes());
    head[40..48].copy_from_slice(&record.seq.to_le_bytes());
    head[48..56].copy_from_slice(&record.anchor.to_le_bytes());
    head[56..60].copy_from_slice(&record.samples.to_le_bytes());
    head[60..62].copy_from_slice(&client_bytes.to_le_bytes());
    head[62] = record.kind.byte();
    head[63] = record.protocol.byte();
    let head_checksum = crc32c_append(salt, &head[8..]);
    head[4..8].copy_from_slice(&head_checksum.to_le_bytes());

    buffer.reserve(bytes);
    buffer.extend_from_slice(&head);
    buffer.extend_from_slice(record.client.as_bytes());
    buffer.extend_from_slice(record.payload);
    Ok(bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_le_bytes(array_at(bytes, at))
}

/// The fields of a fixed-size header: `at` is always a constant inside it.
fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}
