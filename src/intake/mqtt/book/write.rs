//! What the quarantine's thread writes, and the bounds that are kept with it.

use super::file::Book;
use super::{
    BookError, Bounds, Outcome, Quarantined, REMEMBERED_BYTES_MAX, Remember, Round, Seen,
    TOPIC_MESSAGES_MAX, TOPICS_MAX,
};
use crate::model::Timestamp;
use crate::sqlite::begin;
use rusqlite::{Connection, OptionalExtension, params};

impl Book {
    /// Writes a round, then sheds what is past the bounds: all in one transaction. A round that was in
    /// before (an error may come after it was made) is not made again. What is to be remembered is on
    /// disk at return.
    ///
    /// # Errors
    /// [`BookError::Store`]: try again with the same.
    pub fn write(&mut self, round: &Round, now: Timestamp) -> Result<(), BookError> {
        let bounds = self.bounds;
        // An old birth must not be taken for the newest: it would give readings wrong names.
        let synchronous = if round.remember.is_empty() { "NORMAL" } else { "FULL" };
        self.connection.execute_batch(&format!("PRAGMA synchronous={synchronous}"))?;
        let transaction = begin(&mut self.connection)?;
        if mark(&transaction, "round")? != Some(round.number.cast_signed()) {
            put(&transaction, round)?;
            set_mark(&transaction, "round", round.number.cast_signed())?;
        }
        shed(&transaction, bounds, round, now)?;
        transaction.commit()?;
        Ok(())
    }

    /// What is remembered of a bridge's nodes. What can't be read back is not remembered.
    ///
    /// # Errors
    /// [`BookError::Store`].
    pub fn remembered(&self, bridge: &str) -> Result<Vec<(String, Vec<u8>)>, BookError> {
        let sql = "SELECT node, birth, seal FROM node WHERE bridge=? ORDER BY node";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([bridge], |row| {
            let (node, birth, seal): (String, Vec<u8>, u32) =
                (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok((crc32c::crc32c(&birth) == seal).then_some((node, birth)))
        })?;
        Ok(rows.filter_map(Result::transpose).collect::<rusqlite::Result<_>>()?)
    }
}

fn mark(connection: &Connection, key: &str) -> rusqlite::Result<Option<i64>> {
    let mut statement = connection.prepare_cached("SELECT value FROM mark WHERE key=?")?;
    statement.query_row([key], |row| row.get(0)).optional()
}

fn set_mark(connection: &Connection, key: &str, value: i64) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("INSERT OR REPLACE INTO mark VALUES(?,?)")?;
    statement.execute(params![key, value])?;
    Ok(())
}

fn put(connection: &Connection, round: &Round) -> rusqlite::Result<()> {
    for seen in &round.seen {
        put_seen(connection, seen)?;
        count(connection, &seen.bridge, "came", seen.count)?;
        count(connection, &seen.bridge, "missed", seen.count)?;
    }
    for (bridge, messages) in &round.others {
        count(connection, bridge, "came", *messages)?;
        count(connection, bridge, "missed", *messages)?;
    }
    for message in &round.messages {
        put_message(connection, message)?;
        let sql = "UPDATE tally SET missed=missed-1 WHERE bridge=?";
        connection.prepare_cached(sql)?.execute([&*message.bridge])?;
    }
    for (id, outcome) in &round.replayed {
        put_outcome(connection, *id, outcome)?;
    }
    for remember in &round.remember {
        put_node(connection, remember)?;
    }
    Ok(())
}

/// Counts messages in a column of the tally.
pub(super) fn count(
    connection: &Connection,
    bridge: &str,
    column: &str,
    messages: u64,
) -> rusqlite::Result<()> {
    let sql = format!(
        "INSERT INTO tally(bridge, {column}) VALUES(?1, ?2)
         ON CONFLICT DO UPDATE SET {column}={column}+?2"
    );
    connection.prepare_cached(&sql)?.execute(params![bridge, messages.cast_signed()])?;
    Ok(())
}

