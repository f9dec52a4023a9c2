//! The breaker beside the table in `docs/sinks.md`.

use super::{
    Action, Breaker, Event, Failure, FailureKind, Permit, RETRY_AFTER_MAX, Settings, State,
};
use crate::clock;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

type Millis = u64;

fn ms(millis: Millis) -> Duration {
    Duration::from_millis(millis)
}

fn settings() -> Settings {
    Settings {
        failures_in_a_row: 4,
        failure_rate: 0.5,
        rate_requests_min: 10,
        backoff: ms(512),
        backoff_max: ms(8192),
        unreachable_max: ms(2048),
        misconfigured_interval: ms(60_000),
    }
}

/// A breaker with a clock of milliseconds.
struct Bench {
    breaker: Breaker<&'static str>,
    start: Instant,
}

impl Bench {
    fn new() -> Bench {
        Bench { breaker: Breaker::new(settings()), start: clock::monotonic() }
    }

    fn handle(&mut self, now: Millis, event: Event<&'static str>, random: f64) -> Action {
        self.breaker.handle(event, self.start + ms(now), random)
    }

    fn ask(&mut self, now: Millis) -> Action {
        self.handle(now, Event::Ask, 0.5)
    }

    fn permit(&mut self, now: Millis) -> Permit {
        match self.ask(now) {
            Action::Send(permit) | Action::SendProbe(permit) => permit,
            other => panic!("no permit: {other:?}"),
        }
    }

    fn fail(&mut self, now: Millis, retry_after: Option<Millis>, kind: FailureKind) -> Action {
        let permit = self.permit(now);
        let failure = Failure { kind, retry_after: retry_after.map(ms), cause: "broken" };
        self.handle(now, Event::Failed(permit, failure), 0.5)
    }

    fn until(&mut self, now: Millis) -> Option<Millis> {
        match self.ask(now) {
            Action::Wait(until) => until.map(|at| (at - self.start).as_millis() as Millis),
            other => panic!("does not wait: {other:?}"),
        }
    }
}

#[test]
fn it_opens_after_failures_in_a_row_and_doubles_its_wait() {
    let mut bench = Bench::new();
    let unavailable = FailureKind::Unavailable;
    for _ in 0..3 {
        assert_eq!(bench.fail(0, None, unavailable), Action::Nothing);
    }
    assert_eq!(bench.fail(0, None, unavailable), Action::Opened);
    let (mut now, mut waits) = (0, Vec::new());
    for _ in 0..7 {
        let until = bench.until(now).unwrap();
        waits.push(until - now);
        now = until;
        assert_eq!(bench.fail(now, None, unavailable), Action::Opened);
    }
    assert_eq!(waits, [256, 512, 1024, 2048, 4096, 4096, 4096], "half of the ceiling each time");
}

#[test]
fn while_nothing_can_be_reached_its_wait_stays_short() {
    let mut bench = Bench::new();
    let (mut now, mut waits) = (0, Vec::new());
    let (unreachable, unwell) = (FailureKind::Unreachable, FailureKind::Unavailable);
    // It hangs for long; then it is started anew, and is not well at first.
    let hung = [FailureKind::Unanswered; 5];
    for kind in [&hung[..], &[unreachable; 3], &[unwell; 3]].concat() {
        assert_eq!(bench.fail(now, None, kind), Action::Opened);
        let until = bench.until(now).unwrap();
        waits.push(until - now);
        now = until;
    }
    assert_eq!(waits, [256, 512, 1024, 2048, 4096, 1024, 1024, 1024, 2048, 4096, 4096]);
}

#[test]
fn one_probe_decides_and_closing_forgets() {
    let mut bench = Bench::new();
    let last = (0..4).map(|_| bench.fail(0, None, FailureKind::Unavailable)).last();
    assert_eq!(last, Some(Action::Opened));
    let Action::SendProbe(probe) = bench.ask(256) else { panic!("no probe") };
    assert_eq!(bench.until(256), None, "one probe only");
    let view = bench.breaker.view(bench.start + ms(256));
    assert_eq!((view.state, view.cause), (State::HalfOpen, Some(&"broken")));
    assert_eq!(bench.handle(300, Event::Succeeded(probe), 0.5), Action::Closed);
    assert_eq!(bench.breaker.view(bench.start).cause, None);
    for _ in 0..3 {
        assert_eq!(bench.fail(400, None, FailureKind::Unavailable), Action::Nothing);
    }
    assert_eq!(bench.fail(400, None, FailureKind::Unavailable), Action::Opened);
    assert_eq!(bench.until(400), Some(400 + 256), "the back-off begins anew");
}

