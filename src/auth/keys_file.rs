//! `keys.toml`: the API keys, as hashes.
//!
//! ```toml
//! [[keys]]
//! name = "gw-7"                      # of the caller; several keys may have one name, while they are changed
//! id = "5kq2m7zd"                    # unique
//! hash = "…"                         # SHA-256 of the key's text, hexadecimal
//! scopes = ["ingest"]
//! devices = ["gw-7", "pump-*"]       # globs; ["*"] = all
//! issued_at = 2026-11-21T22:00:00Z
//! expires_at = 2027-02-19T22:00:00Z  # if it does
//! revoked_at = 2026-12-01T08:00:00Z  # if it was
//! revoked_by = "ana (uid 1000)"      # and who did, as far as it is known
//! by = "root (uid 0)"                # who issued it
//! ```
//!
//! The file is only ever replaced as a whole (written beside, synced, renamed), by one at a time: whoever
//! changes it holds a lock on its directory meanwhile.

use super::key::{self, Digest, Fresh};
use super::{Caller, How, Scope, Scopes};
use crate::model::{NAME_BYTES_MAX, Reach, Timestamp, check_name};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;
use toml::value::Datetime;

/// Keys that a file may have.
const KEYS_MAX: usize = 50_000;
/// Devices that a key may name.
const GLOBS_MAX: usize = 64;
const BY_BYTES_MAX: usize = 128;

const HEAD: &str = "# API keys of Tidegate, as hashes. `tidegate token` writes this file, and keeps no other comments.\n\
                    # What is changed by hand is in force within two seconds.\n";

/// The file can't be used; the administrator mends it.
#[derive(Debug, Error)]
pub enum KeysError {
    /// It can't be read, or not be written.
    #[error("the keys file {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is in it is wrong.
    #[error("the keys file {path} has {} mistake(s):{}", .mistakes.len(), .mistakes.iter().map(|it| format!("\n  {it}")).collect::<String>())]
    Mistakes {
        /// Which.
        path: PathBuf,
        /// All of them.
        mistakes: Vec<String>,
    },
}

/// A key of the file.
#[derive(Debug)]
pub struct Key {
    /// Part of its text.
    pub id: Arc<str>,
    /// Who shows it.
    pub name: Arc<str>,
    pub(super) digest: Digest,
    /// What they may do.
    pub scopes: Scopes,
    /// To which devices.
    pub reach: Reach,
    /// Since when there is the key.
    pub issued_at: Timestamp,
    /// Until when it is good.
    pub expires_at: Option<Timestamp>,
    /// Since when it is good no more.
    pub revoked_at: Option<Timestamp>,
    /// Who took it back; empty if nobody did, or nobody knows.
    pub revoked_by: String,
    /// Who issued it.
    pub by: String,
}

/// Why a key of the file is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    Expired,
    Revoked,
}

/// The keys of a file, in its order.
#[derive(Debug, Default)]
pub(super) struct Keys {
    all: Vec<Arc<Key>>,
    by_id: HashMap<Arc<str>, usize>,
}

/// A key that is other than it was.
#[derive(Debug)]
pub(super) struct Change {
    pub key: Arc<Key>,
    pub what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    New,
    /// Revoked, or expired.
    Over,
    GoodAgain,
    /// Other scopes or devices.
    Other,
    /// It is in the file no more.
    Gone,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            What::New => "new",
            What::Over => "revoked",
            What::GoodAgain => "good again",
            What::Other => "changed",
            What::Gone => "gone",
        };
        write!(f, "{what}: {} ({})", self.key.name, self.key.id)
    }
}

/// A block of the file.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    id: String,
    hash: String,
    scopes: Vec<String>,
    devices: Vec<String>,
    issued_at: Datetime,
    expires_at: Option<Datetime>,
    revoked_at: Option<Datetime>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    revoked_by: String,
    #[serde(default)]
    by: String,
}

#[derive(Serialize)]
struct Written {
    keys: Vec<Entry>,
}

impl Key {
    /// Whether it lets anybody in.
    #[must_use]
    pub fn is_good(&self, now: Timestamp) -> bool {
        self.over(now).is_none()
    }

