//! Compaction: the segments of a closed window become one, in slices.
//!
//! An hour's job takes all segments of levels 0 to 2 of its window. Groups with many rows go to a
//! segment of level 1, the others to one of level 2, which waits for its day to close; a day's job
//! then takes all segments of levels 2 and 3 of its day. Why the order "level 3 is oldest, else the
//! higher id is newer" stays true: the outputs of a job share no series, no source is left behind,
//! and a segment flushed while the job runs has a higher id than its outputs.
//!
//! The outputs are written by several transactions at level -1, where nobody sees them; the last
//! transaction gives them their level and deletes the sources. A window with very many rows in one
//! group is cut in parts by time, so that memory stays bounded.

use super::chunk::{Decoded, Place, chunk_id};
use super::codec::{Damage, Effort};
use super::cut::{DAY_NS, Extent, Piece, WINDOW_NS, window_of};
use super::file::{self, ChunkReader, ChunkWriter, Found, Segment};
use super::rows::{Cells, Rows, Run, settle};
use super::writer::Writer;
use crate::model::Timestamp;
use rusqlite::Connection;
use std::collections::BTreeMap;

/// A group with fewer rows than this in an hour goes to the day's segments: at 600 samples a chunk
/// the fixed bytes of a chunk weigh a tenth of a byte per sample.
const SLOW_ROWS_MAX: usize = if cfg!(test) { 4 } else { 600 };
/// No group has more rows in a segment, if compaction can help it: about 2 MiB per metric.
const ROWS_MAX: i64 = if cfg!(test) { 16 } else { 262_144 };
/// Samples that one slice reads at least before it stops: some tens of milliseconds.
const SLICE_SAMPLES: usize = if cfg!(test) { 10 } else { 300_000 };
/// Groups that one slice looks at; most have nothing in an old window.
const SLICE_GROUPS: usize = 5_000;
/// Late data joins a window that is compacted already once it has come so many times,
const LATE_SEGMENTS: usize = 8;
/// or makes up one part in so many,
const LATE_SHARE: i64 = 4;
/// or no more has come for so long.
const LATE_REST_NS: i64 = WINDOW_NS;

/// A compaction under way.
pub(super) struct Job {
    sources: Vec<Segment>,
    /// The parts of the window, each with the outputs of it.
    parts: Vec<Part>,
    next_group: usize,
}

/// What one slice of a job has merged: pieces of its outputs, by their ids.
struct Slice {
    pieces: BTreeMap<i64, Piece>,
    damaged: Vec<i64>,
    finished: bool,
}

struct Part {
    from: i64,
    to: i64,
    /// The output of groups with many rows, then that of the others.
    outputs: [Segment; 2],
    levels: [i64; 2],
}

impl Job {
    pub(super) fn has_source(&self, id: i64) -> bool {
        self.sources.iter().any(|segment| segment.id == id)
    }
}

/// Segments of one window, to be looked at.
#[derive(Default)]
struct Window {
    fresh: Vec<Segment>,
    settled: Vec<Segment>,
}

impl Window {
    fn is_due(&self, now: Timestamp) -> bool {
        let samples = |of: &[Segment]| of.iter().map(|segment| segment.samples).sum::<i64>();
        let Some(newest) = self.fresh.iter().map(|segment| segment.written).max() else {
            return false;
        };
        self.settled.is_empty()
            || self.fresh.len() >= LATE_SEGMENTS
            || samples(&self.fresh).saturating_mul(LATE_SHARE) >= samples(&self.settled)
            || now.0.saturating_sub(newest) >= LATE_REST_NS
    }
}

impl Writer {
    /// Begins a job if one is due.
    pub(super) fn plan(&mut self, now: Timestamp) -> rusqlite::Result<bool> {
        let hour = self.due_window(now, WINDOW_NS, &[0], &[1, 2]);
        let (sources, levels) = match hour {
            Some(sources) => (sources, [1, 2]),
            None => match self.due_window(now, DAY_NS, &[2], &[3]) {
                Some(sources) => (sources, [3, 3]),
                None => return Ok(false),
            },
        };
        self.begin_job(sources, levels, now)?;
        Ok(true)
    }

