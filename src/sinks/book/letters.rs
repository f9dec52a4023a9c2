//! What people and the replay do with dead letters.

use super::file::Book;
use super::{BookError, Filter, Letter, Summary, Totals, Which};
use crate::decode::{self, Limits, Stamp, Upstream};
use crate::model::{Batch, Timestamp};
use crate::sqlite::begin;
use rusqlite::types::{Type, Value};
use rusqlite::{OptionalExtension, Row, params, params_from_iter};
use std::sync::Arc;

/// The columns of a [`Summary`], in the order in which [`summary`] reads them.
const SUMMARY: &str = "id, sink, refused_at, received_at, client, protocol, device, metrics, \
                       samples, reason, attempts, replay";

impl Book {
    /// Letters with ids above `after`, in the order of ids, at most so many.
    ///
    /// # Errors
    /// [`BookError::Store`].
    pub fn letters(
        &self,
        filter: &Filter,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Summary>, BookError> {
        let condition = if filter.sink.is_some() { "sink=?3" } else { "?3 IS NULL" };
        let sql = format!(
            "SELECT {SUMMARY} FROM letter WHERE id>?1 AND {condition} ORDER BY id LIMIT ?2"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let (after, limit) = (id_in_sql(after), i64::try_from(limit).unwrap_or(i64::MAX));
        let rows = statement.query_map(params![after, limit, filter.sink], summary)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// A letter with its readings; `None` if there is none with this id.
    ///
    /// # Errors
    /// [`BookError::Damaged`] if the readings can't be read back.
    pub fn letter(&self, id: u64) -> Result<Option<Letter>, BookError> {
        let sql = format!("SELECT {SUMMARY}, seal, batch FROM letter WHERE id=?");
        let found = self.connection.prepare_cached(&sql)?.query_row([id_in_sql(id)], sealed);
        let Some((summary, batch)) = found.optional()? else { return Ok(None) };
        let batch = batch.ok_or(BookError::Damaged { id })?;
        Ok(Some(Letter { summary, batch }))
    }

    /// How many there are of a sink or of all, and what became of those that were.
    ///
    /// # Errors
    /// [`BookError::Store`].
    pub fn totals(&self, sink: Option<&str>) -> Result<Totals, BookError> {
        let sql = "SELECT coalesce(sum(letters), 0), coalesce(sum(samples), 0),
                     coalesce(sum(bytes), 0), coalesce(sum(shed), 0), coalesce(sum(dropped), 0),
                     coalesce(sum(replayed), 0) FROM tally WHERE ?1 IS NULL OR sink=?1";
        let totals = self.connection.prepare_cached(sql)?.query_row([sink], |row| {
            let count = |index| row.get(index).map(i64::cast_unsigned);
            Ok(Totals {
                letters: count(0)?,
                samples: count(1)?,
                bytes: count(2)?,
                shed: count(3)?,
                dropped: count(4)?,
                replayed: count(5)?,
            })
        })?;
        Ok(totals)
    }

    /// Marks letters to be sent again; their sink takes them up when it next looks. Returns how many
    /// were found.
    ///
    /// # Errors
    /// [`BookError::Store`].
    pub fn replay(&mut self, which: &Which) -> Result<u64, BookError> {
        let transaction = begin(&mut self.connection)?;
        let mut found = 0;
        for (condition, value) in conditions(which) {
            let sql = format!("UPDATE letter SET replay=1 WHERE {condition}");
            found += transaction.prepare_cached(&sql)?.execute(params_from_iter(value))?;
        }
        transaction.commit()?;
        Ok(found as u64)
    }

    /// Deletes letters and counts their samples as dropped; returns how many letters were found.
    ///
    /// # Errors
    /// [`BookError::Store`].
    pub fn drop_letters(&mut self, which: &Which) -> Result<u64, BookError> {
        let transaction = begin(&mut self.connection)?;
        let mut found = 0;
        for (condition, value) in conditions(which) {
            let count = format!(
                "UPDATE tally SET dropped=dropped+(SELECT coalesce(sum(samples), 0)
                 FROM letter WHERE letter.sink=tally.sink AND letter.{condition})"
            );
            transaction.prepare_cached(&count)?.execute(params_from_iter(&value))?;
            let sql = format!("DELETE FROM letter WHERE {condition}");
            found += transaction.prepare_cached(&sql)?.execute(params_from_iter(&value))?;
        }
        transaction.commit()?;
        Ok(found as u64)
    }

    /// The oldest letters that a sink is to send again: about so many bytes of them, at least one if
    /// there is any. Those whose readings can't be read back are no longer marked, and say why.
    ///
    /// # Errors
    /// [`BookError::Store`].
    pub fn to_replay(&mut self, sink: &str, bytes_max: u64) -> Result<Vec<Letter>, BookError> {
        let (letters, damaged) = self.marked(sink, bytes_max)?;
        for id in &damaged {
            log::error!(sink = sink, letter = *id; "a dead letter is damaged: it can't be replayed");
        }
        if !damaged.is_empty() {
            let sql = "UPDATE letter SET replay=0 WHERE id=?";
            let transaction = begin(&mut self.connection)?;
            for id in damaged {
                transaction.prepare_cached(sql)?.execute([id_in_sql(id)])?;
            }
            transaction.commit()?;
        }
        Ok(letters)
    }

    /// What came of a replay: the stored ones are deleted and counted as replayed; those that were
    /// refused again wait with the new reason until somebody marks them again. Letters that were
    /// dropped or shed meanwhile stay so.
    ///
    /// # Errors
    /// [`BookError::Store`]: try again with the same.
    pub fn replayed(
        &mut self,
        sink: &str,
        stored: &[u64],
        refused: &[(u64, Arc<str>)],
        now: Timestamp,
    ) -> Result<(), BookError> {
        let transaction = begin(&mut self.connection)?;
        for &id in stored {
            let samples: Option<i64> = transaction
                .prepare_cached("DELETE FROM letter WHERE id=? AND sink=? RETURNING samples")?
                .query_row(params![id_in_sql(id), sink], |row| row.get(0))
                .optional()?;
            transaction
                .prepare_cached("UPDATE tally SET replayed=replayed+? WHERE sink=?")?
                .execute(params![samples.unwrap_or(0), sink])?;
        }
        for (id, words) in refused {
            let sql = "UPDATE letter SET replay=0, attempts=attempts+1, refused_at=?3, reason=?4,
                         bytes=bytes-length(CAST(reason AS BLOB))+length(CAST(?4 AS BLOB))
                       WHERE id=?1 AND sink=?2 AND replay=1";
            let values = params![id_in_sql(*id), sink, now.0, &**words];
            transaction.prepare_cached(sql)?.execute(values)?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Marked letters that can be read, and the ids of those that can't.
    fn marked(&self, sink: &str, bytes_max: u64) -> Result<(Vec<Letter>, Vec<u64>), BookError> {
        let sql = format!(
            "SELECT {SUMMARY}, seal, batch, bytes FROM letter WHERE sink=? AND replay=1 ORDER BY id"
        );
        let (mut letters, mut damaged) = (Vec::new(), Vec::new());
        let mut bytes = 0_u64;
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query([sink])?;
        while let Some(row) = rows.next()? {
            bytes = bytes.saturating_add(row.get::<_, i64>(14)?.cast_unsigned());
            if bytes > bytes_max && !letters.is_empty() {
                break;
            }
            match sealed(row)? {
                (summary, Some(batch)) => letters.push(Letter { summary, batch }),
                (summary, None) => damaged.push(summary.id),
            }
        }
        Ok((letters, damaged))
    }
}

/// An id that SQLite can't hold is one that no letter has.
fn id_in_sql(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}

/// Conditions that together are met by the letters meant, each once, with what stands for the `?`.
fn conditions(which: &Which) -> Vec<(&'static str, Option<Value>)> {
    match which {
        Which::All => vec![("id>0", None)],
        Which::Sink(sink) => vec![("sink=?", Some(Value::Text(sink.clone())))],
        Which::Ids(ids) => {
            let mut ids = ids.clone();
            ids.sort_unstable();
            ids.dedup();
            ids.into_iter().map(|id| ("id=?", Some(Value::Integer(id_in_sql(id))))).collect()
        }
    }
}

fn summary(row: &Row<'_>) -> rusqlite::Result<Summary> {
    let metrics: String = row.get(7)?;
    let metrics = serde_json::from_str(&metrics).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(7, Type::Text, Box::new(error))
    })?;
    Ok(Summary {
        id: row.get::<_, i64>(0)?.cast_unsigned(),
        sink: row.get(1)?,
        refused_at: Timestamp(row.get(2)?),
        received_at: Timestamp(row.get(3)?),
        client: row.get(4)?,
        protocol: row.get(5)?,
        device: row.get(6)?,
        metrics,
        samples: row.get::<_, i64>(8)?.cast_unsigned(),
        reason: row.get(9)?,
        attempts: row.get(10)?,
        replaying: row.get(11)?,
    })
}

/// A summary and, if it is as it was written, the batch after it.
fn sealed(row: &Row<'_>) -> rusqlite::Result<(Summary, Option<Batch>)> {
    let summary = summary(row)?;
    let (seal, bytes): (u32, &[u8]) = (row.get(12)?, row.get_ref(13)?.as_blob()?);
    let intact = crc32c::crc32c(bytes) == seal;
    let batch = if intact { read_back(bytes, &summary) } else { None };
    Ok((summary, batch))
}

fn read_back(bytes: &[u8], summary: &Summary) -> Option<Batch> {
    let Ok(Upstream::Batch(batch)) = decode::upstream(bytes) else { return None };
    let stamp =
        Stamp { received_at: summary.received_at, booted_at: None, client: &summary.client };
    Some(decode::batch(batch, &Limits::READ_BACK, &stamp).ok()?.batch)
}
