//! The words of an expression. Linear in the text's length.

use super::fault::Fault;
use crate::model::NANOS_PER_SECOND;

/// A word, and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub at: usize,
    pub word: Word,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Word {
    /// A name or a keyword.
    Name(String),
    Number(f64),
    /// Nanoseconds.
    Duration(i64),
    Text(String),
    /// An operator or a bracket.
    Sign(&'static str),
    End,
}

impl Word {
    /// As a message calls it.
    pub fn told(&self) -> String {
        match self {
            Word::Name(name) => format!("{name:?}"),
            Word::Number(number) => format!("number {number}"),
            Word::Duration(_) => "duration".to_owned(),
            Word::Text(text) => format!("string {text:?}"),
            Word::Sign(sign) => format!("{sign:?}"),
            Word::End => "end of input".to_owned(),
        }
    }
}

/// Longer ones before those that they begin with.
const SIGNS: [&str; 25] = [
    "=~", "!~", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "^", "=", "<", ">", "(", ")", "{",
    "}", "[", "]", ",", "@", ":", ";",
];

/// Units from long to short, in nanoseconds.
const UNITS: [(&str, i64); 7] = {
    const S: i64 = NANOS_PER_SECOND;
    [
        ("y", 365 * 86_400 * S),
        ("w", 7 * 86_400 * S),
        ("d", 86_400 * S),
        ("h", 3_600 * S),
        ("m", 60 * S),
        ("s", S),
        ("ms", S / 1000),
    ]
};

fn begins_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

fn goes_on(byte: u8) -> bool {
    begins_name(byte) || byte.is_ascii_digit()
}

/// All words of a text, the last is [`Word::End`].
pub(super) fn words(text: &str) -> Result<Vec<Token>, Fault> {
    let bytes = text.as_bytes();
    let mut all = Vec::new();
    let mut at = 0;
    // In brackets a colon parts a range from a step; elsewhere it is a part of names.
    let mut in_brackets = false;
    while let Some(&byte) = bytes.get(at) {
        let rest = text.get(at..).unwrap_or_default();
        let (word, length) = match byte {
            b' ' | b'\t' | b'\n' | b'\r' => {
                at += 1;
                continue;
            }
            b'#' => {
                at += rest.find(['\n', '\r']).unwrap_or(rest.len());
                continue;
            }
            b'"' | b'\'' | b'`' => string(text, at)?,
            b'0'..=b'9' => number(text, at, rest)?,
            b'.' if bytes.get(at + 1).is_some_and(u8::is_ascii_digit) => number(text, at, rest)?,
            _ if begins_name(byte) || (byte == b':' && !in_brackets) => {
                let length = rest
                    .bytes()
                    .take_while(|&byte| goes_on(byte) || (byte == b':' && !in_brackets))
                    .count();
                (Word::Name(rest[..length].to_owned()), length)
            }
            _ => match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
                Some(sign) => (Word::Sign(sign), sign.len()),
                None => {
                    let char = rest.chars().next().unwrap_or_default();
                    return Err(Fault::at(text, at, format!("unexpected character: {char:?}")));
                }
            },
        };
        match word {
            Word::Sign("[") => in_brackets = true,
            Word::Sign("]") => in_brackets = false,
            _ => {}
        }
        all.push(Token { at, word });
        at += length;
    }
    all.push(Token { at: text.len(), word: Word::End });
    Ok(all)
}

