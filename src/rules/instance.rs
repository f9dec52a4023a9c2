//! A rule at work on one thing: whether it holds, since when, and when something is due.

use super::alert::Value;
use super::rule::{Kind, Rule};
use super::spec::Equal;
use std::collections::VecDeque;

/// No instant.
pub(super) const NEVER: i64 = i64::MAX;
/// Readings that are remembered of the time over which a rate is measured.
const TRAIL_MAX: i64 = 32;

/// Where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The rule does not hold.
    Quiet,
    /// It holds, not yet for long enough.
    Pending,
    /// It has held for long enough.
    Firing,
}

/// What happened to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// The rule holds; not yet for long enough.
    Pending,
    /// It has held for long enough.
    Fired,
    /// It holds no more.
    Over {
        /// Whether it had held for long enough.
        fired: bool,
    },
}

/// What is remembered of the readings, beside the newest.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Signal {
    Nothing,
    /// Time and value of readings of the time over which the rate is measured, and the last rate.
    Trail(VecDeque<(i64, f64)>, f64),
    /// Where the value stays, and since when; not a number before the first reading.
    Flat {
        at: f64,
        since: i64,
    },
}

/// One rule for one thing.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Instance {
    /// Index of the rule.
    pub rule: u32,
    pub phase: Phase,
    /// Since when it holds.
    pub since: i64,
    /// When it will hold (absence), or will have held for long enough; [`NEVER`] = at no time.
    pub due: i64,
    /// The instant at which it is looked at again; at most `due`.
    pub queued: i64,
    pub signal: Signal,
}

/// A value of a reading.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reading<'a> {
    Number(f64),
    Bool(bool),
    Text(&'a str),
}

impl Reading<'_> {
    fn number(self) -> Option<f64> {
        match self {
            Reading::Number(value) => Some(value),
            _ => None,
        }
    }

    pub fn is(self, value: &Value) -> bool {
        match (self, value) {
            (Reading::Number(a), Value::Number(b)) => a.to_bits() == b.to_bits(),
            (Reading::Bool(a), Value::Bool(b)) => a == *b,
            (Reading::Text(a), Value::Text(b)) => a == &**b,
            _ => false,
        }
    }

    pub fn to_value(self) -> Value {
        match self {
            Reading::Number(value) => Value::Number(value),
            Reading::Bool(value) => Value::Bool(value),
            Reading::Text(text) => Value::Text(text.into()),
        }
    }
}

impl Instance {
    pub fn new(number: u32, rule: &Rule) -> Instance {
        let signal = match rule.kind {
            Kind::Change { .. } => Signal::Trail(VecDeque::new(), 0.0),
            Kind::Flatline { .. } => Signal::Flat { at: f64::NAN, since: 0 },
            _ => Signal::Nothing,
        };
        let (phase, due) = (Phase::Quiet, NEVER);
        Instance { rule: number, phase, since: 0, due, queued: NEVER, signal }
    }

    /// A reading, newer than all before, that came at `now`: whether the rule holds now. Nothing if it
    /// is as before. Hot path: once per reading and rule that takes it.
    pub fn judge(&mut self, rule: &Rule, time: i64, value: Reading<'_>) -> Option<bool> {
        match (&rule.kind, &mut self.signal) {
            (Kind::Threshold(limits), _) => {
                let value = value.number()?;
                match limits.is_past(value) {
                    true => Some(true),
                    false => limits.is_back(value).then_some(false),
                }
            }
            (Kind::Change { limits, per, over }, Signal::Trail(trail, last)) => {
                let value = value.number()?;
                let rate = rate(trail, *over, time, value)? * *per as f64;
                *last = rate;
                match limits.is_past(rate) {
                    true => Some(true),
                    false => limits.is_back(rate).then_some(false),
                }
            }
            (Kind::Flatline { over, tolerance }, Signal::Flat { at, since }) => {
                let value = value.number()?;
                let stays = (value - *at).abs() <= *tolerance;
                if !stays {
                    (*at, *since) = (value, time);
                    return Some(false);
                }
                (time.saturating_sub(*since) >= *over).then_some(true)
            }
            (Kind::Text(equals), _) => Some(equals.iter().any(|equal| match (equal, value) {
                (Equal::Text(wanted), Reading::Text(text)) => wanted == text,
                (Equal::Bool(wanted), Reading::Bool(value)) => *wanted == value,
                _ => false,
            })),
            (Kind::Absence { .. }, _) => Some(false),
            _ => None,
        }
    }

    /// Whether the rule holds at `now`: what happens by that.
    pub fn settle(&mut self, rule: &Rule, holds: bool, now: i64) -> Option<Change> {
        match (self.phase, holds) {
            (Phase::Quiet, true) => {
                self.since = now;
                if rule.hold == 0 {
                    (self.phase, self.due) = (Phase::Firing, NEVER);
                    return Some(Change::Fired);
                }
                (self.phase, self.due) = (Phase::Pending, now.saturating_add(rule.hold));
                Some(Change::Pending)
            }
            (Phase::Pending | Phase::Firing, false) => {
                let fired = self.phase == Phase::Firing;
                (self.phase, self.due) = (Phase::Quiet, NEVER);
                Some(Change::Over { fired })
            }
            (Phase::Quiet, false) | (Phase::Pending | Phase::Firing, true) => None,
        }
    }

    /// Its instant has come.
    pub fn is_due(&mut self, rule: &Rule) -> Option<Change> {
        let now = std::mem::replace(&mut self.due, NEVER);
        match self.phase {
            Phase::Quiet => self.settle(rule, true, now),
            Phase::Pending => {
                self.phase = Phase::Firing;
                Some(Change::Fired)
            }
            Phase::Firing => None,
        }
    }
}

/// The change per nanosecond between this reading and the newest before it that is at least `over`
/// older; nothing while there is none. Of the time between some readings are kept.
fn rate(trail: &mut VecDeque<(i64, f64)>, over: i64, time: i64, value: f64) -> Option<f64> {
    let before = time.saturating_sub(over);
    while trail.get(1).is_some_and(|(at, _)| *at <= before) {
        trail.pop_front();
    }
    let rate = trail
        .front()
        .filter(|(at, _)| *at <= before)
        .map(|(at, was)| (value - was) / (time - at) as f64);
    if trail.back().is_none_or(|(at, _)| time - at >= over / TRAIL_MAX) {
        trail.push_back((time, value));
    }
    rate
}
