//! The key of this machine: whoever can read the state directory is the administrator anyway.
//!
//! `local.key` is made anew at every start (mode 0600). Commands show it to the daemon of their own
//! configuration, so that they need no token.

use super::key::{self, Digest};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Where it is.
fn place(state_dir: &Path) -> PathBuf {
    state_dir.join("local.key")
}

/// Makes a new one.
pub(super) fn make(state_dir: &Path) -> io::Result<Digest> {
    let text = key::local(&rand::random());
    // Readable for its owner only, from the first byte.
    let mut fresh = tempfile::Builder::new().prefix(".local-").tempfile_in(state_dir)?;
    writeln!(fresh, "{text}")?;
    // Not synced: after a crash there is a new one.
    fresh.persist(place(state_dir)).map_err(|error| error.error)?;
    Ok(Digest::of(&text))
}

/// The one of the daemon whose state directory this is; none if it does not run, or is not ours to read.
#[must_use]
pub fn local_key(state_dir: &Path) -> Option<String> {
    let text = fs::read_to_string(place(state_dir)).ok()?;
    Some(text.trim_end().to_owned()).filter(|text| text.starts_with(key::LOCAL))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_new_one_replaces_the_old_and_only_its_owner_reads_it() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(local_key(directory.path()), None);
        let first = make(directory.path()).unwrap();
        let second = make(directory.path()).unwrap();
        let shown = local_key(directory.path()).unwrap();
        assert!(first != second && Digest::of(&shown) == second);
        let mode = fs::metadata(place(directory.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
