//! The functions that are here, and those of Prometheus that are not.

use super::ast::Kind;

/// A function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// Of the samples of a range.
    Over(Over),
    /// Of one value.
    Map(Map),
    /// `absent`
    Absent,
    /// `absent_over_time`
    AbsentOver,
    /// `histogram_quantile`
    HistogramQuantile,
    /// `label_join`
    LabelJoin,
    /// `label_replace`
    LabelReplace,
    /// `pi`
    Pi,
    /// `scalar`
    Scalar,
    /// `sort`
    Sort,
    /// `sort_desc`
    SortDesc,
    /// `time`
    Time,
    /// `timestamp`
    Timestamp,
    /// `vector`
    Vector,
}

/// Of the samples of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// `avg_over_time`
    Avg,
    /// `changes`
    Changes,
    /// `count_over_time`
    Count,
    /// `delta`
    Delta,
    /// `deriv`
    Deriv,
    /// `idelta`
    Idelta,
    /// `increase`
    Increase,
    /// `irate`
    Irate,
    /// `last_over_time`
    Last,
    /// `max_over_time`
    Max,
    /// `min_over_time`
    Min,
    /// `predict_linear`
    Predict,
    /// `present_over_time`
    Present,
    /// `quantile_over_time`
    Quantile,
    /// `rate`
    Rate,
    /// `resets`
    Resets,
    /// `stddev_over_time`
    Stddev,
    /// `stdvar_over_time`
    Stdvar,
    /// `sum_over_time`
    Sum,
}

/// Of one value, and perhaps scalars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Map {
    /// `abs`
    Abs,
    /// `ceil`
    Ceil,
    /// `clamp`
    Clamp,
    /// `clamp_max`
    ClampMax,
    /// `clamp_min`
    ClampMin,
    /// `exp`
    Exp,
    /// `floor`
    Floor,
    /// `ln`
    Ln,
    /// `log10`
    Log10,
    /// `log2`
    Log2,
    /// `round`
    Round,
    /// `sgn`
    Sgn,
    /// `sqrt`
    Sqrt,
}

/// How a function is called.
pub(super) struct Entry {
    pub name: &'static str,
    pub function: Function,
    /// What it takes.
    pub takes: &'static [Kind],
    /// How many of them must be there at least; of `label_join` the last may come again.
    pub least: usize,
}

const fn entry(
    name: &'static str,
    function: Function,
    takes: &'static [Kind],
    least: usize,
) -> Entry {
    Entry { name, function, takes, least }
}

const S: Kind = Kind::Scalar;
const V: Kind = Kind::Vector;
const M: Kind = Kind::Matrix;
const T: Kind = Kind::Text;

