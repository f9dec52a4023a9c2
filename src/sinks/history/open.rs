//! Opening: what the file knows becomes the head's tables, and what a crash left is cleared.

use super::cut::DAY_NS;
use super::file::{self, SetAside};
use super::head::{Head, SeriesRow};
use super::reader::{Pool, Reader};
use super::shared::Shared;
use super::value::Kind;
use super::writer::Writer;
use super::{HistoryError, NAME, Options};
use crate::ledger::{CLIENTS_MAX, OutcomeLine, Outcomes};
use crate::model::Position;
use crate::sinks::outcomes;
use rusqlite::Connection;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

/// A history that has been opened, and what there was to do for it.
pub struct Opened {
    /// For the follower that feeds it.
    pub writer: Writer,
    /// For everybody who asks.
    pub reader: Reader,
    /// A damaged file that was replaced by an empty one.
    pub set_aside: Option<SetAside>,
    /// Whether the positions in the file were of another spool, so that reading starts over.
    pub spool_changed: bool,
    /// Unfinished compactions of a crash that were dropped; nothing is lost by that.
    pub leftovers: usize,
}

/// Opens the history, or begins one.
///
/// # Errors
/// [`HistoryError`]. Damage is not an error: a file that cannot be read is moved aside, as
/// [`Opened::set_aside`] tells.
pub fn open(options: Options) -> Result<Opened, HistoryError> {
    let (mut connection, mut set_aside) = file::open_or_begin(&options.path)?;
    let loaded = match load(&mut connection, options.spool_id) {
        Err(error) if file::is_damage(&error) => {
            drop(connection);
            set_aside = Some(file::set_aside(&options.path)?);
            connection = file::open_or_begin(&options.path)?.0;
            load(&mut connection, options.spool_id)?
        }
        result => result?,
    };
    let shared = Arc::new(Shared::new(loaded.head));
    let pool = Arc::new(Pool::new(&options.path));
    let reader = Reader::new(shared.clone(), pool.clone());
    let outcomes = Outcomes::new(CLIENTS_MAX, loaded.outcomes);
    let writer = Writer::new(options, connection, shared, pool, loaded.segments, outcomes);
    let (spool_changed, leftovers) = (loaded.spool_changed, loaded.leftovers);
    Ok(Opened { writer, reader, set_aside, spool_changed, leftovers })
}

/// Opens a history for reading only, whether or not a daemon writes to it. Sees what is in the file:
/// what a running daemon holds in memory is not.
///
/// # Errors
/// If there is no file, or it can't be read.
pub fn read_only(path: &Path) -> Result<Reader, HistoryError> {
    let head = load_head(&file::open_reader(path)?)?;
    Ok(Reader::new(Arc::new(Shared::new(head)), Arc::new(Pool::new(path))))
}

struct Loaded {
    head: Head,
    segments: Vec<file::Segment>,
    outcomes: Vec<OutcomeLine>,
    spool_changed: bool,
    leftovers: usize,
}

fn load(connection: &mut Connection, spool_id: u64) -> rusqlite::Result<Loaded> {
    let transaction = connection.transaction()?;
    let known = file::get_meta(&transaction, "spool_id")?;
    let spool_changed = known.is_some_and(|known| known.cast_unsigned() != spool_id);
    if known.is_none() || spool_changed {
        file::put_meta(&transaction, "spool_id", spool_id.cast_signed())?;
        file::put_meta(&transaction, "position", 0)?;
        file::put_meta(&transaction, "shed_total", 0)?;
        file::put_meta(&transaction, "skipped_total", 0)?;
    }
    if spool_changed {
        outcomes::forget(&transaction, NAME)?;
    }
    let mut segments = file::segments(&transaction)?;
    let leftovers: Vec<i64> =
        segments.iter().filter(|segment| segment.level < 0).map(|segment| segment.id).collect();
    for &id in &leftovers {
        file::delete_segment(&transaction, id)?;
    }
    segments.retain(|segment| segment.level >= 0);
    forget_expired(&transaction)?;
    let head = load_head(&transaction)?;
    let outcomes = outcomes::read(&transaction, NAME)?;
    transaction.commit()?;
    Ok(Loaded { head, segments, outcomes, spool_changed, leftovers: leftovers.len() })
}

