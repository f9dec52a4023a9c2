//! Parameters as Prometheus reads them.

use super::answer::Fault;
use crate::model::NANOS_PER_SECOND;
use crate::promql::parse_duration;
use std::borrow::Cow;
use std::time::Duration;

/// Parameters of a request, and selectors among them.
const PARAMETERS_MAX: usize = 100;
const SELECTORS_MAX: usize = 20;

/// The parameters of a query string and a form.
pub(super) struct Asked(Vec<(String, String)>);

impl Asked {
    pub fn new(encoded: &[u8]) -> Asked {
        let pairs = url::form_urlencoded::parse(encoded).take(PARAMETERS_MAX);
        let owned = |(name, value): (Cow<'_, str>, Cow<'_, str>)| (name.into(), value.into());
        Asked(pairs.map(owned).collect())
    }

    /// The first of that name that says something.
    pub fn one(&self, name: &str) -> Option<&str> {
        let mut named = self.0.iter().filter(|(key, value)| key == name && !value.is_empty());
        named.next().map(|(_, value)| value.as_str())
    }

    /// All of that name.
    pub fn all(&self, name: &str) -> Result<Vec<&str>, Fault> {
        let named = self.0.iter().filter(|(key, _)| key == name);
        let all: Vec<_> = named.map(|(_, value)| value.as_str()).collect();
        if all.len() > SELECTORS_MAX {
            return Err(Fault::bad(format!("more than {SELECTORS_MAX} parameters {name:?}")));
        }
        Ok(all)
    }

    /// An instant: seconds since 1970, or RFC 3339.
    pub fn time(&self, name: &str) -> Result<Option<i64>, Fault> {
        let Some(text) = self.one(name) else { return Ok(None) };
        time(text).map(Some).ok_or_else(|| {
            let what = format!("cannot parse {text:?} to a valid timestamp");
            Fault::bad(format!("invalid parameter {name:?}: {what}"))
        })
    }

    pub fn needed_time(&self, name: &str) -> Result<i64, Fault> {
        self.time(name)?.ok_or_else(|| {
            let what = "cannot parse \"\" to a valid timestamp";
            Fault::bad(format!("invalid parameter {name:?}: {what}"))
        })
    }

    /// From `start` to `end`, or all there is.
    pub fn range(&self) -> Result<(i64, i64), Fault> {
        let start = self.time("start")?.unwrap_or(i64::MIN);
        let end = self.time("end")?.unwrap_or(i64::MAX);
        if end < start {
            return Err(Fault::bad(
                "invalid parameter \"end\": end timestamp must not be before start time",
            ));
        }
        Ok((start, end))
    }

    pub fn step(&self) -> Result<i64, Fault> {
        let text = self.one("step").unwrap_or_default();
        let step = parse_duration(text).ok_or_else(|| {
            let what = format!("cannot parse {text:?} to a valid duration");
            Fault::bad(format!("invalid parameter \"step\": {what}"))
        })?;
        if step <= 0 {
            return Err(Fault::bad(
                "invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer",
            ));
        }
        Ok(step)
    }

    pub fn timeout(&self) -> Result<Option<Duration>, Fault> {
        let Some(text) = self.one("timeout") else { return Ok(None) };
        let nanos = parse_duration(text).and_then(|nanos| u64::try_from(nanos).ok());
        nanos.map(|nanos| Some(Duration::from_nanos(nanos))).ok_or_else(|| {
            let what = format!("cannot parse {text:?} to a valid duration");
            Fault::bad(format!("invalid parameter \"timeout\": {what}"))
        })
    }

    /// How many to tell; all if none or zero is said.
    pub fn limit(&self) -> Result<usize, Fault> {
        let Some(text) = self.one("limit") else { return Ok(usize::MAX) };
        match text.parse() {
            Ok(0) => Ok(usize::MAX),
            Ok(limit) => Ok(limit),
            Err(_) => Err(Fault::bad(format!(
                "invalid parameter \"limit\": cannot parse {text:?} to a number"
            ))),
        }
    }
}

/// Seconds since 1970, to the millisecond, or RFC 3339. What is out of range is as far as there is.
fn time(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<f64>() {
        if seconds.is_nan() {
            return None;
        }
        let milliseconds = (seconds * 1000.0).round();
        // A cast of a float stops at the ends.
        return Some((milliseconds as i64).saturating_mul(NANOS_PER_SECOND / 1000));
    }
    let time = text.parse::<jiff::Timestamp>().ok()?;
    i64::try_from(time.as_nanosecond()).ok()
}

/// A label's name in a path: percent-encoded, and perhaps as Prometheus escapes what is no plain name
/// (`U__service_2e_name` is `service.name`).
pub(super) fn label_name(segment: &str) -> Result<String, Fault> {
    let decoded = percent_encoding::percent_decode_str(segment).decode_utf8();
    let name = decoded.map_err(|_| Fault::bad("invalid label name: it is not UTF-8"))?;
    if name.is_empty() {
        return Err(Fault::bad("invalid label name: \"\""));
    }
    Ok(name.strip_prefix("U__").and_then(unescaped).unwrap_or_else(|| name.to_string()))
}

fn unescaped(escaped: &str) -> Option<String> {
    let mut name = String::new();
    let mut rest = escaped;
    while let Some((plain, after)) = rest.split_once('_') {
        name.push_str(plain);
        let (code, after) = after.split_once('_')?;
        match code {
            "" => name.push('_'),
            code => name.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?),
        }
        rest = after;
    }
    name.push_str(rest);
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_rfc_3339() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1435781451.781", Some(1_435_781_451_781_000_000)),
            ("1435781451.7814", Some(1_435_781_451_781_000_000)),
            ("2015-07-01T20:10:51.781Z", Some(1_435_781_451_781_000_000)),
            ("-1.5", Some(-1_500_000_000)),
            ("-62135596800", Some(i64::MIN)),
            ("1e300", Some(i64::MAX)),
            ("NaN", None),
            ("now", None),
        ] {
            assert_eq!(time(text), expected, "{text}");
        }
    }

    #[test]
    fn names_in_paths_are_unescaped() {
        for (segment, expected) in [
            ("device", "device"),
            ("service.name", "service.name"),
            ("service%2Ename", "service.name"),
            ("U__service_2e_name", "service.name"),
            ("U__a__b", "a_b"),
            ("U__a_zz_b", "U__a_zz_b"),
            ("U__a_b", "U__a_b"),
        ] {
            assert_eq!(label_name(segment).ok().as_deref(), Some(expected), "{segment}");
        }
        assert!(label_name("%ff").is_err());
    }

    #[test]
    fn what_is_empty_was_not_said() {
        let asked = Asked::new(b"query=&query=up%2B1&match[]=a&match%5B%5D=b&limit=0&step=15s");
        assert_eq!(asked.one("query"), Some("up+1"));
        assert_eq!(asked.all("match[]").ok(), Some(vec!["a", "b"]));
        assert_eq!(asked.limit().ok(), Some(usize::MAX));
        assert_eq!(asked.step().ok(), Some(15 * NANOS_PER_SECOND));
    }
}
