//! One edge node: its births, the order of its messages, and what they tell.
//!
//! ```text
//!            NBIRTH                    message lost, table contradicted
//! Unborn ──────────────► Born ─────────────────────────────────► Lost
//!   ▲                    ▲  │ broker lost, daemon restarted        │
//!   │       NBIRTH       │  ▼                                      │ NBIRTH
//!  Dead ◄── NDEATH ── Recalled ◄───────────────────────────────────┘ (to Born)
//! ```
//!
//! *Born*: the tables are those of the births, and no message is missing since. *Recalled*: the
//! tables are those of the last births that were received, and messages may have been missed since;
//! they are believed, and the node is asked for a rebirth in its turn. *Lost*: a birth may have been
//! missed, so aliases may stand for something else: only names are believed.

use super::asking::Asking;
use super::command::rebirth;
use super::heard::{Heard, HeardReading, Keep, NodeId, Presence, Standing};
use super::order::{Held, Order};
use super::payload::{self, Metric, Payload};
use super::puzzle::{Puzzle, PuzzleKind};
use super::table::{Aliased, Table};
use super::telling::Telling;
use super::topic::Verb;
use super::value::plain;
use super::{DataType, Settings};
use crate::decode::{Content, Reading, Value};
use crate::model::{NANOS_PER_SECOND, Timestamp, check_name};
use hashbrown::HashMap;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// Births come in bursts; a node's tables are written down once after so long.
const REMEMBER_AFTER: Duration = Duration::from_secs(1);
/// The metric that numbers a node's sessions (tck-id-payloads-nbirth-bdseq).
pub(super) const BDSEQ: &str = "bdSeq";
/// The metric by which a node is asked for a rebirth; its value tells nothing.
pub(super) const REBIRTH: &str = "Node Control/Rebirth";

/// What a node is told besides its messages, and where it answers.
pub(super) struct Context<'c> {
    pub(super) settings: &'c Settings,
    pub(super) shared: &'c mut Shared,
    pub(super) heard: &'c mut Heard,
    pub(super) now: Timestamp,
}

/// What all nodes of a host share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) connected: bool,
    pub(super) next_request: Timestamp,
    pub(super) table_bytes: usize,
    pub(super) held_bytes: usize,
    /// Only its counts that go up are used.
    pub(super) counts: Standing,
    pub(super) scratch: Vec<u8>,
}

/// See the top of this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Unborn,
    Born,
    Recalled,
    Lost,
    Dead,
}

impl Life {
    /// Whether the tables are believed.
    pub(super) fn is_known(self) -> bool {
        matches!(self, Life::Born | Life::Recalled)
    }
}

/// The metrics of a node itself or of one of its devices.
#[derive(Debug)]
pub(super) struct Scope {
    /// What it is called in readings.
    pub(super) device: Arc<str>,
    pub(super) table: Table,
    /// Its birth came since the node's.
    pub(super) born: bool,
    /// Some alias once stood for something else.
    differs: bool,
    /// `None`: not known since the daemon started.
    pub(super) online: Option<bool>,
}

/// An edge node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) own: Scope,
    pub(super) devices: HashMap<Arc<str>, Scope>,
    pub(super) life: Life,
    pub(super) bdseq: Option<u64>,
    /// When the NBIRTH was sent, by the node's clock.
    born_at: Option<u64>,
    order: Order,
    pub(super) asking: Asking,
    /// When devices that were not born again are taken for gone.
    settle_at: Option<Timestamp>,
    /// When a recalled node that was asked and did not answer is taken for gone.
    silent_at: Option<Timestamp>,
    remember_at: Option<Timestamp>,
    /// When it was last heard of.
    pub(super) heard_at: Timestamp,
    /// As it stands in the host's table of deadlines.
    pub(super) alarm: Option<Timestamp>,
}

impl Node {
    pub(super) fn new(id: NodeId, settings: &Settings) -> Result<Node, PuzzleKind> {
        let own = Scope::new(settings, &id, None)?;
        Ok(Node {
            id,
            own,
            devices: HashMap::new(),
            life: Life::Unborn,
            bdseq: None,
            born_at: None,
            order: Order::default(),
            asking: Asking::default(),
            settle_at: None,
            silent_at: None,
            remember_at: None,
            heard_at: Timestamp::default(),
            alarm: None,
        })
    }

