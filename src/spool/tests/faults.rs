//! Disks that are full, that fail, and that lie.

use super::super::disk::Operation;
use super::super::disk::faults::{clear, fail};
use super::*;
use rustix::io::Errno;

fn all(numbers: Range<u64>) -> Vec<(u64, u64)> {
    numbers.map(|n| (n, n)).collect()
}

/// Stores 0..5, lets the commit of 5 meet the fault, stores 6 at the position that 5 would have had,
/// and looks at it all before and after a crash.
fn a_failed_group_leaves_no_trace(operation: Operation, times: u32, errno: Errno) -> SpoolError {
    let dir = scratch();
    let mut gate = Gate::open(&options(dir.path()));
    gate.store(0..5, 100);
    fail(operation, times, errno);
    assert_eq!(gate.append(5, 100).unwrap(), Position(5));
    let error = gate.commit().unwrap_err();
    assert!(!clear(), "the fault was met");
    assert_eq!(gate.read(Position(0)), all(0..5));
    assert_eq!(gate.spool.next(), Position(5));
    assert_eq!(gate.append(6, 100).unwrap(), Position(5));
    gate.commit().unwrap();
    let mut expected = all(0..5);
    expected.push((5, 6));
    assert_eq!(gate.read(Position(0)), expected);
    drop(gate);
    let gate = Gate::open(&options(dir.path()));
    assert_eq!((gate.recovery.damage_count, gate.recovery.torn.clone()), (0, None));
    assert_eq!(gate.folded, BTreeSet::from([0, 1, 2, 3, 4, 6]));
    assert_eq!(gate.read(Position(0)), expected);
    assert_eq!(verify(dir.path()).unwrap().damage, []);
    error
}

#[test]
fn a_full_disk_in_the_middle_of_a_write_is_a_state() {
    let error = a_failed_group_leaves_no_trace(Operation::Write, 1, Errno::NOSPC);
    assert!(matches!(error, SpoolError::NoSpace { .. }), "{error:?}");
    let error = a_failed_group_leaves_no_trace(Operation::Write, 1, Errno::DQUOT);
    assert!(matches!(error, SpoolError::NoSpace { .. }), "{error:?}");
}

#[test]
fn a_failed_write_gives_the_group_up() {
    let error = a_failed_group_leaves_no_trace(Operation::Write, 1, Errno::IO);
    assert!(matches!(error, SpoolError::Io { doing: "write", .. }), "{error:?}");
}

#[test]
fn a_sync_that_fails_twice_gives_the_group_up() {
    let error = a_failed_group_leaves_no_trace(Operation::Sync, 2, Errno::IO);
    assert!(matches!(error, SpoolError::Io { doing: "sync", .. }), "{error:?}");
}

#[test]
fn a_full_disk_that_shows_at_the_sync_is_a_failed_sync() {
    let dir = scratch();
    let mut gate = Gate::open(&options(dir.path()));
    gate.store(0..3, 100);
    let segments = gate.spool.stats().segments;
    fail(Operation::Sync, 1, Errno::NOSPC);
    gate.store(3..4, 100);
    assert!(!clear());
    assert_eq!(gate.spool.stats().segments, segments + 1, "the old one is not trusted");
    let error = a_failed_group_leaves_no_trace(Operation::Sync, 2, Errno::NOSPC);
    assert!(matches!(error, SpoolError::NoSpace { .. }), "{error:?}");
}

#[test]
fn what_a_crash_left_unsynced_is_synced_before_it_counts() {
    let dir = scratch();
    let mut gate = Gate::open(&options(dir.path()));
    gate.store(0..3, 100);
    drop(gate);
    // No test can see what the disk has; that the spool does not open without a sync, it can.
    fail(Operation::Sync, 1, Errno::IO);
    let error = Gate::try_open(&options(dir.path())).err().unwrap();
    assert!(matches!(error, SpoolError::Io { doing: "sync", .. }), "{error:?}");
    assert!(!clear());
    assert_eq!(Gate::open(&options(dir.path())).read(Position(0)), all(0..3));
}

