//! The file: its tables, and opening it whatever state it is in.
//!
//! ```text
//! meta     key, value     spool_id, position, stored_total, shed_total, skipped_total, floor,
//!                         next_group, next_series
//! grp      id, device, tags (JSON object)         a device with its tags: one time axis
//! series   id, grp, metric, unit, first, last, typ, value
//!                         metric '' is the axis; first, last: times; value at `last` and its typ
//! segment  id, level, start, end, t0, t1, samples, rows_max, written
//!                         level -1 being written, 0 fresh, 1 compacted, 2 compacted and so sparse
//!                         that it waits for its day to close, 3 a day of such
//! chunk    id, typ, n, t0, t1, min, max, sum, last, seal, data           see chunk.rs
//!                         id = segment << 32 | series; typ 0 axis, 1 float, 2 int, 3 bool, 4 text, 5 mixed
//! damaged  id, data       chunks that compaction could not read, kept for inspection
//! client                  what became of each client's samples, see ../outcomes.rs; since version 2
//! ```
//!
//! All times are nanoseconds since the epoch. Of equal (series, time) in two segments, the one of
//! the newer segment counts: level 3 is older than all others, and else the higher id is newer.
//!
//! Invariants: a chunk row is inserted once and never changed; a segment of level -1 is seen by
//! nobody; position, samples and each client's counts are committed together.

use super::HistoryError;
use super::chunk::{Chunk, Content, Summary, chunk_id};
use super::value::{Kind, Value};
use crate::sinks::outcomes;
use crate::sqlite::{Format, Unfit};
pub(super) use crate::sqlite::{SetAside, is_damage, set_aside};
use rusqlite::types::{Value as Sql, ValueRef};
use rusqlite::{CachedStatement, Connection, OpenFlags, OptionalExtension, Row, params};
use std::path::Path;
use std::time::Duration;

/// "TIDE" in the file's header.
pub(crate) const FORMAT: Format = Format {
    application_id: 0x5449_4445,
    schema: SCHEMA,
    upgrades: &[&[outcomes::TABLE, COUNTED_BEFORE]],
};
/// How long to wait for somebody else's lock (a backup tool's): not long, the log waits meanwhile.
const BUSY_TIMEOUT: Duration = Duration::from_millis(250);

const SCHEMA: &str = "
CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE grp(id INTEGER PRIMARY KEY, device TEXT NOT NULL, tags TEXT NOT NULL);
CREATE TABLE series(id INTEGER PRIMARY KEY, grp INTEGER NOT NULL, metric TEXT NOT NULL,
  unit TEXT NOT NULL, first INTEGER, last INTEGER, typ INTEGER NOT NULL, value);
CREATE TABLE segment(id INTEGER PRIMARY KEY, level INTEGER NOT NULL, start INTEGER NOT NULL,
  end INTEGER NOT NULL, t0 INTEGER NOT NULL, t1 INTEGER NOT NULL, samples INTEGER NOT NULL,
  rows_max INTEGER NOT NULL, written INTEGER NOT NULL);
CREATE INDEX segment_t0 ON segment(t0);
CREATE TABLE chunk(id INTEGER PRIMARY KEY, typ INTEGER NOT NULL, n INTEGER NOT NULL,
  t0 INTEGER NOT NULL, t1 INTEGER NOT NULL, min REAL, max REAL, sum REAL, last,
  seal INTEGER NOT NULL, data BLOB NOT NULL);
CREATE TABLE damaged(id INTEGER PRIMARY KEY, data);
";

/// What was accounted for when clients began to be counted: whose it is the log may tell.
const COUNTED_BEFORE: &str = "
INSERT INTO client SELECT 'history', '', 0, sum(value), 0, 0, 0, 0, 0 FROM meta
  WHERE key IN ('stored_total', 'shed_total', 'skipped_total') HAVING sum(value) > 0;
";

/// Opens the writer's connection. A file that SQLite finds damaged is moved aside and a new one
/// begun.
pub(super) fn open_or_begin(path: &Path) -> Result<(Connection, Option<SetAside>), HistoryError> {
    match open_existing(path) {
        Ok(connection) => Ok((connection, None)),
        Err(HistoryError::Store(error)) if is_damage(&error) => {
            let aside = set_aside(path)?;
            Ok((open_existing(path)?, Some(aside)))
        }
        Err(error) => Err(error),
    }
}

