//! The writer: one follower's way into the history.

use super::compact::Job;
use super::cut::{Piece, WINDOW_NS, cut};
use super::file::{self, ChunkWriter, Segment};
use super::head::{Frozen, Head, SeriesRow};
use super::reader::Pool;
use super::shared::Shared;
use super::{HistoryError, NAME, Options, SetAside, chunk::chunk_id};
use crate::ledger::{Accepted, Outcome, OutcomeLine, Outcomes};
use crate::model::{Batch, ClientId, Position, Timestamp, tags_of_identity};
use crate::sinks::{Sink, SinkError, outcomes};
use rusqlite::{Connection, params};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// After a flush has failed, how long to wait before the next try.
const RETRY_NS: i64 = 1_000_000_000;

const UPDATE_SERIES: &str =
    "UPDATE series SET unit=?2, first=?3, last=?4, typ=?5, value=?6 WHERE id=?1";

/// The one writer of a history: owned by the thread of the follower that feeds it.
pub struct Writer {
    pub(super) options: Options,
    pub(super) connection: Connection,
    pub(super) shared: Arc<Shared>,
    pub(super) pool: Arc<Pool>,
    /// All segments in the file, by id.
    pub(super) segments: BTreeMap<i64, Segment>,
    /// Segments in which SQLite found damage: they are read and otherwise left alone.
    pub(super) untouchable: BTreeSet<i64>,
    /// The compaction under way.
    pub(super) job: Option<Job>,
    /// When to look again for something to compact or delete.
    pub(super) look_at: Timestamp,
    /// What became of each client's samples, those in memory included.
    outcomes: Outcomes,
    /// What became of the batch that was written last.
    uncredited: Outcome,
    /// Encoded and not yet in the file.
    pending: Option<Pending>,
    /// Since when the head has had samples.
    head_since: Option<Timestamp>,
    failed_at: Option<Timestamp>,
    set_aside: Option<SetAside>,
}

struct Pending {
    frozen: Arc<Frozen>,
    pieces: BTreeMap<i64, Piece>,
    /// Of all clients, as of the position: a file that is begun anew has none.
    outcomes: Vec<OutcomeLine>,
}

impl Writer {
    pub(super) fn new(
        options: Options,
        connection: Connection,
        shared: Arc<Shared>,
        pool: Arc<Pool>,
        segments: Vec<Segment>,
        outcomes: Outcomes,
    ) -> Writer {
        Writer {
            options,
            connection,
            shared,
            pool,
            segments: segments.into_iter().map(|segment| (segment.id, segment)).collect(),
            untouchable: BTreeSet::new(),
            job: None,
            look_at: Timestamp(i64::MIN),
            outcomes,
            uncredited: Outcome::default(),
            pending: None,
            head_since: None,
            failed_at: None,
            set_aside: None,
        }
    }

    /// Whether the last flush failed: memory is the only place for what was written since then,
    /// and when it is full [`Sink::write`] refuses.
    #[must_use]
    pub fn stalled(&self) -> bool {
        self.failed_at.is_some()
    }

    /// A file that was found damaged while running and replaced by a new one, if that has happened
    /// since the last call.
    pub fn take_set_aside(&mut self) -> Option<SetAside> {
        self.set_aside.take()
    }

    /// The log was full and gave up what was below `next`; so many samples of it were never written
    /// here. Durable with the next flush, together with the position.
    pub fn shed(&mut self, next: Position, samples: u64) {
        self.shared.for_writer().shed(next, samples);
        self.shared.notify();
        self.outcomes.unknown().shed += samples;
    }

    /// The log is damaged below `next`; so many samples of it will never be written here. As
    /// [`Writer::shed`].
    pub fn lost(&mut self, next: Position, samples: u64) {
        self.shared.for_writer().pass(next);
        self.shared.notify();
        self.outcomes.unknown().lost += samples;
    }

    /// Whose the batch was that was just [written](Sink::write). One look-up.
    pub fn credit(&mut self, client: &ClientId, protocol: u8) {
        self.outcomes.of(client, protocol).add(std::mem::take(&mut self.uncredited));
    }

    /// Whether there are samples that were never written, and nobody knows yet whose they were.
    #[must_use]
    pub fn has_unknown(&self) -> bool {
        self.outcomes.has_unknown()
    }

