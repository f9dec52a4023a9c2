//! Reads the spool from a position on: from memory where it can, from disk where it must.

use super::error::SpoolError;
use super::reader::{Cause, Extent, Reader, Step};
use super::record::{Entry, Kind};
use super::shared::{FollowerState, Place, Shared, State};
use crate::clock;
use crate::model::Position;
use std::fs::File;
use std::io::ErrorKind;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Reads the spool from a position on. Batches come in the order of their positions, each once.
pub struct Follower {
    shared: Arc<Shared>,
    name: String,
    gap: u64,
    at: FollowerState,
    /// Where on disk the next record is, if that is known: key of the segment, and offset.
    cursor: Option<(u64, u64)>,
    /// The segment that is being read from disk, and its key.
    reader: Option<(u64, Reader<File>)>,
}

/// What [`Follower::next`] found.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// At least one entry.
    Entries(Vec<Arc<Entry>>),
    /// Nothing came within the timeout.
    Idle,
    /// The writer is closed and everything has been read.
    Ended,
}

impl Follower {
    pub(super) fn new(
        shared: Arc<Shared>,
        name: &str,
        from: Position,
        samples_before: Option<u64>,
    ) -> Follower {
        let mut state = shared.lock();
        let (first, end) = (state.first(), state.next);
        if from < first {
            log::warn!(follower = name, from = from.0, first = first.0; "a follower comes too late for what is trimmed");
        } else if from > end {
            log::error!(follower = name, from = from.0, end = end.0; "a follower is ahead of the spool");
        }
        let (position, samples_read) = place_at(&state, from, samples_before);
        let shed = samples_before.filter(|_| from < state.shed.to && from < first);
        let samples_shed = shed.map_or(0, |before| state.shed.samples.saturating_sub(before));
        let committed = position;
        let at =
            FollowerState { position, committed, samples_read, samples_shed, ..Default::default() };
        state.followers.insert(name.to_owned(), at.clone());
        drop(state);
        let gap = first.0.saturating_sub(from.0);
        Follower { shared, name: name.to_owned(), gap, at, cursor: None, reader: None }
    }

    /// The position of the next batch that it will get, or a lower one that no batch has.
    #[must_use]
    pub fn position(&self) -> Position {
        self.at.position
    }

    /// How many positions it was too late for when it began to follow.
    #[must_use]
    pub fn gap(&self) -> u64 {
        self.gap
    }

    /// Samples in all batches below its position, also of those before it began to follow. Exact
    /// once it has read an entry, or stands at the end.
    #[must_use]
    pub fn samples_before(&self) -> u64 {
        self.at.samples_read
    }

    /// Samples that it could not get because of damage, since it began to follow.
    #[must_use]
    pub fn samples_lost(&self) -> u64 {
        self.at.samples_lost
    }

    /// Samples that it has yet to read.
    #[must_use]
    pub fn samples_behind(&self) -> u64 {
        self.shared.lock().samples.saturating_sub(self.at.samples_read)
    }

