//! Nodes whose messages are lost, late and out of order, against a host: a value that is read is
//! always the metric's that it was measured of.

use super::proto::payload::Metric;
use super::proto::payload::metric::Value as Field;
use super::tests::{NOW, aliased, at, bdseq, born, bytes, held, named};
use super::*;
use crate::decode::Content;
use proptest::prelude::*;

const METRICS: usize = 4;
const SCOPES: usize = 3;

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    /// The node is born, with its aliases turned by so many places; a new session or not.
    Birth {
        turn: usize,
        new_session: bool,
    },
    /// A device is born again.
    DeviceBirth {
        scope: usize,
        turn: usize,
    },
    /// Data of a scope.
    Data {
        scope: usize,
        metric: usize,
        by_name: bool,
    },
    DeviceDeath {
        scope: usize,
    },
    /// The will of the session that runs.
    Death,
    /// The next message is lost.
    Lose,
    /// The next message is late by so many.
    Delay(usize),
    /// Time passes.
    Pass(u64),
    /// The broker is lost, and so many messages with it.
    Reconnect,
    /// The daemon is restarted.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..METRICS, any::<bool>())
            .prop_map(|(turn, new_session)| Step::Birth { turn, new_session }),
        1 => (1..SCOPES, 0..METRICS).prop_map(|(scope, turn)| Step::DeviceBirth { scope, turn }),
        12 => (0..SCOPES, 0..METRICS, prop::bool::weighted(0.2))
            .prop_map(|(scope, metric, by_name)| Step::Data { scope, metric, by_name }),
        1 => (1..SCOPES).prop_map(|scope| Step::DeviceDeath { scope }),
        1 => Just(Step::Death),
        1 => Just(Step::Lose),
        2 => (1..4_usize).prop_map(Step::Delay),
        3 => (0..20_000_u64).prop_map(Step::Pass),
        1 => Just(Step::Reconnect),
        1 => Just(Step::Restart),
    ]
}

/// A message on its way.
struct Flying {
    topic: String,
    payload: Vec<u8>,
    late: usize,
}

/// The node as it really is, and the host that is told of it.
struct World {
    host: Host,
    now: u64,
    session: u64,
    /// A birth begins far from where the numbers were, as 3.0 allows: that it was lost is noticed
    /// unless the numbers happen to go on, which no host could notice.
    next: u64,
    turns: [usize; SCOPES],
    flying: Vec<Flying>,
    lose: bool,
    late: usize,
    counter: u32,
    read: usize,
}

impl World {
    fn new() -> World {
        let mut host = Host::new(Settings::default());
        host.connected(at(0));
        let turns = [0; SCOPES];
        World {
            host,
            now: 0,
            session: 0,
            next: 0,
            turns,
            flying: Vec::new(),
            lose: false,
            late: 0,
            counter: 0,
            read: 0,
        }
    }

    fn alias(&self, scope: usize, metric: usize) -> u64 {
        (scope * METRICS + (metric + self.turns[scope]) % METRICS) as u64
    }

    /// A value that says whose it is.
    fn value(&mut self, scope: usize, metric: usize) -> Field {
        self.counter += 1;
        Field::IntValue((scope * METRICS + metric) as u32 + 100 * self.counter)
    }

    fn metrics(&mut self, scope: usize) -> Vec<Metric> {
        (0..METRICS)
            .map(|metric| {
                let alias = self.alias(scope, metric);
                let value = self.value(scope, metric);
                born(&format!("m{metric}"), alias, DataType::UInt32, value)
            })
            .collect()
    }

    fn send(&mut self, verb: &str, scope: usize, metrics: &[Metric]) {
        self.now += 1;
        let seq = (verb != "DEATH" || scope > 0).then(|| {
            self.next += 1;
            (self.next - 1) % 256
        });
        let topic = match scope {
            0 => format!("spBv1.0/G/N{verb}/N"),
            scope => format!("spBv1.0/G/D{verb}/N/{scope}"),
        };
        let payload = bytes(seq, self.now, metrics);
        if verb == "BIRTH" && self.is_recalled() {
            // A birth that is missed then is the one thing that can't be noticed.
            self.lose = false;
            self.late = 0;
        }
        let late = std::mem::take(&mut self.late);
        if !std::mem::take(&mut self.lose) {
            self.flying.push(Flying { topic, payload, late });
        }
        self.fly();
    }

    fn is_recalled(&self) -> bool {
        self.host.nodes.values().any(|node| node.life == node::Life::Recalled)
    }

    /// Messages arrive that are not late any more.
    fn fly(&mut self) {
        let mut arrived = Vec::new();
        self.flying.retain_mut(|flying| {
            let here = flying.late == 0;
            flying.late = flying.late.saturating_sub(1);
            if here {
                arrived
                    .push((std::mem::take(&mut flying.topic), std::mem::take(&mut flying.payload)));
            }
            !here
        });
        for (topic, payload) in arrived {
            if let Ok(heard) = self.host.message(&topic, &payload, at(self.now), false) {
                self.check(&heard);
            }
        }
    }

    /// Everything that was read is what was measured.
    fn check(&mut self, heard: &Heard) {
        for reading in heard.readings.iter().map(|heard| &heard.reading) {
            let scope = match reading.device.strip_prefix("G/N/") {
                None => 0,
                Some(device) => device.parse().unwrap(),
            };
            for value in reading.values.iter().filter(|value| value.metric != ONLINE_METRIC) {
                let Content::Int(number) = value.content else { panic!("{value:?}") };
                let owner = (number % 100) as usize;
                assert_eq!(value.metric, format!("m{}", owner % METRICS), "{reading:?}");
                assert_eq!(scope, owner / METRICS, "{reading:?}");
                self.read += 1;
            }
        }
        assert_eq!(held(&self.host), self.host.shared.held_bytes);
        let tables: usize = self
            .host
            .nodes
            .values()
            .flat_map(node::Node::scopes)
            .map(|scope| scope.table.bytes())
            .sum();
        assert_eq!(tables, self.host.shared.table_bytes);
    }

