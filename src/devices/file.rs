//! The file: its table, and opening it whatever state it is in.
//!
//! ```text
//! device  name
//!         first_seen, last_seen     receipts
//!         online, since, reason     as it was thought of when this was written
//!         protocol, client, address the way its last batch came (protocol as in the spool), and from where
//!         software, labels          what it said of itself; labels is a JSON object
//!         operator_labels           an operator's, likewise
//!         interval, expected        seconds between its readings: learned; an operator's word
//!         told                      1 = somebody who knows told whether it is online
//!         known                     0 = it waits in the inbox
//!         clock_policy              an operator's word for what is done when its clock is off
//!         clock_off                 how far its clock was ahead, if it was off
//! ```
//!
//! Times and `clock_off` are nanoseconds (since the epoch).

use crate::live::{
    ClientInfo, ClockPolicy, ClockState, DeviceState, KnownDevice, Seed, SeedRest, Via,
};
use crate::model::{Protocol, Timestamp};
use crate::sqlite::{self, Format, SetAside, Unfit, is_damage};
use rusqlite::{Connection, Row, params};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use thiserror::Error;

/// "TDDV" in the file's header.
pub(crate) const FORMAT: Format =
    Format { application_id: 0x5444_4456, schema: SCHEMA, upgrades: &[] };

const SCHEMA: &str = "
CREATE TABLE device(name TEXT PRIMARY KEY, first_seen INTEGER NOT NULL,
  last_seen INTEGER NOT NULL, online INTEGER NOT NULL, since INTEGER NOT NULL, reason TEXT,
  protocol INTEGER, client TEXT, address TEXT, software TEXT NOT NULL, labels TEXT NOT NULL,
  operator_labels TEXT NOT NULL, interval REAL, expected REAL, told INTEGER NOT NULL,
  known INTEGER NOT NULL, clock_policy TEXT, clock_off INTEGER) WITHOUT ROWID;
";

/// The most devices that are remembered; those not seen for the longest time go first.
pub const DEVICES_MAX: i64 = 200_000;

