//! Answering a query: the head's slice, then one view of the file, merged.
//!
//! A series has sources: its chunk in each segment of the range, and up to two runs in the head.
//! Those that overlap in time are put in order together, the newer winning at equal times; those
//! that stand alone are folded or appended as they are. In the steady state all stand alone.

use super::buckets::{Buckets, Fold};
use super::chunk::{Chunk, chunk_id};
use super::codec::Damage;
use super::cut::DAY_NS;
use super::file::{ChunkReader, Found};
use super::rows::Run;
use super::shared::{Extent, Slice};
use super::value::Values;
use rusqlite::Connection;
use std::collections::VecDeque;

/// What to ask.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// The device.
    pub device: &'a str,
    /// The metric.
    pub metric: &'a str,
    /// Only series that have these tags; those of all matching sets of tags are merged by time.
    pub tags: &'a [(&'a str, &'a str)],
    /// First instant, nanoseconds since the epoch.
    pub from: i64,
    /// The instant after the last.
    pub to: i64,
    /// In what form.
    pub shape: Shape,
}

/// In what form to answer.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// Each sample; more than `max` are refused.
    Raw {
        /// How many at most.
        max: usize,
    },
    /// Folded into buckets of time.
    Buckets {
        /// Width of a bucket, nanoseconds, at least 1.
        width_ns: i64,
        /// How many buckets at most; more are refused.
        max: usize,
    },
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The tags that all the series in it have in common.
    pub tags: Vec<(String, String)>,
    /// The unit told last, or empty.
    pub unit: String,
    /// The samples.
    pub data: Data,
    /// Chunks in the range that are damaged, so that their samples are missing here.
    pub damaged_chunks: u64,
}

/// Samples in the form that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// Each sample, in the order of time.
    Raw {
        /// Nanoseconds since the epoch.
        times: Vec<i64>,
        /// As many values.
        values: Values,
    },
    /// By buckets.
    Buckets(Buckets),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// Nobody ever sent such a series: a matter for who asks.
    #[error("there is no such series")]
    UnknownSeries,
    /// For who asks: take a shorter range, or (wider) buckets.
    #[error("the answer has more than {max} entries")]
    TooLarge {
        /// As many are allowed.
        max: usize,
    },
    /// The file cannot be read: a matter for the operator.
    #[error("the history cannot be read")]
    Store(#[from] rusqlite::Error),
}

/// Where samples of a series lie.
struct Source {
    t0: i64,
    t1: i64,
    /// Of equal times, that of the greatest age rank counts.
    rank: (u8, i64),
    body: Body,
}

enum Body {
    /// With its segment.
    Chunk(i64, Chunk),
    Run(Run),
}

/// A segment in the range: its rank, its number, and what no chunk in it precedes.
struct Span {
    t0: i64,
    rank: (u8, i64),
    id: i64,
}

/// The first samples of one series in the extent of its slice, in the order of time: those of one source, of
/// several that overlap, or of as many as it takes to weigh so much. Also how many chunks were damaged.
pub(super) fn page(
    connection: &Connection,
    slice: Slice,
    weight: usize,
) -> Result<(Page, u64), QueryError> {
    let mut page = Page { run: Run::default(), weight_left: weight };
    let damaged = one_series(connection, slice, To::Page(&mut page), usize::MAX)?;
    Ok((page, damaged))
}

/// Samples of one series that were read together.
pub(super) struct Page {
    pub run: Run,
    weight_left: usize,
}

impl Page {
    /// Whether it ended before the range did.
    pub(super) fn is_full(&self) -> bool {
        self.weight_left == 0
    }
}

/// Answers for all slices together.
pub(super) fn answer(
    connection: &Connection,
    slices: Vec<Slice>,
    query: &Query<'_>,
) -> Result<(Data, u64), QueryError> {
    let extent = Extent { from: query.from, to: query.to };
    let spans = spans(connection, extent)?;
    let mut damaged = 0;
    match query.shape {
        Shape::Raw { max } => {
            let mut all = Run::default();
            let several = slices.len() > 1;
            for slice in slices {
                let mut out = Out { to: To::Raw(&mut all), max, extent };
                damaged += read_series(connection, slice, &spans, &mut out)?;
            }
            if several && !all.times.is_sorted() {
                all = by_time(all);
            }
            Ok((Data::Raw { times: all.times, values: all.values.into() }, damaged))
        }
        Shape::Buckets { width_ns, max } => {
            let mut all = Fold::new(width_ns.max(1));
            for slice in slices {
                let mut fold = Fold::new(width_ns.max(1));
                let mut out = Out { to: To::Buckets(&mut fold), max, extent };
                damaged += read_series(connection, slice, &spans, &mut out)?;
                if all.len() == 0 { all = fold } else { all.join(fold) }
            }
            Ok((Data::Buckets(all.finish()), damaged))
        }
    }
}

