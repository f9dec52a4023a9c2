//! Native histograms, which both versions write alike: sparse buckets at powers of a base, or at bounds
//! of their own.

use super::series::{SAMPLE_DEPTH, STALE, Series};
use crate::decode::histogram::{
    BUCKETS_MAX, Count, Cumulative, SCALE_MAX, SCALE_MIN, exponential_bound,
};
use crate::decode::items::{Collecting, ItemFaultKind, LeftOut};
use crate::decode::reader::{Fields, Malformed, Value as Field, varint, zigzag};
use crate::decode::{Content, Value};
use std::borrow::Cow;

/// The schema that says that the bounds are told.
const CUSTOM_BOUNDS: i64 = -53;

/// A histogram as it is sent.
#[derive(Debug, Default)]
pub(super) struct Native {
    millis: i64,
    count: u64,
    /// The count of one that has fractions of observations.
    count_float: Option<f64>,
    sum: f64,
    schema: i64,
    zero_threshold: f64,
    zero_count: u64,
    zero_count_float: f64,
    negative: Sparse,
    positive: Sparse,
    bounds: Vec<f64>,
}

/// The buckets of one sign.
#[derive(Debug, Default)]
struct Sparse {
    /// Gap before it and length of each run of buckets.
    spans: Vec<(i64, u64)>,
    /// Changes from bucket to bucket.
    deltas: Vec<i64>,
    /// Or counts with fractions.
    counts: Vec<f64>,
}

fn add<T>(entries: &mut Vec<T>, entry: T) -> Result<(), ItemFaultKind> {
    if entries.len() == BUCKETS_MAX {
        return Err(ItemFaultKind::TooManyBuckets);
    }
    entries.push(entry);
    Ok(())
}

impl Native {
    pub fn read(message: &[u8]) -> Result<Native, ItemFaultKind> {
        let malformed = ItemFaultKind::in_message("Histogram");
        let mut native = Native::default();
        let mut fields = Fields::new(message, SAMPLE_DEPTH);
        while let Some((tag, field)) = fields.next().map_err(&malformed)? {
            let uint = || field.uint().map_err(&malformed);
            let double = || field.double().map_err(&malformed);
            match tag {
                1 => (native.count, native.count_float) = (uint()?, None),
                2 => native.count_float = Some(double()?),
                3 => native.sum = double()?,
                4 => native.schema = small_zigzag(uint()?),
                5 => native.zero_threshold = double()?,
                6 => native.zero_count = uint()?,
                7 => native.zero_count_float = double()?,
                8 => add(&mut native.negative.spans, span(field).map_err(&malformed)?)?,
                9 => each_zigzag(field, &mut native.negative.deltas)?,
                10 => each_double(field, &mut native.negative.counts)?,
                11 => add(&mut native.positive.spans, span(field).map_err(&malformed)?)?,
                12 => each_zigzag(field, &mut native.positive.deltas)?,
                13 => each_double(field, &mut native.positive.counts)?,
                15 => native.millis = uint()?.cast_signed(),
                16 => each_double(field, &mut native.bounds)?,
                _ => {}
            }
        }
        Ok(native)
    }

