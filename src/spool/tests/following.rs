//! Followers: fast and slow, early and late, and what they hold on to.

use super::*;
use std::thread;

#[test]
fn followers_of_all_speeds_read_the_same_while_it_is_written() {
    let dir = scratch();
    let mut gate = Gate::open(&options(dir.path()));
    let spool = gate.spool.clone();
    let expected: Vec<_> = (0..400).map(|n| (n, n)).collect();
    thread::scope(|scope| {
        for bytes_max in [1, 700, 100_000] {
            let name = bytes_max.to_string();
            let mut follower = gate.spool.follow(&name, Position(0));
            let expected = &expected;
            scope.spawn(move || {
                let mut read = Vec::new();
                loop {
                    match follower.next(bytes_max, Duration::from_secs(60)).unwrap() {
                        Next::Entries(entries) => {
                            read.extend(entries.iter().map(|it| (it.position.0, number_of(it))));
                            follower.commit(follower.position());
                        }
                        Next::Ended => break,
                        Next::Idle => panic!("nothing came for a minute"),
                    }
                }
                assert_eq!(read, *expected);
            });
        }
        for number in 0..400 {
            gate.append(number, 60).unwrap();
            if number % 3 == 0 {
                gate.commit().unwrap();
            }
        }
        gate.commit().unwrap();
        gate.close().unwrap();
    });
    let stats = spool.stats();
    assert_eq!(stats.segments, 1, "trimmed to the last segment");
    assert!(stats.followers.iter().all(|it| it.records_behind == 0 && it.samples_behind == 0));
}

#[test]
fn a_follower_falls_out_of_the_tail_and_back_in() {
    let dir = scratch();
    let mut gate = Gate::open(&options(dir.path()));
    let mut follower = gate.spool.follow("slow", Position(0));
    let mut read = Vec::new();
    for round in 0..30 {
        // Sometimes less than the tail holds, sometimes more.
        let from = gate.spool.next().0;
        gate.store(from..from + 1 + round % 9, 80);
        if round % 4 != 3 {
            let Next::Entries(entries) = follower.next(400, NOW).unwrap() else { panic!("none") };
            read.extend(entries.iter().map(|it| (it.position.0, number_of(it))));
        }
        let stats = gate.spool.stats();
        assert!(stats.tail_bytes <= stats.tail_bytes_max);
        let slow = stats.followers.iter().find(|it| it.name == "slow").unwrap();
        assert_eq!(slow.samples_behind, slow.records_behind, "each batch has one sample");
        assert_eq!(slow.records_behind, gate.spool.next().0 - follower.position().0);
        assert_eq!(slow.behind_since.is_some(), slow.records_behind > 0);
    }
    assert_eq!(gate.spool.stats().damaged_extents, 0);
    read.extend(read_all(&mut follower, 1000));
    assert_eq!(read, (0..gate.spool.next().0).map(|n| (n, n)).collect::<Vec<_>>());
}

#[test]
fn a_follower_that_reads_a_growing_segment_from_disk_never_reads_a_part_twice() {
    let dir = scratch();
    let options = Options { segment_bytes: 1 << 16, tail_bytes: 300, ..options(dir.path()) };
    let mut gate = Gate::open(&options);
    let mut follower = gate.spool.follow("slow", Position(0));
    let mut read = Vec::new();
    for round in 0..6 {
        // More than the tail holds: from disk, first a piece, then all that there is.
        gate.store(round * 20..round * 20 + 20, 80);
        for bytes_max in [250, 100_000] {
            let Next::Entries(entries) = follower.next(bytes_max, NOW).unwrap() else { continue };
            read.extend(entries.iter().map(|it| number_of(it)));
        }
    }
    assert_eq!(read, (0..120).collect::<Vec<_>>());
    assert_eq!(gate.spool.stats().damaged_extents, 0);
}

#[test]
fn what_is_not_committed_is_not_visible() {
    let dir = scratch();
    let mut gate = Gate::open(&options(dir.path()));
    let mut follower = gate.spool.follow("sink", Position(0));
    gate.append(0, 10).unwrap();
    assert_eq!(follower.next(1000, NOW).unwrap(), Next::Idle);
    assert_eq!(gate.spool.next(), Position(0));
    gate.commit().unwrap();
    assert_eq!(read_all(&mut follower, 1000), [(0, 0)]);
}

