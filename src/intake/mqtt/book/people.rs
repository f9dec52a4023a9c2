//! What people and the replay do with messages.

use super::file::Book;
use super::topic::fits;
use super::write::{count, forget_topic_without_messages};
use super::{BookError, EXCERPT_BYTES, Filter, Marked, Message, Summary, Topic, Totals, Which};
use crate::model::Timestamp;
use crate::sqlite::begin;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::BTreeSet;

/// The columns of a [`Summary`], in the order in which [`summary`] reads them.
const SUMMARY: &str = "id, bridge, topic, size, length(payload), qos, retained, received_at, \
                       content_type, properties, reason, code, attempts, replay";

impl Book {
    /// Messages with ids above `after`, in the order of ids, at most so many.
    ///
    /// # Errors
    /// [`BookError::Store`].
    pub fn messages(
        &self,
        filter: &Filter,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Summary>, BookError> {
        let sql = format!(
            "SELECT {SUMMARY}, coalesce(substr(payload, 1, {EXCERPT_BYTES}), x'') FROM message
             WHERE id>? ORDER BY id"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map([id_in_sql(after)], |row| {
            if !lets_through(filter, row.get_ref(1)?.as_str()?, row.get_ref(2)?.as_str()?) {
                return Ok(None);
            }
            Ok(Some(Summary { excerpt: row.get(14)?, ..summary(row)? }))
        })?;
        Ok(rows.filter_map(Result::transpose).take(limit).collect::<rusqlite::Result<_>>()?)
    }

    /// A message with its payload; `None` if there is none with this id.
    ///
    /// # Errors
    /// [`BookError::Damaged`] if the payload can't be read back.
    pub fn message(&self, id: u64) -> Result<Option<Message>, BookError> {
        let sql = format!("SELECT {SUMMARY}, seal, payload FROM message WHERE id=?");
        let mut statement = self.connection.prepare_cached(&sql)?;
        match statement.query_row([id_in_sql(id)], sealed).optional()? {
            Some((message, true)) => Ok(Some(message)),
            Some((_, false)) => Err(BookError::Damaged { id }),
            None => Ok(None),
        }
    }

    /// The topics, those seen last first, at most so many.
    ///
    /// # Errors
    /// [`BookError::Store`].
    pub fn topics(&self, filter: &Filter, limit: usize) -> Result<Vec<Topic>, BookError> {
        let sql = "SELECT bridge, topic, count, first_seen, last_seen, reason, code,
                     (SELECT count(*) FROM message WHERE message.bridge=topic.bridge
                       AND message.topic=topic.topic),
                     (SELECT max(id) FROM message WHERE message.bridge=topic.bridge
                       AND message.topic=topic.topic)
                   FROM topic ORDER BY last_seen DESC, bridge, topic";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([], topic)?;
        let topics = rows.filter(|topic| {
            topic.as_ref().map_or(true, |it| lets_through(filter, &it.bridge, &it.topic))
        });
        Ok(topics.take(limit).collect::<rusqlite::Result<_>>()?)
    }

    /// How many there are of a bridge or of all, and what became of those that were.
    ///
    /// # Errors
    /// [`BookError::Store`].
    pub fn totals(&self, bridge: Option<&str>) -> Result<Totals, BookError> {
        let condition = "WHERE ?1 IS NULL OR bridge=?1";
        let number = |row: &Row<'_>, at| row.get(at).map(i64::cast_unsigned);
        let sql = format!(
            "SELECT coalesce(sum(came), 0), coalesce(sum(missed), 0), coalesce(sum(shed), 0),
               coalesce(sum(dropped), 0), coalesce(sum(understood), 0), coalesce(sum(held), 0),
               coalesce(sum(bytes), 0) FROM tally {condition}"
        );
        let totals = self.connection.prepare_cached(&sql)?.query_row([bridge], |row| {
            Ok(Totals {
                came: number(row, 0)?,
                missed: number(row, 1)?,
                shed: number(row, 2)?,
                dropped: number(row, 3)?,
                understood: number(row, 4)?,
                held: number(row, 5)?,
                bytes: number(row, 6)?,
                topics: 0,
            })
        })?;
        let sql = format!("SELECT count(*) FROM topic {condition}");
        let topics =
            self.connection.prepare_cached(&sql)?.query_row([bridge], |row| number(row, 0))?;
        Ok(Totals { topics, ..totals })
    }

    /// Marks messages to be tried again; their bridge takes them up when it next looks. Those of which
    /// only the beginning is kept are left out.
    ///
    /// # Errors
    /// [`BookError::Store`].
    pub fn replay(&mut self, which: &Which) -> Result<Marked, BookError> {
        let transaction = begin(&mut self.connection)?;
        let mut marked = Marked::default();
        for id in meant(&transaction, which)? {
            let sql = "UPDATE message SET replay=(size=length(payload)) WHERE id=?
                       RETURNING replay";
            let mut statement = transaction.prepare_cached(sql)?;
            match statement.query_row([id], |row| row.get(0)).optional()? {
                Some(true) => marked.messages += 1,
                Some(false) => marked.cut += 1,
                None => {}
            }
        }
        transaction.commit()?;
        Ok(marked)
    }

