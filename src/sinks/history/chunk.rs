//! Chunks: the samples of one series in one segment, as they lie in the file.
//!
//! A chunk is a row of the table `chunk`. Its column `data`, byte by byte:
//!
//! ```text
//! 0      format, 1
//! 1..5   CRC32C, little-endian, of the chunk's id (8 bytes, little-endian) and all bytes from 5 on
//! 5      layout: 0 dense   a value for each time of the group's axis in this segment
//!                1 sparse  a bit block first: at which times of the axis there is a value
//!                2 own     u32 length and pco file of its own times first; the axis is not needed
//! 6..    values, as drawn in `codec.rs`; in an axis chunk (typ 0) the pco file of the times
//! ```
//!
//! `seal` is the CRC32C of the id and the columns beside `data`, because summaries are answered from
//! them alone. Invariant: no codec and no answer sees bytes that did not pass their checksum.

use super::codec::{self, Damage, Effort, Input, Stored};
use super::rows::{Cells, Rows, Run};
use super::value::{Column, Kind, Value};
use std::ops::Range;

const FORMAT: u8 = 1;
const DENSE: u8 = 0;
const SPARSE: u8 = 1;
const OWN: u8 = 2;
/// Of a series that has a value in fewer than one in so many rows of the group, times of its own
/// are smaller than a bit for each row, and faster to read.
const OWN_AXIS_RATIO: usize = 8;

/// A chunk's key: all chunks of a segment lie together, in the order of their series.
pub(super) fn chunk_id(segment: i64, series: u32) -> i64 {
    segment << 32 | i64::from(series)
}

/// What a chunk holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Axis,
    Values(Stored),
}

impl Content {
    pub(super) fn number(self) -> i64 {
        match self {
            Content::Axis => 0,
            Content::Values(Stored::One(kind)) => kind as i64 + 1,
            Content::Values(Stored::Mixed) => 5,
        }
    }

    pub(super) fn from_number(number: i64) -> Option<Content> {
        match number {
            0 => Some(Content::Axis),
            5 => Some(Content::Values(Stored::Mixed)),
            _ => {
                let index = usize::try_from(number - 1).ok()?;
                Kind::ALL.get(index).map(|&kind| Content::Values(Stored::One(kind)))
            }
        }
    }
}

/// Count, range and sum of numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Summary {
    pub min: f64,
    pub max: f64,
    pub sum: f64,
}

impl Summary {
    /// Of a range of a column that is not empty; `None` if there is a text in it.
    pub(super) fn of(column: &Column, range: Range<usize>) -> Option<Summary> {
        fn fold(numbers: impl Iterator<Item = f64>) -> Summary {
            let start = Summary { min: f64::INFINITY, max: f64::NEG_INFINITY, sum: 0.0 };
            numbers.fold(start, |all, n| Summary {
                min: if n < all.min { n } else { all.min },
                max: if n > all.max { n } else { all.max },
                sum: all.sum + n,
            })
        }
        match column {
            Column::Floats(values) => Some(fold(values[range].iter().copied())),
            Column::Ints(values) => Some(fold(values[range].iter().map(|&value| value as f64))),
            Column::Bools(values) => {
                Some(fold(values[range].iter().map(|&value| f64::from(u8::from(value)))))
            }
            Column::Texts(_) => None,
            Column::Mixed(values) => {
                let numbers: Option<Vec<f64>> =
                    values[range].iter().map(Value::as_number).collect();
                numbers.map(|numbers| fold(numbers.into_iter()))
            }
        }
    }

    pub(super) fn join(&mut self, other: Summary) {
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.sum += other.sum;
    }
}

/// A row of the table `chunk`.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    pub content: Content,
    /// How many samples, or times of an axis.
    pub count: usize,
    pub t0: i64,
    pub t1: i64,
    pub summary: Option<Summary>,
    /// The value at `t1`; `None` in an axis.
    pub last: Option<Value>,
    /// From byte 5 on while being made, as drawn above once sealed.
    pub data: Vec<u8>,
}

