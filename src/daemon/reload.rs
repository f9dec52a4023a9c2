//! Going over to another configuration while the daemon runs.
//!
//! In: a configuration that was checked as a whole, and which settings differ. Files of keys and
//! certificates that it names are read before anything else; if one can't be used, nothing changes. Out:
//! what could not be changed, and why; the rest is in force. One task does it, one change after another;
//! it owns what the configuration in force is, because a part of a fresh one may wait for a restart.
//!
//! Which settings can be changed is for `cli/reload.rs` to say; this knows how.

use super::mqtt::Bridging;
use super::notify::Notifying;
use super::onlooker::OfSinks;
use super::sinks::Sinking;
use super::{Thread, alerts, commands, door, listener, live_feed};
use crate::alerts::Alerts;
use crate::auth::{self, Door};
use crate::clock;
use crate::commands::Commands;
use crate::config::{Config, InfluxConfig, LimitsConfig};
use crate::gate::Gate;
use crate::intake::Caps;
use crate::live::Live;
use crate::web::{ServerOptions, Tls, TlsChange};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// Where a setting stands: its keys from outside to inside. A block of a list is called by its name, or
/// else by its number.
pub type Path = Vec<String>;

/// A configuration to go over to.
pub struct Fresh {
    /// All of it.
    pub config: Config,
    /// The settings that differ and are to be applied; a block that is new or gone stands for its keys.
    pub changed: BTreeSet<Path>,
}

impl Fresh {
    /// The blocks of this list that are new, gone or others.
    fn names(&self, list: &[&str]) -> Vec<String> {
        let of_list = self.changed.iter().filter(|path| {
            path.len() > list.len() && path.iter().zip(list).all(|(key, part)| key == part)
        });
        let names: BTreeSet<_> = of_list.map(|path| path[list.len()].clone()).collect();
        names.into_iter().collect()
    }

    /// Whether something at or below one of these differs.
    fn has(&self, parts: &[&str]) -> bool {
        let is_below = |part: &&str| {
            let part: Vec<_> = part.split('.').collect();
            self.changed
                .iter()
                .any(|path| path.iter().zip(&part).filter(|(a, b)| a == b).count() == part.len())
        };
        parts.iter().any(is_below)
    }
}

/// What stays as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// Everything at and below it.
    pub path: Path,
    /// Why.
    pub why: String,
}

impl Failed {
    fn new(path: &[&str], why: impl ToString) -> Failed {
        Failed { path: path.iter().map(ToString::to_string).collect(), why: why.to_string() }
    }
}

/// What stays as it was though the rest is in force; or the mistakes, for which nothing changed.
pub type Outcome = Result<Vec<Failed>, Vec<Failed>>;

type Asked = (Fresh, oneshot::Sender<Outcome>);

/// Asks the running daemon to go over to another configuration. Cheap to clone.
#[derive(Clone)]
pub struct Reload(mpsc::Sender<Asked>);

impl Reload {
    /// Returns when it is in force, or is not; `None` if the daemon stops.
    pub async fn apply(&self, fresh: Fresh) -> Option<Outcome> {
        let (answer, outcome) = oneshot::channel();
        self.0.send((fresh, answer)).await.ok()?;
        outcome.await.ok()
    }
}

/// Handles to the rooms that can be changed.
pub(super) struct Changed {
    pub alerts: Alerts,
    pub gate: Gate,
    pub caps: Caps,
    pub live: Live,
    pub commands: Commands,
    pub bridging: Bridging,
    pub sinking: Sinking,
    pub notifying: Notifying,
    pub watched: OfSinks,
    pub entrance: Entrance,
}

/// Where people come in.
pub(super) struct Entrance {
    pub door: Door,
    pub tls: Option<Arc<Tls>>,
    pub address: SocketAddr,
}

/// What the files of a fresh configuration say; `None` = they stay the same.
struct Read {
    door: Option<auth::Change>,
    tls: Option<TlsChange>,
}

/// Who changes them.
pub(super) struct Changeable {
    /// One at a time; who finds it taken waits.
    asked: mpsc::Receiver<Asked>,
    /// In force.
    config: Config,
    rooms: Changed,
    serving: watch::Sender<ServerOptions>,
}

/// Begins with this configuration in force.
pub(super) fn begin(config: Config, rooms: Changed) -> (Reload, Changeable) {
    let (sender, asked) = mpsc::channel(1);
    let serving = watch::Sender::new(listener::options(&config, rooms.entrance.tls.clone()));
    (Reload(sender), Changeable { asked, config, rooms, serving })
}

