//! What a payload looks like to a person: as text, as JSON, as protobuf, as bytes. Pure.

use std::fmt::Write;

/// A picture of a payload is cut where it becomes longer than this.
const PICTURE_BYTES_MAX: usize = 256 << 10;
/// Messages within messages that are shown as such.
const PROTOBUF_DEPTH_MAX: usize = 6;
/// Bytes of a protobuf field that are shown.
const FIELD_BYTES_MAX: usize = 64;
const BYTES_OF_A_LINE: usize = 16;

/// The payload, if it is text without control characters.
#[must_use]
pub fn text(payload: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(payload).ok()?;
    let fine = |char: char| !char.is_control() || matches!(char, '\n' | '\r' | '\t');
    text.chars().all(fine).then_some(text)
}

/// The beginning of a payload, if that is text; it may end within a character.
#[must_use]
pub fn beginning(payload: &[u8]) -> Option<&str> {
    match std::str::from_utf8(payload) {
        Ok(_) => text(payload),
        Err(error) if error.error_len().is_none() => text(&payload[..error.valid_up_to()]),
        Err(_) => None,
    }
}

/// The payload with a line for each value, if it is a JSON object or array. Names, their order and
/// numbers are as they came.
#[must_use]
pub fn json(payload: &[u8]) -> Option<String> {
    let raw: &serde_json::value::RawValue = serde_json::from_slice(payload).ok()?;
    raw.get().starts_with(['{', '[']).then(|| indented(raw.get()))
}

fn indented(json: &str) -> String {
    let mut shown = String::with_capacity(json.len() * 2);
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    let mut chars = json.chars().filter(|char| !char.is_control()).peekable();
    let line = |shown: &mut String, depth| shown.extend(['\n'].into_iter().chain(spaces(depth)));
    while let Some(char) = chars.next() {
        if shown.len() > PICTURE_BYTES_MAX {
            shown.push('…');
            break;
        }
        if quoted {
            quoted = escaped || char != '"';
            escaped = !escaped && char == '\\';
            shown.push(char);
            continue;
        }
        match char {
            ' ' => {}
            '"' => {
                quoted = true;
                shown.push(char);
            }
            '{' | '[' => {
                shown.push(char);
                while chars.next_if_eq(&' ').is_some() {}
                match chars.next_if(|next| matches!(next, '}' | ']')) {
                    Some(end) => shown.push(end),
                    None => {
                        depth += 1;
                        line(&mut shown, depth);
                    }
                }
            }
            '}' | ']' => {
                depth -= 1;
                line(&mut shown, depth);
                shown.push(char);
            }
            ',' => {
                shown.push(char);
                line(&mut shown, depth);
            }
            ':' => shown.push_str(": "),
            _ => shown.push(char),
        }
    }
    shown
}

fn spaces(depth: usize) -> impl Iterator<Item = char> {
    std::iter::repeat_n(' ', 2 * depth)
}

/// The fields of the payload, if it can be read as a protobuf message: numbers and values, for the
/// wire has no names. `cut` tells that the payload went on.
#[must_use]
pub fn protobuf(payload: &[u8], cut: bool) -> Option<String> {
    let mut shown = String::new();
    let end = fields(payload, 0, &mut shown);
    match end {
        Ok(()) if !payload.is_empty() => Some(shown),
        Err(_) if cut && !shown.is_empty() => Some(shown + "…\n"),
        Ok(()) | Err(_) => None,
    }
}

/// It is none.
struct NoMessage;

fn fields(mut bytes: &[u8], depth: usize, shown: &mut String) -> Result<(), NoMessage> {
    while !bytes.is_empty() && shown.len() < PICTURE_BYTES_MAX {
        let key = varint(&mut bytes)?;
        let (number, wire_type) = (key >> 3, key & 7);
        if !(1..1 << 29).contains(&number) {
            return Err(NoMessage);
        }
        shown.extend(spaces(depth));
        // Writing to a String cannot fail.
        let mut field = |value: std::fmt::Arguments<'_>| writeln!(shown, "{number}: {value}");
        match wire_type {
            0 => {
                let value = varint(&mut bytes)?;
                field(format_args!("{value}"))
            }
            1 => {
                let value = *taken(&mut bytes)?;
                let float = f64::from_le_bytes(value);
                field(format_args!("{float:?} or {}", u64::from_le_bytes(value)))
            }
            5 => {
                let value = *taken(&mut bytes)?;
                let float = f32::from_le_bytes(value);
                field(format_args!("{float:?} or {}", u32::from_le_bytes(value)))
            }
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).map_err(|_| NoMessage)?;
                let (value, rest) = bytes.split_at_checked(length).ok_or(NoMessage)?;
                bytes = rest;
                nested(number, value, depth, shown)
            }
            _ => return Err(NoMessage),
        }
        .map_err(|_| NoMessage)?;
    }
    Ok(())
}

/// A text, a message or bytes: the wire does not tell.
fn nested(number: u64, value: &[u8], depth: usize, shown: &mut String) -> std::fmt::Result {
    if let Some(text) = text(value).filter(|text| !text.contains(['\n', '\r', '\t'])) {
        return writeln!(shown, "{number}: {text:?}");
    }
    if depth < PROTOBUF_DEPTH_MAX {
        let before = shown.len();
        writeln!(shown, "{number}:")?;
        if fields(value, depth + 1, shown).is_ok() {
            return Ok(());
        }
        shown.truncate(before);
    }
    let (first, rest) = value.split_at(value.len().min(FIELD_BYTES_MAX));
    let more = if rest.is_empty() { "" } else { " …" };
    writeln!(shown, "{number}: {} bytes {}{more}", value.len(), hex(first))
}

