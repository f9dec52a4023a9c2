//! The door's guard: reads files again that changed, and ends the connections of who may no longer.

use super::door::lock;
use super::keys_file::{Change, Keys, What};
use super::{Caller, Door, How, Note, Records};
use crate::clock;
use crate::config::Anonymous;
use crate::model::Timestamp;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it is looked whether who is inside may still be, and whether files changed.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Names and keys in a line of the log.
const TOLD_MAX: usize = 10;

impl Door {
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
    pub(super) fn read_keys(&self, now: Timestamp) {
        let _one = lock(&self.inner.reading);
        let (before, terms) = (self.keys(), self.terms());
        let path = &terms.keys_file;
        let refused = |error: &dyn std::fmt::Display| {
            log::error!(event = "keys-refused"; "the keys in force stay as they were: {error}");
            self.inner.metrics.auth.file_failed();
        };
        match Keys::read(path) {
            Ok(keys) if keys.is_empty() && !before.is_empty() && !path.exists() => {
                refused(&format_args!("{} is gone", path.display()));
            }
            Ok(keys) => self.take_keys(keys, now),
            Err(error) => refused(&error),
        }
    }

    /// Puts keys in force.
    pub(super) fn take_keys(&self, keys: Keys, now: Timestamp) {
        let before = self.keys();
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
    pub(super) fn look(&self, now: Timestamp) {
        self.inner.metrics.auth.set_keys(self.keys().good(now));
        let new_jwts = self.terms().jwts.as_ref().is_some_and(|jwts| jwts.refresh());
        if new_jwts {
            self.inner.records.sessions.end_of_jwts();
        }
        // With other keys it would have to be shown again, which whoever has it does by coming back.
        self.end_who(now, |caller| new_jwts && caller.how == How::Jwt);
    }

    /// Ends the connections of who may no longer, and of whom it is so.
    pub(super) fn end_who(&self, now: Timestamp, is_so: impl Fn(&Caller) -> bool) {
        let keys = self.keys();
        let mut ended = Vec::new();
        // Looking at many takes a while; nobody waits for it.
        let passes: Vec<_> = lock(&self.inner.inside).passes.values().cloned().collect();
        for (caller, end) in passes {
            if !end.is_cancelled() && (is_so(&caller) || !self.may_stay(&caller, &keys, now)) {
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
        for (_, end) in &ended {
            end.cancel();
        }
        log::info!(
            event = "connections-ended", connections = ended.len(), names = names.join(", ");
            "{} connection(s) are ended, of {}: what let them in is good no more",
            ended.len(), names.join(", ")
        );
    }

    /// By what can change at any time.
    pub(super) fn may_stay(&self, caller: &Caller, keys: &Keys, now: Timestamp) -> bool {
        if caller.expires_at.is_some_and(|at| at <= now) {
            return false;
        }
        match &caller.how {
            How::Key(id) => self.is_as_it_was(id, caller, keys, now),
            How::Session { id, key } => {
                self.inner.records.sessions.is_open(id, now)
                    && key.as_ref().is_none_or(|key| self.is_as_it_was(key, caller, keys, now))
            }
            How::Anonymous => match self.terms().anonymous {
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
