//! Tables as line protocol, and which line came from which reading.
//!
//! One line per row and measurement, with all the fields that the row has there:
//!
//! ```text
//! motor,device=pump-7,site=north temperature=71.5,speed=1480i 1763712000000000000\n
//! └──────── prefix, made once ─┘ └─ made once: keys ────────┘
//! ```
//!
//! A body holds lines of many tables. Its index has one run per table and measurement (more where
//! rows without a value lie between), so that any line can be traced to its batch, table and row, and
//! any range of lines be sent alone: a request that was refused is cut without encoding again.
//!
//! Hot path. A prefix is escaped once per table and measurement, a field's key once per column, and
//! no memory is allocated per row or per value. `benches/line_protocol.rs` guards it.

use super::names::{DEVICE_TAG, Naming, Part, own_tag, push_name, push_text};
use crate::model::{Column, Position, Table, Values};
use std::ops::Range;

/// How much a body may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// It takes no further line once it has so many bytes: at most one line more than this.
    pub bytes: usize,
    /// It takes no more lines than this.
    pub lines: u32,
}

/// Where in a table encoding goes on when a body was full. The default is its beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resume {
    /// Counted in the order in which a table's measurements are encoded.
    measurement: usize,
    row: usize,
}

/// Where lines came from: rows of one measurement of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The batch.
    pub position: Position,
    /// The table, counted in its batch.
    pub table: u32,
    /// The rows, one for each line.
    pub rows: Range<usize>,
    /// A column of the measurement: [`columns`] gives all of it.
    pub column: usize,
}

/// The columns whose values are in the lines of `origin`, which must be of this table and naming.
pub fn columns<'a>(
    naming: &'a Naming,
    table: Table<'a>,
    origin: &Origin,
) -> impl Iterator<Item = Column<'a>> {
    let measurement = table.columns().nth(origin.column).map(|c| naming.split(c.metric()).0);
    table.columns().filter(move |c| {
        naming.selects(c.metric()) && Some(naming.split(c.metric()).0) == measurement
    })
}

/// Lines for one request or several, and where they came from. Made to be cleared and filled again.
#[derive(Debug, Default)]
pub struct Body {
    bytes: Vec<u8>,
    runs: Vec<Run>,
    lines: u32,
    samples: u64,
    replaced: u64,
    /// The escaped tags of the table being encoded.
    tags: Vec<u8>,
    /// The prefix of the measurement being encoded.
    prefix: Vec<u8>,
    /// The escaped field keys of the measurement being encoded, each with its `=`.
    keys: Vec<u8>,
}

/// Lines that follow one another and come from rows that follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    first_line: u32,
    /// Where its first line begins.
    offset: usize,
    position: Position,
    table: u32,
    column: u32,
    first_row: u32,
}

/// A column on its way into lines.
#[derive(Clone, Copy)]
struct Field<'a> {
    measurement: &'a str,
    name: &'a str,
    /// Counted in the table.
    column: u32,
    source: Column<'a>,
    values: Values<'a>,
    /// End of its key in `Body::keys`; it begins where the one before ends.
    key_end: usize,
}

impl Body {
    /// An empty one.
    #[must_use]
    pub fn new() -> Body {
        Body::default()
    }