    /// The sources of the earliest closed window that is due.
    fn due_window(
        &self,
        now: Timestamp,
        width: i64,
        fresh: &[i64],
        settled: &[i64],
    ) -> Option<Vec<Segment>> {
        let mut windows: BTreeMap<i64, Window> = BTreeMap::new();
        for segment in self.segments.values() {
            let window = windows.entry(window_of(segment.start, width).0).or_default();
            if self.untouchable.contains(&segment.id) {
                continue;
            }
            if fresh.contains(&segment.level) {
                window.fresh.push(*segment);
            } else if settled.contains(&segment.level) {
                window.settled.push(*segment);
            }
        }
        let grace = i64::try_from(self.options.compaction_grace.as_nanos()).unwrap_or(i64::MAX);
        let closed = |start: i64| start.saturating_add(width).saturating_add(grace) <= now.0;
        let (_, mut window) =
            windows.into_iter().find(|(start, window)| closed(*start) && window.is_due(now))?;
        window.settled.append(&mut window.fresh);
        // Older before newer. A day's segment of level 3 has taken in every level 2 with a lower id.
        window.settled.sort_by_key(|segment| segment.id);
        Some(window.settled)
    }

    fn begin_job(
        &mut self,
        sources: Vec<Segment>,
        levels: [i64; 2],
        now: Timestamp,
    ) -> rusqlite::Result<()> {
        let start = sources.iter().map(|segment| segment.start).min().unwrap_or(0);
        let end = sources.iter().map(|segment| segment.end).max().unwrap_or(0);
        let (start, end) = if levels[0] == 3 { window_of(start, DAY_NS) } else { (start, end) };
        let rows: i64 = sources.iter().map(|segment| segment.rows_max).sum();
        let part_count = rows / ROWS_MAX + 1;
        let width = (end - start) / part_count + 1;
        let mut id = self.segments.last_key_value().map_or(1, |(id, _)| id + 1);
        let mut parts = Vec::new();
        for number in 0..part_count {
            let from = start.saturating_add(width * number);
            let outputs = [id, id + 1].map(|id| Segment {
                id,
                level: -1,
                start,
                end,
                t0: i64::MAX,
                t1: i64::MIN,
                samples: 0,
                rows_max: 0,
                written: now.0,
            });
            id += 2;
            // The last instant that can be named belongs to the last part.
            let to = if number + 1 == part_count { i64::MAX } else { from.saturating_add(width) };
            parts.push(Part { from, to, outputs, levels });
        }
        let transaction = self.connection.transaction()?;
        for output in parts.iter().flat_map(|part| &part.outputs) {
            output.put(&transaction)?;
        }
        transaction.commit()?;
        let outputs = parts.iter().flat_map(|part| &part.outputs);
        self.segments.extend(outputs.map(|segment| (segment.id, *segment)));
        self.job = Some(Job { sources, parts, next_group: 0 });
        Ok(())
    }

    /// Does one slice of the job under way.
    pub(super) fn go_on(&mut self, mut job: Job) -> rusqlite::Result<()> {
        let slice = self.read_slice(&mut job)?;
        let finished = slice.finished;
        self.put_slice(&mut job, slice)?;
        if finished {
            self.finish_job(&job)?;
        } else {
            self.job = Some(job);
        }
        Ok(())
    }

