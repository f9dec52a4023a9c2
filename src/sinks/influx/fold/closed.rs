//! Windows that are closed, as batches: what is written, refused and set aside like any other.

use super::{Rollup, Window};
use crate::model::{
    Batch, BatchBuilder, ClientId, Position, ShapeError, Timestamp, Values, tags_of_identity,
};
use crate::sinks::influx::round::Source;
use crate::spool::Protocol;
use std::collections::BTreeMap;
use std::sync::Arc;

/// So many metrics make a batch; a table with more is in one of its own.
const BATCH_METRICS: usize = 100_000;

/// Windows that can change no more.
#[derive(Debug, Default)]
pub struct Closed {
    windows: Vec<ClosedWindow>,
    samples: u64,
    rollups: usize,
}

#[derive(Debug)]
struct ClosedWindow {
    identity: Arc<str>,
    start: i64,
    protocol: Protocol,
    client: ClientId,
    received_at: Timestamp,
    samples: u64,
    rollups: Vec<(Arc<str>, Rollup)>,
}

/// A batch in the making.
#[derive(Default)]
struct Gathered {
    builder: BatchBuilder,
    metrics: usize,
    samples: u64,
    received_at: Option<Timestamp>,
}

impl Closed {
    pub(super) fn push(&mut self, identity: &Arc<str>, metrics: &[Arc<str>], window: Window) {
        let Window { start, protocol, client, received_at, samples, rollups, .. } = window;
        let of_metric = |(metric, rollup): (&Arc<str>, Option<Rollup>)| {
            rollup.map(|rollup| (Arc::clone(metric), rollup))
        };
        let rollups: Vec<_> = metrics.iter().zip(rollups).filter_map(of_metric).collect();
        self.samples += samples;
        self.rollups += rollups.len();
        let identity = Arc::clone(identity);
        let window =
            ClosedWindow { identity, start, protocol, client, received_at, samples, rollups };
        self.windows.push(window);
    }

    /// Forgets them.
    pub fn clear(&mut self) {
        *self = Closed::default();
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// Samples in them.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// How many rollups they have.
    #[must_use]
    pub fn rollups(&self) -> usize {
        self.rollups
    }

    /// As batches, one or more for each of those who sent what came last for them. A batch's position
    /// is the number of samples in all windows that were closed before it, beginning with `number`: so
    /// no two that are settled have the same.
    #[must_use]
    pub fn into_sources(self, mut number: u64) -> Vec<Source> {
        let mut senders = BTreeMap::<_, Gathered>::new();
        let mut sources = Vec::new();
        let mut finish = |(protocol, client): (u8, ClientId), gathered: Gathered| {
            let Gathered { builder, samples, received_at, .. } = gathered;
            let received_at = received_at.unwrap_or(Timestamp(0));
            let (position, batch) = (Position(number), Arc::new(builder.finish()));
            let protocol = Protocol::of_byte(protocol);
            sources.push(Source { position, received_at, protocol, client, batch, skipped: 0 });
            number += samples;
        };
        for window in self.windows {
            let sender = (window.protocol.byte(), window.client.clone());
            let gathered = senders.entry(sender.clone()).or_default();
            let added = gathered.add(&window);
            debug_assert!(added.is_ok(), "a table can't be too large for a batch");
            if gathered.metrics >= BATCH_METRICS {
                finish(sender, std::mem::take(gathered));
            }
        }
        for (sender, gathered) in senders {
            if gathered.samples > 0 {
                finish(sender, gathered);
            }
        }
        sources
    }
}

impl Gathered {
    fn add(&mut self, window: &ClosedWindow) -> Result<(), ShapeError> {
        let device = window.identity.split('\0').next().unwrap_or_default();
        let mut tags: Vec<_> = tags_of_identity(&window.identity).collect();
        self.builder.table(device, &mut tags, [window.start])?;
        for (metric, rollup) in &window.rollups {
            rollup.write(metric, &mut self.builder)?;
        }
        self.metrics += window.rollups.len();
        self.samples += window.samples;
        self.received_at = self.received_at.max(Some(window.received_at));
        Ok(())
    }
}

/// How many samples a batch of rollups tells of.
#[must_use]
pub fn samples_of(rollups: &Batch) -> u64 {
    let mut samples = 0;
    for table in rollups.tables() {
        for column in table.columns().filter(|column| column.metric().ends_with("_count")) {
            if let Values::Ints(counts) = column.values() {
                let present = counts.iter().enumerate().filter(|&(row, _)| column.is_present(row));
                samples += present.map(|(_, count)| count.cast_unsigned()).sum::<u64>();
            }
        }
    }
    samples
}
