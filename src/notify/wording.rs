//! What messages say: one person at 3 a.m. understands it from the first line. Pure.

use super::grouping::{Draft, Part};
use crate::model::Timestamp;
use crate::rules::{Alert, Event, EventKind};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

/// Characters of a summary.
const SUMMARY_MAX: usize = 200;
/// Characters of a text in an e-mail.
const TEXT_MAX: usize = 1000;
/// Bytes of the events in a webhook's body; what has no room is counted.
const EVENTS_BYTES_MAX: usize = 512 << 10;
/// Names of devices in a summary.
const NAMES_MAX: usize = 3;

/// The events of a message and what is said of all of them: the subject of an e-mail.
pub(super) fn summary(draft: &Draft) -> String {
    let summary = match (draft.parts.as_slice(), draft.events.as_slice()) {
        ([part], [event]) if part.count == 1 => one(event),
        (parts, events) => many(parts, events),
    };
    line(&summary, SUMMARY_MAX)
}

fn one(event: &Event) -> String {
    let alert = &*event.alert;
    let about = about(alert);
    match event.kind {
        EventKind::Fired => format!("[{}] {}", alert.severity.name(), told(alert)),
        EventKind::Acknowledged => {
            let by = alert.acknowledged.as_ref().map_or("somebody", |known| &known.by);
            format!("[acknowledged] {about}{}: {by} knows of it", alert.rule)
        }
        EventKind::Resolved => {
            let after = match (alert.fired_at, alert.resolved_at) {
                (Some(fired), Some(resolved)) => {
                    format!(" after {}", duration(resolved.since(fired)))
                }
                _ => String::new(),
            };
            format!("[resolved] {about}{} is over{after}", alert.rule)
        }
    }
}

/// `[critical] 1,000 alerts fired: device offline (1,000)`, `[3 resolved] motor hot (3): a, b, c`.
fn many(parts: &[Part], events: &[Event]) -> String {
    let counts = [
        (EventKind::Fired, "fired"),
        (EventKind::Acknowledged, "acknowledged"),
        (EventKind::Resolved, "resolved"),
    ]
    .map(|(kind, verb)| {
        let of_kind = parts.iter().filter(|part| part.key.kind() == kind);
        (of_kind.map(|part| part.count).sum::<u64>(), verb)
    });
    let worst = parts.iter().filter(|part| part.key.kind() == EventKind::Fired);
    let mut summary = match worst.map(|part| part.worst).max() {
        Some(worst) => {
            let mut summary = format!("[{}]", worst.name());
            let mut separator = " ";
            for (count, verb) in counts.into_iter().filter(|(count, _)| *count > 0) {
                let noun = match (separator, count) {
                    (" ", 1) => " alert",
                    (" ", _) => " alerts",
                    _ => "",
                };
                // Writing to a String cannot fail.
                write!(summary, "{separator}{}{noun} {verb}", grouped(count)).unwrap_or_default();
                separator = ", ";
            }
            summary + ":"
        }
        None => {
            let counts = counts.into_iter().filter(|(count, _)| *count > 0);
            let counts: Vec<_> =
                counts.map(|(count, verb)| format!("{} {verb}", grouped(count))).collect();
            format!("[{}]", counts.join(", "))
        }
    };
    let mut rules: Vec<(&str, u64)> = Vec::new();
    for part in parts {
        match rules.iter_mut().find(|(rule, _)| *rule == &*part.key.rule) {
            Some((_, count)) => *count += part.count,
            None => rules.push((&part.key.rule, part.count)),
        }
    }
    rules.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let told: Vec<_> =
        rules.iter().map(|(rule, count)| format!("{rule} ({})", grouped(*count))).collect();
    write!(summary, " {}", told.join(", ")).unwrap_or_default();
    let devices: BTreeSet<&str> =
        events.iter().filter_map(|event| event.alert.device.as_deref()).collect();
    if rules.len() == 1 && !devices.is_empty() {
        let names: Vec<_> = devices.iter().take(NAMES_MAX).copied().collect();
        let more = if devices.len() > NAMES_MAX { ", …" } else { "" };
        write!(summary, ": {}{more}", names.join(", ")).unwrap_or_default();
    }
    summary
}

/// The alert's text, which says in any case what it is about.
fn told(alert: &Alert) -> String {
    let about = alert.device.as_deref().unwrap_or(&alert.subject);
    match &*alert.text {
        "" => format!("{}{}", self::about(alert), alert.rule),
        text if text.contains(about) => text.to_owned(),
        text => format!("{about}: {text}"),
    }
}

