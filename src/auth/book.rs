//! The file of what the door remembers, `auth.db`, and opening it whatever state it is in.
//!
//! ```text
//! session  hash (SHA-256 of the cookie), name, scopes ("view command"), devices (JSON array of globs),
//!          login (how its holder showed who he is: key, jwt, certificate, local), key (its id, or NULL),
//!          created_at, seen_at, expires_at
//! key_use  key (its id), at (when it was last used, to a minute)
//! trail    id, at, who, how, address (or NULL), did, what
//! ```
//!
//! Times are nanoseconds since the epoch. What is committed is on disk (`synchronous=FULL`). Who reads
//! the file can't log in with what is in it.

use super::sessions::{Hash, Session};
use super::trail::{Entry, Note};
use super::{Caller, How, Scope};
use crate::model::{Reach, Timestamp};
use crate::sqlite::{self, Format, SetAside, Unfit, is_damage};
use rusqlite::{Connection, Row, params};
use std::path::Path;
use std::sync::Arc;
use thiserror::Error;

/// "TDAU" in the file's header.
pub(crate) const FORMAT: Format =
    Format { application_id: 0x5444_4155, schema: SCHEMA, upgrades: &[] };

const SCHEMA: &str = "
CREATE TABLE session(hash BLOB NOT NULL PRIMARY KEY, name TEXT NOT NULL, scopes TEXT NOT NULL,
  devices TEXT NOT NULL, login TEXT NOT NULL, key TEXT, created_at INTEGER NOT NULL,
  seen_at INTEGER NOT NULL, expires_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE key_use(key TEXT NOT NULL PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE trail(id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, who TEXT NOT NULL,
  how TEXT NOT NULL, address TEXT, did TEXT NOT NULL, what TEXT NOT NULL);
CREATE INDEX trail_at ON trail(at);
";

/// Why the file can't be used.
#[derive(Debug, Error)]
pub enum BookError {
    /// SQLite can't.
    #[error("auth.db: {0}")]
    Store(#[from] rusqlite::Error),
    /// The file can't be made, looked at or moved.
    #[error("auth.db can't be made: {0}")]
    Make(#[from] std::io::Error),
    /// It is of a newer daemon.
    #[error("auth.db has version {found}, this daemon knows up to {known}")]
    Version {
        /// Its version.
        found: i64,
        /// The newest that is known.
        known: i64,
    },
    /// It is something else.
    #[error("auth.db is a file of something else (application id {application:#x})")]
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
    pub begun: Vec<&'a Session>,
    pub seen: Vec<(&'a Hash, Timestamp)>,
    pub ended: Vec<&'a Hash>,
    pub uses: Vec<(&'a str, Timestamp)>,
    pub notes: Vec<&'a Note>,
}

impl Changes<'_> {
    pub fn is_empty(&self) -> bool {
        self.begun.is_empty()
            && self.seen.is_empty()
            && self.ended.is_empty()
            && self.uses.is_empty()
            && self.notes.is_empty()
    }
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

    /// Reads what every start needs, so that damage there is found here.
    fn read_through(&self) -> Result<(), BookError> {
        for sql in [
            "SELECT count(*) FROM trail NOT INDEXED",
            "SELECT count(*) FROM trail INDEXED BY trail_at WHERE at IS NOT NULL",
        ] {
            self.connection.query_row(sql, [], |row| row.get::<_, i64>(0))?;
        }
        self.sessions(Timestamp(i64::MIN))?;
        self.uses()?;
        Ok(())
    }

    /// The sessions that end after `now`, the oldest first. What can't be understood is none.
    pub fn sessions(&self, now: Timestamp) -> Result<Vec<Session>, BookError> {
        let mut statement = self.connection.prepare(
            "SELECT hash, name, scopes, devices, login, key, created_at, seen_at, expires_at
             FROM session WHERE expires_at>?1 ORDER BY created_at",
        )?;
        let rows = statement.query_map([now.0], session)?;
        Ok(rows.filter_map(Result::transpose).collect::<rusqlite::Result<_>>()?)
    }

    /// When each key was last used.
    pub fn uses(&self) -> Result<Vec<(Arc<str>, Timestamp)>, BookError> {
        let mut statement = self.connection.prepare("SELECT key, at FROM key_use")?;
        let rows = statement
            .query_map([], |row| Ok((row.get::<_, String>(0)?.into(), Timestamp(row.get(1)?))))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Entries of the trail with ids below `before`, newest first.
    pub fn entries(&self, before: u64, limit: usize) -> Result<Vec<Entry>, BookError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, at, who, how, address, did, what FROM trail WHERE id<?1
             ORDER BY id DESC LIMIT ?2",
        )?;
        let before = i64::try_from(before).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![before, limit as i64], |row| {
            Ok(Entry {
                id: row.get::<_, i64>(0)?.cast_unsigned(),
                at: Timestamp(row.get(1)?),
                by: row.get(2)?,
                how: row.get(3)?,
                address: row.get(4)?,
                did: row.get(5)?,
                what: row.get(6)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Writes all of it, on disk when it returns, or nothing.
    pub fn write(&mut self, changes: &Changes<'_>) -> Result<(), BookError> {
        let transaction = sqlite::begin(&mut self.connection)?;
        for session in &changes.begun {
            begin(&transaction, session)?;
        }
        for (hash, at) in &changes.seen {
            let sql = "UPDATE session SET seen_at=?2 WHERE hash=?1";
            transaction.prepare_cached(sql)?.execute(params![hash, at.0])?;
        }
        for hash in &changes.ended {
            transaction.prepare_cached("DELETE FROM session WHERE hash=?1")?.execute([hash])?;
        }
        for (key, at) in &changes.uses {
            let sql = "INSERT OR REPLACE INTO key_use(key, at) VALUES(?1,?2)";
            transaction.prepare_cached(sql)?.execute(params![key, at.0])?;
        }
        for note in &changes.notes {
            let sql =
                "INSERT INTO trail(at, who, how, address, did, what) VALUES(?1,?2,?3,?4,?5,?6)";
            let address = note.address.map(|address| address.to_string());
            let Note { at, by, how, did, what, .. } = note;
            let row = params![at.0, &**by, how, address, did, what];
            transaction.prepare_cached(sql)?.execute(row)?;
        }
        Ok(transaction.commit()?)
    }

    /// Forgets sessions that are over, entries of the trail from before `before`, and the oldest beyond so
    /// many; at most `batch` of these. Tells how many.
    pub fn forget(
        &mut self,
        now: Timestamp,
        before: Timestamp,
        keep_max: usize,
        batch: usize,
    ) -> Result<usize, BookError> {
        let transaction = sqlite::begin(&mut self.connection)?;
        let mut gone = transaction.execute("DELETE FROM session WHERE expires_at<=?1", [now.0])?;
        // Ids are given one after the other, so that the number of rows needs no counting.
        gone += transaction.execute(
            "DELETE FROM trail WHERE id IN (SELECT id FROM trail
             WHERE id<=(SELECT max(id) FROM trail)-?1 ORDER BY id LIMIT ?2)",
            params![keep_max as i64, batch as i64],
        )?;
        gone += transaction.execute(
            "DELETE FROM trail WHERE id IN (SELECT id FROM trail WHERE at<?1 ORDER BY at LIMIT ?2)",
            params![before.0, batch as i64],
        )?;
        transaction.commit()?;
        Ok(gone)
    }
}

fn begin(connection: &Connection, session: &Session) -> rusqlite::Result<()> {
    let Session { hash, caller, login, created_at, seen_at, expires_at } = session;
    let scopes: Vec<_> = caller.scopes.given().map(Scope::name).collect();
    let devices = serde_json::to_string(caller.reach.globs()).unwrap_or_default();
    let key = match &caller.how {
        How::Session { key, .. } => key.as_deref(),
        _ => None,
    };
    let sql = "INSERT OR REPLACE INTO session(hash, name, scopes, devices, login, key, created_at,
                 seen_at, expires_at) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9)";
    connection.prepare_cached(sql)?.execute(params![
        hash,
        &*caller.name,
        scopes.join(" "),
        devices,
        &**login,
        key,
        created_at.0,
        seen_at.0,
        expires_at.0,
    ])?;
    Ok(())
}

/// `None` if its scopes or devices are not what they should be: better no session than one that may more.
fn session(row: &Row<'_>) -> rusqlite::Result<Option<Session>> {
    let (hash, scopes, devices): (Hash, String, String) = (row.get(0)?, row.get(2)?, row.get(3)?);
    let (name, login, key): (String, String, Option<String>) =
        (row.get(1)?, row.get(4)?, row.get(5)?);
    let (created_at, seen_at, expires_at) =
        (Timestamp(row.get(6)?), Timestamp(row.get(7)?), Timestamp(row.get(8)?));
    let scopes: Option<_> = scopes.split_whitespace().map(Scope::named).collect();
    let devices = serde_json::from_str::<Vec<String>>(&devices).ok();
    let reach = devices.and_then(|devices| Reach::new(&devices).ok());
    let (Some(scopes), Some(reach)) = (scopes, reach) else { return Ok(None) };
    let how = How::Session { id: super::sessions::id(&hash), key: key.map(Into::into) };
    let caller = Caller { name: name.into(), scopes, reach, how, expires_at: Some(expires_at) };
    let (caller, login) = (Arc::new(caller), login.into());
    Ok(Some(Session { hash, caller, login, created_at, seen_at, expires_at }))
}
