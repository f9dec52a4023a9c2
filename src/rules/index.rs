//! Which rules take which tables and metrics, found once for each name.

use super::rule::Rule;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::sync::Arc;

/// In place of a slot: the series is not watched, because too many are.
pub(super) const BEYOND: u32 = u32::MAX;

/// A set of rules, by their indexes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Mask(Box<[u64]>);

impl Mask {
    fn of(rules: &[Arc<Rule>], takes: impl Fn(&Rule) -> bool) -> Mask {
        let mut words = vec![0; rules.len().div_ceil(64)];
        for (number, _) in rules.iter().enumerate().filter(|(_, rule)| takes(rule)) {
            words[number / 64] |= 1 << (number % 64);
        }
        Mask(words.into())
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    fn meets(&self, other: &Mask) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a & b != 0)
    }

    /// The indexes that are in both, in order.
    pub fn both(&self, other: &Mask) -> impl Iterator<Item = u32> {
        self.0.iter().zip(&other.0).enumerate().flat_map(|(word, (a, b))| {
            let both = a & b;
            (0..64_u32)
                .filter(move |bit| both >> bit & 1 == 1)
                .map(move |bit| word as u32 * 64 + bit)
        })
    }
}

/// A table as rules see it.
#[derive(Debug)]
pub(super) struct Row {
    pub mask: Mask,
    /// The slot of each of its series that is watched, by the number of the metric.
    series: HashMap<u32, u32, RandomState>,
}

/// Names that were met. As many as there are series: admission bounds them (`limits.series_max`).
#[derive(Debug, Default)]
pub(super) struct Index {
    rows: HashMap<Box<str>, u32, RandomState>,
    pub tables: Vec<Row>,
    numbers: HashMap<Box<str>, u32, RandomState>,
    pub metrics: Vec<Mask>,
}

impl Index {
    /// The number of a table; nothing if no rule takes it.
    pub fn table(&mut self, rules: &[Arc<Rule>], identity: &str) -> Option<u32> {
        let number = match self.rows.get(identity) {
            Some(number) => *number,
            None => {
                let mask = Mask::of(rules, |rule| rule.takes_table(identity));
                let number = self.tables.len() as u32;
                self.tables.push(Row { mask, series: HashMap::default() });
                self.rows.insert(identity.into(), number);
                number
            }
        };
        (!self.tables[number as usize].mask.is_empty()).then_some(number)
    }

    /// The number of a metric.
    pub fn metric(&mut self, rules: &[Arc<Rule>], metric: &str) -> u32 {
        if let Some(number) = self.numbers.get(metric) {
            return *number;
        }
        let number = self.metrics.len() as u32;
        self.metrics.push(Mask::of(rules, |rule| rule.is_of_series() && rule.takes_metric(metric)));
        self.numbers.insert(metric.into(), number);
        number
    }

    /// Whether any rule takes this series.
    pub fn is_taken(&self, table: u32, metric: u32) -> bool {
        self.tables[table as usize].mask.meets(&self.metrics[metric as usize])
    }

    /// The rules that take this series.
    pub fn rules(&self, table: u32, metric: u32) -> impl Iterator<Item = u32> {
        self.tables[table as usize].mask.both(&self.metrics[metric as usize])
    }

    pub fn slot(&self, table: u32, metric: u32) -> Option<u32> {
        self.tables[table as usize].series.get(&metric).copied()
    }

    pub fn set_slot(&mut self, table: u32, metric: u32, slot: u32) {
        self.tables[table as usize].series.insert(metric, slot);
    }

    /// There is room again for series that were beyond the most there may be.
    pub fn forget_beyond(&mut self) {
        self.tables.iter_mut().for_each(|row| row.series.retain(|_, slot| *slot != BEYOND));
    }

    /// Forgets that a series is watched.
    pub fn forget(&mut self, identity: &str, metric: &str) {
        let (table, metric) = (self.rows.get(identity), self.numbers.get(metric));
        if let (Some(table), Some(metric)) = (table, metric) {
            self.tables[*table as usize].series.remove(metric);
        }
    }
}
