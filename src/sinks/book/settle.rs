//! What a sink writes at the end of a round, and the bounds that are kept with it.

use super::file::Book;
use super::{BookError, Bounds, Counts, LETTER_BYTES, NewLetter, News, Shed, Standing, windows};
use crate::decode;
use crate::ledger::{OutcomeLine, Outcomes};
use crate::model::{Position, Timestamp};
use crate::sinks::outcomes;
use crate::sqlite::begin;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

impl Book {
    /// How far a sink has come; `None` if it is not known, or was with another spool.
    ///
    /// # Errors
    /// [`BookError::Store`].
    pub fn sink(&self, name: &str, spool_id: u64) -> Result<Option<Standing>, BookError> {
        let standing = standing(&self.connection, name)?;
        Ok(standing.filter(|standing| standing.spool_id == spool_id))
    }

    /// What became of each client's samples in a sink, as of its [standing](Book::sink).
    ///
    /// # Errors
    /// [`BookError::Store`].
    pub fn outcomes(&self, sink: &str) -> Result<Vec<OutcomeLine>, BookError> {
        Ok(outcomes::read(&self.connection, sink)?)
    }

    /// Ends a round: puts down where the sink stands now, what became of each client's samples up to
    /// there, and what is new with that, then sheds the oldest letters past the bounds. All in one
    /// transaction, which is on disk at return.
    ///
    /// A settlement that was in before (an error may come after it was made) is not made again.
    ///
    /// # Errors
    /// [`BookError::Store`]: try again with the same.
    pub fn settle(
        &mut self,
        sink: &str,
        standing: &Standing,
        outcomes: &mut Outcomes,
        news: &News,
        now: Timestamp,
    ) -> Result<Shed, BookError> {
        let bounds = self.bounds;
        // Before the transaction, because others wait for its end.
        let rows: Vec<_> = news.letters.iter().filter_map(NewRow::of).collect();
        let transaction = begin(&mut self.connection)?;
        let before = self::standing(&transaction, sink)?;
        if before.as_ref().is_none_or(|before| before.spool_id != standing.spool_id) {
            outcomes::forget(&transaction, sink)?;
        }
        outcomes::put(&transaction, sink, outcomes.changed())?;
        if before.as_ref() != Some(standing) {
            put_standing(&transaction, sink, standing)?;
            windows::put(&transaction, sink, standing)?;
            windows::put_floors(&transaction, sink, &news.floors)?;
            for row in &rows {
                row.put(&transaction, sink, standing.spool_id, now)?;
            }
        }
        let shed = shed(&transaction, bounds, now)?;
        transaction.commit()?;
        outcomes.saved();
        Ok(shed)
    }

    /// Sheds what has become too old, for times in which nothing is settled.
    ///
    /// # Errors
    /// [`BookError::Store`].
    pub fn shed(&mut self, now: Timestamp) -> Result<Shed, BookError> {
        let bounds = self.bounds;
        let transaction = begin(&mut self.connection)?;
        let shed = shed(&transaction, bounds, now)?;
        transaction.commit()?;
        Ok(shed)
    }
}

pub(super) fn standing(connection: &Connection, name: &str) -> rusqlite::Result<Option<Standing>> {
    let sql = "SELECT spool, progress, before, written, dead_lettered, skipped, lost
               FROM sink WHERE name=?";
    let standing = connection.prepare_cached(sql)?.query_row([name], read_standing).optional()?;
    standing.map(|standing| windows::complete(connection, name, standing)).transpose()
}

fn read_standing(row: &Row<'_>) -> rusqlite::Result<Standing> {
    let progress: String = row.get(1)?;
    let progress = progress.parse().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(1, Type::Text, Box::new(error))
    })?;
    let count = |index| row.get(index).map(i64::cast_unsigned);
    let counts = Counts {
        before: count(2)?,
        written: count(3)?,
        dead_lettered: count(4)?,
        skipped: count(5)?,
        lost: count(6)?,
        ..Counts::default()
    };
    Ok(Standing { spool_id: count(0)?, progress, counts, windows: None })
}

