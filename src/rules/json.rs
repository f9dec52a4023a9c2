//! An alert as everybody outside sees it: pages, viewers of the live stream, webhooks.

use super::alert::{Acknowledgement, Alert, Value};
use crate::model::Timestamp;
use serde_json::json;

impl Alert {
    /// The object of `docs/http.md`; times are milliseconds since 1970.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        json!({
            "id": self.id,
            "rule": &*self.rule,
            "severity": self.severity.name(),
            "device": self.device.as_deref(),
            "metric": self.metric.as_deref(),
            "tags": self.tags,
            "subject": self.subject,
            "state": self.state.name(),
            "value": self.value.as_ref().map(Value::json),
            "unit": self.unit,
            "text": self.text,
            "runbook": self.runbook,
            "pending_at": self.pending_at.as_millis(),
            "fired_at": self.fired_at.map(Timestamp::as_millis),
            "acknowledged": self.acknowledged.as_ref().map(Acknowledgement::json),
            "resolved_at": self.resolved_at.map(Timestamp::as_millis),
            "silenced": self.silenced,
        })
    }
}

impl Value {
    /// A number that is none, or is without end, is `null`.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        match self {
            Value::Number(number) => json!(number),
            Value::Bool(truth) => json!(truth),
            Value::Text(text) => json!(&**text),
        }
    }
}

impl Acknowledgement {
    fn json(&self) -> serde_json::Value {
        json!({"by": self.by, "note": self.note, "at": self.at.as_millis()})
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Severity, State};
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn an_alert_is_told_whole_but_for_its_channels() {
        let mut alert = Alert {
            id: 7,
            rule: "motor hot".into(),
            severity: Severity::Warning,
            device: Some("pump-7".into()),
            metric: None,
            tags: BTreeMap::from([("site".to_owned(), "a".to_owned())]),
            subject: String::new(),
            state: State::Acknowledged,
            value: Some(Value::Number(81.25)),
            unit: "°C".to_owned(),
            text: "it is \"hot\"".to_owned(),
            runbook: String::new(),
            pending_at: Timestamp(1_000_000),
            fired_at: Some(Timestamp(2_000_000)),
            acknowledged: Some(Acknowledgement {
                by: "ana".to_owned(),
                note: String::new(),
                at: Timestamp(3_000_000),
            }),
            resolved_at: None,
            silenced: false,
            notify: vec!["ops".to_owned()],
        };
        let expected = json!({
            "id": 7, "rule": "motor hot", "severity": "warning", "device": "pump-7",
            "metric": null, "tags": {"site": "a"}, "subject": "", "state": "acknowledged",
            "value": 81.25, "unit": "°C", "text": "it is \"hot\"", "runbook": "",
            "pending_at": 1, "fired_at": 2, "acknowledged": {"by": "ana", "note": "", "at": 3},
            "resolved_at": null, "silenced": false,
        });
        assert_eq!(alert.json(), expected);
        for (value, expected) in [
            (Value::Bool(true), json!(true)),
            (Value::Text("x".into()), json!("x")),
            (Value::Number(f64::NAN), json!(null)),
        ] {
            alert.value = Some(value);
            assert_eq!(alert.json()["value"], expected);
        }
    }
}
