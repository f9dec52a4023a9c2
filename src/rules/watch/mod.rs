//! The fold: what comes of records of the log, facts and time, rule by rule and thing by thing.
//!
//! Time is the log's: that of the receipt of records. What is due at an instant happens at that instant
//! and in the order of instants, before anything that came at or after it: it makes no difference how
//! often [`Watch::advance`] is called, how the log is cut, or whether the watch was
//! [restored](Watch::restore) meanwhile.

mod facts;
mod readings;
#[cfg(test)]
mod tests;

pub use facts::Fact;

use super::index::Index;
use super::instance::{Change, Instance, NEVER, Phase};
use super::memory;
use super::rule::{Kind, Rule};
use super::tracked::{Subject, Tracked};
use super::transition::Transition;
use crate::model::{Batch, NANOS_PER_SECOND, Timestamp};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// How often what is not heard of any more is looked for.
const SWEEP: i64 = 3600 * NANOS_PER_SECOND;

/// How much is watched.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Series, devices and parts of the daemon that are watched; others are not, and their number is
    /// told ([`Tally::beyond`]).
    pub subjects_max: usize,
    /// What was not heard of for so long is forgotten, and its alerts are over.
    pub forget_after: Duration,
}

/// What a rule watches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Things that it takes.
    pub matching: u64,
    /// Of these it holds for so many, but not yet for long enough.
    pub pending: u64,
    /// And for so many for long enough.
    pub firing: u64,
    /// Series that it takes and that are not watched, because too many are.
    pub beyond: u64,
}

/// Rules at work.
#[derive(Debug)]
pub struct Watch {
    rules: Vec<Arc<Rule>>,
    settings: Settings,
    now: i64,
    sweep: i64,
    index: Index,
    /// Devices and parts of the daemon.
    others: HashMap<Subject, u32, RandomState>,
    tracked: Vec<Option<Tracked>>,
    free: BTreeSet<u32>,
    /// Instants at which something may be due: of each instance at most one counts.
    due: BinaryHeap<Reverse<(i64, u32, u32)>>,
    changed: BTreeSet<u32>,
    tallies: Vec<Tally>,
    transitions: Vec<Transition>,
}

impl Watch {
    /// These rules, nothing heard yet, at an instant.
    #[must_use]
    pub fn new(rules: Vec<Arc<Rule>>, settings: Settings, now: Timestamp) -> Watch {
        Watch::restore(rules, settings, now, std::iter::empty()).0
    }

    /// As it was at `now`, by what [`Watch::take_changed`] gave, slot by slot. Rules may have changed: a
    /// new one begins with what is known. Also gives how many rows make no sense: they are left out.
    pub fn restore(
        rules: Vec<Arc<Rule>>,
        settings: Settings,
        now: Timestamp,
        rows: impl IntoIterator<Item = (u32, Vec<u8>)>,
    ) -> (Watch, usize) {
        let mut watch = Watch {
            tallies: vec![Tally::default(); rules.len()],
            rules,
            settings,
            now: now.0,
            sweep: next_sweep(now.0),
            index: Index::default(),
            others: HashMap::default(),
            tracked: Vec::new(),
            free: BTreeSet::new(),
            due: BinaryHeap::new(),
            changed: BTreeSet::new(),
            transitions: Vec::new(),
        };
        let mut bad = 0;
        for (slot, bytes) in rows {
            let number = |print| {
                watch.rules.iter().position(|rule| rule.fingerprint == print).map(|n| n as u32)
            };
            match memory::decode(&bytes, number) {
                Some(tracked) => watch.put(slot, Some(tracked)),
                None => {
                    bad += 1;
                    watch.put(slot, None);
                    watch.changed.insert(slot);
                }
            }
        }
        watch.settle_in();
        (watch, bad)
    }

    fn put(&mut self, slot: u32, tracked: Option<Tracked>) {
        let at = slot as usize;
        if self.tracked.len() <= at {
            self.tracked.resize(at + 1, None);
        }
        self.tracked[at] = tracked;
    }

    /// Other rules. What is known to those that stay stays; alerts of those that went are the caller's.
    pub fn set_rules(&mut self, rules: Vec<Arc<Rule>>) {
        let number = |print| rules.iter().position(|rule| rule.fingerprint == print);
        let moved: Vec<_> = self.rules.iter().map(|rule| number(rule.fingerprint)).collect();
        for (slot, tracked) in self.tracked.iter_mut().enumerate() {
            let Some(tracked) = tracked else { continue };
            let before = tracked.instances.len();
            tracked.instances.retain_mut(|instance| match moved[instance.rule as usize] {
                Some(rule) => {
                    instance.rule = rule as u32;
                    true
                }
                None => false,
            });
            tracked.instances.sort_by_key(|instance| instance.rule);
            if tracked.instances.len() != before {
                self.changed.insert(slot as u32);
            }
        }
        self.tallies = vec![Tally::default(); rules.len()];
        self.rules = rules;
        self.index = Index::default();
        self.others.clear();
        self.due.clear();
        self.settle_in();
    }

