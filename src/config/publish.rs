//! `[intake.mqtt.publish]`, checked.

use super::checked::{Checker, LiveConfig};
use super::file;
use super::mqtt::MqttConfig;
use crate::aggregate::Windows;
use crate::live::Subscription;
use crate::routes::Decoder;
use std::fmt::Write as _;
use std::time::Duration;

/// With the longest names, each byte of them written as three, a topic is far from MQTT's 65,535.
const TEMPLATE_BYTES_MAX: usize = 1024;

/// What a bridge publishes; see `config/tidegate.toml` for each.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "config/tidegate.toml has a sentence for each, under the same name"
)]
pub struct PublishConfig {
    /// `None` = not.
    pub rollups: Option<TopicTemplate>,
    pub window: Duration,
    /// Of devices and metrics in windows of that width.
    pub subscription: Subscription,
    /// `None` = not.
    pub presence: Option<TopicTemplate>,
    /// `None` = not.
    pub alerts: Option<TopicTemplate>,
    /// How long one that is over stays.
    pub alerts_clear: Duration,
    pub qos: u8,
    /// How long a sample may come late.
    pub lateness: Duration,
    /// A window in which nothing happens for so long is over although no other has begun.
    pub silence: Duration,
}

/// A topic with places for names: `tidegate/{device}/{metric}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicTemplate(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Device,
    Metric,
    Rule,
    Id,
}

impl Part {
    fn of_place(place: &str) -> Part {
        match place {
            "{device}" => Part::Device,
            "{rule}" => Part::Rule,
            "{id}" => Part::Id,
            _ => Part::Metric,
        }
    }
}

impl TopicTemplate {
    /// Reads one that has these places.
    ///
    /// # Errors
    /// What is wrong with it, for the administrator.
    pub fn new(text: &str, places: &[&str]) -> Result<TopicTemplate, String> {
        if let Some(place) = places.iter().find(|place| !text.contains(**place)) {
            return Err(format!("{place} is missing: all would be published to the same topic"));
        }
        TopicTemplate::read(text, places)
    }

    /// Reads one of alerts: it has the place `{id}`, or both `{rule}` and `{device}`.
    ///
    /// # Errors
    /// What is wrong with it, for the administrator.
    pub fn of_alerts(text: &str) -> Result<TopicTemplate, String> {
        let has = |place| text.contains(place);
        if !(has("{id}") || has("{rule}") && has("{device}")) {
            return Err(
                "{id} is missing, or {rule} and {device}: all would be published to the same topic"
                    .to_owned(),
            );
        }
        TopicTemplate::read(text, &["{id}", "{rule}", "{device}"])
    }

    fn read(text: &str, places: &[&str]) -> Result<TopicTemplate, String> {
        if text.len() > TEMPLATE_BYTES_MAX {
            return Err(format!("may have {TEMPLATE_BYTES_MAX} bytes"));
        }
        if text.contains(['+', '#']) || text.contains(char::is_control) {
            return Err("a topic to publish to has no +, # and control characters".to_owned());
        }
        if text.starts_with('$') {
            return Err("topics that begin with $ are the broker's".to_owned());
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(begin) = rest.find(['{', '}']) {
            let (before, place) = rest.split_at(begin);
            let Some(found) = places.iter().find(|known| place.starts_with(**known)) else {
                return Err(format!("only {} stand in braces", places.join(" and ")));
            };
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::of_place(found));
            rest = &place[found.len()..];
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(TopicTemplate(parts))
    }

    /// The topic of these names. No name makes a level of its own, or a wildcard: see [`encode`].
    #[must_use]
    pub fn topic(&self, device: &str, metric: &str) -> String {
        self.filled([device, metric, "", ""])
    }

    /// The topic of an alert.
    #[must_use]
    pub fn alert(&self, id: u64, rule: &str, device: &str) -> String {
        self.filled([device, "", rule, &id.to_string()])
    }

    fn filled(&self, [device, metric, rule, id]: [&str; 4]) -> String {
        let mut topic = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => topic.push_str(text),
                Part::Device => encode(device, &mut topic),
                Part::Metric => encode(metric, &mut topic),
                Part::Rule => encode(rule, &mut topic),
                Part::Id => encode(id, &mut topic),
            }
        }
        topic
    }

    /// Whether one of its topics may be this one.
    #[must_use]
    pub fn takes(&self, topic: &str) -> bool {
        covers(&self.filter(), topic)
    }

    /// A filter that takes all its topics.
    pub(super) fn filter(&self) -> String {
        // No text of a template has this character.
        let any = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Device | Part::Metric | Part::Rule | Part::Id => "+".to_owned(),
        };
        let text: String = self.0.iter().map(any).collect();
        let levels = text.split('/').map(|level| if level.contains('+') { "+" } else { level });
        levels.collect::<Vec<_>>().join("/")
    }
}