/// A number or a duration.
fn number(text: &str, at: usize, rest: &str) -> Result<(Word, usize), Fault> {
    let bytes = rest.as_bytes();
    let digits = |from: usize| {
        let rest = bytes.get(from..).unwrap_or_default();
        from + rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let wrong = || {
        let length = bytes.iter().take_while(|&&byte| goes_on(byte) || byte == b'.').count();
        let what = format!("bad number or duration syntax: {:?}", rest.get(..length));
        Fault::at(text, at, what.replace("Some(", "").replace(')', ""))
    };
    let ended =
        |length: usize| !bytes.get(length).is_some_and(|&byte| goes_on(byte) || byte == b'.');
    if rest.starts_with("0x") || rest.starts_with("0X") {
        let length = 2 + bytes[2..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let value = rest.get(2..length).and_then(|digits| u64::from_str_radix(digits, 16).ok());
        return match value {
            Some(value) if ended(length) => Ok((Word::Number(value as f64), length)),
            _ => Err(wrong()),
        };
    }
    let mut length = digits(0);
    if length > 0 && bytes.get(length).is_some_and(|byte| b"smhdwy".contains(byte)) {
        let length = bytes.iter().take_while(|&&byte| goes_on(byte)).count();
        let nanos = rest.get(..length).and_then(duration).ok_or_else(wrong)?;
        return if ended(length) { Ok((Word::Duration(nanos), length)) } else { Err(wrong()) };
    }
    if bytes.get(length) == Some(&b'.') {
        length = digits(length + 1);
    }
    if matches!(bytes.get(length), Some(b'e' | b'E')) {
        let signed = usize::from(matches!(bytes.get(length + 1), Some(b'+' | b'-')));
        length = digits(length + 1 + signed);
    }
    let value = rest.get(..length).and_then(|digits| digits.parse().ok());
    match value {
        Some(value) if ended(length) => Ok((Word::Number(value), length)),
        _ => Err(wrong()),
    }
}

/// A duration like `1h30m`: each unit once, the longer before the shorter. Nanoseconds.
pub(super) fn duration(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut all: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let count: i64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = rest.get(..letters)?;
        let (_, nanos) = units.find(|(name, _)| *name == unit)?;
        all = all.checked_add(nanos.checked_mul(count)?)?;
        rest = rest.get(letters..)?;
    }
    (!text.is_empty()).then_some(all)
}

/// A quoted string, with Go's escapes; between backticks there are none.
fn string(text: &str, at: usize) -> Result<(Word, usize), Fault> {
    let rest = text.get(at..).unwrap_or_default();
    let mut chars = rest.char_indices();
    let quote = chars.next().map_or('"', |(_, quote)| quote);
    let mut value = String::new();
    while let Some((offset, char)) = chars.next() {
        match char {
            char if char == quote => return Ok((Word::Text(value), offset + quote.len_utf8())),
            '\n' if quote != '`' => break,
            '\\' if quote != '`' => {
                let escaped = escaped(&mut chars, quote).ok_or_else(|| {
                    Fault::at(text, at + offset, "unknown escape sequence in a string")
                })?;
                value.push(escaped);
            }
            char => value.push(char),
        }
    }
    Err(Fault::at(text, at, "unterminated quoted string"))
}

fn escaped(chars: &mut std::str::CharIndices<'_>, quote: char) -> Option<char> {
    let (_, char) = chars.next()?;
    let mut number = |first: Option<char>, digits: usize, radix: u32| {
        let mut value = first.map_or(Some(0), |first| first.to_digit(radix))?;
        for _ in 0..digits {
            value = value.checked_mul(radix)? + chars.next()?.1.to_digit(radix)?;
        }
        char::from_u32(value)
    };
    // Of bytes only those that are characters: labels are UTF-8.
    let ascii = |char: char| char.is_ascii().then_some(char);
    match char {
        'a' => Some('\x07'),
        'b' => Some('\x08'),
        'f' => Some('\x0c'),
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        'v' => Some('\x0b'),
        '\\' => Some('\\'),
        'x' => number(None, 2, 16).and_then(ascii),
        'u' => number(None, 4, 16),
        'U' => number(None, 8, 16),
        '0'..='7' => number(Some(char), 2, 8).and_then(ascii),
        char if char == quote => Some(quote),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Option<Vec<Word>> {
        let mut words: Vec<_> = words(text).ok()?.into_iter().map(|token| token.word).collect();
        assert_eq!(words.pop(), Some(Word::End));
        Some(words)
    }

    fn one(text: &str) -> Option<Word> {
        let mut words = all(text)?;
        assert_eq!(words.len(), 1, "{text}");
        words.pop()
    }

    #[test]
    fn numbers_and_durations_are_told_apart() {
        const S: i64 = NANOS_PER_SECOND;
        for (text, expected) in [
            ("1", Some(Word::Number(1.0))),
            (".5", Some(Word::Number(0.5))),
            ("5.", Some(Word::Number(5.0))),
            ("1e3", Some(Word::Number(1000.0))),
            ("1.5E-3", Some(Word::Number(0.0015))),
            ("0x1F", Some(Word::Number(31.0))),
            ("5m", Some(Word::Duration(300 * S))),
            ("1h30m", Some(Word::Duration(5400 * S))),
            ("1m500ms", Some(Word::Duration(60 * S + S / 2))),
            ("1y", Some(Word::Duration(365 * 86_400 * S))),
            ("30m1h", None),
            ("1h1h", None),
            ("5x", None),
            ("1.5m", None),
            ("1e", None),
            ("0x", None),
            ("0xfffffffffffffffff", None),
            ("1.2.3", None),
            ("99999999999999999999y", None),
            ("999999999y", None),
        ] {
            assert_eq!(one(text), expected, "{text}");
        }
    }

    #[test]
    fn strings_have_the_escapes_of_go() {
        for (text, expected) in [
            (r#""a\"b\\\n""#, Some("a\"b\\\n")),
            (r#"'it\'s'"#, Some("it's")),
            (r#"`a\b`"#, Some("a\\b")),
            (r#""\x41\101\u00e9\U0001F600""#, Some("AA\u{e9}\u{1f600}")),
            (r#""é""#, Some("é")),
            (r#""\é""#, None),
            (r#""\xé""#, None),
            (r#""\xff""#, None),
            (r#""\400""#, None),
            (r#""\ud800""#, None),
            (r#""\'""#, None),
            (r#""a"#, None),
            ("\"a\nb\"", None),
            (r#""\"#, None),
        ] {
            assert_eq!(one_text(text).as_deref(), expected, "{text}");
        }
    }

    fn one_text(text: &str) -> Option<String> {
        match one(text)? {
            Word::Text(text) => Some(text),
            _ => None,
        }
    }

    #[test]
    fn comments_and_space_are_nothing() {
        assert_eq!(all(" # a\n\tb#c"), Some(vec![Word::Name("b".into())]));
        assert_eq!(all("a§"), None);
    }
}
