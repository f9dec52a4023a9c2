//! What the daemon answers, and what it says unasked.

use super::super::station::Station;
use super::super::talk::{PLENTY, credit};
use super::super::umpire::Heard;
use super::{Bench, Fault};
use crate::clock;
use crate::wire::{Command, Desired, Downstream, Retry, Writer};
use std::time::Duration;

pub(super) async fn resume(bench: Bench) -> Result<(), Fault> {
    let mut it = bench.station(10).await?;
    it.welcomed(0, PLENTY).await?;
    it.batches(10).await?;
    it.cut();
    it.welcomed(4, PLENTY).await?;
    it.batches(6).await?;
    it.ack(7, PLENTY).await?;
    it.cut();
    it.welcomed(7, credit(2)).await?;
    it.batches(2).await?;
    it.ack(9, credit(2)).await?;
    it.batches(1).await?;
    it.ack(10, PLENTY).await?;
    it.finish().await
}

pub(super) async fn acks(bench: Bench) -> Result<(), Fault> {
    let mut it = bench.station(10).await?;
    it.welcomed(0, PLENTY).await?;
    it.batches(10).await?;
    it.quiet(Duration::from_millis(1500)).await?;
    it.ack(3, PLENTY).await?;
    it.ack(3, PLENTY).await?;
    it.quiet(Duration::from_millis(500)).await?;
    it.ack(9, PLENTY).await?;
    it.quiet(Duration::from_millis(500)).await?;
    it.ack(10, PLENTY).await?;
    it.finish().await
}

pub(super) async fn refused_for_good(bench: Bench) -> Result<(), Fault> {
    let mut it = bench.station(8).await?;
    it.welcomed(0, PLENTY).await?;
    it.batches(8).await?;
    it.ack(2, PLENTY).await?;
    it.refuse(3, Retry::Never).await?;
    it.told("refused", 3).await?;
    it.quiet(Duration::from_millis(300)).await?;
    // The daemon never had it: of the session it knows 1 and 2 and, perhaps, those after 3.
    it.cut();
    it.welcomed(2, credit(3)).await?;
    it.batches(3).await?;
    it.refuse(6, Retry::Never).await?;
    it.ack(6, credit(3)).await?;
    it.batches(2).await?;
    it.told("refused", 6).await?;
    it.ack(8, PLENTY).await?;
    it.finish().await
}

pub(super) async fn refused_for_later(bench: Bench) -> Result<(), Fault> {
    const WAIT: Duration = Duration::from_millis(900);
    let mut it = bench.station(8).await?;
    it.welcomed(0, credit(4)).await?;
    // All of its credit, before and after the receipt: nothing else is on its way.
    it.batches(4).await?;
    it.ack(2, credit(2)).await?;
    let refused_at = clock::monotonic();
    it.refuse(3, Retry::LaterAfterMs(WAIT.as_millis() as u32)).await?;
    let seq = it.batch("what was refused for later").await?;
    let after = clock::monotonic() - refused_at;
    if after + Duration::from_millis(15) < WAIT {
        return Err(Fault::Later { seq, after, wait: WAIT });
    }
    it.batches(1).await?;
    it.ack(4, credit(4)).await?;
    it.batches(4).await?;
    it.ack(8, PLENTY).await?;
    it.finish().await
}

pub(super) async fn unknown(bench: Bench) -> Result<(), Fault> {
    let mut it = bench.station(8).await?;
    it.welcomed(0, credit(4)).await?;
    it.batches(4).await?;
    // A message of a kind that is yet to come, and one of no kind.
    let (mut message, mut inner) = (Writer::new(), Writer::new());
    message.message(99, &mut inner, |inner| inner.uint(1, 7));
    it.say_bytes(message.finish()).await?;
    it.say_bytes(Vec::new()).await?;
    // A refusal whose code is yet to come: what to do is in `retry`.
    let mut message = Writer::new();
    message.message(3, &mut inner, |inner| {
        inner.uint(1, 2);
        inner.uint(2, 77);
        inner.uint(3, 1);
        inner.delimited(15, b"more");
    });
    it.umpire.refused_for_good(2);
    it.say_bytes(message.finish()).await?;
    it.batches(1).await?;
    it.told("refused", 2).await?;
    // An Ack with a field that is yet to come.
    let mut message = Writer::new();
    message.message(2, &mut inner, |inner| {
        inner.delimited(9, b"more");
        inner.uint(1, 4);
        inner.uint(2, PLENTY.batches.into());
        inner.uint(3, PLENTY.bytes.into());
        inner.uint(12, 1 << 40);
    });
    it.umpire.acked(4, PLENTY);
    it.say_bytes(message.finish()).await?;
    it.batches(3).await?;
    it.ack(8, PLENTY).await?;
    it.finish().await
}

pub(super) async fn command(bench: Bench) -> Result<(), Fault> {
    let mut it = bench.station(4).await?;
    // Commands need no credit.
    it.welcomed(0, credit(0)).await?;
    for id in [7, 8, 7] {
        ask(&mut it, id).await?;
    }
    it.throttle(PLENTY, Duration::ZERO).await?;
    it.batches(4).await?;
    it.ack(4, PLENTY).await?;
    it.finish().await
}

async fn ask(it: &mut Station, id: u64) -> Result<(), Fault> {
    it.umpire.commanded(id);
    let command = Command {
        id,
        device: it.client.clone(),
        name: "conformance-unheard-of".to_owned(),
        payload: b"{\"seconds\":5}".to_vec(),
        expires_at: clock::now().saturating_add(Duration::from_secs(600)),
    };
    it.say(&Downstream::Command(command)).await?;
    match it.hear(&format!("CommandResult{{id: {id}}}")).await? {
        Heard::Result(result) if result.id == id && result.ok => Err(Fault::CommandDone { id }),
        Heard::Result(result) if result.id == id && result.message.is_empty() => {
            Err(Fault::CommandMute { id })
        }
        Heard::Result(result) if result.id == id => Ok(()),
        Heard::Result(result) => Err(Fault::CommandUnasked(result.id)),
        _ => Err(Fault::Missing {
            what: format!("CommandResult{{id: {id}}}"),
            within: it.bench.patience,
        }),
    }
}

pub(super) async fn desired(bench: Bench) -> Result<(), Fault> {
    let mut it = bench.station(6).await?;
    it.welcomed(0, credit(2)).await?;
    it.batches(2).await?;
    let (device, document) = (it.client.clone(), b"{\"conformance\":true}".to_vec());
    it.umpire.desired(3);
    it.say(&Downstream::Desired(Desired { version: 3, device, document })).await?;
    // Whether or not it reports.
    it.ack(2, PLENTY).await?;
    it.batches(4).await?;
    it.quiet(Duration::from_millis(300)).await?;
    it.ack(6, PLENTY).await?;
    it.finish().await
}
