//! `[intake.lines]`, `[intake.otlp]` and `[intake.prometheus]`, checked: how posted bodies are read that are in other people's forms.

use super::checked::Checker;
use crate::model::Globs;
use serde::{Deserialize, Serialize};

/// Tags that may carry a device's name.
const DEVICE_TAGS_MAX: usize = 16;

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lines {
    device_tags: Vec<String>,
    bare_measurement: String,
}

/// How other people's forms become readings.
#[derive(Debug, Clone)]
pub struct FormsConfig {
    /// InfluxDB's line protocol.
    pub lines: LinesConfig,
    /// OpenTelemetry's metrics.
    pub otlp: OtlpConfig,
    /// Prometheus' remote write.
    pub prometheus: PrometheusConfig,
}

/// `[intake.lines]`; see `config/tidegate.toml` for each.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "config/tidegate.toml has a sentence for each, under the same name"
)]
pub struct LinesConfig {
    pub device_tags: Vec<String>,
    pub bare_measurement: String,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Otlp {
    device_attributes: Vec<String>,
    resource_tags: Vec<String>,
}

/// `[intake.otlp]`; see `config/tidegate.toml` for each.
#[derive(Debug, Clone)]
pub struct OtlpConfig {
    /// Attributes of a resource that may carry a device's name.
    pub device_attributes: Vec<String>,
    /// Which of its others become tags; `None` = all.
    pub resource_tags: Option<Globs>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Prometheus {
    device_labels: Vec<String>,
}

/// `[intake.prometheus]`; see `config/tidegate.toml`.
#[derive(Debug, Clone)]
pub struct PrometheusConfig {
    /// Labels that may carry a device's name.
    pub device_labels: Vec<String>,
}

impl Checker<'_> {
    pub(super) fn otlp(&mut self, file: &Otlp) -> OtlpConfig {
        const TAGS: &str = "intake.otlp.resource_tags";
        self.names("intake.otlp.device_attributes", &file.device_attributes);
        // No globs would be all names; an attribute without a name becomes no tag.
        let none = [String::new()];
        let globs = if file.resource_tags.is_empty() { &none[..] } else { &file.resource_tags };
        let resource_tags = Globs::new(globs).unwrap_or_else(|error| {
            self.wrong(TAGS, error.to_string());
            None
        });
        OtlpConfig { device_attributes: file.device_attributes.clone(), resource_tags }
    }

    pub(super) fn prometheus(&mut self, file: &Prometheus) -> PrometheusConfig {
        self.names("intake.prometheus.device_labels", &file.device_labels);
        PrometheusConfig { device_labels: file.device_labels.clone() }
    }

    pub(super) fn lines(&mut self, file: &Lines) -> LinesConfig {
        self.names("intake.lines.device_tags", &file.device_tags);
        LinesConfig {
            device_tags: file.device_tags.clone(),
            bare_measurement: file.bare_measurement.clone(),
        }
    }

    /// Names of tags, labels or attributes, of which the first that is there counts.
    fn names(&mut self, path: &str, names: &[String]) {
        if names.len() > DEVICE_TAGS_MAX {
            let problem = format!("{} are named, {DEVICE_TAGS_MAX} may be", names.len());
            self.wrong(path, problem);
        }
        for (number, name) in names.iter().enumerate() {
            if name.is_empty() {
                self.wrong(path, "one of them is empty".to_owned());
            } else if names[..number].contains(name) {
                self.wrong(path, format!("\"{name}\" is named twice"));
            }
        }
    }
}
