use super::*;
use crate::commands::command::Wish;
use proptest::prelude::*;
use std::collections::HashMap;

const DEVICE: &str = "pump";
const RESEND: Duration = Duration::from_secs(20);
const BOUNDS: Bounds = Bounds { per_device: 8, open: 10, bytes: 1 << 20, resend: RESEND };

fn at(seconds: u64) -> Timestamp {
    Timestamp(0).saturating_add(Duration::from_secs(seconds))
}

fn carrier() -> Carrier {
    Carrier::Client(DEVICE.into())
}

fn command(id: u64, delivery: Delivery, now: Timestamp, ttl_s: u64) -> Command {
    let wish = Wish {
        device: DEVICE.into(),
        name: "open".into(),
        arguments: None,
        delivery,
        ttl: Duration::from_secs(ttl_s),
        by: "ana".into(),
    };
    Command::new(id, wish, now)
}

fn desk(commands: impl IntoIterator<Item = Command>) -> Desk {
    let mut desk = Desk::new(BOUNDS);
    commands.into_iter().for_each(|command| desk.add(command));
    desk
}

fn hand(desk: &mut Desk, id: u64, line: u64, now: Timestamp) -> Option<Command> {
    desk.hand(id, LineId(line), &carrier(), Via::Ws, now)
}

fn yes(id: u64) -> Answer {
    Answer { id, ok: true, message: String::new(), result: None }
}

#[test]
fn at_most_once_is_handed_over_once() {
    let mut desk = desk([command(1, Delivery::AtMostOnce, at(0), 1000)]);
    assert_eq!(desk.due(DEVICE, at(0)), [1]);
    assert_eq!(
        hand(&mut desk, 1, 5, at(1)).map(|it| (it.state, it.attempts)),
        Some((State::Sent, 1))
    );
    desk.lost(|line| line == LineId(5));
    assert!(desk.due(DEVICE, at(500)).is_empty() && hand(&mut desk, 1, 6, at(500)).is_none());
    assert_eq!(desk.cancel(1, "ana", at(2)), Err(CancelError::Sent));
    let over = desk.expire(at(1000));
    assert_eq!(over[0].state, State::Expired);
    assert!(over[0].message.contains("nobody knows"), "{}", over[0].message);
}

#[test]
fn at_least_once_is_handed_over_again_when_its_conversation_is_lost_or_silent() {
    let mut desk = desk([command(1, Delivery::AtLeastOnce, at(0), 1000)]);
    hand(&mut desk, 1, 5, at(1)).unwrap();
    assert!(desk.due(DEVICE, at(2)).is_empty());
    assert_eq!(desk.due(DEVICE, at(1).saturating_add(RESEND)), [1], "nothing was heard");
    desk.lost(|line| line == LineId(4));
    assert!(desk.due(DEVICE, at(2)).is_empty());
    desk.lost(|line| line == LineId(5));
    assert_eq!(hand(&mut desk, 1, 6, at(3)).map(|it| it.attempts), Some(2));
    let over = desk.answer(yes(1), at(4)).unwrap();
    assert_eq!((over.state, over.finished_at), (State::Acknowledged, Some(at(4))));
    assert_eq!(desk.answer(yes(1), at(4)), None);
}

#[test]
fn what_was_not_written_down_is_not_sent() {
    let mut desk = desk([command(1, Delivery::AtMostOnce, at(0), 10)]);
    let before = desk.get(1).cloned().unwrap();
    hand(&mut desk, 1, 5, at(1)).unwrap();
    desk.put_back(before);
    assert_eq!(desk.due(DEVICE, at(1)), [1]);
}

#[test]
fn a_command_can_be_taken_back_until_it_would_make_no_difference() {
    let mut desk = desk((1..=3).map(|id| command(id, Delivery::AtLeastOnce, at(0), 10)));
    let over = desk.cancel(1, "ana", at(1)).unwrap().unwrap();
    assert_eq!((over.state, &*over.message), (State::Cancelled, "cancelled by ana"));
    assert_eq!(desk.cancel(1, "ana", at(1)), Ok(None));
    hand(&mut desk, 2, 5, at(1)).unwrap();
    let over = desk.cancel(2, "ana", at(1)).unwrap().unwrap();
    assert!(over.message.contains("may have been done"));
    assert_eq!(desk.counts(), [1, 0]);
}

#[test]
fn a_device_has_so_many_open_and_all_have() {
    let mut desk = desk((1..=8).map(|id| command(id, Delivery::AtMostOnce, at(0), 10)));
    assert_eq!(desk.has_room(DEVICE, 1), Err(Full::Device { max: 8 }));
    assert_eq!(desk.has_room("other", 2 << 20), Err(Full::All));
    for id in 9..=10 {
        desk.add(Command { device: "other".into(), ..command(id, Delivery::AtMostOnce, at(0), 9) });
    }
    assert_eq!(desk.has_room("third", 1), Err(Full::All));
    assert_eq!(desk.expire(at(10)).len(), 10);
    assert_eq!((desk.has_room(DEVICE, 1), desk.bytes, desk.next_expiry()), (Ok(()), 0, None));
}

