//! The door: asks everybody who they are, and knows who is inside.
//!
//! A token counts before a cookie, a cookie before a certificate; who shows nothing may come in where
//! nobody is asked. What was shown and is wrong is never passed over, but for a cookie: browsers show old
//! ones by themselves.
//!
//! A good token is taken from an address that has to wait, too. It costs a hash and a look-up to know it,
//! or the signature of a JWT, which is less than reading the request; it can't be guessed; and whoever
//! sends wrong ones must not lock out others behind the same address. Waiting spares the log, and tells
//! clients to slow down.

use super::failures::{Failed, Failures};
use super::key::{self, Digest};
use super::keys_file::{Change, Key, Keys, KeysError, Over, What};
use super::{BookError, Caller, How, JwtError, Note, Pass, Records, Scope, Verifier, local};
use crate::clock;
use crate::config::{Anonymous, AuthConfig, CertificateRule};
use crate::metrics::Metrics;
use crate::model::{Reach, Timestamp};
use crate::watched::Watched;
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

/// How often it is looked whether who is inside may still be, and whether files changed.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Names and keys in a line of the log.
const TOLD_MAX: usize = 10;

/// What a request shows of who it is from.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// A key or JWT: `Authorization: Bearer`, or `access_token` of a stream's address.
    pub token: Option<&'a str>,
    /// A browser's session cookie.
    pub cookie: Option<&'a str>,
    /// The name in the client certificate, which TLS has verified.
    pub certificate: Option<&'a str>,
    /// Where it comes from.
    pub address: IpAddr,
    /// It does not say that it comes straight to this machine: a proxy stands between, or it asks for the
    /// host by a name that anybody could have pointed here.
    pub is_indirect: bool,
}

/// Why somebody is not let in. For them to mend, or for the administrator.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Denied {
    /// Nothing was shown.
    #[error("a token is asked for here: a header `Authorization: Bearer …`, or log in")]
    NothingShown,
    /// What was shown is not, or no longer, good.
    #[error("{0}")]
    NotGood(&'static str),
    /// Nobody is asked yet, but only where they come straight to this machine.
    #[error(
        "this comes through a proxy, or by a name other than localhost; that takes a token, and none is set up: \
         `tidegate token issue --name NAME --scope view`"
    )]
    Indirect,
    /// Too much that was not good came from this address.
    #[error("too many wrong tokens came from this address; come back later")]
    TooManyFailures {
        /// When to.
        retry_after: Duration,
    },
}

