//! JWTs: tokens that somebody else issues and signs (RFC 7519).
//!
//! ```text
//!  header {"alg":"EdDSA","kid":"…"} . claims {"sub","exp","nbf","iss","aud","scope","devices"} . signature
//! ```
//!
//! | claim | |
//! |---|---|
//! | `sub` | the caller's name |
//! | `exp` | required; `nbf` is obeyed; both with the leeway |
//! | `iss`, `aud` | must be ours where the configuration names them; a token for an audience needs one there |
//! | `scope` | `"view command"` or `["view","command"]`; others are passed over, none of ours is refused |
//! | `devices` | globs; without: who may only ingest reaches the device of his name, others all |
//!
//! A key has one algorithm, by its kind: what the token says of it only chooses among keys. Times are
//! told, not read. A claim that is of another type than it should be, null among them, is refused.

use super::jwt_keys::{self, JwtError, Keys};
use super::{Caller, How, Scope, Scopes};
use crate::model::{NAME_BYTES_MAX, Reach, Timestamp, check_name};
use crate::watched::Watched;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Longer ones are not looked at: headers of a request have 16 KiB.
const TOKEN_BYTES_MAX: usize = 8 << 10;
/// Globs of a token.
const GLOBS_MAX: usize = 64;
/// Their bytes together.
const GLOB_BYTES_MAX: usize = 4 << 10;
/// Tokens whose signature need not be verified again. Full: all are forgotten, and verified again.
const KNOWN_MAX: usize = 2048;

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JwtAlgorithm {
    /// HMAC with SHA-256: who verifies can issue, too.
    Hs256,
    /// Ed25519.
    EdDsa,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// RSA (PKCS #1 v1.5) with SHA-256.
    Rs256,
}

impl JwtAlgorithm {
    /// All there are.
    pub const ALL: [JwtAlgorithm; 4] =
        [JwtAlgorithm::Hs256, JwtAlgorithm::EdDsa, JwtAlgorithm::Es256, JwtAlgorithm::Rs256];

    /// As tokens and the configuration write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            JwtAlgorithm::Hs256 => "HS256",
            JwtAlgorithm::EdDsa => "EdDSA",
            JwtAlgorithm::Es256 => "ES256",
            JwtAlgorithm::Rs256 => "RS256",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<JwtAlgorithm> {
        JwtAlgorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    pub(super) fn inner(self) -> Algorithm {
        match self {
            JwtAlgorithm::Hs256 => Algorithm::HS256,
            JwtAlgorithm::EdDsa => Algorithm::EdDSA,
            JwtAlgorithm::Es256 => Algorithm::ES256,
            JwtAlgorithm::Rs256 => Algorithm::RS256,
        }
    }
}

/// Which tokens are taken. One of the three files is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtSettings {
    /// Of the secret or the public key; a JWKS says it of each of its keys.
    pub algorithm: JwtAlgorithm,
    /// The secret of HS256, as text or bytes; a line's end after it does not belong to it.
    pub secret_file: Option<PathBuf>,
    /// A public key as PEM.
    pub public_key_file: Option<PathBuf>,
    /// A set of keys (RFC 7517).
    pub jwks_file: Option<PathBuf>,
    /// Who must have issued it; `None` = whoever has the key.
    pub issuer: Option<String>,
    /// Whom it must be for; `None` = only tokens that are for nobody in particular.
    pub audience: Option<String>,
    /// How far the clocks of issuers may be off.
    pub leeway: Duration,
}

impl JwtSettings {
    /// The file of the keys.
    #[must_use]
    pub fn file(&self) -> Option<&PathBuf> {
        self.secret_file.as_ref().or(self.public_key_file.as_ref()).or(self.jwks_file.as_ref())
    }
}

/// Verifies tokens. Its keys are read again when their file changes.
#[derive(Debug)]
pub struct Verifier {
    settings: JwtSettings,
    state: Mutex<State>,
    watched: Mutex<Watched>,
}

#[derive(Debug)]
struct State {
    keys: Arc<Keys>,
    /// By the hash of their text.
    known: HashMap<[u8; 32], Known>,
}

/// What a token with a good signature says.
#[derive(Debug, Clone)]
struct Known {
    caller: Caller,
    not_before: Option<Timestamp>,
    /// With the leeway.
    ends: Timestamp,
}

impl Verifier {
    /// Reads the keys.
    ///
    /// # Errors
    /// [`JwtError`]: the administrator mends the file or the configuration.
    pub fn open(settings: &JwtSettings) -> Result<Verifier, JwtError> {
        // Looked at before it is read: what changes in between is read again.
        let watched = Watched::new(settings.file().cloned());
        let keys = Arc::new(jwt_keys::load(settings)?);
        Ok(Verifier {
            settings: settings.clone(),
            state: Mutex::new(State { keys, known: HashMap::new() }),
            watched: Mutex::new(watched),
        })
    }

    /// Which tokens are taken.
    #[must_use]
    pub fn settings(&self) -> &JwtSettings {
        &self.settings
    }

    /// Reads the keys again if their file changed; true if they did: who showed a token of the old ones
    /// has to show it again. A file that can't be used is said in the log, once, and the old keys go on.
    pub fn refresh(&self) -> bool {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if !watched.changed() {
            return false;
        }
        match jwt_keys::load(&self.settings) {
            Ok(keys) => {
                let mut state = self.state();
                let is_other = *state.keys != keys;
                if is_other {
                    *state = State { keys: Arc::new(keys), known: HashMap::new() };
                    log::info!("the keys of JWTs were read again");
                }
                is_other
            }
            Err(error) => {
                log::error!(error:err = error; "the keys of JWTs changed and can't be used; the old ones go on");
                false
            }
        }
    }

