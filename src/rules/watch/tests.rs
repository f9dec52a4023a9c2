mod model;

use super::super::{Change, Equal, Spec};
use super::*;
use crate::model::{BatchBuilder, Keep};
use model::model;
use proptest::prelude::*;
use std::collections::BTreeMap;

const S: i64 = NANOS_PER_SECOND;

fn rule(name: &str, kind: &str, with: impl FnOnce(&mut Spec)) -> Arc<Rule> {
    let mut spec = Spec { name: name.to_owned(), kind: kind.to_owned(), ..Spec::default() };
    with(&mut spec);
    Arc::new(Rule::new(&spec).unwrap_or_else(|wrong| panic!("{name}: {wrong:?}")))
}

/// One of each kind, with and without `for`.
fn rules() -> Vec<Arc<Rule>> {
    vec![
        rule("above", "threshold", |it| {
            (it.above, it.hysteresis) = (Some(6.0), 2.0);
            it.metric = vec!["n".to_owned()];
        }),
        rule("above long", "threshold", |it| {
            (it.above, it.below, it.hold) = (Some(7.0), Some(1.0), "9 s".to_owned());
            it.metric = vec!["n".to_owned()];
        }),
        rule("absent", "absence", |it| it.after = "12 s".to_owned()),
        rule("absent long", "absence", |it| {
            (it.after, it.hold) = ("7 s".to_owned(), "5 s".to_owned());
            it.device = vec!["*".to_owned(), "!d1".to_owned()];
        }),
        rule("fast", "change", |it| {
            (it.above, it.per, it.over) = (Some(3.0), "10 s".to_owned(), "10 s".to_owned());
        }),
        rule("flat", "flatline", |it| (it.over, it.tolerance) = ("15 s".to_owned(), 1.0)),
        rule("word", "text", |it| {
            it.equals = vec![Equal::Text("3".to_owned()), Equal::Bool(true)];
            it.hold = "4 s".to_owned();
        }),
        rule("away", "offline", |it| it.hold = "6 s".to_owned()),
    ]
}

#[derive(Debug, Clone)]
enum Step {
    /// After so many seconds: device, metric (0 and 1 numbers, 2 texts, 3 truth values), by how much the
    /// device's clock differs, value; and where it is kept.
    Record(i64, Vec<(u8, u8, i64, i64)>, u8),
    /// A device is online or not.
    Presence(i64, u8, bool),
}

/// Between two steps: nothing, the time, an end and a start, or rules that were read again.
#[derive(Debug, Clone, Copy)]
enum Cut {
    Nothing,
    Advance(u8),
    Restore,
    Rules,
}

const METRICS: [&str; 4] = ["n", "m", "text", "on"];

fn batch(at: i64, readings: &[(u8, u8, i64, i64)], keep: u8) -> Batch {
    let mut builder = BatchBuilder::new();
    for &(device, metric, skew, value) in readings {
        let name = format!("d{device}");
        let tags = &mut [("site", "north")];
        builder.table(&name, tags, [(at + skew) * S]).unwrap();
        builder.keep(match keep {
            0 => Keep::StoresOnly,
            1 => Keep::LiveOnly,
            _ => Keep::Everywhere,
        });
        let metric_name = METRICS[metric as usize];
        match metric {
            0 => builder.floats(metric_name, "°C", [value as f64], &[]),
            1 => builder.ints(metric_name, "", [value], &[]),
            2 => builder.texts(metric_name, "", [value.to_string().as_str()], &[]),
            _ => builder.bools(metric_name, "", [value % 2 == 0], &[]),
        }
        .unwrap();
    }
    builder.finish()
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let reading = (0..3_u8, 0..4_u8, -3..=2_i64, 0..10_i64);
    let record = (0..12_i64, proptest::collection::vec(reading, 0..4), 0..8_u8)
        .prop_map(|(after, readings, keep)| Step::Record(after, readings, keep));
    let presence = (0..12_i64, 0..3_u8, any::<bool>())
        .prop_map(|(after, device, online)| Step::Presence(after, device, online));
    proptest::collection::vec(prop_oneof![6 => record, 1 => presence], 1..60)
}

