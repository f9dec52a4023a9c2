//! Damage of every kind: found, counted, set aside, stepped over.

use super::super::format::{HEAD_BYTES, Header};
use super::*;

/// Stores 0..40 and closes; says where the records lie.
fn filled(dir: &Path) -> (Options, Vec<Lies>) {
    let options = options(dir);
    let mut gate = Gate::open(&options);
    gate.store(0..40, 100);
    gate.close().unwrap();
    let lies = lie(dir);
    assert_eq!(lies.iter().filter(|it| it.kind == Kind::Batch).count(), 40);
    (options, lies)
}

fn all_but(lost: &[u64]) -> Vec<(u64, u64)> {
    (0..40).filter(|n| !lost.contains(n)).map(|n| (n, n)).collect()
}

fn find(lies: &[Lies], number: u64) -> &Lies {
    lies.iter().find(|it| it.kind == Kind::Batch && it.number == number).unwrap()
}

#[test]
fn a_flipped_byte_costs_exactly_its_record() {
    for at in [0, 5, 9, 13, 20, 30, 57, 60, 62, HEAD_BYTES as u64, HEAD_BYTES as u64 + 50] {
        let dir = scratch();
        let (options, lies) = filled(dir.path());
        let hit = find(&lies, 11);
        flip(&hit.path, hit.bytes.start + at);
        let gate = Gate::open(&options);
        assert_eq!(gate.read(Position(0)), all_but(&[11]), "flipped at {at}");
        assert_eq!(gate.folded.len(), 40);
        let stats = gate.spool.stats();
        assert_eq!((stats.damaged_extents, stats.damaged_records), (1, 1), "flipped at {at}");
        assert_eq!(stats.damaged_bytes, hit.bytes.end - hit.bytes.start);
        // When only the body is hit, what it cost is known.
        assert_eq!(stats.damaged_samples, u64::from(at >= HEAD_BYTES as u64));
        let follower = stats.followers.iter().find(|it| it.name == "reader").unwrap();
        assert_eq!(follower.records_lost, 1);
        assert_eq!(follower.records_behind, 0);
        // Seen again, it is counted and copied no second time.
        assert_eq!(gate.read(Position(5)), all_but(&[11])[5..]);
        assert_eq!(gate.spool.stats().damaged_extents, 1);
        let copies: Vec<_> = fs::read_dir(dir.path().join("damaged")).unwrap().collect();
        assert_eq!(copies.len(), 1);
        let copy = fs::read(copies[0].as_ref().unwrap().path()).unwrap();
        let bytes = fs::read(&hit.path).unwrap();
        assert_eq!(copy, bytes[hit.bytes.start as usize..hit.bytes.end as usize]);
    }
}

#[test]
fn a_segment_whose_header_is_damaged_keeps_its_records() {
    for at in [0, 9, 14, 20, 30, 61] {
        let dir = scratch();
        let (options, lies) = filled(dir.path());
        flip(&find(&lies, 20).path, at);
        let gate = Gate::open(&options);
        assert_eq!(gate.read(Position(0)), all_but(&[]), "flipped at {at}");
        assert_eq!(gate.recovery.damage[0].cause, Cause::Header);
        assert_eq!(gate.spool.stats().damaged_records, 0);
    }
}

#[test]
fn a_spool_of_one_segment_with_a_damaged_header_keeps_its_records() {
    let dir = scratch();
    let options = options(dir.path());
    let mut gate = Gate::open(&options);
    gate.store(0..3, 10);
    let id = gate.spool.id();
    drop(gate);
    flip(&list(dir.path()).unwrap()[0].path, 17);
    let gate = Gate::open(&options);
    assert_eq!((gate.spool.id(), gate.folded.len()), (id, 3));
    assert_eq!(gate.read(Position(0)), [(0, 0), (1, 1), (2, 2)]);
    drop(gate);
    // The other way round: the identity is known by the segments.
    fs::remove_file(dir.path().join("identity")).unwrap();
    let mut gate = Gate::open(&options);
    assert_eq!(gate.recovery.set_aside.len(), 1, "without either, nothing can be verified");
    assert_ne!(gate.spool.id(), id);
    gate.store(0..2, 10);
    let id = gate.spool.id();
    drop(gate);
    fs::remove_file(dir.path().join("identity")).unwrap();
    assert_eq!(Gate::open(&options).spool.id(), id);
    assert!(dir.path().join("identity").exists());
}

#[test]
fn a_missing_segment_is_stepped_over_and_counted() {
    let dir = scratch();
    let (options, lies) = filled(dir.path());
    let path = find(&lies, 20).path.clone();
    let gone: Vec<u64> = lies
        .iter()
        .filter(|it| it.path == path && it.kind == Kind::Batch)
        .map(|it| it.number)
        .collect();
    fs::remove_file(path).unwrap();
    let gate = Gate::open(&options);
    assert_eq!(gate.read(Position(0)), all_but(&gone));
    assert_eq!(gate.spool.stats().damaged_records, gone.len() as u64);
    let inspection = verify(dir.path()).unwrap();
    assert_eq!(inspection.damage.len(), 1);
    assert_eq!(
        (inspection.damage[0].cause, inspection.damage[0].records()),
        (Cause::Missing, gone.len() as u64)
    );
}

