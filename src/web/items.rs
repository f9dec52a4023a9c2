//! What is told of items that did not enter, to senders who have no other way to hear of them.

use crate::intake::{Part, PostAnswer};
use std::fmt::Write;

/// Faulty items that a message says all of.
const TOLD_MAX: usize = 10;

/// Which items did not enter and why, in one line: `resource_metrics[0]…data_points[2]: the value is not a
/// finite number; and 7 more`. Empty if all did.
pub(super) fn sentence(answer: &PostAnswer) -> String {
    let mut told = String::new();
    let parts = answer.refused.iter().take(TOLD_MAX);
    let count = parts.len();
    for part in parts {
        let dot = if told.is_empty() { "" } else { "; " };
        let message = &part.refusal.message;
        // Writing to a String does not fail.
        match &part.part {
            Part::Item(at) => write!(told, "{dot}{at}: {message}"),
            Part::Line(line) => write!(told, "{dot}line {line}: {message}"),
            Part::Whole => write!(told, "{dot}{message}"),
        }
        .unwrap_or_default();
    }
    match answer.refused_total.saturating_sub(count) {
        0 => {}
        more => write!(told, "; and {more} more").unwrap_or_default(),
    }
    told
}
