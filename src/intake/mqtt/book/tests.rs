//! Rounds, replays and losses, against a model in memory and on files that are damaged or cut.

mod damage;
mod model;

use super::*;
use std::path::PathBuf;
use tempfile::TempDir;

const WIDE: Bounds = Bounds::NONE;
const SECOND: i64 = 1_000_000_000;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn path(folder: &TempDir) -> PathBuf {
    folder.path().join("mqtt.db")
}

fn open(folder: &TempDir, bounds: Bounds) -> Book {
    let Opened { book, set_aside } = Book::open(&path(folder), bounds).unwrap();
    assert_eq!(set_aside, None);
    book
}

fn message(topic: &str, received_at: i64, payload: &[u8]) -> Quarantined {
    Quarantined {
        bridge: "site".into(),
        topic: topic.to_owned(),
        payload: payload.to_vec(),
        bytes: payload.len() as u64,
        qos: 1,
        retained: false,
        received_at: Timestamp(received_at),
        content_type: None,
        properties: Vec::new(),
        reason: "no route takes it".to_owned(),
        code: "UNSUPPORTED",
    }
}

fn birth(node: &str, bytes: &[u8]) -> Remember {
    Remember { bridge: "site".into(), node: node.to_owned(), birth: Some(bytes.to_vec()) }
}

/// A round in which all messages are kept.
fn round(number: u64, messages: Vec<Quarantined>) -> Round {
    let mut seen: Vec<Seen> = Vec::new();
    for message in &messages {
        let at =
            seen.iter().position(|it| (&it.bridge, &it.topic) == (&message.bridge, &message.topic));
        let at = at.unwrap_or_else(|| {
            seen.push(Seen {
                bridge: message.bridge.clone(),
                topic: message.topic.clone(),
                count: 0,
                first: message.received_at,
                last: message.received_at,
                reason: String::new(),
                code: "",
            });
            seen.len() - 1
        });
        let it = &mut seen[at];
        it.count += 1;
        (it.last, it.code) = (message.received_at, message.code);
        it.reason.clone_from(&message.reason);
    }
    Round { number, seen, messages, ..Round::default() }
}

fn write(book: &mut Book, number: u64, messages: Vec<Quarantined>) {
    book.write(&round(number, messages), Timestamp(0)).unwrap();
}

fn all(book: &Book) -> Vec<Summary> {
    book.messages(&Filter::default(), 0, usize::MAX).unwrap()
}

fn ids(book: &Book) -> Vec<u64> {
    all(book).iter().map(|message| message.id).collect()
}

fn topics(book: &Book) -> Vec<Topic> {
    book.topics(&Filter::default(), usize::MAX).unwrap()
}

fn on(topic: &str) -> Filter {
    Filter { topic: Some(topic.to_owned()), bridge: None }
}

fn assert_balanced(book: &Book) {
    let Totals { came, held, missed, shed, dropped, understood, .. } = book.totals(None).unwrap();
    assert_eq!(came, held + missed + shed + dropped + understood);
}