impl Chunk {
    /// The checksum of everything but `data`.
    pub(super) fn seal(&self, id: i64) -> i64 {
        let mut crc = 0;
        let mut add = |bytes: &[u8]| crc = crc32c::crc32c_append(crc, bytes);
        for number in [id, self.content.number(), self.count as i64, self.t0, self.t1] {
            add(&number.to_le_bytes());
        }
        // SQLite stores a negative zero as zero.
        let bits = |number: f64| (number + 0.0).to_bits().to_le_bytes();
        if let Some(summary) = self.summary {
            for number in [summary.min, summary.max, summary.sum] {
                add(&bits(number));
            }
        }
        match &self.last {
            None => {}
            Some(Value::Float(value)) => add(&bits(*value)),
            Some(Value::Int(value)) => add(&value.to_le_bytes()),
            Some(Value::Bool(value)) => add(&i64::from(*value).to_le_bytes()),
            Some(Value::Text(text)) => add(text.as_bytes()),
        }
        i64::from(crc)
    }

    /// Puts format and checksum into `data`, now that the id is known.
    pub(super) fn close(&mut self, id: i64) {
        let crc = crc32c::crc32c_append(crc32c::crc32c(&id.to_le_bytes()), &self.data[5..]);
        self.data[0] = FORMAT;
        self.data[1..5].copy_from_slice(&crc.to_le_bytes());
    }

    /// The layout and what follows it, once the checksum has been found right.
    fn open(&self, id: i64) -> Result<(u8, Input<'_>), Damage> {
        let mut input = Input(&self.data);
        let format = input.byte()?;
        let crc = input.u32()? as u32;
        let right = crc32c::crc32c_append(crc32c::crc32c(&id.to_le_bytes()), input.0);
        if format != FORMAT || crc != right {
            return Err(Damage);
        }
        Ok((input.byte()?, input))
    }

    /// The times of an axis.
    pub(super) fn axis(&self, id: i64) -> Result<Vec<i64>, Damage> {
        let (_, input) = self.open(id)?;
        match self.content {
            Content::Axis => codec::times(input.0, self.count),
            Content::Values(_) => Err(Damage),
        }
    }

    /// Its values and where they lie on the time axis.
    pub(super) fn decode(&self, id: i64) -> Result<Decoded, Damage> {
        let (layout, mut input) = self.open(id)?;
        let Content::Values(stored) = self.content else { return Err(Damage) };
        let place = match layout {
            DENSE => Place::Dense,
            SPARSE => {
                let axis_count = input.u32()?;
                Place::Sparse(codec::bits(&mut input, axis_count)?)
            }
            OWN => {
                let length = input.u32()?;
                Place::Own(codec::times(input.take(length)?, self.count)?)
            }
            _ => return Err(Damage),
        };
        Ok(Decoded { place, values: codec::column(input.0, stored, self.count)? })
    }
}

/// Where the values of a chunk lie on the group's axis.
pub(super) enum Place {
    Dense,
    Sparse(Vec<bool>),
    Own(Vec<i64>),
}

/// A chunk's values with their place.
pub(super) struct Decoded {
    pub place: Place,
    pub values: Column,
}

impl Decoded {
    /// The samples, with the group's axis in this segment, which is asked for if it is needed.
    pub(super) fn into_run<E: From<Damage>>(
        self,
        axis: impl FnOnce() -> Result<Vec<i64>, E>,
    ) -> Result<Run, E> {
        let times = match self.place {
            Place::Dense => axis()?,
            Place::Own(times) => times,
            Place::Sparse(present) => {
                let axis = axis()?;
                if axis.len() != present.len() {
                    return Err(Damage.into());
                }
                axis.into_iter().zip(present).filter(|&(_, here)| here).map(|(t, _)| t).collect()
            }
        };
        if times.len() != self.values.len() {
            return Err(Damage.into());
        }
        Ok(Run { times, values: self.values })
    }
}

