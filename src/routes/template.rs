//! Texts with placeholders: `{name}` in topics, and also `{/pointer}` and `{}` in templates.

use super::topic::Captures;
use std::borrow::Cow;

/// A piece of a text with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// As it stands.
    Literal(Cow<'a, str>),
    /// What is between braces.
    Placeholder(&'a str),
}

/// Takes a text apart; `{{` and `}}` stand for one brace.
pub(super) fn parts(text: &str) -> Result<Vec<Part<'_>>, String> {
    let mut parts = Vec::new();
    let mut literal = Cow::Borrowed("");
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        literal += before;
        let doubled = ["{{", "}}"].into_iter().find(|doubled| from.starts_with(doubled));
        if let Some(doubled) = doubled {
            literal += &doubled[..1];
            rest = &from[2..];
            continue;
        }
        let Some(inside) = from.strip_prefix('{') else {
            return Err("a \"}\" that closes nothing; \"}}\" stands for one".to_owned());
        };
        let Some((name, after)) = inside.split_once('}') else {
            return Err("a \"{\" that nothing closes; \"{{\" stands for one".to_owned());
        };
        if !literal.is_empty() {
            parts.push(Part::Literal(std::mem::take(&mut literal)));
        }
        parts.push(Part::Placeholder(name));
        rest = after;
    }
    literal += rest;
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(parts)
}

/// A template whose placeholders are known to exist.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Literal(Box<str>),
    /// By its number in the pattern.
    Capture(usize),
    /// What the message has at a pointer, by its number in the plan.
    Slot(usize),
    /// `{}`: the value's own name.
    Own,
}

/// What fills a template beside captures.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Filling<'f, 'a> {
    /// By the plan's numbers: first those of the reading, then those of the message.
    pub(super) slots: [&'f [Option<Cow<'a, str>>]; 2],
    pub(super) own: &'f str,
}

impl<'f, 'a> Filling<'f, 'a> {
    fn slot(&self, slot: usize) -> Option<&'f Cow<'a, str>> {
        self.slots.iter().find_map(|slots| slots.get(slot)?.as_ref())
    }
}

impl Template {
    /// Compiles a template; `placeholder` tells what one stands for.
    pub(super) fn new(
        text: &str,
        mut placeholder: impl FnMut(&str) -> Result<Piece, String>,
    ) -> Result<Template, String> {
        let pieces = parts(text)?.into_iter().map(|part| match part {
            Part::Literal(text) => Ok(Piece::Literal(text.into())),
            Part::Placeholder(name) => placeholder(name),
        });
        Ok(Template(pieces.collect::<Result<_, _>>()?))
    }

    /// Whether it says nothing but `{}`.
    pub(super) fn is_own(&self) -> bool {
        self.0 == [Piece::Own]
    }

    /// Whether values of different names have different texts.
    pub(super) fn tells_own(&self) -> bool {
        self.0.contains(&Piece::Own)
    }

    /// The text, or the number of a slot that is not filled.
    ///
    /// Hot path: most templates are one capture or one literal, which is borrowed.
    pub(super) fn fill<'a>(
        &'a self,
        captures: &Captures<'a>,
        filling: Filling<'_, 'a>,
    ) -> Result<Cow<'a, str>, usize> {
        match self.0.as_slice() {
            [Piece::Capture(number)] => return Ok(Cow::Borrowed(captures.get(*number))),
            [Piece::Literal(text)] => return Ok(Cow::Borrowed(text)),
            [Piece::Slot(slot)] => return filling.slot(*slot).cloned().ok_or(*slot),
            _ => {}
        }
        let mut text = String::new();
        for piece in &self.0 {
            text += match piece {
                Piece::Literal(text) => text,
                Piece::Capture(number) => captures.get(*number),
                Piece::Slot(slot) => filling.slot(*slot).ok_or(*slot)?,
                Piece::Own => filling.own,
            };
        }
        Ok(Cow::Owned(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_taken_apart_at_its_braces() {
        let literal = |text: &'static str| Part::Literal(text.into());
        for (text, expected) in [
            ("", vec![]),
            ("a", vec![literal("a")]),
            ("{a}", vec![Part::Placeholder("a")]),
            ("{}", vec![Part::Placeholder("")]),
            ("x-{a}{/b}", vec![literal("x-"), Part::Placeholder("a"), Part::Placeholder("/b")]),
            ("{{a}}{b}", vec![literal("{a}"), Part::Placeholder("b")]),
            ("a}}{{ö", vec![literal("a}{ö")]),
        ] {
            assert_eq!(parts(text), Ok(expected), "{text}");
        }
        for bad in ["{", "a}", "{a", "{{}", "{a}}"] {
            assert!(parts(bad).is_err(), "{bad}");
        }
    }
}
