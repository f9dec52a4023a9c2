//! Opens a spool: finds its segments, folds what follows the newest checkpoint, knows a torn tail.
//!
//! Damage never keeps the daemon from starting. An I/O error does: it says nothing about what is on
//! the disk, and starting without it might take acknowledged batches for lost.

use super::Options;
use super::directory::{Directory, first_bytes};
use super::disk;
use super::error::{Doing, SpoolError};
use super::format::{HEAD_BYTES, HEADER_BYTES, Header, HeaderFound, Identity, VERSION};
use super::reader::{Bounds, Cause, Extent, Reader, Step};
use super::record::{Decode, Kind, Record};
use super::shared::{DamageCounts, Held, Shared, Spool, State};
use super::stats::SyncTimes;
use super::tail::Tail;
use super::writer::Writer;
use crate::clock;
use crate::model::Position;
use rand::RngExt;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

/// Extents that are listed in full; more are only counted.
const DAMAGE_LISTED_MAX: usize = 1000;

/// What opening found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The spool was made just now: there was none.
    pub created: bool,
    /// The last thing in it is a checkpoint: it was closed, not cut off.
    pub closed_cleanly: bool,
    /// Position of the checkpoint that the fold began with; `None` if there was no sound one.
    pub checkpoint: Option<Position>,
    /// Batches that were folded.
    pub folded: u64,
    /// The torn end of the last segment; it is cut off when the next begins. A copy is in `damaged/`.
    pub torn: Option<Extent>,
    /// Damage in the part that was folded (followers find the rest), at most the first 1000.
    pub damage: Vec<Extent>,
    /// How many damaged extents there were.
    pub damage_count: u64,
    /// Files that are not of this spool, as they are now called in `damaged/`.
    pub set_aside: Vec<PathBuf>,
}

