//! The checked configuration: a tree with a branch per room, in the units that the rooms use.

use super::commands::CommandsConfig;
use super::file::{self, File};
use super::layers::Mistake;
use super::mqtt::{IntakeConfig, QuarantineConfig};
use super::notify::NotifyConfig;
use super::sinks::SinksConfig;
use crate::model::parse_duration;
use bytesize::ByteSize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything that was decided, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where devices, dashboard and API are served.
    pub listen: SocketAddr,
    /// Directory of everything durable.
    pub state_dir: PathBuf,
    /// Caps on what comes in.
    pub limits: LimitsConfig,
    /// Ways in besides our own protocol.
    pub intake: IntakeConfig,
    /// What no route of a bridge understands.
    pub quarantine: QuarantineConfig,
    /// The log.
    pub spool: SpoolConfig,
    /// The embedded store.
    pub history: HistoryConfig,
    /// Stores beside it.
    pub sinks: SinksConfig,
    /// Windows and viewers.
    pub live: LiveConfig,
    /// Alert rules, and how alerts are kept.
    pub alerts: super::AlertsConfig,
    /// Commands to devices.
    pub commands: CommandsConfig,
    /// Who is told of alerts.
    pub notify: NotifyConfig,
    /// Who is there.
    pub devices: super::DevicesConfig,
    /// Clocks of devices.
    pub clocks: super::ClocksConfig,
    /// Who may come.
    pub auth: super::AuthConfig,
    /// TLS on the listener; `None` = without.
    pub tls: Option<super::TlsConfig>,
    /// Proxies before it.
    pub proxy: super::ProxyConfig,
    /// Logging.
    pub log: LogConfig,
    /// How long a shutdown may take.
    pub shutdown_deadline: Duration,
}

/// Caps on what comes in; see `config/tidegate.toml` for each.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "config/tidegate.toml has a sentence for each, under the same name"
)]
pub struct LimitsConfig {
    /// Caps on one message, as every client is told them.
    pub wire: crate::wire::Limits,
    pub connections_max: usize,
    pub connections_per_address: u32,
    pub handshakes_per_second: u32,
    pub new_series_per_minute: u32,
    pub series_max: usize,
    pub batches_per_second: u32,
    pub samples_per_second: u32,
    pub credit_batches: u32,
    pub credit_bytes: u32,
    pub gate_memory: usize,
    pub sessions_max: usize,
    pub hello_timeout: Duration,
    pub header_timeout: Duration,
    pub body_timeout: Duration,
    pub ping_interval: Duration,
    pub pong_timeout: Duration,
    /// `None` = never.
    pub idle_timeout: Option<Duration>,
}

/// The log; see `config/tidegate.toml` for each.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "config/tidegate.toml has a sentence for each, under the same name"
)]
pub struct SpoolConfig {
    pub durability: crate::spool::Durability,
    pub size_max: u64,
    pub when_full: crate::spool::WhenFull,
    pub segment_size: u64,
    pub tail_memory: usize,
    pub reserve: u64,
}

/// The embedded store; see `config/tidegate.toml` for each.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "config/tidegate.toml has a sentence for each, under the same name"
)]
pub struct HistoryConfig {
    /// `None` = for ever.
    pub retention: Option<Duration>,
    /// `None` = without limit.
    pub size_max: Option<u64>,
    pub flush_interval: Duration,
    pub head_samples_max: usize,
}

/// Windows and viewers; see `config/tidegate.toml` for each.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "config/tidegate.toml has a sentence for each, under the same name"
)]
pub struct LiveConfig {
    pub tick: Duration,
    pub windows: Vec<Duration>,
    pub lateness: Duration,
    pub offline_after: Duration,
    pub resume_memory: usize,
    pub resume_keep: Duration,
    pub viewers_max: usize,
    pub viewers_per_address: u32,
}

/// Logging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// The least severe level that is written.
    pub level: log::LevelFilter,
    /// The same for parts of the daemon, by name.
    pub modules: Vec<(String, log::LevelFilter)>,
    /// How lines look.
    pub format: LogFormat,
}

/// How log lines on stderr look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `key=value` pairs.
    Logfmt,
    /// One JSON object per line.
    Json,
}

