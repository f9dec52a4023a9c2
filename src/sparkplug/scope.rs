//! The metrics of a node itself or of one of its devices, and whether it is here.

use super::Settings;
use super::context::{Context, Shared};
use super::heard::{HeardReading, NodeId, Presence};
use super::node::REBIRTH;
use super::numbers::BDSEQ;
use super::payload::Payload;
use super::puzzle::PuzzleKind;
use super::table::Table;
use super::telling::Telling;
use crate::decode::{Content, Reading, Value};
use crate::model::{Keep, Timestamp, check_name};
use std::borrow::Cow;
use std::sync::Arc;

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

/// The most that learning one metric costs, and what is left when nothing is learnt any more.
const LEARNT_BYTES: usize = 1024;

/// What of a message is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Believed {
    All,
    /// Not its aliases.
    Names,
}

/// What a message showed of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
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
    pub(super) fn believed(&self, before_birth: bool) -> Believed {
        if before_birth && self.differs { Believed::Names } else { Believed::All }
    }

    /// Makes readings of a message's metrics.
    pub(super) fn tell(
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
        let (mut learnt, bytes) = (false, self.table.bytes());
        let room = context.settings.caps.table_bytes.saturating_sub(context.shared.table_bytes);
        let room = room.saturating_sub(LEARNT_BYTES);
        for metric in &payload.metrics {
            let entry = self.table.entry_of(metric, believed == Believed::All);
            let entry = match entry {
                Err(PuzzleKind::NotBorn) if self.table.bytes() - bytes < room => {
                    learnt = true;
                    self.table.learn(metric, context.settings.limits.name_bytes)
                }
                entry => entry,
            };
            match entry {
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
        if learnt {
            context.shared.table_bytes += self.table.bytes() - bytes;
        }
        context.shared.counts.refused += (context.heard.refused - refused) as u64;
        told
    }

    /// Says that it came or went, if that is news.
    pub(super) fn set_online(&mut self, online: bool, at: Timestamp, context: &mut Context<'_>) {
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
                keep: Keep::Everywhere,
                values: vec![Value {
                    metric: Cow::Owned(metric.clone()),
                    unit: Cow::Borrowed(""),
                    content: Content::Bool(online),
                }],
            },
            received_at: at,
        });
    }
}
