//! How many messages of QoS 1 of one connection wait for our acknowledgement.
//!
//! A broker that keeps to `receive_maximum` never has so many under way. mosquitto 2.0.11 does not when
//! it sends what it retains: with a million topics it runs through all packet identifiers again and
//! again, and one that comes twice before it is acknowledged can't be acknowledged twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

/// Half of all packet identifiers.
const UNDER_WAY_MAX: usize = 32_768;

#[derive(Debug, Clone, Default)]
pub(super) struct Window(Arc<State>);

#[derive(Debug, Default)]
struct State {
    count: AtomicUsize,
    less: Notify,
}

impl Window {
    /// A message came.
    pub fn one_more(&self) {
        self.0.count.fetch_add(1, Ordering::Relaxed);
    }

    /// One is acknowledged.
    pub fn one_less(&self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
        self.0.less.notify_one();
    }

    /// Waits until one more may come. Cancel-safe; for one who waits.
    pub async fn open(&self) {
        while self.0.count.load(Ordering::Relaxed) >= UNDER_WAY_MAX {
            self.0.less.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_goes_on_when_one_is_acknowledged() {
        let window = Window::default();
        (1..UNDER_WAY_MAX).for_each(|_| window.one_more());
        window.open().await;
        window.one_more();
        let open = window.open();
        tokio::pin!(open);
        assert!(futures_util::poll!(&mut open).is_pending());
        window.one_less();
        open.await;
    }
}
