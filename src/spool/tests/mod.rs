//! What would fool us: crashes, torn tails, flipped bytes, missing files, full and failing disks.

mod damage;
mod faults;
mod fixture;
mod following;
mod model;
mod shedding;

use super::format::{HEADER_BYTES, Identity};
use super::reader::Bounds;
use super::*;
use crate::model::{Batch, BatchBuilder, Position, SessionId, Timestamp};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const NOW: Duration = Duration::ZERO;

/// A directory in memory where there is one: thousands of syncs are not what is tested.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A batch that says one number; its payload is the number and a filler.
fn payload(number: u64, filler: usize) -> Vec<u8> {
    let mut payload = number.to_le_bytes().to_vec();
    payload.extend((0..filler).map(|i| (i as u8).wrapping_mul(31) ^ number as u8));
    payload
}

fn number_of_payload(payload: &[u8]) -> u64 {
    u64::from_le_bytes(*payload.first_chunk().unwrap())
}

fn batch(number: u64) -> Batch {
    let mut builder = BatchBuilder::new();
    builder.table("device", &mut [], [0]).unwrap();
    builder.ints("number", "", [number as i64], &[]).unwrap();
    builder.finish()
}

fn number_of(entry: &Entry) -> u64 {
    let table = entry.batch.tables().next().unwrap();
    let column = table.columns().next().unwrap();
    let crate::model::Values::Ints([number]) = column.values() else { panic!("not a number") };
    *number as u64
}

fn record(payload: &[u8]) -> Record<'_> {
    Record {
        kind: Kind::Batch,
        received_at: Timestamp(1_000),
        protocol: Protocol::Ws,
        client: "gateway-ö",
        session: SessionId(7),
        seq: number_of_payload(payload),
        anchor: -5,
        samples: 1,
        payload,
    }
}

fn decode() -> Decode {
    Arc::new(|record| Ok(batch(number_of_payload(record.payload))))
}

fn options(dir: &Path) -> Options {
    Options {
        segment_bytes: 2048,
        bytes_max: 1 << 20,
        tail_bytes: 2500,
        reserve_bytes: 4096,
        ..Options::new(dir)
    }
}

/// A gate that folds batches into the set of their numbers.
struct Gate {
    writer: Writer,
    spool: Spool,
    recovery: Recovery,
    /// The fold of what is committed.
    folded: BTreeSet<u64>,
    pending: Vec<u64>,
}

impl Gate {
    fn open(options: &Options) -> Gate {
        Gate::try_open(options).unwrap()
    }

    fn try_open(options: &Options) -> Result<Gate, SpoolError> {
        let mut folded = BTreeSet::new();
        let mut fold = |_: Position, record: &Record<'_>| match record.kind {
            Kind::Batch => {
                folded.insert(number_of_payload(record.payload));
            }
            Kind::Checkpoint => {
                folded = record.payload.chunks(8).map(number_of_payload).collect();
            }
        };
        let (writer, spool, recovery) = open(options, decode(), &mut fold)?;
        Ok(Gate { writer, spool, recovery, folded, pending: Vec::new() })
    }

    fn append(&mut self, number: u64, filler: usize) -> Result<Position, SpoolError> {
        let payload = payload(number, filler);
        let position = self.writer.append(&record(&payload), Some(Arc::new(batch(number))))?;
        self.pending.push(number);
        Ok(position)
    }

    fn commit(&mut self) -> Result<(), SpoolError> {
        let pending = std::mem::take(&mut self.pending);
        let folded = &self.folded;
        self.writer.commit(&mut || checkpoint(folded))?;
        self.folded.extend(pending);
        Ok(())
    }

    /// Stores these numbers, one commit for each.
    fn store(&mut self, numbers: Range<u64>, filler: usize) {
        for number in numbers {
            self.append(number, filler).unwrap();
            self.commit().unwrap();
        }
    }

    fn close(self) -> Result<(), SpoolError> {
        assert!(self.pending.is_empty());
        let folded = self.folded;
        self.writer.close(&mut || checkpoint(&folded))
    }

    /// All that can be read from this position on now, as positions and numbers.
    fn read(&self, from: Position) -> Vec<(u64, u64)> {
        read_all(&mut self.spool.follow("reader", from), 500)
    }
}

