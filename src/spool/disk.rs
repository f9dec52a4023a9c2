//! The system calls of the spool, each in one place, so that tests can let any of them fail.

use rustix::fs::{FallocateFlags, FlockOperation};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What a test can let fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Create,
    Allocate,
    Write,
    Sync,
    Read,
}

/// Creates a file that must not exist.
pub(super) fn create(path: &Path) -> io::Result<File> {
    check(Operation::Create)?;
    OpenOptions::new().read(true).write(true).create_new(true).open(path)
}

/// Takes disk space for the file up to `bytes` without changing its length. A file system that can't
/// is no error: the space is then taken by writing.
pub(super) fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    check(Operation::Allocate)?;
    match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes) {
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
        result => Ok(result?),
    }
}

/// Writes all of it at the offset.
pub(super) fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    if let Err(error) = check(Operation::Write) {
        // As a disk does that fills up: the first half is there.
        file.write_all_at(&bytes[..bytes.len() / 2], offset)?;
        return Err(error);
    }
    file.write_all_at(bytes, offset)
}

/// Waits until contents and length are on disk.
pub(super) fn sync(file: &File) -> io::Result<()> {
    check(Operation::Sync)?;
    Ok(rustix::fs::fdatasync(file)?)
}

/// Waits until the names in a directory are on disk.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::fsync(File::open(path)?)?)
}

/// Reads some bytes at the offset; 0 = there are none.
pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    check(Operation::Read)?;
    FileExt::read_at(file, buffer, offset)
}

/// Takes the lock that goes with the file; false if another process (or another `File`) has it. It
/// is let go when the file is closed, however the process ends.
pub(super) fn try_lock(file: &File) -> io::Result<bool> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "in tests it can fail")]
fn check(_: Operation) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
use faults::check;

/// Lets operations of the calling thread fail.
#[cfg(test)]
pub(super) mod faults {
    use super::Operation;
    use rustix::io::Errno;
    use std::cell::RefCell;
    use std::io;

    thread_local! {
        static PLANNED: RefCell<Vec<(Operation, u32, Errno)>> = const { RefCell::new(Vec::new()) };
    }

    /// The next `times` operations of this kind on this thread fail.
    pub fn fail(operation: Operation, times: u32, errno: Errno) {
        PLANNED.with_borrow_mut(|planned| planned.push((operation, times, errno)));
    }

    /// Nothing fails any more; says whether something planned had not happened yet.
    pub fn clear() -> bool {
        PLANNED.with_borrow_mut(|planned| !std::mem::take(planned).is_empty())
    }

    pub(in super::super) fn check(operation: Operation) -> io::Result<()> {
        PLANNED.with_borrow_mut(|planned| {
            let Some(index) = planned.iter().position(|plan| plan.0 == operation) else {
                return Ok(());
            };
            let errno = planned[index].2;
            planned[index].1 -= 1;
            if planned[index].1 == 0 {
                planned.remove(index);
            }
            Err(errno.into())
        })
    }
}
