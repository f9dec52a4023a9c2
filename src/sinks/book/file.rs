//! The file: its tables, and opening it whatever state it is in.
//!
//! ```text
//! sink    name, spool, progress (text, see progress.rs), before, written, dead_lettered, skipped, lost
//! letter  id, sink, spool, position, tbl, col, row    where it is from: unique but for the id
//!         refused_at, received_at, client, protocol, device, metrics (JSON array), samples, bytes,
//!         reason, attempts, replay (1 = to be sent again),
//!         seal (CRC-32C of batch), batch (the canonical encoding)
//! windows sink, keep_from, rules (JSON), late, open   of sinks that get rollups
//! floor   sink, device, until                         what is closed of a device
//! tally   sink, letters, samples, bytes               held now; kept by triggers
//!         shed, dropped, replayed                     samples ever
//! ```
//!
//! Times are nanoseconds since the epoch; numbers of 64 bits without a sign are stored as signed.

use super::{BookError, Bounds};
use crate::sinks::sqlite::{self, Format, SetAside, Unfit, is_damage};
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use std::cell::Cell;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

macro_rules! windows_schema {
    () => {
        "
CREATE TABLE IF NOT EXISTS windows(sink TEXT PRIMARY KEY, keep_from INTEGER NOT NULL,
  rules TEXT NOT NULL, late INTEGER NOT NULL, open INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS floor(sink TEXT NOT NULL, device TEXT NOT NULL, until INTEGER NOT NULL,
  PRIMARY KEY(sink, device)) WITHOUT ROWID;
"
    };
}

/// "TDBK" in the file's header.
const FORMAT: Format = Format { application_id: 0x5444_424B, version: 1, schema: SCHEMA };
/// Everybody's transactions are short; an administrator's export or a backup may take a moment.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Made in a file that was begun without them, too.
const WINDOWS: &str = windows_schema!();
const SCHEMA: &str = concat!(
    windows_schema!(),
    "
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
"
);

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
        Book::open_if_there(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
    }

    /// Opens the file for reading; `None` if there is none.
    ///
    /// # Errors
    /// As [`Book::existing`].
    pub fn read_only(path: &Path) -> Result<Option<Book>, BookError> {
        let opened = Book::open_if_there(path, OpenFlags::SQLITE_OPEN_READ_ONLY);
        match opened {
            Err(BookError::Store(error)) if lacks_room(&error) && is_at_rest(path) => {
                Book::at_rest(path).map(Some)
            }
            opened => opened,
        }
    }

    /// Reads a file that nobody has open without making SQLite's files beside it, for which a full disk
    /// has no room.
    fn at_rest(path: &Path) -> Result<Book, BookError> {
        let name = path.to_string_lossy();
        let name = percent_encoding::utf8_percent_encode(&name, IN_A_URI);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_URI;
        let uri = format!("file:{name}?immutable=1");
        Book::over(Connection::open_with_flags(uri, flags)?, Bounds::NONE)
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
        // SQLite gives the files beside it the same rights.
        OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        if !FORMAT.has_begun(&connection)? {
            // Letters come and go: the file is to become smaller again. Before the first table.
            connection.execute_batch("PRAGMA auto_vacuum=FULL;")?;
            FORMAT.begin(&connection)?;
        }
        connection.execute_batch(WINDOWS)?;
        connection.execute_batch("PRAGMA journal_mode=WAL;")?;
        let book = Book::over(connection, bounds)?;
        book.read_through()?;
        Ok(book)
    }

    fn open_if_there(path: &Path, flags: OpenFlags) -> Result<Option<Book>, BookError> {
        if !path.try_exists()? {
            return Ok(None);
        }
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // An empty file is one that a daemon is about to fill.
        match FORMAT.has_begun(&connection)? {
            true => Book::over(connection, Bounds::NONE).map(Some),
            false => Ok(None),
        }
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

/// A transaction that will write. It waits for other writers now, for it could not later.
pub(super) fn begin(connection: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}

/// What has a meaning in a URI.
const IN_A_URI: &percent_encoding::AsciiSet =
    &percent_encoding::CONTROLS.add(b'?').add(b'#').add(b'%');

fn lacks_room(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{CannotOpen, DiskFull, SystemIoFailure};
    matches!(error.sqlite_error_code(), Some(CannotOpen | DiskFull | SystemIoFailure))
}

/// Whether all that was written is in the file itself: nobody who has it open is without such a log.
fn is_at_rest(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    std::fs::metadata(log).map_or(true, |log| log.len() == 0)
}

fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "data_version", |row| row.get(0))
}

impl From<Unfit> for BookError {
    fn from(unfit: Unfit) -> BookError {
        match unfit {
            Unfit::Store(error) => BookError::Store(error),
            Unfit::Version { found } => BookError::Version { found, known: FORMAT.version },
            Unfit::Foreign { application } => BookError::Foreign { application },
        }
    }
}
