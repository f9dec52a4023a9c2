//! Evaluation: an expression at each instant of a grid.
//!
//! Each part of an expression becomes its values at all instants at once, so that a series is read once.
//! A selector's series come from the [`Source`] one after the other and are gone when their values are
//! computed: what is in memory is one series and the cells of the parts in between, which are counted.

mod aggregate;
mod binary;
mod call;
mod histogram;
mod numbers;
mod over;

use super::ast::{At, Expr, Kind, Selector};
use super::labels::Labels;
use over::Window;
use std::cell::Cell;

/// How far back a sample still is the latest: as in Prometheus.
const LOOKBACK_NS: i64 = 300 * crate::model::NANOS_PER_SECOND;
/// Values at instants, over all parts of an expression: 16 bytes each.
pub const CELLS_MAX: usize = 2_000_000;
/// Between two looks at whether to go on: some milliseconds.
const WORK_BETWEEN_LOOKS: usize = 1 << 20;

/// A series and its samples.
type Sampled = (Labels, Vec<(i64, f64)>);

/// Takes one series: its labels, the times of its samples in ascending order, and as many values.
pub type Tell<'a> = &'a mut dyn FnMut(Labels, &[i64], &[f64]) -> Result<(), EvalError>;

/// Where samples come from.
pub trait Source {
    /// Tells each selected series' samples later than `after` and not later than `to`. A series without
    /// any may be left out.
    ///
    /// # Errors
    /// What `tell` says, or that it can't go on.
    fn select(
        &self,
        selector: &Selector,
        after: i64,
        to: i64,
        tell: Tell<'_>,
    ) -> Result<(), EvalError>;

    /// Whether the answer is still wanted; asked every few milliseconds.
    ///
    /// # Errors
    /// It is not.
    fn go_on(&self) -> Result<(), SourceError>;
}

/// Why a source does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// For who asks: ask for less.
    #[error("query timed out in expression evaluation")]
    TimedOut,
    /// Who asked has left.
    #[error("query was canceled in expression evaluation")]
    Left,
    /// For who asks: take a shorter range, or fewer series.
    #[error(
        "query processing would load too many samples into memory in query execution: more than {max}"
    )]
    TooManySamples {
        /// As many may be read.
        max: usize,
    },
    /// For the operator; it has been logged.
    #[error("the history can't be read")]
    Unreadable,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// For who asks: this has no answer with these series.
    #[error("{0}")]
    NoAnswer(String),
    /// For who asks: ask for fewer instants or series.
    #[error(
        "the query needs more than {CELLS_MAX} values at instants; ask for fewer series, or a longer step"
    )]
    TooManyCells,
    /// The source does not go on.
    #[error(transparent)]
    Source(#[from] SourceError),
}

/// The instants that are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// The first, nanoseconds since the epoch.
    pub start: i64,
    /// From one to the next.
    pub step: i64,
    /// How many; at least one.
    pub count: usize,
    /// What `@ end()` is: the end that was asked for, which need not be the last instant.
    pub end: i64,
}

impl Grid {
    /// This instant alone.
    #[must_use]
    pub fn instant(time: i64) -> Grid {
        Grid { start: time, step: 1, count: 1, end: time }
    }

    /// One of them.
    #[must_use]
    pub fn time(&self, index: usize) -> i64 {
        self.start.saturating_add(self.step.saturating_mul(index as i64))
    }
}

/// A series with its values at the instants; `None` where it has none.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its labels.
    pub labels: Labels,
    /// As many as instants.
    pub points: Vec<Option<f64>>,
}

/// What an expression is.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// A number at each instant.
    Scalar(Vec<f64>),
    /// Series at the instants.
    Vector(Vec<Series>),
    /// Samples as they are, of one instant's range.
    Matrix(Vec<(Labels, Vec<(i64, f64)>)>),
    /// A text.
    Text(String),
}

/// Evaluates at each instant of the grid.
///
/// # Errors
/// See [`EvalError`].
pub fn evaluate(expr: &Expr, grid: Grid, source: &dyn Source) -> Result<Answer, EvalError> {
    let evaluation = Evaluation { source, grid, cells: Cell::new(0), work: Cell::new(0) };
    match expr {
        Expr::Range(selector, range) => evaluation.samples(selector, *range).map(Answer::Matrix),
        Expr::Text(text) => Ok(Answer::Text(text.clone())),
        expr => match evaluation.value(expr)? {
            Value::Scalar(values) => Ok(Answer::Scalar(values)),
            Value::Vector(series) => Ok(Answer::Vector(series)),
        },
    }
}

