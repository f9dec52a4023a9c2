//! Metrics of a message become readings: one per time and destination, each metric once in it.

use super::Settings;
use super::datatype::DataType;
use super::heard::{Heard, HeardReading};
use super::payload::Metric;
use super::properties::{GOOD, Properties};
use super::puzzle::{Puzzle, PuzzleKind};
use super::table::{Entry, Table, dotted};
use super::value::{Expansion, Leaf, MILLISECONDS, plain};
use crate::decode::{Content, Reading, Value};
use crate::model::{Keep, NANOS_PER_MILLI, Timestamp, check_name};
use hashbrown::HashSet;
use std::borrow::Cow;
use std::hash::BuildHasher;

/// How many readings of a message are looked at for one that a value belongs to.
const OPEN_MAX: usize = 8;
/// The metric that tells the quality of another, below its name.
const QUALITY: &str = ".quality";

/// Makes readings of the metrics of one message of one device.
pub(super) struct Telling<'t> {
    device: &'t str,
    settings: &'t Settings,
    received_at: Timestamp,
    /// When the message was sent, for metrics that don't tell their own time.
    sent_at: Option<u64>,
    heard: &'t mut Heard,
    /// Where this message's readings begin.
    first: usize,
    /// Which readings hold which metrics, by the hash of their names. Where two share one, the
    /// second just gets a reading of its own.
    seen: HashSet<(usize, u64)>,
    values_left: usize,
}

/// Where and when a value goes.
#[derive(Clone, Copy, PartialEq)]
struct Slot {
    time: i64,
    keep: Keep,
}

