//! News of devices for other rooms: who came, who went, when and why.
//!
//! Full-case: what waits for a reader that does not keep up is at most [`NEWS_MAX`] changes. With one
//! more they are dropped, and the reader is told the states of all devices instead, afresh. So it
//! misses no state, only that one was left and come back to meanwhile.

use crate::aggregate::{Aggregate, Device, DeviceId};
use crate::model::Timestamp;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::Notify;

/// Changes that wait for a reader.
const NEWS_MAX: usize = 10_000;

/// The state of a device, told because it changed or because all are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceNews {
    /// Its name.
    pub device: Arc<str>,
    /// Whether it is online.
    pub online: bool,
    /// Since when.
    pub since: Timestamp,
    /// Why, if there is something to say of it.
    pub reason: Option<Arc<str>>,
}

/// What a reader hears at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heard {
    /// `news` are the states of all devices: what was known before is void. So it is the first time,
    /// and after too many changes.
    pub afresh: bool,
    /// Changes in their order.
    pub news: Vec<DeviceNews>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    heard: Heard,
    /// All devices were told of once.
    told_all: bool,
}

/// The reader's end. Live forgets it when it is dropped.
#[derive(Debug)]
pub struct DeviceWatch(Arc<Shared>);

/// Live's end.
#[derive(Debug)]
pub(super) struct Teller(Weak<Shared>);

pub(super) fn pair() -> (Teller, DeviceWatch) {
    let shared = Arc::<Shared>::default();
    (Teller(Arc::downgrade(&shared)), DeviceWatch(shared))
}

impl DeviceWatch {
    /// What came since the last call, without waiting; `None` if nothing did.
    #[must_use]
    pub fn take(&self) -> Option<Heard> {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let heard = std::mem::take(&mut waiting.heard);
        (heard.afresh || !heard.news.is_empty()).then_some(heard)
    }

    /// Waits until there is something to take. Cancel-safe.
    pub async fn next(&self) -> Heard {
        loop {
            let changed = self.0.changed.notified();
            if let Some(heard) = self.take() {
                return heard;
            }
            changed.await;
        }
    }
}

impl Teller {
    /// Tells of these; false if nobody listens any more.
    pub fn tell(&self, aggregate: &Aggregate, changed: &[DeviceId]) -> bool {
        let Some(shared) = self.0.upgrade() else { return false };
        let mut waiting = shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // After all were told, so many changes more.
        let all = if waiting.heard.afresh { aggregate.devices().len() } else { 0 };
        let fits = waiting.heard.news.len() + changed.len() <= all + NEWS_MAX;
        if waiting.told_all && fits {
            let news = changed.iter().map(|&id| DeviceNews::of(aggregate.device(id)));
            waiting.heard.news.extend(news);
        } else {
            let news = aggregate.devices().map(|(_, device)| DeviceNews::of(device)).collect();
            waiting.heard = Heard { afresh: true, news };
            waiting.told_all = true;
        }
        let any = waiting.heard.afresh || !waiting.heard.news.is_empty();
        drop(waiting);
        if any {
            shared.changed.notify_one();
        }
        true
    }
}

impl DeviceNews {
    fn of(device: &Device) -> DeviceNews {
        DeviceNews {
            device: device.name.clone(),
            online: device.online(),
            since: device.since(),
            reason: device.reason().cloned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::{Fact, Seed, Settings};

    fn at(second: i64) -> Timestamp {
        Timestamp(second * 1_000_000_000)
    }

    fn states(heard: &Heard) -> Vec<(&str, bool)> {
        heard.news.iter().map(|news| (&*news.device, news.online)).collect()
    }

    #[test]
    fn a_reader_hears_of_all_devices_then_of_changes_and_afresh_after_too_many() {
        let mut aggregate = Aggregate::new(Settings::default());
        let told = |online| {
            [Fact::Told { device: "a".to_owned(), online, reason: (!online).then_some("gone") }]
        };
        aggregate.facts(told(true), at(1));
        let (first_seen, last_seen) = (at(0), at(0));
        aggregate.seed_device(Seed { name: "b".into(), first_seen, last_seen, rest: None });
        let (teller, watch) = pair();
        assert_eq!(watch.take(), None);
        assert!(teller.tell(&aggregate, &[]));
        let heard = watch.take().unwrap();
        assert!(heard.afresh);
        assert_eq!(states(&heard), [("a", true), ("b", false)]);
        assert!(teller.tell(&aggregate, &[]));
        assert_eq!(watch.take(), None, "nothing changed");

        let a = aggregate.find_device("a").unwrap();
        aggregate.facts(told(false), at(2));
        assert!(teller.tell(&aggregate, &[a]));
        let heard = watch.take().unwrap();
        assert!(!heard.afresh);
        assert_eq!(states(&heard), [("a", false)]);
        assert_eq!((heard.news[0].since, heard.news[0].reason.as_deref()), (at(2), Some("gone")));

        for _ in 0..=NEWS_MAX {
            assert!(teller.tell(&aggregate, &[a]));
        }
        let heard = watch.take().unwrap();
        assert!(heard.afresh);
        assert_eq!(states(&heard), [("a", false), ("b", false)], "what waited is dropped");
        drop(watch);
        assert!(!teller.tell(&aggregate, &[a]), "nobody listens");
    }
}