    /// What each client had sent up to where the log is [applied](Writer::applied): tells whose the
    /// samples were that were never written.
    pub fn name(&mut self, accepted: Vec<Accepted>) {
        self.outcomes.name(accepted);
    }

    /// Up to where the log is in the head or the file.
    #[must_use]
    pub fn applied(&self) -> Position {
        self.shared.for_writer().applied
    }

    fn flush_due(&mut self, now: Timestamp) -> bool {
        if let Some(failed) = self.failed_at {
            return now.0.saturating_sub(failed.0) >= RETRY_NS || now < failed;
        }
        let (load, applied, durable) = {
            let head = self.shared.for_writer();
            (head.load(), head.applied, head.durable)
        };
        if applied == durable {
            self.head_since = None;
            return false;
        }
        // A clock set back must not put the flush off.
        let since = self.head_since.map_or(now, |since| since.min(now));
        self.head_since = Some(since);
        load >= self.options.head_samples_max as u64
            || now.since(since) >= self.options.flush_interval
    }

    fn try_flush(&mut self, now: Timestamp) -> Result<(), HistoryError> {
        loop {
            let retry = self.pending.is_some();
            if self.pending.is_none() {
                let Some(frozen) = self.shared.for_writer().freeze() else { break };
                let pieces = cut(&frozen);
                let outcomes = self.outcomes.lines().cloned().collect();
                self.pending = Some(Pending { frozen, pieces, outcomes });
            }
            self.commit_or_begin_anew(now)?;
            self.shared.for_writer().thaw();
            // Freed here, when no reader waits for the lock.
            self.pending = None;
            // What a failed flush left behind went first; now for what came since.
            if !retry {
                break;
            }
        }
        self.head_since = None;
        self.failed_at = None;
        self.look_at = now;
        Ok(())
    }

    fn commit_or_begin_anew(&mut self, now: Timestamp) -> Result<(), HistoryError> {
        match self.commit(now) {
            Err(error) if file::is_damage(&error) => {
                self.begin_anew()?;
                Ok(self.commit(now)?)
            }
            result => Ok(result?),
        }
    }

    /// Puts what is pending into the file, in one transaction with the position.
    fn commit(&mut self, now: Timestamp) -> rusqlite::Result<()> {
        let Some(Pending { frozen, pieces, outcomes }) = &mut self.pending else { return Ok(()) };
        let transaction = self.connection.transaction()?;
        {
            let mut groups =
                transaction.prepare_cached("INSERT OR REPLACE INTO grp VALUES(?,?,?)")?;
            for group in &frozen.new_groups {
                groups.execute(params![group.id, &*group.device, tags_json(&group.identity)])?;
                put_axis(&transaction, group.axis, group.id)?;
            }
        }
        {
            let mut update = transaction.prepare_cached(UPDATE_SERIES)?;
            for series in &frozen.series {
                // A series is nearly always there already; an update is half the work.
                let known = (series.first, series.last);
                let value = series.value.as_ref();
                let updated = update.execute(params![
                    series.id,
                    &*series.unit,
                    value.map(|_| known.0),
                    value.map(|_| known.1),
                    value.map_or(0, |value| value.kind() as i64 + 1),
                    value.map(file::to_sql),
                ])?;
                if updated == 0 {
                    put_series(&transaction, series)?;
                }
            }
        }
        let next_id = self.segments.last_key_value().map_or(1, |(id, _)| id + 1);
        let mut segments = Vec::new();
        let mut chunks = ChunkWriter::new(&transaction)?;
        for (id, (&window, piece)) in (next_id..).zip(pieces.iter_mut()) {
            let extent = piece.extent;
            let segment = Segment {
                id,
                level: 0,
                start: window,
                end: window.saturating_add(WINDOW_NS),
                t0: extent.t0,
                t1: extent.t1,
                samples: extent.samples,
                rows_max: extent.rows_max,
                written: now.0,
            };
            segment.put(&transaction)?;
            for (series, chunk) in &mut piece.chunks {
                chunks.put(chunk_id(id, *series), chunk)?;
            }
            segments.push(segment);
        }
        drop(chunks);
        outcomes::put(&transaction, NAME, outcomes.iter())?;
        let position = frozen.next.0.cast_signed();
        file::put_meta(&transaction, "position", position)?;
        file::put_meta(&transaction, "stored_total", frozen.stored_total.cast_signed())?;
        file::put_meta(&transaction, "shed_total", frozen.shed_total.cast_signed())?;
        file::put_meta(&transaction, "skipped_total", frozen.skipped_total.cast_signed())?;
        file::put_meta(&transaction, "next_group", frozen.next_group)?;
        file::put_meta(&transaction, "next_series", i64::from(frozen.next_series))?;
        transaction.commit()?;
        self.segments.extend(segments.into_iter().map(|segment| (segment.id, segment)));
        Ok(())
    }

