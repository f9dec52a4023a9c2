//! What a sink that gets rollups must remember beside its progress.
//!
//! ```text
//! windows  sink, keep_from, rules (JSON), late, open
//! floor    sink, device, until (nanoseconds)         what is closed of a device
//! ```

use super::file::Book;
use super::{BookError, OpenWindows, Standing};
use crate::model::Position;
use crate::sinks::influx::fold::Floor;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, params};

/// The tables. In its first versions a file had none.
pub(super) const TABLES: &str = "
CREATE TABLE windows(sink TEXT PRIMARY KEY, keep_from INTEGER NOT NULL, rules TEXT NOT NULL,
  late INTEGER NOT NULL, open INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE floor(sink TEXT NOT NULL, device TEXT NOT NULL, until INTEGER NOT NULL,
  PRIMARY KEY(sink, device)) WITHOUT ROWID;
";

impl Book {
    /// What is closed of devices whatever the log says, for this sink.
    ///
    /// # Errors
    /// [`BookError::Store`].
    pub fn floors(&self, sink: &str) -> Result<Vec<Floor>, BookError> {
        let sql = "SELECT device, until FROM floor WHERE sink=?";
        let mut statement = self.connection.prepare_cached(sql)?;
        let floors = statement.query_map([sink], |row| {
            Ok(Floor { device: row.get::<_, String>(0)?.into(), until: row.get(1)? })
        })?;
        Ok(floors.collect::<rusqlite::Result<_>>()?)
    }
}

/// The standing with its windows, if it is of a sink that has some.
pub(super) fn complete(
    connection: &Connection,
    sink: &str,
    mut standing: Standing,
) -> rusqlite::Result<Standing> {
    let exists = "SELECT count(*) FROM sqlite_schema WHERE name='windows'";
    if connection.query_row(exists, [], |row| row.get::<_, i64>(0))? == 0 {
        return Ok(standing);
    }
    let sql = "SELECT keep_from, rules, late, open FROM windows WHERE sink=?";
    let row = connection.prepare_cached(sql)?.query_row([sink], |row| {
        let rules: String = row.get(1)?;
        let rules = serde_json::from_str(&rules).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(1, Type::Text, Box::new(error))
        })?;
        let number = |index| row.get(index).map(i64::cast_unsigned);
        let windows = OpenWindows { keep_from: Position(number(0)?), rules };
        Ok((windows, number(2)?, number(3)?))
    });
    if let Some((windows, late, open)) = row.optional()? {
        (standing.counts.late, standing.counts.open) = (late, open);
        standing.windows = Some(windows);
    }
    Ok(standing)
}

pub(super) fn put(
    connection: &Connection,
    sink: &str,
    standing: &Standing,
) -> rusqlite::Result<()> {
    let Some(OpenWindows { keep_from, rules }) = &standing.windows else {
        // It had some with an earlier spool, perhaps.
        connection.prepare_cached("DELETE FROM windows WHERE sink=?")?.execute([sink])?;
        return Ok(());
    };
    let rules = serde_json::to_string(rules).unwrap_or_default();
    let (late, open) = (standing.counts.late, standing.counts.open);
    connection.prepare_cached("INSERT OR REPLACE INTO windows VALUES(?,?,?,?,?)")?.execute(
        params![sink, keep_from.0.cast_signed(), rules, late.cast_signed(), open.cast_signed()],
    )?;
    Ok(())
}

pub(super) fn put_floors(
    connection: &Connection,
    sink: &str,
    floors: &[Floor],
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO floor VALUES(?,?,?)
               ON CONFLICT(sink, device) DO UPDATE SET until=max(until, excluded.until)";
    let mut statement = connection.prepare_cached(sql)?;
    for Floor { device, until } in floors {
        statement.execute(params![sink, &**device, until])?;
    }
    Ok(())
}