/// Opens the spool in `options.dir`, or makes it.
///
/// `fold` is called with the checkpoint that opens the newest segment that has a sound one, and with
/// every record after it, in order. Each further checkpoint stands for everything before it, so that
/// a fold begins anew with each. A batch may be seen without any checkpoint before it if none is
/// sound. `decode` makes batches of records that followers read from disk.
///
/// # Errors
/// [`SpoolError::Locked`], [`SpoolError::Version`], [`SpoolError::Io`]; never because of damage.
pub fn open(
    options: &Options,
    decode: Decode,
    fold: &mut dyn FnMut(Position, &Record<'_>),
) -> Result<(Writer, Spool, Recovery), SpoolError> {
    let directory = Directory::new(&options.dir);
    let lock = directory.lock()?;
    directory.delete_unborn()?;
    let mut recovery = Recovery::default();
    let Found { identity, mut segments, floor } = find_segments(&directory, &mut recovery)?;
    let mut end = fold_segments(&directory, identity, &segments, &mut recovery, fold)?;
    make_durable(&directory, &segments)?;
    let cut = plan_cut(&directory, &mut segments, &mut end, &mut recovery);

    end.next = end.next.max(floor);
    let shed = directory.read_shed(identity.id)?;

    let mut damage = DamageCounts::default();
    // A torn tail is not counted: nobody was promised what is in it, unless it is damage after all.
    for extent in &recovery.damage {
        damage.add(extent);
    }
    let state = State {
        next: end.next,
        after: end.after,
        samples: end.samples,
        bytes: segments.iter().map(|held| held.length).sum(),
        keep_from: end.checkpoint_segment,
        segments,
        tail: Tail::new(options.tail_bytes),
        followers: BTreeMap::new(),
        ended: false,
        sync: SyncTimes::default(),
        damage,
        shed,
        shed_segments: 0,
    };
    let shared = Arc::new(Shared::new(directory, identity, decode, options, state, lock));
    let writer = Writer::new(Arc::clone(&shared), cut, options, recovery.closed_cleanly);
    Ok((writer, Spool { shared }, recovery))
}

/// Who the spool is and what it has.
struct Found {
    identity: Identity,
    segments: Vec<Held>,
    /// No position below this is given to a new batch.
    floor: Position,
}

/// Finds who the spool is and which segments are its own; what is not is set aside.
fn find_segments(directory: &Directory, recovery: &mut Recovery) -> Result<Found, SpoolError> {
    let (firsts, mut foreign) = directory.named()?;
    let mut headers = Vec::with_capacity(firsts.len());
    for &first in &firsts {
        headers.push(read_header(directory, first)?);
    }
    let written = directory.read_identity()?;
    let known = written.map(|header| header.identity).or_else(|| newest_identity(&headers));
    let mut identity = known.unwrap_or_else(fresh_identity);
    let mut floor = written.map_or(Position(0), |header| header.first);
    let mut segments: Vec<Held> = Vec::with_capacity(firsts.len());
    for (first, (found, length)) in firsts.into_iter().zip(headers) {
        let held = match found {
            HeaderFound::Valid(header) if header.identity == identity && header.first == first => {
                Some(held(&header, length))
            }
            HeaderFound::Valid(_) | HeaderFound::Newer(_) => None,
            HeaderFound::Damaged => salvage(directory, identity, first, length, &segments)?,
        };
        if held.is_some() && found == HeaderFound::Damaged {
            note(recovery, directory, damaged_header(first, length));
        } else if held.is_none() {
            foreign.push(directory.segment(first));
            // It may be a segment of ours in which nothing is sound, positions that were seen in it.
            let is_plausible = found == HeaderFound::Damaged && first.0 < u64::MAX / 2;
            let end = Position(first.0.saturating_add(positions_in(length)));
            floor = if is_plausible { floor.max(end) } else { floor };
        }
        segments.extend(held);
    }
    recovery.created = segments.is_empty();
    if recovery.created {
        (identity, floor) = (fresh_identity(), Position(0));
    }
    // The floor is written down before the file that it comes from is moved away.
    if written.is_none_or(|header| (header.identity, header.first) != (identity, floor)) {
        directory.write_identity(identity, floor)?;
    }
    for path in foreign {
        let to = match directory.set_aside(&path) {
            Ok(to) => to,
            // A full disk is no reason not to start. It is in nobody's way, and is tried again.
            Err(error @ SpoolError::NoSpace { .. }) => {
                log::error!(error:? = error; "a file that is not of this spool could not be set aside");
                continue;
            }
            Err(error) => return Err(error),
        };
        log::error!(event = "file-set-aside", from:? = path, to:? = to; "a file that is not of this spool was set aside");
        recovery.set_aside.push(to);
    }
    Ok(Found { identity, segments, floor })
}

/// The most batches that so many bytes can hold.
fn positions_in(bytes: u64) -> u64 {
    bytes.div_ceil(HEAD_BYTES as u64)
}

fn read_header(directory: &Directory, first: Position) -> Result<(HeaderFound, u64), SpoolError> {
    let path = directory.segment(first);
    let file = File::open(&path).doing("open", &path)?;
    let length = file.metadata().doing("read", &path)?.len();
    match Header::decode(&first_bytes(&file).doing("read", &path)?) {
        HeaderFound::Newer(found) => Err(SpoolError::Version { path, found, supported: VERSION }),
        found => Ok((found, length)),
    }
}

fn newest_identity(headers: &[(HeaderFound, u64)]) -> Option<Identity> {
    headers.iter().rev().find_map(|(found, _)| match found {
        HeaderFound::Valid(header) => Some(header.identity),
        HeaderFound::Newer(_) | HeaderFound::Damaged => None,
    })
}

/// A spool without segments gets a new identity: its positions begin at 0 again, and nobody may take
/// them for the old ones.
fn fresh_identity() -> Identity {
    let mut random = rand::rng();
    Identity { id: random.random(), salt: random.random() }
}

fn held(header: &Header, length: u64) -> Held {
    Held {
        key: header.first.0,
        first: header.first,
        after: header.after,
        length,
        samples_before: header.samples_before,
        created_at: header.created_at,
    }
}

/// A segment whose header is damaged is ours if any record in it is, or if it is empty, as a crash
/// at its creation leaves it. What the header said is taken from its name and its predecessor.
fn salvage(
    directory: &Directory,
    identity: Identity,
    first: Position,
    length: u64,
    before: &[Held],
) -> Result<Option<Held>, SpoolError> {
    let bounds = Bounds { length, limit: Position(u64::MAX), after: first };
    let mut reader = open_reader(directory, identity, first, bounds)?;
    let mut is_ours = length <= HEADER_BYTES as u64;
    while !is_ours {
        match reader.step().doing("read", &directory.segment(first))? {
            Step::Record { .. } => is_ours = true,
            Step::Damage(_) => {}
            Step::End => break,
        }
    }
    let samples_before = before.last().map_or(0, |held| held.samples_before);
    let created_at = before.last().map_or_else(clock::now, |held| held.created_at);
    let key = first.0;
    let held = Held { key, first, after: first, length, samples_before, created_at };
    Ok(is_ours.then_some(held))
}

fn damaged_header(segment: Position, length: u64) -> Extent {
    let (bytes, positions) = (length.min(HEADER_BYTES as u64), segment..segment);
    Extent { segment, offset: 0, bytes, positions, samples: 0, cause: Cause::Header }
}

/// Where the spool ends.
struct End {
    /// First position of the segment that opens with the newest sound checkpoint.
    checkpoint_segment: Position,
    /// Position after the last batch.
    after: Position,
    /// Position that the next batch gets.
    next: Position,
    samples: u64,
    /// Bytes of the last segment that are sound.
    length: u64,
}

fn fold_segments(
    directory: &Directory,
    identity: Identity,
    segments: &[Held],
    recovery: &mut Recovery,
    fold: &mut dyn FnMut(Position, &Record<'_>),
) -> Result<End, SpoolError> {
    let start = newest_checkpoint(directory, identity, segments)?;
    recovery.checkpoint = start.map(|index| segments[index].first);
    let segments_to_fold = &segments[start.unwrap_or(0)..];
    let first = segments_to_fold.first();
    let mut end = End {
        checkpoint_segment: first.map_or(Position(0), |held| held.first),
        after: Position(0),
        next: Position(0),
        samples: first.map_or(0, |held| held.samples_before),
        length: 0,
    };
    for (index, held) in segments_to_fold.iter().enumerate() {
        let follower = segments_to_fold.get(index + 1);
        let bounds = Bounds {
            length: held.length,
            limit: follower.map_or(Position(u64::MAX), |next| next.first),
            after: follower.map_or(Position(0), |next| next.after),
        };
        end.length = HEADER_BYTES as u64;
        let path = directory.segment(held.first);
        let mut reader = open_reader(directory, identity, held.first, bounds)?;
        loop {
            match reader.step().doing("read", &path)? {
                Step::Record { position, offset, bytes, record } => {
                    end.length = offset + bytes as u64;
                    recovery.closed_cleanly = record.kind == Kind::Checkpoint;
                    if record.kind == Kind::Batch {
                        recovery.folded += 1;
                        end.samples += u64::from(record.samples);
                    }
                    fold(position, &record);
                }
                Step::Damage(extent) => {
                    let at_end = extent.offset + extent.bytes >= held.length;
                    match follower {
                        None if at_end => recovery.torn = Some(extent),
                        _ => note(recovery, directory, extent),
                    }
                }
                Step::End => break,
            }
        }
        end.after = reader.expected();
    }
    end.next = end.after;
    Ok(end)
}

/// What was read counts from here on: clients are told that it is safe, followers store it. But the
/// run before may have died between a write and its sync, and then the end of the last segment, or
/// its name, is in the kernel's memory only. Earlier segments were synced before the next was begun.
fn make_durable(directory: &Directory, segments: &[Held]) -> Result<(), SpoolError> {
    let Some(last) = segments.last() else { return Ok(()) };
    let path = directory.segment(last.first);
    File::open(&path).and_then(|file| disk::sync(&file)).doing("sync", &path)?;
    directory.sync()
}

/// Index of the newest segment that opens with a sound checkpoint.
fn newest_checkpoint(
    directory: &Directory,
    identity: Identity,
    segments: &[Held],
) -> Result<Option<usize>, SpoolError> {
    for (index, held) in segments.iter().enumerate().rev() {
        let limit = Position(u64::MAX);
        let bounds = Bounds { length: held.length, limit, after: Position(0) };
        let mut reader = open_reader(directory, identity, held.first, bounds)?;
        let path = directory.segment(held.first);
        if let Step::Record { record, .. } = reader.step().doing("read", &path)?
            && record.kind == Kind::Checkpoint
        {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

/// What is left to do to the last segment once the next one is begun.
///
/// Not before: until the next segment says where its positions begin, the torn part is the only sign
/// of the positions that are given up. A crash in between finds it again.
#[derive(Debug)]
pub(super) struct Cut {
    pub path: PathBuf,
    /// Bytes that are sound; 0 = the file goes.
    pub length: u64,
}

/// Finds where the last segment is sound, and gives up the positions that its torn part may have had:
/// if it was not torn by a crash but damaged later, followers may have seen them.
fn plan_cut(
    directory: &Directory,
    segments: &mut Vec<Held>,
    end: &mut End,
    recovery: &mut Recovery,
) -> Option<Cut> {
    let last = segments.last_mut()?;
    let path = directory.segment(last.first);
    if let Some(torn) = &mut recovery.torn {
        torn.cause = Cause::Torn;
        recovery.closed_cleanly = false;
        log::warn!(event = "spool-torn", segment = torn.segment.0, offset = torn.offset, bytes = torn.bytes; "the spool has a torn tail");
        keep(directory, torn);
        end.next = Position(end.after.0.saturating_add(positions_in(torn.bytes)));
        end.after = torn.positions.start;
    }
    if end.length > HEADER_BYTES as u64 {
        last.length = end.length;
        // Also without a torn part: disk space that was taken and never used is given back.
        return Some(Cut { path, length: end.length });
    }
    // Nothing in it is sound, its checkpoint neither.
    end.after = end.after.min(last.after);
    segments.pop();
    Some(Cut { path, length: 0 })
}

fn open_reader(
    directory: &Directory,
    identity: Identity,
    first: Position,
    bounds: Bounds,
) -> Result<Reader<File>, SpoolError> {
    let path = directory.segment(first);
    let file = File::open(&path).doing("open", &path)?;
    Ok(Reader::new(file, identity.salt, first, bounds))
}

fn note(recovery: &mut Recovery, directory: &Directory, extent: Extent) {
    log::error!(
        event = "spool-damaged", segment = extent.segment.0, offset = extent.offset, bytes = extent.bytes,
        records = extent.records(), samples = extent.samples, cause:? = extent.cause;
        "a damaged part of the spool is stepped over"
    );
    keep(directory, &extent);
    recovery.damage_count += 1;
    if recovery.damage.len() < DAMAGE_LISTED_MAX {
        recovery.damage.push(extent);
    }
}

fn keep(directory: &Directory, extent: &Extent) {
    if let Err(error) = directory.keep_damaged(extent) {
        log::warn!(error:? = error; "the damaged bytes could not be copied");
    }
}