fn checkpoint(folded: &BTreeSet<u64>) -> Vec<u8> {
    folded.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn read_all(follower: &mut Follower, bytes_max: usize) -> Vec<(u64, u64)> {
    let mut read = Vec::new();
    while let Next::Entries(entries) = follower.next(bytes_max, NOW).unwrap() {
        read.extend(entries.iter().map(|entry| (entry.position.0, number_of(entry))));
    }
    read
}

/// A record and where it lies.
#[derive(Debug, Clone)]
struct Lies {
    path: std::path::PathBuf,
    bytes: Range<u64>,
    kind: Kind,
    number: u64,
}

/// Where every record of an undamaged part of the spool lies.
fn lie(dir: &Path) -> Vec<Lies> {
    let Some(identity) = identity(dir) else { return Vec::new() };
    let mut found = Vec::new();
    for summary in list(dir).unwrap() {
        let file = File::open(&summary.path).unwrap();
        let (length, limit) = (summary.bytes, Position(u64::MAX));
        let bounds = Bounds { length, limit, after: Position(0) };
        let mut reader = Reader::new(file, identity.salt, summary.first, bounds);
        loop {
            match reader.step().unwrap() {
                Step::Record { offset, bytes, record, .. } => found.push(Lies {
                    path: summary.path.clone(),
                    bytes: offset..offset + bytes as u64,
                    kind: record.kind,
                    number: match record.kind {
                        Kind::Batch => number_of_payload(record.payload),
                        Kind::Checkpoint => 0,
                    },
                }),
                Step::Damage(_) => {}
                Step::End => break,
            }
        }
    }
    found
}

fn identity(dir: &Path) -> Option<Identity> {
    Some(super::directory::Directory::new(dir).read_identity().unwrap()?.identity)
}

fn flip(path: &Path, offset: u64) {
    let mut bytes = fs::read(path).unwrap();
    bytes[offset as usize] ^= 0x40;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_spool_that_was_begun_stays_who_it_is_without_any_batch() {
    let dir = scratch();
    let options = options(dir.path());
    let mut gate = Gate::open(&options);
    assert!(gate.recovery.created);
    gate.writer.begin(&mut || checkpoint(&BTreeSet::new())).unwrap();
    let (id, stats) = (gate.spool.id(), gate.spool.stats());
    assert_eq!((stats.segments, stats.next, stats.oldest_at), (1, Position(0), None));
    drop(gate);

    let mut gate = Gate::open(&options);
    assert!(!gate.recovery.created && gate.recovery.torn.is_none());
    assert_eq!(gate.spool.id(), id);
    gate.store(0..3, 100);
    assert_eq!(gate.read(Position(0)), [(0, 0), (1, 1), (2, 2)]);
    assert!(gate.spool.stats().oldest_at.is_some());
    drop(gate);
    assert_eq!(Gate::open(&options).folded, (0..3).collect());

    // Somebody took its segments away: positions begin anew, and must not be taken for those of then.
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "seg") {
            fs::remove_file(path).unwrap();
        }
    }
    let gate = Gate::open(&options);
    assert!(gate.recovery.created);
    assert_ne!(gate.spool.id(), id);
}

#[test]
fn what_is_committed_is_read_back_after_a_close() {
    let dir = scratch();
    let options = options(dir.path());
    let mut gate = Gate::open(&options);
    assert!(gate.recovery.created);
    let id = gate.spool.id();
    gate.store(0..60, 100);
    let expected: Vec<_> = (0..60).map(|n| (n, n)).collect();
    assert_eq!(gate.read(Position(0)), expected);
    assert!(gate.spool.stats().segments > 3);
    assert_eq!(gate.spool.stats().samples, 60);
    gate.close().unwrap();

    let gate = Gate::open(&options);
    assert!(!gate.recovery.created && gate.recovery.closed_cleanly);
    assert_eq!((gate.recovery.torn.clone(), gate.recovery.damage_count), (None, 0));
    assert!(gate.recovery.folded < 20, "the fold starts at the newest segment");
    assert_eq!(gate.folded, (0..60).collect());
    assert_eq!(gate.spool.id(), id);
    assert_eq!(gate.spool.next(), Position(60));
    assert_eq!(gate.spool.stats().samples, 60);
    assert_eq!(gate.read(Position(17)), expected[17..]);
    let entry = match gate.spool.follow("one", Position(3)).next(1, NOW).unwrap() {
        Next::Entries(entries) => Arc::clone(&entries[0]),
        other => panic!("{other:?}"),
    };
    assert_eq!((&*entry.client, entry.session.0, entry.seq), ("gateway-ö", 7, 3));
    assert_eq!((entry.received_at, entry.protocol), (Timestamp(1_000), Protocol::Ws));
    let inspection = verify(dir.path()).unwrap();
    assert_eq!((inspection.batches, inspection.samples, inspection.damage), (60, 60, vec![]));
    assert_eq!(inspection.next, Position(60));
}

#[test]
fn a_spool_is_open_once() {
    let dir = scratch();
    let gate = Gate::open(&options(dir.path()));
    let second = Gate::try_open(&options(dir.path()));
    assert!(matches!(second.err(), Some(SpoolError::Locked { .. })));
    drop(gate);
    Gate::open(&options(dir.path()));
}

#[test]
fn a_full_spool_refuses_until_followers_commit() {
    let dir = scratch();
    let options = Options { bytes_max: 16 << 10, ..options(dir.path()) };
    let mut gate = Gate::open(&options);
    let follower = gate.spool.follow("sink", Position(0));
    let mut number = 0;
    let full = loop {
        match gate.append(number, 300) {
            Ok(_) => number += 1,
            Err(error) => break error,
        }
        gate.commit().unwrap();
    };
    assert!(matches!(full, SpoolError::Full { bytes, bytes_max: 16_384 } if bytes > 16_384));
    let stats = gate.spool.stats();
    assert!(stats.bytes <= 16_384 && stats.bytes > 12_000, "{stats:?}");
    // All but the segment that is being written is freed, and then that one too.
    follower.commit(gate.spool.next());
    assert_eq!(gate.spool.stats().segments, 1);
    assert!(matches!(gate.append(number, 15_000), Err(SpoolError::Full { .. })));
    gate.commit().unwrap();
    assert_eq!(gate.spool.first(), gate.spool.next());
    let free = 16_384 - gate.spool.stats().bytes as usize - HEADER_BYTES;
    gate.append(number, free / 2).unwrap();
    gate.commit().unwrap();
    assert_eq!(gate.read(Position(number)), [(number, number)]);
    gate.close().unwrap();
    drop(follower);
    assert_eq!(Gate::open(&options).folded.len() as u64, number + 1);
}
