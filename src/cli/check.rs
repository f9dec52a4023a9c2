//! `tidegate check`: all mistakes, or what is in force, and whether the sinks can be written
//! and the brokers let us subscribe.

#[cfg(feature = "mqtt")]
use super::mqtt;
use super::{EXIT_CONFIG, EXIT_UNAVAILABLE, EXIT_USAGE, Settings, fail, reach};
use crate::config::{Config, ConfigError, Sources, load, worst_case_memory};
use bytesize::ByteSize;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct Check {
    #[command(flatten)]
    settings: Settings,
    /// Do not try to reach sinks and brokers.
    #[arg(long)]
    offline: bool,
    /// Print mistakes only; needs --offline.
    #[arg(long, requires = "offline")]
    quiet: bool,
}

/// Where an installed daemon's configuration is.
pub(super) const CONFIG_PATH: &str = "/etc/tidegate/tidegate.toml";

impl Settings {
    /// Reads and checks all layers; gives the effective settings as TOML beside.
    pub(super) fn load(&self) -> Result<(Config, String), ExitCode> {
        if let Some(setting) = self.set.iter().find(|setting| !setting.contains('=')) {
            return Err(fail(EXIT_USAGE, format!("--set {setting}: KEY=VALUE is needed")));
        }
        self.read().map_err(|error| fail(EXIT_CONFIG, error))
    }

    /// The same, with all mistakes.
    pub(super) fn read(&self) -> Result<(Config, String), ConfigError> {
        let pairs = self.set.iter().filter_map(|setting| setting.split_once('='));
        let mut flags: Vec<_> =
            pairs.map(|(path, value)| (path.to_owned(), value.to_owned())).collect();
        if let Some(directory) = &self.state_dir {
            flags.push(("state_dir".to_owned(), directory.display().to_string()));
        }
        if let Some(listen) = &self.listen {
            flags.push(("listen".to_owned(), listen.clone()));
        }
        let installed = PathBuf::from(CONFIG_PATH);
        let file = self.config.clone().or_else(|| installed.exists().then_some(installed));
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with("TIDEGATE_"))
            .collect();
        load(&Sources { file, environment, flags })
    }
}

pub(super) fn check(check: &Check) -> ExitCode {
    let (config, effective) = match check.settings.load() {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    if check.quiet {
        return ExitCode::SUCCESS;
    }
    println!("# The configuration in force:\n\n{effective}");
    println!("# Memory at worst, if everything that is bounded is full at once:\n#");
    let lines = worst_case_memory(&config);
    for line in &lines {
        println!("# {:>10}  {} ({})", ByteSize(line.bytes).to_string(), line.what, line.keys);
    }
    let total = lines.iter().map(|line| line.bytes).sum();
    println!("# {:>10}  in all", ByteSize(total).to_string());
    println!("\n# The configuration is good.");
    if check.offline { ExitCode::SUCCESS } else { reach_all(&config) }
}

/// All are asked, whatever the first say.
fn reach_all(config: &Config) -> ExitCode {
    let sinks = reach_sinks(config);
    #[cfg(feature = "mqtt")]
    let brokers = mqtt::reach(config);
    #[cfg(not(feature = "mqtt"))]
    let brokers = ExitCode::SUCCESS;
    if sinks == ExitCode::SUCCESS { brokers } else { sinks }
}

fn reach_sinks(config: &Config) -> ExitCode {
    let sinks = &config.sinks.influx;
    if sinks.is_empty() {
        return ExitCode::SUCCESS;
    }
    let found = match reach::each(sinks) {
        Ok(found) => found,
        Err(error) => return fail(1, error),
    };
    println!("# Asked to write nothing, the sinks answer:\n#");
    for (sink, found) in sinks.iter().zip(&found) {
        let found = found.as_ref().map_or_else(ToString::to_string, |()| "good".to_owned());
        println!("# {:>10}  {}: {found}", sink.name, sink.url);
    }
    match found.iter().filter(|found| found.is_err()).count() {
        0 => ExitCode::SUCCESS,
        bad => fail(EXIT_UNAVAILABLE, format!("{bad} of {} sinks can't be written", found.len())),
    }
}
