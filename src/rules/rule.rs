//! A rule that makes sense.

use super::alert::Severity;
use super::check::Check;
use super::spec::{Equal, Spec, Wrong};
use super::text::Template;
use crate::model::{Globs, tags_of_identity};
use std::sync::Arc;

/// A rule that has been checked. Two of the same [`Rule::fingerprint`] judge alike.
#[derive(Debug)]
pub struct Rule {
    /// Its name.
    pub name: Arc<str>,
    /// As it was written, defaults filled in.
    pub spec: Spec,
    /// How bad it is.
    pub severity: Severity,
    /// Names what it judges and how; texts, severity and channels are not part of it.
    pub fingerprint: u64,
    pub(super) devices: Option<Globs>,
    pub(super) metrics: Option<Globs>,
    /// For how long it must hold, in nanoseconds.
    pub(super) hold: i64,
    pub(super) kind: Kind,
    pub(super) text: Template,
}

/// What is judged.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Threshold(Limits),
    /// The rate per `per` nanoseconds, measured over `over`.
    Change {
        limits: Limits,
        per: i64,
        over: i64,
    },
    Absence {
        after: i64,
    },
    Flatline {
        over: i64,
        tolerance: f64,
    },
    Text(Vec<Equal>),
    Offline,
    Daemon {
        what: What,
        above: f64,
    },
}

/// A band that is left on one side or both, and returned to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Limits {
    pub above: Option<f64>,
    pub below: Option<f64>,
    pub hysteresis: f64,
}

/// What the daemon may be in trouble with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// A sink's store can't be written.
    BreakerOpen,
    /// The spool fills.
    Spool,
    /// Batches are refused.
    Refusals,
    /// A broker is not reached.
    Broker,
    /// The disk is full, or can't be written.
    Disk,
}

impl What {
    /// All of them.
    pub const ALL: [What; 5] =
        [What::BreakerOpen, What::Spool, What::Refusals, What::Broker, What::Disk];

    /// As in configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            What::BreakerOpen => "breaker_open",
            What::Spool => "spool",
            What::Refusals => "refusals",
            What::Broker => "broker",
            What::Disk => "disk",
        }
    }

    /// The rule that there is for it if nobody wrote another.
    #[must_use]
    pub fn built_in(self) -> Spec {
        let (name, severity, hold) = match self {
            What::BreakerOpen => ("tidegate breaker", "critical", "30 s"),
            What::Spool => ("tidegate spool", "critical", "10 s"),
            What::Refusals => ("tidegate refusals", "warning", "0 s"),
            What::Broker => ("tidegate broker", "critical", "1 m"),
            What::Disk => ("tidegate disk", "critical", "0 s"),
        };
        Spec {
            name: name.to_owned(),
            kind: "daemon".to_owned(),
            severity: severity.to_owned(),
            hold: hold.to_owned(),
            what: self.name().to_owned(),
            ..Spec::default()
        }
    }

    /// What is too much if nobody says.
    pub(super) fn above(self) -> f64 {
        match self {
            What::Spool => 0.8,
            What::Refusals => 60.0,
            // Either it is so (1) or not (0).
            What::BreakerOpen | What::Broker | What::Disk => 0.5,
        }
    }

    pub(super) fn has_number(self) -> bool {
        matches!(self, What::Spool | What::Refusals)
    }
}

impl Limits {
    /// Whether the value is past a limit.
    pub fn is_past(&self, value: f64) -> bool {
        self.above.is_some_and(|above| value > above)
            || self.below.is_some_and(|below| value < below)
    }

    /// Whether it has come back far enough.
    pub fn is_back(&self, value: f64) -> bool {
        self.above.is_none_or(|above| value <= above - self.hysteresis)
            && self.below.is_none_or(|below| value >= below + self.hysteresis)
    }

    /// The limit that the value is past, or else the one that there is.
    pub fn of(&self, value: f64) -> Option<f64> {
        match (self.above, self.below) {
            (Some(above), Some(below)) => {
                Some(if (value - below).abs() < (value - above).abs() { below } else { above })
            }
            (above, below) => above.or(below),
        }
    }
}