/// Names of levels; the first is taken for a wrong one.
const LEVELS: &[(&str, log::LevelFilter)] = &[
    ("info", log::LevelFilter::Info),
    ("error", log::LevelFilter::Error),
    ("warn", log::LevelFilter::Warn),
    ("debug", log::LevelFilter::Debug),
    ("trace", log::LevelFilter::Trace),
];

/// Checks a file's values, collecting every mistake with the path of its key. It is in the directory
/// `beside`, if there is one.
pub(super) fn check(
    file: &File,
    beside: Option<&Path>,
    mistakes: &mut Vec<Mistake>,
) -> Option<Config> {
    let before = mistakes.len();
    let mut check = Checker { mistakes };
    let limits = check.limits(&file.limits);
    let live = check.live(&file.live);
    let config = Config {
        listen: check.listen(&file.listen),
        state_dir: file.state_dir.clone(),
        intake: check.intake(&file.intake, &limits.wire, &live),
        limits,
        quarantine: check.quarantine(&file.quarantine),
        spool: check.spool(&file.spool),
        history: check.history(&file.history),
        sinks: check.sinks(&file.sinks),
        live,
        alerts: check.alerts(file),
        commands: check.commands(&file.commands),
        notify: check.notify(&file.notify),
        devices: check.devices(&file.devices),
        clocks: check.clocks(&file.clocks),
        auth: check.auth(&file.auth, beside.unwrap_or(&file.state_dir)),
        tls: check.tls(&file.tls),
        proxy: check.proxy(&file.proxy),
        log: LogConfig {
            level: check.one_of("log.level", &file.log.level, LEVELS),
            modules: check.log_modules(&file.log.modules),
            format: check.one_of(
                "log.format",
                &file.log.format,
                &[("logfmt", LogFormat::Logfmt), ("json", LogFormat::Json)],
            ),
        },
        shutdown_deadline: check.duration("shutdown.deadline", &file.shutdown.deadline),
    };
    (mistakes.len() == before).then_some(config)
}

/// Turns values into checked ones; what is wrong is noted and replaced by something harmless, so
/// that the next mistake is found too.
pub(super) struct Checker<'a> {
    pub(super) mistakes: &'a mut Vec<Mistake>,
}

