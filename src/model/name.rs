//! What a device, metric or tag may be called.

use thiserror::Error;

/// The longest name there can be, in bytes; configuration may lower it, not raise it.
pub const NAME_BYTES_MAX: usize = 255;

/// Why a name was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NameError {
    /// It has no characters.
    #[error("the name is empty")]
    Empty,
    /// It is longer than allowed.
    #[error("the name has {bytes} bytes, {max} are allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The longest allowed.
        max: usize,
    },
    /// It has a character below U+0020, U+007F to U+009F, a line or paragraph separator, or one
    /// that turns the direction of text (it would make logs and tables lie).
    #[error("the name has a control character at byte {at}")]
    Control {
        /// Where.
        at: usize,
    },
}

/// Checks a device, metric or tag name of at most `max` bytes.
///
/// Everything printable is allowed; separators that the daemon itself relies on are control
/// characters, so a checked name never contains one.
///
/// # Errors
/// [`NameError`] says what is wrong with it.
pub fn check_name(name: &str, max: usize) -> Result<(), NameError> {
    check_name_length(name, max)?;
    // Hot path: almost every name is printable ASCII, which one pass over the bytes tells.
    if name.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return Ok(());
    }
    match name.char_indices().find(|&(_, c)| is_forbidden(c)) {
        Some((at, _)) => Err(NameError::Control { at }),
        None => Ok(()),
    }
}

/// The part of [`check_name`] that looks at none of the bytes.
///
/// # Errors
/// [`NameError::Empty`] or [`NameError::TooLong`].
pub fn check_name_length(name: &str, max: usize) -> Result<(), NameError> {
    match name.len() {
        0 => Err(NameError::Empty),
        bytes if bytes > max => Err(NameError::TooLong { bytes, max }),
        _ => Ok(()),
    }
}

fn is_forbidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_printable_and_short() {
        for good in ["pump-7", "motor.temperature", "Gruppe 1/öl", "温度", &"x".repeat(128)] {
            assert_eq!(check_name(good, 128), Ok(()), "{good}");
        }
        assert_eq!(check_name("", 128), Err(NameError::Empty));
        assert_eq!(
            check_name(&"x".repeat(129), 128),
            Err(NameError::TooLong { bytes: 129, max: 128 })
        );
        for (bad, at) in
            [("a\0b", 1), ("a\nb", 1), ("ab\u{7f}", 2), ("\u{202e}abc", 0), ("ö\u{85}", 2)]
        {
            assert_eq!(check_name(bad, 128), Err(NameError::Control { at }), "{bad:?}");
        }
    }
}
