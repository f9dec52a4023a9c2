//! What a birth says of a node's or device's metrics: their names, aliases, datatypes and units.
//!
//! Names become those of readings: folders are parted by dots instead of slashes, so that
//! `Motor/Temperature` is `Motor.Temperature` and the glob `Motor.*` finds it. Where two metrics
//! would get one name (`a/b` and `a.b`), the one that has slashes keeps them.

use super::datatype::DataType;
use super::payload::{Metric, Raw};
use super::properties::Properties;
use super::puzzle::PuzzleKind;
use super::value::{Expansion, MEMBER};
use crate::model::{NameError, check_name};
use hashbrown::{HashMap, HashSet};
use std::cell::Cell;
use std::hash::BuildHasher;
use std::sync::Arc;

/// A metric as its birth told it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    /// Its name as told, with [`MEMBER`] before members of templates.
    pub(super) told: Arc<str>,
    /// Its name in readings.
    pub(super) name: Result<Box<str>, NameError>,
    /// Empty if there is none.
    pub(super) unit: Box<str>,
    /// What its values are, if the birth told.
    pub(super) datatype: Option<DataType>,
    /// Its alias, if it has one of its own.
    pub(super) alias: Option<u64>,
    /// Whether the quality that was told last was not good.
    pub(super) bad_quality: Cell<bool>,
}

/// What an alias stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aliased {
    /// A metric, by its index.
    One(usize),
    /// Two metrics were given it, against tck-id-payloads-alias-uniqueness.
    Several,
}

/// The metrics of one node or device.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) entries: Vec<Entry>,
    aliases: HashMap<u64, Aliased>,
    names: HashMap<Arc<str>, usize>,
    /// Hashes of the names in readings, once something was learnt. Where two share one, the second
    /// is refused.
    taken: Option<HashSet<u64>>,
    learnt: usize,
    bytes: usize,
}

/// How many metrics of a device are taken that its birth did not tell.
const LEARNT_MAX: usize = 1024;

/// What an entry costs besides its texts: itself, and its places in both maps.
const ENTRY_BYTES: usize = size_of::<Entry>() + 96;

