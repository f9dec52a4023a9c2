//! Readings on their way to become a batch.
//!
//! In: [`Reading`]s, one by one, from lines of JSON or from messages of a broker. Out: one [`Batch`]
//! of those that are valid by all limits. Readings that tell the same device, tags, metrics and types,
//! and are to be kept in the same places, become the rows of one table, so that a file of readings costs
//! what a batch does. They need not stand in a row: agents tell all that they measure, and then again.
//!
//! Hot path. Most readings are of the table that the one before was of, or of that which came after it the
//! last time: those are looked at before anything is hashed. A body may say long names once for a great
//! many readings: what is in them is looked at for the first row of each table only.

use super::fault::{Counted, FaultKind};
use super::open_table::OpenTable;
use super::reading::{Reading, ReadingFault};
use crate::model::{Batch, BatchBuilder, Timestamp};
use crate::wire::Limits;
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};

/// Columns of the tables that readings can still become rows of. Beyond, all of them are closed, and others
/// begin: an open column takes three times the memory of one in a batch.
const OPEN_COLUMNS_MAX: usize = 1 << 14;
/// How often `limits.inflated_bytes` of names are looked at. A histogram looks at its own three times before
/// it enters; what is beyond, faulty readings have.
const LOOKS_MAX: usize = 4;

/// Makes a batch of readings.
pub struct Gather<'l, 'a> {
    limits: &'l Limits,
    builder: BatchBuilder,
    /// The tables that the next reading may become a row of.
    open: Vec<OpenTable<'a>>,
    /// The newest of them for each kind of reading, by its hash.
    by_kind: HashMap<u64, usize, RandomState>,
    hashes: RandomState,
    /// The one that the last reading became a row of.
    last: usize,
    open_columns: usize,
    /// All tables.
    tables: usize,
    samples: usize,
    /// Bytes of the names of all tables. A body may say a name once for many of them.
    names: usize,
    /// Bytes of names that were looked at, those of faulty readings included.
    looked_at: usize,
}

/// Where a reading goes.
enum Place {
    /// It is the next row of this table.
    Row(usize),
    /// It begins a table for readings with this hash.
    Begins(u64),
}

/// Why the readings of a message were not added.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NotAdded {
    /// One of them is at fault.
    #[error(transparent)]
    Fault(#[from] ReadingFault),
    /// The batch can take no more samples or tables.
    #[error("more samples or tables than one batch may have (limits.samples, limits.tables)")]
    Full,
}

impl<'l, 'a> Gather<'l, 'a> {
    /// Nothing gathered yet.
    #[must_use]
    pub fn new(limits: &'l Limits) -> Gather<'l, 'a> {
        Gather {
            limits,
            builder: BatchBuilder::new(),
            open: Vec::new(),
            by_kind: HashMap::default(),
            hashes: RandomState::default(),
            last: 0,
            open_columns: 0,
            tables: 0,
            samples: 0,
            names: 0,
            looked_at: 0,
        }
    }

    /// Adds a reading; it enters whole or not at all.
    ///
    /// # Errors
    /// [`ReadingFault`] says what is wrong with it, or that the batch can take no more
    /// ([`FaultKind::TooMany`] of samples or tables).
    pub fn push(
        &mut self,
        mut reading: Reading<'a>,
        received_at: Timestamp,
    ) -> Result<(), ReadingFault> {
        let place = self.check_after(self.last, &mut reading, received_at)?;
        self.put(reading, place)
    }

    /// Puts the tags of a reading in order and holds everything against the limits, as if it were pushed.
    ///
    /// # Errors
    /// [`ReadingFault`] says what is wrong with it.
    pub fn check(
        &mut self,
        reading: &mut Reading<'a>,
        received_at: Timestamp,
    ) -> Result<(), ReadingFault> {
        self.check_after(self.last, reading, received_at).map(|_| ())
    }

    /// The same for one that comes after a row of the table `last`; also tells where it goes.
    fn check_after(
        &mut self,
        last: usize,
        reading: &mut Reading<'a>,
        received_at: Timestamp,
    ) -> Result<Place, ReadingFault> {
        reading.measure(self.limits)?;
        let place = self.place(last, reading);
        // The names of a table's rows are its own.
        if let Place::Begins(_) = place {
            self.looked_at = self.looked_at.saturating_add(reading.name_bytes());
            let max = self.limits.inflated_bytes;
            if self.looked_at > max.saturating_mul(LOOKS_MAX) {
                return Err(FaultKind::TooMany { what: Counted::NameBytes, max }.into());
            }
            reading.check_names(self.limits)?;
        }
        reading.check_row(self.limits, received_at)?;
        Ok(place)
    }

