//! Random appends, commits, crashes, damage, trimming and reading against a vector of what was
//! committed. What survives is read back exactly, minus exactly the records that damage touched.

use super::super::disk::Operation;
use super::super::disk::faults::{clear, fail};
use super::super::format::{self, MARK};
use super::*;
use proptest::prelude::*;
use proptest::sample::Index;
use rustix::io::Errno;
use std::io::Write;

#[derive(Debug, Clone)]
enum Action {
    Append {
        filler: usize,
        is_nested: bool,
    },
    Commit,
    /// A commit while the disk fails so many times.
    Fail {
        operation: Operation,
        times: u32,
        errno: Errno,
    },
    Close,
    Crash,
    /// A crash in the middle of writing a group: so many records, cut at this point.
    Tear {
        records: usize,
        cut: Index,
    },
    /// A byte of a segment is flipped while the spool is closed.
    Flip {
        at: Index,
    },
    /// A segment disappears while the spool is closed.
    Delete {
        which: Index,
    },
    Read {
        from: Index,
        bytes_max: usize,
    },
    ReadOn {
        bytes_max: usize,
    },
    Trim {
        to: Index,
    },
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        12 => (0usize..400, any::<bool>()).prop_map(|(filler, is_nested)| Action::Append { filler, is_nested }),
        8 => Just(Action::Commit),
        1 => (operation(), 1u32..3, prop_oneof![Just(Errno::IO), Just(Errno::NOSPC)])
            .prop_map(|(operation, times, errno)| Action::Fail { operation, times, errno }),
        1 => Just(Action::Close),
        1 => Just(Action::Crash),
        1 => (1usize..4, any::<Index>()).prop_map(|(records, cut)| Action::Tear { records, cut }),
        1 => any::<Index>().prop_map(|at| Action::Flip { at }),
        1 => any::<Index>().prop_map(|which| Action::Delete { which }),
        2 => (any::<Index>(), 1usize..2000).prop_map(|(from, bytes_max)| Action::Read { from, bytes_max }),
        3 => (1usize..2000).prop_map(|bytes_max| Action::ReadOn { bytes_max }),
        1 => any::<Index>().prop_map(|to| Action::Trim { to }),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        Just(Operation::Create),
        Just(Operation::Allocate),
        Just(Operation::Write),
        Just(Operation::Sync)
    ]
}

struct World {
    options: Options,
    gate: Option<Gate>,
    /// Reads on while others write; its last position.
    live: Option<Follower>,
    /// What it has committed.
    needed: Position,
    /// What is committed and not damaged, in order.
    stored: Vec<(u64, u64)>,
    pending: Vec<(u64, u64)>,
    /// Every number that was ever committed.
    ever: BTreeSet<u64>,
    number: u64,
    is_damaged: bool,
    /// Position after the last batch that was ever committed.
    end: u64,
    flipped: BTreeSet<(std::path::PathBuf, u64)>,
}

impl World {
    fn gate(&mut self) -> &mut Gate {
        self.gate.as_mut().unwrap()
    }

    fn spool(&self) -> &Spool {
        &self.gate.as_ref().unwrap().spool
    }

    /// What a follower that starts here must read.
    fn from(&self, from: u64) -> Vec<(u64, u64)> {
        self.stored.iter().copied().filter(|&(position, _)| position >= from).collect()
    }

