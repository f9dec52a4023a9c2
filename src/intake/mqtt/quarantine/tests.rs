//! The handle and its thread, on a file; what waits, without either.

use super::*;
use crate::intake::mqtt::book::{Filter, Totals, Which};
use std::time::Duration;
use tempfile::TempDir;

fn message(topic: &str, payload: &[u8]) -> Quarantined {
    Quarantined {
        bridge: "site".into(),
        topic: topic.to_owned(),
        payload: payload.to_vec(),
        bytes: payload.len() as u64,
        qos: 0,
        retained: false,
        received_at: crate::clock::now(),
        content_type: None,
        properties: Vec::new(),
        reason: "no route takes it".to_owned(),
        code: "UNSUPPORTED",
    }
}

struct Opened {
    folder: TempDir,
    quarantine: Quarantine,
    thread: JoinHandle<()>,
}

fn open() -> Opened {
    let folder = tempfile::tempdir().unwrap();
    let (quarantine, thread) =
        Quarantine::open(&folder.path().join("mqtt.db"), Bounds::NONE).unwrap();
    Opened { folder, quarantine, thread }
}

impl Opened {
    fn path(&self) -> PathBuf {
        self.folder.path().join("mqtt.db")
    }

    fn person(&self) -> Book {
        Book::existing(&self.path()).unwrap().unwrap()
    }

