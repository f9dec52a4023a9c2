//! Places for connections: as many as there may be at a time, which a reload may change.
//!
//! With fewer than are taken nobody is sent away: places that are given up are not given again until
//! there are as few.

use super::server::ServerOptions;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

pub(super) struct Places {
    permits: Arc<Semaphore>,
    /// Places that there are, those that are owed included.
    count: usize,
    /// Places to be taken out when they are given up.
    owed: usize,
    options: watch::Receiver<ServerOptions>,
}

impl Places {
    pub fn new(mut options: watch::Receiver<ServerOptions>) -> Places {
        let count = options.borrow_and_update().connections_max;
        Places { permits: Arc::new(Semaphore::new(count)), count, owed: 0, options }
    }

    /// The next free place. Cancel-safe.
    pub async fn take(&mut self) -> OwnedSemaphorePermit {
        loop {
            let permit = tokio::select! {
                biased;
                Ok(()) = self.options.changed() => {
                    self.resize();
                    continue;
                }
                Ok(permit) = self.permits.clone().acquire_owned() => permit,
            };
            if self.owed == 0 {
                return permit;
            }
            self.owed -= 1;
            permit.forget();
        }
    }

    fn resize(&mut self) {
        let wanted = self.options.borrow_and_update().connections_max;
        let more = wanted.saturating_sub(self.count);
        let forgiven = more.min(self.owed);
        self.owed += self.count.saturating_sub(wanted);
        self.owed -= forgiven;
        self.permits.add_permits(more - forgiven);
        self.count = wanted;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn with(connections_max: usize) -> ServerOptions {
        ServerOptions { connections_max, ..ServerOptions::default() }
    }

    #[test]
    fn there_are_as_many_as_are_wanted_now_whoever_sits_already() {
        let (sender, options) = watch::channel(with(2));
        let mut places = Places::new(options);
        let mut taken = Vec::new();
        for wanted in [2_usize, 5, 3, 1, 4, 2, 6, 0, 1] {
            sender.send_replace(with(wanted));
            while let Some(permit) = places.take().now_or_never() {
                taken.push(permit);
            }
            // Nobody was sent away; and when enough have gone, one comes for each that goes.
            assert!(taken.len() >= wanted, "{wanted}");
            while taken.len() > wanted {
                taken.pop();
                assert!(places.take().now_or_never().is_none(), "{wanted}");
            }
            if wanted > 0 {
                taken.pop();
                taken.push(places.take().now_or_never().unwrap());
                assert!(places.take().now_or_never().is_none(), "{wanted}");
            }
        }
    }
}
