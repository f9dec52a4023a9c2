//! A batch in memory: tables of typed columns, held in a handful of flat arrays.
//!
//! In: what a decoder read, through [`BatchBuilder`](super::BatchBuilder). Out: [`Table`] and
//! [`Column`] views for whoever folds it (the history, the aggregate) or encodes it again.
//!
//! Hot path. A gateway's batch has a thousand columns of ten values; a device's has ten columns of
//! one. One allocation per column would cost more than decoding it, so that all names lie in one
//! string, all values of a type in one vector, and a table or column is a few ranges into them.
//! `benches/decode.rs` guards it.

use std::ops::Range;

/// Separates the parts of a [`Table::identity`]; no name contains it.
pub(super) const SEPARATOR: char = '\0';

/// Where the rows of a table are to be kept.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// In stores, and in what is live.
    #[default]
    Everywhere,
    /// In stores only: what the device has kept while nobody listened, and tells now.
    StoresOnly,
    /// In what is live only: worth a look now, and not to be kept.
    LiveOnly,
}

impl Keep {
    /// Whether the history and other stores take it.
    #[must_use]
    pub fn in_stores(self) -> bool {
        self != Keep::LiveOnly
    }

    /// Whether live windows count it.
    #[must_use]
    pub fn in_live(self) -> bool {
        self != Keep::StoresOnly
    }
}

/// Readings that entered together: the unit of acknowledgement. Immutable once built.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    pub(super) names: String,
    pub(super) times: Vec<i64>,
    pub(super) floats: Vec<f64>,
    pub(super) ints: Vec<i64>,
    pub(super) bools: Vec<bool>,
    pub(super) texts: Vec<Span>,
    pub(super) absent: Vec<u8>,
    pub(super) tables: Vec<TableSpan>,
    pub(super) columns: Vec<ColumnSpan>,
    pub(super) samples: usize,
}

pub(super) type Span = Range<u32>;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct TableSpan {
    pub(super) identity: Span,
    pub(super) device_bytes: u32,
    pub(super) times: Span,
    pub(super) columns: Span,
    pub(super) keep: Keep,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct ColumnSpan {
    pub(super) metric: Span,
    pub(super) unit: Span,
    pub(super) kind: Kind,
    /// Into the vector of `kind`; as many entries as the table has rows.
    pub(super) values: Span,
    /// Into `absent`; empty when every row has a value.
    pub(super) absent: Span,
    pub(super) present: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Float,
    Int,
    Bool,
    Text,
}

fn index(span: &Span) -> Range<usize> {
    span.start as usize..span.end as usize
}

impl Batch {
    /// Its tables, in the order they were sent.
    pub fn tables(&self) -> impl ExactSizeIterator<Item = Table<'_>> {
        self.tables.iter().map(|span| Table { batch: self, span })
    }

    /// The same readings at other times: those of each device moved by so many nanoseconds.
    #[must_use]
    pub fn shifted(mut self, by: impl Fn(&str) -> i64) -> Batch {
        for table in 0..self.tables.len() {
            let shift = by(Table { batch: &self, span: &self.tables[table] }.device());
            let rows = index(&self.tables[table].times);
            self.times[rows].iter_mut().for_each(|time| *time = time.saturating_add(shift));
        }
        self
    }

    /// The same readings, to be kept there and nowhere else.
    #[must_use]
    pub fn kept(mut self, keep: Keep) -> Batch {
        self.tables.iter_mut().for_each(|table| table.keep = keep);
        self
    }

    /// How many values are present in all columns together.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// Earliest and latest timestamp in it, or `None` if it has no rows.
    #[must_use]
    pub fn time_range(&self) -> Option<(i64, i64)> {
        let first = *self.times.first()?;
        Some(self.times.iter().fold((first, first), |(low, high), &t| (low.min(t), high.max(t))))
    }

    /// Bytes of heap that it holds, for the bounds of queues.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Batch>()
            + self.names.capacity()
            + self.times.capacity() * size_of::<i64>()
            + self.floats.capacity() * size_of::<f64>()
            + self.ints.capacity() * size_of::<i64>()
            + self.bools.capacity()
            + self.texts.capacity() * size_of::<Span>()
            + self.absent.capacity()
            + self.tables.capacity() * size_of::<TableSpan>()
            + self.columns.capacity() * size_of::<ColumnSpan>()
    }

    fn text(&self, span: &Span) -> &str {
        &self.names[index(span)]
    }
}

/// The rows of one device (with its tags) in a batch: a shared time axis and columns beside it.
#[derive(Clone, Copy)]
pub struct Table<'a> {
    batch: &'a Batch,
    span: &'a TableSpan,
}

