//! Through the text of a message, once.
//!
//! Hot path. Keys and texts are borrowed from the message unless they have escapes; a value's name is
//! its key, borrowed, unless it lies deeper.

use super::super::number::Number;
use super::super::plan::{Mark, Spot};
use super::super::pointer::DEPTH_MAX;
use super::super::puzzle::{Needed, start};
use super::super::time::{self, TimeFault};
use super::super::{Puzzle, Route};
use super::path::{NamesFrom, Path, Step};
use crate::decode::{Content, Counted};
use crate::wire::Limits;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// What a message has of what the route looks for.
#[derive(Debug, Default)]
pub(super) struct Found<'a> {
    /// In the order of the message; each has values.
    pub(super) readings: Vec<Part<'a>>,
    /// Told outside of all readings.
    pub(super) common: Part<'a>,
    /// Whether there was something that is known and not wanted.
    pub(super) passed_over: bool,
    /// Whether there were texts that would be values if texts were taken.
    pub(super) texts: bool,
    /// Whether two values might have one name though their paths differ.
    pub(super) names_may_collide: bool,
}

/// What is told in one place.
#[derive(Debug, Default)]
pub(super) struct Part<'a> {
    pub(super) time: Option<i64>,
    /// As many as the plan has, or none.
    pub(super) slots: Vec<Option<Cow<'a, str>>>,
    /// Name, content.
    pub(super) values: Vec<(Cow<'a, str>, Content<'a>)>,
}

pub(super) fn walk<'a>(
    route: &'a Route,
    text: &'a [u8],
    limits: &Limits,
) -> Result<Found<'a>, Puzzle> {
    let mut walk = Walk {
        route,
        columns_max: limits.columns,
        samples_max: limits.samples,
        samples: 0,
        found: Found::default(),
        reading: None,
        path: Path::default(),
        keys: Vec::with_capacity(8),
        fault: None,
    };
    let mut json = serde_json::Deserializer::from_slice(text);
    let top = Seat { spot: Some(route.json.plan.top()), taking: false, walk: &mut walk };
    let read = top.deserialize(&mut json).and_then(|()| json.end());
    match (walk.fault, read) {
        (Some(fault), _) => Err(fault),
        (None, Ok(())) => {
            walk.found.names_may_collide = walk.path.names_may_collide();
            Ok(walk.found)
        }
        (None, Err(error)) => Err(not_json(&error, text)),
    }
}

/// The JSON reader's words without the place, which stands beside them.
fn not_json(error: &serde_json::Error, text: &[u8]) -> Puzzle {
    let (line, column) = (error.line(), error.column());
    let what = error.to_string();
    let what = what.split(" at line ").next().unwrap_or_default();
    let what = match is_not_a_number(text, line, column) {
        true => "NaN and infinity are no JSON: the sender has no value there".to_owned(),
        false => what.to_owned(),
    };
    Puzzle::NotJson { line, column, what }
}

/// Whether the reader stopped at what programs print for lack of a number.
fn is_not_a_number(text: &[u8], line: usize, column: usize) -> bool {
    let line = text.split(|&byte| byte == b'\n').nth(line.saturating_sub(1)).unwrap_or_default();
    // It stops at the first byte, or at the one after that, or after a minus sign.
    let there = line.get(column.saturating_sub(2)..).unwrap_or_default();
    let there = there.get(..4).unwrap_or(there).to_ascii_lowercase();
    [b"nan", b"inf"].iter().any(|word| there.windows(3).any(|bytes| bytes == *word))
}

struct Walk<'a> {
    route: &'a Route,
    columns_max: usize,
    samples_max: usize,
    samples: usize,
    found: Found<'a>,
    /// The reading that the walk is in.
    reading: Option<Part<'a>>,
    path: Path<'a>,
    /// Of the objects that the walk is in, outermost first: what keys they gave so far.
    keys: Vec<Cow<'a, str>>,
    /// Why the walk was given up.
    fault: Option<Puzzle>,
}

/// One JSON value, before it is read.
struct Seat<'w, 'a> {
    walk: &'w mut Walk<'a>,
    /// Its place in the plan; nothing if nothing is said of it nor of what is below.
    spot: Option<Spot>,
    /// Whether all values below are taken.
    taking: bool,
}

/// A value that is neither object nor array.
enum Leaf<'a> {
    Null,
    Bool(bool),
    Number(Number),
    Text(Cow<'a, str>),
}

/// Up to so many keys of an object are compared with each other one by one.
const FEW_KEYS: usize = 16;

static NOTHING_SAID: Mark = Mark {
    root: false,
    take: false,
    pointed: false,
    ignore: false,
    time: false,
    slots: Vec::new(),
    rename: None,
    integer: false,
};

