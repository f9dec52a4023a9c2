//! What the writer and the followers share, behind the one lock of the spool.
//!
//! The lock is held for moving `Arc`s and numbers, never over a system call.

use super::directory::Directory;
use super::error::{Doing, SpoolError};
use super::follower::Follower;
use super::format::Identity;
use super::reader::{Bounds, Extent, Reader, Step};
use super::record::{Decode, Record};
use super::shed::Shed;
use super::stats::{FollowerStats, Stats, SyncTimes};
use super::tail::{Slot, Tail};
use super::{Options, WhenFull};
use crate::model::{Position, Timestamp};
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Parts of damage that are logged one by one.
const DAMAGE_LOGGED_MAX: u64 = 64;
/// Places of damage that are remembered so that each is counted once. Beyond, they are counted again
/// by every follower that meets them: a spool with so many is lost anyway.
const DAMAGE_REMEMBERED_MAX: usize = 10_000;

/// Keys of segments begun in this run start here, far above any position.
const KEYS_OF_NEW_SEGMENTS: u64 = 1 << 63;

/// The spool as everybody but its writer sees it. Cheap to clone.
#[derive(Clone)]
pub struct Spool {
    pub(super) shared: Arc<Shared>,
}

impl Spool {
    /// The random number made with the spool: the epoch of live ids. Positions of two spools can be
    /// told apart by it.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.shared.identity.id
    }

    /// The position after the last published record.
    #[must_use]
    pub fn next(&self) -> Position {
        self.shared.lock().next
    }

    /// The lowest position that may still be held.
    #[must_use]
    pub fn first(&self) -> Position {
        self.shared.lock().first()
    }

    /// How full it is against its cap, 0 to 1.
    #[must_use]
    pub fn fill(&self) -> f64 {
        self.shared.lock().bytes as f64 / self.shared.bytes_max.max(1) as f64
    }

    /// How full it is against what its disk has room for, 0 to 1, when last
    /// [looked at](Spool::look_at_disk). Where this is more than [`Spool::fill`], the disk is the
    /// tighter bound.
    #[must_use]
    pub fn disk_fill(&self) -> f64 {
        let bytes = self.shared.lock().bytes;
        let room = self.disk_room();
        bytes as f64 / bytes.saturating_add(room).max(1) as f64
    }

    /// How full it is against the tighter of both bounds, 0 to 1.
    #[must_use]
    pub fn tightest_fill(&self) -> f64 {
        self.fill().max(self.disk_fill())
    }

    /// How many bytes it may still grow, by its cap and by its disk.
    #[must_use]
    pub fn room(&self) -> u64 {
        let left = self.shared.bytes_max.saturating_sub(self.shared.lock().bytes);
        left.min(self.disk_room())
    }

    /// Asks the file system how much is free. The answer is remembered, because many ask often.
    pub fn look_at_disk(&self) {
        self.shared.disk_free.store(self.disk_free(), Ordering::Relaxed);
    }

    /// What the disk has room for: whole segments, and the rest of the newest, whose space is taken
    /// already.
    fn disk_room(&self) -> u64 {
        let free = self.shared.disk_free.load(Ordering::Relaxed);
        let segment_bytes = self.shared.segment_bytes.max(1);
        let newest = self.shared.lock().segments.last().map_or(segment_bytes, |held| held.length);
        free / segment_bytes * segment_bytes + segment_bytes.saturating_sub(newest)
    }

    /// Whether a whole segment is kept for this follower that has been read by it already.
    #[must_use]
    pub fn waits_for(&self, name: &str) -> bool {
        let state = self.shared.lock();
        let Some(at) = state.followers.get(name) else { return false };
        let ends = state.segments.iter().skip(1).map(|next| next.first);
        ends.into_iter().any(|end| at.committed < end && end <= at.position)
    }

    /// Bytes that the file system of the spool has left for us; 0 if it does not say.
    #[must_use]
    pub fn disk_free(&self) -> u64 {
        rustix::fs::statvfs(self.shared.directory.path())
            .map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Its state at this moment.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let state = self.shared.lock();
        Stats {
            bytes: state.bytes,
            bytes_max: self.shared.bytes_max,
            segments: state.segments.len(),
            first: state.first(),
            next: state.next,
            samples: state.samples,
            oldest_at: state
                .segments
                .first()
                .filter(|oldest| oldest.first < state.next)
                .map(|oldest| oldest.created_at),
            tail_bytes: state.tail.bytes(),
            tail_bytes_max: state.tail.bytes_max(),
            sync: state.sync,
            damaged_extents: state.damage.extents,
            damaged_bytes: state.damage.bytes,
            damaged_records: state.damage.records,
            damaged_samples: state.damage.samples,
            shed: state.shed,
            shed_segments: state.shed_segments,
            followers: state.followers.iter().map(|(name, at)| at.stats(name, &state)).collect(),
        }
    }

    /// Follows from this position on. Nothing at or above what the follower has
    /// [committed](Follower::commit) is trimmed, even after it is dropped, until somebody follows
    /// under the same name again or the name is [forgotten](Spool::forget). Register every follower
    /// before the first of them commits.
    ///
    /// If `from` is no longer held, it starts at the first position that is; see [`Follower::gap`].
    /// If `from` lies ahead of the end (the disk lost what was told to be durable, or durability is
    /// weaker than [`Durability::Group`](super::Durability::Group)), it starts at the end; see
    /// [`Writer::skip_to`](super::Writer::skip_to).
    #[must_use]
    pub fn follow(&self, name: &str, from: Position) -> Follower {
        Follower::new(Arc::clone(&self.shared), name, from, None)
    }

    /// As [`Spool::follow`], for a follower that knows how many samples were in all batches below
    /// `from`: what was [shed](WhenFull::ShedOldest) before it came is counted exactly.
    #[must_use]
    pub fn follow_from(&self, name: &str, from: Position, samples_before: u64) -> Follower {
        Follower::new(Arc::clone(&self.shared), name, from, Some(samples_before))
    }

    /// Shows the sound records of the segment that holds this position, its checkpoint first, up to the
    /// batch at the position. What they say together is the fold of all batches below it, unless the
    /// segment is damaged or gone; then it is less.
    ///
    /// # Errors
    /// [`SpoolError::Io`].
    pub fn records_below(
        &self,
        position: Position,
        visit: &mut dyn FnMut(&Record<'_>),
    ) -> Result<(), SpoolError> {
        let Some(place) = self.shared.lock().place(position) else { return Ok(()) };
        let path = self.shared.directory.segment(place.first);
        let file = match File::open(&path) {
            Ok(file) => file,
            // It was trimmed or given up in this moment.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(SpoolError::io("open", &path, error)),
        };
        let bounds = Bounds { limit: place.bounds.limit.min(position), ..place.bounds };
        let mut reader = Reader::new(file, self.shared.identity.salt, place.first, bounds);
        loop {
            match reader.step().doing("read", &path)? {
                Step::Record { record, .. } => visit(&record),
                Step::Damage(_) => {}
                Step::End => return Ok(()),
            }
        }
    }

    /// As [`Follower::commit`], for a follower that somebody else reads with.
    pub fn commit(&self, name: &str, position: Position) {
        self.shared.commit(name, position);
    }

    /// Stops keeping what a follower of this name has not committed.
    pub fn forget(&self, name: &str) {
        self.shared.lock().followers.remove(name);
        self.shared.trim();
    }
}