    /// Leaves out what is before `to` and goes on there. Nothing is committed by that: what was left
    /// out stays in the spool. A position that it has passed is ignored.
    pub fn skip_to(&mut self, to: Position) {
        if to <= self.at.position {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        (self.at.position, self.at.samples_read) = place_at(&state, to, None);
        (self.cursor, self.reader) = (None, None);
        self.tell(&mut state);
    }

    /// Samples that it did not get because the spool was full and gave them up, since it began to
    /// follow; all of them lie before the next entry.
    #[must_use]
    pub fn samples_shed(&self) -> u64 {
        self.at.samples_shed
    }

    /// The next entries: as many as fit in `bytes_max` bytes of memory, decoded, give or take the last; at
    /// least one. On disk they may take a twentieth of it. Waits up to `timeout` for the first.
    ///
    /// # Errors
    /// [`SpoolError::Io`] if the disk can't be read. Nothing is skipped; call again, after a pause.
    pub fn next(&mut self, bytes_max: usize, timeout: Duration) -> Result<Next, SpoolError> {
        // A timeout beyond what the clock can name waits for ever.
        let deadline = clock::monotonic().checked_add(timeout);
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        loop {
            if self.at.position >= state.next {
                if state.ended {
                    return Ok(Next::Ended);
                }
                match wait(&shared, state, deadline) {
                    Some(guard) => state = guard,
                    None => return Ok(Next::Idle),
                }
                continue;
            }
            if let Some(entries) = self.read_tail(&mut state, bytes_max) {
                return Ok(Next::Entries(entries));
            }
            // There is always a segment below the end, unless what was next is given up.
            let Some(place) = state.place(self.at.position) else {
                self.skip_shed(&mut state);
                continue;
            };
            drop(state);
            let read = self.read_disk(&place, bytes_max);
            state = shared.lock();
            self.tell(&mut state);
            match read? {
                entries if entries.is_empty() => {}
                entries => return Ok(Next::Entries(entries)),
            }
        }
    }

    /// Nothing below this position is needed by this follower any more: it is stored elsewhere, or
    /// of no use. Segments that nobody needs are deleted. A lower position than before is ignored.
    pub fn commit(&self, position: Position) {
        self.shared.commit(&self.name, position);
    }

    fn read_tail(&mut self, state: &mut State, bytes_max: usize) -> Option<Vec<Arc<Entry>>> {
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for slot in state.tail.from(self.at.position)? {
            bytes += slot.entry.memory_bytes();
            if bytes > bytes_max && !entries.is_empty() {
                break;
            }
            self.at.position = slot.entry.position.next();
            self.at.samples_read = slot.samples_end;
            self.at.last_received_at = Some(slot.entry.received_at);
            self.cursor = Some((slot.segment, slot.end));
            entries.push(Arc::clone(&slot.entry));
        }
        self.reader = None;
        self.tell(state);
        let read_by_all = state.followers.values().map(|at| at.position).min();
        state.tail.release(read_by_all.unwrap_or_default());
        Some(entries)
    }

    /// Writes down where it is, for trimming and for stats.
    fn tell(&self, state: &mut State) {
        if let Some(at) = state.followers.get_mut(&self.name) {
            let committed = at.committed;
            *at = FollowerState { committed, ..self.at.clone() };
        }
    }

    /// Reads on in one segment. Comes back with entries, or with a position further on, or with an
    /// error: a caller that repeats it makes progress or learns why not.
    fn read_disk(&mut self, place: &Place, max: usize) -> Result<Vec<Arc<Entry>>, SpoolError> {
        let path = self.shared.directory.segment(place.first);
        let mut reader = match self.reader_of(place) {
            Ok(reader) => reader,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // If it was given up in this moment, that is found out next.
                if self.shared.lock().first() <= place.first {
                    self.lose_segment(place);
                }
                return Ok(Vec::new());
            }
            Err(error) => return Err(SpoolError::io("open", &path, error)),
        };
        let (mut entries, mut bytes) = (Vec::new(), 0);
        let failed = loop {
            if bytes >= max && !entries.is_empty() {
                break None;
            }
            match self.read_record(&mut reader) {
                Ok(Read::Entry(entry)) => {
                    bytes += entry.memory_bytes();
                    entries.push(Arc::new(entry));
                }
                Ok(Read::Nothing) => {}
                Ok(Read::End) => {
                    self.at.position = self.at.position.max(place.resume);
                    // The segment may grow: then it is read on from here.
                    self.cursor = Some((place.key, reader.offset()));
                    return Ok(entries);
                }
                Err(error) => break Some(error),
            }
        };
        self.cursor = Some((place.key, reader.offset()));
        self.reader = Some((place.key, reader));
        match failed {
            // What was read before the fault is handed out; the fault will be met again.
            Some(error) if entries.is_empty() => Err(SpoolError::io("read", &path, error)),
            _ => Ok(entries),
        }
    }

    /// A reader that stands at this follower's position in the segment, or at its beginning.
    fn reader_of(&mut self, place: &Place) -> std::io::Result<Reader<File>> {
        if let Some((_, mut reader)) = self.reader.take().filter(|&(key, _)| key == place.key) {
            reader.rebound(place.bounds);
            return Ok(reader);
        }
        let file = File::open(self.shared.directory.segment(place.first))?;
        let salt = self.shared.identity.salt;
        let mut reader = Reader::new(file, salt, place.first, place.bounds);
        match self.cursor.take().filter(|&(key, _)| key == place.key) {
            Some((_, offset)) => reader.seek(offset, self.at.position),
            None => self.at.samples_read = place.samples_before,
        }
        Ok(reader)
    }