impl Table {
    /// The table of a birth. At most `max` entries.
    pub(super) fn of_birth(
        metrics: &[Metric<'_>],
        max: usize,
        name_bytes: usize,
    ) -> Result<Table, PuzzleKind> {
        let mut table = Table::default();
        for metric in metrics {
            let Some(name) = metric.name.filter(|name| !name.is_empty()) else { continue };
            let datatype = metric.datatype.and_then(DataType::from_number);
            let unit = Properties::read(metric.properties)?.unit.unwrap_or_default();
            table.add(name, datatype, unit, metric.alias, max)?;
            if let (Some(DataType::Template), Some(raw @ Raw::Template(_))) =
                (datatype, metric.value)
            {
                table.add_members(name, raw, max)?;
            }
        }
        table.name_all(name_bytes);
        Ok(table)
    }

    /// An entry of a remembered table. Call [`Table::name_all`] when all are there.
    pub(super) fn add(
        &mut self,
        told: &str,
        datatype: Option<DataType>,
        unit: &str,
        alias: Option<u64>,
        max: usize,
    ) -> Result<(), PuzzleKind> {
        let index = match self.names.get(told) {
            // A birth may hold older values of a metric too.
            Some(index) => *index,
            None => {
                if self.entries.len() >= max {
                    return Err(PuzzleKind::TooMany { what: "metrics of a node", max });
                }
                let told: Arc<str> = told.into();
                self.names.insert(told.clone(), self.entries.len());
                self.entries.push(Entry {
                    told,
                    name: Err(NameError::Empty),
                    unit: Box::default(),
                    datatype: None,
                    alias: None,
                    bad_quality: Cell::new(false),
                });
                self.entries.len() - 1
            }
        };
        let entry = &mut self.entries[index];
        entry.datatype = datatype.or(entry.datatype);
        if !unit.is_empty() {
            entry.unit = unit.into();
        }
        if let Some(alias) = alias {
            let aliased = self.aliases.entry(alias).or_insert(Aliased::One(index));
            match *aliased == Aliased::One(index) {
                true => entry.alias = Some(alias),
                false => *aliased = Aliased::Several,
            }
        }
        Ok(())
    }

    /// The members of an instance of a template: data may leave their datatypes out.
    fn add_members(&mut self, name: &str, raw: Raw<'_>, max: usize) -> Result<(), PuzzleKind> {
        let mut done = Ok(());
        let mut expansion = Expansion {
            max,
            known: &|_| None,
            tell: &mut |path, datatype, leaf| {
                if done.is_ok() && leaf.is_ok() && path.starts_with(MEMBER) {
                    done = self.add(&format!("{name}{path}"), Some(datatype), "", None, max);
                }
            },
        };
        expansion.value(DataType::Template, raw);
        done
    }

    /// Gives each entry its name in readings, and adds up what the table costs.
    pub(super) fn name_all(&mut self, name_bytes: usize) {
        let mut wanted: HashMap<String, u32> = HashMap::new();
        for entry in &self.entries {
            *wanted.entry(dotted(&entry.told)).or_default() += 1;
        }
        for entry in &mut self.entries {
            let mut name = dotted(&entry.told);
            if wanted.get(&name).is_some_and(|count| *count > 1) {
                // What is as it was told is told apart as it was told.
                name = entry.told.replace(MEMBER, "//");
            }
            entry.name = check_name(&name, name_bytes).map(|()| name.into_boxed_str());
            if check_name(&entry.unit, name_bytes).is_err() {
                entry.unit = Box::default();
            }
        }
        self.bytes = self.entries.iter().map(Entry::bytes).sum();
    }

    /// The entry of a metric in a message: by its name, else by its alias if that is believed.
    pub(super) fn entry_of(&self, metric: &Metric<'_>, aliases: bool) -> Result<usize, PuzzleKind> {
        match (metric.name.filter(|name| !name.is_empty()), metric.alias) {
            (Some(name), _) => self.named(name).ok_or(PuzzleKind::NotBorn),
            (None, Some(_)) if !aliases => Err(PuzzleKind::AwaitingBirth),
            (None, Some(alias)) => match self.aliased(alias) {
                Some(Aliased::One(index)) => Ok(index),
                Some(Aliased::Several) => Err(PuzzleKind::AliasTwice { alias }),
                None => Err(PuzzleKind::UnknownAlias { alias }),
            },
            (None, None) => Err(PuzzleKind::Nameless),
        }
    }

    /// Makes an entry of a metric that no birth told, against
    /// tck-id-operational-behavior-data-publish-nbirth, if it says itself what it is. One library
    /// calls metrics in its data otherwise than in its births.
    pub(super) fn learn(
        &mut self,
        metric: &Metric<'_>,
        name_bytes: usize,
    ) -> Result<usize, PuzzleKind> {
        let (Some(told), Some(datatype)) =
            (metric.name, metric.datatype.and_then(DataType::from_number))
        else {
            return Err(PuzzleKind::NotBorn);
        };
        if self.learnt == LEARNT_MAX {
            return Err(PuzzleKind::NotBorn);
        }
        let name = dotted(told);
        check_name(&name, name_bytes).map_err(PuzzleKind::Name)?;
        let hasher = self.names.hasher();
        let hash = |name: &str| hasher.hash_one(name);
        let names = || self.entries.iter().flat_map(|entry| entry.name.as_deref());
        let taken = self.taken.get_or_insert_with(|| names().map(hash).collect());
        if !taken.insert(hash(&name)) {
            return Err(PuzzleKind::NotBorn);
        }
        self.learnt += 1;
        let max = self.entries.len() + 1;
        self.add(told, Some(datatype), "", None, max)?;
        let index = self.entries.len() - 1;
        self.entries[index].name = Ok(name.into_boxed_str());
        self.bytes += self.entries[index].bytes();
        Ok(index)
    }

    /// What an alias stands for.
    pub(super) fn aliased(&self, alias: u64) -> Option<Aliased> {
        self.aliases.get(&alias).copied()
    }

    /// The entry of a name.
    pub(super) fn named(&self, told: &str) -> Option<usize> {
        self.names.get(told).copied()
    }

    /// The datatype of a name.
    pub(super) fn datatype(&self, told: &str) -> Option<DataType> {
        self.named(told).and_then(|index| self.entries.get(index)).and_then(|entry| entry.datatype)
    }

    /// What it costs.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether an alias stands for something else than in an earlier table.
    pub(super) fn differs_from(&self, earlier: &Table) -> bool {
        self.aliases.iter().any(|(alias, aliased)| {
            let earlier = earlier.aliased(*alias).map(|aliased| earlier.meaning(aliased));
            earlier.is_some_and(|earlier| earlier != self.meaning(*aliased))
        })
    }

    fn meaning(&self, aliased: Aliased) -> Option<(&str, Option<DataType>)> {
        match aliased {
            Aliased::One(index) => {
                self.entries.get(index).map(|entry| (&*entry.told, entry.datatype))
            }
            Aliased::Several => None,
        }
    }
}

impl Entry {
    fn bytes(&self) -> usize {
        let name = self.name.as_ref().map_or(0, |name| name.len());
        self.told.len() + name + self.unit.len() + ENTRY_BYTES
    }
}

/// A name with its folders parted by dots.
pub(super) fn dotted(told: &str) -> String {
    told.replace(['/', MEMBER], ".")
}