    /// Takes a message.
    pub(super) fn hear(
        &mut self,
        verb: Verb,
        device: Option<&str>,
        bytes: &[u8],
        context: &mut Context<'_>,
    ) -> Result<(), PuzzleKind> {
        self.heard_at = context.now;
        let mut scratch = std::mem::take(&mut context.shared.scratch);
        let done =
            read(bytes, context.settings, &mut scratch).and_then(|payload| match (verb, device) {
                (Verb::Birth, None) => self.birth(&payload, context),
                (Verb::Death, None) => {
                    self.death(&payload, context);
                    Ok(())
                }
                _ => self.ordered(verb, device, bytes, &payload, context),
            });
        context.shared.scratch = scratch;
        if (verb, device) == (Verb::Birth, None) && done.is_err() && self.life.is_known() {
            // There is a birth, but it could not be read.
            self.lose(context);
        }
        done
    }

    /// NBIRTH: everything begins anew.
    fn birth(
        &mut self,
        payload: &Payload<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), PuzzleKind> {
        let seq = seq(payload)?;
        let waited = self.order.restart(Some(seq));
        context.drop_held(&waited);
        self.asking.done();
        self.silent_at = None;
        self.remember_later(context.now);
        let max = context.settings.caps.node_metrics;
        // Without the table nothing of the node can be believed: it is as if it were not born.
        self.life = Life::Lost;
        let table = context.table(&payload.metrics, max, &self.own.table)?;
        self.life = Life::Born;
        self.own.take(table, context.shared);
        self.bdseq = bdseq(payload, &self.own.table);
        self.born_at = payload.timestamp;
        context.shared.counts.births += 1;
        for device in self.devices.values_mut() {
            device.born = false;
        }
        let patience = context.settings.reorder_timeout;
        self.settle_at = (!self.devices.is_empty()).then(|| context.now.saturating_add(patience));
        self.own.set_online(true, context.now, context);
        let believed = Believed::All;
        self.own.tell(payload, believed, context.now, context);
        Ok(())
    }

    /// NDEATH, which most often is the will of a connection that was lost: it may be that of an
    /// earlier session than the one that runs, which its bdSeq tells
    /// (tck-id-payloads-ndeath-bdseq).
    fn death(&mut self, payload: &Payload<'_>, context: &mut Context<'_>) {
        let told = bdseq(payload, &self.own.table);
        let another = told.is_some() && self.bdseq.is_some() && told != self.bdseq;
        if another && self.life == Life::Born {
            context.shared.counts.stale_deaths += 1;
            return;
        }
        if another && self.life == Life::Recalled {
            // There was a birth that we missed, or this is very late: the tables may be outdated.
            self.lose(context);
            return;
        }
        if matches!(self.life, Life::Unborn | Life::Dead) {
            return;
        }
        let waited = self.order.restart(None);
        context.drop_held(&waited);
        self.life = Life::Dead;
        self.asking.done();
        self.settle_at = None;
        self.silent_at = None;
        self.remember_later(context.now);
        context.shared.counts.deaths += 1;
        self.set_all_offline(context.now, context);
    }

    /// Whatever is numbered: all but NBIRTH and NDEATH.
    fn ordered(
        &mut self,
        verb: Verb,
        device: Option<&str>,
        bytes: &[u8],
        payload: &Payload<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), PuzzleKind> {
        let seq = seq(payload)?;
        if !self.life.is_known() {
            self.unordered(verb, device, payload, context.now, context);
            self.ask(context);
            return Ok(());
        }
        if self.order.is_next(seq) {
            self.order.taken(seq);
            self.apply(verb, device, payload, context.now, context);
            self.apply_held(context);
            return Ok(());
        }
        if self.is_before_birth(payload) {
            // Of the session before, overtaken by the birth; or the node's clock was set back, and
            // then a message is missing as well.
            context.shared.counts.dropped += 1;
            self.order.missing(context.now);
            return Ok(());
        }
        let held = Held {
            seq,
            verb,
            device: device.map(Into::into),
            payload: bytes.into(),
            received_at: context.now,
        };
        let size = held.bytes();
        let room = context.shared.held_bytes + size <= context.settings.caps.held_bytes;
        let max = if room { context.settings.caps.held_messages } else { 0 };
        match self.order.hold(held, max) {
            Ok(()) => {
                context.shared.held_bytes += size;
                context.shared.counts.held += 1;
            }
            Err(_) => {
                self.lose(context);
                self.unordered(verb, device, payload, context.now, context);
            }
        }
        Ok(())
    }

