//! What a bridge carries to devices: to a Sparkplug node as NCMD or DCMD, to others over a topic; and how
//! it learns what became of it.
//!
//! A bridge is asked before a command is handed over: a node may be offline, a metric unknown. Its line
//! is open as long as it is connected to its broker.

use super::link::{Link, Publication};
use super::spark::Spark;
use crate::clock;
use crate::commands::{Carrier, Commands, Errand, Line, Reply, Via};
use crate::config::CommandTopics;
use crate::decode::{Content, Reading};
use crate::model::{ClientId, Keep, Timestamp};
use crate::sparkplug::{Act, CommandError};
use crate::wire::{Command, CommandResult};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

/// So long after it was written to, a metric may report another value: it was on its way.
const SETTLES: Duration = Duration::from_secs(10);

/// Ends with a command's id, and whether the broker took it.
type Publishing = Pin<Box<dyn Future<Output = (u64, bool)> + Send>>;

/// What is carried, and what has been.
pub(super) struct Errands {
    commands: Commands,
    carrier: Carrier,
    topics: Option<CommandTopics>,
    line: Option<Line>,
    /// Sent, and not answered; at most as many as may be open.
    written: BTreeMap<u64, Written>,
    publishing: FuturesUnordered<Publishing>,
}

/// What comes next.
pub(super) enum Turn {
    Errand(Errand),
    /// The broker has acknowledged a command; or never will.
    Published(u64, bool),
}

struct Written {
    device: String,
    expires_at: Timestamp,
    at: Timestamp,
    sign: Sign,
}