impl<'a> Walk<'a> {
    fn mark(&self, spot: Option<Spot>) -> &'a Mark {
        spot.map_or(&NOTHING_SAID, |spot| self.route.json.plan.mark(spot))
    }

    /// Gives up.
    fn fail<E: Error>(&mut self, fault: Puzzle) -> E {
        self.fault = Some(fault);
        E::custom("given up")
    }

    /// What the message tells where the walk is belongs to the reading that it is in, or to all.
    fn part(&mut self) -> &mut Part<'a> {
        self.reading.as_mut().unwrap_or(&mut self.found.common)
    }

    fn begin_reading(&mut self) {
        self.reading = Some(Part::default());
        self.path.name_from_here("");
    }

    fn end_reading(&mut self) {
        if let Some(reading) = self.reading.take()
            && !reading.values.is_empty()
        {
            self.found.readings.push(reading);
        }
    }

    fn leaf(&mut self, spot: Option<Spot>, taking: bool, leaf: Leaf<'a>) -> Result<(), Puzzle> {
        let mark = self.mark(spot);
        if mark.root {
            self.begin_reading();
        }
        if mark.time {
            let time = self.time(&leaf)?;
            self.part().time = time;
        }
        for &slot in &mark.slots {
            self.fill(slot, &leaf);
        }
        let taken = mark.take || (taking && !mark.has_role());
        if mark.ignore {
            self.found.passed_over = true;
        } else if taken && self.reading.is_some() {
            self.value(mark, leaf)?;
        }
        if mark.root {
            self.end_reading();
        }
        Ok(())
    }

    fn value(&mut self, mark: &'a Mark, leaf: Leaf<'a>) -> Result<(), Puzzle> {
        let Some(content) = self.content(mark, leaf)? else { return Ok(()) };
        let name = match &mark.rename {
            Some(name) => Cow::Borrowed(&**name),
            None => self.path.name(),
        };
        if self.samples == self.samples_max {
            return Err(Puzzle::TooMany { what: Counted::Samples, max: self.samples_max });
        }
        self.samples += 1;
        let values = &mut self.part().values;
        values.push((name, content));
        match values.len() <= self.columns_max {
            true => Ok(()),
            false => Err(Puzzle::TooMany { what: Counted::Columns, max: self.columns_max }),
        }
    }

    /// The value of a leaf; nothing if it is none.
    fn content(&mut self, mark: &Mark, leaf: Leaf<'a>) -> Result<Option<Content<'a>>, Puzzle> {
        let numbers = self.route.numbers_at(mark.integer);
        let texts = &self.route.texts;
        Ok(match leaf {
            Leaf::Null => {
                self.found.passed_over = true;
                None
            }
            Leaf::Bool(truth) => Some(Content::Bool(truth)),
            Leaf::Number(number) => Some(number.content(numbers, || self.path.pointer())?),
            Leaf::Text(text) if texts.is_no_value(&text) => {
                self.found.passed_over = true;
                None
            }
            Leaf::Text(text) => match (texts.word(&text), Number::read(text.trim())) {
                (Some(truth), _) => Some(Content::Bool(truth)),
                (None, Some(number)) if texts.numbers => {
                    Some(number.content(numbers, || self.path.pointer())?)
                }
                // What is pointed at is taken, text or not.
                (None, _) if texts.taken || mark.pointed => Some(Content::Text(text)),
                (None, _) => {
                    self.found.texts = true;
                    None
                }
            },
        })
    }

    /// The time that a leaf tells; `null` tells none.
    fn time(&self, leaf: &Leaf<'_>) -> Result<Option<i64>, Puzzle> {
        let (format, zone) = (self.route.json.time_format, self.route.json.time_zone);
        let fault = |text: &str, fault| Puzzle::Time {
            at: self.path.pointer(),
            text: start(text),
            format: format.name(),
            no_zone: fault == TimeFault::NoZone,
        };
        match leaf {
            Leaf::Null => Ok(None),
            Leaf::Number(number) => match time::of_number(*number, format) {
                Some(time) => Ok(Some(time)),
                None => Err(fault(&number.to_string(), TimeFault::NoTime)),
            },
            Leaf::Text(text) => {
                time::of_text(text, format, zone).map(Some).map_err(|error| fault(text, error))
            }
            Leaf::Bool(_) => Err(Puzzle::Unfit {
                needed: Needed::Time,
                at: self.path.pointer(),
                found: "true or false",
            }),
        }
    }

    fn fill(&mut self, slot: usize, leaf: &Leaf<'a>) {
        let text = match leaf {
            Leaf::Null => return,
            Leaf::Text(text) if text.is_empty() => return,
            Leaf::Text(text) => text.clone(),
            Leaf::Bool(truth) => Cow::Borrowed(if *truth { "true" } else { "false" }),
            Leaf::Number(number) => Cow::Owned(number.to_string()),
        };
        let count = self.route.json.slots.len();
        let slots = &mut self.part().slots;
        slots.resize(count, None);
        if let Some(place) = slots.get_mut(slot) {
            *place = Some(text);
        }
    }

    /// Goes down to a key or index.
    fn down<E: Error>(&mut self, step: Step<'a>) -> Result<(), E> {
        self.path.push(step);
        match self.path.depth() <= DEPTH_MAX {
            true => Ok(()),
            false => {
                let at = self.path.pointer();
                Err(self.fail(Puzzle::TooDeep { at, max: DEPTH_MAX }))
            }
        }
    }

    /// Whether there is anything to look for at a place or below.
    fn looks(&self, spot: Option<Spot>, taking: bool) -> bool {
        let Some(spot) = spot else { return taking };
        let mark = self.route.json.plan.mark(spot);
        !mark.ignore || !self.route.json.plan.is_leaf(spot) || mark.has_role()
    }

    /// Notes a key of the object whose keys begin at `from`.
    fn key<E: Error>(&mut self, from: usize, key: Cow<'a, str>) -> Result<(), E> {
        let few = self.keys.len() - from < FEW_KEYS;
        if few && self.keys[from..].contains(&key) {
            return Err(self.twice(&key));
        }
        self.keys.push(key);
        Ok(())
    }

    fn twice<E: Error>(&mut self, key: &str) -> E {
        let (at, key) = (self.path.pointer(), start(key));
        self.fail(Puzzle::DuplicateKey { at, key })
    }

    /// Forgets the keys of the object that ends.
    fn end_keys<E: Error>(&mut self, from: usize) -> Result<(), E> {
        let keys = &mut self.keys[from..];
        if keys.len() > FEW_KEYS {
            // By sorting, because a hostile message may have a million keys.
            keys.sort_unstable();
            if let Some(pair) = keys.windows(2).find(|pair| pair[0] == pair[1]) {
                let key = pair[0].clone();
                return Err(self.twice(&key));
            }
        }
        self.keys.truncate(from);
        Ok(())
    }
}