#[test]
fn a_segment_that_vanishes_while_it_is_followed_is_stepped_over() {
    let dir = scratch();
    let (options, lies) = filled(dir.path());
    let gate = Gate::open(&options);
    let mut follower = gate.spool.follow("sink", Position(0));
    let Next::Entries(first) = follower.next(1, NOW).unwrap() else { panic!("none") };
    assert_eq!(first.len(), 1);
    let path = find(&lies, 20).path.clone();
    let gone: Vec<u64> = lies
        .iter()
        .filter(|it| it.path == path && it.kind == Kind::Batch)
        .map(|it| it.number)
        .collect();
    fs::remove_file(path).unwrap();
    assert_eq!(read_all(&mut follower, 300), all_but(&gone)[1..]);
}

#[test]
fn without_a_sound_checkpoint_in_the_newest_segment_an_older_one_serves() {
    let dir = scratch();
    let (options, lies) = filled(dir.path());
    for newest in list(dir.path()).unwrap().iter().rev().take(2) {
        let opening = lies.iter().find(|it| it.path == newest.path).unwrap();
        assert_eq!(opening.kind, Kind::Checkpoint);
        flip(&newest.path, opening.bytes.start + 70);
    }
    let mut gate = Gate::open(&options);
    assert!(gate.recovery.folded > 10 && gate.recovery.damage_count == 2);
    assert_eq!(gate.folded, (0..40).collect());
    // The checkpoint that served may not be trimmed before there is another.
    let serving = gate.recovery.checkpoint.unwrap();
    let sink = gate.spool.follow("sink", Position(0));
    sink.commit(Position(40));
    assert_eq!(gate.spool.first(), serving);
    gate.store(40..41, 10);
    assert!(gate.spool.first() > serving);
}

#[test]
fn a_torn_tail_is_cut_off_and_its_positions_are_given_up() {
    let dir = scratch();
    let (options, lies) = filled(dir.path());
    let last = lies.last().unwrap();
    // Not a crash but damage: the last record and the checkpoint behind it were acknowledged.
    let hit = find(&lies, 39);
    assert_eq!((hit.path.clone(), last.kind), (last.path.clone(), Kind::Checkpoint));
    let file = File::options().write(true).open(&hit.path).unwrap();
    file.set_len(hit.bytes.end - 1).unwrap();
    let mut gate = Gate::open(&options);
    let torn = gate.recovery.torn.clone().unwrap();
    assert_eq!((torn.cause, torn.offset, torn.records()), (Cause::Torn, hit.bytes.start, 1));
    assert!(gate.spool.next() >= Position(40), "39 is not given to another batch");
    let next = gate.spool.next().0;
    gate.store(next..next + 2, 10);
    let mut expected = all_but(&[39]);
    expected.extend([(next, next), (next + 1, next + 1)]);
    assert_eq!(gate.read(Position(0)), expected);
    drop(gate);
    let gate = Gate::open(&options);
    assert_eq!((gate.recovery.torn.clone(), gate.recovery.damage_count), (None, 0));
    assert_eq!(gate.read(Position(0)), expected);
}

#[test]
fn no_position_is_given_twice_however_much_of_the_tail_is_torn() {
    for records in 1..4u64 {
        let dir = scratch();
        let options = options(dir.path());
        let mut gate = Gate::open(&options);
        gate.store(0..6, 10);
        drop(gate);
        // Heads are gone, so that nothing says how many records there were.
        let lies = lie(dir.path());
        for number in 6 - records..6 {
            let hit = find(&lies, number);
            flip(&hit.path, hit.bytes.start);
        }
        // A crash before anything new is committed changes nothing.
        for _ in 0..2 {
            let gate = Gate::open(&options);
            assert!(gate.recovery.torn.is_some());
            assert!(gate.spool.next() >= Position(6), "{records}");
            assert_eq!(gate.read(Position(0)).len() as u64, 6 - records);
        }
        let mut gate = Gate::open(&options);
        let next = gate.spool.next().0;
        gate.store(next..next + 1, 10);
        drop(gate);
        let gate = Gate::open(&options);
        assert_eq!(gate.recovery.torn, None);
        assert_eq!(verify(dir.path()).unwrap().damage, []);
        assert_eq!(gate.spool.next(), Position(next + 1));
    }
}

#[test]
fn a_spool_that_lost_everything_is_another_spool() {
    let dir = scratch();
    let (options, lies) = filled(dir.path());
    let id = Gate::open(&options).spool.id();
    for it in lies {
        fs::remove_file(it.path).unwrap_or_default();
    }
    let mut gate = Gate::open(&options);
    assert!(gate.recovery.created);
    assert_ne!(gate.spool.id(), id, "its positions begin at 0 again");
    gate.store(0..2, 10);
    drop(gate);
    assert_eq!(Gate::open(&options).read(Position(0)), [(0, 0), (1, 1)]);
}

