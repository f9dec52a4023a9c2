//! Histograms as their parts: `NAME.count`, `NAME.sum`, and for each bound of a bucket `NAME.bucket`
//! with the tag `le`, which counts everything up to it. So `histogram_quantile` reads them.
//!
//! ```text
//! counts of buckets      2        0        0        3        1
//!                     ───────┬────────┬────────┬────────┬────────
//! bounds                     1        2        4        8
//!
//! explicit            le=1: 2  le=2: 2  le=4: 2  le=8: 5  le=+Inf: 6       every bound
//! exponential         le=1: 2            le=4: 2  le=8: 5  le=+Inf: 6      bounds of buckets that count
//! ```
//!
//! An exponential histogram has bounds without end. Those on both sides of a bucket that counts are
//! enough: between two bounds that are told, nothing but that bucket lies, or nothing at all.

use super::items::ItemFaultKind;
use super::{Content, Reading, Value};
use std::borrow::Cow;

/// Buckets that one histogram may have, of each sign; SDKs use 160 at most.
pub const BUCKETS_MAX: usize = 1024;
/// The least scale: the base of the bounds is 2^(2^-scale), here 2^1024, which is all there is.
pub const SCALE_MIN: i64 = -10;
/// The greatest scale, of all SDKs.
pub const SCALE_MAX: i64 = 20;

/// How many observations fell into a bucket.
pub(super) trait Count: Copy + Default + PartialEq {
    /// Both together.
    fn plus(self, other: Self) -> Option<Self>;
    /// As a value.
    fn content(self) -> Option<Content<'static>>;
}

impl Count for u64 {
    fn plus(self, other: u64) -> Option<u64> {
        self.checked_add(other)
    }

    fn content(self) -> Option<Content<'static>> {
        i64::try_from(self).ok().map(Content::Int)
    }
}

impl Count for f64 {
    fn plus(self, other: f64) -> Option<f64> {
        Some(self + other)
    }

    fn content(self) -> Option<Content<'static>> {
        Some(Content::Float(self))
    }
}

/// Bounds that rise, and how many observations are not above each.
#[derive(Debug, Default)]
pub(super) struct Cumulative<C> {
    total: C,
    bounds: Vec<(f64, C)>,
}

impl<C: Count> Cumulative<C> {
    /// Explicit bounds, and a count for what is between each two, the last for what is above all.
    pub fn explicit(
        bounds: &[f64],
        counts: impl ExactSizeIterator<Item = C>,
    ) -> Result<Cumulative<C>, ItemFaultKind> {
        if counts.len() != bounds.len() + 1 {
            return Err(ItemFaultKind::Bounds { bounds: bounds.len(), counts: counts.len() });
        }
        // The last bound, infinity, is told by nobody.
        if !bounds.is_sorted_by(|a, b| a < b) || !bounds.iter().all(|bound| bound.is_finite()) {
            return Err(ItemFaultKind::Order);
        }
        let mut cumulative = Cumulative { total: C::default(), bounds: Vec::new() };
        for (&bound, count) in bounds.iter().chain([&f64::INFINITY]).zip(counts) {
            cumulative.count(count)?;
            cumulative.bound(bound);
        }
        Ok(cumulative)
    }

    /// Nothing counted yet; to be filled by [`between`](Cumulative::between) from the least bound on.
    pub fn sparse() -> Cumulative<C> {
        Cumulative { total: C::default(), bounds: Vec::new() }
    }

    /// Adds what is above `lower` and not above `upper`. Bounds that would not rise are not told.
    pub fn between(&mut self, lower: f64, upper: f64, count: C) -> Result<(), ItemFaultKind> {
        if count == C::default() {
            return Ok(());
        }
        if self.bounds.last().is_none_or(|&(last, _)| lower > last) {
            self.bound(lower);
        }
        self.count(count)?;
        match self.bounds.last_mut() {
            Some((last, so_far)) if upper <= *last => *so_far = self.total,
            _ => self.bound(upper),
        }
        Ok(())
    }

    /// Ends with what is counted in all.
    pub fn finish(mut self) -> Cumulative<C> {
        if self.bounds.last().is_none_or(|&(last, _)| last != f64::INFINITY) {
            self.bound(f64::INFINITY);
        }
        self
    }

    /// How many bounds there are.
    pub fn len(&self) -> usize {
        self.bounds.len()
    }

    fn count(&mut self, count: C) -> Result<(), ItemFaultKind> {
        self.total = self.total.plus(count).ok_or(ItemFaultKind::CountTooLarge)?;
        Ok(())
    }

