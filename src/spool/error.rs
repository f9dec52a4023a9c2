//! Why the spool did not do what was asked.

use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why the spool did not do what was asked. Damage is not among them: it is stepped over and counted.
#[derive(Debug, Error)]
pub enum SpoolError {
    /// Another daemon has this spool open.
    #[error("the spool {} is in use by another process", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// A later release wrote this spool; this one must not touch it.
    #[error("{} has format version {found}, this program reads up to {supported}", path.display())]
    Version {
        /// The segment.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The latest that is understood here.
        supported: u32,
    },
    /// The record would take the spool past its cap. Passes when followers commit and segments are
    /// trimmed.
    #[error("the spool holds {bytes} of at most {bytes_max} bytes")]
    Full {
        /// Bytes held, with what waits to be committed.
        bytes: u64,
        /// The cap.
        bytes_max: u64,
    },
    /// The record is larger than the format allows. The same record will always be refused.
    #[error("the record has {bytes} bytes, {max} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The largest allowed.
        max: usize,
    },
    /// The file system is full. Nothing of the group entered; passes when there is space again.
    #[error("no space left for {}", path.display())]
    NoSpace {
        /// The file that was to grow.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The disk did not do it. In a commit: nothing of the group entered, the segment is left as it
    /// was and the next commit begins a new one.
    #[error("failed to {doing} {}", path.display())]
    Io {
        /// What was tried: "read", "sync".
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

impl SpoolError {
    /// Names an I/O error by what was tried, and knows a full disk from a broken one.
    pub(super) fn io(doing: &'static str, path: &Path, source: io::Error) -> SpoolError {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                SpoolError::NoSpace { path, source }
            }
            _ => SpoolError::Io { doing, path, source },
        }
    }
}

/// `result.doing("read", path)`: an I/O result as the spool's.
pub(super) trait Doing<T> {
    fn doing(self, doing: &'static str, path: &Path) -> Result<T, SpoolError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: &'static str, path: &Path) -> Result<T, SpoolError> {
        self.map_err(|source| SpoolError::io(doing, path, source))
    }
}