impl<'a> Seat<'_, 'a> {
    fn leaf<E: Error>(self, leaf: Leaf<'a>) -> Result<(), E> {
        let Seat { walk, spot, taking } = self;
        walk.leaf(spot, taking, leaf).map_err(|fault| walk.fail(fault))
    }

    /// Enters an object or array: tells whether the values in it are taken, and where names began
    /// outside of it.
    fn enter<E: Error>(&mut self, found: &'static str) -> Result<(bool, NamesFrom<'a>), E> {
        let mark = self.walk.mark(self.spot);
        let outside = self.walk.path.names_from();
        if mark.has_role() {
            let needed = if mark.time { Needed::Time } else { Needed::Name };
            let at = self.walk.path.pointer();
            return Err(self.walk.fail(Puzzle::Unfit { needed, at, found }));
        }
        if mark.root {
            self.walk.begin_reading();
        }
        if let Some(prefix) = &mark.rename {
            self.walk.path.name_from_here(prefix);
        }
        if mark.ignore {
            self.walk.found.passed_over = true;
        }
        Ok(((self.taking || mark.take) && !mark.ignore, outside))
    }

    fn leave(self, outside: NamesFrom<'a>) {
        self.walk.path.name_from(outside);
        if self.walk.mark(self.spot).root {
            self.walk.end_reading();
        }
    }
}

impl<'a> DeserializeSeed<'a> for Seat<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Seat<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.leaf(Leaf::Null)
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<(), E> {
        self.leaf(Leaf::Bool(truth))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.leaf(Leaf::Number(Number::Whole(number)))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.leaf(Leaf::Number(i64::try_from(number).map_or(Number::Large(number), Number::Whole)))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.leaf(Leaf::Number(Number::Float(number)))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'a str) -> Result<(), E> {
        self.leaf(Leaf::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.leaf(Leaf::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut array: A) -> Result<(), A::Error> {
        let (taking, outside) = self.enter("an array")?;
        let walk = &mut *self.walk;
        for index in 0.. {
            let spot = self.spot.and_then(|spot| walk.route.json.plan.below_index(spot, index));
            if !walk.looks(spot, taking) {
                walk.found.passed_over |= spot.is_some();
                match array.next_element::<IgnoredAny>()? {
                    Some(_) => continue,
                    None => break,
                }
            }
            walk.down(Step::Index(index))?;
            let more = array.next_element_seed(Seat { walk, spot, taking })?;
            walk.path.pop();
            if more.is_none() {
                break;
            }
        }
        self.leave(outside);
        Ok(())
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut object: A) -> Result<(), A::Error> {
        let (taking, outside) = self.enter("an object")?;
        let walk = &mut *self.walk;
        let from = walk.keys.len();
        while let Some(Key(key)) = object.next_key()? {
            walk.key(from, key.clone())?;
            let spot = self.spot.and_then(|spot| walk.route.json.plan.below(spot, &key));
            if walk.looks(spot, taking) {
                walk.down(Step::Key(key))?;
                object.next_value_seed(Seat { walk, spot, taking })?;
                walk.path.pop();
            } else {
                walk.found.passed_over |= spot.is_some();
                object.next_value::<IgnoredAny>()?;
            }
        }
        walk.end_keys(from)?;
        self.leave(outside);
        Ok(())
    }
}

/// A key, borrowed from the message unless it has escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Key<'a>, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E: Error>(self, key: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(key)))
            }

            fn visit_str<E: Error>(self, key: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }
        json.deserialize_str(KeyVisitor)
    }
}
