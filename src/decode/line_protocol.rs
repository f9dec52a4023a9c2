//! Readings as InfluxDB's line protocol (docs.influxdata.com, "Line protocol reference").
//!
//! ```text
//! motor,device=pump-7,site=north temperature=71.5,speed=1480i,state="run" 1763712000000000000
//! └───┘ └──────────┘ └─────────┘ └──────────────┘ └─────────┘ └─────────┘ └─────────────────┘
//! measurement device     tag      a float: metric   an int      a text     time, in the precision
//!                                motor.temperature                          that the request says
//! ```
//!
//! As InfluxDB 2 reads it: a backslash escapes a comma, an equals sign or a space in names, a quote or a
//! backslash in texts, and is a backslash elsewhere. A text may have line feeds in it. A line beginning
//! with `#` is a comment. Unsigned integers (`7u`) are taken as far as 63 bits hold them; a field that is
//! given twice is refused, because which of both is meant can't be known.

use super::fault::{Counted, FaultKind};
use super::lines::{Gathering, LineFaultKind, Lines};
use super::{Content, Reading, Stamp, Value};
use crate::model::{Keep, Reach};
use crate::wire::Limits;
use std::borrow::Cow;

/// The unit that times are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    /// Of so many nanoseconds.
    Nanos(i64),
    /// The largest in which a time is in the years that telemetry is from: what nobody says must be told
    /// by how large the number is.
    BySize,
}

impl TimeUnit {
    /// Nanoseconds of `time` in it, if 64 bits hold them.
    fn nanos(self, time: i64) -> Option<i64> {
        // Times of the year 2128 in seconds, milliseconds and microseconds: InfluxDB 3 draws the lines there.
        const BOUNDS: [(u64, i64); 3] = [
            (5_000_000_000, 1_000_000_000),
            (5_000_000_000_000, 1_000_000),
            (5_000_000_000_000_000, 1_000),
        ];
        let unit = match self {
            TimeUnit::Nanos(unit) => unit,
            TimeUnit::BySize => {
                let fits = BOUNDS.iter().find(|(bound, _)| time.unsigned_abs() < *bound);
                fits.map_or(1, |(_, unit)| *unit)
            }
        };
        time.checked_mul(unit)
    }
}

/// How lines become readings.
#[derive(Debug, Clone)]
pub struct LineNaming<'c> {
    /// The tags that may carry the device's name: the first of them that a line has does. One that has
    /// none is of the client.
    pub device_tags: &'c [String],
    /// The measurement that has no part in the names of metrics.
    pub bare_measurement: &'c str,
    /// What times are in.
    pub time_unit: TimeUnit,
}

/// A tag of somebody's own that is called like ours is written with this before it by our own sinks.
const OWN_TAG_PREFIX: &str = "tag.";
const DEVICE_TAG: &str = "device";

/// Reads a body of lines of devices within `reach`.
#[must_use]
pub fn line_protocol(
    body: &[u8],
    naming: &LineNaming<'_>,
    limits: &Limits,
    stamp: &Stamp<'_>,
    reach: &Reach,
) -> Lines {
    let mut gathering = Gathering::new(limits, stamp.received_at, reach);
    let (mut rest, mut number) = (body, 1);
    while !rest.is_empty() {
        let begin = rest;
        let mut line = Line { bytes: rest, at: 0 };
        line.skip(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
        let is_empty = matches!(line.peek(), None | Some(b'\n' | b'#'));
        let read = (!is_empty).then(|| reading(&mut line, naming, limits, stamp));
        let used = match &read {
            Some(Ok(_)) => line.at,
            Some(Err(_)) => end_of_faulty_line(begin, line.at),
            None => end_of_line(begin),
        };
        if let Some(read) = read {
            gathering.line(number, read);
        }
        number += begin[..used].iter().filter(|&&byte| byte == b'\n').count() + 1;
        rest = begin.get(used + 1..).unwrap_or_default();
    }
    gathering.finish()
}

/// Where the line ends in which there was a fault at `at`. What is in a text after the fault is a text still:
/// a line of it must not enter as one of its own. But a text that has no end takes no other line with it.
fn end_of_faulty_line(bytes: &[u8], mut at: usize) -> usize {
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\n' => return at,
            b'"' if at > 0 && bytes[at - 1] == b'=' => match end_of_text(bytes, at + 1) {
                Some(end) => at = end,
                None => return at + end_of_line(&bytes[at..]),
            },
            _ => {}
        }
        at += 1;
    }
    at
}

/// Where the quote is that ends a text.
fn end_of_text(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match (bytes.get(at)?, bytes.get(at + 1)) {
            (b'"', _) => return Some(at),
            (b'\\', Some(b'"' | b'\\')) => at += 2,
            _ => at += 1,
        }
    }
}

fn end_of_line(bytes: &[u8]) -> usize {
    bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len())
}

