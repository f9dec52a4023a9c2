//! Dead letters out of what a store refused, and rounds out of dead letters. Pure.

use super::bisect::GivenUp;
use super::fold::samples_of;
use super::lines::columns;
use super::names::Naming;
use super::round::{Part, Round, Source};
use crate::model::{Position, select};
use crate::sinks::book::{Letter, NewLetter};
use crate::spool::Protocol;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Refused again: the letter, and the store's words.
pub(super) type RefusedAgain = (u64, Arc<str>);

/// The refused rows of a part, each table and measurement on its own, with all that is known of them.
pub(super) fn of(
    round: &Round,
    part: &Part,
    given_up: &[GivenUp],
    naming: &Naming,
) -> Vec<NewLetter> {
    let mut letters = Vec::new();
    for GivenUp { lines, words } in given_up {
        for origin in part.body.origins(lines.clone()) {
            let source = round.source(origin.position);
            let table = source.and_then(|source| source.batch.tables().nth(origin.table as usize));
            let (Some(source), Some(table)) = (source, table) else { continue };
            let batch = select(table, origin.rows.clone(), columns(naming, table, &origin));
            letters.push(NewLetter {
                position: origin.position,
                table: origin.table,
                column: origin.column as u32,
                first_row: origin.rows.start as u32,
                received_at: source.received_at,
                protocol: source.protocol.name().to_owned(),
                client: source.client.to_string(),
                samples: match naming.is_of_rollups() {
                    true => samples_of(&batch),
                    false => batch.samples() as u64,
                },
                batch,
                words: words.clone(),
            });
        }
    }
    letters
}

/// Letters as batches; the number of a letter stands for its position.
pub(super) fn sources(letters: &[Letter]) -> Vec<Source> {
    letters
        .iter()
        .map(|letter| Source {
            position: Position(letter.summary.id),
            received_at: letter.summary.received_at,
            // Known to the letter; nobody counts a replay by it.
            protocol: Protocol::Other(0),
            client: letter.summary.client.as_str().into(),
            batch: Arc::new(letter.batch.clone()),
            skipped: 0,
        })
        .collect()
}

/// Which letters are stored now, and which were refused again. A letter of which the configuration
/// selects nothing any more counts as stored: nobody wants it there.
pub(super) fn outcome(
    letters: &[Letter],
    round: &Round,
    refused: &[Vec<GivenUp>],
) -> (Vec<u64>, Vec<RefusedAgain>) {
    let mut again = BTreeMap::new();
    for (part, given_up) in round.parts.iter().zip(refused) {
        for GivenUp { lines, words } in given_up {
            for origin in part.body.origins(lines.clone()) {
                again.insert(origin.position.0, words.clone());
            }
        }
    }
    let ids = letters.iter().map(|letter| letter.summary.id);
    let stored = ids.filter(|id| !again.contains_key(id)).collect();
    (stored, again.into_iter().collect())
}
