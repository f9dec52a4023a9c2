use super::*;
use crate::rules::{EventKind, Rule, Severity, State, Subject, Transition};
use std::path::Path;

const S: i64 = 1_000_000_000;

fn alert(id: u64, rule: &str, device: &str, resolved_at: Option<i64>) -> Alert {
    let spec = Spec {
        name: rule.to_owned(),
        kind: "threshold".to_owned(),
        above: Some(80.0),
        ..Spec::default()
    };
    let transition = Transition {
        at: Timestamp(5 * S),
        rule: Arc::new(Rule::new(&spec).unwrap()),
        subject: Subject::Series(device.into(), "t".into()),
        change: crate::rules::Change::Fired,
        since: Timestamp(5 * S),
        value: None,
        unit: String::new(),
    };
    let mut alert = transition.alert(id);
    if let Some(at) = resolved_at {
        (alert.state, alert.resolved_at) = (State::Resolved, Some(Timestamp(at)));
    }
    alert
}

fn kept(alert: Alert) -> (u64, Option<Kept>) {
    let key = format!("{}", alert.id);
    (alert.id, Some(Kept { alert: Arc::new(alert), fingerprint: u64::MAX, key }))
}

fn happened(id: u64, at: i64, of: &Alert) -> Happened {
    let event =
        Event { id, at: Timestamp(at), kind: EventKind::Fired, alert: Arc::new(of.clone()) };
    Happened { event, by: "ana".to_owned(), note: "why".to_owned() }
}

fn open(path: &Path) -> (Book, Remembered) {
    let (book, remembered, set_aside) = Book::open(path).unwrap();
    assert_eq!(set_aside, None);
    (book, remembered)
}

#[test]
fn what_is_written_is_there_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("alerts.db");
    let (mut book, fresh) = open(&path);
    assert_eq!((fresh.position, fresh.next), (None, [1, 1, 1]));
    let (first, second) = (alert(1, "hot", "a", None), alert(2, "hot", "b", Some(9 * S)));
    let silence = Silence {
        id: 1,
        rule: vec!["hot".to_owned()],
        device: Vec::new(),
        severity: Vec::new(),
        from: 0,
        until: 7,
        by: "ana".to_owned(),
        note: String::new(),
    };
    let spec = Spec { name: "mine".to_owned(), kind: "offline".to_owned(), ..Spec::default() };
    let mut round = Round {
        position: Position(17),
        now: Timestamp(6 * S),
        next: [3, 2, 2],
        watch: BTreeMap::from([(0, Some(vec![1, 2])), (3, Some(vec![3]))]),
        alerts: BTreeMap::from([kept(first.clone()), kept(second.clone()), (9, None)]),
        events: vec![happened(1, 5 * S, &first)],
        silences: BTreeMap::from([(1, silence.clone())]),
        rules: BTreeMap::from([("mine".to_owned(), Some(spec.clone()))]),
        vanished: Vec::new(),
    };
    book.write(u64::MAX, &round).unwrap();
    // The same again, as after an error that came too late.
    book.write(u64::MAX, &round).unwrap();
    let (mut book, found) = open(&path);
    assert_eq!(found.position, Some((u64::MAX, Position(17))));
    assert_eq!((found.now, found.next), (Timestamp(6 * S), [3, 2, 2]));
    assert_eq!(found.watch, [(0, vec![1, 2]), (3, vec![3])]);
    assert_eq!(found.open.len(), 1);
    assert_eq!((&*found.open[0].alert, found.open[0].fingerprint), (&first, u64::MAX));
    assert_eq!(found.silences[0].silence, silence);
    assert_eq!(found.rules, BTreeMap::from([("mine".to_owned(), spec)]));
    // And what is taken out is out.
    round.watch = BTreeMap::from([(0, None)]);
    round.alerts = BTreeMap::from([(1, None)]);
    round.rules = BTreeMap::from([("mine".to_owned(), None)]);
    book.write(1, &round).unwrap();
    let (_, found) = open(&path);
    assert_eq!((found.watch.len(), found.open.len(), found.rules.len()), (1, 0, 0));
}

