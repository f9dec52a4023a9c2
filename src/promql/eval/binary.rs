//! Operators between scalars and vectors.

use super::super::ast::{Binary, BinaryOp, Grouping, Many, Matching};
use super::super::labels::{Labels, METRIC_NAME};
use super::{EvalError, Evaluation, Series, Value, merged};
use std::collections::{BTreeMap, HashMap};

impl Evaluation<'_> {
    pub(super) fn binary(&self, binary: &Binary) -> Result<Value, EvalError> {
        let (left, right) = (self.value(&binary.left)?, self.value(&binary.right)?);
        Ok(match (left, right) {
            (Value::Scalar(mut left), Value::Scalar(right)) => {
                for (left, right) in left.iter_mut().zip(right) {
                    *left = told(binary.op, *left, right);
                }
                Value::Scalar(left)
            }
            (Value::Vector(left), Value::Scalar(right)) => {
                Value::Vector(self.with_scalar(binary, left, |index, value| (value, right[index]))?)
            }
            (Value::Scalar(left), Value::Vector(right)) => {
                Value::Vector(self.with_scalar(binary, right, |index, value| (left[index], value))?)
            }
            (Value::Vector(left), Value::Vector(right)) if binary.op.is_of_sets() => {
                Value::Vector(self.of_sets(binary, left, right)?)
            }
            (Value::Vector(left), Value::Vector(right)) => {
                Value::Vector(self.of_vectors(binary, &left, &right)?)
            }
        })
    }

    /// Each series with a scalar; `sides` puts the two in their order.
    fn with_scalar(
        &self,
        binary: &Binary,
        mut series: Vec<Series>,
        sides: impl Fn(usize, f64) -> (f64, f64),
    ) -> Result<Vec<Series>, EvalError> {
        let value_of = |index: usize, value: f64| {
            let (left, right) = sides(index, value);
            match told_or_kept(binary, left, right) {
                Told::Number(number) => Some(number),
                Told::Kept => Some(value),
                Told::Left => None,
            }
        };
        if drops_name(binary) {
            return self.mapped(series, value_of);
        }
        for series in &mut series {
            self.work(series.points.len())?;
            for (index, point) in series.points.iter_mut().enumerate() {
                *point = point.and_then(|value| value_of(index, value));
            }
        }
        series.retain(|series| series.points.iter().any(Option::is_some));
        Ok(series)
    }

    fn of_sets(
        &self,
        binary: &Binary,
        mut left: Vec<Series>,
        mut right: Vec<Series>,
    ) -> Result<Vec<Series>, EvalError> {
        let on = &binary.matching.on;
        // At which instants a side has something with these labels.
        let presence = |series: &[Series]| -> Result<HashMap<Labels, Vec<bool>>, EvalError> {
            let mut all: HashMap<Labels, Vec<bool>> = HashMap::new();
            for series in series {
                self.spend_cells()?;
                let none = || vec![false; self.grid.count];
                let instants = all.entry(on.of(&series.labels)).or_insert_with(none);
                for (is, point) in instants.iter_mut().zip(&series.points) {
                    *is |= point.is_some();
                }
            }
            Ok(all)
        };
        let keep =
            |series: &mut Vec<Series>, others: &HashMap<Labels, Vec<bool>>, if_there: bool| {
                for series in series.iter_mut() {
                    let there = others.get(&on.of(&series.labels));
                    for (index, point) in series.points.iter_mut().enumerate() {
                        if there.is_some_and(|there| there[index]) != if_there {
                            *point = None;
                        }
                    }
                }
                series.retain(|series| series.points.iter().any(Option::is_some));
            };
        match binary.op {
            BinaryOp::And => keep(&mut left, &presence(&right)?, true),
            BinaryOp::Unless => keep(&mut left, &presence(&right)?, false),
            _ => {
                keep(&mut right, &presence(&left)?, false);
                left.extend(right);
                return merged(left);
            }
        }
        Ok(left)
    }

    fn of_vectors(
        &self,
        binary: &Binary,
        left: &[Series],
        right: &[Series],
    ) -> Result<Vec<Series>, EvalError> {
        let Matching { on, many, .. } = &binary.matching;
        let swapped = *many == Many::Right;
        let (manys, ones) = if swapped { (right, left) } else { (left, right) };
        let mut pairs: BTreeMap<Labels, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
        for (index, series) in manys.iter().enumerate() {
            pairs.entry(on.of(&series.labels)).or_default().0.push(index);
        }
        for (index, series) in ones.iter().enumerate() {
            pairs.entry(on.of(&series.labels)).or_default().1.push(index);
        }
        let mut found = Found { all: Vec::new(), by_labels: HashMap::new() };
        for (signature, (manys_here, ones_here)) in pairs {
            for index in 0..self.grid.count {
                self.work(manys_here.len() + ones_here.len())?;
                let mut present = ones_here
                    .iter()
                    .filter_map(|&one| Some((&ones[one].labels, ones[one].points[index]?)));
                let Some((one_labels, one)) = present.next() else { continue };
                if let Some((other, _)) = present.next() {
                    let side = if swapped { "left" } else { "right" };
                    return Err(twice(&signature, side, one_labels, other));
                }
                let mut taken = false;
                for &number in &manys_here {
                    let Some(value) = manys[number].points[index] else { continue };
                    let (left, right) = if swapped { (one, value) } else { (value, one) };
                    let value = match told_or_kept(binary, left, right) {
                        Told::Number(number) => number,
                        Told::Kept => left,
                        Told::Left => continue,
                    };
                    if *many == Many::Neither && std::mem::replace(&mut taken, true) {
                        let what = "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)";
                        return Err(EvalError::NoAnswer(what.to_owned()));
                    }
                    let labels = result_labels(binary, &manys[number].labels, one_labels);
                    found.put(self, labels, index, value)?;
                }
            }
        }
        merged(found.all)
    }
}

