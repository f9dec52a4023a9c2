//! The lane of a sink that gets rollups: reads the log in order, folds it, and makes rounds of the
//! windows that are closed.
//!
//! ```text
//!   log  ·······|~~~~~~~~~~~~~~~~~~~~~~~~~~|················
//!          keep from: the first record    head: all that was closed
//!          that an open window needs      before is written
//! ```
//!
//! It has no backlog lane beside it and never jumps: that would tear windows. After a start it folds
//! what lies before the head once more and writes nothing of it (see `fold`).

use super::fold::{Closed, Floor, Fold, Rules};
use super::lane::{Fate, IDLE, Means, READ_BYTES_MAX, RETRY, Rounds, Taken, Waiting, source};
use super::round::Round;
use super::shares::Share;
use crate::clock;
use crate::model::{ClientId, Position, Timestamp};
use crate::spool::{Entry, Follower, Next};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Fields that a rollup has, at most: so many samples it is for requests.
const FIELDS: usize = 6;
/// After so many samples a round is made though there is room: so that progress is seen, and settled.
const ROUND_SAMPLES: u64 = 1_000_000;
/// With the log so full, silent devices' windows are closed after [`SILENCE_TIGHT`]: what is kept for
/// them must not make the intake refuse. Below where pressure begins to slow clients.
const SPOOL_FILL_MAX: f64 = 0.4;
const SILENCE_TIGHT: Duration = Duration::from_secs(60);

/// What a sink must remember of its windows when a round is done.
#[derive(Debug)]
pub(super) struct Remember {
    /// The log is needed from here on.
    pub keep_from: Position,
    /// What is closed of devices and can't be seen in the log from there on.
    pub floors: Vec<Floor>,
    /// The rules now.
    pub rules: Rules,
    /// Some of the log was lost where it was folded once more: how much is known from all that is
    /// accounted for.
    pub recount: bool,
    /// Whose samples were read, by client and protocol.
    pub shares: BTreeMap<(ClientId, u8), Share>,
}

/// The fold as a sink begins with it.
#[derive(Debug)]
pub(super) struct Folding {
    /// With the rules that were in force at the head.
    pub fold: Fold,
    /// Those that are in force from there on.
    pub rules: Rules,
    /// All that was closed before this is written.
    pub head: Position,
    /// Samples in windows that are open there.
    pub open: u64,
    /// Samples in windows that were closed before.
    pub closed: u64,
    /// How long a device is silent until its windows are closed.
    pub silence: Duration,
}

pub(super) struct FoldLane {
    means: Means,
    follower: Follower,
    waiting: Arc<Waiting>,
    rounds: Rounds,
    fold: Fold,
    rules: Rules,
    silence: Duration,
    /// When it began. Who was silent before may have had nobody to speak to.
    since: Timestamp,
    /// What was taken ends here.
    head: Position,
    /// Samples in windows that were closed so far.
    closed: u64,
    /// The samples that must be in open windows when what is before the head is folded once more.
    recalling: Option<u64>,
    /// What the follower could not get, as far as it is accounted for.
    lost: u64,
}

/// A round in the making.
#[derive(Default)]
struct Gathered {
    closed: Closed,
    floors: Vec<Floor>,
    fate: Fate,
    shares: BTreeMap<(ClientId, u8), Share>,
    recount: bool,
    /// The first and the last receipt, and when the round is to be made.
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    deadline: Option<Instant>,
}

impl FoldLane {
    pub fn new(
        means: Means,
        follower: Follower,
        waiting: Arc<Waiting>,
        rounds: Rounds,
        folding: Folding,
    ) -> FoldLane {
        let Folding { fold, rules, head, open, closed, silence } = folding;
        let lost = follower.samples_lost() + follower.samples_shed();
        let (recalling, since) = (Some(open), clock::now());
        FoldLane {
            means,
            follower,
            waiting,
            rounds,
            fold,
            rules,
            silence,
            since,
            head,
            closed,
            recalling,
            lost,
        }
    }

    /// Until the log ends, or nobody takes rounds any more.
    pub fn run(mut self) {
        while let Some(taken) = self.take() {
            if !self.rounds.bring(taken) {
                return;
            }
        }
    }

