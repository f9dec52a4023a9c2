//! A route, compiled: nothing is parsed or looked up by name when a message comes.

use super::json::JsonPlan;
use super::number::Numbers;
use super::spec::{Mistake, RouteSpec};
use super::template::{Filling, Piece, Template, parts};
use super::topic::{Captures, Pattern};
use crate::model::{NAME_BYTES_MAX, check_name};
use std::borrow::Cow;
use std::fmt;

/// What makes readings of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoder {
    /// JSON by mapping.
    Json,
    /// A bare number, truth value or text.
    Scalar,
    /// Our own `Batch`.
    Tidegate,
    /// Sparkplug B.
    Sparkplug,
    /// Nothing: the messages are known and not wanted.
    Ignore,
}

impl Decoder {
    /// All of them, by name.
    pub const ALL: [(&'static str, Decoder); 5] = [
        ("json", Decoder::Json),
        ("scalar", Decoder::Scalar),
        ("tidegate", Decoder::Tidegate),
        ("sparkplug", Decoder::Sparkplug),
        ("ignore", Decoder::Ignore),
    ];

    /// As in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Decoder::Json => "json",
            Decoder::Scalar => "scalar",
            Decoder::Tidegate => "tidegate",
            Decoder::Sparkplug => "sparkplug",
            Decoder::Ignore => "ignore",
        }
    }
}

impl fmt::Display for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A pattern of topics and what their messages mean.
#[derive(Debug, Clone)]
pub struct Route {
    spec: RouteSpec,
    pattern: Pattern,
    decoder: Decoder,
    device: Option<Template>,
    pub(super) naming: Naming,
    pub(super) texts: Texts,
    pub(super) numbers: Numbers,
    pub(super) json: JsonPlan,
}

/// How readings are named.
#[derive(Debug, Clone, Default)]
pub(super) struct Naming {
    pub(super) device: Template,
    pub(super) metric: Template,
    pub(super) tags: Vec<(Box<str>, Template)>,
    pub(super) unit: Box<str>,
}

/// What texts mean.
#[derive(Debug, Clone, Default)]
pub(super) struct Texts {
    pub(super) taken: bool,
    pub(super) numbers: bool,
    words: Vec<(Box<str>, bool)>,
    no_value: Vec<Box<str>>,
}

impl Texts {
    /// The truth value that a text stands for.
    pub(super) fn word(&self, text: &str) -> Option<bool> {
        self.words.iter().find(|(word, _)| **word == *text).map(|(_, value)| *value)
    }

    /// Whether a text stands for no value.
    pub(super) fn is_no_value(&self, text: &str) -> bool {
        self.no_value.iter().any(|word| **word == *text)
    }
}

impl Route {
    /// Compiles a route.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn new(spec: &RouteSpec) -> Result<Route, Vec<Mistake>> {
        let mut check = Check { spec, mistakes: Vec::new() };
        let route = check.route();
        match route {
            Some(route) if check.mistakes.is_empty() => Ok(route),
            _ => Err(check.mistakes),
        }
    }

    /// What the configuration has.
    #[must_use]
    pub fn spec(&self) -> &RouteSpec {
        &self.spec
    }

    /// The topic filter to subscribe to: captures are wildcards in it, so that messages may come which
    /// the route does not [take](Route::takes).
    #[must_use]
    pub fn filter(&self) -> &str {
        self.pattern.filter()
    }

    /// The quality of service to subscribe with: 0, 1 or 2.
    #[must_use]
    pub fn qos(&self) -> u8 {
        self.spec.qos
    }

    /// What reads its messages.
    #[must_use]
    pub fn decoder(&self) -> Decoder {
        self.decoder
    }

    /// Whether messages that the broker had kept are taken.
    #[must_use]
    pub fn retained(&self) -> bool {
        self.spec.retained
    }

    /// Whether messages on that topic are this route's, and what it captures of the topic.
    #[must_use]
    pub fn takes<'t>(&self, topic: &'t str) -> Option<Captures<'t>> {
        self.pattern.matches(topic)
    }

    /// What was captured by that name, if the pattern has it.
    #[must_use]
    pub fn captured<'t>(&self, captures: &Captures<'t>, name: &str) -> Option<&'t str> {
        self.pattern.number(name).map(|number| captures.get(number))
    }

    /// The device, if the route tells it by the topic alone.
    pub(super) fn fixed_device<'a>(&'a self, captures: &Captures<'a>) -> Option<Cow<'a, str>> {
        self.device.as_ref()?.fill(captures, Filling::default()).ok()
    }
}

