//! What the SQLite files of the daemon have in common: whose they are, how they are opened, and what is
//! done with damage.

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everybody's transactions are short; an administrator's export or a backup may take a moment.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A file that was there, could not be read, and was moved out of the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Where it lies now, for inspection (`sqlite3`'s `.recover` often saves most of it).
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
}

/// Moves the file and what SQLite keeps beside it to the first free `<name>.damaged-<n>`.
pub(crate) fn set_aside(path: &Path) -> std::io::Result<SetAside> {
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
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match error {
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::IntegralValueOutOfRange(..) => true,
        error => matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase)),
    }
}

/// A kind of file: its marks, and its tables.
pub(crate) struct Format {
    /// In the file's header: `file` and others can tell what it is.
    pub application_id: i64,
    /// The tables of the first version.
    pub schema: &'static str,
    /// What makes a file of each version one of the next.
    pub upgrades: &'static [&'static [&'static str]],
}

/// Why a file is not used as it is.
#[derive(Debug)]
pub(crate) enum Unfit {
    Store(rusqlite::Error),
    /// The file can't be made or looked at.
    Make(std::io::Error),
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

impl From<std::io::Error> for Unfit {
    fn from(error: std::io::Error) -> Unfit {
        Unfit::Make(error)
    }
}

impl Format {
    /// Opens the file, or makes it, readable for its owner only, with a log beside it. It becomes
    /// smaller again when rows go.
    pub(crate) fn open_or_make(&self, path: &Path) -> Result<Connection, Unfit> {
        // SQLite gives the files beside it the same rights.
        OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        if !self.has_begun(&connection)? {
            // Before the first table.
            connection.execute_batch("PRAGMA auto_vacuum=FULL;")?;
        }
        self.begin(&connection)?;
        connection.execute_batch("PRAGMA journal_mode=WAL;")?;
        Ok(connection)
    }

    /// Opens the file for changes, whether or not a daemon has it open; `None` if there is none. A
    /// damaged file is left as it is.
    pub(crate) fn existing(&self, path: &Path) -> Result<Option<Connection>, Unfit> {
        self.open_if_there(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
    }

    /// Opens the file for reading; `None` if there is none.
    pub(crate) fn read_only(&self, path: &Path) -> Result<Option<Connection>, Unfit> {
        match self.open_if_there(path, OpenFlags::SQLITE_OPEN_READ_ONLY) {
            Err(Unfit::Store(error)) if lacks_room(&error) && is_at_rest(path) => {
                Ok(Some(at_rest(path)?))
            }
            opened => opened,
        }
    }

    /// The version of the file; `None` if there is none, or it is empty. Where nobody has it open
    /// nothing is made beside it.
    pub(crate) fn look(&self, path: &Path) -> Result<Option<i64>, Unfit> {
        if !path.try_exists()? {
            return Ok(None);
        }
        let connection = match is_at_rest(path) {
            true => at_rest(path)?,
            false => {
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                Connection::open_with_flags(path, flags)?
            }
        };
        connection.busy_timeout(BUSY_TIMEOUT)?;
        self.found(&connection)
    }

    fn open_if_there(&self, path: &Path, flags: OpenFlags) -> Result<Option<Connection>, Unfit> {
        if !path.try_exists()? {
            return Ok(None);
        }
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // An empty file is one that a daemon is about to fill.
        Ok(self.has_begun(&connection)?.then_some(connection))
    }

    /// The newest version.
    pub(crate) fn version(&self) -> i64 {
        1 + self.upgrades.len() as i64
    }

    /// Makes the tables in an empty file, and brings an older one up to the newest version. Of several
    /// who open it at the same time one does.
    pub(crate) fn begin(&self, connection: &Connection) -> Result<(), Unfit> {
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
    pub(crate) fn has_begun(&self, connection: &Connection) -> Result<bool, Unfit> {
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

/// A transaction that will write. It waits for other writers now, for it could not later.
pub(crate) fn begin(connection: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}

/// A number that changes when another connection changed the file.
pub(crate) fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "data_version", |row| row.get(0))
}

/// Reads a file that nobody has open without making SQLite's files beside it, for which a full disk
/// has no room.
fn at_rest(path: &Path) -> rusqlite::Result<Connection> {
    let name = path.to_string_lossy();
    let name = percent_encoding::utf8_percent_encode(&name, IN_A_URI);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(format!("file:{name}?immutable=1"), flags)
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