/// A line that is being read. It ends where the last of its parts does: a text may hold line feeds.
struct Line<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// What ends a name, besides the end of the line.
#[derive(Clone, Copy)]
enum NamePart {
    /// A comma or a space; an equals sign is part of it.
    Measurement,
    /// An equals sign; a comma or a space is a mistake.
    Key,
    /// A comma or a space; an equals sign is a mistake.
    TagValue,
}

impl NamePart {
    /// What a backslash takes the meaning from; an equals sign has none in a measurement.
    fn is_escaped(self, char: char) -> bool {
        match self {
            NamePart::Measurement => matches!(char, ',' | ' '),
            NamePart::Key | NamePart::TagValue => matches!(char, ',' | '=' | ' '),
        }
    }
}

/// Reads one line, up to its line feed.
fn reading<'a>(
    line: &mut Line<'a>,
    naming: &LineNaming<'_>,
    limits: &Limits,
    stamp: &Stamp<'a>,
) -> Result<Reading<'a>, LineFaultKind> {
    let measurement = line.name(NamePart::Measurement, "the measurement")?;
    let mut tags = Vec::new();
    while line.take(b',') {
        // Before anything is done for each of them. The device's name is none of the tags.
        if tags.len() > limits.tags {
            return Err(FaultKind::TooMany { what: Counted::Tags, max: limits.tags }.into());
        }
        let key = line.name(NamePart::Key, "the key of a tag")?;
        line.expect(b'=', "an equals sign after the key of a tag")?;
        tags.push((key, line.name(NamePart::TagValue, "the value of a tag")?));
    }
    let device = naming.device_tags.iter().find_map(|wanted| {
        let at = tags.iter().position(|(key, _)| key == wanted)?;
        Some(tags.swap_remove(at).1)
    });
    tags.iter_mut().for_each(|(key, _)| own_tag(key));
    line.expect(b' ', "a space before the fields")?;
    line.skip(|byte| byte == b' ');
    let mut values: Vec<Value<'a>> = Vec::new();
    loop {
        if values.len() == limits.columns {
            return Err(FaultKind::TooMany { what: Counted::Columns, max: limits.columns }.into());
        }
        let field = line.name(NamePart::Key, "the key of a field")?;
        line.expect(b'=', "an equals sign after the key of a field")?;
        let metric = match *measurement == *naming.bare_measurement {
            true => field,
            // Once for each value: `format!` would cost more than the number after it.
            false => Cow::Owned([&*measurement, ".", &*field].concat()),
        };
        let content = line.value(&metric)?;
        values.push(Value { metric, unit: Cow::Borrowed(""), content });
        if !line.take(b',') {
            break;
        }
    }
    twice(&values)?;
    let time = line.time(naming.time_unit, stamp)?;
    let device = device.unwrap_or(Cow::Borrowed(stamp.client));
    Ok(Reading { device, tags, time, keep: Keep::default(), values })
}

/// What our own sinks made of a tag that is called like theirs, undone.
fn own_tag(key: &mut Cow<'_, str>) {
    let Some(own) = key.strip_prefix(OWN_TAG_PREFIX) else { return };
    let mut rest = own;
    while let Some(shorter) = rest.strip_prefix(OWN_TAG_PREFIX) {
        rest = shorter;
    }
    if rest == DEVICE_TAG {
        *key = Cow::Owned(own.to_owned());
    }
}

/// No metric may be there twice. By sorting, because a hostile line may have very many.
fn twice(values: &[Value<'_>]) -> Result<(), LineFaultKind> {
    if values.len() < 2 {
        return Ok(());
    }
    let mut metrics: Vec<&str> = values.iter().map(|value| value.metric.as_ref()).collect();
    metrics.sort_unstable();
    match metrics.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(()),
        Some(pair) => Err(LineFaultKind::Twice { metric: pair[0].to_owned() }),
    }
}

