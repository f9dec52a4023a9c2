//! Names and texts as line protocol: what becomes measurement, field and tag, and how it is escaped.
//!
//! The servers' parsers agree on `\,` `\=` and `\ ` and on little else. InfluxDB 2 looks only at the
//! one byte before a separator and knows no escaped backslash; InfluxDB 3 and VictoriaMetrics read
//! `\\` as one backslash; none but the last can end a name with one. VictoriaMetrics ends a line at
//! every line feed, quoted or not, and takes quotes in field keys for quoting. What one of them would
//! misread is therefore written as a look-alike that all of them read alike, and counted:
//!
//! | character | where | written |
//! |---|---|---|
//! | `\` before `\` `,` `=` `"` or a space, or last | names | `＼` U+FF3C |
//! | `"` | field keys | `＂` U+FF02 |
//! | `#` | first in a measurement (else the line is a comment) | `＃` U+FF03 |
//! | control characters | names | their pictures, U+2400 to U+2421 |
//! | line feed | texts | `␊` U+240A |
//!
//! Nothing else is ever changed. Control characters are refused at admission in names, so that they
//! can only come from a log that was written under other rules.

use crate::model::Globs;

/// The tag that carries the device's name.
pub const DEVICE_TAG: &str = "device";
/// Put before a tag of the client's own that is called like [`DEVICE_TAG`].
const OWN_TAG_PREFIX: &str = "tag.";
/// The field of a metric without a name; admission lets none in.
const NAMELESS_FIELD: &str = "value";

/// Which metrics are written, and how they become measurements and fields.
#[derive(Debug, Clone)]
pub struct Naming {
    default_measurement: String,
    /// Nothing = all.
    metrics: Option<Globs>,
    /// The names have a suffix, as in `speed_mean`: that comes from no metric.
    of_rollups: bool,
}

impl Naming {
    /// `default_measurement` is for metrics without a dot; it must not be empty.
    #[must_use]
    pub fn new(default_measurement: &str) -> Naming {
        Naming {
            default_measurement: default_measurement.to_owned(),
            metrics: None,
            of_rollups: false,
        }
    }

    /// The same, of these metrics only.
    #[must_use]
    pub fn only(self, metrics: Globs) -> Naming {
        Naming { metrics: Some(metrics), ..self }
    }

    /// The same for rollups of metrics: of all, because what is not selected has none.
    #[must_use]
    pub fn of_rollups(self) -> Naming {
        Naming { metrics: None, of_rollups: true, ..self }
    }

    /// Whether it is for rollups.
    #[must_use]
    pub fn is_of_rollups(&self) -> bool {
        self.of_rollups
    }

    /// Whether this metric is written.
    #[must_use]
    pub fn selects(&self, metric: &str) -> bool {
        self.metrics.as_ref().is_none_or(|metrics| metrics.is_match(metric))
    }

    /// Measurement and field of a metric: what is before and after its last dot. A metric that has
    /// no dot, or nothing before or after it, is a field of the default measurement.
    #[must_use]
    pub fn split<'a>(&'a self, metric: &'a str) -> (&'a str, &'a str) {
        let suffix = match self.of_rollups {
            true => metric.rfind('_').map_or(0, |at| metric.len() - at),
            false => 0,
        };
        let whole = &metric[..metric.len() - suffix];
        match whole.rsplit_once('.') {
            Some((measurement, field)) if !measurement.is_empty() && !field.is_empty() => {
                (measurement, &metric[measurement.len() + 1..])
            }
            _ if metric.is_empty() => (&self.default_measurement, NAMELESS_FIELD),
            _ => (&self.default_measurement, metric),
        }
    }
}

/// What a client's tag key becomes, as prefix and key. `device` is ours, so theirs is `tag.device`;
/// so that this takes nobody else's name, `tag.device` becomes `tag.tag.device`, and so on.
pub(crate) fn own_tag(key: &str) -> (&'static str, &str) {
    let mut rest = key;
    while let Some(shorter) = rest.strip_prefix(OWN_TAG_PREFIX) {
        rest = shorter;
    }
    if rest == DEVICE_TAG { (OWN_TAG_PREFIX, key) } else { ("", key) }
}

/// Which part of a line a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Measurement,
    /// A tag's key or value.
    Tag,
    FieldKey,
}

/// Bytes that a name is looked at more closely for.
const SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        special[byte] = true;
        byte += 1;
    }
    special[0x7f] = true;
    special[b',' as usize] = true;
    special[b'=' as usize] = true;
    special[b' ' as usize] = true;
    special[b'\\' as usize] = true;
    special[b'"' as usize] = true;
    special[b'#' as usize] = true;
    special
};

