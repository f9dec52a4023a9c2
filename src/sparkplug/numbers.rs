//! The two numbers of a node: of its messages, and of its sessions.

use super::datatype::DataType;
use super::payload::Payload;
use super::puzzle::PuzzleKind;
use super::table::{Aliased, Table};
use super::value::plain;
use crate::decode::Content;

/// The metric that numbers a node's sessions (tck-id-payloads-nbirth-bdseq).
pub(super) const BDSEQ: &str = "bdSeq";

/// The number of a message. Absent is 0, as an encoder of proto3 leaves it out.
pub(super) fn seq(payload: &Payload<'_>) -> Result<u8, PuzzleKind> {
    u8::try_from(payload.seq.unwrap_or_default()).map_err(|_| PuzzleKind::Seq)
}

/// The number of a session, which comes as Int64 or UInt64.
pub(super) fn bdseq(payload: &Payload<'_>, table: &Table) -> Option<u64> {
    let metric = payload.metrics.iter().find(|metric| match (metric.name, metric.alias) {
        (Some(name), _) => name == BDSEQ,
        (None, Some(alias)) => {
            matches!(table.aliased(alias), Some(Aliased::One(index))
                if table.named(BDSEQ) == Some(index))
        }
        (None, None) => false,
    })?;
    let raw = metric.value?;
    let number = plain(DataType::Int64, raw).or_else(|_| plain(DataType::UInt64, raw));
    match number {
        Ok(Content::Int(number)) => u64::try_from(number).ok(),
        _ => None,
    }
}

/// Whether a session is earlier than the one that runs, by the numbers of both, which go round at
/// 256.
pub(super) fn is_behind(told: Option<u64>, runs: Option<u64>) -> bool {
    matches!((told, runs), (Some(told), Some(runs)) if told.wrapping_sub(runs) as u8 >= 128)
}
