//! The bounded reader of `Batch`: straight from the wire into the model.
//!
//! Two passes over each level, because fields may come in any order: the first takes what the others
//! depend on (clock and base time of the batch, times of a table) and steps over the rest by its
//! length; the second reads on. Every limit applies before what it bounds is stored.
//!
//! Hot path: a gateway's batch of 10,000 samples passes here in some tens of microseconds, without an
//! allocation per table or column. `benches/decode.rs` guards it.

use super::column;
use super::fault::{Counted, Fault, FaultKind, Named, distance};
use super::reader::{DEPTH_MAX, Fields, Malformed, Value, varint, zigzag};
use crate::model::{Batch, BatchBuilder, Keep, Seq, Timestamp, check_name};
use crate::wire::{Limits, Place};

/// What a batch is told by those who received it.
#[derive(Debug, Clone, Copy)]
pub struct Stamp<'a> {
    /// When it was received.
    pub received_at: Timestamp,
    /// When the client booted, for batches whose times count from there; see
    /// [`Hello::booted_at`](crate::wire::Hello::booted_at).
    pub booted_at: Option<Timestamp>,
    /// Whose it is: the device of tables that don't name one.
    pub client: &'a str,
}

/// What the times of a batch are relative to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The Unix epoch.
    #[default]
    Unix,
    /// The moment of receipt.
    Receipt,
    /// The client's boot.
    Boot,
}

/// A batch that was read, and is valid by all limits.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// Its number; 0 if it has none. Not checked here.
    pub seq: Seq,
    /// What its times were relative to. The bytes of a [`Clock::Boot`] batch mean nothing without
    /// [`Stamp::booted_at`].
    pub clock: Clock,
    /// Its content, in absolute time.
    pub batch: Batch,
}

/// Reads the bytes of a `Batch`.
///
/// # Errors
/// [`Fault`] names what is wrong, where, and the batch's seq if that could be read.
pub fn batch(bytes: &[u8], limits: &Limits, stamp: &Stamp<'_>) -> Result<Decoded, Fault> {
    let (seq, head) = head(bytes, limits);
    let at = Place::default();
    let head = head.map_err(|kind| Fault { seq, at, kind })?;
    let origin = head.origin(stamp).map_err(|kind| Fault { seq, at, kind })?;
    let mut reader = Reader::new(bytes.len(), limits, stamp, origin);
    reader.tables(bytes).map_err(|kind| Fault { seq, at: reader.at, kind })?;
    let batch = reader.builder.finish();
    match batch.samples() {
        0 => Err(Fault { seq, at, kind: FaultKind::Empty }),
        _ => Ok(Decoded { seq, clock: head.clock, batch }),
    }
}

/// The seq of a `Batch`, 0 if it has none or can't be read so far: for who refuses it unread.
#[must_use]
pub fn seq(bytes: &[u8]) -> Seq {
    head(bytes, &Limits::READ_BACK).0
}

impl From<Malformed> for FaultKind {
    fn from(_: Malformed) -> FaultKind {
        FaultKind::Malformed
    }
}

#[derive(Default)]
struct Head {
    base_time: i64,
    clock: Clock,
}

impl Head {
    /// The instant that `times` are relative to.
    fn origin(&self, stamp: &Stamp<'_>) -> Result<i64, FaultKind> {
        match self.clock {
            Clock::Unix => Ok(self.base_time),
            Clock::Receipt => Ok(stamp.received_at.0),
            Clock::Boot => {
                let booted_at = stamp.booted_at.ok_or(FaultKind::UnknownBoot)?;
                Ok(booted_at.0.saturating_add(self.base_time))
            }
        }
    }
}

/// The first pass: all but the content of tables. The seq is told even if the rest is at fault.
fn head(bytes: &[u8], limits: &Limits) -> (Seq, Result<Head, FaultKind>) {
    let mut seq = 0;
    let mut read = || {
        let mut head = Head::default();
        let mut clock = 0;
        let mut tables = 0;
        let mut fields = Fields::new(bytes, DEPTH_MAX);
        while let Some((tag, value)) = fields.next()? {
            match tag {
                1 => seq = value.uint()?,
                2 => head.base_time = value.uint()?.cast_signed(),
                3 => {
                    value.bytes()?;
                    tables += 1;
                }
                4 => clock = enum_number(value)?,
                _ => {}
            }
        }
        head.clock = match clock {
            0 => Clock::Unix,
            1 => Clock::Receipt,
            2 => Clock::Boot,
            clock => return Err(FaultKind::UnknownClock { clock }),
        };
        match tables <= limits.tables {
            true => Ok(head),
            false => Err(FaultKind::TooMany { what: Counted::Tables, max: limits.tables }),
        }
    };
    let head = read();
    (seq, head)
}

