//! A segment with damage anywhere: reading never panics, ends, makes nothing up, and loses only what
//! the damage touched.
//!
//! Input: for each record one byte of length (0 ends them) and its payload; then, for each damage,
//! two bytes of offset and one that is XORed.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::ops::Range;
use tidegate::model::{Position, SessionId, Timestamp};
use tidegate::spool::format::{HEADER_BYTES, Header, Identity, encode};
use tidegate::spool::{Bounds, Kind, Protocol, Reader, Record, Step};

fn record(kind: Kind, payload: &[u8]) -> Record<'_> {
    Record {
        kind,
        received_at: Timestamp(1),
        protocol: Protocol::Mqtt,
        client: "c",
        session: SessionId(2),
        seq: 3,
        anchor: 4,
        samples: 5,
        payload,
    }
}

/// A salt that the input can't know: a fuzzer that may learn it forges records inside payloads, which
/// is what salts are against.
fn salt_of(data: &[u8]) -> u32 {
    data.iter().fold(0x811c_9dc5, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

fuzz_target!(|data: &[u8]| {
    let salt = salt_of(data);
    let header = Header {
        identity: Identity { id: 1, salt },
        first: Position(0),
        after: Position(0),
        samples_before: 0,
        created_at: Timestamp(0),
    };
    let mut segment = header.encode().to_vec();
    let mut stored: Vec<(Range<usize>, &[u8])> = Vec::new();
    encode(&mut segment, salt, Position(0), &record(Kind::Checkpoint, b"fold")).expect("is small");
    let mut data = data;
    while let Some((&length, rest)) = data.split_first() {
        data = rest;
        let Some((payload, rest)) = data.split_at_checked(usize::from(length)) else { break };
        if length == 0 {
            break;
        }
        data = rest;
        let start = segment.len();
        let position = Position(stored.len() as u64);
        encode(&mut segment, salt, position, &record(Kind::Batch, payload)).expect("is small");
        stored.push((start..segment.len(), payload));
    }
    let original = segment.clone();
    for damage in data.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([damage[0], damage[1]]));
        if let Some(byte) = segment.get_mut(at).filter(|_| at >= HEADER_BYTES) {
            *byte ^= damage[2];
        }
    }
    let end = Position(stored.len() as u64);
    let bounds = Bounds { length: segment.len() as u64, limit: end, after: end };
    let mut reader = Reader::new(segment.as_slice(), salt, Position(0), bounds);
    let (mut read, mut lost, mut next) = (vec![false; stored.len()], 0, 0);
    loop {
        match reader.step().expect("memory can be read") {
            Step::Record { position, record: found, .. } if found.kind == Kind::Batch => {
                assert!(position.0 >= next, "positions rise");
                next = position.0 + 1;
                let (_, payload) = stored[position.0 as usize];
                assert_eq!(found, record(Kind::Batch, payload));
                read[position.0 as usize] = true;
            }
            Step::Record { .. } => {}
            Step::Damage(extent) => lost += extent.records(),
            Step::End => break,
        }
    }
    assert_eq!(reader.expected(), end);
    assert_eq!(read.iter().filter(|&&read| !read).count() as u64, lost, "every loss is told");
    for ((range, _), read) in stored.iter().zip(read) {
        assert!(
            read || segment[range.clone()] != original[range.clone()],
            "an intact record is lost"
        );
    }
});