#[test]
fn after_a_failed_sync_the_group_is_written_again_in_a_new_segment() {
    let dir = scratch();
    let mut gate = Gate::open(&options(dir.path()));
    gate.store(0..3, 100);
    let segments = gate.spool.stats().segments;
    fail(Operation::Sync, 1, Errno::IO);
    gate.store(3..4, 100);
    assert!(!clear());
    assert_eq!(gate.spool.stats().segments, segments + 1);
    assert_eq!(gate.spool.stats().sync.failed, 1);
    // What the old segment kept of the group is gone, and would be void if it were not.
    let kept = lie(dir.path()).into_iter().filter(|it| it.number == 3).count();
    assert_eq!(kept, 1);
    gate.store(4..6, 100);
    assert_eq!(gate.read(Position(0)), all(0..6));
    drop(gate);
    assert_eq!(Gate::open(&options(dir.path())).read(Position(0)), all(0..6));
}

#[test]
fn records_of_a_group_that_was_written_again_are_void_in_the_old_segment() {
    let dir = scratch();
    let mut gate = Gate::open(&options(dir.path()));
    gate.store(0..3, 100);
    let (first, length) = {
        let last = list(dir.path()).unwrap().pop().unwrap();
        (last.path, last.bytes)
    };
    fail(Operation::Sync, 1, Errno::IO);
    gate.store(3..5, 100);
    assert!(!clear());
    drop(gate);
    // As if cutting the old segment had not reached the disk.
    let mut bytes = fs::read(&first).unwrap();
    bytes.truncate(length as usize);
    let salt = identity(dir.path()).unwrap().salt;
    for number in 3..6 {
        let payload = payload(100 + number, 30);
        format::encode(&mut bytes, salt, Position(number), &record(&payload)).unwrap();
    }
    bytes.extend([0; 99]);
    fs::write(&first, bytes).unwrap();
    let gate = Gate::open(&options(dir.path()));
    assert_eq!(gate.recovery.damage_count, 0);
    assert_eq!(gate.read(Position(0)), all(0..5));
    assert_eq!(gate.folded, (0..5).collect());
    assert_eq!(verify(dir.path()).unwrap().damage, []);
}

#[test]
fn a_segment_without_batches_is_made_anew_after_a_failed_sync() {
    let dir = scratch();
    let options = options(dir.path());
    let mut gate = Gate::open(&options);
    gate.store(0..1, 10);
    // A group above the segment's size: the next commit begins a segment even with nothing in it.
    gate.store(1..2, 3000);
    gate.commit().unwrap();
    assert_eq!(gate.spool.stats().segments, 3);
    fail(Operation::Sync, 1, Errno::IO);
    gate.store(2..4, 10);
    assert!(!clear());
    assert_eq!(gate.spool.stats().segments, 3);
    let bytes: u64 = list(dir.path()).unwrap().iter().map(|it| it.bytes).sum();
    assert_eq!(gate.spool.stats().bytes, bytes);
    assert_eq!(gate.read(Position(0)), all(0..4));
    drop(gate);
    assert_eq!(Gate::open(&options).read(Position(0)), all(0..4));
}

#[test]
fn the_newest_checkpoint_outlives_a_failed_attempt_at_the_next() {
    let dir = scratch();
    let options = options(dir.path());
    let mut gate = Gate::open(&options);
    let follower = gate.spool.follow("sink", Position(0));
    gate.store(0..1, 10);
    gate.store(1..2, 3000);
    follower.commit(Position(2));
    gate.commit().unwrap();
    assert_eq!(gate.spool.stats().segments, 1, "all that is left is a checkpoint");
    fail(Operation::Sync, 2, Errno::IO);
    gate.append(2, 10).unwrap();
    gate.commit().unwrap_err();
    assert!(!clear());
    drop((gate, follower));
    let gate = Gate::open(&options);
    assert_eq!((gate.folded.clone(), gate.spool.next()), (BTreeSet::from([0, 1]), Position(2)));
}

