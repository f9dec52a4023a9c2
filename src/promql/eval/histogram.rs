//! Quantiles of histograms whose buckets are series with the label `le`.

use super::super::ast::{Expr, Grouping};
use super::super::labels::Labels;
use super::{EvalError, Evaluation, Series, merged};
use std::collections::BTreeMap;

/// The label with a bucket's upper bound.
const BOUND: &str = "le";
/// Counts that differ by less, relatively, are the same: they were computed.
const TOLERANCE: f64 = 1e-12;

/// Observations up to a bound.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    bound: f64,
    count: f64,
}

impl Evaluation<'_> {
    pub(super) fn histogram_quantile(
        &self,
        quantile: &Expr,
        buckets: &Expr,
    ) -> Result<Vec<Series>, EvalError> {
        let quantiles = self.numbers(quantile)?;
        let grouping = Grouping::Without(vec![BOUND.to_owned()]);
        let mut groups: BTreeMap<Labels, Vec<(f64, Series)>> = BTreeMap::new();
        for series in self.vector(buckets)? {
            // What has no bound is no bucket.
            if let Ok(bound) = series.labels.get(BOUND).parse() {
                groups.entry(grouping.of(&series.labels)).or_default().push((bound, series));
            }
        }
        let mut all = Vec::new();
        for (labels, mut members) in groups {
            members.sort_by(|(a, _), (b, _)| a.total_cmp(b));
            let mut looked = Ok(());
            let point = |index: usize| {
                if looked.is_ok() {
                    looked = self.work(members.len());
                }
                let present = members.iter().filter_map(|(bound, series)| {
                    Some(Bucket { bound: *bound, count: series.points[index]? })
                });
                let buckets: Vec<_> = present.collect();
                (!buckets.is_empty() && looked.is_ok())
                    .then(|| bucket_quantile(quantiles[index], &buckets))
            };
            self.put(&mut all, labels, point)?;
            looked?;
        }
        merged(all)
    }
}

/// The quantile, as if the observations of a bucket lay evenly between its bounds. The buckets are in
/// the order of their bounds.
fn bucket_quantile(q: f64, buckets: &[Bucket]) -> f64 {
    if q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    if buckets.last().is_none_or(|last| last.bound != f64::INFINITY) {
        return f64::NAN;
    }
    let buckets = monotonic(joined(buckets));
    let last = buckets.len() - 1;
    let observations = buckets[last].count;
    if last == 0 || observations == 0.0 || observations.is_nan() {
        return f64::NAN;
    }
    let rank = q * observations;
    let found = buckets[..last].partition_point(|bucket| bucket.count < rank);
    if found == last {
        return buckets[last - 1].bound;
    }
    let Bucket { bound, count } = buckets[found];
    if found == 0 && bound <= 0.0 {
        return bound;
    }
    let (start, before) = match found.checked_sub(1) {
        Some(before) => (buckets[before].bound, buckets[before].count),
        None => (0.0, 0.0),
    };
    start + (bound - start) * ((rank - before) / (count - before))
}

/// Buckets of the same bound as one.
fn joined(buckets: &[Bucket]) -> Vec<Bucket> {
    let mut all: Vec<Bucket> = Vec::with_capacity(buckets.len());
    for bucket in buckets {
        match all.last_mut() {
            Some(last) if last.bound == bucket.bound => last.count += bucket.count,
            _ => all.push(*bucket),
        }
    }
    all
}

/// Counts that never fall: what scrapes at different times, or rounding, made of them.
fn monotonic(mut buckets: Vec<Bucket>) -> Vec<Bucket> {
    let mut most = buckets.first().map_or(0.0, |bucket| bucket.count);
    for bucket in buckets.iter_mut().skip(1) {
        let difference = (bucket.count - most).abs();
        let size = bucket.count.abs() + most.abs();
        let is_same = difference / size.min(f64::MAX) < TOLERANCE;
        if bucket.count < most || is_same {
            bucket.count = most;
        }
        most = bucket.count;
    }
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_buckets() {
        let buckets = |counts: &[(f64, f64)]| -> Vec<Bucket> {
            counts.iter().map(|&(bound, count)| Bucket { bound, count }).collect()
        };
        let inf = f64::INFINITY;
        let usual = buckets(&[(0.1, 10.0), (0.2, 30.0), (0.4, 30.0), (inf, 40.0)]);
        for (q, expected) in [
            (0.0, 0.0),
            (0.125, 0.05),
            (0.5, 0.15000000000000002),
            (0.75, 0.2),
            (0.9, 0.4),
            (1.0, 0.4),
            (-1.0, f64::NEG_INFINITY),
            (2.0, inf),
        ] {
            assert_eq!(bucket_quantile(q, &usual), expected, "{q}");
        }
        assert!(bucket_quantile(f64::NAN, &usual).is_nan());
        assert!(bucket_quantile(0.5, &usual[..3]).is_nan(), "without +Inf");
        assert!(bucket_quantile(0.5, &usual[3..]).is_nan(), "with nothing else");
        assert!(bucket_quantile(0.5, &buckets(&[(1.0, 0.0), (inf, 0.0)])).is_nan());
        assert_eq!(bucket_quantile(0.5, &buckets(&[(-1.0, 5.0), (inf, 6.0)])), -1.0);
        // A bucket told twice counts twice; one that falls does not.
        assert_eq!(bucket_quantile(0.5, &buckets(&[(1.0, 1.0), (1.0, 1.0), (inf, 2.0)])), 0.5);
        assert_eq!(bucket_quantile(1.0, &buckets(&[(1.0, 4.0), (2.0, 3.0), (inf, 4.0)])), 1.0);
    }
}
