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

use super::Settings;
use super::asking::Asking;
use super::context::Context;
use super::heard::NodeId;
use super::numbers::{bdseq, is_behind, seq};
use super::order::{Held, Order};
use super::payload::{self, Payload};
use super::puzzle::{Puzzle, PuzzleKind};
use super::scope::{Believed, Scope, Told};
use super::topic::Verb;
use crate::model::Timestamp;
use hashbrown::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Births come in bursts; a node's tables are written down once after so long.
const REMEMBER_AFTER: Duration = Duration::from_secs(1);
/// The metric by which a node is asked for a rebirth; its value tells nothing.
pub(super) const REBIRTH: &str = "Node Control/Rebirth";

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

/// An edge node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) own: Scope,
    pub(super) devices: HashMap<Arc<str>, Scope>,
    pub(super) life: Life,
    pub(super) bdseq: Option<u64>,
    /// When the NBIRTH was sent, by the node's clock.
    pub(super) born_at: Option<u64>,
    pub(super) order: Order,
    pub(super) asking: Asking,
    /// When devices that were not born again are taken for gone.
    pub(super) settle_at: Option<Timestamp>,
    /// When a recalled node that was asked and did not answer is taken for gone.
    pub(super) silent_at: Option<Timestamp>,
    /// When a node is asked whether it lives, since a death came that is not its session's.
    pub(super) doubt_at: Option<Timestamp>,
    pub(super) doubted: bool,
    pub(super) remember_at: Option<Timestamp>,
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
            doubt_at: None,
            doubted: false,
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
        if (verb, device) != (Verb::Death, None) {
            self.doubted = false;
            self.doubt_at = None;
        }
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
        if self.life == Life::Born
            && self.is_before_birth(payload)
            && is_behind(bdseq(payload, &self.own.table), self.bdseq)
        {
            // Of an earlier connection, and overtaken by that of the one that runs.
            context.shared.counts.dropped += 1;
            return Ok(());
        }
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
            // Usually it lives, and will be heard. Some publishers number their deaths wrongly,
            // and would stay online for ever: who is silent now is asked, and must answer.
            self.doubted = true;
            self.doubt_at = Some(context.now.saturating_add(context.settings.reorder_timeout));
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
        self.die(context);
    }

    pub(super) fn die(&mut self, context: &mut Context<'_>) {
        let waited = self.order.restart(None);
        context.drop_held(&waited);
        self.life = Life::Dead;
        self.asking.done();
        self.doubted = false;
        (self.settle_at, self.silent_at, self.doubt_at) = (None, None, None);
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
            self.order.taken(seq, payload.timestamp);
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
        if self.order.missing_before(seq) > context.settings.caps.held_messages {
            if self.order.is_overtaken(payload.timestamp) {
                // It came twice.
                context.shared.counts.dropped += 1;
                return Ok(());
            }
            // The numbers began anew: there was a birth, and it was lost.
            self.lose(context);
            self.unordered(verb, device, payload, context.now, context);
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
            // It was read before it was held.
            let payload = read(&held.payload, context.settings, &mut scratch).ok();
            self.order.taken(held.seq, payload.as_ref().and_then(|payload| payload.timestamp));
            if let Some(payload) = payload {
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
        let contradicts = self.life == Life::Recalled && table.differs_from(&device.table);
        device.take(table, context.shared);
        device.born = true;
        context.shared.counts.births += 1;
        device.set_online(true, at, context);
        device.tell(payload, Believed::All, at, context);
        if contradicts {
            // The node was born anew while nobody listened.
            self.lose(context);
        }
        Ok(())
    }

    /// A message whose place among the others is not known: only names are believed.
    fn unordered(
        &mut self,
        verb: Verb,
        device: Option<&str>,
        payload: &Payload<'_>,
        at: Timestamp,
        context: &mut Context<'_>,
    ) {
        if let (Verb::Birth, Some(id)) = (verb, device)
            && self.life != Life::Dead
        {
            return self.device_birth(id, payload, at, context);
        }
        let scope = match (self.life, device) {
            (Life::Dead, _) => None,
            (_, None) => Some(&mut self.own),
            (_, Some(id)) => self.devices.get_mut(id),
        };
        match (verb, scope) {
            (Verb::Death, Some(scope)) => scope.set_online(false, at, context),
            (_, Some(scope)) => {
                scope.tell(payload, Believed::Names, at, context);
            }
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
    pub(super) fn lose(&mut self, context: &mut Context<'_>) {
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

    /// The broker is gone: what is known is stale, and messages may be missed from now on.
    pub(super) fn disconnected(&mut self, context: &mut Context<'_>) {
        let waited = self.order.restart(None);
        context.drop_held(&waited);
        self.asking.done();
        self.doubted = false;
        (self.settle_at, self.silent_at, self.doubt_at) = (None, None, None);
        if self.life == Life::Born {
            self.life = Life::Recalled;
        }
        self.set_all_offline(context.now, context);
    }

    pub(super) fn set_all_offline(&mut self, at: Timestamp, context: &mut Context<'_>) {
        for scope in std::iter::once(&mut self.own).chain(self.devices.values_mut()) {
            scope.set_online(false, at, context);
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

fn read<'a>(
    bytes: &'a [u8],
    settings: &Settings,
    scratch: &'a mut Vec<u8>,
) -> Result<Payload<'a>, PuzzleKind> {
    payload::read(bytes, settings.caps.message_metrics, &settings.limits, scratch)
}