struct Check<'s> {
    spec: &'s RouteSpec,
    mistakes: Vec<Mistake>,
}

impl Check<'_> {
    fn wrong(&mut self, key: impl Into<String>, problem: impl Into<String>) {
        self.mistakes.push(Mistake::new(key, problem));
    }

    fn route(&mut self) -> Option<Route> {
        let spec = self.spec;
        if spec.qos > 2 {
            self.wrong("qos", format!("{} is none: it is 0, 1 or 2", spec.qos));
        }
        let decoder = Decoder::ALL.into_iter().find(|(name, _)| *name == spec.decoder);
        let pattern = Pattern::new(&spec.topic);
        if let Err(problem) = &pattern {
            self.wrong("topic", problem.clone());
        }
        let Some((_, decoder)) = decoder else {
            let problem = match spec.decoder.as_str() {
                "" => "is missing: json, scalar, tidegate, sparkplug or ignore".to_owned(),
                other => {
                    format!("\"{other}\" is none of json, scalar, tidegate, sparkplug and ignore")
                }
            };
            self.wrong("decoder", problem);
            return None;
        };
        self.only_used_keys(decoder);
        let pattern = pattern.ok()?;
        let mut slots = Vec::new();
        let mut naming = Naming { unit: spec.unit.as_str().into(), ..Naming::default() };
        let mut device = None;
        match decoder {
            Decoder::Json | Decoder::Scalar => {
                let json = decoder == Decoder::Json;
                let mut slots = json.then_some(&mut slots);
                naming = self.naming(&pattern, decoder, &mut slots)?;
            }
            Decoder::Tidegate => {
                let known = !spec.device.is_empty() || pattern.number("device").is_some();
                device = if known { self.device(&pattern, &mut None) } else { None };
            }
            Decoder::Sparkplug => self.sparkplug(),
            Decoder::Ignore => {}
        }
        let numbers = match Numbers::ALL.into_iter().find(|(name, _)| *name == spec.numbers) {
            Some((_, numbers)) => numbers,
            None => {
                let problem =
                    format!("\"{}\" is none of float, integer and as_written", spec.numbers);
                self.wrong("numbers", problem);
                return None;
            }
        };
        let texts = Texts {
            taken: spec.texts,
            numbers: spec.text_numbers,
            words: spec.words.iter().map(|(word, value)| (word.as_str().into(), *value)).collect(),
            no_value: spec.no_value.iter().map(|word| word.as_str().into()).collect(),
        };
        let json = JsonPlan::new(spec, slots, &mut self.mistakes)?;
        Some(Route { spec: spec.clone(), pattern, decoder, device, naming, texts, numbers, json })
    }

    fn naming(
        &mut self,
        pattern: &Pattern,
        decoder: Decoder,
        slots: &mut Option<&mut Vec<String>>,
    ) -> Option<Naming> {
        let spec = self.spec;
        let device = self.device(pattern, slots);
        let metric = match (spec.metric.as_str(), decoder) {
            ("", Decoder::Json) => "{}",
            ("", _) => "{metric}",
            (metric, _) => metric,
        };
        let metric = self.template("metric", metric, pattern, decoder == Decoder::Json, slots);
        let mut tags = Vec::new();
        for (key, value) in &spec.tags {
            let path = format!("tags.{key}");
            if let Err(error) = check_name(key, NAME_BYTES_MAX) {
                self.wrong(path.as_str(), error.to_string());
            }
            let value = self.template(&path, value, pattern, false, slots);
            tags.extend(value.map(|value| (key.as_str().into(), value)));
        }
        self.unit("unit", &spec.unit);
        for (name, unit) in &spec.units {
            self.unit(&format!("units.{name}"), unit);
        }
        Some(Naming { device: device?, metric: metric?, tags, unit: spec.unit.as_str().into() })
    }

    fn unit(&mut self, key: &str, unit: &str) {
        if !unit.is_empty()
            && let Err(error) = check_name(unit, NAME_BYTES_MAX)
        {
            self.wrong(key, error.to_string());
        }
    }

    fn device(
        &mut self,
        pattern: &Pattern,
        slots: &mut Option<&mut Vec<String>>,
    ) -> Option<Template> {
        let device = match self.spec.device.as_str() {
            "" => "{device}",
            device => device,
        };
        self.template("device", device, pattern, false, slots)
    }

    /// Compiles a template in which there may be captures, pointers if there are slots for them, and
    /// `{}` if `own`.
    fn template(
        &mut self,
        key: &str,
        text: &str,
        pattern: &Pattern,
        own: bool,
        slots: &mut Option<&mut Vec<String>>,
    ) -> Option<Template> {
        let template = Template::new(text, |name| match (name, slots.as_deref_mut()) {
            ("", _) if own => Ok(Piece::Own),
            ("", _) => Err("\"{}\" has a meaning only in the metric of a json route".to_owned()),
            (pointer, Some(slots)) if pointer.starts_with('/') => {
                super::pointer::tokens(pointer)?;
                let known = slots.iter().position(|other| other == pointer);
                Ok(Piece::Slot(known.unwrap_or_else(|| {
                    slots.push(pointer.to_owned());
                    slots.len() - 1
                })))
            }
            (pointer, None) if pointer.starts_with('/') => {
                Err(format!("{{{pointer}}}: only messages of json routes have pointers"))
            }
            (name, _) => match pattern.number(name) {
                Some(number) => Ok(Piece::Capture(number)),
                None if pattern.names().is_empty() => {
                    Err(format!("{{{name}}}: the topic has no captures"))
                }
                None => Err(format!("{{{name}}}: the topic has only {}", pattern.names())),
            },
        });
        let template = template.and_then(|template| match text {
            "" => Err("is empty".to_owned()),
            _ => Ok(template),
        });
        template.map_err(|problem| self.wrong(key, problem)).ok()
    }

    fn sparkplug(&mut self) {
        let below = self.spec.topic.strip_prefix("spBv1.0/").and_then(|t| t.strip_suffix('#'));
        let group = below.map(|below| below.strip_suffix('/').unwrap_or(below));
        if group.is_none_or(|group| group.contains('/')) {
            let problem = "must be \"spBv1.0/#\", or \"spBv1.0/GROUP/#\" for one group";
            self.wrong("topic", problem);
        }
        let known = ["group", "node", "device"];
        match parts(&self.spec.device) {
            Ok(parts) => {
                for part in parts {
                    if let super::template::Part::Placeholder(name) = part
                        && !known.contains(&name)
                    {
                        let problem =
                            format!("{{{name}}} is none of {{group}}, {{node}}, {{device}}");
                        self.wrong("device", problem);
                    }
                }
            }
            Err(problem) => self.wrong("device", problem),
        }
    }

    /// A key that the decoder does not read is a misunderstanding that should not stay unnoticed.
    fn only_used_keys(&mut self, decoder: Decoder) {
        use Decoder::{Json, Scalar, Sparkplug, Tidegate};
        let (spec, default) = (self.spec, RouteSpec::default());
        let used: [(&str, bool, &[Decoder]); 23] = [
            ("device", spec.device != default.device, &[Json, Scalar, Tidegate, Sparkplug]),
            ("metric", spec.metric != default.metric, &[Json, Scalar]),
            ("tags", spec.tags != default.tags, &[Json, Scalar, Sparkplug]),
            ("unit", spec.unit != default.unit, &[Json, Scalar]),
            ("numbers", spec.numbers != default.numbers, &[Json, Scalar]),
            ("texts", spec.texts != default.texts, &[Json, Scalar]),
            ("text_numbers", spec.text_numbers != default.text_numbers, &[Json]),
            ("words", spec.words != default.words, &[Json, Scalar]),
            ("no_value", spec.no_value != default.no_value, &[Json, Scalar]),
            ("retained", spec.retained != default.retained, &[Json, Scalar, Tidegate]),
            ("root", spec.root != default.root, &[Json]),
            ("values", spec.values != default.values, &[Json]),
            ("ignore", spec.ignore != default.ignore, &[Json]),
            ("rename", spec.rename != default.rename, &[Json]),
            ("units", spec.units != default.units, &[Json]),
            ("integers", spec.integers != default.integers, &[Json]),
            ("time", spec.time != default.time, &[Json]),
            ("time_format", spec.time_format != default.time_format, &[Json]),
            ("time_zone", spec.time_zone != default.time_zone, &[Json]),
            ("may_be_empty", spec.may_be_empty != default.may_be_empty, &[Json]),
            ("host_id", spec.host_id != default.host_id, &[Sparkplug]),
            ("reorder_timeout", spec.reorder_timeout != default.reorder_timeout, &[Sparkplug]),
            ("qos", false, &[]),
        ];
        for (key, said, decoders) in used {
            if said && !decoders.contains(&decoder) {
                self.wrong(key, format!("means nothing to the decoder \"{decoder}\""));
            }
        }
    }
}

#[cfg(test)]
mod tests;
