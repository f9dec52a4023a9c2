//! What happened, and the alert that tells it.

use super::alert::{Alert, State, Value};
use super::instance::{Change, Instance, Signal};
use super::rule::{Kind, Rule};
use super::text::{self, Places};
use super::tracked::{Subject, Tracked};
use crate::model::Timestamp;
use std::sync::Arc;

/// A rule began to hold for something, held for long enough, or holds no more.
#[derive(Debug, Clone)]
pub struct Transition {
    /// When, by the log's time.
    pub at: Timestamp,
    /// Which rule.
    pub rule: Arc<Rule>,
    /// For what.
    pub subject: Subject,
    /// What happened.
    pub change: Change,
    /// Since when it holds, or held.
    pub since: Timestamp,
    /// The value that it happened with.
    pub value: Option<Value>,
    /// Its unit, or empty.
    pub unit: String,
}

impl Transition {
    pub(super) fn of(
        tracked: &Tracked,
        instance: usize,
        rule: &Arc<Rule>,
        change: Change,
        now: i64,
    ) -> Transition {
        let instance = &tracked.instances[instance];
        let (value, unit) = told(tracked, instance, rule);
        Transition {
            at: Timestamp(now),
            rule: rule.clone(),
            subject: tracked.subject.clone(),
            change,
            since: Timestamp(instance.since),
            value,
            unit,
        }
    }

    /// The alert of this number as it is by this.
    #[must_use]
    pub fn alert(&self, id: u64) -> Alert {
        let rule = &self.rule;
        let fired_at = match self.change {
            Change::Fired => Some(self.at),
            _ => None,
        };
        Alert {
            id,
            rule: rule.name.clone(),
            severity: rule.severity,
            device: self.subject.device().map(Into::into),
            metric: self.subject.metric().cloned(),
            tags: self.subject.tags(),
            subject: self.subject.part().to_owned(),
            state: if fired_at.is_some() { State::Firing } else { State::Pending },
            value: self.value.clone(),
            unit: self.unit.clone(),
            text: self.text(),
            runbook: rule.spec.runbook.clone(),
            pending_at: self.since,
            fired_at,
            acknowledged: None,
            resolved_at: None,
            silenced: false,
            notify: rule.spec.notify.clone(),
        }
    }

    /// The rule's text with its places filled in.
    #[must_use]
    pub fn text(&self) -> String {
        let number = match self.value {
            Some(Value::Number(number)) => Some(number),
            _ => None,
        };
        let limit = match &self.rule.kind {
            Kind::Threshold(limits) | Kind::Change { limits, .. } => {
                number.map_or_else(|| limits.above.or(limits.below), |number| limits.of(number))
            }
            Kind::Daemon { above, .. } => Some(*above),
            _ => None,
        };
        self.rule.text.fill(&Places {
            device: self.subject.device().unwrap_or_default(),
            metric: self.subject.metric().map_or("", |metric| metric),
            value: self.value.as_ref().map(text::value).unwrap_or_default(),
            unit: &self.unit,
            limit: limit.map(text::number).unwrap_or_default(),
            rule: &self.rule.name,
            subject: self.subject.part(),
            hold: text::duration(self.rule.span()),
            tags: &self.subject.tags(),
        })
    }
}

fn told(tracked: &Tracked, instance: &Instance, rule: &Rule) -> (Option<Value>, String) {
    match (&rule.kind, &instance.signal) {
        (Kind::Change { per, .. }, Signal::Trail(_, rate)) => {
            (Some(Value::Number(*rate)), format!("{}/{}", tracked.unit, text::per(*per)))
        }
        _ => (tracked.value.clone(), tracked.unit.to_string()),
    }
}
