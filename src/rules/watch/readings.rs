//! Readings: the hot path of the fold.

use super::super::index::BEYOND;
use super::super::instance::Reading;
use super::super::rule::Kind;
use super::super::tracked::Subject;
use super::super::transition::Transition;
use super::{Watch, count, enqueue};
use crate::model::{Column, Table, Values};

impl Watch {
    pub(super) fn table(&mut self, table: Table<'_>) {
        let Some(number) = self.index.table(&self.rules, table.identity()) else { return };
        let times = table.times();
        let order = (!times.is_sorted()).then(|| {
            let mut order: Vec<_> = (0..times.len()).collect();
            order.sort_by_key(|row| times[*row]);
            order
        });
        for column in table.columns() {
            let metric = self.index.metric(&self.rules, column.metric());
            if !self.index.is_taken(number, metric) {
                continue;
            }
            let slot = self.index.slot(number, metric);
            let slot = slot.unwrap_or_else(|| self.begin(number, metric, table, column));
            match &order {
                _ if slot == BEYOND => {}
                None => self.column(slot, column, times, 0..times.len()),
                Some(order) => self.column(slot, column, times, order.iter().copied()),
            }
        }
    }

    /// A series that is met for the first time.
    fn begin(&mut self, table: u32, metric: u32, of: Table<'_>, column: Column<'_>) -> u32 {
        let rules: Vec<_> = self.index.rules(table, metric).collect();
        let Some(slot) = self.vacant() else {
            for rule in rules {
                self.tallies[rule as usize].beyond += 1;
            }
            self.index.set_slot(table, metric, BEYOND);
            return BEYOND;
        };
        self.index.set_slot(table, metric, slot);
        let subject = Subject::Series(of.identity().into(), column.metric().into());
        self.track(slot, subject, rules);
        slot
    }

    /// The readings of one series in a batch. Hot path.
    fn column(
        &mut self,
        slot: u32,
        column: Column<'_>,
        times: &[i64],
        rows: impl Iterator<Item = usize>,
    ) {
        let Watch { tracked, rules, due, changed, tallies, transitions, now, .. } = self;
        let Some(tracked) = tracked[slot as usize].as_mut() else { return };
        let values = column.values();
        let mut counts = false;
        for row in rows.filter(|row| column.is_present(*row)) {
            // What is older than what was told already changes nothing.
            if times[row] <= tracked.newest {
                continue;
            }
            counts = true;
            tracked.newest = times[row];
            let value = match values {
                Values::Floats(values) => Reading::Number(values[row]),
                Values::Ints(values) => Reading::Number(values[row] as f64),
                Values::Bools(values) => Reading::Bool(values[row]),
                Values::Texts(texts) => Reading::Text(texts.get(row)),
            };
            tracked.remember(value);
            for at in 0..tracked.instances.len() {
                let instance = &mut tracked.instances[at];
                let rule = &rules[instance.rule as usize];
                let Some(holds) = instance.judge(rule, times[row], value) else { continue };
                let Some(change) = instance.settle(rule, holds, *now) else { continue };
                count(tallies, instance, change, rule);
                if *tracked.unit != *column.unit() {
                    tracked.unit = column.unit().into();
                }
                transitions.push(Transition::of(tracked, at, rule, change, *now));
            }
        }
        if !counts {
            return;
        }
        tracked.heard = *now;
        if *tracked.unit != *column.unit() {
            tracked.unit = column.unit().into();
        }
        for instance in &mut tracked.instances {
            if let Kind::Absence { after } = rules[instance.rule as usize].kind {
                instance.due = now.saturating_add(after);
            }
            enqueue(due, slot, instance);
        }
        changed.insert(slot);
    }
}