    /// Reads and merges the next groups.
    fn read_slice(&self, job: &mut Job) -> rusqlite::Result<Slice> {
        let mut pieces: BTreeMap<i64, Piece> = BTreeMap::new();
        let mut samples = 0;
        let mut groups = 0;
        // One view for all look-ups: each by itself would lock and unlock the file.
        let view = self.connection.unchecked_transaction()?;
        let mut reading = Reading { chunks: ChunkReader::new(&view)?, damaged: Vec::new() };
        let finished = loop {
            let Some((axis, series)) = self.group_ids(job.next_group) else { break true };
            if samples >= SLICE_SAMPLES || groups >= SLICE_GROUPS {
                break false;
            }
            for part in &job.parts {
                let rows = reading.rows(&job.sources, axis, &series, part)?;
                samples += rows.columns.iter().map(|cells| cells.values.len()).sum::<usize>();
                let rows = settle(&rows);
                if !rows.times.is_empty() {
                    let output = usize::from(rows.times.len() < SLOW_ROWS_MAX);
                    let piece = pieces.entry(part.outputs[output].id).or_default();
                    piece.add(&rows, &(0..rows.times.len()), axis, &series, Effort::Final);
                }
            }
            job.next_group += 1;
            groups += 1;
        };
        Ok(Slice { pieces, damaged: reading.damaged, finished })
    }

    /// The numbers of a group's series, its axis first.
    fn group_ids(&self, index: usize) -> Option<(u32, Vec<u32>)> {
        let head = self.shared.for_writer();
        let group = head.groups.get(index)?;
        Some((group.axis, group.series.iter().map(|series| series.id).collect()))
    }

    fn put_slice(&mut self, job: &mut Job, slice: Slice) -> rusqlite::Result<()> {
        let Slice { pieces, damaged, .. } = slice;
        if pieces.is_empty() && damaged.is_empty() {
            return Ok(());
        }
        // Losing a slice to a power cut costs nothing: the commit that ends the job syncs it too.
        self.connection.execute_batch("PRAGMA synchronous=NORMAL")?;
        let extents: BTreeMap<i64, Extent> =
            pieces.iter().map(|(&id, piece)| (id, piece.extent)).collect();
        let result = put_slice(&mut self.connection, pieces, &damaged);
        self.connection.execute_batch("PRAGMA synchronous=FULL")?;
        result?;
        for output in job.parts.iter_mut().flat_map(|part| &mut part.outputs) {
            if let Some(extent) = extents.get(&output.id) {
                output.t0 = output.t0.min(extent.t0);
                output.t1 = output.t1.max(extent.t1);
                output.samples += extent.samples;
                output.rows_max = output.rows_max.max(extent.rows_max);
            }
        }
        Ok(())
    }

    fn finish_job(&mut self, job: &Job) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        let mut kept = Vec::new();
        for part in &job.parts {
            for (mut output, level) in part.outputs.into_iter().zip(part.levels) {
                if output.samples > 0 {
                    output.level = level;
                    output.put(&transaction)?;
                    kept.push(output);
                } else {
                    file::delete_segment(&transaction, output.id)?;
                }
            }
        }
        for source in &job.sources {
            file::delete_segment(&transaction, source.id)?;
        }
        transaction.commit()?;
        let outputs = job.parts.iter().flat_map(|part| &part.outputs);
        for segment in job.sources.iter().chain(outputs) {
            self.segments.remove(&segment.id);
        }
        self.segments.extend(kept.into_iter().map(|segment| (segment.id, segment)));
        Ok(())
    }

    /// Gives a job up in whose sources SQLite found damage, and does not try it again.
    pub(super) fn give_up(&mut self, sources: Vec<i64>) {
        self.untouchable.extend(sources);
        self.job = None;
    }
}

impl Job {
    pub(super) fn segment_ids(&self) -> Vec<i64> {
        let outputs = self.parts.iter().flat_map(|part| &part.outputs);
        self.sources.iter().chain(outputs).map(|segment| segment.id).collect()
    }
}

fn put_slice(
    connection: &mut Connection,
    pieces: BTreeMap<i64, Piece>,
    damaged: &[i64],
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for &id in damaged {
        let sql = "INSERT OR REPLACE INTO damaged SELECT id, data FROM chunk WHERE id=?";
        match transaction.prepare_cached(sql)?.execute([id]) {
            // What SQLite itself cannot read cannot be kept either.
            Err(error) if !file::is_damage(&error) => return Err(error),
            _ => {}
        }
    }
    let mut chunks = ChunkWriter::new(&transaction)?;
    for (segment, mut piece) in pieces {
        piece.chunks.sort_by_key(|&(series, _)| series);
        for (series, mut chunk) in piece.chunks {
            chunks.put(chunk_id(segment, series), &mut chunk)?;
        }
    }
    drop(chunks);
    transaction.commit()
}