    fn put(&mut self, reading: Reading<'a>, place: Place) -> Result<(), ReadingFault> {
        let samples = self.samples + reading.values.len();
        if samples > self.limits.samples {
            let max = self.limits.samples;
            return Err(FaultKind::TooMany { what: Counted::Samples, max }.into());
        }
        match place {
            Place::Row(table) => {
                self.open[table].push(reading);
                self.last = table;
            }
            Place::Begins(kind) => self.begin(reading, kind)?,
        }
        self.samples = samples;
        Ok(())
    }

    /// Adds the readings of one message: all of them, or none.
    ///
    /// # Errors
    /// [`NotAdded::Fault`] if a reading is at fault; nothing was added. [`NotAdded::Full`] if the batch
    /// can take no more: some may have been added, so what was gathered is to be made anew without them.
    pub fn push_all(
        &mut self,
        mut readings: Vec<Reading<'a>>,
        received_at: Timestamp,
    ) -> Result<(), NotAdded> {
        for reading in &mut readings {
            reading.check(self.limits, received_at)?;
        }
        for reading in readings {
            self.push(reading, received_at).map_err(|_| NotAdded::Full)?;
        }
        Ok(())
    }

    /// Adds readings that belong together: all of them, or none. What was gathered stays good.
    ///
    /// # Errors
    /// [`ReadingFault`], of the first that is at fault, or that the batch may not take so many more.
    pub fn push_whole(
        &mut self,
        mut readings: Vec<Reading<'a>>,
        received_at: Timestamp,
    ) -> Result<(), ReadingFault> {
        let (mut samples, mut names, mut last) = (0, 0, self.last);
        for reading in &mut readings {
            if let Place::Row(table) = self.check_after(last, reading, received_at)? {
                last = table;
            }
            samples += reading.values.len();
            names += reading.name_bytes();
        }
        self.room(readings.len(), samples, names)?;
        readings.into_iter().try_for_each(|reading| {
            let place = self.place(self.last, &reading);
            self.put(reading, place)
        })
    }

    /// Whether so many tables, samples and bytes of names more may be added, whatever readings they come from.
    ///
    /// # Errors
    /// [`FaultKind::TooMany`].
    pub fn room(&self, tables: usize, samples: usize, names: usize) -> Result<(), FaultKind> {
        let count = |what, count: usize, max| match count <= max {
            true => Ok(()),
            false => Err(FaultKind::TooMany { what, max }),
        };
        count(Counted::Samples, self.samples + samples, self.limits.samples)?;
        count(Counted::NameBytes, self.names.saturating_add(names), self.limits.inflated_bytes)?;
        count(Counted::Tables, self.tables + tables, self.limits.tables)
    }

    /// Values gathered so far.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// The batch.
    #[must_use]
    pub fn finish(mut self) -> Batch {
        self.close();
        self.builder.finish()
    }

    /// Where a reading goes that comes after a row of the table `last`.
    fn place(&self, last: usize, reading: &Reading<'a>) -> Place {
        let takes = |table: usize| {
            let open = self.open.get(table);
            open.is_some_and(|open| open.rows() < self.limits.rows && open.takes(reading))
        };
        let kind = match [last, last + 1].into_iter().find(|&table| takes(table)) {
            Some(table) => return Place::Row(table),
            None => self.kind(reading),
        };
        let table = self.by_kind.get(&kind).copied().filter(|&table| takes(table));
        table.map_or(Place::Begins(kind), Place::Row)
    }

