//! `[intake.lines]`, checked: how posted bodies are read that are in other people's forms.

use super::checked::Checker;
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

impl Checker<'_> {
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