    /// Deletes messages and counts them as dropped; returns how many were found. A topic is forgotten
    /// with the last of its messages, and if a filter means it.
    ///
    /// # Errors
    /// [`BookError::Store`].
    pub fn drop_messages(&mut self, which: &Which) -> Result<u64, BookError> {
        let transaction = begin(&mut self.connection)?;
        let mut dropped = 0;
        for id in meant(&transaction, which)? {
            let sql = "DELETE FROM message WHERE id=? RETURNING bridge, topic";
            let mut statement = transaction.prepare_cached(sql)?;
            let gone =
                statement.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            let Some((bridge, topic)): Option<(String, String)> = gone else { continue };
            count(&transaction, &bridge, "dropped", 1)?;
            forget_topic_without_messages(&transaction, &bridge, &topic)?;
            dropped += 1;
        }
        if let Which::Fitting(filter) = which {
            for (bridge, topic) in names(&transaction, "topic", filter)? {
                forget_topic_without_messages(&transaction, &bridge, &topic)?;
            }
        }
        transaction.commit()?;
        Ok(dropped)
    }

    /// The oldest messages that a bridge is to try again, at most so many. Those whose payload can't be
    /// read back are no longer marked, and say why.
    ///
    /// # Errors
    /// [`BookError::Store`].
    pub fn to_replay(&mut self, bridge: &str, limit: usize) -> Result<Vec<Message>, BookError> {
        let sql = format!(
            "SELECT {SUMMARY}, seal, payload FROM message
             WHERE bridge=? AND replay=1 ORDER BY id LIMIT ?"
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params![bridge, limit], sealed)?;
        let mut messages = Vec::new();
        for (message, intact) in rows.collect::<rusqlite::Result<Vec<_>>>()? {
            match (message.summary.id, intact) {
                (_, true) => messages.push(message),
                (id, false) => {
                    let reason = BookError::Damaged { id }.to_string();
                    let sql = "UPDATE message SET replay=0, reason=? WHERE id=?";
                    let mut unmark = self.connection.prepare_cached(sql)?;
                    unmark.execute(params![reason, id_in_sql(id)])?;
                }
            }
        }
        Ok(messages)
    }
}

/// An id that SQLite can't hold is one that no message has.
fn id_in_sql(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}

fn lets_through(filter: &Filter, bridge: &str, topic: &str) -> bool {
    filter.bridge.as_ref().is_none_or(|wanted| wanted == bridge)
        && filter.topic.as_ref().is_none_or(|wanted| fits(wanted, topic))
}

/// Bridges and topics, each once, that a table names and a filter lets through.
fn names(
    connection: &Connection,
    table: &str,
    filter: &Filter,
) -> rusqlite::Result<Vec<(String, String)>> {
    let sql = format!("SELECT DISTINCT bridge, topic FROM {table}");
    let mut statement = connection.prepare_cached(&sql)?;
    let all = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    all.filter(|row: &rusqlite::Result<(String, String)>| {
        row.as_ref().map_or(true, |(bridge, topic)| lets_through(filter, bridge, topic))
    })
    .collect()
}

/// The ids of the messages meant, each once.
fn meant(connection: &Connection, which: &Which) -> rusqlite::Result<BTreeSet<i64>> {
    match which {
        Which::Ids(ids) => Ok(ids.iter().map(|id| id_in_sql(*id)).collect()),
        Which::Fitting(filter) => {
            let mut ids = BTreeSet::new();
            for (bridge, topic) in names(connection, "message", filter)? {
                let sql = "SELECT id FROM message WHERE bridge=? AND topic=?";
                let mut statement = connection.prepare_cached(sql)?;
                for id in statement.query_map([bridge, topic], |row| row.get(0))? {
                    ids.insert(id?);
                }
            }
            Ok(ids)
        }
    }
}

fn summary(row: &Row<'_>) -> rusqlite::Result<Summary> {
    let number = |at| row.get(at).map(i64::cast_unsigned);
    let properties: String = row.get(9)?;
    let properties = serde_json::from_str(&properties).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(9, Type::Text, Box::new(error))
    })?;
    Ok(Summary {
        id: number(0)?,
        bridge: row.get(1)?,
        topic: row.get(2)?,
        excerpt: Vec::new(),
        bytes: number(3)?,
        kept: number(4)?,
        qos: row.get(5)?,
        retained: row.get(6)?,
        received_at: Timestamp(row.get(7)?),
        content_type: row.get(8)?,
        properties,
        reason: row.get(10)?,
        code: row.get(11)?,
        attempts: row.get(12)?,
        replaying: row.get(13)?,
    })
}

/// A message, and whether its payload is as it was written.
fn sealed(row: &Row<'_>) -> rusqlite::Result<(Message, bool)> {
    let (seal, payload): (u32, Vec<u8>) = (row.get(14)?, row.get(15)?);
    let intact = crc32c::crc32c(&payload) == seal;
    let excerpt = payload[..payload.len().min(EXCERPT_BYTES)].to_vec();
    Ok((Message { summary: Summary { excerpt, ..summary(row)? }, payload }, intact))
}

fn topic(row: &Row<'_>) -> rusqlite::Result<Topic> {
    let number = |at| row.get(at).map(i64::cast_unsigned);
    Ok(Topic {
        bridge: row.get(0)?,
        topic: row.get(1)?,
        count: number(2)?,
        first_seen: Timestamp(row.get(3)?),
        last_seen: Timestamp(row.get(4)?),
        reason: row.get(5)?,
        code: row.get(6)?,
        held: number(7)?,
        example: row.get::<_, Option<i64>>(8)?.map(i64::cast_unsigned),
    })
}
