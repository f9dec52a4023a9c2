//! What a bridge does with commands, and with what tells of them.

use super::super::errands::Turn;
use super::super::group::Why;
use super::super::link::Delivered;
use super::super::unacked::Receipt;
use super::Bridge;
use super::messages::waiting;
use crate::spool::Protocol;
use crate::wire::RefusalCode;

impl Bridge {
    pub(super) fn carry(&mut self, turn: Turn) {
        self.errands.turn(turn, self.spark.as_mut(), self.link.as_deref());
    }

    /// An answer to a command; what is none goes to quarantine.
    pub(super) fn answered(&mut self, message: Delivered, receipt: Option<Receipt>) {
        let waiting = waiting(self.number, usize::MAX, message, receipt);
        let (topic, payload) = (waiting.message.topic(), &waiting.message.payload);
        match self.errands.answer(topic, payload) {
            Ok(()) => self.settled(waiting),
            Err(reason) => {
                self.gate.count_refused(Protocol::Mqtt, &self.client);
                self.set_aside(waiting, Why { reason, code: RefusalCode::Malformed });
            }
        }
    }
}