#[test]
fn half_of_the_requests_failing_opens_it_without_four_in_a_row() {
    let mut bench = Bench::new();
    for round in 0..4 {
        let permit = bench.permit(0);
        assert_eq!(bench.handle(0, Event::Succeeded(permit), 0.5), Action::Nothing);
        assert_eq!(bench.fail(0, None, FailureKind::Unavailable), Action::Nothing, "{round}");
    }
    let permit = bench.permit(0);
    assert_eq!(bench.handle(0, Event::Succeeded(permit), 0.5), Action::Nothing);
    assert_eq!(bench.fail(0, None, FailureKind::Unavailable), Action::Opened);
}

#[test]
fn retry_after_is_a_minimum_and_has_a_cap() {
    let mut bench = Bench::new();
    assert_eq!(bench.fail(0, Some(30_000), FailureKind::Unavailable), Action::Opened);
    assert_eq!(bench.until(29_999), Some(30_000));
    assert_eq!(bench.fail(30_000, Some(1), FailureKind::Unavailable), Action::Opened);
    assert_eq!(bench.until(30_000), Some(30_512), "the back-off is longer");
    let cap = RETRY_AFTER_MAX.as_millis() as Millis;
    assert_eq!(bench.fail(40_000, Some(10 * cap), FailureKind::Unavailable), Action::Opened);
    assert_eq!(bench.until(40_000), Some(40_000 + cap));
}

#[test]
fn a_failure_that_comes_late_may_only_lengthen_the_wait() {
    let mut bench = Bench::new();
    let permits: Vec<_> = (0..7).map(|_| bench.permit(0)).collect();
    let failure = |after: Option<Millis>| Failure {
        kind: FailureKind::Unavailable,
        retry_after: after.map(ms),
        cause: "broken",
    };
    let mut answers = permits.into_iter();
    let mut fail = |bench: &mut Bench, after| {
        let permit = answers.next().unwrap();
        bench.handle(10, Event::Failed(permit, failure(after)), 0.5)
    };
    for _ in 0..3 {
        assert_eq!(fail(&mut bench, None), Action::Nothing);
    }
    assert_eq!(fail(&mut bench, None), Action::Opened);
    assert_eq!(fail(&mut bench, None), Action::Nothing);
    assert_eq!(bench.until(10), Some(266));
    assert_eq!(fail(&mut bench, Some(5000)), Action::Nothing);
    assert_eq!(bench.until(10), Some(5010));
    assert_eq!(fail(&mut bench, Some(1)), Action::Nothing);
    assert_eq!(bench.until(10), Some(5010));
}

#[test]
fn what_must_be_fixed_is_probed_slowly_unless_the_operator_wants_it_now() {
    let mut bench = Bench::new();
    assert_eq!(bench.fail(0, None, FailureKind::Misconfigured), Action::Opened);
    assert_eq!(bench.until(0), Some(60_000));
    assert_eq!(bench.handle(5000, Event::Probe, 0.5), Action::Changed);
    assert_eq!(bench.fail(5000, None, FailureKind::Misconfigured), Action::Opened);
    assert_eq!(bench.until(5000), Some(65_000));
}

#[test]
fn a_held_breaker_stays_open_until_it_is_released() {
    let mut bench = Bench::new();
    let in_flight = bench.permit(0);
    assert_eq!(bench.handle(0, Event::Hold, 0.5), Action::Changed);
    assert_eq!(bench.handle(1, Event::Succeeded(in_flight), 0.5), Action::Nothing);
    assert_eq!(bench.until(1_000_000), None);
    let view = bench.breaker.view(bench.start);
    assert_eq!((view.state, view.held, view.cause), (State::Open, true, None));
    assert_eq!(bench.handle(1_000_000, Event::Release, 0.5), Action::Changed);
    let Action::SendProbe(probe) = bench.ask(1_000_000) else { panic!("no probe") };
    assert_eq!(bench.handle(1_000_001, Event::Abandoned(probe), 0.5), Action::Changed);
    let Action::SendProbe(probe) = bench.ask(1_000_001) else { panic!("no second probe") };
    assert_eq!(bench.handle(1_000_001, Event::Succeeded(probe), 0.5), Action::Closed);
}

