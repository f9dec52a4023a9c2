//! Functions of the samples of a range.

use super::super::function::Over;
use super::numbers::{self, Sum};
use crate::model::NANOS_PER_SECOND;

/// The samples of a series later than `start` and not later than `end`; at least one.
pub(super) struct Window<'a> {
    pub times: &'a [i64],
    pub values: &'a [f64],
    pub start: i64,
    pub end: i64,
}

/// Whole milliseconds, which is what Prometheus knows, to the last bit as it has them: as nanoseconds an
/// instant of today has more digits than a float.
pub(super) fn seconds(nanos: i64) -> f64 {
    const MILLI: i64 = NANOS_PER_SECOND / 1000;
    match nanos % MILLI {
        0 => (nanos / MILLI) as f64 / 1000.0,
        _ => nanos as f64 / NANOS_PER_SECOND as f64,
    }
}

/// The value of a function; none if the samples are too few for it. `parameter` is what it is given
/// beside them, `now` the instant at which it is asked.
pub(super) fn value(function: Over, window: &Window<'_>, parameter: f64, now: i64) -> Option<f64> {
    let values = window.values;
    let each = || values.iter().copied();
    let pairs = || values.windows(2).map(|pair| (pair[0], pair[1]));
    Some(match function {
        Over::Avg => numbers::mean(each()),
        Over::Sum => numbers::sum(each()),
        Over::Count => values.len() as f64,
        Over::Present => 1.0,
        Over::Last => *values.last()?,
        Over::Min => extreme(each(), |value, least| value < least)?,
        Over::Max => extreme(each(), |value, most| value > most)?,
        Over::Stddev => numbers::variance(each()).sqrt(),
        Over::Stdvar => numbers::variance(each()),
        Over::Quantile => numbers::quantile(parameter, &mut values.to_vec()),
        Over::Changes => {
            let differ = |(a, b): &(f64, f64)| a != b && !(a.is_nan() && b.is_nan());
            pairs().filter(differ).count() as f64
        }
        Over::Resets => pairs().filter(|(before, after)| after < before).count() as f64,
        Over::Rate => extrapolated(window, true, true)?,
        Over::Increase => extrapolated(window, true, false)?,
        Over::Delta => extrapolated(window, false, false)?,
        Over::Irate => of_last_two(window, true)?,
        Over::Idelta => of_last_two(window, false)?,
        Over::Deriv => line(window, *window.times.first()?)?.0,
        Over::Predict => {
            let (slope, intercept) = line(window, now)?;
            slope * parameter + intercept
        }
    })
}

/// The smallest or greatest; NaN only if there is nothing else.
pub(super) fn extreme(
    mut values: impl Iterator<Item = f64>,
    beats: impl Fn(f64, f64) -> bool,
) -> Option<f64> {
    let first = values.next()?;
    Some(values.fold(
        first,
        |best, value| {
            if beats(value, best) || best.is_nan() { value } else { best }
        },
    ))
}

/// What a value has grown by over the range. It is extended to the ends of the range, if the first and
/// last samples are as near to them as samples are to each other; else by half such a distance. A counter
/// is not extended below zero, and begins again where it falls.
fn extrapolated(window: &Window<'_>, is_counter: bool, per_second: bool) -> Option<f64> {
    let Window { times, values, start, end } = *window;
    let count = values.len();
    if count < 2 {
        return None;
    }
    let (first, last) = (values[0], values[count - 1]);
    let mut grown = last - first;
    if is_counter {
        for pair in values.windows(2).filter(|pair| pair[1] < pair[0]) {
            grown += pair[0];
        }
    }
    let sampled = seconds(times[count - 1] - times[0]);
    let distance = sampled / (count - 1) as f64;
    let near = distance * 1.1;
    let mut before = seconds(times[0] - start);
    if before >= near {
        before = distance / 2.0;
    }
    if is_counter && grown > 0.0 && first >= 0.0 {
        before = before.min(sampled * (first / grown));
    }
    let mut after = seconds(end - times[count - 1]);
    if after >= near {
        after = distance / 2.0;
    }
    let mut factor = (sampled + before + after) / sampled;
    if per_second {
        factor /= seconds(end - start);
    }
    Some(grown * factor)
}

fn of_last_two(window: &Window<'_>, is_rate: bool) -> Option<f64> {
    let Window { times, values, .. } = *window;
    let last = values.len() - 1;
    let before = last.checked_sub(1)?;
    let elapsed = times[last] - times[before];
    if elapsed == 0 {
        return None;
    }
    let is_reset = is_rate && values[last] < values[before];
    let grown = if is_reset { values[last] } else { values[last] - values[before] };
    Some(if is_rate { grown / seconds(elapsed) } else { grown })
}

