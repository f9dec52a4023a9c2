//! Data points, from either form, on their way to become readings.

use super::OtlpNaming;
use super::attributes::{Origin, OriginOf};
use crate::decode::histogram::{
    BUCKETS_MAX, Cumulative, SCALE_MAX, SCALE_MIN, exponential_bound, with_tag,
};
use crate::decode::items::{Collecting, ItemFaultKind, Items, LeftOut};
use crate::decode::{Content, Reading, Stamp, Value};
use crate::model::{Keep, Reach};
use crate::wire::Limits;
use std::borrow::Cow;
use std::fmt;

/// What a metric is, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A gauge or a sum.
    Number,
    Histogram,
    Exponential,
    Summary,
}

/// All of a metric but its points.
#[derive(Debug)]
pub(super) struct Metric<'a> {
    pub name: Cow<'a, str>,
    pub unit: Cow<'a, str>,
    pub kind: Kind,
    pub is_delta: bool,
}

/// The number of delta temporality, and the greatest there is.
const DELTA: i64 = 1;
const CUMULATIVE: i64 = 2;

/// Whether a metric of that temporality counts since the last report.
pub(super) fn is_delta(temporality: i64) -> Result<bool, ItemFaultKind> {
    match temporality {
        0..=CUMULATIVE => Ok(temporality == DELTA),
        _ => Err(ItemFaultKind::Temporality { temporality }),
    }
}

/// A data point of any kind: what its kind has no field for is as nobody set it.
#[derive(Debug, Default)]
pub(super) struct Point<'a> {
    pub tags: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// 0 = not told.
    pub time: u64,
    pub flags: u32,
    pub number: Option<Number>,
    pub count: u64,
    pub sum: Option<f64>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub counts: Vec<u64>,
    pub bounds: Vec<f64>,
    pub scale: i64,
    pub zero_count: u64,
    pub zero_threshold: f64,
    pub positive: Buckets,
    pub negative: Buckets,
    /// Quantile and value.
    pub quantiles: Vec<(f64, f64)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Int(i64),
    Double(f64),
}

/// The buckets of one sign of an exponential histogram.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    /// Index of the first.
    pub offset: i64,
    pub counts: Vec<u64>,
}

impl Buckets {
    /// Each count with its index.
    fn placed(&self) -> impl DoubleEndedIterator<Item = (i64, u64)> {
        let counts = self.counts.iter().enumerate();
        counts.map(|(at, &count)| (self.offset + at as i64, count))
    }
}

/// Adds one more to what a histogram has of something.
pub(super) fn add<T>(entries: &mut Vec<T>, entry: T) -> Result<(), ItemFaultKind> {
    // Bounds are one fewer.
    if entries.len() > BUCKETS_MAX {
        return Err(ItemFaultKind::TooManyBuckets);
    }
    entries.push(entry);
    Ok(())
}

/// The flag of a point that says that there is no value.
const NO_RECORDED_VALUE: u32 = 1;

/// Where in the request: an index for each level that was gone down.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct At {
    depth: usize,
    indices: [usize; 4],
}

impl At {
    /// The item of that number, in what is here.
    pub fn in_it(self, index: usize) -> At {
        let mut inner = self;
        inner.indices[self.depth] = index;
        inner.depth += 1;
        inner
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let levels = ["resource_metrics", "scope_metrics", "metrics", "data_points"];
        for (level, index) in levels.iter().zip(&self.indices).take(self.depth) {
            let dot = if *level == levels[0] { "" } else { "." };
            write!(f, "{dot}{level}[{index}]")?;
        }
        Ok(())
    }
}

/// Takes the points of a request.
pub(super) struct Points<'l, 'a> {
    naming: OtlpNaming<'l>,
    collecting: Collecting<'l, 'a>,
    /// Of the resource that is being read.
    origin: Result<Origin<'a>, ItemFaultKind>,
}

impl<'l, 'a> Points<'l, 'a> {
    pub fn new(
        naming: &OtlpNaming<'l>,
        limits: &'l Limits,
        stamp: &Stamp<'a>,
        reach: &'l Reach,
    ) -> Points<'l, 'a> {
        let collecting = Collecting::new(limits, stamp, reach);
        Points { naming: *naming, collecting, origin: Ok(Origin::default()) }
    }