    /// The same for readings of one table. That two kinds have the same costs no more than a table.
    fn kind(&self, reading: &Reading<'a>) -> u64 {
        let mut hasher = self.hashes.build_hasher();
        (&reading.device, &reading.tags, reading.keep as u8).hash(&mut hasher);
        for value in &reading.values {
            (&value.metric, &value.unit, std::mem::discriminant(&value.content)).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Begins another table.
    fn begin(&mut self, reading: Reading<'a>, kind: u64) -> Result<(), ReadingFault> {
        if self.tables == self.limits.tables {
            let max = self.limits.tables;
            return Err(FaultKind::TooMany { what: Counted::Tables, max }.into());
        }
        // No more than a message could have that says each name where it is needed.
        let (names, max) = (self.names + reading.name_bytes(), self.limits.inflated_bytes);
        if names > max {
            return Err(FaultKind::TooMany { what: Counted::NameBytes, max }.into());
        }
        self.names = names;
        let columns = reading.values.len();
        if self.open_columns + columns > OPEN_COLUMNS_MAX {
            self.close();
        }
        self.tables += 1;
        self.open_columns += columns;
        self.last = self.open.len();
        self.by_kind.insert(kind, self.last);
        self.open.push(OpenTable::new(reading));
        Ok(())
    }

    fn close(&mut self) {
        self.by_kind.clear();
        self.open_columns = 0;
        for open in self.open.drain(..) {
            open.close(&mut self.builder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Content, Value};
    use crate::model::Keep;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn tagged<'a>(device: &'a str, tag: &'a str, time: i64) -> Reading<'a> {
        let values = vec![Value { metric: "t".into(), unit: "".into(), content: Content::Int(1) }];
        let tags = vec![("tag".into(), tag.into())];
        Reading { device: device.into(), tags, time, keep: Keep::default(), values }
    }

    #[test]
    fn readings_that_belong_together_enter_whole_or_not_at_all() {
        let limits = Limits { tables: 3, ..Limits::default() };
        let mut gather = Gather::new(&limits);
        let now = Timestamp(5);
        let too_many = |what, max| Err(FaultKind::TooMany { what, max }.into());
        gather.push(tagged("a", "1", 1), now).unwrap();
        let three = || vec![tagged("a", "2", 1), tagged("a", "3", 1), tagged("a", "4", 1)];
        assert_eq!(gather.push_whole(three(), now), too_many(Counted::Tables, 3));
        let faulty = vec![tagged("a", "2", 1), tagged("", "3", 1)];
        assert!(gather.push_whole(faulty, now).is_err());
        assert_eq!(gather.samples(), 1);
        assert_eq!(gather.push_whole(three()[..2].to_vec(), now), Ok(()));
        assert_eq!(gather.finish().tables().len(), 3);
    }

    #[test]
    fn names_that_are_said_once_for_many_tables_are_bounded() {
        let limits = Limits { inflated_bytes: 100, ..Limits::default() };
        let mut gather = Gather::new(&limits);
        let now = Timestamp(5);
        let tags: Vec<_> = (10..50).map(|tag| tag.to_string()).collect();
        let entered =
            tags.iter().filter(|tag| gather.push(tagged("a-long-name", tag, 1), now).is_ok());
        // Of device, tag and metric: 11 + 3 + 2 + 1 bytes.
        assert_eq!(entered.count(), 100 / 17);
        let row = tagged("a-long-name", &tags[100 / 17 - 1], 2);
        assert_eq!(gather.push(row, now), Ok(()), "a row of the last table has no new names");
        let fault = gather.push_whole(vec![tagged("a-long-name", "3", 2)], now).unwrap_err();
        assert!(fault.to_string().contains("more bytes of names than the 100"), "{fault}");
    }

    #[test]
    fn readings_that_are_kept_elsewhere_are_another_table() {
        let limits = Limits::default();
        let mut gather = Gather::new(&limits);
        let keeps = [Keep::LiveOnly, Keep::LiveOnly, Keep::Everywhere, Keep::StoresOnly];
        for (keep, time) in keeps.into_iter().zip(1..) {
            let (metric, unit, content) = ("t".into(), "".into(), Content::Int(time));
            let values = vec![Value { metric, unit, content }];
            let reading = Reading { device: "d".into(), tags: vec![], time, keep, values };
            gather.push(reading, Timestamp(5)).unwrap();
        }
        let batch = gather.finish();
        let tables: Vec<_> =
            batch.tables().map(|table| (table.keep(), table.times().len())).collect();
        let expected = [(Keep::LiveOnly, 2), (Keep::Everywhere, 1), (Keep::StoresOnly, 1)];
        assert_eq!(tables, expected);
    }

    fn reading<'a>(device: usize, metric: &str, content: Content<'a>, time: i64) -> Reading<'a> {
        let (metric, unit) = (metric.to_owned().into(), "".into());
        let values = vec![Value { metric, unit, content }];
        let device = format!("d{device}").into();
        Reading { device, tags: vec![], time, keep: Keep::Everywhere, values }
    }

    /// Rows of each table, in their order.
    fn rows(gather: Gather<'_, '_>) -> Vec<(String, Vec<i64>)> {
        let batch = gather.finish();
        let rows = |table: crate::model::Table<'_>| {
            let metric = table.columns().next().unwrap().metric();
            (format!("{} {metric}", table.device()), table.times().to_vec())
        };
        batch.tables().map(rows).collect()
    }

    #[test]
    fn readings_that_come_in_turns_are_rows_of_few_tables() {
        let limits = Limits::default();
        let mut gather = Gather::new(&limits);
        for time in 1..=4 {
            // A device more at the second time, and one less at the third.
            for device in [0, 1, 2].into_iter().filter(|&device| (device, time) != (2, 1)) {
                if (device, time) != (1, 3) {
                    gather
                        .push(reading(device, "t", Content::Int(time), time), Timestamp(9))
                        .unwrap();
                }
            }
        }
        // Another type is another table, and so is another metric.
        gather.push(reading(0, "t", Content::Bool(true), 5), Timestamp(9)).unwrap();
        gather.push(reading(0, "u", Content::Int(1), 6), Timestamp(9)).unwrap();
        gather.push(reading(0, "t", Content::Int(1), 7), Timestamp(9)).unwrap();
        let expected = [
            ("d0 t", vec![1, 2, 3, 4, 7]),
            ("d1 t", vec![1, 2, 4]),
            ("d2 t", vec![2, 3, 4]),
            ("d0 t", vec![5]),
            ("d0 u", vec![6]),
        ];
        assert_eq!(rows(gather), expected.map(|(name, times)| (name.to_owned(), times)));
    }

    #[test]
    fn the_limits_hold_however_readings_come() {
        let limits = Limits { rows: 2, tables: 3, samples: 6, ..Limits::default() };
        let mut gather = Gather::new(&limits);
        let mut push = |device, time| {
            gather
                .push(reading(device, "t", Content::Int(0), time), Timestamp(9))
                .map_err(|it| it.kind)
        };
        for (device, time) in [(0, 1), (1, 2), (0, 3), (0, 4), (1, 5)] {
            push(device, time).unwrap();
        }
        let tables = FaultKind::TooMany { what: Counted::Tables, max: 3 };
        assert_eq!((push(1, 6), push(2, 6)), (Err(tables.clone()), Err(tables)));
        push(0, 6).unwrap();
        let samples = FaultKind::TooMany { what: Counted::Samples, max: 6 };
        assert_eq!(push(0, 7), Err(samples));
        let rows = rows(gather);
        let times: Vec<_> = rows.iter().map(|(_, times)| times.as_slice()).collect();
        assert_eq!(times, [&[1, 3][..], &[2, 5], &[4, 6]]);
    }

    #[test]
    fn names_are_looked_at_so_often_and_no_more() {
        let limits = Limits { inflated_bytes: 100, ..Limits::default() };
        let mut gather = Gather::new(&limits);
        let now = Timestamp(5);
        gather.push(tagged("a", "1", 1), now).unwrap();
        let mut faulty = || gather.push(tagged("b\n", "1", 1), now).unwrap_err().kind;
        // Of 7 bytes each.
        let mut kinds = (0..100).map(|_| faulty());
        let looked_at = kinds.by_ref().take_while(|kind| matches!(kind, FaultKind::Name { .. }));
        assert_eq!(looked_at.count(), (LOOKS_MAX * 100 - 6) / 7);
        let too_many = FaultKind::TooMany { what: Counted::NameBytes, max: 100 };
        assert!(kinds.all(|kind| kind == too_many));
        assert_eq!(gather.push(tagged("a", "1", 2), now), Ok(()), "what is known still enters");
        let late = gather.push(tagged("a", "1", i64::MIN), now).unwrap_err();
        assert!(matches!(late.kind, FaultKind::TooOld { .. }), "a row is looked at each time");
    }

    #[test]
    fn what_is_open_is_bounded() {
        let limits = Limits { tables: usize::MAX, ..Limits::default() };
        let mut gather = Gather::new(&limits);
        for turn in 0..2 {
            for device in 0..OPEN_COLUMNS_MAX + 10 {
                gather.push(reading(device, "t", Content::Int(0), turn), Timestamp(9)).unwrap();
                assert!(
                    gather.open.len() <= OPEN_COLUMNS_MAX
                        && gather.by_kind.len() <= gather.open.len()
                );
            }
        }
        let batch = gather.finish();
        assert_eq!(batch.samples(), 2 * (OPEN_COLUMNS_MAX + 10));
    }

    proptest! {
        #[test]
        fn every_reading_is_in_the_batch_once_and_those_of_a_kind_in_their_order(
            kinds in proptest::collection::vec((0_usize..4, 0_usize..3, any::<bool>()), 1..80),
            rows in 1_usize..6,
        ) {
            let limits = Limits { rows, ..Limits::default() };
            let mut gather = Gather::new(&limits);
            let mut pushed = BTreeMap::<_, Vec<i64>>::new();
            for (&(device, metric, is_int), time) in kinds.iter().zip(1..) {
                let content = if is_int { Content::Int(time) } else { Content::Float(time as f64) };
                let metric = format!("m{metric}");
                pushed.entry((format!("d{device} {metric}"), is_int)).or_default().push(time);
                gather.push(reading(device, &metric, content, time), Timestamp(99)).unwrap();
            }
            let batch = gather.finish();
            let mut there = BTreeMap::<_, Vec<i64>>::new();
            for table in batch.tables() {
                prop_assert!(table.times().len() <= rows);
                let column = table.columns().next().unwrap();
                let is_int = matches!(column.values(), crate::model::Values::Ints(_));
                let name = format!("{} {}", table.device(), column.metric());
                let times = there.entry((name, is_int)).or_default();
                times.extend_from_slice(table.times());
            }
            prop_assert_eq!(there, pushed);
        }
    }
}
