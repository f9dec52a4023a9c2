//! How a group gets to the disk: the part of the [`Writer`] that is about segments and failures.

use super::Durability;
use super::error::SpoolError;
use super::format::{self, HEADER_BYTES, Header, RECORD_BYTES_MAX, TooLarge};
use super::record::{Entry, Record};
use super::recovery::Cut;
use super::segment::{self, Active};
use super::shared::Held;
use super::tail::Slot;
use super::writer::Writer;
use crate::clock;
use crate::model::Position;
use std::sync::Arc;
use std::time::Instant;

/// The buffer of a group is given back when a larger one has passed.
const GROUP_BUFFER_BYTES_KEPT: usize = 16 << 20;

/// What was appended since the last commit.
#[derive(Default)]
pub(super) struct Group {
    pub bytes: Vec<u8>,
    pub entries: Vec<Pending>,
    pub batches: u64,
    pub samples: u64,
    /// A batch came without its decoded form.
    pub is_partial: bool,
}

/// A batch that waits to be committed.
pub(super) struct Pending {
    pub entry: Arc<Entry>,
    /// Where in the group its record ends.
    pub end: u64,
    /// Samples up to and with it.
    pub samples_end: u64,
}

impl Group {
    fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(GROUP_BUFFER_BYTES_KEPT);
        self.entries.clear();
        (self.batches, self.samples, self.is_partial) = (0, 0, false);
    }
}

/// Why a group is not on disk. They differ in what may be trusted afterwards.
enum Failure {
    /// It was not written, or could not be.
    Write(SpoolError),
    /// It was written, but nobody knows what of it is on disk.
    Sync(SpoolError),
}

type Checkpoint<'a> = &'a mut dyn FnMut() -> Vec<u8>;

impl Writer {
    /// Writes the group, syncs as the durability asks for, and publishes it; or gives it up.
    pub(super) fn store(
        &mut self,
        room: u64,
        checkpoint: Checkpoint<'_>,
    ) -> Result<(), SpoolError> {
        let stored = match self.write_group(room, checkpoint) {
            Err(Failure::Sync(error)) => {
                log::error!(event = "spool-sync-failed", error:? = error; "a sync failed; the group is written again in a new segment");
                self.write_group(room, checkpoint)
            }
            stored => stored,
        };
        match stored {
            Ok(base) => {
                self.publish(base);
                Ok(())
            }
            Err(Failure::Sync(error) | Failure::Write(error)) => {
                self.group.clear();
                Err(error)
            }
        }
    }

    /// Writes a checkpoint after everything, in the space of the reserve if there is no other.
    pub(super) fn write_last(&mut self, checkpoint: Checkpoint<'_>) -> Result<(), SpoolError> {
        if self.is_closed {
            return Ok(());
        }
        match self.store_checkpoint(checkpoint) {
            Err(SpoolError::NoSpace { .. }) => {
                self.reserve.release()?;
                self.store_checkpoint(checkpoint)?;
            }
            stored => stored?,
        }
        self.sync_active()?;
        self.is_closed = true;
        Ok(())
    }

    fn store_checkpoint(&mut self, checkpoint: Checkpoint<'_>) -> Result<(), SpoolError> {
        // A new segment opens with one anyway.
        if self.active.is_some() && !self.is_roll_due {
            let payload = checkpoint();
            self.append(&Record::checkpoint(clock::now(), &payload), None)?;
        }
        self.store(0, checkpoint)
    }

    /// Whether the active segment should not take the group any more.
    pub(super) fn is_full(&self) -> bool {
        let group = self.group.bytes.len() as u64;
        let length = self.active.as_ref().map_or(0, |(_, active)| active.length());
        self.has_batches() && length + group > self.segment_bytes
    }

    /// Puts the group on disk, in the active segment or in a new one. Returns where it begins there.
    fn write_group(&mut self, room: u64, checkpoint: Checkpoint<'_>) -> Result<u64, Failure> {
        if self.is_roll_due || self.is_full() {
            // Once it was tried, the group may be in a file of its own: it must not go elsewhere.
            self.is_roll_due = true;
            return self.begin_segment(room, checkpoint);
        }
        let Some((_, active)) = &mut self.active else {
            return self.begin_segment(room, checkpoint);
        };
        let base = active.length();
        if let Err(error) = active.write(&self.group.bytes, base) {
            // After a full disk the segment is as it was before, if that can be had.
            let is_clean = active.take_back() && matches!(error, SpoolError::NoSpace { .. });
            self.is_roll_due = !is_clean;
            return Err(Failure::Write(error));
        }
        active.dirty_since.get_or_insert_with(clock::monotonic);
        let synced = match self.durability {
            Durability::Group => self.sync_active(),
            Durability::Interval(_) => self.sync_if_due().map(|_| ()),
            Durability::Os => Ok(()),
        };
        synced.map(|()| base).map_err(Failure::Sync)
    }