    /// Those whose turn has come.
    fn apply_held(&mut self, context: &mut Context<'_>) {
        let mut scratch = Vec::new();
        while self.life.is_known()
            && let Some(held) = self.order.next_held()
        {
            context.shared.held_bytes -= held.bytes();
            self.order.taken(held.seq);
            // It was read before it was held.
            if let Ok(payload) = read(&held.payload, context.settings, &mut scratch) {
                self.apply(held.verb, held.device.as_deref(), &payload, held.received_at, context);
            }
        }
    }

    /// A message whose turn it is.
    fn apply(
        &mut self,
        verb: Verb,
        device: Option<&str>,
        payload: &Payload<'_>,
        at: Timestamp,
        context: &mut Context<'_>,
    ) {
        self.own.set_online(true, at, context);
        let before_birth = self.is_before_birth(payload);
        let Some(id) = device else {
            let believed = self.own.believed(before_birth);
            let told = self.own.tell(payload, believed, at, context);
            return self.consider(told, context);
        };
        match (verb, self.devices.get_mut(id)) {
            (Verb::Birth, _) => self.device_birth(id, payload, at, context),
            (Verb::Death, Some(device)) => {
                device.born = false;
                device.set_online(false, at, context);
                context.shared.counts.deaths += 1;
            }
            (Verb::Data, Some(device)) if device.born => {
                device.set_online(true, at, context);
                let believed = device.believed(before_birth);
                let told = device.tell(payload, believed, at, context);
                self.consider(told, context);
            }
            (Verb::Data, _) => {
                // tck-id-operational-behavior-data-publish-dbirth
                context.shared.counts.dropped += 1;
                self.asking.told_too_little();
                self.ask(context);
            }
            (Verb::Death, None) => {}
        }
    }

    fn device_birth(
        &mut self,
        id: &str,
        payload: &Payload<'_>,
        at: Timestamp,
        context: &mut Context<'_>,
    ) {
        self.remember_later(context.now);
        if let Err(kind) = self.try_device_birth(id, payload, at, context) {
            let naming = &context.settings.naming;
            let device = naming.device(&self.id.group, &self.id.node, Some(id));
            context.heard.refuse(Puzzle { device, metric: String::new(), kind });
            context.shared.counts.dropped += 1;
            if let Some(device) = self.devices.get_mut(id) {
                device.born = false;
            }
        }
    }

    fn try_device_birth(
        &mut self,
        id: &str,
        payload: &Payload<'_>,
        at: Timestamp,
        context: &mut Context<'_>,
    ) -> Result<(), PuzzleKind> {
        let caps = context.settings.caps;
        let others: usize = self.scopes().map(|scope| scope.table.entries.len()).sum();
        if !self.devices.contains_key(id) {
            if self.devices.len() >= caps.devices {
                return Err(PuzzleKind::TooMany { what: "devices of a node", max: caps.devices });
            }
            let scope = Scope::new(context.settings, &self.id, Some(id))?;
            self.devices.insert(id.into(), scope);
        }
        let Some(device) = self.devices.get_mut(id) else { return Ok(()) };
        let max = caps.node_metrics.saturating_sub(others - device.table.entries.len());
        let table = context.table(&payload.metrics, max, &device.table)?;
        device.take(table, context.shared);
        device.born = true;
        context.shared.counts.births += 1;
        device.set_online(true, at, context);
        device.tell(payload, Believed::All, at, context);
        Ok(())
    }

