//! The host: who is told everything.

use super::command::{self, CommandError};
use super::context::{Context, LONG_AGO, Shared};
use super::heard::{Act, Heard, NodeId, Standing, Will};
use super::node::{Life, Node};
use super::puzzle::{Puzzle, PuzzleKind};
use super::remembered::{self, Damaged};
use super::scope::Scope;
use super::settings::Settings;
use super::state::State;
use super::topic::{self, Topic, Verb};
use crate::decode::Content;
use crate::model::Timestamp;
use hashbrown::{Equivalent, HashMap};
use std::collections::BTreeSet;
use std::time::Duration;

/// Nodes that wait for their primary host are born by themselves when it comes; only who was not by
/// then is asked.
const CONFIRM_AFTER: Duration = Duration::from_secs(10);

/// A host application for one connection to a broker.
///
/// Memory is bounded by [`Caps`](super::Caps). What one message costs is bounded by its bytes, of
/// what it inflates to if it is compressed.
#[derive(Debug)]
pub struct Host {
    settings: Settings,
    pub(super) nodes: HashMap<NodeId, Node>,
    /// When nodes are to be looked at.
    alarms: BTreeSet<(Timestamp, NodeId)>,
    pub(super) shared: Shared,
    /// Of the connection's will, in milliseconds.
    state_timestamp: i64,
    /// When nodes that are of no use were last looked for.
    swept_at: Timestamp,
}

/// A node's id as it stands in a topic.
#[derive(Hash)]
struct IdOf<'t> {
    group: &'t str,
    node: &'t str,
}

impl Equivalent<NodeId> for IdOf<'_> {
    fn equivalent(&self, id: &NodeId) -> bool {
        *self.group == *id.group && *self.node == *id.node
    }
}

impl Host {
    /// A host that knows nobody.
    #[must_use]
    pub fn new(settings: Settings) -> Host {
        let shared = Shared {
            connected: false,
            next_request: LONG_AGO,
            table_bytes: 0,
            held_bytes: 0,
            counts: Standing::default(),
            scratch: Vec::new(),
        };
        Host {
            settings,
            nodes: HashMap::new(),
            alarms: BTreeSet::new(),
            shared,
            state_timestamp: 0,
            swept_at: LONG_AGO,
        }
    }

    /// Takes back the tables of a node, before the first message. Until the node is born again its
    /// messages are read by them.
    ///
    /// # Errors
    /// [`Damaged`]: forget those bytes; nothing else is to be done.
    pub fn restore(&mut self, remembered: &[u8]) -> Result<NodeId, Damaged> {
        let node = remembered::read(remembered, &self.settings)?;
        let bytes: usize = node.scopes().map(|scope| scope.table.bytes()).sum();
        let caps = &self.settings.caps;
        if self.nodes.contains_key(&node.id)
            || self.nodes.len() >= caps.nodes
            || self.shared.table_bytes + bytes > caps.table_bytes
        {
            return Err(Damaged);
        }
        self.shared.table_bytes += bytes;
        let id = node.id.clone();
        self.nodes.insert(id.clone(), node);
        Ok(id)
    }

    /// The tables of a node, to be kept over a restart; `None`: what was kept is to be forgotten.
    #[must_use]
    pub fn remember(&self, node: &NodeId) -> Option<Vec<u8>> {
        self.nodes.get(node).filter(|node| node.life.is_known()).map(remembered::write)
    }

    /// The will for the connection that is about to be made
    /// (tck-id-host-topic-phid-death-required). Without a host id there is none.
    pub fn will(&mut self, now: Timestamp) -> Option<Will> {
        self.state_timestamp = now.as_millis();
        let state = State { online: false, timestamp: self.state_timestamp };
        (!self.settings.host_id.is_empty()).then(|| Will {
            topic: topic::state(&self.settings.host_id),
            payload: state.write(),
            qos: 1,
            retain: true,
        })
    }

    /// The broker took the connection, and the route's own subscription. Do the acts in order: our
    /// STATE is subscribed to before it is published (tck-id-host-topic-phid-birth-sub-required).
    pub fn connected(&mut self, now: Timestamp) -> Vec<Act> {
        self.shared.connected = true;
        let mut recalled: Vec<_> = self
            .nodes
            .values()
            .filter(|node| node.life == Life::Recalled)
            .map(|node| node.id.clone())
            .collect();
        recalled.sort_unstable();
        if !self.settings.confirm_interval.is_zero() {
            let mut at = now.saturating_add(CONFIRM_AFTER);
            for id in recalled {
                if let Some(node) = self.nodes.get_mut(&id) {
                    node.asking.want_at(at);
                    schedule(node, &self.settings, &mut self.alarms);
                }
                at = at.saturating_add(self.settings.confirm_interval);
            }
        }
        if self.settings.host_id.is_empty() {
            return Vec::new();
        }
        let filter = topic::state(&self.settings.host_id);
        vec![Act::Subscribe { filter, qos: 1 }, self.state(true, self.state_timestamp)]
    }

