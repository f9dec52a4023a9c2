//! What the channels remember: `notify.db`.
//!
//! ```text
//! channel  name, kind, standing (JSON: position in the journal, groups told, messages of the last hour),
//!          sent, failed (attempts), last_sent_at, shed (dead letters that had no room)
//! message  n (the order), id, channel, made_at, events, summary, body, done (JSON array: recipients that
//!          have it), attempts, since (of the first attempt that failed; 0 = none did), dead (1 = given
//!          up), dead_at, reason (of the last failure)
//! ```
//!
//! Times are nanoseconds since the epoch; numbers of 64 bits without a sign are stored as signed. A
//! channel's standing and the message that it made are written in one transaction, which is on disk when
//! it returns.

use super::grouping::Standing;
use crate::model::Timestamp;
use crate::sqlite::{self, Format, SetAside, Unfit, is_damage};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::path::Path;
use thiserror::Error;

/// "TDNO" in the file's header.
pub(crate) const FORMAT: Format =
    Format { application_id: 0x5444_4E4F, schema: SCHEMA, upgrades: &[] };

const SCHEMA: &str = "
CREATE TABLE channel(name TEXT PRIMARY KEY, kind TEXT NOT NULL, standing TEXT NOT NULL,
  sent INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,
  last_sent_at INTEGER NOT NULL DEFAULT 0, shed INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE message(n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
  channel TEXT NOT NULL, made_at INTEGER NOT NULL, events INTEGER NOT NULL, summary TEXT NOT NULL,
  body TEXT NOT NULL, done TEXT NOT NULL DEFAULT '[]', attempts INTEGER NOT NULL DEFAULT 0,
  since INTEGER NOT NULL DEFAULT 0, dead INTEGER NOT NULL DEFAULT 0,
  dead_at INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '');
CREATE INDEX message_next ON message(channel, dead, n);
";

/// Dead letters of a channel that are kept; one more costs the oldest, counted.
const LETTERS_MAX: u64 = 1000;

/// The file can't be read or changed.
#[derive(Debug, Error)]
pub enum BookError {
    /// SQLite says so.
    #[error("{0}")]
    Store(rusqlite::Error),
    /// It can't be made or looked at.
    #[error("{0}")]
    Make(std::io::Error),
    /// It was written by a newer version.
    #[error("the file is of version {found}; this version knows {known}")]
    Version {
        /// Of the file.
        found: i64,
        /// The newest that is known.
        known: i64,
    },
    /// It belongs to another program.
    #[error("the file is of another program (application_id {application})")]
    Foreign {
        /// What the file says.
        application: i64,
    },
}

impl From<rusqlite::Error> for BookError {
    fn from(error: rusqlite::Error) -> BookError {
        BookError::Store(error)
    }
}

impl From<Unfit> for BookError {
    fn from(unfit: Unfit) -> BookError {
        match unfit {
            Unfit::Store(error) => BookError::Store(error),
            Unfit::Make(error) => BookError::Make(error),
            Unfit::Version { found } => BookError::Version { found, known: FORMAT.version() },
            Unfit::Foreign { application } => BookError::Foreign { application },
        }
    }
}

/// A connection to the file.
#[derive(Debug)]
pub(super) struct Book(Connection);

/// What a channel had.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub standing: Standing,
    pub sent: u64,
    pub failed: u64,
    pub last_sent_at: Timestamp,
    pub dead: u64,
}

/// A message that is to be delivered, or is given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub id: String,
    pub made_at: Timestamp,
    pub events: u64,
    pub summary: String,
    /// The JSON of a webhook, the text of an e-mail.
    pub body: String,
    /// Recipients that have it.
    pub done: Vec<String>,
    pub attempts: u64,
    /// Of the first attempt that failed.
    pub since: Option<Timestamp>,
    /// Of the last.
    pub reason: String,
}

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Of its message, as the receiver would have seen it.
    pub id: String,
    /// Whose.
    pub channel: String,
    /// When it was given up.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// What it is about.
    pub summary: String,
    /// How often it was tried.
    pub attempts: u64,
    /// Events in it.
    pub events: u64,
}

/// A channel that is configured no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Forgotten {
    pub name: String,
    /// Messages that it had, dead letters among them.
    pub messages: u64,
}

impl Book {
    /// Opens the file, or makes it. One that SQLite finds damaged is moved aside and a new one begun.
    pub fn open(path: &Path) -> Result<(Book, Option<SetAside>), BookError> {
        match Book::open_or_begin(path) {
            Ok(book) => Ok((book, None)),
            Err(BookError::Store(error)) if is_damage(&error) => {
                let set_aside = sqlite::set_aside(path).map_err(BookError::Make)?;
                Ok((Book::open_or_begin(path)?, Some(set_aside)))
            }
            Err(error) => Err(error),
        }
    }

