//! The segment that is being written.
//!
//! Knows bytes and files, not records. What is written here is not yet visible to anybody.

use super::disk;
use super::error::{Doing, SpoolError};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The segment that is being written.
#[derive(Debug)]
pub(super) struct Active {
    file: File,
    path: PathBuf,
    /// Bytes that are committed; what lies beyond was given up and is overwritten.
    length: u64,
    /// When the first bytes were written that no sync has covered yet.
    pub dirty_since: Option<Instant>,
}

impl Active {
    /// Creates the file under a name for the unborn and takes disk space for `room` bytes; for what is
    /// written, if `room` is 0.
    pub fn create(path: &Path, room: u64) -> Result<Active, SpoolError> {
        let unborn = path.with_extension("seg.new");
        // What an earlier attempt left behind under this name never counted.
        if unborn.exists() {
            fs::remove_file(&unborn).doing("delete", &unborn)?;
        }
        let file = disk::create(&unborn).doing("create", &unborn)?;
        let active = Active { file, path: unborn, length: 0, dirty_since: None };
        if room > 0
            && let Err(error) = disk::allocate(&active.file, room).doing("allocate", path)
        {
            active.discard();
            return Err(error);
        }
        Ok(active)
    }

    /// Gives the file its name, in place of one that may have it. The directory is not synced.
    pub fn name(&mut self, path: &Path) -> Result<(), SpoolError> {
        fs::rename(&self.path, path).doing("rename", path)?;
        self.path = path.to_owned();
        Ok(())
    }

    pub fn length(&self) -> u64 {
        self.length
    }

    /// Writes the bytes at `offset`, in one call.
    pub fn write(&self, bytes: &[u8], offset: u64) -> Result<(), SpoolError> {
        disk::write_at(&self.file, bytes, offset).doing("write", &self.path)
    }

    /// Waits until everything written is on disk.
    pub fn sync(&mut self) -> Result<(), SpoolError> {
        disk::sync(&self.file).doing("sync", &self.path)?;
        self.dirty_since = None;
        Ok(())
    }

    /// What was written up to here counts from now on.
    pub fn advance(&mut self, length: u64) {
        self.length = length;
    }

    /// Takes back what was written and does not count; false if the disk refuses even that.
    pub fn take_back(&self) -> bool {
        self.file.set_len(self.length).is_ok()
    }

    /// Ends the segment and gives back the disk space that it took and did not use. It is not an
    /// error if that fails: it is tried again when the spool is next opened.
    pub fn finish(self) {
        if let Err(error) = self.file.set_len(self.length) {
            log::warn!(error:? = error; "a finished segment could not be cut to its length");
        }
    }

    /// Deletes the file: it never counted. If that fails, the next attempt under this name does it.
    pub fn discard(self) {
        if let Err(error) = fs::remove_file(&self.path) {
            log::warn!(error:? = error; "a segment that was given up could not be deleted");
        }
    }
}

/// Cuts a segment of an earlier run to what is sound in it, or deletes it if that is nothing. If it
/// fails, the rest is met again as damage that costs nothing.
pub(super) fn cut(path: &Path, length: u64) {
    let done = match length {
        0 => fs::remove_file(path),
        _ => File::options().write(true).open(path).and_then(|file| file.set_len(length)),
    };
    if let Err(error) = done {
        log::warn!(error:? = error; "a torn segment could not be cut to what is sound");
    }
}
