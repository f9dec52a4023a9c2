//! Who is who: tables, metrics and units by small numbers, and a series by (table, metric).
//!
//! Hot path: one hash look-up per table; its columns are then guessed to come in the order in which
//! they came before, so that a series costs one comparison of names. `benches/aggregate.rs` guards it.

use super::devices::DeviceId;
use super::series::{Kind, Series};
use crate::model::Position;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;
use std::num::NonZeroU32;
use std::sync::Arc;

/// Names a series in this aggregate; counted from 0 in the order of their first samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId(pub u32);

/// Names a table, that is a device with its tags; counted from 0 in the order of their first samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub u32);

/// Names a metric's name; counted from 0 in the order of their first samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetricId(pub u32);

/// Names a unit; counted from 1, so that having none takes no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UnitId(NonZeroU32);

/// More units than this are not told apart from none.
const UNITS_MAX: usize = 65_536;

/// A device with its tags.
#[derive(Debug)]
pub(super) struct TableEntry {
    /// As [`crate::model::Table::identity`].
    pub identity: Box<str>,
    pub device: DeviceId,
    pub series: Vec<SeriesId>,
    /// The last record that changed any of its series, or had late samples for them.
    pub touched: Position,
    /// The last record that changed any of their units.
    pub units_touched: Position,
    /// The record after the last one that had late samples for it; 0 before the first.
    pub late: Position,
    /// The record after the last one in which it was read; 0 before the first.
    pub read: Position,
}

/// All tables, metrics, units and series.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub tables: Vec<TableEntry>,
    pub series: Vec<Series>,
    metrics: Interner,
    units: Interner,
    by_identity: HashTable<TableId>,
    by_name: HashTable<SeriesId>,
    hasher: RandomState,
}

impl Names {
    /// The table of this identity.
    pub fn table(&self, identity: &str) -> Option<TableId> {
        let hash = self.hasher.hash_one(identity);
        self.by_identity.find(hash, |id| &*self.tables[id.0 as usize].identity == identity).copied()
    }

    /// Adds a table that is not known.
    pub fn add_table(&mut self, identity: &str, device: DeviceId) -> TableId {
        let id = TableId(self.tables.len() as u32);
        self.tables.push(TableEntry {
            identity: identity.into(),
            device,
            series: Vec::new(),
            touched: Position(0),
            units_touched: Position(0),
            late: Position(0),
            read: Position(0),
        });
        let (tables, hasher) = (&self.tables, &self.hasher);
        self.by_identity.insert_unique(hasher.hash_one(identity), id, |id| {
            hasher.hash_one(&*tables[id.0 as usize].identity)
        });
        id
    }

    /// Whether `guess` is the series of this table and metric.
    pub fn is(&self, guess: SeriesId, table: TableId, metric: &str) -> bool {
        self.series
            .get(guess.0 as usize)
            .is_some_and(|series| series.table == table && self.metric(series.metric) == metric)
    }

    /// The series of this table and metric.
    pub fn series(&self, table: TableId, metric: &str) -> Option<SeriesId> {
        let metric = MetricId(self.metrics.find(metric)?);
        let hash = self.hasher.hash_one((table, metric));
        self.by_name
            .find(hash, |id| {
                let series = &self.series[id.0 as usize];
                (series.table, series.metric) == (table, metric)
            })
            .copied()
    }

    /// Adds a series that is not known.
    pub fn add_series(&mut self, table: TableId, metric: &str, kind: Kind) -> SeriesId {
        let metric = MetricId(self.metrics.intern(metric));
        let id = SeriesId(self.series.len() as u32);
        self.series.push(Series::new(table, metric, kind));
        self.tables[table.0 as usize].series.push(id);
        let (series, hasher) = (&self.series, &self.hasher);
        self.by_name.insert_unique(hasher.hash_one((table, metric)), id, |id| {
            let series = &series[id.0 as usize];
            hasher.hash_one((series.table, series.metric))
        });
        id
    }

    /// Remembers the unit of a series; tells whether that is news.
    pub fn set_unit(&mut self, series: SeriesId, unit: &str) -> bool {
        let known = self.series[series.0 as usize].unit;
        if known.is_some_and(|known| self.unit(known) == unit) {
            return false;
        }
        if self.units.len() >= UNITS_MAX && self.units.find(unit).is_none() {
            return false;
        }
        let id = NonZeroU32::MIN.saturating_add(self.units.intern(unit));
        self.series[series.0 as usize].unit = Some(UnitId(id));
        true
    }

    pub fn metric(&self, id: MetricId) -> &str {
        self.metrics.get(id.0)
    }

    pub fn unit(&self, id: UnitId) -> &str {
        self.units.get(id.0.get() - 1)
    }

    pub fn metrics_len(&self) -> usize {
        self.metrics.len()
    }

    pub fn memory_bytes(&self) -> usize {
        let heap: usize = self
            .tables
            .iter()
            .map(|table| table.identity.len() + table.series.capacity() * size_of::<SeriesId>())
            .sum();
        heap + self.tables.capacity() * size_of::<TableEntry>()
            + self.series.capacity() * size_of::<Series>()
            + self.metrics.memory_bytes()
            + self.units.memory_bytes()
            + self.by_identity.allocation_size()
            + self.by_name.allocation_size()
    }
}

/// Texts by number, each kept once, never forgotten: its users bound how many there are.
#[derive(Debug, Default)]
struct Interner {
    texts: Vec<Arc<str>>,
    by_text: HashTable<u32>,
    hasher: RandomState,
}

impl Interner {
    fn find(&self, text: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(text);
        self.by_text.find(hash, |&id| &*self.texts[id as usize] == text).copied()
    }

    fn intern(&mut self, text: &str) -> u32 {
        if let Some(id) = self.find(text) {
            return id;
        }
        let id = self.texts.len() as u32;
        self.texts.push(text.into());
        let (texts, hasher) = (&self.texts, &self.hasher);
        self.by_text
            .insert_unique(hasher.hash_one(text), id, |&id| hasher.hash_one(&*texts[id as usize]));
        id
    }

    fn get(&self, id: u32) -> &str {
        &self.texts[id as usize]
    }

    fn len(&self) -> usize {
        self.texts.len()
    }

    fn memory_bytes(&self) -> usize {
        self.texts.iter().map(|text| text.len() + 16).sum::<usize>()
            + self.texts.capacity() * size_of::<Arc<str>>()
            + self.by_text.allocation_size()
    }
}