    fn open_or_begin(path: &Path) -> Result<Book, BookError> {
        let connection = FORMAT.open_or_make(path)?;
        connection.execute_batch(
            "PRAGMA synchronous=FULL; PRAGMA mmap_size=0; PRAGMA cache_size=-1024;
             PRAGMA journal_size_limit=4194304; PRAGMA foreign_keys=OFF;",
        )?;
        let book = Book(connection);
        // Damage is found here, not in the middle of the night.
        for sql in [
            "SELECT count(*), total(length(standing)) FROM channel",
            "SELECT count(*), total(length(body)) FROM message NOT INDEXED",
            "SELECT count(*), total(n) FROM message INDEXED BY message_next WHERE channel>='' AND dead>=0",
        ] {
            book.0.query_row(sql, [], |row| row.get::<_, i64>(0))?;
        }
        Ok(book)
    }

    /// Forgets channels that are configured no more.
    pub fn keep_only(&mut self, names: &[&str]) -> Result<Vec<Forgotten>, BookError> {
        let transaction = sqlite::begin(&mut self.0)?;
        let mut forgotten = Vec::new();
        {
            let mut known = transaction.prepare("SELECT name FROM channel")?;
            let known = known.query_map([], |row| row.get::<_, String>(0))?;
            for name in known.collect::<Result<Vec<_>, _>>()? {
                if !names.contains(&name.as_str()) {
                    let messages =
                        transaction.execute("DELETE FROM message WHERE channel=?1", [&name])?;
                    transaction.execute("DELETE FROM channel WHERE name=?1", [&name])?;
                    forgotten.push(Forgotten { name, messages: messages as u64 });
                }
            }
        }
        transaction.commit()?;
        Ok(forgotten)
    }

    /// What a channel had; one that is new begins at `newest`. So does one that is further than its
    /// journal, which a power cut may have cost its end: `true` if that was so.
    pub fn channel(
        &mut self,
        name: &str,
        kind: &str,
        newest: u64,
    ) -> Result<(Known, bool), BookError> {
        let sql = "SELECT standing, sent, failed, last_sent_at,
            (SELECT count(*) FROM message WHERE channel=?1 AND dead=1) FROM channel WHERE name=?1";
        let known = self.0.query_row(sql, [name], |row| {
            let standing: String = row.get(0)?;
            let known = Known {
                standing: Standing::default(),
                sent: unsigned(row, 1)?,
                failed: unsigned(row, 2)?,
                last_sent_at: Timestamp(row.get(3)?),
                dead: unsigned(row, 4)?,
            };
            Ok((standing, known))
        });
        let Some((standing, known)) = known.optional()? else {
            let standing = Standing::at(newest);
            self.0.execute(
                "INSERT INTO channel(name, kind, standing) VALUES(?1, ?2, ?3)",
                params![name, kind, json(&standing)],
            )?;
            return Ok((Known { standing, ..Known::default() }, false));
        };
        let standing: Option<Standing> = serde_json::from_str(&standing).ok();
        match standing {
            Some(standing) if standing.position <= newest => {
                Ok((Known { standing, ..known }, false))
            }
            _ => Ok((Known { standing: Standing::at(newest), ..known }, true)),
        }
    }

    /// A channel's position, without a message.
    pub fn stand(&mut self, name: &str, standing: &Standing) -> Result<(), BookError> {
        let sql = "UPDATE channel SET standing=?2 WHERE name=?1";
        self.0.execute(sql, params![name, json(standing)])?;
        Ok(())
    }