/// One evaluation and what it has cost.
struct Evaluation<'a> {
    source: &'a dyn Source,
    grid: Grid,
    cells: Cell<usize>,
    work: Cell<usize>,
}

/// What a part of an expression is at the instants.
enum Value {
    Scalar(Vec<f64>),
    Vector(Vec<Series>),
}

impl Evaluation<'_> {
    fn value(&self, expr: &Expr) -> Result<Value, EvalError> {
        match expr {
            Expr::Number(number) => self.scalar(|_| *number).map(Value::Scalar),
            Expr::Latest(selector) => self.latest(selector, |_, value| value).map(Value::Vector),
            Expr::Negate(of) => self.negated(of),
            Expr::Call(function, given) => self.call(*function, given),
            Expr::Aggregate(aggregate) => self.aggregate(aggregate).map(Value::Vector),
            Expr::Binary(binary) => self.binary(binary),
            // The parser lets none of them be a part where a value is wanted.
            Expr::Range(..) | Expr::Text(_) => Err(unexpected(expr.kind())),
        }
    }

    fn vector(&self, expr: &Expr) -> Result<Vec<Series>, EvalError> {
        match self.value(expr)? {
            Value::Vector(series) => Ok(series),
            Value::Scalar(_) => Err(unexpected(Kind::Scalar)),
        }
    }

    fn numbers(&self, expr: &Expr) -> Result<Vec<f64>, EvalError> {
        match self.value(expr)? {
            Value::Scalar(values) => Ok(values),
            Value::Vector(_) => Err(unexpected(Kind::Vector)),
        }
    }

    fn scalar(&self, value: impl Fn(usize) -> f64) -> Result<Vec<f64>, EvalError> {
        self.spend_cells()?;
        Ok((0..self.grid.count).map(value).collect())
    }

    fn negated(&self, of: &Expr) -> Result<Value, EvalError> {
        Ok(match self.value(of)? {
            Value::Scalar(values) => Value::Scalar(values.into_iter().map(|it| -it).collect()),
            Value::Vector(series) => Value::Vector(self.mapped(series, |_, value| Some(-value))?),
        })
    }

    /// Counts a series' cells.
    fn spend_cells(&self) -> Result<(), EvalError> {
        let cells = self.cells.get() + self.grid.count;
        self.cells.set(cells);
        if cells > CELLS_MAX {
            return Err(EvalError::TooManyCells);
        }
        self.work(self.grid.count)
    }

    /// Counts steps of work, and asks now and then whether to go on.
    fn work(&self, steps: usize) -> Result<(), EvalError> {
        let work = self.work.get().saturating_add(steps.max(1));
        if work < WORK_BETWEEN_LOOKS {
            self.work.set(work);
            return Ok(());
        }
        self.work.set(0);
        Ok(self.source.go_on()?)
    }

    /// From when the series are seen at an instant.
    fn seen_from(&self, selector: &Selector, index: usize) -> i64 {
        let from = match selector.at {
            None => self.grid.time(index),
            Some(At::Time(time)) => time,
            Some(At::Start) => self.grid.start,
            Some(At::End) => self.grid.end,
        };
        from.saturating_sub(selector.offset)
    }

    /// Tells the series whose samples of `range` before each instant may count.
    fn select(&self, selector: &Selector, range: i64, tell: Tell<'_>) -> Result<(), EvalError> {
        let first = self.seen_from(selector, 0);
        let last = self.seen_from(selector, self.grid.count.saturating_sub(1));
        self.source.select(selector, first.saturating_sub(range), last, tell)
    }

    /// The value of each series at each instant made of the latest sample: its time and its value.
    fn latest(
        &self,
        selector: &Selector,
        value_of: impl Fn(i64, f64) -> f64,
    ) -> Result<Vec<Series>, EvalError> {
        let mut all = Vec::new();
        self.select(selector, LOOKBACK_NS, &mut |labels, times, values| {
            let point = |index| {
                let from = self.seen_from(selector, index);
                let latest = times.partition_point(|&time| time <= from).checked_sub(1)?;
                let is_fresh = times[latest] > from.saturating_sub(LOOKBACK_NS);
                is_fresh.then(|| value_of(times[latest], values[latest]))
            };
            self.put(&mut all, labels, point)
        })?;
        merged(all)
    }

    /// The value of each series at each instant made of its samples in a range before.
    fn over(
        &self,
        selector: &Selector,
        range: i64,
        keeps_name: bool,
        value_of: impl Fn(&Window<'_>, usize) -> Option<f64>,
    ) -> Result<Vec<Series>, EvalError> {
        let mut all = Vec::new();
        self.select(selector, range, &mut |labels, times, values| {
            let labels = if keeps_name { labels } else { labels.without_name() };
            let mut looked = Ok(());
            let point = |index| {
                let end = self.seen_from(selector, index);
                let start = end.saturating_sub(range);
                // The range is open at its left end, as since Prometheus 3.
                let from = times.partition_point(|&time| time <= start);
                let to = times.partition_point(|&time| time <= end);
                if from == to || looked.is_err() {
                    return None;
                }
                looked = self.work(to - from);
                let (times, values) = (&times[from..to], &values[from..to]);
                value_of(&Window { times, values, start, end }, index)
            };
            self.put(&mut all, labels, point)?;
            looked
        })?;
        merged(all)
    }

    /// Keeps a series, if it has any value.
    fn put(
        &self,
        all: &mut Vec<Series>,
        labels: Labels,
        point: impl FnMut(usize) -> Option<f64>,
    ) -> Result<(), EvalError> {
        let points: Vec<_> = (0..self.grid.count).map(point).collect();
        if points.iter().all(Option::is_none) {
            return self.work(points.len());
        }
        self.spend_cells()?;
        all.push(Series { labels, points });
        Ok(())
    }

    /// The samples of a range as they are.
    fn samples(&self, selector: &Selector, range: i64) -> Result<Vec<Sampled>, EvalError> {
        let end = self.seen_from(selector, 0);
        let start = end.saturating_sub(range);
        let mut all = Vec::new();
        self.select(selector, range, &mut |labels, times, values| {
            let within =
                times.iter().zip(values).filter(|(time, _)| **time > start && **time <= end);
            let samples: Vec<_> = within.map(|(&time, &value)| (time, value)).collect();
            self.cells.set(self.cells.get() + samples.len());
            if self.cells.get() > CELLS_MAX {
                return Err(EvalError::TooManyCells);
            }
            if !samples.is_empty() {
                all.push((labels, samples));
            }
            self.work(values.len())
        })?;
        all.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(all)
    }

    /// The same series without their names, each value made anew.
    fn mapped(
        &self,
        series: Vec<Series>,
        value_of: impl Fn(usize, f64) -> Option<f64>,
    ) -> Result<Vec<Series>, EvalError> {
        let mut all = Vec::with_capacity(series.len());
        for mut series in series {
            self.work(series.points.len())?;
            for (index, point) in series.points.iter_mut().enumerate() {
                *point = point.and_then(|value| value_of(index, value));
            }
            if series.points.iter().any(Option::is_some) {
                all.push(Series { labels: series.labels.without_name(), ..series });
            }
        }
        merged(all)
    }
}

/// Series in the order of their labels, those with the same labels as one.
///
/// # Errors
/// Two of them have a value at the same instant.
fn merged(mut series: Vec<Series>) -> Result<Vec<Series>, EvalError> {
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    let mut all: Vec<Series> = Vec::with_capacity(series.len());
    for next in series {
        let Some(last) = all.last_mut().filter(|last| last.labels == next.labels) else {
            all.push(next);
            continue;
        };
        for (point, other) in last.points.iter_mut().zip(next.points) {
            if point.is_some() && other.is_some() {
                let what = "vector cannot contain metrics with the same labelset";
                return Err(EvalError::NoAnswer(what.to_owned()));
            }
            *point = point.or(other);
        }
    }
    Ok(all)
}

fn unexpected(kind: Kind) -> EvalError {
    EvalError::NoAnswer(format!("a {} can't be evaluated here", kind.name()))
}

#[cfg(test)]
mod tests;
