//! Times and widths as people write them.

use crate::model::{NANOS_PER_SECOND, Timestamp};
use jiff::SignedDuration;

/// An instant: RFC 3339, integer nanoseconds since 1970, `now`, or relative to it (`-15m`, `-1d`).
#[must_use]
pub fn parse_time(text: &str, now: Timestamp) -> Option<i64> {
    if text == "now" {
        return Some(now.0);
    }
    if let Ok(nanos) = text.parse() {
        return Some(nanos);
    }
    if let Some(days) = text.strip_suffix('d').and_then(|days| days.parse::<i64>().ok()) {
        return now.0.checked_add(days.checked_mul(86_400 * NANOS_PER_SECOND)?);
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return i64::try_from(time.as_nanosecond()).ok();
    }
    let relative: SignedDuration = text.parse().ok()?;
    now.0.checked_add(i64::try_from(relative.as_nanos()).ok()?)
}

/// Widths that people recognise, in nanoseconds.
const ROUND_WIDTHS: [i64; 27] = {
    const S: i64 = NANOS_PER_SECOND;
    const MS: i64 = S / 1000;
    [
        MS,
        2 * MS,
        5 * MS,
        10 * MS,
        20 * MS,
        50 * MS,
        100 * MS,
        200 * MS,
        500 * MS,
        S,
        2 * S,
        5 * S,
        10 * S,
        15 * S,
        30 * S,
        60 * S,
        120 * S,
        300 * S,
        600 * S,
        900 * S,
        1800 * S,
        3600 * S,
        7200 * S,
        14_400 * S,
        21_600 * S,
        43_200 * S,
        86_400 * S,
    ]
};

/// The smallest round width with which at most `buckets` aligned buckets cover the range.
#[must_use]
pub fn round_width(from: i64, to: i64, buckets: usize) -> i64 {
    let span = i128::from(to) - i128::from(from);
    // A range that is not aligned touches one bucket more than its length says.
    let fits = |width: i64| span / i128::from(width) + 2 <= buckets as i128;
    if let Some(width) = ROUND_WIDTHS.into_iter().find(|&width| fits(width)) {
        return width;
    }
    let day = ROUND_WIDTHS[ROUND_WIDTHS.len() - 1];
    let days = span / i128::from(day) / (buckets.max(3) as i128 - 2) + 1;
    i64::try_from(days).unwrap_or(i64::MAX).saturating_mul(day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_absolute_or_relative() {
        let now = Timestamp(1_000 * NANOS_PER_SECOND);
        for (text, expected) in [
            ("now", Some(1_000)),
            ("-15m", Some(100)),
            ("-1d", Some(1_000 - 86_400)),
            ("1970-01-01T00:00:07Z", Some(7)),
            ("5000000000", Some(5)),
            ("yesterday", None),
            ("", None),
        ] {
            let expected = expected.map(|seconds: i64| seconds * NANOS_PER_SECOND);
            assert_eq!(parse_time(text, now), expected, "{text}");
        }
    }

    #[test]
    fn a_width_is_round_and_wide_enough() {
        let hour = 3600 * NANOS_PER_SECOND;
        assert_eq!(round_width(0, hour, 500), 10 * NANOS_PER_SECOND);
        assert_eq!(round_width(0, 24 * hour, 500), 300 * NANOS_PER_SECOND);
        for buckets in [1, 2, 3, 10, 500] {
            for span in [1, hour, 24 * hour, 10_000 * 24 * hour] {
                let width = round_width(7, 7 + span, buckets);
                assert!(width > 0);
                let touched = (7 + span - 1).div_euclid(width) - 7i64.div_euclid(width) + 1;
                assert!(touched as usize <= buckets.max(2), "{touched} for {buckets} over {span}");
            }
        }
    }
}
