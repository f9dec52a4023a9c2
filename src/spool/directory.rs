//! The directory of a spool: what its files are called, who has it open, and what was set aside.
//!
//! ```text
//! spool/00000000000000000042.seg   a segment, named by its first position
//! spool/*.seg.new                  a segment that is being created; deleted at the next start
//! spool/identity                   spool id and salt: the header of a segment that has no records
//! spool/lock                       locked (flock) while a daemon has the spool open
//! spool/reserve                    disk space for a clean shutdown on a full disk
//! spool/damaged/                   copies of damaged bytes and files that are not ours, to look at
//! ```

use super::disk;
use super::error::{Doing, SpoolError};
use super::format::{HEADER_BYTES, Header, HeaderFound, Identity, VERSION};
use super::reader::Extent;
use crate::clock;
use crate::model::Position;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The most that one damaged extent is copied of.
const DAMAGED_COPY_BYTES_MAX: u64 = 1 << 20;
/// No more copies are made once `damaged/` holds this much.
const DAMAGED_BYTES_MAX: u64 = 64 << 20;
/// Nor once it holds so many files.
const DAMAGED_FILES_MAX: usize = 1000;

/// The directory of a spool. Cheap to clone; knows no state but its path.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    path: PathBuf,
}

/// What a name in the directory stands for.
pub(super) enum Named {
    Segment(Position),
    /// Ends like a segment, but is not named like one.
    Foreign(PathBuf),
}

impl Directory {
    pub fn new(path: &Path) -> Directory {
        Directory { path: path.to_owned() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn segment(&self, first: Position) -> PathBuf {
        self.path.join(format!("{:020}.seg", first.0))
    }

    pub fn identity(&self) -> PathBuf {
        self.path.join("identity")
    }

    pub fn reserve(&self) -> PathBuf {
        self.path.join("reserve")
    }

    pub fn damaged(&self) -> PathBuf {
        self.path.join("damaged")
    }

    /// Makes the directory if need be and locks it; it is locked until the file is dropped.
    pub fn lock(&self) -> Result<File, SpoolError> {
        fs::create_dir_all(&self.path).doing("create", &self.path)?;
        let path = self.path.join("lock");
        let file = File::options().write(true).create(true).truncate(false).open(&path);
        let file = file.doing("open", &path)?;
        match disk::try_lock(&file).doing("lock", &path)? {
            true => Ok(file),
            false => Err(SpoolError::Locked { path }),
        }
    }

    /// Its segments in the order of their positions, and files that look like some but are not.
    pub fn named(&self) -> Result<(Vec<Position>, Vec<PathBuf>), SpoolError> {
        let (mut segments, mut foreign) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&self.path).doing("list", &self.path)? {
            let path = entry.doing("list", &self.path)?.path();
            match name(path) {
                Some(Named::Segment(first)) => segments.push(first),
                Some(Named::Foreign(path)) => foreign.push(path),
                None => {}
            }
        }
        segments.sort_unstable();
        foreign.sort_unstable();
        Ok((segments, foreign))
    }

    /// Deletes segments that a crash kept from getting their name: they never counted.
    pub fn delete_unborn(&self) -> Result<(), SpoolError> {
        for entry in fs::read_dir(&self.path).doing("list", &self.path)? {
            let path = entry.doing("list", &self.path)?.path();
            if path.to_str().is_some_and(|path| path.ends_with(".seg.new")) {
                fs::remove_file(&path).doing("delete", &path)?;
            }
        }
        Ok(())
    }

    /// Waits until created and deleted names are on disk.
    pub fn sync(&self) -> Result<(), SpoolError> {
        disk::sync_directory(&self.path).doing("sync", &self.path)
    }

    /// What the file `identity` says; `None` if it is missing or damaged. Its `first` is a floor: no
    /// position below it is given to a new batch.
    ///
    /// # Errors
    /// [`SpoolError::Version`], [`SpoolError::Io`].
    pub fn read_identity(&self) -> Result<Option<Header>, SpoolError> {
        let path = self.identity();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(SpoolError::io("open", &path, error)),
        };
        match Header::decode(&first_bytes(&file).doing("read", &path)?) {
            HeaderFound::Valid(header) => Ok(Some(header)),
            HeaderFound::Newer(found) => {
                Err(SpoolError::Version { path, found, supported: VERSION })
            }
            HeaderFound::Damaged => Ok(None),
        }
    }