    fn birth(&mut self, turn: usize, new_session: bool) {
        self.session += u64::from(new_session);
        self.next += 100;
        self.turns = [turn; SCOPES];
        for scope in 0..SCOPES {
            let mut metrics = self.metrics(scope);
            if scope == 0 {
                metrics.push(bdseq(self.session));
            }
            self.send("BIRTH", scope, &metrics);
        }
    }

    fn pass(&mut self, millis: u64) {
        self.now += millis;
        while self.host.next_deadline().is_some_and(|due| due <= at(self.now)) {
            let heard = self.host.tick(at(self.now));
            self.check(&heard);
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Birth { turn, new_session } => self.birth(turn, new_session),
            Step::DeviceBirth { scope, turn } => {
                self.turns[scope] = turn;
                let metrics = self.metrics(scope);
                self.send("BIRTH", scope, &metrics);
            }
            Step::Data { scope, metric, by_name } => {
                let value = self.value(scope, metric);
                let metric = match by_name {
                    true => named(&format!("m{metric}"), DataType::UInt32, value),
                    false => aliased(self.alias(scope, metric), value),
                };
                self.send("DATA", scope, &[metric]);
            }
            Step::DeviceDeath { scope } => self.send("DEATH", scope, &[]),
            Step::Death => {
                let will = [bdseq(self.session)];
                self.send("DEATH", 0, &will);
            }
            Step::Lose => self.lose = true,
            Step::Delay(by) => self.late = by,
            Step::Pass(millis) => self.pass(millis),
            Step::Reconnect => {
                self.settle();
                let heard = self.host.disconnected(at(self.now));
                self.check(&heard);
                self.host.connected(at(self.now));
            }
            Step::Restart => {
                self.settle();
                let ids: Vec<_> = self.host.nodes.keys().cloned().collect();
                let kept: Vec<_> = ids.iter().filter_map(|id| self.host.remember(id)).collect();
                self.host = Host::new(Settings::default());
                for bytes in kept {
                    self.host.restore(&bytes).unwrap();
                }
                self.host.connected(at(self.now));
            }
        }
    }

    /// What a recalled table is good for depends on no birth being missed before: here none is.
    fn settle(&mut self) {
        self.lose = false;
        self.late = 0;
        for _ in 0..8 {
            self.fly();
        }
        let turn = self.turns[0];
        self.birth(turn, false);
        for scope in 1..SCOPES {
            assert_eq!(self.turns[scope], turn);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]

    #[test]
    fn a_value_is_never_anothers(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        // And whatever happened, a birth mends it.
        world.settle();
        let before = world.read;
        for metric in 0..METRICS {
            world.step(Step::Data { scope: 1, metric, by_name: false });
        }
        prop_assert_eq!(world.read, before + METRICS);
        prop_assert!(NOW > 0);
    }

    #[test]
    fn tables_are_what_was_remembered(
        names in prop::collection::btree_map("[a-z/.]{1,12}", (any::<u64>(), 1_u32..35, "[a-z°/]{0,3}"), 0..20),
        bd in prop::option::of(0_u64..256),
    ) {
        let mut host = Host::new(Settings::default());
        let birth: Vec<_> = names.iter().map(|(name, (alias, datatype, _))| Metric {
            name: Some(name.clone()),
            alias: Some(*alias),
            datatype: Some(*datatype),
            ..Metric::default()
        }).chain(bd.map(bdseq)).collect();
        host.message("spBv1.0/G/NBIRTH/N", &bytes(Some(0), 0, &birth), at(0), false).unwrap();
        host.message("spBv1.0/G/DBIRTH/N/D", &bytes(Some(1), 0, &birth), at(0), false).unwrap();
        let id = host.nodes.keys().next().unwrap().clone();
        let kept = host.remember(&id).unwrap();
        let mut again = Host::new(Settings::default());
        again.restore(&kept).unwrap();
        let (was, is) = (&host.nodes[&id], &again.nodes[&id]);
        prop_assert_eq!(was.bdseq, is.bdseq);
        for (was, is) in was.scopes().zip(is.scopes()) {
            prop_assert_eq!(&was.table.entries, &is.table.entries);
            prop_assert_eq!(was.table.bytes(), is.table.bytes());
            for entry in &was.table.entries {
                let alias = entry.alias.filter(|alias| *alias != u64::MAX);
                if let Some(alias) = alias {
                    prop_assert_eq!(was.table.aliased(alias), is.table.aliased(alias));
                }
            }
        }
        prop_assert_eq!(again.remember(&id).unwrap(), kept);
    }

    #[test]
    fn no_bytes_break_a_host(
        payloads in prop::collection::vec((0_usize..6, prop::collection::vec(any::<u8>(), 0..200)), 0..20),
    ) {
        let mut host = Host::new(Settings::default());
        host.connected(at(0));
        for (verb, payload) in payloads {
            let topic = ["NBIRTH/N", "NDATA/N", "NDEATH/N", "DBIRTH/N/D", "DDATA/N/D", "DDEATH/N/D"][verb];
            let _puzzle = host.message(&format!("spBv1.0/G/{topic}"), &payload, at(0), false);
        }
        let _damaged = host.restore(&[1, 2, 3]);
        prop_assert!(host.standing().nodes <= 1);
    }
}
