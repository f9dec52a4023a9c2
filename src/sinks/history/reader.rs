//! The readers' door: queries from any thread while the writer writes.

use super::NAME;
use super::file;
use super::query::{Answer, Query, QueryError, answer};
use super::shared::{Extent, Shared, has_tags};
use super::value::{Kind, Value};
use crate::ledger::OutcomeLine;
use crate::model::{Position, tags_of_identity};
use crate::sinks::outcomes;
use rusqlite::{Connection, params};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How many queries read the file at once; more wait. Two fill the small machines that this runs on,
/// and leave the writer its share.
const CONNECTIONS: usize = 2;
/// Groups that are looked at under one hold of the head's lock.
pub(super) const GROUPS_PER_HOLD: usize = 64;

/// Read-only connections.
pub(super) struct Pool {
    path: PathBuf,
    idle: Mutex<Idle>,
    returned: Condvar,
}

struct Idle {
    connections: Vec<Connection>,
    /// How many may still be opened.
    unopened: usize,
    /// Counts the files that there have been under this name.
    generation: u64,
}

impl Pool {
    pub(super) fn new(path: &Path) -> Pool {
        let idle = Idle { connections: Vec::new(), unopened: CONNECTIONS, generation: 0 };
        Pool { path: path.to_owned(), idle: Mutex::new(idle), returned: Condvar::new() }
    }

    /// Size of the file, or of one that SQLite keeps beside it.
    fn file_bytes(&self, suffix: &str) -> u64 {
        let mut path = self.path.as_os_str().to_owned();
        path.push(suffix);
        std::fs::metadata(path).map_or(0, |file| file.len())
    }

    /// Makes later queries read the file that is now there under the name.
    pub(super) fn reopen(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.generation += 1;
        idle.unopened += idle.connections.len();
        idle.connections.clear();
    }

    /// Runs `read` with a connection, once one is free.
    pub(super) fn with<T, E: From<rusqlite::Error>>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while idle.connections.is_empty() && idle.unopened == 0 {
            idle = self.returned.wait(idle).unwrap_or_else(PoisonError::into_inner);
        }
        let connection = idle.connections.pop();
        idle.unopened -= usize::from(connection.is_none());
        let generation = idle.generation;
        drop(idle);
        let opened = connection.map_or_else(|| file::open_reader(&self.path), Ok);
        let (connection, result) = match opened {
            Ok(connection) => {
                let result = read(&connection);
                (Some(connection), result)
            }
            Err(error) => (None, Err(error.into())),
        };
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        match connection {
            Some(connection) if idle.generation == generation => idle.connections.push(connection),
            _ => idle.unopened += 1,
        }
        drop(idle);
        self.returned.notify_one();
        result
    }
}

/// Reads the history. Cheap to clone; its methods block, some on the disk.
#[derive(Clone)]
pub struct Reader {
    pub(super) shared: Arc<Shared>,
    pub(super) pool: Arc<Pool>,
}

/// A series as it is listed.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesInfo {
    /// Its device.
    pub device: Arc<str>,
    /// Its tags, in the order of their keys.
    pub tags: Vec<(String, String)>,
    /// Its metric.
    pub metric: Arc<str>,
    /// Type of its last value.
    pub kind: Kind,
    /// The unit told last, or empty.
    pub unit: Arc<str>,
    /// Its earliest sample, nanoseconds since the epoch; retention may have deleted it.
    pub first: i64,
    /// Its latest sample.
    pub last: i64,
    /// The value of that.
    pub value: Value,
}

/// A device as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its name.
    pub device: Arc<str>,
    /// Its earliest sample, nanoseconds since the epoch; retention may have deleted it.
    pub first: i64,
    /// Its latest sample.
    pub last: i64,
    /// How many series it has, over all sets of tags.
    pub series: usize,
}

