use super::*;
use proptest::prelude::*;

fn at(second: f64) -> Timestamp {
    Timestamp((second * 1e9) as i64)
}

fn via(protocol: Protocol, client: &str) -> Via {
    Via { protocol, client: client.into() }
}

fn closed(client: &str, stood: u64) -> Fact {
    Fact::Closed(client.into(), Duration::from_secs(stood))
}

/// Devices that know of no operator, and what happened to them.
struct Story(Devices);

impl Story {
    fn new() -> Story {
        Story(Devices::new(DeviceTerms::default()))
    }

    fn receive(&mut self, device: &str, second: f64, protocol: Protocol, client: &str) {
        let id = self.0.intern(device, at(second));
        self.0.received(id, at(second), Some(&via(protocol, client)), 1);
    }

    /// Readings at a steady pace from one second to another.
    fn steady(&mut self, device: &str, seconds: (i64, i64, i64), protocol: Protocol, client: &str) {
        let (from, until, step) = seconds;
        for second in (from..=until).step_by(step as usize) {
            self.receive(device, second as f64, protocol, client);
        }
    }

    fn fact(&mut self, fact: Fact, second: f64) {
        self.0.facts([fact], at(second));
    }

    /// Online or not, since when in seconds, and why.
    fn state(&mut self, device: &str, second: f64) -> (bool, f64, String) {
        self.0.judge_all(at(second));
        let device = self.0.get(self.0.find(device).unwrap());
        let reason = device.reason().map_or(String::new(), ToString::to_string);
        (device.online(), device.since().0 as f64 / 1e9, reason)
    }

    fn check(&mut self, device: &str, second: f64, online: bool, since: f64, reason: &str) {
        let state = self.state(device, second);
        assert_eq!(state, (online, since, reason.to_owned()), "at {second}");
    }
}

#[test]
fn a_device_is_offline_after_three_of_its_intervals_or_the_configured_time() {
    let mut story = Story::new();
    story.steady("pump", (0, 600, 60), Protocol::Http, "pump");
    // Of the first reading alone it could not be known how long the next would take.
    story.check("pump", 779.0, true, 60.0, "");
    story.check("pump", 781.0, false, 780.0, "no reading for 3 × its usual 60 s");
    story.receive("pump", 800.0, Protocol::Http, "pump");
    story.check("pump", 800.0, true, 800.0, "");
    story.steady("quick", (0, 100, 1), Protocol::Http, "quick");
    story.check("quick", 129.0, true, 0.0, "");
    story.check("quick", 131.0, false, 130.0, "no reading for 30 s");
}

#[test]
fn what_an_operator_expects_counts_as_it_is() {
    let mut story = Story::new();
    story.steady("pump", (0, 600, 60), Protocol::Http, "pump");
    let id = story.0.find("pump").unwrap();
    story.fact(Fact::Expected(id, Some(Duration::from_secs(5))), 605.0);
    story.check("pump", 614.0, true, 60.0, "");
    story.check("pump", 616.0, false, 615.0, "no reading for 3 × its expected 5 s");
    story.fact(Fact::Expected(id, None), 620.0);
    story.check("pump", 621.0, true, 620.0, "");
}

#[test]
fn a_connection_that_is_closed_counts_after_a_grace() {
    let mut story = Story::new();
    story.fact(Fact::Opened("gw".into()), 0.0);
    for device in ["a", "b"] {
        story.steady(device, (0, 100, 1), Protocol::Ws, "gw");
    }
    story.steady("slow", (0, 90, 30), Protocol::Ws, "gw");
    story.fact(closed("gw", 101), 101.0);
    story.check("a", 105.9, true, 0.0, "");
    for device in ["a", "b", "slow"] {
        story.check(device, 106.1, false, 106.0, "connection closed");
    }
    story.fact(Fact::Opened("gw".into()), 110.0);
    story.check("a", 110.0, true, 110.0, "");
    story.receive("a", 111.0, Protocol::Ws, "gw");
    story.check("a", 111.0, true, 110.0, "");
    story.check("b", 131.0, false, 130.0, "no reading for 30 s");
}

#[test]
fn who_is_back_within_the_grace_was_never_away() {
    let mut story = Story::new();
    story.fact(Fact::Opened("pump".into()), 0.0);
    story.steady("pump", (0, 100, 1), Protocol::Ws, "pump");
    story.fact(closed("pump", 100), 100.5);
    story.fact(Fact::Opened("pump".into()), 104.0);
    story.check("pump", 107.0, true, 0.0, "");
    // Two connections for a moment: the newer one counts.
    story.steady("pump", (105, 200, 1), Protocol::Ws, "pump");
    story.fact(Fact::Opened("pump".into()), 200.0);
    story.fact(closed("pump", 96), 200.1);
    story.check("pump", 210.0, true, 0.0, "");
}

