//! The only writer of the spool, owned by the gate's thread.
//!
//! Hot path: records are encoded straight into the group's buffer, and a commit is one `write` and
//! one `fdatasync` however many there are. The buffer is kept between groups. `benches/spool.rs`
//! guards it.
//!
//! **When the disk fails.** A failed write is taken back (the segment is cut to its length) and the
//! group is given up. After a failed `fdatasync` the kernel may have dropped the pages and will not
//! say so twice, so that syncing again proves nothing: the segment is never written to again, what
//! was not synced is cut off, and the group, still in memory, is written once more into a new
//! segment. If that fails too, the group is given up and the next commit tries another new segment.
//! The new segment's first position makes void whatever the old one kept of the group. `commit.rs`
//! does this.

use super::commit::{Group, Pending};
use super::error::SpoolError;
use super::format::{self, HEADER_BYTES, RECORD_BYTES_MAX, TooLarge};
use super::record::{Entry, Kind, Record};
use super::recovery::Cut;
use super::reserve::Reserve;
use super::segment::Active;
use super::shared::{Held, Shared};
use super::{Durability, Options, WhenFull};
use crate::clock;
use crate::model::{Batch, Position};
use std::sync::Arc;
use std::time::Duration;

/// Appends to the spool. There is one for a spool at any time.
///
/// Dropping it without [`Writer::close`] loses what is not committed, as a crash does, and ends the
/// followers.
pub struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) reserve: Reserve,
    pub(super) segment_bytes: u64,
    pub(super) durability: Durability,
    pub(super) active: Option<(Held, Active)>,
    /// Of the segment that was the last when the spool was opened.
    pub(super) cut: Option<Cut>,
    pub(super) group: Group,
    /// Position of the group's first batch.
    pub(super) next: Position,
    /// Position after the last committed batch; below `next` where positions were given up.
    pub(super) after: Position,
    /// Samples in all committed batches.
    pub(super) samples: u64,
    /// The active segment, if there is one, gets no more records.
    pub(super) is_roll_due: bool,
    /// Of the last opening checkpoint: what the next one will take, about.
    pub(super) checkpoint_bytes: u64,
    /// The spool ends with a checkpoint of everything, and nothing came after it.
    pub(super) is_closed: bool,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        cut: Option<Cut>,
        options: &Options,
        is_closed: bool,
    ) -> Writer {
        let state = shared.lock();
        let (next, after, samples) = (state.next, state.after, state.samples);
        drop(state);
        let segment_bytes = shared.segment_bytes;
        let reserve = Reserve::new(shared.directory.reserve(), options.reserve_bytes);
        Writer {
            shared,
            reserve,
            segment_bytes,
            durability: options.durability,
            active: None,
            cut,
            group: Group::default(),
            next,
            after,
            samples,
            is_roll_due: true,
            checkpoint_bytes: 0,
            is_closed,
        }
    }

    /// Adds a record to the group that the next [`Writer::commit`] stores. Returns its position; a
    /// checkpoint, which must stand for everything appended so far, returns that of the next batch.
    /// `batch` is what the payload decodes to; without it, followers read it from disk.
    ///
    /// # Errors
    /// [`SpoolError::Full`] (never for a checkpoint) and [`SpoolError::TooLarge`]; then nothing is
    /// appended, and what was appended before is still in the group.
    pub fn append(
        &mut self,
        record: &Record<'_>,
        batch: Option<Arc<Batch>>,
    ) -> Result<Position, SpoolError> {
        let position = Position(self.next.0 + self.group.batches);
        if record.kind == Kind::Batch {
            self.check_room(record)?;
        }
        let salt = self.shared.identity.salt;
        format::encode(&mut self.group.bytes, salt, position, record)
            .map_err(|TooLarge(bytes)| SpoolError::TooLarge { bytes, max: RECORD_BYTES_MAX })?;
        if record.kind == Kind::Checkpoint {
            return Ok(position);
        }
        self.group.batches += 1;
        self.group.samples += u64::from(record.samples);
        match batch {
            Some(batch) => self.group.entries.push(Pending {
                entry: Arc::new(Entry::new(position, record, batch)),
                end: self.group.bytes.len() as u64,
                samples_end: self.samples + self.group.samples,
            }),
            None => self.group.is_partial = true,
        }
        Ok(position)
    }

    /// Bytes that wait to be committed.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.group.bytes.len()
    }

    /// Makes everything appended since the last commit durable (as [`Durability`] says) and then
    /// visible: one write, one sync. Call it now and then with nothing appended, too: it finishes a
    /// full segment, which lets a full spool be trimmed, and syncs when that is due.
    ///
    /// `checkpoint` is called when a new segment is begun, before any record of the group is
    /// written. It must give the fold of everything **committed** so far, without the group: its
    /// position is that of the group's first batch. It may be called twice.
    ///
    /// # Errors
    /// [`SpoolError::NoSpace`], [`SpoolError::Io`]: nothing of the group is visible, the group is
    /// given up, and its positions will be given to others. A later commit may succeed. After a loss
    /// of power a group that failed may nevertheless be there.
    pub fn commit(&mut self, checkpoint: &mut dyn FnMut() -> Vec<u8>) -> Result<(), SpoolError> {
        let is_idle = self.group.bytes.is_empty();
        if is_idle && !(self.is_full() || self.is_roll_due && self.has_batches()) {
            return self.sync_if_due().map(|_| ());
        }
        self.store(self.segment_bytes, checkpoint)
    }

    /// Begins the first segment of a spool that was [just made](super::Recovery::created), so that it
    /// stays who it is from now on: a spool without segments is given a new identity when it is opened,
    /// because nobody can tell whether its positions were ever in use. `checkpoint` is as in
    /// [`Writer::commit`].
    ///
    /// # Errors
    /// As [`Writer::commit`]; then the first commit begins it.
    pub fn begin(&mut self, checkpoint: &mut dyn FnMut() -> Vec<u8>) -> Result<(), SpoolError> {
        self.store(self.segment_bytes, checkpoint)
    }

    /// With [`Durability::Interval`]: syncs if the interval has passed since the oldest write that no
    /// sync has covered, and says how long it is until the next sync is due.
    ///
    /// # Errors
    /// [`SpoolError::Io`]: what was written since the last sync may be lost at a loss of power. The
    /// next commit begins a new segment.
    pub fn sync_if_due(&mut self) -> Result<Option<Duration>, SpoolError> {
        let Durability::Interval(interval) = self.durability else { return Ok(None) };
        let since = self.active.as_ref().and_then(|(_, active)| active.dirty_since);
        let Some(since) = since else { return Ok(None) };
        let left = interval.saturating_sub(clock::monotonic().saturating_duration_since(since));
        if !left.is_zero() {
            return Ok(Some(left));
        }
        self.sync_active()?;
        Ok(None)
    }

    /// Gives up the positions below this one, so that none of them is used. For a daemon that finds a
    /// follower ahead of the spool: the disk has lost what it had told to be durable. Call it with
    /// nothing appended.
    pub fn skip_to(&mut self, position: Position) {
        if position > self.next && self.group.batches == 0 {
            log::warn!(from = self.next.0, to = position.0; "positions of the spool are given up");
            self.next = position;
            self.is_roll_due = true;
            self.is_closed = false;
            let mut state = self.shared.lock();
            state.next = position;
            state.tail.clear();
        }
    }

    /// Gives the reserve's space back, for a start on a full disk. It is taken again when a segment is
    /// begun and there is space.
    ///
    /// # Errors
    /// [`SpoolError::Io`].
    pub fn release_reserve(&mut self) -> Result<(), SpoolError> {
        self.reserve.release()
    }

    /// Commits what was appended, then a checkpoint of everything, syncs, and ends the followers once
    /// they have read all. On a full disk the checkpoint is written into the space of the reserve.
    /// `checkpoint` is as in [`Writer::commit`]: called when everything is committed.
    ///
    /// # Errors
    /// As [`Writer::commit`]. The spool is closed all the same: the next start then folds what came
    /// after the last checkpoint.
    pub fn close(mut self, checkpoint: &mut dyn FnMut() -> Vec<u8>) -> Result<(), SpoolError> {
        let is_idle = self.group.bytes.is_empty();
        let committed = if is_idle { Ok(()) } else { self.commit(checkpoint) };
        committed.and(self.write_last(checkpoint))
    }

    fn check_room(&mut self, record: &Record<'_>) -> Result<(), SpoolError> {
        let bytes_max = self.shared.bytes_max;
        let record_bytes = format::HEAD_BYTES + record.client.len() + record.payload.len();
        let opening = HEADER_BYTES as u64 + self.checkpoint_bytes;
        let more = opening + (self.group.bytes.len() + record_bytes) as u64;
        let mut state = self.shared.lock();
        while state.bytes + more > bytes_max && self.shared.when_full == WhenFull::ShedOldest {
            drop(state);
            let is_shed = self.shared.shed_oldest()?;
            state = self.shared.lock();
            if !is_shed {
                // Only what is being written is left: it can be given up when it is finished.
                self.is_roll_due |= self.after > state.first();
                break;
            }
        }
        let bytes = state.bytes + more;
        if bytes <= bytes_max {
            return Ok(());
        }
        // If all is read, only the active segment is in the way, and trimming can't take that.
        self.is_roll_due |= state.is_read_by_all() && self.has_batches();
        Err(SpoolError::Full { bytes, bytes_max })
    }

    /// Whether the active segment holds any batch.
    pub(super) fn has_batches(&self) -> bool {
        self.active.as_ref().is_some_and(|(held, _)| self.after > held.first)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.end();
    }
}
