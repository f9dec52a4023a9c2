//! The id of a frame: `epoch-offset`, the log's id in hexadecimal and a position in it; with a `p` at its
//! end if who has it was told a part only: windows coarser than it asked for, or the first of several
//! frames. Nothing can be resumed from such a one, but it still says how far the frame tells.

use crate::model::Position;
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// How much of which log a viewer knows: what records before `position` changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// Names the log; another log's positions mean nothing here.
    pub epoch: u64,
    /// The first record that is not known.
    pub position: Position,
    /// Whether all of that is known, as finely as it was asked for.
    pub whole: bool,
}

/// Why a text is not a [`Cursor`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a cursor is the id of a live frame: epoch-offset, hexadecimal and decimal")]
pub struct CursorError;

impl Cursor {
    /// Of who knows all.
    #[must_use]
    pub fn new(epoch: u64, position: Position) -> Cursor {
        Cursor { epoch, position, whole: true }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.whole { "" } else { "p" };
        write!(f, "{:x}-{}{mark}", self.epoch, self.position)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Cursor, CursorError> {
        let (text, whole) = text.strip_suffix('p').map_or((text, true), |text| (text, false));
        let (epoch, offset) = text.split_once('-').ok_or(CursorError)?;
        let plain = |part: &str| part.bytes().all(|b| b.is_ascii_hexdigit());
        if !plain(epoch) || !plain(offset) {
            return Err(CursorError);
        }
        let epoch = u64::from_str_radix(epoch, 16).map_err(|_| CursorError)?;
        let offset = offset.parse().map_err(|_| CursorError)?;
        Ok(Cursor { epoch, position: Position(offset), whole })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_as_it_is_written() {
        let cursor = Cursor::new(0xdead_beef_0000_0001, Position(42));
        assert_eq!(cursor.to_string(), "deadbeef00000001-42");
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        let part = Cursor { whole: false, ..cursor };
        assert_eq!(part.to_string(), "deadbeef00000001-42p");
        assert_eq!(part.to_string().parse(), Ok(part));
        for bad in [
            "", "-", "1", "1-", "-1", "g-1", "1-a", "+1-1", "1-+1", "1--1", "1-1-1", "1-1pp", "1-p",
        ] {
            assert_eq!(bad.parse::<Cursor>(), Err(CursorError), "{bad}");
        }
        assert_eq!("fffffffffffffffff-1".parse::<Cursor>(), Err(CursorError), "17 digits");
    }
}