#[test]
fn what_was_written_is_read_back() {
    let folder = folder();
    let mut book = open(&folder, WIDE);
    let new = Quarantined {
        qos: 2,
        retained: true,
        content_type: Some("application/json".to_owned()),
        properties: vec![("client".to_owned(), "ö\"\n".to_owned()), (String::new(), String::new())],
        ..message("a/b", 7, &[0, 255, b'{'])
    };
    let cut = Quarantined { bytes: 1 << 20, ..message("a/c", 8, &[9; PAYLOAD_BYTES_MAX]) };
    let cost = new.cost() + cut.cost();
    let mut first = round(1, vec![new, cut]);
    first.remember = vec![birth("g/n", b"born"), birth("g/m", b"")];
    book.write(&first, Timestamp(0)).unwrap();
    drop(book);

    let book = Book::read_only(&path(&folder)).unwrap().unwrap();
    let expected = Summary {
        id: 1,
        bridge: "site".into(),
        topic: "a/b".into(),
        excerpt: vec![0, 255, b'{'],
        bytes: 3,
        kept: 3,
        qos: 2,
        retained: true,
        received_at: Timestamp(7),
        content_type: Some("application/json".into()),
        properties: vec![("client".into(), "ö\"\n".into()), (String::new(), String::new())],
        reason: "no route takes it".into(),
        code: "UNSUPPORTED".into(),
        attempts: 1,
        replaying: false,
    };
    let messages = all(&book);
    assert_eq!(messages[0], expected);
    let whole = Message { summary: expected, payload: vec![0, 255, b'{'] };
    assert_eq!(book.message(1).unwrap(), Some(whole));
    let cut = book.message(2).unwrap().unwrap();
    assert_eq!((cut.payload.len(), cut.summary.excerpt.len()), (PAYLOAD_BYTES_MAX, EXCERPT_BYTES));
    assert_eq!((cut.summary.bytes, cut.summary.is_whole()), (1 << 20, false));
    assert_eq!(book.message(3).unwrap(), None);
    assert_eq!(book.message(u64::MAX).unwrap(), None);
    let topics = topics(&book);
    let expected = Topic {
        bridge: "site".into(),
        topic: "a/b".into(),
        count: 1,
        first_seen: Timestamp(7),
        last_seen: Timestamp(7),
        reason: "no route takes it".into(),
        code: "UNSUPPORTED".into(),
        held: 1,
        example: Some(1),
    };
    assert_eq!(topics[1], expected, "after the one that was seen last");
    let births = [("g/m".to_owned(), Vec::new()), ("g/n".to_owned(), b"born".to_vec())];
    assert_eq!(book.remembered("site").unwrap(), births);
    assert_eq!(book.remembered("other").unwrap(), []);
    let totals = book.totals(Some("site")).unwrap();
    let expected = Totals { came: 2, held: 2, bytes: cost, topics: 2, ..Totals::default() };
    assert_eq!(totals, expected);
    assert_eq!(book.totals(Some("other")).unwrap(), Totals::default());
}

#[test]
fn only_its_owner_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let mut book = open(&folder, WIDE);
    write(&mut book, 1, vec![message("a", 0, b"x")]);
    for suffix in ["", "-wal", "-shm"] {
        let file = folder.path().join(format!("mqtt.db{suffix}"));
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
}

#[test]
fn a_round_that_is_written_again_changes_nothing() {
    let folder = folder();
    let mut book = open(&folder, WIDE);
    for _ in 0..2 {
        write(&mut book, 7, vec![message("a", 0, b"x"), message("a", 1, b"y")]);
    }
    assert_eq!(ids(&book), [1, 2]);
    assert_eq!(topics(&book)[0].count, 2);
    assert_eq!(book.totals(None).unwrap().came, 2);
}

#[test]
fn what_was_not_kept_is_counted() {
    let folder = folder();
    let mut book = open(&folder, WIDE);
    let mut storm = round(1, vec![message("a", 0, b"x")]);
    storm.seen[0].count = 1000;
    storm.others = vec![("site".into(), 50), ("other".into(), 3)];
    book.write(&storm, Timestamp(0)).unwrap();
    let totals = book.totals(Some("site")).unwrap();
    assert_eq!((totals.came, totals.held, totals.missed), (1050, 1, 1049));
    assert_eq!(book.totals(Some("other")).unwrap().missed, 3);
    assert_eq!(topics(&book)[0].count, 1000);
    assert_balanced(&book);
}

#[test]
fn the_newest_of_each_topic_is_shed_last() {
    let folder = folder();
    let mut book = open(&folder, Bounds { messages_max: 4, ..WIDE });
    write(&mut book, 1, vec![message("rare", 0, b"x"), message("b", 1, b"1")]);
    write(&mut book, 2, (2..9).map(|at| message("b", at, b"n")).collect());
    assert_eq!(ids(&book), [1, 7, 8, 9], "the only one of its topic stays");
    write(&mut book, 3, ["c", "d", "e", "f"].map(|topic| message(topic, 9, b"")).into());
    assert_eq!(ids(&book), [10, 11, 12, 13], "of many topics the oldest go");
    assert_eq!(book.totals(None).unwrap().shed, 9);
    let topics = book.topics(&on("rare"), 9).unwrap();
    assert_eq!((topics[0].count, topics[0].held, &topics[0].example), (1, 0, &None));
    assert_balanced(&book);
}

#[test]
fn a_topic_keeps_its_newest_messages_only() {
    let folder = folder();
    let mut book = open(&folder, WIDE);
    let many = TOPIC_MESSAGES_MAX as i64 + 5;
    write(&mut book, 1, (0..many).map(|at| message("a", at, b"x")).collect());
    assert_eq!(ids(&book), (6..=many as u64).collect::<Vec<_>>());
    assert_eq!(book.totals(None).unwrap().shed, 5);
}

