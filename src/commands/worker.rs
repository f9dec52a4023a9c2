//! The thread's loop: it gathers what came, and makes one round of it.

use super::book::{Book, BookError};
use super::command::{Carrier, Command, State, Wish};
use super::desired::{Desired, Pending};
use super::desk::{Bounds, Desk, LineId};
use super::handle::{CommandsError, Looking, Settings, Stats, Whereabouts};
use super::lines::Lines;
use super::round::Round;
use crate::clock;
use crate::metrics::Metrics;
use crate::model::{NANOS_PER_SECOND, Timestamp};
use futures_util::future::OptionFuture;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant as Deadline, sleep, sleep_until};

/// Requests that are written as one.
const AT_ONCE: usize = 64;
/// While something waits: how often it is looked who speaks for its device.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// And so often if nothing waits but documents.
const LOOK_SELDOM: Duration = Duration::from_secs(10);
/// Whatever comes, it is not looked more often.
const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// What conversations leave is looked at no more often: when all come back at once, many come in one look.
const NEWS_PAUSE: Duration = Duration::from_millis(10);
/// How often what is over is forgotten.
const TIDY_INTERVAL: Duration = Duration::from_secs(60);
/// So many at once.
const TIDY_BATCH: usize = 2000;
/// The loop wakes up so often at least.
const IDLE: Duration = Duration::from_secs(30);
/// Commands that were sent and are over, of which an answer is still noted.
pub(super) const LATE_MAX: usize = 1024;

pub(super) type Answered<T> = oneshot::Sender<Result<T, CommandsError>>;

/// What the web asks for.
pub(super) enum Request {
    Create(Wish, Answered<Command>),
    Configure(Arc<Settings>, oneshot::Sender<()>),
    Get(u64, Answered<Option<Command>>),
    List { device: String, before: u64, limit: usize, answer: Answered<Vec<Command>> },
    Cancel { id: u64, by: String, answer: Answered<Command> },
    SetDesired { device: Arc<str>, document: String, by: String, answer: Answered<Desired> },
    Desired { device: Arc<str>, answer: Answered<Option<Desired>> },
}

/// A bridge was asked whether a command can be sent.
#[derive(Debug)]
pub(super) struct Asked {
    pub line: LineId,
    pub carrier: Carrier,
}

pub(super) struct Worker {
    pub book: Book,
    pub settings: Arc<Settings>,
    pub lines: Lines,
    pub metrics: Arc<Metrics>,
    pub desk: Desk,
    pub pending: Pending,
    /// Rows of commands that are over and could not be written.
    pub unwritten: BTreeMap<u64, Command>,
    /// Commands that are over without an answer, the oldest first.
    pub late: VecDeque<u64>,
    pub asked: HashMap<u64, Asked>,
    pub next_id: u64,
    /// Devices with a desired document, and the bytes of all of these.
    pub documents: usize,
    pub document_bytes: u64,
    /// Who spoke for devices when it was last looked.
    pub found: Vec<(Arc<str>, Carrier)>,
    /// Devices that something may be handed to, if they are connected themselves.
    pub near: HashSet<Arc<str>>,
    whereabouts: Box<dyn Whereabouts>,
    looking: Option<Looking>,
    looked_at: Instant,
    look_at: Instant,
    tidy_at: Instant,
    stats: Arc<Mutex<Stats>>,
}

impl Worker {
    pub fn new(
        book: Book,
        settings: Arc<Settings>,
        lines: Lines,
        whereabouts: Box<dyn Whereabouts>,
        metrics: Arc<Metrics>,
        stats: Arc<Mutex<Stats>>,
    ) -> Result<Worker, BookError> {
        let mut desk = Desk::new(bounds(&settings));
        for command in book.open_commands()? {
            if let (State::Sent, Some(carrier)) = (command.state, &command.carrier) {
                lines.await_answer(command.id, carrier.clone());
            }
            desk.add(command);
        }
        let mut pending = Pending::default();
        let (mut documents, mut document_bytes) = (0, 0);
        book.each_desired(|desired| {
            documents += 1;
            document_bytes += desired.bytes();
            lines.await_reports(&desired.device, desired.carrier.clone());
            pending.look(desired, true);
        })?;
        // Ids never come twice, also if the file is lost or an old copy comes back: devices remember
        // which they have done. Nobody gives a command each second for years.
        let seconds = u64::try_from(clock::now().0 / NANOS_PER_SECOND).unwrap_or(0);
        let next_id = seconds.max(book.last_id()? + 1);
        let now = clock::monotonic();
        Ok(Worker {
            book,
            settings,
            lines,
            metrics,
            desk,
            pending,
            unwritten: BTreeMap::new(),
            late: VecDeque::new(),
            asked: HashMap::new(),
            next_id,
            documents,
            document_bytes,
            found: Vec::new(),
            near: HashSet::new(),
            whereabouts,
            looking: None,
            looked_at: now,
            look_at: now,
            tidy_at: now,
            stats,
        })
    }

