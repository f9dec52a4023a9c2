//! `[[intake.mqtt]]` and its routes, and `[quarantine]`, checked.

use super::checked::{Checker, LiveConfig};
use super::commands::CommandTopics;
use super::file;
use super::forms::FormsConfig;
use super::publish::PublishConfig;
use crate::routes::{Decoder, Route, RouteSpec};
use crate::sparkplug::{self, Naming};
use crate::wire::Limits;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

const NAME_BYTES_MAX: usize = 32;
/// What every broker takes, and no more than the specification has to (MQTT 5, 3.1.3.1).
const CLIENT_ID_BYTES_MAX: usize = 128;
const ROUTES_MAX: usize = 1000;
const KEEP_ALIVE_S: std::ops::RangeInclusive<u64> = 1..=65_535;

/// Ways in besides our own protocol; see `config/tidegate.toml`.
#[derive(Debug, Clone)]
pub struct IntakeConfig {
    /// How posted bodies of other people's forms are read.
    pub forms: Arc<FormsConfig>,
    /// Bridges to brokers.
    pub mqtt: Vec<MqttConfig>,
}

/// One `[[intake.mqtt]]`; see `config/tidegate.toml` for each.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "config/tidegate.toml has a sentence for each, under the same name"
)]
pub struct MqttConfig {
    pub name: String,
    pub broker: Arc<Broker>,
    /// `None` = the messages are ours alone.
    pub group: Option<String>,
    pub in_flight_bytes: usize,
    /// The first that takes a topic reads its messages.
    pub routes: Arc<[Route]>,
    /// The route of a Sparkplug host, and how the host is set up.
    pub sparkplug: Option<(usize, sparkplug::Settings)>,
    /// `None` = nothing is published.
    pub publish: Option<PublishConfig>,
    /// `None` = devices are told nothing over topics.
    pub commands: Option<CommandTopics>,
}

/// A broker, and who we are for it.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "config/tidegate.toml has a sentence for each, under the same name"
)]
pub struct Broker {
    /// As it was written; it holds no secret.
    pub url: String,
    pub host: String,
    pub port: u16,
    pub tls: bool,
    pub client_id: String,
    pub version: MqttVersion,
    /// `None` = without.
    pub username: Option<String>,
    /// `None` = without.
    pub password_file: Option<PathBuf>,
    /// `None` = the authorities that the machine trusts.
    pub ca_file: Option<PathBuf>,
    /// Our certificate and its key; `None` = without.
    pub identity: Option<(PathBuf, PathBuf)>,
    pub persistent: bool,
    pub session_expiry: Duration,
    pub keep_alive: Duration,
    pub receive_maximum: u16,
    pub message_bytes_max: usize,
}

/// Which MQTT is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MqttVersion {
    /// 3.1.1.
    V4,
    /// 5.
    V5,
}

/// What no route understands; see `config/tidegate.toml` for each.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "config/tidegate.toml has a sentence for each, under the same name"
)]
pub struct QuarantineConfig {
    pub messages_max: u64,
    pub bytes_max: u64,
    /// `None` = for ever.
    pub age_max: Option<Duration>,
}

impl MqttConfig {
    /// What is subscribed to: the filters of the routes, as members of the group if there is one.
    #[must_use]
    pub fn subscriptions(&self) -> Vec<(String, u8)> {
        let mut all: Vec<(String, u8)> = Vec::new();
        for route in self.routes.iter() {
            let filter = match &self.group {
                None => route.filter().to_owned(),
                Some(group) => format!("$share/{group}/{}", route.filter()),
            };
            match all.iter_mut().find(|(other, _)| *other == filter) {
                // A second subscription to the same filter would replace the first.
                Some((_, qos)) => *qos = (*qos).max(route.qos()),
                None => all.push((filter, route.qos())),
            }
        }
        let results = self.commands.as_ref().and_then(|commands| commands.results.as_ref());
        // Not as a member of a group: an answer is for who asked.
        all.extend(results.map(|results| (results.filter(), 1)));
        all
    }
}

impl Broker {
    /// In the seconds that CONNECT has.
    #[must_use]
    pub fn keep_alive_s(&self) -> u16 {
        u16::try_from(self.keep_alive.as_secs()).unwrap_or(u16::MAX).max(1)
    }

    /// In the seconds that CONNECT has; its largest number means for ever.
    #[must_use]
    pub fn session_expiry_s(&self) -> u32 {
        u32::try_from(self.session_expiry.as_secs()).unwrap_or(u32::MAX)
    }
}