impl<'a> Line<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, wanted: u8) -> bool {
        let is = self.peek() == Some(wanted);
        self.at += usize::from(is);
        is
    }

    fn skip(&mut self, which: impl Fn(u8) -> bool) {
        while self.peek().is_some_and(&which) {
            self.at += 1;
        }
    }

    fn wrong<T>(&self, what: &'static str) -> Result<T, LineFaultKind> {
        Err(LineFaultKind::LineProtocol { column: self.at + 1, what })
    }

    fn expect(&mut self, wanted: u8, what: &'static str) -> Result<(), LineFaultKind> {
        if self.take(wanted) { Ok(()) } else { self.wrong(what) }
    }

    /// A name, without its escapes; not empty.
    fn name(&mut self, part: NamePart, what: &'static str) -> Result<Cow<'a, str>, LineFaultKind> {
        let begin = self.at;
        let mut escapes = false;
        while let Some(byte) = self.peek() {
            match (byte, part) {
                (b'\\', _) if self.is_escape(part) => {
                    escapes = true;
                    self.at += 1;
                }
                (b',' | b' ', NamePart::Measurement | NamePart::TagValue)
                | (b'=', NamePart::Key)
                | (b'\n', _) => break,
                (b',' | b' ', NamePart::Key) | (b'=', NamePart::TagValue) => {
                    return self.wrong(what);
                }
                _ => {}
            }
            self.at += 1;
        }
        if self.at == begin {
            return self.wrong(what);
        }
        let text = self.text(begin, self.at)?;
        Ok(match escapes {
            false => Cow::Borrowed(text),
            true => Cow::Owned(without(text, |char| part.is_escaped(char))),
        })
    }

    /// Whether the backslash here takes the meaning from what is after it.
    fn is_escape(&self, part: NamePart) -> bool {
        self.bytes.get(self.at + 1).is_some_and(|&next| part.is_escaped(char::from(next)))
    }

    fn text(&self, begin: usize, end: usize) -> Result<&'a str, LineFaultKind> {
        std::str::from_utf8(&self.bytes[begin..end]).map_err(|error| {
            let column = begin + error.valid_up_to() + 1;
            LineFaultKind::LineProtocol { column, what: "text in UTF-8" }
        })
    }

    fn value(&mut self, metric: &str) -> Result<Content<'a>, LineFaultKind> {
        const WHAT: &str = "a value: 1.5, 7i, 7u, true, false or \"text\"";
        if self.take(b'"') {
            return self.quoted();
        }
        let begin = self.at;
        self.skip(|byte| !matches!(byte, b',' | b' ' | b'\n' | b'\r'));
        let token = &self.bytes[begin..self.at];
        let wrong = Err(LineFaultKind::LineProtocol { column: begin + 1, what: WHAT });
        let is_digits = |digits: &[u8]| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        let number = |token| std::str::from_utf8(token).unwrap_or_default();
        let too_large = || LineFaultKind::IntTooLarge { metric: metric.to_owned() };
        match token {
            b"t" | b"T" | b"true" | b"True" | b"TRUE" => Ok(Content::Bool(true)),
            b"f" | b"F" | b"false" | b"False" | b"FALSE" => Ok(Content::Bool(false)),
            [digits @ .., b'i'] if is_digits(digits.strip_prefix(b"-").unwrap_or(digits)) => {
                number(digits).parse().map(Content::Int).map_err(|_| too_large())
            }
            [digits @ .., b'u'] if is_digits(digits) => {
                number(digits).parse().map(Content::Int).map_err(|_| too_large())
            }
            // No names of infinities: one that is too large is refused where it is gathered.
            float if float.iter().all(|byte| b"0123456789+-.eE".contains(byte)) => {
                match number(float).parse() {
                    Ok(value) => Ok(Content::Float(value)),
                    Err(_) => wrong,
                }
            }
            _ => wrong,
        }
    }

    /// What is between quotes, of which the first was taken.
    fn quoted(&mut self) -> Result<Content<'a>, LineFaultKind> {
        let begin = self.at;
        let Some(end) = end_of_text(self.bytes, begin) else {
            // The fault is where the text begins.
            self.at = begin - 1;
            return self.wrong("the quote that ends this text");
        };
        self.at = end + 1;
        let text = self.text(begin, end)?;
        Ok(Content::Text(match text.contains('\\') {
            false => Cow::Borrowed(text),
            true => Cow::Owned(without(text, |char| matches!(char, '"' | '\\'))),
        }))
    }

    /// The time, if there is one, and the end of the line.
    fn time(&mut self, unit: TimeUnit, stamp: &Stamp<'_>) -> Result<i64, LineFaultKind> {
        const WHAT: &str = "the time, a whole number, or the end of the line";
        self.skip(|byte| byte == b' ');
        let begin = self.at;
        self.skip(|byte| matches!(byte, b'-' | b'0'..=b'9'));
        let digits = &self.bytes[begin..self.at];
        self.skip(|byte| matches!(byte, b' ' | b'\r'));
        if !matches!(self.peek(), None | Some(b'\n')) {
            return self.wrong(WHAT);
        }
        if digits.is_empty() {
            return Ok(stamp.received_at.0);
        }
        let time = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<i64>().ok());
        let time = time.and_then(|time| unit.nanos(time));
        time.ok_or(LineFaultKind::LineProtocol {
            column: begin + 1,
            what: "a time within 64 bits of nanoseconds",
        })
    }
}

/// The text without the backslashes that stand before one of those.
fn without(text: &str, escaped: impl Fn(char) -> bool) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match chars.peek() {
            Some(&next) if char == '\\' && escaped(next) => {
                plain.push(next);
                chars.next();
            }
            _ => plain.push(char),
        }
    }
    plain
}

#[cfg(test)]
#[path = "line_protocol_tests.rs"]
mod tests;