/// Enums are varints of which 32 bits count.
#[expect(clippy::cast_possible_truncation, reason = "the upper bits don't count")]
fn enum_number(value: Value<'_>) -> Result<i32, Malformed> {
    Ok(value.uint()? as i32)
}

fn keep_of(keep: i32) -> Result<Keep, FaultKind> {
    match keep {
        0 => Ok(Keep::Everywhere),
        1 => Ok(Keep::StoresOnly),
        2 => Ok(Keep::LiveOnly),
        keep => Err(FaultKind::UnknownKeep { keep }),
    }
}

/// The second pass, and the place it has come to.
pub(super) struct Reader<'a> {
    pub(super) limits: &'a Limits,
    pub(super) builder: BatchBuilder,
    pub(super) at: Place,
    stamp: &'a Stamp<'a>,
    origin: i64,
    earliest: i64,
    latest: i64,
    entries: usize,
    times: Vec<i64>,
    tags: Vec<(&'a str, &'a str)>,
    /// Metric and unit of the columns of earlier tables, by their number: a gateway's tables mostly
    /// have the same, and what is equal to a checked name needs no check.
    pub(super) names: Vec<(&'a str, &'a str)>,
    pub(super) scratch: column::Scratch<'a>,
}

/// Samples that the first allocation has room for, at most: a gateway's usual batch.
const ROOM_SAMPLES: usize = 16 * 1024;
/// And columns.
const ROOM_COLUMNS: usize = 1024;
/// And names of columns, which many tables mostly share.
const ROOM_NAMES: usize = 32;
/// Shorter messages are those of devices that send one row at a time,
const ONE_ROW_BYTES: usize = 1024;
/// and take about so many bytes for a column with its name and value.
const ONE_COLUMN_BYTES: usize = 24;

impl<'a> Reader<'a> {
    fn new(bytes: usize, limits: &'a Limits, stamp: &'a Stamp<'a>, origin: i64) -> Reader<'a> {
        // A batch of one row is nearly all names; one of many is nearly all values.
        let (values, names) = match bytes {
            0..ONE_ROW_BYTES => (bytes / ONE_COLUMN_BYTES, bytes),
            _ => (bytes / 4, bytes / 4),
        };
        let columns = (bytes / ONE_COLUMN_BYTES).min(ROOM_COLUMNS);
        let (values, names) = (values.min(ROOM_SAMPLES), names.min(ROOM_SAMPLES));
        Reader {
            limits,
            builder: BatchBuilder::with_capacity(columns, values, names),
            at: Place::default(),
            stamp,
            origin,
            earliest: stamp.received_at.saturating_sub(limits.max_age).0,
            latest: stamp.received_at.saturating_add(limits.max_ahead).0,
            entries: 0,
            times: Vec::new(),
            tags: Vec::new(),
            names: Vec::with_capacity(columns.min(ROOM_NAMES)),
            scratch: column::Scratch::default(),
        }
    }

    fn tables(&mut self, bytes: &'a [u8]) -> Result<(), FaultKind> {
        let mut fields = Fields::new(bytes, DEPTH_MAX);
        for table in 0.. {
            let Some(bytes) = next_delimited(&mut fields, 3)? else { break };
            self.at = Place { table: Some(table), ..Place::default() };
            self.table(bytes)?;
        }
        Ok(())
    }

    fn table(&mut self, bytes: &'a [u8]) -> Result<(), FaultKind> {
        let columns = self.table_head(bytes)?;
        let mut fields = Fields::new(bytes, DEPTH_MAX - 1);
        for column in 0..columns {
            let Some(bytes) = next_delimited(&mut fields, 4)? else { break };
            self.at.column = Some(column);
            self.column(bytes, column as usize)?;
        }
        Ok(())
    }

    /// Reads all of a table but the content of its columns; tells how many of them there are.
    fn table_head(&mut self, bytes: &'a [u8]) -> Result<u32, FaultKind> {
        let mut device = "";
        let mut columns = 0;
        let mut keep = 0;
        self.tags.clear();
        self.times.clear();
        let mut fields = Fields::new(bytes, DEPTH_MAX - 1);
        while let Some((tag, value)) = fields.next()? {
            match tag {
                1 => device = value.text()?,
                2 => self.tag(value.bytes()?)?,
                3 => self.deltas(value)?,
                4 => {
                    value.bytes()?;
                    columns += 1;
                }
                5 => keep = enum_number(value)?,
                _ => {}
            }
        }
        let keep = keep_of(keep)?;
        if device.is_empty() {
            device = self.stamp.client;
        }
        self.name(Named::Device, device)?;
        self.absolute_times()?;
        let limits = self.limits;
        if columns > limits.columns {
            return Err(FaultKind::TooMany { what: Counted::Columns, max: limits.columns });
        }
        self.entries = self.entries.saturating_add(columns.saturating_mul(self.times.len()));
        if self.entries > limits.samples {
            return Err(FaultKind::TooMany { what: Counted::Samples, max: limits.samples });
        }
        self.tags.sort_unstable_by_key(|&(key, _)| key);
        if self.tags.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(FaultKind::DuplicateTag);
        }
        self.builder.table(device, &mut self.tags, self.times.iter().copied())?;
        self.builder.keep(keep);
        u32::try_from(columns).map_err(|_| FaultKind::Malformed)
    }

