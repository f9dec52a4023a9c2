//! What is wrong with a text, and where.

use std::fmt;

/// A mistake in an expression: for who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}parse error: {what}")]
pub struct Fault {
    at: Place,
    what: String,
}

/// Line and column, from one; nowhere in particular when both are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    line: usize,
    column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => Ok(()),
            line => write!(to, "{line}:{}: ", self.column),
        }
    }
}

impl Fault {
    /// At the byte `at` of the text.
    pub(super) fn at(text: &str, at: usize, what: impl Into<String>) -> Fault {
        let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
        let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        let place = Place { line, column: before.len() - line_start + 1 };
        Fault { at: place, what: what.into() }
    }

    /// About the text as a whole.
    pub(super) fn whole(what: impl Into<String>) -> Fault {
        Fault { at: Place { line: 0, column: 0 }, what: what.into() }
    }
}