impl Changeable {
    /// How connections are served, now and later.
    pub fn serving(&self) -> watch::Receiver<ServerOptions> {
        self.serving.subscribe()
    }

    /// Runs the rooms that may come and go, and does what is asked for, until `stop`; then nothing is
    /// begun any more, and what is under way is finished. Gives the threads that end then, without
    /// holding on to anything.
    pub async fn run(mut self, stop: CancellationToken) -> Vec<Thread> {
        self.rooms.bridging.start(&stop);
        loop {
            let asked = tokio::select! {
                Some(asked) = self.asked.recv() => asked,
                () = stop.cancelled() => break,
            };
            let (fresh, answer) = asked;
            tokio::select! {
                // Who asked may have gone.
                outcome = self.apply(fresh, &stop) => drop(answer.send(outcome)),
                () = stop.cancelled() => break,
            }
        }
        let Changed { bridging, sinking, notifying, .. } = self.rooms;
        let others = notifying.end().into_iter().chain(sinking.end());
        others.chain(bridging.end().await).collect()
    }

    async fn apply(&mut self, fresh: Fresh, stop: &CancellationToken) -> Outcome {
        let read = tokio::task::block_in_place(|| self.read(&fresh))?;
        let mut failed = Vec::new();
        tokio::task::block_in_place(|| self.entrance(&fresh, read));
        // Before there are rules that tell them.
        failed.extend(self.notify(&fresh).await);
        failed.extend(self.alerts(&fresh).await);
        failed.extend(self.limits(&fresh));
        self.devices(&fresh);
        failed.extend(self.commands(&fresh).await);
        self.quarantine(&fresh).await;
        failed.extend(self.bridges(&fresh, stop).await);
        failed.extend(self.sinks(&fresh, stop).await);
        Ok(failed)
    }

    /// Reads the files of keys and certificates; all that is wrong with them.
    fn read(&self, fresh: &Fresh) -> Result<Read, Vec<Failed>> {
        let Entrance { door, tls, address } = &self.rooms.entrance;
        let config = &fresh.config;
        // With or without TLS, that is not for us to change.
        let wanted = config.tls.as_ref().filter(|_| tls.is_some());
        let takes = wanted.is_some_and(|tls| tls.clients.is_some());
        let tls = wanted.filter(|_| fresh.has(&["tls"])).map(TlsChange::read).transpose();
        let is_other = fresh.has(&["auth", "tls"]);
        let door = is_other.then(|| door::prepare(config, door, takes, *address));
        match (door.transpose(), tls) {
            (Ok(door), Ok(tls)) => Ok(Read { door, tls }),
            (door, tls) => {
                let of_door = door.err().map(|error| Failed::new(&["auth"], error));
                let of_tls = tls.err().map(|error| Failed::new(&["tls"], error));
                Err(of_door.into_iter().chain(of_tls).collect())
            }
        }
    }

    fn entrance(&mut self, fresh: &Fresh, read: Read) {
        let Entrance { door, tls, address } = &self.rooms.entrance;
        if let (Some(change), Some(tls)) = (read.tls, tls) {
            tls.change(change);
            self.config.tls.clone_from(&fresh.config.tls);
        }
        if let Some(change) = read.door {
            door.change(change, clock::now());
            let before = std::mem::replace(&mut self.config.auth, fresh.config.auth.clone());
            if before.anonymous != self.config.auth.anonymous {
                door::say_if_nobody_is_asked(&self.config.auth, *address);
            }
        }
    }

    async fn notify(&mut self, fresh: &Fresh) -> Vec<Failed> {
        if !fresh.has(&["notify"]) {
            return Vec::new();
        }
        self.config.notify = fresh.config.notify.clone();
        let named = ["webhook", "email"].into_iter().flat_map(|kind| {
            let names = fresh.names(&["notify", kind]).into_iter();
            names.map(move |name| (kind, name)).collect::<Vec<_>>()
        });
        let named: Vec<_> = named.collect();
        let mut names: Vec<_> = named.iter().map(|(_, name)| name.clone()).collect();
        // One may have become a channel of the other kind.
        names.sort();
        names.dedup();
        let failed = self.rooms.notifying.change(&names, &self.config).await;
        let why = |name: &str| failed.iter().find(|(failed, _)| failed == name).map(|(_, why)| why);
        let failed = named
            .iter()
            .filter_map(|(kind, name)| Some(Failed::new(&["notify", kind, name], why(name)?)));
        failed.collect()
    }