#[test]
fn only_what_every_follower_has_committed_is_trimmed() {
    let dir = scratch();
    let options = options(dir.path());
    let mut gate = Gate::open(&options);
    gate.store(0..100, 100);
    let segments = gate.spool.stats().segments;
    let history = gate.spool.follow("history", Position(0));
    let influx = gate.spool.follow("influx", Position(0));
    history.commit(Position(90));
    assert_eq!(gate.spool.stats().segments, segments);
    influx.commit(Position(50));
    let first = gate.spool.first();
    assert!(first.0 > 30 && first.0 <= 50, "{first}");
    assert_eq!(list(dir.path()).unwrap()[0].first, first);
    influx.commit(Position(20));
    // Whoever is dropped is still waited for, until forgotten.
    drop(influx);
    history.commit(Position(100));
    assert_eq!(gate.spool.first(), first);
    gate.spool.forget("influx");
    assert!(gate.spool.first().0 > 80);
    assert_eq!(gate.folded.len(), 100);
    drop((gate, history));
    let gate = Gate::open(&options);
    assert_eq!(gate.folded, (0..100).collect(), "what is trimmed is known by the checkpoint");
    assert!(gate.read(Position(0)).len() < 20);
}

#[test]
fn a_follower_that_comes_too_late_is_told() {
    let dir = scratch();
    let mut gate = Gate::open(&options(dir.path()));
    gate.store(0..100, 100);
    gate.spool.follow("sink", Position(0)).commit(Position(60));
    let first = gate.spool.first();
    let mut late = gate.spool.follow("late", Position(10));
    assert_eq!((late.position(), late.gap()), (first, first.0 - 10));
    assert_eq!(read_all(&mut late, 1000)[0].0, first.0);
    assert_eq!(gate.spool.follow("good", first).gap(), 0);
}

#[test]
fn a_follower_ahead_of_the_spool_misses_nothing() {
    let dir = scratch();
    let options = options(dir.path());
    let mut gate = Gate::open(&options);
    gate.store(0..5, 10);
    let history = gate.spool.follow("history", Position(0));
    // The disk lost 5..20, which this follower has.
    let ahead = gate.spool.follow("ahead", Position(20));
    assert_eq!(ahead.position(), Position(5));
    drop(ahead);
    gate.writer.skip_to(Position(20));
    let mut ahead = gate.spool.follow("ahead", Position(20));
    gate.store(20..23, 10);
    assert_eq!(read_all(&mut ahead, 1000), [(20, 20), (21, 21), (22, 22)]);
    let expected: Vec<_> = (0..5).chain(20..23).map(|n| (n, n)).collect();
    assert_eq!(gate.read(Position(0)), expected);
    assert_eq!(gate.spool.stats().damaged_records, 0, "positions given up are not damage");
    drop((gate, ahead));
    drop(history);
    assert_eq!(Gate::open(&options).read(Position(0)), expected);
    assert_eq!(verify(dir.path()).unwrap().damage, []);
}

#[test]
fn a_writer_that_dies_ends_its_followers() {
    let dir = scratch();
    let mut gate = Gate::open(&options(dir.path()));
    gate.store(0..1, 10);
    let mut follower = gate.spool.follow("sink", Position(0));
    drop(gate.writer);
    assert_eq!(read_all(&mut follower, 1000), [(0, 0)]);
    assert_eq!(follower.next(1000, Duration::MAX).unwrap(), Next::Ended);
}

#[test]
fn a_follower_that_skips_goes_on_there_and_what_it_left_out_stays() {
    let dir = scratch();
    let mut gate = Gate::open(&options(dir.path()));
    let mut follower = gate.spool.follow("hasty", Position(0));
    gate.store(0..100, 80);
    let end = gate.spool.next();
    follower.skip_to(end);
    assert_eq!(follower.samples_behind(), 0);
    gate.store(100..103, 80);
    let Next::Entries(entries) = follower.next(1 << 20, NOW).unwrap() else { panic!("none") };
    assert_eq!(entries.iter().map(|it| number_of(it)).collect::<Vec<_>>(), [100, 101, 102]);
    assert_eq!(gate.spool.first(), Position(0), "nothing was committed");
    // Into the middle of a segment on disk, by another follower of the part that was left out.
    let mut second = gate.spool.follow("patient", Position(0));
    second.skip_to(Position(37));
    let Next::Entries(entries) = second.next(1, NOW).unwrap() else { panic!("none") };
    assert_eq!(number_of(&entries[0]), 37);
    assert_eq!(second.samples_before() + second.samples_behind(), follower.samples_before());
    gate.spool.commit("hasty", end);
    assert_eq!(gate.spool.first(), Position(0), "the patient one needs it all");
    gate.spool.forget("patient");
    assert!(gate.spool.first() > Position(0));
}
