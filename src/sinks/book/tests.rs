//! Settlements, replays and losses, against a model in memory and on files that are damaged or cut.

mod damage;
mod model;

use super::*;
use crate::ledger::{Outcome, Outcomes};
use crate::model::BatchBuilder;
use std::path::PathBuf;
use tempfile::TempDir;

const SPOOL: u64 = u64::MAX - 6;
const WIDE: Bounds = Bounds { bytes_max: u64::MAX, age_max: None };
const SECOND: i64 = 1_000_000_000;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn path(folder: &TempDir) -> PathBuf {
    folder.path().join("sinks.db")
}

fn open(folder: &TempDir, bounds: Bounds) -> Book {
    let Opened { book, set_aside } = Book::open(&path(folder), bounds).unwrap();
    assert_eq!(set_aside, None);
    book
}

/// A letter of so many samples from the record at `position`.
fn letter(position: u64, samples: usize) -> NewLetter {
    let mut builder = BatchBuilder::new();
    builder.table("pump-7", &mut [("site", "a")], (0..samples as i64).map(|i| i * SECOND)).unwrap();
    builder.floats("motor.temperature", "°C", (0..samples).map(|i| i as f64 / 4.0), &[]).unwrap();
    NewLetter {
        position: Position(position),
        table: 0,
        column: 0,
        first_row: 0,
        received_at: Timestamp(7),
        protocol: "ws".into(),
        client: "gateway-1".into(),
        batch: builder.finish(),
        samples: samples as u64,
        words: "field type conflict".into(),
    }
}

fn standing(head: u64, dead_lettered: u64) -> Standing {
    let counts = Counts { dead_lettered, written: head * 10, ..Counts::default() };
    Standing { spool_id: SPOOL, progress: Progress::begin(Position(head)), counts, windows: None }
}

fn news(letters: &[NewLetter]) -> News {
    News { letters: letters.to_vec(), ..News::default() }
}

/// Counts of no client.
fn nobody() -> Outcomes {
    Outcomes::new(10, [])
}

/// Settles a round after which there is room for all.
fn settle(book: &mut Book, sink: &str, standing: &Standing, letters: &[NewLetter], now: Timestamp) {
    let shed = book.settle(sink, standing, &mut nobody(), &news(letters), now).unwrap();
    assert_eq!(shed, Shed::default());
}

fn all(book: &Book) -> Vec<Summary> {
    book.letters(&Filter::default(), 0, usize::MAX).unwrap()
}

#[test]
fn what_was_settled_is_read_back() {
    let folder = folder();
    let mut book = open(&folder, WIDE);
    assert_eq!(book.sink("influx", SPOOL).unwrap(), None);
    let mut builder = BatchBuilder::new();
    builder
        .table("ö", &mut [("k", "v"), ("a", "b")], [i64::MIN / 4, 5, 1_763_712_000_000_000_001])
        .unwrap();
    builder.floats("f", "°C", [-0.0, 0.0, 1e300], &[0b010]).unwrap();
    builder.ints("i", "", [i64::MIN, i64::MAX, 0], &[]).unwrap();
    builder.bools("b", "", [true, false, true], &[]).unwrap();
    builder.texts("t", "", ["", "line\nfeed", "x"], &[]).unwrap();
    let batch = builder.finish();
    let mut progress = Progress::begin(Position(3));
    assert!(progress.leave(Position(9)));
    let counts = Counts {
        before: 1,
        written: 2,
        dead_lettered: 11,
        skipped: 4,
        lost: u64::MAX,
        late: 0,
        open: 0,
    };
    let standing = Standing { spool_id: SPOOL, progress, counts, windows: None };
    let samples = batch.samples() as u64;
    let new = NewLetter { batch: batch.clone(), samples, column: 2, first_row: 8, ..letter(5, 1) };
    let news = news(&[new]);
    let shed = book.settle("influx", &standing, &mut nobody(), &news, Timestamp(99)).unwrap();
    assert_eq!(shed, Shed::default());
    drop(book);

    let book = open(&folder, WIDE);
    assert_eq!(book.sink("influx", SPOOL).unwrap(), Some(standing));
    assert_eq!(book.sink("influx", SPOOL - 1).unwrap(), None, "it was with another spool");
    assert_eq!(book.sink("other", SPOOL).unwrap(), None);
    let letters = all(&book);
    let expected = Summary {
        id: 1,
        sink: "influx".into(),
        refused_at: Timestamp(99),
        received_at: Timestamp(7),
        client: "gateway-1".into(),
        protocol: "ws".into(),
        device: "ö".into(),
        metrics: ["f", "i", "b", "t"].map(str::to_owned).into(),
        samples: 11,
        reason: "field type conflict".into(),
        attempts: 1,
        replaying: false,
    };
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0], expected);
    let found = book.letter(1).unwrap().unwrap();
    assert_eq!(found.summary, expected);
    assert_eq!(crate::decode::encode(&found.batch, 0), crate::decode::encode(&batch, 0));
    assert_eq!(book.letter(2).unwrap(), None);
    assert_eq!(book.letter(u64::MAX).unwrap(), None);
}

