//! What the SQLite files of this room have in common: whose they are, and what is done with damage.

use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A file that was there, could not be read, and was moved out of the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Where it lies now, for inspection (`sqlite3`'s `.recover` often saves most of it).
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
}

/// Moves the file and what SQLite keeps beside it to the first free `<name>.damaged-<n>`.
pub(super) fn set_aside(path: &Path) -> std::io::Result<SetAside> {
    let beside = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let mut number = 1;
    while beside(&format!(".damaged-{number}")).exists() {
        number += 1;
    }
    let target = format!(".damaged-{number}");
    let bytes = std::fs::metadata(path)?.len();
    for suffix in ["", "-wal", "-shm"] {
        match std::fs::rename(beside(suffix), beside(&format!("{target}{suffix}"))) {
            Err(error) if error.kind() == ErrorKind::NotFound && !suffix.is_empty() => {}
            result => result?,
        }
    }
    Ok(SetAside { path: beside(&target), bytes })
}

/// Whether SQLite says that what it read makes no sense.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match error {
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::IntegralValueOutOfRange(..) => true,
        error => matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase)),
    }
}

/// A kind of file: its marks, and its tables.
pub(super) struct Format {
    /// In the file's header: `file` and others can tell what it is.
    pub application_id: i64,
    /// The tables of the first version.
    pub schema: &'static str,
    /// What makes a file of each version one of the next.
    pub upgrades: &'static [&'static [&'static str]],
}

/// Why a file is not used as it is.
#[derive(Debug)]
pub(super) enum Unfit {
    Store(rusqlite::Error),
    /// It is of a version that is not known.
    Version {
        found: i64,
    },
    /// It is not ours.
    Foreign {
        application: i64,
    },
}

impl From<rusqlite::Error> for Unfit {
    fn from(error: rusqlite::Error) -> Unfit {
        Unfit::Store(error)
    }
}

impl Format {
    /// The newest version.
    pub(super) fn version(&self) -> i64 {
        1 + self.upgrades.len() as i64
    }

    /// Makes the tables in an empty file, and brings an older one up to the newest version. Of several
    /// who open it at the same time one does.
    pub(super) fn begin(&self, connection: &Connection) -> Result<(), Unfit> {
        if self.found(connection)? == Some(self.version()) {
            return Ok(());
        }
        let behavior = TransactionBehavior::Immediate;
        let transaction = Transaction::new_unchecked(connection, behavior)?;
        let mut found = self.found(&transaction)?.unwrap_or(0);
        if found == 0 {
            let Format { application_id, schema, .. } = self;
            transaction
                .execute_batch(&format!("PRAGMA application_id={application_id}; {schema}"))?;
            found = 1;
        }
        let done = usize::try_from(found - 1).unwrap_or(0);
        for upgrade in self.upgrades.iter().skip(done).copied().flatten() {
            transaction.execute_batch(upgrade)?;
        }
        transaction.pragma_update(None, "user_version", self.version())?;
        Ok(transaction.commit()?)
    }

    /// False if the file is empty. It may be of an older version, if only [`Format::begin`] was not
    /// there yet.
    pub(super) fn has_begun(&self, connection: &Connection) -> Result<bool, Unfit> {
        Ok(self.found(connection)?.is_some())
    }

    /// The version of the file; `None` if it is empty.
    fn found(&self, connection: &Connection) -> Result<Option<i64>, Unfit> {
        let mark = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let tables: i64 =
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        match (mark("application_id")?, mark("user_version")?) {
            (0, 0) if tables == 0 => Ok(None),
            (application, found) if application == self.application_id => {
                if (1..=self.version()).contains(&found) {
                    Ok(Some(found))
                } else {
                    Err(Unfit::Version { found })
                }
            }
            (application, _) => Err(Unfit::Foreign { application }),
        }
    }
}