    fn bound(&mut self, bound: f64) {
        if bound != f64::NEG_INFINITY {
            self.bounds.push((bound, self.total));
        }
    }

    /// A reading for each bound, with device, tags and time of `head`, and `head` itself.
    pub fn readings<'a>(
        &self,
        head: Reading<'a>,
        metric: &str,
    ) -> Result<Vec<Reading<'a>>, ItemFaultKind> {
        let mut readings = Vec::with_capacity(1 + self.bounds.len());
        for &(bound, count) in &self.bounds {
            let content = count.content().ok_or(ItemFaultKind::CountTooLarge)?;
            readings.push(with_tag(&head, "le", bound, format!("{metric}.bucket"), content));
        }
        readings.push(head);
        Ok(readings)
    }
}

/// A reading of one value beside `head`, with one tag more.
pub(super) fn with_tag<'a>(
    head: &Reading<'a>,
    key: &'static str,
    number: f64,
    metric: String,
    content: Content<'a>,
) -> Reading<'a> {
    let mut tags = Vec::with_capacity(head.tags.len() + 1);
    tags.extend_from_slice(&head.tags);
    tags.push((Cow::Borrowed(key), Cow::Owned(number_text(number))));
    let unit = Cow::Borrowed("");
    let values = vec![Value { metric: Cow::Owned(metric), unit, content }];
    Reading { device: head.device.clone(), tags, time: head.time, keep: head.keep, values }
}

/// The upper bound of bucket `index` of an exponential histogram, where bucket 0 is above 1.
///
/// Its base is 2^(2^-scale); bucket `i` holds what is above base^i and not above base^(i + 1).
pub(super) fn exponential_bound(scale: i64, index: i64) -> f64 {
    let exponent = i128::from(index) + 1;
    let (whole, part) = match u32::try_from(scale) {
        Ok(scale) => (exponent >> scale, exponent & ((1 << scale) - 1)),
        Err(_) => (exponent << scale.unsigned_abs().min(64), 0),
    };
    let steps = f64::from(1_u32 << scale.clamp(0, 31));
    // A power of two is right to the last bit; so is what is multiplied by one.
    let fraction = (part as f64 / steps).exp2();
    power_of_two(whole) * fraction
}

fn power_of_two(exponent: i128) -> f64 {
    const BIAS: i128 = 1023;
    match exponent + BIAS {
        biased @ 1..=2046 => f64::from_bits((biased as u64) << 52),
        2047.. => f64::INFINITY,
        // Denormalised: one bit of the mantissa.
        biased @ -51..=0 => f64::from_bits(1_u64 << (51 + biased)),
        _ => 0.0,
    }
}

