//! Files that a crash cut short, or that are damaged.

use super::*;
use rusqlite::Connection;
use std::fs;

/// The n-th round brings two messages, and the birth of a node says n.
fn write_rounds(book: &mut Book, rounds: std::ops::RangeInclusive<u64>) {
    for number in rounds {
        let topic = format!("t/{number}");
        let messages = [0, 1].map(|at| message(&topic, number as i64 + at, b"payload"));
        let remember = vec![birth("node", &number.to_be_bytes())];
        book.write(&Round { remember, ..round(number, messages.into()) }, Timestamp(0)).unwrap();
    }
}

#[test]
fn a_crash_keeps_each_round_whole_or_not_at_all() {
    let folder = folder();
    let mut book = open(&folder, WIDE);
    write_rounds(&mut book, 1..=3);
    // What is in the file itself is there in any case; what follows is in the log beside it.
    book.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    write_rounds(&mut book, 4..=9);
    let wal = fs::read(folder.path().join("mqtt.db-wal")).unwrap();
    let mut rounds = std::collections::BTreeSet::new();
    for cut in (0..=wal.len()).step_by(509).chain([wal.len()]) {
        let crashed = super::folder();
        fs::copy(path(&folder), path(&crashed)).unwrap();
        fs::write(crashed.path().join("mqtt.db-wal"), &wal[..cut]).unwrap();
        let mut book = open(&crashed, WIDE);
        let births = book.remembered("site").unwrap();
        let number = u64::from_be_bytes(births[0].1[..].try_into().unwrap());
        let totals = book.totals(None).unwrap();
        let told = (totals.came, totals.held, totals.topics);
        assert_eq!(told, (2 * number, 2 * number, number), "cut at {cut}");
        assert_eq!(all(&book).len() as u64, 2 * number);
        assert_balanced(&book);
        // The daemon does not know whether its last round was in; the next one is another.
        write_rounds(&mut book, number..=number + 1);
        assert_eq!(book.totals(None).unwrap().came, 2 * number + 2);
        rounds.insert(number);
    }
    assert_eq!(rounds, (3..=9).collect(), "each is kept once its bytes are there");
}

#[test]
fn a_damaged_file_is_set_aside_and_a_new_one_begun() {
    type Damage = fn(&mut Vec<u8>);
    let cases: [(&str, Damage); 4] = [
        ("noise", |bytes| bytes.fill(0x5a)),
        ("header", |bytes| bytes[..16].fill(0)),
        ("pages", |bytes| bytes[4096..].fill(0xff)),
        ("cut", |bytes| bytes.truncate(bytes.len() / 2)),
    ];
    for (case, damage) in cases {
        let folder = folder();
        write_rounds(&mut open(&folder, WIDE), 1..=40);
        let mut bytes = fs::read(path(&folder)).unwrap();
        damage(&mut bytes);
        fs::write(path(&folder), &bytes).unwrap();
        // Who only looks leaves it where it is.
        let looked = Book::read_only(&path(&folder))
            .and_then(|book| book.unwrap().messages(&Filter::default(), 0, usize::MAX));
        drop(looked);
        assert!(fs::read(path(&folder)).unwrap() == bytes, "changed by looking: {case}");
        let opened = Book::open(&path(&folder), WIDE).unwrap();
        let aside = opened.set_aside.unwrap_or_else(|| panic!("not set aside: {case}"));
        assert_eq!(aside.path, folder.path().join("mqtt.db.damaged-1"), "{case}");
        assert!(fs::read(&aside.path).unwrap() == bytes, "not as it was: {case}");
        let mut book = opened.book;
        assert_eq!(book.remembered("site").unwrap(), [], "{case}");
        write_rounds(&mut book, 1..=1);
        drop(book);
        assert_eq!(all(&open(&folder, WIDE)).len(), 2, "{case}");
    }
}

#[test]
fn a_birth_that_does_not_fit_its_seal_is_not_remembered() {
    let folder = folder();
    let mut book = open(&folder, WIDE);
    let remember = vec![birth("a", b"1"), birth("b", b"2")];
    book.write(&Round { number: 1, remember, ..Round::default() }, Timestamp(0)).unwrap();
    let flip = "UPDATE node SET birth=x'33' WHERE node='a'";
    Connection::open(path(&folder)).unwrap().execute_batch(flip).unwrap();
    assert_eq!(book.remembered("site").unwrap(), [("b".to_owned(), b"2".to_vec())]);
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
        assert!(matches!(error, BookError::Version { found: 99, known: 1 }), "{error:?}");
    }
}
