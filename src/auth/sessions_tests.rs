use super::super::{BookError, Note, Records, Scope};
use super::*;
use crate::clock;
use crate::model::{NANOS_PER_SECOND, Reach};
use std::path::Path;
use std::thread::JoinHandle;

const HOUR: Duration = Duration::from_secs(3600);

fn caller(name: &str, how: How) -> Caller {
    Caller {
        name: name.into(),
        scopes: [Scope::View, Scope::Command].into_iter().collect(),
        reach: Reach::new(&["pump-*".to_owned(), "!pump-9".to_owned()]).unwrap(),
        how,
        expires_at: None,
    }
}

fn by_key(name: &str, key: &str) -> Caller {
    caller(name, How::Key(key.into()))
}

struct Open {
    records: Records,
    thread: JoinHandle<()>,
}

impl Open {
    fn at(path: &Path) -> Open {
        let (records, thread) = Records::open(path, HOUR).unwrap();
        Open { records, thread }
    }

    fn begin(&self, caller: &Caller, now: Timestamp) -> Begun {
        self.try_begin(caller, now).unwrap()
    }

    fn try_begin(&self, caller: &Caller, now: Timestamp) -> Result<Begun, SessionError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(self.records.sessions.begin(caller, now))
    }

    fn entries(&self) -> Vec<super::super::Entry> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(self.records.trail.entries(u64::MAX, 100)).unwrap()
    }

    /// Ends like the daemon does: the last handle is dropped.
    fn close(self) {
        drop(self.records);
        self.thread.join().unwrap();
    }
}

fn after(now: Timestamp, seconds: i64) -> Timestamp {
    Timestamp(now.0 + seconds * NANOS_PER_SECOND)
}

#[test]
fn a_cookie_stands_for_its_caller_also_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("auth.db");
    let now = clock::now();
    let open = Open::at(&path);
    let begun = open.begin(&by_key("ana", "k1"), now);
    assert_eq!(begun.cookie.len(), 64);
    assert_eq!(begun.lasts, HOUR);
    let sessions = open.records.sessions.clone();
    let who = sessions.who(&begun.cookie, now).unwrap();
    assert_eq!(who, begun.caller);
    assert_eq!((&*who.name, who.expires_at), ("ana", Some(after(now, 3600))));
    let How::Session { id, key } = &who.how else { panic!("{who:?}") };
    assert_eq!(key.as_deref(), Some("k1"));
    assert!(sessions.is_open(id, now) && !sessions.is_open(id, after(now, 3600)));
    assert!(!sessions.is_open("x", now) && !sessions.is_open(&"+a".repeat(32), now));
    assert_eq!(sessions.who(id, now), None, "its name is not the cookie");
    let stored = std::fs::read(&path).unwrap();
    let wal = std::fs::read(directory.path().join("auth.db-wal")).unwrap_or_default();
    for bytes in [stored, wal] {
        assert!(
            !bytes.windows(64).any(|it| it == begun.cookie.as_bytes()),
            "the cookie is a secret"
        );
    }
    drop(sessions);
    // The door compares it with what its key says: it is the same, not only as much.
    let all = Caller {
        scopes: [Scope::Admin].into_iter().collect(),
        reach: Reach::all(),
        ..by_key("ada", "k2")
    };
    let ada = open.begin(&all, now);
    open.close();
    let open = Open::at(&path);
    assert_eq!(open.records.sessions.who(&ada.cookie, now).unwrap(), ada.caller);
    assert_eq!(open.records.sessions.who(&begun.cookie, now).unwrap(), who);
    assert_eq!(open.records.sessions.who(&"0".repeat(64), now), None);
    open.close();
}

#[test]
fn sessions_end_and_do_not_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("auth.db");
    let now = clock::now();
    let open = Open::at(&path);
    let mut short = by_key("eva", "k3");
    short.expires_at = Some(after(now, 30));
    let all = [
        by_key("ana", "k1"),
        by_key("ana", "k1"),
        by_key("ben", "k2"),
        caller("joe", How::Jwt),
        short,
        by_key("zoe", "k4"),
    ];
    let all: Vec<_> = all.iter().map(|caller| open.begin(caller, now)).collect();
    assert_eq!(all[4].lasts, Duration::from_secs(30), "not longer than its key");
    let sessions = open.records.sessions.clone();
    let are_open = |sessions: &Sessions, now| {
        let open = all.iter().map(|begun| sessions.who(&begun.cookie, now).is_some());
        open.collect::<Vec<_>>()
    };
    assert_eq!(are_open(&sessions, after(now, 29)), [true; 6]);
    assert!(sessions.end(&all[2].cookie).is_some_and(|caller| *caller.name == *"ben"));
    assert!(sessions.end(&all[2].cookie).is_none());
    assert_eq!((sessions.end_of_key("k1"), sessions.end_of_key("k1")), (2, 0));
    assert_eq!(sessions.end_of_jwts(), 1);
    let left = [false, false, false, false, false, true];
    assert_eq!(are_open(&sessions, after(now, 30)), left);
    assert_eq!(sessions.len(), 1);
    drop(sessions);
    open.close();
    let open = Open::at(&path);
    assert_eq!(are_open(&open.records.sessions, now), left);
    open.close();
}

