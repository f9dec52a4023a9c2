//! The shape of the TOML file. Every key is present, because the embedded manual is the bottom layer.

use crate::routes::RouteSpec;
use serde::{Deserialize, Serialize};

/// A quantity with its unit, as written: `"64 MiB"`, `"10 s"`.
pub(super) type Quantity = String;

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub listen: String,
    pub state_dir: std::path::PathBuf,
    pub limits: Limits,
    pub intake: Intake,
    pub quarantine: Quarantine,
    pub spool: Spool,
    pub history: History,
    pub sinks: Sinks,
    pub live: Live,
    pub alerting: Alerting,
    pub alerts: Vec<crate::rules::Spec>,
    pub commands: Commands,
    pub notify: Notify,
    pub devices: super::devices::Devices,
    pub clocks: super::devices::Clocks,
    pub auth: super::auth::Auth,
    pub tls: super::tls::Tls,
    pub proxy: super::proxy::Proxy,
    pub log: Log,
    pub shutdown: Shutdown,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    pub connections_max: usize,
    pub connections_per_address: u32,
    pub handshakes_per_second: u32,
    pub message_bytes: Quantity,
    pub inflated_bytes: Quantity,
    pub inflated_ratio: u32,
    pub tables: u32,
    pub columns: u32,
    pub rows: u32,
    pub samples: u32,
    pub tags: u32,
    pub name_bytes: u32,
    pub text_bytes: u32,
    pub age_max: Quantity,
    pub ahead_max: Quantity,
    pub new_series_per_minute: u32,
    pub series_max: usize,
    pub batches_per_second: u32,
    pub samples_per_second: u32,
    pub credit_batches: u32,
    pub credit_bytes: Quantity,
    pub gate_memory: Quantity,
    pub sessions_max: usize,
    pub hello_timeout: Quantity,
    pub header_timeout: Quantity,
    pub body_timeout: Quantity,
    pub ping_interval: Quantity,
    pub pong_timeout: Quantity,
    pub idle_timeout: Quantity,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Intake {
    pub lines: super::forms::Lines,
    pub otlp: super::forms::Otlp,
    pub prometheus: super::forms::Prometheus,
    pub mqtt: Vec<Mqtt>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mqtt {
    pub name: String,
    pub url: String,
    pub client_id: String,
    pub version: u32,
    pub username: String,
    pub password_file: std::path::PathBuf,
    pub ca_file: std::path::PathBuf,
    pub certificate_file: std::path::PathBuf,
    pub key_file: std::path::PathBuf,
    pub session: String,
    pub session_expiry: Quantity,
    pub keep_alive: Quantity,
    pub group: String,
    pub receive_maximum: u32,
    pub in_flight_bytes: Quantity,
    pub message_bytes_max: Quantity,
    pub routes: Vec<RouteSpec>,
    pub publish: Publish,
    pub commands: CommandTopics,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CommandTopics {
    pub topic: String,
    pub results: String,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Publish {
    pub rollups: String,
    pub window: Quantity,
    pub devices: Vec<String>,
    pub metrics: Vec<String>,
    pub presence: String,
    pub alerts: String,
    pub alerts_clear: Quantity,
    pub qos: u32,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Commands {
    pub keep: Quantity,
    pub keep_max: u32,
    pub ttl_max: Quantity,
    pub per_device_max: u32,
    pub open_max: u32,
    pub open_memory: Quantity,
    pub resend: Quantity,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Quarantine {
    pub messages_max: u32,
    pub size_max: Quantity,
    pub age_max: Quantity,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Spool {
    pub durability: String,
    pub sync_interval: Quantity,
    pub size_max: Quantity,
    pub when_full: String,
    pub segment_size: Quantity,
    pub tail_memory: Quantity,
    pub reserve: Quantity,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct History {
    pub retention: Quantity,
    pub size_max: Quantity,
    pub flush_interval: Quantity,
    pub head_samples_max: usize,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sinks {
    pub dead_letters_size_max: Quantity,
    pub dead_letters_age_max: Quantity,
    pub influx: Vec<Influx>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Influx {
    pub name: String,
    pub url: String,
    pub org: String,
    pub bucket: String,
    pub token_file: std::path::PathBuf,
    pub measurement: String,
    pub devices: Vec<String>,
    pub metrics: Vec<String>,
    pub send: String,
    pub rollup_window: Quantity,
    pub rollup_silence: Quantity,
    pub batch_samples: u32,
    pub batch_bytes: Quantity,
    pub batch_age: Quantity,
    pub requests_max: u32,
    pub timeout: Quantity,
    pub backlog_share: f64,
    pub breaker: Breaker,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Breaker {
    pub failures: u32,
    pub failure_rate: f64,
    pub backoff: Quantity,
    pub backoff_max: Quantity,
    pub unreachable_max: Quantity,
    pub fix_interval: Quantity,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Live {
    pub tick: Quantity,
    pub windows: Vec<Quantity>,
    pub lateness: Quantity,
    pub offline_after: Quantity,
    pub resume_memory: Quantity,
    pub resume_keep: Quantity,
    pub viewers_max: usize,
    pub viewers_per_address: u32,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Alerting {
    pub keep: Quantity,
    pub events_max: u32,
    pub series_max: usize,
    pub forget_after: Quantity,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Notify {
    pub group_wait: Quantity,
    pub group_interval: Quantity,
    pub messages_per_hour: u32,
    pub give_up_after: Quantity,
    pub page_url: String,
    pub webhook: Vec<Webhook>,
    pub email: Vec<Email>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Webhook {
    pub name: String,
    pub url: String,
    pub secret_file: std::path::PathBuf,
    pub timeout: Quantity,
    pub severity_min: String,
    pub resolved: bool,
    pub acknowledged: bool,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Email {
    pub name: String,
    pub smtp: String,
    pub tls: String,
    pub ca_file: std::path::PathBuf,
    pub user: String,
    pub password_file: std::path::PathBuf,
    pub from: String,
    pub to: Vec<String>,
    pub timeout: Quantity,
    pub severity_min: String,
    pub resolved: bool,
    pub acknowledged: bool,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Log {
    pub level: String,
    pub modules: std::collections::BTreeMap<String, String>,
    pub format: String,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shutdown {
    pub deadline: Quantity,
}
