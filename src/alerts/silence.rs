//! Silences: for a while nobody is notified of some alerts.

use crate::model::{Globs, Timestamp};
use crate::rules::{Alert, Severity};
use serde::{Deserialize, Serialize};

/// Which alerts, from when until when, by whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Counted from 1.
    pub id: u64,
    /// Globs of rules' names; none = all.
    pub rule: Vec<String>,
    /// Globs of devices; none = all, and what concerns the daemon.
    pub device: Vec<String>,
    /// Severities; none = all.
    pub severity: Vec<String>,
    /// From then, in nanoseconds since the epoch.
    pub from: i64,
    /// Until then.
    pub until: i64,
    /// Who wants it so.
    pub by: String,
    /// Why.
    pub note: String,
}

/// A silence ready for use.
#[derive(Debug)]
pub(super) struct Ready {
    pub silence: Silence,
    rules: Option<Globs>,
    devices: Option<Globs>,
}

impl Silence {
    /// Whether it is over.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until <= now.0
    }
}

impl Ready {
    /// # Errors
    /// What is wrong with its globs.
    pub fn new(silence: Silence) -> Result<Ready, String> {
        let globs = |key: &str, globs: &[String]| match globs {
            [] => Ok(None),
            globs => Globs::new(globs).map_err(|error| format!("{key}: {error}")),
        };
        let rules = globs("rule", &silence.rule)?;
        let devices = globs("device", &silence.device)?;
        Ok(Ready { rules, devices, silence })
    }

    /// Whether it keeps back what would be told of the alert now.
    pub fn covers(&self, alert: &Alert, now: Timestamp) -> bool {
        let Silence { severity, device, from, until, .. } = &self.silence;
        let is_severity = |severity: Severity, name: &String| severity.name() == name;
        (*from..*until).contains(&now.0)
            && self.rules.as_ref().is_none_or(|globs| globs.is_match(&alert.rule))
            && (severity.is_empty() || severity.iter().any(|it| is_severity(alert.severity, it)))
            && match &alert.device {
                Some(name) => self.devices.as_ref().is_none_or(|globs| globs.is_match(name)),
                None => device.is_empty(),
            }
    }
}
