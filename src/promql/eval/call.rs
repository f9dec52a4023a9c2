//! Functions of vectors, scalars and texts.

use super::super::ast::Expr;
use super::super::function::{Function, Map, Over};
use super::super::labels::{Labels, METRIC_NAME};
use super::super::matcher::{MatchOp, anchored};
use super::over::seconds;
use super::{EvalError, Evaluation, Series, Value, merged, over, unexpected};
use super::{Kind, Selector};

/// The length of a label that is made, and of what it is made by.
const LABEL_BYTES_MAX: usize = 4096;
const TEMPLATE_BYTES_MAX: usize = 1024;

fn wrong(what: impl Into<String>) -> EvalError {
    EvalError::NoAnswer(what.into())
}

impl Evaluation<'_> {
    pub(super) fn call(&self, function: Function, given: &[Expr]) -> Result<Value, EvalError> {
        let first = || given.first().ok_or_else(|| unexpected(Kind::Vector));
        Ok(match function {
            Function::Time => Value::Scalar(self.scalar(|at| seconds(self.grid.time(at)))?),
            Function::Pi => Value::Scalar(self.scalar(|_| std::f64::consts::PI)?),
            Function::Scalar => Value::Scalar(self.only(&self.vector(first()?)?)?),
            Function::Vector => {
                let points = self.numbers(first()?)?.into_iter().map(Some).collect();
                Value::Vector(vec![Series { labels: Labels::default(), points }])
            }
            Function::Timestamp => Value::Vector(self.timestamp(first()?)?),
            Function::Sort => Value::Vector(self.sorted(first()?, false)?),
            Function::SortDesc => Value::Vector(self.sorted(first()?, true)?),
            Function::Absent => Value::Vector(self.absent(first()?)?),
            Function::AbsentOver => Value::Vector(self.absent(first()?)?),
            Function::HistogramQuantile => match given {
                [quantile, buckets] => Value::Vector(self.histogram_quantile(quantile, buckets)?),
                _ => return Err(unexpected(Kind::Scalar)),
            },
            Function::LabelReplace => Value::Vector(self.label_replace(given)?),
            Function::LabelJoin => Value::Vector(self.label_join(given)?),
            Function::Map(map) => Value::Vector(self.map(map, given)?),
            Function::Over(over) => Value::Vector(self.over_range(over, given)?),
        })
    }

    fn over_range(&self, function: Over, given: &[Expr]) -> Result<Vec<Series>, EvalError> {
        let range = given.iter().find_map(|given| match given {
            Expr::Range(selector, range) => Some((selector, *range)),
            _ => None,
        });
        let (selector, range) = range.ok_or_else(|| unexpected(Kind::Scalar))?;
        let parameter = given.iter().find(|given| given.kind() == Kind::Scalar);
        let parameter = parameter.map_or(Ok(Vec::new()), |given| self.numbers(given))?;
        self.over(selector, range, function == Over::Last, |window, index| {
            let parameter = parameter.get(index).copied().unwrap_or(f64::NAN);
            over::value(function, window, parameter, self.grid.time(index))
        })
    }

    fn map(&self, map: Map, given: &[Expr]) -> Result<Vec<Series>, EvalError> {
        let Some((of, parameters)) = given.split_first() else {
            return Err(unexpected(Kind::Scalar));
        };
        let series = self.vector(of)?;
        let parameters: Vec<_> =
            parameters.iter().map(|given| self.numbers(given)).collect::<Result<_, _>>()?;
        let parameter = |number: usize, index: usize| {
            parameters.get(number).and_then(|values| values.get(index)).copied()
        };
        self.mapped(series, |index, value| {
            let (first, second) = (parameter(0, index), parameter(1, index));
            mapped(map, value, first, second)
        })
    }

    /// The value of the one series that has one.
    fn only(&self, series: &[Series]) -> Result<Vec<f64>, EvalError> {
        self.work(series.len().saturating_mul(self.grid.count))?;
        self.scalar(|index| {
            let mut present = series.iter().filter_map(|series| series.points[index]);
            match (present.next(), present.next()) {
                (Some(value), None) => value,
                _ => f64::NAN,
            }
        })
    }

    /// When the values are from: of a selector its samples' times.
    fn timestamp(&self, of: &Expr) -> Result<Vec<Series>, EvalError> {
        let series = match of {
            Expr::Latest(selector) => self.latest(selector, |time, _| seconds(time))?,
            of => {
                let series = self.vector(of)?;
                return self.mapped(series, |index, _| Some(seconds(self.grid.time(index))));
            }
        };
        self.mapped(series, |_, value| Some(value))
    }

    /// By value, NaN last; an order is told of one instant only.
    fn sorted(&self, of: &Expr, down: bool) -> Result<Vec<Series>, EvalError> {
        let mut series = self.vector(of)?;
        if self.grid.count == 1 {
            let value = |series: &Series| series.points[0].unwrap_or(f64::NAN);
            series.sort_by(|a, b| match (value(a), value(b)) {
                (a, b) if a.is_nan() || b.is_nan() => a.is_nan().cmp(&b.is_nan()),
                (a, b) if down => b.total_cmp(&a),
                (a, b) => a.total_cmp(&b),
            });
        }
        Ok(series)
    }

    /// One where there is nothing, with the labels that were asked for.
    fn absent(&self, of: &Expr) -> Result<Vec<Series>, EvalError> {
        let (labels, series) = match of {
            Expr::Latest(selector) => (asked_for(selector), self.vector(of)?),
            Expr::Range(selector, range) => {
                let series = self.over(selector, *range, true, |_, _| Some(1.0))?;
                (asked_for(selector), series)
            }
            of => (Labels::default(), self.vector(of)?),
        };
        let mut all = Vec::new();
        self.work(series.len().saturating_mul(self.grid.count))?;
        let point = |index: usize| {
            let is_absent = series.iter().all(|series| series.points[index].is_none());
            is_absent.then_some(1.0)
        };
        self.put(&mut all, labels, point)?;
        Ok(all)
    }

    fn label_replace(&self, given: &[Expr]) -> Result<Vec<Series>, EvalError> {
        let [of, texts @ ..] = given else { return Err(unexpected(Kind::Text)) };
        let texts: Vec<_> = texts.iter().filter_map(text).collect();
        let [to, template, from, pattern] = texts[..] else { return Err(unexpected(Kind::Text)) };
        let regex = anchored(pattern).map_err(|_| {
            wrong(format!("invalid regular expression in label_replace(): {pattern}"))
        })?;
        if to.is_empty() {
            return Err(wrong("invalid destination label name in label_replace()"));
        }
        if template.len() > TEMPLATE_BYTES_MAX {
            let what = format!(
                "the replacement in label_replace() is longer than {TEMPLATE_BYTES_MAX} bytes"
            );
            return Err(wrong(what));
        }
        self.relabelled(of, |labels| {
            let Some(found) = regex.captures(labels.get(from)) else { return Some(labels.clone()) };
            let mut value = String::new();
            found.expand(template, &mut value);
            (value.len() <= LABEL_BYTES_MAX).then(|| labels.with(to, &value))
        })
    }

    fn label_join(&self, given: &[Expr]) -> Result<Vec<Series>, EvalError> {
        let [of, texts @ ..] = given else { return Err(unexpected(Kind::Text)) };
        let texts: Vec<_> = texts.iter().filter_map(text).collect();
        let [to, separator, from @ ..] = &texts[..] else { return Err(unexpected(Kind::Text)) };
        if to.is_empty() {
            return Err(wrong("invalid destination label name in label_join()"));
        }
        self.relabelled(of, |labels| {
            let parts: Vec<_> = from.iter().map(|name| labels.get(name)).collect();
            let bytes: usize = parts.iter().map(|part| part.len() + separator.len()).sum();
            (bytes <= LABEL_BYTES_MAX).then(|| labels.with(to, &parts.join(separator)))
        })
    }

    fn relabelled(
        &self,
        of: &Expr,
        labels_of: impl Fn(&Labels) -> Option<Labels>,
    ) -> Result<Vec<Series>, EvalError> {
        let mut all = self.vector(of)?;
        for series in &mut all {
            self.work(LABEL_BYTES_MAX)?;
            series.labels = labels_of(&series.labels).ok_or_else(|| {
                wrong(format!("a label would be longer than {LABEL_BYTES_MAX} bytes"))
            })?;
        }
        merged(all)
    }
}

fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Text(text) => Some(text),
        _ => None,
    }
}

/// The labels that a selector says to be equal to something, once.
fn asked_for(selector: &Selector) -> Labels {
    let mut labels = Labels::default();
    let mut seen: Vec<&str> = Vec::new();
    for matcher in selector.matchers.iter().filter(|matcher| matcher.name != METRIC_NAME) {
        let is_equal = matches!(matcher.op, MatchOp::Equal);
        let value = match is_equal && !seen.contains(&matcher.name.as_str()) {
            true => matcher.value.as_str(),
            false => "",
        };
        labels = labels.with(&matcher.name, value);
        seen.push(&matcher.name);
    }
    labels
}

fn mapped(map: Map, value: f64, first: Option<f64>, second: Option<f64>) -> Option<f64> {
    Some(match map {
        Map::Abs => value.abs(),
        Map::Ceil => value.ceil(),
        Map::Floor => value.floor(),
        Map::Exp => value.exp(),
        Map::Ln => value.ln(),
        Map::Log2 => value.log2(),
        Map::Log10 => value.log10(),
        Map::Sqrt => value.sqrt(),
        Map::Sgn if value == 0.0 || value.is_nan() => value,
        Map::Sgn => value.signum(),
        Map::Round => {
            // As Prometheus: by the inverse, so that 0.1 does no harm.
            let inverse = 1.0 / first.unwrap_or(1.0);
            (value * inverse + 0.5).floor() / inverse
        }
        Map::ClampMin => greater(first?, value),
        Map::ClampMax => less(first?, value),
        Map::Clamp => {
            let (least, most) = (first?, second?);
            if most < least {
                return None;
            }
            greater(least, less(most, value))
        }
    })
}

/// The greater, or NaN if one is.
fn greater(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

/// The lesser, or NaN if one is.
fn less(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) }
}
