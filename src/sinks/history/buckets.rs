//! Folding samples into buckets of time.

use super::chunk::{Chunk, Content, Summary};
use super::codec::Stored;
use super::value::{Column, Value, Values};

/// An answer by buckets: only those that hold samples, in the order of time. Vectors of equal length.
#[derive(Debug, Clone, PartialEq)]
pub struct Buckets {
    /// Width of a bucket, nanoseconds.
    pub width_ns: i64,
    /// Where each begins: a multiple of the width. It ends before `start + width_ns`.
    pub start: Vec<i64>,
    /// How many samples.
    pub count: Vec<u64>,
    /// The numbers of each bucket; absent if there is a text among the samples of the answer.
    pub numbers: Option<BucketNumbers>,
    /// The latest value.
    pub last: Values,
}

/// What is told of numbers in buckets; truth values count as 0 and 1.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BucketNumbers {
    /// The smallest value.
    pub min: Vec<f64>,
    /// The greatest value.
    pub max: Vec<f64>,
    /// Their sum; divided by the count it is the average.
    pub sum: Vec<f64>,
}

/// A bucket while samples are folded into it.
struct Bucket {
    start: i64,
    count: u64,
    /// `None` once a text was among them.
    summary: Option<Summary>,
    last: Value,
    last_time: i64,
}

/// Folds the samples of one series, which come in the order of time.
pub(super) struct Fold {
    width: i64,
    buckets: Vec<Bucket>,
}

impl Fold {
    pub(super) fn new(width: i64) -> Fold {
        Fold { width, buckets: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.buckets.len()
    }

    fn start_of(&self, time: i64) -> i64 {
        time.div_euclid(self.width).saturating_mul(self.width)
    }

    /// Whether a chunk lies in one bucket as a whole, so that what is said of it is enough. (Of mixed
    /// types it is not: the file does not say whether the last value is a truth value or a number.)
    pub(super) fn fits(&self, chunk: &Chunk) -> bool {
        let one_type = !matches!(chunk.content, Content::Values(Stored::Mixed));
        one_type && chunk.last.is_some() && self.start_of(chunk.t0) == self.start_of(chunk.t1)
    }

    /// Folds in a chunk that fits, without its samples.
    pub(super) fn add_chunk(&mut self, chunk: &Chunk) {
        if let Some(last) = chunk.last.clone() {
            let start = self.start_of(chunk.t0);
            let (count, summary, last_time) = (chunk.count as u64, chunk.summary, chunk.t1);
            self.add(Bucket { start, count, summary, last, last_time });
        }
    }

    /// Folds in samples with ascending times.
    ///
    /// Hot path: samples of a bucket are found by bisection and folded as one slice.
    pub(super) fn add_samples(&mut self, times: &[i64], values: &Column, first: usize) {
        let mut from = 0;
        while let Some(&time) = times.get(from) {
            let start = self.start_of(time);
            let end = start.saturating_add(self.width);
            let to = (from + times[from..].partition_point(|&time| time < end)).max(from + 1);
            self.add(Bucket {
                start,
                count: (to - from) as u64,
                summary: Summary::of(values, first + from..first + to),
                last: values.get(first + to - 1),
                last_time: times[to - 1],
            });
            from = to;
        }
    }

    fn add(&mut self, bucket: Bucket) {
        match self.buckets.last_mut() {
            Some(last) if last.start == bucket.start => last.join(bucket),
            _ => self.buckets.push(bucket),
        }
    }

    /// Joins the buckets of another series into these.
    pub(super) fn join(&mut self, other: Fold) {
        self.buckets.extend(other.buckets);
        self.buckets.sort_by_key(|bucket| bucket.start);
        let mut joined: Vec<Bucket> = Vec::with_capacity(self.buckets.len());
        for bucket in self.buckets.drain(..) {
            match joined.last_mut() {
                Some(last) if last.start == bucket.start => last.join(bucket),
                _ => joined.push(bucket),
            }
        }
        self.buckets = joined;
    }

    pub(super) fn finish(self) -> Buckets {
        let mut start = Vec::with_capacity(self.buckets.len());
        let mut count = Vec::with_capacity(self.buckets.len());
        let mut numbers = Some(BucketNumbers::default());
        let mut last = Column::default();
        for bucket in self.buckets {
            start.push(bucket.start);
            count.push(bucket.count);
            match (&mut numbers, bucket.summary) {
                (Some(numbers), Some(summary)) => {
                    numbers.min.push(summary.min);
                    numbers.max.push(summary.max);
                    numbers.sum.push(summary.sum);
                }
                _ => numbers = None,
            }
            last.push(bucket.last);
        }
        Buckets { width_ns: self.width, start, count, numbers, last: last.into() }
    }
}

impl Bucket {
    fn join(&mut self, other: Bucket) {
        self.count += other.count;
        self.summary = match (self.summary, other.summary) {
            (Some(mut summary), Some(other)) => {
                summary.join(other);
                Some(summary)
            }
            _ => None,
        };
        if other.last_time >= self.last_time {
            self.last = other.last;
            self.last_time = other.last_time;
        }
    }
}
