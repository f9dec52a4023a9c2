//! Disk space kept aside, so that a daemon on a full disk can still write its last checkpoint.

use super::disk;
use super::error::{Doing, SpoolError};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::PathBuf;

/// The file `reserve`. It has no content; `fallocate` gives it blocks.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    bytes: u64,
    is_held: bool,
}

impl Reserve {
    /// The reserve of this size at this path, taken if there is space for it. That there is none is
    /// no error: it is tried again with every new segment.
    pub fn new(path: PathBuf, bytes: u64) -> Reserve {
        let mut reserve = Reserve { path, bytes, is_held: false };
        reserve.hold();
        reserve
    }

    /// Takes the space, unless it is held already or there is none.
    pub fn hold(&mut self) {
        if self.is_held || self.bytes == 0 {
            return;
        }
        match self.take() {
            Ok(()) => self.is_held = true,
            Err(error) => log::debug!(error:? = error; "the spool's reserve could not be made"),
        }
    }

    /// Whether it is there.
    #[cfg(test)]
    pub fn is_held(&self) -> bool {
        self.is_held
    }

    fn take(&self) -> Result<(), SpoolError> {
        let file = File::options().write(true).create(true).truncate(true).open(&self.path);
        let file = file.doing("create", &self.path)?;
        disk::allocate(&file, self.bytes).doing("allocate", &self.path)
    }

    /// Gives the space back to the file system, for what must be written now.
    pub fn release(&mut self) -> Result<(), SpoolError> {
        self.is_held = false;
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(SpoolError::io("delete", &self.path, error))
            }
            _ => Ok(()),
        }
    }
}
