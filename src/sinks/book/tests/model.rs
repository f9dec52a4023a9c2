//! Random settlements, replays and drops, by two connections, against a model in memory.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const SINKS: [&str; 2] = ["a", "b"];

#[derive(Debug, Clone)]
enum Step {
    /// A round with letters of so many samples; settled twice if told so.
    Settle {
        sink: usize,
        letters: Vec<usize>,
        again: bool,
    },
    /// A round of which the sink is told that it failed, and what somebody did before the next try.
    Wait {
        seconds: i64,
    },
    Replay(Meant),
    Drop(Meant),
    /// The sink sends what is marked; the bits say which are stored.
    Resend {
        sink: usize,
        bytes_max: u64,
        stored: u8,
        dropped_meanwhile: bool,
    },
    Reopen,
}

#[derive(Debug, Clone)]
enum Meant {
    All,
    Sink(usize),
    /// Every so-and-so-many-th of the letters held.
    Every(usize),
}

fn meant() -> impl Strategy<Value = Meant> {
    prop_oneof![
        1 => Just(Meant::All),
        2 => (0..SINKS.len()).prop_map(Meant::Sink),
        5 => (1..5_usize).prop_map(Meant::Every),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let sink = || 0..SINKS.len();
    let letters = proptest::collection::vec(1..30_usize, 0..5);
    prop_oneof![
        6 => (sink(), letters, any::<bool>())
            .prop_map(|(sink, letters, again)| Step::Settle { sink, letters, again }),
        2 => (0..20_i64).prop_map(|seconds| Step::Wait { seconds }),
        3 => meant().prop_map(Step::Replay),
        1 => meant().prop_map(Step::Drop),
        3 => (sink(), 0..3000_u64, any::<u8>(), any::<bool>()).prop_map(
            |(sink, bytes_max, stored, dropped_meanwhile)| {
                Step::Resend { sink, bytes_max, stored, dropped_meanwhile }
            }
        ),
        1 => Just(Step::Reopen),
    ]
}

#[derive(Debug, Clone, PartialEq)]
struct Held {
    sink: usize,
    position: u64,
    samples: u64,
    refused_at: i64,
    attempts: u32,
    replaying: bool,
    bytes: u64,
}

/// What the book must say.
#[derive(Default)]
struct Model {
    now: i64,
    next_id: u64,
    letters: BTreeMap<u64, Held>,
    heads: [u64; 2],
    dead_lettered: [u64; 2],
    shed: [u64; 2],
    dropped: [u64; 2],
    replayed: [u64; 2],
}

impl Model {
    fn which(&self, meant: &Meant) -> (Which, Vec<u64>) {
        let ids = || self.letters.keys().copied();
        match *meant {
            Meant::All => (Which::All, ids().collect()),
            Meant::Sink(sink) => {
                let its = ids().filter(|id| self.letters[id].sink == sink).collect();
                (Which::Sink(SINKS[sink].into()), its)
            }
            Meant::Every(step) => {
                let chosen: Vec<_> = ids().step_by(step).collect();
                (Which::Ids(chosen.iter().chain(&chosen).chain(&[9999]).copied().collect()), chosen)
            }
        }
    }

    fn drop(&mut self, ids: &[u64]) {
        for id in ids {
            let held = self.letters.remove(id).unwrap();
            self.dropped[held.sink] += held.samples;
        }
    }

    fn shed(&mut self, bounds: Bounds) -> Shed {
        let mut shed = Shed::default();
        let oldest = |letters: &BTreeMap<u64, Held>| {
            letters.iter().map(|(id, held)| (held.refused_at, *id)).min()
        };
        while let Some((refused_at, id)) = oldest(&self.letters) {
            let bytes: u64 = self.letters.values().map(|held| held.bytes).sum();
            let age = self.now - refused_at;
            if bytes <= bounds.bytes_max && age <= bounds.age_max.unwrap().as_nanos() as i64 {
                break;
            }
            let held = self.letters.remove(&id).unwrap();
            self.shed[held.sink] += held.samples;
            shed.letters += 1;
            shed.samples += held.samples;
        }
        shed
    }

    fn check(&self, book: &Book) {
        let found = all(book);
        let expected: Vec<_> = self.letters.iter().map(|(id, held)| (*id, held.clone())).collect();
        let found: Vec<_> = found
            .iter()
            .map(|letter| {
                let Letter { batch, .. } = book.letter(letter.id).unwrap().unwrap();
                assert_eq!(batch.samples() as u64, letter.samples);
                let held = Held {
                    sink: SINKS.iter().position(|sink| *sink == letter.sink).unwrap(),
                    position: letter.received_at.0.cast_unsigned(),
                    samples: letter.samples,
                    refused_at: letter.refused_at.0,
                    attempts: letter.attempts,
                    replaying: letter.replaying,
                    bytes: self.letters.get(&letter.id).map_or(0, |held| held.bytes),
                };
                (letter.id, held)
            })
            .collect();
        assert_eq!(found, expected);
        for (at, sink) in SINKS.into_iter().enumerate() {
            let totals = book.totals(Some(sink)).unwrap();
            let its = || self.letters.values().filter(|held| held.sink == at);
            let expected = Totals {
                letters: its().count() as u64,
                samples: its().map(|held| held.samples).sum(),
                bytes: its().map(|held| held.bytes).sum(),
                shed: self.shed[at],
                dropped: self.dropped[at],
                replayed: self.replayed[at],
            };
            assert_eq!(totals, expected, "{sink}");
            let ever = book.sink(sink, SPOOL).unwrap().map_or(0, |it| it.counts.dead_lettered);
            let Totals { samples, shed, dropped, replayed, .. } = totals;
            assert_eq!(ever, samples + shed + dropped + replayed, "{sink}: nothing is lost");
        }
    }
}

/// As [`letter`], with its position where it can be read back.
fn numbered(position: u64, samples: usize) -> NewLetter {
    NewLetter { received_at: Timestamp(position as i64), ..letter(position, samples) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_book_is_what_the_model_says(steps in proptest::collection::vec(step(), 1..60)) {
        let folder = folder();
        let bounds = Bounds { bytes_max: 6000, age_max: Some(Duration::from_secs(60)) };
        let mut book = open(&folder, bounds);
        let mut person = Book::existing(&path(&folder)).unwrap().unwrap();
        let mut model = Model { next_id: 1, ..Model::default() };
        for step in steps {
            model.now += 1;
            let now = Timestamp(model.now);
            match step {
                Step::Settle { sink, letters, again } => {
                    let first = model.heads[sink];
                    let round: Vec<_> =
                        (first..).zip(&letters).map(|(at, &samples)| numbered(at, samples)).collect();
                    for new in &round {
                        let bytes = bytes_of(new);
                        let (position, samples) = (new.position.0, new.batch.samples() as u64);
                        model.dead_lettered[sink] += samples;
                        let held = Held { sink, position, samples, refused_at: now.0, attempts: 1, replaying: false, bytes };
                        model.letters.insert(model.next_id, held);
                        model.next_id += 1;
                    }
                    model.heads[sink] += letters.len() as u64 + 1;
                    let standing = standing(model.heads[sink], model.dead_lettered[sink]);
                    let news = news(&round);
                    let shed = book.settle(SINKS[sink], &standing, &mut nobody(), &news, now).unwrap();
                    prop_assert_eq!(shed, model.shed(bounds));
                    if again {
                        let shed = book.settle(SINKS[sink], &standing, &mut nobody(), &news, now).unwrap();
                        prop_assert_eq!(shed, Shed::default());
                    }
                    prop_assert_eq!(book.sink(SINKS[sink], SPOOL).unwrap(), Some(standing));
                }
                Step::Wait { seconds } => {
                    model.now += seconds * SECOND;
                    let shed = book.shed(Timestamp(model.now)).unwrap();
                    prop_assert_eq!(shed, model.shed(bounds));
                }
                Step::Replay(meant) => {
                    let (which, ids) = model.which(&meant);
                    prop_assert_eq!(person.replay(&which).unwrap(), ids.len() as u64);
                    for id in ids {
                        model.letters.get_mut(&id).unwrap().replaying = true;
                    }
                }
                Step::Drop(meant) => {
                    let (which, ids) = model.which(&meant);
                    prop_assert_eq!(person.drop_letters(&which).unwrap(), ids.len() as u64);
                    model.drop(&ids);
                }
                Step::Resend { sink, bytes_max, stored, dropped_meanwhile } => {
                    let sent = book.to_replay(SINKS[sink], bytes_max).unwrap();
                    let marked: Vec<u64> = model.letters.iter()
                        .filter(|(_, held)| held.sink == sink && held.replaying)
                        .map(|(id, _)| *id).collect();
                    let sent: Vec<_> = sent.iter().map(|letter| letter.summary.id).collect();
                    prop_assert_eq!(sent.is_empty(), marked.is_empty());
                    prop_assert_eq!(&sent[..], &marked[..sent.len()]);
                    let bytes = |ids: &[u64]| ids.iter().map(|id| model.letters[id].bytes).sum::<u64>();
                    prop_assert!(sent.len() <= 1 || bytes(&sent) <= bytes_max);
                    if let Some(next) = marked.get(sent.len()) {
                        prop_assert!(bytes(&sent) + bytes(&[*next]) > bytes_max);
                    }
                    if let Some(first) = sent.first().filter(|_| dropped_meanwhile) {
                        prop_assert_eq!(person.drop_letters(&Which::Ids(vec![*first])).unwrap(), 1);
                        model.drop(&[*first]);
                    }
                    let good = |at: usize| stored >> (at % 8) & 1 == 1;
                    let stored: Vec<u64> =
                        (0..sent.len()).filter(|&at| good(at)).map(|at| sent[at]).collect();
                    let refused: Vec<(u64, Arc<str>)> = (0..sent.len())
                        .filter(|&at| !good(at)).map(|at| (sent[at], "again: no".into())).collect();
                    book.replayed(SINKS[sink], &stored, &refused, now).unwrap();
                    for id in stored {
                        if let Some(held) = model.letters.remove(&id) {
                            model.replayed[sink] += held.samples;
                        }
                    }
                    for (id, words) in refused {
                        if let Some(held) = model.letters.get_mut(&id) {
                            let before = if held.attempts == 1 { "field type conflict" } else { "again: no" };
                            held.bytes = held.bytes + words.len() as u64 - before.len() as u64;
                            (held.replaying, held.refused_at) = (false, now.0);
                            held.attempts += 1;
                        }
                    }
                }
                Step::Reopen => {
                    drop(book);
                    book = open(&folder, bounds);
                }
            }
            model.check(&person);
        }
        model.check(&book);
    }
}

/// What a letter takes: written down anew, from the words of [`Bounds::bytes_max`].
fn bytes_of(new: &NewLetter) -> u64 {
    let readings = crate::decode::encode(&new.batch, 0).len();
    let texts = ["pump-7", "[\"motor.temperature\"]", "gateway-1", "ws", "field type conflict"];
    256 + (readings + texts.iter().map(|text| text.len()).sum::<usize>()) as u64
}
