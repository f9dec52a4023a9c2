//! The rules of all sources: the configuration's, those made on the page, and those that are there
//! anyway.

use super::RULES_MAX;
use crate::rules::{Rule, Spec, Tally, What, Wrong};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Who made a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The configuration.
    File,
    /// Somebody on the page, or over the API.
    Page,
    /// Nobody: it is there unless there is another of its `what`.
    BuiltIn,
}

impl Source {
    /// As in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Source::File => "file",
            Source::Page => "page",
            Source::BuiltIn => "built-in",
        }
    }
}

/// A rule, and what it watches.
#[derive(Debug, Clone)]
pub struct RuleView {
    /// As it was written.
    pub spec: Spec,
    /// Who made it.
    pub source: Source,
    /// What it watches.
    pub tally: Tally,
    /// Why it does not work, or not for all.
    pub error: Option<String>,
}

/// All rules.
#[derive(Debug)]
pub(super) struct Rulebook {
    file: Vec<Spec>,
    page: BTreeMap<String, Spec>,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    spec: Spec,
    source: Source,
    rule: Result<Arc<Rule>, String>,
}

impl Rulebook {
    /// Those of the file have been checked; those of the page may have been stored by another version.
    pub fn new(file: Vec<Spec>, page: BTreeMap<String, Spec>) -> Rulebook {
        let mut book = Rulebook { file, page, entries: Vec::new() };
        book.sort_out();
        book
    }

    /// The configuration has these rules now.
    pub fn set_file(&mut self, file: Vec<Spec>) {
        self.file = file;
        self.sort_out();
    }

    pub fn is_of_file(&self, name: &str) -> bool {
        self.file.iter().any(|spec| spec.name == name)
    }

    pub fn is_of_page(&self, name: &str) -> bool {
        self.page.contains_key(name)
    }

    /// Whether there is room for a rule of this name.
    pub fn has_room(&self, name: &str) -> bool {
        self.is_of_page(name) || self.file.len() + self.page.len() < RULES_MAX
    }

    pub fn put(&mut self, spec: Spec) {
        self.page.insert(spec.name.clone(), spec);
        self.sort_out();
    }

    pub fn remove(&mut self, name: &str) -> bool {
        let removed = self.page.remove(name).is_some();
        self.sort_out();
        removed
    }

    fn sort_out(&mut self) {
        let entry = |source: Source, spec: &Spec| {
            let rule = Rule::new(spec).map(Arc::new).map_err(|wrong| sentence(&wrong));
            Entry { spec: spec.clone(), source, rule }
        };
        let mut entries: Vec<_> = self.file.iter().map(|spec| entry(Source::File, spec)).collect();
        entries.extend(self.page.values().map(|spec| {
            let mut entry = entry(Source::Page, spec);
            if self.is_of_file(&spec.name) {
                entry.rule =
                    Err("the configuration has a rule of this name, which counts".to_owned());
            }
            entry
        }));
        for what in What::ALL {
            let is_there =
                |entry: &Entry| entry.rule.as_ref().is_ok_and(|rule| rule.what() == Some(what));
            let built_in = what.built_in();
            let is_taken = entries.iter().any(|entry| entry.spec.name == built_in.name);
            if !is_taken && !entries.iter().any(is_there) {
                entries.push(entry(Source::BuiltIn, &built_in));
            }
        }
        entries.sort_by(|a, b| (&a.spec.name, a.source as u8).cmp(&(&b.spec.name, b.source as u8)));
        self.entries = entries;
    }

    /// Those that work, in the order of their names.
    pub fn rules(&self) -> Vec<Arc<Rule>> {
        self.entries.iter().filter_map(|entry| entry.rule.clone().ok()).collect()
    }

    /// All of them with what those that work, in the same order, watch.
    pub fn views(&self, tallies: &[Tally]) -> Vec<RuleView> {
        let mut tallies = tallies.iter();
        let view = |entry: &Entry| {
            let working = entry.rule.is_ok();
            let tally = if working { tallies.next().copied() } else { None }.unwrap_or_default();
            let error = match &entry.rule {
                Err(error) => Some(error.clone()),
                Ok(_) if tally.beyond > 0 => Some(format!(
                    "{} more series match and are not watched (alerting.series_max)",
                    tally.beyond
                )),
                Ok(_) => None,
            };
            RuleView { spec: entry.spec.clone(), source: entry.source, tally, error }
        };
        self.entries.iter().map(view).collect()
    }
}

fn sentence(wrong: &[Wrong]) -> String {
    wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, what: &str) -> Spec {
        let kind = if what.is_empty() { "offline" } else { "daemon" };
        Spec {
            name: name.to_owned(),
            kind: kind.to_owned(),
            what: what.to_owned(),
            ..Spec::default()
        }
    }

    fn names(book: &Rulebook) -> Vec<String> {
        book.rules().iter().map(|rule| rule.name.to_string()).collect()
    }

    #[test]
    fn what_nobody_wrote_is_there_anyway() {
        let mut book = Rulebook::new(vec![spec("mine", "spool")], BTreeMap::new());
        let all = ["mine", "tidegate breaker", "tidegate broker", "tidegate disk"];
        assert_eq!(names(&book)[..4], all);
        assert_eq!(names(&book).len(), 5);
        book.put(spec("tidegate disk", ""));
        // A name is taken once.
        assert_eq!(names(&book).len(), 5);
        assert!(book.remove("tidegate disk") && !book.remove("tidegate disk"));
        assert_eq!(names(&book).len(), 5);
    }

    #[test]
    fn the_configuration_counts_and_what_makes_no_sense_is_shown() {
        let page = [("a", spec("a", "")), ("b", spec("b", "nonsense"))];
        let page = page.into_iter().map(|(name, spec)| (name.to_owned(), spec)).collect();
        let book = Rulebook::new(vec![spec("a", "")], page);
        assert_eq!(names(&book).iter().filter(|name| **name == "a").count(), 1);
        let tallies: Vec<_> =
            (1..=6).map(|matching| Tally { matching, ..Tally::default() }).collect();
        let views = book.views(&tallies);
        let told: Vec<_> = views
            .iter()
            .take(4)
            .map(|view| (&*view.spec.name, view.source, view.tally.matching, view.error.is_some()))
            .collect();
        let wanted = [
            ("a", Source::File, 1, false),
            ("a", Source::Page, 0, true),
            ("b", Source::Page, 0, true),
            ("tidegate breaker", Source::BuiltIn, 2, false),
        ];
        assert_eq!(told, wanted);
    }
}
