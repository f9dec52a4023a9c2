//! How many bytes of messages a bridge may hold that are not durable yet.
//!
//! Full-case, at the link: it stops reading for a part of the keep-alive; if there is no room then
//! either, messages of QoS 0 are refused and counted, and one of QoS 1 ends the connection until there
//! is room: the broker keeps it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

/// What a message takes beside its bytes: its place in the queues, its name in the books.
const MESSAGE_BYTES: usize = 256;

/// The room of one bridge; lives as long as the bridge.
#[derive(Debug)]
pub(super) struct Room {
    taken: AtomicUsize,
    max: usize,
    freed: Notify,
}

/// Room taken for one message; given back when dropped.
#[derive(Debug)]
pub(super) struct Taken {
    room: Arc<Room>,
    bytes: usize,
}

impl Room {
    pub fn new(max: usize) -> Arc<Room> {
        Arc::new(Room { taken: AtomicUsize::new(0), max, freed: Notify::new() })
    }

    /// Takes room for a message of this size, if there is. A single one always has room.
    pub fn take(self: &Arc<Self>, message_bytes: usize) -> Option<Taken> {
        let bytes = message_bytes + MESSAGE_BYTES;
        // Only the link takes: between these two lines there can only come more room.
        let taken = self.taken.load(Ordering::Relaxed);
        if taken > 0 && taken + bytes > self.max {
            return None;
        }
        self.taken.fetch_add(bytes, Ordering::Relaxed);
        Some(Taken { room: self.clone(), bytes })
    }

    /// Whether half of it is free again.
    pub fn is_roomy(&self) -> bool {
        self.taken() <= self.max / 2
    }

    /// Waits until [`Room::is_roomy`]. Cancel-safe.
    pub async fn roomy(&self) {
        loop {
            let freed = self.freed.notified();
            if self.is_roomy() {
                return;
            }
            freed.await;
        }
    }

    /// Bytes taken.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.bytes, Ordering::Relaxed);
        if self.room.is_roomy() {
            self.room.freed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_message_has_room_whatever_its_size() {
        let room = Room::new(1000);
        let large = room.take(5000).unwrap();
        assert!(room.take(0).is_none());
        drop(large);
        let (a, b) = (room.take(200), room.take(200));
        assert!(a.is_some() && b.is_some());
        assert!(room.take(0).is_none());
        assert_eq!(room.taken(), 2 * (200 + MESSAGE_BYTES));
    }

    #[tokio::test]
    async fn who_waits_is_told_when_half_is_free() {
        let room = Room::new(1000);
        let (a, b) = (room.take(300), room.take(100));
        let waiting = room.roomy();
        tokio::pin!(waiting);
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(b);
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(a);
        waiting.await;
    }
}
