//! Topic patterns: MQTT's topic filters (section 4.7 of 3.1.1 and 5), with captures.
//!
//! A level is literal, `+`, or has captures: `{device}` is a whole level, `dev-{id}` a part of one.
//! The last may be `#`, or `{name#}`, which captures all levels that remain. A capture has at least one
//! character. As for filters: `a/#` also matches `a`; levels may be empty; no wildcard or capture at the
//! first level matches a topic that begins with `$`.
//!
//! Brokers know no captures within a level: what we subscribe to is [`Pattern::filter`], in which they are
//! `+`.

use super::template::{Part, parts};

/// Captures of a pattern, at most.
pub(super) const CAPTURES_MAX: usize = 8;
/// MQTT writes a topic's length in two bytes.
const TOPIC_BYTES_MAX: usize = 65_535;

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    filter: String,
    levels: Vec<Level>,
    tail: Tail,
    /// Of captures, by number.
    names: Vec<Box<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Level {
    Literal(Box<str>),
    Any,
    Captures {
        /// Before the first capture.
        prefix: Box<str>,
        /// The number of a capture, and what stands between it and the next: never empty but for the
        /// last.
        parts: Vec<(usize, Box<str>)>,
    },
}

/// What may follow the levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tail {
    Nothing,
    Anything,
    Capture(usize),
}

/// What a topic's parts were, by the number of the capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Captures<'t>([&'t str; CAPTURES_MAX]);

