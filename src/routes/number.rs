//! What numbers become.
//!
//! A series has one type: stores that keep it in a column refuse the other. JSON has no types, and
//! sensors' programs print 21 and then 21.5; so a number is a float, unless the route says that it is
//! whole. Floats hold whole numbers up to 2^53 exactly.

use super::Puzzle;
use crate::decode::Content;

/// What numbers become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbers {
    /// All are floats.
    Float,
    /// All are whole; others are refused.
    Integer,
    /// Those written without point and exponent are whole.
    AsWritten,
}

impl Numbers {
    /// All of them, by name.
    pub(super) const ALL: [(&'static str, Numbers); 3] = [
        ("float", Numbers::Float),
        ("integer", Numbers::Integer),
        ("as_written", Numbers::AsWritten),
    ];
}

/// A number as it was read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    /// Written without point and exponent, in 64 bits.
    Whole(i64),
    /// Likewise, above `i64`.
    Large(u64),
    /// Any other.
    Float(f64),
}

/// Floats below this are whole numbers if they have no fraction.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

impl Number {
    /// Reads a text that is nothing but a number; `nan` and `inf` are none.
    pub(super) fn read(text: &str) -> Option<Number> {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            return None;
        }
        if let Ok(whole) = text.parse() {
            return Some(Number::Whole(whole));
        }
        if let Ok(large) = text.parse() {
            return Some(Number::Large(large));
        }
        // One that is too large becomes infinite here, and is refused where it is gathered.
        text.parse().ok().map(Number::Float)
    }

    #[expect(clippy::cast_precision_loss, reason = "beyond 2^53 a float holds no more")]
    pub(super) fn as_float(self) -> f64 {
        match self {
            Number::Whole(value) => value as f64,
            Number::Large(value) => value as f64,
            Number::Float(value) => value,
        }
    }

    /// The number if it is whole: 21, 21.0 and 2.1e1 are.
    pub(super) fn as_whole(self) -> Option<i64> {
        match self {
            Number::Whole(value) => Some(value),
            #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
            Number::Float(value) if value.fract() == 0.0 && value.abs() <= EXACT_MAX => {
                Some(value as i64)
            }
            Number::Large(_) | Number::Float(_) => None,
        }
    }

    /// The value that the route wants it to be; `at` tells its place.
    pub(super) fn content(
        self,
        numbers: Numbers,
        at: impl FnOnce() -> String,
    ) -> Result<Content<'static>, Puzzle> {
        let whole = match (numbers, self) {
            (Numbers::Float, _) | (Numbers::AsWritten, Number::Float(_)) => {
                return Ok(Content::Float(self.as_float()));
            }
            (Numbers::Integer | Numbers::AsWritten, _) => self.as_whole(),
        };
        whole
            .map(Content::Int)
            .ok_or_else(|| Puzzle::NotWhole { at: at(), number: self.to_string() })
    }
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Number::Whole(value) => value.fmt(f),
            Number::Large(value) => value.fmt(f),
            Number::Float(value) => f.write_str(zmij::Buffer::new().format(*value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_becomes_what_the_route_wants() {
        use Content::{Float, Int};
        let check = |text: &str, [float, integer, as_written]: [Option<Content<'_>>; 3]| {
            let number = Number::read(text).unwrap();
            let content = |numbers| number.content(numbers, String::new).ok();
            assert_eq!(content(Numbers::Float), float, "{text}");
            assert_eq!(content(Numbers::Integer), integer, "{text}");
            assert_eq!(content(Numbers::AsWritten), as_written, "{text}");
        };
        check("21", [Some(Float(21.0)), Some(Int(21)), Some(Int(21))]);
        check("-7", [Some(Float(-7.0)), Some(Int(-7)), Some(Int(-7))]);
        check("21.0", [Some(Float(21.0)), Some(Int(21)), Some(Float(21.0))]);
        check("2.1e1", [Some(Float(21.0)), Some(Int(21)), Some(Float(21.0))]);
        check("21.5", [Some(Float(21.5)), None, Some(Float(21.5))]);
        check(
            "9223372036854775807",
            [Some(Float(2f64.powi(63))), Some(Int(i64::MAX)), Some(Int(i64::MAX))],
        );
        check("9223372036854775808", [Some(Float(2f64.powi(63))), None, None]);
        check("1e300", [Some(Float(1e300)), None, Some(Float(1e300))]);
        for none in
            ["", "nan", "inf", "-inf", "NaN", "infinity", "x", "1x", "-", "0x10", "1 2", "1,5"]
        {
            assert_eq!(Number::read(none), None, "{none}");
        }
    }
}