fn open_existing(path: &Path) -> Result<Connection, HistoryError> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Both must come before the first table.
    connection.execute_batch("PRAGMA page_size=8192; PRAGMA auto_vacuum=INCREMENTAL;")?;
    FORMAT.begin(&connection)?;
    connection.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA mmap_size=0;
         PRAGMA cache_size=-8192; PRAGMA journal_size_limit=16777216; PRAGMA foreign_keys=OFF;",
    )?;
    connection.set_prepared_statement_cache_capacity(64);
    // Reads what every start needs, so that damage there is found here.
    for table in ["meta", "grp", "series", "segment", "client"] {
        let sql = format!("SELECT count(*) FROM {table} NOT INDEXED");
        connection.query_row(&sql, [], |row| row.get::<_, i64>(0))?;
    }
    connection.query_row("SELECT max(id) FROM chunk", [], |row| row.get::<_, Option<i64>>(0))?;
    Ok(connection)
}

impl From<Unfit> for HistoryError {
    fn from(unfit: Unfit) -> HistoryError {
        match unfit {
            Unfit::Store(error) => HistoryError::Store(error),
            Unfit::Make(error) => HistoryError::SetAside(error),
            Unfit::Version { found } => HistoryError::Version { found, known: FORMAT.version() },
            Unfit::Foreign { application } => HistoryError::Foreign { application },
        }
    }
}

/// A connection for queries.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch("PRAGMA mmap_size=0; PRAGMA cache_size=-8192;")?;
    Ok(connection)
}

pub(super) fn get_meta(connection: &Connection, key: &str) -> rusqlite::Result<Option<i64>> {
    let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE key=?")?;
    statement.query_row([key], |row| row.get(0)).optional()
}

pub(super) fn put_meta(connection: &Connection, key: &str, value: i64) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("INSERT OR REPLACE INTO meta VALUES(?,?)")?;
    statement.execute(params![key, value])?;
    Ok(())
}

/// A row of the table `segment`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub id: i64,
    pub level: i64,
    /// The window that it lies in.
    pub start: i64,
    pub end: i64,
    /// Its earliest and latest time.
    pub t0: i64,
    pub t1: i64,
    pub samples: i64,
    /// Rows of its largest group.
    pub rows_max: i64,
    /// When it was written, by the wall clock.
    pub written: i64,
}

impl Segment {
    pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Segment> {
        Ok(Segment {
            id: row.get(0)?,
            level: row.get(1)?,
            start: row.get(2)?,
            end: row.get(3)?,
            t0: row.get(4)?,
            t1: row.get(5)?,
            samples: row.get(6)?,
            rows_max: row.get(7)?,
            written: row.get(8)?,
        })
    }

    pub(super) fn put(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut statement = connection
            .prepare_cached("INSERT OR REPLACE INTO segment VALUES(?,?,?,?,?,?,?,?,?)")?;
        statement.execute([
            self.id,
            self.level,
            self.start,
            self.end,
            self.t0,
            self.t1,
            self.samples,
            self.rows_max,
            self.written,
        ])?;
        Ok(())
    }
}

/// All segments that can be seen or are being written.
pub(super) fn segments(connection: &Connection) -> rusqlite::Result<Vec<Segment>> {
    let mut statement = connection.prepare("SELECT * FROM segment NOT INDEXED ORDER BY id")?;
    let rows = statement.query_map([], Segment::from_row)?;
    rows.collect()
}

/// Deletes a segment with its chunks.
pub(super) fn delete_segment(connection: &Connection, id: i64) -> rusqlite::Result<()> {
    let range = [chunk_id(id, 0), chunk_id(id, u32::MAX)];
    connection.prepare_cached("DELETE FROM chunk WHERE id BETWEEN ? AND ?")?.execute(range)?;
    connection.prepare_cached("DELETE FROM segment WHERE id=?")?.execute([id])?;
    Ok(())
}

/// Inserts chunks. The statement is held, for looking it up costs as much as a tenth of a sample.
pub(super) struct ChunkWriter<'c>(CachedStatement<'c>);

