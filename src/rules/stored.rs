//! An alert as it is stored: all of it, as JSON, times in nanoseconds.

use super::alert::{Acknowledgement, Alert, Severity, State, Value};
use crate::model::Timestamp;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

impl Value {
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
    /// All of it, times in nanoseconds.
    #[must_use]
    pub fn stored(&self) -> String {
        let mut json = self.json();
        json["pending_at"] = json!(self.pending_at.0);
        json["fired_at"] = json!(self.fired_at.map(|at| at.0));
        json["resolved_at"] = json!(self.resolved_at.map(|at| at.0));
        if let Some(acknowledged) = &self.acknowledged {
            json["acknowledged"]["at"] = json!(acknowledged.at.0);
        }
        json["notify"] = json!(self.notify);
        json.to_string()
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
        assert_eq!(Alert::of_stored("{}"), None);
    }
}
