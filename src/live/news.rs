//! What lately became of devices and alerts, so that who asks again and again (`poll`) is told only that.
//!
//! Beside its place in the log a poller's cursor has the version of these news that it knows. Versions
//! grow by the clock, so that one from before a restart is never taken for one of this process: it is
//! below the first, and all devices and alerts are told again.

use super::alerts::Told;
use crate::aggregate::DeviceId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// The most changes that are remembered; older versions are told everything.
const CHANGES_MAX: usize = 20_000;

/// The changes of one tick.
#[derive(Debug)]
struct Change {
    version: u64,
    devices: Vec<DeviceId>,
    alerts: Vec<Arc<Told>>,
}

/// Changes of devices and alerts.
#[derive(Debug, Default)]
pub(super) struct News {
    /// All that came after this version is here.
    first: u64,
    version: u64,
    changes: VecDeque<Change>,
    count: usize,
}

/// What changed since a version: the devices, and the latest state of the alerts, by their names.
#[derive(Debug, Default)]
pub(super) struct Since {
    pub devices: BTreeSet<DeviceId>,
    pub alerts: BTreeMap<u64, Arc<Told>>,
}

impl News {
    /// Notes the changes of a tick.
    pub fn note<'a>(
        &mut self,
        now_ms: i64,
        devices: &[DeviceId],
        alerts: impl Iterator<Item = &'a Arc<Told>>,
    ) {
        let now = u64::try_from(now_ms).unwrap_or(0);
        if self.version == 0 {
            (self.first, self.version) = (now.max(1), now.max(1));
        }
        let change = Change {
            version: now.max(self.version + 1),
            devices: devices.to_vec(),
            alerts: alerts.cloned().collect(),
        };
        let count = change.devices.len() + change.alerts.len();
        if count == 0 {
            return;
        }
        self.version = change.version;
        self.count += count;
        self.changes.push_back(change);
        while self.count > CHANGES_MAX
            && let Some(old) = self.changes.pop_front()
        {
            self.first = old.version;
            self.count -= old.devices.len() + old.alerts.len();
        }
    }

    /// The latest.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What came after `version`; `None` if that is not known any more, or was never given.
    pub fn since(&self, version: u64) -> Option<Since> {
        if !(self.first..=self.version).contains(&version) {
            return None;
        }
        let mut since = Since::default();
        for change in self.changes.iter().rev().take_while(|change| change.version > version) {
            since.devices.extend(&change.devices);
            for told in &change.alerts {
                since.alerts.entry(told.id()).or_insert_with(|| told.clone());
            }
        }
        Some(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn devices(ids: &[u32]) -> Vec<DeviceId> {
        ids.iter().map(|&id| DeviceId(id)).collect()
    }

    #[test]
    fn what_changed_after_a_version_is_told_once() {
        let mut news = News::default();
        news.note(1000, &devices(&[1]), [].iter());
        let first = news.version();
        news.note(1000, &devices(&[2, 1]), [].iter());
        news.note(1100, &[], [].iter());
        assert_eq!(news.version(), first + 1, "no news, no version");
        news.note(900, &devices(&[3]), [].iter());
        let since = |version| news.since(version).map(|since| since.devices);
        assert_eq!(since(first), Some(devices(&[1, 2, 3]).into_iter().collect()));
        assert_eq!(since(first + 1), Some(devices(&[3]).into_iter().collect()));
        assert_eq!(since(news.version()), Some(BTreeSet::new()));
        assert_eq!(since(news.version() + 1), None, "from ahead");
        assert_eq!(since(999), None, "from before the start");
    }

    #[test]
    fn what_is_forgotten_is_not_said_to_be_known() {
        let mut news = News::default();
        news.note(1, &devices(&[7]), [].iter());
        let old = news.version();
        for step in 0..30_000 {
            news.note(step, &devices(&[1]), [].iter());
        }
        assert!(news.changes.len() <= CHANGES_MAX);
        assert!(news.since(old).is_none());
        assert!(news.since(news.first).is_some());
    }
}
