//! The file: its tables, and opening it whatever state it is in.
//!
//! ```text
//! sink    name, spool, progress (text, see progress.rs), before, written, dead_lettered, skipped, lost
//! letter  id, sink, spool, position, tbl, col, row    where it is from: unique but for the id
//!         refused_at, received_at, client, protocol, device, metrics (JSON array), samples, bytes,
//!         reason, attempts, replay (1 = to be sent again),
//!         seal (CRC-32C of batch), batch (the canonical encoding)
//! tally   sink, letters, samples, bytes               held now; kept by triggers
//!         shed, dropped, replayed                     samples ever
//! client  what became of each client's samples, see ../outcomes.rs; since version 2
//! windows, floor  of sinks that get rollups, see windows.rs; since version 3
//! ```
//!
//! Times are nanoseconds since the epoch; numbers of 64 bits without a sign are stored as signed.

use super::{BookError, Bounds, windows};
use crate::sinks::outcomes;
use crate::sqlite::{self, Format, SetAside, Unfit, data_version, is_damage};
use rusqlite::Connection;
use std::cell::Cell;
use std::path::Path;

/// "TDBK" in the file's header.
pub(crate) const FORMAT: Format = Format {
    application_id: 0x5444_424B,
    schema: SCHEMA,
    upgrades: &[&[outcomes::TABLE, COUNTED_BEFORE], &[windows::TABLES]],
};

