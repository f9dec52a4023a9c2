//! Sessions of browsers: a cookie of 256 random bits stands for the token that was shown at the login.
//!
//! All are in memory, so that asking costs a hash and a look-up; each is on disk before its cookie is
//! handed out, by the cookie's hash only. So they outlive a restart, and who reads the file can't use
//! them. Whether the key of a session is still good, the door asks itself: [`How::Session`] names it.
//!
//! Full-case: with as many as there may be, the oldest goes; first of the same name, so that who logs in
//! without end costs only himself.

use super::records::Work;
use super::{Caller, How};
use crate::model::Timestamp;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::oneshot;

/// Sessions at a time.
pub const SESSIONS_MAX: usize = 10_000;
/// Of one name.
const SESSIONS_PER_NAME_MAX: usize = 100;
/// When a session was last seen is known and written to so much.
const SEEN: Duration = Duration::from_secs(60);

/// SHA-256 of a cookie.
pub(super) type Hash = [u8; 32];

/// Why nobody was logged in.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SessionError {
    /// Too much waits to be written.
    #[error("so many log in that nobody else can now; try again")]
    Busy,
    /// The disk, or SQLite: the administrator acts.
    #[error("nobody was logged in, for it could not be written down: {0}")]
    Store(String),
    /// The daemon stops.
    #[error("the daemon stops")]
    Ended,
}

/// A session that begins.
#[derive(Debug, Clone)]
pub struct Begun {
    /// What the browser shows from now on: a secret.
    pub cookie: String,
    /// Who it stands for.
    pub caller: Arc<Caller>,
    /// For how long.
    pub lasts: Duration,
}

/// A handle to the sessions; cheap to clone.
#[derive(Debug, Clone)]
pub struct Sessions {
    pub(super) table: Arc<Table>,
    work: SyncSender<Work>,
}

/// One of them.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub hash: Hash,
    pub caller: Arc<Caller>,
    /// How its holder showed who he is.
    pub login: Arc<str>,
    pub created_at: Timestamp,
    pub seen_at: Timestamp,
    pub expires_at: Timestamp,
}

/// What the thread that writes shares with who asks.
#[derive(Debug)]
pub(super) struct Table {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    length: Duration,
    open: HashMap<Hash, Session>,
    unwritten: Unwritten,
}

/// What the file does not know yet; at most what it has rows.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    pub seen: HashMap<Hash, Timestamp>,
    pub ended: HashSet<Hash>,
}

impl Sessions {
    pub(super) fn new(stored: Vec<Session>, length: Duration, work: SyncSender<Work>) -> Sessions {
        let open = HashMap::new();
        let inner = Mutex::new(Inner { length, open, unwritten: Unwritten::default() });
        let table = Arc::new(Table { inner });
        for mut session in stored {
            session.cut(length);
            table.insert(session);
        }
        Sessions { table, work }
    }

    /// Logs somebody in who showed a token: a certificate is shown with each connection anyway. On disk when
    /// this returns. It ends when its time is over, or that of what the caller showed.
    ///
    /// # Errors
    /// [`SessionError`]; then there is no session.
    pub async fn begin(&self, caller: &Caller, now: Timestamp) -> Result<Begun, SessionError> {
        let cookie = hexadecimal(&rand::random::<Hash>());
        let hash = hash(&cookie);
        let ends = now.saturating_add(self.table.lock().length);
        let expires_at = caller.expires_at.map_or(ends, |before| before.min(ends));
        let key = match &caller.how {
            How::Key(key) => Some(key.clone()),
            How::Session { key, .. } => key.clone(),
            How::Anonymous | How::Jwt | How::Certificate | How::Local => None,
        };
        let login = caller.how.name().into();
        let caller = Arc::new(Caller {
            how: How::Session { id: id(&hash), key },
            expires_at: Some(expires_at),
            ..caller.clone()
        });
        let session = Session {
            hash,
            caller: caller.clone(),
            login,
            created_at: now,
            seen_at: now,
            expires_at,
        };
        let (answer, answered) = oneshot::channel();
        // Full: so much is not written that one more login would wait too long.
        self.work.try_send(Work::Begin(session, answer)).map_err(|error| match error {
            TrySendError::Full(_) => SessionError::Busy,
            TrySendError::Disconnected(_) => SessionError::Ended,
        })?;
        answered.await.map_err(|_| SessionError::Ended)??;
        Ok(Begun { cookie, caller, lasts: expires_at.since(now) })
    }

    /// Whose cookie that is.
    #[must_use]
    pub fn who(&self, cookie: &str, now: Timestamp) -> Option<Arc<Caller>> {
        let hash = hash(cookie);
        let mut inner = self.table.lock();
        let session = inner.open.get_mut(&hash)?;
        if now >= session.expires_at {
            inner.remove(&hash);
            return None;
        }
        let caller = session.caller.clone();
        if now.since(session.seen_at) >= SEEN {
            session.seen_at = now;
            inner.unwritten.seen.insert(hash, now);
        }
        Some(caller)
    }

