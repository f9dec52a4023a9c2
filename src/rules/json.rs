//! An alert as JSON: as `docs/http.md` has it, and as it is stored.

use super::alert::{Acknowledgement, Alert, Severity, State, Value};
use crate::model::Timestamp;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;

impl Value {
    /// A number, a truth value or a text.
    #[must_use]
    pub fn json(&self) -> Json {
        match self {
            Value::Number(value) => json!(value),
            Value::Bool(value) => json!(value),
            Value::Text(text) => json!(**text),
        }
    }

    fn of_json(json: &Json) -> Option<Value> {
        match json {
            Json::Number(number) => number.as_f64().map(Value::Number),
            Json::Bool(value) => Some(Value::Bool(*value)),
            Json::String(text) => Some(Value::Text(text.as_str().into())),
            _ => None,
        }
    }
}

impl Alert {
    /// As the API and viewers get it; times in milliseconds since the epoch.
    #[must_use]
    pub fn json(&self) -> Json {
        Json::Object(self.object(Timestamp::as_millis))
    }

    /// All of it, times in nanoseconds.
    #[must_use]
    pub fn stored(&self) -> String {
        let mut object = self.object(|at| at.0);
        object.insert("notify".to_owned(), json!(self.notify));
        Json::Object(object).to_string()
    }

    /// What [`Alert::stored`] gave; nothing if it makes no sense.
    #[must_use]
    pub fn of_stored(text: &str) -> Option<Alert> {
        let json: Json = serde_json::from_str(text).ok()?;
        let text = |key: &str| json[key].as_str().map(str::to_owned);
        let time = |json: &Json| json.as_i64().map(Timestamp);
        let severity = text("severity")?;
        let state = text("state")?;
        let severities = [Severity::Info, Severity::Warning, Severity::Critical];
        let states = [State::Pending, State::Firing, State::Acknowledged, State::Resolved];
        let tags = json["tags"].as_object()?;
        let acknowledged = &json["acknowledged"];
        Some(Alert {
            id: json["id"].as_u64()?,
            rule: json["rule"].as_str()?.into(),
            severity: severities.into_iter().find(|it| it.name() == severity)?,
            device: json["device"].as_str().map(Into::into),
            metric: json["metric"].as_str().map(Into::into),
            tags: tags
                .iter()
                .map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                .collect::<Option<BTreeMap<_, _>>>()?,
            subject: text("subject")?,
            state: states.into_iter().find(|it| it.name() == state)?,
            value: Value::of_json(&json["value"]),
            unit: text("unit")?,
            text: text("text")?,
            runbook: text("runbook")?,
            pending_at: time(&json["pending_at"])?,
            fired_at: time(&json["fired_at"]),
            acknowledged: time(&acknowledged["at"]).map(|at| Acknowledgement {
                by: acknowledged["by"].as_str().unwrap_or_default().to_owned(),
                note: acknowledged["note"].as_str().unwrap_or_default().to_owned(),
                at,
            }),
            resolved_at: time(&json["resolved_at"]),
            silenced: json["silenced"].as_bool()?,
            notify: json["notify"]
                .as_array()?
                .iter()
                .map(|name| name.as_str().map(str::to_owned))
                .collect::<Option<_>>()?,
        })
    }

    fn object(&self, time: impl Fn(Timestamp) -> i64) -> Map<String, Json> {
        let acknowledged = self.acknowledged.as_ref().map(|acknowledged| {
            let Acknowledgement { by, note, at } = acknowledged;
            json!({ "by": by, "note": note, "at": time(*at) })
        });
        let object = json!({
            "id": self.id,
            "rule": *self.rule,
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
            "pending_at": time(self.pending_at),
            "fired_at": self.fired_at.map(&time),
            "acknowledged": acknowledged,
            "resolved_at": self.resolved_at.map(&time),
            "silenced": self.silenced,
        });
        match object {
            Json::Object(object) => object,
            _ => Map::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_back() {
        let alert = Alert {
            id: 7,
            rule: "motor hot".into(),
            severity: Severity::Critical,
            device: Some("pump-7".into()),
            metric: Some("t".into()),
            tags: BTreeMap::from([("site".to_owned(), "north".to_owned())]),
            subject: String::new(),
            state: State::Acknowledged,
            value: Some(Value::Number(81.25)),
            unit: "°C".to_owned(),
            text: "hot".to_owned(),
            runbook: "https://wiki/hot".to_owned(),
            pending_at: Timestamp(1_700_000_000_123_456_789),
            fired_at: Some(Timestamp(1_700_000_060_123_456_789)),
            acknowledged: Some(Acknowledgement {
                by: "ana".to_owned(),
                note: "on it".to_owned(),
                at: Timestamp(1_700_000_090_000_000_001),
            }),
            resolved_at: None,
            silenced: true,
            notify: vec!["ops".to_owned()],
        };
        assert_eq!(Alert::of_stored(&alert.stored()), Some(alert.clone()));
        let other = Alert {
            device: None,
            value: Some(Value::Text("away".into())),
            acknowledged: None,
            resolved_at: Some(Timestamp(5)),
            ..alert.clone()
        };
        assert_eq!(Alert::of_stored(&other.stored()), Some(other));
        let json = alert.json();
        assert_eq!(json["pending_at"], 1_700_000_000_123_i64);
        assert_eq!(json["acknowledged"]["by"], "ana");
        assert_eq!(json.get("notify"), None);
        assert_eq!(Alert::of_stored("{}"), None);
    }
}