    async fn alerts(&mut self, fresh: &Fresh) -> Vec<Failed> {
        if !fresh.has(&["alerts", "alerting"]) {
            return Vec::new();
        }
        let is = &fresh.config.alerts;
        if let Err(refused) = self.rooms.alerts.configure(alerts::changed(is)).await {
            return [["alerts"], ["alerting"]].map(|path| Failed::new(&path, &refused)).to_vec();
        }
        let in_force = &mut self.config.alerts;
        in_force.rules.clone_from(&is.rules);
        (in_force.keep, in_force.events_max) = (is.keep, is.events_max);
        Vec::new()
    }

    async fn commands(&mut self, fresh: &Fresh) -> Option<Failed> {
        if !fresh.has(&["commands"]) {
            return None;
        }
        self.config.commands = fresh.config.commands.clone();
        let done = self.rooms.commands.configure(commands::settings(&self.config)).await;
        done.err().map(|error| Failed::new(&["commands"], error))
    }

    async fn quarantine(&mut self, fresh: &Fresh) {
        if fresh.has(&["quarantine"]) {
            self.config.quarantine = fresh.config.quarantine.clone();
            self.rooms.bridging.keep(&self.config.quarantine).await;
        }
    }

    async fn bridges(&mut self, fresh: &Fresh, stop: &CancellationToken) -> Vec<Failed> {
        let list = ["intake", "mqtt"];
        let names = fresh.names(&list);
        let after = &fresh.config.intake.mqtt;
        let before = std::mem::replace(&mut self.config.intake.mqtt, after.clone());
        let failed = self.rooms.bridging.change(&names, &before, after, stop).await;
        failed.into_iter().map(|(name, why)| Failed::new(&[list[0], list[1], &name], why)).collect()
    }

    async fn sinks(&mut self, fresh: &Fresh, stop: &CancellationToken) -> Vec<Failed> {
        let list = ["sinks", "influx"];
        let names = fresh.names(&list);
        let before = self.config.clone();
        self.config.sinks.influx.clone_from(&fresh.config.sinks.influx);
        let Changed { sinking, watched, .. } = &mut self.rooms;
        let failed = sinking.change(&names, &before, &self.config, watched, stop).await;
        // What failed is as it was.
        let has_failed = |sink: &InfluxConfig| failed.iter().any(|(name, _)| *name == sink.name);
        let sinks = &mut self.config.sinks.influx;
        sinks.retain(|sink| !has_failed(sink));
        sinks.extend(before.sinks.influx.into_iter().filter(has_failed));
        failed.into_iter().map(|(name, why)| Failed::new(&[list[0], list[1], &name], why)).collect()
    }

    fn devices(&mut self, fresh: &Fresh) {
        if fresh.has(&["devices", "clocks", "live.offline_after"]) {
            self.config.devices = fresh.config.devices.clone();
            self.config.clocks = fresh.config.clocks.clone();
            self.config.live.offline_after = fresh.config.live.offline_after;
            self.rooms.live.set_device_terms(live_feed::device_terms(&self.config));
        }
    }

    fn limits(&mut self, fresh: &Fresh) -> Vec<Failed> {
        let mut failed = Vec::new();
        if fresh.has(&["live.viewers_max"]) {
            self.config.live.viewers_max = fresh.config.live.viewers_max;
            self.rooms.live.set_viewers_max(self.config.live.viewers_max);
        }
        if fresh.has(&["live.viewers_per_address"]) {
            self.config.live.viewers_per_address = fresh.config.live.viewers_per_address;
            self.serve();
        }
        if !fresh.has(&["limits"]) {
            return failed;
        }
        let before = &self.config.limits;
        let mut limits = LimitsConfig {
            // Tables of these sizes were made at the start.
            series_max: before.series_max,
            gate_memory: before.gate_memory,
            sessions_max: before.sessions_max,
            ..fresh.config.limits.clone()
        };
        let new_series = limits.new_series_per_minute;
        if new_series != before.new_series_per_minute
            && let Err(refusal) = self.rooms.gate.set_new_series_per_minute(new_series as usize)
        {
            failed.push(Failed::new(&["limits", "new_series_per_minute"], refusal));
            limits.new_series_per_minute = before.new_series_per_minute;
        }
        self.rooms.caps.set(limits.clone());
        self.config.limits = limits;
        self.serve();
        failed
    }

    /// New connections are served by what is in force; TLS goes on as it is.
    fn serve(&self) {
        self.serving.send_modify(|options| {
            *options = listener::options(&self.config, options.tls.clone());
        });
    }
}
