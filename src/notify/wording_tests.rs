use super::*;
use crate::notify::grouping::{Grouping, Rhythm, Standing, Wanted};
use crate::rules::{Acknowledgement, Severity, State, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// An alert that fired at 2026-11-21 03:00 UTC.
pub(in super::super) fn alert(id: u64, rule: &str) -> Alert {
    let fired = Timestamp(1_795_230_000_000_000_000);
    Alert {
        id,
        rule: rule.into(),
        severity: Severity::Critical,
        device: Some(format!("pump-{id}").into()),
        metric: Some("motor.temperature".into()),
        tags: BTreeMap::from([("site".to_owned(), "a".to_owned())]),
        subject: String::new(),
        state: State::Firing,
        value: Some(Value::Number(92.5)),
        unit: "°C".to_owned(),
        text: format!("pump-{id}: motor.temperature is 92.5 °C, above 80 °C"),
        runbook: "https://wiki.example/hot".to_owned(),
        pending_at: fired,
        fired_at: Some(fired),
        acknowledged: None,
        resolved_at: None,
        silenced: false,
        notify: Vec::new(),
    }
}

pub(in super::super) fn event(id: u64, kind: EventKind, mut alert: Alert) -> Event {
    let at = Timestamp(1_795_230_000_000_000_000);
    match kind {
        EventKind::Fired => {}
        EventKind::Acknowledged => {
            alert.state = State::Acknowledged;
            let (by, note) = ("ana".to_owned(), "on my way".to_owned());
            alert.acknowledged = Some(Acknowledgement { by, note, at });
        }
        EventKind::Resolved => {
            alert.state = State::Resolved;
            alert.resolved_at = Some(at.saturating_add(Duration::from_secs(750)));
        }
    }
    Event { id, at, kind, alert: Arc::new(alert) }
}

/// One message of all these.
pub(in super::super) fn draft(events: Vec<Event>) -> Draft {
    let wanted = Wanted { severity_min: Severity::Info, resolved: true, acknowledged: true };
    // So few that everything is merged.
    let rhythm =
        Rhythm { group_wait: Duration::ZERO, group_interval: Duration::ZERO, messages_per_hour: 1 };
    let mut grouping = Grouping::new("ops", wanted, rhythm, Standing::default());
    let now = Timestamp(1_795_230_000_000_000_000);
    events.into_iter().for_each(|event| grouping.hear(event, now));
    grouping.due(now).unwrap()
}

fn said(events: Vec<Event>) -> String {
    summary(&draft(events))
}

#[test]
fn one_alert_is_understood_from_the_subject_line() {
    let text = |text: &str| {
        let mut alert = alert(7, "motor hot");
        text.clone_into(&mut alert.text);
        said(vec![event(1, EventKind::Fired, alert)])
    };
    let whole = "[critical] pump-7: motor.temperature is 92.5 °C, above 80 °C";
    assert_eq!(text("pump-7: motor.temperature is 92.5 °C, above 80 °C"), whole);
    assert_eq!(text("motor.temperature is 92.5 °C, above 80 °C"), whole);
    assert_eq!(text(""), "[critical] pump-7: motor hot");
    let resolved = said(vec![event(1, EventKind::Resolved, alert(7, "motor hot"))]);
    assert_eq!(resolved, "[resolved] pump-7: motor hot is over after 12 min");
    let known = said(vec![event(1, EventKind::Acknowledged, alert(7, "motor hot"))]);
    assert_eq!(known, "[acknowledged] pump-7: motor hot: ana knows of it");
    let mut own = alert(7, "tidegate breaker");
    (own.device, own.subject, own.severity) = (None, "influx".to_owned(), Severity::Warning);
    "the store can't be written".clone_into(&mut own.text);
    let own = said(vec![event(1, EventKind::Fired, own)]);
    assert_eq!(own, "[warning] influx: the store can't be written");
}

#[test]
fn many_alerts_are_counted_by_rule_and_kind() {
    let fired = |from: u64, count: u64, rule: &str| {
        (from..from + count)
            .map(|id| event(id, EventKind::Fired, alert(id, rule)))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        said(fired(1, 1000, "device offline")),
        "[critical] 1,000 alerts fired: device offline (1,000): pump-1, pump-10, pump-100, …"
    );
    let over: Vec<_> =
        (1..=3).map(|id| event(id, EventKind::Resolved, alert(id, "motor hot"))).collect();
    assert_eq!(said(over.clone()), "[3 resolved] motor hot (3): pump-1, pump-2, pump-3");
    let mut mixed = over;
    mixed.extend(fired(4, 10, "device offline"));
    assert_eq!(
        said(mixed),
        "[critical] 10 alerts fired, 3 resolved: device offline (10), motor hot (3)"
    );
    assert!(said(fired(1, 30, &"long ".repeat(100))).chars().count() <= SUMMARY_MAX + 1);
}

#[test]
fn a_summary_is_one_line_whatever_a_device_is_called() {
    let mut hostile = alert(7, "motor\r\nBcc: evil@example.org");
    hostile.device = Some("pump\r\nSubject: nothing\u{85}\u{1b}[2J".into());
    hostile.text = String::new();
    let said = said(vec![event(1, EventKind::Fired, hostile)]);
    assert!(!said.contains(char::is_control), "{said:?}");
}

#[test]
fn a_webhook_gets_up_to_a_hundred_events_and_the_number_of_the_others() {
    let events: Vec<_> =
        (1..=250).map(|id| event(id, EventKind::Fired, alert(id, "device offline"))).collect();
    let draft = draft(events);
    let now = Timestamp(1_795_230_010_000_000_000);
    let body = body(&draft, "0123", "ops", &summary(&draft), now);
    let body: Json = serde_json::from_str(&body).unwrap();
    assert_eq!((body["events"].as_array().unwrap().len(), &body["more"]), (100, &json!(150)));
    assert_eq!((&body["id"], &body["channel"]), (&json!("0123"), &json!("ops")));
    assert_eq!(body["time"], 1_795_230_010_000_i64);
    let first = &body["events"][0];
    assert_eq!((&first["id"], &first["kind"]), (&json!(1), &json!("fired")));
    assert_eq!(first["alert"], alert(1, "device offline").json());
}

#[test]
fn a_body_is_bounded_by_bytes_too() {
    let events = (1..=100).map(|id| {
        let mut alert = alert(id, "state");
        alert.text = "x".repeat(64 << 10);
        event(id, EventKind::Fired, alert)
    });
    let draft = draft(events.collect());
    let body = body(&draft, "0123", "ops", "", Timestamp(0));
    assert!(body.len() < EVENTS_BYTES_MAX + (1 << 16), "{}", body.len());
    let body: Json = serde_json::from_str(&body).unwrap();
    let shown = body["events"].as_array().unwrap().len() as u64;
    assert_eq!(shown + body["more"].as_u64().unwrap(), 100);
}

#[test]
fn a_letter_tells_what_a_person_needs() {
    let events = vec![
        event(1, EventKind::Fired, alert(7, "motor hot")),
        event(2, EventKind::Acknowledged, alert(7, "motor hot")),
        event(3, EventKind::Resolved, alert(8, "motor hot")),
    ];
    let draft = draft(events);
    let letter = letter(&draft, &summary(&draft), Some("https://plant.example/"));
    assert_eq!(
        letter,
        "[critical] 1 alert fired, 1 acknowledged, 1 resolved: motor hot (3): pump-7, pump-8\n\
         \n\
         2026-11-21 03:00:00 UTC  critical  pump-7: motor.temperature is 92.5 °C, above 80 °C\n    \
         rule motor hot · device pump-7 · metric motor.temperature · tags site=a\n    \
         what to do: https://wiki.example/hot\n\
         \n\
         2026-11-21 03:00:00 UTC  acknowledged  pump-7: motor.temperature is 92.5 °C, above 80 °C\n    \
         rule motor hot · device pump-7 · metric motor.temperature · tags site=a\n    \
         ana knows of it: on my way\n    \
         what to do: https://wiki.example/hot\n\
         \n\
         2026-11-21 03:00:00 UTC  resolved  pump-8: motor.temperature is 92.5 °C, above 80 °C\n    \
         rule motor hot · device pump-8 · metric motor.temperature · tags site=a\n    \
         it lasted for 12 min, from 2026-11-21 03:00:00 UTC\n    \
         what to do: https://wiki.example/hot\n\
         \n\
         https://plant.example/#/alerts\n"
    );
}

#[test]
fn times_are_as_long_as_they_must_be() {
    for (seconds, expected) in [
        (0, "0 s"),
        (59, "59 s"),
        (750, "12 min"),
        (3600, "1 h"),
        (11_100, "3 h 5 min"),
        (187_200, "2 d 4 h"),
    ] {
        assert_eq!(duration(Duration::from_secs(seconds)), expected);
    }
}
