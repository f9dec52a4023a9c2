//! Looks at a spool without changing anything, also while a daemon has it open.

use super::directory::{Directory, first_bytes};
use super::error::{Doing, SpoolError};
use super::format::{Header, HeaderFound, VERSION};
use super::reader::{Bounds, Cause, Extent, Reader, Step};
use super::record::{Kind, Record};
use super::shed::Shed;
use crate::model::{Position, Timestamp};
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A segment file, as its name and header tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentSummary {
    /// The file.
    pub path: PathBuf,
    /// Position of its first batch.
    pub first: Position,
    /// Its length.
    pub bytes: u64,
    /// Spool id, or `None` if the header is damaged or of a later version.
    pub spool: Option<u64>,
    /// When it was begun.
    pub created_at: Option<Timestamp>,
    /// Samples in all batches before it.
    pub samples_before: Option<u64>,
}

/// What reading all of a spool found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspection {
    /// The spool's id; `None` if nothing readable says.
    pub spool: Option<u64>,
    /// The segments.
    pub segments: Vec<SegmentSummary>,
    /// Sound batches.
    pub batches: u64,
    /// Samples in them.
    pub samples: u64,
    /// Sound checkpoints.
    pub checkpoints: u64,
    /// Position after the last batch.
    pub next: Position,
    /// What can't be read. While a daemon writes, the end of the last segment may be [`Cause::Torn`].
    pub damage: Vec<Extent>,
    /// What was given up because the spool was full.
    pub shed: Shed,
    /// Files that end in `.seg` but are no segments of this spool.
    pub foreign: Vec<PathBuf>,
}

/// The version of each file of the spool in `dir` that has one; `None` if its header is damaged.
///
/// # Errors
/// [`SpoolError::Io`].
pub fn versions(dir: &Path) -> Result<Vec<(PathBuf, Option<u32>)>, SpoolError> {
    let directory = Directory::new(dir);
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let (firsts, _) = directory.named()?;
    let paths = firsts.into_iter().map(|first| directory.segment(first));
    let mut versions = Vec::new();
    for path in std::iter::once(directory.identity()).chain(paths) {
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(SpoolError::io("open", &path, error)),
        };
        let version = match Header::decode(&first_bytes(&file).doing("read", &path)?) {
            HeaderFound::Valid(_) => Some(VERSION),
            HeaderFound::Newer(version) => Some(version),
            HeaderFound::Damaged => None,
        };
        versions.push((path, version));
    }
    Ok(versions)
}

/// Holds the spool as a daemon does, until the file is dropped.
///
/// # Errors
/// [`SpoolError::Locked`] if somebody else does, [`SpoolError::Io`].
pub fn lock(dir: &Path) -> Result<File, SpoolError> {
    Directory::new(dir).lock()
}

/// The segments of the spool in `dir`, by their headers alone.
///
/// # Errors
/// [`SpoolError::Io`].
pub fn list(dir: &Path) -> Result<Vec<SegmentSummary>, SpoolError> {
    let directory = Directory::new(dir);
    let (firsts, _) = directory.named()?;
    let found = firsts.into_iter().map(|first| look(&directory, first));
    Ok(found.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().map(|(it, _)| it).collect())
}

/// Reads all of the spool in `dir` and checks every checksum.
///
/// # Errors
/// [`SpoolError::Io`].
pub fn verify(dir: &Path) -> Result<Inspection, SpoolError> {
    scan(dir, &mut |_, _| {})
}

/// As [`verify`], and shows every sound record, checkpoints too, to `visit`.
///
/// # Errors
/// [`SpoolError::Io`].
pub fn scan(
    dir: &Path,
    visit: &mut dyn FnMut(Position, &Record<'_>),
) -> Result<Inspection, SpoolError> {
    let directory = Directory::new(dir);
    let (firsts, foreign) = directory.named()?;
    let mut inspection = Inspection { foreign, ..Inspection::default() };
    let mut found = Vec::new();
    for first in firsts {
        found.extend(look(&directory, first)?);
    }
    let newest = found.iter().rev().find_map(|(_, header)| header.map(|it| it.identity));
    let Some(identity) = directory.read_identity()?.map(|it| it.identity).or(newest) else {
        inspection.foreign.extend(found.into_iter().map(|(summary, _)| summary.path));
        return Ok(inspection);
    };
    inspection.shed = directory.read_shed(identity.id)?;
    inspection.spool = Some(identity.id);
    let (ours, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|(summary, header)| {
        header.is_none_or(|it| it.identity == identity && it.first == summary.first)
    });
    inspection.foreign.extend(others.into_iter().map(|(summary, _)| summary.path));
    for (index, (summary, header)) in ours.iter().enumerate() {
        let next = ours.get(index + 1).map(|(summary, header)| {
            (summary.first, header.map_or(summary.first, |header| header.after))
        });
        let bounds = Bounds {
            length: summary.bytes,
            limit: next.map_or(Position(u64::MAX), |(first, _)| first),
            after: next.map_or(Position(0), |(_, after)| after),
        };
        if header.is_none() {
            inspection.damage.push(header_damage(summary));
        }
        read(summary, identity.salt, bounds, next.is_none(), &mut inspection, visit)?;
    }
    inspection.segments = ours.into_iter().map(|(summary, _)| summary).collect();
    Ok(inspection)
}

/// `None` if the segment was trimmed meanwhile.
fn look(
    directory: &Directory,
    first: Position,
) -> Result<Option<(SegmentSummary, Option<Header>)>, SpoolError> {
    let path = directory.segment(first);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(SpoolError::io("open", &path, error)),
    };
    let bytes = file.metadata().doing("read", &path)?.len();
    let header = match Header::decode(&first_bytes(&file).doing("read", &path)?) {
        HeaderFound::Valid(header) => Some(header),
        HeaderFound::Newer(_) | HeaderFound::Damaged => None,
    };
    let summary = SegmentSummary {
        path,
        first,
        bytes,
        spool: header.map(|header| header.identity.id),
        created_at: header.map(|header| header.created_at),
        samples_before: header.map(|header| header.samples_before),
    };
    Ok(Some((summary, header)))
}

fn header_damage(summary: &SegmentSummary) -> Extent {
    let segment = summary.first;
    let bytes = summary.bytes.min(super::format::HEADER_BYTES as u64);
    let (positions, cause) = (segment..segment, Cause::Header);
    Extent { segment, offset: 0, bytes, positions, samples: 0, cause }
}

fn read(
    summary: &SegmentSummary,
    salt: u32,
    bounds: Bounds,
    is_last: bool,
    inspection: &mut Inspection,
    visit: &mut dyn FnMut(Position, &Record<'_>),
) -> Result<(), SpoolError> {
    let file = match File::open(&summary.path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(SpoolError::io("open", &summary.path, error)),
    };
    let mut reader = Reader::new(file, salt, summary.first, bounds);
    loop {
        match reader.step().doing("read", &summary.path)? {
            Step::Record { position, record, .. } => {
                match record.kind {
                    Kind::Batch => inspection.batches += 1,
                    Kind::Checkpoint => inspection.checkpoints += 1,
                }
                inspection.samples += u64::from(record.samples);
                visit(position, &record);
            }
            Step::Damage(mut extent) => {
                if is_last && extent.offset + extent.bytes >= summary.bytes {
                    extent.cause = Cause::Torn;
                }
                inspection.damage.push(extent);
            }
            Step::End => break,
        }
    }
    inspection.next = reader.expected();
    Ok(())
}
