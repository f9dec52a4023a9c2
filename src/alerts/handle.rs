//! The door: a handle to the thread that owns the alerts.

use super::Changed;
use super::book::{Book, BookError, Detail, Filter, Happened};
use super::rulebook::RuleView;
use super::silence::Silence;
use crate::model::{Reach, Timestamp};
use crate::rules::{Alert, Event, Fact, Severity, Spec, State, Wrong};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};

/// What was told and the thread has not looked at: while it catches up with the log, or its file can't
/// be written. Of more the oldest go.
const TOLD_MAX: usize = 100_000;

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refused {
    /// It makes no sense.
    #[error("{0}")]
    Wrong(String),
    /// A rule makes no sense.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Rule(Vec<Wrong>),
    /// There is no such thing.
    #[error("{0}")]
    Missing(String),
    /// It is the configuration's.
    #[error("{0}")]
    Taken(String),
    /// There are as many as there may be.
    #[error("{0}")]
    Full(String),
    /// The file can't be written now, or the daemon stops.
    #[error("{0}")]
    Unavailable(String),
}

/// What people ask for; the answer comes when it is on disk.
#[derive(Debug)]
pub enum Asked {
    /// Take notice.
    Acknowledge(Vec<u64>, Reach, String, String),
    /// Make a rule, or another of its name.
    PutRule(Box<Spec>),
    /// Remove a rule.
    DeleteRule(String),
    /// Keep notifications back.
    Silence(Silence),
    /// End a silence.
    EndSilence(u64),
    /// Go on with another configuration.
    Configure(Changed),
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Done {
    Acknowledged(Vec<u64>, Vec<(u64, &'static str)>),
    /// Whether it is new.
    Put(bool),
    Silenced(Silence),
    Nothing,
}

pub(super) type Answer = oneshot::Sender<Result<Done, Refused>>;

/// Something that is no record of the log.
#[derive(Debug)]
pub(super) enum Told {
    Presence { device: Arc<str>, online: bool, reason: String },
    Facts(Vec<Fact>),
}

/// How many alerts are open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Their rule holds, but not for long enough.
    pub pending: u64,
    /// They fire, and nobody took notice.
    pub firing: u64,
    /// Somebody took notice.
    pub acknowledged: u64,
    /// Those of the firing ones that are critical.
    pub critical: u64,
}

impl Counts {
    /// Counts one that is open.
    pub fn add(&mut self, alert: &Alert) {
        match alert.state {
            State::Pending => self.pending += 1,
            State::Firing => {
                self.firing += 1;
                self.critical += u64::from(alert.severity == Severity::Critical);
            }
            State::Acknowledged | State::Resolved => self.acknowledged += 1,
        }
    }
}

/// The numbers of alerts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// Open alerts.
    pub counts: Counts,
    /// Events since the start: fired, acknowledged, resolved.
    pub events: [u64; 3],
    /// Rules that work.
    pub rules: u64,
    /// Things that they watch.
    pub subjects: u64,
    /// Samples of the log that were passed over, because the log was filling up.
    pub passed_over: u64,
    /// Whether the file can't be written now.
    pub stalled: bool,
}

/// What the thread shows.
#[derive(Debug, Default)]
pub(super) struct Shown {
    pub stats: Stats,
    pub rules: Vec<RuleView>,
    pub silences: Vec<Silence>,
}

/// What others leave for the thread without waiting.
#[derive(Debug, Default)]
pub(super) struct Tray {
    pub told: VecDeque<(Timestamp, Told)>,
    pub lost: u64,
}

/// A handle to the alerts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Alerts {
    pub(super) asked: mpsc::Sender<(Asked, Answer)>,
    pub(super) shown: Arc<Mutex<Shown>>,
    pub(super) tray: Arc<Mutex<Tray>>,
    pub(super) changed: watch::Receiver<u64>,
    pub(super) reader: Arc<Reader>,
}

/// A connection for reading; whoever asks waits for whoever asked before.
#[derive(Debug)]
pub(super) struct Reader {
    pub path: PathBuf,
    pub book: Mutex<Option<Book>>,
}

impl Alerts {
    /// Takes notice of alerts: those of which notice is taken by that, and why not of others.
    ///
    /// # Errors
    /// [`Refused::Unavailable`].
    pub async fn acknowledge(
        &self,
        ids: Vec<u64>,
        reach: Reach,
        by: String,
        note: String,
    ) -> Result<(Vec<u64>, Vec<(u64, &'static str)>), Refused> {
        match self.ask(Asked::Acknowledge(ids, reach, by, note)).await? {
            Done::Acknowledged(done, not) => Ok((done, not)),
            _ => Ok((Vec::new(), Vec::new())),
        }
    }

    /// Makes a rule, or another of its name: whether it is new.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn put_rule(&self, spec: Spec) -> Result<bool, Refused> {
        Ok(matches!(self.ask(Asked::PutRule(Box::new(spec))).await?, Done::Put(true)))
    }