fn cuts() -> impl Strategy<Value = Vec<Cut>> {
    let cut = prop_oneof![
        Just(Cut::Nothing),
        (0..12_u8).prop_map(Cut::Advance),
        Just(Cut::Restore),
        Just(Cut::Rules)
    ];
    proptest::collection::vec(cut, 60)
}

/// When, which rule, for what, what: and with which value.
type Told = (i64, String, String, Change, String);

fn told(transition: &Transition) -> Told {
    (
        transition.at.0 / S,
        transition.rule.name.to_string(),
        transition.subject.key().replace('\0', " "),
        transition.change,
        format!("{:?} {} {}", transition.value, transition.since.0 / S, transition.text()),
    )
}

fn settings(forget_after: u64) -> Settings {
    Settings { subjects_max: 1000, forget_after: Duration::from_secs(forget_after) }
}

/// A watch that is ended and begun again.
struct Run {
    watch: Watch,
    settings: Settings,
    rows: BTreeMap<u32, Vec<u8>>,
    told: Vec<Told>,
    at: i64,
}

impl Run {
    fn new(settings: Settings) -> Run {
        let watch = Watch::new(rules(), settings, Timestamp(0));
        Run { watch, settings, rows: BTreeMap::new(), told: Vec::new(), at: 0 }
    }

    fn cut(&mut self, cut: Cut, until: i64) {
        match cut {
            Cut::Nothing => {}
            Cut::Advance(by) => {
                let to = (self.at + i64::from(by)).min(until);
                self.watch.advance(Timestamp(to * S));
            }
            Cut::Rules => self.watch.set_rules(rules()),
            Cut::Restore => {
                self.note();
                let rows = self.rows.clone();
                let now = self.watch.now();
                let (watch, bad) = Watch::restore(rules(), self.settings, now, rows);
                assert_eq!(bad, 0);
                assert_eq!(watch.tallies(), self.watch.tallies());
                self.watch = watch;
            }
        }
    }

    fn note(&mut self) {
        self.told.extend(self.watch.take_transitions().iter().map(told));
        for (slot, row) in self.watch.take_changed() {
            match row {
                Some(row) => self.rows.insert(slot, row),
                None => self.rows.remove(&slot),
            };
        }
    }

    fn step(&mut self, step: &Step, cut: Cut) {
        let (Step::Record(after, ..) | Step::Presence(after, ..)) = step;
        let next = self.at + after;
        self.cut(cut, next);
        self.at = next;
        match step {
            Step::Record(_, readings, keep) => {
                self.watch.record(Timestamp(next * S), &batch(next, readings, *keep));
            }
            Step::Presence(_, device, online) => {
                let device = format!("d{device}");
                self.watch.presence(Timestamp(next * S), &device, *online, "gone");
            }
        }
    }