const SCHEMA: &str = "
CREATE TABLE sink(name TEXT PRIMARY KEY, spool INTEGER NOT NULL, progress TEXT NOT NULL,
  before INTEGER NOT NULL, written INTEGER NOT NULL, dead_lettered INTEGER NOT NULL,
  skipped INTEGER NOT NULL, lost INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE letter(id INTEGER PRIMARY KEY AUTOINCREMENT, sink TEXT NOT NULL,
  spool INTEGER NOT NULL, position INTEGER NOT NULL, tbl INTEGER NOT NULL, col INTEGER NOT NULL,
  row INTEGER NOT NULL, refused_at INTEGER NOT NULL, received_at INTEGER NOT NULL,
  client TEXT NOT NULL, protocol TEXT NOT NULL, device TEXT NOT NULL, metrics TEXT NOT NULL,
  samples INTEGER NOT NULL, bytes INTEGER NOT NULL, reason TEXT NOT NULL,
  attempts INTEGER NOT NULL, replay INTEGER NOT NULL, seal INTEGER NOT NULL, batch BLOB NOT NULL,
  UNIQUE(sink, spool, position, tbl, col, row));
CREATE INDEX letter_sink ON letter(sink, id);
CREATE INDEX letter_age ON letter(refused_at, id);
CREATE INDEX letter_replay ON letter(sink, id) WHERE replay=1;
CREATE TABLE tally(sink TEXT PRIMARY KEY, letters INTEGER NOT NULL DEFAULT 0,
  samples INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0,
  shed INTEGER NOT NULL DEFAULT 0, dropped INTEGER NOT NULL DEFAULT 0,
  replayed INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TRIGGER letter_comes AFTER INSERT ON letter BEGIN
  INSERT OR IGNORE INTO tally(sink) VALUES(new.sink);
  UPDATE tally SET letters=letters+1, samples=samples+new.samples, bytes=bytes+new.bytes
    WHERE sink=new.sink;
END;
CREATE TRIGGER letter_changes AFTER UPDATE OF bytes ON letter BEGIN
  UPDATE tally SET bytes=bytes-old.bytes+new.bytes WHERE sink=new.sink;
END;
CREATE TRIGGER letter_goes AFTER DELETE ON letter BEGIN
  UPDATE tally SET letters=letters-1, samples=samples-old.samples, bytes=bytes-old.bytes
    WHERE sink=old.sink;
END;
";

/// What sinks were through with when clients began to be counted: whose it is the log may tell.
const COUNTED_BEFORE: &str = "
INSERT INTO client SELECT name, '', 0, before+written+dead_lettered+skipped+lost, 0, 0, 0, 0, 0
  FROM sink;
";

/// A connection to the sinks' file.
#[derive(Debug)]
pub struct Book {
    pub(super) connection: Connection,
    pub(super) bounds: Bounds,
    /// What [`Book::changed`] compares with.
    version: Cell<i64>,
}

/// A book that has been opened, and what there was to do for it.
#[derive(Debug)]
pub struct Opened {
    /// The book.
    pub book: Book,
    /// A damaged file that was replaced by an empty one.
    pub set_aside: Option<SetAside>,
}

impl Book {
    /// Opens the file, or makes it, readable for its owner only. One that SQLite finds damaged is
    /// moved aside and a new one begun: so this is for the daemon while it starts, before others of
    /// it go on with the file.
    ///
    /// # Errors
    /// [`BookError`]; damage is none.
    pub fn open(path: &Path, bounds: Bounds) -> Result<Opened, BookError> {
        match Book::open_or_begin(path, bounds) {
            Ok(book) => Ok(Opened { book, set_aside: None }),
            Err(BookError::Store(error)) if is_damage(&error) => {
                let set_aside = Some(sqlite::set_aside(path)?);
                Ok(Opened { book: Book::open_or_begin(path, bounds)?, set_aside })
            }
            Err(error) => Err(error),
        }
    }

    /// Opens the file for changes, whether or not a daemon has it open; `None` if there is none.
    ///
    /// # Errors
    /// [`BookError`]; a damaged file is left as it is.
    pub fn existing(path: &Path) -> Result<Option<Book>, BookError> {
        FORMAT.existing(path)?.map(|connection| Book::over(connection, Bounds::NONE)).transpose()
    }

    /// Opens the file for reading; `None` if there is none.
    ///
    /// # Errors
    /// As [`Book::existing`].
    pub fn read_only(path: &Path) -> Result<Option<Book>, BookError> {
        FORMAT.read_only(path)?.map(|connection| Book::over(connection, Bounds::NONE)).transpose()
    }

    /// Whether somebody else changed the file since this was last asked, or since it was opened.
    ///
    /// # Errors
    /// [`BookError::Store`].
    pub fn changed(&self) -> Result<bool, BookError> {
        let version = data_version(&self.connection)?;
        Ok(self.version.replace(version) != version)
    }

    fn open_or_begin(path: &Path, bounds: Bounds) -> Result<Book, BookError> {
        let book = Book::over(FORMAT.open_or_make(path)?, bounds)?;
        book.read_through()?;
        Ok(book)
    }

    fn over(connection: Connection, bounds: Bounds) -> Result<Book, BookError> {
        connection.execute_batch(
            "PRAGMA synchronous=FULL; PRAGMA mmap_size=0; PRAGMA cache_size=-2048;
             PRAGMA journal_size_limit=16777216; PRAGMA foreign_keys=OFF;",
        )?;
        let version = Cell::new(data_version(&connection)?);
        Ok(Book { connection, bounds, version })
    }

    /// Reads what every start needs, so that damage there is found here.
    fn read_through(&self) -> Result<(), BookError> {
        let mut statement = self.connection.prepare("SELECT name FROM sink NOT INDEXED")?;
        let names = statement.query_map([], |row| row.get(0))?;
        for name in names.collect::<rusqlite::Result<Vec<String>>>()? {
            super::settle::standing(&self.connection, &name)?;
            self.outcomes(&name)?;
        }
        self.totals(None)?;
        for index in ["sqlite_autoindex_letter_1", "letter_sink", "letter_age", "letter_replay"] {
            let condition = if index == "letter_replay" { "replay=1" } else { "1" };
            let sql = format!("SELECT count(*) FROM letter INDEXED BY {index} WHERE {condition}");
            self.connection.query_row(&sql, [], |row| row.get::<_, i64>(0))?;
        }
        Ok(())
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