/// The samples of one series in the extent of its slice, and how many chunks were damaged.
pub(super) fn one(
    connection: &Connection,
    slice: Slice,
    max: usize,
) -> Result<(Run, u64), QueryError> {
    let mut run = Run::default();
    let damaged = one_series(connection, slice, To::Raw(&mut run), max)?;
    Ok((run, damaged))
}

fn one_series(
    connection: &Connection,
    slice: Slice,
    to: To<'_>,
    max: usize,
) -> Result<u64, QueryError> {
    let spans = spans(connection, slice.extent)?;
    let mut out = Out { to, max, extent: slice.extent };
    read_series(connection, slice, &spans, &mut out)
}

/// Samples of different series in the order of time; equal times all stay.
fn by_time(run: Run) -> Run {
    let mut order: Vec<u32> = (0..run.times.len() as u32).collect();
    order.sort_by_key(|&index| run.times[index as usize]);
    let times = order.iter().map(|&index| run.times[index as usize]).collect();
    Run { times, values: run.values.gather(&order) }
}

fn spans(connection: &Connection, extent: Extent) -> rusqlite::Result<Vec<Span>> {
    // No segment is longer than a day, so that the index on t0 bounds what is looked at.
    let mut statement = connection.prepare_cached(
        "SELECT id, level, t0 FROM segment
         WHERE t0 >= ?1 AND t0 < ?2 AND t1 >= ?3 AND level >= 0 ORDER BY t0, level <> 3, id",
    )?;
    let from = extent.from.saturating_sub(DAY_NS);
    let rows = statement.query_map([from, extent.to, extent.from], |row| {
        let (id, level): (i64, i64) = (row.get(0)?, row.get(1)?);
        Ok(Span { t0: row.get(2)?, rank: (u8::from(level != 3), id), id })
    })?;
    rows.collect()
}

/// Reads one series source by source, in the order of time; returns how many chunks were damaged.
fn read_series(
    connection: &Connection,
    mut slice: Slice,
    spans: &[Span],
    out: &mut Out<'_>,
) -> Result<u64, QueryError> {
    let mut heads: Vec<Source> = Vec::new();
    for (number, run) in slice.runs.drain(..).enumerate() {
        if let (Some(&t0), Some(&t1)) = (run.times.first(), run.times.last()) {
            heads.push(Source { t0, t1, rank: (2, number as i64), body: Body::Run(run) });
        }
    }
    heads.sort_by_key(|source| source.t0);
    let mut heads = VecDeque::from(heads);
    let mut reader = SeriesReader {
        chunks: ChunkReader::new(connection)?,
        axis: slice.axis,
        series: slice.series,
        damaged: 0,
    };
    let mut waiting: Vec<Source> = Vec::new();
    let mut waiting_until = i64::MIN;
    for span in spans {
        while heads.front().is_some_and(|head| head.t0 <= span.t0) {
            wait(&mut waiting, &mut waiting_until, heads.pop_front());
        }
        // Nothing that is still to come begins before this segment does.
        let next = heads.front().map_or(span.t0, |head| head.t0.min(span.t0));
        if next > waiting_until {
            reader.drain(&mut waiting, out)?;
            waiting_until = i64::MIN;
        }
        if out.is_full() {
            return Ok(reader.damaged);
        }
        let id = chunk_id(span.id, slice.series);
        match reader.chunks.get(id)? {
            Found::Nothing => {}
            Found::Damaged => reader.damaged += 1,
            Found::Chunk(chunk) => {
                let (t0, t1) = (chunk.t0, chunk.t1);
                if t0 < out.extent.to && t1 >= out.extent.from {
                    let body = Body::Chunk(span.id, chunk);
                    let source = Source { t0, t1, rank: span.rank, body };
                    wait(&mut waiting, &mut waiting_until, Some(source));
                }
            }
        }
    }
    waiting.extend(heads);
    reader.drain(&mut waiting, out)?;
    Ok(reader.damaged)
}

fn wait(waiting: &mut Vec<Source>, until: &mut i64, source: Option<Source>) {
    if let Some(source) = source {
        *until = (*until).max(source.t1);
        waiting.push(source);
    }
}

struct SeriesReader<'a> {
    chunks: ChunkReader<'a>,
    axis: u32,
    series: u32,
    damaged: u64,
}