/// Writes a name as part of a level: what would mean something in a topic is written as in a URL, `%`
/// and two digits for each byte.
fn encode(name: &str, topic: &mut String) {
    for char in name.chars() {
        if matches!(char, '/' | '+' | '#' | '%' | '$') || char.is_control() {
            for byte in char.encode_utf8(&mut [0; 4]).bytes() {
                // Writing to a String cannot fail.
                write!(topic, "%{byte:02X}").unwrap_or_default();
            }
        } else {
            topic.push(char);
        }
    }
}

/// Whether a topic can fit both filters.
fn meet(a: &str, b: &str) -> bool {
    let (mut a, mut b) = (a.split('/'), b.split('/'));
    loop {
        match (a.next(), b.next()) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (Some(a), Some(b)) if a == b || a == "+" || b == "+" => {}
            _ => return false,
        }
    }
}

/// Whether each topic of `inner` fits `outer`.
fn covers(outer: &str, inner: &str) -> bool {
    let (mut outer, mut inner) = (outer.split('/'), inner.split('/'));
    loop {
        match (outer.next(), inner.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some(outer), Some(inner)) if outer == inner || outer == "+" => {}
            _ => return false,
        }
    }
}

impl Checker<'_> {
    /// Nothing if nothing is to be published.
    pub(super) fn publish(
        &mut self,
        path: &str,
        file: &file::Publish,
        live: &LiveConfig,
    ) -> Option<PublishConfig> {
        let key = |key: &str| format!("{path}.{key}");
        let rollups = self.template(&key("rollups"), &file.rollups, &["{device}", "{metric}"]);
        let presence = self.template(&key("presence"), &file.presence, &["{device}"]);
        let alerts = match &*file.alerts {
            "" => None,
            text => TopicTemplate::of_alerts(text)
                .map_err(|problem| self.wrong(&key("alerts"), problem))
                .ok(),
        };
        let alerts_clear = self.positive(&key("alerts_clear"), &file.alerts_clear);
        if file.qos > 1 {
            self.wrong(&key("qos"), "must be 0 or 1".to_owned());
        }
        let window = self.positive(&key("window"), &file.window);
        // What is wrong with the windows themselves is said where they are.
        let windows = Windows::new(&live.windows).unwrap_or_default();
        let name = format!("{}ms", window.as_millis());
        let (devices, metrics) = (file.devices.clone(), file.metrics.clone());
        let of = |devices, metrics, window| {
            Subscription::new(devices, metrics, Vec::new(), window, &windows)
        };
        for (globs, list) in [("devices", &devices), ("metrics", &metrics)] {
            if let Err(error) = of(list.clone(), Vec::new(), None) {
                self.wrong(&key(globs), error.to_string());
                return None;
            }
        }
        let subscription = match of(devices, metrics, Some(&name)) {
            Ok(subscription) => subscription,
            Err(_) => {
                let problem = format!("\"{}\" is none of live.windows", file.window);
                self.wrong(&key("window"), problem);
                return None;
            }
        };
        if rollups.is_none() && presence.is_none() && alerts.is_none() {
            return None;
        }
        Some(PublishConfig {
            rollups,
            window,
            subscription,
            presence,
            alerts,
            alerts_clear,
            qos: u8::try_from(file.qos).unwrap_or(0),
            lateness: live.lateness,
            silence: live.offline_after.max(live.lateness),
        })
    }

    pub(super) fn template(
        &mut self,
        path: &str,
        text: &str,
        places: &[&str],
    ) -> Option<TopicTemplate> {
        if text.is_empty() {
            return None;
        }
        TopicTemplate::new(text, places).map_err(|problem| self.wrong(path, problem)).ok()
    }

    /// No bridge may take what another, or itself, publishes at the same broker: it would be published
    /// again, and again.
    pub(super) fn no_circles(&mut self, bridges: &[MqttConfig]) {
        let broker = |bridge: &MqttConfig| (bridge.broker.host.clone(), bridge.broker.port);
        for (number, bridge) in bridges.iter().enumerate() {
            let publish = bridge.publish.as_ref();
            let templates = [
                ("publish.rollups", publish.and_then(|publish| publish.rollups.as_ref())),
                ("publish.presence", publish.and_then(|publish| publish.presence.as_ref())),
                ("publish.alerts", publish.and_then(|publish| publish.alerts.as_ref())),
                ("commands.topic", bridge.commands.as_ref().map(|commands| &commands.topic)),
            ];
            for (key, template) in templates {
                let Some(filter) = template.map(TopicTemplate::filter) else { continue };
                let listeners = bridges.iter().enumerate();
                for (other, _) in listeners.filter(|(_, it)| broker(it) == broker(bridge)) {
                    if let Some(route) = fed(&bridges[other], &filter) {
                        self.wrong(
                            &format!("intake.mqtt.{number}.{key}"),
                            format!(
                                "intake.mqtt.{other}.routes.{route} takes what is published there; \
                                 publish elsewhere, or put a route with decoder = \"ignore\" before it"
                            ),
                        );
                    }
                }
            }
        }
    }
}