    /// Whether it is good no more.
    pub(super) fn over(&self, now: Timestamp) -> Option<Over> {
        match (self.revoked_at, self.expires_at) {
            (Some(_), _) => Some(Over::Revoked),
            (None, Some(at)) if at <= now => Some(Over::Expired),
            _ => None,
        }
    }

    /// Who shows it.
    pub(super) fn caller(&self) -> Caller {
        Caller {
            name: self.name.clone(),
            scopes: self.scopes,
            reach: self.reach.clone(),
            how: How::Key(self.id.clone()),
            expires_at: self.expires_at,
        }
    }

    fn entry(&self) -> Result<Entry, String> {
        Ok(Entry {
            name: self.name.to_string(),
            id: self.id.to_string(),
            hash: self.digest.to_string(),
            scopes: self.scopes.given().map(|scope| scope.name().to_owned()).collect(),
            devices: self.reach.globs().to_vec(),
            issued_at: written(self.issued_at)?,
            expires_at: self.expires_at.map(written).transpose()?,
            revoked_at: self.revoked_at.map(written).transpose()?,
            revoked_by: self.revoked_by.clone(),
            by: self.by.clone(),
        })
    }
}

impl Keys {
    /// What the file says; none if it is not there.
    ///
    /// # Errors
    /// [`KeysError`], with every mistake.
    pub fn read(path: &Path) -> Result<Keys, KeysError> {
        match fs::read_to_string(path) {
            Ok(text) => Keys::parse(&text)
                .map_err(|mistakes| KeysError::Mistakes { path: path.to_owned(), mistakes }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Keys::default()),
            Err(source) => Err(KeysError::File { path: path.to_owned(), source }),
        }
    }

    fn parse(text: &str) -> Result<Keys, Vec<String>> {
        let mut file: toml::Table =
            toml::from_str(text).map_err(|error| vec![error.to_string().trim().to_owned()])?;
        let mut mistakes = Vec::new();
        let blocks = match file.remove("keys") {
            None => Vec::new(),
            Some(toml::Value::Array(blocks)) => blocks,
            Some(_) => {
                mistakes
                    .push("keys: is a list of blocks, each of which begins with [[keys]]".into());
                Vec::new()
            }
        };
        mistakes.extend(file.keys().map(|key| format!("{key}: only [[keys]] are known here")));
        if blocks.len() > KEYS_MAX {
            mistakes.push(format!("keys: {} are more than {KEYS_MAX}", blocks.len()));
        }
        let mut keys = Keys::default();
        for (number, block) in blocks.into_iter().enumerate() {
            // Which one is meant is easier seen by its name.
            let name = block.get("name").and_then(toml::Value::as_str).map(str::escape_debug);
            let place = match name {
                Some(name) => format!("keys.{number} ({name})"),
                None => format!("keys.{number}"),
            };
            match block.try_into::<Entry>() {
                Err(error) => mistakes.push(format!("{place}: {}", error.to_string().trim())),
                Ok(entry) => match key(&entry) {
                    Err(wrong) => {
                        mistakes.extend(wrong.into_iter().map(|it| format!("{place}: {it}")));
                    }
                    Ok(key) if keys.get(&key.id).is_some() => {
                        mistakes.push(format!("{place}: id: {} is that of another", key.id));
                    }
                    Ok(key) => keys.push(key),
                },
            }
        }
        if mistakes.is_empty() { Ok(keys) } else { Err(mistakes) }
    }

    fn push(&mut self, key: Key) {
        self.by_id.insert(key.id.clone(), self.all.len());
        self.all.push(Arc::new(key));
    }

    pub fn get(&self, id: &str) -> Option<&Arc<Key>> {
        self.by_id.get(id).map(|at| &self.all[*at])
    }

    pub fn all(&self) -> &[Arc<Key>] {
        &self.all
    }

    /// Whether there is any, even one that was revoked: who took the last key back did not open the door
    /// to everybody.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// How many are good.
    pub fn good(&self, now: Timestamp) -> usize {
        self.all.iter().filter(|key| key.over(now).is_none()).count()
    }