/// What may happen between two moments.
#[derive(Debug, Clone, Copy)]
enum Step {
    Create {
        at_least_once: bool,
        ttl_s: u64,
    },
    Connect,
    /// The connection breaks; what is on its way on it is lost.
    Break,
    /// The daemon hands over what is due; it may die before that is on disk, or before it is sent.
    Carry {
        dies: Option<bool>,
    },
    /// The device reads one message, and does it.
    Read,
    /// The daemon reads one answer; it may die before that is on disk.
    Hear {
        dies: bool,
    },
    Pass {
        seconds: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (any::<bool>(), 5..200_u64)
            .prop_map(|(at_least_once, ttl_s)| Step::Create { at_least_once, ttl_s }),
        2 => Just(Step::Connect),
        2 => Just(Step::Break),
        4 => proptest::option::weighted(0.3, any::<bool>()).prop_map(|dies| Step::Carry { dies }),
        4 => Just(Step::Read),
        4 => proptest::bool::weighted(0.2).prop_map(|dies| Step::Hear { dies }),
        2 => (0..60_u64).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

/// The daemon with its disk, a device, and what is between them.
struct World {
    now: u64,
    next_id: u64,
    next_line: u64,
    disk: BTreeMap<u64, Command>,
    desk: Desk,
    line: Option<LineId>,
    down: Vec<u64>,
    up: Vec<u64>,
    /// How often the device did each.
    did: HashMap<u64, u32>,
    /// It remembers what it did.
    told: Vec<u64>,
}

impl World {
    fn new() -> World {
        World {
            now: 0,
            next_id: 1,
            next_line: 1,
            disk: BTreeMap::new(),
            desk: desk([]),
            line: None,
            down: Vec::new(),
            up: Vec::new(),
            did: HashMap::new(),
            told: Vec::new(),
        }
    }

    fn write(&mut self, command: Command) {
        let before = self.disk.get(&command.id);
        let before = before.map_or(State::Queued, |before| before.state);
        assert!(!before.is_final() || before == command.state, "{before:?} -> {command:?}");
        assert!(before <= command.state, "{before:?} -> {command:?}");
        self.disk.insert(command.id, command);
    }

    fn die(&mut self) {
        self.disconnect();
        let open = self.disk.values().filter(|command| !command.state.is_final()).cloned();
        self.desk = desk(open.collect::<Vec<_>>());
    }

    fn disconnect(&mut self) {
        if let Some(lost) = self.line.take() {
            self.desk.lost(|line| line == lost);
        }
        (self.down, self.up) = (Vec::new(), Vec::new());
    }

    fn carry(&mut self, dies: Option<bool>) {
        let (Some(line), now) = (self.line, at(self.now)) else { return };
        let handed: Vec<_> = self.desk.due(DEVICE, now).into_iter().collect();
        let handed: Vec<_> =
            handed.into_iter().filter_map(|id| hand(&mut self.desk, id, line.0, now)).collect();
        if dies == Some(false) {
            return self.die();
        }
        let ids: Vec<_> = handed.iter().map(|command| command.id).collect();
        handed.into_iter().for_each(|command| self.write(command));
        if dies.is_some() {
            return self.die();
        }
        self.down.extend(ids);
    }

    fn read(&mut self) {
        if self.down.is_empty() {
            return;
        }
        let id = self.down.remove(0);
        let at_most_once = self.disk[&id].delivery == Delivery::AtMostOnce;
        // A device that remembers: at least once is done once, too, if it never forgets.
        if at_most_once || !self.told.contains(&id) {
            *self.did.entry(id).or_default() += 1;
        }
        self.told.push(id);
        self.up.push(id);
    }

    fn hear(&mut self, dies: bool) {
        if self.up.is_empty() {
            return;
        }
        let id = self.up.remove(0);
        let over = self.desk.answer(yes(id), at(self.now));
        if dies {
            return self.die();
        }
        over.into_iter().for_each(|over| self.write(over));
    }

    fn pass(&mut self, seconds: u64) {
        self.now += seconds;
        let now = at(self.now);
        self.desk.expire(now).into_iter().for_each(|over| self.write(over));
        for command in self.disk.values() {
            assert!(command.state.is_final() || now < command.expires_at, "{command:?}");
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Create { at_least_once, ttl_s } => {
                let delivery =
                    if at_least_once { Delivery::AtLeastOnce } else { Delivery::AtMostOnce };
                if self.desk.has_room(DEVICE, 500).is_ok() {
                    let command = command(self.next_id, delivery, at(self.now), ttl_s);
                    self.next_id += 1;
                    self.desk.add(command.clone());
                    self.write(command);
                }
            }
            Step::Connect => {
                self.disconnect();
                self.line = Some(LineId(self.next_line));
                self.next_line += 1;
            }
            Step::Break => self.disconnect(),
            Step::Carry { dies } => self.carry(dies),
            Step::Read => self.read(),
            Step::Hear { dies } => self.hear(dies),
            Step::Pass { seconds } => self.pass(seconds),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_breaks_a_command_is_done_as_often_as_was_asked_for(
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        // From now on nothing breaks: what is open and to be done at least once is done in its time.
        let open = world.desk.iter().filter(|it| it.delivery == Delivery::AtLeastOnce);
        let open: Vec<_> = open.map(|it| it.id).collect();
        world.step(Step::Connect);
        world.carry(None);
        while !world.down.is_empty() {
            world.read();
        }
        for id in open {
            prop_assert!(world.did.contains_key(&id), "{id} was not done");
        }
        while !world.up.is_empty() {
            world.hear(false);
        }
        world.pass(1000);
        for command in world.disk.values() {
            let did = world.did.get(&command.id).copied().unwrap_or(0);
            prop_assert!(did <= 1, "done {did} times: {command:?}");
            prop_assert!(command.state.is_final());
            if command.delivery == Delivery::AtMostOnce {
                prop_assert!(command.attempts <= 1);
            }
            if command.state == State::Acknowledged {
                prop_assert_eq!(did, 1);
            }
        }
        prop_assert_eq!(world.desk.counts(), [0, 0]);
    }
}
