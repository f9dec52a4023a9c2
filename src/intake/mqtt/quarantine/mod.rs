//! Where bridges put what no route understands, and the thread that writes it down.
//!
//! ```text
//!   bridges ── put, remember, replayed ──► Pending (one lock, bounded) ──► thread ──► book (mqtt.db)
//!           ◄─ Replays (bounded queues) ◄── marked by somebody ◄──────────────┘
//! ```
//!
//! Guarantees:
//! - No bridge waits: what is too much is counted and not kept. However many messages come, the thread
//!   writes a few hundred in half a second.
//! - Every message that was put is counted in the book, in the next round that can be written.
//! - A birth that was remembered last wins; one that there is no room for is forgotten, never left at
//!   an older state.
//! - When the last [`Quarantine`] is dropped, the thread writes what waits, and ends.

mod pending;
#[cfg(test)]
mod tests;
mod writer;

use super::book::{Book, BookError, Bounds, Message, Opened, Outcome, Quarantined};
use pending::Pending;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::mpsc;
use writer::Writer;

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
                event = "file-set-aside", path:% = set_aside.path.display(), bytes = set_aside.bytes;
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

    /// So much is kept from now on; what is too much goes with the next round. Never waits.
    pub fn set_bounds(&self, bounds: Bounds) {
        self.0.0.change(|pending| pending.bounds = Some(bounds));
    }

    /// Returns when all that was put or remembered before is written, or could not be. Cancel-safe.
    pub async fn written(&self) {
        let (sender, mut written) = mpsc::channel::<()>(1);
        self.0.0.change(|pending| pending.waiting.push(sender));
        // Nothing is sent: the thread drops it.
        written.recv().await;
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