    /// Writes the file `identity` anew.
    pub fn write_identity(&self, identity: Identity, floor: Position) -> Result<(), SpoolError> {
        let (first, after, created_at) = (floor, floor, clock::now());
        let header = Header { identity, first, after, samples_before: 0, created_at };
        let (path, fresh) = (self.identity(), self.path.join("identity.new"));
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(SpoolError::io("delete", &fresh, error));
            }
            _ => {}
        }
        let file = disk::create(&fresh).doing("create", &fresh)?;
        disk::write_at(&file, &header.encode(), 0).doing("write", &fresh)?;
        disk::sync(&file).doing("sync", &fresh)?;
        fs::rename(&fresh, &path).doing("rename", &fresh)?;
        self.sync()
    }

    /// Moves a file that is not ours to `damaged/`, under a name that is still free.
    pub fn set_aside(&self, path: &Path) -> Result<PathBuf, SpoolError> {
        let damaged = self.make_damaged()?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let free = (0u32..).map(|n| match n {
            0 => damaged.join(&name),
            n => damaged.join(format!("{name}.{n}")),
        });
        let to = free.into_iter().find(|to| !to.exists()).unwrap_or_else(|| damaged.join(&name));
        fs::rename(path, &to).doing("rename", path)?;
        self.sync()?;
        Ok(to)
    }

    /// Copies damaged bytes to `damaged/`, unless that was done before or too much is there already.
    pub fn keep_damaged(&self, extent: &Extent) -> Result<(), SpoolError> {
        if extent.bytes == 0 {
            return Ok(());
        }
        let damaged = self.make_damaged()?;
        let to = damaged.join(format!("{:020}-{}.bin", extent.segment.0, extent.offset));
        let bytes = extent.bytes.min(DAMAGED_COPY_BYTES_MAX);
        let (files, size) = size_of_files(&damaged)?;
        if to.exists() || files >= DAMAGED_FILES_MAX || size + bytes > DAMAGED_BYTES_MAX {
            return Ok(());
        }
        let from = self.segment(extent.segment);
        let file = File::open(&from).doing("open", &from)?;
        let mut copy = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
        let mut filled = 0;
        while filled < copy.len() {
            match disk::read_at(&file, &mut copy[filled..], extent.offset + filled as u64) {
                Ok(0) => break,
                Ok(bytes) => filled += bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(SpoolError::io("read", &from, error)),
            }
        }
        fs::write(&to, &copy[..filled]).doing("write", &to)
    }

    fn make_damaged(&self) -> Result<PathBuf, SpoolError> {
        let damaged = self.damaged();
        fs::create_dir_all(&damaged).doing("create", &damaged)?;
        Ok(damaged)
    }
}

/// At most the first [`HEADER_BYTES`] of a file.
pub(super) fn first_bytes(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    file.take(HEADER_BYTES as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn name(path: PathBuf) -> Option<Named> {
    if path.extension()? != "seg" {
        return None;
    }
    let digits = path.file_stem().and_then(|stem| stem.to_str());
    let is_named = |digits: &&str| digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
    match digits.filter(is_named).and_then(|digits| digits.parse().ok()) {
        Some(first) if path.is_file() => Some(Named::Segment(Position(first))),
        _ => Some(Named::Foreign(path)),
    }
}

/// How many there are, and their bytes.
fn size_of_files(path: &Path) -> Result<(usize, u64), SpoolError> {
    let (mut files, mut bytes) = (0, 0);
    for entry in fs::read_dir(path).doing("list", path)? {
        let entry = entry.doing("list", path)?;
        // A file that was deleted meanwhile takes no space.
        bytes += entry.metadata().map_or(0, |metadata| metadata.len());
        files += 1;
    }
    Ok((files, bytes))
}