    fn tag(&mut self, bytes: &'a [u8]) -> Result<(), FaultKind> {
        let (mut key, mut content) = ("", "");
        let mut fields = Fields::new(bytes, DEPTH_MAX - 2);
        while let Some((tag, value)) = fields.next()? {
            match tag {
                1 => key = value.text()?,
                2 => content = value.text()?,
                _ => {}
            }
        }
        if self.tags.len() == self.limits.tags {
            return Err(FaultKind::TooMany { what: Counted::Tags, max: self.limits.tags });
        }
        self.name(Named::TagKey, key)?;
        self.name(Named::TagValue, content)?;
        self.tags.push((key, content));
        Ok(())
    }

    /// Takes a run of `times`, packed or not, as it is.
    fn deltas(&mut self, value: Value<'_>) -> Result<(), FaultKind> {
        let max = self.limits.rows;
        let full = FaultKind::TooMany { what: Counted::Rows, max };
        if let Value::Varint(delta) = value {
            if self.times.len() == max {
                return Err(full);
            }
            self.times.push(zigzag(delta));
            return Ok(());
        }
        let mut packed = value.bytes()?;
        while !packed.is_empty() {
            if self.times.len() == max {
                return Err(full);
            }
            self.times.push(zigzag(varint(&mut packed)?));
        }
        Ok(())
    }

    /// Turns the deltas into instants, each within what the limits allow.
    fn absolute_times(&mut self) -> Result<(), FaultKind> {
        if self.times.is_empty() {
            self.times.push(0);
        }
        let (earliest, latest) = (self.earliest, self.latest);
        let mut time = self.origin;
        for (row, delta) in self.times.iter_mut().enumerate() {
            let next = time.checked_add(*delta);
            match next {
                Some(next) if (earliest..=latest).contains(&next) => {
                    time = next;
                    *delta = next;
                }
                _ => {
                    self.at.row = u32::try_from(row).ok();
                    let time = next.unwrap_or(if *delta < 0 { i64::MIN } else { i64::MAX });
                    return Err(self.out_of_time(time));
                }
            }
        }
        Ok(())
    }

    fn out_of_time(&self, time: i64) -> FaultKind {
        let by = distance(time, self.stamp.received_at.0);
        match time < self.stamp.received_at.0 {
            true => FaultKind::TooOld { by, max: self.limits.max_age },
            false => FaultKind::TooFarAhead { by, max: self.limits.max_ahead },
        }
    }

    pub(super) fn name(&self, of: Named, name: &str) -> Result<(), FaultKind> {
        check_name(name, self.limits.name_bytes).map_err(|error| FaultKind::Name { of, error })
    }
}

/// The next field with that tag, which is known to be delimited.
fn next_delimited<'a>(fields: &mut Fields<'a>, wanted: u32) -> Result<Option<&'a [u8]>, Malformed> {
    while let Some((tag, value)) = fields.next()? {
        if tag == wanted {
            return value.bytes().map(Some);
        }
    }
    Ok(None)
}
