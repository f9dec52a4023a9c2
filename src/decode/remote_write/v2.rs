//! Version 2: `io.prometheus.write.v2.Request` (prompb/io/prometheus/write/v2/types.proto).

use super::PrometheusNaming;
use super::series::{At, Labels, Series, samples};
use crate::decode::items::{Collecting, ItemFaultKind};
use crate::decode::reader::{DEPTH_MAX, Fields, Malformed, Value, messages, utf8, varint};

/// Symbols of a request: 10,000 samples, each with 13 labels of its own, have so many. They are all that
/// is held of a request at once, 16 bytes each for as few as 2 that were sent.
const SYMBOLS_MAX: usize = 1 << 18;

pub(super) fn request<'a>(
    body: &'a [u8],
    naming: &PrometheusNaming<'_>,
    collecting: &mut Collecting<'_, 'a>,
) -> Result<(), ItemFaultKind> {
    let malformed = ItemFaultKind::in_message("io.prometheus.write.v2.Request");
    let mut symbols = Vec::new();
    for symbol in messages(body, 4, DEPTH_MAX).map_err(&malformed)? {
        if symbols.len() == SYMBOLS_MAX {
            return Err(ItemFaultKind::TooManySymbols { max: SYMBOLS_MAX });
        }
        symbols.push(utf8(symbol).map_err(&malformed)?);
    }
    for (number, message) in messages(body, 5, DEPTH_MAX).map_err(&malformed)?.enumerate() {
        let series = series(message, &symbols, Labels::new(naming, collecting.limits));
        if samples(message, number, 3, series, collecting).is_err() {
            let kind = ItemFaultKind::Protobuf { message: "TimeSeries" };
            collecting.refuse(&At::series(number), kind);
        }
    }
    Ok(())
}

fn series<'a>(
    message: &'a [u8],
    symbols: &[&'a str],
    mut labels: Labels<'a, '_>,
) -> Result<Series<'a>, ItemFaultKind> {
    let malformed = ItemFaultKind::in_message("TimeSeries");
    let symbol = |number: u64| {
        let symbol = usize::try_from(number).ok().and_then(|number| symbols.get(number));
        symbol.copied().ok_or(ItemFaultKind::NoSymbol { symbol: number, symbols: symbols.len() })
    };
    let mut name = None;
    let mut refer = |number| match name.take() {
        None => {
            name = Some(symbol(number)?);
            Ok(())
        }
        Some(name) => labels.add(name, symbol(number)?),
    };
    let mut unit = 0;
    let mut fields = Fields::new(message, DEPTH_MAX - 1);
    while let Some((tag, value)) = fields.next().map_err(&malformed)? {
        match (tag, value) {
            (1, Value::Varint(number)) => refer(number)?,
            (1, value) => {
                let mut packed = value.bytes().map_err(&malformed)?;
                while !packed.is_empty() {
                    refer(varint(&mut packed).map_err(&malformed)?)?;
                }
            }
            (5, value) => unit = unit_of(value).map_err(&malformed)?,
            _ => {}
        }
    }
    if name.is_some() {
        return Err(ItemFaultKind::OddLabels);
    }
    // Symbol 0 is the empty text.
    let unit = if unit == 0 { "" } else { symbol(unit)? };
    labels.finish(unit)
}

/// The unit in the metadata of a series.
fn unit_of(metadata: Value<'_>) -> Result<u64, Malformed> {
    let mut unit = 0;
    let mut fields = Fields::new(metadata.bytes()?, DEPTH_MAX - 2);
    while let Some((tag, value)) = fields.next()? {
        if tag == 4 {
            unit = value.uint()?;
        }
    }
    Ok(unit)
}