    /// Makes all that follows from the rules and what is watched; gives each thing the rules that it
    /// lacks, and forgets what no rule takes.
    fn settle_in(&mut self) {
        self.free.clear();
        for slot in 0..self.tracked.len() as u32 {
            let Some(mut tracked) = self.tracked[slot as usize].take() else {
                self.free.insert(slot);
                continue;
            };
            let rules = self.find(&tracked.subject, slot);
            for rule in rules {
                if tracked.instances.iter().all(|instance| instance.rule != rule) {
                    let mut instance = Instance::new(rule, &self.rules[rule as usize]);
                    if let Kind::Absence { after } = self.rules[rule as usize].kind {
                        instance.due = tracked.heard.saturating_add(after).max(self.now);
                    }
                    tracked.instances.push(instance);
                    self.changed.insert(slot);
                }
            }
            tracked.instances.sort_by_key(|instance| instance.rule);
            if tracked.instances.is_empty() {
                self.unlist(&tracked.subject);
                self.free.insert(slot);
                self.changed.insert(slot);
                continue;
            }
            for instance in &mut tracked.instances {
                let tally = &mut self.tallies[instance.rule as usize];
                tally.matching += 1;
                tally.pending += u64::from(instance.phase == Phase::Pending);
                tally.firing += u64::from(instance.phase == Phase::Firing);
                instance.queued = NEVER;
                enqueue(&mut self.due, slot, instance);
            }
            self.tracked[slot as usize] = Some(tracked);
        }
    }

    /// Lists a thing, and finds the rules that take it.
    fn find(&mut self, subject: &Subject, slot: u32) -> Vec<u32> {
        if let Subject::Series(identity, metric) = subject {
            let Some(table) = self.index.table(&self.rules, identity) else { return Vec::new() };
            let metric = self.index.metric(&self.rules, metric);
            self.index.set_slot(table, metric, slot);
            return self.index.rules(table, metric).collect();
        }
        self.others.insert(subject.clone(), slot);
        let takes = |rule: &Rule| match (&rule.kind, subject) {
            (Kind::Offline, Subject::Device(device)) => rule.takes_device(device),
            (Kind::Daemon { what, .. }, Subject::Daemon(of, _)) => what == of,
            _ => false,
        };
        let rules = self.rules.iter().enumerate();
        rules.filter(|(_, rule)| takes(rule)).map(|(number, _)| number as u32).collect()
    }

    fn unlist(&mut self, subject: &Subject) {
        match subject {
            Subject::Series(identity, metric) => self.index.forget(identity, metric),
            other => {
                self.others.remove(other);
            }
        }
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    /// What each rule watches.
    #[must_use]
    pub fn tallies(&self) -> &[Tally] {
        &self.tallies
    }

    /// The rules that hold, by their fingerprints, and for what ([`Subject::key`]).
    #[must_use]
    pub fn holding(&self) -> HashSet<(u64, String)> {
        let holds = |it: &&Instance| it.phase != Phase::Quiet;
        let tracked = self.tracked.iter().flatten();
        let each = tracked.flat_map(|tracked| {
            let print = |it: &Instance| self.rules[it.rule as usize].fingerprint;
            let holding = tracked.instances.iter().filter(holds);
            holding.map(move |it| (print(it), tracked.subject.key()))
        });
        each.collect()
    }

    /// How much is watched.
    #[must_use]
    pub fn subjects(&self) -> usize {
        self.tracked.len() - self.free.len()
    }

    /// Up to when it has got.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp(self.now)
    }

    /// What happened since this was last asked, in order.
    pub fn take_transitions(&mut self) -> Vec<Transition> {
        std::mem::take(&mut self.transitions)
    }

    /// What is to be remembered of what changed since this was last asked, by slot; nothing of a slot
    /// that is empty now.
    pub fn take_changed(&mut self) -> Vec<(u32, Option<Vec<u8>>)> {
        let changed = std::mem::take(&mut self.changed);
        let row = |slot: u32| {
            let tracked = self.tracked.get(slot as usize).and_then(Option::as_ref);
            (slot, tracked.map(|tracked| memory::encode(tracked, &self.rules)))
        };
        changed.into_iter().map(row).collect()
    }

    /// A record of the log. One that was received before what was heard last counts as received then.
    pub fn record(&mut self, received_at: Timestamp, batch: &Batch) {
        self.reach(received_at.0);
        for table in batch.tables().filter(|table| table.keep().in_live()) {
            self.table(table);
        }
    }

    /// It is so late, and nothing else was heard before.
    pub fn advance(&mut self, to: Timestamp) {
        self.reach(to.0);
    }

    /// Nobody could be heard until then: what is due is due that much later.
    pub fn slept(&mut self, until: Timestamp) {
        let gap = until.0.saturating_sub(self.now);
        if gap <= 0 {
            return;
        }
        for (slot, tracked) in self.tracked.iter_mut().enumerate() {
            let Some(tracked) = tracked else { continue };
            tracked.heard = tracked.heard.saturating_add(gap);
            for instance in tracked.instances.iter_mut().filter(|it| it.due != NEVER) {
                instance.due = instance.due.saturating_add(gap);
            }
            self.changed.insert(slot as u32);
        }
        self.now = until.0;
        self.sweep = next_sweep(self.now);
    }

