//! What a column of numbers is like, so that it comes out small: how many decimals its values have,
//! and whether it creeps or jitters.
//!
//! Sensors report so many decimals, but a float of one decimal looks like noise in its last bits.
//! Told the decimals, pco stores whole numbers. Its own search looks at a sample and finds them
//! often, not always; looking at all values is cheaper and certain.

use pco::{DeltaSpec, ModeSpec};

/// More decimals than this are not looked for: doubles have 15 digits, and some stand before the point.
const DECIMALS_MAX: usize = 6;
const POWERS: [f64; DECIMALS_MAX + 1] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6];
/// A scaled value above this has no fraction left to tell.
const SCALED_MAX: f64 = 9_007_199_254_740_992.0;

/// How to split floats into whole numbers.
pub(super) fn mode(values: &[f64]) -> ModeSpec {
    match decimals(values) {
        Some(decimals) => ModeSpec::TryFloatMult(1.0 / POWERS[decimals]),
        None => ModeSpec::Auto,
    }
}

/// The fewest decimals with which all values are written in full.
fn decimals(values: &[f64]) -> Option<usize> {
    let mut decimals = 0;
    for &value in values {
        while !is_whole(value, POWERS[decimals]) {
            decimals += 1;
            if decimals > DECIMALS_MAX {
                return None;
            }
        }
    }
    Some(decimals)
}

fn is_whole(value: f64, power: f64) -> bool {
    let scaled = (value * power).round();
    scaled.abs() <= SCALED_MAX && scaled / power == value
}

/// Whether to store values or the steps between them, whichever vary less: noise around a mean has
/// larger steps than values.
pub(super) fn delta(values: impl ExactSizeIterator<Item = f64> + Clone) -> DeltaSpec {
    let count = values.len() as f64;
    let mean = values.clone().sum::<f64>() / count;
    let (mut spread, mut steps) = (0.0, 0.0);
    let mut before = None;
    for value in values {
        spread += (value - mean).abs();
        steps += before.map_or(0.0, |before: f64| (value - before).abs());
        before = Some(value);
    }
    // Values that overflow the sums are nobody's telemetry: then the steps, as is usual.
    if spread < steps { DeltaSpec::NoOp } else { DeltaSpec::TryConsecutive(1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimals_are_found_and_nothing_else_is_taken_for_some() {
        assert_eq!(decimals(&[1.0, -20.0, 0.0, -0.0]), Some(0));
        assert_eq!(decimals(&[61.9, 62.0, -0.1]), Some(1));
        assert_eq!(decimals(&[61.9, 0.25, 1e9]), Some(2));
        assert_eq!(decimals(&[0.000_001]), Some(6));
        assert_eq!(decimals(&[0.1, 0.000_000_1]), None);
        assert_eq!(decimals(&[std::f64::consts::PI]), None);
        assert_eq!(decimals(&[f64::from(0.1_f32)]), None, "a float of 32 bits is no decimal");
        assert_eq!(decimals(&[f64::MAX]), None);
        assert_eq!(decimals(&[f64::INFINITY]), None);
        assert_eq!(decimals(&[f64::NAN]), None);
    }

    #[test]
    fn noise_is_stored_as_values_and_drift_as_steps() {
        let noise = [5, -3, 2, -4, 3, -5, 4, -2].map(f64::from);
        assert!(matches!(delta(noise.into_iter()), DeltaSpec::NoOp));
        let drift = [1, 2, 3, 3, 4, 6, 7, 9].map(f64::from);
        assert!(matches!(delta(drift.into_iter()), DeltaSpec::TryConsecutive(1)));
        let extremes = [f64::MAX, f64::MIN, f64::MAX];
        assert!(matches!(delta(extremes.into_iter()), DeltaSpec::TryConsecutive(1)));
    }

    proptest! {
        #[test]
        fn every_decimal_number_is_one(
            whole in prop::collection::vec(-1_000_000_000_i64..1_000_000_000, 1..50),
            power in 0..=DECIMALS_MAX,
        ) {
            let values: Vec<f64> = whole.iter().map(|&n| n as f64 / POWERS[power]).collect();
            let found = decimals(&values);
            prop_assert!(found.is_some_and(|found| found <= power), "{found:?}");
        }
    }
}
