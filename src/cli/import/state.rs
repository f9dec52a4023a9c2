//! How far a file was imported: `FILE.import.json`, beside it.
//!
//! It is written before a portion is sent: what was sent under a number of the session is the bytes from
//! `offset` to `end`, and after whatever ends us (or the daemon) the very same bytes are sent again under it,
//! which the daemon then takes, or knows.

use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// What is known of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// To know it again.
    pub bytes: u64,
    pub modified_ns: i64,
    /// How it is read.
    pub read_as: String,
    /// Numbers count within it.
    pub session: u64,
    /// Of the next batch.
    pub seq: u64,
    /// All before is durable, or refused and told.
    pub offset: u64,
    /// The line there.
    pub line: u64,
    /// How far the batch goes that may be on its way.
    pub end: Option<u64>,
    /// Records that did not enter.
    pub faulty: u64,
    /// Samples that did.
    pub samples: u64,
    pub is_done: bool,
}

impl State {
    /// Of a file of which nothing was imported.
    pub fn new(bytes: u64, modified_ns: i64, read_as: String) -> State {
        let session = rand::random_range(1..u64::MAX);
        State {
            bytes,
            modified_ns,
            read_as,
            session,
            seq: 1,
            offset: 0,
            line: 1,
            end: None,
            faulty: 0,
            samples: 0,
            is_done: false,
        }
    }

    /// Whether it is of the same file, read in the same way.
    pub fn is_of(&self, other: &State) -> bool {
        (self.bytes, self.modified_ns, &self.read_as)
            == (other.bytes, other.modified_ns, &other.read_as)
    }
}

/// Size and time of the last change.
pub(super) fn stamp(file: &File) -> io::Result<(u64, i64)> {
    let metadata = file.metadata()?;
    let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok((metadata.len(), i64::try_from(modified.as_nanos()).unwrap_or(i64::MAX)))
}

/// Where the state of a file is.
pub(super) fn beside(file: &Path) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(".import.json");
    path.into()
}

/// What is there; `None` if nothing is.
pub(super) fn read(path: &Path) -> io::Result<Option<State>> {
    match fs::read(path) {
        Ok(json) => serde_json::from_slice(&json).map(Some).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes it so that there is always a whole one.
pub(super) fn write(path: &Path, state: &State) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let mut file = File::create(&new)?;
    file.write_all(&serde_json::to_vec(state)?)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
