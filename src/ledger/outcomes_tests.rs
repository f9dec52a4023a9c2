//! The fold against a model that keeps every sample, over crashes, losses and too many clients.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const CLIENTS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// A batch of the log.
#[derive(Debug, Clone, Copy)]
struct Sent {
    client: usize,
    protocol: u8,
    samples: u64,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// The next batch: so many of its samples are refused, so many skipped, the rest is stored.
    Settle { refused: u64, skipped: u64 },
    /// So many batches are gone from the log, and nobody says whose they were.
    Lose { batches: usize, shed: bool },
    /// A checkpoint of the log is read.
    Name,
    /// What changed goes to disk, with the position.
    Save,
    /// A new process goes on from the disk.
    Crash,
}

fn sent() -> impl Strategy<Value = Sent> {
    (0..CLIENTS.len(), 1..3_u8, 1..100_u64).prop_map(|(client, protocol, samples)| Sent {
        client,
        protocol,
        samples,
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (0..50_u64, 0..50_u64).prop_map(|(refused, skipped)| Step::Settle { refused, skipped }),
        1 => (1..4_usize, any::<bool>()).prop_map(|(batches, shed)| Step::Lose { batches, shed }),
        1 => Just(Step::Name),
        4 => Just(Step::Save),
        2 => Just(Step::Crash),
    ]
}

type Key = (Option<ClientId>, u8);
type Disk = BTreeMap<Key, Outcome>;

fn lines(disk: &Disk) -> Vec<OutcomeLine> {
    let line = |(key, outcome): (&Key, &Outcome)| OutcomeLine {
        client: key.0.clone(),
        protocol: key.1,
        outcome: *outcome,
    };
    disk.iter().map(line).collect()
}

fn accepted(log: &[Sent]) -> Vec<Accepted> {
    let mut sums = BTreeMap::new();
    for Sent { client, protocol, samples } in log {
        *sums.entry((*client, *protocol)).or_default() += samples;
    }
    let told = |((client, protocol), samples): ((usize, u8), u64)| Accepted {
        client: CLIENTS[client].into(),
        protocol,
        samples,
    };
    sums.into_iter().map(told).collect()
}

fn all(outcomes: &Outcomes) -> Disk {
    outcomes.lines().map(|it| ((it.client.clone(), it.protocol), it.outcome)).collect()
}

/// Kind by kind over all lines.
fn sum(disk: &Disk) -> [u64; 6] {
    disk.values().fold([0; 6], |sum, it| {
        let kinds = [it.before, it.stored, it.dead_lettered, it.skipped, it.lost, it.shed];
        std::array::from_fn(|kind| sum[kind] + kinds[kind])
    })
}

proptest! {
    /// Whatever is settled and lost, and wherever it crashes: what is on disk is what became of the
    /// batches below the position on disk, client by client.
    #[test]
    fn the_lines_on_disk_are_those_of_the_position_on_disk(
        log in prop::collection::vec(sent(), 1..60),
        steps in prop::collection::vec(step(), 1..120),
        clients_max in prop_oneof![Just(3_usize), Just(10)],
        start in 0..8_usize,
    ) {
        // The store begins in the middle of the log, and nobody says what was before.
        let start = start.min(log.len());
        let before: u64 = log[..start].iter().map(|sent| sent.samples).sum();
        let mut disk = Disk::new();
        disk.insert((None, UNKNOWN), Outcome { before, ..Outcome::default() });
        let mut outcomes = Outcomes::new(clients_max, lines(&disk));
        // Position and expected sums, in memory and on disk.
        let begin = (start, [before, 0, 0, 0, 0, 0]);
        let (mut now, mut saved) = (begin, begin);
        for step in steps {
            match step {
                Step::Settle { refused, skipped } => {
                    let Some(sent) = log.get(now.0) else { continue };
                    let refused = refused.min(sent.samples);
                    let skipped = skipped.min(sent.samples - refused);
                    let stored = sent.samples - refused - skipped;
                    let outcome = outcomes.of(&CLIENTS[sent.client].into(), sent.protocol);
                    outcome.stored += stored;
                    outcome.dead_lettered += refused;
                    outcome.skipped += skipped;
                    now.0 += 1;
                    now.1 = std::array::from_fn(|kind| now.1[kind] + [0, stored, refused, skipped, 0, 0][kind]);
                }
                Step::Lose { batches, shed } => {
                    let end = log.len().min(now.0 + batches);
                    let samples: u64 = log[now.0..end].iter().map(|sent| sent.samples).sum();
                    let unknown = outcomes.unknown();
                    *(if shed { &mut unknown.shed } else { &mut unknown.lost }) += samples;
                    now.0 = end;
                    now.1[if shed { 5 } else { 4 }] += samples;
                }
                Step::Name => outcomes.name(accepted(&log[..now.0])),
                Step::Save => {
                    // Said twice, as after an error, it is the same.
                    for _ in 0..2 {
                        for line in outcomes.changed() {
                            disk.insert((line.client.clone(), line.protocol), line.outcome);
                        }
                    }
                    outcomes.saved();
                    saved = now;
                    prop_assert_eq!(&disk, &all(&outcomes));
                }
                Step::Crash => {
                    outcomes = Outcomes::new(clients_max, lines(&disk));
                    now = saved;
                }
            }
            prop_assert_eq!(sum(&all(&outcomes)), now.1);
            prop_assert_eq!(sum(&disk), saved.1);
            let named = outcomes.lines().filter(|line| line.client.is_some()).count();
            prop_assert!(named <= clients_max);
        }
        // Once the log tells, nothing is unknown, and every client has exactly what it sent.
        outcomes.name(accepted(&log[..now.0]));
        if clients_max == 10 {
            prop_assert!(!outcomes.has_unknown());
            let known: Vec<_> = all(&outcomes).into_iter().filter(|(key, _)| key.0.is_some()).collect();
            let expected = accepted(&log[..now.0]);
            prop_assert_eq!(known.len(), expected.len());
            for (key, outcome) in known {
                let its = |it: &&Accepted| (Some(&it.client), it.protocol) == (key.0.as_ref(), key.1);
                let sent = expected.iter().find(its).map_or(0, |it| it.samples);
                prop_assert_eq!(outcome.accounted(), sent, "{:?}", key);
            }
        }
    }
}

#[test]
fn who_comes_when_there_are_enough_is_counted_with_the_others() {
    let mut outcomes = Outcomes::new(2, []);
    for (client, protocol, stored) in [("a", 1, 1), ("a", 2, 10), ("b", 1, 100), ("c", 1, 1000)] {
        outcomes.of(&client.into(), protocol).stored += stored;
    }
    outcomes.of(&"a".into(), 1).stored += 1;
    let found: Vec<_> =
        outcomes.lines().map(|it| (it.client.as_deref(), it.protocol, it.outcome.stored)).collect();
    assert_eq!(found, [(Some("a"), 1, 2), (Some("a"), 2, 10), (None, 1, 1100)]);
    outcomes.saved();
    assert_eq!(outcomes.changed().count(), 0);
    outcomes.of(&"d".into(), 1).stored += 1;
    assert_eq!(outcomes.changed().count(), 1);
}

#[test]
fn ten_thousand_clients_cost_one_look_up_each() {
    let mut outcomes = Outcomes::new(CLIENTS_MAX, []);
    let clients: Vec<ClientId> = (0..CLIENTS_MAX).map(|n| format!("gateway-{n}").into()).collect();
    for _ in 0..3 {
        clients.iter().for_each(|client| outcomes.of(client, 1).stored += 1);
    }
    assert_eq!(outcomes.changed().count(), CLIENTS_MAX);
    assert!(outcomes.lines().all(|line| line.outcome.stored == 3));
}