    /// Empties it; the memory is kept.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.runs.clear();
        (self.lines, self.samples, self.replaced) = (0, 0, 0);
    }

    /// All its lines, each with its line feed.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many lines it has.
    #[must_use]
    pub fn lines(&self) -> u32 {
        self.lines
    }

    /// How many values are in its lines.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// How often a name or text was written with look-alikes (see [`super::names`]): once per table
    /// for its tags, once per measurement, key and text.
    #[must_use]
    pub fn replaced(&self) -> u64 {
        self.replaced
    }

    /// Appends a table: all of its rows from `from` on that have a value, or as many as there is
    /// room for. `None` if the table is in; else where to go on, after this body was sent.
    ///
    /// Within a table the lines come measurement by measurement and within one in the order of rows;
    /// so a series' samples stay in order.
    #[must_use = "a full body has not taken the whole table"]
    pub fn push(
        &mut self,
        naming: &Naming,
        (position, index): (Position, u32),
        table: Table<'_>,
        from: Resume,
        room: Room,
    ) -> Option<Resume> {
        let mut fields: Vec<Field<'_>> = (0..)
            .zip(table.columns())
            .filter(|(_, source)| naming.selects(source.metric()))
            .map(|(column, source)| Field::new(naming, column, source))
            .collect();
        // Most clients send the metrics of a part together: then there is nothing to sort.
        if !fields.is_sorted_by(|a, b| a.measurement <= b.measurement) {
            fields.sort_by(|a, b| a.measurement.cmp(b.measurement));
        }
        self.escape_tags(table);
        let groups = fields.chunk_by_mut(|a, b| a.measurement == b.measurement);
        let mut first_row = from.row;
        for (measurement, group) in groups.enumerate().skip(from.measurement) {
            self.escape_keys(group);
            let origin = (position, index);
            if let Some(row) = self.push_rows(origin, table.times(), group, first_row, room) {
                return Some(Resume { measurement, row });
            }
            first_row = 0;
        }
        None
    }

    /// The lines as they are sent.
    ///
    /// # Panics
    /// If it has no such lines, as slices do.
    #[must_use]
    pub fn slice(&self, lines: Range<u32>) -> &[u8] {
        &self.bytes[self.offset(lines.start)..self.offset(lines.end)]
    }

    /// The end of the longest range of lines from `lines.start` on, within `lines`, that has at most
    /// `bytes_max` bytes; one line at least, if there is one.
    #[must_use]
    pub fn fit(&self, lines: Range<u32>, bytes_max: usize) -> u32 {
        if lines.is_empty() {
            return lines.start;
        }
        let fitting = self.slice(lines.clone());
        let fitting = &fitting[..fitting.len().min(bytes_max)];
        // A line feed is the end of a line and nothing else.
        let whole = fitting.iter().filter(|&&byte| byte == b'\n').count();
        lines.start + u32::try_from(whole).unwrap_or(u32::MAX).max(1)
    }

    /// Where these lines came from, in their order.
    pub fn origins(&self, lines: Range<u32>) -> impl Iterator<Item = Origin> {
        let first = self.runs.partition_point(|run| run.first_line <= lines.start).max(1) - 1;
        (first..self.runs.len()).map_while(move |at| {
            let run = self.runs[at];
            let end = self.runs.get(at + 1).map_or(self.lines, |next| next.first_line);
            let (from, to) = (run.first_line.max(lines.start), end.min(lines.end));
            (from < to).then(|| {
                let row = |line: u32| (run.first_row + (line - run.first_line)) as usize;
                let (position, table, column) = (run.position, run.table, run.column as usize);
                Origin { position, table, rows: row(from)..row(to), column }
            })
        })
    }

    /// Where a line begins.
    fn offset(&self, line: u32) -> usize {
        if line == self.lines {
            return self.bytes.len();
        }
        let run = self.runs[self.runs.partition_point(|run| run.first_line <= line) - 1];
        let skip = (line - run.first_line) as usize;
        let ends = self.bytes[run.offset..].iter().enumerate().filter(|&(_, &byte)| byte == b'\n');
        match skip {
            0 => run.offset,
            _ => run.offset + ends.map(|(at, _)| at + 1).nth(skip - 1).unwrap_or_default(),
        }
    }

    fn escape_tags(&mut self, table: Table<'_>) {
        self.tags.clear();
        let mut replaced = false;
        let mut push = |prefix: &str, key: &str, value: &str| {
            // Line protocol has no empty tags: an absent one says the same.
            if key.is_empty() || value.is_empty() {
                return;
            }
            self.tags.push(b',');
            self.tags.extend_from_slice(prefix.as_bytes());
            replaced |= push_name(&mut self.tags, key, Part::Tag);
            self.tags.push(b'=');
            replaced |= push_name(&mut self.tags, value, Part::Tag);
        };
        // In the order of keys, which saves InfluxDB sorting them.
        let mut device_is_due = true;
        for (key, value) in table.tags() {
            if device_is_due && key >= DEVICE_TAG {
                push("", DEVICE_TAG, table.device());
                device_is_due = false;
            }
            let (prefix, key) = own_tag(key);
            push(prefix, key, value);
        }
        if device_is_due {
            push("", DEVICE_TAG, table.device());
        }
        self.replaced += u64::from(replaced);
    }

    /// Makes prefix and keys of a measurement.
    fn escape_keys(&mut self, group: &mut [Field<'_>]) {
        self.prefix.clear();
        self.keys.clear();
        if let Some(field) = group.first() {
            let replaced = push_name(&mut self.prefix, field.measurement, Part::Measurement);
            self.replaced += u64::from(replaced);
        }
        self.prefix.extend_from_slice(&self.tags);
        self.prefix.push(b' ');
        for field in group {
            let replaced = push_name(&mut self.keys, field.name, Part::FieldKey);
            self.replaced += u64::from(replaced);
            self.keys.push(b'=');
            field.key_end = self.keys.len();
        }
    }

    /// Appends the rows of a measurement; the row to go on with if there is no room for all.
    fn push_rows(
        &mut self,
        (position, table): (Position, u32),
        times: &[i64],
        group: &[Field<'_>],
        first_row: usize,
        room: Room,
    ) -> Option<usize> {
        let column = group.first()?.column;
        let mut run_goes_on = false;
        for (row, &time) in times.iter().enumerate().skip(first_row) {
            let offset = self.bytes.len();
            if offset >= room.bytes || self.lines >= room.lines {
                return Some(row);
            }
            let samples = self.push_line(group, row, time);
            if samples == 0 {
                run_goes_on = false;
                continue;
            }
            if !run_goes_on {
                // Limits on the way in keep rows and lines far below what 32 bits count.
                let (first_line, first_row) = (self.lines, row as u32);
                self.runs.push(Run { first_line, offset, position, table, column, first_row });
                run_goes_on = true;
            }
            self.samples += samples;
            self.lines += 1;
        }
        None
    }

    /// Appends one line, or nothing if the row has no value here. Returns how many it has.
    fn push_line(&mut self, group: &[Field<'_>], row: usize, time: i64) -> u64 {
        let out = &mut self.bytes;
        let (mut samples, mut key_start) = (0, 0);
        for field in group {
            let key = &self.keys[key_start..field.key_end];
            key_start = field.key_end;
            if !field.source.is_present(row) {
                continue;
            }
            match samples {
                0 => out.extend_from_slice(&self.prefix),
                _ => out.push(b','),
            }
            samples += 1;
            out.extend_from_slice(key);
            match field.values {
                Values::Floats(values) => {
                    out.extend_from_slice(zmij::Buffer::new().format(values[row]).as_bytes());
                }
                Values::Ints(values) => {
                    out.extend_from_slice(itoa::Buffer::new().format(values[row]).as_bytes());
                    out.push(b'i');
                }
                Values::Bools(values) => {
                    out.extend_from_slice(if values[row] { b"true" } else { b"false" });
                }
                Values::Texts(texts) => {
                    self.replaced += u64::from(push_text(out, texts.get(row)));
                }
            }
        }
        if samples > 0 {
            out.push(b' ');
            out.extend_from_slice(itoa::Buffer::new().format(time).as_bytes());
            out.push(b'\n');
        }
        samples
    }
}

impl<'a> Field<'a> {
    fn new(naming: &'a Naming, column: u32, source: Column<'a>) -> Field<'a> {
        let (measurement, name) = naming.split(source.metric());
        Field { measurement, name, column, source, values: source.values(), key_end: 0 }
    }
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
