//! Prometheus' remote write: version 1 (`prometheus.WriteRequest`) and version 2
//! (`io.prometheus.write.v2.Request`), decompressed.
//!
//! ```text
//! timeseries[7]        __name__=node_load1  instance=plant-3:9100  job=node      metric, device, tags
//!   samples[0]         value, time in milliseconds                               a reading, a float
//!   histograms[0]      a native histogram                                        NAME.count, NAME.sum, NAME.bucket
//! ```
//!
//! Version 2 says each text once, in a list of symbols, and labels by their numbers; and the unit of a
//! series. Exemplars, help texts and types are passed over. What Prometheus calls a staleness marker, and
//! NaN and infinities, can't be kept: they are left out, which is no fault.

mod native;
mod series;
mod v1;
mod v2;

use super::Stamp;
use super::items::{Collecting, ItemFaultKind, Items};
use crate::model::Reach;
use crate::wire::Limits;

/// How series become devices and tags.
#[derive(Debug, Clone, Copy)]
pub struct PrometheusNaming<'c> {
    /// The labels that may carry the device's name: the first of them that a series has does. One that
    /// has none is of the client.
    pub device_labels: &'c [String],
}

/// Which message a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoteWrite {
    /// `prometheus.WriteRequest`.
    V1,
    /// `io.prometheus.write.v2.Request`.
    V2,
}

/// Reads a request, of devices within `reach`.
///
/// # Errors
/// The body is no request of that version.
pub fn remote_write(
    version: RemoteWrite,
    body: &[u8],
    naming: &PrometheusNaming<'_>,
    limits: &Limits,
    stamp: &Stamp<'_>,
    reach: &Reach,
) -> Result<Items, ItemFaultKind> {
    let mut collecting = Collecting::new(limits, stamp, reach);
    match version {
        RemoteWrite::V1 => v1::request(body, naming, &mut collecting)?,
        RemoteWrite::V2 => v2::request(body, naming, &mut collecting)?,
    }
    Ok(collecting.finish())
}

#[cfg(test)]
mod proto;
#[cfg(test)]
mod tests;
