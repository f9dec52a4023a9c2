//! What is common to bodies of items that lie deep in messages, OTLP's data points and Prometheus'
//! samples: an item enters whole or not at all, the good ones enter although others don't, and each of
//! the others is named by its path.

use super::fault::FaultKind;
use super::histogram::BUCKETS_MAX;
use super::reader::Malformed;
use super::{Gather, Reading, ReadingFault, Stamp};
use crate::model::{Batch, Reach};
use crate::wire::{Limits, RefusalCode};
use std::fmt::Display;
use thiserror::Error;

/// How many faulty items are told one by one; those beyond are counted.
pub const ITEM_FAULTS_MAX: usize = 100;

/// What a body of items came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Items {
    /// The readings of the good items. May be empty.
    pub batch: Batch,
    /// How many items are in it.
    pub accepted: usize,
    /// How many of those are histograms.
    pub histograms: usize,
    /// How many had nothing that could be kept, and are at no fault.
    pub empty: usize,
    /// The first [`ITEM_FAULTS_MAX`] items that are not.
    pub faults: Vec<ItemFault>,
    /// How many items are not, in all.
    pub refused: usize,
    /// The values that can't be kept.
    pub left_out: LeftOut,
}

/// Values that were there and mean that there is none, or that no store can hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Points with the flag "no recorded value"; Prometheus' staleness markers.
    pub no_value: usize,
    /// NaN and infinities of senders to whom they are values like others.
    pub not_finite: usize,
}

impl LeftOut {
    pub(super) fn no_value(&mut self) -> &mut usize {
        &mut self.no_value
    }

    pub(super) fn not_finite(&mut self) -> &mut usize {
        &mut self.not_finite
    }
}

/// An item that did not enter.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemFault {
    /// Which: `resource_metrics[0].scope_metrics[1].metrics[3].data_points[2]`.
    pub at: String,
    /// Why.
    pub kind: ItemFaultKind,
}

/// Why an item did not enter.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ItemFaultKind {
    /// It is not the protobuf message that it should be.
    #[error("not a valid protobuf {message}")]
    Protobuf {
        /// Which.
        message: &'static str,
    },
    /// It is not the JSON that it should be.
    #[error("not as OTLP's JSON has it: {what}")]
    Json {
        /// What the JSON reader says.
        what: String,
    },
    /// A data point has neither a value nor the flag that it has none.
    #[error("the data point has no value")]
    NoValue,
    /// A metric is of no kind, or of one that this version doesn't know.
    #[error("the metric is no gauge, sum, histogram, exponential histogram or summary")]
    NoKind,
    /// The temporality has a number that this version doesn't know.
    #[error("aggregation temporality {temporality} is not known")]
    Temporality {
        /// As sent.
        temporality: i64,
    },
    /// An attribute that would be a tag or the device has no text.
    #[error("attribute {key} is a list, a map or bytes, which no name can be")]
    NotText {
        /// Which.
        key: String,
    },
    /// What the resource of a point says can't be kept.
    #[error("its resource: {kind}")]
    Resource {
        /// Why.
        kind: Box<ItemFaultKind>,
    },
    /// A count needs more than 63 bits.
    #[error("a count beyond 63 bits")]
    CountTooLarge,
    /// The bounds of a histogram don't fit its counts.
    #[error(
        "{bounds} bounds and {counts} counts of buckets, there must be one more count than bounds"
    )]
    Bounds {
        /// How many bounds.
        bounds: usize,
        /// How many counts.
        counts: usize,
    },
    /// The bounds of a histogram are not in order.
    #[error("the bounds of the buckets don't rise")]
    Order,
    /// A histogram has very many buckets.
    #[error("more than {BUCKETS_MAX} buckets")]
    TooManyBuckets,
    /// The base of an exponential histogram is too near 1, or too large.
    #[error("scale {scale} is not between {min} and {max}", min = super::histogram::SCALE_MIN, max = super::histogram::SCALE_MAX)]
    Scale {
        /// As sent.
        scale: i64,
    },
    /// The buckets of a native histogram are not where its spans say.
    #[error("the spans and the counts of its buckets don't fit")]
    Spans,
    /// A series has no name.
    #[error("the series has no label __name__")]
    NoName,
    /// A label refers to a symbol that is not there.
    #[error("a label refers to symbol {symbol}, of {symbols}")]
    NoSymbol {
        /// Which.
        symbol: u64,
        /// How many there are.
        symbols: usize,
    },
    /// A body has very many symbols.
    #[error("more than {max} symbols")]
    TooManySymbols {
        /// How many there may be.
        max: usize,
    },
    /// A label without its value.
    #[error("an odd number of references makes the labels")]
    OddLabels,
    /// The time is not one in 64 bits of nanoseconds.
    #[error("the time is beyond 64 bits of nanoseconds")]
    Time,
    /// Who sends it may not write this device.
    #[error("your token does not reach the device {device}")]
    Forbidden {
        /// Which.
        device: String,
    },
    /// Not as the limits or the model want it.
    #[error(transparent)]
    Fault(#[from] ReadingFault),
}