    fn end(mut self) -> Vec<Told> {
        self.watch.advance(Timestamp((self.at + 100) * S));
        self.note();
        self.told
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn it_is_a_function_of_the_log_however_it_is_cut(steps in steps(), cuts in cuts()) {
        let (mut whole, mut cut) = (Run::new(settings(1 << 30)), Run::new(settings(1 << 30)));
        for (step, how) in steps.iter().zip(&cuts) {
            whole.step(step, Cut::Nothing);
            cut.step(step, *how);
        }
        prop_assert_eq!(whole.end(), cut.end());
    }

    #[test]
    fn it_finds_what_a_look_at_every_second_finds(steps in steps()) {
        let mut run = Run::new(settings(1 << 30));
        for step in &steps {
            run.step(step, Cut::Nothing);
        }
        let found = run.end();
        prop_assert!(found.is_sorted_by_key(|(at, ..)| *at));
        let mut found: Vec<_> =
            found.into_iter().map(|(at, rule, of, what, _)| (at, rule, of, what)).collect();
        found.sort();
        prop_assert_eq!(found, model(&steps));
    }

    #[test]
    fn what_is_forgotten_is_forgotten_at_its_instant(steps in steps(), cuts in cuts()) {
        let (mut whole, mut cut) = (Run::new(settings(40)), Run::new(settings(40)));
        // Each step is a hundred times as long: hours pass.
        for (step, how) in steps.iter().zip(&cuts) {
            let step = match step.clone() {
                Step::Record(after, readings, keep) => Step::Record(after * 100, readings, keep),
                Step::Presence(after, device, online) => Step::Presence(after * 100, device, online),
            };
            whole.step(&step, Cut::Nothing);
            cut.step(&step, *how);
        }
        // What happens at one instant to several subjects has no order.
        let (mut whole, mut cut) = (whole.end(), cut.end());
        whole.sort();
        cut.sort();
        prop_assert_eq!(whole, cut);
    }
}

/// Readings of one number, as time and value; gives what was told.
fn tell(rule: Arc<Rule>, readings: &[(i64, i64)]) -> Vec<(i64, Change)> {
    let mut watch = Watch::new(vec![rule], settings(1 << 30), Timestamp(0));
    for &(at, value) in readings {
        watch.record(Timestamp(at * S), &batch(at, &[(0, 0, 0, value)], 7));
    }
    watch.advance(Timestamp(1000 * S));
    watch.take_transitions().iter().map(|it| (it.at.0 / S, it.change)).collect()
}

#[test]
fn a_value_must_come_back_as_far_as_the_hysteresis_says() {
    let hot = rule("hot", "threshold", |it| (it.above, it.hysteresis) = (Some(80.0), 5.0));
    let over = Change::Over { fired: true };
    let found = tell(hot, &[(1, 80), (2, 81), (3, 76), (4, 82), (5, 75), (6, 81)]);
    assert_eq!(found, [(2, Change::Fired), (5, over), (6, Change::Fired)]);
}

#[test]
fn what_holds_not_for_long_enough_is_never_told_as_fired() {
    let hot = rule("hot", "threshold", |it| (it.above, it.hold) = (Some(80.0), "10 s".into()));
    let over = |fired| Change::Over { fired };
    let found = tell(hot, &[(1, 81), (11, 79), (20, 81), (29, 90), (31, 70)]);
    let wanted = [
        (1, Change::Pending),
        // Back at the very instant at which it would have fired.
        (11, over(false)),
        (20, Change::Pending),
        (30, Change::Fired),
        (31, over(true)),
    ];
    assert_eq!(found, wanted);
}

#[test]
fn a_daemon_that_was_away_is_no_silence() {
    let absent = rule("absent", "absence", |it| it.after = "5 m".to_owned());
    let mut watch = Watch::new(vec![absent], settings(1 << 30), Timestamp(0));
    watch.record(Timestamp(S), &batch(1, &[(0, 0, 0, 1)], 7));
    watch.advance(Timestamp(61 * S));
    watch.slept(Timestamp(10_000 * S));
    watch.advance(Timestamp(10_240 * S));
    assert_eq!(watch.take_transitions().len(), 0);
    watch.advance(Timestamp(10_241 * S));
    watch.advance(Timestamp(10_242 * S));
    let found = watch.take_transitions();
    assert_eq!((found.len(), found[0].at.0 / S), (1, 10_240));
    assert_eq!(found[0].text(), "n of d0: no reading for 5 min");
}

#[test]
fn more_than_there_may_be_is_not_watched_and_counted() {
    let hot = rule("hot", "threshold", |it| it.above = Some(5.0));
    let settings = Settings { subjects_max: 2, forget_after: Duration::from_secs(60) };
    let mut watch = Watch::new(vec![hot], settings, Timestamp(0));
    for at in 0..3 {
        watch.record(Timestamp(at * S), &batch(at, &[(0, 0, 0, 9), (1, 0, 0, 9), (2, 0, 0, 9)], 7));
    }
    assert_eq!(watch.take_transitions().len(), 2);
    let tally = Tally { matching: 2, pending: 0, firing: 2, beyond: 1 };
    assert_eq!(watch.tallies(), [tally]);
    // There is room again when something was forgotten.
    watch.advance(Timestamp(2 * SWEEP));
    assert_eq!(watch.take_transitions().len(), 2);
    let at = 2 * SWEEP / S;
    watch.record(Timestamp(at * S), &batch(at, &[(2, 0, 0, 9)], 7));
    assert_eq!(watch.take_transitions().len(), 1);
    assert_eq!(watch.tallies(), [Tally { matching: 1, pending: 0, firing: 1, beyond: 0 }]);
}

#[test]
fn the_daemon_is_well_in_what_it_does_not_tell() {
    let rules: Vec<_> =
        super::super::What::ALL.map(|what| Arc::new(Rule::new(&what.built_in()).unwrap())).into();
    let mut watch = Watch::new(rules, settings(1 << 30), Timestamp(0));
    let fact = |what, part: &str, value: f64, reason: Option<&str>| Fact {
        what,
        part: part.into(),
        value,
        reason: reason.map(str::to_owned),
    };
    use super::super::What::{BreakerOpen, Spool};
    let facts =
        [fact(BreakerOpen, "influx", 1.0, Some("connection refused")), fact(Spool, "", 0.7, None)];
    watch.facts(Timestamp(S), &facts);
    watch.facts(Timestamp(32 * S), &facts);
    let found = watch.take_transitions();
    let fired = found.last().unwrap();
    assert_eq!((found.len(), fired.change, fired.at.0 / S), (2, Change::Fired, 31));
    assert_eq!(fired.text(), "the store of influx can't be written: connection refused");
    watch.facts(Timestamp(40 * S), &[fact(Spool, "", 0.9, None)]);
    watch.advance(Timestamp(60 * S));
    let found: Vec<_> = watch.take_transitions().iter().map(told).collect();
    let changes: Vec<_> = found.iter().map(|it| (it.0, it.1.as_str(), it.3)).collect();
    let over = Change::Over { fired: true };
    let wanted = [
        (40, "tidegate breaker", over),
        (40, "tidegate spool", Change::Pending),
        (50, "tidegate spool", Change::Fired),
    ];
    assert_eq!(changes, wanted);
    assert!(found[2].4.ends_with("the spool is full to 0.9 (limit 0.8)"), "{}", found[2].4);
}

#[test]
fn a_changed_rule_forgets_and_another_goes_on() {
    let hot = |above| rule("hot", "threshold", |it| it.above = Some(above));
    let cold = rule("cold", "threshold", |it| it.below = Some(5.0));
    let mut watch = Watch::new(vec![hot(6.0), cold.clone()], settings(1 << 30), Timestamp(0));
    watch.record(Timestamp(S), &batch(1, &[(0, 0, 0, 9), (1, 0, 0, 1)], 7));
    assert_eq!(watch.take_transitions().len(), 2);
    watch.set_rules(vec![cold, hot(7.0)]);
    assert_eq!(watch.take_transitions().len(), 0);
    assert_eq!(watch.tallies().iter().map(|it| it.firing).collect::<Vec<_>>(), [1, 0]);
    watch.record(Timestamp(2 * S), &batch(2, &[(0, 0, 0, 9), (1, 0, 0, 6)], 7));
    let found: Vec<_> =
        watch.take_transitions().iter().map(|it| it.rule.name.to_string()).collect();
    assert_eq!(found, ["hot", "cold"]);
    // And one that watches nothing leaves nothing.
    watch.set_rules(Vec::new());
    assert_eq!(watch.subjects(), 0);
    assert!(watch.take_changed().iter().all(|(_, row)| row.is_none()));
}
