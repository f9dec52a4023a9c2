//! Going over to another `[auth]` while people are inside.
//!
//! | what is another | who stays |
//! |---|---|
//! | `anonymous` | whoever showed something; nobody else, if nobody may come so |
//! | `keys_file` | whose key is in the new file as it was |
//! | `session_length` | all; open sessions end no later than if they had begun so |
//! | `failures_max` | all |
//! | `jwt` | whoever showed no JWT; with a longer leeway all. A JWT is not kept, so it is shown again |
//! | `certificates` | who may the same by the rules of now |
//!
//! Whatever can be wrong is found when the files are read ([`Door::prepare`]); then nothing fails.

use super::door::{Terms, lock};
use super::jwt::{JwtSettings, Verifier};
use super::keys_file::Keys;
use super::{Door, DoorError, How};
use crate::config::AuthConfig;
use crate::model::Timestamp;
use crate::watched::Watched;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Another `[auth]`, whose files were read.
pub struct Change {
    terms: Terms,
    /// Of another file, with how it was before it was read.
    keys: Option<(Keys, Watched)>,
    session_length: Duration,
    failures_max: u32,
    /// JWTs must be shown again.
    shows_again: bool,
}

impl Door {
    /// Reads the files of another `[auth]`. Client certificates count if `takes_certificates`.
    ///
    /// # Errors
    /// [`DoorError`]; nothing has changed.
    pub fn prepare(
        &self,
        config: &AuthConfig,
        takes_certificates: bool,
    ) -> Result<Change, DoorError> {
        let before = self.terms();
        let path = &config.keys_file;
        let keys = if *path == before.keys_file {
            None
        } else {
            // Looked at before it is read: what changes in between is read again.
            let watched = Watched::new([path.clone()]);
            let keys = Keys::read(path)?;
            if keys.is_empty() && !self.keys().is_empty() && !path.exists() {
                return Err(DoorError::NoKeys(path.clone()));
            }
            Some((keys, watched))
        };
        let known = before.jwts.as_ref();
        let known = known.filter(|jwts| Some(jwts.settings()) == config.jwt.as_ref()).cloned();
        let jwts = match (known, &config.jwt) {
            (None, Some(settings)) => Some(Arc::new(Verifier::open(settings)?)),
            (known, _) => known,
        };
        let of_before = before.jwts.as_ref().map(|jwts| jwts.settings());
        Ok(Change {
            shows_again: !are_all_taken(of_before, config.jwt.as_ref()),
            terms: Terms::new(config, takes_certificates, jwts),
            keys,
            session_length: config.session_length,
            failures_max: config.failures_max,
        })
    }

    /// Goes over to it. Who may no longer is ended as the holder of a revoked key.
    pub fn change(&self, change: Change, now: Timestamp) {
        let Change { terms, keys, session_length, failures_max, shows_again } = change;
        let one = lock(&self.inner.reading);
        let asks = terms.jwts.is_some() || terms.takes_certificates;
        *lock(&self.inner.terms) = Arc::new(terms);
        if asks {
            self.inner.asks.store(true, Ordering::Relaxed);
        }
        if let Some((keys, watched)) = keys {
            *lock(&self.inner.watched) = watched;
            self.take_keys(keys, now);
        }
        drop(one);
        lock(&self.inner.failures).set_max(failures_max);
        let terms = self.terms();
        let sessions = &self.inner.records.sessions;
        sessions.set_length(session_length);
        if shows_again {
            sessions.end_of_jwts();
        }
        self.end_who(now, |caller| match caller.how {
            How::Jwt => shows_again,
            How::Certificate => !terms.still_certifies(caller),
            How::Anonymous | How::Key(_) | How::Session { .. } | How::Local => false,
        });
    }
}

impl Change {
    /// Whether there is anything that could be asked for, of a door that has these keys.
    #[must_use]
    pub fn asks(&self, door: &Door) -> bool {
        let Terms { jwts, takes_certificates, .. } = &self.terms;
        let has_keys = self.keys.as_ref().is_some_and(|(keys, _)| !keys.is_empty());
        door.asks() || has_keys || jwts.is_some() || *takes_certificates
    }
}

/// Whether every JWT that was good is, and for no shorter.
fn are_all_taken(before: Option<&JwtSettings>, after: Option<&JwtSettings>) -> bool {
    match (before, after) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(before), Some(after)) => {
            let leeway = before.leeway.min(after.leeway);
            *before == JwtSettings { leeway, ..after.clone() }
        }
    }
}