impl<'t> Telling<'t> {
    pub(super) fn new(
        device: &'t str,
        settings: &'t Settings,
        received_at: Timestamp,
        sent_at: Option<u64>,
        heard: &'t mut Heard,
    ) -> Telling<'t> {
        let first = heard.readings.len();
        let values_left = settings.caps.message_values;
        let seen = HashSet::new();
        Telling { device, settings, received_at, sent_at, heard, first, seen, values_left }
    }

    /// Says why a metric does not become a reading.
    pub(super) fn refuse(&mut self, metric: &str, kind: PuzzleKind) {
        let metric = metric.chars().take(128).collect();
        self.heard.refuse(Puzzle { device: self.device.to_owned(), metric, kind });
    }

    /// Takes one metric, whose birth told `entry`. Returns whether its value is of the type told.
    pub(super) fn metric(&mut self, metric: &Metric<'_>, entry: &Entry, table: &Table) -> bool {
        self.try_metric(metric, entry, table).unwrap_or_else(|kind| {
            self.refuse(&entry.told, kind);
            true
        })
    }

    fn try_metric(
        &mut self,
        metric: &Metric<'_>,
        entry: &Entry,
        table: &Table,
    ) -> Result<bool, PuzzleKind> {
        let name = entry.name.as_deref().map_err(|error| PuzzleKind::Name(*error))?;
        let mut unit = entry.unit.to_string();
        let properties = Properties::read(metric.properties)?;
        let datatype = datatype(metric, entry)?;
        let slot = self.slot(metric)?;
        if let Some(told) = properties.unit
            && check_name(told, self.settings.limits.name_bytes).is_ok()
        {
            told.clone_into(&mut unit);
        }
        let quality = properties.quality.unwrap_or(GOOD);
        // The specification wants it told unless it is good, so one that is not told is good again.
        let was_bad = entry.bad_quality.replace(quality != GOOD);
        if quality != GOOD || was_bad {
            self.push(slot, format!("{name}{QUALITY}"), String::new(), Ok(Content::Int(quality)));
        }
        let Some(raw) = metric.value.filter(|_| !metric.is_null && quality == GOOD) else {
            return Ok(true);
        };
        if datatype == DataType::DateTime && unit.is_empty() {
            MILLISECONDS.clone_into(&mut unit);
        }
        if is_plain(datatype) {
            let leaf = plain(datatype, raw);
            let fits = !matches!(leaf, Err(PuzzleKind::WrongField { .. }));
            self.push(slot, name.to_owned(), unit, leaf);
            return Ok(fits);
        }
        let mut fits = true;
        let caps = self.settings.caps;
        let mut expansion = Expansion {
            max: caps.elements.min(self.values_left),
            known: &|path| table.datatype(&format!("{}{path}", entry.told)),
            tell: &mut |path, datatype, leaf| {
                fits &= !(path.is_empty() && matches!(leaf, Err(PuzzleKind::WrongField { .. })));
                let unit = match (datatype, unit.is_empty()) {
                    (DataType::DateTime, true) => MILLISECONDS.to_owned(),
                    _ => unit.clone(),
                };
                self.push(slot, format!("{name}{}", dotted(path)), unit, leaf);
            },
        };
        expansion.value(datatype, raw);
        Ok(fits)
    }

    fn slot(&self, metric: &Metric<'_>) -> Result<Slot, PuzzleKind> {
        let keep = match (metric.is_historical, metric.is_transient) {
            (false, false) => Keep::Everywhere,
            (true, false) => Keep::StoresOnly,
            (false, true) => Keep::LiveOnly,
            (true, true) => return Err(PuzzleKind::Nowhere),
        };
        let time = match metric.timestamp.or(self.sent_at) {
            None => self.received_at.0,
            Some(millis) => i64::try_from(millis)
                .ok()
                .and_then(|millis| millis.checked_mul(NANOS_PER_MILLI))
                .ok_or(PuzzleKind::TooFarAhead)?,
        };
        let limits = &self.settings.limits;
        if time < self.received_at.saturating_sub(limits.max_age).0 {
            return Err(PuzzleKind::TooOld);
        }
        if time > self.received_at.saturating_add(limits.max_ahead).0 {
            return Err(PuzzleKind::TooFarAhead);
        }
        Ok(Slot { time, keep })
    }

    /// Adds a value to the reading it belongs to.
    fn push(&mut self, slot: Slot, metric: String, unit: String, leaf: Leaf) {
        let limits = &self.settings.limits;
        let leaf = leaf.and_then(|content| match &content {
            Content::Text(text) if text.len() > limits.text_bytes => {
                Err(PuzzleKind::TextTooLong { bytes: text.len(), max: limits.text_bytes })
            }
            _ => Ok(content),
        });
        let leaf = match check_name(&metric, limits.name_bytes) {
            Ok(()) => leaf,
            Err(error) => Err(PuzzleKind::Name(error)),
        };
        let content = match leaf {
            Err(kind) => return self.refuse(&metric, kind),
            Ok(_) if self.values_left == 0 => {
                let max = self.settings.caps.message_values;
                return self.refuse(&metric, PuzzleKind::TooMany { what: "values", max });
            }
            Ok(content) => content,
        };
        self.values_left -= 1;
        let hash = self.seen.hasher().hash_one(&metric);
        let at = self.place(slot, hash);
        self.seen.insert((at, hash));
        self.heard.readings[at].reading.values.push(Value {
            metric: Cow::Owned(metric),
            unit: Cow::Owned(unit),
            content,
        });
    }

    /// The reading that a value goes into: the last of its slot, if that doesn't hold the metric.
    fn place(&mut self, slot: Slot, hash: u64) -> usize {
        let readings = &self.heard.readings;
        let from = self.first.max(readings.len().saturating_sub(OPEN_MAX));
        let open = (from..readings.len()).rev().find(|&at| {
            slot == Slot { time: readings[at].reading.time, keep: readings[at].reading.keep }
        });
        match open {
            Some(at)
                if readings[at].reading.values.len() < self.settings.limits.columns
                    && !self.seen.contains(&(at, hash)) =>
            {
                at
            }
            _ => {
                self.heard.readings.push(HeardReading {
                    reading: Reading {
                        device: Cow::Owned(self.device.to_owned()),
                        tags: Vec::new(),
                        time: slot.time,
                        keep: slot.keep,
                        values: Vec::new(),
                    },
                    received_at: self.received_at,
                });
                self.heard.readings.len() - 1
            }
        }
    }
}

/// What the value is: as the message says, else as its birth did.
fn datatype(metric: &Metric<'_>, entry: &Entry) -> Result<DataType, PuzzleKind> {
    match metric.datatype {
        None | Some(0) => entry.datatype.ok_or(PuzzleKind::NoDatatype),
        Some(number) => {
            DataType::from_number(number).ok_or(PuzzleKind::UnknownDatatype { datatype: number })
        }
    }
}

/// Whether a value of the datatype is one reading's.
fn is_plain(datatype: DataType) -> bool {
    !matches!(datatype, DataType::Template | DataType::DataSet)
        && super::array::element(datatype).is_none()
}