/// The route that reads some of the topics of a filter.
fn fed(bridge: &MqttConfig, filter: &str) -> Option<usize> {
    for (number, route) in bridge.routes.iter().enumerate() {
        match route.decoder() {
            // What fits its filter but not its pattern goes to the next.
            Decoder::Ignore if covers(&route.spec().topic, filter) => return None,
            Decoder::Ignore => {}
            _ if meet(route.filter(), filter) => return Some(number),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [&str; 2] = ["{device}", "{metric}"];

    #[test]
    fn names_stay_in_their_level_and_can_be_read_back() {
        let template = TopicTemplate::new("tidegate/{device}/{metric}/1m", &BOTH).unwrap();
        for (device, metric, expected) in [
            ("pump-7", "motor.temp", "tidegate/pump-7/motor.temp/1m"),
            ("line/1", "a+b", "tidegate/line%2F1/a%2Bb/1m"),
            ("#", "100%", "tidegate/%23/100%25/1m"),
            ("$SYS", "\0\u{85}", "tidegate/%24SYS/%00%C2%85/1m"),
            ("Kühlung 3", "°C", "tidegate/Kühlung 3/°C/1m"),
        ] {
            assert_eq!(template.topic(device, metric), expected);
        }
        assert_eq!(template.filter(), "tidegate/+/+/1m");
        let joined = TopicTemplate::new("{device}-{metric}", &BOTH).unwrap();
        assert_eq!((joined.topic("a", "b"), joined.filter()), ("a-b".to_owned(), "+".to_owned()));
    }

    #[test]
    fn a_template_without_sense_is_refused() {
        for (text, expected) in [
            ("a/{device}", "{metric} is missing"),
            ("a/{device}/{metric}/{site}", "stand in braces"),
            ("a/{device}/{metric}}", "stand in braces"),
            ("a/+/{device}/{metric}", "no +"),
            ("$a/{device}/{metric}", "the broker's"),
        ] {
            let problem = TopicTemplate::new(text, &BOTH).unwrap_err();
            assert!(problem.contains(expected), "{text}: {problem}");
        }
        for (text, expected) in [
            ("a/{rule}", "{id} is missing"),
            ("a/{device}/x", "{id} is missing"),
            ("a/{id}/{metric}", "stand in braces"),
        ] {
            let problem = TopicTemplate::of_alerts(text).unwrap_err();
            assert!(problem.contains(expected), "{text}: {problem}");
        }
        let both = TopicTemplate::of_alerts("a/{rule}/{device}").unwrap();
        assert_eq!(both.alert(7, "too hot/1", "pump-7"), "a/too hot%2F1/pump-7");
        assert_eq!(TopicTemplate::of_alerts("a/{id}").unwrap().alert(7, "r", "d"), "a/7");
    }

    #[test]
    fn filters_meet_where_one_topic_fits_both() {
        for (a, b, both, all) in [
            ("#", "t/+/+", true, true),
            ("t/#", "t/+/+", true, true),
            ("+/+", "t/+/+", false, false),
            ("t/x/y", "t/+/+", true, false),
            ("+/+/y", "t/+/+", true, false),
            ("+/+/+", "t/+/+", true, true),
            ("plant/+/+", "t/+/+", false, false),
        ] {
            assert_eq!((meet(a, b), covers(a, b)), (both, all), "{a} {b}");
        }
    }
}
