//! A lane: a thread that reads the log and makes rounds of it.
//!
//! ```text
//!   log  ······················|======= a gap =======|······|
//!        done                   backlog lane ──►      done   live lane ──►
//! ```
//!
//! The *live* lane is at the head of the log. If it finds itself too late there (the store was away, or
//! is slower than what comes) it leaves a gap behind and goes on with what is newest. A *backlog* lane
//! reads one gap from its beginning to its end, and is gone then.
//!
//! At most two rounds of a lane are made and not taken: one in the channel, one in its hands. Then it
//! waits, and the log keeps what comes.

use super::fold_lane::Remember;
use super::progress::GAPS_MAX;
use super::round::{Round, Shape, Source};
use super::valve::Valve;
use crate::clock;
use crate::ledger::AcceptedBelow;
use crate::model::{Position, Timestamp};
use crate::pulse::Pulse;
use crate::spool::{Entry, Follower, Next, Spool};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Decoded batches taken from the log at a time.
pub(super) const READ_BYTES_MAX: usize = 1 << 20;
/// A sample of a decoded batch takes no less: not many more are read than are wanted.
const SAMPLE_BYTES: usize = 8;
/// How often a lane looks whether it is still wanted when nothing comes.
pub(super) const IDLE: Duration = Duration::from_millis(500);
/// After the log could not be read: how long until it is tried again.
pub(super) const RETRY: Duration = Duration::from_millis(500);
/// The live lane leaves a gap if what it reads waited longer than this …
const LATE: Duration = Duration::from_secs(4);
/// … and so many rounds, of the size that is allowed now, are before the end of the log.
const LATE_ROUNDS: u64 = 4;

/// A stretch of the log, encoded.
#[derive(Debug)]
pub(super) struct Taken {
    /// The positions that are done when the round is.
    pub range: Range<Position>,
    /// What is in them.
    pub round: Round,
    /// What the live lane left out just before `range`.
    pub left: Option<Range<Position>>,
    /// What becomes of the samples in `range`, but for those that the store refuses.
    pub fate: Fate,
    /// Samples in all batches of the log below the end of `range`.
    pub samples_before_end: u64,
    /// What to remember of windows, if it is rollups that are written.
    pub windows: Option<Remember>,
}

/// Samples of a stretch of the log.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fate {
    /// All that could be read.
    pub samples: u64,
    /// Those that are not selected; fewer than none if some of before turn out to be selected.
    pub skipped: i64,
    /// Those that came when their window was closed.
    pub late: u64,
    /// Those that were damaged in the log, or shed from it: not among all.
    pub lost: u64,
    /// The same of windows that were open at its beginning.
    pub lost_of_open: u64,
    /// Those in windows that are open at the end of it, also from before.
    pub open: u64,
}

/// When the batches came that a lane has taken and that are not done: the first of each round.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<VecDeque<Timestamp>>);

impl Waiting {
    pub fn push(&self, since: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(since);
    }

    /// A round is done.
    pub fn pop(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    }

    /// Nobody will do what was taken: the lane is gone.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// When the oldest came.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).front().copied()
    }
}

/// What both lanes of a sink work with.
#[derive(Clone)]
pub(super) struct Means {
    pub spool: Spool,
    pub shape: Arc<Shape>,
    pub valve: Arc<Valve>,
    /// How long the first batch of a round waits for others.
    pub batch_age: Duration,
    /// How many gaps there are.
    pub gaps: Arc<AtomicUsize>,
    /// Whose the samples are that nobody saw.
    pub accepted: AcceptedBelow,
}

pub(super) struct Lane {
    pub means: Means,
    pub follower: Follower,
    /// The end of the gap; nothing for the live lane.
    pub until: Option<Position>,
    pub waiting: Arc<Waiting>,
    pub rounds: Rounds,
}

/// Where a lane brings its rounds; and its sign of life. It rests while nobody takes what it has made, and
/// when it has ended: a store may be away for as long as it likes.
pub(super) struct Rounds {
    sender: mpsc::Sender<Taken>,
    pulse: Pulse,
}

impl Rounds {
    pub fn new(sender: mpsc::Sender<Taken>, pulse: &Pulse) -> Rounds {
        pulse.beat("to start");
        Rounds { sender, pulse: pulse.clone() }
    }

    /// The lane goes on.
    pub fn beat(&self, about: &'static str) {
        self.pulse.beat(about);
    }

    /// Nobody takes rounds any more.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Brings one; false if nobody takes it.
    pub fn bring(&self, taken: Taken) -> bool {
        self.pulse.rest();
        let is_taken = self.sender.blocking_send(taken).is_ok();
        self.pulse.beat("to go on");
        is_taken
    }
}