impl<'t> Captures<'t> {
    pub(super) fn get(&self, number: usize) -> &'t str {
        self.0.get(number).copied().unwrap_or_default()
    }

    fn set(&mut self, number: usize, text: &'t str) {
        if let Some(capture) = self.0.get_mut(number) {
            *capture = text;
        }
    }
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// A sentence for the administrator.
    pub(super) fn new(text: &str) -> Result<Pattern, String> {
        if text.is_empty() {
            return Err("is missing".to_owned());
        }
        if text.len() > TOPIC_BYTES_MAX {
            return Err(format!("longer than the {TOPIC_BYTES_MAX} bytes that a topic may have"));
        }
        if text.contains(char::is_control) {
            return Err("has a control character".to_owned());
        }
        if text.starts_with("$share/") {
            return Err("a shared subscription is the bridge's `group`, not a part of a route's \
                        topic"
                .to_owned());
        }
        let mut pattern = Pattern {
            filter: String::with_capacity(text.len()),
            levels: Vec::new(),
            tail: Tail::Nothing,
            names: Vec::new(),
        };
        let levels: Vec<&str> = text.split('/').collect();
        for (number, level) in levels.iter().enumerate() {
            if number > 0 {
                pattern.filter.push('/');
            }
            pattern.level(level, number + 1 == levels.len())?;
        }
        Ok(pattern)
    }

    fn level(&mut self, text: &str, last: bool) -> Result<(), String> {
        match text {
            "+" => {
                self.filter.push('+');
                self.levels.push(Level::Any);
                return Ok(());
            }
            "#" if last => {
                self.filter.push('#');
                self.tail = Tail::Anything;
                return Ok(());
            }
            "#" => return Err("\"#\" may only be the last level".to_owned()),
            _ => {}
        }
        let parts = parts(text)?;
        if let [Part::Placeholder(name)] = parts.as_slice()
            && let Some(name) = name.strip_suffix('#')
        {
            if !last {
                return Err(format!("{{{name}#}} may only be the last level"));
            }
            self.filter.push('#');
            self.tail = Tail::Capture(self.name(name)?);
            return Ok(());
        }
        let mut level = Level::Literal("".into());
        for part in parts {
            match (part, &mut level) {
                (Part::Literal(text), _) if text.contains(['+', '#']) => {
                    return Err(format!(
                        "\"{text}\": \"+\" and \"#\" stand alone between slashes; a part of a level \
                         is {{name}}"
                    ));
                }
                (Part::Literal(text), Level::Literal(_)) => level = Level::Literal(text.into()),
                (Part::Literal(text), Level::Captures { parts, .. }) => {
                    if let Some((_, after)) = parts.last_mut() {
                        *after = text.into();
                    }
                }
                (Part::Placeholder(name), Level::Literal(prefix)) => {
                    let parts = vec![(self.name(name)?, "".into())];
                    level = Level::Captures { prefix: std::mem::take(prefix), parts };
                }
                (Part::Placeholder(name), Level::Captures { parts, .. }) => {
                    if parts.last().is_some_and(|(_, after)| after.is_empty()) {
                        return Err(format!("nothing tells where {{{name}}} begins"));
                    }
                    parts.push((self.name(name)?, "".into()));
                }
                (_, Level::Any) => {}
            }
        }
        match &level {
            Level::Literal(text) => self.filter.push_str(text),
            _ => self.filter.push('+'),
        }
        self.levels.push(level);
        Ok(())
    }

    /// Numbers a capture.
    fn name(&mut self, name: &str) -> Result<usize, String> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty() || !name.bytes().all(allowed) {
            return Err(format!("{{{name}}}: a capture is named by letters, digits and \"_\""));
        }
        if self.names.iter().any(|other| **other == *name) {
            return Err(format!("{{{name}}} is there twice"));
        }
        if self.names.len() == CAPTURES_MAX {
            return Err(format!("more captures than the {CAPTURES_MAX} allowed"));
        }
        self.names.push(name.into());
        Ok(self.names.len() - 1)
    }

    /// The topic filter to subscribe to. It may match more than the pattern.
    pub(super) fn filter(&self) -> &str {
        &self.filter
    }

    /// The number of a capture.
    pub(super) fn number(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|other| **other == *name)
    }

    /// The names of captures as a sentence tells them.
    pub(super) fn names(&self) -> String {
        let names: Vec<_> = self.names.iter().map(|name| format!("{{{name}}}")).collect();
        names.join(", ")
    }

    /// Matches a topic.
    pub(super) fn matches<'t>(&self, topic: &'t str) -> Option<Captures<'t>> {
        let first_is_literal = matches!(self.levels.first(), Some(Level::Literal(_)));
        if topic.is_empty() || (topic.starts_with('$') && !first_is_literal) {
            return None;
        }
        let mut captures = Captures::default();
        // Nothing = no level left, not even an empty one.
        let mut rest = Some(topic);
        for level in &self.levels {
            let (text, after) = match rest?.split_once('/') {
                Some((text, after)) => (text, Some(after)),
                None => (rest?, None),
            };
            if !level.matches(text, &mut captures) {
                return None;
            }
            rest = after;
        }
        match (self.tail, rest) {
            (Tail::Nothing, None) | (Tail::Anything, _) => {}
            (Tail::Capture(number), Some(rest)) if !rest.is_empty() => captures.set(number, rest),
            (Tail::Nothing | Tail::Capture(_), _) => return None,
        }
        Some(captures)
    }
}

impl Level {
    fn matches<'t>(&self, text: &'t str, captures: &mut Captures<'t>) -> bool {
        let (prefix, parts) = match self {
            Level::Literal(literal) => return **literal == *text,
            Level::Any => return true,
            Level::Captures { prefix, parts } => (prefix, parts),
        };
        let Some(mut rest) = text.strip_prefix(&**prefix) else { return false };
        let Some(((last, suffix), before)) = parts.split_last() else { return false };
        // Each takes as little as it can, which leaves the most to those after it.
        for (number, after) in before {
            let Some(first) = rest.chars().next() else { return false };
            let from = first.len_utf8();
            let Some(len) = rest[from..].find(&**after) else { return false };
            captures.set(*number, &rest[..from + len]);
            rest = &rest[from + len + after.len()..];
        }
        match rest.strip_suffix(&**suffix) {
            Some(text) if !text.is_empty() => {
                captures.set(*last, text);
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