    /// Takes a message of the route.
    ///
    /// # Errors
    /// [`Puzzle`], if nothing came of the message but that.
    pub fn message(
        &mut self,
        topic: &str,
        payload: &[u8],
        received_at: Timestamp,
        retained: bool,
    ) -> Result<Heard, Puzzle> {
        match Topic::read(topic).ok_or(PuzzleKind::Topic)? {
            Topic::Command => Ok(Heard::default()),
            Topic::State { host_id } => Ok(self.hear_state(host_id, payload, received_at)),
            Topic::Edge { .. } if retained => Err(PuzzleKind::Retained.into()),
            Topic::Edge { verb, group, node, device } => {
                let id = IdOf { group, node };
                self.hear(verb, &id, device, payload, received_at)
            }
        }
    }

    fn hear(
        &mut self,
        verb: Verb,
        id: &IdOf<'_>,
        device: Option<&str>,
        payload: &[u8],
        now: Timestamp,
    ) -> Result<Heard, Puzzle> {
        let mut heard = Heard::default();
        if !self.nodes.contains_key(id) {
            if verb == Verb::Death {
                // Nobody knew it to be alive.
                return Ok(heard);
            }
            self.make_room(now)?;
            let id = NodeId { group: id.group.into(), node: id.node.into() };
            let node = Node::new(id.clone(), &self.settings)?;
            self.nodes.insert(id, node);
        }
        let Some(node) = self.nodes.get_mut(id) else { return Ok(heard) };
        let mut context =
            Context { settings: &self.settings, shared: &mut self.shared, heard: &mut heard, now };
        let done = node.hear(verb, device, payload, &mut context);
        schedule(node, &self.settings, &mut self.alarms);
        match done {
            Ok(()) => Ok(heard),
            Err(kind) if heard.is_empty() => Err(kind.into()),
            Err(kind) => {
                heard.refuse(kind.into());
                Ok(heard)
            }
        }
    }

    /// The connection was lost: all that is known is stale from now on
    /// (tck-id-operational-behavior-edge-node-termination-host-action-ndeath-node-tags-stale says
    /// it of a node's death; here nobody would tell us of one).
    pub fn disconnected(&mut self, now: Timestamp) -> Heard {
        self.shared.connected = false;
        let mut heard = Heard::default();
        for node in self.nodes.values_mut() {
            let mut context = Context {
                settings: &self.settings,
                shared: &mut self.shared,
                heard: &mut heard,
                now,
            };
            node.disconnected(&mut context);
            schedule(node, &self.settings, &mut self.alarms);
        }
        heard
    }

    /// Time passed. Call it at [`Host::next_deadline`].
    pub fn tick(&mut self, now: Timestamp) -> Heard {
        let mut heard = Heard::default();
        while self.alarms.first().is_some_and(|(at, _)| *at <= now)
            && let Some((_, id)) = self.alarms.pop_first()
        {
            let Some(node) = self.nodes.get_mut(&id) else { continue };
            node.alarm = None;
            let mut context = Context {
                settings: &self.settings,
                shared: &mut self.shared,
                heard: &mut heard,
                now,
            };
            node.tick(&mut context);
            schedule(node, &self.settings, &mut self.alarms);
        }
        heard
    }