#[test]
fn topics_are_bounded_and_those_seen_long_ago_are_forgotten() {
    let folder = folder();
    let mut book = open(&folder, Bounds { age_max: Some(Duration::from_secs(60)), ..WIDE });
    let many = TOPICS_MAX as i64 + 3;
    let mut flood = round(1, (0..many).map(|at| message(&format!("t/{at}"), at, b"")).collect());
    flood.messages.clear();
    book.write(&flood, Timestamp(0)).unwrap();
    let known = topics(&book);
    assert_eq!((known.len(), &*known[TOPICS_MAX - 1].topic), (TOPICS_MAX, "t/3"));
    assert_eq!(book.totals(None).unwrap().came, many as u64);
    book.write(&round(2, vec![message("new", 61 * SECOND, b"")]), Timestamp(61 * SECOND)).unwrap();
    let known = topics(&book);
    assert_eq!(known.iter().map(|topic| &*topic.topic).collect::<Vec<_>>(), ["new"]);
    assert_balanced(&book);
}

#[test]
fn births_are_bounded_and_the_oldest_are_forgotten() {
    let folder = folder();
    let mut book = open(&folder, WIDE);
    let large = vec![0; REMEMBERED_BYTES_MAX as usize / 4];
    for (number, node) in ["a", "b", "a", "c", "d"].into_iter().enumerate() {
        let remember = vec![birth(node, &large)];
        let round = Round { number: number as u64 + 1, remember, ..Round::default() };
        book.write(&round, Timestamp(0)).unwrap();
    }
    let nodes = |book: &Book| -> Vec<String> {
        book.remembered("site").unwrap().into_iter().map(|(node, _)| node).collect()
    };
    assert_eq!(nodes(&book), ["a", "c", "d"], "b was written longest ago");
    let forget = Remember { birth: None, ..birth("c", b"") };
    book.write(&Round { number: 9, remember: vec![forget], ..Round::default() }, Timestamp(0))
        .unwrap();
    assert_eq!(nodes(&book), ["a", "d"]);
}

#[test]
fn a_replay_leaves_out_what_was_cut_and_what_no_longer_fits_its_seal() {
    let folder = folder();
    let mut book = open(&folder, WIDE);
    let cut = Quarantined { bytes: 2, ..message("a", 0, b"x") };
    write(&mut book, 1, vec![cut, message("a", 1, b"y"), message("b", 2, b"z")]);
    let flip = "UPDATE message SET payload=x'00' WHERE id=2";
    rusqlite::Connection::open(path(&folder)).unwrap().execute_batch(flip).unwrap();
    let error = book.message(2).unwrap_err();
    assert!(matches!(error, BookError::Damaged { id: 2 }), "{error:?}");

    let marked = book.replay(&Which::Fitting(Filter::default())).unwrap();
    assert_eq!(marked, Marked { messages: 2, cut: 1 });
    assert_eq!(book.to_replay("other", 9).unwrap(), []);
    let sent = book.to_replay("site", 9).unwrap();
    assert_eq!(sent.iter().map(|message| message.summary.id).collect::<Vec<_>>(), [3]);
    let held = all(&book);
    assert_eq!(held.iter().map(|it| it.replaying).collect::<Vec<_>>(), [false, false, true]);
    assert_eq!(held[1].reason, "the payload of message 2 is damaged");
}

#[test]
fn somebody_elses_change_is_noticed_once() {
    let folder = folder();
    let mut book = open(&folder, WIDE);
    write(&mut book, 1, vec![message("a", 0, b"x")]);
    assert!(!book.changed().unwrap(), "its own");
    let mut person = Book::existing(&path(&folder)).unwrap().unwrap();
    assert_eq!(person.replay(&Which::Ids(vec![1, 1, 2])).unwrap().messages, 1);
    assert!(book.changed().unwrap());
    assert!(!book.changed().unwrap());
}

#[test]
fn without_a_file_there_is_nothing_to_look_at() {
    let folder = folder();
    assert!(Book::read_only(&path(&folder)).unwrap().is_none());
    assert!(Book::existing(&path(&folder)).unwrap().is_none());
    std::fs::write(path(&folder), "").unwrap();
    assert!(Book::read_only(&path(&folder)).unwrap().is_none(), "a daemon is about to fill it");
}
