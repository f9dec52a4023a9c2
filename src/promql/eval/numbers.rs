//! Sums, means and quantiles, to the last bit as Prometheus computes them.

/// A sum with what rounding has lost of it (Kahan's, improved by Neumaier).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sum {
    sum: f64,
    lost: f64,
}

impl Sum {
    pub fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        if sum.is_infinite() {
            self.lost = 0.0;
        } else if self.sum.abs() >= value.abs() {
            self.lost += (self.sum - sum) + value;
        } else {
            self.lost += (value - sum) + self.sum;
        }
        self.sum = sum;
    }

    pub fn value(self) -> f64 {
        if self.sum.is_infinite() { self.sum } else { self.sum + self.lost }
    }
}

pub(super) fn sum(values: impl Iterator<Item = f64>) -> f64 {
    let mut all = Sum::default();
    values.for_each(|value| all.add(value));
    all.value()
}

/// The mean; by steps once the sum would be infinite.
pub(super) fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (mut all, mut count, mut by_steps) = (Sum::default(), 0.0, false);
    for value in values {
        count += 1.0;
        if !by_steps {
            let mut more = all;
            more.add(value);
            if !more.sum.is_infinite() || count == 1.0 {
                all = more;
                continue;
            }
            by_steps = true;
            all = Sum { sum: all.sum / (count - 1.0), lost: all.lost / (count - 1.0) };
        }
        let weight = (count - 1.0) / count;
        all = Sum { sum: weight * all.sum, lost: weight * all.lost };
        all.add(value / count);
    }
    match by_steps {
        true => all.sum + all.lost,
        false => all.sum / count + all.lost / count,
    }
}

/// The variance of all these (not of a sample of more).
pub(super) fn variance(values: impl Iterator<Item = f64>) -> f64 {
    let (mut mean, mut aux, mut count) = (Sum::default(), Sum::default(), 0.0);
    for value in values {
        count += 1.0;
        let delta = value - (mean.sum + mean.lost);
        mean.add(delta / count);
        aux.add(delta * (value - (mean.sum + mean.lost)));
    }
    (aux.sum + aux.lost) / count
}

/// The quantile, between two values by their distance.
pub(super) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    // NaN is less than any number.
    values.sort_unstable_by(|a, b| match (a.is_nan(), b.is_nan()) {
        (false, false) => a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal),
        (a, b) => b.cmp(&a),
    });
    let last = values.len() - 1;
    let rank = q * last as f64;
    let lower = (rank.floor() as usize).min(last);
    let upper = (lower + 1).min(last);
    let weight = rank - rank.floor();
    values[lower] * (1.0 - weight) + values[upper] * weight
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_keeps_what_is_small() {
        assert_eq!(sum([1e100, 1.0, -1e100].into_iter()), 1.0);
        assert_eq!(sum([f64::INFINITY, 1.0].into_iter()), f64::INFINITY);
        assert!(sum([f64::INFINITY, f64::NEG_INFINITY].into_iter()).is_nan());
        assert_eq!(sum(std::iter::empty()), 0.0);
    }

    #[test]
    fn a_mean_is_there_even_if_the_sum_is_not() {
        assert_eq!(mean([f64::MAX, f64::MAX].into_iter()), f64::MAX);
        assert_eq!(mean([1.0, 2.0, 6.0].into_iter()), 3.0);
        assert_eq!(mean([f64::INFINITY, 1.0].into_iter()), f64::INFINITY);
        assert!(mean([f64::INFINITY, f64::NEG_INFINITY].into_iter()).is_nan());
        assert!(mean([f64::NAN, 1.0].into_iter()).is_nan());
    }

    #[test]
    fn a_variance_is_of_all() {
        assert_eq!(variance([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0].into_iter()), 4.0);
        assert_eq!(variance([3.0].into_iter()), 0.0);
    }

    #[test]
    fn quantiles_lie_between_values() {
        for (q, expected) in [
            (0.0, 1.0),
            (0.5, 2.5),
            (1.0, 4.0),
            (0.25, 1.75),
            (-0.1, f64::NEG_INFINITY),
            (1.1, f64::INFINITY),
        ] {
            assert_eq!(quantile(q, &mut [4.0, 1.0, 3.0, 2.0]), expected, "{q}");
        }
        assert!(quantile(f64::NAN, &mut [1.0]).is_nan());
        assert!(quantile(0.5, &mut []).is_nan());
        assert_eq!(quantile(1.0, &mut [2.0, f64::NAN, 1.0]), 2.0);
    }
}
