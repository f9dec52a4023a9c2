//! What the worker writes, and how long it is kept.

use super::file::Book;
use super::{BookError, Happened, Kept, Round};
use crate::model::{Position, Timestamp};
use crate::rules::{EventKind, State};
use crate::sqlite::begin;
use rusqlite::{Connection, params};

/// Of events and alerts past the bounds, so many go at a time.
const TRIM_MAX: u64 = 10_000;

impl Book {
    /// Writes a round; it is on disk at return.
    ///
    /// # Errors
    /// [`BookError::Store`]: nothing is written; try again with the same.
    pub fn write(&mut self, spool: u64, round: &Round) -> Result<(), BookError> {
        let transaction = begin(&mut self.connection)?;
        for (slot, state) in &round.watch {
            match state {
                Some(state) => transaction
                    .prepare_cached("INSERT OR REPLACE INTO watch VALUES(?,?)")?
                    .execute(params![slot, state])?,
                None => {
                    transaction.prepare_cached("DELETE FROM watch WHERE slot=?")?.execute([slot])?
                }
            };
        }
        for (id, kept) in &round.alerts {
            match kept {
                Some(kept) => put_alert(&transaction, kept)?,
                None => {
                    let sql = "DELETE FROM alert WHERE id=?";
                    transaction.prepare_cached(sql)?.execute([id.cast_signed()])?;
                }
            }
        }
        round.events.iter().try_for_each(|happened| put_event(&transaction, happened))?;
        for (id, silence) in &round.silences {
            let body = serde_json::to_string(silence).unwrap_or_default();
            transaction
                .prepare_cached("INSERT OR REPLACE INTO silence VALUES(?,?,?)")?
                .execute(params![id.cast_signed(), silence.until, body])?;
        }
        for (name, spec) in &round.rules {
            match spec {
                Some(spec) => transaction
                    .prepare_cached("INSERT OR REPLACE INTO rule VALUES(?,?)")?
                    .execute(params![name, serde_json::to_string(spec).unwrap_or_default()])?,
                None => transaction
                    .prepare_cached("DELETE FROM rule WHERE name=?")?
                    .execute(params![name])?,
            };
        }
        let [alert, event, silence] = round.next.map(u64::cast_signed);
        let Position(position) = round.position;
        for (key, value) in [
            ("alert", alert),
            ("event", event),
            ("silence", silence),
            ("spool", spool.cast_signed()),
            ("position", position.cast_signed()),
            ("now", round.now.0),
        ] {
            let sql = "INSERT OR REPLACE INTO mark VALUES(?,?)";
            transaction.prepare_cached(sql)?.execute(params![key, value])?;
        }
        Ok(transaction.commit()?)
    }

    /// Deletes what is older, or more, than is kept: some of it at a time. Gives whether there may be
    /// more. What is open stays.
    ///
    /// # Errors
    /// [`BookError::Store`].
    pub fn trim(&mut self, before: Option<Timestamp>, max: u64) -> Result<bool, BookError> {
        let transaction = begin(&mut self.connection)?;
        let mut deleted = 0;
        let mut delete = |sql: &str, bound: i64| {
            let limit = TRIM_MAX.cast_signed();
            let count = transaction.prepare_cached(sql)?.execute(params![bound, limit])?;
            deleted += count;
            Ok::<_, rusqlite::Error>(())
        };
        if let Some(Timestamp(before)) = before {
            // The journal is a run of numbers: it is cut at one.
            delete("DELETE FROM event WHERE id IN (SELECT id FROM event WHERE at<?1 ORDER BY id LIMIT ?2)
                    AND id < coalesce((SELECT id FROM event WHERE at>=?1 ORDER BY id LIMIT 1), 9223372036854775807)", before)?;
            delete(
                "DELETE FROM alert WHERE id IN (SELECT id FROM alert WHERE resolved_at<? LIMIT ?)",
                before,
            )?;
            delete(
                "DELETE FROM silence WHERE id IN (SELECT id FROM silence WHERE until<? LIMIT ?)",
                before,
            )?;
        }
        let max = max.cast_signed();
        delete(
            "DELETE FROM event WHERE id IN (SELECT id FROM event
                WHERE id <= (SELECT max(id) FROM event) - ? ORDER BY id LIMIT ?)",
            max,
        )?;
        delete(
            "DELETE FROM alert WHERE id IN (SELECT id FROM alert WHERE resolved_at IS NOT NULL
                AND id <= (SELECT max(id) FROM alert) - ? ORDER BY id LIMIT ?)",
            max,
        )?;
        transaction.commit()?;
        Ok(deleted as u64 >= TRIM_MAX)
    }
}

fn put_alert(connection: &Connection, kept: &Kept) -> rusqlite::Result<()> {
    let Kept { alert, fingerprint, key } = kept;
    connection.prepare_cached("INSERT OR REPLACE INTO alert VALUES(?,?,?,?,?,?,?,?,?)")?.execute(
        params![
            alert.id.cast_signed(),
            &*alert.rule,
            alert.device.as_deref(),
            alert.severity.name(),
            alert.state.name(),
            fingerprint.cast_signed(),
            key,
            alert.resolved_at.filter(|_| alert.state == State::Resolved).map(|at| at.0),
            alert.stored(),
        ],
    )?;
    Ok(())
}

fn put_event(connection: &Connection, happened: &Happened) -> rusqlite::Result<()> {
    let Happened { event, by, note } = happened;
    connection
        // An error may come after it was written: then the same is written again.
        .prepare_cached("INSERT OR REPLACE INTO event VALUES(?,?,?,?,?,?,?)")?
        .execute(params![
            event.id.cast_signed(),
            event.at.0,
            EventKind::name(event.kind),
            event.alert.id.cast_signed(),
            by,
            note,
            event.alert.stored(),
        ])?;
    Ok(())
}
