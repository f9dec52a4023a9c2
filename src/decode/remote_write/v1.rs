//! Version 1: `prometheus.WriteRequest` (prompb/remote.proto, prompb/types.proto).

use super::PrometheusNaming;
use super::series::{At, Labels, samples};
use crate::decode::items::{Collecting, ItemFaultKind};
use crate::decode::reader::{DEPTH_MAX, Fields, Malformed, messages};

pub(super) fn request<'a>(
    body: &'a [u8],
    naming: &PrometheusNaming<'_>,
    collecting: &mut Collecting<'_, 'a>,
) -> Result<(), ItemFaultKind> {
    let malformed = ItemFaultKind::in_message("prometheus.WriteRequest");
    for (number, message) in messages(body, 1, DEPTH_MAX).map_err(malformed)?.enumerate() {
        let mut labels = Labels::new(naming, collecting.limits);
        let read = read_labels(message, &mut labels);
        let series = read.and_then(|()| labels.finish(""));
        if samples(message, number, 4, series, collecting).is_err() {
            let kind = ItemFaultKind::Protobuf { message: "TimeSeries" };
            collecting.refuse(&At::series(number), kind);
        }
    }
    Ok(())
}

fn read_labels<'a>(message: &'a [u8], labels: &mut Labels<'a, '_>) -> Result<(), ItemFaultKind> {
    let malformed = ItemFaultKind::in_message("Label");
    for message in messages(message, 1, DEPTH_MAX - 1).map_err(&malformed)? {
        let (name, value) = label(message).map_err(&malformed)?;
        labels.add(name, value)?;
    }
    Ok(())
}

fn label(message: &[u8]) -> Result<(&str, &str), Malformed> {
    let (mut name, mut value) = ("", "");
    let mut fields = Fields::new(message, DEPTH_MAX - 2);
    while let Some((tag, field)) = fields.next()? {
        match tag {
            1 => name = field.text()?,
            2 => value = field.text()?,
            _ => {}
        }
    }
    Ok((name, value))
}
