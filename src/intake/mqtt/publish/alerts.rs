//! Alerts at a broker: on each topic the newest that is open, retained; what is over stays for a while and
//! is then cleared with an empty message.
//!
//! Alerts that were never more than pending are passed over. A topic that several alerts share shows one
//! that is over only when none of them is open.

use crate::config::TopicTemplate;
use crate::intake::mqtt::link::Publication;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Topics with alerts; a further one is not published, and counted.
const TOPICS_MAX: usize = 10_000;
/// In a topic, for alerts about the daemon itself.
const NO_DEVICE: &str = "-";

/// What there is to publish of alerts.
pub(super) struct Alerts {
    template: TopicTemplate,
    clear_after_ms: i64,
    topics: BTreeMap<String, Topic>,
    /// Topics on which something is to be published.
    due: BTreeSet<String>,
    /// Alerts that were not published.
    pub dropped: u64,
}

#[derive(Default)]
struct Topic {
    /// By their ids: what they are, and whether they are open.
    alerts: BTreeMap<u64, (Bytes, bool)>,
    /// When it is cleared.
    clear_at: Option<i64>,
}

#[derive(Deserialize)]
struct Told {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    alerts: Vec<Value>,
    /// These are all that are open.
    #[serde(default)]
    all: bool,
    /// But so many.
    #[serde(default)]
    more: u64,
}

impl Alerts {
    pub fn new(template: TopicTemplate, clear_after: Duration) -> Alerts {
        Alerts {
            template,
            clear_after_ms: i64::try_from(clear_after.as_millis()).unwrap_or(i64::MAX),
            topics: BTreeMap::new(),
            due: BTreeSet::new(),
            dropped: 0,
        }
    }

    /// A frame of live.
    pub fn hear(&mut self, frame: &[u8]) -> Result<(), serde_json::Error> {
        let Told { data: Data { alerts, all, more } } = serde_json::from_slice(frame)?;
        let mut open = BTreeSet::new();
        for alert in &alerts {
            open.extend(alert["id"].as_u64());
            self.set(alert);
        }
        if all && more == 0 {
            // Those that were over while we did not look.
            for (name, topic) in &mut self.topics {
                let before = topic.alerts.len();
                topic.alerts.retain(|id, (_, is_open)| !*is_open || open.contains(id));
                if topic.alerts.len() < before {
                    self.due.insert(name.clone());
                }
            }
        }
        Ok(())
    }

    fn set(&mut self, alert: &Value) {
        let Some(id) = alert["id"].as_u64() else { return };
        if alert["fired_at"].is_null() {
            return;
        }
        let text = |key: &str| alert[key].as_str();
        let device = text("device").unwrap_or(NO_DEVICE);
        let topic = self.template.alert(id, text("rule").unwrap_or_default(), device);
        let is_open = text("state") != Some("resolved");
        if !self.topics.contains_key(&topic) && self.topics.len() >= TOPICS_MAX {
            self.dropped += 1;
            return;
        }
        let payload = Bytes::from(alert.to_string());
        let alerts = &mut self.topics.entry(topic.clone()).or_default().alerts;
        let before = alerts.insert(id, (payload.clone(), is_open));
        if before.is_none_or(|before| before != (payload, is_open)) {
            self.due.insert(topic);
        }
    }

    /// A broker that was away knows nothing of what happened meanwhile.
    pub fn tell_all(&mut self) {
        self.due.extend(self.topics.keys().cloned());
    }

    /// What is to be published now; at most so many.
    pub fn due(&mut self, now_ms: i64, qos: u8, count: usize) -> Vec<Publication> {
        let over =
            self.topics.iter().filter(|(_, topic)| topic.clear_at.is_some_and(|at| at <= now_ms));
        let over: Vec<String> = over.map(|(name, _)| name.clone()).collect();
        for name in over {
            if let Some(topic) = self.topics.get_mut(&name) {
                topic.alerts.clear();
                self.due.insert(name);
            }
        }
        let mut due = Vec::new();
        while due.len() < count
            && let Some(name) = self.due.pop_first()
        {
            let payload = self.show(&name, now_ms);
            due.push(Publication { topic: name, payload, qos, retain: true });
        }
        due
    }