/// Reads a group's rows from segments.
struct Reading<'a> {
    chunks: ChunkReader<'a>,
    damaged: Vec<i64>,
}

impl Reading<'_> {
    /// The rows of a group within a part, those of older segments first.
    fn rows(
        &mut self,
        sources: &[Segment],
        axis: u32,
        series: &[u32],
        part: &Part,
    ) -> rusqlite::Result<Rows> {
        let mut rows = Rows { times: Vec::new(), columns: vec![Cells::default(); series.len()] };
        for source in sources {
            if source.t0 < part.to && source.t1 >= part.from {
                self.add_source(&mut rows, source.id, axis, series, part)?;
            }
        }
        Ok(rows)
    }

    fn add_source(
        &mut self,
        rows: &mut Rows,
        segment: i64,
        axis: u32,
        series: &[u32],
        part: &Part,
    ) -> rusqlite::Result<()> {
        let axis_id = chunk_id(segment, axis);
        let times = match self.chunks.get(axis_id)? {
            Found::Nothing => None,
            Found::Damaged => self.damage(axis_id),
            Found::Chunk(chunk) => match chunk.axis(axis_id) {
                Ok(times) => Some(times),
                Err(Damage) => self.damage(axis_id),
            },
        };
        let times = times.unwrap_or_default();
        let within = Run::within(&times, part.from, part.to);
        let base = rows.times.len();
        rows.times.extend_from_slice(&times[within.clone()]);
        for (column, &series) in series.iter().enumerate() {
            let id = chunk_id(segment, series);
            let decoded = match self.chunks.get(id)? {
                Found::Nothing => continue,
                Found::Damaged => Err(Damage),
                Found::Chunk(chunk) => chunk.decode(id),
            };
            let added = decoded.and_then(|decoded| match decoded.place {
                Place::Own(_) => add_own(rows, column, &decoded, part),
                _ => add_shared(&mut rows.columns[column], &decoded, &times, &within, base),
            });
            if added.is_err() {
                self.damage::<()>(id);
            }
        }
        Ok(())
    }

    fn damage<T>(&mut self, id: i64) -> Option<T> {
        self.damaged.push(id);
        None
    }
}

fn add_own(rows: &mut Rows, column: usize, chunk: &Decoded, part: &Part) -> Result<(), Damage> {
    let Place::Own(times) = &chunk.place else { return Err(Damage) };
    let within = Run::within(times, part.from, part.to);
    if within.is_empty() {
        return Ok(());
    }
    let base = rows.times.len();
    rows.times.extend_from_slice(&times[within.clone()]);
    rows.columns[column].append_cells(&chunk.values, within, None, base);
    Ok(())
}

fn add_shared(
    cells: &mut Cells,
    chunk: &Decoded,
    axis: &[i64],
    within: &std::ops::Range<usize>,
    base: usize,
) -> Result<(), Damage> {
    match &chunk.place {
        Place::Dense if chunk.values.len() == axis.len() => {
            if !within.is_empty() {
                cells.append_cells(&chunk.values, within.clone(), None, base);
            }
            Ok(())
        }
        Place::Sparse(present) if present.len() == axis.len() => {
            let before = present[..within.start].iter().filter(|&&here| here).count();
            let rows: Vec<u32> = (0..within.len())
                .filter(|&row| present[within.start + row])
                .map(|row| row as u32)
                .collect();
            if before + rows.len() > chunk.values.len() {
                return Err(Damage);
            }
            if !rows.is_empty() {
                let values = before..before + rows.len();
                cells.append_cells(&chunk.values, values, Some(&rows), base);
            }
            Ok(())
        }
        _ => Err(Damage),
    }
}