#[test]
fn only_its_owner_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let mut book = open(&folder, WIDE);
    settle(&mut book, "influx", &standing(1, 1), &[letter(0, 1)], Timestamp(0));
    for suffix in ["", "-wal", "-shm"] {
        let file = folder.path().join(format!("sinks.db{suffix}"));
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
}

#[test]
fn a_settlement_that_is_repeated_changes_nothing() {
    let folder = folder();
    let mut book = open(&folder, WIDE);
    let round = [letter(4, 3), letter(5, 2)];
    for _ in 0..2 {
        settle(&mut book, "influx", &standing(6, 5), &round, Timestamp(1));
    }
    assert_eq!(book.totals(None).unwrap().samples, 5);
    // Told that it failed, the sink reads on and settles the same with what came after.
    let more = [letter(4, 3), letter(5, 2), letter(6, 1)];
    settle(&mut book, "influx", &standing(7, 6), &more, Timestamp(2));
    assert_eq!(book.totals(None).unwrap().samples, 6);
    assert_eq!(all(&book).len(), 3);
    // What somebody dropped between does not come again.
    assert_eq!(book.drop_letters(&Which::All).unwrap(), 3);
    settle(&mut book, "influx", &standing(7, 6), &more, Timestamp(2));
    let totals = book.totals(Some("influx")).unwrap();
    assert_eq!((totals.letters, totals.dropped), (0, 6));
}

#[test]
fn the_same_position_is_another_letter_in_another_sink_spool_table_column_or_row() {
    let folder = folder();
    let mut book = open(&folder, WIDE);
    let round = [
        letter(4, 1),
        NewLetter { table: 1, ..letter(4, 1) },
        NewLetter { column: 1, ..letter(4, 1) },
        NewLetter { first_row: 1, ..letter(4, 1) },
        letter(4, 1),
    ];
    settle(&mut book, "a", &standing(5, 4), &round, Timestamp(1));
    settle(&mut book, "b", &standing(5, 4), &round, Timestamp(1));
    let after_reset = Standing { spool_id: 9, ..standing(5, 4) };
    settle(&mut book, "a", &after_reset, &round, Timestamp(1));
    assert_eq!(book.totals(Some("a")).unwrap().letters, 8);
    assert_eq!(book.totals(Some("b")).unwrap().letters, 4);
}

#[test]
fn past_the_bounds_the_oldest_are_shed_and_counted() {
    let folder = folder();
    let each = {
        let mut book = open(&folder, WIDE);
        settle(&mut book, "a", &standing(1, 2), &[letter(0, 2)], Timestamp(0));
        book.totals(None).unwrap().bytes
    };
    assert!(each > LETTER_BYTES);
    let bounds = Bounds { bytes_max: 3 * each, age_max: Some(Duration::from_secs(100)) };
    let mut book = open(&folder, bounds);
    for (at, sink) in [(1, "b"), (2, "a")] {
        let now = Timestamp(at as i64 * SECOND);
        let (standing, news) = (standing(at + 1, 2), news(&[letter(at, 2)]));
        let shed = book.settle(sink, &standing, &mut nobody(), &news, now).unwrap();
        assert_eq!(shed, Shed::default(), "there is just room");
    }
    let now = Timestamp(3 * SECOND);
    let round = [letter(3, 2), letter(4, 2)];
    let shed = book.settle("a", &standing(5, 8), &mut nobody(), &news(&round), now).unwrap();
    assert_eq!(shed, Shed { letters: 2, samples: 4 });
    let times: Vec<_> = all(&book).iter().map(|letter| letter.refused_at.0 / SECOND).collect();
    assert_eq!(times, [2, 3, 3], "the oldest are gone, whosever they were");
    assert_eq!(book.totals(Some("a")).unwrap().shed, 2);
    assert_eq!(book.totals(Some("b")).unwrap(), Totals { shed: 2, ..Totals::default() });

    // By age; exactly as old as allowed is not too old.
    assert_eq!(book.shed(Timestamp(102 * SECOND)).unwrap(), Shed::default());
    assert_eq!(book.shed(Timestamp(102 * SECOND + 1)).unwrap(), Shed { letters: 1, samples: 2 });
    let now = Timestamp(900 * SECOND);
    let settled = book.settle("a", &standing(9, 8), &mut nobody(), &news(&[]), now).unwrap();
    assert_eq!(settled, Shed { letters: 2, samples: 4 });
    assert_eq!(book.totals(None).unwrap(), Totals { shed: 10, ..Totals::default() });

    // One that alone is larger than the bound is counted like any other.
    let large = news(&[letter(9, 1000)]);
    let shed = book.settle("a", &standing(10, 1008), &mut nobody(), &large, now);
    assert_eq!(shed.unwrap(), Shed { letters: 1, samples: 1000 });
    assert_eq!(book.totals(None).unwrap(), Totals { shed: 1010, ..Totals::default() });
}