impl ChunkWriter<'_> {
    pub(super) fn new(connection: &Connection) -> rusqlite::Result<ChunkWriter<'_>> {
        let sql = "INSERT INTO chunk VALUES(?,?,?,?,?,?,?,?,?,?,?)";
        Ok(ChunkWriter(connection.prepare_cached(sql)?))
    }

    /// Inserts a chunk under its id, with its checksums.
    pub(super) fn put(&mut self, id: i64, chunk: &mut Chunk) -> rusqlite::Result<()> {
        chunk.close(id);
        let summary = chunk.summary;
        self.0.execute(params![
            id,
            chunk.content.number(),
            chunk.count as i64,
            chunk.t0,
            chunk.t1,
            summary.map(|s| s.min),
            summary.map(|s| s.max),
            summary.map(|s| s.sum),
            chunk.last.as_ref().map(to_sql),
            chunk.seal(id),
            chunk.data,
        ])?;
        Ok(())
    }
}

/// What a look-up of a chunk finds.
pub(super) enum Found {
    Nothing,
    Damaged,
    Chunk(Chunk),
}

/// Looks chunks up.
pub(super) struct ChunkReader<'c>(CachedStatement<'c>);

impl ChunkReader<'_> {
    pub(super) fn new(connection: &Connection) -> rusqlite::Result<ChunkReader<'_>> {
        let sql = "SELECT typ, n, t0, t1, min, max, sum, last, seal, data FROM chunk WHERE id=?";
        Ok(ChunkReader(connection.prepare_cached(sql)?))
    }

    /// Looks a chunk up and checks its seal. The bytes of `data` are checked when decoded.
    pub(super) fn get(&mut self, id: i64) -> rusqlite::Result<Found> {
        let found = self.0.query_row([id], |row| Ok(read_chunk(row, id)));
        match found.optional() {
            Ok(None) => Ok(Found::Nothing),
            Ok(Some(Ok(Some(chunk)))) => Ok(Found::Chunk(chunk)),
            Ok(Some(Ok(None) | Err(_))) => Ok(Found::Damaged),
            Err(error) if is_damage(&error) => Ok(Found::Damaged),
            Err(error) => Err(error),
        }
    }
}

fn read_chunk(row: &Row<'_>, id: i64) -> rusqlite::Result<Option<Chunk>> {
    let Some(content) = Content::from_number(row.get(0)?) else { return Ok(None) };
    let Ok(count) = usize::try_from(row.get::<_, i64>(1)?) else { return Ok(None) };
    let summary = match row.get::<_, Option<f64>>(4)? {
        Some(min) => Some(Summary { min, max: row.get(5)?, sum: row.get(6)? }),
        None => None,
    };
    let chunk = Chunk {
        content,
        count,
        t0: row.get(2)?,
        t1: row.get(3)?,
        summary,
        last: last_value(content, row.get_ref(7)?),
        data: row.get_ref(9)?.as_blob()?.to_vec(),
    };
    Ok((chunk.seal(id) == row.get::<_, i64>(8)?).then_some(chunk))
}

fn last_value(content: Content, value: ValueRef<'_>) -> Option<Value> {
    use super::codec::Stored;
    let is_bool = content == Content::Values(Stored::One(Kind::Bool));
    from_sql(value, is_bool.then_some(Kind::Bool))
}

/// A value for a column without affinity.
pub(super) fn to_sql(value: &Value) -> Sql {
    match value {
        Value::Float(value) => Sql::Real(*value),
        Value::Int(value) => Sql::Integer(*value),
        Value::Bool(value) => Sql::Integer(i64::from(*value)),
        Value::Text(text) => Sql::Text(text.to_string()),
    }
}

/// Back again; truth values look like integers, so that the reader must know.
pub(super) fn from_sql(value: ValueRef<'_>, kind: Option<Kind>) -> Option<Value> {
    match (value, kind) {
        (ValueRef::Integer(value), Some(Kind::Bool)) => Some(Value::Bool(value != 0)),
        (ValueRef::Integer(value), _) => Some(Value::Int(value)),
        (ValueRef::Real(value), _) => Some(Value::Float(value)),
        (ValueRef::Text(text), _) => Some(Value::Text(std::str::from_utf8(text).ok()?.into())),
        (ValueRef::Null | ValueRef::Blob(_), _) => None,
    }
}
