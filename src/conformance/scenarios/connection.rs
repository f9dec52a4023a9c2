//! How a connection begins, how it ends, and when the next one comes.

use super::super::station::{Event, Station};
use super::super::talk::{PLENTY, credit};
use super::super::umpire::Heard;
use super::{Bench, Fault};
use crate::clock;
use crate::wire::{CloseCode, Downstream};
use bytes::Bytes;
use futures_util::future::{join_all, try_join};
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;

/// Waits after the first failure, without their random halves: 0.5 s, then twice as long each time.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// So many waits are looked at.
const WAITS: u32 = 4;
/// Waits that are all within this part of their whole length, or all as good as whole, have no random half:
/// with six of them that happens by chance once in 18,000 times. Delays of a busy machine make them longer.
const SAME: f64 = 0.05;
/// A client that has not begun anew waits 4 s or more; one that has, half a second at most.
const ANEW: Duration = Duration::from_secs(3);
/// Longer than the first wait of a client that comes back.
const AWAY: Duration = Duration::from_secs(3);

pub(super) async fn hello(bench: Bench) -> Result<(), Fault> {
    let (one, other) = try_join(greeting(bench.clone()), greeting(bench)).await?;
    match one == other {
        true => Err(Fault::SessionConstant(one)),
        false => Ok(()),
    }
}

/// Tells the session.
async fn greeting(bench: Bench) -> Result<u64, Fault> {
    let mut it = bench.station(5).await?;
    it.greeted().await?;
    it.quiet(Duration::from_millis(500)).await?;
    it.welcome(0, PLENTY).await?;
    it.batches(5).await?;
    it.ack(5, PLENTY).await?;
    it.finish().await?;
    Ok(it.umpire.session())
}

pub(super) async fn ping(bench: Bench) -> Result<(), Fault> {
    let mut it = bench.station(3).await?;
    it.welcomed(0, credit(1)).await?;
    for payload in ["", "tidegate"] {
        let payload = Bytes::from_static(payload.as_bytes());
        it.send(Message::Ping(payload.clone())).await?;
        while it.hear("a pong with the payload of the ping").await? != Heard::Pong(payload.clone())
        {
        }
    }
    it.ack(1, PLENTY).await?;
    it.batches(2).await?;
    it.ack(3, PLENTY).await?;
    it.finish().await
}

