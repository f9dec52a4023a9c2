//! What is told beside the log: of devices, and of the daemon.

use super::super::instance::Reading;
use super::super::rule::{Kind, Rule, What};
use super::super::tracked::Subject;
use super::super::transition::Transition;
use super::{Watch, count, enqueue};
use crate::model::Timestamp;
use std::sync::Arc;

/// Something that the daemon tells of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// What.
    pub what: What,
    /// Of which sink or bridge; else empty.
    pub part: Arc<str>,
    /// How much; 1 if it is so and 0 if not, where there is no number.
    pub value: f64,
    /// Why.
    pub reason: Option<String>,
}

impl Watch {
    /// A device went online or offline.
    pub fn presence(&mut self, at: Timestamp, device: &str, online: bool, reason: &str) {
        self.reach(at.0);
        let subject = Subject::Device(device.into());
        let Some(slot) = self.other(&subject) else { return };
        let reason = Reading::Text(reason);
        self.judge(slot, (!online).then_some(reason), |_| !online);
    }

    /// How the daemon is. What is not told of is well.
    pub fn facts(&mut self, at: Timestamp, facts: &[Fact]) {
        self.reach(at.0);
        let told = |what: What, part: &str| {
            facts.iter().any(|fact| fact.what == what && *fact.part == *part)
        };
        let silent = self.others.iter().filter_map(|(subject, slot)| match subject {
            Subject::Daemon(what, part) if !told(*what, part) => Some(*slot),
            _ => None,
        });
        let mut silent: Vec<_> = silent.collect();
        silent.sort_unstable();
        for slot in silent {
            self.judge(slot, None, |_| false);
        }
        for fact in facts {
            let Some(slot) = self.other(&Subject::Daemon(fact.what, fact.part.clone())) else {
                continue;
            };
            let value = match &fact.reason {
                Some(reason) => Reading::Text(reason),
                None => Reading::Number(fact.value),
            };
            self.judge(slot, Some(value), |rule| match rule.kind {
                Kind::Daemon { above, .. } => fact.value > above,
                _ => false,
            });
        }
    }

    /// The slot of something that is no series, if a rule takes it.
    fn other(&mut self, subject: &Subject) -> Option<u32> {
        if let Some(slot) = self.others.get(subject) {
            return Some(*slot);
        }
        let slot = self.vacant()?;
        let rules = self.find(subject, slot);
        if rules.is_empty() {
            self.others.remove(subject);
            return None;
        }
        self.track(slot, subject.clone(), rules);
        Some(slot)
    }

    /// A fact about a thing: whether each of its rules holds.
    fn judge(&mut self, slot: u32, value: Option<Reading<'_>>, holds: impl Fn(&Rule) -> bool) {
        let Some(tracked) = self.tracked[slot as usize].as_mut() else { return };
        tracked.heard = self.now;
        if let Some(value) = value {
            tracked.remember(value);
        }
        for at in 0..tracked.instances.len() {
            let rule = &self.rules[tracked.instances[at].rule as usize];
            if let Some(change) = tracked.instances[at].settle(rule, holds(rule), self.now) {
                count(&mut self.tallies, &tracked.instances[at], change, rule);
                self.transitions.push(Transition::of(tracked, at, rule, change, self.now));
                self.changed.insert(slot);
            }
            enqueue(&mut self.due, slot, &mut tracked.instances[at]);
        }
    }
}