    /// A message whose place among the others is not known: only names are believed, and only such
    /// that a birth told.
    fn unordered(
        &mut self,
        verb: Verb,
        device: Option<&str>,
        payload: &Payload<'_>,
        at: Timestamp,
        context: &mut Context<'_>,
    ) {
        let scope = match (self.life, device) {
            (Life::Lost, None) => Some(&mut self.own),
            (Life::Lost, Some(id)) => self.devices.get_mut(id),
            _ => None,
        };
        match (verb, scope) {
            (Verb::Data | Verb::Birth, Some(scope)) => {
                scope.tell(payload, Believed::Names, at, context);
            }
            (Verb::Death, Some(scope)) => scope.set_online(false, at, context),
            (_, None) => {
                context.shared.counts.dropped += 1;
                if !payload.metrics.is_empty() {
                    let naming = &context.settings.naming;
                    let device = naming.device(&self.id.group, &self.id.node, device);
                    let kind = PuzzleKind::AwaitingBirth;
                    context.heard.refuse(Puzzle { device, metric: String::new(), kind });
                }
            }
        }
    }

    /// Acts on what a message showed of the tables.
    fn consider(&mut self, told: Told, context: &mut Context<'_>) {
        match told {
            Told::Understood => {}
            Told::Unknown | Told::Contradicted if self.life == Life::Recalled => self.lose(context),
            Told::Unknown | Told::Contradicted => {
                self.asking.told_too_little();
                self.ask(context);
            }
        }
    }

    /// What was missing never came, or the tables are not the node's any more.
    fn lose(&mut self, context: &mut Context<'_>) {
        self.life = Life::Lost;
        self.silent_at = None;
        self.remember_later(context.now);
        if self.order.missing_since().is_some() {
            let (waited, missing) = self.order.give_up();
            context.shared.counts.lost += missing;
            let mut scratch = Vec::new();
            for held in waited {
                context.shared.held_bytes -= held.bytes();
                if let Ok(payload) = read(&held.payload, context.settings, &mut scratch) {
                    let device = held.device.as_deref();
                    self.unordered(held.verb, device, &payload, held.received_at, context);
                }
            }
        }
        self.ask(context);
    }

    /// Whether a message was sent before the birth, by the node's own clock.
    fn is_before_birth(&self, payload: &Payload<'_>) -> bool {
        matches!((payload.timestamp, self.born_at), (Some(sent), Some(born)) if sent < born)
    }

    /// Wants a rebirth.
    fn ask(&mut self, context: &mut Context<'_>) {
        if context.shared.connected {
            let min = context.settings.rebirth_interval_min;
            self.asking.want(context.now, min, &mut context.shared.next_request);
            self.request_if_due(context);
        }
    }

    fn request_if_due(&mut self, context: &mut Context<'_>) {
        if self.asking.due().is_none_or(|due| due > context.now) {
            return;
        }
        if !context.shared.connected {
            self.asking.done();
        } else {
            let min = context.settings.rebirth_interval_min;
            context.heard.acts.push(rebirth(&self.id, context.now));
            context.shared.counts.rebirth_requests += 1;
            self.asking.sent(context.now, min);
            if self.life == Life::Recalled {
                self.silent_at = Some(context.now.saturating_add(min));
            }
        }
    }

    /// Time passed.
    pub(super) fn tick(&mut self, context: &mut Context<'_>) {
        let due = |at: Option<Timestamp>| at.is_some_and(|at| at <= context.now);
        let (settled, silent) = (due(self.settle_at), due(self.silent_at));
        let remember = due(self.remember_at);
        if due(self.missing_until(context.settings)) {
            self.lose(context);
        }
        if settled {
            self.settle_at = None;
            self.settle(context);
        }
        if silent {
            self.silent_at = None;
            self.set_unheard_offline(context);
        }
        self.request_if_due(context);
        if remember {
            self.remember_at = None;
            context.heard.remember.push(self.id.clone());
        }
    }

    fn missing_until(&self, settings: &Settings) -> Option<Timestamp> {
        self.order.missing_since().map(|since| since.saturating_add(settings.reorder_timeout))
    }