fn put_seen(connection: &Connection, seen: &Seen) -> rusqlite::Result<()> {
    let sql = "INSERT INTO topic VALUES(?1,?2,?3,?4,?5,?6,?7)
               ON CONFLICT DO UPDATE SET count=count+?3, last_seen=max(last_seen, ?5), code=?6,
                 reason=?7";
    connection.prepare_cached(sql)?.execute(params![
        &*seen.bridge,
        seen.topic,
        seen.count.cast_signed(),
        seen.first.0,
        seen.last.0,
        seen.code,
        seen.reason,
    ])?;
    Ok(())
}

fn put_message(connection: &Connection, message: &Quarantined) -> rusqlite::Result<()> {
    let sql = "INSERT INTO message(bridge, topic, received_at, size, qos, retained, bytes, code,
                 reason, content_type, properties, seal, payload)
               VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?)";
    connection.prepare_cached(sql)?.execute(params![
        &*message.bridge,
        message.topic,
        message.received_at.0,
        message.bytes.cast_signed(),
        message.qos,
        message.retained,
        message.cost().cast_signed(),
        message.code,
        message.reason,
        message.content_type,
        serde_json::to_string(&message.properties).unwrap_or_default(),
        crc32c::crc32c(&message.payload),
        message.payload,
    ])?;
    Ok(())
}

fn put_outcome(connection: &Connection, id: u64, outcome: &Outcome) -> rusqlite::Result<()> {
    let id = i64::try_from(id).unwrap_or(i64::MAX);
    match outcome {
        Outcome::Understood => {
            let sql = "DELETE FROM message WHERE id=? RETURNING bridge, topic";
            let gone = connection
                .prepare_cached(sql)?
                .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            // Somebody may have dropped it meanwhile.
            let Some((bridge, topic)): Option<(String, String)> = gone else { return Ok(()) };
            count(connection, &bridge, "understood", 1)?;
            forget_topic_without_messages(connection, &bridge, &topic)
        }
        Outcome::Refused { reason, code } => {
            let sql = "UPDATE message SET replay=0, attempts=attempts+1, code=?2, reason=?3,
                         bytes=bytes-length(CAST(reason AS BLOB))+length(CAST(?3 AS BLOB))
                       WHERE id=?1 AND replay=1";
            connection.prepare_cached(sql)?.execute(params![id, code, reason])?;
            let sql = "UPDATE topic SET code=?2, reason=?3
                       WHERE (bridge, topic)=(SELECT bridge, topic FROM message WHERE id=?1)";
            connection.prepare_cached(sql)?.execute(params![id, code, reason])?;
            Ok(())
        }
    }
}

/// Somebody cared for the last message of a topic: it is no longer one that needs care.
pub(super) fn forget_topic_without_messages(
    connection: &Connection,
    bridge: &str,
    topic: &str,
) -> rusqlite::Result<()> {
    let sql = "DELETE FROM topic WHERE bridge=?1 AND topic=?2
                 AND NOT EXISTS(SELECT 1 FROM message WHERE bridge=?1 AND topic=?2)";
    connection.prepare_cached(sql)?.execute([bridge, topic])?;
    Ok(())
}

