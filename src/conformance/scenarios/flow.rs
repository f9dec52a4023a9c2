//! How much may be on its way, and how often.

use super::super::talk::{PLENTY, credit};
use super::{Bench, Fault};
use crate::clock;
use crate::wire::Credit;
use std::time::Duration;

pub(super) async fn credit_batches(bench: Bench) -> Result<(), Fault> {
    let mut it = bench.station(12).await?;
    it.welcomed(0, credit(1)).await?;
    it.batches(1).await?;
    it.quiet(Duration::from_millis(400)).await?;
    it.ack(1, credit(1)).await?;
    it.batches(1).await?;
    it.quiet(Duration::from_millis(200)).await?;
    it.ack(2, credit(3)).await?;
    it.batches(3).await?;
    it.quiet(Duration::from_millis(200)).await?;
    it.ack(4, credit(3)).await?;
    it.batches(2).await?;
    it.ack(7, credit(0)).await?;
    it.quiet(Duration::from_millis(800)).await?;
    it.throttle(credit(2), Duration::ZERO).await?;
    it.batches(2).await?;
    it.quiet(Duration::from_millis(200)).await?;
    it.throttle(credit(4), Duration::ZERO).await?;
    it.batches(2).await?;
    it.ack(11, PLENTY).await?;
    it.batches(1).await?;
    it.ack(12, PLENTY).await?;
    it.finish().await
}

pub(super) async fn credit_bytes(bench: Bench) -> Result<(), Fault> {
    let mut it = bench.station(10).await?;
    it.welcomed(0, credit(1)).await?;
    it.batches(1).await?;
    // Batches of one reading have nearly the same size: room for two and a half, then for four.
    let size = it.umpire.bytes(1);
    let room = |halves: usize| Credit {
        bytes: u32::try_from(size * halves / 2).unwrap_or(u32::MAX),
        ..PLENTY
    };
    it.ack(1, room(5)).await?;
    it.batches(2).await?;
    it.quiet(Duration::from_millis(400)).await?;
    it.ack(2, room(5)).await?;
    it.batches(1).await?;
    it.quiet(Duration::from_millis(300)).await?;
    it.ack(4, room(9)).await?;
    it.batches(4).await?;
    it.quiet(Duration::from_millis(300)).await?;
    it.ack(8, PLENTY).await?;
    it.batches(2).await?;
    it.ack(10, PLENTY).await?;
    it.finish().await
}

pub(super) async fn throttle(bench: Bench) -> Result<(), Fault> {
    const INTERVAL: Duration = Duration::from_millis(400);
    const READINGS: u64 = 48;
    let mut it = bench.station(READINGS).await?;
    it.welcomed(0, credit(1)).await?;
    it.batches(1).await?;
    // Nothing else is on its way: what comes now comes after it was told.
    let told_at = clock::monotonic();
    it.throttle(credit(8), INTERVAL).await?;
    for nth in 1..=6 {
        let seq = it.batch("a batch in each interval").await?;
        let after = clock::monotonic() - told_at;
        let early = Duration::from_millis(15);
        if after + early < INTERVAL * (nth - 1) {
            return Err(Fault::Interval { seq, nth, after, interval: INTERVAL });
        }
        // A receipt does not lift the interval.
        it.ack(seq, credit(8)).await?;
    }
    let lifted_at = clock::monotonic();
    it.throttle(PLENTY, Duration::ZERO).await?;
    for seq in (8..READINGS).step_by(8) {
        it.batches(8).await?;
        it.ack(seq + 7, PLENTY).await?;
    }
    it.batches(1).await?;
    let slow = clock::monotonic() - lifted_at;
    if slow > INTERVAL * 20 {
        return Err(Fault::IntervalStays(slow));
    }
    it.ack(READINGS, PLENTY).await?;
    it.finish().await
}
