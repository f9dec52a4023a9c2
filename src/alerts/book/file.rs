//! The file: its tables, and opening it whatever state it is in.
//!
//! ```text
//! watch    slot, state (bytes: see rules/memory.rs)                  what the rules have seen
//! alert    id, rule, device, severity, state, fingerprint, key (of which rule for what),
//!          resolved_at, body (JSON: see rules/json.rs)
//! event    id, at, kind, alert, by, note, body (the alert as it was then)
//! rule     name, body (JSON)                                         rules made on the page
//! silence  id, until, body (JSON)
//! mark     key, value    position: of the next record; spool: the log's id; now: up to when the rules
//!                        have got; alert, event, silence: the next number of each
//! ```
//!
//! Times are nanoseconds since the epoch; numbers of 64 bits without a sign are stored as signed.

use super::super::silence::{Ready, Silence};
use super::{BookError, Kept};
use crate::model::{Position, Timestamp};
use crate::rules::{Alert, Spec};
use crate::sqlite::{self, Format, SetAside, Unfit, is_damage};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// "TDAL" in the file's header.
pub(crate) const FORMAT: Format =
    Format { application_id: 0x5444_414C, schema: SCHEMA, upgrades: &[] };

const SCHEMA: &str = "
CREATE TABLE watch(slot INTEGER PRIMARY KEY, state BLOB NOT NULL);
CREATE TABLE alert(id INTEGER PRIMARY KEY, rule TEXT NOT NULL, device TEXT, severity TEXT NOT NULL,
  state TEXT NOT NULL, fingerprint INTEGER NOT NULL, key TEXT NOT NULL, resolved_at INTEGER,
  body TEXT NOT NULL);
CREATE INDEX alert_open ON alert(id) WHERE resolved_at IS NULL;
CREATE INDEX alert_over ON alert(resolved_at) WHERE resolved_at IS NOT NULL;
CREATE INDEX alert_device ON alert(device, id);
CREATE INDEX alert_rule ON alert(rule, id);
CREATE TABLE event(id INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind TEXT NOT NULL,
  alert INTEGER NOT NULL, by TEXT NOT NULL, note TEXT NOT NULL, body TEXT NOT NULL);
