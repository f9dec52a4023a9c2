//! The driver of a sink: takes rounds from the lanes, has them delivered, and writes down what is done.
//!
//! It alone owns the sink's standing (progress and counts). A *settlement* makes the standing durable,
//! together with the dead letters that belong to it, once a second; only then is the log told that it
//! needs no longer keep what is done. After a crash the rounds since the last settlement are delivered
//! once more, which changes nothing in a store where a point is its series and time.
//!
//! Full case: the lanes wait with two rounds each, and the log keeps the rest.

mod lanes;

use super::bisect::GivenUp;
use super::deliver::Courier;
use super::fold_lane::Folding;
use super::lane::{Means, Taken};
use super::letters;
use super::round::Round;
use super::shares;
use super::transport::Transport;
use super::valve::Stopped;
use super::view::Tally;
use crate::clock;
use crate::ledger::Outcomes;
use crate::model::{Batch, Table};
use crate::sinks::book::{Book, BookError, News, Shed, Standing};
use crate::spool::Follower;
use lanes::Backlog;
pub(super) use lanes::Pulses;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// How often the standing is settled, rates are measured and the dead letters looked at.
const TICK: Duration = Duration::from_secs(1);
/// Over about this time the shares of the lanes are kept.
const SHARE_MEMORY: Duration = Duration::from_secs(10);
/// A round is charged no more than this: what it waited for a store that was away is nobody's share,
/// and the other lane must not have the store to itself for as long.
const CHARGE_MAX: Duration = Duration::from_secs(1);
/// Dead letters that are replayed at a time.
const REPLAY_BYTES_MAX: u64 = 1 << 20;
/// Trouble that lasts is said again after this.
const NOTE_INTERVAL: Duration = Duration::from_secs(10);

/// What is known of a sink, and where it is written down.
pub(super) struct Account {
    pub book: Book,
    pub standing: Standing,
    /// The counts of the standing, client by client.
    pub outcomes: Outcomes,
}

pub(super) struct Driver<T> {
    name: String,
    means: Means,
    courier: Courier<T>,
    book: Book,
    standing: Standing,
    outcomes: Outcomes,
    /// The standing that is in the book.
    settled: Option<Standing>,
    /// What is not in the book yet.
    news: News,
    tally: Arc<Tally>,
    pulses: Pulses,
    backlog_share: f64,
    /// Cancelled when it is to go, though the log goes on.
    leave: CancellationToken,
    /// Time that the lanes had of the store lately.
    live_used: Duration,
    backlog_used: Duration,
    /// Some of the log was deleted before this sink had it: how much is known when it is through with
    /// the rest.
    recount: bool,
    /// There are lost samples of which it is not known whose they were.
    has_lost: bool,
    /// There may be more dead letters to replay.
    replaying: bool,
    /// When trouble was logged last.
    noted: Option<Instant>,
    /// When refused readings were logged last, and how many samples there were since then.
    refused_noted: Option<Instant>,
    refused: u64,
}

enum Turn {
    Live(Option<Taken>),
    Backlog(Option<Taken>),
    Tick,
    Leave,
}

impl<T: Transport> Driver<T> {
    pub fn new(
        name: String,
        means: Means,
        courier: Courier<T>,
        account: Account,
        (tally, pulses): (Arc<Tally>, Pulses),
        (backlog_share, leave): (f64, CancellationToken),
    ) -> Driver<T> {
        let none = Duration::ZERO;
        let Account { book, standing, outcomes } = account;
        let gaps = standing.progress.gaps().len();
        means.gaps.store(gaps, Ordering::Relaxed);
        tally.tell(&standing);
        Driver {
            name,
            means,
            courier,
            book,
            standing,
            outcomes,
            settled: None,
            news: News::default(),
            tally,
            pulses,
            backlog_share,
            leave,
            live_used: none,
            backlog_used: none,
            recount: false,
            // What went while it did not run.
            has_lost: true,
            replaying: true,
            noted: None,
            refused_noted: None,
            refused: 0,
        }
    }

