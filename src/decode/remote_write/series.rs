//! A series of either version: its labels as device, metric and tags, and its samples.

use super::PrometheusNaming;
use super::native::Native;
use crate::decode::fault::{Counted, FaultKind};
use crate::decode::items::{Collecting, ItemFaultKind, LeftOut};
use crate::decode::reader::{DEPTH_MAX, Fields, Malformed, messages};
use crate::decode::{Content, Reading, Value};
use crate::model::Keep;
use crate::wire::Limits;
use std::borrow::Cow;
use std::fmt;

/// The NaN by which Prometheus says that a series has ended.
pub(super) const STALE: u64 = 0x7ff0_0000_0000_0002;
/// A request, a series, a sample; a histogram and its spans.
pub(super) const SAMPLE_DEPTH: usize = DEPTH_MAX - 2;

const NAME: &str = "__name__";

/// Labels on their way to become a series.
pub(super) struct Labels<'a, 'c> {
    naming: PrometheusNaming<'c>,
    limits: &'c Limits,
    metric: Option<&'a str>,
    others: Vec<(&'a str, &'a str)>,
}

/// All of a series but its samples.
pub(super) struct Series<'a> {
    pub metric: &'a str,
    pub unit: &'a str,
    /// `None` = the client.
    pub device: Option<&'a str>,
    pub tags: Vec<(&'a str, &'a str)>,
}

impl<'a, 'c> Labels<'a, 'c> {
    pub fn new(naming: &PrometheusNaming<'c>, limits: &'c Limits) -> Labels<'a, 'c> {
        Labels { naming: *naming, limits, metric: None, others: Vec::new() }
    }

    /// Takes a label. One without a value is as good as not there.
    pub fn add(&mut self, name: &'a str, value: &'a str) -> Result<(), ItemFaultKind> {
        if value.is_empty() {
            return Ok(());
        }
        if name == NAME {
            return match self.metric.replace(value) {
                None => Ok(()),
                Some(_) => Err(FaultKind::DuplicateTag.into()),
            };
        }
        // Before anything is done for each of them. The device's name is none of the tags.
        if self.others.len() > self.limits.tags {
            let max = self.limits.tags;
            return Err(FaultKind::TooMany { what: Counted::Tags, max }.into());
        }
        self.others.push((name, value));
        Ok(())
    }

    pub fn finish(self, unit: &'a str) -> Result<Series<'a>, ItemFaultKind> {
        let metric = self.metric.ok_or(ItemFaultKind::NoName)?;
        let mut tags = self.others;
        let device = self.naming.device_labels.iter().find_map(|wanted| {
            let at = tags.iter().position(|(name, _)| name == wanted)?;
            Some(tags.remove(at).1)
        });
        Ok(Series { metric, unit, device, tags })
    }
}

impl<'a> Series<'a> {
    /// Device, tags and time of a sample; no values yet.
    pub fn head(&self, client: &'a str, millis: i64) -> Result<Reading<'a>, ItemFaultKind> {
        let time = millis.checked_mul(1_000_000).ok_or(ItemFaultKind::Time)?;
        let tags = self.tags.iter().map(|&(key, value)| (key.into(), value.into()));
        Ok(Reading {
            device: Cow::Borrowed(self.device.unwrap_or(client)),
            tags: tags.collect(),
            time,
            keep: Keep::default(),
            values: Vec::new(),
        })
    }
}

/// Where in the request.
pub(super) struct At {
    series: usize,
    /// Of the samples or the histograms.
    item: Option<(&'static str, usize)>,
}

impl At {
    pub fn series(series: usize) -> At {
        At { series, item: None }
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "timeseries[{}]", self.series)?;
        self.item.map_or(Ok(()), |(list, index)| write!(f, ".{list}[{index}]"))
    }
}

/// Takes the samples and histograms of the series whose message it is, or refuses them all.
pub(super) fn samples<'a>(
    message: &'a [u8],
    number: usize,
    histograms_tag: u32,
    series: Result<Series<'a>, ItemFaultKind>,
    collecting: &mut Collecting<'_, 'a>,
) -> Result<(), Malformed> {
    let histograms = messages(message, histograms_tag, DEPTH_MAX - 1)?;
    for (index, message) in messages(message, 2, DEPTH_MAX - 1)?.enumerate() {
        let at = At { series: number, item: Some(("samples", index)) };
        let taken = match &series {
            Ok(series) => sample(message, series, collecting),
            Err(kind) => Err(kind.clone()),
        };
        taken.unwrap_or_else(|kind| collecting.refuse(&at, kind));
    }
    for (index, message) in histograms.enumerate() {
        let at = At { series: number, item: Some(("histograms", index)) };
        let taken = match &series {
            Ok(series) => Native::read(message).and_then(|native| native.enter(series, collecting)),
            Err(kind) => Err(kind.clone()),
        };
        taken.unwrap_or_else(|kind| collecting.refuse(&at, kind));
    }
    Ok(())
}

fn sample<'a>(
    message: &[u8],
    series: &Series<'a>,
    collecting: &mut Collecting<'_, 'a>,
) -> Result<(), ItemFaultKind> {
    let malformed = ItemFaultKind::in_message("Sample");
    let (mut value, mut millis) = (0.0, 0);
    let mut fields = Fields::new(message, SAMPLE_DEPTH);
    while let Some((tag, field)) = fields.next().map_err(&malformed)? {
        match tag {
            1 => value = field.double().map_err(&malformed)?,
            2 => millis = field.uint().map_err(&malformed)?.cast_signed(),
            _ => {}
        }
    }
    if !value.is_finite() {
        collecting.pass_over(match value.to_bits() {
            STALE => LeftOut::no_value,
            _ => LeftOut::not_finite,
        });
        return Ok(());
    }
    let mut reading = series.head(collecting.stamp.client, millis)?;
    let (metric, unit) = (Cow::Borrowed(series.metric), Cow::Borrowed(series.unit));
    reading.values.push(Value { metric, unit, content: Content::Float(value) });
    collecting.enter(reading)
}
