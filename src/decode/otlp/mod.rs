//! OpenTelemetry's metrics (OTLP 1.x, `ExportMetricsServiceRequest`), as protobuf and as JSON.
//!
//! ```text
//! resource_metrics[0]            attributes: host.name=plant-3, service.name=press    device and tags
//!   scope_metrics[1]             its name is not kept
//!     metrics[3]                 name, unit; gauge, sum, histogram, …                 metric and unit
//!       data_points[2]           attributes, time, value                              tags, a reading
//! ```
//!
//! | kind | readings |
//! |---|---|
//! | gauge, sum | `NAME`, an integer or a float |
//! | histogram | `NAME.count`, `NAME.sum`, `NAME.min`, `NAME.max`, `NAME.bucket` with the tag `le` |
//! | exponential histogram | the same, with bounds as far as they are needed |
//! | summary | `NAME.count`, `NAME.sum`, `NAME` with the tag `quantile` |
//!
//! What counts since the last report (delta temporality) gets the tag `temporality=delta`, so that nobody
//! takes a rate of it unknowingly. A point with the flag "no recorded value" is left out.
//!
//! Both forms are read level by level: at each, the message's own framing first, then what lies in it, one
//! after the other, so that what is at fault is named by its path and the rest enters. Nothing is held but
//! what a reading needs: no allocation grows with what a body claims, and none with its size but the batch.

mod attributes;
mod json;
mod points;
mod protobuf;

use super::Stamp;
use super::items::{ItemFaultKind, Items};
use crate::model::{Globs, Reach};
use crate::wire::Limits;
use points::Points;

/// How resources become devices and tags.
#[derive(Debug, Clone, Copy)]
pub struct OtlpNaming<'c> {
    /// The attributes of a resource that may carry the device's name: the first of them that it has
    /// does. One that has none is of the client.
    pub device_attributes: &'c [String],
    /// Which of its other attributes become tags; `None` = all.
    pub resource_tags: Option<&'c Globs>,
}

/// Reads a protobuf request, of devices within `reach`.
///
/// # Errors
/// The body is no request at all.
pub fn otlp(
    body: &[u8],
    naming: &OtlpNaming<'_>,
    limits: &Limits,
    stamp: &Stamp<'_>,
    reach: &Reach,
) -> Result<Items, ItemFaultKind> {
    let mut points = Points::new(naming, limits, stamp, reach);
    protobuf::request(body, &mut points)?;
    Ok(points.finish())
}

/// Reads a request in JSON, of devices within `reach`.
///
/// # Errors
/// The body is no JSON, or no request.
pub fn otlp_json(
    body: &[u8],
    naming: &OtlpNaming<'_>,
    limits: &Limits,
    stamp: &Stamp<'_>,
    reach: &Reach,
) -> Result<Items, ItemFaultKind> {
    let mut points = Points::new(naming, limits, stamp, reach);
    json::request(body, &mut points)?;
    Ok(points.finish())
}

#[cfg(test)]
mod proto;
#[cfg(test)]
mod tests;
