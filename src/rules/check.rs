//! Whether a rule makes sense: everything that is wrong with it at once.

use super::alert::Severity;
use super::rule::{Kind, Limits, What};
use super::spec::{Equal, Spec, Wrong};
use crate::model::{Globs, NANOS_PER_SECOND, check_name, parse_duration};
use std::time::Duration;

/// The longest name.
const NAME_BYTES_MAX: usize = 128;
/// The longest text, address of a runbook, glob, tag or name of a channel.
const TEXT_BYTES_MAX: usize = 1024;
/// The most globs, tags, values or channels.
const LIST_MAX: usize = 64;
/// No duration is longer than a year: what is meant is a typing error.
const DURATION_MAX: Duration = Duration::from_secs(366 * 86_400);

/// Collects everything that is wrong.
pub(super) struct Check<'a> {
    spec: &'a Spec,
    pub wrong: Vec<Wrong>,
}

impl<'a> Check<'a> {
    pub fn new(spec: &'a Spec) -> Check<'a> {
        Check { spec, wrong: Vec::new() }
    }

    pub fn wrong(&mut self, key: &str, problem: impl Into<String>) {
        self.wrong.push(Wrong { key: key.to_owned(), problem: problem.into() });
    }

    pub fn bounds(&mut self) {
        let spec = self.spec;
        if let Err(error) = check_name(&spec.name, NAME_BYTES_MAX) {
            self.wrong("name", error.to_string());
        }
        for (key, text) in [("text", &spec.text), ("runbook", &spec.runbook)] {
            if text.len() > TEXT_BYTES_MAX {
                self.wrong(key, format!("has {} bytes, {TEXT_BYTES_MAX} are allowed", text.len()));
            }
        }
        let equals = spec.equals.iter().map(|equal| match equal {
            Equal::Text(text) => text.as_str(),
            Equal::Bool(_) => "",
        });
        let lists: [(&str, Vec<&str>); 5] = [
            ("device", spec.device.iter().map(String::as_str).collect()),
            ("metric", spec.metric.iter().map(String::as_str).collect()),
            ("notify", spec.notify.iter().map(String::as_str).collect()),
            ("equals", equals.collect()),
            ("tags", spec.tags.iter().flat_map(|(k, v)| [k.as_str(), v.as_str()]).collect()),
        ];
        for (key, texts) in lists {
            if texts.len() > LIST_MAX {
                self.wrong(key, format!("has {} entries, {LIST_MAX} are allowed", texts.len()));
            }
            if let Some(text) = texts.iter().find(|text| text.len() > TEXT_BYTES_MAX) {
                let bytes = text.len();
                self.wrong(key, format!("has {bytes} bytes, {TEXT_BYTES_MAX} are allowed"));
            }
        }
        let numbers = [
            ("above", spec.above.unwrap_or(0.0)),
            ("below", spec.below.unwrap_or(0.0)),
            ("hysteresis", spec.hysteresis),
            ("tolerance", spec.tolerance),
        ];
        for (key, number) in numbers {
            let is_limit = key == "above" || key == "below";
            if number.is_infinite() || (number.is_nan() && !is_limit) {
                self.wrong(key, "must be a number");
            } else if !is_limit && number < 0.0 {
                self.wrong(key, format!("{number} must not be less than 0"));
            }
        }
    }

    pub fn severity(&mut self) -> Severity {
        let all = [Severity::Info, Severity::Warning, Severity::Critical];
        let found = all.into_iter().find(|severity| severity.name() == self.spec.severity);
        found.unwrap_or_else(|| {
            let problem =
                format!("\"{}\" is none of info, warning and critical", self.spec.severity);
            self.wrong("severity", problem);
            Severity::Warning
        })
    }

    pub fn kind(&mut self) -> Option<Kind> {
        let spec = self.spec;
        let known: &[&str] = match spec.kind.as_str() {
            "threshold" => &["above", "below", "hysteresis", "metric", "tags"],
            "change" => &["above", "below", "hysteresis", "per", "over", "metric", "tags"],
            "absence" => &["after", "metric", "tags"],
            "flatline" => &["over", "tolerance", "metric", "tags"],
            "text" => &["equals", "metric", "tags"],
            "offline" => &[],
            "daemon" => &["what", "above"],
            kind => {
                let all = "threshold, change, absence, flatline, text, offline and daemon";
                self.wrong(
                    "kind",
                    match kind {
                        "" => format!("is missing: one of {all}"),
                        kind => format!("\"{kind}\" is none of {all}"),
                    },
                );
                return None;
            }
        };
        let star = ["*".to_owned()];
        let given = [
            ("above", limit(spec.above).is_some()),
            ("below", limit(spec.below).is_some()),
            ("hysteresis", spec.hysteresis != 0.0),
            ("per", !spec.per.is_empty()),
            ("over", !spec.over.is_empty()),
            ("after", !spec.after.is_empty()),
            ("tolerance", spec.tolerance != 0.0),
            ("equals", !spec.equals.is_empty()),
            ("what", !spec.what.is_empty()),
            ("metric", spec.metric != star),
            ("tags", !spec.tags.is_empty()),
        ];
        for (key, _) in given.iter().filter(|(key, given)| *given && !known.contains(key)) {
            self.wrong(key, format!("has no meaning in a rule of kind {}", spec.kind));
        }
        if spec.kind == "daemon" && spec.device != star {
            self.wrong("device", "has no meaning in a rule of kind daemon");
        }
        Some(match spec.kind.as_str() {
            "threshold" => Kind::Threshold(self.limits()),
            "change" => Kind::Change {
                limits: self.limits(),
                per: self.duration("per", &spec.per, Some("1 m")),
                over: self.duration("over", &spec.over, Some("1 m")),
            },
            "absence" => Kind::Absence { after: self.duration("after", &spec.after, None) },
            "flatline" => Kind::Flatline {
                over: self.duration("over", &spec.over, None),
                tolerance: spec.tolerance,
            },
            "text" => {
                if spec.equals.is_empty() {
                    self.wrong("equals", "is missing: the texts that it holds for");
                }
                Kind::Text(spec.equals.clone())
            }
            "offline" => Kind::Offline,
            _ => self.daemon()?,
        })
    }

    fn daemon(&mut self) -> Option<Kind> {
        let spec = self.spec;
        let Some(what) = What::ALL.into_iter().find(|what| what.name() == spec.what) else {
            let all = What::ALL.map(What::name).join(", ");
            self.wrong("what", format!("\"{}\" is none of {all}", spec.what));
            return None;
        };
        if limit(spec.above).is_some() && !what.has_number() {
            self.wrong("above", format!("has no meaning for {}", what.name()));
        }
        Some(Kind::Daemon { what, above: limit(spec.above).unwrap_or(what.above()) })
    }

    fn limits(&mut self) -> Limits {
        let (above, below) = (limit(self.spec.above), limit(self.spec.below));
        let hysteresis = self.spec.hysteresis;
        match (above, below) {
            (None, None) => self.wrong("above", "is missing, and so is below: one is needed"),
            (Some(above), Some(below)) if below > above => {
                self.wrong("below", format!("{below} is more than above: every value is past one"));
            }
            (Some(above), Some(below)) if above - hysteresis < below + hysteresis => {
                let problem = "is so much that no value between below and above is far enough back";
                self.wrong("hysteresis", problem);
            }
            _ => {}
        }
        Limits { above, below, hysteresis }
    }

    pub fn hold(&mut self, kind: Option<&Kind>) -> i64 {
        match (self.spec.hold.as_str(), kind) {
            ("", Some(Kind::Offline)) => 30 * NANOS_PER_SECOND,
            ("", _) => 0,
            (text, _) => self.any_duration("for", text),
        }
    }

    fn duration(&mut self, key: &str, text: &str, default: Option<&str>) -> i64 {
        let Some(text) = (if text.is_empty() { default } else { Some(text) }) else {
            self.wrong(key, "is missing: a duration, like \"5 m\"");
            return 1;
        };
        let found = self.any_duration(key, text);
        if found == 0 {
            self.wrong(key, "must be more than nothing");
        }
        found.max(1)
    }

    fn any_duration(&mut self, key: &str, text: &str) -> i64 {
        match parse_duration(text) {
            Some(duration) if duration <= DURATION_MAX => {
                i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
            }
            Some(_) => {
                self.wrong(key, format!("\"{text}\" is more than a year"));
                1
            }
            None => {
                let example = "like \"10 s\", \"5 m\" or \"1 h\"";
                self.wrong(key, format!("\"{text}\" is not a duration, {example}"));
                1
            }
        }
    }

    pub fn globs(&mut self, key: &str, globs: &[String]) -> Option<Globs> {
        if globs.is_empty() {
            self.wrong(key, "nothing fits an empty list; [\"*\"] is everything");
        }
        match Globs::new(globs) {
            Ok(globs) => globs,
            Err(error) => {
                self.wrong(key, error.to_string());
                None
            }
        }
    }
}

/// Not a number stands for none where there is no null.
fn limit(number: Option<f64>) -> Option<f64> {
    number.filter(|number| !number.is_nan())
}