    /// Until the log ends and all that was taken is written, or the store is not well and the daemon
    /// stops. `follower` stands at the head of the sink's progress; if it is rollups that are written,
    /// where the open windows need it.
    pub async fn run(mut self, follower: Follower, folding: Option<Folding>) {
        let (live_rounds, mut live) = mpsc::channel(1);
        if follower.position() > self.standing.progress.head() {
            // Deleted before this sink had it.
            self.recount = true;
            self.standing.progress.advance(self.standing.progress.head()..follower.position());
        }
        self.name_unknown();
        let live_thread = self.begin_live(follower, folding, live_rounds);
        let mut backlog = None;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if backlog.is_none() {
                backlog = self.begin_backlog();
            }
            let turn = match self.next_turn(&mut live, backlog.as_mut(), &mut tick).await {
                Turn::Live(None) | Turn::Leave => break,
                Turn::Backlog(None) => {
                    self.join(backlog.take().map(|backlog: Backlog| backlog.thread));
                    self.end_backlog();
                    continue;
                }
                Turn::Tick => self.tick().await,
                Turn::Live(Some(taken)) => self.live(taken).await,
                Turn::Backlog(Some(taken)) => self.backlog(taken).await,
            };
            if turn.is_err() {
                break;
            }
        }
        self.settle();
        let accepted = self.means.spool.stats().samples;
        let left = accepted.saturating_sub(self.standing.counts.accounted());
        if left > 0 && !self.leave.is_cancelled() {
            log::info!(sink = self.name.as_str(), samples = left; "what is not written is in the spool; it is written after the next start");
        }
        // Without receivers the lanes end.
        drop(live);
        self.join(live_thread);
        self.join(backlog.map(|Backlog { thread, .. }| thread));
    }

    /// New data first, unless the backlog has not had its share.
    async fn next_turn(
        &self,
        live: &mut mpsc::Receiver<Taken>,
        backlog: Option<&mut Backlog>,
        tick: &mut tokio::time::Interval,
    ) -> Turn {
        let of_backlog = async {
            match backlog {
                Some(backlog) => backlog.rounds.recv().await,
                None => std::future::pending().await,
            }
        };
        let used = (self.live_used + self.backlog_used).as_secs_f64();
        if self.backlog_used.as_secs_f64() < self.backlog_share * used {
            tokio::select! {
                biased;
                () = self.leave.cancelled() => Turn::Leave,
                _ = tick.tick() => Turn::Tick,
                taken = of_backlog => Turn::Backlog(taken),
                taken = live.recv() => Turn::Live(taken),
            }
        } else {
            tokio::select! {
                biased;
                () = self.leave.cancelled() => Turn::Leave,
                _ = tick.tick() => Turn::Tick,
                taken = live.recv() => Turn::Live(taken),
                taken = of_backlog => Turn::Backlog(taken),
            }
        }
    }

    async fn live(&mut self, mut taken: Taken) -> Result<(), Stopped> {
        if let Some(left) = &taken.left {
            log::info!(
                sink = self.name.as_str(), from:% = left.start, to:% = left.end;
                "new readings go first; what waits is written beside them"
            );
            // The lane made sure that there is room for one gap more.
            let left = self.standing.progress.leave(left.end);
            debug_assert!(left, "too many gaps");
            self.gaps_changed();
        }
        let began = clock::monotonic();
        let refused = self.courier.deliver(&taken.round).await?;
        self.live_used += charge(began);
        self.count(&taken, &refused);
        self.standing.progress.advance(taken.range.clone());
        self.remember(&mut taken);
        self.tally.live.pop();
        self.check(taken.samples_before_end);
        self.took().await
    }

    async fn backlog(&mut self, taken: Taken) -> Result<(), Stopped> {
        let began = clock::monotonic();
        let refused = self.courier.deliver(&taken.round).await?;
        self.backlog_used += charge(began);
        self.count(&taken, &refused);
        self.standing.progress.fill(taken.range.clone());
        self.gaps_changed();
        self.tally.backlog.pop();
        self.tally.drained(taken.round.samples);
        self.took().await
    }

    /// Adds what became of a round, and keeps what was refused for good.
    fn count(&mut self, taken: &Taken, refused: &[Vec<GivenUp>]) {
        let (round, before) = (&taken.round, self.news.letters.len());
        for (part, given_up) in round.parts.iter().zip(refused) {
            self.news.letters.extend(letters::of(round, part, given_up, &self.means.shape.naming));
        }
        let fresh = &self.news.letters[before..];
        match &taken.windows {
            None => shares::count(&mut self.outcomes, round, fresh),
            Some(windows) => {
                shares::count_folded(&mut self.outcomes, &windows.shares, round, fresh);
            }
        }
        let dead: u64 = fresh.iter().map(|letter| letter.samples).sum();
        self.refused += dead;
        let now = clock::monotonic();
        if let Some(letter) = fresh.first()
            && self.refused_noted.is_none_or(|noted| now - noted >= NOTE_INTERVAL)
        {
            log::warn!(
                event = "dead-lettered", sink = self.name.as_str(), samples = self.refused,
                device = first_device(&letter.batch), reason:% = letter.words;
                "the store refuses readings for good; they are kept as dead letters"
            );
            (self.refused, self.refused_noted) = (0, Some(now));
        }
        let (counts, fate) = (&mut self.standing.counts, taken.fate);
        let accounted = counts.accounted() + fate.samples;
        counts.dead_lettered += dead;
        counts.skipped = counts.skipped.saturating_add_signed(fate.skipped);
        counts.late += fate.late;
        counts.lost += fate.lost_of_open;
        counts.open = fate.open;
        // All else of what was read, or was in open windows.
        counts.written += accounted.saturating_sub(counts.accounted());
        self.lose(fate.lost);
    }

    /// What the fold needs after a crash; settled with the counts.
    fn remember(&mut self, taken: &mut Taken) {
        if let (Some(fresh), Some(windows)) = (taken.windows.take(), &mut self.standing.windows) {
            windows.keep_from = fresh.keep_from;
            windows.rules = fresh.rules;
            self.news.floors.extend(fresh.floors);
            self.recount |= fresh.recount;
        }
    }

    /// So many samples will never be had.
    fn lose(&mut self, samples: u64) {
        if samples > 0 {
            self.standing.counts.lost += samples;
            self.outcomes.unknown().lost += samples;
            self.has_lost = true;
        }
    }

    /// Whose the samples are that were never had: to be seen when all that the progress says to be done
    /// is counted.
    fn name_unknown(&mut self) {
        if self.has_lost && !self.recount {
            self.has_lost = false;
            shares::name(&mut self.outcomes, &self.means.accepted, &self.standing.progress);
        }
    }

    /// Whether the counts of what was done are the log's own: only to be seen without gaps.
    fn check(&mut self, samples_before_end: u64) {
        if !self.standing.progress.gaps().is_empty() {
            return;
        }
        let counts = &self.standing.counts;
        let imbalance = samples_before_end.cast_signed() - counts.accounted().cast_signed();
        if self.recount && imbalance > 0 {
            log::error!(
                sink = self.name.as_str(), samples = imbalance;
                "these readings were deleted from the spool before this sink had them"
            );
            self.lose(imbalance.unsigned_abs());
            self.tally.set_imbalance(0);
        } else {
            self.tally.set_imbalance(imbalance);
        }
        self.recount = false;
    }

    fn gaps_changed(&self) {
        self.means.gaps.store(self.standing.progress.gaps().len(), Ordering::Relaxed);
    }

    /// After a round: letters are only in memory until they are settled, so that nothing more is taken
    /// before.
    async fn took(&mut self) -> Result<(), Stopped> {
        if self.live_used + self.backlog_used > SHARE_MEMORY {
            self.live_used /= 2;
            self.backlog_used /= 2;
        }
        self.name_unknown();
        self.tally.tell(&self.standing);
        while !self.news.letters.is_empty() && !self.settle() {
            if self.courier.valve.is_stopping() {
                return Err(Stopped);
            }
            tokio::time::sleep(TICK).await;
        }
        Ok(())
    }

    async fn tick(&mut self) -> Result<(), Stopped> {
        self.settle();
        // Letters grow old while none comes.
        match self.book.shed(clock::now()) {
            Ok(shed) => self.note_shed(shed),
            Err(error) => self.note("old dead letters can't be deleted; it is tried again", &error),
        }
        self.tally.measure(self.standing.counts.written, clock::monotonic());
        let looked = match self.replay().await? {
            Ok(()) => self.book.totals(Some(&self.name)),
            Err(error) => Err(error),
        };
        match looked {
            Ok(letters) => self.tally.set_letters(letters),
            Err(error) => self.note("the dead letters can't be read; it is tried again", &error),
        }
        Ok(())
    }

    /// Makes the standing durable, and the letters with it. False if that failed; then it is tried
    /// again at the next tick.
    fn settle(&mut self) -> bool {
        let keep_from = self.standing.keep_from();
        let unchanged = self.news.is_empty() && self.outcomes.changed().next().is_none();
        if unchanged && self.settled.as_ref() == Some(&self.standing) {
            return true;
        }
        let Driver { name, book, standing, outcomes, news, .. } = self;
        let done = book.settle(name, standing, outcomes, news, clock::now());
        match done {
            Ok(shed) => {
                self.note_shed(shed);
                self.news = News::default();
                self.settled = Some(self.standing.clone());
                let backlog = self.backlog_name();
                for follower in [&self.name, &backlog] {
                    self.means.spool.commit(follower, keep_from);
                }
                true
            }
            Err(error) => {
                self.note("sinks.db can't be written; it is tried again", &error);
                false
            }
        }
    }

    fn note_shed(&self, shed: Shed) {
        if shed.letters > 0 {
            log::error!(
                event = "dead-letters-shed", sink = self.name.as_str(), letters = shed.letters, samples = shed.samples;
                "the oldest dead letters had to go (sinks.dead_letters_size_max, _age_max)"
            );
        }
    }

    /// Delivers dead letters that somebody wants to be tried again.
    async fn replay(&mut self) -> Result<Result<(), BookError>, Stopped> {
        loop {
            let due =
                match self.book.changed().and_then(|changed| match changed || self.replaying {
                    true => self.book.to_replay(&self.name, REPLAY_BYTES_MAX),
                    false => Ok(Vec::new()),
                }) {
                    Ok(due) => due,
                    Err(error) => return Ok(Err(error)),
                };
            self.replaying = !due.is_empty();
            if due.is_empty() {
                return Ok(Ok(()));
            }
            let round = Round::encode(letters::sources(&due), &self.means.shape, 1);
            let refused = self.courier.deliver(&round).await?;
            let (stored, refused) = letters::outcome(&due, &round, &refused);
            log::info!(
                event = "letters-replayed", sink = self.name.as_str(), stored = stored.len(), refused = refused.len();
                "dead letters were replayed"
            );
            if let Err(error) = self.book.replayed(&self.name, &stored, &refused, clock::now()) {
                return Ok(Err(error));
            }
        }
    }

    fn note(&mut self, what: &str, error: &dyn std::error::Error) {
        let now = clock::monotonic();
        if self.noted.is_none_or(|noted| now - noted >= NOTE_INTERVAL) {
            self.noted = Some(now);
            log::error!(sink = self.name.as_str(), error:% = error; "{what}");
        }
    }
}

/// Under this name the log is kept for the backlog lane of a sink.
pub(super) fn backlog_name(sink: &str) -> String {
    format!("{sink} backlog")
}

/// What a lane's round that began then is charged.
fn charge(began: Instant) -> Duration {
    (clock::monotonic() - began).min(CHARGE_MAX)
}

fn first_device(batch: &Batch) -> &str {
    batch.tables().next().map_or("", Table::device)
}
