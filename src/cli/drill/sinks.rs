//! The part of the drill about sinks: reached, written, and what a held breaker does.

use super::live::Viewer;
use super::store::{Has, Store};
use super::{Drill, seconds};
use crate::cli::breaker::{Action, Granted, set};
use crate::cli::reach;
use crate::cli::status::{Sink, count};
use crate::clock;
use crate::config::InfluxConfig;
use std::time::Duration;
use tokio::time::sleep;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// For what was just sent to be in the store.
const WRITTEN_MAX: Duration = Duration::from_secs(30);
/// For the lag to show what is not written while the breaker is held.
const GROW_MAX: Duration = Duration::from_secs(10);
/// For what was held to drain, and how late new data may be then.
const DRAIN_MAX: Duration = Duration::from_secs(60);
const LIVE_LAG_MAX: f64 = 5.0;
/// Readings that are sent while the breaker is held.
const HELD: u64 = 20;

/// All steps of a sink; `config` is what the configuration here says of it.
pub(super) async fn drill(drill: &mut Drill<'_>, sink: &Sink, config: Option<&InfluxConfig>) {
    let name = &sink.name;
    if sink.breaker != "closed" {
        let lamp = crate::cli::status::lamp(sink);
        drill.tell(&format!("{name}: closed"), Err(format!("{lamp}; nothing else is tried")));
        return;
    }
    let reached = match config {
        None => Ok("not tried: the configuration here does not have it".to_owned()),
        Some(config) => match reach::one(config).await {
            Ok(()) => Ok(config.url.clone()),
            Err(cause) => Err(cause.to_string()),
        },
    };
    drill.tell(&format!("{name}: reached"), reached);
    let gets_rollups = sink.rollup_window_s.is_some();
    let config = config.filter(|_| !gets_rollups);
    let store = config.and_then(|config| Store::new(config, &drill.device.name));
    let is_lost = |sink: &Sink| sink.breaker == "open";
    let written = written(drill, sink, store.as_ref(), WRITTEN_MAX, is_lost).await;
    let works = written.is_ok();
    if gets_rollups {
        let folded = written.map(|_| "it gets rollups: the windows have taken it all".to_owned());
        drill.tell(&format!("{name}: written"), folded);
        let not_tried =
            "not tried: while no window ends, a sink of rollups has nothing to wait with";
        drill.tell(&format!("{name}: breaker"), Ok(not_tried.to_owned()));
        return;
    }
    drill.tell(&format!("{name}: written"), written);
    let held = match works {
        false => Err("not tried, because nothing is written".to_owned()),
        true => {
            let held = while_held(drill, name).await;
            let released = release(drill, name).await;
            match (held, released) {
                (Ok(held), Ok(())) => drained(drill, sink, store.as_ref(), held).await,
                (Err(problem), Ok(())) => Err(problem),
                (_, Err(problem)) => Err(format!("IT MAY STILL BE HELD: {problem}")),
            }
        }
    };
    drill.tell(&format!("{name}: breaker"), held);
}