    /// When [`Node::tick`] is due.
    pub(super) fn deadline(&self, settings: &Settings) -> Option<Timestamp> {
        [
            self.missing_until(settings),
            self.settle_at,
            self.silent_at,
            self.remember_at,
            self.asking.due(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Devices that the last births did not tell of are gone.
    fn settle(&mut self, context: &mut Context<'_>) {
        for (_, mut device) in self.devices.extract_if(|_, device| !device.born) {
            device.set_online(false, context.now, context);
            context.shared.table_bytes -= device.table.bytes();
        }
    }

    /// The broker is gone: what is known is stale, and messages may be missed from now on.
    pub(super) fn disconnected(&mut self, context: &mut Context<'_>) {
        let waited = self.order.restart(None);
        context.drop_held(&waited);
        self.asking.done();
        self.settle_at = None;
        self.silent_at = None;
        if self.life == Life::Born {
            self.life = Life::Recalled;
        }
        self.set_all_offline(context.now, context);
    }

    fn set_all_offline(&mut self, at: Timestamp, context: &mut Context<'_>) {
        for scope in std::iter::once(&mut self.own).chain(self.devices.values_mut()) {
            scope.set_online(false, at, context);
        }
    }

    /// A recalled node that did not answer.
    fn set_unheard_offline(&mut self, context: &mut Context<'_>) {
        if self.life == Life::Recalled && self.own.online != Some(true) {
            self.set_all_offline(context.now, context);
        }
    }

    fn remember_later(&mut self, now: Timestamp) {
        self.remember_at.get_or_insert(now.saturating_add(REMEMBER_AFTER));
    }

    /// The node itself and its devices.
    pub(super) fn scopes(&self) -> impl Iterator<Item = &Scope> {
        std::iter::once(&self.own).chain(self.devices.values())
    }

    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.order.held_bytes()
    }
}

/// What of a message is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Believed {
    All,
    /// Not its aliases.
    Names,
}

/// What a message showed of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Understood,
    /// A name or alias that they don't have.
    Unknown,
    /// A value of another type than they say.
    Contradicted,
}

impl Scope {
    pub(super) fn new(
        settings: &Settings,
        node: &NodeId,
        device: Option<&str>,
    ) -> Result<Scope, PuzzleKind> {
        let name = settings.naming.device(&node.group, &node.node, device);
        check_name(&name, settings.limits.name_bytes).map_err(PuzzleKind::TopicName)?;
        Ok(Scope {
            device: name.into(),
            table: Table::default(),
            born: false,
            differs: false,
            online: None,
        })
    }

    /// Takes the table of a birth.
    pub(super) fn take(&mut self, table: Table, shared: &mut Shared) {
        self.differs |= table.differs_from(&self.table);
        shared.table_bytes += table.bytes();
        shared.table_bytes -= self.table.bytes();
        self.table = table;
    }

    /// Aliases of a message that was sent before the birth may be those of an earlier one.
    fn believed(&self, before_birth: bool) -> Believed {
        if before_birth && self.differs { Believed::Names } else { Believed::All }
    }

    /// Makes readings of a message's metrics.
    fn tell(
        &mut self,
        payload: &Payload<'_>,
        believed: Believed,
        at: Timestamp,
        context: &mut Context<'_>,
    ) -> Told {
        let refused = context.heard.refused;
        let sent_at = payload.timestamp;
        let mut telling = Telling::new(&self.device, context.settings, at, sent_at, context.heard);
        let mut told = Told::Understood;
        for metric in &payload.metrics {
            match self.entry(metric, believed) {
                Ok(index) => {
                    let Some(entry) = self.table.entries.get(index) else { continue };
                    if &*entry.told == BDSEQ || &*entry.told == REBIRTH {
                        continue;
                    }
                    if !telling.metric(metric, entry, &self.table) {
                        told = Told::Contradicted;
                    }
                }
                Err(kind) => {
                    let unknown =
                        matches!(kind, PuzzleKind::NotBorn | PuzzleKind::UnknownAlias { .. });
                    if unknown && told == Told::Understood {
                        told = Told::Unknown;
                    }
                    telling.refuse(metric.name.unwrap_or_default(), kind);
                }
            }
        }
        context.shared.counts.refused += (context.heard.refused - refused) as u64;
        told
    }