impl Checker<'_> {
    pub(super) fn intake(
        &mut self,
        file: &file::Intake,
        limits: &Limits,
        live: &LiveConfig,
    ) -> IntakeConfig {
        if !cfg!(feature = "mqtt") && !file.mqtt.is_empty() {
            let problem = "this tidegate was built without MQTT (feature \"mqtt\")";
            self.wrong("intake.mqtt", problem.to_owned());
        }
        let mqtt: Vec<_> = file
            .mqtt
            .iter()
            .enumerate()
            .filter_map(|(number, bridge)| {
                let earlier = &file.mqtt[..number];
                self.bridge_name(&format!("intake.mqtt.{number}.name"), &bridge.name, earlier);
                self.bridge(number, bridge, limits, live)
            })
            .collect();
        for (number, bridge) in mqtt.iter().enumerate() {
            let who = |bridge: &MqttConfig| {
                let Broker { host, port, client_id, .. } = &*bridge.broker;
                (host.clone(), *port, client_id.clone())
            };
            if mqtt[..number].iter().any(|other| who(other) == who(bridge)) {
                let key = format!("intake.mqtt.{number}.client_id");
                self.wrong(
                    &key,
                    "another bridge has it at the same broker, which would send one of both away"
                        .to_owned(),
                );
            }
        }
        self.no_circles(&mqtt);
        let forms = FormsConfig {
            lines: self.lines(&file.lines),
            otlp: self.otlp(&file.otlp),
            prometheus: self.prometheus(&file.prometheus),
        };
        IntakeConfig { forms: Arc::new(forms), mqtt }
    }

    pub(super) fn quarantine(&mut self, file: &file::Quarantine) -> QuarantineConfig {
        let age_max = self.duration("quarantine.age_max", &file.age_max);
        let bytes_max = self.size("quarantine.size_max", &file.size_max);
        self.within("quarantine.size_max", bytes_max, 64 << 10..=1 << 40);
        QuarantineConfig {
            messages_max: u64::from(self.count(
                "quarantine.messages_max",
                file.messages_max,
                1..=100_000,
            )),
            bytes_max,
            age_max: (!age_max.is_zero()).then_some(age_max),
        }
    }

    fn bridge_name(&mut self, path: &str, name: &str, earlier: &[file::Mqtt]) {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !(1..=NAME_BYTES_MAX).contains(&name.len()) || !name.bytes().all(allowed) {
            self.wrong(path, format!("\"{name}\" must be 1 to 32 of a-z, 0-9 and \"-\""));
        }
        if let Some(other) = earlier.iter().position(|other| other.name == name) {
            self.wrong(path, format!("\"{name}\" is the name of intake.mqtt.{other} already"));
        }
    }

    /// Nothing if there is nothing to connect to; then a mistake is noted.
    fn bridge(
        &mut self,
        number: usize,
        file: &file::Mqtt,
        limits: &Limits,
        live: &LiveConfig,
    ) -> Option<MqttConfig> {
        let key = |key: &str| format!("intake.mqtt.{number}.{key}");
        let routes = self.routes(&key("routes"), &file.routes);
        let in_flight_bytes =
            self.memory(&key("in_flight_bytes"), &file.in_flight_bytes, 64 << 10..=64 << 30);
        let group = &file.group;
        if group.contains(['/', '+', '#']) {
            self.wrong(&key("group"), "must be without \"/\", \"+\" and \"#\"".to_owned());
        }
        if !group.is_empty() && routes.iter().any(|route| route.decoder() == Decoder::Sparkplug) {
            self.wrong(
                &key("group"),
                "a Sparkplug host must see every message: leave it empty".to_owned(),
            );
        }
        Some(MqttConfig {
            name: file.name.clone(),
            group: (!group.is_empty()).then(|| group.clone()),
            in_flight_bytes,
            sparkplug: self.sparkplug(&key("routes"), &routes, limits),
            commands: self.command_topics(&key("commands"), &file.commands),
            publish: self.publish(&key("publish"), &file.publish, live),
            routes: routes.into(),
            // Last, so that the other keys are checked without it.
            broker: Arc::new(self.broker(&key, file)?),
        })
    }

    fn broker(&mut self, key: &dyn Fn(&str) -> String, file: &file::Mqtt) -> Option<Broker> {
        let address = self.broker_url(&key("url"), &file.url);
        let client_id = match file.client_id.as_str() {
            "" => format!("tidegate-{}", file.name),
            given => given.to_owned(),
        };
        if client_id.len() > CLIENT_ID_BYTES_MAX || client_id.contains(char::is_control) {
            self.wrong(
                &key("client_id"),
                format!("may have {CLIENT_ID_BYTES_MAX} bytes, without control characters"),
            );
        }
        let path = |path: &Path| (!path.as_os_str().is_empty()).then(|| path.to_owned());
        let certificate = path(&file.certificate_file);
        let identity = match (certificate, path(&file.key_file)) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => {
                self.wrong(
                    &key("certificate_file"),
                    "a certificate needs its key_file, and a key its certificate".to_owned(),
                );
                None
            }
        };
        let username = (!file.username.is_empty()).then(|| file.username.clone());
        let password_file = path(&file.password_file);
        if password_file.is_some() && username.is_none() {
            self.wrong(&key("password_file"), "a password needs a username".to_owned());
        }
        let keep_alive = self.positive(&key("keep_alive"), &file.keep_alive);
        self.within(&key("keep_alive"), keep_alive.as_secs(), KEEP_ALIVE_S);
        let receive_maximum = self.count(&key("receive_maximum"), file.receive_maximum, 1..=65_535);
        let version = match file.version {
            4 => MqttVersion::V4,
            5 => MqttVersion::V5,
            other => {
                self.wrong(&key("version"), format!("{other} is neither 4 (MQTT 3.1.1) nor 5"));
                MqttVersion::V5
            }
        };
        let choices = [("persistent", true), ("clean", false)];
        let persistent = self.one_of(&key("session"), &file.session, &choices);
        let session_expiry = self.positive(&key("session_expiry"), &file.session_expiry);
        let message_bytes_max =
            self.memory(&key("message_bytes_max"), &file.message_bytes_max, 1024..=64 << 20);
        let (host, port, tls) = address?;
        if !tls && (path(&file.ca_file).is_some() || identity.is_some()) {
            self.wrong(&key("url"), "certificates are for mqtts://".to_owned());
        }
        Some(Broker {
            url: file.url.clone(),
            host,
            port,
            tls,
            client_id,
            version,
            username,
            password_file,
            ca_file: path(&file.ca_file),
            identity,
            persistent,
            session_expiry,
            keep_alive,
            receive_maximum: u16::try_from(receive_maximum).unwrap_or(u16::MAX),
            message_bytes_max,
        })
    }

    /// Mistakes do not repeat what was written: it may hold a password.
    fn broker_url(&mut self, path: &str, text: &str) -> Option<(String, u16, bool)> {
        let mut wrong = |problem: &str| {
            self.wrong(path, problem.to_owned());
            None
        };
        if text.is_empty() {
            return wrong(
                "is missing; like \"mqtt://127.0.0.1:1883\" or \"mqtts://broker.example\"",
            );
        }
        let Ok(url) = Url::parse(text) else {
            return wrong("is no address, like \"mqtt://127.0.0.1:1883\"");
        };
        let (tls, port) = match url.scheme() {
            "mqtt" => (false, 1883),
            "mqtts" => (true, 8883),
            _ => return wrong("must begin with mqtt:// or mqtts://"),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return wrong("a user goes to username, a password to password_file");
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return wrong("has nothing after host and port");
        }
        let host = match url.host_str() {
            None | Some("") => return wrong("has no host"),
            Some(host) => host.trim_start_matches('[').trim_end_matches(']').to_owned(),
        };
        Some((host, url.port().unwrap_or(port), tls))
    }

    fn sparkplug(
        &mut self,
        path: &str,
        routes: &[Route],
        limits: &Limits,
    ) -> Option<(usize, sparkplug::Settings)> {
        let mut hosts = routes.iter().enumerate();
        let (number, route) = hosts.find(|(_, route)| route.decoder() == Decoder::Sparkplug)?;
        if hosts.any(|(_, route)| route.decoder() == Decoder::Sparkplug) {
            self.wrong(
                path,
                "a bridge is one Sparkplug host: one route with that decoder".to_owned(),
            );
        }
        let key = |key: &str| format!("{path}.{number}.{key}");
        let spec = route.spec();
        if !spec.tags.is_empty() {
            self.wrong(
                &key("tags"),
                "readings of Sparkplug have none; device = \"{group}/{node}/{device}\" names all"
                    .to_owned(),
            );
        }
        let naming = match spec.device.as_str() {
            "" => Naming::default(),
            template => Naming::new(template).unwrap_or_else(|error| {
                self.wrong(&key("device"), error.to_string());
                Naming::default()
            }),
        };
        let settings = sparkplug::Settings {
            host_id: spec.host_id.clone(),
            naming,
            reorder_timeout: self.positive(&key("reorder_timeout"), &spec.reorder_timeout),
            limits: limits.clone(),
            ..sparkplug::Settings::default()
        };
        Some((number, settings))
    }

    fn routes(&mut self, path: &str, specs: &[RouteSpec]) -> Vec<Route> {
        if specs.is_empty() {
            self.wrong(
                path,
                format!("there is none; each begins with [[{}]]", path.replace(".0", "")),
            );
        }
        if specs.len() > ROUTES_MAX {
            self.wrong(path, format!("there are {}, at most {ROUTES_MAX} may be", specs.len()));
        }
        let mut routes = Vec::new();
        for (number, spec) in specs.iter().enumerate() {
            let key = |key: &str| format!("{path}.{number}.{key}");
            if spec.qos > 1 {
                self.wrong(
                    &key("qos"),
                    "must be 0 or 1; what is published with 2 comes with 1".to_owned(),
                );
            }
            match Route::new(spec) {
                Ok(route) => routes.push(route),
                Err(mistakes) => {
                    for mistake in mistakes {
                        self.wrong(&key(&mistake.key), mistake.problem);
                    }
                }
            }
        }
        routes
    }
}