/// Waits until all that was sent is in the store, as the store says; or, if it can't be asked, as the
/// daemon does.
async fn written(
    drill: &Drill<'_>,
    before: &Sink,
    store: Option<&Store>,
    patience: Duration,
    is_lost: impl Fn(&Sink) -> bool,
) -> Result<String, String> {
    let began = clock::monotonic();
    // Everything that was accepted up to now; ours is in it.
    let accepted = drill.status().await?.ledger.accepted;
    let sent = &drill.device.sent;
    loop {
        let has = match store {
            Some(store) => store.has(&drill.device.name, sent).await,
            None => Has::CanNotBeAsked,
        };
        let status = drill.status().await?;
        let sink = drill.sink(&status, &before.name)?;
        let took = clock::monotonic() - began;
        let late = took > patience || is_lost(sink);
        let done = sink.backlog_samples == 0
            && status.ledger.accepted.saturating_sub(sink.lag_samples) >= accepted;
        let (number, all) = match has {
            Has::Found(found, _) => (found, found == sent.len()),
            Has::CanNotBeAsked | Has::NotSelected => (0, done),
        };
        let refused = sink.dead_lettered - before.dead_lettered.min(sink.dead_lettered);
        match has {
            Has::Found(_, who) if all => {
                return Ok(format!("after {}; {who} has all {number}", seconds(took)));
            }
            Has::Found(_, who) if late => {
                return Err(format!(
                    "{who} has {number} of {} after {}; lag {} samples, {}",
                    sent.len(),
                    seconds(took),
                    count(sink.lag_samples),
                    crate::cli::status::lamp(sink)
                ));
            }
            Has::CanNotBeAsked | Has::NotSelected if all && refused > 0 => {
                return Err(format!("{refused} samples became dead letters meanwhile"));
            }
            Has::CanNotBeAsked if all => {
                let asked = "the store can't be asked, the daemon says so";
                return Ok(format!("after {} ({asked})", seconds(took)));
            }
            Has::NotSelected if all => {
                return Ok("its filters (devices, metrics) leave the drill out".to_owned());
            }
            _ if late => {
                let (lag, lamp) = (count(sink.lag_samples), crate::cli::status::lamp(sink));
                return Err(format!("lag {lag} samples after {}, {lamp}", seconds(took)));
            }
            _ => sleep(LOOK).await,
        }
    }
}

/// Holds the breaker and sends: how the lag grew, and how fast a viewer saw it nevertheless.
async fn while_held(drill: &mut Drill<'_>, name: &str) -> Result<String, String> {
    // Before it is asked for: whoever interrupts us releases what may be held.
    drill.held.replace(Some(name.to_owned()));
    wish(drill, name, Action::Hold).await?;
    let mut viewer = Viewer::open(&drill.daemon, &drill.device.name).await?;
    for _ in 0..HELD {
        drill.device.send().await?;
    }
    let seen = viewer.sees(drill.device.sent.len() as f64, drill.within).await;
    let seen = seen.map_err(|problem| format!("held, and live: {problem}"))?;
    let began = clock::monotonic();
    loop {
        let status = drill.status().await?;
        let lag = drill.sink(&status, name)?.lag_samples;
        if lag >= HELD {
            return Ok(format!("held: lag {} samples, live after {}", count(lag), seconds(seen)));
        }
        if clock::monotonic() - began > GROW_MAX {
            return Err(format!("held, and its lag is {lag} samples, not {HELD}"));
        }
        sleep(LOOK).await;
    }
}

/// After the release: until all is written and new data is on time.
async fn drained(
    drill: &Drill<'_>,
    before: &Sink,
    store: Option<&Store>,
    held: String,
) -> Result<String, String> {
    let began = clock::monotonic();
    let written = written(drill, before, store, DRAIN_MAX, |_| false).await;
    written.map_err(|problem| format!("{held}; released: {problem}"))?;
    let drained = clock::monotonic() - began;
    loop {
        let status = drill.status().await?;
        let sink = drill.sink(&status, &before.name)?;
        let lag = sink.live_lag_s;
        if sink.breaker == "closed" && lag < LIVE_LAG_MAX {
            let drained = seconds(drained);
            return Ok(format!("{held}; released: drained after {drained}, live lag {lag:.1} s"));
        }
        if clock::monotonic() - began > DRAIN_MAX {
            return Err(format!("{held}; released: live lag {lag:.1} s"));
        }
        sleep(LOOK).await;
    }
}

/// Undoes [`while_held`], however that ended.
pub(super) async fn release(drill: &Drill<'_>, name: &str) -> Result<(), String> {
    wish(drill, name, Action::Release).await?;
    drill.held.replace(None);
    Ok(())
}

async fn wish(drill: &Drill<'_>, name: &str, action: Action) -> Result<(), String> {
    match set(&drill.daemon, name, action).await {
        Ok(Granted::Now(_)) => Ok(()),
        Ok(Granted::Unknown(_)) => Err(format!("the daemon knows no sink {name} any more")),
        Ok(Granted::Refused(answer)) => Err(answer.detail().unwrap_or_default()),
        Err(unanswered) => Err(unanswered.to_string()),
    }
}