    /// What is other than before.
    pub fn changes(&self, before: &Keys, now: Timestamp) -> Vec<Change> {
        let change = |key: &Arc<Key>, what| Change { key: key.clone(), what };
        let are = self.all.iter().filter_map(|key| {
            let Some(known) = before.get(&key.id) else { return Some(change(key, What::New)) };
            let rights = |key: &Key| (key.name.clone(), key.scopes, key.reach.clone(), key.digest);
            match (known.over(now), key.over(now)) {
                (None, Some(_)) => Some(change(key, What::Over)),
                (Some(_), None) => Some(change(key, What::GoodAgain)),
                _ => (rights(known) != rights(key)).then(|| change(key, What::Other)),
            }
        });
        let gone = before.all.iter().filter(|key| self.get(&key.id).is_none());
        are.chain(gone.map(|key| change(key, What::Gone))).collect()
    }
}

/// What a block means.
fn key(entry: &Entry) -> Result<Key, Vec<String>> {
    let mut mistakes = Vec::new();
    let mut wrong = |key: &str, problem: String| mistakes.push(format!("{key}: {problem}"));
    if let Err(error) = check_name(&entry.name, NAME_BYTES_MAX) {
        wrong("name", error.to_string());
    }
    if !key::is_id(&entry.id) {
        wrong("id", "is not 8 of a-z and 2-7".to_owned());
    }
    let digest = Digest::parse(&entry.hash);
    if digest.is_none() {
        wrong("hash", "is not a SHA-256 in 64 hexadecimal digits".to_owned());
    }
    let scopes: Vec<_> = entry.scopes.iter().map(|name| Scope::named(name)).collect();
    if entry.scopes.is_empty() || scopes.contains(&None) {
        let known = Scope::ALL.map(Scope::name).join(", ");
        wrong("scopes", format!("must be some of {known}"));
    }
    if entry.devices.len() > GLOBS_MAX {
        wrong("devices", format!("{} are more than {GLOBS_MAX}", entry.devices.len()));
    }
    let reach = match Reach::new(&entry.devices) {
        Ok(reach) => Some(reach),
        Err(error) => {
            wrong("devices", error.to_string());
            None
        }
    };
    let mut time = |key: &str, at: Option<&Datetime>| {
        let at = at?;
        let read = at.to_string().parse::<jiff::Timestamp>().ok();
        let nanos = read.and_then(|at| i64::try_from(at.as_nanosecond()).ok());
        if nanos.is_none() {
            wrong(key, format!("{at} is no time with its offset, like 2026-11-21T22:00:00Z"));
        }
        nanos.map(Timestamp)
    };
    let issued_at = time("issued_at", Some(&entry.issued_at));
    let expires_at = time("expires_at", entry.expires_at.as_ref());
    let revoked_at = time("revoked_at", entry.revoked_at.as_ref());
    for (key, by) in [("by", &entry.by), ("revoked_by", &entry.revoked_by)] {
        if by.len() > BY_BYTES_MAX || by.chars().any(char::is_control) {
            wrong(key, "is too long, or has control characters".to_owned());
        }
    }
    match (digest, reach, issued_at) {
        (Some(digest), Some(reach), Some(issued_at)) if mistakes.is_empty() => Ok(Key {
            id: entry.id.as_str().into(),
            name: entry.name.as_str().into(),
            digest,
            scopes: scopes.into_iter().flatten().collect(),
            reach,
            issued_at,
            expires_at,
            revoked_at,
            revoked_by: entry.revoked_by.clone(),
            by: entry.by.clone(),
        }),
        _ => Err(mistakes),
    }
}

/// In whole seconds.
fn written(at: Timestamp) -> Result<Datetime, String> {
    let seconds = jiff::Timestamp::from_second(at.as_millis().div_euclid(1000));
    let text = seconds.map_err(|error| error.to_string())?.to_string();
    text.parse().map_err(|_| format!("{text} can't be written"))
}

/// A key to be issued.
#[derive(Debug)]
pub struct NewKey<'a> {
    /// Who will show it.
    pub name: &'a str,
    /// What they may do.
    pub scopes: Scopes,
    /// To which devices.
    pub reach: Reach,
    /// Until when.
    pub expires_at: Option<Timestamp>,
    /// Who issues it.
    pub by: &'a str,
}

