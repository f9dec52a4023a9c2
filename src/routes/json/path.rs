//! Where in a message the walk is, and what a value is called there.

use super::super::pointer;
use std::borrow::Cow;

/// A key or index on the way.
#[derive(Debug, Clone)]
pub(super) enum Step<'a> {
    Key(Cow<'a, str>),
    Index(usize),
}

/// The way from the top of the message.
#[derive(Debug, Default)]
pub(super) struct Path<'a> {
    steps: Vec<Step<'a>>,
    from: NamesFrom<'a>,
    names_may_collide: bool,
}

/// Where names begin: at the root, or below it where an object was renamed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct NamesFrom<'a> {
    depth: usize,
    /// Stands before the names, and a dot if it is not empty.
    prefix: &'a str,
}

impl<'a> Path<'a> {
    pub(super) fn push(&mut self, step: Step<'a>) {
        self.steps.push(step);
    }

    pub(super) fn pop(&mut self) {
        self.steps.pop();
    }

    pub(super) fn depth(&self) -> usize {
        self.steps.len()
    }

    pub(super) fn names_from(&self) -> NamesFrom<'a> {
        self.from
    }

    pub(super) fn name_from(&mut self, from: NamesFrom<'a>) {
        self.from = from;
    }

    pub(super) fn name_from_here(&mut self, prefix: &'a str) {
        self.from = NamesFrom { depth: self.steps.len(), prefix };
    }

    /// Whether names were given that other paths have too: because of dots in keys.
    pub(super) fn names_may_collide(&self) -> bool {
        self.names_may_collide
    }

    /// As a JSON pointer.
    pub(super) fn pointer(&self) -> String {
        let mut text = String::new();
        for step in &self.steps {
            match step {
                Step::Key(key) => pointer::push(&mut text, key),
                Step::Index(index) => pointer::push(&mut text, itoa::Buffer::new().format(*index)),
            }
        }
        text
    }

    /// The own name of the value here: the path below where names begin, with dots.
    pub(super) fn name(&mut self) -> Cow<'a, str> {
        let NamesFrom { depth, prefix } = self.from;
        match self.steps.get(depth..).unwrap_or_default() {
            [] => self.name_of_root(),
            [Step::Key(key)] if prefix.is_empty() => {
                self.names_may_collide |= key.contains('.');
                key.clone()
            }
            steps => {
                let mut name = String::with_capacity(32);
                name += prefix;
                for step in steps {
                    if !name.is_empty() {
                        name.push('.');
                    }
                    match step {
                        Step::Key(key) => {
                            self.names_may_collide |= key.contains('.') || key.is_empty();
                            name += key;
                        }
                        Step::Index(index) => name += itoa::Buffer::new().format(*index),
                    }
                }
                Cow::Owned(name)
            }
        }
    }

    /// A value that is itself where names begin has the key or index there for a name.
    fn name_of_root(&self) -> Cow<'a, str> {
        match self.steps.last() {
            Some(Step::Key(key)) => key.clone(),
            Some(Step::Index(index)) => Cow::Owned(itoa::Buffer::new().format(*index).to_owned()),
            None => Cow::Borrowed(""),
        }
    }
}
