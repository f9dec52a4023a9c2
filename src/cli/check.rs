//! `tidegate check`: all mistakes, or what is in force.

use super::{EXIT_CONFIG, EXIT_USAGE, Settings, fail};
use crate::config::{Config, ConfigError, Sources, load, worst_case_memory};
use bytesize::ByteSize;
use std::path::PathBuf;
use std::process::ExitCode;

/// Where an installed daemon's configuration is.
const CONFIG_PATH: &str = "/etc/tidegate/tidegate.toml";

impl Settings {
    /// Reads and checks all layers; gives the effective settings as TOML beside.
    pub(super) fn load(&self) -> Result<(Config, String), ExitCode> {
        let mut flags = Vec::new();
        for setting in &self.set {
            let Some((path, value)) = setting.split_once('=') else {
                return Err(fail(EXIT_USAGE, format!("--set {setting}: KEY=VALUE is needed")));
            };
            flags.push((path.to_owned(), value.to_owned()));
        }
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
            .map_err(|error: ConfigError| fail(EXIT_CONFIG, error))
    }
}

pub(super) fn check(settings: &Settings) -> ExitCode {
    let (config, effective) = match settings.load() {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    println!("# The configuration in force:\n\n{effective}");
    println!("# Memory at worst, if everything that is bounded is full at once:\n#");
    let lines = worst_case_memory(&config);
    for line in &lines {
        println!("# {:>10}  {} ({})", ByteSize(line.bytes).to_string(), line.what, line.keys);
    }
    let total = lines.iter().map(|line| line.bytes).sum();
    println!("# {:>10}  in all", ByteSize(total).to_string());
    println!("\n# The configuration is good.");
    ExitCode::SUCCESS
}
