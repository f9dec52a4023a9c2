use super::*;

fn message(id: &str) -> Message {
    Message {
        id: id.to_owned(),
        made_at: Timestamp(7),
        events: 3,
        summary: "[critical] pump-7".to_owned(),
        body: "{}".to_owned(),
        done: Vec::new(),
        attempts: 0,
        since: None,
        reason: String::new(),
    }
}

fn open(directory: &tempfile::TempDir) -> Book {
    Book::open(&directory.path().join("notify.db")).unwrap().0
}

#[test]
fn a_message_and_its_position_come_back_together() {
    let directory = tempfile::tempdir().unwrap();
    let mut book = open(&directory);
    let (known, _) = book.channel("ops", "webhook", 5).unwrap();
    assert_eq!(known.standing, Standing::at(5));
    let mut made = message("a");
    book.make("ops", &made, &Standing::at(8)).unwrap();
    book.make("ops", &message("b"), &Standing::at(9)).unwrap();
    (made.attempts, made.since, made.reason) = (2, Some(Timestamp(9)), "away".to_owned());
    made.done = vec!["a@plant.example".to_owned()];
    book.failed("ops", &made, Timestamp(10), false).unwrap();
    drop(book);

    let mut book = open(&directory);
    let (known, anew) = book.channel("ops", "webhook", 9).unwrap();
    assert_eq!((known.standing.position, known.failed, anew), (9, 1, false));
    assert_eq!(book.next("ops").unwrap(), Some(made), "in order, as it was");
    assert_eq!(book.events("ops").unwrap(), 6);
    book.delivered("ops", "a", Timestamp(11)).unwrap();
    assert_eq!(book.next("ops").unwrap().unwrap().id, "b");
    let (known, _) = book.channel("ops", "webhook", 9).unwrap();
    assert_eq!((known.sent, known.last_sent_at), (1, Timestamp(11)));
}

#[test]
fn dead_letters_are_kept_sent_again_or_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let mut book = open(&directory);
    book.channel("ops", "webhook", 0).unwrap();
    for id in ["a", "b", "c"] {
        let mut dead = message(id);
        book.make("ops", &dead, &Standing::at(1)).unwrap();
        (dead.attempts, dead.since, dead.reason) = (3, Some(Timestamp(1)), "no".to_owned());
        book.failed("ops", &dead, Timestamp(20), true).unwrap();
    }
    assert_eq!(book.next("ops").unwrap(), None);
    let letters = book.letters(2).unwrap();
    assert_eq!(letters.iter().map(|letter| letter.id.as_str()).collect::<Vec<_>>(), ["c", "b"]);
    assert_eq!((letters[0].attempts, letters[0].reason.as_str()), (3, "no"));
    assert_eq!(book.retry(&["b".to_owned(), "x".to_owned()]).unwrap(), 1);
    let again = book.next("ops").unwrap().unwrap();
    assert_eq!((again.id.as_str(), again.attempts, again.since), ("b", 0, None));
    assert_eq!(book.drop_letters(&["a".to_owned(), "b".to_owned()]).unwrap(), 1, "b is none now");
    assert_eq!(book.dead("ops").unwrap(), 1);
}

#[test]
fn dead_letters_are_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let mut book = open(&directory);
    book.channel("ops", "webhook", 0).unwrap();
    book.0.execute_batch("PRAGMA synchronous=OFF").unwrap();
    for n in 0..=LETTERS_MAX {
        let dead = message(&n.to_string());
        book.make("ops", &dead, &Standing::at(n)).unwrap();
        book.failed("ops", &dead, Timestamp(n as i64), true).unwrap();
    }
    assert_eq!(book.dead("ops").unwrap(), LETTERS_MAX);
    let shed: i64 = book.0.query_row("SELECT shed FROM channel", [], |row| row.get(0)).unwrap();
    assert_eq!(shed, 1);
    assert!(book.letters(2000).unwrap().iter().all(|letter| letter.id != "0"), "the oldest goes");
}

#[test]
fn channels_that_are_configured_no_more_are_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let mut book = open(&directory);
    for name in ["ops", "dev"] {
        book.channel(name, "webhook", 3).unwrap();
        book.make(name, &message(name), &Standing::at(4)).unwrap();
    }
    let forgotten = book.keep_only(&["dev"]).unwrap();
    assert_eq!(forgotten, [Forgotten { name: "ops".to_owned(), messages: 1 }]);
    assert_eq!(book.next("ops").unwrap(), None);
    assert!(book.next("dev").unwrap().is_some());
    let (known, _) = book.channel("ops", "webhook", 9).unwrap();
    assert_eq!(known.standing, Standing::at(9), "it begins anew");
}

#[test]
fn a_journal_that_lost_its_end_is_not_told_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut book = open(&directory);
    book.channel("ops", "webhook", 500).unwrap();
    let (known, is_cut) = book.channel("ops", "webhook", 497).unwrap();
    assert_eq!((known.standing, is_cut), (Standing::at(497), true));
}

#[test]
fn a_damaged_file_is_set_aside() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify.db");
    let mut book = open(&directory);
    book.channel("ops", "webhook", 500).unwrap();
    drop(book);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4096..].fill(0x5A);
    std::fs::write(&path, bytes).unwrap();
    let (mut book, set_aside) = Book::open(&path).unwrap();
    assert!(set_aside.unwrap().path.exists());
    let (known, anew) = book.channel("ops", "webhook", 7).unwrap();
    assert_eq!((known.standing.position, anew), (7, false));
}

#[test]
fn a_file_of_a_newer_version_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    open(&directory).0.pragma_update(None, "user_version", FORMAT.version() + 1).unwrap();
    let error = Book::open(&directory.path().join("notify.db")).unwrap_err();
    assert!(matches!(error, BookError::Version { .. }), "{error}");
}