impl SeriesReader<'_> {
    /// Puts out sources that overlap nothing outside of them.
    fn drain(&mut self, waiting: &mut Vec<Source>, out: &mut Out<'_>) -> Result<(), QueryError> {
        waiting.sort_by_key(|source| source.t0);
        let mut sources = waiting.drain(..).peekable();
        while let Some(first) = sources.next() {
            let mut until = first.t1;
            let mut overlapping = vec![first];
            while let Some(next) = sources.next_if(|source| source.t0 <= until) {
                until = until.max(next.t1);
                overlapping.push(next);
            }
            match <[Source; 1]>::try_from(overlapping) {
                Ok([alone]) => self.put_alone(alone, out)?,
                Err(overlapping) => self.put_merged(overlapping, out)?,
            }
            if out.is_full() {
                break;
            }
        }
        Ok(())
    }

    fn put_alone(&mut self, source: Source, out: &mut Out<'_>) -> Result<(), QueryError> {
        if let Body::Chunk(_, chunk) = &source.body
            && out.take_summary(chunk)
        {
            return Ok(());
        }
        match self.load(source.body)? {
            Some(run) => out.put(&run),
            None => Ok(()),
        }
    }

    fn put_merged(
        &mut self,
        mut sources: Vec<Source>,
        out: &mut Out<'_>,
    ) -> Result<(), QueryError> {
        sources.sort_by_key(|source| source.rank);
        let mut all = Run::default();
        for source in sources {
            if let Some(run) = self.load(source.body)? {
                let within = Run::within(&run.times, out.extent.from, out.extent.to);
                all.times.extend_from_slice(&run.times[within.clone()]);
                all.values.append(&run.values, within);
            }
        }
        out.put(&all.settled())
    }

    fn load(&mut self, body: Body) -> rusqlite::Result<Option<Run>> {
        let (segment, chunk) = match body {
            Body::Run(run) => return Ok(Some(run)),
            Body::Chunk(segment, chunk) => (segment, chunk),
        };
        match self.decode(segment, &chunk) {
            Ok(run) => Ok(Some(run)),
            Err(Unread::Damage) => {
                self.damaged += 1;
                Ok(None)
            }
            Err(Unread::Store(error)) => Err(error),
        }
    }

    fn decode(&mut self, segment: i64, chunk: &Chunk) -> Result<Run, Unread> {
        chunk.decode(chunk_id(segment, self.series))?.into_run(|| {
            let id = chunk_id(segment, self.axis);
            match self.chunks.get(id)? {
                Found::Chunk(axis) => Ok(axis.axis(id)?),
                Found::Nothing | Found::Damaged => Err(Unread::Damage),
            }
        })
    }
}

/// Why a chunk could not be read.
enum Unread {
    Damage,
    Store(rusqlite::Error),
}

impl From<Damage> for Unread {
    fn from(Damage: Damage) -> Unread {
        Unread::Damage
    }
}

impl From<rusqlite::Error> for Unread {
    fn from(error: rusqlite::Error) -> Unread {
        Unread::Store(error)
    }
}

/// Where samples go.
struct Out<'a> {
    to: To<'a>,
    max: usize,
    extent: Extent,
}

enum To<'a> {
    Raw(&'a mut Run),
    Buckets(&'a mut Fold),
    Page(&'a mut Page),
}

impl Out<'_> {
    /// Takes a chunk's summary if that is enough.
    fn take_summary(&mut self, chunk: &Chunk) -> bool {
        let inside = chunk.t0 >= self.extent.from && chunk.t1 < self.extent.to;
        match &mut self.to {
            To::Buckets(fold) if inside && fold.fits(chunk) => {
                fold.add_chunk(chunk);
                true
            }
            _ => false,
        }
    }

    /// Whether nothing more is to be put: what comes later is of another page.
    fn is_full(&self) -> bool {
        matches!(&self.to, To::Page(page) if page.is_full())
    }

    fn put(&mut self, run: &Run) -> Result<(), QueryError> {
        let within = Run::within(&run.times, self.extent.from, self.extent.to);
        let length = match &mut self.to {
            To::Raw(all) => {
                all.times.extend_from_slice(&run.times[within.clone()]);
                all.values.append(&run.values, within);
                all.times.len()
            }
            To::Buckets(fold) => {
                fold.add_samples(&run.times[within.clone()], &run.values, within.start);
                fold.len()
            }
            To::Page(page) => {
                page.weight_left =
                    page.weight_left.saturating_sub(run.values.weight(within.clone()));
                page.run.times.extend_from_slice(&run.times[within.clone()]);
                page.run.values.append(&run.values, within);
                page.run.times.len()
            }
        };
        if length > self.max { Err(QueryError::TooLarge { max: self.max }) } else { Ok(()) }
    }
}
