//! Files that are read again when they change: certificates, keys, tokens.
//!
//! They are looked at once a second rather than watched by the kernel: it works on every file system,
//! through symbolic links, and with files that are replaced.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Some files, as they were when they were looked at last.
#[derive(Debug)]
pub(crate) struct Watched {
    files: Vec<(PathBuf, Option<Stamp>)>,
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
        Watched { files: files.collect() }
    }

    /// Whether one of them is another than when this was asked last.
    pub fn changed(&mut self) -> bool {
        let mut changed = false;
        for (path, known) in &mut self.files {
            let now = stamp(path);
            changed |= *known != now;
            *known = now;
        }
        changed
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
    fn a_change_is_told_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let mut watched = Watched::new([path.clone()]);
        assert!(!watched.changed());
        fs::write(&path, "a").unwrap();
        assert!(watched.changed() && !watched.changed());
        fs::write(&path, "ab").unwrap();
        assert!(watched.changed() && !watched.changed());
        // Replaced by one of the same length, as editors and systemd do.
        let other = directory.path().join("other");
        fs::write(&other, "cd").unwrap();
        fs::rename(&other, &path).unwrap();
        assert!(watched.changed() && !watched.changed());
        fs::remove_file(&path).unwrap();
        assert!(watched.changed() && !watched.changed());
    }
}