/// Appends a name. True if a look-alike had to stand in for one of its characters.
pub(crate) fn push_name(out: &mut Vec<u8>, name: &str, part: Part) -> bool {
    if name.bytes().any(|byte| SPECIAL[usize::from(byte)]) {
        return push_special_name(out, name, part);
    }
    out.extend_from_slice(name.as_bytes());
    false
}

#[cold]
fn push_special_name(out: &mut Vec<u8>, name: &str, part: Part) -> bool {
    let mut replaced = false;
    let mut chars = name.chars().peekable();
    let mut first = true;
    while let Some(char) = chars.next() {
        let written = match char {
            '\\' if chars.peek().is_none_or(|next| "\\,=\" ".contains(*next)) => '＼',
            '"' if part == Part::FieldKey => '＂',
            '#' if part == Part::Measurement && first => '＃',
            '\0'..='\x1f' | '\x7f' => picture(char),
            _ => char,
        };
        if matches!(char, ',' | ' ') || (char == '=' && part != Part::Measurement) {
            out.push(b'\\');
        }
        push_char(out, written);
        replaced |= written != char;
        first = false;
    }
    replaced
}

/// The picture of a control character.
fn picture(control: char) -> char {
    match control {
        '\x7f' => '\u{2421}',
        _ => char::from_u32(0x2400 + u32::from(control)).unwrap_or(char::REPLACEMENT_CHARACTER),
    }
}

/// Appends a text value in its quotes. True if it had line feeds, for which pictures stand in.
pub(crate) fn push_text(out: &mut Vec<u8>, text: &str) -> bool {
    let mut replaced = false;
    out.push(b'"');
    if text.bytes().any(|byte| matches!(byte, b'"' | b'\\' | b'\n')) {
        for char in text.chars() {
            match char {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\n' => {
                    push_char(out, picture(char));
                    replaced = true;
                }
                _ => push_char(out, char),
            }
        }
    } else {
        out.extend_from_slice(text.as_bytes());
    }
    out.push(b'"');
    replaced
}

fn push_char(out: &mut Vec<u8>, char: char) {
    out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_split_at_its_last_dot() {
        let naming = Naming::new("telemetry");
        for (metric, expected) in [
            ("motor.temperature", ("motor", "temperature")),
            ("a.b.c", ("a.b", "c")),
            ("running", ("telemetry", "running")),
            (".hidden", ("telemetry", ".hidden")),
            ("open.", ("telemetry", "open.")),
            (".", ("telemetry", ".")),
            ("a..b", ("a.", "b")),
            ("", ("telemetry", "value")),
        ] {
            assert_eq!(naming.split(metric), expected, "{metric}");
        }
    }

    #[test]
    fn the_suffix_of_a_rollup_is_split_off_from_no_metric() {
        let naming = Naming::new("telemetry").of_rollups();
        for (metric, expected) in [
            ("motor.speed_mean", ("motor", "speed_mean")),
            ("running_count", ("telemetry", "running_count")),
            ("open._count", ("telemetry", "open._count")),
            (".hidden_max", ("telemetry", ".hidden_max")),
            ("a.b_c.d_e_last", ("a.b_c", "d_e_last")),
        ] {
            assert_eq!(naming.split(metric), expected, "{metric}");
        }
    }

    #[test]
    fn a_clients_tag_never_takes_the_devices() {
        for (key, expected) in [
            ("site", "site"),
            ("device", "tag.device"),
            ("tag.device", "tag.tag.device"),
            ("tag.site", "tag.site"),
            ("devices", "devices"),
        ] {
            let (prefix, rest) = own_tag(key);
            assert_eq!(format!("{prefix}{rest}"), expected);
        }
    }

    fn check(name: &str, part: Part, expected: &str, replaced: bool) {
        let mut out = Vec::new();
        assert_eq!(push_name(&mut out, name, part), replaced, "{name}");
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn names_are_escaped_as_the_protocol_says() {
        check("my, m=1", Part::Measurement, r"my\,\ m=1", false);
        check("a b,c=d", Part::Tag, r"a\ b\,c\=d", false);
        check("a b,c=d", Part::FieldKey, r"a\ b\,c\=d", false);
        check("Größe \"2\" #1", Part::Tag, "Größe\\ \"2\"\\ #1", false);
        check(r"C:\data", Part::Tag, r"C:\data", false);
    }

    #[test]
    fn what_a_server_would_misread_gets_a_look_alike() {
        check(r"C:\", Part::Tag, "C:＼", true);
        check(r"\\host\c$", Part::Tag, r"＼\host\c$", true);
        check(r"a\,b", Part::Tag, r"a＼\,b", true);
        check(r#"2""#, Part::FieldKey, "2＂", true);
        check("#1", Part::Measurement, "＃1", true);
        check("1#", Part::Measurement, "1#", false);
        check("a\nb\tc\x7f", Part::Tag, "a␊b␉c␡", true);
    }
}
