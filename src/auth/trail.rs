//! The trail: who logged in, and who changed what. Bounded by number and by age.
//!
//! Each entry is a line of the log, too (`event=trail`), so that it goes where logs are collected.
//! Noting never waits. Full-case: where so much is not written yet that the queue is full, the line of the
//! log is all there is; how many entries were lost is counted and said.

use super::records::Work;
use crate::model::Timestamp;
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// Entries that are kept,
pub(super) const ENTRIES_MAX: usize = 100_000;
/// and for how long.
pub(super) const AGE_MAX: Duration = Duration::from_secs(400 * 86_400);
/// The longest word on what was done; the rest is cut off.
const WHAT_BYTES_MAX: usize = 1024;
/// Logins that fail are noted once in this time for each address,
const FAILURES_EVERY: Duration = Duration::from_secs(60);
/// and so many for all addresses together.
const FAILURES_MAX: usize = 20;

/// Something that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// When.
    pub at: Timestamp,
    /// By whom: the caller's name.
    pub by: Arc<str>,
    /// How they showed it ([`super::How::name`]).
    pub how: &'static str,
    /// From where, if not from the daemon's own machine by its files.
    pub address: Option<IpAddr>,
    /// A word for it: `login`, `command`, `rule-changed` and so on (docs/http.md).
    pub did: &'static str,
    /// To what: for people.
    pub what: String,
}

/// An entry of the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number; later ones have higher ones.
    pub id: u64,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// How they showed who they are.
    pub how: String,
    /// From where.
    pub address: Option<String>,
    /// What was done,
    pub did: String,
    /// and to what.
    pub what: String,
}

/// A handle to the trail; cheap to clone.
#[derive(Debug, Clone)]
pub struct Trail {
    work: SyncSender<Work>,
    lost: Arc<AtomicU64>,
    failures: Arc<Mutex<Failures>>,
}

/// Logins that failed lately.
#[derive(Debug, Default)]
struct Failures {
    since: Option<Timestamp>,
    /// Where they came from; at most [`FAILURES_MAX`].
    noted: HashSet<IpAddr>,
    /// How many were not noted.
    others: u64,
}

impl Trail {
    pub(super) fn new(work: SyncSender<Work>) -> Trail {
        Trail { work, lost: Arc::default(), failures: Arc::default() }
    }

    /// Notes it, and says it in the log. Never waits.
    pub fn note(&self, mut note: Note) {
        let cut = note.what.floor_char_boundary(WHAT_BYTES_MAX);
        note.what.truncate(cut);
        let address = note.address.map(|address| address.to_string()).unwrap_or_default();
        log::info!(
            event = "trail", by = &*note.by, how = note.how, address = address.as_str(),
            did = note.did, what = note.what.as_str();
            "{} by {}: {}", note.did, if note.by.is_empty() { "nobody known" } else { &*note.by }, note.what
        );
        if self.work.try_send(Work::Note(note)).is_err() {
            let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
            if lost.is_power_of_two() {
                log::warn!(lost; "the trail could not be written; its entries are in the log only");
            }
        }
    }

    /// Notes a login that failed, unless so many do that they would fill the trail.
    pub fn note_failed_login(&self, now: Timestamp, address: IpAddr, why: &str) {
        let Some(others) = self.failures().meets(now, address) else { return };
        let others = match others {
            0 => String::new(),
            others => format!(" (and {others} more logins that failed, here or elsewhere)"),
        };
        self.note(Note {
            at: now,
            by: "".into(),
            how: "anonymous",
            address: Some(address),
            did: "login-failed",
            what: format!("{why}{others}"),
        });
    }

    /// Entries with ids below `before`, newest first.
    ///
    /// # Errors
    /// Why they can't be read, in words.
    pub async fn entries(&self, before: u64, limit: usize) -> Result<Vec<Entry>, String> {
        let (answer, answered) = oneshot::channel();
        let ask = Work::Entries { before, limit, answer };
        let busy = "too much waits to be written; try again";
        self.work.try_send(ask).map_err(|_| busy.to_owned())?;
        answered.await.map_err(|_| "the daemon stops".to_owned())?
    }

    /// Entries that were lost since the start.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// A panic elsewhere while it was locked leaves it valid.
    fn failures(&self) -> std::sync::MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Failures {
    /// One from there: how many others were not noted, if this one is to be.
    fn meets(&mut self, now: Timestamp, address: IpAddr) -> Option<u64> {
        // A clock that is set back begins anew, too.
        if self.since.is_none_or(|since| now < since || now.since(since) >= FAILURES_EVERY) {
            self.since = Some(now);
            self.noted.clear();
        }
        if self.noted.len() >= FAILURES_MAX || !self.noted.insert(address) {
            self.others += 1;
            return None;
        }
        Some(std::mem::take(&mut self.others))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_failing_logins_is_a_few_entries_and_a_number() {
        let mut failures = Failures::default();
        let at = |seconds: i64| Timestamp(seconds * 1_000_000_000);
        let from = |n: u32| IpAddr::from(n.to_be_bytes());
        assert_eq!(failures.meets(at(100), from(1)), Some(0));
        for _ in 0..1000 {
            assert_eq!(failures.meets(at(110), from(1)), None);
        }
        assert_eq!(failures.meets(at(120), from(2)), Some(1000));
        let noted = (3..5000).filter(|&n| failures.meets(at(130), from(n)).is_some()).count();
        assert_eq!(noted, FAILURES_MAX - 2);
        assert_eq!(failures.noted.len(), FAILURES_MAX);
        assert_eq!(failures.meets(at(160), from(1)), Some(4997 - noted as u64));
        assert_eq!(failures.meets(at(90), from(1)), Some(0), "the clock was set back");
    }
}