    /// The next round, noted in `waiting` from its first batch on; none at the end.
    fn take(&mut self) -> Option<Taken> {
        let parts = self.means.valve.allowed();
        let wanted = self.wanted(parts);
        let mut round = Gathered::default();
        loop {
            if self.follower.position() >= self.head {
                self.recalled(&mut round);
            }
            let now = clock::monotonic();
            let full = round.closed.rollups() >= wanted || round.fate.samples >= ROUND_SAMPLES;
            if full || round.deadline.is_some_and(|deadline| deadline <= now) {
                // It may be behind: the time is that of the log.
                self.end_silent(round.last, &mut round, wanted);
                break;
            }
            let patience = round.deadline.map_or(IDLE, |deadline| IDLE.min(deadline - now));
            self.rounds.beat("to read the spool and fold readings");
            match self.follower.next(READ_BYTES_MAX, patience) {
                Ok(Next::Entries(read)) => {
                    for entry in read {
                        self.fold_one(&entry, &mut round);
                    }
                    if self.recalling.is_some() && self.rounds.is_closed() {
                        return None;
                    }
                }
                Ok(Next::Idle) if self.recalling.is_some() => {
                    if self.rounds.is_closed() {
                        return None;
                    }
                }
                // The batches may have time for longer.
                Ok(Next::Idle) if round.deadline.is_some_and(|at| clock::monotonic() < at) => {}
                Ok(Next::Idle) => {
                    self.end_silent(Some(clock::now()), &mut round, wanted);
                    let moved = self.follower.position() > self.head;
                    if moved || !round.closed.is_empty() {
                        break;
                    }
                    if self.rounds.is_closed() {
                        return None;
                    }
                }
                Ok(Next::Ended) => {
                    self.recalled(&mut round);
                    break;
                }
                Err(error) => {
                    log::error!(error:err = error; "the spool could not be read for a sink; it is tried again");
                    std::thread::sleep(RETRY);
                }
            }
        }
        self.finish(round, parts)
    }

    /// Rollups that fill a round of so many parts.
    fn wanted(&self, parts: u32) -> usize {
        (self.means.shape.part_samples.saturating_mul(parts as usize) / FIELDS).max(1)
    }

    fn finish(&mut self, round: Gathered, parts: u32) -> Option<Taken> {
        let Gathered { closed, floors, mut fate, shares, recount, first, .. } = round;
        let range = self.head..self.follower.position().max(self.head);
        if range.is_empty() && closed.is_empty() {
            return None;
        }
        if first.is_none() {
            self.waiting.push(clock::now());
        }
        let lost = self.follower_lost();
        fate.lost += lost - self.lost;
        fate.open = self.fold.open();
        self.lost = lost;
        self.head = range.end;
        let keep_from = self.fold.keep_from().unwrap_or(self.head);
        let rules = self.fold.rules().clone();
        let number = self.closed;
        self.closed += closed.samples();
        Some(Taken {
            range,
            round: Round::encode(closed.into_sources(number), &self.means.shape, parts),
            left: None,
            fate,
            samples_before_end: self.follower.samples_before(),
            windows: Some(Remember { keep_from, floors, rules, recount, shares }),
        })
    }

    fn fold_one(&mut self, entry: &Entry, round: &mut Gathered) {
        let record = source(entry);
        if entry.position < self.head {
            // What it closes is written.
            self.fold.apply(&record, &mut Closed::default());
            return;
        }
        self.recalled(round);
        if round.first.is_none() {
            self.waiting.push(entry.received_at);
            round.first = Some(entry.received_at);
            round.deadline = Some(clock::monotonic() + self.means.batch_age);
        }
        round.last = round.last.max(Some(entry.received_at));
        let apart = self.fold.apply(&record, &mut round.closed);
        round.fate.samples += entry.batch.samples() as u64;
        round.fate.skipped += apart.skipped.cast_signed();
        round.fate.late += apart.late;
        let sender = (entry.client.clone(), entry.protocol.byte());
        let share = round.shares.entry(sender).or_default();
        // Some may be late of those that came before, from whomever.
        let samples = entry.batch.samples() as u64;
        let apart = samples.min(apart.skipped + apart.late);
        share.apart += apart;
        share.folded += samples - apart;
    }

    /// Everything before the head is folded once more, and the windows are what they were. If samples
    /// are missing in them, the log has lost those; or somebody has changed what is selected, and the
    /// windows were begun before that.
    fn recalled(&mut self, round: &mut Gathered) {
        let Some(open) = self.recalling.take() else { return };
        let lost = self.follower_lost();
        round.recount = lost > self.lost || self.follower.gap() > 0;
        let missing = open.cast_signed() - self.fold.open().cast_signed();
        if round.recount && missing > 0 {
            log::error!(samples = missing; "the spool lost readings that open windows of a sink are made of");
            round.fate.lost_of_open += missing.unsigned_abs();
        } else {
            round.fate.skipped += missing;
        }
        // What is not among those was written before, or is found by the recount.
        self.lost = lost;
        match self.fold.go_on_with(self.rules.clone()) {
            Ok(floors) => round.floors.extend(floors),
            Err(error) => log::error!(error:err = error; "a sink goes on with its old filters"),
        }
    }

    fn end_silent(&mut self, now: Option<Timestamp>, round: &mut Gathered, wanted: usize) {
        let Some(now) = now else { return };
        let patience = match self.means.spool.tightest_fill() > SPOOL_FILL_MAX {
            true => self.silence.min(SILENCE_TIGHT),
            false => self.silence,
        };
        if now.since(self.since) > patience {
            let floors = self.fold.end_silent(now, patience, &mut round.closed, wanted);
            round.floors.extend(floors);
        }
    }

    /// Samples that the log had and no longer has, so far.
    fn follower_lost(&self) -> u64 {
        self.follower.samples_lost() + self.follower.samples_shed()
    }
}