CREATE INDEX event_alert ON event(alert, id);
CREATE TABLE rule(name TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE silence(id INTEGER PRIMARY KEY, until INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE mark(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
";

/// A connection to the file.
#[derive(Debug)]
pub(in super::super) struct Book {
    pub(super) connection: Connection,
}

/// What was in the file.
#[derive(Debug)]
pub(in super::super) struct Remembered {
    /// Of which log, and where in it.
    pub position: Option<(u64, Position)>,
    pub now: Timestamp,
    pub watch: Vec<(u32, Vec<u8>)>,
    pub open: Vec<Kept>,
    pub silences: Vec<Ready>,
    pub rules: BTreeMap<String, Spec>,
    /// Numbers of the next alert, event and silence.
    pub next: [u64; 3],
}

impl Book {
    /// Opens the file, or makes it, readable for its owner only. One that SQLite finds damaged is
    /// moved aside and a new one begun.
    ///
    /// # Errors
    /// [`BookError`]; damage is none.
    pub fn open(path: &Path) -> Result<(Book, Remembered, Option<SetAside>), BookError> {
        let open = || {
            let book = Book::over(FORMAT.open_or_make(path)?)?;
            let remembered = book.remembered()?;
            Ok((book, remembered))
        };
        match open() {
            Ok((book, remembered)) => Ok((book, remembered, None)),
            Err(BookError::Store(error)) if is_damage(&error) => {
                let set_aside = Some(sqlite::set_aside(path)?);
                let (book, remembered) = open()?;
                Ok((book, remembered, set_aside))
            }
            Err(error) => Err(error),
        }
    }

    /// Another connection to a file that is open already, for reading.
    ///
    /// # Errors
    /// [`BookError`].
    pub fn reader(path: &Path) -> Result<Option<Book>, BookError> {
        FORMAT.read_only(path)?.map(Book::over).transpose()
    }

    fn over(connection: Connection) -> Result<Book, BookError> {
        // What is told to others must not be untold by a loss of power: each transaction is synced.
        connection.execute_batch(
            "PRAGMA synchronous=FULL; PRAGMA mmap_size=0; PRAGMA cache_size=-4096;
             PRAGMA journal_size_limit=16777216; PRAGMA foreign_keys=OFF;",
        )?;
        connection.set_prepared_statement_cache_capacity(32);
        Ok(Book { connection })
    }

    pub(super) fn mark(&self, key: &str) -> rusqlite::Result<Option<i64>> {
        let mut statement = self.connection.prepare_cached("SELECT value FROM mark WHERE key=?")?;
        statement.query_row(params![key], |row| row.get(0)).optional()
    }

    /// All that is needed to go on. So damage is found at the start.
    fn remembered(&self) -> Result<Remembered, BookError> {
        for table in ["alert", "event"] {
            let sql = format!("SELECT count(*) FROM {table} NOT INDEXED");
            self.connection.query_row(&sql, [], |row| row.get::<_, i64>(0))?;
        }
        let next = |key| Ok::<u64, BookError>(self.mark(key)?.map_or(1, i64::cast_unsigned));
        let position = match (self.mark("spool")?, self.mark("position")?) {
            (Some(spool), Some(position)) => {
                Some((spool.cast_unsigned(), Position(position.cast_unsigned())))
            }
            _ => None,
        };
        Ok(Remembered {
            position,
            now: Timestamp(self.mark("now")?.unwrap_or(0)),
            watch: self.rows(
                "what rules had seen",
                "SELECT slot, state FROM watch ORDER BY slot",
                |row| Ok(Some((row.get(0)?, row.get(1)?))),
            )?,
            open: self.rows(
                "open alerts",
                "SELECT body, fingerprint, key FROM alert WHERE resolved_at IS NULL ORDER BY id",
                |row| {
                    let body: String = row.get(0)?;
                    let fingerprint = row.get::<_, i64>(1)?.cast_unsigned();
                    let key = row.get(2)?;
                    let alert = Alert::of_stored(&body).map(Arc::new);
                    Ok(alert.map(|alert| Kept { alert, fingerprint, key }))
                },
            )?,
            silences: self.rows("silences", "SELECT body FROM silence ORDER BY id", |row| {
                let silence: Option<Silence> = serde_json::from_str(&row.get::<_, String>(0)?).ok();
                Ok(silence.and_then(|silence| Ready::new(silence).ok()))
            })?,
            rules: self
                .rows("rules made on the page", "SELECT name, body FROM rule", |row| {
                    let spec: Option<Spec> = serde_json::from_str(&row.get::<_, String>(1)?).ok();
                    let name: String = row.get(0)?;
                    Ok(spec.map(|spec| (name.clone(), Spec { name, ..spec })))
                })?
                .into_iter()
                .collect(),
            next: [next("alert")?, next("event")?, next("silence")?],
        })
    }

    /// What rows say. Those that make no sense can't be used, and nobody can ask for them again: how many
    /// they are is said.
    fn rows<T>(
        &self,
        what: &str,
        sql: &str,
        read: impl Fn(&rusqlite::Row<'_>) -> rusqlite::Result<Option<T>>,
    ) -> Result<Vec<T>, BookError> {
        let mut statement = self.connection.prepare(sql)?;
        let rows = statement.query_map([], |row| read(row))?;
        let all = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        let bad = all.iter().filter(|row| row.is_none()).count();
        if bad > 0 {
            log::error!(rows = bad; "{what} in alerts.db can't be read back: they are left out");
        }
        Ok(all.into_iter().flatten().collect())
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
