//! The follower that feeds the embedded history: one thread, at its own position in the log.

use crate::clock;
use crate::ledger::{AcceptedBelow, Applied, Ledger};
use crate::model::Position;
use crate::pulse::Pulse;
use crate::sinks::Sink;
use crate::sinks::history::{Counts, NAME, Reader, Writer};
use crate::spool::{Entry, Follower, Next, Spool, SpoolError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Decoded batches taken from the log at a time.
const READ_BYTES_MAX: usize = 8 << 20;
/// How often upkeep is looked at when nothing comes.
const IDLE: Duration = Duration::from_millis(200);
/// After the history refused a batch: how long until it is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// With the log so full, what waits in memory is flushed at once: the log can't be trimmed before.
/// Below where pressure begins to slow clients.
const SPOOL_FILL_MAX: f64 = 0.4;
/// A disk that stays full is said this often.
const TROUBLE_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Feeds the history until the log ends, then makes everything durable. `hurry` is cancelled when
/// the daemon can't wait any longer: what is not in the history then is in the spool.
pub(super) struct HistoryFollower {
    pub follower: Follower,
    pub spool: Spool,
    pub writer: Writer,
    pub reader: Reader,
    pub ledger: Arc<Ledger>,
    /// Whose the samples were that the log lost or gave up.
    pub accepted: AcceptedBelow,
    pub hurry: CancellationToken,
    /// Whether the history's file can't be written now.
    pub stalled: Arc<AtomicBool>,
    pub pulse: Pulse,
}

impl HistoryFollower {
    pub fn run(mut self) {
        let mut trouble = Trouble::default();
        let (mut shed, mut lost) = (0, 0);
        // What went while nobody followed.
        self.note_shed(self.follower.position(), &mut shed);
        self.name_unknown();
        let mut more_upkeep = false;
        while !self.hurry.is_cancelled() {
            // Batches come first; upkeep goes on between them without a pause.
            self.pulse.beat("to read the spool");
            let patience = if more_upkeep { Duration::ZERO } else { IDLE };
            match self.follower.next(READ_BYTES_MAX, patience) {
                Ok(Next::Entries(entries)) => {
                    let next = entries.first().map_or(self.follower.position(), |it| it.position);
                    self.note_shed(next, &mut shed);
                    if !self.write_all(&entries, &mut trouble) {
                        return;
                    }
                }
                Ok(Next::Idle) => {}
                Ok(Next::Ended) => break,
                Err(error) => self.note_unreadable(&error, &mut trouble),
            }
            self.note_lost(&mut lost);
            more_upkeep = self.maintain(&mut trouble);
            self.settle();
        }
        self.note_lost(&mut lost);
        if let Err(error) = self.writer.flush(clock::now()) {
            log::warn!(error:err = error; "the history could not be flushed at the end; the next start reads the rest from the spool");
        }
        self.settle();
    }

    /// What the log has given up below `next` is counted once, together with the position after it.
    fn note_shed(&mut self, next: Position, noted: &mut u64) {
        let shed = self.follower.samples_shed();
        if shed > *noted {
            self.writer.shed(next, shed - *noted);
            *noted = shed;
            self.name_unknown();
        }
    }

    /// What the log could not read below where we are, all of which has been written, is counted once.
    fn note_lost(&mut self, noted: &mut u64) {
        let lost = self.follower.samples_lost();
        if lost > *noted {
            self.writer.lost(self.follower.position(), lost - *noted);
            *noted = lost;
            self.name_unknown();
        }
    }

    fn name_unknown(&mut self) {
        if self.writer.has_unknown() {
            self.writer.name(self.accepted.at(self.writer.applied()));
        }
    }

    /// False if the daemon can't wait for the history any longer.
    fn write_all(&mut self, entries: &[Arc<Entry>], trouble: &mut Trouble) -> bool {
        for entry in entries {
            self.pulse.beat("to add to the history");
            while let Err(error) = self.writer.write(&entry.batch, entry.position.next()) {
                trouble.note("the history takes no more; the spool keeps what comes", &error);
                if self.hurry.is_cancelled() {
                    return false;
                }
                std::thread::sleep(RETRY);
                self.maintain(trouble);
            }
            self.writer.credit(&entry.client, entry.protocol.byte());
        }
        true
    }

    /// Whether there is more to do at once.
    fn maintain(&mut self, trouble: &mut Trouble) -> bool {
        self.pulse.beat("to write the history's file");
        let now = clock::now();
        let done = if self.is_needed_by_spool() {
            self.writer.flush(now).map(|_| true)
        } else {
            self.writer.maintain(now)
        };
        if let Err(error) = &done {
            trouble.note("the history could not be written; it is tried again", error);
        }
        if let Some(set_aside) = self.writer.take_set_aside() {
            log::error!(
                event = "file-set-aside", path:% = set_aside.path.display(), bytes = set_aside.bytes;
                "the history's file was damaged: it was set aside and a new one begun"
            );
        }
        done.unwrap_or(false)
    }

    /// Whether the log is filling with what is only in our memory. Long flush intervals must not slow
    /// clients, let alone make the intake refuse. One flush for each segment: a log that others fill
    /// must not make us write every crumb.
    fn is_needed_by_spool(&self) -> bool {
        self.spool.tightest_fill() > SPOOL_FILL_MAX
            && self.spool.waits_for(NAME)
            && self.reader.counts().held > 0
    }

    /// What is durable in the history needs no place in the log; and the ledger learns where we are.
    fn settle(&self) {
        self.stalled.store(self.writer.stalled(), Ordering::Relaxed);
        self.follower.commit(self.writer.position());
        let Counts { stored, held, skipped, shed, .. } = self.reader.counts();
        let outcome = Applied { stored, held, skipped, shed };
        self.ledger.applied(self.follower.position(), outcome);
    }

    fn note_unreadable(&mut self, error: &SpoolError, trouble: &mut Trouble) {
        trouble.note("the spool could not be read; it is tried again", error);
        std::thread::sleep(RETRY);
    }
}

/// Says the same trouble once per interval.
#[derive(Default)]
struct Trouble {
    said: Option<Instant>,
}

impl Trouble {
    fn note(&mut self, what: &str, error: &dyn std::error::Error) {
        let now = clock::monotonic();
        if self.said.is_none_or(|said| now.duration_since(said) >= TROUBLE_LOG_INTERVAL) {
            self.said = Some(now);
            log::error!(event = "history-failed", error:% = error; "{what}");
        }
    }
}