impl Drop for Rounds {
    fn drop(&mut self) {
        self.pulse.rest();
    }
}

impl Lane {
    /// Until the log or the gap ends, or nobody takes rounds any more.
    pub fn run(mut self) {
        while let Some(taken) = self.take() {
            if !self.rounds.bring(taken) {
                return;
            }
        }
    }

    /// The next round, noted in `waiting` from its first batch on; none at the end.
    fn take(&mut self) -> Option<Taken> {
        let from = self.follower.position();
        let end = self.until.unwrap_or(Position(u64::MAX));
        let lost_before = self.lost();
        let parts = self.means.valve.allowed();
        let wanted = self.means.shape.part_samples.saturating_mul(parts as usize);
        let (mut entries, mut samples) = (Vec::<Arc<Entry>>::new(), 0);
        let mut deadline: Option<Instant> = None;
        while from < end && samples < wanted {
            let patience = match deadline {
                None => IDLE,
                Some(deadline) => deadline.saturating_duration_since(clock::monotonic()).min(IDLE),
            };
            self.rounds.beat("to read the spool");
            let bytes_max = READ_BYTES_MAX.min((wanted - samples).saturating_mul(SAMPLE_BYTES));
            match self.follower.next(bytes_max, patience) {
                Ok(Next::Entries(read)) => {
                    if deadline.is_none() && self.is_late(&read, wanted) {
                        return Some(self.leave(from));
                    }
                    if let (None, Some(first)) = (deadline, read.first()) {
                        self.waiting.push(first.received_at);
                        deadline = Some(clock::monotonic() + self.means.batch_age);
                    }
                    samples += read.iter().map(|entry| entry.batch.samples()).sum::<usize>();
                    entries.extend(read);
                }
                // The batches may have time for longer.
                Ok(Next::Idle) if deadline.is_some_and(|at| clock::monotonic() < at) => {}
                Ok(Next::Idle) if deadline.is_some() || self.follower.position() > from => break,
                Ok(Next::Idle) if self.rounds.is_closed() => return None,
                Ok(Next::Idle) => {}
                Ok(Next::Ended) => break,
                Err(error) => {
                    log::error!(error:err = error; "the spool could not be read for a sink; it is tried again");
                    std::thread::sleep(RETRY);
                }
            }
            if self.follower.position() >= end {
                break;
            }
        }
        let range = from..self.follower.position().min(end);
        if range.is_empty() {
            return None;
        }
        if deadline.is_none() {
            self.waiting.push(clock::now());
        }
        entries.retain(|entry| entry.position < end);
        let sources = entries.iter().map(|entry| source(entry)).collect();
        self.rounds.beat("to encode readings for the store");
        let round = Round::encode(sources, &self.means.shape, parts);
        let (samples, skipped) = (round.samples, round.skipped.cast_signed());
        let fate = Fate { samples, skipped, lost: self.lost() - lost_before, ..Fate::default() };
        let samples_before_end = self.follower.samples_before();
        Some(Taken { range, round, left: None, fate, samples_before_end, windows: None })
    }

    /// Samples that the log had and no longer has, so far.
    fn lost(&self) -> u64 {
        self.follower.samples_lost() + self.follower.samples_shed()
    }

    /// Whether the live lane should go on with what is newest.
    fn is_late(&self, read: &[Arc<Entry>], wanted: usize) -> bool {
        let Some(first) = read.first().filter(|_| self.until.is_none()) else { return false };
        clock::now().since(first.received_at) > LATE
            && self.follower.samples_behind() > LATE_ROUNDS * wanted as u64
            // Those that are on their way to the driver are not counted yet.
            && self.means.gaps.load(Ordering::Relaxed) + 3 < GAPS_MAX
    }

    /// Leaves everything from here to the end of the log for the backlog lane.
    fn leave(&mut self, from: Position) -> Taken {
        let to = self.means.spool.next();
        self.follower.skip_to(to);
        self.waiting.push(clock::now());
        Taken {
            range: to..to,
            round: Round::encode(Vec::new(), &self.means.shape, 1),
            left: Some(from..to),
            fate: Fate::default(),
            samples_before_end: self.follower.samples_before(),
            windows: None,
        }
    }
}

pub(super) fn source(entry: &Entry) -> Source {
    Source {
        position: entry.position,
        received_at: entry.received_at,
        protocol: entry.protocol,
        client: entry.client.clone(),
        batch: Arc::clone(&entry.batch),
        skipped: 0,
    }
}
