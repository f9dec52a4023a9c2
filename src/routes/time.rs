//! When a reading was taken, as messages tell it.

use super::number::Number;
use crate::model::NANOS_PER_SECOND;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// How messages tell the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// As numbers of whatever unit is believable, or RFC 3339.
    Auto,
    /// As numbers of a unit: how many of it are in a second.
    Unit(i64),
    /// As texts.
    Rfc3339,
}

const MILLIS: i64 = 1_000;
const MICROS: i64 = 1_000_000;

impl Format {
    /// All of them, by name.
    pub(super) const ALL: [(&'static str, Format); 6] = [
        ("auto", Format::Auto),
        ("s", Format::Unit(1)),
        ("ms", Format::Unit(MILLIS)),
        ("us", Format::Unit(MICROS)),
        ("ns", Format::Unit(NANOS_PER_SECOND)),
        ("rfc3339", Format::Rfc3339),
    ];

    /// As in the configuration.
    pub(super) fn name(self) -> &'static str {
        Format::ALL.iter().find(|(_, format)| *format == self).map_or("auto", |(name, _)| name)
    }
}

/// Why a text or number is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeFault {
    /// It is none.
    NoTime,
    /// It would be one if it told its zone.
    NoZone,
}

/// The zone of times that tell none: `UTC` or an offset; nothing for an empty text.
///
/// # Errors
/// A sentence for the administrator.
pub(super) fn zone(text: &str) -> Result<Option<Offset>, String> {
    let offset = match text {
        "" => return Ok(None),
        "UTC" | "Z" => Some(Offset::UTC),
        text => offset(text),
    };
    offset.map(Some).ok_or_else(|| {
        format!(
            "\"{text}\" is neither \"UTC\" nor an offset as \"+01:00\"; zones with summer time are \
             not known, let the device use UTC"
        )
    })
}

fn offset(text: &str) -> Option<Offset> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let two_digits = |text: &str, max: i32| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<i32>().ok().filter(|number| digits && *number <= max)
    };
    let seconds = two_digits(hours, 23)? * 3600 + two_digits(minutes, 59)? * 60;
    Offset::from_seconds(sign * seconds).ok()
}

/// A number as nanoseconds since the Unix epoch; nothing if they are beyond 64 bits, or if numbers are
/// not how times come.
pub(super) fn of_number(number: Number, format: Format) -> Option<i64> {
    let per_second = match format {
        Format::Unit(per_second) => per_second,
        Format::Auto => unit_of(number.as_float()),
        Format::Rfc3339 => return None,
    };
    match number {
        Number::Whole(number) => number.checked_mul(NANOS_PER_SECOND / per_second),
        Number::Large(_) => None,
        Number::Float(number) => of_float(number, per_second),
    }
}

/// The unit in which a number is a time between 1973 and 5138.
fn unit_of(number: f64) -> i64 {
    match number.abs() {
        1e17.. => NANOS_PER_SECOND,
        1e14.. => MICROS,
        1e11.. => MILLIS,
        _ => 1,
    }
}

/// A float of today's seconds has 22 bits for their fraction: what is beyond a microsecond is noise.
fn of_float(number: f64, per_second: i64) -> Option<i64> {
    #[expect(clippy::cast_precision_loss, reason = "a power of ten up to 10^9")]
    let micros = match per_second {
        MICROS.. => number / (per_second / MICROS) as f64,
        _ => number * (MICROS / per_second) as f64,
    };
    #[expect(clippy::cast_possible_truncation, reason = "compared with the largest before")]
    let micros = (micros.abs() < 9e15).then_some(micros.round() as i64)?;
    micros.checked_mul(NANOS_PER_SECOND / MICROS)
}