#[test]
fn no_space_for_a_new_segment_is_a_state() {
    let dir = scratch();
    let options = options(dir.path());
    let mut gate = Gate::open(&options);
    fail(Operation::Allocate, 3, Errno::NOSPC);
    for _ in 0..3 {
        gate.append(9, 10).unwrap();
        let error = gate.commit().unwrap_err();
        assert!(matches!(error, SpoolError::NoSpace { .. }), "{error:?}");
        assert_eq!(
            fs::read_dir(dir.path())
                .unwrap()
                .filter(|it| it.as_ref().unwrap().path().extension().is_some())
                .count(),
            0
        );
    }
    assert!(!clear());
    gate.store(0..2, 10);
    assert_eq!(gate.read(Position(0)), all(0..2));
}

#[test]
fn the_reserve_lets_a_full_disk_be_left_cleanly() {
    let dir = scratch();
    let options = options(dir.path());
    let mut gate = Gate::open(&options);
    gate.store(0..4, 100);
    assert!(dir.path().join("reserve").exists());
    fail(Operation::Write, 1, Errno::NOSPC);
    gate.close().unwrap();
    assert!(!clear());
    assert!(!dir.path().join("reserve").exists());
    // Still full: there is no reserve, and the spool opens all the same.
    fail(Operation::Allocate, 1, Errno::NOSPC);
    let mut gate = Gate::open(&options);
    assert!(gate.recovery.closed_cleanly && !clear());
    assert_eq!(gate.folded, (0..4).collect());
    assert_eq!(gate.recovery.folded + 4, 4 + list_batches(dir.path()));
    gate.store(4..5, 100);
    assert!(gate.writer.reserve.is_held(), "made again with the next segment");
}

fn list_batches(dir: &Path) -> u64 {
    let newest = list(dir).unwrap().pop().unwrap().path;
    lie(dir).iter().filter(|it| it.path == newest && it.kind == Kind::Batch).count() as u64
}

#[test]
fn an_error_while_reading_is_neither_damage_nor_the_end() {
    let dir = scratch();
    let options = Options { tail_bytes: 0, ..options(dir.path()) };
    let mut gate = Gate::open(&options);
    gate.store(0..30, 100);
    let mut follower = gate.spool.follow("sink", Position(0));
    let mut read = Vec::new();
    while read.len() < 30 {
        fail(Operation::Read, 1, Errno::IO);
        match follower.next(100, NOW) {
            Ok(Next::Entries(entries)) => {
                clear();
                read.extend(entries.iter().map(|it| (it.position.0, number_of(it))));
            }
            Err(SpoolError::Io { doing: "read", .. }) => {
                assert!(!clear());
                // Once more, without the fault.
                let Ok(Next::Entries(entries)) = follower.next(100, NOW) else { panic!("stuck") };
                read.extend(entries.iter().map(|it| (it.position.0, number_of(it))));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(read, all(0..30));
    assert_eq!(gate.spool.stats().damaged_extents, 0);
    drop((gate, follower));

    fail(Operation::Read, 1, Errno::IO);
    let opened = Gate::try_open(&options).err();
    assert!(matches!(opened, Some(SpoolError::Io { doing: "read", .. })), "{opened:?}");
    assert!(!clear());
    assert_eq!(Gate::open(&options).read(Position(0)), all(0..30));
}

#[test]
fn an_interval_that_fails_to_sync_says_so_and_goes_on_elsewhere() {
    let dir = scratch();
    let durability = Durability::Interval(Duration::ZERO);
    let options = Options { durability, ..options(dir.path()) };
    let mut gate = Gate::open(&options);
    gate.store(0..2, 10);
    let hour = Durability::Interval(Duration::from_secs(3600));
    gate.writer.durability = hour;
    let syncs = gate.spool.stats().sync.count;
    gate.store(2..4, 10);
    assert_eq!(gate.spool.stats().sync.count, syncs, "not due yet");
    assert!(gate.writer.sync_if_due().unwrap().unwrap() > Duration::from_secs(3000));
    gate.writer.durability = durability;
    fail(Operation::Sync, 1, Errno::IO);
    assert!(gate.writer.sync_if_due().is_err());
    assert_eq!(gate.writer.sync_if_due().unwrap(), None);
    let segments = gate.spool.stats().segments;
    gate.store(4..5, 10);
    assert_eq!(gate.spool.stats().segments, segments + 1);
    assert_eq!(gate.read(Position(0)), all(0..5));
}