    fn read_record(&mut self, reader: &mut Reader<File>) -> std::io::Result<Read> {
        let segment = reader.segment();
        let (position, offset, bytes, record) = match reader.step()? {
            Step::Record { position, offset, bytes, record } => (position, offset, bytes, record),
            Step::Damage(extent) => {
                self.lose(&extent);
                return Ok(Read::Nothing);
            }
            Step::End => return Ok(Read::End),
        };
        if record.kind == Kind::Checkpoint {
            return Ok(Read::Nothing);
        }
        let samples = u64::from(record.samples);
        if position < self.at.position {
            self.at.samples_read += samples;
            return Ok(Read::Nothing);
        }
        self.at.last_received_at = Some(record.received_at);
        match (self.shared.decode)(&record) {
            Ok(batch) => {
                self.at.samples_read += samples;
                self.at.position = position.next();
                Ok(Read::Entry(Entry::new(position, &record, Arc::new(batch))))
            }
            Err(error) => {
                log::error!(position = position.0, error:? = error; "a record of the spool does not decode");
                let positions = position..position.next();
                let (bytes, cause) = (bytes as u64, Cause::Undecodable);
                self.lose(&Extent { segment, offset, bytes, positions, samples, cause });
                Ok(Read::Nothing)
            }
        }
    }

    /// Steps over what the full spool has given up.
    fn skip_shed(&mut self, state: &mut State) {
        self.at.samples_shed += state.unread_below_first(&self.at);
        let first = state.segments.first();
        self.at.samples_read = first.map_or(state.samples, |first| first.samples_before);
        self.at.position = state.first();
        (self.reader, self.cursor) = (None, None);
        self.tell(state);
    }

    /// Steps over damage. What lies below its position is not lost to it.
    fn lose(&mut self, extent: &Extent) {
        self.shared.note_damage(extent);
        self.at.samples_read += extent.samples;
        if extent.positions.end > self.at.position {
            let from = extent.positions.start.max(self.at.position);
            self.at.records_lost += extent.positions.end.0 - from.0;
            self.at.samples_lost += extent.samples;
            self.at.position = extent.positions.end;
        }
    }

    /// The file of a segment is gone.
    fn lose_segment(&mut self, place: &Place) {
        let end = place.bounds.after.max(place.first);
        let (segment, positions) = (place.first, place.first..end);
        let cause = Cause::Missing;
        self.lose(&Extent { segment, offset: 0, bytes: 0, positions, samples: 0, cause });
        self.at.position = self.at.position.max(place.resume);
    }
}

/// Where a follower that wants to begin at `from` stands, and how many samples are before that. What
/// lies before an early position is taken as read; where it is not known, and `samples_before` does
/// not tell, the count of samples corrects itself when the first record is read.
fn place_at(state: &State, from: Position, samples_before: Option<u64>) -> (Position, u64) {
    let end = state.next;
    let position = from.max(state.first()).min(end);
    let samples = match (state.place(position), samples_before) {
        (Some(place), Some(before)) if place.first < position && position < end => {
            before.clamp(place.samples_before, state.samples)
        }
        (Some(place), _) if position < end => place.samples_before,
        _ => state.samples,
    };
    (position, samples)
}

enum Read {
    Entry(Entry),
    Nothing,
    End,
}

/// Waits for something new; `None` when the deadline is over.
fn wait<'a>(
    shared: &'a Shared,
    state: MutexGuard<'a, State>,
    deadline: Option<Instant>,
) -> Option<MutexGuard<'a, State>> {
    let Some(deadline) = deadline else {
        return Some(shared.grown.wait(state).unwrap_or_else(PoisonError::into_inner));
    };
    let left = deadline.saturating_duration_since(clock::monotonic());
    if left.is_zero() {
        return None;
    }
    let waited = shared.grown.wait_timeout(state, left);
    Some(waited.unwrap_or_else(PoisonError::into_inner).0)
}
