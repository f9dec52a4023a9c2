//! A spool that gives up its oldest segment at its cap: whoever had not read it knows how much it was.

use super::*;
use proptest::prelude::*;

const BYTES_MAX: u64 = 16 << 10;

fn shedding(dir: &Path) -> Options {
    let when_full = WhenFull::ShedOldest;
    Options { bytes_max: BYTES_MAX, when_full, tail_bytes: 0, ..options(dir) }
}

fn shed_of(spool: &Spool, name: &str) -> u64 {
    let stats = spool.stats();
    stats.followers.iter().find(|follower| follower.name == name).unwrap().samples_shed
}

#[test]
fn the_oldest_goes_and_who_needed_it_counts_it() {
    let dir = scratch();
    let mut gate = Gate::open(&shedding(dir.path()));
    let mut late = gate.spool.follow("late", Position(0));
    let mut stuck = gate.spool.follow("stuck", Position(0));
    gate.store(0..10, 300);
    // In the middle of a segment.
    let begun = read_all(&mut late, 1).len() as u64;
    assert_eq!(begun, 10);
    gate.store(10..200, 300);
    let stats = gate.spool.stats();
    assert!(stats.bytes <= BYTES_MAX, "{stats:?}");
    assert!(stats.shed_segments > 20);
    let first = gate.spool.first().0;
    assert_eq!(stats.shed, Shed { to: Position(first), samples: first });
    // Known before they come to see it, and the same when they have.
    assert_eq!(
        (shed_of(&gate.spool, "late"), shed_of(&gate.spool, "stuck")),
        (first - begun, first)
    );
    let rest: Vec<_> = (first..200).map(|n| (n, n)).collect();
    assert_eq!((read_all(&mut late, 500), read_all(&mut stuck, 500)), (rest.clone(), rest));
    assert_eq!((late.samples_shed(), stuck.samples_shed()), (first - begun, first));
    assert_eq!(
        (shed_of(&gate.spool, "late"), shed_of(&gate.spool, "stuck")),
        (first - begun, first)
    );
    assert_eq!(gate.spool.stats().damaged_extents, 0, "a choice is no damage");
    gate.close().unwrap();
    drop((late, stuck));

    // A follower that was away when it went: exact, from what it knows itself.
    let gate = Gate::open(&shedding(dir.path()));
    assert_eq!(gate.spool.stats().shed, stats.shed);
    assert_eq!(gate.folded.len(), 200, "nothing is forgotten by it");
    let mut back = gate.spool.follow_from("back", Position(10), 10);
    assert_eq!(
        (back.samples_shed(), read_all(&mut back, 500).len() as u64),
        (first - 10, 200 - first)
    );
    assert_eq!(gate.spool.follow_from("there", Position(first), first).samples_shed(), 0);
    assert_eq!(verify(dir.path()).unwrap().shed, stats.shed);
}

#[test]
fn what_nobody_needs_is_trimmed_and_not_shed() {
    let dir = scratch();
    let mut gate = Gate::open(&shedding(dir.path()));
    let mut follower = gate.spool.follow("sink", Position(0));
    for numbers in 0..50 {
        gate.store(numbers * 4..numbers * 4 + 4, 300);
        assert_eq!(read_all(&mut follower, 500).len(), 4);
        follower.commit(follower.position());
    }
    assert_eq!((gate.spool.stats().shed, follower.samples_shed()), (Shed::default(), 0));
}

#[test]
fn a_batch_as_large_as_the_spool_is_refused_and_the_rest_goes_on() {
    let dir = scratch();
    let mut gate = Gate::open(&shedding(dir.path()));
    gate.store(0..20, 300);
    assert!(matches!(gate.append(20, BYTES_MAX as usize), Err(SpoolError::Full { .. })));
    gate.commit().unwrap();
    gate.store(20..40, 300);
    assert_eq!(gate.read(Position(39)), [(39, 39)]);
}

proptest! {
    /// However readers stop and go, and the daemon starts anew: read + shed = written, for everybody.
    #[test]
    fn what_is_read_and_what_is_shed_is_all_there_was(
        steps in prop::collection::vec((0u64..40, 0usize..3, 1usize..2000, any::<bool>()), 1..20)
    ) {
        let dir = scratch();
        let options = shedding(dir.path());
        let mut gate = Gate::open(&options);
        let mut followers = vec![gate.spool.follow("0", Position(0)), gate.spool.follow("1", Position(0))];
        // What each of them has had, and what it was told to be shed before this run.
        let (mut had, mut shed) = ([0u64; 2], [0u64; 2]);
        let mut written = 0;
        for (more, who, bytes_max, restart) in steps {
            gate.store(written..written + more, 200);
            written += more;
            if let Some(follower) = followers.get_mut(who)
                && let Next::Entries(entries) = follower.next(bytes_max, NOW).unwrap()
            {
                had[who] += entries.len() as u64;
                let first = entries[0].position.0;
                prop_assert_eq!(first + entries.len() as u64, had[who] + shed[who] + follower.samples_shed());
            }
            if restart {
                for (who, follower) in followers.iter().enumerate() {
                    shed[who] += follower.samples_shed();
                }
                let at: Vec<_> = followers.drain(..).map(|follower| follower.position()).collect();
                drop(gate);
                gate = Gate::open(&options);
                followers = (0..2)
                    .map(|who| gate.spool.follow_from(&who.to_string(), at[who], had[who] + shed[who]))
                    .collect();
            }
        }
        for (who, follower) in followers.iter_mut().enumerate() {
            had[who] += read_all(follower, 500).len() as u64;
            prop_assert_eq!(had[who] + shed[who] + follower.samples_shed(), written);
        }
    }
}
