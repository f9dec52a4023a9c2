//! Which versions the files of a state directory have, before any of them is opened for good.
//!
//! Each room brings its own file up to the newest version when it opens it. What only all files
//! together tell stands here: a start refuses a state directory of which any file was written by a newer
//! release, before it has changed another; and `tidegate spool migrate` and `tidegate history migrate`
//! tell, and do, what a start would.

use crate::spool;
use crate::sqlite::{Format, Unfit};
use crate::{alerts, auth, commands, devices, notify, sinks};
use std::fmt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The daemon's SQLite files.
const FILES: &[(&str, &Format)] = &[
    ("history.db", &sinks::history::FORMAT),
    ("sinks.db", &sinks::book::FORMAT),
    #[cfg(feature = "mqtt")]
    ("mqtt.db", &crate::intake::mqtt::book::FORMAT),
    ("alerts.db", &alerts::FORMAT),
    ("commands.db", &commands::FORMAT),
    ("devices.db", &devices::FORMAT),
    ("auth.db", &auth::FORMAT),
    ("notify.db", &notify::FORMAT),
];

/// A file was written by a newer release. Nothing was changed.
#[derive(Debug, Error)]
#[error(
    "{} has format version {found}, this tidegate knows up to {known}: a newer release wrote it, and this \
     one changes nothing; install that release again, or restore a backup from before it",
    path.display()
)]
pub struct Newer {
    /// The file.
    pub path: PathBuf,
    /// Its version.
    pub found: i64,
    /// The newest that is known here.
    pub known: i64,
}

/// How a file is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// It is not there, or is empty: the next start begins it.
    Absent,
    /// It is of this version, which the next start reads as it is.
    Newest(i64),
    /// It is of the first, and becomes one of the second.
    Older(i64, i64),
    /// What it is can't be read: the next start sets it aside, or says why it can't be used.
    Unreadable,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Version::Absent => write!(f, "not there yet; the daemon makes it"),
            Version::Newest(version) => write!(f, "version {version}, the newest: nothing to do"),
            Version::Older(found, known) => write!(f, "version {found}, becomes {known}"),
            Version::Unreadable => {
                write!(f, "its version can't be read; the daemon sets damaged files aside")
            }
        }
    }
}

/// A file, and how it is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The file.
    pub path: PathBuf,
    /// Its version.
    pub version: Version,
}

/// Looks at every file; changes nothing.
///
/// # Errors
/// [`Newer`] of the first that was written by a newer release.
pub fn check(state_dir: &Path) -> Result<(), Newer> {
    spool_files(state_dir)?;
    tables(state_dir)?;
    Ok(())
}

/// The files of the spool.
///
/// # Errors
/// As [`check`].
pub fn spool_files(state_dir: &Path) -> Result<Vec<Found>, Newer> {
    // What can't be listed is for whoever opens the spool.
    let files = spool::versions(&state_dir.join("spool")).unwrap_or_default();
    let known = spool::format::VERSION;
    let found = |(path, version): (PathBuf, Option<u32>)| {
        let version = match version {
            Some(found) if found > known => {
                return Err(Newer { path, found: found.into(), known: known.into() });
            }
            Some(found) => Version::Newest(found.into()),
            None => Version::Unreadable,
        };
        Ok(Found { path, version })
    };
    files.into_iter().map(found).collect()
}

/// The SQLite files.
///
/// # Errors
/// As [`check`].
pub fn tables(state_dir: &Path) -> Result<Vec<Found>, Newer> {
    FILES.iter().map(|(name, format)| look(format, state_dir.join(name))).collect()
}

fn look(format: &Format, path: PathBuf) -> Result<Found, Newer> {
    let known = format.version();
    let version = match format.look(&path) {
        Ok(None) => Version::Absent,
        Ok(Some(found)) if found == known => Version::Newest(found),
        Ok(Some(found)) => Version::Older(found, known),
        Err(Unfit::Version { found }) if found > known => return Err(Newer { path, found, known }),
        Err(_) => Version::Unreadable,
    };
    Ok(Found { path, version })
}

/// Why files can't be brought up to the newest version.
#[derive(Debug, Error)]
pub enum UpgradeError {
    /// The daemon runs, or the spool can't be looked at.
    #[error("{0}")]
    Spool(#[from] spool::SpoolError),
    /// One is of a newer release.
    #[error("{0}")]
    Newer(#[from] Newer),
    /// SQLite can't.
    #[error("{}: {source}", path.display())]
    Store {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
}

/// Brings the SQLite files up to the newest version, as a start does; gives how they were found. Files
/// that are not there are not made, and damaged ones are left to the next start.
///
/// # Errors
/// [`UpgradeError`]; what was done before stays done.
pub fn bring_up(state_dir: &Path) -> Result<Vec<Found>, UpgradeError> {
    // While it is held no daemon starts.
    let _lock = spool::lock(&state_dir.join("spool"))?;
    check(state_dir)?;
    let found = tables(state_dir)?;
    for ((_, format), file) in FILES.iter().zip(&found) {
        if let Version::Older(..) = file.version
            && let Err(Unfit::Store(source)) = upgrade(format, &file.path)
        {
            return Err(UpgradeError::Store { path: file.path.clone(), source });
        }
    }
    Ok(found)
}

fn upgrade(format: &Format, path: &Path) -> Result<(), Unfit> {
    match format.existing(path)? {
        Some(connection) => format.begin(&connection),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_older_releases_are_told_and_brought_up() {
        let folder = tempfile::tempdir().unwrap();
        let of = |name: &str| {
            let found = tables(folder.path()).unwrap();
            found.into_iter().find(|it| it.path.ends_with(name)).unwrap().version
        };
        assert_eq!(of("sinks.db"), Version::Absent);
        let (_, format) = FILES.iter().find(|(name, _)| *name == "sinks.db").unwrap();
        let first = Format { upgrades: &[], ..**format };
        drop(first.open_or_make(&folder.path().join("sinks.db")).unwrap());
        let known = format.version();
        assert_eq!(of("sinks.db"), Version::Older(1, known));
        assert_eq!(of("sinks.db"), Version::Older(1, known), "looking changes nothing");
        bring_up(folder.path()).unwrap();
        assert_eq!(of("sinks.db"), Version::Newest(known));
        assert_eq!(of("history.db"), Version::Absent);
    }

    #[test]
    fn a_version_that_waits_in_the_files_log_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.db");
        let connection = alerts::FORMAT.open_or_make(&path).unwrap();
        connection.pragma_update(None, "user_version", 9).unwrap();
        // Still open: it is in alerts.db-wal only.
        let newer = check(folder.path()).unwrap_err();
        assert_eq!((newer.path, newer.found, newer.known), (path, 9, alerts::FORMAT.version()));
    }
}