/// Slope, and value at an instant, of the line that fits the samples best.
fn line(window: &Window<'_>, at: i64) -> Option<(f64, f64)> {
    let Window { times, values, .. } = *window;
    if values.len() < 2 {
        return None;
    }
    let first = values[0];
    if values.iter().all(|&value| value == first) {
        return Some(if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) });
    }
    let mut sums = [Sum::default(); 4];
    for (&time, &y) in times.iter().zip(values) {
        let x = seconds(time - at);
        for (sum, value) in sums.iter_mut().zip([x, y, x * y, x * x]) {
            sum.add(value);
        }
    }
    let count = values.len() as f64;
    let [x, y, xy, xx] = sums.map(Sum::value);
    let slope = (xy - x * y / count) / (xx - x * x / count);
    Some((slope, y / count - slope * x / count))
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = NANOS_PER_SECOND;

    fn check(function: Over, samples: &[(i64, f64)], range: (i64, i64), expected: Option<f64>) {
        let times: Vec<_> = samples.iter().map(|(time, _)| time * S).collect();
        let values: Vec<_> = samples.iter().map(|(_, value)| *value).collect();
        let (start, end) = (range.0 * S, range.1 * S);
        let window = Window { times: &times, values: &values, start, end };
        let found = value(function, &window, 0.5, end);
        let near =
            |(found, expected): (f64, f64)| (found - expected).abs() <= 1e-12 * expected.abs();
        let is = found.is_none() == expected.is_none() && found.zip(expected).is_none_or(near);
        assert!(is, "{function:?} of {samples:?}: {found:?}, not {expected:?}");
    }

    #[test]
    fn rates_are_extended_to_the_ends_of_the_range() {
        // Ten a second, seen from the fifth second to the fifty-fifth.
        let steady: Vec<_> = (0..11).map(|i| (5 + i * 5, (100 + i * 50) as f64)).collect();
        check(Over::Increase, &steady, (0, 60), Some(600.0));
        check(Over::Rate, &steady, (0, 60), Some(10.0));
        check(Over::Delta, &steady, (0, 60), Some(600.0));
        // The first sample is far from the beginning: half a distance is added there.
        check(Over::Increase, &steady, (-60, 60), Some(500.0 * 57.5 / 50.0));
        // Not below zero: the counter began 2 s before the first sample.
        let young: Vec<_> = (0..11).map(|i| (5 + i * 5, (20 + i * 50) as f64)).collect();
        check(Over::Increase, &young, (0, 60), Some(500.0 * 57.0 / 50.0));
        check(Over::Delta, &young, (0, 60), Some(600.0));
        check(Over::Rate, &steady[..1], (0, 60), None);
    }

    #[test]
    fn a_counter_that_falls_has_begun_again() {
        let reset = [(10, 90.0), (20, 100.0), (30, 5.0), (40, 15.0)];
        // 10, then 5 from zero, then 10; extended from 30 to 40 s, but not below zero.
        check(Over::Increase, &reset, (5, 45), Some(25.0 * 40.0 / 30.0));
        check(Over::Delta, &reset, (5, 45), Some(-75.0 * 40.0 / 30.0));
        check(Over::Resets, &reset, (5, 45), Some(1.0));
        check(Over::Irate, &reset, (5, 45), Some(1.0));
        check(Over::Irate, &reset[..3], (5, 45), Some(0.5));
        check(Over::Idelta, &reset[..3], (5, 45), Some(-95.0));
        check(Over::Irate, &reset[..1], (5, 45), None);
    }

    #[test]
    fn functions_of_all_values() {
        let samples = [(1, 2.0), (2, 4.0), (3, 4.0), (4, 6.0)];
        for (function, expected) in [
            (Over::Avg, 4.0),
            (Over::Sum, 16.0),
            (Over::Count, 4.0),
            (Over::Min, 2.0),
            (Over::Max, 6.0),
            (Over::Last, 6.0),
            (Over::Present, 1.0),
            (Over::Changes, 2.0),
            (Over::Stdvar, 2.0),
            (Over::Stddev, 2.0_f64.sqrt()),
            (Over::Quantile, 4.0),
            (Over::Deriv, 1.2),
            (Over::Predict, 5.8 + 0.6),
        ] {
            check(function, &samples, (0, 4), Some(expected));
        }
        let nan = [(1, f64::NAN), (2, 1.0), (3, f64::NAN)];
        check(Over::Min, &nan, (0, 4), Some(1.0));
        check(Over::Max, &nan, (0, 4), Some(1.0));
        check(Over::Changes, &[(1, f64::NAN), (2, f64::NAN)], (0, 4), Some(0.0));
        check(Over::Deriv, &[(1, 3.0), (2, 3.0)], (0, 4), Some(0.0));
        check(Over::Deriv, &[(1, 3.0)], (0, 4), None);
    }
}
