use super::*;
use crate::notify::wording::tests::{alert, event};
use proptest::prelude::*;
use std::collections::BTreeMap;

const RHYTHM: Rhythm = Rhythm {
    group_wait: Duration::from_secs(10),
    group_interval: Duration::from_secs(60),
    messages_per_hour: 60,
};
const ALL: Wanted = Wanted { severity_min: Severity::Info, resolved: true, acknowledged: true };

fn second(n: u64) -> Timestamp {
    Timestamp(1_700_000_000_000_000_000).saturating_add(Duration::from_secs(n))
}

fn grouping(rhythm: Rhythm) -> Grouping {
    Grouping::new("ops", ALL, rhythm, Standing::default())
}

/// Sends what is due at this second: for each message how many events of how many groups.
fn sent(grouping: &mut Grouping, at: u64) -> Vec<(u64, usize)> {
    let mut sent = Vec::new();
    while let Some(draft) = grouping.due(second(at)) {
        grouping.made(&draft, second(at));
        sent.push((draft.count(), draft.parts.len()));
    }
    sent
}

#[test]
fn a_thousand_devices_make_one_message() {
    let mut grouping = grouping(RHYTHM);
    for id in 1..=1000 {
        grouping.hear(event(id, EventKind::Fired, alert(id, "device offline")), second(id / 200));
    }
    assert_eq!(sent(&mut grouping, 9), []);
    let draft = grouping.due(second(10)).unwrap();
    assert_eq!((draft.count(), draft.events.len()), (1000, SHOWN_MAX));
    assert_eq!(sent(&mut grouping, 10), [(1000, 1)]);
    // Further ones of the same group share the next message.
    for id in 1001..=1010 {
        grouping.hear(event(id, EventKind::Fired, alert(id, "device offline")), second(id - 990));
    }
    assert_eq!(sent(&mut grouping, 69), []);
    assert_eq!(sent(&mut grouping, 70), [(10, 1)]);
    assert_eq!((grouping.waiting(), grouping.next_at(second(70))), (0, None));
}

#[test]
fn what_is_over_is_told_after_that_it_began() {
    let mut grouping = grouping(RHYTHM);
    grouping.hear(event(1, EventKind::Fired, alert(1, "hot")), second(0));
    assert_eq!(sent(&mut grouping, 10), [(1, 1)]);
    // The second one waits for the interval; that it is over would be due before.
    grouping.hear(event(2, EventKind::Fired, alert(2, "hot")), second(11));
    grouping.hear(event(3, EventKind::Resolved, alert(2, "hot")), second(12));
    assert_eq!(sent(&mut grouping, 69), []);
    let draft = grouping.due(second(70)).unwrap();
    assert_eq!(draft.events[0].kind, EventKind::Fired);
    assert_eq!(sent(&mut grouping, 70), [(1, 1), (1, 1)]);
}

#[test]
fn above_the_limit_messages_are_merged_and_nothing_is_left_out() {
    let mut grouping = grouping(Rhythm { messages_per_hour: 10, ..RHYTHM });
    let mut messages = 0;
    let mut events = 0;
    // Each second another rule.
    for id in 1..=3600 {
        grouping.hear(event(id, EventKind::Fired, alert(id, &format!("rule {id}"))), second(id));
        for (count, _) in sent(&mut grouping, id) {
            messages += 1;
            events += count;
        }
    }
    assert!(messages <= 10, "{messages}");
    assert_eq!(events + grouping.waiting(), 3600);
    assert!(grouping.held <= HELD_MAX);
}

#[test]
fn only_what_is_wanted_is_told() {
    let wanted = Wanted { severity_min: Severity::Warning, resolved: false, acknowledged: false };
    let mut grouping = Grouping::new("ops", wanted, RHYTHM, Standing::at(0));
    let mut id = 0;
    let mut waits = |kind, change: fn(&mut crate::rules::Alert)| {
        id += 1;
        let mut alert = alert(id, "hot");
        change(&mut alert);
        let before = grouping.waiting();
        grouping.hear(event(id, kind, alert), second(id));
        (grouping.waiting() - before, grouping.silenced)
    };
    assert_eq!(waits(EventKind::Fired, |_| {}), (1, 0));
    assert_eq!(waits(EventKind::Fired, |alert| alert.severity = Severity::Info), (0, 0));
    assert_eq!(waits(EventKind::Fired, |alert| alert.notify = vec!["dev".to_owned()]), (0, 0));
    let named = |alert: &mut crate::rules::Alert| {
        alert.notify = vec!["dev".to_owned(), "ops".to_owned()];
    };
    assert_eq!(waits(EventKind::Fired, named), (1, 0));
    assert_eq!(waits(EventKind::Fired, |alert| alert.silenced = true), (0, 1));
    assert_eq!(waits(EventKind::Acknowledged, |_| {}), (0, 1));
    assert_eq!(waits(EventKind::Resolved, |_| {}), (0, 1));
}

#[test]
fn events_that_the_journal_has_no_more_are_counted() {
    let mut grouping = Grouping::new("ops", ALL, RHYTHM, Standing::at(7));
    grouping.hear(event(8, EventKind::Fired, alert(8, "hot")), second(0));
    assert_eq!(grouping.missed, 0);
    grouping.hear(event(12, EventKind::Fired, alert(12, "hot")), second(0));
    assert_eq!((grouping.missed, grouping.waiting()), (3, 2));
}