/// A segment that is held.
#[derive(Debug, Clone)]
pub(super) struct Held {
    /// Tells files apart that have had the same name.
    pub key: u64,
    pub first: Position,
    /// As its header says: the position that its predecessor ends with.
    pub after: Position,
    /// Published bytes.
    pub length: u64,
    pub samples_before: u64,
    pub created_at: Timestamp,
}

/// A segment to read, and what to expect of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub key: u64,
    pub first: Position,
    pub bounds: Bounds,
    pub samples_before: u64,
    /// Where to go on after it.
    pub resume: Position,
}

/// Where a follower is.
#[derive(Debug, Clone, Default)]
pub(super) struct FollowerState {
    pub position: Position,
    pub committed: Position,
    pub samples_read: u64,
    pub last_received_at: Option<Timestamp>,
    pub records_lost: u64,
    pub samples_lost: u64,
    pub samples_shed: u64,
}

impl FollowerState {
    fn stats(&self, name: &str, state: &State) -> FollowerStats {
        let waiting = state.tail.from(self.position).and_then(|mut slots| slots.next());
        let oldest = waiting.map(|slot| slot.entry.received_at).or(self.last_received_at);
        let records_behind = state.next.0.saturating_sub(self.position.0);
        FollowerStats {
            name: name.to_owned(),
            position: self.position,
            committed: self.committed,
            records_behind,
            samples_behind: state.samples.saturating_sub(self.samples_read),
            behind_since: oldest.filter(|_| records_behind > 0),
            records_lost: self.records_lost,
            samples_lost: self.samples_lost,
            samples_shed: self.samples_shed + state.unread_below_first(self),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct DamageCounts {
    pub extents: u64,
    pub bytes: u64,
    pub records: u64,
    pub samples: u64,
    known: HashSet<(Position, u64, Position)>,
}

impl DamageCounts {
    /// Counts it unless it was counted before; says whether it is new.
    pub fn add(&mut self, extent: &Extent) -> bool {
        let key = (extent.segment, extent.offset, extent.positions.start);
        if self.known.contains(&key) {
            return false;
        }
        if self.known.len() < DAMAGE_REMEMBERED_MAX {
            self.known.insert(key);
        }
        self.extents += 1;
        self.bytes += extent.bytes;
        self.records += extent.records();
        self.samples += extent.samples;
        true
    }
}

#[derive(Debug)]
pub(super) struct State {
    /// Published end: the next batch gets this position.
    pub next: Position,
    /// Position after the last batch; below `next` where positions were given up.
    pub after: Position,
    /// Samples in all batches ever published.
    pub samples: u64,
    /// In the order of positions; the last may be written to.
    pub segments: Vec<Held>,
    /// Of all segments.
    pub bytes: u64,
    /// Segments from this one on are kept: the newest sound checkpoint opens it.
    pub keep_from: Position,
    pub tail: Tail,
    pub followers: BTreeMap<String, FollowerState>,
    pub ended: bool,
    pub sync: SyncTimes,
    pub damage: DamageCounts,
    pub shed: Shed,
    /// Segments given up in this run.
    pub shed_segments: u64,
}

impl State {
    pub fn first(&self) -> Position {
        self.segments.first().map_or(self.next, |segment| segment.first)
    }

    /// Samples that this follower has yet to find given up.
    pub fn unread_below_first(&self, at: &FollowerState) -> u64 {
        let first = self.segments.first();
        let gone = first
            .filter(|first| at.position < first.first && self.tail.from(at.position).is_none());
        gone.map_or(0, |first| first.samples_before.saturating_sub(at.samples_read))
    }

    /// Whether every follower has committed everything, and there is one.
    pub fn is_read_by_all(&self) -> bool {
        let followers = &self.followers;
        !followers.is_empty() && followers.values().all(|at| at.committed >= self.next)
    }

    /// The segment in which this position is, or was.
    pub fn place(&self, position: Position) -> Option<Place> {
        let index = self.segments.partition_point(|held| held.first <= position).checked_sub(1)?;
        let held = &self.segments[index];
        let (limit, after, resume) = match self.segments.get(index + 1) {
            Some(next) => (next.first, next.after, next.first),
            None => (self.next, self.after, self.next),
        };
        let bounds = Bounds { length: held.length, limit, after };
        let Held { key, first, samples_before, .. } = *held;
        Some(Place { key, first, bounds, samples_before, resume })
    }
}

/// What the writer and the followers share.
pub(super) struct Shared {
    pub directory: Directory,
    pub identity: Identity,
    pub decode: Decode,
    pub bytes_max: u64,
    pub when_full: WhenFull,
    /// Size at which a segment is finished.
    pub segment_bytes: u64,
    /// What the disk had free when last looked at.
    disk_free: AtomicU64,
    state: Mutex<State>,
    pub grown: Condvar,
    /// Held until the last handle is dropped: followers delete files, too.
    _lock: File,
    keys: AtomicU64,
}

impl Shared {
    pub fn new(
        directory: Directory,
        identity: Identity,
        decode: Decode,
        options: &Options,
        state: State,
        lock: File,
    ) -> Shared {
        // Recovered segments have their first position as key.
        let keys = AtomicU64::new(KEYS_OF_NEW_SEGMENTS);
        let (state, grown) = (Mutex::new(state), Condvar::new());
        Shared {
            directory,
            identity,
            decode,
            bytes_max: options.bytes_max,
            when_full: options.when_full,
            segment_bytes: options.segment_bytes.min(options.bytes_max / 4),
            disk_free: AtomicU64::new(u64::MAX),
            state,
            grown,
            _lock: lock,
            keys,
        }
    }

    /// A key for a segment that no other has in this run.
    pub fn next_key(&self) -> u64 {
        self.keys.fetch_add(1, Ordering::Relaxed)
    }

    /// The state. Every change under the lock is complete when it can panic, so that a poisoned lock
    /// says nothing.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a committed group visible. `held` is the segment it is in, as it is now.
    pub fn publish(&self, held: Held, next: Position, samples: u64, slots: Option<Vec<Slot>>) {
        let (mut state, length) = (self.lock(), held.length);
        match state.segments.last_mut().filter(|last| last.first == held.first) {
            Some(last) => {
                // Also a segment without batches whose file was made anew.
                let before = std::mem::replace(last, held);
                state.bytes = state.bytes - before.length + length;
            }
            None => {
                state.bytes += length;
                state.keep_from = held.first;
                state.segments.push(held);
            }
        }
        (state.next, state.after, state.samples) = (next, next, samples);
        match slots {
            Some(slots) => slots.into_iter().for_each(|slot| state.tail.push(slot)),
            None => state.tail.clear(),
        }
        drop(state);
        self.grown.notify_all();
    }

    /// Nothing will be published any more.
    pub fn end(&self) {
        self.lock().ended = true;
        self.grown.notify_all();
    }

    /// Counts damage, and at its first sight copies it to `damaged/` and logs it: of very many parts
    /// those whose number is a power of two.
    pub fn note_damage(&self, extent: &Extent) {
        let mut state = self.lock();
        if !state.damage.add(extent) {
            return;
        }
        let parts = state.damage.extents;
        drop(state);
        if parts <= DAMAGE_LOGGED_MAX || parts.is_power_of_two() {
            log::error!(
                event = "spool-damaged", segment = extent.segment.0, offset = extent.offset, bytes = extent.bytes,
                records = extent.records(), samples = extent.samples, cause:? = extent.cause,
                parts = parts;
                "a damaged part of the spool is stepped over"
            );
        }
        if let Err(error) = self.directory.keep_damaged(extent) {
            log::warn!(error:? = error; "the damaged bytes could not be copied");
        }
    }

    /// See [`Follower::commit`].
    pub fn commit(&self, name: &str, position: Position) {
        let mut state = self.lock();
        if let Some(at) = state.followers.get_mut(name) {
            at.committed = at.committed.max(position);
        }
        drop(state);
        self.trim();
    }

    /// Deletes the segments that no follower needs. If nobody follows, everybody may come: all stay.
    pub fn trim(&self) {
        let mut state = self.lock();
        let Some(needed) = state.followers.values().map(|at| at.committed).min() else { return };
        let keep_from = state.keep_from;
        let unneeded = state
            .segments
            .windows(2)
            .take_while(|pair| pair[1].first <= needed && pair[0].first < keep_from)
            .count();
        let trimmed: Vec<Held> = state.segments.drain(..unneeded).collect();
        state.bytes -= trimmed.iter().map(|held| held.length).sum::<u64>();
        drop(state);
        for held in &trimmed {
            let path = self.directory.segment(held.first);
            // It is out of sight already; if it can't be deleted, the next start sees it again.
            if let Err(error) = fs::remove_file(&path) {
                log::warn!(segment = held.first.0, error:? = error; "a segment could not be deleted");
            }
        }
        if !trimmed.is_empty()
            && let Err(error) = self.directory.sync()
        {
            log::warn!(error:? = error; "the spool's directory could not be synced");
        }
    }
}