fn put_standing(connection: &Connection, sink: &str, standing: &Standing) -> rusqlite::Result<()> {
    let counts = standing.counts;
    let sql = "INSERT OR REPLACE INTO sink VALUES(?,?,?,?,?,?,?,?)";
    connection.prepare_cached(sql)?.execute(params![
        sink,
        standing.spool_id.cast_signed(),
        standing.progress.to_string(),
        counts.before.cast_signed(),
        counts.written.cast_signed(),
        counts.dead_lettered.cast_signed(),
        counts.skipped.cast_signed(),
        counts.lost.cast_signed(),
    ])?;
    Ok(())
}

/// A letter as it is stored.
struct NewRow<'a> {
    letter: &'a NewLetter,
    device: &'a str,
    metrics: String,
    bytes: u64,
    batch: Vec<u8>,
}

impl NewRow<'_> {
    /// `None` if there is no reading in it.
    fn of(letter: &NewLetter) -> Option<NewRow<'_>> {
        let tables = || letter.batch.tables();
        let device = tables().next().filter(|_| letter.batch.samples() > 0)?.device();
        let mut metrics: Vec<&str> = Vec::new();
        for column in tables().flat_map(|table| table.columns()) {
            if !metrics.contains(&column.metric()) {
                metrics.push(column.metric());
            }
        }
        let metrics = serde_json::to_string(&metrics).unwrap_or_default();
        let batch = decode::encode(&letter.batch, 0);
        let texts = [device, &metrics, &letter.client, &letter.protocol, &letter.words];
        let content = batch.len() + texts.map(str::len).iter().sum::<usize>();
        Some(NewRow { letter, device, metrics, bytes: LETTER_BYTES + content as u64, batch })
    }

    fn put(
        &self,
        connection: &Connection,
        sink: &str,
        spool_id: u64,
        now: Timestamp,
    ) -> rusqlite::Result<()> {
        let NewRow { letter, device, metrics, bytes, batch } = self;
        let Position(position) = letter.position;
        let sql = "INSERT OR IGNORE INTO letter(sink, spool, position, tbl, col, row, refused_at,
                     received_at, client, protocol, device, metrics, samples, bytes, reason, attempts,
                     replay, seal, batch) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,1,0,?,?)";
        connection.prepare_cached(sql)?.execute(params![
            sink,
            spool_id.cast_signed(),
            position.cast_signed(),
            letter.table,
            letter.column,
            letter.first_row,
            now.0,
            letter.received_at.0,
            letter.client,
            letter.protocol,
            device,
            metrics,
            letter.samples.cast_signed(),
            bytes.cast_signed(),
            &*letter.words,
            crc32c::crc32c(batch),
            batch,
        ])?;
        Ok(())
    }
}

/// Deletes the oldest letters until those that stay are within the bounds.
fn shed(connection: &Connection, bounds: Bounds, now: Timestamp) -> rusqlite::Result<Shed> {
    let floor = bounds.age_max.map_or(i64::MIN, |age_max| now.saturating_sub(age_max).0);
    let bytes_max = i64::try_from(bounds.bytes_max).unwrap_or(i64::MAX);
    let held: i64 = connection
        .prepare_cached("SELECT coalesce(sum(bytes), 0) FROM tally")?
        .query_row([], |row| row.get(0))?;
    let mut excess = held.saturating_sub(bytes_max);
    let mut past = Vec::new();
    let sql = "SELECT id, bytes, refused_at FROM letter ORDER BY refused_at, id";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (id, bytes, refused_at): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if excess <= 0 && refused_at >= floor {
            break;
        }
        excess -= bytes;
        past.push(id);
    }
    drop(rows);
    let mut shed = Shed::default();
    let mut delete =
        connection.prepare_cached("DELETE FROM letter WHERE id=? RETURNING sink, samples")?;
    let mut count = connection.prepare_cached("UPDATE tally SET shed=shed+? WHERE sink=?")?;
    for id in past {
        let (sink, samples): (String, i64) =
            delete.query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
        count.execute(params![samples, sink])?;
        shed.letters += 1;
        shed.samples += samples.cast_unsigned();
    }
    Ok(shed)
}
