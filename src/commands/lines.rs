//! Open conversations, and what is handed to them and heard from them.
//!
//! Conversations come and go, and say what they heard, without waiting for the thread of the book: they
//! leave it on a board. Everything there is bounded: an answer is taken only of a command that an answer
//! is awaited of, once, and a report only for a device that has a desired document, the last one.

use super::command::{Answer, Carrier, Via};
use super::desired::{DOCUMENT_BYTES_MAX, Reported};
use super::desk::LineId;
use crate::metrics::{Ignored, Metrics};
use crate::wire;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, mpsc};

/// Errands that wait for one conversation. When it is full, what comes next waits at the desk.
const ERRANDS_MAX: usize = 32;
/// The longest message of an answer or report that is kept; the rest is cut off.
const MESSAGE_BYTES_MAX: usize = 1024;
/// The longest result that is kept.
const RESULT_BYTES_MAX: usize = 16 * 1024;
/// If more carriers came and went since the thread looked last, it looks at all.
const CHANGED_MAX: usize = 10_000;

/// Something to be carried to a device.
#[derive(Debug, Clone)]
pub enum Errand {
    /// Can this be sent now? For who wants to be asked first; to be answered by [`Line::reply`].
    Ask(wire::Command),
    /// A command that is written down as sent.
    Command(wire::Command),
    /// What the device should be set to.
    Desired(wire::Desired),
}

/// What a bridge says of a command.
#[derive(Debug, Clone)]
pub enum Reply {
    /// It can be sent so, now.
    Can(Via),
    /// Not now: why it waits.
    Later(String),
    /// Never: why.
    Never(String),
    /// It was sent, and more is known of it.
    Note(String),
}

/// What was left on the board since the last look.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Who came or went; `None`: look at all.
    pub changed: Option<HashSet<Carrier>>,
    pub answers: Vec<Answer>,
    /// Of each device the last.
    pub reports: HashMap<Arc<str>, Reported>,
    pub replies: HashMap<u64, Reply>,
}

/// All conversations. Cheap to clone.
#[derive(Clone)]
pub(super) struct Lines {
    board: Arc<Mutex<Board>>,
    /// Something was left.
    left: Arc<Notify>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Board {
    next: u64,
    /// The newest last.
    open: HashMap<Carrier, Vec<Entry>>,
    ids: HashSet<LineId>,
    /// Of which commands an answer may come, and from whom.
    awaited: HashMap<u64, Carrier>,
    /// For which devices a report may come, and from whom beside themselves.
    desired: HashMap<Arc<str>, Option<Carrier>>,
    news: News,
}

#[derive(Debug, Clone)]
struct Entry {
    id: LineId,
    errands: mpsc::Sender<Box<Errand>>,
    asks: bool,
}

/// Where something can be handed over at once.
pub(super) struct Place {
    pub line: LineId,
    /// It wants to be asked first.
    pub asks: bool,
    permit: mpsc::OwnedPermit<Box<Errand>>,
}

impl Place {
    pub fn hand(self, errand: Errand) {
        self.permit.send(Box::new(errand));
    }
}

/// One conversation's end. Given up when dropped: then it is over.
pub struct Line {
    lines: Lines,
    id: LineId,
    carrier: Carrier,
    /// Boxed, because a queue makes room for all of its slots, for each connection.
    errands: mpsc::Receiver<Box<Errand>>,
}

impl Lines {
    pub fn new(metrics: Arc<Metrics>) -> Lines {
        let board = Board { news: News::empty(), ..Board::default() };
        Lines { board: Arc::new(Mutex::new(board)), left: Arc::default(), metrics }
    }

    /// Registers a conversation.
    pub fn open(&self, carrier: Carrier, asks: bool) -> Line {
        let (errands, receiver) = mpsc::channel(ERRANDS_MAX);
        let mut board = self.board();
        let id = LineId(board.next);
        board.next += 1;
        board.ids.insert(id);
        board.open.entry(carrier.clone()).or_default().push(Entry { id, errands, asks });
        board.news.changed(&carrier);
        drop(board);
        self.left.notify_one();
        Line { lines: self.clone(), id, carrier, errands: receiver }
    }

    /// Returns when something was left on the board. Cancel-safe.
    pub async fn left(&self) {
        self.left.notified().await;
    }

    /// What was left.
    pub fn news(&self) -> News {
        std::mem::replace(&mut self.board().news, News::empty())
    }

    /// The newest conversation with the carrier, if there is one with room.
    pub fn place(&self, carrier: &Carrier) -> Option<Place> {
        let entry = self.board().open.get(carrier)?.last()?.clone();
        let permit = entry.errands.try_reserve_owned().ok()?;
        Some(Place { line: entry.id, asks: entry.asks, permit })
    }

    pub fn is_open(&self, carrier: &Carrier) -> bool {
        self.board().open.contains_key(carrier)
    }

