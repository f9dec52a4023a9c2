//! Random rounds, replays and drops, by two connections, against a model in memory.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const BRIDGES: [&str; 2] = ["north", "south"];
const TOPICS: [&str; 3] = ["a/x", "a/y", "b"];
const NODES: [&str; 2] = ["n", "m"];

/// A bridge and a topic.
type Place = (usize, usize);

#[derive(Debug, Clone)]
enum Step {
    /// Messages at places with so many bytes; so many more that were not kept; written twice if told.
    Come {
        messages: Vec<(Place, usize)>,
        missed: u64,
        again: bool,
    },
    Wait {
        seconds: i64,
    },
    Replay(Meant),
    Drop(Meant),
    /// The bridge tries what is marked; the bits say which are understood.
    Retry {
        bridge: usize,
        limit: usize,
        understood: u8,
        dropped_meanwhile: bool,
    },
    Remember {
        bridge: usize,
        node: usize,
        birth: Option<u8>,
    },
    Reopen,
}

#[derive(Debug, Clone)]
enum Meant {
    All,
    Bridge(usize),
    /// `a/+`
    Filter,
    /// Every so-and-so-many-th of the messages held.
    Every(usize),
}

fn meant() -> impl Strategy<Value = Meant> {
    prop_oneof![
        1 => Just(Meant::All),
        2 => (0..BRIDGES.len()).prop_map(Meant::Bridge),
        2 => Just(Meant::Filter),
        5 => (1..5_usize).prop_map(Meant::Every),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let bridge = || 0..BRIDGES.len();
    let message = ((0..BRIDGES.len(), 0..TOPICS.len()), 0..300_usize);
    let messages = proptest::collection::vec(message, 1..15);
    prop_oneof![
        6 => (messages, 0..9_u64, any::<bool>())
            .prop_map(|(messages, missed, again)| Step::Come { messages, missed, again }),
        2 => (0..40_i64).prop_map(|seconds| Step::Wait { seconds }),
        3 => meant().prop_map(Step::Replay),
        1 => meant().prop_map(Step::Drop),
        3 => (bridge(), 0..9_usize, any::<u8>(), any::<bool>()).prop_map(
            |(bridge, limit, understood, dropped_meanwhile)| {
                Step::Retry { bridge, limit, understood, dropped_meanwhile }
            }
        ),
        2 => (bridge(), 0..NODES.len(), any::<Option<u8>>())
            .prop_map(|(bridge, node, birth)| Step::Remember { bridge, node, birth }),
        1 => Just(Step::Reopen),
    ]
}

#[derive(Debug, Clone, PartialEq)]
struct Held {
    place: Place,
    payload: usize,
    received_at: i64,
    reason: &'static str,
    attempts: u32,
    replaying: bool,
}

impl Held {
    fn bytes(&self) -> u64 {
        MESSAGE_BYTES + (self.payload + TOPICS[self.place.1].len() + self.reason.len()) as u64
    }
}

/// What the book must say.
#[derive(Default)]
struct Model {
    now: i64,
    next_id: u64,
    rounds: u64,
    held: BTreeMap<u64, Held>,
    /// Count, first, last, reason.
    topics: BTreeMap<Place, (u64, i64, i64, &'static str)>,
    births: BTreeMap<(usize, usize), u8>,
    totals: [Totals; 2],
}

const FIRST: &str = "no route takes it";
const AGAIN: &str = "still no route takes it";

impl Model {
    fn which(&self, meant: &Meant) -> (Which, Vec<u64>) {
        let ids = |lets: &dyn Fn(Place) -> bool| {
            self.held.iter().filter(|(_, it)| lets(it.place)).map(|(id, _)| *id).collect()
        };
        match *meant {
            Meant::All => (Which::Fitting(Filter::default()), ids(&|_| true)),
            Meant::Bridge(bridge) => {
                let filter = Filter { bridge: Some(BRIDGES[bridge].into()), topic: None };
                (Which::Fitting(filter), ids(&|place| place.0 == bridge))
            }
            Meant::Filter => (Which::Fitting(on("a/+")), ids(&|place| place.1 < 2)),
            Meant::Every(step) => {
                let chosen: Vec<u64> = self.held.keys().copied().step_by(step).collect();
                (Which::Ids(chosen.iter().chain(&chosen).chain(&[9999]).copied().collect()), chosen)
            }
        }
    }

    /// Somebody cared for them.
    fn remove(&mut self, id: u64) -> Option<usize> {
        let held = self.held.remove(&id)?;
        self.forget_if_empty(held.place);
        Some(held.place.0)
    }

    fn forget_if_empty(&mut self, place: Place) {
        if !self.held.values().any(|held| held.place == place) {
            self.topics.remove(&place);
        }
    }

    fn drop(&mut self, which: &Which, ids: &[u64]) {
        for id in ids {
            let bridge = self.remove(*id).unwrap();
            self.totals[bridge].dropped += 1;
        }
        if let Which::Fitting(filter) = which {
            self.topics.retain(|place, _| {
                let its = filter.bridge.as_ref().is_none_or(|bridge| bridge == BRIDGES[place.0]);
                !its || (filter.topic.is_some() && place.1 == 2)
            });
        }
    }

    fn shed(&mut self, bounds: Bounds) {
        let floor = self.now - bounds.age_max.unwrap().as_nanos() as i64;
        self.shed_where(|_, held| held.received_at < floor);
        self.topics.retain(|_, (_, _, last, _)| *last >= floor);
        loop {
            let of = |held: &BTreeMap<u64, Held>, place| -> Vec<u64> {
                held.iter().filter(|(_, it)| it.place == place).map(|(id, _)| *id).collect()
            };
            let crowded = self
                .held
                .iter()
                .find(|(_, it)| of(&self.held, it.place).len() > TOPIC_MESSAGES_MAX);
            let bytes: u64 = self.held.values().map(Held::bytes).sum();
            let over = self.held.len() as u64 > bounds.messages_max || bytes > bounds.bytes_max;
            let newest = |id: u64, it: &Held| of(&self.held, it.place).last() == Some(&id);
            let victim = match crowded {
                Some((id, _)) => Some(*id),
                None if over => {
                    let order = |id: &u64| (newest(*id, &self.held[id]), *id);
                    self.held.keys().copied().min_by_key(order)
                }
                None => None,
            };
            let Some(victim) = victim else { break };
            self.shed_where(|id, _| id == victim);
        }
    }

    fn shed_where(&mut self, past: impl Fn(u64, &Held) -> bool) {
        let gone: Vec<u64> =
            self.held.iter().filter(|(id, held)| past(**id, held)).map(|(id, _)| *id).collect();
        for id in gone {
            let held = self.held.remove(&id).unwrap();
            self.totals[held.place.0].shed += 1;
        }
    }

    fn check(&self, book: &Book) {
        let found: Vec<_> = all(book)
            .iter()
            .map(|it| {
                let message = book.message(it.id).unwrap().unwrap();
                assert_eq!(&message.summary, it);
                let held = Held {
                    place: (
                        BRIDGES.iter().position(|bridge| *bridge == it.bridge).unwrap(),
                        TOPICS.iter().position(|topic| *topic == it.topic).unwrap(),
                    ),
                    payload: message.payload.len(),
                    received_at: it.received_at.0,
                    reason: if it.reason == FIRST { FIRST } else { AGAIN },
                    attempts: it.attempts,
                    replaying: it.replaying,
                };
                (it.id, held)
            })
            .collect();
        let expected: Vec<_> = self.held.iter().map(|(id, held)| (*id, held.clone())).collect();
        assert_eq!(found, expected);

        let mut expected: Vec<_> = self.topics.iter().collect();
        expected.sort_by_key(|(place, (_, _, last, _))| {
            (std::cmp::Reverse(*last), BRIDGES[place.0], TOPICS[place.1])
        });
        let topics = topics(book);
        assert_eq!(topics.len(), expected.len());
        for (topic, (place, (count, first, last, reason))) in topics.iter().zip(expected) {
            let its: Vec<u64> =
                self.held.iter().filter(|(_, it)| it.place == *place).map(|(id, _)| *id).collect();
            assert_eq!((&*topic.bridge, &*topic.topic), (BRIDGES[place.0], TOPICS[place.1]));
            assert_eq!((topic.count, &*topic.reason), (*count, *reason));
            assert_eq!((topic.first_seen.0, topic.last_seen.0), (*first, *last));
            assert_eq!(topic.held, its.len() as u64);
            assert_eq!(topic.example, its.last().copied());
        }

        for (at, bridge) in BRIDGES.into_iter().enumerate() {
            let its = || self.held.values().filter(|held| held.place.0 == at);
            let expected = Totals {
                held: its().count() as u64,
                bytes: its().map(Held::bytes).sum(),
                topics: self.topics.keys().filter(|place| place.0 == at).count() as u64,
                ..self.totals[at]
            };
            assert_eq!(book.totals(Some(bridge)).unwrap(), expected, "{bridge}");
            let births: Vec<_> = self.births.iter().filter(|((its, _), _)| *its == at).collect();
            let mut births: Vec<_> = births
                .into_iter()
                .map(|((_, node), birth)| (NODES[*node].to_owned(), vec![*birth]))
                .collect();
            births.sort();
            assert_eq!(book.remembered(bridge).unwrap(), births);
        }
        assert_balanced(book);
    }

    fn come(&mut self, messages: &[(Place, usize)], missed: u64) -> Round {
        self.rounds += 1;
        let kept: Vec<_> = messages
            .iter()
            .map(|&(place, bytes)| {
                self.now += 1;
                let held = Held {
                    place,
                    payload: bytes,
                    received_at: self.now,
                    reason: FIRST,
                    attempts: 1,
                    replaying: false,
                };
                self.next_id += 1;
                self.held.insert(self.next_id, held);
                let topic = self.topics.entry(place).or_insert((0, self.now, 0, FIRST));
                (topic.0, topic.2, topic.3) = (topic.0 + 1, self.now, FIRST);
                self.totals[place.0].came += 1;
                let bridge = BRIDGES[place.0].into();
                Quarantined { bridge, ..message(TOPICS[place.1], self.now, &vec![7; bytes]) }
            })
            .collect();
        let mut round = round(self.rounds, kept);
        let (place, _) = messages[0];
        round.seen[0].count += missed;
        self.topics.get_mut(&place).unwrap().0 += missed;
        self.totals[place.0].came += missed;
        self.totals[place.0].missed += missed;
        round
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_book_is_what_the_model_says(steps in proptest::collection::vec(step(), 1..60)) {
        let folder = folder();
        let bounds = Bounds {
            messages_max: 50,
            bytes_max: 18_000,
            age_max: Some(Duration::from_secs(60)),
        };
        let mut book = open(&folder, bounds);
        let mut person = Book::existing(&path(&folder)).unwrap().unwrap();
        let mut model = Model::default();
        for step in steps {
            model.now += 1;
            match step {
                Step::Come { messages, missed, again } => {
                    let round = model.come(&messages, missed);
                    for _ in 0..=usize::from(again) {
                        book.write(&round, Timestamp(model.now)).unwrap();
                    }
                    model.shed(bounds);
                }
                Step::Wait { seconds } => {
                    model.now += seconds * SECOND;
                    model.rounds += 1;
                    let empty = Round { number: model.rounds, ..Round::default() };
                    book.write(&empty, Timestamp(model.now)).unwrap();
                    model.shed(bounds);
                }
                Step::Replay(meant) => {
                    let (which, ids) = model.which(&meant);
                    let expected = Marked { messages: ids.len() as u64, cut: 0 };
                    prop_assert_eq!(person.replay(&which).unwrap(), expected);
                    for id in ids {
                        model.held.get_mut(&id).unwrap().replaying = true;
                    }
                }
                Step::Drop(meant) => {
                    let (which, ids) = model.which(&meant);
                    prop_assert_eq!(person.drop_messages(&which).unwrap(), ids.len() as u64);
                    model.drop(&which, &ids);
                }
                Step::Retry { bridge, limit, understood, dropped_meanwhile } => {
                    let tried = book.to_replay(BRIDGES[bridge], limit).unwrap();
                    let tried: Vec<_> = tried.iter().map(|message| message.summary.id).collect();
                    let marked = model.held.iter()
                        .filter(|(_, held)| held.place.0 == bridge && held.replaying)
                        .map(|(id, _)| *id).take(limit).collect::<Vec<_>>();
                    prop_assert_eq!(&tried, &marked);
                    if let Some(first) = tried.first().filter(|_| dropped_meanwhile) {
                        let which = Which::Ids(vec![*first]);
                        prop_assert_eq!(person.drop_messages(&which).unwrap(), 1);
                        model.drop(&which, &[*first]);
                    }
                    let mut round = Round { number: model.rounds + 1, ..Round::default() };
                    model.rounds += 1;
                    for (at, id) in tried.into_iter().enumerate() {
                        if understood >> (at % 8) & 1 == 1 {
                            round.replayed.push((id, Outcome::Understood));
                            if let Some(bridge) = model.remove(id) {
                                model.totals[bridge].understood += 1;
                            }
                        } else {
                            let reason = AGAIN.to_owned();
                            round.replayed.push((id, Outcome::Refused { reason, code: "LATER" }));
                            if let Some(held) = model.held.get_mut(&id) {
                                (held.reason, held.replaying) = (AGAIN, false);
                                held.attempts += 1;
                                if let Some(topic) = model.topics.get_mut(&held.place) {
                                    topic.3 = AGAIN;
                                }
                            }
                        }
                    }
                    book.write(&round, Timestamp(model.now)).unwrap();
                    model.shed(bounds);
                }
                Step::Remember { bridge, node, birth } => {
                    model.rounds += 1;
                    let remember = vec![Remember {
                        bridge: BRIDGES[bridge].into(),
                        node: NODES[node].to_owned(),
                        birth: birth.map(|birth| vec![birth]),
                    }];
                    let round = Round { number: model.rounds, remember, ..Round::default() };
                    book.write(&round, Timestamp(model.now)).unwrap();
                    model.shed(bounds);
                    match birth {
                        Some(birth) => model.births.insert((bridge, node), birth),
                        None => model.births.remove(&(bridge, node)),
                    };
                }
                Step::Reopen => {
                    drop(book);
                    book = open(&folder, bounds);
                }
            }
            model.check(&book);
        }
    }
}
