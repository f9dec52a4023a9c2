//! What is not settled yet, in one file that only grows, and is written anew when most of it is settled.
//!
//! ```text
//! file   = record*
//! record = len u32 | crc32 u32 of all that follows | kind u8 | seq u64 | message (len bytes)
//! kind   = 'S' the session (in `seq`; the message is the next seq, 8 bytes): the first record
//!          'B' a batch   'D' all up to seq is settled   'X' this one is gone
//! ```
//!
//! Integers are little-endian. `keep` returns after `fdatasync`: a seq that was sent and forgotten would be
//! used again for other readings, which the daemon would take for a batch that it has. 'D' and 'X' are
//! not synced: what comes back after a power cut is sent again, and enters once. An incomplete record at the
//! end was never kept, and is cut off.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const HEAD: usize = 17;
/// Below this size the file is left as it is.
const REWRITE_BYTES: u64 = 1 << 20;

/// The buffer. At most `held_max` batches are held; a further one pushes out the oldest.
pub struct Buffer {
    path: PathBuf,
    /// Locked while we live: a second process would use the same seqs.
    _lock: File,
    file: File,
    file_bytes: u64,
    held: VecDeque<(u64, Vec<u8>)>,
    held_bytes: u64,
    held_max: usize,
    session: u64,
    next: u64,
}

impl Buffer {
    /// Opens the file, or begins a new one with a session of its own.
    ///
    /// # Errors
    /// If it can't be read or written, or another process has it.
    pub fn open(path: &Path, held_max: usize) -> io::Result<Buffer> {
        let lock =
            OpenOptions::new().create(true).append(true).open(path.with_extension("lock"))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::Error::other("another process has this buffer"),
            TryLockError::Error(error) => error,
        })?;
        let open =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut buffer = Buffer {
            path: path.to_owned(),
            _lock: lock,
            file: open?,
            file_bytes: 0,
            held: VecDeque::new(),
            held_bytes: 0,
            held_max: held_max.max(1),
            session: 0,
            next: 1,
        };
        buffer.read()?;
        if buffer.session == 0 {
            buffer.session = rand::random_range(1..=u64::MAX);
            buffer.rewrite()?;
        }
        Ok(buffer)
    }

    fn read(&mut self) -> io::Result<()> {
        let mut bytes = Vec::new();
        self.file.read_to_end(&mut bytes)?;
        let mut at = 0;
        while let Some((kind, seq, message)) = record(&bytes[at..]) {
            at += HEAD + message.len();
            match (kind, <[u8; 8]>::try_from(message)) {
                (b'S', Ok(next)) => (self.session, self.next) = (seq, u64::from_le_bytes(next)),
                (b'B', _) => {
                    self.push(seq, message.to_vec());
                    self.next = seq + 1;
                }
                (b'D', _) => self.forget_to(seq),
                _ => drop(self.forget(seq)),
            }
        }
        self.file_bytes = at as u64;
        self.file.set_len(self.file_bytes)?;
        self.file.seek(SeekFrom::End(0)).map(drop)
    }

    /// Its session: drawn once for the life of the file.
    pub fn session(&self) -> u64 {
        self.session
    }

    /// The lowest seq that is held; the next one if none is.
    pub fn lowest(&self) -> u64 {
        self.held.front().map_or(self.next, |(seq, _)| *seq)
    }

    /// Whether all is settled.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// The first batch behind `seq`.
    pub fn after(&self, seq: u64) -> Option<(u64, &[u8])> {
        let index = self.held.partition_point(|(held, _)| *held <= seq);
        self.held.get(index).map(|(seq, message)| (*seq, &message[..]))
    }

    /// Numbers a batch, and keeps it on disk. Tells the seqs of those that were given up for it.
    ///
    /// # Errors
    /// If it can't be written; then it is not kept.
    pub fn keep(&mut self, encode: impl FnOnce(u64) -> Vec<u8>) -> io::Result<(u64, Vec<u64>)> {
        let seq = self.next;
        let message = encode(seq);
        let kept = self.append(b'B', seq, &message).and_then(|()| self.file.sync_data());
        if let Err(error) = kept {
            // Perhaps a part of it is there: the next one begins where it began.
            self.file.set_len(self.file_bytes)?;
            self.file.seek(SeekFrom::End(0))?;
            return Err(error);
        }
        self.file_bytes += (HEAD + message.len()) as u64;
        self.next += 1;
        self.push(seq, message);
        let mut given_up = Vec::new();
        while self.held.len() > self.held_max {
            let oldest = self.lowest();
            self.settle_one(oldest)?;
            given_up.push(oldest);
        }
        Ok((seq, given_up))
    }

    /// All up to `seq` is settled.
    ///
    /// # Errors
    /// If that can't be written.
    pub fn settle(&mut self, seq: u64) -> io::Result<()> {
        if self.lowest() > seq || self.is_empty() {
            return Ok(());
        }
        self.forget_to(seq);
        self.note(b'D', seq)
    }

    /// This one is gone. Whether it was there.
    ///
    /// # Errors
    /// If that can't be written.
    pub fn settle_one(&mut self, seq: u64) -> io::Result<bool> {
        match self.forget(seq) {
            Some(_) => self.note(b'X', seq).map(|()| true),
            None => Ok(false),
        }
    }

    fn note(&mut self, kind: u8, seq: u64) -> io::Result<()> {
        self.append(kind, seq, &[])?;
        self.file_bytes += HEAD as u64;
        match self.file_bytes > REWRITE_BYTES && self.file_bytes > 2 * self.held_bytes {
            true => self.rewrite(),
            false => Ok(()),
        }
    }

    /// Writes what is held into a new file, which takes the old one's place as a whole.
    fn rewrite(&mut self) -> io::Result<()> {
        let fresh = self.path.with_extension("new");
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&fresh)?;
        let mut bytes = bytes(b'S', self.session, &self.next.to_le_bytes());
        for (seq, message) in &self.held {
            bytes.extend(self::bytes(b'B', *seq, message));
        }
        file.write_all(&bytes)?;
        file.sync_data()?;
        std::fs::rename(&fresh, &self.path)?;
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
        (self.file, self.file_bytes) = (file, bytes.len() as u64);
        Ok(())
    }

    fn append(&mut self, kind: u8, seq: u64, message: &[u8]) -> io::Result<()> {
        self.file.write_all(&bytes(kind, seq, message))
    }

    fn push(&mut self, seq: u64, message: Vec<u8>) {
        self.held_bytes += (HEAD + message.len()) as u64;
        self.held.push_back((seq, message));
    }

    fn forget_to(&mut self, seq: u64) {
        while self.held.front().is_some_and(|(held, _)| *held <= seq) {
            self.forget(self.lowest());
        }
    }

    fn forget(&mut self, seq: u64) -> Option<Vec<u8>> {
        let index = self.held.binary_search_by_key(&seq, |(held, _)| *held).ok()?;
        let (_, message) = self.held.remove(index)?;
        self.held_bytes -= (HEAD + message.len()) as u64;
        Some(message)
    }
}

