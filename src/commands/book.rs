//! The file: commands and desired documents, and opening it whatever state it is in.
//!
//! ```text
//! command  id, device, name, arguments (JSON or NULL), delivery (0 at most once, 1 at least once),
//!          state (0 queued, 1 sent, 2 acknowledged, 3 failed, 4 expired, 5 cancelled), who,
//!          created_at, expires_at, sent_at, finished_at, attempts, via (0 ws, 1 sparkplug, 2 mqtt),
//!          carrier_kind (0 client, 1 bridge), carrier, message, result (JSON or NULL)
//! desired  device, version, document (JSON), who, at, carrier_kind, carrier,
//!          reported, ok, message, reported_document, reported_at      (NULL: nothing was reported)
//! ```
//!
//! Times are nanoseconds since the epoch. What is committed is on disk (`synchronous=FULL`).

use super::command::{Carrier, Command, Delivery, State, Via};
use super::desired::{Desired, Reported};
use crate::model::Timestamp;
use crate::sqlite::{self, Format, SetAside, Unfit, is_damage};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::path::Path;
use thiserror::Error;

/// "TDCM" in the file's header.
pub(crate) const FORMAT: Format =
    Format { application_id: 0x5444_434D, schema: SCHEMA, upgrades: &[] };

const SCHEMA: &str = "
CREATE TABLE command(id INTEGER PRIMARY KEY, device TEXT NOT NULL, name TEXT NOT NULL,
  arguments TEXT, delivery INTEGER NOT NULL, state INTEGER NOT NULL, who TEXT NOT NULL,
  created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, sent_at INTEGER, finished_at INTEGER,
  attempts INTEGER NOT NULL, via INTEGER, carrier_kind INTEGER, carrier TEXT,
  message TEXT NOT NULL, result TEXT);
CREATE INDEX command_device ON command(device, id);
CREATE INDEX command_open ON command(id) WHERE state<2;
CREATE INDEX command_finished ON command(finished_at) WHERE state>=2;
CREATE TABLE desired(device TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL,
  document TEXT NOT NULL, who TEXT NOT NULL, at INTEGER NOT NULL, carrier_kind INTEGER,
  carrier TEXT, reported INTEGER, ok INTEGER, message TEXT, reported_document TEXT,
  reported_at INTEGER);
";

const COMMAND: &str = "id, device, name, arguments, delivery, state, who, created_at, expires_at, \
                       sent_at, finished_at, attempts, via, carrier_kind, carrier, message, result";
const DESIRED: &str = "device, version, document, who, at, carrier_kind, carrier, reported, ok, \
                       message, reported_document, reported_at";