/// Figures about the history as a whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Samples ever taken and durable, overwritten and since deleted ones included: what the ledger
    /// calls stored. Counts with [`Stats::durable`].
    pub stored_total: u64,
    /// Samples in the file now; equal times in segments not yet compacted count twice.
    pub samples: u64,
    /// Samples that are in memory only.
    pub head_samples: u64,
    /// Series known.
    pub series: u64,
    /// Bytes of the file and what SQLite keeps beside it.
    pub file_bytes: u64,
    /// Up to where the log is durable here.
    pub durable: Position,
    /// Up to where the log can be seen in queries.
    pub applied: Position,
    /// Damaged chunks that compaction has come across and kept aside in the file.
    pub damaged_chunks: u64,
}

/// What is counted all the time, from memory; see [`Stats`] for the meaning of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Samples ever taken and durable.
    pub stored: u64,
    /// Samples in memory only.
    pub held: u64,
    /// Samples that the log gave up before they could be taken, ever.
    pub shed: u64,
    /// Samples that are not for stores, ever.
    pub skipped: u64,
    /// Up to where the log is durable here.
    pub durable: Position,
    /// Up to where the log can be seen in queries.
    pub applied: Position,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, pool: Arc<Pool>) -> Reader {
        Reader { shared, pool }
    }

    /// The samples of a range. Sees all that the writer has written, durable or not.
    ///
    /// # Errors
    /// [`QueryError`]. Damaged chunks are not an error; they are counted in the answer.
    pub fn query(&self, query: &Query<'_>) -> Result<Answer, QueryError> {
        // The head first: what a flush moves meanwhile is then in the file as well, never in neither.
        let Query { device, metric, tags, from, to, .. } = *query;
        let slices = self.shared.slices(device, metric, tags, Extent { from, to });
        if slices.is_empty() {
            return Err(QueryError::UnknownSeries);
        }
        let common = common_tags(slices.iter().map(|slice| &*slice.identity));
        let unit = slices.iter().rev().find(|slice| !slice.unit.is_empty());
        let unit = unit.map_or_else(String::new, |slice| slice.unit.to_string());
        let (data, damaged_chunks) = self.pool.with(|connection| {
            let view = connection.unchecked_transaction()?;
            answer(&view, slices, query)
        })?;
        Ok(Answer { tags: common, unit, data, damaged_chunks })
    }

    /// The series whose device and metric pass, those of a device together.
    pub fn series(
        &self,
        device: impl Fn(&str) -> bool,
        metric: impl Fn(&str) -> bool,
    ) -> Vec<SeriesInfo> {
        let mut found = Vec::new();
        let mut next = 0;
        loop {
            // Groups are never removed while running, so that a number stays what it is.
            let head = self.shared.for_reader();
            let Some(groups) = head.groups.get(next..) else { break };
            if groups.is_empty() {
                break;
            }
            for group in groups.iter().take(GROUPS_PER_HOLD) {
                next += 1;
                if !device(&group.device) {
                    continue;
                }
                for series in &group.series {
                    if let Some(value) = &series.value
                        && metric(&series.metric)
                    {
                        found.push(SeriesInfo {
                            device: group.device.clone(),
                            tags: owned_tags(&group.identity),
                            metric: series.metric.clone(),
                            kind: value.kind(),
                            unit: series.unit.clone(),
                            first: series.first,
                            last: series.last,
                            value: value.clone(),
                        });
                    }
                }
            }
        }
        found.sort_by(|a, b| (&a.device, &a.tags).cmp(&(&b.device, &b.tags)));
        found
    }

    /// All devices, by name.
    #[must_use]
    pub fn devices(&self) -> Vec<DeviceInfo> {
        let mut devices: BTreeMap<Arc<str>, DeviceInfo> = BTreeMap::new();
        let mut next = 0;
        loop {
            let head = self.shared.for_reader();
            let Some(groups) = head.groups.get(next..) else { break };
            if groups.is_empty() {
                break;
            }
            for group in groups.iter().take(GROUPS_PER_HOLD) {
                next += 1;
                let info = devices.entry(group.device.clone()).or_insert_with(|| DeviceInfo {
                    device: group.device.clone(),
                    first: i64::MAX,
                    last: i64::MIN,
                    series: 0,
                });
                for series in group.series.iter().filter(|series| series.value.is_some()) {
                    info.first = info.first.min(series.first);
                    info.last = info.last.max(series.last);
                    info.series += 1;
                }
            }
        }
        devices.into_values().filter(|device| device.series > 0).collect()
    }

    /// The latest sample of a metric, over all sets of tags; from memory.
    #[must_use]
    pub fn last(&self, device: &str, metric: &str, tags: &[(&str, &str)]) -> Option<(i64, Value)> {
        let head = self.shared.for_reader();
        let groups = head.groups_of(device).iter().map(|&index| &head.groups[index as usize]);
        groups
            .filter(|group| has_tags(&group.identity, tags))
            .filter_map(|group| Some(&group.series[group.find(metric)?]))
            .filter_map(|series| Some((series.last, series.value.clone()?)))
            .max_by_key(|&(time, _)| time)
    }

    /// What costs no look at the file.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let head = self.shared.for_reader();
        let held = head.samples + head.frozen.as_ref().map_or(0, |frozen| frozen.samples);
        Counts {
            stored: head.stored_total - held,
            held,
            shed: head.shed_total,
            skipped: head.skipped_total,
            durable: head.durable,
            applied: head.applied,
        }
    }

    /// Tells every series: the [identity](crate::model::Table::identity) of its device and tags, and
    /// its metric.
    pub fn each_series(&self, mut tell: impl FnMut(&str, &str)) {
        let head = self.shared.for_reader();
        for group in &head.groups {
            group.series.iter().for_each(|series| tell(&group.identity, &series.metric));
        }
    }

    /// Bytes of the file and what SQLite keeps beside it.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        ["", "-wal"].map(|suffix| self.pool.file_bytes(suffix)).iter().sum()
    }

    /// Figures about the whole.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn stats(&self) -> Result<Stats, QueryError> {
        let Counts { stored, held, durable, applied, .. } = self.counts();
        let mut stats = Stats {
            stored_total: stored,
            head_samples: held,
            series: self.shared.for_reader().series_count(),
            durable,
            applied,
            ..Stats::default()
        };
        let sql =
            "SELECT total(samples), (SELECT count(*) FROM damaged) FROM segment WHERE level >= 0";
        self.pool.with(|connection| {
            let (samples, damaged): (f64, i64) = connection
                .prepare_cached(sql)?
                .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            stats.samples = samples as u64;
            stats.damaged_chunks = damaged.unsigned_abs();
            Ok::<_, QueryError>(())
        })?;
        stats.file_bytes = self.file_bytes();
        Ok(stats)
    }

    /// What became of each client's samples, as far as it is durable, and up to which position that is.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn outcomes(&self) -> Result<(Position, Vec<OutcomeLine>), QueryError> {
        self.pool.with(|connection| {
            let view = connection.unchecked_transaction()?;
            let position = file::get_meta(&view, "position")?.unwrap_or(0);
            Ok((Position(position.cast_unsigned()), outcomes::read(&view, NAME)?))
        })
    }

    /// Waits until queries see the log up to `position`; returns whether they do.
    #[must_use]
    pub fn wait_applied(&self, position: Position, timeout: Duration) -> bool {
        self.shared.wait_applied(position, timeout)
    }

    /// Writes a compact copy of the file, as of one instant, while all goes on. What is in memory
    /// only is not in it; a follower that starts from the copy reads it from the spool again.
    ///
    /// # Errors
    /// If the file cannot be read, or `path` exists or cannot be written.
    pub fn backup(&self, path: &Path) -> Result<(), QueryError> {
        // A connection of its own, so that queries need not wait.
        let connection = file::open_reader(&self.pool.path)?;
        connection.execute("VACUUM INTO ?", params![path.to_string_lossy()])?;
        Ok(())
    }
}

fn owned_tags(identity: &str) -> Vec<(String, String)> {
    tags_of_identity(identity).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn common_tags<'a>(mut identities: impl Iterator<Item = &'a str>) -> Vec<(String, String)> {
    let mut common = identities.next().map_or_else(Vec::new, owned_tags);
    for identity in identities {
        common.retain(|(key, value)| has_tags(identity, &[(key, value)]));
    }
    common
}