    /// Drops the handle and waits for the thread.
    fn end(self) -> (TempDir, Book) {
        let person = self.person();
        drop(self.quarantine);
        self.thread.join().unwrap();
        (self.folder, person)
    }
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = crate::clock::monotonic();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(30), "not within 30 s: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// The next message, or that none came in time.
fn next(replays: &mut Replays) -> Message {
    runtime().block_on(async {
        let waiting = tokio::time::timeout(Duration::from_secs(30), replays.next());
        waiting.await.expect("no message within 30 s")
    })
}

#[test]
fn what_was_put_is_in_the_book_when_the_last_handle_is_gone() {
    let opened = open();
    let clone = opened.quarantine.clone();
    clone.put(message("a", b"1"));
    opened.quarantine.put(message("a", b"2"));
    clone.remember(&"site".into(), "g/n", b"old".to_vec());
    clone.remember(&"site".into(), "g/n", b"born".to_vec());
    drop(clone);
    let (_folder, book) = opened.end();
    let held = book.messages(&Filter::default(), 0, 9).unwrap();
    assert_eq!(held.iter().map(|it| &it.excerpt[..]).collect::<Vec<_>>(), [b"1", b"2"]);
    assert_eq!(book.remembered("site").unwrap(), [("g/n".to_owned(), b"born".to_vec())]);
}

#[test]
fn messages_are_written_soon_without_more_to_come() {
    let opened = open();
    let person = opened.person();
    opened.quarantine.put(message("a", b"1"));
    eventually("written", || person.totals(None).unwrap().held == 1);
}

#[test]
fn a_storm_is_counted_to_the_last_message_and_kept_within_bounds() {
    let opened = open();
    let began = crate::clock::monotonic();
    for number in 0..100_000 {
        opened.quarantine.put(message(&format!("t/{}", number % 1000), &[7; 100]));
    }
    let took = began.elapsed();
    let (_folder, book) = opened.end();
    let totals = book.totals(None).unwrap();
    assert_eq!(totals.came, 100_000);
    let Totals { held, missed, shed, .. } = totals;
    assert_eq!(held + missed + shed, 100_000);
    assert!(held > 0 && missed > 0, "{totals:?}");
    // A generous bound on a debug build: nobody waited for the disk.
    assert!(took < Duration::from_secs(30), "{took:?}");
}

#[test]
fn a_marked_message_is_handed_to_its_bridge_once_until_its_outcome_is_told() {
    let opened = open();
    let mut person = opened.person();
    let mut replays = opened.quarantine.replays(&"site".into());
    let mut others = opened.quarantine.replays(&"other".into());
    for number in 0..40_u8 {
        opened.quarantine.put(message(&format!("a/{}", number % 4), &[number]));
    }
    eventually("written", || person.totals(None).unwrap().held == 40);
    assert_eq!(person.replay(&Which::Fitting(Filter::default())).unwrap().messages, 40);
    for number in 0..40_u8 {
        let message = next(&mut replays);
        assert_eq!(message.payload, [number], "in the order in which they came");
        let outcome = match number % 2 {
            0 => Outcome::Understood,
            _ => Outcome::Refused { reason: "still not".to_owned(), code: "BAD_SHAPE" },
        };
        opened.quarantine.replayed(message.summary.id, outcome);
    }
    // The last of them is one that is refused.
    let mut held = Vec::new();
    eventually("told", || {
        held = person.messages(&Filter::default(), 0, 99).unwrap();
        held.iter().all(|it| it.reason == "still not" && it.attempts == 2 && !it.replaying)
    });
    assert_eq!((held.len(), person.totals(None).unwrap().understood), (20, 20));
    // Marked again, one that failed comes again.
    let id = held[0].id;
    assert_eq!(person.replay(&Which::Ids(vec![id])).unwrap().messages, 1);
    assert_eq!(next(&mut replays).summary.id, id);
    assert!(others.0.try_recv().is_err(), "nothing was of the other bridge");
}

#[test]
fn what_was_marked_and_not_told_comes_again_after_a_restart() {
    let opened = open();
    let mut replays = opened.quarantine.replays(&"site".into());
    opened.quarantine.put(message("a", b"1"));
    let mut person = opened.person();
    eventually("written", || person.totals(None).unwrap().held == 1);
    assert_eq!(person.replay(&Which::Ids(vec![1])).unwrap().messages, 1);
    assert_eq!(next(&mut replays).summary.id, 1);
    let (folder, _) = opened.end();

    let (quarantine, thread) =
        Quarantine::open(&folder.path().join("mqtt.db"), Bounds::NONE).unwrap();
    let mut replays = quarantine.replays(&"site".into());
    assert_eq!(next(&mut replays).payload, b"1");
    drop(quarantine);
    thread.join().unwrap();
}

#[test]
fn while_the_file_is_locked_nobody_waits_and_nothing_is_uncounted() {
    let opened = open();
    let other = rusqlite::Connection::open(opened.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    for number in 0..10_000 {
        opened.quarantine.put(message(&format!("t/{}", number % 10), b"x"));
    }
    // The thread waits for the file, five seconds each time with hardly one between. What a bridge needs to
    // put something is free all the while.
    let desk = &opened.quarantine.0.0;
    let free = (0..200)
        .filter(|_| {
            std::thread::sleep(Duration::from_millis(25));
            desk.pending.try_lock().is_ok()
        })
        .count();
    assert!(free > 100, "{free} of 200 times");
    other.execute_batch("ROLLBACK").unwrap();
    let (_folder, book) = opened.end();
    assert_eq!(book.totals(None).unwrap().came, 10_000);
}

#[test]
fn what_waits_is_bounded_and_every_message_counted() {
    let mut pending = Pending::default();
    for topic in 0..1000 {
        for _ in 0..30 {
            pending.put(message(&format!("t/{topic}"), &[1; 100 << 10]));
        }
    }
    let round = pending.into_round();
    let kept: u64 = round.messages.iter().map(Quarantined::cost).sum();
    assert!(kept <= 2 << 20, "{kept}");
    assert!(round.messages.iter().all(|it| it.payload.len() == 64 << 10 && it.bytes == 100 << 10));
    assert_eq!(round.seen.len(), 256);
    let seen: u64 = round.seen.iter().map(|it| it.count).sum();
    let others: u64 = round.others.iter().map(|(_, messages)| messages).sum();
    assert_eq!((seen, others), (256 * 30, 744 * 30));
}

#[test]
fn a_noisy_topic_leaves_room_for_the_others() {
    let mut pending = Pending::default();
    for _ in 0..10_000 {
        pending.put(message("noisy", b"x"));
    }
    pending.put(message("rare", b"y"));
    let round = pending.into_round();
    assert_eq!(round.messages.len(), 21);
    assert_eq!(round.messages[20].topic, "rare");
}

#[test]
fn a_birth_without_room_is_forgotten_rather_than_old() {
    let mut pending = Pending::default();
    let bridge: Arc<str> = "site".into();
    pending.remember(&bridge, "a", Some(vec![0; 20 << 20]));
    pending.remember(&bridge, "b", Some(vec![0; 20 << 20]));
    pending.remember(&bridge, "a", Some(vec![1]));
    pending.remember(&bridge, "c", Some(vec![0; 20 << 20]));
    let round = pending.into_round();
    let mut lengths: Vec<_> =
        round.remember.iter().map(|it| (&*it.node, it.birth.as_ref().map(Vec::len))).collect();
    lengths.sort_unstable();
    assert_eq!(lengths, [("a", Some(1)), ("b", None), ("c", Some(20 << 20))]);
}