impl Checker<'_> {
    pub(super) fn wrong(&mut self, path: &str, problem: String) {
        self.mistakes.push(Mistake { path: path.to_owned(), problem });
    }

    /// How many there are so far.
    pub(super) fn mistakes(&self) -> usize {
        self.mistakes.len()
    }

    fn listen(&mut self, text: &str) -> SocketAddr {
        text.parse().unwrap_or_else(|_| {
            self.wrong(
                "listen",
                format!(
                    "\"{text}\" is not an address with a port, like 127.0.0.1:8080 or [::1]:8080"
                ),
            );
            SocketAddr::from(([127, 0, 0, 1], 0))
        })
    }

    pub(super) fn size(&mut self, path: &str, text: &str) -> u64 {
        match text.parse::<ByteSize>() {
            Ok(size) => size.as_u64(),
            Err(_) => {
                self.wrong(path, format!("\"{text}\" is not a size, like \"64 MiB\""));
                1 << 20
            }
        }
    }

    pub(super) fn memory(
        &mut self,
        path: &str,
        text: &str,
        range: std::ops::RangeInclusive<u64>,
    ) -> usize {
        let size = self.size(path, text);
        self.within(path, size, range);
        usize::try_from(size).unwrap_or(usize::MAX)
    }

    pub(super) fn duration(&mut self, path: &str, text: &str) -> Duration {
        match parse_duration(text) {
            Some(duration) => duration,
            None => {
                self.wrong(
                    path,
                    format!("\"{text}\" is not a duration, like \"500 ms\", \"10 s\" or \"30 d\""),
                );
                Duration::from_secs(1)
            }
        }
    }

    pub(super) fn positive(&mut self, path: &str, text: &str) -> Duration {
        let duration = self.duration(path, text);
        if duration.is_zero() {
            self.wrong(path, "must be more than nothing".to_owned());
        }
        duration
    }

    pub(super) fn within(&mut self, path: &str, value: u64, range: std::ops::RangeInclusive<u64>) {
        if !range.contains(&value) {
            self.wrong(path, format!("{value} is outside {} to {}", range.start(), range.end()));
        }
    }

    pub(super) fn count(
        &mut self,
        path: &str,
        value: u32,
        range: std::ops::RangeInclusive<u64>,
    ) -> u32 {
        self.within(path, u64::from(value), range);
        value
    }

    pub(super) fn share(
        &mut self,
        path: &str,
        value: f64,
        range: std::ops::RangeInclusive<f64>,
    ) -> f64 {
        if !range.contains(&value) {
            self.wrong(path, format!("{value} is outside {} to {}", range.start(), range.end()));
        }
        value
    }

    pub(super) fn one_of<T: Copy>(&mut self, path: &str, text: &str, choices: &[(&str, T)]) -> T {
        if let Some(&(_, value)) = choices.iter().find(|(name, _)| *name == text) {
            return value;
        }
        let names: Vec<_> = choices.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        self.wrong(path, format!("\"{text}\" is none of {}", names.join(", ")));
        choices[0].1
    }

    fn wire_limits(&mut self, file: &file::Limits) -> crate::wire::Limits {
        const MESSAGE_BYTES: std::ops::RangeInclusive<u64> = 1024..=256 << 20;
        let name_bytes_max = crate::model::NAME_BYTES_MAX as u64;
        crate::wire::Limits {
            message_bytes: self.memory("limits.message_bytes", &file.message_bytes, MESSAGE_BYTES),
            inflated_bytes: self.memory(
                "limits.inflated_bytes",
                &file.inflated_bytes,
                MESSAGE_BYTES,
            ),
            inflated_ratio: self.count("limits.inflated_ratio", file.inflated_ratio, 2..=100_000)
                as usize,
            tables: self.count("limits.tables", file.tables, 1..=1_000_000) as usize,
            columns: self.count("limits.columns", file.columns, 1..=65_536) as usize,
            rows: self.count("limits.rows", file.rows, 1..=16_777_216) as usize,
            samples: self.count("limits.samples", file.samples, 1..=100_000_000) as usize,
            name_bytes: self.count("limits.name_bytes", file.name_bytes, 1..=name_bytes_max)
                as usize,
            text_bytes: self.count("limits.text_bytes", file.text_bytes, 1..=1 << 20) as usize,
            tags: self.count("limits.tags", file.tags, 0..=64) as usize,
            max_age: self.positive("limits.age_max", &file.age_max),
            max_ahead: self.positive("limits.ahead_max", &file.ahead_max),
        }
    }

    fn limits(&mut self, file: &file::Limits) -> LimitsConfig {
        let idle = self.duration("limits.idle_timeout", &file.idle_timeout);
        let credit = self.memory("limits.credit_bytes", &file.credit_bytes, 1024..=1 << 30);
        self.within("limits.connections_max", file.connections_max as u64, 1..=1_000_000);
        self.within("limits.series_max", file.series_max as u64, 1..=100_000_000);
        self.within("limits.sessions_max", file.sessions_max as u64, 1..=10_000_000);
        LimitsConfig {
            wire: self.wire_limits(file),
            connections_max: file.connections_max,
            connections_per_address: self.count(
                "limits.connections_per_address",
                file.connections_per_address,
                1..=1_000_000,
            ),
            handshakes_per_second: self.count(
                "limits.handshakes_per_second",
                file.handshakes_per_second,
                1..=1_000_000,
            ),
            new_series_per_minute: self.count(
                "limits.new_series_per_minute",
                file.new_series_per_minute,
                1..=100_000_000,
            ),
            series_max: file.series_max,
            batches_per_second: self.count(
                "limits.batches_per_second",
                file.batches_per_second,
                1..=100_000_000,
            ),
            samples_per_second: self.count(
                "limits.samples_per_second",
                file.samples_per_second,
                1..=400_000_000,
            ),
            credit_batches: self.count("limits.credit_batches", file.credit_batches, 1..=4096),
            credit_bytes: u32::try_from(credit).unwrap_or(u32::MAX),
            gate_memory: self.memory("limits.gate_memory", &file.gate_memory, 1 << 20..=64 << 30),
            sessions_max: file.sessions_max,
            hello_timeout: self.positive("limits.hello_timeout", &file.hello_timeout),
            header_timeout: self.positive("limits.header_timeout", &file.header_timeout),
            body_timeout: self.positive("limits.body_timeout", &file.body_timeout),
            ping_interval: self.positive("limits.ping_interval", &file.ping_interval),
            pong_timeout: self.positive("limits.pong_timeout", &file.pong_timeout),
            idle_timeout: (!idle.is_zero()).then_some(idle),
        }
    }

    fn spool(&mut self, file: &file::Spool) -> SpoolConfig {
        use crate::spool::{Durability, WhenFull};
        let sync_interval = self.positive("spool.sync_interval", &file.sync_interval);
        let size_max = self.size("spool.size_max", &file.size_max);
        let segment_size = self.size("spool.segment_size", &file.segment_size);
        self.within("spool.segment_size", segment_size, 64 << 10..=1 << 30);
        if size_max < segment_size.saturating_mul(2) {
            self.wrong("spool.size_max", "must be at least twice spool.segment_size".to_owned());
        }
        SpoolConfig {
            durability: self.one_of(
                "spool.durability",
                &file.durability,
                &[
                    ("group", Durability::Group),
                    ("interval", Durability::Interval(sync_interval)),
                    ("os", Durability::Os),
                ],
            ),
            size_max,
            when_full: self.one_of(
                "spool.when_full",
                &file.when_full,
                &[("refuse", WhenFull::Refuse), ("shed_oldest", WhenFull::ShedOldest)],
            ),
            segment_size,
            tail_memory: self.memory("spool.tail_memory", &file.tail_memory, 64 << 10..=64 << 30),
            reserve: self.size("spool.reserve", &file.reserve),
        }
    }

    fn history(&mut self, file: &file::History) -> HistoryConfig {
        let retention = self.duration("history.retention", &file.retention);
        let size_max = self.size("history.size_max", &file.size_max);
        self.within(
            "history.head_samples_max",
            file.head_samples_max as u64,
            1_000..=1_000_000_000,
        );
        HistoryConfig {
            retention: (!retention.is_zero()).then_some(retention),
            size_max: (size_max > 0).then_some(size_max),
            flush_interval: self.positive("history.flush_interval", &file.flush_interval),
            head_samples_max: file.head_samples_max,
        }
    }

    fn log_modules(
        &mut self,
        modules: &std::collections::BTreeMap<String, String>,
    ) -> Vec<(String, log::LevelFilter)> {
        let mut checked = Vec::new();
        for (name, level) in modules {
            let path = format!("log.modules.{name}");
            checked.push((name.clone(), self.one_of(&path, level, LEVELS)));
        }
        checked
    }

    fn live(&mut self, file: &file::Live) -> LiveConfig {
        let windows: Vec<_> =
            file.windows.iter().map(|text| self.positive("live.windows", text)).collect();
        if windows.is_empty() {
            self.wrong("live.windows", "at least one window is needed".to_owned());
        }
        for pair in windows.windows(2) {
            let (fine, coarse) = (pair[0].as_nanos(), pair[1].as_nanos());
            if fine == 0 || coarse <= fine || !coarse.is_multiple_of(fine) {
                self.wrong(
                    "live.windows",
                    format!("{:?} is not a multiple of {:?}", pair[1], pair[0]),
                );
            }
        }
        LiveConfig {
            tick: self.positive("live.tick", &file.tick),
            windows,
            lateness: self.duration("live.lateness", &file.lateness),
            offline_after: self.positive("live.offline_after", &file.offline_after),
            resume_memory: self.memory(
                "live.resume_memory",
                &file.resume_memory,
                64 << 10..=64 << 30,
            ),
            resume_keep: self.duration("live.resume_keep", &file.resume_keep),
            viewers_max: file.viewers_max,
            viewers_per_address: self.count(
                "live.viewers_per_address",
                file.viewers_per_address,
                1..=1_000_000,
            ),
        }
    }
}