pub(super) async fn cut_off(bench: Bench) -> Result<(), Fault> {
    let mut it = bench.station(12).await?;
    // Before the handshake.
    drop(it.came().await?);
    it.left();
    // After batches.
    it.welcomed(0, credit(3)).await?;
    it.batches(3).await?;
    it.cut();
    // Within the handshake.
    it.cut_handshake(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: webs").await?;
    // Within a frame: what is not all there was not said.
    it.welcomed(1, credit(3)).await?;
    it.batches(3).await?;
    it.cut_within(&Downstream::Ack { seq: 4, credit: PLENTY }).await?;
    // A proxy without a daemon behind it.
    it.cut_handshake(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n").await?;
    // After Welcome.
    it.welcomed(1, PLENTY).await?;
    it.cut();
    // After the handshake.
    it.upgraded().await?;
    it.cut();
    // After Hello.
    it.greeted().await?;
    it.cut();
    it.welcomed(2, PLENTY).await?;
    it.batches(10).await?;
    it.ack(12, PLENTY).await?;
    it.finish().await
}

pub(super) async fn backoff(bench: Bench) -> Result<(), Fault> {
    let (mut waits, more) = try_join(waits(bench.clone(), false), waits(bench, true)).await?;
    waits.extend(more);
    let (least, most) =
        waits.iter().fold((f64::MAX, 0.0_f64), |(low, high), &it| (low.min(it), high.max(it)));
    if most - least < SAME || least > 1.0 - SAME {
        let waits = waits.iter().map(|wait| format!("{:.0} %", wait * 100.0)).collect::<Vec<_>>();
        return Err(Fault::NoJitter(format!("{} of the longest", waits.join(", "))));
    }
    Ok(())
}

/// The waits of a client that is turned away again and again, as parts of the longest that they may
/// be; but for the first, which is too short to be measured well.
async fn waits(bench: Bench, after_hello: bool) -> Result<Vec<f64>, Fault> {
    let mut it = bench.station(2).await?;
    let mut parts = Vec::new();
    for wait in 0..=WAITS {
        let left_at = it.left_at;
        if after_hello || wait == WAITS {
            it.greeted().await?;
        } else {
            drop(it.came().await?);
        }
        if let (Some(left_at), 2..) = (left_at, wait) {
            let longest = FIRST_WAIT * (1 << (wait - 1));
            parts.push((clock::monotonic() - left_at).as_secs_f64() / longest.as_secs_f64());
        }
        match (wait, after_hello) {
            (WAITS, _) => it.welcome(0, PLENTY).await?,
            (_, true) => it.close(CloseCode::TryLater, 0).await?,
            (_, false) => it.left(),
        }
    }
    it.batches(2).await?;
    it.ack(1, PLENTY).await?;
    it.cut();
    let left_at = clock::monotonic();
    it.welcomed(1, PLENTY).await?;
    let waited = clock::monotonic() - left_at;
    if waited > ANEW {
        return Err(Fault::NoReset(waited));
    }
    it.batches(1).await?;
    it.ack(2, PLENTY).await?;
    it.finish().await?;
    Ok(parts)
}

pub(super) async fn goodbye(bench: Bench) -> Result<(), Fault> {
    const WAIT: Duration = Duration::from_millis(1500);
    let mut it = bench.station(6).await?;
    it.welcomed(0, PLENTY).await?;
    it.batches(6).await?;
    it.ack(2, PLENTY).await?;
    let left_at = clock::monotonic();
    it.close(CloseCode::Restart, WAIT.as_millis() as u32).await?;
    it.upgraded().await?;
    let after = clock::monotonic() - left_at;
    if after + Duration::from_millis(15) < WAIT {
        return Err(Fault::Goodbye { after, wait: WAIT });
    }
    it.hear("Hello").await?;
    it.welcome(3, PLENTY).await?;
    it.batches(3).await?;
    it.ack(6, PLENTY).await?;
    it.finish().await
}

pub(super) async fn close_codes(bench: Bench) -> Result<(), Fault> {
    let mut it = bench.station(6).await?;
    let codes = [
        CloseCode::OverCredit.number(),
        CloseCode::PongTimeout.number(),
        CloseCode::Idle.number(),
        // Of proxies, and of nobody yet.
        1001,
        1011,
        4999,
    ];
    for code in codes {
        it.welcomed(0, PLENTY).await?;
        it.batches(6).await?;
        it.close_number(code).await?;
    }
    it.welcomed(0, PLENTY).await?;
    it.batches(6).await?;
    it.ack(6, PLENTY).await?;
    it.finish().await
}

pub(super) async fn stay_away(bench: Bench) -> Result<(), Fault> {
    let codes = [
        CloseCode::Replaced,
        CloseCode::Policy,
        CloseCode::UnsupportedData,
        CloseCode::BadPayload,
        CloseCode::HelloExpected,
    ];
    let all = codes.map(|code| sent_away(bench.clone(), code));
    join_all(all).await.into_iter().collect()
}

async fn sent_away(bench: Bench, code: CloseCode) -> Result<(), Fault> {
    let mut it = bench.station(2).await?;
    it.welcomed(0, credit(1)).await?;
    it.batches(1).await?;
    it.close(code, 0).await?;
    stays_away(&mut it, code).await
}

/// It may end, but not as if all were well; or do something else that is of more use.
async fn stays_away(it: &mut Station, code: CloseCode) -> Result<(), Fault> {
    let until = clock::monotonic() + AWAY;
    loop {
        match it.event(until).await {
            Event::Came(_) => return Err(Fault::CameBack { code }),
            Event::Ended(status) if !status.success() => return Ok(()),
            Event::Over => return Ok(()),
            event => it.pass(event)?,
        }
    }
}