/// Issues a key, and gives its text, which is kept nowhere.
///
/// # Errors
/// [`KeysError`]; nothing was changed.
pub fn issue(path: &Path, new: &NewKey<'_>, now: Timestamp) -> Result<String, KeysError> {
    change(path, |keys| {
        let fresh = loop {
            let fresh = Fresh::new(rand::random(), &rand::random());
            if keys.get(&fresh.id).is_none() {
                break fresh;
            }
        };
        let key = Key {
            id: fresh.id.as_str().into(),
            name: new.name.into(),
            digest: Digest::of(&fresh.text),
            scopes: new.scopes,
            reach: new.reach.clone(),
            issued_at: now,
            expires_at: new.expires_at,
            revoked_at: None,
            revoked_by: String::new(),
            by: new.by.to_owned(),
        };
        let mut entries = entries(keys)?;
        entries.push(key.entry()?);
        Ok((entries, fresh.text))
    })
}

/// The keys of a file, in its order.
///
/// # Errors
/// [`KeysError`].
pub fn list(path: &Path) -> Result<Vec<Arc<Key>>, KeysError> {
    Keys::read(path).map(|keys| keys.all)
}

/// Revokes the key with this id, as whom; false if there is none, or it was before.
///
/// # Errors
/// [`KeysError`]; nothing was changed.
pub fn revoke(path: &Path, id: &str, by: &str, now: Timestamp) -> Result<bool, KeysError> {
    change(path, |keys| {
        let mut entries = entries(keys)?;
        let found = entries.iter_mut().find(|it| it.id == id && it.revoked_at.is_none());
        let Some(entry) = found else { return Ok((entries, false)) };
        entry.revoked_at = Some(written(now)?);
        by.clone_into(&mut entry.revoked_by);
        Ok((entries, true))
    })
}

fn entries(keys: &Keys) -> Result<Vec<Entry>, String> {
    keys.all.iter().map(|key| key.entry()).collect()
}

/// Replaces the file by what `make` makes of it.
fn change<T>(
    path: &Path,
    make: impl FnOnce(&Keys) -> Result<(Vec<Entry>, T), String>,
) -> Result<T, KeysError> {
    let fault = |source| KeysError::File { path: path.to_owned(), source };
    let mistake = |mistake| KeysError::Mistakes { path: path.to_owned(), mistakes: vec![mistake] };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    // Held until this returns; others wait.
    let lock = File::open(directory).map_err(fault)?;
    lock.lock().map_err(fault)?;
    let (keys, made) = make(&Keys::read(path)?).map_err(mistake)?;
    let text = toml::to_string(&Written { keys }).map_err(|error| mistake(error.to_string()))?;
    let text = format!("{HEAD}\n{text}");
    // What can't be read again must not be written.
    Keys::parse(&text)
        .map_err(|mistakes| KeysError::Mistakes { path: path.to_owned(), mistakes })?;
    let mut fresh =
        tempfile::Builder::new().prefix(".keys-").tempfile_in(directory).map_err(fault)?;
    fresh.write_all(text.as_bytes()).map_err(fault)?;
    as_before(path, fresh.as_file()).map_err(fault)?;
    fresh.as_file().sync_all().map_err(fault)?;
    fresh.persist(path).map_err(|error| fault(error.error))?;
    lock.sync_all().map_err(fault)?;
    Ok(made)
}

/// Gives the new file the mode and owner of the old one. A first one may be read by everybody, so also by
/// the daemon, whoever it is.
fn as_before(path: &Path, fresh: &File) -> io::Result<()> {
    let (mode, owner) = match fs::metadata(path) {
        Ok(old) => (old.mode() & 0o777, Some((old.uid(), old.gid()))),
        Err(_) => (0o644, None),
    };
    fresh.set_permissions(fs::Permissions::from_mode(mode))?;
    let ours = fresh.metadata()?;
    match owner.filter(|owner| *owner != (ours.uid(), ours.gid())) {
        Some((user, group)) => std::os::unix::fs::fchown(fresh, Some(user), Some(group)),
        None => Ok(()),
    }
}

#[cfg(test)]
#[path = "keys_file_tests.rs"]
mod tests;
