use super::*;
use crate::commands::command::Wish;
use std::time::Duration;

fn command(id: u64, state: State) -> Command {
    let wish = Wish {
        device: format!("pump-{}", id % 2).as_str().into(),
        name: "open".into(),
        arguments: Some("{\"far\":1.50}".into()),
        delivery: if id.is_multiple_of(2) { Delivery::AtLeastOnce } else { Delivery::AtMostOnce },
        ttl: Duration::from_secs(60),
        by: "ana".into(),
    };
    let finished_at = state.is_final().then_some(Timestamp(id.cast_signed() * 10));
    Command { state, finished_at, ..Command::new(id, wish, Timestamp(5)) }
}

fn desired(device: &str) -> Desired {
    let reported = Reported {
        version: 2,
        ok: false,
        message: "no".into(),
        document: Some("{\"a\":2}".into()),
        at: Timestamp(9),
    };
    Desired {
        device: device.into(),
        version: 3,
        document: "{\"a\":1.0}".into(),
        by: "ana".into(),
        at: Timestamp(7),
        carrier: Some(Carrier::Client("gw".into())),
        reported: Some(reported),
    }
}

fn write(book: &mut Book, commands: &[Command]) {
    let commands = commands.iter().collect();
    book.write(&Changes { commands, desired: Vec::new() }).unwrap();
}

#[test]
fn what_is_written_is_read_back_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("commands.db");
    let mut sent = command(2, State::Sent);
    sent.sent(&Carrier::Bridge("mqtt:site".into()), Via::Sparkplug, Timestamp(8));
    sent.result = Some("{}".into());
    let all = [command(1, State::Queued), sent, command(3, State::Failed)];
    let documents = [desired("a"), Desired { reported: None, carrier: None, ..desired("b") }];
    {
        let mut book = Book::open(&path).unwrap().book;
        write(&mut book, &all);
        let desired = documents.iter().collect();
        book.write(&Changes { commands: Vec::new(), desired }).unwrap();
    }
    let opened = Book::open(&path).unwrap();
    assert!(opened.set_aside.is_none());
    let book = opened.book;
    assert_eq!(book.open_commands().unwrap(), all[..2]);
    assert_eq!(book.command(3).unwrap().as_ref(), Some(&all[2]));
    assert_eq!((book.command(4).unwrap(), book.last_id().unwrap()), (None, 3));
    assert_eq!(book.commands_of("pump-1", u64::MAX, 9).unwrap(), [all[2].clone(), all[0].clone()]);
    assert_eq!(book.commands_of("pump-1", 3, 9).unwrap(), [all[0].clone()]);
    assert_eq!(book.desired("a").unwrap().as_ref(), Some(&documents[0]));
    let mut seen = Vec::new();
    book.each_desired(|desired| seen.push(desired.clone())).unwrap();
    assert_eq!(seen, documents);
}

#[test]
fn what_is_over_is_forgotten_by_age_and_number_and_what_is_open_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut book = Book::open(&dir.path().join("commands.db")).unwrap().book;
    let states = [State::Queued, State::Acknowledged, State::Expired, State::Failed];
    let all: Vec<_> = (0..40).map(|id| command(id + 1, states[id as usize % 4])).collect();
    write(&mut book, &all);
    let over = |book: &Book| {
        let open = book.open_commands().unwrap().len();
        let all = [0, 1].map(|n| book.commands_of(&format!("pump-{n}"), u64::MAX, 99).unwrap());
        assert_eq!(open, 10);
        all.concat().len() - open
    };
    assert_eq!(book.forget(Timestamp(0), 100, 50).unwrap(), 0);
    // Ten of each final state: the ids 2, 3, 4, 6, 7, 8 and so on.
    assert_eq!(book.forget(Timestamp(65), 100, 50).unwrap(), 4);
    assert_eq!(over(&book), 26);
    assert_eq!(book.forget(Timestamp(0), 20, 4).unwrap(), 4, "in batches");
    assert_eq!(book.forget(Timestamp(0), 20, 4).unwrap(), 2);
    assert_eq!(over(&book), 20);
}

#[test]
fn a_damaged_file_is_set_aside_and_a_foreign_one_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("commands.db");
    std::fs::write(&path, vec![7; 8192]).unwrap();
    let opened = Book::open(&path).unwrap();
    assert_eq!(opened.set_aside.map(|aside| aside.bytes), Some(8192));
    assert!(opened.book.open_commands().unwrap().is_empty());
    let other = dir.path().join("other.db");
    let connection = Connection::open(&other).unwrap();
    connection.execute_batch("PRAGMA application_id=5; CREATE TABLE t(a);").unwrap();
    assert!(matches!(Book::open(&other), Err(BookError::Foreign { application: 5 })));
}