    fn vacant(&self) -> Option<u32> {
        let slot = self.free.first().copied().unwrap_or(self.tracked.len() as u32);
        (self.subjects() < self.settings.subjects_max).then_some(slot)
    }

    fn track(&mut self, slot: u32, subject: Subject, rules: Vec<u32>) {
        let mut tracked = Tracked::new(subject, self.now);
        for rule in rules {
            self.tallies[rule as usize].matching += 1;
            tracked.instances.push(Instance::new(rule, &self.rules[rule as usize]));
        }
        self.free.remove(&slot);
        self.put(slot, Some(tracked));
        self.changed.insert(slot);
    }

    /// Does what is due before that instant, and is there.
    fn reach(&mut self, at: i64) {
        if at <= self.now {
            return;
        }
        loop {
            let due = self.due.peek().map_or(NEVER, |Reverse((due, ..))| *due);
            if due.min(self.sweep) >= at {
                break;
            }
            match due <= self.sweep {
                true => self.look(),
                false => self.forget(),
            }
        }
        self.now = at;
    }

    /// Looks at what may be due next.
    fn look(&mut self) {
        let Some(Reverse((instant, slot, number))) = self.due.pop() else { return };
        let Some(tracked) = self.tracked.get_mut(slot as usize).and_then(Option::as_mut) else {
            return;
        };
        let found = tracked.instances.iter().position(|instance| instance.rule == number);
        let Some(at) = found.filter(|at| tracked.instances[*at].queued == instant) else { return };
        let instance = &mut tracked.instances[at];
        instance.queued = NEVER;
        // It may have been put off since.
        if instance.due <= instant {
            self.now = self.now.max(instant);
            let rule = &self.rules[number as usize];
            if let Some(change) = instance.is_due(rule) {
                count(&mut self.tallies, instance, change, rule);
                self.transitions.push(Transition::of(tracked, at, rule, change, self.now));
            }
            self.changed.insert(slot);
        }
        enqueue(&mut self.due, slot, &mut tracked.instances[at]);
    }

    /// Forgets what was not heard of for long.
    fn forget(&mut self) {
        self.now = self.now.max(self.sweep);
        let forget = i64::try_from(self.settings.forget_after.as_nanos()).unwrap_or(i64::MAX);
        let before = self.sweep.saturating_sub(forget);
        self.sweep = self.sweep.saturating_add(SWEEP);
        let mut any = false;
        for slot in 0..self.tracked.len() as u32 {
            let is_old = |tracked: &Tracked| {
                let is_quiet = || tracked.instances.iter().all(|it| it.phase == Phase::Quiet);
                let is_series = matches!(tracked.subject, Subject::Series(..));
                tracked.heard < before && (is_series || is_quiet())
            };
            let Some(mut tracked) = self.tracked[slot as usize].take_if(|it| is_old(it)) else {
                continue;
            };
            for at in 0..tracked.instances.len() {
                let rule = &self.rules[tracked.instances[at].rule as usize];
                if let Some(change) = tracked.instances[at].settle(rule, false, self.now) {
                    count(&mut self.tallies, &tracked.instances[at], change, rule);
                    self.transitions.push(Transition::of(&tracked, at, rule, change, self.now));
                }
                self.tallies[tracked.instances[at].rule as usize].matching -= 1;
            }
            self.unlist(&tracked.subject);
            self.free.insert(slot);
            self.changed.insert(slot);
            any = true;
        }
        if any {
            self.index.forget_beyond();
            self.tallies.iter_mut().for_each(|tally| tally.beyond = 0);
        }
    }
}

/// Keeps the tally of a rule. `instance` is as it is after the change.
fn count(tallies: &mut [Tally], instance: &Instance, change: Change, rule: &Rule) {
    let tally = &mut tallies[instance.rule as usize];
    match change {
        Change::Pending => tally.pending += 1,
        Change::Fired => {
            tally.pending -= u64::from(rule.hold > 0);
            tally.firing += 1;
        }
        Change::Over { fired: true } => tally.firing -= 1,
        Change::Over { fired: false } => tally.pending -= 1,
    }
}

/// Sees to it that it is looked at when it is due. What is put off stays queued where it was: then it is
/// queued anew, so that a deadline that each reading moves costs nothing.
fn enqueue(due: &mut BinaryHeap<Reverse<(i64, u32, u32)>>, slot: u32, instance: &mut Instance) {
    if instance.due < instance.queued {
        instance.queued = instance.due;
        due.push(Reverse((instance.due, slot, instance.rule)));
    }
}

/// The first one that is not done at `now`.
fn next_sweep(now: i64) -> i64 {
    (now.saturating_sub(1)).div_euclid(SWEEP).saturating_add(1).saturating_mul(SWEEP)
}