/// Encodes rows `range` of settled rows as chunks: the axis if a column needs it, then each column
/// that has values, with its index.
pub(super) fn encode(rows: &Rows, range: &Range<usize>, effort: Effort) -> Encoded {
    let Some(shared) = shared_rows(rows, range) else {
        return encode_all(rows, range, effort);
    };
    let mut encoded = encode_all(&shared, &(0..shared.times.len()), effort);
    let own = rows.columns.iter().enumerate().filter(|(_, cells)| is_own(cells, range));
    encoded.columns.extend(
        own.filter_map(|(index, cells)| Some((index, encode_column(cells, rows, range, effort)?))),
    );
    encoded.columns.sort_by_key(|&(index, _)| index);
    encoded
}

fn encode_all(rows: &Rows, range: &Range<usize>, effort: Effort) -> Encoded {
    let axis = &rows.times[range.clone()];
    let columns: Vec<_> = rows
        .columns
        .iter()
        .enumerate()
        .filter_map(|(index, cells)| Some((index, encode_column(cells, rows, range, effort)?)))
        .collect();
    let needed = columns.iter().any(|(_, chunk)| chunk.data[5] != OWN);
    let axis = needed.then(|| {
        let mut data = new_data(DENSE);
        codec::put_times(&mut data, axis, effort);
        let (t0, t1) = (axis[0], axis[axis.len() - 1]);
        let (summary, last) = (None, None);
        Chunk { content: Content::Axis, count: axis.len(), t0, t1, summary, last, data }
    });
    Encoded { axis, columns }
}

/// Whether a column is so sparse that it gets times of its own.
fn is_own(cells: &Cells, range: &Range<usize>) -> bool {
    cells.within(range).len() * OWN_AXIS_RATIO < range.len()
}

/// Without the rows that only columns with times of their own have: one slow metric, sent by itself,
/// would else make all the others of its device sparse. `None` if that changes nothing.
fn shared_rows(rows: &Rows, range: &Range<usize>) -> Option<Rows> {
    let mut shared = vec![false; range.len()];
    for cells in rows.columns.iter().filter(|cells| !is_own(cells, range)) {
        match &cells.rows {
            None => return None,
            Some(own) => own[cells.within(range)]
                .iter()
                .for_each(|&row| shared[row as usize - range.start] = true),
        }
    }
    let kept: Vec<usize> = (0..range.len()).filter(|&row| shared[row]).collect();
    if kept.is_empty() || kept.len() == range.len() {
        return None;
    }
    let mut places = vec![0; range.len()];
    kept.iter().enumerate().for_each(|(place, &row)| places[row] = place as u32);
    let columns = rows.columns.iter().map(|cells| match &cells.rows {
        Some(own) if !is_own(cells, range) => {
            let within = cells.within(range);
            let place = |&row: &u32| places[row as usize - range.start];
            Cells {
                rows: Some(own[within.clone()].iter().map(place).collect()),
                values: cells.values.slice(within),
            }
        }
        _ => Cells::default(),
    });
    let columns = columns.collect();
    Some(Rows { times: kept.iter().map(|&row| rows.times[range.start + row]).collect(), columns })
}

/// The chunks of a group in one segment.
pub(super) struct Encoded {
    pub axis: Option<Chunk>,
    /// With the index of the column that it is of.
    pub columns: Vec<(usize, Chunk)>,
}

fn new_data(layout: u8) -> Vec<u8> {
    vec![FORMAT, 0, 0, 0, 0, layout]
}

