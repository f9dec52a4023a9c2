//! Where a simulated client's batches come from.

use super::outbox::Frame;
use super::plant::Machine;
use super::rows::{self, Recorder};
use super::saturate::Frames;
use crate::clock;
use crate::model::Seq;
use crate::wire::{COMPRESS_BYTES_MIN, Compression, compress};
use rand::RngExt;
use std::time::Duration;
use tokio::time::{Instant, Interval, MissedTickBehavior};

/// Level at which batches are compressed.
const LEVEL: u32 = 6;

pub(super) enum Source {
    /// Machines that are read at an interval.
    Plant { client: String, recorders: Vec<Recorder>, interval: Interval, rows_per_batch: usize },
    /// Frames made beforehand, as many as the daemon gives credit for.
    Saturate { frames: Frames },
    /// The same at a pace.
    Paced { frames: Frames, interval: Interval },
}

impl Source {
    pub(super) fn plant(
        client: &str,
        machines: Vec<Machine>,
        interval: Duration,
        rows_per_batch: usize,
    ) -> Source {
        Source::Plant {
            client: client.to_owned(),
            recorders: machines.into_iter().map(Recorder::new).collect(),
            interval: ticks(interval),
            rows_per_batch: rows_per_batch.max(1),
        }
    }

    pub(super) fn saturate(frames: Frames, pace: Option<Duration>) -> Source {
        match pace {
            None => Source::Saturate { frames },
            Some(pace) => Source::Paced { frames, interval: ticks(pace) },
        }
    }

    /// Waits until [`Source::take`] has something to do; for ever if it works on demand. Cancel-safe.
    pub(super) async fn due(&mut self) {
        match self {
            Source::Plant { interval, .. } | Source::Paced { interval, .. } => {
                interval.tick().await;
            }
            Source::Saturate { .. } => std::future::pending().await,
        }
    }

    /// Takes a reading; gives a batch when enough rows have gathered.
    pub(super) fn take(&mut self, seq: Seq) -> Option<Frame> {
        match self {
            Source::Plant { client, recorders, rows_per_batch, .. } => {
                let now = clock::now();
                recorders.iter_mut().for_each(|recorder| recorder.read(now));
                let rows = recorders.first().map_or(0, Recorder::rows);
                (rows >= *rows_per_batch).then(|| batch(client, recorders, seq))
            }
            Source::Saturate { frames } | Source::Paced { frames, .. } => Some(frames.next(seq)),
        }
    }

    /// Time between two readings, if there is such a thing.
    pub(super) fn interval(&self) -> Option<Duration> {
        match self {
            Source::Plant { interval, .. } => Some(interval.period()),
            Source::Saturate { .. } | Source::Paced { .. } => None,
        }
    }

    /// Reads at this interval from now on; tells whether it can.
    pub(super) fn set_interval(&mut self, period: Duration) -> bool {
        match self {
            Source::Plant { interval, .. } => {
                *interval = ticks(period);
                true
            }
            Source::Saturate { .. } | Source::Paced { .. } => false,
        }
    }

    /// Whether it is this client, or one of its machines.
    pub(super) fn speaks_for(&self, device: &str) -> bool {
        match self {
            Source::Plant { client, recorders, .. } => {
                client == device || recorders.iter().any(|recorder| recorder.device() == device)
            }
            Source::Saturate { .. } | Source::Paced { .. } => true,
        }
    }

    /// The size of the batch that could be made at once, if this source works on demand.
    pub(super) fn on_demand(&self) -> Option<usize> {
        match self {
            Source::Saturate { frames } => Some(frames.bytes()),
            Source::Plant { .. } | Source::Paced { .. } => None,
        }
    }
}

/// Ticks from a random moment on, so that two hundred devices don't speak at once. After a delay
/// the ticks that were missed are skipped, as a device that was busy skips readings.
fn ticks(period: Duration) -> Interval {
    let period = period.max(Duration::from_millis(1));
    let start = Instant::now() + period.mul_f64(rand::rng().random());
    let mut interval = tokio::time::interval_at(start, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    interval
}

fn batch(client: &str, recorders: &mut [Recorder], seq: Seq) -> Frame {
    let base = clock::now().0;
    let tables = rows::tables(recorders, client, base);
    let samples = recorders.iter().map(Recorder::samples).sum();
    recorders.iter_mut().for_each(Recorder::clear);
    let plain = [rows::preamble(seq, base, tables.len()), tables].concat();
    let bytes = match plain.len() {
        0..COMPRESS_BYTES_MIN => plain,
        _ => compress(Compression::Zlib, LEVEL, &plain),
    };
    Frame { seq, bytes: bytes.into(), samples }
}
