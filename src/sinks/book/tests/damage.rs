//! Files that a crash cut short, or that are damaged.

use super::*;
use rusqlite::Connection;
use std::fs;

/// Rounds of two letters each; the n-th leads to head n and 5 n dead samples, all of one client.
fn settle_rounds(book: &mut Book, rounds: std::ops::RangeInclusive<u64>) {
    let mut outcomes = Outcomes::new(10, book.outcomes("influx").unwrap());
    for round in rounds {
        let news = news(&[letter(2 * round, 2), letter(2 * round + 1, 3)]);
        let now = Timestamp(round as i64);
        outcomes.of(&"gateway-1".into(), 1).dead_lettered += 5;
        let standing = standing(round, 5 * round);
        let shed = book.settle("influx", &standing, &mut outcomes, &news, now).unwrap();
        assert_eq!(shed, Shed::default());
    }
}

/// Dead samples of the one client.
fn dead_of_client(book: &Book) -> u64 {
    book.outcomes("influx").unwrap().iter().map(|line| line.outcome.dead_lettered).sum()
}

#[test]
fn a_crash_keeps_each_settlement_whole_or_not_at_all() {
    let folder = folder();
    let mut book = open(&folder, WIDE);
    settle_rounds(&mut book, 1..=3);
    // What is in the file itself is there in any case; what follows is in the log beside it.
    book.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    settle_rounds(&mut book, 4..=9);
    let wal = fs::read(folder.path().join("sinks.db-wal")).unwrap();
    let mut heads = std::collections::BTreeSet::new();
    for cut in (0..=wal.len()).step_by(509).chain([wal.len()]) {
        let crashed = super::folder();
        fs::copy(path(&folder), path(&crashed)).unwrap();
        fs::write(crashed.path().join("sinks.db-wal"), &wal[..cut]).unwrap();
        let book = open(&crashed, WIDE);
        let standing = book.sink("influx", SPOOL).unwrap().unwrap();
        let head = standing.progress.head().0;
        assert_eq!(standing.counts.dead_lettered, 5 * head);
        assert_eq!(dead_of_client(&book), 5 * head);
        let totals = book.totals(None).unwrap();
        assert_eq!((totals.letters, totals.samples), (2 * head, 5 * head), "cut at {cut}");
        assert_eq!(all(&book).len() as u64, 2 * head);
        heads.insert(head);
    }
    assert_eq!(heads, (3..=9).collect(), "each is kept once its bytes are there");
}

#[test]
fn a_damaged_file_is_set_aside_and_a_new_one_begun() {
    type Damage = fn(&mut Vec<u8>);
    let cases: [(&str, Damage); 4] = [
        ("not a database", |bytes| bytes[..16].fill(b'x')),
        ("zeros", |bytes| bytes[100..].fill(0)),
        ("torn in the middle", |bytes| bytes.truncate(bytes.len() / 2)),
        ("noise", |bytes| bytes.iter_mut().skip(4096).step_by(7).for_each(|byte| *byte ^= 0x5a)),
    ];
    for (case, damage) in cases {
        let folder = folder();
        settle_rounds(&mut open(&folder, WIDE), 1..=40);
        let mut bytes = fs::read(path(&folder)).unwrap();
        damage(&mut bytes);
        fs::write(path(&folder), &bytes).unwrap();
        // Who only looks leaves it where it is.
        let looked = Book::read_only(&path(&folder))
            .and_then(|book| book.unwrap().letters(&Filter::default(), 0, usize::MAX));
        drop(looked);
        assert!(fs::read(path(&folder)).unwrap() == bytes, "changed by looking: {case}");
        let opened = Book::open(&path(&folder), WIDE).unwrap();
        let aside = opened.set_aside.unwrap_or_else(|| panic!("not set aside: {case}"));
        assert_eq!(aside.path, folder.path().join("sinks.db.damaged-1"), "{case}");
        assert!(fs::read(&aside.path).unwrap() == bytes, "not as it was: {case}");
        let mut book = opened.book;
        assert_eq!(book.sink("influx", SPOOL).unwrap(), None, "{case}");
        settle_rounds(&mut book, 1..=1);
        drop(book);
        assert_eq!(all(&open(&folder, WIDE)).len(), 2, "{case}");
    }
}

#[test]
fn a_progress_that_makes_no_sense_is_damage() {
    let folder = folder();
    settle_rounds(&mut open(&folder, WIDE), 1..=1);
    let sql = "UPDATE sink SET progress='9-4 | 3'";
    Connection::open(path(&folder)).unwrap().execute_batch(sql).unwrap();
    assert!(Book::open(&path(&folder), WIDE).unwrap().set_aside.is_some());
}

#[test]
fn files_of_others_are_left_alone() {
    let folder = folder();
    let connection = Connection::open(path(&folder)).unwrap();
    connection.execute_batch("CREATE TABLE theirs(id)").unwrap();
    let error = Book::open(&path(&folder), WIDE).unwrap_err();
    assert!(matches!(error, BookError::Foreign { application: 0 }), "{error:?}");
    drop(connection);

    let folder = super::folder();
    drop(open(&folder, WIDE));
    let connection = Connection::open(path(&folder)).unwrap();
    connection.execute_batch("PRAGMA user_version=99").unwrap();
    for error in [
        Book::open(&path(&folder), WIDE).map(drop).unwrap_err(),
        Book::existing(&path(&folder)).map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, BookError::Version { found: 99, known: 3 }), "{error:?}");
    }
}

#[test]
fn a_damaged_letter_is_told_and_holds_up_no_other() {
    let folder = folder();
    let mut book = open(&folder, WIDE);
    settle_rounds(&mut book, 1..=2);
    // One has a flipped bit; of the other the seal is right, but it holds no batch.
    let connection = Connection::open(path(&folder)).unwrap();
    let mut flipped: Vec<u8> =
        connection.query_row("SELECT batch FROM letter WHERE id=2", [], |row| row.get(0)).unwrap();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    connection.execute("UPDATE letter SET batch=? WHERE id=2", [flipped]).unwrap();
    let noise = b"no batch";
    let values = rusqlite::params![noise, crc32c::crc32c(noise)];
    connection.execute("UPDATE letter SET batch=?, seal=? WHERE id=3", values).unwrap();

    assert_eq!(book.replay(&Which::All).unwrap(), 4);
    for id in [2, 3] {
        let error = book.letter(id).unwrap_err();
        assert!(matches!(error, BookError::Damaged { id: told } if told == id), "{error:?}");
    }
    let sent = book.to_replay("influx", u64::MAX).unwrap();
    assert_eq!(sent.iter().map(|letter| letter.summary.id).collect::<Vec<_>>(), [1, 4]);
    let marked: Vec<_> = all(&book).iter().map(|letter| letter.replaying).collect();
    assert_eq!(marked, [true, false, false, true]);
    assert_eq!(book.drop_letters(&Which::Ids(vec![2, 3])).unwrap(), 2, "people can clear them");
}