fn varint(bytes: &mut &[u8]) -> Result<u64, NoMessage> {
    let mut value = 0;
    for at in 0..10 {
        let (&byte, rest) = bytes.split_first().ok_or(NoMessage)?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(NoMessage)
}

fn taken<'a, const N: usize>(bytes: &mut &'a [u8]) -> Result<&'a [u8; N], NoMessage> {
    let (value, rest) = bytes.split_first_chunk().ok_or(NoMessage)?;
    *bytes = rest;
    Ok(value)
}

/// All bytes, two digits for each.
#[must_use]
pub fn hex(payload: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    payload.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Bytes in lines of sixteen, with where they stand and what they are as ASCII.
#[must_use]
pub fn dump(payload: &[u8]) -> String {
    let mut shown = String::with_capacity(payload.len() * 5);
    for (at, line) in payload.chunks(BYTES_OF_A_LINE).enumerate() {
        let bytes: Vec<String> = line.iter().map(|byte| hex(&[*byte])).collect();
        let ascii = line.iter().map(|&byte| match byte {
            b' '..=b'~' => char::from(byte),
            _ => '.',
        });
        shown.push_str(&format!("{:08x}  {:<47}  ", at * BYTES_OF_A_LINE, bytes.join(" ")));
        shown.extend(ascii.chain(['\n']));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_what_a_terminal_can_show() {
        for (payload, expected) in [
            (&b"21.5 \xc2\xb0C"[..], Some("21.5 °C")),
            (b"", Some("")),
            (b"a\tb\r\n", Some("a\tb\r\n")),
            (b"a\x1b[31m", None),
            (b"\0", None),
            (b"\xff\xfe", None),
        ] {
            assert_eq!(text(payload), expected);
        }
        assert_eq!(beginning(b"21 \xc2"), Some("21 "), "cut within a character");
        assert_eq!(beginning(b"21 \xc2x"), None);
    }

    #[test]
    fn json_is_shown_as_it_came_a_line_for_each_value() {
        let shown = json(br#" {"b" : 1.50,"a":[ ],"c":[1 ,{"x":"{\"[, :"}], "d":{}} "#).unwrap();
        let expected = "{\n  \"b\": 1.50,\n  \"a\": [],\n  \"c\": [\n    1,\n    {\n      \
                        \"x\": \"{\\\"[, :\"\n    }\n  ],\n  \"d\": {}\n}";
        assert_eq!(shown, expected);
        for no in [&b"21.5"[..], b"{", b"{}}", b"on", b""] {
            assert_eq!(json(no), None);
        }
    }

    #[test]
    fn a_long_json_is_cut() {
        let deep = format!("{}{}{}", "[".repeat(100), "1,".repeat(30_000), "1");
        let shown = json((deep + &"]".repeat(100)).as_bytes()).unwrap();
        assert!(shown.len() < PICTURE_BYTES_MAX + 1000 && shown.ends_with('…'));
    }

    #[test]
    fn protobuf_is_shown_field_by_field() {
        // 1: 150; 2 { 1: "ab", 3: float 1.5 }; 4: bytes; 5: double
        let payload = [
            &[0x08, 0x96, 0x01][..],
            &[0x12, 0x09, 0x0a, 0x02, b'a', b'b', 0x1d, 0, 0, 0xc0, 0x3f],
            &[0x22, 0x02, 0xff, 0xff],
            &[0x29, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f],
        ]
        .concat();
        let expected = "1: 150\n2:\n  1: \"ab\"\n  3: 1.5 or 1069547520\n4: 2 bytes ffff\n\
                        5: 1.5 or 4609434218613702656\n";
        assert_eq!(protobuf(&payload, false).as_deref(), Some(expected));
        let cut = &payload[..5];
        assert_eq!(protobuf(cut, false), None);
        assert_eq!(protobuf(cut, true).as_deref(), Some("1: 150\n…\n"));
        assert_eq!(protobuf(b"", false), None);
        assert_eq!(protobuf(b"{\"temp\":21.5}", false), None);
    }

    #[test]
    fn bytes_are_shown_in_lines() {
        let expected = "00000000  61 62 00 ff 20 61 62 00  ff 20";
        let shown = dump(b"ab\0\xff ab\0\xff ab\0\xff z");
        assert_eq!(shown.lines().count(), 1);
        assert!(shown.starts_with(&expected.replace("  ff", " ff")[..30]), "{shown}");
        assert!(shown.ends_with("ab.. ab.. ab.. z\n"), "{shown}");
        let lines = dump(&[b'x'; 17]);
        assert!(lines.ends_with(&format!("00000010  78{}x\n", " ".repeat(47))), "{lines}");
    }

    proptest! {
        #[test]
        fn whatever_comes_is_shown_and_short(payload in proptest::collection::vec(any::<u8>(), 0..600)) {
            prop_assert!(dump(&payload).len() <= 80 * payload.len().div_ceil(16));
            prop_assert_eq!(hex(&payload).len(), 2 * payload.len());
            for cut in [false, true] {
                let shown = protobuf(&payload, cut).unwrap_or_default();
                prop_assert!(shown.len() < 600 * 40, "{}", shown);
            }
            prop_assert!(json(&payload).is_none_or(|it| it.len() < 600 * 1300));
        }
    }
}