impl<'a> Table<'a> {
    /// The device's name.
    #[must_use]
    pub fn device(self) -> &'a str {
        &self.identity()[..self.span.device_bytes as usize]
    }

    /// Device and tags as one string, equal exactly if both are: `device`, then for each tag, in the
    /// order of keys, `\0key\0value`. A key for hash tables that costs no allocation.
    #[must_use]
    pub fn identity(self) -> &'a str {
        self.batch.text(&self.span.identity)
    }

    /// Its tags, in the order of their keys.
    pub fn tags(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        tags_of_identity(self.identity())
    }

    /// Timestamp of each row, nanoseconds since the Unix epoch. In any order.
    #[must_use]
    pub fn times(self) -> &'a [i64] {
        &self.batch.times[index(&self.span.times)]
    }

    /// Where its rows are to be kept.
    #[must_use]
    pub fn keep(self) -> Keep {
        self.span.keep
    }

    /// How many values are present in its columns together.
    #[must_use]
    pub fn samples(self) -> usize {
        self.columns().map(Column::present).sum()
    }

    /// Its columns, each as long as [`Table::times`].
    pub fn columns(self) -> impl ExactSizeIterator<Item = Column<'a>> {
        self.batch.columns[index(&self.span.columns)]
            .iter()
            .map(move |span| Column { batch: self.batch, span })
    }
}

/// The tags in a [`Table::identity`], in the order of their keys.
pub fn tags_of_identity(identity: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut parts = identity.split(SEPARATOR);
    parts.next();
    std::iter::from_fn(move || Some((parts.next()?, parts.next()?)))
}

/// The values of one metric in a [`Table`].
#[derive(Clone, Copy)]
pub struct Column<'a> {
    batch: &'a Batch,
    span: &'a ColumnSpan,
}

impl<'a> Column<'a> {
    /// Name of the metric.
    #[must_use]
    pub fn metric(self) -> &'a str {
        self.batch.text(&self.span.metric)
    }

    /// Unit of the values, or empty if the client did not say.
    #[must_use]
    pub fn unit(self) -> &'a str {
        self.batch.text(&self.span.unit)
    }

    /// One entry per row; at rows that are not [present](Column::is_present) a filler.
    #[must_use]
    pub fn values(self) -> Values<'a> {
        let (batch, values) = (self.batch, index(&self.span.values));
        match self.span.kind {
            Kind::Float => Values::Floats(&batch.floats[values]),
            Kind::Int => Values::Ints(&batch.ints[values]),
            Kind::Bool => Values::Bools(&batch.bools[values]),
            Kind::Text => Values::Texts(Texts { names: &batch.names, spans: &batch.texts[values] }),
        }
    }

    /// Whether the row has a value in this column.
    #[must_use]
    pub fn is_present(self, row: usize) -> bool {
        self.absent().is_none_or(|bits| !bit(bits, row))
    }

    /// The bitmap of rows without a value (bit `i % 8` of byte `i / 8`), or `None` if there are none.
    #[must_use]
    pub fn absent(self) -> Option<&'a [u8]> {
        let bits = &self.batch.absent[index(&self.span.absent)];
        (!bits.is_empty()).then_some(bits)
    }

    /// How many rows have a value.
    #[must_use]
    pub fn present(self) -> usize {
        self.span.present as usize
    }
}

/// The values of a column, by type.
#[derive(Clone, Copy)]
pub enum Values<'a> {
    /// 64-bit floats, all finite.
    Floats(&'a [f64]),
    /// 64-bit signed integers.
    Ints(&'a [i64]),
    /// Truth values.
    Bools(&'a [bool]),
    /// Texts.
    Texts(Texts<'a>),
}

/// The texts of a column.
#[derive(Clone, Copy)]
pub struct Texts<'a> {
    names: &'a str,
    spans: &'a [Span],
}

impl<'a> Texts<'a> {
    /// How many there are.
    #[must_use]
    pub fn len(self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.spans.is_empty()
    }

    /// The text of a row.
    ///
    /// # Panics
    /// If there is no such row, as slices do.
    #[must_use]
    pub fn get(self, row: usize) -> &'a str {
        &self.names[index(&self.spans[row])]
    }

    /// All of them in order.
    pub fn iter(self) -> impl ExactSizeIterator<Item = &'a str> {
        self.spans.iter().map(move |span| &self.names[index(span)])
    }
}

pub(super) fn bit(bits: &[u8], row: usize) -> bool {
    bits.get(row / 8).is_some_and(|byte| byte >> (row % 8) & 1 == 1)
}
