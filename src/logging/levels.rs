//! Which lines are written: a level for the daemon, and for parts of it that somebody looks into.

use crate::config::LogConfig;
use log::LevelFilter;

/// Libraries are quiet unless they are asked for by name.
const OF_LIBRARIES: LevelFilter = LevelFilter::Warn;
/// What h2 warns of, a client did to its own connection (a rapid reset, say): any client could fill the log.
const OF_H2: LevelFilter = LevelFilter::Error;

/// Levels by part; the longest name that fits decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Levels {
    level: LevelFilter,
    modules: Vec<(String, LevelFilter)>,
}

impl Levels {
    /// Until somebody says otherwise.
    pub const NONE: Levels = Levels { level: LevelFilter::Off, modules: Vec::new() };

    pub fn new(config: &LogConfig) -> Levels {
        let mut modules = config.modules.clone();
        modules.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        Levels { level: config.level, modules }
    }

    /// Of the code at this path: `tidegate::gate::thread`, or a library's.
    pub fn of(&self, path: &str) -> LevelFilter {
        let inside = path.strip_prefix("tidegate::");
        let name = inside.unwrap_or(path);
        let named = self.modules.iter().find(|(module, _)| {
            let rest = name.strip_prefix(module.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        });
        match named {
            Some((_, level)) => *level,
            None if inside.is_some() || path == "tidegate" => self.level,
            None if path == "h2" || path.starts_with("h2::") => OF_H2,
            None => OF_LIBRARIES,
        }
    }

    /// The most that anything writes.
    pub fn most(&self) -> LevelFilter {
        let named = self.modules.iter().map(|(_, level)| *level);
        named.fold(self.level.max(OF_LIBRARIES), Ord::max)
    }
}

#[cfg(test)]
mod tests {
    use super::Levels;
    use crate::config::{LogConfig, LogFormat};
    use log::LevelFilter::{Debug, Error, Info, Trace, Warn};

    #[test]
    fn the_longest_name_decides() {
        let modules = [("intake", Debug), ("intake::mqtt", Error), ("rustls", Trace)];
        let modules = modules.map(|(name, level)| (name.to_owned(), level)).to_vec();
        let levels = Levels::new(&LogConfig { level: Info, modules, format: LogFormat::Logfmt });
        for (path, level) in [
            ("tidegate::gate::thread", Info),
            ("tidegate", Info),
            ("tidegate::intake::ws", Debug),
            ("tidegate::intakes", Info),
            ("tidegate::intake::mqtt::link", Error),
            ("rustls::conn", Trace),
            ("hyper", Warn),
            ("tidegates::gate", Warn),
            ("h2::proto::streams::recv", Error),
            ("h2o", Warn),
        ] {
            assert_eq!(levels.of(path), level, "{path}");
        }
        assert_eq!(levels.most(), Trace);
        let modules = vec![("h2".to_owned(), Debug)];
        let levels = Levels::new(&LogConfig { level: Info, modules, format: LogFormat::Logfmt });
        assert_eq!(levels.of("h2::proto::streams::recv"), Debug);
    }
}