impl ItemFaultKind {
    /// What the client is told.
    #[must_use]
    pub fn code(&self) -> RefusalCode {
        match self {
            ItemFaultKind::Protobuf { .. }
            | ItemFaultKind::Json { .. }
            | ItemFaultKind::Temporality { .. }
            | ItemFaultKind::NoSymbol { .. }
            | ItemFaultKind::OddLabels
            | ItemFaultKind::Time => RefusalCode::Malformed,
            ItemFaultKind::NoValue
            | ItemFaultKind::NoKind
            | ItemFaultKind::CountTooLarge
            | ItemFaultKind::Bounds { .. }
            | ItemFaultKind::Order
            | ItemFaultKind::Scale { .. }
            | ItemFaultKind::Spans => RefusalCode::BadShape,
            ItemFaultKind::NotText { .. } | ItemFaultKind::NoName => RefusalCode::BadName,
            ItemFaultKind::TooManyBuckets | ItemFaultKind::TooManySymbols { .. } => {
                RefusalCode::LimitExceeded
            }
            ItemFaultKind::Forbidden { .. } => RefusalCode::Forbidden,
            ItemFaultKind::Resource { kind } => kind.code(),
            ItemFaultKind::Fault(fault) => fault.kind.code(),
        }
    }

    /// For who maps a [`Malformed`] to the message that it was found in.
    pub(super) fn in_message(message: &'static str) -> impl Fn(Malformed) -> ItemFaultKind {
        move |Malformed| ItemFaultKind::Protobuf { message }
    }
}

impl From<FaultKind> for ItemFaultKind {
    fn from(kind: FaultKind) -> ItemFaultKind {
        ItemFaultKind::Fault(kind.into())
    }
}

/// Gathers the readings of items, and notes the items that have none.
pub(super) struct Collecting<'l, 'a> {
    pub limits: &'l Limits,
    pub stamp: Stamp<'a>,
    gather: Gather<'l, 'a>,
    items: Items,
    reach: &'l Reach,
}

impl<'l, 'a> Collecting<'l, 'a> {
    pub fn new(limits: &'l Limits, stamp: &Stamp<'a>, reach: &'l Reach) -> Collecting<'l, 'a> {
        let (gather, items) = (Gather::new(limits), Items::default());
        Collecting { limits, stamp: *stamp, gather, items, reach }
    }

    /// Whether items of that device may enter.
    pub fn reached(&self, device: &str) -> Result<(), ItemFaultKind> {
        match self.reach.allows(device) {
            true => Ok(()),
            false => Err(ItemFaultKind::Forbidden { device: device.to_owned() }),
        }
    }

    /// Holds a reading against the limits, and that so many series more could enter: before work is
    /// done that its item might not be worth.
    pub fn check(&mut self, reading: &mut Reading<'a>, series: usize) -> Result<(), ItemFaultKind> {
        self.gather.check(reading, self.stamp.received_at)?;
        Ok(self.gather.room(series, series, series * reading.identity_bytes())?)
    }

    /// Takes an item of one reading.
    pub fn enter(&mut self, reading: Reading<'a>) -> Result<(), ItemFaultKind> {
        self.reached(&reading.device)?;
        self.gather.push(reading, self.stamp.received_at)?;
        self.items.accepted += 1;
        Ok(())
    }

    /// Takes a histogram or a summary, whose readings enter together or not at all.
    pub fn enter_whole(&mut self, readings: Vec<Reading<'a>>) -> Result<(), ItemFaultKind> {
        self.gather.push_whole(readings, self.stamp.received_at)?;
        self.items.accepted += 1;
        self.items.histograms += 1;
        Ok(())
    }

    /// Notes an item that does not enter.
    pub fn refuse(&mut self, at: &dyn Display, kind: ItemFaultKind) {
        self.items.refused += 1;
        if self.items.faults.len() < ITEM_FAULTS_MAX {
            self.items.faults.push(ItemFault { at: at.to_string(), kind });
        }
    }

    /// Counts a value that is left out, of an item that may have others.
    pub fn leave_out(&mut self, count: fn(&mut LeftOut) -> &mut usize) {
        *count(&mut self.items.left_out) += 1;
    }

    /// Counts an item that is left out.
    pub fn pass_over(&mut self, count: fn(&mut LeftOut) -> &mut usize) {
        self.items.empty += 1;
        self.leave_out(count);
    }

    pub fn finish(mut self) -> Items {
        self.items.batch = self.gather.finish();
        self.items
    }
}