/// What is here, by name.
pub(super) const FUNCTIONS: &[Entry] = &[
    entry("abs", Function::Map(Map::Abs), &[V], 1),
    entry("absent", Function::Absent, &[V], 1),
    entry("absent_over_time", Function::AbsentOver, &[M], 1),
    entry("avg_over_time", Function::Over(Over::Avg), &[M], 1),
    entry("ceil", Function::Map(Map::Ceil), &[V], 1),
    entry("changes", Function::Over(Over::Changes), &[M], 1),
    entry("clamp", Function::Map(Map::Clamp), &[V, S, S], 3),
    entry("clamp_max", Function::Map(Map::ClampMax), &[V, S], 2),
    entry("clamp_min", Function::Map(Map::ClampMin), &[V, S], 2),
    entry("count_over_time", Function::Over(Over::Count), &[M], 1),
    entry("delta", Function::Over(Over::Delta), &[M], 1),
    entry("deriv", Function::Over(Over::Deriv), &[M], 1),
    entry("exp", Function::Map(Map::Exp), &[V], 1),
    entry("floor", Function::Map(Map::Floor), &[V], 1),
    entry("histogram_quantile", Function::HistogramQuantile, &[S, V], 2),
    entry("idelta", Function::Over(Over::Idelta), &[M], 1),
    entry("increase", Function::Over(Over::Increase), &[M], 1),
    entry("irate", Function::Over(Over::Irate), &[M], 1),
    entry("label_join", Function::LabelJoin, &[V, T, T, T], 3),
    entry("label_replace", Function::LabelReplace, &[V, T, T, T, T], 5),
    entry("last_over_time", Function::Over(Over::Last), &[M], 1),
    entry("ln", Function::Map(Map::Ln), &[V], 1),
    entry("log10", Function::Map(Map::Log10), &[V], 1),
    entry("log2", Function::Map(Map::Log2), &[V], 1),
    entry("max_over_time", Function::Over(Over::Max), &[M], 1),
    entry("min_over_time", Function::Over(Over::Min), &[M], 1),
    entry("pi", Function::Pi, &[], 0),
    entry("predict_linear", Function::Over(Over::Predict), &[M, S], 2),
    entry("present_over_time", Function::Over(Over::Present), &[M], 1),
    entry("quantile_over_time", Function::Over(Over::Quantile), &[S, M], 2),
    entry("rate", Function::Over(Over::Rate), &[M], 1),
    entry("resets", Function::Over(Over::Resets), &[M], 1),
    entry("round", Function::Map(Map::Round), &[V, S], 1),
    entry("scalar", Function::Scalar, &[V], 1),
    entry("sgn", Function::Map(Map::Sgn), &[V], 1),
    entry("sort", Function::Sort, &[V], 1),
    entry("sort_desc", Function::SortDesc, &[V], 1),
    entry("sqrt", Function::Map(Map::Sqrt), &[V], 1),
    entry("stddev_over_time", Function::Over(Over::Stddev), &[M], 1),
    entry("stdvar_over_time", Function::Over(Over::Stdvar), &[M], 1),
    entry("sum_over_time", Function::Over(Over::Sum), &[M], 1),
    entry("time", Function::Time, &[], 0),
    entry("timestamp", Function::Timestamp, &[V], 1),
    entry("vector", Function::Vector, &[S], 1),
];

/// Prometheus has them; they are not here.
const ELSEWHERE: &[&str] = &[
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "cos",
    "cosh",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "deg",
    "double_exponential_smoothing",
    "first_over_time",
    "histogram_avg",
    "histogram_count",
    "histogram_fraction",
    "histogram_quantiles",
    "histogram_stddev",
    "histogram_stdvar",
    "histogram_sum",
    "holt_winters",
    "hour",
    "info",
    "mad_over_time",
    "minute",
    "month",
    "rad",
    "sin",
    "sinh",
    "sort_by_label",
    "sort_by_label_desc",
    "tan",
    "tanh",
    "ts_of_first_over_time",
    "ts_of_last_over_time",
    "ts_of_max_over_time",
    "ts_of_min_over_time",
    "year",
];

/// Finds a function.
///
/// # Errors
/// A sentence for who asked for one that is not here.
pub(super) fn find(name: &str) -> Result<&'static Entry, String> {
    if let Some(entry) = FUNCTIONS.iter().find(|entry| entry.name == name) {
        return Ok(entry);
    }
    match ELSEWHERE.contains(&name) {
        true => {
            let here: Vec<_> = FUNCTIONS.iter().map(|entry| entry.name).collect();
            let here = here.join(", ");
            Err(format!("the function {name} is not available here; these are: {here}"))
        }
        false => Err(format!("unknown function with name {name:?}")),
    }
}

impl Function {
    /// What it gives.
    #[must_use]
    pub fn returns(self) -> Kind {
        match self {
            Function::Pi | Function::Scalar | Function::Time => Kind::Scalar,
            _ => Kind::Vector,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_here_is_said_to_be_elsewhere() {
        assert!(find("hour").err().unwrap().contains("not available here"));
        assert_eq!(find("frobnicate").err().unwrap(), "unknown function with name \"frobnicate\"");
        assert!(FUNCTIONS.iter().all(|entry| !ELSEWHERE.contains(&entry.name)));
        assert!(FUNCTIONS.is_sorted_by_key(|entry| entry.name));
    }
}