/// Forgets series all of whose samples retention has deleted: devices come and go, and their names
/// would take memory for ever. Numbers are not used again.
fn forget_expired(connection: &Connection) -> rusqlite::Result<()> {
    let Some(floor) = file::get_meta(connection, "floor")? else { return Ok(()) };
    // No segment is longer than a day, so that none still there has anything from before.
    let before = floor.saturating_sub(DAY_NS);
    connection.execute("DELETE FROM series WHERE metric <> '' AND last < ?", [before])?;
    connection.execute_batch(
        "DELETE FROM grp WHERE id NOT IN (SELECT grp FROM series WHERE metric <> '');
         DELETE FROM series WHERE grp NOT IN (SELECT id FROM grp);",
    )
}

fn load_head(connection: &Connection) -> rusqlite::Result<Head> {
    let meta = |key| file::get_meta(connection, key);
    let mut head = Head::new();
    let position = Position(meta("position")?.unwrap_or(0).cast_unsigned());
    head.applied = position;
    head.durable = position;
    head.stored_total = meta("stored_total")?.unwrap_or(0).cast_unsigned();
    head.shed_total = meta("shed_total")?.unwrap_or(0).cast_unsigned();
    head.skipped_total = meta("skipped_total")?.unwrap_or(0).cast_unsigned();
    head.next_group = meta("next_group")?.unwrap_or(1);
    head.next_series = u32::try_from(meta("next_series")?.unwrap_or(1)).unwrap_or(u32::MAX);
    let axes = axes(connection)?;
    let mut groups = HashMap::new();
    let mut statement = connection.prepare("SELECT id, device, tags FROM grp ORDER BY id")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (id, device, tags): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        // A group whose row does not make sense is one that nobody can ask for.
        let (Some(&axis), Some(identity)) = (axes.get(&id), identity(&device, &tags)) else {
            log::warn!(group = id; "a device in the history has no axis or no tags; it is left out");
            continue;
        };
        groups.insert(id, head.add_group(id, axis, identity.into(), &device, true));
    }
    let mut statement =
        connection.prepare("SELECT * FROM series WHERE metric <> '' ORDER BY id")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let group: i64 = row.get(1)?;
        if let Some(&index) = groups.get(&group) {
            head.add_series(index, series_row(row, group)?);
        }
    }
    Ok(head)
}

fn axes(connection: &Connection) -> rusqlite::Result<HashMap<i64, u32>> {
    let mut statement = connection.prepare("SELECT grp, id FROM series WHERE metric = ''")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

fn series_row(row: &rusqlite::Row<'_>, group: i64) -> rusqlite::Result<SeriesRow> {
    let metric: String = row.get(2)?;
    let unit: String = row.get(3)?;
    let is_bool = row.get::<_, i64>(6)? == Kind::Bool as i64 + 1;
    Ok(SeriesRow {
        id: row.get(0)?,
        group,
        metric: metric.into(),
        unit: unit.into(),
        first: row.get::<_, Option<i64>>(4)?.unwrap_or(i64::MAX),
        last: row.get::<_, Option<i64>>(5)?.unwrap_or(i64::MIN),
        value: file::from_sql(row.get_ref(7)?, is_bool.then_some(Kind::Bool)),
    })
}

/// As [`crate::model::Table::identity`].
fn identity(device: &str, tags: &str) -> Option<String> {
    let tags: BTreeMap<String, String> = serde_json::from_str(tags).ok()?;
    let mut identity = device.to_owned();
    for (key, value) in tags {
        identity.push('\0');
        identity.push_str(&key);
        identity.push('\0');
        identity.push_str(&value);
    }
    Some(identity)
}