    /// Which entry of the table a metric is.
    fn entry(&self, metric: &Metric<'_>, believed: Believed) -> Result<usize, PuzzleKind> {
        match (metric.name.filter(|name| !name.is_empty()), metric.alias) {
            (Some(name), _) => self.table.named(name).ok_or(PuzzleKind::NotBorn),
            (None, Some(_)) if believed == Believed::Names => Err(PuzzleKind::AwaitingBirth),
            (None, Some(alias)) => match self.table.aliased(alias) {
                Some(Aliased::One(index)) => Ok(index),
                Some(Aliased::Several) => Err(PuzzleKind::AliasTwice { alias }),
                None => Err(PuzzleKind::UnknownAlias { alias }),
            },
            (None, None) => Err(PuzzleKind::Nameless),
        }
    }

    /// Says that it came or went, if that is news.
    fn set_online(&mut self, online: bool, at: Timestamp, context: &mut Context<'_>) {
        if self.online == Some(online) {
            return;
        }
        self.online = Some(online);
        let device = self.device.clone();
        context.heard.presence.push(Presence { device, online, at });
        let metric = &context.settings.online_metric;
        let taken = self.table.entries.iter().any(|entry| entry.name.as_deref() == Ok(metric));
        // A metric of the device's own that is called so is its own matter.
        if metric.is_empty() || taken {
            return;
        }
        context.heard.readings.push(HeardReading {
            reading: Reading {
                device: Cow::Owned(self.device.to_string()),
                tags: Vec::new(),
                time: at.0,
                values: vec![Value {
                    metric: Cow::Owned(metric.clone()),
                    unit: Cow::Borrowed(""),
                    content: Content::Bool(online),
                }],
            },
            keep: Keep::Everywhere,
            received_at: at,
        });
    }
}

impl Context<'_> {
    /// The table of a birth, if there is room for it in place of `old`.
    fn table(&self, metrics: &[Metric<'_>], max: usize, old: &Table) -> Result<Table, PuzzleKind> {
        let table = Table::of_birth(metrics, max, self.settings.limits.name_bytes)?;
        let bytes = self.shared.table_bytes - old.bytes() + table.bytes();
        match self.settings.caps.table_bytes {
            max if bytes > max => Err(PuzzleKind::TooMany { what: "bytes of tables", max }),
            _ => Ok(table),
        }
    }

    fn drop_held(&mut self, held: &[Held]) {
        self.shared.held_bytes -= held.iter().map(Held::bytes).sum::<usize>();
        self.shared.counts.dropped += held.len() as u64;
    }
}

fn read<'a>(
    bytes: &'a [u8],
    settings: &Settings,
    scratch: &'a mut Vec<u8>,
) -> Result<Payload<'a>, PuzzleKind> {
    payload::read(bytes, settings.caps.message_metrics, &settings.limits, scratch)
}

/// The number of a message. Absent is 0, as an encoder of proto3 leaves it out.
fn seq(payload: &Payload<'_>) -> Result<u8, PuzzleKind> {
    u8::try_from(payload.seq.unwrap_or_default()).map_err(|_| PuzzleKind::Seq)
}

/// The number of a session, which comes as Int64 or UInt64.
fn bdseq(payload: &Payload<'_>, table: &Table) -> Option<u64> {
    let metric = payload.metrics.iter().find(|metric| match (metric.name, metric.alias) {
        (Some(name), _) => name == BDSEQ,
        (None, Some(alias)) => {
            matches!(table.aliased(alias), Some(Aliased::One(index))
                if table.named(BDSEQ) == Some(index))
        }
        (None, None) => false,
    })?;
    let raw = metric.value?;
    let number = plain(DataType::Int64, raw).or_else(|_| plain(DataType::UInt64, raw));
    match number {
        Ok(Content::Int(number)) => u64::try_from(number).ok(),
        _ => None,
    }
}

/// The first instant there is: nobody waits for it.
pub(super) const LONG_AGO: Timestamp = Timestamp(-NANOS_PER_SECOND);