    /// Begins a segment: its header, its checkpoint and the group, synced whatever the durability,
    /// because older segments may be trimmed once its checkpoint can stand for them. It gets its
    /// name when all of it is on disk, so that a segment that has one opens with a checkpoint.
    fn begin_segment(&mut self, room: u64, checkpoint: Checkpoint<'_>) -> Result<u64, Failure> {
        self.finish_writing();
        let now = clock::now();
        let held = Held {
            key: self.shared.next_key(),
            first: self.next,
            after: self.after,
            length: 0,
            samples_before: self.samples,
            created_at: now,
        };
        let opening = self.opening(&held, &checkpoint()).map_err(Failure::Write)?;
        let base = opening.len() as u64;
        let length = base + self.group.bytes.len() as u64;
        let path = self.shared.directory.segment(held.first);
        let room = if room == 0 { 0 } else { room.max(length) };
        let mut active = Active::create(&path, room).map_err(Failure::Write)?;
        let written = active
            .write(&opening, 0)
            .and_then(|()| active.write(&self.group.bytes, base))
            .map_err(Failure::Write)
            .and_then(|()| self.timed(|| active.sync()).map_err(Failure::Sync))
            .and_then(|()| active.name(&path).map_err(Failure::Write));
        if let Err(error) = written {
            active.discard();
            return Err(error);
        }
        self.timed(|| self.shared.directory.sync()).map_err(Failure::Sync)?;
        if let Some((_, old)) = self.active.replace((held, active)) {
            old.finish();
        }
        if let Some(Cut { path: last, length }) = self.cut.take().filter(|cut| cut.path != path) {
            segment::cut(&last, length);
        }
        self.is_roll_due = false;
        self.checkpoint_bytes = base - HEADER_BYTES as u64;
        Ok(base)
    }

    fn opening(&self, held: &Held, checkpoint: &[u8]) -> Result<Vec<u8>, SpoolError> {
        let header = Header {
            identity: self.shared.identity,
            first: held.first,
            after: held.after,
            samples_before: held.samples_before,
            created_at: held.created_at,
        };
        let mut opening = header.encode().to_vec();
        let record = Record::checkpoint(held.created_at, checkpoint);
        format::encode(&mut opening, header.identity.salt, held.first, &record)
            .map_err(|TooLarge(bytes)| SpoolError::TooLarge { bytes, max: RECORD_BYTES_MAX })?;
        Ok(opening)
    }

    /// The active segment gets no more: with [`Durability::Interval`], what is not synced in it is.
    fn finish_writing(&mut self) {
        let is_due = matches!(self.durability, Durability::Interval(_))
            && self.active.as_ref().is_some_and(|(_, active)| active.dirty_since.is_some());
        if is_due && let Err(error) = self.sync_active() {
            log::error!(error:? = error; "a finished segment could not be synced; a loss of power may take its end");
        }
    }

    /// Syncs the active segment. If that fails, it gets no more records and no second sync, which
    /// would prove nothing; what was not yet committed is cut off.
    pub(super) fn sync_active(&mut self) -> Result<(), SpoolError> {
        let Some((_, active)) = &mut self.active else { return Ok(()) };
        timed(&self.shared, || active.sync()).inspect_err(|_| {
            self.is_roll_due = true;
            active.dirty_since = None;
            if !active.take_back() {
                log::warn!("a segment that failed to sync could not be cut; its end is void");
            }
        })
    }

    fn timed(&self, sync: impl FnOnce() -> Result<(), SpoolError>) -> Result<(), SpoolError> {
        timed(&self.shared, sync)
    }

    fn publish(&mut self, base: u64) {
        let Some((held, active)) = &mut self.active else { return };
        let is_new = active.length() == 0;
        held.length = base + self.group.bytes.len() as u64;
        active.advance(held.length);
        self.next = Position(self.next.0 + self.group.batches);
        // Positions given up are behind the segment that was begun for them.
        self.after = self.next;
        self.samples += self.group.samples;
        self.is_closed = false;
        let slots = self.group.entries.drain(..).map(|pending| Slot {
            entry: pending.entry,
            segment: held.key,
            end: base + pending.end,
            samples_end: pending.samples_end,
        });
        let slots = (!self.group.is_partial).then(|| slots.collect());
        self.shared.publish(held.clone(), self.next, self.samples, slots);
        self.group.clear();
        if is_new {
            self.reserve.hold();
            self.shared.trim();
        }
    }
}

fn timed(
    shared: &super::shared::Shared,
    sync: impl FnOnce() -> Result<(), SpoolError>,
) -> Result<(), SpoolError> {
    let start: Instant = clock::monotonic();
    let result = sync();
    let took = clock::monotonic().saturating_duration_since(start);
    let mut state = shared.lock();
    match &result {
        Ok(()) => state.sync.add(took),
        Err(_) => state.sync.failed += 1,
    }
    drop(state);
    result
}
