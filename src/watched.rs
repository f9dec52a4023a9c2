//! Files that are read again when they change: certificates, keys, tokens.
//!
//! They are looked at once a second or more often rather than watched by the kernel: it works on every file
//! system, through symbolic links, and with files that are replaced. A change is told at the first look that
//! finds nothing new: one that is written in place is empty for a moment, and a certificate and its key are two files.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Some files, as they were when they were looked at last.
#[derive(Debug)]
pub(crate) struct Watched {
    files: Vec<(PathBuf, Option<Stamp>)>,
    /// Something changed at the last look, and more may.
    is_settling: bool,
}

/// What differs between a file and the one that replaced it.
type Stamp = (u64, u64, i64, i64, u64);

impl Watched {
    /// As they are now. Those that are not there may come later.
    pub fn new(paths: impl IntoIterator<Item = PathBuf>) -> Watched {
        let files = paths.into_iter().map(|path| {
            let stamp = stamp(&path);
            (path, stamp)
        });
        Watched { files: files.collect(), is_settling: false }
    }

    /// Looks at them: true if they have changed since this was said last, and have come to rest.
    pub fn changed(&mut self) -> bool {
        let mut is_other = false;
        for (path, known) in &mut self.files {
            let now = stamp(path);
            is_other |= *known != now;
            *known = now;
        }
        std::mem::replace(&mut self.is_settling, is_other) && !is_other
    }
}

fn stamp(path: &PathBuf) -> Option<Stamp> {
    let data = fs::metadata(path).ok()?;
    Some((data.dev(), data.ino(), data.mtime(), data.mtime_nsec(), data.size()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_once_when_it_has_come_to_rest() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let mut watched = Watched::new([path.clone()]);
        let mut told = |change: &dyn Fn()| {
            change();
            [watched.changed(), watched.changed(), watched.changed()]
        };
        assert_eq!(told(&|| {}), [false; 3]);
        assert_eq!(told(&|| fs::write(&path, "a").unwrap()), [false, true, false]);
        assert_eq!(told(&|| fs::write(&path, "ab").unwrap()), [false, true, false]);
        // Replaced by one of the same length, as editors and systemd do.
        let other = directory.path().join("other");
        fs::write(&other, "cd").unwrap();
        assert_eq!(told(&|| fs::rename(&other, &path).unwrap()), [false, true, false]);
        assert_eq!(told(&|| fs::remove_file(&path).unwrap()), [false, true, false]);
        // While it is being written nothing is told.
        for length in 0..5 {
            fs::write(&path, vec![b'a'; length]).unwrap();
            assert!(!watched.changed());
        }
        assert!(watched.changed() && !watched.changed());
    }
}