#[test]
fn there_are_so_many_sessions_and_who_begins_more_loses_his_own() {
    let (work, _queue) = std::sync::mpsc::sync_channel(1);
    let sessions = Sessions::new(Vec::new(), HOUR, work);
    let add = |number: usize, name: String| {
        let how = How::Session { id: "".into(), key: None };
        let caller = Arc::new(caller(&name, how));
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_be_bytes());
        let (created_at, expires_at) = (Timestamp(number as i64), Timestamp(i64::MAX));
        let (seen_at, login) = (created_at, "key".into());
        sessions.table.insert(Session { hash, caller, login, created_at, seen_at, expires_at });
    };
    let has = |number: usize| {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_be_bytes());
        sessions.is_open(&id(&hash), Timestamp(0))
    };
    add(0, "first".to_owned());
    for number in 1..=SESSIONS_PER_NAME_MAX + 1 {
        add(number, "greedy".to_owned());
    }
    assert!(has(0) && !has(1) && has(2));
    assert_eq!(sessions.len(), 1 + SESSIONS_PER_NAME_MAX);
    for number in 1000..1000 + SESSIONS_MAX {
        add(number, format!("n{number}"));
    }
    assert_eq!(sessions.len(), SESSIONS_MAX);
    assert!(!has(0) && has(1000 + SESSIONS_MAX - 1));
}

#[test]
fn uses_of_keys_and_the_trail_are_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("auth.db");
    let now = clock::now();
    let open = Open::at(&path);
    let uses = open.records.uses.clone();
    let key: Arc<str> = "k1".into();
    uses.used(&key, now);
    uses.used(&key, after(now, 59));
    assert_eq!(uses.last("k1"), Some(now), "to a minute");
    uses.used(&key, after(now, 60));
    let note = |n: i64| Note {
        at: after(now, n),
        by: "ana".into(),
        how: "session",
        address: "10.0.0.7".parse().ok(),
        did: "command",
        what: format!("pump-{n}"),
    };
    for n in 0..5 {
        open.records.trail.note(note(n));
    }
    open.records.trail.note(Note { what: "ä".repeat(1000), address: None, ..note(5) });
    open.close();
    let open = Open::at(&path);
    assert_eq!(open.records.uses.last("k1"), Some(after(now, 60)));
    assert_eq!((open.records.uses.last("k2"), open.records.trail.lost()), (None, 0));
    let entries = open.entries();
    assert_eq!((entries.len(), entries[0].what.len(), &entries[0].address), (6, 1024, &None));
    let last = &entries[1];
    assert_eq!((&*last.by, &*last.did, &*last.what), ("ana", "command", "pump-4"));
    assert_eq!((last.address.as_deref(), last.at), (Some("10.0.0.7"), after(now, 4)));
    open.close();
}

#[test]
fn a_book_that_can_not_be_written_refuses_logins_and_keeps_who_is_in() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("auth.db");
    let now = clock::now();
    let open = Open::at(&path);
    let begun = open.begin(&by_key("ana", "k1"), now);
    // SQLite says so when it may not grow, as on a full disk.
    let other = rusqlite::Connection::open(&path).unwrap();
    other
        .execute_batch(
            "CREATE TRIGGER full BEFORE INSERT ON session BEGIN SELECT raise(ABORT, 'full'); END;",
        )
        .unwrap();
    let refused = open.try_begin(&by_key("ben", "k2"), now).unwrap_err();
    assert!(refused.to_string().contains("could not be written down"), "{refused}");
    assert!(open.records.sessions.who(&begun.cookie, now).is_some());
    other.execute_batch("DROP TRIGGER full").unwrap();
    open.begin(&by_key("ben", "k2"), now);
    assert_eq!(open.records.sessions.len(), 2);
    open.close();
}

#[test]
fn a_damaged_book_is_set_aside_and_a_foreign_one_is_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("auth.db");
    std::fs::write(&path, vec![7; 8192]).unwrap();
    Open::at(&path).close();
    assert!(directory.path().join("auth.db.damaged-1").exists());
    let other = directory.path().join("other.db");
    let connection = rusqlite::Connection::open(&other).unwrap();
    connection.execute_batch("PRAGMA application_id=5; CREATE TABLE t(a);").unwrap();
    let opened = Records::open(&other, HOUR);
    assert!(matches!(opened, Err(BookError::Foreign { application: 5 })));
}

#[test]
fn the_trail_forgets_by_number_and_by_age() {
    use super::super::book::{Book, Changes};
    let directory = tempfile::tempdir().unwrap();
    let mut book = Book::open(&directory.path().join("auth.db")).unwrap().book;
    let notes: Vec<_> = (1..=30)
        .map(|n| Note {
            at: Timestamp(n),
            by: "ana".into(),
            how: "key",
            address: None,
            did: "command",
            what: n.to_string(),
        })
        .collect();
    book.write(&Changes { notes: notes.iter().collect(), ..Changes::default() }).unwrap();
    let ids = |book: &Book| {
        let entries = book.entries(u64::MAX, 100).unwrap();
        (entries.len(), entries.last().map(|entry| entry.id))
    };
    let now = Timestamp(100);
    assert_eq!(book.forget(now, Timestamp(0), 40, 5).unwrap(), 0);
    assert_eq!(book.forget(now, Timestamp(0), 20, 4).unwrap(), 4, "in batches");
    assert_eq!(book.forget(now, Timestamp(0), 20, 20).unwrap(), 6);
    assert_eq!(ids(&book), (20, Some(11)));
    assert_eq!(book.forget(now, Timestamp(16), 20, 20).unwrap(), 5);
    assert_eq!(ids(&book), (15, Some(16)));
    assert_eq!(book.entries(20, 2).unwrap().iter().map(|it| it.id).collect::<Vec<_>>(), [19, 18]);
}