/// Results by their labels.
struct Found {
    all: Vec<Series>,
    by_labels: HashMap<Labels, usize>,
}

impl Found {
    fn put(
        &mut self,
        evaluation: &Evaluation<'_>,
        labels: Labels,
        index: usize,
        value: f64,
    ) -> Result<(), EvalError> {
        let number = match self.by_labels.get(&labels) {
            Some(&number) => number,
            None => {
                evaluation.spend_cells()?;
                let points = vec![None; evaluation.grid.count];
                self.all.push(Series { labels: labels.clone(), points });
                self.by_labels.insert(labels, self.all.len() - 1);
                self.all.len() - 1
            }
        };
        let point = &mut self.all[number].points[index];
        if point.is_some() {
            let what = "multiple matches for labels: grouping labels must ensure unique matches";
            return Err(EvalError::NoAnswer(what.to_owned()));
        }
        *point = Some(value);
        Ok(())
    }
}

fn twice(signature: &Labels, side: &str, one: &Labels, other: &Labels) -> EvalError {
    let told = |labels: &Labels| {
        let all: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        format!("{{{}}}", all.join(", "))
    };
    let (signature, one, other) = (told(signature), told(one), told(other));
    EvalError::NoAnswer(format!(
        "found duplicate series for the match group {signature} on the {side} hand-side of the operation: [{other}, {one}];many-to-many matching not allowed: matching labels must be unique on one side"
    ))
}

/// Whether the metric is no longer what the values are of.
fn drops_name(binary: &Binary) -> bool {
    binary.tells || !binary.op.is_comparison()
}

fn result_labels(binary: &Binary, many: &Labels, one: &Labels) -> Labels {
    let Matching { on, many: cardinality, include } = &binary.matching;
    let drops_name = drops_name(binary);
    let mut labels = many.filtered(|name| {
        let is_named = |names: &[String]| names.iter().any(|it| it == name);
        if name == METRIC_NAME && drops_name {
            return false;
        }
        match (cardinality, on) {
            (Many::Neither, Grouping::By(names)) => is_named(names),
            (Many::Neither, Grouping::Without(names)) => !is_named(names),
            _ => true,
        }
    });
    for name in include {
        labels = labels.with(name, one.get(name));
    }
    labels
}

/// What becomes of two values.
enum Told {
    Number(f64),
    /// The value stays, as the comparison holds.
    Kept,
    /// It does not hold.
    Left,
}

fn told_or_kept(binary: &Binary, left: f64, right: f64) -> Told {
    if !binary.op.is_comparison() || binary.tells {
        return Told::Number(told(binary.op, left, right));
    }
    if told(binary.op, left, right) == 1.0 { Told::Kept } else { Told::Left }
}

/// The value of an operation; of a comparison 0 or 1.
fn told(op: BinaryOp, left: f64, right: f64) -> f64 {
    let truth = |truth: bool| f64::from(u8::from(truth));
    match op {
        BinaryOp::Add => left + right,
        BinaryOp::Sub => left - right,
        BinaryOp::Mul => left * right,
        BinaryOp::Div => left / right,
        BinaryOp::Mod => left % right,
        BinaryOp::Pow => left.powf(right),
        BinaryOp::Atan2 => left.atan2(right),
        BinaryOp::Equal => truth(left == right),
        BinaryOp::NotEqual => truth(left != right),
        BinaryOp::Less => truth(left < right),
        BinaryOp::LessEqual => truth(left <= right),
        BinaryOp::Greater => truth(left > right),
        BinaryOp::GreaterEqual => truth(left >= right),
        // The parser lets them stand between vectors only.
        BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => f64::NAN,
    }
}
