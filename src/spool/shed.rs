//! Giving up the oldest segment of a full spool although somebody needs it ([`WhenFull::ShedOldest`]).
//!
//! A loss that was chosen is a loss that is counted. Before the segment is deleted, the file `shed`
//! says what is given up with it:
//!
//! ```text
//! <id of the spool, hexadecimal> <position> <samples>\n
//! ```
//!
//! Batches below the position may be gone, and so many samples were in all batches below it, from the
//! first ever. A follower that knows how many samples it has had of these knows exactly how many it
//! will never get, even if it was not running when they went.
//!
//! [`WhenFull::ShedOldest`]: super::WhenFull::ShedOldest

use super::directory::Directory;
use super::disk;
use super::error::{Doing, SpoolError};
use super::shared::{Held, Shared};
use crate::model::Position;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};

/// What has been given up.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Shed {
    /// Batches below this may be gone.
    pub to: Position,
    /// Samples in all batches below it.
    pub samples: u64,
}

impl Directory {
    /// What was given up of the spool with this id. A file that makes no sense says nothing.
    pub(super) fn read_shed(&self, id: u64) -> Result<Shed, SpoolError> {
        let path = self.path().join("shed");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidData) => {
                return Ok(Shed::default());
            }
            Err(error) => return Err(SpoolError::io("read", &path, error)),
        };
        Ok(parse(&text, id).unwrap_or_default())
    }

    fn write_shed(&self, id: u64, shed: Shed) -> Result<(), SpoolError> {
        let (path, fresh) = (self.path().join("shed"), self.path().join("shed.new"));
        let write = || -> io::Result<()> {
            let mut file = File::create(&fresh)?;
            file.write_all(format!("{id:x} {} {}\n", shed.to, shed.samples).as_bytes())?;
            disk::sync(&file)?;
            fs::rename(&fresh, &path)
        };
        write().doing("write", &path)?;
        self.sync()
    }
}

fn parse(text: &str, id: u64) -> Option<Shed> {
    let mut words = text.split_whitespace();
    let found = u64::from_str_radix(words.next()?, 16).ok()?;
    let (to, samples) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    (found == id).then_some(Shed { to: Position(to), samples })
}

impl Shared {
    /// Gives up the oldest segment, unless it is the one that is written or the start needs it; false
    /// if there is none to give up.
    ///
    /// # Errors
    /// If it can't be written down what is given up: then nothing is.
    pub(super) fn shed_oldest(&self) -> Result<bool, SpoolError> {
        let Some((oldest, shed)) = self.sheddable() else { return Ok(false) };
        self.directory.write_shed(self.identity.id, shed)?;
        let mut state = self.lock();
        // A follower may have committed meanwhile, and trimmed it: that is as good.
        if state.segments.first().is_none_or(|first| first.key != oldest.key) {
            return Ok(true);
        }
        state.segments.remove(0);
        state.bytes -= oldest.length;
        state.shed = shed;
        state.shed_segments += 1;
        let unread = |read: u64| shed.samples - read.clamp(oldest.samples_before, shed.samples);
        let missed: Vec<_> = state
            .followers
            .iter()
            .filter(|(_, at)| at.position < shed.to && state.tail.from(at.position).is_none())
            .map(|(name, at)| format!("{name}: {}", unread(at.samples_read)))
            .collect();
        drop(state);
        log::error!(
            event = "spool-shed", segment = oldest.first.0, end = shed.to.0, bytes = oldest.length,
            samples = shed.samples.saturating_sub(oldest.samples_before), missed = missed.join(", ");
            "the spool is at its cap: its oldest segment is given up (spool.when_full)"
        );
        let path = self.directory.segment(oldest.first);
        // It is out of sight already; if it can't be deleted, the next start sees it again.
        if let Err(error) = fs::remove_file(&path).and_then(|()| {
            self.directory.sync().map_err(|error| io::Error::other(error.to_string()))
        }) {
            log::warn!(segment = oldest.first.0, error:? = error; "a segment could not be deleted");
        }
        Ok(true)
    }

    fn sheddable(&self) -> Option<(Held, Shed)> {
        let state = self.lock();
        let [oldest, next, ..] = &state.segments[..] else { return None };
        let shed = Shed { to: next.first, samples: next.samples_before };
        (oldest.first < state.keep_from).then(|| (oldest.clone(), shed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_down_is_read_back_for_the_same_spool_only() {
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::new(dir.path());
        assert_eq!(directory.read_shed(0xabc).unwrap(), Shed::default());
        let shed = Shed { to: Position(17), samples: 123_456 };
        directory.write_shed(0xabc, shed).unwrap();
        assert_eq!(directory.read_shed(0xabc).unwrap(), shed);
        assert_eq!(directory.read_shed(0xabd).unwrap(), Shed::default());
        fs::write(dir.path().join("shed"), [0xff, 0xfe]).unwrap();
        assert_eq!(directory.read_shed(0xabc).unwrap(), Shed::default());
    }
}