/// Why the file can't be used. The daemon goes on without; the administrator may act.
#[derive(Debug, Error)]
pub enum FileError {
    /// SQLite can't read or write it.
    #[error("devices.db: {0}")]
    Store(#[from] rusqlite::Error),
    /// It can't be made, or a damaged one moved aside.
    #[error("devices.db can't be made: {0}")]
    Make(#[from] std::io::Error),
    /// It was written by a newer release.
    #[error("devices.db has version {found}, this release knows {known}")]
    Version {
        /// Its version.
        found: i64,
        /// The newest that is known.
        known: i64,
    },
    /// It is something else.
    #[error("devices.db is of another application ({application:#x})")]
    Foreign {
        /// Which.
        application: i64,
    },
}

impl From<Unfit> for FileError {
    fn from(unfit: Unfit) -> FileError {
        match unfit {
            Unfit::Store(error) => FileError::Store(error),
            Unfit::Make(error) => FileError::Make(error),
            Unfit::Version { found } => FileError::Version { found, known: FORMAT.version() },
            Unfit::Foreign { application } => FileError::Foreign { application },
        }
    }
}

/// A connection to the file.
#[derive(Debug)]
pub(super) struct File(Connection);

impl File {
    /// Opens it, or makes it, and reads all. A damaged one is moved aside, and a new one begun.
    pub fn open(path: &Path) -> Result<(File, Vec<KnownDevice>, Option<SetAside>), FileError> {
        let opened = File::open_or_begin(path);
        match opened {
            Ok((file, known)) => Ok((file, known, None)),
            Err(FileError::Store(error)) if is_damage(&error) => {
                let set_aside = Some(sqlite::set_aside(path)?);
                let (file, known) = File::open_or_begin(path)?;
                Ok((file, known, set_aside))
            }
            Err(error) => Err(error),
        }
    }

    fn open_or_begin(path: &Path) -> Result<(File, Vec<KnownDevice>), FileError> {
        let connection = FORMAT.open_or_make(path)?;
        // What a power cut takes is what was written last: comfort.
        connection.execute_batch(
            "PRAGMA synchronous=NORMAL; PRAGMA mmap_size=0; PRAGMA cache_size=-2048;
             PRAGMA journal_size_limit=16777216;",
        )?;
        let count: i64 =
            connection.query_row("SELECT count(*) FROM device", [], |row| row.get(0))?;
        if count > DEVICES_MAX {
            connection.execute(
                "DELETE FROM device WHERE name IN
                   (SELECT name FROM device ORDER BY last_seen LIMIT ?1)",
                [count - DEVICES_MAX],
            )?;
        }
        let known = {
            let mut all = connection.prepare(
                "SELECT name, first_seen, last_seen, online, since, reason, protocol, client, address,
                   software, labels, operator_labels, interval, expected, told, known, clock_policy,
                   clock_off FROM device",
            )?;
            let rows = all.query_map([], known)?;
            rows.collect::<Result<_, _>>()?
        };
        Ok((File(connection), known))
    }

    /// Writes these devices, in one transaction.
    pub fn write<'a>(
        &mut self,
        devices: impl Iterator<Item = &'a DeviceState>,
    ) -> rusqlite::Result<()> {
        let transaction = sqlite::begin(&mut self.0)?;
        {
            let mut put = transaction.prepare_cached(
                "INSERT OR REPLACE INTO device(name, first_seen, last_seen, online, since, reason,
                   protocol, client, address, software, labels, operator_labels, interval, expected,
                   told, known, clock_policy, clock_off)
                 VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18)",
            )?;
            for device in devices {
                let off = device.clock.filter(|clock| clock.state == ClockState::Off);
                let policy = device.clock_policy_set.then(|| device.clock_policy.name());
                put.execute(params![
                    device.id,
                    device.first_seen.0,
                    device.last_seen.0,
                    device.online,
                    device.since.0,
                    device.reason.as_deref(),
                    device.via.as_ref().map(|via| via.protocol.byte()),
                    device.via.as_ref().map(|via| &*via.client),
                    device.address.map(|address| address.to_string()),
                    device.info.software,
                    json(&device.info.labels),
                    json(&device.labels),
                    device.interval.map(|interval| interval.as_secs_f64()),
                    device.expected.map(|expected| expected.as_secs_f64()),
                    device.told,
                    device.known,
                    policy,
                    off.map(|clock| clock.offset_ns),
                ])?;
            }
        }
        transaction.commit()
    }
}

fn json(labels: &BTreeMap<String, String>) -> String {
    serde_json::to_string(labels).unwrap_or_default()
}

/// What of a row makes no sense is left out: it is comfort.
fn known(row: &Row<'_>) -> rusqlite::Result<KnownDevice> {
    let labels = |index| -> rusqlite::Result<BTreeMap<String, String>> {
        let text: String = row.get(index)?;
        Ok(serde_json::from_str(&text).unwrap_or_default())
    };
    let duration = |index| -> rusqlite::Result<Option<Duration>> {
        let seconds: Option<f64> = row.get(index)?;
        Ok(seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()))
    };
    let text = |index| row.get::<_, Option<String>>(index);
    let (protocol, client): (Option<u8>, Option<String>) = (row.get(6)?, row.get(7)?);
    let via = protocol.zip(client).map(|(protocol, client)| Via {
        protocol: Protocol::of_byte(protocol),
        client: client.into(),
    });
    Ok(KnownDevice {
        seed: Seed {
            name: row.get::<_, String>(0)?.into(),
            first_seen: Timestamp(row.get(1)?),
            last_seen: Timestamp(row.get(2)?),
            rest: Some(SeedRest {
                online: row.get(3)?,
                since: Timestamp(row.get(4)?),
                reason: text(5)?.map(Into::into),
                via,
                interval: duration(12)?,
                expected: duration(13)?,
                told: row.get(14)?,
                known: row.get(15)?,
                clock_policy: text(16)?.and_then(|name| ClockPolicy::named(&name)),
                clock_off: row.get(17)?,
            }),
        },
        info: ClientInfo { labels: labels(10)?, software: row.get(9)? },
        labels: labels(11)?,
        address: text(8)?.and_then(|address| address.parse().ok()),
    })
}