#[test]
fn who_connects_only_to_deliver_is_not_gone_when_he_leaves() {
    let mut story = Story::new();
    for minute in 0..20 {
        let begin = f64::from(minute) * 60.0;
        story.fact(Fact::Opened("logger".into()), begin);
        for reading in 0..5 {
            story.receive("logger", begin + 0.2 * f64::from(reading), Protocol::Ws, "logger");
        }
        story.fact(closed("logger", 2), begin + 2.0);
        if minute > 3 {
            assert!(story.state("logger", begin + 59.0).0, "{minute}");
        }
    }
}

#[test]
fn while_another_way_brings_readings_a_closed_connection_does_not_count() {
    let mut story = Story::new();
    story.fact(Fact::Opened("gw".into()), 0.0);
    for second in 0..100 {
        story.receive("pump", f64::from(second), Protocol::Ws, "gw");
        story.receive("pump", f64::from(second) + 0.5, Protocol::Mqtt, "plant");
    }
    story.receive("pump", 100.0, Protocol::Ws, "gw");
    story.fact(closed("gw", 100), 100.2);
    story.check("pump", 106.0, true, 0.0, "");
    story.receive("pump", 110.0, Protocol::Mqtt, "plant");
    story.check("pump", 111.0, true, 0.0, "");
}

#[test]
fn what_is_told_of_a_device_counts_more_than_how_often_it_is_heard_of() {
    let mut story = Story::new();
    story.receive("pump", 0.0, Protocol::Mqtt, "plant");
    let told = |online, reason| Fact::Told { device: "pump".to_owned(), online, reason };
    story.fact(told(true, None), 1.0);
    story.check("pump", 10_000.0, true, 0.0, "");
    story.fact(told(false, Some("Sparkplug death")), 10_000.0);
    story.receive("pump", 10_001.0, Protocol::Mqtt, "plant");
    // The reading that tells of its death is no sign of life.
    story.check("pump", 10_002.0, false, 10_000.0, "Sparkplug death");
    story.receive("pump", 10_003.0, Protocol::Ws, "pump");
    story.check("pump", 10_003.0, true, 10_003.0, "");
}

fn seed(name: &str, last_seen: f64, online: bool) -> Seed {
    Seed {
        name: name.into(),
        first_seen: at(1.0),
        last_seen: at(last_seen),
        rest: Some(SeedRest {
            online,
            since: at(2.0),
            reason: (!online).then(|| "connection closed".into()),
            via: Some(via(Protocol::Ws, "gw")),
            interval: Some(Duration::from_secs(20)),
            expected: None,
            told: false,
            known: true,
            clock_policy: None,
            clock_off: None,
        }),
    }
}

#[test]
fn nobody_is_gone_because_we_were_away() {
    let mut story = Story::new();
    story.0.seed(seed("there", 100.0, true));
    story.0.seed(seed("quiet", 60.0, true));
    story.0.seed(seed("gone", 90.0, false));
    // A day later.
    story.0.absent(at(100.0), at(86_500.0));
    for device in ["there", "quiet"] {
        story.check(device, 86_529.0, true, 2.0, "");
    }
    story.receive("there", 86_510.0, Protocol::Ws, "gw");
    let id = story.0.find("there").unwrap();
    assert_eq!(story.0.get(id).interval(), Some(Duration::from_secs(20)), "no gap of a day");
    // It had been quiet for 40 s of its 60, and the grace is over.
    story.check("quiet", 86_531.0, false, 86_530.0, "no reading for 3 × its usual 20 s");
    story.check("there", 86_569.0, true, 2.0, "");
    story.check("gone", 86_600.0, false, 2.0, "connection closed");
    story.receive("gone", 86_601.0, Protocol::Ws, "gw");
    story.check("gone", 86_601.0, true, 86_601.0, "");
}

#[test]
fn a_clock_that_is_set_makes_nobody_come_or_go() {
    let mut story = Story::new();
    story.steady("pump", (1000, 1100, 10), Protocol::Ws, "pump");
    story.steady("gone", (1000, 1010, 1), Protocol::Ws, "gone");
    story.check("gone", 1100.0, false, 1040.0, "no reading for 30 s");
    story.0.absent(at(1100.0), at(9000.0));
    story.check("pump", 9029.0, true, 1000.0, "");
    story.check("gone", 9029.0, false, 1040.0, "no reading for 30 s");
    story.receive("pump", 9010.0, Protocol::Ws, "pump");
    // Back by an hour.
    story.0.not_after(at(5000.0));
    story.receive("pump", 5001.0, Protocol::Ws, "pump");
    story.check("pump", 5032.0, false, 5031.0, "no reading for 3 × its usual 10 s");
}

#[test]
fn devices_never_seen_before_wait_in_the_inbox_but_not_old_friends() {
    let mut story = Story::new();
    let (first_seen, last_seen) = (at(0.0), at(5.0));
    story.0.seed(Seed { name: "old".into(), first_seen, last_seen, rest: None });
    story.receive("new", 10.0, Protocol::Ws, "new");
    story.receive("old", 10.0, Protocol::Ws, "old");
    let known = |name| story.0.get(story.0.find(name).unwrap()).known;
    assert_eq!((known("old"), known("new")), (true, false));
}