/// Why the book can't be used.
#[derive(Debug, Error)]
pub enum BookError {
    /// SQLite can't.
    #[error("commands.db: {0}")]
    Store(#[from] rusqlite::Error),
    /// The file can't be made, looked at or moved.
    #[error("commands.db can't be made: {0}")]
    Make(#[from] std::io::Error),
    /// It is of a newer daemon.
    #[error("commands.db has version {found}, this daemon knows up to {known}")]
    Version {
        /// Its version.
        found: i64,
        /// The newest that is known.
        known: i64,
    },
    /// It is something else.
    #[error("commands.db is a file of something else (application id {application:#x})")]
    Foreign {
        /// Whose.
        application: i64,
    },
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
pub(super) struct Book {
    connection: Connection,
}

/// A book that has been opened, and what there was to do for it.
#[derive(Debug)]
pub(super) struct Opened {
    pub book: Book,
    /// A damaged file that was replaced by an empty one.
    pub set_aside: Option<SetAside>,
}

/// What is to be written as one.
#[derive(Debug, Default)]
pub(super) struct Changes<'a> {
    pub commands: Vec<&'a Command>,
    pub desired: Vec<&'a Desired>,
}

impl Book {
    /// Opens the file, or makes it. One that is damaged is moved aside and a new one begun.
    pub fn open(path: &Path) -> Result<Opened, BookError> {
        match Book::open_or_begin(path) {
            Ok(book) => Ok(Opened { book, set_aside: None }),
            Err(BookError::Store(error)) if is_damage(&error) => {
                let set_aside = Some(sqlite::set_aside(path)?);
                Ok(Opened { book: Book::open_or_begin(path)?, set_aside })
            }
            Err(error) => Err(error),
        }
    }

    fn open_or_begin(path: &Path) -> Result<Book, BookError> {
        let connection = FORMAT.open_or_make(path)?;
        connection.execute_batch(
            "PRAGMA synchronous=FULL; PRAGMA mmap_size=0; PRAGMA cache_size=-2048;
             PRAGMA journal_size_limit=4194304; PRAGMA foreign_keys=OFF;",
        )?;
        connection.set_prepared_statement_cache_capacity(16);
        let book = Book { connection };
        book.read_through()?;
        Ok(book)
    }

    /// Reads what every start and every round needs, so that damage there is found here.
    fn read_through(&self) -> Result<(), BookError> {
        for (table, index, condition) in [
            ("command NOT INDEXED", "", "1"),
            ("command", "INDEXED BY command_device", "1"),
            ("command", "INDEXED BY command_open", "state<2"),
            ("command", "INDEXED BY command_finished", "state>=2"),
            ("desired NOT INDEXED", "", "1"),
            ("desired", "INDEXED BY sqlite_autoindex_desired_1", "1"),
        ] {
            let sql = format!("SELECT count(*) FROM {table} {index} WHERE {condition}");
            self.connection.query_row(&sql, [], |row| row.get::<_, i64>(0))?;
        }
        self.open_commands()?;
        Ok(())
    }

    /// The highest id so far.
    pub fn last_id(&self) -> Result<u64, BookError> {
        let sql = "SELECT max(id) FROM command";
        let last: Option<i64> = self.connection.query_row(sql, [], |row| row.get(0))?;
        Ok(last.and_then(|id| u64::try_from(id).ok()).unwrap_or(0))
    }

    /// Commands that are not final, oldest first.
    pub fn open_commands(&self) -> Result<Vec<Command>, BookError> {
        let sql = format!("SELECT {COMMAND} FROM command WHERE state<2 ORDER BY id");
        let mut statement = self.connection.prepare(&sql)?;
        let rows = statement.query_map([], command)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    pub fn command(&self, id: u64) -> Result<Option<Command>, BookError> {
        let sql = format!("SELECT {COMMAND} FROM command WHERE id=?1");
        let mut statement = self.connection.prepare_cached(&sql)?;
        Ok(statement.query_row([id.cast_signed()], command).optional()?)
    }

    /// Commands of a device below an id, newest first.
    pub fn commands_of(
        &self,
        device: &str,
        before: u64,
        limit: usize,
    ) -> Result<Vec<Command>, BookError> {
        let sql = format!(
            "SELECT {COMMAND} FROM command WHERE device=?1 AND id<?2 ORDER BY id DESC LIMIT ?3"
        );
        let before = i64::try_from(before).unwrap_or(i64::MAX);
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params![device, before, limit as i64], command)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    pub fn desired(&self, device: &str) -> Result<Option<Desired>, BookError> {
        let sql = format!("SELECT {DESIRED} FROM desired WHERE device=?1");
        let mut statement = self.connection.prepare_cached(&sql)?;
        Ok(statement.query_row([device], desired).optional()?)
    }

    /// Looks at every device's document.
    pub fn each_desired(&self, mut look: impl FnMut(&Desired)) -> Result<(), BookError> {
        let sql = format!("SELECT {DESIRED} FROM desired");
        let mut statement = self.connection.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            look(&desired(row)?);
        }
        Ok(())
    }

    /// Writes all of it, on disk when it returns, or nothing.
    pub fn write(&mut self, changes: &Changes<'_>) -> Result<(), BookError> {
        let transaction = sqlite::begin(&mut self.connection)?;
        for command in &changes.commands {
            write_command(&transaction, command)?;
        }
        for desired in &changes.desired {
            write_desired(&transaction, desired)?;
        }
        Ok(transaction.commit()?)
    }

    /// Forgets what was over before `before`, and the oldest that is over beyond so many; at most
    /// `batch` at once. Tells how many.
    pub fn forget(
        &mut self,
        before: Timestamp,
        keep_max: usize,
        batch: usize,
    ) -> Result<usize, BookError> {
        let transaction = sqlite::begin(&mut self.connection)?;
        let sql = "SELECT count(*) FROM command WHERE state>=2";
        let kept: i64 = transaction.query_row(sql, [], |row| row.get(0))?;
        let beyond = usize::try_from(kept).unwrap_or(0).saturating_sub(keep_max).min(batch);
        let mut gone = transaction.execute(
            "DELETE FROM command WHERE id IN (SELECT id FROM command WHERE state>=2
             ORDER BY finished_at LIMIT ?1)",
            [beyond as i64],
        )?;
        gone += transaction.execute(
            "DELETE FROM command WHERE id IN (SELECT id FROM command WHERE state>=2
             AND finished_at<?1 ORDER BY finished_at LIMIT ?2)",
            params![before.0, (batch - gone) as i64],
        )?;
        transaction.commit()?;
        Ok(gone)
    }
}

