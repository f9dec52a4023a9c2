//! `[sinks]` and its blocks, checked.

use super::checked::Checker;
use super::file;
use crate::model::Globs;
use crate::sinks::breaker;
use crate::sinks::influx::target::{Target, write_url};
use globset::Glob;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// The name of a sink that cannot be given to another.
const HISTORY: &str = "history";
const NAME_BYTES_MAX: usize = 32;
/// One line of the longest texts must have room; more than this no store takes.
const BATCH_BYTES: std::ops::RangeInclusive<u64> = 64 << 10..=64 << 20;
/// The spool keeps what open windows are made of: days of it would fill it.
const ROLLUP_WINDOW_MAX_S: u64 = 3600;
/// As for a subscription of a viewer.
const GLOB_BYTES_MAX: usize = 1024;

/// Stores beside the history; see `config/tidegate.toml` for each.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "config/tidegate.toml has a sentence for each, under the same name"
)]
pub struct SinksConfig {
    pub dead_letters_bytes_max: u64,
    /// `None` = for ever.
    pub dead_letters_age_max: Option<Duration>,
    pub influx: Vec<InfluxConfig>,
}

/// One `[[sinks.influx]]`; see `config/tidegate.toml` for each.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "config/tidegate.toml has a sentence for each, under the same name"
)]
pub struct InfluxConfig {
    pub name: String,
    /// As it was written.
    pub url: String,
    pub org: String,
    pub bucket: String,
    /// Of the store's write API, with organisation and bucket.
    pub write_url: Url,
    /// `None` = no token.
    pub token_file: Option<PathBuf>,
    pub timeout: Duration,
    pub measurement: String,
    /// `None` = all.
    pub devices: Option<Globs>,
    /// `None` = all.
    pub metrics: Option<Globs>,
    /// The same two lists as they were written.
    pub globs: (Vec<String>, Vec<String>),
    /// `None` = every sample is sent.
    pub rollups: Option<RollupsConfig>,
    pub batch_samples: usize,
    pub batch_bytes: usize,
    pub batch_age: Duration,
    pub requests_max: u32,
    pub backlog_share: f64,
    pub breaker: breaker::Settings,
}

/// `send = "rollups"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RollupsConfig {
    /// Width of a window.
    pub window: Duration,
    /// How long a device sends nothing until its windows are closed.
    pub silence: Duration,
}

impl InfluxConfig {
    /// Where it writes.
    #[must_use]
    pub fn target(&self) -> Target {
        Target {
            url: self.write_url.clone(),
            token_file: self.token_file.clone(),
            timeout: self.timeout,
            connections_max: self.requests_max as usize,
        }
    }
}

