//! `[alerting]` and `[[alerts]]`, checked.

use super::checked::Checker;
use super::file::File;
use crate::alerts::RULES_MAX;
use crate::rules::{Rule, Spec};
use std::time::Duration;

/// Alert rules, and how alerts are kept; see `config/tidegate.toml` for each.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "config/tidegate.toml has a sentence for each, under the same name"
)]
pub struct AlertsConfig {
    /// `None` = for ever.
    pub keep: Option<Duration>,
    pub events_max: u64,
    pub series_max: usize,
    pub forget_after: Duration,
    /// All of them make sense.
    pub rules: Vec<Spec>,
}

impl Checker<'_> {
    pub(super) fn alerts(&mut self, file: &File) -> AlertsConfig {
        let alerting = &file.alerting;
        let keep = self.duration("alerting.keep", &alerting.keep);
        self.within("alerting.series_max", alerting.series_max as u64, 1..=10_000_000);
        if file.alerts.len() > RULES_MAX {
            let problem = format!("{} rules are given, {RULES_MAX} are allowed", file.alerts.len());
            self.wrong("alerts", problem);
        }
        for (number, spec) in file.alerts.iter().enumerate() {
            let wrong = Rule::new(spec).err().unwrap_or_default();
            for wrong in wrong {
                self.wrong(&format!("alerts.{number}.{}", wrong.key), wrong.problem);
            }
            let mut earlier = file.alerts[..number].iter();
            if let Some(other) = earlier.position(|other| other.name == spec.name) {
                let problem = format!("\"{}\" is the name of alerts.{other} already", spec.name);
                self.wrong(&format!("alerts.{number}.name"), problem);
            }
        }
        AlertsConfig {
            keep: (!keep.is_zero()).then_some(keep),
            events_max: u64::from(self.count(
                "alerting.events_max",
                alerting.events_max,
                100..=100_000_000,
            )),
            series_max: alerting.series_max,
            forget_after: self.positive("alerting.forget_after", &alerting.forget_after),
            rules: file.alerts.clone(),
        }
    }
}