    /// Looks at which conversations go on. Nobody comes or goes meanwhile.
    pub fn with_open<T>(&self, look: impl FnOnce(&HashSet<LineId>) -> T) -> T {
        look(&self.board().ids)
    }

    /// How many conversations there are.
    pub fn len(&self) -> usize {
        self.board().ids.len()
    }

    /// An answer may come from that carrier.
    pub fn await_answer(&self, id: u64, carrier: Carrier) {
        self.board().awaited.insert(id, carrier);
    }

    /// No answer is wanted any more.
    pub fn forget_answer(&self, id: u64) {
        self.board().awaited.remove(&id);
    }

    /// Reports may come for that device, also from this carrier.
    pub fn await_reports(&self, device: &Arc<str>, carrier: Option<Carrier>) {
        self.board().desired.insert(device.clone(), carrier);
    }

    /// A panic elsewhere while it was locked leaves every field valid.
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl News {
    fn empty() -> News {
        News { changed: Some(HashSet::new()), ..News::default() }
    }

    fn changed(&mut self, carrier: &Carrier) {
        if let Some(changed) = &mut self.changed {
            changed.insert(carrier.clone());
            if changed.len() > CHANGED_MAX {
                self.changed = None;
            }
        }
    }
}

impl Line {
    /// The next errand. Cancel-safe.
    pub async fn next(&mut self) -> Option<Errand> {
        self.errands.recv().await.map(|errand| *errand)
    }

    /// The next errand that is there already.
    pub fn ready(&mut self) -> Option<Errand> {
        self.errands.try_recv().ok().map(|errand| *errand)
    }

    /// A device says how a command went. One that was not handed to this client, or was answered
    /// already, costs a look and is counted.
    pub fn answered(&self, said: wire::CommandResult) {
        let mut board = self.lines.board();
        match board.awaited.get(&said.id) {
            None => return self.lines.metrics.commands.ignored(Ignored::Unknown),
            Some(carrier) if *carrier != self.carrier => {
                return self.lines.metrics.commands.ignored(Ignored::Foreign);
            }
            Some(_) => board.awaited.remove(&said.id),
        };
        let wire::CommandResult { id, ok, mut message, payload } = said;
        cut(&mut message);
        let result = match payload.len() {
            0 => None,
            bytes if bytes > RESULT_BYTES_MAX => {
                append(&mut message, &format!("(its result of {bytes} bytes was not kept)"));
                None
            }
            _ => json(payload).or_else(|| {
                append(&mut message, "(its result was not JSON, and was not kept)");
                None
            }),
        };
        let answer = Answer { id, ok, message, result };
        board.news.answers.push(answer);
        drop(board);
        self.lines.left.notify_one();
    }

    /// A device says what it is set to. One that has no desired document, or is not this client's,
    /// costs a look and is counted.
    pub fn reported(&self, said: wire::Reported, now: crate::model::Timestamp) {
        let wire::Reported { device, version, ok, mut message, document } = said;
        let device: Arc<str> =
            if device.is_empty() { self.carrier.name().clone() } else { device.into() };
        if document.len() > DOCUMENT_BYTES_MAX {
            return self.ignored_too_large();
        }
        let mut board = self.lines.board();
        match board.desired.get(&device) {
            None => return self.lines.metrics.commands.ignored(Ignored::Unknown),
            Some(carrier) if carrier.as_ref() == Some(&self.carrier) => {}
            Some(_) if self.carrier == Carrier::Client(device.clone()) => {}
            Some(_) => return self.lines.metrics.commands.ignored(Ignored::Foreign),
        }
        cut(&mut message);
        let document = json(document);
        let reported = Reported { version, ok, message, document, at: now };
        board.news.reports.insert(device, reported);
        drop(board);
        self.lines.left.notify_one();
    }

    /// An answer or report came that is too long to be read.
    pub fn ignored_too_large(&self) {
        self.lines.metrics.commands.ignored(Ignored::TooLarge);
    }

    /// What the bridge says of a command.
    pub fn reply(&self, id: u64, reply: Reply) {
        self.lines.board().news.replies.insert(id, reply);
        self.lines.left.notify_one();
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let mut board = self.lines.board();
        board.ids.remove(&self.id);
        if let Some(entries) = board.open.get_mut(&self.carrier) {
            entries.retain(|entry| entry.id != self.id);
            if entries.is_empty() {
                board.open.remove(&self.carrier);
            }
        }
        let carrier = self.carrier.clone();
        board.news.changed(&carrier);
        drop(board);
        self.lines.left.notify_one();
    }
}

/// Text that is JSON, as it is.
fn json(bytes: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(bytes).ok()?;
    serde_json::from_str::<&serde_json::value::RawValue>(&text).ok()?;
    Some(text)
}

fn cut(message: &mut String) {
    if message.len() > MESSAGE_BYTES_MAX {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        message.push('…');
    }
}

fn append(message: &mut String, more: &str) {
    if !message.is_empty() {
        message.push(' ');
    }
    message.push_str(more);
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
