//! A round: a stretch of the log as requests that may be sent at the same time.
//!
//! ```text
//!   batches of the log ──┬─ devices a, d, e ──► part 1: body ──► pieces ──► requests, one after another
//!    (some positions)    └─ devices b, c ─────► part 2: body ──► pieces ──► requests, one after another
//! ```
//!
//! No device is in two parts, the requests of a part follow one another, and so do rounds: the samples
//! of a series reach the store in the order of the log. When all parts are decided the positions are
//! done. Pure: no socket, no clock.

use super::lines::{Body, Resume, Room};
use super::names::Naming;
use crate::model::Globs;
use crate::model::{Batch, ClientId, Position, Timestamp};
use crate::spool::Protocol;
use crate::wire::{Compression, compress};
use bytes::Bytes;
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;

/// Compression: level 1 costs 39 ns a sample and makes a quarter of it; more costs more than it saves.
const GZIP_LEVEL: u32 = 1;

/// What becomes of batches, and how large requests are.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Which metrics are written, and as what.
    pub naming: Naming,
    /// Which devices are written; nothing = all.
    pub devices: Option<Globs>,
    /// As many samples make a part, if there are enough.
    pub part_samples: usize,
    /// Line protocol of one request, at most (but at least one line).
    pub request_bytes: usize,
}

/// A batch, with what must be known of it if a store refuses some of it.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its place in the log; its number, if it comes from the dead letters.
    pub position: Position,
    /// When it was received.
    pub received_at: Timestamp,
    /// Over what it came.
    pub protocol: Protocol,
    /// Who sent it.
    pub client: ClientId,
    /// What it says.
    pub batch: Arc<Batch>,
    /// Samples of it that are not selected; told by [`Round::encode`].
    pub skipped: u64,
}

/// A stretch of the log on its way to a store.
#[derive(Debug)]
pub struct Round {
    /// The batches, in the order of positions.
    pub sources: Vec<Source>,
    /// What is sent at the same time.
    pub parts: Vec<Part>,
    /// Samples of the batches that are not selected, or not for stores.
    pub skipped: u64,
    /// Samples of all batches.
    pub samples: u64,
}

/// Lines that are sent one after another.
#[derive(Debug)]
pub struct Part {
    /// The lines.
    pub body: Body,
    /// All of them in requests, in order.
    pub pieces: Vec<Piece>,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Piece {
    /// Which lines.
    pub lines: Range<u32>,
    /// The same, compressed.
    pub gzipped: Bytes,
}

impl Round {
    /// Encodes batches, in at most `parts_max` parts (at least one, if anything is selected).
    #[must_use]
    pub fn encode(mut sources: Vec<Source>, shape: &Shape, parts_max: u32) -> Round {
        const ROOM: Room = Room { bytes: usize::MAX, lines: u32::MAX };
        let samples: usize = sources.iter().map(|source| source.batch.samples()).sum();
        let parts = samples.div_ceil(shape.part_samples.max(1)).clamp(1, parts_max.max(1) as usize);
        let hasher = foldhash::fast::FixedState::default();
        let mut bodies: Vec<Body> = (0..parts).map(|_| Body::new()).collect();
        for source in &mut sources {
            source.skipped = source.batch.samples() as u64;
            for (index, table) in (0..).zip(source.batch.tables()) {
                let is_other = |only: &Globs| !only.is_match(table.device());
                if !table.keep().in_stores() || shape.devices.as_ref().is_some_and(is_other) {
                    continue;
                }
                let part = (hasher.hash_one(table.device()) % parts as u64) as usize;
                let origin = (source.position, index);
                let before = bodies[part].samples();
                let left = bodies[part].push(&shape.naming, origin, table, Resume::default(), ROOM);
                debug_assert!(left.is_none(), "there is room for everything");
                source.skipped -= bodies[part].samples() - before;
            }
        }
        let skipped = sources.iter().map(|source| source.skipped).sum();
        let bodies = bodies.into_iter().filter(|body| body.lines() > 0);
        let parts = bodies.map(|body| Part::new(body, shape.request_bytes)).collect();
        Round { sources, parts, skipped, samples: samples as u64 }
    }

    /// The batch at this position.
    #[must_use]
    pub fn source(&self, position: Position) -> Option<&Source> {
        let index = self.sources.binary_search_by_key(&position, |source| source.position).ok()?;
        self.sources.get(index)
    }
}

impl Part {
    fn new(body: Body, request_bytes: usize) -> Part {
        let mut pieces = Vec::new();
        let mut rest = 0..body.lines();
        while !rest.is_empty() {
            let end = body.fit(rest.clone(), request_bytes);
            pieces.push(Piece::new(&body, rest.start..end));
            rest.start = end;
        }
        Part { body, pieces }
    }
}

impl Piece {
    /// These lines of a body, as one request.
    #[must_use]
    pub fn new(body: &Body, lines: Range<u32>) -> Piece {
        let plain = body.slice(lines.clone());
        Piece { lines, gzipped: compress(Compression::Gzip, GZIP_LEVEL, plain).into() }
    }
}

#[cfg(test)]
#[path = "round_tests.rs"]
mod tests;
