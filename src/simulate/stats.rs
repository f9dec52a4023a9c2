//! What a simulation counted.

use crate::model::SessionId;
use std::fmt;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What came of a simulation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Batches sent for the first time or again.
    pub batches: u64,
    /// Samples in them.
    pub samples: u64,
    /// Batches acknowledged.
    pub acked: u64,
    /// Samples in those.
    pub acked_samples: u64,
    /// Refusals received.
    pub refused: u64,
    /// Batches pushed out of a full buffer, or still held at the end.
    pub given_up: u64,
    /// Connections made after the first.
    pub reconnects: u64,
    /// Bytes of the messages sent.
    pub wire_bytes: u64,
    /// How long it ran.
    pub elapsed: Duration,
    /// Half of the acknowledged batches were so sooner after they were sent.
    pub ack_p50: Duration,
    /// 99 in 100 were.
    pub ack_p99: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64().max(0.001);
        writeln!(f, "batches {} samples {} refused {}", self.batches, self.samples, self.refused)?;
        writeln!(
            f,
            "acknowledged: batches {} samples {} ({:.0} samples/s)",
            self.acked,
            self.acked_samples,
            self.acked_samples as f64 / seconds
        )?;
        writeln!(f, "given up {} reconnects {}", self.given_up, self.reconnects)?;
        let per_sample = self.wire_bytes as f64 / (self.samples as f64).max(1.0);
        writeln!(f, "wire: {} bytes, {per_sample:.2} bytes/sample", self.wire_bytes)?;
        write!(f, "ack latency: p50 {:.1?} p99 {:.1?}", self.ack_p50, self.ack_p99)
    }
}

/// Counts of one client, or of all.
#[derive(Debug, Default)]
pub(super) struct Stats {
    pub(super) report: Report,
    pub(super) latencies: Latencies,
}

impl Stats {
    pub(super) fn add(&mut self, other: &Stats) {
        let (sum, one) = (&mut self.report, &other.report);
        sum.batches += one.batches;
        sum.samples += one.samples;
        sum.acked += one.acked;
        sum.acked_samples += one.acked_samples;
        sum.refused += one.refused;
        sum.given_up += one.given_up;
        sum.reconnects += one.reconnects;
        sum.wire_bytes += one.wire_bytes;
        self.latencies.add(&other.latencies);
    }

    pub(super) fn finish(self, elapsed: Duration) -> Report {
        let (ack_p50, ack_p99) = (self.latencies.quantile(0.5), self.latencies.quantile(0.99));
        Report { elapsed, ack_p50, ack_p99, ..self.report }
    }
}

/// Each power of two of microseconds is divided into so many buckets: 3 % wide.
const STEPS: usize = 32;
const BUCKETS: usize = 40 * STEPS;

/// A histogram of durations from 1 µs to days.
#[derive(Debug, Default)]
pub(super) struct Latencies {
    /// Empty until the first.
    counts: Vec<u64>,
}

impl Latencies {
    pub(super) fn record(&mut self, latency: Duration) {
        self.counts.resize(BUCKETS, 0);
        let micros = latency.as_micros().max(1) as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1280")]
        let bucket = (micros.log2() * STEPS as f64) as usize;
        self.counts[bucket.min(BUCKETS - 1)] += 1;
    }

    fn add(&mut self, other: &Latencies) {
        self.counts.resize(self.counts.len().max(other.counts.len()), 0);
        for (count, other) in self.counts.iter_mut().zip(&other.counts) {
            *count += other;
        }
    }

    /// The upper edge of the bucket in which the quantile lies; zero if there is nothing.
    fn quantile(&self, quantile: f64) -> Duration {
        let total: u64 = self.counts.iter().sum();
        let mut below = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            below += count;
            if total > 0 && below as f64 >= total as f64 * quantile {
                let micros = 2_f64.powf((bucket + 1) as f64 / STEPS as f64);
                return Duration::from_secs_f64(micros / 1e6);
            }
        }
        Duration::ZERO
    }
}

/// A file with a line `client session seq` for each acknowledged batch, written through at once, so
/// that it is whole up to the moment at which a test kills somebody.
#[derive(Debug, Clone)]
pub(super) struct AckLog {
    file: Arc<Mutex<File>>,
}

impl AckLog {
    pub(super) fn create(path: &Path) -> std::io::Result<AckLog> {
        Ok(AckLog { file: Arc::new(Mutex::new(File::create(path)?)) })
    }

    pub(super) fn write(
        &self,
        client: &str,
        session: SessionId,
        seqs: impl Iterator<Item = u64>,
    ) -> std::io::Result<()> {
        let lines: String = seqs.map(|seq| format!("{client} {} {seq}\n", session.0)).collect();
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(lines.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_within_three_percent() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.quantile(0.99), Duration::ZERO);
        for millis in 1..=1000 {
            latencies.record(Duration::from_millis(millis));
        }
        for (quantile, expected) in [(0.5, 0.5), (0.99, 0.99)] {
            let seconds = latencies.quantile(quantile).as_secs_f64();
            assert!((expected..expected * 1.04).contains(&seconds), "{seconds}");
        }
    }
}