/// What happens to a channel.
#[derive(Debug, Clone)]
enum Step {
    /// An alert of this rule goes on: fires, or is acknowledged, or is over.
    Event { rule: u64, alert: u64 },
    /// The channel reads so many events, sends what is due, and so many seconds go by.
    Tick { read: usize, seconds: u64 },
    /// What was not written down is forgotten. `made`: a message was about to be written.
    Restart { made: bool },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..3u64, 0..6u64).prop_map(|(rule, alert)| Step::Event { rule, alert }),
        3 => (0..9usize, 0..90u64).prop_map(|(read, seconds)| Step::Tick { read, seconds }),
        1 => any::<bool>().prop_map(|made| Step::Restart { made }),
    ];
    prop::collection::vec(step, 0..150)
}

/// The journal, and what came of it.
#[derive(Default)]
struct World {
    journal: Vec<Event>,
    /// For each alert that is open: its id and what it did last.
    open: BTreeMap<(u64, u64), (u64, EventKind)>,
    messages: Vec<(Timestamp, Draft)>,
}

impl World {
    fn go_on(&mut self, rule: u64, which: u64) {
        let id = self.journal.len() as u64 + 1;
        let (alert_id, kind) = match self.open.get(&(rule, which)) {
            None => (id, EventKind::Fired),
            Some(&(alert, EventKind::Fired)) if which.is_multiple_of(2) => {
                (alert, EventKind::Acknowledged)
            }
            Some(&(alert, _)) => (alert, EventKind::Resolved),
        };
        if kind == EventKind::Resolved {
            self.open.remove(&(rule, which));
        } else {
            self.open.insert((rule, which), (alert_id, kind));
        }
        self.journal.push(event(id, kind, alert(alert_id, &format!("rule {rule}"))));
    }

    fn read(&self, grouping: &mut Grouping, count: usize, now: Timestamp) {
        let begin = usize::try_from(grouping.read()).unwrap();
        for event in self.journal.iter().skip(begin).take(count) {
            grouping.hear(event.clone(), now);
        }
    }
}

/// As it comes back from the file.
fn again(standing: &Standing, rhythm: Rhythm) -> Grouping {
    let json = serde_json::to_string(standing).unwrap();
    Grouping::new("ops", ALL, rhythm, serde_json::from_str(&json).unwrap())
}

fn run(steps: Vec<Step>, per_hour: u32) -> World {
    let rhythm = Rhythm { messages_per_hour: per_hour, ..RHYTHM };
    let mut world = World::default();
    let mut written = Standing::default();
    let mut grouping = again(&written, rhythm);
    let mut now = second(0);
    let end = vec![Step::Tick { read: 1000, seconds: 4000 }; 8];
    for step in steps.into_iter().chain(end) {
        match step {
            Step::Event { rule, alert } => world.go_on(rule, alert),
            Step::Tick { read, seconds } => {
                world.read(&mut grouping, read, now);
                while let Some(draft) = grouping.due(now) {
                    let standing = grouping.standing_with(&draft, now);
                    grouping.made(&draft, now);
                    assert_eq!(standing, grouping.standing());
                    written = standing;
                    world.messages.push((now, draft));
                }
                now = now.saturating_add(Duration::from_secs(seconds));
            }
            Step::Restart { made } => {
                if made && let Some(draft) = grouping.due(now) {
                    // Killed before it was written down.
                    drop(grouping.standing_with(&draft, now));
                }
                grouping = again(&written, rhythm);
            }
        }
    }
    assert_eq!(grouping.waiting(), 0);
    assert_eq!(grouping.standing().position, world.journal.len() as u64);
    world
}

proptest! {
    /// Each event is in one message, each alert is told in order, no hour has more messages than it may:
    /// whatever is read when, and however often it is restarted.
    #[test]
    fn every_event_is_in_one_message_and_each_alert_in_order(
        steps in steps(),
        per_hour in prop_oneof![Just(1u32), Just(4), Just(60)],
    ) {
        let World { journal, messages, .. } = run(steps, per_hour);
        let mut told = Vec::new();
        for (_, draft) in &messages {
            let shown: Vec<u64> = draft.events.iter().map(|event| event.id).collect();
            prop_assert!(shown.is_sorted());
            prop_assert_eq!(shown.len() as u64, draft.count());
            told.extend(shown);
        }
        let mut sorted = told.clone();
        sorted.sort_unstable();
        prop_assert_eq!(sorted, (1..=journal.len() as u64).collect::<Vec<_>>());
        let mut last = BTreeMap::new();
        for id in told {
            let alert = journal[usize::try_from(id).unwrap() - 1].alert.id;
            let before = last.insert(alert, id);
            prop_assert!(before < Some(id), "{alert}: {before:?} before {id}");
        }
        for (place, (at, _)) in messages.iter().enumerate() {
            let hour = at.saturating_add(Duration::from_secs(3600));
            let within = messages[place..].iter().filter(|(then, _)| *then < hour).count();
            prop_assert!(within <= per_hour as usize, "{within} within an hour");
        }
    }
}