    /// Takes it as a histogram of the series.
    pub fn enter<'a>(
        &self,
        series: &Series<'a>,
        collecting: &mut Collecting<'_, 'a>,
    ) -> Result<(), ItemFaultKind> {
        if self.sum.to_bits() == STALE {
            collecting.pass_over(LeftOut::no_value);
            return Ok(());
        }
        let mut head = series.head(collecting.stamp.client, self.millis)?;
        let value = |name: &str, unit, content| Value {
            metric: Cow::Owned(format!("{}.{name}", series.metric)),
            unit: Cow::Borrowed(unit),
            content,
        };
        let count = match self.count_float {
            Some(count) => Content::Float(count),
            None => self.count.content().ok_or(ItemFaultKind::CountTooLarge)?,
        };
        head.values.push(value("count", "", count));
        if self.sum.is_finite() {
            head.values.push(value("sum", series.unit, Content::Float(self.sum)));
        } else {
            collecting.leave_out(LeftOut::not_finite);
        }
        collecting.reached(&head.device)?;
        collecting.check(&mut head, 1)?;
        let readings = match self.count_float {
            Some(_) => {
                let cumulative = self.cumulative(self.zero_count_float, Sparse::floats)?;
                collecting.check(&mut head, 1 + cumulative.len())?;
                cumulative.readings(head, series.metric)?
            }
            None => {
                let cumulative = self.cumulative(self.zero_count, Sparse::ints)?;
                collecting.check(&mut head, 1 + cumulative.len())?;
                cumulative.readings(head, series.metric)?
            }
        };
        collecting.enter_whole(readings)
    }

    fn cumulative<C: Count>(
        &self,
        zero_count: C,
        counts: impl Fn(&Sparse) -> Result<Vec<(i64, C)>, ItemFaultKind>,
    ) -> Result<Cumulative<C>, ItemFaultKind> {
        let positive = counts(&self.positive)?;
        if self.schema == CUSTOM_BOUNDS {
            let mut dense = vec![C::default(); self.bounds.len() + 1];
            for (index, count) in positive {
                let index = usize::try_from(index).map_err(|_| ItemFaultKind::Spans)?;
                *dense.get_mut(index).ok_or(ItemFaultKind::Spans)? = count;
            }
            return Cumulative::explicit(&self.bounds, dense.into_iter());
        }
        let scale = self.schema;
        if !(SCALE_MIN..=SCALE_MAX).contains(&scale) {
            return Err(ItemFaultKind::Scale { scale });
        }
        // Bucket 0 is the one below 1 here.
        let bound = |index: i64| exponential_bound(scale, index - 1);
        let mut cumulative = Cumulative::sparse();
        for (index, count) in counts(&self.negative)?.into_iter().rev() {
            cumulative.between(-bound(index), -bound(index - 1), count)?;
        }
        let zero = if self.zero_threshold > 0.0 { self.zero_threshold } else { 0.0 };
        cumulative.between(-zero, zero, zero_count)?;
        for (index, count) in positive {
            cumulative.between(bound(index - 1), bound(index), count)?;
        }
        Ok(cumulative.finish())
    }
}

impl Sparse {
    fn ints(&self) -> Result<Vec<(i64, u64)>, ItemFaultKind> {
        let mut count = 0_i64;
        let counts = self.deltas.iter().map(|&delta| {
            count = count.checked_add(delta).ok_or(ItemFaultKind::CountTooLarge)?;
            u64::try_from(count).map_err(|_| ItemFaultKind::Spans)
        });
        self.placed(counts)
    }

    fn floats(&self) -> Result<Vec<(i64, f64)>, ItemFaultKind> {
        self.placed(self.counts.iter().map(|&count| Ok(count)))
    }

    /// Each count with its index, as the spans say.
    fn placed<C>(
        &self,
        mut counts: impl ExactSizeIterator<Item = Result<C, ItemFaultKind>>,
    ) -> Result<Vec<(i64, C)>, ItemFaultKind> {
        let mut placed = Vec::with_capacity(counts.len());
        let mut index = 0_i64;
        for &(gap, length) in &self.spans {
            index = index.saturating_add(gap);
            if length > counts.len() as u64 {
                return Err(ItemFaultKind::Spans);
            }
            for count in counts.by_ref().take(length as usize) {
                placed.push((index, count?));
                index += 1;
            }
        }
        match counts.len() {
            0 => Ok(placed),
            _ => Err(ItemFaultKind::Spans),
        }
    }
}

fn span(field: Field<'_>) -> Result<(i64, u64), Malformed> {
    let (mut gap, mut length) = (0, 0);
    let mut fields = Fields::new(field.bytes()?, SAMPLE_DEPTH - 1);
    while let Some((tag, value)) = fields.next()? {
        match tag {
            1 => gap = small_zigzag(value.uint()?),
            2 => length = u64::from(value.uint()? as u32),
            _ => {}
        }
    }
    Ok((gap, length))
}

/// A `sint32`, of which the upper bits of the varint don't count.
fn small_zigzag(value: u64) -> i64 {
    zigzag(u64::from(value as u32))
}

fn each_zigzag(field: Field<'_>, entries: &mut Vec<i64>) -> Result<(), ItemFaultKind> {
    let malformed = ItemFaultKind::in_message("Histogram");
    if let Field::Varint(entry) = field {
        return add(entries, zigzag(entry));
    }
    let mut packed = field.bytes().map_err(&malformed)?;
    while !packed.is_empty() {
        add(entries, zigzag(varint(&mut packed).map_err(&malformed)?))?;
    }
    Ok(())
}

fn each_double(field: Field<'_>, entries: &mut Vec<f64>) -> Result<(), ItemFaultKind> {
    let malformed = ItemFaultKind::in_message("Histogram");
    if let Field::Fixed64(bits) = field {
        return add(entries, f64::from_bits(bits));
    }
    let (packed, rest) = field.bytes().map_err(&malformed)?.as_chunks();
    if !rest.is_empty() {
        return Err(malformed(Malformed));
    }
    packed.iter().try_for_each(|&bytes| add(entries, f64::from_le_bytes(bytes)))
}
