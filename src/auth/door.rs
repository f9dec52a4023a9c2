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
use super::keys_file::{Key, Keys, KeysError, Over};
use super::{BookError, Caller, How, JwtError, Pass, Records, Scope, Verifier, local};
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
    /// There are keys, and not where they are said to be from now on.
    #[error("auth.keys_file: {} is not there", .0.display())]
    NoKeys(PathBuf),
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
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) terms: Mutex<Arc<Terms>>,
    pub(super) watched: Mutex<Watched>,
    /// Held by who reads the keys and puts them in force: one after another.
    pub(super) reading: Mutex<()>,
    /// The key of this machine.
    local: Digest,
    /// There is something to ask for. It stays so until the next start, whatever becomes of the keys: who
    /// empties their file by mistake does not open the door.
    pub(super) asks: AtomicBool,
    pub(super) keys: Mutex<Arc<Keys>>,
    pub(super) records: Records,
    pub(super) failures: Mutex<Failures>,
    pub(super) inside: Mutex<Inside>,
    pub(super) metrics: Arc<Metrics>,
}

/// What the configuration says of who may come.
pub(super) struct Terms {
    pub anonymous: Anonymous,
    pub certificates: Vec<CertificateRule>,
    /// Certificates of clients are asked for, and count.
    pub takes_certificates: bool,
    pub keys_file: PathBuf,
    pub jwts: Option<Arc<Verifier>>,
}

impl Terms {
    /// With this verifier of JWTs, which may be that of before.
    pub fn new(
        config: &AuthConfig,
        takes_certificates: bool,
        jwts: Option<Arc<Verifier>>,
    ) -> Terms {
        Terms {
            anonymous: config.anonymous,
            certificates: config.certificates.clone(),
            takes_certificates,
            keys_file: config.keys_file.clone(),
            jwts,
        }
    }

    /// The owner of a certificate with this name: the first rule that fits says what they may.
    ///
    /// # Errors
    /// The name is none.
    pub fn certified(&self, name: &str) -> Result<Caller, Denied> {
        let fits =
            |rule: &&CertificateRule| rule.names.as_ref().is_none_or(|names| names.is_match(name));
        let rule = self.certificates.iter().find(fits);
        let own =
            || Reach::only(name).map_err(|_| Denied::NotGood("the certificate's name is no name"));
        let reach = match rule.and_then(|rule| rule.reach.clone()) {
            Some(reach) => reach,
            None => own()?,
        };
        let scopes = rule.map_or_else(|| [Scope::Ingest].into_iter().collect(), |rule| rule.scopes);
        Ok(Caller { name: name.into(), scopes, reach, how: How::Certificate, expires_at: None })
    }

    /// Whether whom a certificate let in may what they might then.
    pub fn still_certifies(&self, caller: &Caller) -> bool {
        let now = self.certified(&caller.name);
        self.takes_certificates
            && now.is_ok_and(|now| (now.scopes, &now.reach) == (caller.scopes, &caller.reach))
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let anonymous = lock(&self.terms).anonymous;
        f.debug_struct("Door").field("anonymous", &anonymous).finish_non_exhaustive()
    }
}

/// Whose connections last; as many as there may be connections.
#[derive(Debug, Default)]
pub(super) struct Inside {
    next: u64,
    pub(super) passes: HashMap<u64, (Arc<Caller>, CancellationToken)>,
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
        let jwts = config.jwt.as_ref().map(Verifier::open).transpose()?.map(Arc::new);
        let local = local::make(state_dir)
            .map_err(|source| DoorError::Local { path: state_dir.to_owned(), source })?;
        let (records, thread) = Records::open(&state_dir.join("auth.db"), config.session_length)?;
        metrics.auth.set_keys(keys.good(clock::now()));
        let inner = Inner {
            watched: Mutex::new(watched),
            reading: Mutex::default(),
            local,
            asks: AtomicBool::new(!keys.is_empty() || jwts.is_some() || takes_certificates),
            keys: Mutex::new(Arc::new(keys)),
            terms: Mutex::new(Arc::new(Terms::new(config, takes_certificates, jwts))),
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
        if let Some(jwts) = &self.terms().jwts
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
        let (terms, asks) = (self.terms(), self.asks());
        if let Some(name) = shown.certificate.filter(|_| terms.takes_certificates) {
            return Ok(Arc::new(terms.certified(name)?));
        }
        match terms.anonymous {
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

    /// Lets a caller's connection last until they may no longer, or `connection` is cancelled.
    #[must_use]
    pub fn pass(&self, caller: Arc<Caller>, connection: &CancellationToken) -> Pass {
        let ended = connection.child_token();
        let mut inside = lock(&self.inner.inside);
        let number = inside.next;
        inside.next += 1;
        inside.passes.insert(number, (caller.clone(), ended.clone()));
        drop(inside);
        // The rules may be others since they were let in.
        if caller.how == How::Certificate && !self.terms().still_certifies(&caller) {
            ended.cancel();
        }
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

    pub(super) fn keys(&self) -> Arc<Keys> {
        lock(&self.inner.keys).clone()
    }

    pub(super) fn terms(&self) -> Arc<Terms> {
        lock(&self.inner.terms).clone()
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
pub(super) fn lock<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "door_tests.rs"]
mod tests;