fn encode_column(
    cells: &Cells,
    rows: &Rows,
    range: &Range<usize>,
    effort: Effort,
) -> Option<Chunk> {
    let values = cells.within(range);
    if values.is_empty() {
        return None;
    }
    let row_of = |index: usize| cells.rows.as_ref().map_or(index, |rows| rows[index] as usize);
    let time_of = |index: usize| rows.times[row_of(index)];
    let data = if values.len() == range.len() {
        new_data(DENSE)
    } else if is_own(cells, range) {
        let times: Vec<i64> = values.clone().map(time_of).collect();
        let mut data = new_data(OWN);
        codec::put_sized(&mut data, |out| codec::put_times(out, &times, effort));
        data
    } else {
        let mut present = vec![false; range.len()];
        values.clone().for_each(|index| present[row_of(index) - range.start] = true);
        let mut data = new_data(SPARSE);
        data.extend_from_slice(&(range.len() as u32).to_le_bytes());
        codec::put_bits(&mut data, present.into_iter(), effort);
        data
    };
    let mut chunk = Chunk {
        content: Content::Values(codec::stored_type(&cells.values)),
        count: values.len(),
        t0: time_of(values.start),
        t1: time_of(values.end - 1),
        summary: Summary::of(&cells.values, values.clone()),
        last: Some(cells.values.get(values.end - 1)),
        data,
    };
    codec::put_column(&mut chunk.data, &cells.values, values, effort);
    Some(chunk)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Rows {
        let times: Vec<i64> = (0..100).map(|i| i * 1000).collect();
        let every = |step: usize| {
            let rows: Vec<u32> = (0..100).step_by(step).map(|row| row as u32).collect();
            let values = Column::Ints(rows.iter().map(|&row| i64::from(row)).collect());
            Cells { values, rows: (step > 1).then_some(rows) }
        };
        Rows { times, columns: vec![every(1), every(3), every(20)] }
    }

    #[test]
    fn each_layout_gives_back_its_samples() {
        let rows = rows();
        let Encoded { axis, columns } = encode(&rows, &(20..90), Effort::Final);
        let layouts: Vec<u8> = columns.iter().map(|(_, chunk)| chunk.data[5]).collect();
        assert_eq!(layouts, [DENSE, SPARSE, OWN]);
        let mut axis = axis.unwrap();
        axis.close(1);
        for (index, mut chunk) in columns {
            chunk.close(7);
            let run = chunk.decode(7).unwrap().into_run(|| axis.axis(1)).unwrap();
            let expected: Vec<i64> =
                (20..90).step_by(1).filter(|i| i % [1, 3, 20][index] == 0).collect();
            let Column::Ints(values) = run.values else { panic!("not ints") };
            assert_eq!(values, expected);
            assert_eq!(run.times, expected.iter().map(|i| i * 1000).collect::<Vec<_>>());
            assert_eq!((chunk.t0, chunk.t1), (run.times[0], run.times[run.times.len() - 1]));
            assert_eq!(chunk.last, Some(Value::Int(expected[expected.len() - 1])));
        }
    }

    #[test]
    fn a_slow_metric_by_itself_does_not_make_the_others_sparse() {
        // Every tenth row is the slow metric's alone.
        let times: Vec<i64> = (0..100).collect();
        let (slow, fast): (Vec<u32>, Vec<u32>) = (0..100u32).partition(|row| row % 10 == 5);
        let cells = |rows: Vec<u32>| {
            let values = Column::Ints(rows.iter().map(|&row| i64::from(row)).collect());
            Cells { values, rows: Some(rows) }
        };
        let rows = Rows { times, columns: vec![cells(slow), cells(fast)] };
        let Encoded { axis, columns } = encode(&rows, &(0..100), Effort::Final);
        assert_eq!(axis.as_ref().map(|axis| axis.count), Some(90));
        let layouts: Vec<u8> = columns.iter().map(|(_, chunk)| chunk.data[5]).collect();
        assert_eq!(layouts, [OWN, DENSE]);
        let mut axis = axis.unwrap();
        axis.close(1);
        for (_, mut chunk) in columns {
            chunk.close(7);
            let run = chunk.decode(7).unwrap().into_run(|| axis.axis(1)).unwrap();
            let Column::Ints(values) = run.values else { panic!("not ints") };
            assert_eq!(values, run.times);
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_or_another_id_is_damage() {
        let Encoded { columns, .. } = encode(&rows(), &(0..100), Effort::Fresh);
        let mut chunk = columns.into_iter().nth(1).unwrap().1;
        chunk.close(7);
        assert!(chunk.decode(7).is_ok());
        assert!(chunk.decode(8).is_err());
        for at in 0..chunk.data.len() {
            let mut damaged = chunk.clone();
            damaged.data[at] ^= 0x10;
            assert!(damaged.decode(7).is_err(), "byte {at}");
        }
        let seal = chunk.seal(7);
        let mut changed = chunk.clone();
        changed.t1 += 1;
        assert_ne!(changed.seal(7), seal);
        changed = chunk.clone();
        changed.last = Some(Value::Int(98));
        assert_ne!(changed.seal(7), seal);
    }
}
