//! Where bridges put what no route understands, and the thread that writes it down.
//!
//! ```text
//!   bridges ── put, remember, replayed ──► Pending (one lock, bounded) ──► thread ──► book (mqtt.db)
//!           ◄─ Replays (bounded queues) ◄── marked by somebody ◄──────────────┘
//! ```
//!
//! Guarantees:
//! - No bridge waits: what is too much is counted and not kept. However many messages come, the thread
//!   writes [`ROUND_MESSAGES_MAX`] in [`ROUND_INTERVAL`].
//! - Every message that was put is counted in the book, in the next round that can be written.
//! - A birth that was remembered last wins; one that there is no room for is forgotten, never left at
//!   an older state.
//! - When the last [`Quarantine`] is dropped, the thread writes what waits, and ends.

use super::book::{
    Book, BookError, Bounds, Message, Opened, Outcome, PAYLOAD_BYTES_MAX, Quarantined, Remember,
    Round, Seen, TOPIC_MESSAGES_MAX,
};
use crate::clock;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Messages that wait to be written; one more is counted only.
const ROUND_MESSAGES_MAX: usize = 256;
/// Bytes that they take; likewise.
const ROUND_BYTES_MAX: u64 = 2 << 20;
/// Topics with counts of their own in a round; messages of further ones are counted together.
const ROUND_TOPICS_MAX: usize = 256;
/// Births that wait to be written.
const ROUND_BIRTH_BYTES_MAX: usize = 32 << 20;
/// Between rounds that hold messages only.
const ROUND_INTERVAL: Duration = Duration::from_millis(500);
/// How often the thread looks whether somebody marked messages; and tries again what failed.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How often what has become too old is shed while nothing comes.
const SHED_INTERVAL: Duration = Duration::from_secs(600);
/// Replayed messages on their way to one bridge.
const REPLAYS_MAX: usize = 16;

/// The bridges' way to the book; clones are of one.
#[derive(Clone)]
pub struct Quarantine(Arc<Owner>);

/// Ends the thread when the last handle goes.
struct Owner(Arc<Desk>);

/// What the handles and the thread share.
struct Desk {
    path: PathBuf,
    pending: Mutex<Pending>,
    /// Something waits that did not before.
    came: Condvar,
}

/// What waits to be written.
#[derive(Default)]
struct Pending {
    seen: HashMap<Arc<str>, HashMap<String, Waiting>>,
    /// In all maps of `seen`.
    topics: usize,
    others: HashMap<Arc<str>, u64>,
    messages: Vec<Quarantined>,
    bytes: u64,
    replayed: Vec<(u64, Outcome)>,
    remember: HashMap<(Arc<str>, String), Option<Vec<u8>>>,
    birth_bytes: usize,
    listeners: Vec<(Arc<str>, mpsc::Sender<Message>)>,
    ended: bool,
}

/// A topic on which messages came, and how many of them wait.
struct Waiting {
    seen: Seen,
    kept: usize,
}

/// Messages that somebody wants tried again, for one bridge.
pub struct Replays(mpsc::Receiver<Message>);

impl Replays {
    /// The next one, once there is one; never returns when the quarantine is gone. Cancel-safe.
    ///
    /// What became of it is told by [`Quarantine::replayed`].
    pub async fn next(&mut self) -> Message {
        match self.0.recv().await {
            Some(message) => message,
            None => std::future::pending().await,
        }
    }
}

impl Quarantine {
    /// Opens the file or makes it, and starts the thread.
    ///
    /// # Errors
    /// [`BookError`]; a damaged file is none: it is set aside and said in the log.
    pub fn open(path: &Path, bounds: Bounds) -> Result<(Quarantine, JoinHandle<()>), BookError> {
        let Opened { book, set_aside } = Book::open(path, bounds)?;
        if let Some(set_aside) = set_aside {
            log::error!(
                path:% = set_aside.path.display(), bytes = set_aside.bytes;
                "the bridges' file was damaged: it was set aside and a new one begun; its messages are no \
                 longer shown, and Sparkplug nodes are asked for their births"
            );
        }
        let desk = Arc::new(Desk {
            path: path.to_owned(),
            pending: Mutex::default(),
            came: Condvar::new(),
        });
        let writer = Writer::new(book, desk.clone());
        let thread =
            std::thread::Builder::new().name("quarantine".to_owned()).spawn(|| writer.run())?;
        Ok((Quarantine(Arc::new(Owner(desk))), thread))
    }

    /// Puts down a message that was not understood. Never waits; it may be acknowledged at once.
    pub fn put(&self, message: Quarantined) {
        self.0.0.change(|pending| pending.put(message));
    }

