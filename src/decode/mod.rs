//! Bytes to batches, and back. Pure: told the time and the limits, it touches nothing else.
//!
//! Doors: [`upstream`] tells what a client's message is; [`batch`] reads a `Batch` straight into the
//! model under all [`Limits`]; [`ndjson`], [`line_protocol`] and [`csv`](csv()) read lines, [`otlp`], [`otlp_json`] and
//! [`remote_write`] the messages of OpenTelemetry and Prometheus; [`Gather`] makes a batch of readings; [`encode`]
//! writes the canonical encoding of a batch, which [`batch`] reads back as the same; [`readings`] writes
//! what [`ndjson`] reads.
//!
//! A message that is refused costs what was read until its fault, and no allocation grows with what
//! it merely claims.

mod batch;
mod column;
mod csv;
mod encode;
mod fault;
mod gather;
mod histogram;
mod items;
mod json;
mod line_protocol;
mod lines;
mod ndjson;
mod open_table;
mod otlp;
mod reader;
mod reading;
mod remote_write;
mod upstream;

#[cfg(test)]
mod items_tests;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;

/// Protobuf by hand, for who reads other messages than ours under limits.
pub(crate) mod protobuf {
    pub(crate) use super::reader::{DEPTH_MAX, Fields, Malformed, Value, utf8, varint};
}

pub use crate::wire::Limits;
pub use batch::{Clock, Decoded, Stamp, batch, seq};
pub use csv::{
    COLUMNS as CSV_COLUMNS, CsvColumns, CsvType, Mapping as CsvMapping,
    MappingError as CsvMappingError, Records as CsvRecords, Said as CsvSaid, csv,
    record_end as csv_record_end,
};
pub use encode::encode;
pub use fault::{Counted, Fault, FaultKind, Named, SCALE_MAX};
pub use gather::{Gather, NotAdded};
pub use items::{ITEM_FAULTS_MAX, ItemFault, ItemFaultKind, Items, LeftOut};
pub use line_protocol::{LineNaming, TimeUnit, line_protocol};
pub use lines::{LINE_FAULTS_MAX, LineFault, LineFaultKind, Lines};
pub use ndjson::{ndjson, readings};
pub use otlp::{OtlpNaming, otlp, otlp_json};
pub use reading::{Content, Reading, ReadingFault, Value};
pub use remote_write::{PrometheusNaming, RemoteWrite, remote_write};
pub use upstream::{Upstream, UpstreamError, upstream};
