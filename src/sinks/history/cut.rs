//! Cutting a head into windows and encoding it: what a flush writes.
//!
//! Pure: knows nothing of the file.

use super::chunk::{self, Chunk, Encoded};
use super::codec::Effort;
use super::head::Frozen;
use super::rows::{Rows, settle};
use std::collections::BTreeMap;
use std::ops::Range;

/// Windows are hours, aligned to the epoch: a chunk of an hour at 1 Hz has 3,600 samples, which
/// compresses as well as more would, and decodes in microseconds.
pub(super) const WINDOW_NS: i64 = 3_600_000_000_000;
/// Series too slow for hours get days. No segment spans more than this.
pub(super) const DAY_NS: i64 = 24 * WINDOW_NS;

/// Start and end of the aligned window of a width that a time lies in.
pub(super) fn window_of(time: i64, width: i64) -> (i64, i64) {
    let start = time.div_euclid(width).saturating_mul(width);
    (start, start.saturating_add(width))
}

/// The chunks of a segment to be.
#[derive(Default)]
pub(super) struct Piece {
    /// By number of series.
    pub chunks: Vec<(u32, Chunk)>,
    pub extent: Extent,
}

/// What is said of a segment as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub t0: i64,
    pub t1: i64,
    pub samples: i64,
    pub rows_max: i64,
}

impl Default for Extent {
    fn default() -> Extent {
        Extent { t0: i64::MAX, t1: i64::MIN, samples: 0, rows_max: 0 }
    }
}

impl Extent {
    fn note(&mut self, rows: usize, chunk: &Chunk) {
        self.t0 = self.t0.min(chunk.t0);
        self.t1 = self.t1.max(chunk.t1);
        self.rows_max = self.rows_max.max(rows as i64);
        if chunk.last.is_some() {
            self.samples += chunk.count as i64;
        }
    }
}

impl Piece {
    /// Encodes a range of a group's settled rows into this piece.
    pub(super) fn add(
        &mut self,
        rows: &Rows,
        range: &Range<usize>,
        axis: u32,
        series: &[u32],
        effort: Effort,
    ) {
        let Encoded { axis: axis_chunk, columns } = chunk::encode(rows, range, effort);
        for (_, chunk) in &columns {
            self.extent.note(range.len(), chunk);
        }
        self.chunks.extend(axis_chunk.map(|chunk| (axis, chunk)));
        self.chunks.extend(columns.into_iter().map(|(column, chunk)| (series[column], chunk)));
    }
}

/// Encodes all that is frozen: a piece for each window, by the window's start.
pub(super) fn cut(frozen: &Frozen) -> BTreeMap<i64, Piece> {
    let mut pieces: BTreeMap<i64, Piece> = BTreeMap::new();
    for group in &frozen.groups {
        let rows = settle(&group.rows);
        let mut start = 0;
        while let Some(&time) = rows.times.get(start) {
            let (window, window_end) = window_of(time, WINDOW_NS);
            let end = start + rows.times[start..].partition_point(|&time| time < window_end);
            // At the very last instant that can be named, a window has no end after it.
            let range = start..end.max(start + 1);
            let piece = pieces.entry(window).or_default();
            piece.add(&rows, &range, group.axis, &group.series, Effort::Fresh);
            start = range.end;
        }
    }
    for piece in pieces.values_mut() {
        // In the order of their keys, so that the file is appended to.
        piece.chunks.sort_by_key(|&(series, _)| series);
    }
    pieces.retain(|_, piece| !piece.chunks.is_empty());
    pieces
}