fn put_node(connection: &Connection, remember: &Remember) -> rusqlite::Result<()> {
    let Remember { bridge, node, birth } = remember;
    let Some(birth) = birth else {
        let sql = "DELETE FROM node WHERE bridge=? AND node=?";
        connection.prepare_cached(sql)?.execute([&**bridge, node])?;
        return Ok(());
    };
    let written = mark(connection, "written")?.unwrap_or(0) + 1;
    set_mark(connection, "written", written)?;
    let sql = "INSERT INTO node(bridge, node, written, bytes, seal, birth)
               VALUES(?1,?2,?3,?4,?5,?6)
               ON CONFLICT(bridge, node) DO UPDATE SET written=?3, bytes=?4, seal=?5, birth=?6";
    let bytes = (birth.len() + node.len()) as i64;
    let seal = crc32c::crc32c(birth);
    let values = params![&**bridge, node, written, bytes, seal, birth];
    connection.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

/// Deletes what is past the bounds; `round` tells of which topics there may be too many messages.
fn shed(
    connection: &Connection,
    bounds: Bounds,
    round: &Round,
    now: Timestamp,
) -> rusqlite::Result<()> {
    if let Some(age_max) = bounds.age_max {
        let floor = now.saturating_sub(age_max).0;
        shed_ids(connection, "SELECT id FROM message WHERE received_at<?1", params![floor])?;
        connection.prepare_cached("DELETE FROM topic WHERE last_seen<?")?.execute([floor])?;
    }
    for Seen { bridge, topic, .. } in &round.seen {
        let sql = "SELECT id FROM message WHERE bridge=?1 AND topic=?2
                   ORDER BY id DESC LIMIT -1 OFFSET ?3";
        shed_ids(connection, sql, params![&**bridge, topic, TOPIC_MESSAGES_MAX as i64])?;
    }
    shed_past(connection, bounds)?;
    let sql = "DELETE FROM topic WHERE (bridge, topic) IN
                 (SELECT bridge, topic FROM topic ORDER BY last_seen DESC LIMIT -1 OFFSET ?)";
    connection.prepare_cached(sql)?.execute([TOPICS_MAX as i64])?;
    forget_nodes(connection)
}

/// Deletes the messages whose ids a query gives, and counts them.
fn shed_ids(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> rusqlite::Result<()> {
    let ids: Vec<i64> = {
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map(parameters, |row| row.get(0))?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    for id in ids {
        shed_one(connection, id)?;
    }
    Ok(())
}

fn shed_one(connection: &Connection, id: i64) -> rusqlite::Result<()> {
    let sql = "DELETE FROM message WHERE id=? RETURNING bridge";
    let bridge: String = connection.prepare_cached(sql)?.query_row([id], |row| row.get(0))?;
    count(connection, &bridge, "shed", 1)
}

/// Deletes messages until those that stay are within the bounds: the oldest first, but the newest of
/// each topic last.
fn shed_past(connection: &Connection, bounds: Bounds) -> rusqlite::Result<()> {
    let sql = "SELECT coalesce(sum(held), 0), coalesce(sum(bytes), 0) FROM tally";
    let number = |row: &rusqlite::Row<'_>, at| row.get(at).map(i64::cast_unsigned);
    let (mut messages, mut bytes) = connection
        .prepare_cached(sql)?
        .query_row([], |row| Ok((number(row, 0)?, number(row, 1)?)))?;
    let is_over = |messages, bytes| messages > bounds.messages_max || bytes > bounds.bytes_max;
    if !is_over(messages, bytes) {
        return Ok(());
    }
    // The index has all that is asked.
    let sql = "SELECT id, bytes FROM
                 (SELECT id, bytes, row_number() OVER
                   (PARTITION BY bridge, topic ORDER BY id DESC) AS rank FROM message)
               ORDER BY rank=1, id";
    let order: Vec<(i64, u64)> = {
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, number(row, 1)?)))?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    for (id, its_bytes) in order {
        if !is_over(messages, bytes) {
            break;
        }
        shed_one(connection, id)?;
        messages -= 1;
        bytes = bytes.saturating_sub(its_bytes);
    }
    Ok(())
}

/// Keeps [`REMEMBERED_BYTES_MAX`].
fn forget_nodes(connection: &Connection) -> rusqlite::Result<()> {
    let sql = "SELECT coalesce(sum(bytes), 0) FROM node";
    let held: i64 = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    let mut excess = held - REMEMBERED_BYTES_MAX as i64;
    while excess > 0 {
        let sql = "DELETE FROM node WHERE id=(SELECT id FROM node ORDER BY written LIMIT 1)
                   RETURNING bytes";
        excess -= connection.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(0))?;
    }
    Ok(())
}