    /// Remembers what a Sparkplug node said at its birth, instead of what it said before.
    pub fn remember(&self, bridge: &Arc<str>, node: &str, birth: Vec<u8>) {
        self.0.0.change(|pending| pending.remember(bridge, node, Some(birth)));
    }

    /// Remembers nothing of a node any more.
    pub fn forget(&self, bridge: &Arc<str>, node: &str) {
        self.0.0.change(|pending| pending.remember(bridge, node, None));
    }

    /// What was remembered of a bridge's nodes when the daemon started: to be asked before the bridge
    /// remembers anything. Reads the file, so not on a thread that serves sockets.
    ///
    /// # Errors
    /// [`BookError`].
    pub fn remembered(&self, bridge: &str) -> Result<Vec<(String, Vec<u8>)>, BookError> {
        match Book::read_only(&self.0.0.path)? {
            Some(book) => book.remembered(bridge),
            None => Ok(Vec::new()),
        }
    }

    /// Messages of this bridge that somebody wants tried again, those from before the start included.
    #[must_use]
    pub fn replays(&self, bridge: &Arc<str>) -> Replays {
        let (sender, receiver) = mpsc::channel(REPLAYS_MAX);
        self.0.0.change(|pending| pending.listeners.push((bridge.clone(), sender)));
        Replays(receiver)
    }

    /// Tells what became of a message of [`Replays`]; untold, it is tried again after a restart.
    pub fn replayed(&self, id: u64, outcome: Outcome) {
        self.0.0.change(|pending| pending.replayed.push((id, outcome)));
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.change(|pending| pending.ended = true);
    }
}

impl Desk {
    /// What is changed under the lock is whole at every point: a panic elsewhere does not matter.
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread is woken only if it may sleep on: a storm of messages costs no wakings.
    fn change(&self, change: impl FnOnce(&mut Pending)) {
        let mut pending = self.lock();
        let before = pending.urgency();
        change(&mut pending);
        if pending.urgency() > before {
            self.came.notify_one();
        }
    }
}

/// When the thread must do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Urgency {
    Idle,
    /// Within [`ROUND_INTERVAL`].
    Soon,
    Now,
}

impl Pending {
    fn urgency(&self) -> Urgency {
        let now = self.ended
            || !self.remember.is_empty()
            || !self.replayed.is_empty()
            || !self.listeners.is_empty();
        match now {
            true => Urgency::Now,
            false if self.topics > 0 || !self.others.is_empty() => Urgency::Soon,
            false => Urgency::Idle,
        }
    }

    fn put(&mut self, mut message: Quarantined) {
        let topics = self.seen.entry(message.bridge.clone()).or_default();
        let waiting = match topics.get_mut(&message.topic) {
            Some(waiting) => waiting,
            None if self.topics >= ROUND_TOPICS_MAX => {
                *self.others.entry(message.bridge).or_default() += 1;
                return;
            }
            None => {
                self.topics += 1;
                topics.entry(message.topic.clone()).or_insert_with(|| Waiting::first(&message))
            }
        };
        let seen = &mut waiting.seen;
        seen.count += 1;
        seen.last = message.received_at;
        seen.code = message.code;
        seen.reason.clone_from(&message.reason);
        if waiting.kept >= TOPIC_MESSAGES_MAX || self.messages.len() >= ROUND_MESSAGES_MAX {
            return;
        }
        // The beginning of a long payload is kept, not its memory.
        message.payload.truncate(PAYLOAD_BYTES_MAX);
        let cost = message.cost();
        if self.bytes + cost > ROUND_BYTES_MAX {
            return;
        }
        message.payload.shrink_to_fit();
        waiting.kept += 1;
        self.bytes += cost;
        self.messages.push(message);
    }

    fn remember(&mut self, bridge: &Arc<str>, node: &str, birth: Option<Vec<u8>>) {
        let length = |birth: &Option<Vec<u8>>| birth.as_ref().map_or(0, Vec::len);
        let now = self.remember.entry((bridge.clone(), node.to_owned())).or_default();
        self.birth_bytes -= length(now);
        // It is asked for another rather than known by an older one.
        *now = birth.filter(|birth| self.birth_bytes + birth.len() <= ROUND_BIRTH_BYTES_MAX);
        self.birth_bytes += length(now);
    }

    /// Takes out all that is to be written; who listens stays.
    fn take(&mut self) -> Pending {
        let listeners = std::mem::take(&mut self.listeners);
        let ended = self.ended;
        let taken = std::mem::replace(self, Pending { ended, ..Pending::default() });
        self.listeners = listeners;
        taken
    }

    fn into_round(self) -> Round {
        let seen = self.seen.into_values().flatten();
        let remember = self.remember.into_iter();
        Round {
            number: rand::random(),
            seen: seen.map(|(_, waiting)| waiting.seen).collect(),
            others: self.others.into_iter().collect(),
            messages: self.messages,
            replayed: self.replayed,
            remember: remember
                .map(|((bridge, node), birth)| Remember { bridge, node, birth })
                .collect(),
        }
    }
}