/// How it is known that a command was done.
enum Sign {
    /// These metrics report these values.
    Values(Vec<(String, Content<'static>)>),
    /// The node is born again, on this topic.
    Birth(String),
    /// An answer on this topic.
    Answer(String),
    /// Nobody says.
    Nothing,
}

/// What a Sparkplug node can be told.
#[derive(Debug, PartialEq)]
pub(super) enum Order {
    Rebirth,
    /// These metrics to these values.
    Set(Vec<(String, Content<'static>)>),
}

#[derive(Deserialize)]
struct Said {
    id: u64,
    ok: bool,
    #[serde(default)]
    message: String,
    #[serde(default)]
    result: Json,
}

impl Errands {
    pub fn new(commands: Commands, client: ClientId, topics: Option<CommandTopics>) -> Errands {
        Errands {
            commands,
            carrier: Carrier::Bridge(client),
            topics,
            line: None,
            written: BTreeMap::new(),
            publishing: FuturesUnordered::new(),
        }
    }

    /// The broker took the connection.
    pub fn open(&mut self) {
        self.line = Some(self.commands.line(self.carrier.clone(), true));
    }

    /// The connection is over.
    pub fn close(&mut self) {
        self.line = None;
        self.publishing.clear();
    }

    /// What comes next. Cancel-safe.
    pub async fn next(&mut self) -> Option<Turn> {
        let line = self.line.as_mut()?;
        tokio::select! {
            Some(errand) = line.next() => Some(Turn::Errand(errand)),
            Some((id, taken)) = self.publishing.next() => Some(Turn::Published(id, taken)),
            else => None,
        }
    }

    pub fn turn(&mut self, turn: Turn, spark: Option<&mut Spark>, link: Option<&dyn Link>) {
        match (turn, link) {
            (Turn::Errand(Errand::Ask(command)), Some(_)) => {
                let reply = self.judge(&command, spark.as_deref());
                self.reply(command.id, reply);
            }
            (Turn::Errand(Errand::Command(command)), Some(link)) => {
                self.send(&command, spark, link);
            }
            (Turn::Published(id, taken), _) => self.published(id, taken),
            // Documents go to clients only; and without a link there is no line any more.
            (Turn::Errand(_), _) => {}
        }
    }

    /// Whether a command could be sent now.
    fn judge(&self, command: &Command, spark: Option<&Spark>) -> Reply {
        match spark.filter(|spark| spark.knows(&command.device)) {
            Some(spark) => match Order::read(command) {
                Err(why) => Reply::Never(why),
                Ok(order) => match spark.acts(&command.device, &order) {
                    Ok(_) => Reply::Can(Via::Sparkplug),
                    Err(error @ CommandError::Offline { .. }) => Reply::Later(error.to_string()),
                    Err(error) => Reply::Never(error.to_string()),
                },
            },
            None if self.topics.is_some() => Reply::Can(Via::Mqtt),
            None => Reply::Never(
                "the device is heard of through a broker, and its bridge has no topic for commands \
                 (intake.mqtt.commands)"
                    .to_owned(),
            ),
        }
    }

    fn send(&mut self, command: &Command, spark: Option<&mut Spark>, link: &dyn Link) {
        let now = clock::now();
        self.written.retain(|_, written| now < written.expires_at);
        if now >= command.expires_at {
            return;
        }
        let sign = match spark.filter(|spark| spark.knows(&command.device)) {
            Some(spark) => match write(command, spark, link) {
                Ok(sign) => sign,
                // It could be, a moment ago.
                Err(why) => return self.reply(command.id, Reply::Note(format!("not sent: {why}"))),
            },
            None => {
                let Some(topics) = &self.topics else { return };
                let (id, publication) = (command.id, publication(command, topics));
                let published = link.publish_tracked(publication);
                self.publishing.push(Box::pin(async move { (id, published.await) }));
                topics.results.as_ref().map_or(Sign::Nothing, |results| {
                    Sign::Answer(results.topic(&command.device, ""))
                })
            }
        };
        let (device, expires_at) = (command.device.clone(), command.expires_at);
        self.written.insert(command.id, Written { device, expires_at, at: now, sign });
    }

    fn published(&mut self, id: u64, taken: bool) {
        let Some(written) = self.written.get(&id) else { return };
        match written.sign {
            Sign::Nothing if taken => {
                self.written.remove(&id);
                let message = "the broker took it; what the device does is not known".to_owned();
                self.answered(CommandResult { id, ok: true, message, payload: Vec::new() });
            }
            Sign::Answer(_) if taken => {
                let note = "the broker took it; the device has not answered".to_owned();
                self.reply(id, Reply::Note(note));
            }
            _ => {}
        }
    }

    /// Looks in what nodes report for the values that they were told.
    pub fn read(&mut self, readings: &[Vec<Reading<'static>>], now: Timestamp) {
        if self.written.is_empty() {
            return;
        }
        for reading in readings.iter().flatten().filter(|it| it.keep != Keep::StoresOnly) {
            for value in &reading.values {
                self.reported(&reading.device, &value.metric, &value.content, now);
            }
        }
    }

    fn reported(&mut self, device: &str, metric: &str, found: &Content<'_>, now: Timestamp) {
        let mut over = Vec::new();
        let mut notes = Vec::new();
        for (&id, written) in &mut self.written {
            let Sign::Values(wanted) = &mut written.sign else { continue };
            let Some(at) = wanted.iter().position(|(name, _)| name == metric) else { continue };
            if written.device != device {
                continue;
            }
            if same(&wanted[at].1, found) {
                wanted.remove(at);
                if wanted.is_empty() {
                    over.push((id, true, format!("{metric} reports {}", shown(found))));
                }
            } else if now >= written.at.saturating_add(SETTLES) {
                over.push((id, false, format!("it reports {metric} = {}", shown(found))));
            } else {
                notes.push((id, format!("it reports {metric} = {}", shown(found))));
            }
        }
        for (id, note) in notes {
            self.reply(id, Reply::Note(note));
        }
        for (id, ok, message) in over {
            self.written.remove(&id);
            self.answered(CommandResult { id, ok, message, payload: Vec::new() });
        }
    }

    /// A node is born.
    pub fn born(&mut self, topic: &str) {
        if self.written.is_empty() {
            return;
        }
        let signs = self.written.iter();
        let asked = signs.filter(|(_, it)| matches!(&it.sign, Sign::Birth(born) if born == topic));
        for id in asked.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.written.remove(&id);
            let message = "it was born again".to_owned();
            self.answered(CommandResult { id, ok: true, message, payload: Vec::new() });
        }
    }

    /// Whether answers come on this topic.
    pub fn is_answer(&self, topic: &str) -> bool {
        let results = self.topics.as_ref().and_then(|topics| topics.results.as_ref());
        results.is_some_and(|results| results.takes(topic))
    }

    /// Takes an answer.
    pub fn answer(&mut self, topic: &str, payload: &[u8]) -> Result<(), String> {
        let said: Said = serde_json::from_slice(payload)
            .map_err(|error| format!("no answer to a command: {error}"))?;
        let Said { id, ok, message, result } = said;
        if let Some(Written { sign: Sign::Answer(expected), device, .. }) = self.written.get(&id)
            && expected != topic
        {
            return Err(format!("command {id} was for {device}"));
        }
        self.written.remove(&id);
        let payload = match result {
            Json::Null => Vec::new(),
            result => result.to_string().into_bytes(),
        };
        self.answered(CommandResult { id, ok, message, payload });
        Ok(())
    }

    fn answered(&self, result: CommandResult) {
        if let Some(line) = &self.line {
            line.answered(result);
        }
    }

    fn reply(&self, id: u64, reply: Reply) {
        if let Some(line) = &self.line {
            line.reply(id, reply);
        }
    }
}

/// Tells a Sparkplug node.
fn write(command: &Command, spark: &mut Spark, link: &dyn Link) -> Result<Sign, String> {
    let order = Order::read(command)?;
    let acts = spark.acts(&command.device, &order).map_err(|error| error.to_string())?;
    let sign = match (order, acts.first()) {
        (Order::Set(values), _) => Sign::Values(values),
        (Order::Rebirth, Some(Act::Publish { topic, .. })) => {
            Sign::Birth(topic.replacen("/NCMD/", "/NBIRTH/", 1))
        }
        (Order::Rebirth, _) => Sign::Nothing,
    };
    spark.order(acts, link);
    Ok(sign)
}

fn publication(command: &Command, topics: &CommandTopics) -> Publication {
    let arguments = serde_json::from_slice::<Json>(&command.payload).unwrap_or_default();
    let payload = json!({
        "id": command.id,
        "device": command.device,
        "name": command.name,
        "arguments": arguments,
        "expires_at": command.expires_at.as_millis(),
    });
    let topic = topics.topic.topic(&command.device, "");
    Publication { topic, payload: payload.to_string().into(), qos: 1, retain: false }
}

impl Order {
    pub fn read(command: &Command) -> Result<Order, String> {
        let arguments = match command.payload.as_slice() {
            [] => Json::Null,
            payload => serde_json::from_slice(payload).map_err(|error| error.to_string())?,
        };
        let content = |(metric, value): (&String, &Json)| match content(value) {
            Some(content) => Ok((metric.clone(), content)),
            None => Err(format!("{metric}: a number, true, false or a text")),
        };
        match (&*command.name, &arguments) {
            ("rebirth", Json::Null) => Ok(Order::Rebirth),
            (_, Json::Object(map)) if map.len() == 1 && map.contains_key("value") => {
                let value = content((&command.name, &arguments["value"]))?;
                Ok(Order::Set(vec![value]))
            }
            ("set", Json::Object(map))
                if map.len() == 1 && map.get("values").is_some_and(Json::is_object) =>
            {
                let values = map.get("values").and_then(Json::as_object).into_iter().flatten();
                let values = values.map(content).collect::<Result<Vec<_>, _>>()?;
                match values.is_empty() {
                    true => Err("values: at least one".to_owned()),
                    false => Ok(Order::Set(values)),
                }
            }
            _ => Err(
                "a Sparkplug device takes the name of a metric with {\"value\": …}, \"set\" with \
                      {\"values\": {\"metric\": …}}, or \"rebirth\""
                    .to_owned(),
            ),
        }
    }
}

fn content(value: &Json) -> Option<Content<'static>> {
    match value {
        Json::Bool(value) => Some(Content::Bool(*value)),
        Json::String(text) => Some(Content::Text(text.clone().into())),
        Json::Number(number) => {
            number.as_i64().map(Content::Int).or_else(|| number.as_f64().map(Content::Float))
        }
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

/// Whether a metric reports what it was told; a Float comes back with fewer digits.
fn same(wanted: &Content<'_>, found: &Content<'_>) -> bool {
    let number = |content: &Content<'_>| match content {
        Content::Float(value) => Some(*value),
        Content::Int(value) => Some(*value as f64),
        Content::Bool(_) | Content::Text(_) => None,
    };
    match (wanted, found) {
        (Content::Int(wanted), Content::Int(found)) => wanted == found,
        _ => match (number(wanted), number(found)) {
            (Some(wanted), Some(found)) => wanted as f32 == found as f32,
            _ => wanted == found,
        },
    }
}

fn shown(content: &Content<'_>) -> String {
    match content {
        Content::Float(value) => value.to_string(),
        Content::Int(value) => value.to_string(),
        Content::Bool(value) => value.to_string(),
        Content::Text(text) => format!("{:?}", text.chars().take(100).collect::<String>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(name: &str, payload: &str) -> Result<Order, String> {
        let (name, payload) = (name.to_owned(), payload.as_bytes().to_vec());
        Order::read(&Command { name, payload, ..Command::default() })
    }

    #[test]
    fn an_order_is_a_metric_and_its_value_or_several_or_a_rebirth() {
        let set = |values: &[(&str, Content<'static>)]| {
            let owned = values.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
            Ok(Order::Set(owned.collect()))
        };
        assert_eq!(order("rebirth", ""), Ok(Order::Rebirth));
        assert_eq!(order("valve", "{\"value\":2}"), set(&[("valve", Content::Int(2))]));
        assert_eq!(order("set", "{\"value\":1.5}"), set(&[("set", Content::Float(1.5))]));
        assert_eq!(
            order("set", "{\"values\":{\"a\":true,\"b\":\"x\"}}"),
            set(&[("a", Content::Bool(true)), ("b", Content::Text("x".into()))])
        );
        for (name, payload) in [
            ("valve", ""),
            ("valve", "{\"value\":null}"),
            ("valve", "{\"value\":1,\"more\":2}"),
            ("set", "{\"values\":{}}"),
            ("set", "{\"to\":{}}"),
            ("valve", "{\"values\":{\"a\":1}}"),
        ] {
            assert!(order(name, payload).is_err(), "{name} {payload}");
        }
    }

    #[test]
    fn a_value_comes_back_as_its_type_can_hold_it() {
        let text = |text: &'static str| Content::Text(text.into());
        for (wanted, found, expected) in [
            (Content::Float(21.3), Content::Float(f64::from(21.3_f32)), true),
            (Content::Int(21), Content::Float(21.0), true),
            (Content::Float(21.3), Content::Float(21.4), false),
            (Content::Int(1 << 60), Content::Int((1 << 60) + 1), false),
            (Content::Bool(true), Content::Int(1), false),
            (text("on"), text("on"), true),
        ] {
            assert_eq!(same(&wanted, &found), expected, "{wanted:?} {found:?}");
        }
    }
}
