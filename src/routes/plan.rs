//! Which places of a JSON message mean what: all pointers of a route in one tree.
//!
//! The tree is deterministic: below a node, a key leads to the one node that stands for everything that
//! is said of it, literally or by `*`. So a message is read in one pass with a node in hand.

use super::pointer::Token;
use std::collections::BTreeMap;

/// Wildcards multiply nodes; so many no sane route needs.
const NODES_MAX: usize = 4096;

/// What is said of one place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// A reading is here.
    pub(super) root: bool,
    /// Its value, or the values below it, are taken.
    pub(super) take: bool,
    /// By a pointer to it: then its value is taken though it is a text.
    pub(super) pointed: bool,
    /// It is passed over.
    pub(super) ignore: bool,
    /// The time is here.
    pub(super) time: bool,
    /// Parts of names are here: the numbers of the slots.
    pub(super) slots: Vec<usize>,
    /// The value's name.
    pub(super) rename: Option<Box<str>>,
    /// The number is a whole one.
    pub(super) integer: bool,
}

/// One thing to say of a place.
#[derive(Debug, Clone)]
pub(super) enum Rule {
    Root,
    /// All below, for lack of pointers to values.
    TakeAll,
    Take,
    Ignore,
    Time,
    Slot(usize),
    Rename(Box<str>),
    Integer,
}

impl Mark {
    /// Whether the message tells here what is no value.
    pub(super) fn has_role(&self) -> bool {
        self.time || !self.slots.is_empty()
    }

    fn add(&mut self, rule: &Rule) {
        match rule {
            Rule::Root => self.root = true,
            Rule::TakeAll => self.take = true,
            Rule::Take => (self.take, self.pointed) = (true, true),
            Rule::Ignore => self.ignore = true,
            Rule::Time => self.time = true,
            Rule::Slot(slot) => self.slots.push(*slot),
            Rule::Rename(name) => self.rename = Some(name.clone()),
            Rule::Integer => self.integer = true,
        }
    }
}

/// The tree.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, Default)]
struct Node {
    mark: Mark,
    /// In order of the keys.
    keys: Vec<(Box<str>, usize)>,
    any: Option<usize>,
}

/// A place in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot(usize);

impl Plan {
    /// Makes the tree of rules; nothing if it would be too large.
    pub(super) fn new(rules: &[(Vec<Token>, Rule)]) -> Option<Plan> {
        let mut plan = Plan { nodes: Vec::new() };
        let all: Vec<_> = rules.iter().map(|(tokens, rule)| (tokens.as_slice(), rule)).collect();
        plan.build(&all, false)?;
        Some(plan)
    }

    /// Adds the node of which these rules speak by what remains of their pointers. What is below an
    /// ignored one is ignored whatever else is said of it.
    fn build(&mut self, rules: &[(&[Token], &Rule)], ignored: bool) -> Option<usize> {
        if self.nodes.len() == NODES_MAX {
            return None;
        }
        let index = self.nodes.len();
        self.nodes.push(Node::default());
        let mut keys: BTreeMap<&str, Vec<(&[Token], &Rule)>> = BTreeMap::new();
        let mut any = Vec::new();
        for (tokens, rule) in rules {
            match tokens.split_first() {
                None => self.nodes[index].mark.add(rule),
                Some((Token::Any, rest)) => any.push((rest, *rule)),
                Some((Token::Key(key), rest)) => keys.entry(key).or_default().push((rest, rule)),
            }
        }
        self.nodes[index].mark.ignore |= ignored;
        let ignored = self.nodes[index].mark.ignore;
        for (key, mut below) in keys {
            // What is said of any key comes first, so that what is said of this one wins.
            below.splice(0..0, any.iter().copied());
            let child = self.build(&below, ignored)?;
            self.nodes[index].keys.push((key.into(), child));
        }
        if !any.is_empty() {
            self.nodes[index].any = Some(self.build(&any, ignored)?);
        }
        Some(index)
    }

    /// The place of the whole message.
    pub(super) fn top(&self) -> Spot {
        Spot(0)
    }

    /// The place of a key below another; nothing if nothing is said of it nor of what is below it.
    pub(super) fn below(&self, spot: Spot, key: &str) -> Option<Spot> {
        let node = self.nodes.get(spot.0)?;
        let found = node.keys.binary_search_by(|(other, _)| (**other).cmp(key));
        found.map_or(node.any, |at| Some(node.keys[at].1)).map(Spot)
    }

    /// As [`Plan::below`], for an index.
    pub(super) fn below_index(&self, spot: Spot, index: usize) -> Option<Spot> {
        let node = self.nodes.get(spot.0)?;
        match node.keys.is_empty() {
            true => node.any.map(Spot),
            false => self.below(spot, itoa::Buffer::new().format(index)),
        }
    }

    /// What is said of a place.
    pub(super) fn mark(&self, spot: Spot) -> &Mark {
        &self.nodes[spot.0].mark
    }

    /// Whether nothing is said of what is below a place.
    pub(super) fn is_leaf(&self, spot: Spot) -> bool {
        let node = &self.nodes[spot.0];
        node.keys.is_empty() && node.any.is_none()
    }
}
