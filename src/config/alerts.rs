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

#[cfg(test)]
mod tests {
    use crate::config::{Sources, load};
    use std::path::PathBuf;

    /// The settings of a file with this text.
    fn loaded(toml: &str) -> Result<Vec<crate::rules::Spec>, String> {
        let directory = tempfile::tempdir().unwrap();
        let path: PathBuf = directory.path().join("tidegate.toml");
        std::fs::write(&path, toml).unwrap();
        let loaded = load(&Sources { file: Some(path), ..Sources::default() });
        loaded.map(|(config, _)| config.alerts.rules).map_err(|error| error.to_string())
    }

    #[test]
    fn every_example_of_the_manual_is_good() {
        let manual = include_str!("../../docs/alerts.md");
        let examples: Vec<_> = manual
            .split("```toml\n")
            .skip(1)
            .map(|rest| rest.split("```").next().unwrap_or_default())
            .collect();
        assert_eq!(examples.len(), 7);
        for example in &examples {
            let rules = loaded(example).unwrap_or_else(|error| panic!("{example}: {error}"));
            assert_eq!(rules.len(), 1);
        }
        // And all together.
        let rules = loaded(&examples.concat()).unwrap();
        assert_eq!((rules[0].above, rules[0].hysteresis), (Some(80.0), 5.0));
        assert_eq!(rules[1].tags["site"], "north");
        assert_eq!(rules[4].equals.len(), 3);
    }

    #[test]
    fn all_mistakes_of_all_rules_are_told_with_their_keys() {
        let bad = "[[alerts]]\nname = \"a\"\nkind = \"threshold\"\n\
                   [[alerts]]\nname = \"a\"\nkind = \"absence\"\nafter = \"soon\"\n\
                   [[alerts]]\nkind = \"offline\"\nabove = 1\n";
        let error = loaded(bad).unwrap_err();
        for wrong in [
            "alerts.0.above: is missing",
            "alerts.1.after: \"soon\" is not a duration",
            "alerts.1.name: \"a\" is the name of alerts.0 already",
            "alerts.2.name: the name is empty",
            "alerts.2.above: has no meaning in a rule of kind offline",
        ] {
            assert!(error.contains(wrong), "{wrong}: {error}");
        }
        let error = loaded("[[alerts]]\nabov = 1\nequals = [7]\n").unwrap_err();
        assert!(error.contains("there is no such key as \"abov\""), "{error}");
        assert!(loaded("[[alerts]]\nname=\"a\"\nkind=\"text\"\nequals = [7]\n").is_err());
    }
}