    /// A message, and the channel's position after it.
    pub fn make(
        &mut self,
        name: &str,
        message: &Message,
        standing: &Standing,
    ) -> Result<(), BookError> {
        let transaction = sqlite::begin(&mut self.0)?;
        transaction.execute(
            "INSERT INTO message(id, channel, made_at, events, summary, body)
             VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                message.id,
                name,
                message.made_at.0,
                message.events as i64,
                message.summary,
                message.body
            ],
        )?;
        let sql = "UPDATE channel SET standing=?2 WHERE name=?1";
        transaction.execute(sql, params![name, json(standing)])?;
        Ok(transaction.commit()?)
    }

    /// The next message of a channel, if one is to be delivered.
    pub fn next(&self, name: &str) -> Result<Option<Message>, BookError> {
        let sql = "SELECT id, made_at, events, summary, body, done, attempts, since, reason
            FROM message WHERE channel=?1 AND dead=0 ORDER BY n LIMIT 1";
        let message = self.0.query_row(sql, [name], |row| {
            let (done, since): (String, i64) = (row.get(5)?, row.get(7)?);
            Ok(Message {
                id: row.get(0)?,
                made_at: Timestamp(row.get(1)?),
                events: unsigned(row, 2)?,
                summary: row.get(3)?,
                body: row.get(4)?,
                done: serde_json::from_str(&done).unwrap_or_default(),
                attempts: unsigned(row, 6)?,
                since: (since != 0).then_some(Timestamp(since)),
                reason: row.get(8)?,
            })
        });
        Ok(message.optional()?)
    }

    /// Events in messages of a channel that are to be delivered.
    pub fn events(&self, name: &str) -> Result<u64, BookError> {
        let sql = "SELECT ifnull(sum(events), 0) FROM message WHERE channel=?1 AND dead=0";
        Ok(self.0.query_row(sql, [name], |row| unsigned(row, 0))?)
    }

    /// It is delivered.
    pub fn delivered(&mut self, name: &str, id: &str, at: Timestamp) -> Result<(), BookError> {
        let transaction = sqlite::begin(&mut self.0)?;
        transaction.execute("DELETE FROM message WHERE id=?1", [id])?;
        transaction.execute(
            "UPDATE channel SET sent=sent+1, last_sent_at=?2 WHERE name=?1",
            params![name, at.0],
        )?;
        Ok(transaction.commit()?)
    }

    /// An attempt failed. `dead`: it was the last.
    pub fn failed(
        &mut self,
        name: &str,
        message: &Message,
        at: Timestamp,
        dead: bool,
    ) -> Result<(), BookError> {
        let transaction = sqlite::begin(&mut self.0)?;
        transaction.execute(
            "UPDATE message SET attempts=?2, since=?3, reason=?4, done=?5, dead=?6, dead_at=?7
             WHERE id=?1",
            params![
                message.id,
                message.attempts as i64,
                message.since.map_or(0, |since| since.0),
                message.reason,
                json(&message.done),
                dead,
                if dead { at.0 } else { 0 }
            ],
        )?;
        transaction.execute("UPDATE channel SET failed=failed+1 WHERE name=?1", [name])?;
        if dead {
            let shed = transaction.execute(
                "DELETE FROM message WHERE channel=?1 AND dead=1 AND n<=(SELECT n FROM message
                 WHERE channel=?1 AND dead=1 ORDER BY n DESC LIMIT 1 OFFSET ?2)",
                params![name, LETTERS_MAX as i64],
            )?;
            transaction.execute(
                "UPDATE channel SET shed=shed+?2 WHERE name=?1",
                params![name, shed as i64],
            )?;
        }
        Ok(transaction.commit()?)
    }

    /// Dead letters, newest first.
    pub fn letters(&self, max: usize) -> Result<Vec<Letter>, BookError> {
        let mut letters = self.0.prepare_cached(
            "SELECT id, channel, dead_at, reason, summary, attempts, events FROM message
             WHERE dead=1 ORDER BY dead_at DESC, n DESC LIMIT ?1",
        )?;
        let letters = letters.query_map([max as i64], |row| {
            Ok(Letter {
                id: row.get(0)?,
                channel: row.get(1)?,
                at: Timestamp(row.get(2)?),
                reason: row.get(3)?,
                summary: row.get(4)?,
                attempts: unsigned(row, 5)?,
                events: unsigned(row, 6)?,
            })
        })?;
        Ok(letters.collect::<Result<_, _>>()?)
    }

    /// Dead letters of a channel.
    pub fn dead(&self, name: &str) -> Result<u64, BookError> {
        let sql = "SELECT count(*) FROM message WHERE channel=?1 AND dead=1";
        Ok(self.0.query_row(sql, [name], |row| unsigned(row, 0))?)
    }

    /// Tries dead letters again, as if they were new; tells how many.
    pub fn retry(&mut self, ids: &[String]) -> Result<u64, BookError> {
        self.each(
            ids,
            "UPDATE message SET dead=0, dead_at=0, since=0, attempts=0 WHERE id=?1 AND dead=1",
        )
    }

    /// Drops dead letters; tells how many.
    pub fn drop_letters(&mut self, ids: &[String]) -> Result<u64, BookError> {
        self.each(ids, "DELETE FROM message WHERE id=?1 AND dead=1")
    }

    fn each(&mut self, ids: &[String], sql: &str) -> Result<u64, BookError> {
        let transaction = sqlite::begin(&mut self.0)?;
        let mut changed = 0;
        for id in ids {
            changed += transaction.execute(sql, [id])?;
        }
        transaction.commit()?;
        Ok(changed as u64)
    }
}

fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)? as u64)
}

/// What it is made of has names, numbers and texts only.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
