//! Decides whether a decoded batch may enter: once only, and not with series without end.
//!
//! Pure core, told the time. The gate owns one [`Admission`] and asks it before each append; its
//! memory is a fold over the log: [`Admission::enter`] for each record, started from the newest
//! checkpoint ([`Admission::checkpoint`], [`Admission::restore`]).

mod checkpoint;
mod clients;
mod series;
mod sessions;
mod tally;

pub use checkpoint::CheckpointError;
pub use clients::ClientCounts;
pub use series::SeriesLimits;
pub use sessions::{GAPS_MAX, Standing};
pub use tally::{Counts, Tally};

use crate::model::{Batch, ClientId, Seq, SessionId, Timestamp};
use clients::Clients;
use series::KnownSeries;
use sessions::Sessions;
use std::time::Duration;
use thiserror::Error;

/// Who sent a batch, and which one it is.
#[derive(Debug, Clone, Copy)]
pub struct Name<'a> {
    /// The client.
    pub client: &'a ClientId,
    /// Its session; 0 = none, and the batch is not recognised when it comes again.
    pub session: SessionId,
    /// Its number in the session.
    pub seq: Seq,
}

/// What is to happen with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Append it.
    Enter,
    /// It is in the log already: answer like a receipt.
    Duplicate,
    /// Not this one.
    Refuse(Objection),
}

/// What the ledger counts a batch as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decided {
    /// It is in the log now.
    Entered {
        /// With so many samples.
        samples: u64,
    },
    /// It was in the log already.
    Duplicate,
    /// It did not enter.
    Refused,
}

/// Why admission refuses a batch that could be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Objection {
    /// Numbered batches start at 1.
    #[error("a batch of a session has a seq from 1 upwards")]
    SeqZero,
    /// The session's numbers jump too often.
    #[error(
        "the session has {GAPS_MAX} gaps below seq {seq}: seqs go up by one; resend what is missing, or begin a new session"
    )]
    TooManyGaps {
        /// The number that would make one more.
        seq: Seq,
    },
    /// There are no samples in it.
    #[error("the batch has no samples")]
    Empty,
    /// More new series than may come now.
    #[error("{new} new series in one batch, {left} are taken now (limits.new_series_per_minute)")]
    NewSeriesTooFast {
        /// New ones in this batch.
        new: usize,
        /// Allowed now.
        left: usize,
        /// When so many as these are.
        retry_after: Duration,
    },
    /// More series than the daemon keeps.
    #[error("{known} series are known, {max} are the most (limits.series_max)")]
    TooManySeries {
        /// Known ones.
        known: usize,
        /// The most.
        max: usize,
    },
    /// More new series than there is memory for.
    #[error(
        "{new} new series in one batch: memory nears what the daemon may have (MemoryHigh=), {left} are taken now"
    )]
    NoMemoryForSeries {
        /// New ones in this batch.
        new: usize,
        /// Allowed now.
        left: usize,
    },
}

/// The memory of admission: sessions, series, and the tally of what was decided.
#[derive(Debug)]
pub struct Admission {
    sessions: Sessions,
    series: KnownSeries,
    tally: Tally,
    clients: Clients,
}

impl Admission {
    /// An empty memory; of at most so many sessions, and clients.
    #[must_use]
    pub fn new(sessions_max: usize, series: SeriesLimits) -> Admission {
        Admission {
            sessions: Sessions::new(sessions_max),
            series: KnownSeries::new(series),
            tally: Tally::default(),
            clients: Clients::new(sessions_max),
        }
    }

    /// So many new series may come in a minute from now on.
    pub fn set_new_series_per_minute(&mut self, count: usize) {
        self.series.set_new_per_minute(count);
    }

    /// So many new series find memory, until this is told again.
    pub fn set_room_for_series(&mut self, count: usize) {
        self.series.set_room(count);
    }

    /// Decides about a batch; remembers its series and its number if it may enter.
    pub fn admit(&mut self, name: Name<'_>, batch: &Batch, now: Timestamp) -> Verdict {
        if batch.samples() == 0 {
            return Verdict::Refuse(Objection::Empty);
        }
        match self.sessions.standing(name) {
            Standing::Seen => return Verdict::Duplicate,
            Standing::Refused(objection) => return Verdict::Refuse(objection),
            Standing::New => {}
        }
        if let Err(objection) = self.series.admit(batch, now) {
            return Verdict::Refuse(objection);
        }
        self.sessions.enter(name, now);
        Verdict::Enter
    }

    /// Folds a record of the log: it entered.
    pub fn enter(&mut self, name: Name<'_>, received_at: Timestamp) {
        self.sessions.enter(name, received_at);
    }

    /// Undoes [`Admission::admit`] of a batch that could not be made durable.
    pub fn withdraw(&mut self, name: Name<'_>) {
        self.sessions.withdraw(name);
    }

    /// Notes that a batch was refused for good: it leaves no gap behind.
    pub fn settle(&mut self, name: Name<'_>, now: Timestamp) {
        if self.sessions.standing(name) == Standing::New {
            self.sessions.enter(name, now);
        }
    }

    /// A client greets: gives the highest seq up to which everything of this session is settled.
    /// `resume` is the lowest seq that it still holds (0 = not told): gaps below can't be filled any
    /// more.
    pub fn greet(
        &mut self,
        client: &ClientId,
        session: SessionId,
        resume: Seq,
        now: Timestamp,
    ) -> Seq {
        self.sessions.greet(client, session, resume, now)
    }

    /// Makes series known that the history holds, so that a restart does not count them as new.
    pub fn know_series(&mut self, identity: &str, metric: &str) {
        self.series.know(identity, metric);
    }

    /// How many series are known.
    #[must_use]
    pub fn series(&self) -> usize {
        self.series.len()
    }

    /// Counts what was decided about a batch, for its protocol and its client.
    pub fn count(&mut self, client: &ClientId, protocol: u8, decided: Decided) {
        self.tally.of(protocol).add(decided);
        self.clients.of(client, protocol).add(decided);
    }

    /// Counts batches of a client that were refused before admission saw them.
    pub fn count_refused(&mut self, client: &ClientId, protocol: u8, batches: u64) {
        self.tally.of(protocol).refused += batches;
        self.clients.of(client, protocol).refused += batches;
    }

    /// What each client sent over each protocol. What is in the [tally](Admission::tally) and not here
    /// is of clients that were forgotten, or not known.
    pub fn clients(&self) -> impl Iterator<Item = &ClientCounts> {
        self.clients.iter()
    }

    /// What was decided so far.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// What was decided so far, to count on.
    pub fn tally_mut(&mut self) -> &mut Tally {
        &mut self.tally
    }
}