    /// Moves a file that cannot be written for damage out of the way and begins a new one, with all
    /// series known. What is in memory is not lost.
    pub(super) fn begin_anew(&mut self) -> Result<(), HistoryError> {
        let spool_id = self.options.spool_id;
        self.connection = Connection::open_in_memory()?;
        self.set_aside = Some(file::set_aside(&self.options.path)?);
        let (connection, _) = file::open_or_begin(&self.options.path)?;
        self.connection = connection;
        self.pool.reopen();
        self.segments.clear();
        self.untouchable.clear();
        self.job = None;
        let transaction = self.connection.transaction()?;
        file::put_meta(&transaction, "spool_id", spool_id.cast_signed())?;
        put_all(&transaction, &self.shared.for_writer())?;
        transaction.commit()?;
        Ok(())
    }
}

fn put_all(connection: &Connection, head: &Head) -> rusqlite::Result<()> {
    for group in &head.groups {
        connection.prepare_cached("INSERT OR REPLACE INTO grp VALUES(?,?,?)")?.execute(params![
            group.id,
            &*group.device,
            tags_json(&group.identity)
        ])?;
        put_axis(connection, group.axis, group.id)?;
        for series in &group.series {
            put_series(connection, &series.row(group.id))?;
        }
    }
    Ok(())
}

fn put_axis(connection: &Connection, axis: u32, group: i64) -> rusqlite::Result<()> {
    let (metric, unit, value) = ("".into(), "".into(), None);
    let (first, last) = (i64::MAX, i64::MIN);
    put_series(connection, &SeriesRow { id: axis, group, metric, unit, first, last, value })
}

fn put_series(connection: &Connection, series: &SeriesRow) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare_cached("INSERT OR REPLACE INTO series VALUES(?,?,?,?,?,?,?,?)")?;
    let known = series.value.is_some();
    statement.execute(params![
        series.id,
        series.group,
        &*series.metric,
        &*series.unit,
        known.then_some(series.first),
        known.then_some(series.last),
        series.value.as_ref().map_or(0, |value| value.kind() as i64 + 1),
        series.value.as_ref().map(file::to_sql),
    ])?;
    Ok(())
}

fn tags_json(identity: &str) -> String {
    let tags: BTreeMap<&str, &str> = tags_of_identity(identity).collect();
    serde_json::to_string(&tags).unwrap_or_default()
}

impl Sink for Writer {
    fn position(&self) -> Position {
        self.shared.for_writer().durable
    }

    fn write(&mut self, batch: &Batch, next: Position) -> Result<(), SinkError> {
        let mut head = self.shared.for_writer();
        if head.load() >= self.options.head_samples_max as u64 {
            drop(head);
            if self.stalled() {
                return Err(unavailable(HistoryError::Full));
            }
            self.flush(crate::clock::now())?;
            head = self.shared.for_writer();
        }
        let stored = head.apply(batch, next);
        drop(head);
        let skipped = batch.samples() as u64 - stored;
        self.uncredited = Outcome { stored, skipped, ..Outcome::default() };
        self.shared.notify();
        Ok(())
    }

    fn maintain(&mut self, now: Timestamp) -> Result<bool, SinkError> {
        if self.flush_due(now) {
            self.flush(now)?;
            return Ok(true);
        }
        if self.stalled() {
            return Ok(false);
        }
        self.tidy(now).map_err(unavailable)
    }

    fn flush(&mut self, now: Timestamp) -> Result<Position, SinkError> {
        match self.try_flush(now) {
            Ok(()) => Ok(self.position()),
            Err(error) => {
                self.failed_at = Some(now);
                Err(unavailable(error))
            }
        }
    }
}

fn unavailable(error: HistoryError) -> SinkError {
    SinkError::Unavailable { source: Box::new(error) }
}