    fn apply(&mut self, action: Action) {
        match action {
            Action::Append { filler, is_nested } => self.append(filler, is_nested),
            Action::Commit => {
                self.gate().commit().unwrap();
                self.ever.extend(self.pending.iter().map(|&(_, number)| number));
                self.stored.append(&mut self.pending);
                assert_eq!(self.gate.as_ref().unwrap().folded, self.ever, "the fold runs along");
                self.forget_trimmed();
            }
            Action::Fail { operation, times, errno } => {
                fail(operation, times, errno);
                let committed = self.gate().commit();
                clear();
                match committed {
                    // The fault was not met, or was got over: it is as committed.
                    Ok(()) => {
                        self.ever.extend(self.pending.iter().map(|&(_, number)| number));
                        self.stored.append(&mut self.pending);
                    }
                    Err(_) => self.pending.clear(),
                }
                self.forget_trimmed();
            }
            Action::Close => {
                self.apply(Action::Commit);
                self.shut(true);
                self.open();
            }
            Action::Crash => {
                self.shut(false);
                self.open();
            }
            Action::Tear { records, cut } => {
                self.shut(false);
                self.tear(records, cut);
                self.open();
            }
            Action::Flip { at } => {
                self.shut(false);
                self.flip(at);
                self.open();
            }
            Action::Delete { which } => {
                self.shut(false);
                self.delete(which);
                self.open();
            }
            Action::Read { from, bytes_max } => {
                let from = from.index(self.spool().next().0 as usize + 1) as u64;
                let mut follower = self.spool().follow("reader", Position(from));
                assert_eq!(read_all(&mut follower, bytes_max), self.from(from));
                self.spool().forget("reader");
            }
            Action::ReadOn { bytes_max } => self.read_on(bytes_max),
            Action::Trim { to } => {
                let to = Position(to.index(self.spool().next().0 as usize + 1) as u64);
                let live = self.live.as_ref().unwrap();
                let to = to.min(live.position());
                live.commit(to);
                self.needed = self.needed.max(to);
                self.forget_trimmed();
            }
        }
    }

    /// Trimming happens when a follower commits and when a segment is begun. It takes only what is
    /// not needed.
    fn forget_trimmed(&mut self) {
        let first = self.spool().first();
        let (stored, needed) = (&mut self.stored, self.needed.0);
        let lost = stored.iter().find(|&&(position, _)| position < first.0 && position >= needed);
        assert_eq!(lost, None, "needed from {needed}");
        self.end = self.end.max(stored.last().map_or(0, |&(position, _)| position + 1));
        stored.retain(|&(position, _)| position >= first.0);
    }

    fn append(&mut self, filler: usize, is_nested: bool) {
        let number = self.number;
        self.number += 1;
        let mut payload = payload(number, filler);
        if is_nested {
            // A client that hides records in its payload; it does not know the salt.
            payload.extend(MARK);
            format::encode(&mut payload, 0, Position(number + 1), &record(&0u64.to_le_bytes()))
                .unwrap();
        }
        let batch = (!filler.is_multiple_of(7)).then(|| Arc::new(batch(number)));
        let gate = self.gate();
        let position = gate.writer.append(&record(&payload), batch).unwrap();
        gate.pending.push(number);
        self.pending.push((position.0, number));
    }

    fn read_on(&mut self, bytes_max: usize) {
        let expected = self.from(self.live.as_ref().unwrap().position().0);
        let live = self.live.as_mut().unwrap();
        match live.next(bytes_max, NOW).unwrap() {
            Next::Entries(entries) => {
                let read: Vec<_> =
                    entries.iter().map(|it| (it.position.0, number_of(it))).collect();
                assert!(expected.starts_with(&read), "{read:?} {expected:?}");
                let bytes: usize = entries.iter().skip(1).map(|it| it.memory_bytes()).sum();
                assert!(bytes < bytes_max + 1200);
            }
            Next::Idle => assert_eq!(expected, []),
            Next::Ended => panic!("the writer lives"),
        }
    }

    fn shut(&mut self, is_clean: bool) {
        let gate = self.gate.take().unwrap();
        if is_clean {
            let live = self.live.as_mut().unwrap();
            let (folded, mut writer) = (gate.folded, gate.writer);
            assert_eq!(writer.sync_if_due().unwrap(), None);
            writer.close(&mut || checkpoint(&folded)).unwrap();
            self.stored.retain(|&(position, _)| position >= gate.spool.first().0);
            read_all(live, 1000);
            assert_eq!(live.next(1000, Duration::from_secs(60)).unwrap(), Next::Ended);
        }
        self.pending.clear();
        self.live = None;
    }

