//! What a node waits for: messages that are missing, births, signs of life.

use super::Settings;
use super::command::rebirth;
use super::context::Context;
use super::node::{Life, Node};
use crate::model::Timestamp;

impl Node {
    /// Wants a rebirth.
    pub(super) fn ask(&mut self, context: &mut Context<'_>) {
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
            if self.life == Life::Recalled || self.doubted {
                self.silent_at = Some(context.now.saturating_add(min));
            }
        }
    }

    /// Time passed.
    pub(super) fn tick(&mut self, context: &mut Context<'_>) {
        let due = |at: Option<Timestamp>| at.is_some_and(|at| at <= context.now);
        let (settled, silent) = (due(self.settle_at), due(self.silent_at));
        let (doubt, remember) = (due(self.doubt_at), due(self.remember_at));
        if due(self.missing_until(context.settings)) {
            self.lose(context);
        }
        if settled {
            self.settle_at = None;
            self.settle(context);
        }
        if silent {
            self.silent_at = None;
            self.take_silence(context);
        }
        if doubt {
            self.doubt_at = None;
            self.ask(context);
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
            self.doubt_at,
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

    /// A node was asked and did not answer.
    fn take_silence(&mut self, context: &mut Context<'_>) {
        if self.doubted {
            self.die(context);
        } else if self.life == Life::Recalled && self.own.online != Some(true) {
            self.set_all_offline(context.now, context);
        }
    }
}
