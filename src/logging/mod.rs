//! What the daemon says while it runs: to the journal, with fields to search by, where stderr is
//! connected to it; elsewhere as lines on stderr, logfmt or JSON.
//!
//! Levels can be changed while it runs ([`apply`]). What is repeated word by word is counted, and told
//! by [`tell_repeats`].

mod events;
mod journal;
mod levels;
mod lines;
mod repeats;

use crate::clock;
use crate::config::{LogConfig, LogFormat};
use foldhash::fast::FixedState;
use levels::Levels;
use log::{Level, LevelFilter, Log, Metadata, Record};
use repeats::Repeats;
use std::hash::BuildHasher;
use std::sync::{Mutex, OnceLock, PoisonError, RwLock};
use systemd_journal_logger::JournalLog;

static LOGGER: OnceLock<Logger> = OnceLock::new();

/// Writes everything that is logged from now on, as configured. Once per process.
pub fn start(config: &LogConfig) {
    let target = match journal::connect() {
        Some(journal) => Target::Journal(journal),
        None => Target::Stderr(config.format),
    };
    let levels = RwLock::new(Levels::NONE);
    let logger = LOGGER.get_or_init(|| Logger { target, levels, repeats: Mutex::default() });
    // A second start changes levels only.
    log::set_logger(logger).unwrap_or_default();
    apply(config);
}

/// Changes the levels.
pub fn apply(config: &LogConfig) {
    let Some(logger) = LOGGER.get() else { return };
    let levels = Levels::new(config);
    let most = levels.most();
    *logger.levels.write().unwrap_or_else(PoisonError::into_inner) = levels;
    log::set_max_level(most);
}

/// Tells of lines that were repeated and not written. To be called every now and then.
pub fn tell_repeats() {
    let Some(logger) = LOGGER.get() else { return };
    let over = logger.repeats().over(clock::monotonic());
    for (Line { level, module, text }, times) in over {
        log::log!(target: &module, level, event = "repeated", times; "the same {times} times more: {text}");
    }
}

enum Target {
    Journal(JournalLog),
    Stderr(LogFormat),
}

struct Logger {
    target: Target,
    levels: RwLock<Levels>,
    repeats: Mutex<Repeats<Line>>,
}

/// What is needed to tell of it again.
struct Line {
    level: Level,
    module: String,
    text: String,
}

impl Logger {
    fn level(&self, module: &str) -> LevelFilter {
        self.levels.read().unwrap_or_else(PoisonError::into_inner).of(module)
    }

    fn repeats(&self) -> std::sync::MutexGuard<'_, Repeats<Line>> {
        self.repeats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who asks for debug lines wants all of them.
    fn is_repeat(&self, record: &Record<'_>) -> bool {
        if record.level() > Level::Info {
            return false;
        }
        let text = lines::words(record);
        let hash = FixedState::default().hash_one(&text);
        let line = || Line {
            level: record.level(),
            module: record.target().to_owned(),
            text: record.args().to_string(),
        };
        !self.repeats().is_written(hash, clock::monotonic(), line)
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.level(metadata.target())
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) || self.is_repeat(record) {
            return;
        }
        match &self.target {
            Target::Journal(journal) => journal::write(journal, record),
            Target::Stderr(format) => lines::write(*format, record),
        }
    }

    fn flush(&self) {}
}
