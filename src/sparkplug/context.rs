//! What the nodes of a host share, and where they answer.

use super::Settings;
use super::heard::{Heard, Standing};
use super::order::Held;
use super::payload::Metric;
use super::puzzle::PuzzleKind;
use super::table::Table;
use crate::model::{NANOS_PER_SECOND, Timestamp};

/// What a node is told besides its messages, and where it answers.
pub(super) struct Context<'c> {
    pub(super) settings: &'c Settings,
    pub(super) shared: &'c mut Shared,
    pub(super) heard: &'c mut Heard,
    pub(super) now: Timestamp,
}

/// What all nodes of a host share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) connected: bool,
    pub(super) next_request: Timestamp,
    pub(super) table_bytes: usize,
    pub(super) held_bytes: usize,
    /// Only its counts that go up are used.
    pub(super) counts: Standing,
    pub(super) scratch: Vec<u8>,
}

impl Context<'_> {
    /// The table of a birth, if there is room for it in place of `old`.
    pub(super) fn table(
        &self,
        metrics: &[Metric<'_>],
        max: usize,
        old: &Table,
    ) -> Result<Table, PuzzleKind> {
        let table = Table::of_birth(metrics, max, self.settings.limits.name_bytes)?;
        let bytes = self.shared.table_bytes - old.bytes() + table.bytes();
        match self.settings.caps.table_bytes {
            max if bytes > max => Err(PuzzleKind::TooMany { what: "bytes of tables", max }),
            _ => Ok(table),
        }
    }

    pub(super) fn drop_held(&mut self, held: &[Held]) {
        self.shared.held_bytes -= held.iter().map(Held::bytes).sum::<usize>();
        self.shared.counts.dropped += held.len() as u64;
    }
}

/// The first instant there is: nobody waits for it.
pub(super) const LONG_AGO: Timestamp = Timestamp(-NANOS_PER_SECOND);
