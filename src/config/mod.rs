//! What the administrator decides: one TOML file over the embedded manual, environment, flags.
//!
//! In: text. Out: a checked [`Config`] with a branch per room, or every mistake at once with the
//! path of its key. Two types: `file::File` is the shape of the TOML, [`Config`] is what the rooms
//! get; nothing outside this room sees the first.

mod alerts;
mod auth;
mod checked;
mod commands;
mod devices;
mod file;
mod forms;
mod layers;
mod memory;
mod mqtt;
mod notify;
mod proxy;
mod publish;
mod sinks;
mod tls;

pub use crate::model::parse_duration;
pub use alerts::AlertsConfig;
pub use auth::{Anonymous, AuthConfig, CertificateRule};
pub use checked::{
    Config, HistoryConfig, LimitsConfig, LiveConfig, LogConfig, LogFormat, SpoolConfig,
};
pub use commands::{CommandTopics, CommandsConfig};
pub use devices::{ClocksConfig, DevicesConfig};
pub use forms::{FormsConfig, LinesConfig, OtlpConfig, PrometheusConfig};
pub use layers::{ConfigError, Mistake, Sources, load};
pub use memory::{MemoryLine, buffers, worst_case_memory};
pub use mqtt::{Broker, IntakeConfig, MqttConfig, MqttVersion, QuarantineConfig};
pub use notify::NotifyConfig;
pub use proxy::ProxyConfig;
pub use publish::{PublishConfig, TopicTemplate};
pub use sinks::{InfluxConfig, RollupsConfig, SinksConfig};
pub use tls::{ClientCertificates, TlsConfig, TlsVersion};

/// The manual: every key with its default and a sentence.
pub const MANUAL: &str = include_str!("../../config/tidegate.toml");
