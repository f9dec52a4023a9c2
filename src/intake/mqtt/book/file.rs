//! The file: its tables, and opening it whatever state it is in.
//!
//! ```text
//! message  id, bridge, topic, received_at, size (of the whole payload), qos, retained, replay (1 = to
//!          be tried again), attempts, bytes (what it takes), code, reason, content_type,
//!          properties (JSON array of pairs), seal (CRC-32C of payload), payload
//! topic    bridge, topic, count, first_seen, last_seen, code, reason
//! tally    bridge, held, bytes (what these take)                    now; kept by triggers
//!          came, missed, shed, dropped, understood                  messages ever
//! node     bridge, node, written (a rising number), bytes, seal (CRC-32C of birth), birth
//! mark     key, value         round: the number of the last round; written: the highest so far
//! ```
//!
//! Times are nanoseconds since the epoch; numbers of 64 bits without a sign are stored as signed.

use super::{BookError, Bounds};
use crate::sqlite::{self, Format, SetAside, Unfit, data_version, is_damage};
use rusqlite::Connection;
use std::cell::Cell;
use std::path::Path;

/// "TDMQ" in the file's header.
pub(crate) const FORMAT: Format =
    Format { application_id: 0x5444_4D51, schema: SCHEMA, upgrades: &[] };

const SCHEMA: &str = "
CREATE TABLE message(id INTEGER PRIMARY KEY AUTOINCREMENT, bridge TEXT NOT NULL,
  topic TEXT NOT NULL, received_at INTEGER NOT NULL, size INTEGER NOT NULL, qos INTEGER NOT NULL,
  retained INTEGER NOT NULL, replay INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 1, bytes INTEGER NOT NULL, code TEXT NOT NULL,
  reason TEXT NOT NULL, content_type TEXT, properties TEXT NOT NULL, seal INTEGER NOT NULL,
  payload BLOB NOT NULL);
CREATE INDEX message_topic ON message(bridge, topic, id, bytes);
CREATE INDEX message_age ON message(received_at);
CREATE INDEX message_replay ON message(bridge, id) WHERE replay=1;
CREATE TABLE topic(bridge TEXT NOT NULL, topic TEXT NOT NULL, count INTEGER NOT NULL,
  first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL, code TEXT NOT NULL,
  reason TEXT NOT NULL, PRIMARY KEY(bridge, topic)) WITHOUT ROWID;
CREATE INDEX topic_seen ON topic(last_seen);
CREATE TABLE tally(bridge TEXT PRIMARY KEY, held INTEGER NOT NULL DEFAULT 0,
  bytes INTEGER NOT NULL DEFAULT 0, came INTEGER NOT NULL DEFAULT 0,
  missed INTEGER NOT NULL DEFAULT 0, shed INTEGER NOT NULL DEFAULT 0,
  dropped INTEGER NOT NULL DEFAULT 0, understood INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TRIGGER message_comes AFTER INSERT ON message BEGIN
  INSERT OR IGNORE INTO tally(bridge) VALUES(new.bridge);
  UPDATE tally SET held=held+1, bytes=bytes+new.bytes WHERE bridge=new.bridge;
END;
CREATE TRIGGER message_changes AFTER UPDATE OF bytes ON message BEGIN
  UPDATE tally SET bytes=bytes-old.bytes+new.bytes WHERE bridge=new.bridge;
END;
CREATE TRIGGER message_goes AFTER DELETE ON message BEGIN
  UPDATE tally SET held=held-1, bytes=bytes-old.bytes WHERE bridge=old.bridge;
END;
CREATE TABLE node(id INTEGER PRIMARY KEY, bridge TEXT NOT NULL, node TEXT NOT NULL,
  written INTEGER NOT NULL, bytes INTEGER NOT NULL, seal INTEGER NOT NULL, birth BLOB NOT NULL,
  UNIQUE(bridge, node));
CREATE INDEX node_written ON node(written, bytes);
CREATE TABLE mark(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
";

/// A connection to the bridges' file.
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

    /// The next round keeps these.
    pub fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
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
        // With NORMAL only checkpoints wait for the disk: see the guarantees of this room. A round may
        // ask for more.
        connection.execute_batch(
            "PRAGMA synchronous=NORMAL; PRAGMA mmap_size=0; PRAGMA cache_size=-2048;
             PRAGMA journal_size_limit=16777216; PRAGMA foreign_keys=OFF;",
        )?;
        connection.set_prepared_statement_cache_capacity(32);
        let version = Cell::new(data_version(&connection)?);
        Ok(Book { connection, bounds, version })
    }

    /// Reads what every round needs, so that damage there is found here.
    fn read_through(&self) -> Result<(), BookError> {
        for table in ["message", "topic", "tally", "node", "mark"] {
            let sql = format!("SELECT count(*) FROM {table} NOT INDEXED");
            self.connection.query_row(&sql, [], |row| row.get::<_, i64>(0))?;
        }
        let indexes = [
            ("message", "message_topic", "1"),
            ("message", "message_age", "1"),
            ("message", "message_replay", "replay=1"),
            ("topic", "topic_seen", "1"),
            ("node", "sqlite_autoindex_node_1", "1"),
            ("node", "node_written", "1"),
        ];
        for (table, index, condition) in indexes {
            let sql = format!("SELECT count(*) FROM {table} INDEXED BY {index} WHERE {condition}");
            self.connection.query_row(&sql, [], |row| row.get::<_, i64>(0))?;
        }
        self.totals(None)?;
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