impl Rule {
    /// Checks a rule.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn new(spec: &Spec) -> Result<Rule, Vec<Wrong>> {
        let mut check = Check::new(spec);
        check.bounds();
        let kind = check.kind();
        let severity = check.severity();
        let hold = check.hold(kind.as_ref());
        let devices = check.globs("device", &spec.device);
        let metrics = check.globs("metric", &spec.metric);
        let default = kind.as_ref().map_or("", default_text);
        let text = if spec.text.is_empty() { default } else { &spec.text };
        let text = Template::new(text).map_err(|problem| check.wrong("text", problem)).ok();
        let (Some(kind), Some(text), []) = (kind, text, check.wrong.as_slice()) else {
            return Err(check.wrong);
        };
        let spec = spec.clone();
        let fingerprint = fingerprint(&spec, &kind, hold);
        let name = spec.name.as_str().into();
        Ok(Rule { name, severity, fingerprint, devices, metrics, hold, kind, text, spec })
    }

    /// What of the daemon it watches, if it does.
    #[must_use]
    pub fn what(&self) -> Option<What> {
        match self.kind {
            Kind::Daemon { what, .. } => Some(what),
            _ => None,
        }
    }

    /// Whether it judges readings.
    pub(super) fn is_of_series(&self) -> bool {
        !matches!(self.kind, Kind::Offline | Kind::Daemon { .. })
    }

    pub(super) fn takes_device(&self, device: &str) -> bool {
        self.devices.as_ref().is_none_or(|globs| globs.is_match(device))
    }

    /// Of device and tags as [`Table::identity`](crate::model::Table::identity) has them.
    pub(super) fn takes_table(&self, identity: &str) -> bool {
        let mut tags = self.spec.tags.iter();
        self.is_of_series()
            && self.takes_device(identity.split('\0').next().unwrap_or_default())
            && tags.all(|(key, value)| tags_of_identity(identity).any(|tag| tag == (key, value)))
    }

    /// For how long it was so when it fires, in nanoseconds.
    pub(super) fn span(&self) -> i64 {
        let measured = match self.kind {
            Kind::Absence { after } => after,
            Kind::Flatline { over, .. } => over,
            _ => 0,
        };
        measured.saturating_add(self.hold)
    }

    pub(super) fn takes_metric(&self, metric: &str) -> bool {
        self.metrics.as_ref().is_none_or(|globs| globs.is_match(metric))
    }
}

fn default_text(kind: &Kind) -> &'static str {
    match kind {
        Kind::Threshold(_) => "{metric} of {device} is {value} {unit} (limit {limit} {unit})",
        Kind::Change { .. } => {
            "{metric} of {device} changes by {value} {unit} (limit {limit} {unit})"
        }
        Kind::Absence { .. } => "{metric} of {device}: no reading for {for}",
        Kind::Flatline { .. } => "{metric} of {device} has stayed at {value} {unit} for {for}",
        Kind::Text(_) => "{metric} of {device} is {value}",
        Kind::Offline => "{device} is offline: {value}",
        Kind::Daemon { what: What::BreakerOpen, .. } => {
            "the store of {subject} can't be written: {value}"
        }
        Kind::Daemon { what: What::Spool, .. } => "the spool is full to {value} (limit {limit})",
        Kind::Daemon { what: What::Refusals, .. } => {
            "{value} batches a minute are refused (limit {limit})"
        }
        Kind::Daemon { what: What::Broker, .. } => "the broker of {subject} is away: {value}",
        Kind::Daemon { what: What::Disk, .. } => "nothing can enter: {value}",
    }
}

/// FNV-1a of what it judges, so that it is the same in every release.
fn fingerprint(spec: &Spec, kind: &Kind, hold: i64) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |part: &str| {
        for byte in part.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for text in [&spec.name, &spec.kind, &spec.what] {
        add(text);
    }
    for (mark, list) in [("device", &spec.device), ("metric", &spec.metric)] {
        add(mark);
        list.iter().for_each(|glob| add(glob));
    }
    add("tags");
    spec.tags.iter().for_each(|(key, value)| [key, value].into_iter().for_each(|it| add(it)));
    let number =
        |number: Option<f64>| number.map_or(String::new(), |n| format!("{:x}", n.to_bits()));
    let mut numbers = |list: &[Option<f64>]| list.iter().for_each(|n| add(&number(*n)));
    let mut times = vec![hold];
    match kind {
        Kind::Threshold(limits) => {
            numbers(&[limits.above, limits.below, Some(limits.hysteresis)]);
        }
        Kind::Change { limits, per, over } => {
            numbers(&[limits.above, limits.below, Some(limits.hysteresis)]);
            times.extend([*per, *over]);
        }
        Kind::Absence { after } => times.push(*after),
        Kind::Flatline { over, tolerance } => {
            numbers(&[Some(*tolerance)]);
            times.push(*over);
        }
        Kind::Text(_) | Kind::Offline => {}
        Kind::Daemon { above, .. } => numbers(&[Some(*above)]),
    }
    for equal in &spec.equals {
        match equal {
            Equal::Text(text) => add(&format!("text {text}")),
            Equal::Bool(value) => add(&format!("bool {value}")),
        }
    }
    times.iter().for_each(|time| add(&time.to_string()));
    hash
}

#[cfg(test)]
#[path = "rule_tests.rs"]
mod tests;
