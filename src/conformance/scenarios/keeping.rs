//! What a client keeps for itself.

use super::super::talk::{PLENTY, credit};
use super::{Bench, Fault};
use crate::clock;
use std::time::Duration;

pub(super) async fn restart(bench: Bench) -> Result<(), Fault> {
    let mut it = bench.station(8).await?;
    it.welcomed(0, PLENTY).await?;
    it.batches(8).await?;
    it.told("kept", 8).await?;
    it.ack(4, PLENTY).await?;
    it.kill();
    it.start(4)?;
    it.welcomed(4, credit(3)).await?;
    it.batches(3).await?;
    it.ack(7, PLENTY).await?;
    it.batches(5).await?;
    it.ack(12, PLENTY).await?;
    it.finish().await?;
    // Its buffer is empty now; the seqs go on.
    it.start(2)?;
    it.told("kept", 14).await?;
    it.welcomed(12, PLENTY).await?;
    it.batches(2).await?;
    it.ack(14, PLENTY).await?;
    it.finish().await
}

pub(super) async fn long_outage(bench: Bench) -> Result<(), Fault> {
    const BUFFER: u64 = 20;
    const READINGS: u64 = 60;
    let mut it = bench.station_with(READINGS, BUFFER).await?;
    let until = clock::monotonic() + it.bench.patience;
    let line = format!("kept {READINGS}");
    while !it.has_said(&line) {
        if until <= clock::monotonic() {
            return Err(Fault::NotTold { line, within: it.bench.patience });
        }
        let soon = clock::monotonic() + Duration::from_millis(100);
        // Whoever comes is cut off at once.
        let event = it.event(soon.min(until)).await;
        it.pass(event)?;
    }
    let given_up = READINGS - BUFFER;
    it.greeted().await?;
    if it.umpire.resume() != given_up + 1 {
        let resume = it.umpire.resume();
        return Err(Fault::Buffer { resume, readings: READINGS, buffer: BUFFER });
    }
    for seq in 1..=given_up {
        it.told("gave-up", seq).await?;
    }
    it.welcome(0, PLENTY).await?;
    it.batches(10).await?;
    it.ack(given_up + 10, PLENTY).await?;
    it.batches(10).await?;
    it.ack(READINGS, PLENTY).await?;
    it.finish().await
}