/// A text as nanoseconds since the Unix epoch.
pub(super) fn of_text(text: &str, format: Format, zone: Option<Offset>) -> Result<i64, TimeFault> {
    let text = text.trim();
    if format != Format::Rfc3339
        && let Some(number) = Number::read(text)
    {
        return of_number(number, format).ok_or(TimeFault::NoTime);
    }
    if let Format::Unit(_) = format {
        return Err(TimeFault::NoTime);
    }
    let time = match text.parse::<jiff::Timestamp>() {
        Ok(time) => time,
        Err(_) => {
            let local: DateTime = text.parse().map_err(|_| TimeFault::NoTime)?;
            // A text with a zone that can't be read is no local time.
            if text.ends_with(['Z', 'z', ']']) {
                return Err(TimeFault::NoTime);
            }
            let zone = zone.ok_or(TimeFault::NoZone)?;
            zone.to_timestamp(local).map_err(|_| TimeFault::NoTime)?
        }
    };
    i64::try_from(time.as_nanosecond()).map_err(|_| TimeFault::NoTime)
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: i64 = 1_760_000_000;

    #[test]
    fn numbers_are_of_the_unit_said_or_the_believable_one() {
        let check = |text: &str, format: &str, expected: Option<i64>| {
            let number = Number::read(text).unwrap();
            let (_, format) = Format::ALL.into_iter().find(|(name, _)| *name == format).unwrap();
            assert_eq!(of_number(number, format), expected, "{text} {format:?}");
        };
        let whole = Some(T * NANOS_PER_SECOND);
        for (text, unit) in [
            ("1760000000", "s"),
            ("1760000000000", "ms"),
            ("1760000000000000", "us"),
            ("1760000000000000000", "ns"),
        ] {
            check(text, unit, whole);
            check(text, "auto", whole);
        }
        let parts = Some(T * NANOS_PER_SECOND + 440_000_000);
        check("1760000000.44", "s", parts);
        check("1760000000.44", "auto", parts);
        check("1760000000440.0", "auto", parts);
        check("1760000000440000.2", "us", parts);
        check("1760000000", "rfc3339", None);
        check("9223372036854775807", "s", None);
        check("9223372036854775808", "ns", None);
        check("1e300", "s", None);
        check("0", "auto", Some(0));
        check("-1", "s", Some(-NANOS_PER_SECOND));
    }

    #[test]
    fn texts_are_rfc_3339_or_numbers_and_need_a_zone() {
        let check = |text: &str, format: &str, tz: &str, expected: Result<i64, TimeFault>| {
            let (_, format) = Format::ALL.into_iter().find(|(name, _)| *name == format).unwrap();
            assert_eq!(of_text(text, format, zone(tz).unwrap()), expected, "{text}");
        };
        let at = Ok(T * NANOS_PER_SECOND);
        check("2025-10-09T08:53:20Z", "auto", "", at);
        check("2025-10-09T08:53:20Z", "rfc3339", "", at);
        check("2025-10-09T10:53:20+02:00", "rfc3339", "UTC", at);
        check("2025-10-09 08:53:20Z", "auto", "", at);
        check("2025-10-09T08:53:20", "auto", "UTC", at);
        check("2025-10-09T10:23:20", "auto", "+01:30", at);
        check("2025-10-09T08:53:20", "auto", "", Err(TimeFault::NoZone));
        check("2025-10-09T08:53:20.5", "rfc3339", "UTC", Ok(T * NANOS_PER_SECOND + 500_000_000));
        check("1760000000", "auto", "", at);
        check("1760000000", "s", "", at);
        check("1760000000", "rfc3339", "", Err(TimeFault::NoTime));
        check("2025-10-09T08:53:20Z", "s", "", Err(TimeFault::NoTime));
        check("yesterday", "auto", "UTC", Err(TimeFault::NoTime));
        check("", "auto", "UTC", Err(TimeFault::NoTime));
        check("9999-10-09T08:53:20Z", "auto", "", Err(TimeFault::NoTime));
        for bad in ["Europe/Berlin", "+1:00", "01:00", "+24:00", "+01:60", "+", "é"] {
            assert!(zone(bad).is_err(), "{bad}");
        }
    }
}
