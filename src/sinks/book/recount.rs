//! What an audit compares: everything that the book says of a sink, and its letters counted anew.

use super::{Book, BookError, Standing, Totals};
use crate::ledger::OutcomeLine;
use rusqlite::params;

/// All that is known of a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recounted {
    /// Its name in the configuration, now or once.
    pub name: String,
    /// How far it came; `None` if there are only letters of it.
    pub standing: Option<Standing>,
    /// What became of each client's samples, as of the standing.
    pub outcomes: Vec<OutcomeLine>,
    /// What is told of its letters: kept with every change.
    pub totals: Totals,
    /// Letters that are there.
    pub letters: u64,
    /// Samples in them.
    pub samples: u64,
}

impl Book {
    /// Every sink that the file knows, by name, as of one instant. Reads every letter's row.
    ///
    /// # Errors
    /// [`BookError::Store`].
    pub fn recount(&self) -> Result<Vec<Recounted>, BookError> {
        let _instant = self.connection.unchecked_transaction()?;
        let sql = "SELECT name FROM sink UNION SELECT sink FROM tally UNION SELECT sink FROM letter
                   ORDER BY 1";
        let mut statement = self.connection.prepare(sql)?;
        let names = statement.query_map([], |row| row.get(0))?;
        let names = names.collect::<rusqlite::Result<Vec<String>>>()?;
        names.into_iter().map(|name| self.recount_one(name)).collect()
    }

    fn recount_one(&self, name: String) -> Result<Recounted, BookError> {
        let sql = "SELECT count(*), coalesce(sum(samples), 0) FROM letter WHERE sink=?";
        let (letters, samples): (i64, i64) = self
            .connection
            .prepare_cached(sql)?
            .query_row(params![name], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(Recounted {
            standing: super::settle::standing(&self.connection, &name)?,
            outcomes: self.outcomes(&name)?,
            totals: self.totals(Some(&name))?,
            letters: letters.cast_unsigned(),
            samples: samples.cast_unsigned(),
            name,
        })
    }
}