#[test]
fn one_connection_sees_what_another_changed() {
    let folder = folder();
    let mut daemon = open(&folder, WIDE);
    assert!(!daemon.changed().unwrap());
    settle(&mut daemon, "influx", &standing(1, 1), &[letter(0, 1)], Timestamp(0));
    assert!(!daemon.changed().unwrap(), "its own changes are no news");
    let reader = Book::read_only(&path(&folder)).unwrap().unwrap();
    let mut person = Book::existing(&path(&folder)).unwrap().unwrap();
    assert_eq!(all(&reader).len(), 1);
    assert_eq!(person.replay(&Which::Ids(vec![1, 1, 77])).unwrap(), 1);
    assert!(daemon.changed().unwrap());
    assert!(!daemon.changed().unwrap(), "told once");
    assert!(reader.changed().unwrap());
    assert!(!person.changed().unwrap());
    assert!(all(&reader)[0].replaying);
    assert_eq!(daemon.to_replay("influx", 0).unwrap().len(), 1);
    daemon.replayed("influx", &[1], &[], Timestamp(1)).unwrap();
    assert!(person.changed().unwrap());
    assert_eq!(person.totals(None).unwrap(), Totals { replayed: 1, ..Totals::default() });
}

#[test]
fn who_only_looks_makes_no_file() {
    let folder = folder();
    assert!(Book::read_only(&path(&folder)).unwrap().is_none());
    assert!(Book::existing(&path(&folder)).unwrap().is_none());
    assert!(!path(&folder).exists());
    std::fs::write(path(&folder), "").unwrap();
    assert!(Book::read_only(&path(&folder)).unwrap().is_none(), "a daemon is about to begin it");
    let _book = open(&folder, WIDE);
    let mut reader = Book::read_only(&path(&folder)).unwrap().unwrap();
    assert!(reader.replay(&Which::All).is_err());
}

#[test]
fn what_is_replayed_comes_in_pieces_and_refused_letters_wait_for_people() {
    let folder = folder();
    let mut book = open(&folder, WIDE);
    let round: Vec<_> = (0..10).map(|at| letter(at, 1)).collect();
    settle(&mut book, "influx", &standing(10, 10), &round, Timestamp(0));
    settle(&mut book, "other", &standing(10, 10), &round, Timestamp(0));
    assert_eq!(book.to_replay("influx", u64::MAX).unwrap(), []);
    assert_eq!(book.replay(&Which::Sink("influx".into())).unwrap(), 10);
    let each = book.totals(None).unwrap().bytes / 20;
    let ids = |letters: &[Letter]| letters.iter().map(|l| l.summary.id).collect::<Vec<_>>();
    let piece = book.to_replay("influx", 3 * each).unwrap();
    assert_eq!(ids(&piece), [1, 2, 3]);
    // Somebody drops one while it is on its way.
    assert_eq!(book.drop_letters(&Which::Ids(vec![2])).unwrap(), 1);
    let words: Arc<str> = "no, really not".into();
    // Told twice, as after an error, it is the same.
    for now in [50, 51] {
        book.replayed("influx", &[1, 2], &[(3, words.clone())], Timestamp(now)).unwrap();
    }
    assert_eq!(ids(&book.to_replay("influx", 1).unwrap()), [4]);
    assert_eq!(book.to_replay("influx", u64::MAX).unwrap().len(), 7);
    let refused = book.letter(3).unwrap().unwrap().summary;
    assert_eq!((&*refused.reason, refused.attempts), (&*words, 2));
    assert_eq!((refused.refused_at, refused.replaying), (Timestamp(50), false));
    let totals = book.totals(Some("influx")).unwrap();
    assert_eq!((totals.samples, totals.dropped, totals.replayed), (8, 1, 1));
    let less = "field type conflict".len() as u64 - words.len() as u64;
    assert_eq!(totals.bytes, 8 * each - less);
    assert_eq!(book.totals(Some("other")).unwrap().samples, 10);
    // Another sink's numbers mean nothing here.
    book.replayed("influx", &[11], &[(12, words)], Timestamp(60)).unwrap();
    assert_eq!(book.totals(Some("other")).unwrap().samples, 10);
}