    pub fn limits(&self) -> &'l Limits {
        self.collecting.limits
    }

    /// For the attributes of the next resource.
    pub fn origin(&self) -> OriginOf<'a, 'l> {
        OriginOf::new(self.naming, self.collecting.limits)
    }

    /// The points that follow are of this resource.
    pub fn resource(&mut self, origin: Result<OriginOf<'a, 'l>, ItemFaultKind>) {
        let in_resource = |kind| ItemFaultKind::Resource { kind: Box::new(kind) };
        self.origin = origin.map(OriginOf::finish).map_err(in_resource);
    }

    pub fn refuse(&mut self, at: At, kind: ItemFaultKind) {
        self.collecting.refuse(&at, kind);
    }

    /// Takes a point, or what is wrong with it.
    pub fn point(&mut self, at: At, metric: &Metric<'a>, point: Result<Point<'a>, ItemFaultKind>) {
        if let Err(kind) = point.and_then(|point| self.take(metric, point)) {
            self.refuse(at, kind);
        }
    }

    fn take(&mut self, metric: &Metric<'a>, mut point: Point<'a>) -> Result<(), ItemFaultKind> {
        let mut head = self.head(metric, &mut point)?;
        if point.flags & NO_RECORDED_VALUE != 0 {
            self.collecting.pass_over(LeftOut::no_value);
            return Ok(());
        }
        let value = |name: &str, content| Value {
            metric: Cow::Owned(format!("{}.{name}", metric.name)),
            unit: Cow::Borrowed(""),
            content,
        };
        if metric.kind == Kind::Number {
            let content = match point.number.ok_or(ItemFaultKind::NoValue)? {
                Number::Int(value) => Content::Int(value),
                Number::Double(value) => Content::Float(value),
            };
            let (metric, unit) = (metric.name.clone(), metric.unit.clone());
            head.values.push(Value { metric, unit, content });
            return self.collecting.enter(head);
        }
        let count = i64::try_from(point.count).map_err(|_| ItemFaultKind::CountTooLarge)?;
        head.values.push(value("count", Content::Int(count)));
        for (name, number) in [("sum", point.sum), ("min", point.min), ("max", point.max)] {
            if let Some(number) = number {
                let unit = metric.unit.clone();
                let value = value(name, Content::Float(number));
                head.values.push(Value { unit, ..value });
            }
        }
        self.collecting.reached(&head.device)?;
        self.collecting.check(&mut head, 1)?;
        let readings = match metric.kind {
            Kind::Summary => self.quantiles(metric, head, &point.quantiles)?,
            Kind::Histogram if point.counts.is_empty() && point.bounds.is_empty() => vec![head],
            Kind::Histogram | Kind::Number => {
                let counts = point.counts.iter().copied();
                let cumulative = Cumulative::explicit(&point.bounds, counts)?;
                self.collecting.check(&mut head, 1 + cumulative.len())?;
                cumulative.readings(head, &metric.name)?
            }
            Kind::Exponential => {
                let cumulative = exponential(&point)?;
                self.collecting.check(&mut head, 1 + cumulative.len())?;
                cumulative.readings(head, &metric.name)?
            }
        };
        self.collecting.enter_whole(readings)
    }

    /// Device, tags and time of a point; no values yet.
    fn head(
        &self,
        metric: &Metric<'a>,
        point: &mut Point<'a>,
    ) -> Result<Reading<'a>, ItemFaultKind> {
        let origin = self.origin.as_ref().map_err(Clone::clone)?;
        let stamp = &self.collecting.stamp;
        let device = origin.device.clone().unwrap_or(Cow::Borrowed(stamp.client));
        let mut tags = std::mem::take(&mut point.tags);
        let own = tags.len();
        for (key, value) in &origin.tags {
            // What a point says is closer to it than what its resource says.
            if !tags[..own].iter().any(|(of_point, _)| of_point == key) {
                tags.push((key.clone(), value.clone()));
            }
        }
        if metric.is_delta {
            tags.push((Cow::Borrowed("temporality"), Cow::Borrowed("delta")));
        }
        let time = match point.time {
            0 => stamp.received_at.0,
            // Beyond is far ahead, and refused as that.
            time => i64::try_from(time).unwrap_or(i64::MAX),
        };
        Ok(Reading { device, tags, time, keep: Keep::default(), values: Vec::new() })
    }

    /// The readings of a summary. A quantile of nothing is NaN.
    fn quantiles(
        &mut self,
        metric: &Metric<'a>,
        mut head: Reading<'a>,
        quantiles: &[(f64, f64)],
    ) -> Result<Vec<Reading<'a>>, ItemFaultKind> {
        self.collecting.check(&mut head, 1 + quantiles.len())?;
        let mut readings = Vec::with_capacity(1 + quantiles.len());
        for &(quantile, value) in quantiles {
            if !value.is_finite() {
                self.collecting.leave_out(LeftOut::not_finite);
                continue;
            }
            let name = metric.name.clone().into_owned();
            let mut reading = with_tag(&head, "quantile", quantile, name, Content::Float(value));
            for value in &mut reading.values {
                value.unit = metric.unit.clone();
            }
            readings.push(reading);
        }
        readings.push(head);
        Ok(readings)
    }

    pub fn finish(self) -> Items {
        self.collecting.finish()
    }
}

/// The bounds of an exponential histogram, from the least to the greatest.
fn exponential(point: &Point<'_>) -> Result<Cumulative<u64>, ItemFaultKind> {
    let scale = point.scale;
    if !(SCALE_MIN..=SCALE_MAX).contains(&scale) {
        return Err(ItemFaultKind::Scale { scale });
    }
    let bound = |index| exponential_bound(scale, index);
    let mut cumulative = Cumulative::sparse();
    for (index, count) in point.negative.placed().rev() {
        cumulative.between(-bound(index), -bound(index - 1), count)?;
    }
    let zero = if point.zero_threshold > 0.0 { point.zero_threshold } else { 0.0 };
    cumulative.between(-zero, zero, point.zero_count)?;
    for (index, count) in point.positive.placed() {
        cumulative.between(bound(index - 1), bound(index), count)?;
    }
    Ok(cumulative.finish())
}