impl Waiting {
    fn first(message: &Quarantined) -> Waiting {
        let seen = Seen {
            bridge: message.bridge.clone(),
            topic: message.topic.clone(),
            count: 0,
            first: message.received_at,
            last: message.received_at,
            reason: String::new(),
            code: message.code,
        };
        Waiting { seen, kept: 0 }
    }
}

/// The thread: owns the book and says what became of it.
struct Writer {
    book: Book,
    desk: Arc<Desk>,
    /// One that could not be written: tried again before anything else is.
    failed: Option<Round>,
    /// Whether the last turn failed, which was said.
    failing: bool,
    listeners: Vec<Listener>,
    /// Somebody may have marked messages since they were last looked for.
    look: bool,
    wrote_at: Instant,
}

/// A bridge, and the messages that it has not told the outcome of.
struct Listener {
    bridge: Arc<str>,
    sender: mpsc::Sender<Message>,
    handed: BTreeSet<u64>,
}

impl Writer {
    fn new(book: Book, desk: Arc<Desk>) -> Writer {
        let (listeners, wrote_at) = (Vec::new(), clock::monotonic());
        Writer { book, desk, failed: None, failing: false, listeners, look: true, wrote_at }
    }

    fn run(mut self) {
        loop {
            let ended = self.wait();
            self.turn();
            if ended {
                break;
            }
        }
        if let Some(round) = self.failed {
            log::error!(
                messages = round.messages.len(), births = round.remember.len();
                "the quarantine ends, and its last messages could not be written"
            );
        }
    }

    /// Sleeps until there is something to do; true if it is the last.
    fn wait(&mut self) -> bool {
        let began = clock::monotonic();
        let mut pending = self.desk.lock();
        loop {
            let due = match pending.urgency() {
                _ if pending.ended => return true,
                // A disk that fails is not tried all the time.
                _ if self.failing => began + LOOK_INTERVAL,
                Urgency::Now => began,
                Urgency::Soon => (self.wrote_at + ROUND_INTERVAL).min(began + LOOK_INTERVAL),
                Urgency::Idle => began + LOOK_INTERVAL,
            };
            let left = due.saturating_duration_since(clock::monotonic());
            if left.is_zero() {
                return false;
            }
            pending = self
                .desk
                .came
                .wait_timeout(pending, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn turn(&mut self) {
        let came = std::mem::take(&mut self.desk.lock().listeners);
        self.look |= !came.is_empty();
        self.listeners.extend(came.into_iter().map(|(bridge, sender)| Listener {
            bridge,
            sender,
            handed: BTreeSet::new(),
        }));
        self.listeners.retain(|listener| !listener.sender.is_closed());
        let done = self.write().and_then(|()| self.hand_out());
        let failed = std::mem::replace(&mut self.failing, done.is_err());
        match done {
            Err(error) if !failed => log::warn!(
                error:err = error;
                "the bridges' file can't be used: what is not understood is counted, and written when it can be"
            ),
            Ok(()) if failed => log::info!("the bridges' file can be used again"),
            Ok(()) | Err(_) => {}
        }
    }

    fn write(&mut self) -> Result<(), BookError> {
        if let Some(round) = self.failed.take() {
            self.write_round(round)?;
        }
        let pending = self.desk.lock().take();
        let old = clock::monotonic().saturating_duration_since(self.wrote_at) > SHED_INTERVAL;
        if pending.urgency() > Urgency::Idle || old {
            self.write_round(pending.into_round())?;
        }
        Ok(())
    }

    fn write_round(&mut self, round: Round) -> Result<(), BookError> {
        if let Err(error) = self.book.write(&round, clock::now()) {
            self.failed = Some(round);
            return Err(error);
        }
        self.wrote_at = clock::monotonic();
        for listener in &mut self.listeners {
            for (id, _) in &round.replayed {
                // There is room for another.
                self.look |= listener.handed.remove(id);
            }
        }
        Ok(())
    }

    /// Hands out what somebody marked, as much as each bridge has room for.
    fn hand_out(&mut self) -> Result<(), BookError> {
        self.look |= self.book.changed()?;
        if !self.look {
            return Ok(());
        }
        for listener in &mut self.listeners {
            let marked = self.book.to_replay(&listener.bridge, REPLAYS_MAX)?;
            for message in marked {
                let id = message.summary.id;
                if !listener.handed.contains(&id) && listener.sender.try_send(message).is_ok() {
                    listener.handed.insert(id);
                }
            }
        }
        self.look = false;
        Ok(())
    }
}