impl Checker<'_> {
    pub(super) fn sinks(&mut self, file: &file::Sinks) -> SinksConfig {
        let age_max = self.duration("sinks.dead_letters_age_max", &file.dead_letters_age_max);
        let bytes_max = self.size("sinks.dead_letters_size_max", &file.dead_letters_size_max);
        self.within("sinks.dead_letters_size_max", bytes_max, 1 << 20..=1 << 40);
        if !cfg!(feature = "influx") && !file.influx.is_empty() {
            let problem = "this tidegate was built without the InfluxDB sink (feature \"influx\")";
            self.wrong("sinks.influx", problem.to_owned());
        }
        for (number, sink) in file.influx.iter().enumerate() {
            let earlier = &file.influx[..number];
            self.name(&format!("sinks.influx.{number}.name"), &sink.name, earlier);
        }
        let sinks = file.influx.iter().enumerate();
        SinksConfig {
            dead_letters_bytes_max: bytes_max,
            dead_letters_age_max: (!age_max.is_zero()).then_some(age_max),
            influx: sinks.filter_map(|(number, sink)| self.influx(number, sink)).collect(),
        }
    }

    fn name(&mut self, path: &str, name: &str, earlier: &[file::Influx]) {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !(1..=NAME_BYTES_MAX).contains(&name.len()) || !name.bytes().all(allowed) {
            self.wrong(path, format!("\"{name}\" must be 1 to 32 of a-z, 0-9 and \"-\""));
        }
        if name == HISTORY {
            self.wrong(path, "\"history\" is the embedded store's name".to_owned());
        }
        if let Some(other) = earlier.iter().position(|other| other.name == name) {
            self.wrong(path, format!("\"{name}\" is the name of sinks.influx.{other} already"));
        }
    }

    /// Nothing if there is no address to send to; then a mistake is noted, as for everything else.
    fn influx(&mut self, number: usize, file: &file::Influx) -> Option<InfluxConfig> {
        let key = |key: &str| format!("sinks.influx.{number}.{key}");
        let write_url = self.url(&key("url"), file);
        if file.bucket.is_empty() {
            self.wrong(
                &key("bucket"),
                "is missing; where there are no buckets (VictoriaMetrics), any name will do"
                    .to_owned(),
            );
        }
        let name_bytes_max = crate::model::NAME_BYTES_MAX;
        if let Err(error) = crate::model::check_name(&file.measurement, name_bytes_max) {
            self.wrong(&key("measurement"), error.to_string());
        }
        let token_file = &file.token_file;
        Some(InfluxConfig {
            name: file.name.clone(),
            url: file.url.clone(),
            org: file.org.clone(),
            bucket: file.bucket.clone(),
            token_file: (!token_file.as_os_str().is_empty()).then(|| token_file.clone()),
            timeout: self.positive(&key("timeout"), &file.timeout),
            measurement: file.measurement.clone(),
            devices: self.globs(&key("devices"), &file.devices),
            metrics: self.globs(&key("metrics"), &file.metrics),
            globs: (file.devices.clone(), file.metrics.clone()),
            rollups: self.rollups(key, file),
            batch_samples: self.count(&key("batch_samples"), file.batch_samples, 1..=1_000_000)
                as usize,
            batch_bytes: self.memory(&key("batch_bytes"), &file.batch_bytes, BATCH_BYTES),
            batch_age: self.positive(&key("batch_age"), &file.batch_age),
            requests_max: self.count(&key("requests_max"), file.requests_max, 1..=64),
            backlog_share: self.share(&key("backlog_share"), file.backlog_share, 0.05..=0.95),
            breaker: self.breaker(&key("breaker"), &file.breaker),
            // Last, so that the other keys are checked without it.
            write_url: write_url?,
        })
    }

    /// Checked in any case, so that a mistake is not first found when `send` is changed.
    fn rollups(
        &mut self,
        key: impl Fn(&str) -> String,
        file: &file::Influx,
    ) -> Option<RollupsConfig> {
        let window = self.duration(&key("rollup_window"), &file.rollup_window);
        if window.subsec_nanos() != 0 || !(1..=ROLLUP_WINDOW_MAX_S).contains(&window.as_secs()) {
            self.wrong(
                &key("rollup_window"),
                format!("{window:?} must be whole seconds, from \"1 s\" to \"1 h\""),
            );
        }
        let silence = self.positive(&key("rollup_silence"), &file.rollup_silence);
        let send = [("raw", false), ("rollups", true)];
        let rollups = self.one_of(&key("send"), &file.send, &send);
        rollups.then_some(RollupsConfig { window, silence })
    }

    /// The address of the write API. Mistakes do not repeat what was written: it may hold a password.
    fn url(&mut self, path: &str, file: &file::Influx) -> Option<Url> {
        let url = write_url(&file.url, &file.org, &file.bucket);
        url.map_err(|mistake| self.wrong(path, mistake.to_string())).ok()
    }

    fn globs(&mut self, path: &str, globs: &[String]) -> Option<Globs> {
        if globs.is_empty() {
            self.wrong(path, "nothing fits an empty list; [\"*\"] is everything".to_owned());
        }
        for glob in globs {
            if glob.len() > GLOB_BYTES_MAX {
                self.wrong(path, format!("a glob may have {GLOB_BYTES_MAX} bytes"));
                return None;
            }
            if let Err(error) = Glob::new(glob) {
                self.wrong(path, format!("\"{glob}\" is not a glob: {}", error.kind()));
                return None;
            }
        }
        Globs::new(globs).unwrap_or_else(|error| {
            self.wrong(path, format!("can't be used together: {error}"));
            None
        })
    }

    fn breaker(&mut self, path: &str, file: &file::Breaker) -> breaker::Settings {
        let key = |key: &str| format!("{path}.{key}");
        let settings = breaker::Settings {
            failures_in_a_row: self.count(&key("failures"), file.failures, 1..=1000),
            failure_rate: self.share(&key("failure_rate"), file.failure_rate, 0.01..=1.0),
            backoff: self.positive(&key("backoff"), &file.backoff),
            backoff_max: self.positive(&key("backoff_max"), &file.backoff_max),
            unreachable_max: self.positive(&key("unreachable_max"), &file.unreachable_max),
            misconfigured_interval: self.positive(&key("fix_interval"), &file.fix_interval),
            ..breaker::Settings::default()
        };
        if settings.backoff_max < settings.backoff {
            self.wrong(&key("backoff_max"), "must be at least backoff".to_owned());
        }
        settings
    }
}