/// A number as the value of a tag: `0.005`, `10`, `1e21`, `+Inf`.
pub(super) fn number_text(number: f64) -> String {
    let size = number.abs();
    match number {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        _ if size != 0.0 && !(1e-7..1e21).contains(&size) => format!("{number:e}"),
        // No "-0".
        _ => format!("{}", number + 0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bounds_are_powers_of_the_base() {
        for (scale, index, expected) in [
            (0, 0, 2.0),
            (0, -1, 1.0),
            (0, -2, 0.5),
            (0, 3, 16.0),
            (1, 0, std::f64::consts::SQRT_2),
            (1, 1, 2.0),
            (1, -3, 0.5),
            (3, 7, 2.0),
            (3, 15, 4.0),
            (-1, 0, 4.0),
            (-1, -1, 1.0),
            (-1, -2, 0.25),
            (-10, -1, 1.0),
            (-10, 0, f64::INFINITY),
            (0, 1022, f64::from_bits(2046 << 52)),
            (0, 1023, f64::INFINITY),
            (0, -1023, f64::MIN_POSITIVE),
            (0, -1075, f64::from_bits(1)),
            (0, -1076, 0.0),
            (20, (1 << 20) - 1, 2.0),
            (20, i64::MAX, f64::INFINITY),
            (20, i64::MIN, 0.0),
        ] {
            assert_eq!(exponential_bound(scale, index), expected, "scale {scale}, index {index}");
        }
    }

    proptest! {
        /// OpenTelemetry's data model: base = 2^(2^-scale), bucket i holds (base^i, base^(i+1)].
        #[test]
        fn bounds_are_as_the_specification_computes_them(scale in SCALE_MIN..=SCALE_MAX, at in -1000_i64..1000) {
            // What the base makes of the index stays within what a float holds.
            let index = if scale >= 0 { at << scale } else { at >> -scale };
            let base = (-(scale as f64)).exp2().exp2();
            let (bound, expected) = (exponential_bound(scale, index), base.powf(index as f64 + 1.0));
            if expected.is_normal() && base.is_finite() {
                prop_assert!((bound / expected - 1.0).abs() < 1e-6, "{bound} {expected}");
            }
            prop_assert!(exponential_bound(scale, index - 1) <= bound);
        }
    }

    fn told<C: Count + Into<f64>>(cumulative: &Cumulative<C>) -> Vec<(f64, f64)> {
        cumulative.bounds.iter().map(|&(bound, count)| (bound, count.into())).collect()
    }

    #[test]
    fn explicit_bounds_rise_and_have_one_count_more() {
        const INF: f64 = f64::INFINITY;
        let counted = Cumulative::explicit(&[1.0, 5.0], [2.0, 0.0, 3.0].into_iter()).unwrap();
        assert_eq!(told(&counted), [(1.0, 2.0), (5.0, 2.0), (INF, 5.0)]);
        let check = |bounds: &[f64], counts: &[u64], expected| {
            let counted = Cumulative::explicit(bounds, counts.iter().copied());
            assert_eq!(counted.unwrap_err(), expected, "{bounds:?} {counts:?}");
        };
        check(&[1.0], &[1], ItemFaultKind::Bounds { bounds: 1, counts: 1 });
        check(&[], &[], ItemFaultKind::Bounds { bounds: 0, counts: 0 });
        check(&[2.0, 1.0], &[1, 2, 3], ItemFaultKind::Order);
        check(&[1.0, 1.0], &[1, 2, 3], ItemFaultKind::Order);
        check(&[f64::NAN], &[1, 2], ItemFaultKind::Order);
        check(&[1.0, INF], &[1, 2, 3], ItemFaultKind::Order);
        check(&[1.0], &[u64::MAX, 1], ItemFaultKind::CountTooLarge);
    }

    #[test]
    fn sparse_bounds_are_those_beside_what_counts() {
        const INF: f64 = f64::INFINITY;
        let check = |between: &[(f64, f64, f64)], expected: &[(f64, f64)]| {
            let mut counted = Cumulative::sparse();
            for &(lower, upper, count) in between {
                counted.between(lower, upper, count).unwrap();
            }
            assert_eq!(told(&counted.finish()), expected, "{between:?}");
        };
        check(&[], &[(INF, 0.0)]);
        check(&[(1.0, 2.0, 3.0)], &[(1.0, 0.0), (2.0, 3.0), (INF, 3.0)]);
        check(
            &[(1.0, 2.0, 3.0), (2.0, 4.0, 0.0), (4.0, 8.0, 1.0), (8.0, 16.0, 1.0)],
            &[(1.0, 0.0), (2.0, 3.0), (4.0, 3.0), (8.0, 4.0), (16.0, 5.0), (INF, 5.0)],
        );
        // A zero bucket without width, and one that others reach into.
        check(
            &[(-2.0, -1.0, 1.0), (0.0, 0.0, 2.0), (1.0, 2.0, 1.0)],
            &[(-2.0, 0.0), (-1.0, 1.0), (0.0, 3.0), (1.0, 3.0), (2.0, 4.0), (INF, 4.0)],
        );
        check(
            &[(-1.0, 1.0, 1.0), (0.5, 2.0, 1.0)],
            &[(-1.0, 0.0), (1.0, 1.0), (2.0, 2.0), (INF, 2.0)],
        );
        // Beyond what a float holds.
        check(&[(-INF, -4.0, 1.0), (4.0, INF, 2.0)], &[(-4.0, 1.0), (4.0, 1.0), (INF, 3.0)]);
    }

    #[test]
    fn a_number_is_a_short_text_that_reads_back() {
        for (number, text) in [
            (0.005, "0.005"),
            (10.0, "10"),
            (-0.0, "0"),
            (-2.5, "-2.5"),
            (1e21, "1e21"),
            (1e-9, "1e-9"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(number_text(number), text);
        }
        for number in [f64::MAX, f64::MIN_POSITIVE, f64::from_bits(1), 0.1 + 0.2, 123_456_789.125] {
            let text = number_text(number);
            assert!(text.len() < 32, "{text}");
            assert_eq!(text.parse::<f64>().unwrap().to_bits(), number.to_bits());
        }
    }
}
