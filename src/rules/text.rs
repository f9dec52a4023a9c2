//! What an alert says: a text with places, and numbers as people read them.

use super::alert::Value;
use std::collections::BTreeMap;

/// A text with places for what an alert is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(&'static str),
    Tag(String),
}

const PLACES: [&str; 8] = ["device", "metric", "value", "unit", "limit", "rule", "subject", "for"];

/// What stands in the places.
pub(super) struct Places<'a> {
    pub device: &'a str,
    pub metric: &'a str,
    pub value: String,
    pub unit: &'a str,
    pub limit: String,
    pub rule: &'a str,
    pub subject: &'a str,
    pub hold: String,
    pub tags: &'a BTreeMap<String, String>,
}

impl Template {
    /// Reads a text in which `{name}` is a place; `{{` and `}}` are braces.
    pub fn new(text: &str) -> Result<Template, String> {
        let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                plain.push_str(brace);
                rest = after;
                continue;
            }
            let Some((name, after)) = rest.split_once('}').filter(|_| brace == "{") else {
                return Err(format!("a lone {brace}; braces are written {{{{ and }}}}"));
            };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(place(name)?);
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Template(parts))
    }

    /// The text with its places filled in. What is empty leaves no double space behind.
    pub fn fill(&self, places: &Places<'_>) -> String {
        let mut text = String::new();
        for part in &self.0 {
            let piece = match part {
                Part::Text(text) => text,
                Part::Tag(key) => places.tags.get(key).map_or("", String::as_str),
                Part::Place(name) => match *name {
                    "device" => places.device,
                    "metric" => places.metric,
                    "value" => &places.value,
                    "unit" => places.unit,
                    "limit" => &places.limit,
                    "rule" => places.rule,
                    "subject" => places.subject,
                    _ => &places.hold,
                },
            };
            if text.ends_with(' ') && piece.starts_with([' ', ')', ',', '.', ';']) {
                text.pop();
            }
            text.push_str(piece);
        }
        text.trim_end().to_owned()
    }
}

fn place(name: &str) -> Result<Part, String> {
    if let Some(key) = name.strip_prefix("tag.").filter(|key| !key.is_empty()) {
        return Ok(Part::Tag(key.to_owned()));
    }
    PLACES.into_iter().find(|place| *place == name).map(Part::Place).ok_or_else(|| {
        format!("there is no place {{{name}}}; known are {}, tag.KEY", PLACES.join(", "))
    })
}

/// A value as people read it.
pub(super) fn value(value: &Value) -> String {
    match value {
        Value::Number(value) => number(*value),
        Value::Bool(value) => value.to_string(),
        Value::Text(text) => text.to_string(),
    }
}

/// Six significant digits, and no more than needed.
pub(super) fn number(value: f64) -> String {
    let magnitude = value.abs();
    if value == 0.0 {
        return "0".to_owned();
    }
    if !(1e-4..1e15).contains(&magnitude) {
        return format!("{value:e}");
    }
    let before = magnitude.log10().floor() as i32 + 1;
    let text = format!("{value:.*}", usize::try_from(6 - before).unwrap_or(0));
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// `90 s`, `5 min`, `2 h`: in the largest unit that it is whole in.
pub(super) fn duration(nanos: i64) -> String {
    const UNITS: [(i64, &str); 5] = [
        (86_400_000_000_000, "d"),
        (3_600_000_000_000, "h"),
        (60_000_000_000, "min"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
    ];
    let whole = UNITS.iter().find(|(unit, _)| nanos >= *unit && nanos % unit == 0);
    whole.map_or_else(
        || format!("{} ms", nanos / 1_000_000),
        |(unit, name)| format!("{} {name}", nanos / unit),
    )
}

/// What a rate is per: `s`, `min`, `5 min`.
pub(super) fn per(nanos: i64) -> String {
    let text = duration(nanos);
    text.strip_prefix("1 ").map(str::to_owned).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_in() {
        let tags = BTreeMap::from([("site".to_owned(), "north".to_owned())]);
        let fill = |text: &str, unit: &str| {
            let (value, limit) = (number(81.25), number(80.0));
            let places = Places {
                device: "pump-7",
                metric: "t",
                value,
                unit,
                limit,
                rule: "hot",
                subject: "",
                hold: duration(300_000_000_000),
                tags: &tags,
            };
            Template::new(text).unwrap().fill(&places)
        };
        for (text, unit, wanted) in [
            (
                "{metric} of {device} is {value} {unit} (limit {limit} {unit})",
                "°C",
                "t of pump-7 is 81.25 °C (limit 80 °C)",
            ),
            ("{metric} is {value} {unit} (limit {limit} {unit})", "", "t is 81.25 (limit 80)"),
            ("{{{rule}}} at {tag.site}{tag.none} for {for}", "", "{hot} at north for 5 min"),
        ] {
            assert_eq!(fill(text, unit), wanted);
        }
        for wrong in ["{device", "device}", "{}", "{tag.}", "{devise}"] {
            assert!(Template::new(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_are_short() {
        for (value, wanted) in [
            (0.0, "0"),
            (80.0, "80"),
            (81.234_567_8, "81.2346"),
            (-0.5, "-0.5"),
            (1_234_567.891, "1234568"),
            (0.000_123_456_78, "0.000123457"),
            (1e-7, "1e-7"),
            (1e20, "1e20"),
        ] {
            assert_eq!(number(value), wanted);
        }
        assert_eq!(duration(90_000_000_000), "90 s");
        assert_eq!(per(60_000_000_000), "min");
    }
}