// ---- the table as a model: written from docs/sinks.md, in milliseconds ----

#[derive(Debug, Clone, Copy, PartialEq)]
enum Lamp {
    Closed,
    Open(Millis),
    HalfOpen,
    Held,
}

struct Model {
    lamp: Lamp,
    /// Permits given since the lamp last changed.
    current: Vec<Permit>,
    outcomes: VecDeque<bool>,
    /// The longest that may be waited when it opens next, whatever the failure.
    ceiling: Millis,
}

#[derive(Debug, Clone, Copy)]
enum Outcome {
    Succeeds,
    Fails { kind: FailureKind, retry_after: Option<Millis> },
    IsAbandoned,
}

#[derive(Debug, Clone)]
enum Step {
    Ask,
    Settle(prop::sample::Index, Outcome),
    Hold,
    Probe,
    Release,
}

impl Model {
    fn become_(&mut self, lamp: Lamp) {
        self.lamp = lamp;
        self.current.clear();
    }

    /// What the table says: the kind of action.
    fn settle(
        &mut self,
        permit: Permit,
        outcome: Outcome,
        now: Millis,
        eighths: u64,
    ) -> &'static str {
        let Some(at) = self.current.iter().position(|&current| current == permit) else {
            if let (Lamp::Open(until), Outcome::Fails { retry_after: Some(after), .. }) =
                (self.lamp, outcome)
            {
                self.lamp = Lamp::Open(until.max(now + after.min(3_600_000)));
            }
            return "nothing";
        };
        // Permits of one era look the same: any of them stands for this one.
        if self.lamp == Lamp::HalfOpen {
            self.current.remove(at);
        }
        match (self.lamp, outcome) {
            (Lamp::Closed, Outcome::Succeeds) => {
                self.outcomes.push_back(false);
                "nothing"
            }
            (Lamp::HalfOpen, Outcome::Succeeds) => {
                self.become_(Lamp::Closed);
                self.outcomes.clear();
                self.ceiling = 512;
                "closed"
            }
            (Lamp::HalfOpen, Outcome::IsAbandoned) => {
                self.become_(Lamp::Open(now));
                "changed"
            }
            (Lamp::Closed | Lamp::HalfOpen, Outcome::Fails { kind, retry_after }) => {
                if self.lamp == Lamp::Closed {
                    self.outcomes.push_back(true);
                    let last: Vec<bool> = self.outcomes.iter().rev().take(64).copied().collect();
                    let failed = last.iter().filter(|failed| **failed).count();
                    let row = last.iter().take_while(|failed| **failed).count();
                    let often = row >= 4 || (last.len() >= 10 && 2 * failed >= last.len());
                    let at_once = kind != FailureKind::Unavailable;
                    if !(often || at_once || retry_after.is_some()) {
                        return "nothing";
                    }
                }
                let fixable = kind == FailureKind::Misconfigured;
                let most = if kind == FailureKind::Unreachable { 2048 } else { 8192 };
                let ceiling = self.ceiling.min(most);
                let wait = if fixable { 60_000 } else { ceiling * eighths / 8 };
                if !fixable {
                    self.ceiling = ceiling * 2;
                }
                let asked = retry_after.unwrap_or(0).min(3_600_000);
                self.become_(Lamp::Open(now + wait.max(asked)));
                "opened"
            }
            _ => "nothing",
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<(Step, Millis, u64)>> {
    let retry_after = prop::option::weighted(0.15, prop_oneof![0..40_000_u64, Just(9_000_000)]);
    let outcome = prop_oneof![
        3 => Just(Outcome::Succeeds),
        5 => retry_after.clone().prop_map(|retry_after| {
            Outcome::Fails { kind: FailureKind::Unavailable, retry_after }
        }),
        1 => retry_after.clone().prop_map(|retry_after| {
            Outcome::Fails { kind: FailureKind::Unanswered, retry_after }
        }),
        2 => retry_after.clone().prop_map(|retry_after| {
            Outcome::Fails { kind: FailureKind::Unreachable, retry_after }
        }),
        1 => retry_after.prop_map(|retry_after| {
            Outcome::Fails { kind: FailureKind::Misconfigured, retry_after }
        }),
        1 => Just(Outcome::IsAbandoned),
    ];
    let step = prop_oneof![
        10 => Just(Step::Ask),
        10 => (any::<prop::sample::Index>(), outcome).prop_map(|(i, o)| Step::Settle(i, o)),
        1 => Just(Step::Hold),
        1 => Just(Step::Probe),
        2 => Just(Step::Release),
    ];
    let pause = prop_oneof![6 => 0..50_u64, 2 => 0..5_000_u64, 1 => 0..100_000_u64];
    prop::collection::vec((step, pause, 0..8_u64), 0..300)
}

proptest! {
    #[test]
    fn it_does_what_the_table_says(steps in steps()) {
        let mut bench = Bench::new();
        let (mut now, mut in_flight) = (0, Vec::new());
        let outcomes = VecDeque::new();
        let mut model = Model { lamp: Lamp::Closed, current: vec![], outcomes, ceiling: 512 };
        for (step, pause, eighths) in steps {
            now += pause;
            let random = eighths as f64 / 8.0;
            let (action, expected) = match step {
                Step::Ask => {
                    let action = bench.ask(now);
                    let expected = match (model.lamp, action) {
                        (Lamp::Closed, Action::Send(permit)) => {
                            model.current.push(permit);
                            in_flight.push(permit);
                            "send"
                        }
                        (Lamp::Open(until), Action::SendProbe(permit)) if now >= until => {
                            model.become_(Lamp::HalfOpen);
                            model.current.push(permit);
                            in_flight.push(permit);
                            "probe"
                        }
                        (Lamp::Open(until), Action::Wait(Some(at))) if now < until => {
                            prop_assert_eq!(at, bench.start + ms(until));
                            "wait"
                        }
                        (Lamp::HalfOpen | Lamp::Held, Action::Wait(None)) => "wait",
                        other => panic!("asked at {now}: {other:?}"),
                    };
                    (action, expected)
                }
                Step::Settle(_, _) if in_flight.is_empty() => continue,
                Step::Settle(which, outcome) => {
                    let permit = in_flight.swap_remove(which.index(in_flight.len()));
                    let event = match outcome {
                        Outcome::Succeeds => Event::Succeeded(permit),
                        Outcome::IsAbandoned => Event::Abandoned(permit),
                        Outcome::Fails { kind, retry_after } => {
                            let retry_after = retry_after.map(ms);
                            Event::Failed(permit, Failure { kind, retry_after, cause: "broken" })
                        }
                    };
                    let expected = model.settle(permit, outcome, now, eighths);
                    (bench.handle(now, event, random), expected)
                }
                Step::Hold => {
                    let expected = if model.lamp == Lamp::Held { "nothing" } else { "changed" };
                    if model.lamp != Lamp::Held {
                        model.become_(Lamp::Held);
                    }
                    (bench.handle(now, Event::Hold, random), expected)
                }
                Step::Probe | Step::Release => {
                    let wanted = matches!((&step, model.lamp), (_, Lamp::Held) | (Step::Probe, Lamp::Open(_)));
                    if wanted {
                        model.become_(Lamp::Open(now));
                    }
                    let event = if matches!(step, Step::Probe) { Event::Probe } else { Event::Release };
                    (bench.handle(now, event, random), if wanted { "changed" } else { "nothing" })
                }
            };
            let said = match action {
                Action::Nothing => "nothing",
                Action::Send(_) => "send",
                Action::SendProbe(_) => "probe",
                Action::Wait(_) => "wait",
                Action::Opened => "opened",
                Action::Closed => "closed",
                Action::Changed => "changed",
            };
            prop_assert_eq!(said, expected, "at {}", now);
            let view = bench.breaker.view(bench.start + ms(now));
            let lamp = match model.lamp {
                Lamp::Closed => State::Closed,
                Lamp::Open(_) | Lamp::Held => State::Open,
                Lamp::HalfOpen => State::HalfOpen,
            };
            prop_assert_eq!((view.state, view.held), (lamp, model.lamp == Lamp::Held));
        }
    }
}