#[test]
fn pages_of_letters_are_by_id() {
    let folder = folder();
    let mut book = open(&folder, WIDE);
    let round: Vec<_> = (0..10).map(|at| letter(at, 1)).collect();
    for sink in ["a", "b"] {
        settle(&mut book, sink, &standing(10, 10), &round, Timestamp(0));
    }
    let ids = |sink: Option<&str>, after, limit| {
        let filter = Filter { sink: sink.map(str::to_owned) };
        let page = book.letters(&filter, after, limit).unwrap();
        page.iter().map(|letter| letter.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(None, 0, 3), [1, 2, 3]);
    assert_eq!(ids(None, 9, 3), [10, 11, 12]);
    assert_eq!(ids(Some("b"), 0, 2), [11, 12]);
    assert_eq!(ids(Some("b"), 18, 100), [19, 20]);
    assert_eq!(ids(Some("c"), 0, 100), Vec::<u64>::new());
    assert_eq!(ids(None, u64::MAX, 100), Vec::<u64>::new());
}

#[test]
fn each_clients_counts_are_those_of_the_standing() {
    let folder = folder();
    let mut book = open(&folder, WIDE);
    let mut outcomes = nobody();
    for round in 1..=3 {
        outcomes.of(&"a".into(), 1).stored += round;
        outcomes.of(&"b".into(), 2).skipped += 1;
        for sink in ["influx", "other"] {
            let standing = standing(round, 0);
            let shed =
                book.settle(sink, &standing, &mut outcomes, &news(&[]), Timestamp(0)).unwrap();
            assert_eq!(shed, Shed::default());
            outcomes.of(&"a".into(), 1);
            outcomes.of(&"b".into(), 2);
        }
    }
    let line = |client: &str, protocol, outcome| crate::ledger::OutcomeLine {
        client: Some(client.into()),
        protocol,
        outcome,
    };
    let expected = [
        line("a", 1, Outcome { stored: 6, ..Outcome::default() }),
        line("b", 2, Outcome { skipped: 3, ..Outcome::default() }),
    ];
    assert_eq!(book.outcomes("influx").unwrap(), expected);
    assert_eq!(book.outcomes("other").unwrap(), expected);
    // With another spool it begins anew.
    let other = Standing { spool_id: SPOOL - 1, ..standing(1, 0) };
    settle(&mut book, "influx", &other, &[], Timestamp(0));
    assert_eq!(book.outcomes("influx").unwrap(), []);
    assert_eq!(book.outcomes("other").unwrap(), expected);
}

/// As 0.2.0 made it: what a sink was through with is before the first count of a client.
#[test]
fn a_file_from_before_clients_were_counted_goes_on() {
    let folder = folder();
    let mut book = open(&folder, WIDE);
    let (before, written, dead_lettered, skipped, lost) = (1, 20, 300, 4000, 50_000);
    let counts = Counts { before, written, dead_lettered, skipped, lost, late: 0, open: 0 };
    let standing = Standing { counts, ..standing(7, 0) };
    settle(&mut book, "influx", &standing, &[letter(0, 1)], Timestamp(0));
    let sql = "DROP TABLE client; DROP TABLE windows; DROP TABLE floor; PRAGMA user_version=1; PRAGMA wal_checkpoint(TRUNCATE);";
    book.connection.execute_batch(sql).unwrap();
    drop(book);
    // Who only looks leaves it as it is.
    let reader = Book::read_only(&path(&folder)).unwrap().unwrap();
    assert_eq!(reader.outcomes("influx").unwrap(), []);
    assert_eq!(reader.recount().unwrap()[0].standing, Some(standing.clone()));
    drop(reader);
    for _ in 0..2 {
        let book = open(&folder, WIDE);
        assert_eq!(book.sink("influx", SPOOL).unwrap(), Some(standing.clone()));
        let outcomes = Outcomes::new(10, book.outcomes("influx").unwrap());
        let before: Vec<_> = outcomes.lines().map(|it| (it.protocol, it.outcome.before)).collect();
        assert_eq!(before, [(crate::ledger::UNKNOWN, 54_321)]);
        assert_eq!(all(&book).len(), 1);
    }
}
