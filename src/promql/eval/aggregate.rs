//! `sum by (…)` and its like.

use super::super::ast::{Aggregate, AggregateOp, Grouping};
use super::super::labels::{Labels, METRIC_NAME};
use super::over::extreme;
use super::{EvalError, Evaluation, Series, merged, numbers};
use std::collections::BTreeMap;

impl Grouping {
    /// The labels that count.
    pub(super) fn of(&self, labels: &Labels) -> Labels {
        let is_named = |names: &[String], name: &str| names.iter().any(|it| it == name);
        match self {
            Grouping::By(names) => labels.filtered(|name| is_named(names, name)),
            Grouping::Without(names) => {
                labels.filtered(|name| name != METRIC_NAME && !is_named(names, name))
            }
        }
    }
}

impl Evaluation<'_> {
    pub(super) fn aggregate(&self, aggregate: &Aggregate) -> Result<Vec<Series>, EvalError> {
        let parameter = match &aggregate.parameter {
            Some(parameter) => self.numbers(parameter)?,
            None => Vec::new(),
        };
        let series = self.vector(&aggregate.of)?;
        let mut groups: BTreeMap<Labels, Vec<Series>> = BTreeMap::new();
        for series in series {
            groups.entry(aggregate.grouping.of(&series.labels)).or_default().push(series);
        }
        let mut all = Vec::new();
        for (labels, members) in groups {
            if let AggregateOp::Topk | AggregateOp::Bottomk = aggregate.op {
                all.extend(self.chosen(aggregate.op, &parameter, members)?);
                continue;
            }
            let mut present = Vec::with_capacity(members.len());
            let mut looked = Ok(());
            let point = |index: usize| {
                present.clear();
                present.extend(members.iter().filter_map(|member| member.points[index]));
                if looked.is_ok() {
                    looked = self.work(members.len());
                }
                if present.is_empty() || looked.is_err() {
                    return None;
                }
                let parameter = parameter.get(index).copied().unwrap_or(f64::NAN);
                fold(aggregate.op, parameter, &mut present)
            };
            self.put(&mut all, labels, point)?;
            looked?;
        }
        match aggregate.op {
            AggregateOp::Topk | AggregateOp::Bottomk => Ok(all),
            _ => merged(all),
        }
    }

    /// The greatest or smallest of a group at each instant, as they are.
    fn chosen(
        &self,
        op: AggregateOp,
        counts: &[f64],
        mut members: Vec<Series>,
    ) -> Result<Vec<Series>, EvalError> {
        let is_top = op == AggregateOp::Topk;
        let mut order = Vec::new();
        for (index, &count) in counts.iter().enumerate() {
            let count = whole(count)?;
            self.work(members.len())?;
            let present = members.iter().enumerate();
            let mut ranked: Vec<(usize, f64)> = present
                .filter_map(|(number, member)| Some((number, member.points[index]?)))
                .collect();
            // Who comes first stays first among equals; NaN is last.
            ranked.sort_by(|(_, a), (_, b)| match (a.is_nan(), b.is_nan()) {
                (false, false) => {
                    let order = a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal);
                    if is_top { order.reverse() } else { order }
                }
                (a, b) => a.cmp(&b),
            });
            for (number, _) in ranked.iter().skip(count) {
                members[*number].points[index] = None;
            }
            ranked.truncate(count);
            order = ranked;
        }
        // At one instant they are told by rank, over several by their labels.
        if let [_] = counts {
            return Ok(order.into_iter().map(|(number, _)| members[number].clone()).collect());
        }
        members.retain(|member| member.points.iter().any(Option::is_some));
        Ok(members)
    }
}

fn whole(count: f64) -> Result<usize, EvalError> {
    if count.is_nan() {
        return Err(EvalError::NoAnswer("Parameter value is NaN".to_owned()));
    }
    if count.abs() >= i64::MAX as f64 {
        return Err(EvalError::NoAnswer(format!("Scalar value {count} overflows int64")));
    }
    Ok(usize::try_from(count as i64).unwrap_or(0))
}

/// The values of a group at one instant become one.
fn fold(op: AggregateOp, parameter: f64, values: &mut [f64]) -> Option<f64> {
    let each = || values.iter().copied();
    Some(match op {
        AggregateOp::Sum => numbers::sum(each()),
        AggregateOp::Avg => numbers::mean(each()),
        AggregateOp::Min => extreme(each(), |value, least| value < least)?,
        AggregateOp::Max => extreme(each(), |value, most| value > most)?,
        AggregateOp::Count => values.len() as f64,
        AggregateOp::Group => 1.0,
        AggregateOp::Stddev => numbers::variance(each()).sqrt(),
        AggregateOp::Stdvar => numbers::variance(each()),
        AggregateOp::Quantile => numbers::quantile(parameter, values),
        AggregateOp::Topk | AggregateOp::Bottomk => return None,
    })
}
