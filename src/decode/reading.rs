//! One reading, as the ways in that are not protobuf tell it, and what the limits say of it.

use super::fault::{Counted, FaultKind, Named, distance};
use crate::model::{Keep, NameError, Timestamp, check_name, check_name_length};
use crate::wire::Limits;
use std::borrow::Cow;
use std::fmt;

/// What one device measured at one time. Whatever made it, [`Gather`](super::Gather) checks it.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading<'a> {
    /// Name of the device.
    pub device: Cow<'a, str>,
    /// In any order; no key twice.
    pub tags: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Nanoseconds since the Unix epoch.
    pub time: i64,
    /// Where it is to be kept.
    pub keep: Keep,
    /// One per metric.
    pub values: Vec<Value<'a>>,
}

/// One value of a [`Reading`].
#[derive(Debug, Clone, PartialEq)]
pub struct Value<'a> {
    /// Name of the metric.
    pub metric: Cow<'a, str>,
    /// Its unit, or empty.
    pub unit: Cow<'a, str>,
    /// The value itself.
    pub content: Content<'a>,
}

/// A value by its type.
#[derive(Debug, Clone, PartialEq)]
pub enum Content<'a> {
    /// A finite 64-bit float.
    Float(f64),
    /// A 64-bit signed integer.
    Int(i64),
    /// A truth value.
    Bool(bool),
    /// A text.
    Text(Cow<'a, str>),
}

/// What is wrong with a reading; `metric` is empty if it concerns all of it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub struct ReadingFault {
    /// Of which metric.
    pub metric: String,
    /// What.
    pub kind: FaultKind,
}

impl fmt::Display for ReadingFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.metric.is_empty() {
            true => self.kind.fmt(f),
            false => write!(f, "{}: {}", self.metric, self.kind),
        }
    }
}

impl From<FaultKind> for ReadingFault {
    fn from(kind: FaultKind) -> ReadingFault {
        ReadingFault { metric: String::new(), kind }
    }
}

impl Reading<'_> {
    /// Bytes of its names.
    pub(super) fn name_bytes(&self) -> usize {
        let of = |value: &Value<'_>| value.metric.len() + value.unit.len();
        self.identity_bytes() + self.values.iter().map(of).sum::<usize>()
    }

    /// Those of device and tags.
    pub(super) fn identity_bytes(&self) -> usize {
        let tags: usize = self.tags.iter().map(|(key, value)| key.len() + value.len()).sum();
        self.device.len() + tags
    }

    /// Puts the tags in order and holds everything against the limits.
    pub(super) fn check(
        &mut self,
        limits: &Limits,
        received_at: Timestamp,
    ) -> Result<(), ReadingFault> {
        self.measure(limits)?;
        self.check_names(limits)?;
        self.check_row(limits, received_at)
    }

    /// Puts the tags in order, if there are no more, and no name is longer, than may be: from then on
    /// nothing that is done with it takes long.
    pub(super) fn measure(&mut self, limits: &Limits) -> Result<(), FaultKind> {
        let count = |what, count: usize, max| match count <= max {
            true => Ok(()),
            false => Err(FaultKind::TooMany { what, max }),
        };
        count(Counted::Tags, self.tags.len(), limits.tags)?;
        count(Counted::Columns, self.values.len(), limits.columns)?;
        self.each_name(|name| check_name_length(name, limits.name_bytes))?;
        self.tags.sort_unstable();
        Ok(())
    }

    /// Looks at what is the same in all rows of a table, once it was [measured](Reading::measure).
    pub(super) fn check_names(&self, limits: &Limits) -> Result<(), FaultKind> {
        self.each_name(|name| check_name(name, limits.name_bytes))?;
        if self.tags.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(FaultKind::DuplicateTag);
        }
        match self.values.is_empty() {
            true => Err(FaultKind::Empty),
            false => Ok(()),
        }
    }

    /// Looks at what is of one row only.
    pub(super) fn check_row(
        &self,
        limits: &Limits,
        received_at: Timestamp,
    ) -> Result<(), ReadingFault> {
        instant(self.time, limits, received_at)?;
        self.values.iter().try_for_each(|value| {
            let fault = |kind| ReadingFault { metric: value.metric.clone().into_owned(), kind };
            value.content.check(limits).map_err(fault)
        })
    }

    fn each_name(&self, check: impl Fn(&str) -> Result<(), NameError>) -> Result<(), FaultKind> {
        let check = |of, name: &str| check(name).map_err(|error| FaultKind::Name { of, error });
        check(Named::Device, &self.device)?;
        for (key, value) in &self.tags {
            check(Named::TagKey, key)?;
            check(Named::TagValue, value)?;
        }
        for value in &self.values {
            check(Named::Metric, &value.metric)?;
            if !value.unit.is_empty() {
                check(Named::Unit, &value.unit)?;
            }
        }
        Ok(())
    }
}

impl Content<'_> {
    fn check(&self, limits: &Limits) -> Result<(), FaultKind> {
        match self {
            Content::Float(value) if !value.is_finite() => Err(FaultKind::NotFinite),
            Content::Text(text) if text.len() > limits.text_bytes => {
                Err(FaultKind::TextTooLong { bytes: text.len(), max: limits.text_bytes })
            }
            _ => Ok(()),
        }
    }
}

fn instant(time: i64, limits: &Limits, received_at: Timestamp) -> Result<(), FaultKind> {
    let by = distance(time, received_at.0);
    if time < received_at.saturating_sub(limits.max_age).0 {
        return Err(FaultKind::TooOld { by, max: limits.max_age });
    }
    if time > received_at.saturating_add(limits.max_ahead).0 {
        return Err(FaultKind::TooFarAhead { by, max: limits.max_ahead });
    }
    Ok(())
}