    /// When [`Host::tick`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.alarms.first().map(|(at, _)| *at)
    }

    /// What to publish before an orderly DISCONNECT
    /// (tck-id-host-topic-phid-death-payload-timestamp-disconnect-clean).
    pub fn farewell(&mut self, now: Timestamp) -> Option<Act> {
        self.shared.connected = false;
        (!self.settings.host_id.is_empty()).then(|| self.state(false, now.as_millis()))
    }

    /// The message that tells a device to set a metric, named as in readings. Its answer is the
    /// metric's next value.
    ///
    /// # Errors
    /// [`CommandError`] says why there is none.
    pub fn command(
        &self,
        device: &str,
        metric: &str,
        value: &Content<'_>,
        now: Timestamp,
    ) -> Result<Act, CommandError> {
        let unknown = || CommandError::UnknownDevice { device: device.to_owned() };
        let (node, id, scope) = self.find(device).ok_or_else(unknown)?;
        if scope.online != Some(true) || !self.shared.connected {
            return Err(CommandError::Offline { device: device.to_owned() });
        }
        let named = |entry: &&super::table::Entry| entry.name.as_deref() == Ok(metric);
        let (device, metric) = (device.to_owned(), metric.to_owned());
        match scope.table.entries.iter().find(named).map(|entry| (&entry.told, entry.datatype)) {
            Some((told, Some(datatype))) => command::set(node, id, told, datatype, value, now),
            _ => Err(CommandError::UnknownMetric { device, metric }),
        }
    }

    /// The message that asks the node of a device, or a node itself, to be born again.
    ///
    /// # Errors
    /// [`CommandError`] says why there is none.
    pub fn rebirth(&self, device: &str, now: Timestamp) -> Result<Act, CommandError> {
        let device = device.to_owned();
        match self.find(&device) {
            None => Err(CommandError::UnknownDevice { device }),
            Some(_) if !self.shared.connected => Err(CommandError::Offline { device }),
            Some((node, ..)) => Ok(command::rebirth(node, now)),
        }
    }

    /// Whether there is such a node, or a device of one.
    #[must_use]
    pub fn knows(&self, device: &str) -> bool {
        self.find(device).is_some()
    }

    /// Who is called so.
    fn find(&self, device: &str) -> Option<(&NodeId, Option<&str>, &Scope)> {
        self.nodes.values().find_map(|node| {
            if *node.own.device == *device {
                return Some((&node.id, None, &node.own));
            }
            let found = node.devices.iter().find(|(_, scope)| *scope.device == *device);
            found.map(|(id, scope)| (&node.id, Some(&**id), scope))
        })
    }

    /// How it stands. Looks at every device; not for every message.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let mut standing = self.shared.counts;
        for node in self.nodes.values() {
            standing.nodes += 1;
            standing.nodes_online += usize::from(node.own.online == Some(true));
            standing.devices += node.devices.len();
            let online = node.devices.values().filter(|device| device.online == Some(true));
            standing.devices_online += online.count();
            standing.metrics += node.scopes().map(|scope| scope.table.entries.len()).sum::<usize>();
        }
        standing.memory_bytes = self.shared.table_bytes + self.shared.held_bytes;
        standing
    }

    /// As it was set up.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A will of an earlier connection may come late: whoever believes it is set right.
    fn hear_state(&mut self, host_id: &str, payload: &[u8], now: Timestamp) -> Heard {
        let mut heard = Heard::default();
        let ours = !host_id.is_empty() && host_id == self.settings.host_id;
        if !ours || !self.shared.connected {
            return heard;
        }
        let timestamp = match State::read(payload) {
            Some(state) if state.online => return heard,
            // Nodes believe no STATE that is older than the last.
            Some(state) if state.timestamp > self.state_timestamp => {
                state.timestamp.max(now.as_millis())
            }
            _ => self.state_timestamp,
        };
        heard.acts.push(self.state(true, timestamp));
        heard
    }

    fn state(&self, online: bool, timestamp: i64) -> Act {
        let payload = State { online, timestamp }.write();
        let topic = topic::state(&self.settings.host_id);
        Act::Publish { topic, payload, qos: 1, retain: true }
    }

    /// Makes room for a node, at the cost of such that were only ever asked for.
    fn make_room(&mut self, now: Timestamp) -> Result<(), PuzzleKind> {
        let max = self.settings.caps.nodes;
        let interval = self.settings.rebirth_interval_min;
        if self.nodes.len() >= max && now >= self.swept_at.saturating_add(interval) {
            self.swept_at = now;
            for (id, node) in self.nodes.extract_if(|_, node| {
                let useless = match node.life {
                    Life::Unborn => node.scopes().all(|scope| scope.table.entries.is_empty()),
                    life => life == Life::Dead,
                };
                useless && node.heard_at.saturating_add(interval) <= now
            }) {
                let bytes: usize = node.scopes().map(|scope| scope.table.bytes()).sum();
                self.shared.table_bytes -= bytes;
                if let Some(alarm) = node.alarm {
                    self.alarms.remove(&(alarm, id));
                }
            }
        }
        match self.nodes.len() < max {
            true => Ok(()),
            false => Err(PuzzleKind::TooMany { what: "nodes", max }),
        }
    }
}

/// Puts a node's next deadline into the table of all.
fn schedule(node: &mut Node, settings: &Settings, alarms: &mut BTreeSet<(Timestamp, NodeId)>) {
    let deadline = node.deadline(settings);
    if deadline != node.alarm {
        if let Some(alarm) = node.alarm.take() {
            alarms.remove(&(alarm, node.id.clone()));
        }
        if let Some(at) = deadline {
            alarms.insert((at, node.id.clone()));
        }
        node.alarm = deadline;
    }
}