    /// Runs until the last handle is gone.
    pub async fn run(mut self, mut inbox: mpsc::Receiver<Request>) {
        let mut open = true;
        let mut news_at = clock::monotonic();
        while open {
            let mut requests = Vec::new();
            let wait = self.wait(clock::now());
            // Every branch is cancel-safe: queues, a notice, a timer, and a look that is kept.
            tokio::select! {
                first = inbox.recv() => match first {
                    Some(first) => requests.push(first),
                    None => open = false,
                },
                () = left(&self.lines, news_at) => news_at = clock::monotonic() + NEWS_PAUSE,
                Some(found) = OptionFuture::from(self.looking.as_mut()) => {
                    self.looking = None;
                    self.found = found;
                }
                () = sleep(wait) => {}
            }
            while requests.len() < AT_ONCE
                && let Ok(request) = inbox.try_recv()
            {
                requests.push(request);
            }
            let now = clock::now();
            Round::make(&mut self, requests, now);
            self.look(now);
            self.tidy(now);
            self.tell();
        }
    }

    /// How long nothing is to be done by itself.
    fn wait(&self, now: Timestamp) -> Duration {
        let mut wait = self.tidy_at.saturating_duration_since(clock::monotonic()).min(IDLE);
        if let Some(at) = self.desk.next_expiry() {
            wait = wait.min(at.since(now));
        }
        if self.looking.is_none() && self.is_waiting() {
            wait = wait.min(self.look_at.saturating_duration_since(clock::monotonic()));
        }
        if !self.unwritten.is_empty() {
            wait = wait.min(LOOK_INTERVAL);
        }
        wait.max(Duration::from_millis(1))
    }

    fn is_waiting(&self) -> bool {
        self.desk.next_expiry().is_some() || self.pending.waiting().next().is_some()
    }

    /// Something changed: look soon who speaks for devices.
    pub fn look_soon(&mut self) {
        self.look_at = self.look_at.min(self.looked_at + LOOK_PAUSE);
    }

    /// Looks who speaks for the devices that something waits for.
    fn look(&mut self, now: Timestamp) {
        let now_here = clock::monotonic();
        if self.looking.is_some() || now_here < self.look_at || !self.is_waiting() {
            return;
        }
        let mut waiting = self.desk.waiting(now);
        let interval = if waiting.is_empty() { LOOK_SELDOM } else { LOOK_INTERVAL };
        waiting.extend(self.pending.waiting().cloned());
        waiting.sort_unstable();
        waiting.dedup();
        (self.looked_at, self.look_at) = (now_here, now_here + interval);
        let here = |device: &Arc<str>| self.lines.is_open(&Carrier::Client(device.clone()));
        let (near, far): (Vec<_>, Vec<_>) = waiting.into_iter().partition(here);
        if !near.is_empty() {
            self.near.extend(near);
            Round::make(self, Vec::new(), now);
        }
        if !far.is_empty() {
            self.looking = Some(self.whereabouts.find(far));
        }
    }

    pub fn configure(&mut self, settings: Arc<Settings>) {
        self.desk.set_bounds(bounds(&settings));
        self.settings = settings;
        self.tidy_at = clock::monotonic();
    }

    fn tidy(&mut self, now: Timestamp) {
        let now_here = clock::monotonic();
        if now_here < self.tidy_at {
            return;
        }
        let before = now.saturating_sub(self.settings.keep);
        let gone = self.book.forget(before, self.settings.keep_max, TIDY_BATCH);
        let again = match gone {
            Ok(TIDY_BATCH) => LOOK_INTERVAL,
            Ok(_) => TIDY_INTERVAL,
            Err(error) => {
                log::warn!(error:err = error; "old commands could not be forgotten");
                TIDY_INTERVAL
            }
        };
        self.tidy_at = now_here + again;
    }

    fn tell(&self) {
        let [queued, sent] = self.desk.counts();
        let desired_pending = self.pending.len();
        let unwritten = self.unwritten.len();
        let stats = Stats { queued, sent, lines: 0, desired_pending, unwritten };
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner) = stats;
    }
}

fn bounds(settings: &Settings) -> Bounds {
    let &Settings { per_device_max, open_max, open_bytes_max, resend, .. } = settings;
    Bounds { per_device: per_device_max, open: open_max, bytes: open_bytes_max, resend }
}

/// Returns when something was left on the lines, not before `from`. Cancel-safe.
async fn left(lines: &Lines, from: Instant) {
    sleep_until(Deadline::from_std(from)).await;
    lines.left().await;
}
