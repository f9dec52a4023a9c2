//! From what a message has to readings with names.

use super::super::puzzle::Needed;
use super::super::template::{Filling, Template};
use super::super::{Captures, Message, Puzzle, Route};
use super::walk::{Found, Part};
use crate::decode::{Reading, Value};
use crate::model::Keep;
use std::borrow::Cow;

pub(super) fn finish<'a>(
    route: &'a Route,
    captures: &Captures<'a>,
    message: &Message<'a>,
    found: Found<'a>,
) -> Result<Vec<Reading<'a>>, Puzzle> {
    if found.readings.is_empty() && !found.passed_over && !route.json.may_be_empty {
        return Err(Puzzle::Nothing { texts: found.texts });
    }
    let one_name_for_all = !route.naming.metric.tells_own();
    let names_may_collide = found.names_may_collide || route.json.renames || one_name_for_all;
    let namer = Namer { route, captures, common: found.common };
    let mut readings = Vec::with_capacity(found.readings.len());
    for part in found.readings {
        let reading = namer.reading(part, message.received_at.0)?;
        if names_may_collide {
            no_metric_twice(&reading)?;
        }
        readings.push(reading);
    }
    Ok(readings)
}

struct Namer<'n, 'a> {
    route: &'a Route,
    captures: &'n Captures<'a>,
    common: Part<'a>,
}

impl<'a> Namer<'_, 'a> {
    fn reading(&self, part: Part<'a>, received_at: i64) -> Result<Reading<'a>, Puzzle> {
        let naming = &self.route.naming;
        let device = self.fill(&naming.device, &part, "").map_err(self.missing(Needed::Device))?;
        let mut tags = Vec::with_capacity(naming.tags.len());
        for (key, template) in &naming.tags {
            // A tag that the message does not tell is left out.
            if let Ok(value) = self.fill(template, &part, "") {
                tags.push((Cow::Borrowed(&**key), value));
            }
        }
        let time = part.time.or(self.common.time).unwrap_or(received_at);
        let mut values = Vec::with_capacity(part.values.len());
        let own_names = naming.metric.is_own();
        for (own, content) in &part.values {
            let unit = Cow::Borrowed(self.unit(own));
            let metric = match own_names {
                true => own.clone(),
                false => {
                    self.fill(&naming.metric, &part, own).map_err(self.missing(Needed::Metric))?
                }
            };
            values.push(Value { metric, unit, content: content.clone() });
        }
        Ok(Reading { device, tags, time, values, keep: Keep::Everywhere })
    }

    fn fill(
        &self,
        template: &'a Template,
        part: &Part<'a>,
        own: &str,
    ) -> Result<Cow<'a, str>, usize> {
        template.fill(self.captures, Filling { slots: [&part.slots, &self.common.slots], own })
    }

    fn missing(&self, needed: Needed) -> impl FnOnce(usize) -> Puzzle {
        let slots = &self.route.json.slots;
        move |slot| Puzzle::Missing { needed, at: slots.get(slot).cloned().unwrap_or_default() }
    }

    fn unit(&self, own: &str) -> &'a str {
        let units = &self.route.json.units;
        let unit = units.iter().find(|(name, _)| **name == *own);
        unit.map_or(&self.route.naming.unit, |(_, unit)| unit)
    }
}

/// Up to so many metrics are compared with each other one by one.
const FEW: usize = 16;

fn no_metric_twice(reading: &Reading<'_>) -> Result<(), Puzzle> {
    let values = &reading.values;
    let twice = match values.len() {
        0..=FEW => values.iter().enumerate().find_map(|(index, value)| {
            values[..index]
                .iter()
                .any(|other| other.metric == value.metric)
                .then_some(&value.metric)
        }),
        _ => {
            let mut names: Vec<_> = values.iter().map(|value| &value.metric).collect();
            names.sort_unstable();
            names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
        }
    };
    match twice {
        Some(metric) => Err(Puzzle::DuplicateMetric { metric: metric.clone().into_owned() }),
        None => Ok(()),
    }
}