#[test]
fn files_that_are_not_ours_are_set_aside() {
    let (dir, other) = (scratch(), scratch());
    let (options, _) = filled(dir.path());
    filled(other.path());
    let foreign = &list(other.path()).unwrap()[1].path;
    fs::copy(foreign, dir.path().join("00000000000000000999.seg")).unwrap();
    fs::write(dir.path().join("notes.seg"), "not a segment").unwrap();
    fs::write(dir.path().join("00000000000000000998.seg"), [7; 1000]).unwrap();
    fs::write(dir.path().join("00000000000000000001.seg.new"), "half").unwrap();
    fs::write(dir.path().join("README"), "left alone").unwrap();
    let gate = Gate::open(&options);
    assert_eq!(gate.recovery.set_aside.len(), 3);
    assert!(
        gate.recovery
            .set_aside
            .iter()
            .all(|path| path.starts_with(dir.path().join("damaged")) && path.exists())
    );
    assert!(
        dir.path().join("README").exists()
            && !dir.path().join("00000000000000000001.seg.new").exists()
    );
    assert_eq!(gate.read(Position(0)), all_but(&[]));
    // One of them may have been a segment of ours: its positions are not given to others, even after
    // it was moved away.
    assert!(gate.spool.next() > Position(998));
    drop(gate);
    assert!(Gate::open(&options).spool.next() > Position(998));
}

#[test]
fn a_later_version_is_left_alone() {
    let dir = scratch();
    let (options, _) = filled(dir.path());
    let path = list(dir.path()).unwrap()[0].path.clone();
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 2;
    let checksum = crc32c::crc32c(&bytes[..60]);
    bytes[60..64].copy_from_slice(&checksum.to_le_bytes());
    fs::write(&path, &bytes).unwrap();
    let opened = Gate::try_open(&options).err();
    assert!(
        matches!(opened, Some(SpoolError::Version { found: 2, supported: 1, .. })),
        "{opened:?}"
    );
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_record_that_does_not_decode_is_set_aside() {
    let dir = scratch();
    let (options, _) = filled(dir.path());
    let decode: Decode = Arc::new(|record| match number_of_payload(record.payload) {
        7 => Err("seven".into()),
        number => Ok(batch(number)),
    });
    let (_writer, spool, _) = open(&options, decode, &mut |_, _| {}).unwrap();
    let mut follower = spool.follow("sink", Position(0));
    assert_eq!(read_all(&mut follower, 1000), all_but(&[7]));
    let stats = spool.stats();
    assert_eq!((stats.damaged_records, stats.damaged_samples), (1, 1));
    assert_eq!(stats.followers[0].records_lost, 1);
    assert_eq!(fs::read_dir(dir.path().join("damaged")).unwrap().count(), 1);
}

#[test]
fn a_record_hidden_in_a_payload_is_never_read() {
    let dir = scratch();
    let options = options(dir.path());
    let mut gate = Gate::open(&options);
    gate.store(0..1, 10);
    // The worst case: the client knows everything but the salt.
    let identity = identity(dir.path()).unwrap();
    let mut hidden = payload(1, 20);
    let fake = payload(666, 0);
    format::encode(&mut hidden, identity.salt ^ 1, Position(1), &record(&fake)).unwrap();
    gate.writer.append(&record(&hidden), None).unwrap();
    gate.commit().unwrap();
    gate.store(2..3, 10);
    drop(gate);
    let hit = lie(dir.path()).into_iter().find(|it| it.number == 1).unwrap();
    flip(&hit.path, hit.bytes.start);
    let gate = Gate::open(&options);
    assert_eq!(gate.read(Position(0)), [(0, 0), (2, 2)]);
}

#[test]
fn a_huge_length_allocates_nothing() {
    let identity = Identity { id: 1, salt: 2 };
    let mut bytes = Vec::new();
    let payload = payload(0, 10);
    format::encode(&mut bytes, 2, Position(0), &record(&payload)).unwrap();
    bytes[12..16].copy_from_slice(&(60u32 << 20).to_le_bytes());
    let checksum = crc32c::crc32c_append(2, &bytes[8..64]);
    bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
    let header = Header {
        identity,
        first: Position(0),
        after: Position(0),
        samples_before: 0,
        created_at: Timestamp(0),
    };
    let segment = [header.encode().as_slice(), &bytes].concat();
    let bounds = Bounds { length: segment.len() as u64, limit: Position(9), after: Position(1) };
    let mut reader = Reader::new(segment.as_slice(), 2, Position(0), bounds);
    let Step::Damage(extent) = reader.step().unwrap() else { panic!("not damage") };
    assert_eq!((extent.bytes, extent.records()), (bytes.len() as u64, 1));
    assert!(matches!(reader.step().unwrap(), Step::End));
}