fn bytes(kind: u8, seq: u64, message: &[u8]) -> Vec<u8> {
    let mut content = vec![kind];
    content.extend(seq.to_le_bytes());
    content.extend(message);
    let mut bytes = (message.len() as u32).to_le_bytes().to_vec();
    bytes.extend(crc32fast::hash(&content).to_le_bytes());
    bytes.extend(content);
    bytes
}

/// The record that the bytes begin with, if it is whole.
fn record(bytes: &[u8]) -> Option<(u8, u64, &[u8])> {
    let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let content = bytes.get(8..HEAD + number(0)? as usize)?;
    (crc32fast::hash(content) == number(4)?).then_some(())?;
    let seq = u64::from_le_bytes(content.get(1..9)?.try_into().ok()?);
    Some((content[0], seq, &content[9..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_there_again_and_a_torn_end_is_cut_off() {
        let dir = std::env::temp_dir().join(format!("tidegate-buffer-{}", rand::random::<u64>()));
        std::fs::create_dir(&dir).unwrap();
        let path = dir.join("buffer.log");
        let message = |seq: u64| vec![seq as u8; 5];
        let mut buffer = Buffer::open(&path, 3).unwrap();
        assert!(Buffer::open(&path, 3).is_err(), "it is in use");
        let session = buffer.session();
        for seq in 1..=5 {
            let given_up = if seq > 3 { vec![seq - 3] } else { vec![] };
            assert_eq!(buffer.keep(message).unwrap(), (seq, given_up));
        }
        buffer.settle(3).unwrap();
        drop(buffer);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(&bytes(b'B', 6, &[1, 2, 3])[..9]).unwrap();
        let mut buffer = Buffer::open(&path, 3).unwrap();
        assert_eq!((buffer.session(), buffer.lowest()), (session, 4));
        assert_eq!(buffer.after(4), Some((5, &message(5)[..])));
        assert_eq!(buffer.keep(message).unwrap(), (6, vec![]));
        buffer.settle(6).unwrap();
        buffer.rewrite().unwrap();
        drop(buffer);
        let buffer = Buffer::open(&path, 3).unwrap();
        assert_eq!((buffer.is_empty(), buffer.lowest()), (true, 7), "seqs go on");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