    /// Who the token is from.
    ///
    /// # Errors
    /// Why it is not good, in a sentence for who shows it. It has nothing of what the token says.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Caller, &'static str> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err("the token is too long");
        }
        let hash: [u8; 32] = Sha256::digest(token).into();
        let (known, keys) = {
            let state = self.state();
            (state.known.get(&hash).cloned(), state.keys.clone())
        };
        let known = match known {
            Some(known) => known,
            None => {
                let known = self.read(&keys, token)?;
                self.remember(&keys, hash, known.clone());
                known
            }
        };
        if now >= known.ends {
            return Err("the token has expired");
        }
        if known.not_before.is_some_and(|from| now < from) {
            return Err("the token is not good yet");
        }
        Ok(known.caller)
    }

    fn remember(&self, keys: &Arc<Keys>, hash: [u8; 32], known: Known) {
        let mut state = self.state();
        // It may have been verified by keys that are gone meanwhile.
        if Arc::ptr_eq(&state.keys, keys) {
            if state.known.len() >= KNOWN_MAX {
                state.known.clear();
            }
            state.known.insert(hash, known);
        }
    }

    /// Whatever does not depend on the time.
    fn read(&self, keys: &Keys, token: &str) -> Result<Known, &'static str> {
        let header =
            decode_header(token).map_err(|_| "the token is no JWT that can be verified here")?;
        if header.crit.is_some() {
            return Err("the token demands what is not known here (crit)");
        }
        let key = keys.find(header.alg, header.kid.as_deref())?;
        let mut validation = Validation::new(key.algorithm.inner());
        // The claims are looked at below; the crate would read the clock.
        validation.required_spec_claims = HashSet::new();
        (validation.validate_exp, validation.validate_aud) = (false, false);
        let claims = decode::<Claims>(token, &key.key, &validation);
        let claims = claims.map_err(|error| match error.kind() {
            jsonwebtoken::errors::ErrorKind::Json(_) => {
                "the token's claims are not what they should be"
            }
            _ => "the token's signature is not good",
        })?;
        self.look(claims.claims)
    }

    fn look(&self, claims: Claims) -> Result<Known, &'static str> {
        let Claims { sub, exp, nbf, iss, aud, scope, devices } = claims;
        let JwtSettings { issuer, audience, leeway, .. } = &self.settings;
        if issuer.is_some() && *issuer != iss {
            return Err("the token is of another issuer");
        }
        match (audience, aud) {
            (None, None) => {}
            (Some(ours), Some(theirs)) if theirs.each().any(|it| it == ours) => {}
            (Some(_), None) => return Err("the token does not say for whom it is (aud)"),
            (_, Some(_)) => return Err("the token is for somebody else (aud)"),
        }
        check_name(&sub, NAME_BYTES_MAX)
            .map_err(|_| "the token's subject is no name (sub): it is empty, too long, or has control characters")?;
        let scopes = scope.as_ref().into_iter().flat_map(OneOrMany::each);
        let scopes: Vec<_> =
            scopes.flat_map(str::split_whitespace).filter_map(Scope::named).collect();
        if scopes.is_empty() {
            return Err("the token has no scope that is known here");
        }
        let may_only_ingest = scopes.iter().all(|scope| *scope == Scope::Ingest);
        let ends = instant(exp).saturating_add(*leeway);
        let caller = Caller {
            reach: reach(devices, &sub, may_only_ingest)?,
            name: sub.into(),
            scopes: scopes.into_iter().collect::<Scopes>(),
            how: How::Jwt,
            expires_at: Some(ends),
        };
        let not_before = nbf.map(|nbf| instant(nbf).saturating_sub(*leeway));
        Ok(Known { caller, not_before, ends })
    }

    /// A panic elsewhere while it was locked leaves it valid.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn reach(
    devices: Option<OneOrMany>,
    sub: &str,
    may_only_ingest: bool,
) -> Result<Reach, &'static str> {
    let reach = match devices {
        None if may_only_ingest => Reach::only(sub),
        None => return Ok(Reach::all()),
        Some(devices) => {
            let globs: Vec<_> = devices.each().map(str::to_owned).collect();
            let bytes: usize = globs.iter().map(String::len).sum();
            if globs.len() > GLOBS_MAX || bytes > GLOB_BYTES_MAX {
                return Err("the token names too many devices (64 globs, 4096 bytes)");
            }
            Reach::new(&globs)
        }
    };
    reach.map_err(|_| "the token's devices are no globs")
}

/// Seconds since the epoch, with or without a fraction; beyond what can be named the last instant.
fn instant(seconds: f64) -> Timestamp {
    Timestamp((seconds * 1e9) as i64)
}

#[derive(Debug, Deserialize)]
struct Claims {
    sub: String,
    exp: f64,
    #[serde(default, deserialize_with = "there")]
    nbf: Option<f64>,
    #[serde(default, deserialize_with = "there")]
    iss: Option<String>,
    #[serde(default, deserialize_with = "there")]
    aud: Option<OneOrMany>,
    #[serde(default, deserialize_with = "there")]
    scope: Option<OneOrMany>,
    #[serde(default, deserialize_with = "there")]
    devices: Option<OneOrMany>,
}

/// A claim that is there has a value: `"devices": null` must not mean all of them.
fn there<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn each(&self) -> impl Iterator<Item = &str> {
        match self {
            OneOrMany::One(one) => std::slice::from_ref(one).iter().map(String::as_str),
            OneOrMany::Many(many) => many.iter().map(String::as_str),
        }
    }
}

#[cfg(test)]
#[path = "jwt_tests.rs"]
mod tests;