#[test]
fn readers_find_alerts_and_what_happened_to_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("alerts.db");
    assert!(Book::reader(&path).unwrap().is_none());
    let (mut book, _) = open(&path);
    let mut all: Vec<_> = (1..=5).map(|id| alert(id, "hot", "a", None)).collect();
    all[1] = alert(2, "cold", "b", Some(9 * S));
    all[2].severity = Severity::Critical;
    let mut round = Round { alerts: all.iter().cloned().map(kept).collect(), ..Round::default() };
    round.events = vec![happened(1, 5 * S, &all[0]), happened(2, 6 * S, &all[1])];
    book.write(1, &round).unwrap();
    let reader = Book::reader(&path).unwrap().unwrap();
    let list = |filter: Filter, before, max| {
        let found = reader.list(&filter, before, max).unwrap();
        found.iter().map(|alert| alert.id).collect::<Vec<_>>()
    };
    assert_eq!(list(Filter::default(), None, 10), [5, 4, 3, 2, 1]);
    assert_eq!(list(Filter::default(), Some(4), 2), [3, 2]);
    let open = Filter { states: vec!["pending", "firing"], ..Filter::default() };
    assert_eq!(list(open.clone(), None, 10), [5, 4, 3, 1]);
    assert_eq!(list(Filter { severity: Some("critical"), ..open.clone() }, None, 10), [3]);
    let of_b = Filter { device: Some("b".to_owned()), ..Filter::default() };
    assert_eq!(list(of_b, None, 10), [2]);
    let cold = Filter { rule: Some("cold".to_owned()), ..open };
    assert_eq!(list(cold, None, 10), [] as [u64; 0]);
    let detail = reader.detail(2).unwrap().unwrap();
    assert_eq!((&detail.alert, detail.events.len()), (&all[1], 1));
    assert_eq!((&*detail.events[0].by, &*detail.events[0].note), ("ana", "why"));
    assert_eq!(reader.detail(6).unwrap(), None);
    assert_eq!(reader.after(1, 10).unwrap(), [happened(2, 6 * S, &all[1])]);
    assert_eq!(reader.after(0, 1).unwrap().len(), 1);
}

#[test]
fn what_is_too_old_or_too_much_goes_and_what_is_open_stays() {
    let directory = tempfile::tempdir().unwrap();
    let (mut book, _) = open(&directory.path().join("alerts.db"));
    let all: Vec<_> =
        (1..=10_i64).map(|id| alert(id as u64, "hot", "a", (id != 2).then_some(id * S))).collect();
    let mut round = Round { alerts: all.iter().cloned().map(kept).collect(), ..Round::default() };
    // The third happened later than the fourth, by its time.
    let times = [1, 2, 6, 4, 5, 6, 7, 8, 9, 10];
    round.events =
        (1..).zip(times).zip(&all).map(|((id, at), of)| happened(id, at * S, of)).collect();
    book.write(1, &round).unwrap();
    let ids = |book: &Book| {
        let alerts = book.list(&Filter::default(), None, 100).unwrap();
        let events = book.after(0, 100).unwrap();
        let mut alerts: Vec<_> = alerts.iter().map(|alert| alert.id).collect();
        alerts.reverse();
        (alerts, events.iter().map(|it| it.event.id).collect::<Vec<_>>())
    };
    book.trim(Some(Timestamp(5 * S)), 100).unwrap();
    // The journal stays a run of numbers.
    assert_eq!(ids(&book), (vec![2, 5, 6, 7, 8, 9, 10], vec![3, 4, 5, 6, 7, 8, 9, 10]));
    book.trim(None, 3).unwrap();
    assert_eq!(ids(&book), (vec![2, 8, 9, 10], vec![8, 9, 10]));
}

#[test]
fn a_damaged_file_is_set_aside_and_a_foreign_one_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("alerts.db");
    std::fs::write(&path, "this is no database, and long enough to be taken for none".repeat(40))
        .unwrap();
    let (_, remembered, set_aside) = Book::open(&path).unwrap();
    assert!(remembered.position.is_none());
    assert!(set_aside.unwrap().path.ends_with("alerts.db.damaged-1"));
    let foreign = directory.path().join("other.db");
    let other = rusqlite::Connection::open(&foreign).unwrap();
    other.execute_batch("CREATE TABLE x(y); PRAGMA application_id=7").unwrap();
    drop(other);
    assert!(matches!(Book::open(&foreign), Err(BookError::Foreign { application: 7 })));
}
