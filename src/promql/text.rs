//! Numbers as Prometheus writes them in its JSON.

use crate::model::NANOS_PER_SECOND;
use std::fmt::Write as _;

/// Nanoseconds of a millisecond.
const MILLI: i64 = NANOS_PER_SECOND / 1000;

/// A sample's value, without its quotes: as Go writes floats, with an exponent where JSON would.
#[must_use]
pub fn number_text(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let size = value.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        return value.to_string();
    }
    let text = format!("{value:e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}

/// An instant as seconds with milliseconds, if it has some.
pub fn seconds_text(time: i64, to: &mut String) {
    let milliseconds = time.div_euclid(MILLI);
    let (size, sign) = (milliseconds.unsigned_abs(), if milliseconds < 0 { "-" } else { "" });
    let (seconds, rest) = (size / 1000, size % 1000);
    // Writing to a String does not fail.
    let written = match rest {
        0 => write!(to, "{sign}{seconds}"),
        rest => write!(to, "{sign}{seconds}.{rest:03}"),
    };
    debug_assert!(written.is_ok());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_go_does() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (1e-6, "0.000001"),
            (9.5e-7, "9.5e-07"),
            (-1e-100, "-1e-100"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(number_text(value), expected);
        }
    }

    #[test]
    fn times_are_seconds() {
        for (nanos, expected) in [
            (0, "0"),
            (1_500_000_000, "1.500"),
            (1_435_781_451_781_999_999, "1435781451.781"),
            (7_000_000, "0.007"),
            (-1_500_000_000, "-1.500"),
        ] {
            let mut text = String::new();
            seconds_text(nanos, &mut text);
            assert_eq!(text, expected);
        }
    }
}
