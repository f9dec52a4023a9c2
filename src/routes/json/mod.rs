//! Readings of a JSON message, by the route's pointers.
//!
//! One pass over the text, without a tree of it: [`walk`] goes through the message with a place of the
//! [`Plan`] in hand and collects the values, times and parts of names; what nothing is said of is
//! skipped. Then [`finish`] names the readings, because a device's name may stand behind its values.
//!
//! What JSON leaves open: an object that gives a key twice is refused (as far as it is looked at, not
//! within what is skipped), `null` is no value, numbers follow the route's `numbers`, nesting has a cap.

mod finish;
mod path;
mod walk;

use super::number::Numbers;
use super::plan::{Plan, Rule};
use super::pointer::{Token, tokens};
use super::spec::{Mistake, RouteSpec};
use super::time::{self, Format};
use super::{Captures, Message, Puzzle, Route};
use crate::decode::Reading;
use crate::wire::Limits;
use jiff::tz::Offset;

/// What is said of a route's messages, compiled.
#[derive(Debug, Clone)]
pub(super) struct JsonPlan {
    plan: Plan,
    /// Pointers of the slots.
    slots: Vec<String>,
    units: Vec<(Box<str>, Box<str>)>,
    renames: bool,
    time_format: Format,
    time_zone: Option<Offset>,
    may_be_empty: bool,
}

impl JsonPlan {
    /// Compiles it; tells mistakes.
    pub(super) fn new(
        spec: &RouteSpec,
        slots: Vec<String>,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<JsonPlan> {
        let mut rules = Rules { rules: Vec::new(), mistakes };
        let root = rules.add("root", &spec.root, Rule::Root);
        if spec.values.is_empty() {
            rules.add("root", &spec.root, Rule::TakeAll);
        }
        for (number, pointer) in spec.values.iter().enumerate() {
            let key = format!("values.{number}");
            let tokens = rules.add(&key, pointer, Rule::Take);
            if let (Some(root), Some(tokens)) = (&root, tokens)
                && !is_below(root, &tokens)
            {
                let problem = format!(
                    "\"{pointer}\" is not below the root \"{}\"; all pointers count from the top of \
                     the message",
                    spec.root
                );
                rules.mistakes.push(Mistake::new(key, problem));
            }
        }
        for (number, pointer) in spec.ignore.iter().enumerate() {
            rules.add(&format!("ignore.{number}"), pointer, Rule::Ignore);
        }
        for (number, pointer) in spec.integers.iter().enumerate() {
            rules.add(&format!("integers.{number}"), pointer, Rule::Integer);
        }
        for (pointer, name) in &spec.rename {
            rules.add(&format!("rename.{pointer}"), pointer, Rule::Rename(name.as_str().into()));
        }
        if !spec.time.is_empty() {
            rules.add("time", &spec.time, Rule::Time);
        }
        for (number, pointer) in slots.iter().enumerate() {
            // Was read as a pointer when its template was compiled.
            rules.add("", pointer, Rule::Slot(number));
        }
        let plan = Plan::new(&rules.rules);
        if plan.is_none() {
            let problem = "too many pointers with \"*\" in different places";
            mistakes.push(Mistake::new("values", problem));
        }
        let format = Format::ALL.into_iter().find(|(name, _)| *name == spec.time_format);
        if format.is_none() {
            let problem =
                format!("\"{}\" is none of auto, s, ms, us, ns, rfc3339", spec.time_format);
            mistakes.push(Mistake::new("time_format", problem));
        }
        let zone = time::zone(&spec.time_zone);
        if let Err(problem) = &zone {
            mistakes.push(Mistake::new("time_zone", problem.clone()));
        }
        let units =
            spec.units.iter().map(|(name, unit)| (name.as_str().into(), unit.as_str().into()));
        Some(JsonPlan {
            plan: plan?,
            slots,
            units: units.collect(),
            renames: !spec.rename.is_empty(),
            time_format: format?.1,
            time_zone: zone.ok()?,
            may_be_empty: spec.may_be_empty,
        })
    }
}

struct Rules<'m> {
    rules: Vec<(Vec<Token>, Rule)>,
    mistakes: &'m mut Vec<Mistake>,
}

impl Rules<'_> {
    fn add(&mut self, key: &str, pointer: &str, rule: Rule) -> Option<Vec<Token>> {
        match tokens(pointer) {
            Ok(tokens) => {
                self.rules.push((tokens.clone(), rule));
                Some(tokens)
            }
            Err(problem) => {
                self.mistakes.push(Mistake::new(key, problem));
                None
            }
        }
    }
}

fn is_below(root: &[Token], tokens: &[Token]) -> bool {
    root.len() <= tokens.len()
        && root.iter().zip(tokens).all(|(root, token)| *root == Token::Any || root == token)
}

/// Reads a message.
pub(super) fn read<'a>(
    route: &'a Route,
    captures: &Captures<'a>,
    message: &Message<'a>,
    limits: &Limits,
) -> Result<Vec<Reading<'a>>, Puzzle> {
    let text = super::scalar::trimmed(message.payload);
    // Some programs begin every text with a byte order mark.
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    if text.trim_ascii().is_empty() {
        return if route.json.may_be_empty { Ok(Vec::new()) } else { Err(Puzzle::NoPayload) };
    }
    let found = walk::walk(route, text, limits)?;
    finish::finish(route, captures, message, found)
}

impl Route {
    /// What the number at a place becomes.
    fn numbers_at(&self, integer: bool) -> Numbers {
        if integer { Numbers::Integer } else { self.numbers }
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