/// `pump-7: `
fn about(alert: &Alert) -> String {
    match alert.device.as_deref().unwrap_or(&alert.subject) {
        "" => String::new(),
        about => format!("{about}: "),
    }
}

/// The body of a webhook.
pub(super) fn body(
    draft: &Draft,
    id: &str,
    channel: &str,
    summary: &str,
    now: Timestamp,
) -> String {
    let mut events: Vec<Json> = Vec::new();
    let mut bytes = 0;
    for event in &draft.events {
        let event = json!({
            "id": event.id,
            "kind": event.kind.name(),
            "at": event.at.as_millis(),
            "alert": event.alert.json(),
        });
        bytes += event.to_string().len();
        if bytes > EVENTS_BYTES_MAX {
            break;
        }
        events.push(event);
    }
    let more = draft.count() - events.len() as u64;
    json!({
        "id": id,
        "channel": channel,
        "time": now.as_millis(),
        "summary": summary,
        "events": events,
        "more": more,
    })
    .to_string()
}

/// The text of an e-mail.
pub(super) fn letter(draft: &Draft, summary: &str, page_url: Option<&str>) -> String {
    let mut text = format!("{summary}\n");
    // Writing to a String cannot fail.
    let mut add = |line: &str| writeln!(text, "{line}").unwrap_or_default();
    for event in &draft.events {
        let alert = &*event.alert;
        add("");
        let state = match event.kind {
            EventKind::Fired => alert.severity.name(),
            EventKind::Acknowledged => "acknowledged",
            EventKind::Resolved => "resolved",
        };
        add(&format!("{}  {state}  {}", utc(event.at), line(&told(alert), TEXT_MAX)));
        let tags: Vec<_> = alert.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let facts = [
            ("rule", &*alert.rule),
            ("device", alert.device.as_deref().unwrap_or_default()),
            ("metric", alert.metric.as_deref().unwrap_or_default()),
            ("tags", &tags.join(" ")),
            ("about", &alert.subject),
        ];
        let facts = facts.into_iter().filter(|(_, fact)| !fact.is_empty());
        let facts: Vec<_> =
            facts.map(|(name, fact)| format!("{name} {}", line(fact, TEXT_MAX))).collect();
        add(&format!("    {}", facts.join(" · ")));
        if event.kind == EventKind::Resolved
            && let Some(fired) = alert.fired_at
        {
            let lasted = duration(alert.resolved_at.unwrap_or(event.at).since(fired));
            add(&format!("    it lasted for {lasted}, from {}", utc(fired)));
        }
        if let Some(known) = &alert.acknowledged {
            let note = if known.note.is_empty() { "" } else { ": " };
            let known = format!("{} knows of it{note}{}", known.by, known.note);
            add(&format!("    {}", line(&known, TEXT_MAX)));
        }
        if !alert.runbook.is_empty() {
            add(&format!("    what to do: {}", line(&alert.runbook, TEXT_MAX)));
        }
    }
    let more = draft.count() - draft.events.len() as u64;
    if more > 0 {
        add("");
        add(&format!("and {} more, which are not listed here", grouped(more)));
    }
    if let Some(page) = page_url {
        add("");
        add(&format!("{}/#/alerts", page.trim_end_matches('/')));
    }
    text
}

/// What a person sends to see whether a channel works.
pub(super) fn test_summary(channel: &str) -> String {
    format!("[test] Tidegate reaches the channel {channel}")
}

/// One line of at most so many characters, without anything that a terminal or a header would obey.
pub(super) fn line(text: &str, max: usize) -> String {
    let mut chars = text.chars().map(|char| if char.is_control() { ' ' } else { char });
    let mut line: String = chars.by_ref().take(max).collect();
    if chars.next().is_some() {
        line.push('…');
    }
    line
}

fn utc(at: Timestamp) -> String {
    let seconds = jiff::Timestamp::from_second(at.as_millis().div_euclid(1000));
    seconds.map_or_else(
        |_| at.0.to_string(),
        |at| at.to_string().replace('T', " ").replace('Z', " UTC"),
    )
}

/// `45 s`, `12 min`, `3 h 5 min`, `2 d 4 h`.
fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let two = |large: u64, unit: &str, small: u64, fraction: &str| match small {
        0 => format!("{large} {unit}"),
        small => format!("{large} {unit} {small} {fraction}"),
    };
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => two(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

/// `1,000`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
#[path = "wording_tests.rs"]
pub(super) mod tests;
