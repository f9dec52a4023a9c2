//! The lines of a ledger in the SQLite files of this room.
//!
//! ```text
//! client   sink, client, protocol, before, stored, dead_lettered, skipped, lost, shed
//!                         samples of one client over one protocol, since the spool was made; client '':
//!                         all who have no line; protocol as the spool stores it, 0: nobody knows whose
//! ```
//!
//! Written in the transaction that moves the sink's position, and absolute: written twice is written once.

use crate::ledger::{Outcome, OutcomeLine};
use rusqlite::{Connection, params};

/// The table. In its first version a file had none.
pub(super) const TABLE: &str = "
CREATE TABLE client(sink TEXT NOT NULL, client TEXT NOT NULL, protocol INTEGER NOT NULL,
  before INTEGER NOT NULL, stored INTEGER NOT NULL, dead_lettered INTEGER NOT NULL,
  skipped INTEGER NOT NULL, lost INTEGER NOT NULL, shed INTEGER NOT NULL,
  PRIMARY KEY(sink, client, protocol)) WITHOUT ROWID;
";

/// Puts lines in the place of those that were there.
pub(super) fn put<'a>(
    connection: &Connection,
    sink: &str,
    lines: impl Iterator<Item = &'a OutcomeLine>,
) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO client VALUES(?,?,?,?,?,?,?,?,?)";
    let mut statement = connection.prepare_cached(sql)?;
    for OutcomeLine { client, protocol, outcome } in lines {
        let Outcome { before, stored, dead_lettered, skipped, lost, shed } = *outcome;
        statement.execute(params![
            sink,
            client.as_deref().unwrap_or_default(),
            protocol,
            before.cast_signed(),
            stored.cast_signed(),
            dead_lettered.cast_signed(),
            skipped.cast_signed(),
            lost.cast_signed(),
            shed.cast_signed(),
        ])?;
    }
    Ok(())
}

/// All lines of a sink; none in a file of the first version.
pub(super) fn read(connection: &Connection, sink: &str) -> rusqlite::Result<Vec<OutcomeLine>> {
    let exists = "SELECT count(*) FROM sqlite_schema WHERE name='client'";
    if connection.query_row(exists, [], |row| row.get::<_, i64>(0))? == 0 {
        return Ok(Vec::new());
    }
    let sql = "SELECT client, protocol, before, stored, dead_lettered, skipped, lost, shed
               FROM client WHERE sink=?";
    let mut statement = connection.prepare_cached(sql)?;
    let lines = statement.query_map([sink], |row| {
        let count = |index| row.get(index).map(i64::cast_unsigned);
        let client: String = row.get(0)?;
        let outcome = Outcome {
            before: count(2)?,
            stored: count(3)?,
            dead_lettered: count(4)?,
            skipped: count(5)?,
            lost: count(6)?,
            shed: count(7)?,
        };
        let client = (!client.is_empty()).then(|| client.into());
        Ok(OutcomeLine { client, protocol: row.get(1)?, outcome })
    })?;
    lines.collect()
}

/// They were of another spool.
pub(super) fn forget(connection: &Connection, sink: &str) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM client WHERE sink=?")?.execute([sink])?;
    Ok(())
}
