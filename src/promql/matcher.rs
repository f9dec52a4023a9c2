//! Which series are meant.

use super::labels::{METRIC_NAME, View};
use regex::{Regex, RegexBuilder};
use std::borrow::Cow;

/// The size of a compiled regular expression, and of what it remembers while it looks.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// How a label is compared.
#[derive(Debug, Clone)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex(Regex),
    /// `!~`
    NotRegex(Regex),
}

/// One condition on a label.
#[derive(Debug, Clone)]
pub struct Matcher {
    /// The label's name.
    pub name: String,
    /// How.
    pub op: MatchOp,
    /// With what.
    pub value: String,
}

/// A regular expression as Prometheus reads it: for the whole value, `.` for every character.
pub(super) fn anchored(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(&format!("^(?s:{pattern})$"))
        .size_limit(REGEX_BYTES_MAX)
        .dfa_size_limit(REGEX_BYTES_MAX)
        .build()
}

impl Matcher {
    /// That the label has this value.
    pub(super) fn equal(name: &str, value: String) -> Matcher {
        Matcher { name: name.to_owned(), op: MatchOp::Equal, value }
    }

    /// Whether a value passes; a label that is not there is empty.
    #[must_use]
    pub fn fits(&self, value: &str) -> bool {
        match &self.op {
            MatchOp::Equal => self.value == value,
            MatchOp::NotEqual => self.value != value,
            MatchOp::Regex(regex) => regex.is_match(value),
            MatchOp::NotRegex(regex) => !regex.is_match(value),
        }
    }

    /// Whether the metric of that name passes, as it is or spelled as Prometheus would.
    fn fits_metric(&self, metric: &str) -> bool {
        let plain = plain_name(metric);
        if metric == plain {
            return self.fits(metric);
        }
        match &self.op {
            MatchOp::Equal | MatchOp::Regex(_) => self.fits(metric) || self.fits(&plain),
            MatchOp::NotEqual | MatchOp::NotRegex(_) => self.fits(metric) && self.fits(&plain),
        }
    }

    /// Whether the series passes.
    #[must_use]
    pub fn fits_series(&self, series: &View<'_>) -> bool {
        match self.name.as_str() {
            METRIC_NAME => self.fits_metric(series.metric),
            name => self.fits(series.get(name)),
        }
    }
}

/// A metric's name with `_` for each character that a name of Prometheus can't have, as OpenTelemetry
/// does it.
fn plain_name(metric: &str) -> Cow<'_, str> {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == ':';
    if metric.chars().all(is_plain) {
        return Cow::Borrowed(metric);
    }
    metric.chars().map(|char| if is_plain(char) { char } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_found_by_its_name_and_by_its_plain_name() {
        let series = View { device: "d", metric: "motor.temperature", tags: &[] };
        let fits = |op: MatchOp, value: &str| {
            Matcher { name: METRIC_NAME.into(), op, value: value.into() }.fits_series(&series)
        };
        let regex = |pattern| MatchOp::Regex(anchored(pattern).unwrap());
        let not_regex = |pattern| MatchOp::NotRegex(anchored(pattern).unwrap());
        assert!(fits(MatchOp::Equal, "motor.temperature"));
        assert!(fits(MatchOp::Equal, "motor_temperature"));
        assert!(!fits(MatchOp::Equal, "motor-temperature"));
        assert!(!fits(MatchOp::NotEqual, "motor_temperature"));
        assert!(!fits(MatchOp::NotEqual, "motor.temperature"));
        assert!(fits(MatchOp::NotEqual, "motor"));
        assert!(fits(regex("motor_t.*"), ""));
        assert!(!fits(regex("motor"), ""));
        assert!(!fits(not_regex("motor_.*"), ""));
    }

    #[test]
    fn a_regular_expression_is_for_the_whole_value() {
        let is = |pattern, value| anchored(pattern).unwrap().is_match(value);
        assert!(is("a|b", "b") && !is("a|b", "ab") && is("a.c", "a\nc") && is("", ""));
        assert!(anchored("(?:a{1000}){1000}").is_err());
        assert!(anchored(&"(".repeat(10_000)).is_err());
    }
}