    fn open(&mut self) {
        let gate = Gate::open(&self.options);
        let surviving: BTreeSet<u64> = self.stored.iter().map(|&(_, number)| number).collect();
        assert!(gate.folded.is_superset(&surviving), "the fold knows what is stored");
        assert!(gate.folded.is_subset(&self.ever), "the fold makes nothing up");
        if !self.is_damaged {
            assert_eq!(gate.folded, self.ever);
            assert_eq!((gate.recovery.damage_count, &gate.recovery.set_aside), (0, &vec![]));
        }
        // Damage may have cost some of what was ever committed; from here on that is forgotten.
        self.ever = gate.folded.clone();
        // A spool that was made anew has positions of its own.
        self.end = if gate.recovery.created { 0 } else { self.end };
        assert!(gate.spool.next().0 >= self.end, "no position is given twice");
        self.needed = gate.spool.first();
        self.live = Some(gate.spool.follow("live", self.needed));
        self.gate = Some(gate);
        assert_eq!(self.gate().read(Position(0)), self.stored, "all that survives is there");
        self.spool().forget("reader");
    }

    fn tear(&mut self, records: usize, cut: Index) {
        let dir = self.options.dir.clone();
        let (Some(identity), Some(last)) = (identity(&dir), list(&dir).unwrap().pop()) else {
            return;
        };
        // Only behind a sound end do whole records count.
        let whole_end = lie(&dir).last().map(|it| (it.path.clone(), it.bytes.end));
        if whole_end != Some((last.path.clone(), last.bytes)) || self.is_damaged {
            return;
        }
        let next = verify(&dir).unwrap().next.0;
        let (mut group, mut ends) = (Vec::new(), Vec::new());
        for i in 0..records as u64 {
            let payload = payload(self.number + i, 50);
            format::encode(&mut group, identity.salt, Position(next + i), &record(&payload))
                .unwrap();
            ends.push(group.len());
        }
        let cut = cut.index(group.len());
        File::options().append(true).open(&last.path).unwrap().write_all(&group[..cut]).unwrap();
        for i in 0..ends.iter().filter(|&&end| end <= cut).count() as u64 {
            self.stored.push((next + i, self.number + i));
            self.ever.insert(self.number + i);
        }
        self.number += records as u64;
    }

    fn flip(&mut self, at: Index) {
        let segments = list(&self.options.dir).unwrap();
        let total: u64 = segments.iter().map(|it| it.bytes).sum();
        if total == 0 {
            return;
        }
        let mut at = at.index(total as usize) as u64;
        let segment = segments.iter().find(|it| {
            let is_here = at < it.bytes;
            at -= if is_here { 0 } else { it.bytes };
            is_here
        });
        let path = &segment.unwrap().path;
        let hit = lie(&self.options.dir)
            .into_iter()
            .find(|it| it.path == *path && it.bytes.contains(&at));
        // Flipped twice it would be healed.
        if !self.flipped.insert((path.clone(), at)) {
            return;
        }
        flip(path, at);
        self.is_damaged = true;
        if let Some(hit) = hit.filter(|it| it.kind == Kind::Batch) {
            self.stored.retain(|&(_, number)| number != hit.number);
        }
    }

    fn delete(&mut self, which: Index) {
        let segments = list(&self.options.dir).unwrap();
        if segments.is_empty() {
            return;
        }
        let path = &segments[which.index(segments.len())].path;
        let gone = lie(&self.options.dir).into_iter().filter(|it| it.path == *path);
        let gone: BTreeSet<u64> =
            gone.filter(|it| it.kind == Kind::Batch).map(|it| it.number).collect();
        fs::remove_file(path).unwrap();
        // With the last segment goes all knowledge of where the positions ended.
        self.end = 0;
        self.is_damaged = true;
        self.stored.retain(|(_, number)| !gone.contains(number));
    }
}

fn run(tail_bytes: usize, durability: Durability, actions: Vec<Action>) {
    let dir = scratch();
    let options = Options { tail_bytes, durability, ..options(dir.path()) };
    let mut world = World {
        options,
        gate: None,
        live: None,
        needed: Position(0),
        stored: Vec::new(),
        pending: Vec::new(),
        ever: BTreeSet::new(),
        number: 1,
        is_damaged: false,
        end: 0,
        flipped: BTreeSet::new(),
    };
    world.open();
    for action in actions {
        world.apply(action);
    }
    world.shut(false);
    world.open();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_committed_survives_minus_what_was_damaged(
        tail_bytes in prop_oneof![Just(0usize), Just(2500), Just(1 << 20)],
        durability in prop_oneof![3 => Just(Durability::Group), 1 => Just(Durability::Os)],
        actions in prop::collection::vec(action(), 1..120),
    ) {
        run(tail_bytes, durability, actions);
    }
}