fn write_command(connection: &Connection, command: &Command) -> rusqlite::Result<()> {
    let sql = format!(
        "INSERT OR REPLACE INTO command({COMMAND}) \
         VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17)"
    );
    let (kind, carrier) = columns(command.carrier.as_ref());
    connection.prepare_cached(&sql)?.execute(params![
        command.id.cast_signed(),
        &*command.device,
        command.name,
        command.arguments,
        i64::from(command.delivery == Delivery::AtLeastOnce),
        command.state as i64,
        command.by,
        command.created_at.0,
        command.expires_at.0,
        command.sent_at.map(|at| at.0),
        command.finished_at.map(|at| at.0),
        command.attempts,
        command.via.map(|via| via as i64),
        kind,
        carrier,
        command.message,
        command.result,
    ])?;
    Ok(())
}

fn write_desired(connection: &Connection, desired: &Desired) -> rusqlite::Result<()> {
    let sql = format!(
        "INSERT OR REPLACE INTO desired({DESIRED}) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)"
    );
    let (kind, carrier) = columns(desired.carrier.as_ref());
    let reported = desired.reported.as_ref();
    connection.prepare_cached(&sql)?.execute(params![
        &*desired.device,
        desired.version.cast_signed(),
        desired.document,
        desired.by,
        desired.at.0,
        kind,
        carrier,
        reported.map(|reported| reported.version.cast_signed()),
        reported.map(|reported| reported.ok),
        reported.map(|reported| reported.message.as_str()),
        reported.and_then(|reported| reported.document.as_deref()),
        reported.map(|reported| reported.at.0),
    ])?;
    Ok(())
}

fn columns(carrier: Option<&Carrier>) -> (Option<i64>, Option<&str>) {
    match carrier {
        None => (None, None),
        Some(Carrier::Client(name)) => (Some(0), Some(name)),
        Some(Carrier::Bridge(name)) => (Some(1), Some(name)),
    }
}

fn carrier(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Carrier>> {
    let (kind, name): (Option<i64>, Option<String>) = (row.get(at)?, row.get(at + 1)?);
    Ok(match (kind, name) {
        (Some(0), Some(name)) => Some(Carrier::Client(name.into())),
        (Some(_), Some(name)) => Some(Carrier::Bridge(name.into())),
        _ => None,
    })
}

fn command(row: &Row<'_>) -> rusqlite::Result<Command> {
    let number = |at| row.get::<_, i64>(at).map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    let state = State::ALL.get(number(5)?).copied();
    let via: Option<i64> = row.get(12)?;
    let via = via.and_then(|via| Via::ALL.get(usize::try_from(via).ok()?).copied());
    let time = |at| row.get::<_, Option<i64>>(at).map(|at| at.map(Timestamp));
    Ok(Command {
        id: row.get::<_, i64>(0)?.cast_unsigned(),
        device: row.get::<_, String>(1)?.into(),
        name: row.get(2)?,
        arguments: row.get(3)?,
        delivery: if number(4)? == 1 { Delivery::AtLeastOnce } else { Delivery::AtMostOnce },
        state: state.ok_or(rusqlite::Error::IntegralValueOutOfRange(5, row.get(5)?))?,
        by: row.get(6)?,
        created_at: Timestamp(row.get(7)?),
        expires_at: Timestamp(row.get(8)?),
        sent_at: time(9)?,
        finished_at: time(10)?,
        attempts: row.get(11)?,
        via,
        carrier: carrier(row, 13)?,
        message: row.get(15)?,
        result: row.get(16)?,
    })
}

fn desired(row: &Row<'_>) -> rusqlite::Result<Desired> {
    let reported = match row.get::<_, Option<i64>>(7)? {
        None => None,
        Some(version) => Some(Reported {
            version: version.cast_unsigned(),
            ok: row.get(8)?,
            message: row.get(9)?,
            document: row.get(10)?,
            at: Timestamp(row.get(11)?),
        }),
    };
    Ok(Desired {
        device: row.get::<_, String>(0)?.into(),
        version: row.get::<_, i64>(1)?.cast_unsigned(),
        document: row.get(2)?,
        by: row.get(3)?,
        at: Timestamp(row.get(4)?),
        carrier: carrier(row, 5)?,
        reported,
    })
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