/// The door can't be opened; the administrator acts.
#[derive(Debug, Error)]
pub enum DoorError {
    /// The keys file can't be used.
    #[error("{0}")]
    Keys(#[from] KeysError),
    /// The key of this machine can't be made.
    #[error("the key of this machine can't be written to {path}: {source}")]
    Local {
        /// Where to.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The keys of JWTs can't be used.
    #[error("auth.jwt: {0}")]
    Jwt(#[from] JwtError),
    /// What is remembered over restarts can't be opened.
    #[error("{0}")]
    Book(#[from] BookError),
}

/// A handle to the door. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Door {
    inner: Arc<Inner>,
}

struct Inner {
    anonymous: Anonymous,
    certificates: Vec<CertificateRule>,
    keys_file: PathBuf,
    watched: Mutex<Watched>,
    /// The key of this machine.
    local: Digest,
    /// There is something to ask for. It stays so until the next start, whatever becomes of the keys: who
    /// empties their file by mistake does not open the door.
    asks: AtomicBool,
    keys: Mutex<Arc<Keys>>,
    jwts: Option<Verifier>,
    records: Records,
    failures: Mutex<Failures>,
    inside: Mutex<Inside>,
    metrics: Arc<Metrics>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("anonymous", &self.anonymous).finish_non_exhaustive()
    }
}

/// Whose connections last; as many as there may be connections.
#[derive(Debug, Default)]
struct Inside {
    next: u64,
    passes: HashMap<u64, (Arc<Caller>, CancellationToken)>,
}

impl Door {
    /// Reads the keys, and makes a new one of this machine; opens what is remembered over restarts, and
    /// starts the thread that writes it, which ends when nobody holds the door any more. Client
    /// certificates are asked for if `takes_certificates`.
    ///
    /// # Errors
    /// [`DoorError`].
    pub fn open(
        config: &AuthConfig,
        state_dir: &Path,
        takes_certificates: bool,
        metrics: Arc<Metrics>,
    ) -> Result<(Door, JoinHandle<()>), DoorError> {
        // Looked at before it is read: what changes in between is read again.
        let watched = Watched::new([config.keys_file.clone()]);
        let keys = Keys::read(&config.keys_file)?;
        let jwts = config.jwt.as_ref().map(Verifier::open).transpose()?;
        let local = local::make(state_dir)
            .map_err(|source| DoorError::Local { path: state_dir.to_owned(), source })?;
        let (records, thread) = Records::open(&state_dir.join("auth.db"), config.session_length)?;
        metrics.auth.set_keys(keys.good(clock::now()));
        let inner = Inner {
            anonymous: config.anonymous,
            certificates: config.certificates.clone(),
            keys_file: config.keys_file.clone(),
            watched: Mutex::new(watched),
            local,
            asks: AtomicBool::new(!keys.is_empty() || jwts.is_some() || takes_certificates),
            keys: Mutex::new(Arc::new(keys)),
            jwts,
            records,
            failures: Mutex::new(Failures::new(config.failures_max)),
            inside: Mutex::default(),
            metrics,
        };
        Ok((Door { inner: Arc::new(inner) }, thread))
    }

    /// Who is logged in, when keys were used, and the trail.
    #[must_use]
    pub fn records(&self) -> &Records {
        &self.inner.records
    }

    /// Whether there is anything that could be asked for.
    #[must_use]
    pub fn asks(&self) -> bool {
        self.inner.asks.load(Ordering::Relaxed)
    }

    /// Who that is.
    ///
    /// # Errors
    /// [`Denied`], if they can't be let in.
    pub fn enter(&self, shown: &Shown<'_>, now: Timestamp) -> Result<Arc<Caller>, Denied> {
        let entered = match shown.token {
            Some(token) => match self.who(token, now) {
                Ok(caller) => {
                    lock(&self.inner.failures).succeeded(shown.address);
                    Ok(Arc::new(caller))
                }
                Err(wrong) => Err(self.wrong(wrong, shown.address, now)),
            },
            None => self.without_token(shown, now),
        };
        entered.inspect_err(|denied| self.inner.metrics.auth.denied(denied.reason()))
    }

    /// Whose token that is.
    fn who(&self, token: &str, now: Timestamp) -> Result<Caller, Wrong> {
        if token.starts_with(key::LOCAL) {
            return match self.inner.local == Digest::of(token) {
                true => Ok(this_machine()),
                false => {
                    Err(Wrong::Token("the token is that of another start, or another machine"))
                }
            };
        }
        if let Some(jwts) = &self.inner.jwts
            && !token.starts_with(key::KEY)
        {
            return jwts.verify(token, now).map_err(Wrong::Token);
        }
        let unknown = Wrong::Token("the token is not known here");
        let key = key::id_of(token).and_then(|id| self.keys().get(id).cloned());
        let key = key.filter(|key| key.digest == Digest::of(token)).ok_or(unknown)?;
        match key.over(now) {
            Some(over) => Err(Wrong::Over(over)),
            None => {
                self.inner.records.uses.used(&key.id, now);
                Ok(key.caller())
            }
        }
    }

    /// What was shown is wrong.
    fn wrong(&self, wrong: Wrong, address: IpAddr, now: Timestamp) -> Denied {
        let sentence = match wrong {
            // Whoever shows one does not guess.
            Wrong::Over(Over::Expired) => return Denied::NotGood(EXPIRED),
            Wrong::Over(Over::Revoked) => return Denied::NotGood(REVOKED),
            Wrong::Token(sentence) => sentence,
        };
        match lock(&self.inner.failures).failed(address, now) {
            Failed::Waits(retry_after) => Denied::TooManyFailures { retry_after },
            Failed::Counted(delay) => {
                if let Some(delay) = delay {
                    log::warn!(
                        event = "address-waits", address:% = address, delay_s = delay.as_secs();
                        "wrong tokens come from {address}: it is told to wait {} s", delay.as_secs()
                    );
                }
                Denied::NotGood(sentence)
            }
        }
    }

    fn without_token(&self, shown: &Shown<'_>, now: Timestamp) -> Result<Arc<Caller>, Denied> {
        if let Some(caller) = shown.cookie.and_then(|cookie| self.logged_in(cookie, now)) {
            return Ok(caller);
        }
        if let Some(name) = shown.certificate {
            return Ok(Arc::new(self.certified(name)?));
        }
        let asks = self.asks();
        match self.inner.anonymous {
            Anonymous::Anywhere => Ok(Arc::new(Caller::anonymous())),
            Anonymous::Loopback if !asks && shown.address.to_canonical().is_loopback() => {
                match shown.is_indirect {
                    true => Err(Denied::Indirect),
                    false => Ok(Arc::new(Caller::anonymous())),
                }
            }
            Anonymous::Loopback | Anonymous::Nobody if shown.cookie.is_some() => {
                Err(Denied::NotGood(SESSION_OVER))
            }
            Anonymous::Loopback | Anonymous::Nobody => Err(Denied::NothingShown),
        }
    }

    /// Whose cookie that is, if what was shown at the login is still good.
    fn logged_in(&self, cookie: &str, now: Timestamp) -> Option<Arc<Caller>> {
        let caller = self.inner.records.sessions.who(cookie, now)?;
        self.may_stay(&caller, &self.keys(), now).then_some(caller)
    }

    /// The owner of a certificate with this name: the first rule that fits says what they may.
    fn certified(&self, name: &str) -> Result<Caller, Denied> {
        let fits =
            |rule: &&CertificateRule| rule.names.as_ref().is_none_or(|names| names.is_match(name));
        let rule = self.inner.certificates.iter().find(fits);
        let own =
            || Reach::only(name).map_err(|_| Denied::NotGood("the certificate's name is no name"));
        let reach = match rule.and_then(|rule| rule.reach.clone()) {
            Some(reach) => reach,
            None => own()?,
        };
        let scopes = rule.map_or_else(|| [Scope::Ingest].into_iter().collect(), |rule| rule.scopes);
        Ok(Caller { name: name.into(), scopes, reach, how: How::Certificate, expires_at: None })
    }

    /// Lets a caller's connection last until they may no longer.
    #[must_use]
    pub fn pass(&self, caller: Arc<Caller>) -> Pass {
        let ended = CancellationToken::new();
        let mut inside = lock(&self.inner.inside);
        let number = inside.next;
        inside.next += 1;
        inside.passes.insert(number, (caller.clone(), ended.clone()));
        drop(inside);
        Pass { caller, ended, number, door: self.clone() }
    }

    pub(super) fn returned(&self, number: u64) {
        lock(&self.inner.inside).passes.remove(&number);
    }

    /// The keys in force, in the order of their file.
    #[must_use]
    pub fn keys_in_force(&self) -> Vec<Arc<Key>> {
        self.keys().all().to_vec()
    }

    fn keys(&self) -> Arc<Keys> {
        lock(&self.inner.keys).clone()
    }

    /// Reads files again that changed, and ends the connections of who may no longer, until `stop`.
    pub async fn watch(self, stop: CancellationToken) {
        loop {
            if lock(&self.inner.watched).changed() {
                let door = self.clone();
                // A large file takes a while to be understood; others are served meanwhile.
                let reading = tokio::task::spawn_blocking(move || door.read_keys(clock::now()));
                reading.await.unwrap_or_default();
            }
            self.look(clock::now());
            tokio::select! {
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Takes the keys as their file has them now; with any mistake those in force stay.
    fn read_keys(&self, now: Timestamp) {
        let before = self.keys();
        let refused = |error: &dyn std::fmt::Display| {
            log::error!(event = "keys-refused"; "the keys in force stay as they were: {error}");
            self.inner.metrics.auth.file_failed();
        };
        let keys = match Keys::read(&self.inner.keys_file) {
            Ok(keys) if keys.is_empty() && !before.is_empty() && !self.inner.keys_file.exists() => {
                let path = self.inner.keys_file.display();
                return refused(&format_args!("{path} is gone"));
            }
            Ok(keys) => keys,
            Err(error) => return refused(&error),
        };
        let changes = keys.changes(&before, now);
        if !keys.is_empty() {
            self.inner.asks.store(true, Ordering::Relaxed);
        }
        *lock(&self.inner.keys) = Arc::new(keys);
        for change in &changes {
            self.changed(change, now);
        }
        if !changes.is_empty() {
            let keys = self.keys().good(now);
            let told: Vec<_> = changes.iter().take(TOLD_MAX).map(Change::to_string).collect();
            log::info!(event = "keys-read", keys; "the keys were read again, {keys} are good; {}", told.join(", "));
        }
    }

    /// Notes it in the trail, and ends the sessions that were got for a key that is good no more.
    fn changed(&self, change: &Change, now: Timestamp) {
        let Records { sessions, trail, .. } = &self.inner.records;
        let (by, did) = match change.what {
            What::New => (&*change.key.by, "key-issued"),
            What::Over | What::Gone => {
                sessions.end_of_key(&change.key.id);
                let is_told = change.what == What::Over;
                (if is_told { &*change.key.revoked_by } else { "" }, "key-revoked")
            }
            What::GoodAgain | What::Other => ("", "key-changed"),
        };
        let what = format!("{} ({})", change.key.name, change.key.id);
        // Whoever writes the file does it on this machine.
        trail.note(Note { at: now, by: by.into(), how: "local", address: None, did, what });
    }

    /// Ends the connections of who may no longer.
    fn look(&self, now: Timestamp) {
        let keys = self.keys();
        self.inner.metrics.auth.set_keys(keys.good(now));
        let new_jwts = self.inner.jwts.as_ref().is_some_and(Verifier::refresh);
        if new_jwts {
            self.inner.records.sessions.end_of_jwts();
        }
        let mut ended = Vec::new();
        // Looking at many takes a while; nobody waits for it.
        let passes: Vec<_> = lock(&self.inner.inside).passes.values().cloned().collect();
        for (caller, end) in passes {
            // With other keys it would have to be shown again, which whoever has it does by coming back.
            let must_show_again = new_jwts && caller.how == How::Jwt;
            if !end.is_cancelled() && (must_show_again || !self.may_stay(&caller, &keys, now)) {
                ended.push((caller, end));
            }
        }
        if ended.is_empty() {
            return;
        }
        let mut names: Vec<_> = ended.iter().map(|(caller, _)| &*caller.name).collect();
        names.sort_unstable();
        names.dedup();
        names.truncate(TOLD_MAX);
        log::info!(
            event = "connections-ended", connections = ended.len(), names = names.join(", ");
            "{} connection(s) are ended, of {}: what let them in is good no more",
            ended.len(), names.join(", ")
        );
        for (_, end) in ended {
            end.cancel();
        }
    }

    fn may_stay(&self, caller: &Caller, keys: &Keys, now: Timestamp) -> bool {
        if caller.expires_at.is_some_and(|at| at <= now) {
            return false;
        }
        match &caller.how {
            How::Key(id) => self.is_as_it_was(id, caller, keys, now),
            How::Session { id, key } => {
                self.inner.records.sessions.is_open(id, now)
                    && key.as_ref().is_none_or(|key| self.is_as_it_was(key, caller, keys, now))
            }
            How::Anonymous => match self.inner.anonymous {
                Anonymous::Anywhere => true,
                Anonymous::Loopback => !self.asks(),
                Anonymous::Nobody => false,
            },
            How::Jwt | How::Certificate | How::Local => true,
        }
    }

    /// Whether the key is good, and says what it said.
    fn is_as_it_was(&self, id: &str, caller: &Caller, keys: &Keys, now: Timestamp) -> bool {
        let Some(key) = keys.get(id).filter(|key| key.over(now).is_none()) else { return false };
        self.inner.records.uses.used(&key.id, now);
        (&key.name, key.scopes, &key.reach) == (&caller.name, caller.scopes, &caller.reach)
    }
}

const EXPIRED: &str = "the key has expired; its time was set when it was issued";
const REVOKED: &str = "the key was revoked";
const SESSION_OVER: &str = "the session is over; log in again";

/// Why a token is not taken.
#[derive(Debug)]
enum Wrong {
    /// It is not what it should be.
    Token(&'static str),
    /// It is a key that was good once.
    Over(Over),
}

impl Denied {
    /// As the metrics call it.
    fn reason(&self) -> &'static str {
        match self {
            Denied::NothingShown => "nothing_shown",
            Denied::NotGood(EXPIRED) => "expired",
            Denied::NotGood(REVOKED) => "revoked",
            Denied::NotGood(SESSION_OVER) => "session_over",
            Denied::NotGood(_) => "wrong",
            Denied::Indirect => "indirect",
            Denied::TooManyFailures { .. } => "too_many_failures",
        }
    }
}

fn this_machine() -> Caller {
    Caller { name: "local".into(), how: How::Local, ..Caller::anonymous() }
}

/// A panic elsewhere while it was locked leaves it valid.
fn lock<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "door_tests.rs"]
mod tests;