#[derive(Debug, Clone)]
enum Step {
    Receive(usize, usize, Protocol),
    Opened(usize),
    Closed(usize, u64),
    Told(usize, bool),
    Expected(usize, Option<u64>),
    Absent(u64),
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step, Vec<u64>)>> {
    let protocol = prop::sample::select(vec![Protocol::Ws, Protocol::Http, Protocol::Mqtt]);
    let step = prop_oneof![
        12 => (0..3_usize, 0..3_usize, protocol).prop_map(|(d, c, p)| Step::Receive(d, c, p)),
        3 => (0..3_usize).prop_map(Step::Opened),
        3 => (0..3_usize, 0..100_u64).prop_map(|(c, s)| Step::Closed(c, s)),
        1 => (0..3_usize, any::<bool>()).prop_map(|(d, online)| Step::Told(d, online)),
        1 => (0..3_usize, prop::option::of(1..60_u64)).prop_map(|(d, s)| Step::Expected(d, s)),
        1 => (1..100_000_u64).prop_map(Step::Absent),
    ];
    let wait = prop_oneof![3 => 1..3000_u64, 1 => 1..200_000_u64];
    prop::collection::vec((wait, step, prop::collection::vec(0..1000_u64, 0..4)), 1..60)
}

/// What is thought of all devices after these steps; looked at in between as `looks` says.
fn lived(steps: &[(u64, Step, Vec<u64>)], looks: bool) -> Vec<(bool, i64, Option<Arc<str>>)> {
    let mut devices = Devices::new(DeviceTerms::default());
    let mut now = 0;
    let mut ids = Vec::new();
    for device in 0..3 {
        ids.push(devices.intern(&format!("device-{device}"), Timestamp(0)));
    }
    let millis = |ms: u64| Timestamp(ms as i64 * 1_000_000);
    for (wait, step, between) in steps {
        if looks {
            let mut between = between.clone();
            between.sort_unstable();
            between.iter().for_each(|part| devices.judge_all(millis(now + wait * part / 1000)));
        }
        now += wait;
        let at = millis(now);
        let client = |client: &usize| ClientId::from(format!("client-{client}"));
        match step {
            Step::Receive(device, by, protocol) => {
                let via = Via { protocol: *protocol, client: client(by) };
                devices.received(ids[*device], at, Some(&via), 1);
            }
            Step::Opened(by) => devices.facts([Fact::Opened(client(by))], at),
            Step::Closed(by, seconds) => {
                let stood = Duration::from_secs(*seconds);
                devices.facts([Fact::Closed(client(by), stood)], at);
            }
            Step::Told(device, online) => {
                let device = format!("device-{device}");
                let reason = (!online).then_some("told");
                devices.facts([Fact::Told { device, online: *online, reason }], at);
            }
            Step::Expected(device, seconds) => {
                let expected = seconds.map(Duration::from_secs);
                devices.facts([Fact::Expected(ids[*device], expected)], at);
            }
            Step::Absent(ms) => {
                devices.judge_all(at);
                now += ms;
                devices.absent(at, millis(now));
            }
        }
    }
    now += 7_000;
    devices.judge_all(millis(now));
    let state = |(_, device): (DeviceId, &Device)| {
        (device.online(), device.since().0, device.reason().cloned())
    };
    devices.iter().map(state).collect()
}

proptest! {
    /// It does not matter when it is looked who is there: that is a function of what was received,
    /// what became known and the time.
    #[test]
    fn presence_is_the_same_however_often_it_is_looked_at(steps in steps()) {
        prop_assert_eq!(lived(&steps, false), lived(&steps, true));
    }
}

#[test]
fn more_open_windows_than_fit_hold_the_log_no_less() {
    let mut devices = Devices::new(DeviceTerms::default());
    let id = devices.intern("pump", at(0.0));
    let device = devices.get_mut(id);
    for (start, at) in [(0, 5), (60, 6), (120, 7), (0, 8)] {
        device.hold(start, Position(at));
    }
    device.release(60, 60);
    assert_eq!(devices.oldest_open(at(0.0)), Some(Position(6)));
    devices.get_mut(id).release(120, 60);
    assert_eq!(devices.oldest_open(at(0.0)), Some(Position(6)), "120 was joined to it");
    devices.get_mut(id).release(180, 60);
    assert_eq!(devices.oldest_open(at(0.0)), None);
}

#[test]
fn a_device_costs_little() {
    let mut story = Story::new();
    for device in 0..10_000 {
        let name = format!("plant-3-line-7-pump-{device}");
        story.receive(&name, 0.0, Protocol::Ws, &name);
        let id = story.0.find(&name).unwrap();
        story.0.saw_clock(id, at(0.0), 0, false);
    }
    let each = story.0.memory_bytes() / 10_000;
    // config/memory.rs counts on 1.5 KiB for this and what was said of it.
    assert!((300..1_100).contains(&each), "{each}");
}