    /// Removes a rule that was made so.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn delete_rule(&self, name: String) -> Result<(), Refused> {
        self.ask(Asked::DeleteRule(name)).await.map(drop)
    }

    /// Makes a silence; its number is given to it.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn silence(&self, silence: Silence) -> Result<Silence, Refused> {
        match self.ask(Asked::Silence(silence.clone())).await? {
            Done::Silenced(silence) => Ok(silence),
            _ => Ok(silence),
        }
    }

    /// Ends a silence now.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn end_silence(&self, id: u64) -> Result<(), Refused> {
        self.ask(Asked::EndSilence(id)).await.map(drop)
    }

    /// Goes on with another configuration, as if it had begun with it: alerts of rules that are gone, or
    /// not as they were, are over.
    ///
    /// # Errors
    /// [`Refused::Unavailable`].
    pub async fn configure(&self, changed: Changed) -> Result<(), Refused> {
        self.ask(Asked::Configure(changed)).await.map(drop)
    }

    async fn ask(&self, asked: Asked) -> Result<Done, Refused> {
        let stops = || Refused::Unavailable("the daemon stops".to_owned());
        let (answer, done) = oneshot::channel();
        self.asked.send((asked, answer)).await.map_err(|_| stops())?;
        done.await.map_err(|_| stops())?
    }

    /// A device went online or offline, at that time, and why. False if others were lost since this
    /// was last asked, because too many wait: then tell the state of every device.
    pub fn presence(&self, at: Timestamp, device: &str, online: bool, reason: &str) -> bool {
        let (device, reason) = (device.into(), reason.to_owned());
        let mut tray = lock(&self.tray);
        tray.push(at, Told::Presence { device, online, reason });
        std::mem::take(&mut tray.lost) == 0
    }

    /// How the daemon is, all of it; to be told about once a second.
    pub fn daemon(&self, at: Timestamp, facts: Vec<Fact>) {
        let mut tray = lock(&self.tray);
        // Older ones that were not looked at yet have nothing to tell but of their time.
        if let Some((_, Told::Facts(last))) =
            tray.told.back_mut().filter(|(_, told)| told.is_facts())
            && *last == facts
        {
            return;
        }
        tray.push(at, Told::Facts(facts));
    }

    /// Alerts below the number `before`, the newest first. Reads a file.
    ///
    /// # Errors
    /// [`BookError`].
    pub fn list(
        &self,
        filter: &Filter,
        before: Option<u64>,
        max: usize,
    ) -> Result<Vec<Alert>, BookError> {
        self.reader.with(|book| book.list(filter, before, max))
    }

    /// One alert and what happened to it. Reads a file.
    ///
    /// # Errors
    /// [`BookError`].
    pub fn detail(&self, id: u64) -> Result<Option<Detail>, BookError> {
        self.reader.with(|book| book.detail(id))
    }

    /// Events after this number, the oldest first; older ones than are kept are left out. Reads a file.
    ///
    /// # Errors
    /// [`BookError`].
    pub fn after(&self, id: u64, max: usize) -> Result<Vec<Event>, BookError> {
        let happened = self.happened_after(id, max)?;
        Ok(happened.into_iter().map(|happened| happened.event).collect())
    }

    /// The same with who did it, and why.
    ///
    /// # Errors
    /// [`BookError`].
    pub fn happened_after(&self, id: u64, max: usize) -> Result<Vec<Happened>, BookError> {
        self.reader.with(|book| book.after(id, max))
    }

    /// The number of the last event that is on disk.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.clone()
    }

    /// The numbers.
    #[must_use]
    pub fn stats(&self) -> Stats {
        lock(&self.shown).stats.clone()
    }

    /// All rules.
    #[must_use]
    pub fn rules(&self) -> Vec<RuleView> {
        lock(&self.shown).rules.clone()
    }

    /// Silences that are not over, or not for long.
    #[must_use]
    pub fn silences(&self) -> Vec<Silence> {
        lock(&self.shown).silences.clone()
    }
}

impl Told {
    fn is_facts(&self) -> bool {
        matches!(self, Told::Facts(_))
    }
}

impl Tray {
    fn push(&mut self, at: Timestamp, told: Told) {
        if self.told.len() >= TOLD_MAX {
            self.told.pop_front();
            self.lost += 1;
        }
        self.told.push_back((at, told));
    }
}

impl Reader {
    fn with<T>(&self, work: impl FnOnce(&Book) -> Result<T, BookError>) -> Result<T, BookError>
    where
        T: Default,
    {
        let mut book = lock(&self.book);
        if book.is_none() {
            *book = Book::reader(&self.path)?;
        }
        let done = book.as_ref().map_or_else(|| Ok(T::default()), work);
        if done.is_err() {
            // It may have been moved aside.
            *book = None;
        }
        done
    }
}

/// A panic elsewhere while it was locked leaves every field valid.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