    /// Whether the session that [`How::Session`] names goes on: for who looks after long connections.
    #[must_use]
    pub fn is_open(&self, id: &str, now: Timestamp) -> bool {
        let Some(hash) = hash_of(id) else { return false };
        self.table.lock().open.get(&hash).is_some_and(|session| now < session.expires_at)
    }

    /// Ends the session of a cookie, at once; tells whose it was. Its connections end when the door looks.
    pub fn end(&self, cookie: &str) -> Option<Arc<Caller>> {
        let ended = self.table.lock().remove(&hash(cookie));
        self.wake();
        ended.map(|session| session.caller)
    }

    /// Ends the sessions that were got for a key; tells how many there were.
    pub fn end_of_key(&self, key: &str) -> usize {
        self.end_where(|session| {
            matches!(&session.caller.how, How::Session { key: Some(its), .. } if **its == *key)
        })
    }

    /// Ends the sessions that were got for JWTs, whose keys are others now; tells how many there were.
    pub fn end_of_jwts(&self) -> usize {
        self.end_where(|session| *session.login == *How::Jwt.name())
    }

    /// How long sessions last that begin from now on; those that are open end no later than if they had
    /// begun so.
    pub fn set_length(&self, length: Duration) {
        let mut inner = self.table.lock();
        inner.length = length;
        inner.open.values_mut().for_each(|session| session.cut(length));
    }

    /// How many are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.lock().open.len()
    }

    /// Whether none is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn end_where(&self, ends: impl Fn(&Session) -> bool) -> usize {
        let mut inner = self.table.lock();
        let over: Vec<_> = inner.open.values().filter(|it| ends(it)).map(|it| it.hash).collect();
        for hash in &over {
            inner.remove(hash);
        }
        drop(inner);
        if !over.is_empty() {
            self.wake();
        }
        over.len()
    }

    /// Full or gone: it writes soon, or for the last time, anyway.
    fn wake(&self) {
        drop(self.work.try_send(Work::Wake));
    }
}

impl Session {
    fn cut(&mut self, length: Duration) {
        let ends = self.created_at.saturating_add(length);
        if ends < self.expires_at {
            self.expires_at = ends;
            self.caller =
                Arc::new(Caller { expires_at: Some(ends), ..Caller::clone(&self.caller) });
        }
    }
}

impl Table {
    /// Takes one in that is on disk.
    pub fn insert(&self, session: Session) {
        let mut inner = self.lock();
        let same_name = |it: &&Session| it.caller.name == session.caller.name;
        let of_name = inner.open.values().filter(same_name).count();
        let oldest = |it: &&Session| it.created_at;
        let goes = if of_name >= SESSIONS_PER_NAME_MAX {
            inner.open.values().filter(same_name).min_by_key(oldest)
        } else if inner.open.len() >= SESSIONS_MAX {
            inner.open.values().min_by_key(oldest)
        } else {
            None
        };
        if let Some(hash) = goes.map(|session| session.hash) {
            inner.remove(&hash);
        }
        inner.open.insert(session.hash, session);
    }

    /// Ends those whose time is over.
    pub fn forget(&self, now: Timestamp) {
        let mut inner = self.lock();
        let over = inner.open.values().filter(|it| now >= it.expires_at);
        for hash in over.map(|it| it.hash).collect::<Vec<_>>() {
            inner.remove(&hash);
        }
    }

    /// What is to be written.
    pub fn unwritten(&self) -> Unwritten {
        std::mem::take(&mut self.lock().unwritten)
    }

    /// It could not be written; what came since is newer.
    pub fn not_written(&self, unwritten: Unwritten) {
        let mut inner = self.lock();
        inner.unwritten.ended.extend(unwritten.ended);
        for (hash, at) in unwritten.seen {
            inner.unwritten.seen.entry(hash).or_insert(at);
        }
    }

    /// A panic elsewhere while it was locked leaves it valid.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn remove(&mut self, hash: &Hash) -> Option<Session> {
        let session = self.open.remove(hash)?;
        self.unwritten.seen.remove(hash);
        self.unwritten.ended.insert(*hash);
        Some(session)
    }
}

fn hash(cookie: &str) -> Hash {
    Sha256::digest(cookie).into()
}

/// What names a session to others.
pub(super) fn id(hash: &Hash) -> Arc<str> {
    hexadecimal(hash).into()
}

fn hash_of(id: &str) -> Option<Hash> {
    let mut hash = Hash::default();
    let digits = id.as_bytes().chunks(2);
    (id.len() == 2 * hash.len()).then_some(())?;
    for (byte, digits) in hash.iter_mut().zip(digits) {
        *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(hash)
}

fn hexadecimal(bytes: &Hash) -> String {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
#[path = "sessions_tests.rs"]
mod tests;
