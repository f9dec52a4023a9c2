//! Which series a subscription wants, kept up as new ones appear.
//!
//! Whether a series is wanted is a matter of its table and of its metric's name, each of which is
//! judged once, when it first appears.

use super::subscription::Subscription;
use crate::aggregate::{Aggregate, MetricId, TableId, TableView};

/// The verdicts of one subscription.
#[derive(Debug)]
pub(super) struct Matcher {
    subscription: Subscription,
    tables_seen: usize,
    metrics_seen: usize,
    /// Wanted tables, ascending; not used if all are.
    tables: Vec<TableId>,
    /// A bit per metric; not used if all are wanted.
    metrics: Vec<u64>,
}

impl Matcher {
    pub fn new(subscription: Subscription) -> Matcher {
        Matcher {
            subscription,
            tables_seen: 0,
            metrics_seen: 0,
            tables: Vec::new(),
            metrics: Vec::new(),
        }
    }

    /// Judges what is new.
    pub fn extend(&mut self, aggregate: &Aggregate) {
        if !self.subscription.all_tables() {
            for id in self.tables_seen..aggregate.tables_len() {
                let id = TableId(id as u32);
                if self.judge(aggregate.table(id)) {
                    self.tables.push(id);
                }
            }
        }
        self.tables_seen = aggregate.tables_len();
        if !self.subscription.all_metrics() {
            self.metrics.resize(aggregate.metrics_len().div_ceil(64), 0);
            for id in self.metrics_seen..aggregate.metrics_len() {
                let wanted = self.subscription.wants_metric(aggregate.metric(MetricId(id as u32)));
                self.metrics[id / 64] |= u64::from(wanted) << (id % 64);
            }
        }
        self.metrics_seen = aggregate.metrics_len();
    }

    fn judge(&self, table: TableView<'_>) -> bool {
        let tags: Vec<_> = table.tags().collect();
        self.subscription.wants_device(&table.device().name)
            && self.subscription.wants_tags(tags.iter().copied())
    }

    pub fn wants_metric(&self, id: MetricId) -> bool {
        self.subscription.all_metrics() || self.metrics[id.0 as usize / 64] >> (id.0 % 64) & 1 == 1
    }

    /// Whether a device belongs to what is subscribed.
    pub fn wants_device(&self, device: &crate::aggregate::Device) -> bool {
        self.subscription.wants_device(&device.name)
            && (self.subscription.any_tags()
                || device.tables.iter().any(|id| self.tables.binary_search(id).is_ok()))
    }

    /// All wanted tables.
    pub fn tables(&self) -> Box<dyn Iterator<Item = TableId> + '_> {
        if self.subscription.all_tables() {
            Box::new((0..self.tables_seen).map(|id| TableId(id as u32)))
        } else {
            Box::new(self.tables.iter().copied())
        }
    }

    /// The wanted ones of `changed`, which is ascending.
    pub fn tables_of<'a>(
        &'a self,
        changed: &'a [TableId],
    ) -> Box<dyn Iterator<Item = TableId> + 'a> {
        if self.subscription.all_tables() {
            Box::new(changed.iter().copied())
        } else if self.tables.len() < changed.len() {
            let is_changed = |id: &TableId| changed.binary_search(id).is_ok();
            Box::new(self.tables.iter().copied().filter(is_changed))
        } else {
            let is_wanted = |id: &TableId| self.tables.binary_search(id).is_ok();
            Box::new(changed.iter().copied().filter(is_wanted))
        }
    }
}
