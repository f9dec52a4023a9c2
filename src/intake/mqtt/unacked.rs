//! QoS 1 messages of a connection that the broker has not got its PUBACK for. Pure.
//!
//! Acknowledgements go out in the order in which the messages came [MQTT-4.6.0-2], whatever the order
//! in which they are settled. With the connection all is forgotten: the broker sends again what was
//! not acknowledged, and a packet identifier of an old connection means nothing on a new one.
//!
//! Full-case: the broker has at most as many identifiers under way as the connection allows it
//! (`receive_maximum`; 65,535 at the very most).

use std::collections::VecDeque;

/// A message of a connection: which connection, and the how manieth of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Receipt {
    connection: u64,
    number: u64,
}

/// The books of one bridge.
#[derive(Debug, Default)]
pub(super) struct Unacked {
    connection: u64,
    /// Number of the first in `waiting`.
    first: u64,
    /// Packet identifiers in order of receipt, and whether what came under them is settled.
    waiting: VecDeque<(u16, bool)>,
}

impl Unacked {
    /// The connection is lost or new.
    pub fn forget(&mut self) {
        self.connection += 1;
        self.first = 0;
        self.waiting.clear();
    }

    /// A message came under this packet identifier.
    pub fn received(&mut self, packet: u16) -> Receipt {
        let number = self.first + self.waiting.len() as u64;
        self.waiting.push_back((packet, false));
        Receipt { connection: self.connection, number }
    }

    /// What came as `receipt` is durable, or hopeless and set aside.
    pub fn settled(&mut self, receipt: Receipt) {
        if receipt.connection != self.connection {
            return;
        }
        let place = receipt.number.checked_sub(self.first).and_then(|n| usize::try_from(n).ok());
        if let Some((_, settled)) = place.and_then(|place| self.waiting.get_mut(place)) {
            *settled = true;
        }
    }

    /// The next packet identifier that is to be acknowledged now.
    pub fn next_ack(&mut self) -> Option<u16> {
        let (packet, _) = self.waiting.pop_front_if(|(_, settled)| *settled)?;
        self.first += 1;
        Some(packet)
    }

    /// How many messages the broker waits for.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn acks(unacked: &mut Unacked) -> Vec<u16> {
        std::iter::from_fn(|| unacked.next_ack()).collect()
    }

    #[test]
    fn acknowledgements_keep_the_order_of_receipt() {
        let mut unacked = Unacked::default();
        let receipts: Vec<_> = [7, 3, 9].map(|packet| unacked.received(packet)).into();
        unacked.settled(receipts[1]);
        assert_eq!(acks(&mut unacked), [0_u16; 0], "the first is not settled yet");
        unacked.settled(receipts[0]);
        assert_eq!(acks(&mut unacked), [7, 3]);
        unacked.settled(receipts[0]);
        assert_eq!(acks(&mut unacked), [0_u16; 0], "nothing is acknowledged twice");
        unacked.settled(receipts[2]);
        assert_eq!(acks(&mut unacked), [9]);
        assert_eq!(unacked.len(), 0);
    }

    #[test]
    fn what_came_on_a_lost_connection_is_never_acknowledged_on_the_next() {
        let mut unacked = Unacked::default();
        let old = unacked.received(1);
        unacked.forget();
        let new = unacked.received(1);
        unacked.settled(old);
        assert_eq!(acks(&mut unacked), [0_u16; 0]);
        unacked.settled(new);
        assert_eq!(acks(&mut unacked), [1]);
    }

    proptest! {
        #[test]
        fn each_is_acknowledged_once_and_in_order(
            settling in Just((0..60_u16).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let mut unacked = Unacked::default();
            let receipts: Vec<_> = (0..60).map(|packet| unacked.received(packet)).collect();
            let mut acked = Vec::new();
            for (step, &which) in settling.iter().enumerate() {
                unacked.settled(receipts[usize::from(which)]);
                acked.extend(acks(&mut unacked));
                let settled = &settling[..=step];
                let prefix = (0..60).take_while(|packet| settled.contains(packet)).count();
                prop_assert_eq!(acked.len(), prefix);
            }
            prop_assert_eq!(acked, (0..60).collect::<Vec<_>>());
        }
    }
}
