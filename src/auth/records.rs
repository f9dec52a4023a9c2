//! What the door remembers over restarts: opens `auth.db`, and the thread that writes it.
//!
//! ```text
//!  Sessions::begin ──┐ (waits until it is on disk)
//!  Trail::note ──────┼──► queue ──► thread: all that waits in one transaction ──► auth.db
//!  ends, seen, uses ─┘ (tables in memory, looked at every few seconds)
//! ```

use super::book::{Book, BookError, Changes, Opened};
use super::sessions::{Session, SessionError, Sessions};
use super::trail::{AGE_MAX, ENTRIES_MAX, Entry, Note, Trail};
use super::uses::Uses;
use crate::clock;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// What waits for the thread. Full: a login is refused, an entry of the trail is counted as lost.
const QUEUE_MAX: usize = 1024;
/// What is written as one.
const AT_ONCE: usize = 256;
/// Entries of the trail that could not be written and are tried again. Full: as with the queue.
const NOTES_MAX: usize = 1024;
/// How often it is looked what only waits in memory.
const TICK: Duration = Duration::from_secs(2);
/// How often what is over is forgotten,
const TIDY_INTERVAL: Duration = Duration::from_secs(60);
/// so many at once.
const TIDY_BATCH: usize = 2000;

/// What the thread is asked for.
#[derive(Debug)]
pub(super) enum Work {
    /// A session that begins.
    Begin(Session, oneshot::Sender<Result<(), SessionError>>),
    /// An entry of the trail.
    Note(Note),
    /// Entries are read.
    Entries { before: u64, limit: usize, answer: oneshot::Sender<Result<Vec<Entry>, String>> },
    /// A session ended.
    Wake,
}

/// Handles to what is remembered; cheap to clone. The thread ends when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Records {
    /// Who is logged in.
    pub sessions: Sessions,
    /// When keys were used.
    pub uses: Uses,
    /// Who did what.
    pub trail: Trail,
}

impl Records {
    /// Opens the file and starts the thread. A damaged file is set aside.
    ///
    /// # Errors
    /// [`BookError`].
    pub fn open(
        path: &Path,
        session_length: Duration,
    ) -> Result<(Records, JoinHandle<()>), BookError> {
        let Opened { book, set_aside } = Book::open(path)?;
        if let Some(set_aside) = set_aside {
            log::error!(
                event = "file-set-aside", path:% = set_aside.path.display(), bytes = set_aside.bytes;
                "the file of sessions and of the trail was damaged: it was set aside and a new one begun; whoever was logged in has to log in again"
            );
        }
        let (work, queue) = sync_channel(QUEUE_MAX);
        let sessions = Sessions::new(book.sessions(clock::now())?, session_length, work.clone());
        let uses = Uses::new(book.uses()?);
        let records = Records { sessions, uses, trail: Trail::new(work) };
        let writer = Writer {
            book,
            table: records.sessions.table.clone(),
            uses: records.uses.clone(),
            notes: Vec::new(),
            dropped: 0,
            is_failing: false,
            tidy_at: clock::monotonic(),
        };
        let thread = std::thread::Builder::new()
            .name("auth".to_owned())
            .spawn(move || writer.run(&queue))?;
        Ok((records, thread))
    }
}

struct Writer {
    book: Book,
    table: std::sync::Arc<super::sessions::Table>,
    uses: Uses,
    /// Those that are not written yet.
    notes: Vec<Note>,
    /// Those that could not be, and were too many.
    dropped: u64,
    is_failing: bool,
    tidy_at: Instant,
}

impl Writer {
    fn run(mut self, queue: &Receiver<Work>) {
        loop {
            let mut all = Vec::new();
            let ended = match queue.recv_timeout(TICK) {
                Ok(first) => {
                    all.push(first);
                    all.extend(queue.try_iter().take(AT_ONCE - 1));
                    false
                }
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => true,
            };
            self.round(all);
            if ended {
                break;
            }
            if clock::monotonic() >= self.tidy_at {
                self.tidy();
            }
        }
        if self.is_failing {
            log::warn!(entries = self.notes.len(); "auth.db ends, and what was last could not be written");
        }
    }

    fn round(&mut self, all: Vec<Work>) {
        let (mut begins, mut reads) = (Vec::new(), Vec::new());
        for work in all {
            match work {
                Work::Begin(session, answer) => begins.push((session, answer)),
                Work::Note(note) if self.notes.len() < NOTES_MAX => self.notes.push(note),
                Work::Note(_) => self.dropped += 1,
                Work::Entries { before, limit, answer } => reads.push((before, limit, answer)),
                Work::Wake => {}
            }
        }
        let written = self.write(&begins);
        for (session, answer) in begins {
            let answered = match &written {
                Ok(_) => {
                    self.table.insert(session);
                    answer.send(Ok(()))
                }
                Err(error) => answer.send(Err(SessionError::Store(error.to_string()))),
            };
            // Who asked has gone; the session goes when its time is over.
            drop(answered);
        }
        self.tell(written);
        for (before, limit, answer) in reads {
            let entries = self.book.entries(before, limit).map_err(|error| error.to_string());
            drop(answer.send(entries));
        }
    }

    /// Whether there was something to write.
    fn write(
        &mut self,
        begins: &[(Session, oneshot::Sender<Result<(), SessionError>>)],
    ) -> Result<bool, BookError> {
        let (unwritten, uses) = (self.table.unwritten(), self.uses.unwritten());
        let changes = Changes {
            begun: begins.iter().map(|(session, _)| session).collect(),
            seen: unwritten.seen.iter().map(|(hash, at)| (hash, *at)).collect(),
            ended: unwritten.ended.iter().collect(),
            uses: uses.iter().map(|(key, at)| (&**key, *at)).collect(),
            notes: self.notes.iter().collect(),
        };
        if changes.is_empty() {
            return Ok(false);
        }
        let written = self.book.write(&changes);
        match &written {
            Ok(()) => self.notes.clear(),
            Err(_) => {
                self.table.not_written(unwritten);
                self.uses.not_written(&uses);
            }
        }
        written.map(|()| true)
    }

    fn tell(&mut self, written: Result<bool, BookError>) {
        match written {
            Ok(true) if self.is_failing => {
                log::info!(dropped = self.dropped; "auth.db can be written again");
                (self.is_failing, self.dropped) = (false, 0);
            }
            Ok(_) => {}
            Err(error) => {
                if !self.is_failing {
                    log::error!(error:err = error; "auth.db can't be written: nobody can log in, the trail waits; who is logged in goes on");
                }
                self.is_failing = true;
            }
        }
    }

    fn tidy(&mut self) {
        let now = clock::now();
        self.table.forget(now);
        let before = now.saturating_sub(AGE_MAX);
        let gone = self.book.forget(now, before, ENTRIES_MAX, TIDY_BATCH);
        // More than a batch: the rest soon.
        let more = gone.as_ref().is_ok_and(|gone| *gone >= TIDY_BATCH);
        self.tidy_at = clock::monotonic() + if more { TICK } else { TIDY_INTERVAL };
        if let Err(error) = gone {
            self.tell(Err(error));
        }
    }
}
