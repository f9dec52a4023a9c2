//! What is remembered of a watched thing, as bytes: a row of `alerts.db`.
//!
//! Version 1, little-endian; texts are their length (u32) and UTF-8.
//!
//! ```text
//! version u8 = 1
//! kind    u8: 0 series, identity and metric; 1 device, name; 2 daemon, what and part
//! newest i64, heard i64, unit text
//! value   u8: 0 none; 1 number f64; 2 bool u8; 3 text
//! count   u32, and of each rule:
//!   fingerprint u64, phase u8 (0 quiet, 1 pending, 2 firing), since i64, due i64
//!   signal  u8: 0 nothing; 1 trail: count u32, each time i64 and value f64; last rate f64
//!               2 flat: value f64, since i64
//! ```

use super::alert::Value;
use super::instance::{Instance, NEVER, Phase, Signal};
use super::rule::{Rule, What};
use super::tracked::{Subject, Tracked};
use std::sync::Arc;

const VERSION: u8 = 1;

pub(super) fn encode(tracked: &Tracked, rules: &[Arc<Rule>]) -> Vec<u8> {
    let mut out = Out(vec![VERSION]);
    match &tracked.subject {
        Subject::Series(identity, metric) => {
            out.0.push(0);
            out.text(identity);
            out.text(metric);
        }
        Subject::Device(device) => {
            out.0.push(1);
            out.text(device);
        }
        Subject::Daemon(what, part) => {
            out.0.push(2);
            out.text(what.name());
            out.text(part);
        }
    }
    out.time(tracked.newest);
    out.time(tracked.heard);
    out.text(&tracked.unit);
    match &tracked.value {
        None => out.0.push(0),
        Some(Value::Number(value)) => {
            out.0.push(1);
            out.number(*value);
        }
        Some(Value::Bool(value)) => out.0.extend([2, u8::from(*value)]),
        Some(Value::Text(text)) => {
            out.0.push(3);
            out.text(text);
        }
    }
    out.count(tracked.instances.len());
    for instance in &tracked.instances {
        out.instance(instance, rules[instance.rule as usize].fingerprint);
    }
    out.0
}

/// The thing again, with those of its rules that are still there; nothing if the bytes make no sense.
pub(super) fn decode(bytes: &[u8], rule: impl Fn(u64) -> Option<u32>) -> Option<Tracked> {
    let mut from = In(bytes);
    if from.byte()? != VERSION {
        return None;
    }
    let subject = match from.byte()? {
        0 => Subject::Series(from.text()?, from.text()?),
        1 => Subject::Device(from.text()?),
        2 => {
            let name = from.text()?;
            let what = What::ALL.into_iter().find(|what| what.name() == &*name)?;
            Subject::Daemon(what, from.text()?)
        }
        _ => return None,
    };
    let (newest, heard, unit) = (from.time()?, from.time()?, from.text()?);
    let value = match from.byte()? {
        0 => None,
        1 => Some(Value::Number(from.number()?)),
        2 => Some(Value::Bool(from.byte()? != 0)),
        3 => Some(Value::Text(from.text()?)),
        _ => return None,
    };
    let mut instances = Vec::new();
    for _ in 0..from.count()? {
        let (fingerprint, instance) = from.instance()?;
        if let Some(rule) = rule(fingerprint) {
            instances.push(Instance { rule, ..instance });
        }
    }
    instances.sort_by_key(|instance| instance.rule);
    Some(Tracked { subject, newest, heard, value, unit, instances })
}

struct Out(Vec<u8>);

impl Out {
    fn time(&mut self, time: i64) {
        self.0.extend(time.to_le_bytes());
    }

    fn number(&mut self, number: f64) {
        self.0.extend(number.to_le_bytes());
    }

    fn count(&mut self, count: usize) {
        // Nothing here is that long: names and values of the contract are bounded.
        self.0.extend(u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.0.extend(text.as_bytes());
    }

    fn instance(&mut self, instance: &Instance, fingerprint: u64) {
        self.0.extend(fingerprint.to_le_bytes());
        self.0.push(match instance.phase {
            Phase::Quiet => 0,
            Phase::Pending => 1,
            Phase::Firing => 2,
        });
        self.time(instance.since);
        self.time(instance.due);
        match &instance.signal {
            Signal::Nothing => self.0.push(0),
            Signal::Trail(trail, last) => {
                self.0.push(1);
                self.count(trail.len());
                for (time, value) in trail {
                    self.time(*time);
                    self.number(*value);
                }
                self.number(*last);
            }
            Signal::Flat { at, since } => {
                self.0.push(2);
                self.number(*at);
                self.time(*since);
            }
        }
    }
}

struct In<'a>(&'a [u8]);

impl In<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn time(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    fn number(&mut self) -> Option<f64> {
        self.array().map(f64::from_le_bytes)
    }

    fn count(&mut self) -> Option<usize> {
        self.array().map(|bytes| u32::from_le_bytes(bytes) as usize)
    }

    fn text(&mut self) -> Option<Arc<str>> {
        let bytes = self.count()?;
        let (head, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        std::str::from_utf8(head).ok().map(Into::into)
    }

    fn instance(&mut self) -> Option<(u64, Instance)> {
        let fingerprint = u64::from_le_bytes(self.array()?);
        let phase = match self.byte()? {
            0 => Phase::Quiet,
            1 => Phase::Pending,
            2 => Phase::Firing,
            _ => return None,
        };
        let (since, due) = (self.time()?, self.time()?);
        let signal = match self.byte()? {
            0 => Signal::Nothing,
            1 => {
                let count = self.count()?;
                let trail = (0..count).map(|_| Some((self.time()?, self.number()?)));
                let trail = trail.collect::<Option<_>>()?;
                Signal::Trail(trail, self.number()?)
            }
            2 => Signal::Flat { at: self.number()?, since: self.time()? },
            _ => return None,
        };
        Some((fingerprint, Instance { rule: 0, phase, since, due, queued: NEVER, signal }))
    }
}