    /// What a topic shows; nothing, and it is forgotten, if it has no alert any more.
    fn show(&mut self, name: &str, now_ms: i64) -> Bytes {
        let Some(topic) = self.topics.get_mut(name) else { return Bytes::new() };
        let open = topic.alerts.values().rev().find(|(_, is_open)| *is_open);
        if let Some((payload, _)) = open {
            let payload = payload.clone();
            topic.clear_at = None;
            topic.alerts.retain(|_, (_, is_open)| *is_open);
            return payload;
        }
        let Some((payload, _)) = topic.alerts.values().next_back().cloned() else {
            self.topics.remove(name);
            return Bytes::new();
        };
        let clear_at = now_ms.saturating_add(self.clear_after_ms);
        topic.clear_at.get_or_insert(clear_at);
        payload
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn alerts(template: &str) -> Alerts {
        Alerts::new(TopicTemplate::of_alerts(template).unwrap(), Duration::from_secs(60))
    }

    fn alert(id: u64, state: &str) -> Value {
        let fired = if state == "pending" { Value::Null } else { json!(5) };
        json!({ "id": id, "rule": "hot", "device": "pump/7", "state": state, "fired_at": fired })
    }

    fn hear(alerts: &mut Alerts, data: &Value) {
        let frame = json!({ "type": "alert", "time": 1, "data": data });
        alerts.hear(frame.to_string().as_bytes()).unwrap();
    }

    fn changed(alerts: &mut Alerts, all: &[Value]) {
        hear(alerts, &json!({ "alerts": all }));
    }

    /// Topics and states; a cleared one is "".
    fn told(alerts: &mut Alerts, now_ms: i64) -> Vec<(String, String)> {
        let told = alerts.due(now_ms, 1, 100).into_iter().map(|it| {
            assert!(it.retain && it.qos == 1);
            let alert: Value = serde_json::from_slice(&it.payload).unwrap_or_default();
            let (id, state) =
                (alert["id"].to_string(), alert["state"].as_str().unwrap_or_default());
            (it.topic, if state.is_empty() { String::new() } else { format!("{id} {state}") })
        });
        told.collect()
    }

    fn is(topic: &str, state: &str) -> (String, String) {
        (topic.to_owned(), state.to_owned())
    }

    #[test]
    fn an_alert_is_told_while_it_is_open_and_cleared_some_time_after() {
        let mut all = alerts("a/{id}");
        changed(&mut all, &[alert(7, "pending")]);
        assert_eq!(told(&mut all, 0), []);
        changed(&mut all, &[alert(7, "firing")]);
        assert_eq!(told(&mut all, 0), [is("a/7", "7 firing")]);
        assert_eq!(told(&mut all, 0), [], "once");
        changed(&mut all, &[alert(7, "acknowledged")]);
        assert_eq!(told(&mut all, 0), [is("a/7", "7 acknowledged")]);
        changed(&mut all, &[alert(7, "resolved")]);
        assert_eq!(told(&mut all, 1000), [is("a/7", "7 resolved")]);
        assert_eq!(told(&mut all, 60_999), []);
        // A broker that comes back does not begin the time anew.
        all.tell_all();
        assert_eq!(told(&mut all, 60_999), [is("a/7", "7 resolved")]);
        assert_eq!(told(&mut all, 61_000), [is("a/7", "")]);
        assert!(all.topics.is_empty());
        assert_eq!(told(&mut all, 90_000), []);
    }

    #[test]
    fn what_was_over_while_nobody_looked_is_cleared() {
        let mut all = alerts("a/{id}");
        changed(&mut all, &[alert(7, "firing"), alert(8, "firing")]);
        assert_eq!(told(&mut all, 0).len(), 2);
        hear(&mut all, &json!({ "all": true, "more": 3, "alerts": [alert(8, "firing")] }));
        assert_eq!(told(&mut all, 0), [], "who knows what the others are");
        hear(&mut all, &json!({ "all": true, "alerts": [alert(8, "firing")] }));
        assert_eq!(told(&mut all, 0), [is("a/7", "")]);
        all.tell_all();
        assert_eq!(told(&mut all, 0), [is("a/8", "8 firing")]);
    }

    #[test]
    fn a_topic_of_several_alerts_shows_one_that_is_open() {
        let mut all = alerts("a/{rule}/{device}");
        changed(&mut all, &[alert(7, "firing"), alert(8, "firing")]);
        assert_eq!(told(&mut all, 0), [is("a/hot/pump%2F7", "8 firing")]);
        changed(&mut all, &[alert(8, "resolved")]);
        assert_eq!(told(&mut all, 0), [is("a/hot/pump%2F7", "7 firing")]);
        changed(&mut all, &[alert(7, "resolved")]);
        assert_eq!(told(&mut all, 0), [is("a/hot/pump%2F7", "7 resolved")]);
        changed(&mut all, &[alert(9, "firing")]);
        assert_eq!(told(&mut all, 100), [is("a/hot/pump%2F7", "9 firing")]);
        assert_eq!(told(&mut all, 100_000), [], "it is not cleared below an open one");
    }

    #[test]
    fn topics_are_bounded() {
        let mut all = alerts("a/{id}");
        for id in 1..=TOPICS_MAX as u64 + 2 {
            changed(&mut all, &[alert(id, "firing")]);
        }
        assert_eq!((all.topics.len(), all.dropped), (TOPICS_MAX, 2));
        assert_eq!(all.due(0, 1, 10).len(), 10, "as many as there is room for");
    }
}
