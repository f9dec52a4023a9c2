//! `tidegate check`: all mistakes, or what is in force, and whether the sinks can be written
//! and the brokers let us subscribe.

#[cfg(feature = "mqtt")]
use super::mqtt;
use super::{EXIT_CONFIG, EXIT_UNAVAILABLE, EXIT_USAGE, Settings, fail, printable, reach};
use crate::auth::list;
use crate::config::{Anonymous, Config, ConfigError, Sources, buffers, load, worst_case_memory};
use crate::daemon::ListenError;
use crate::notify::{Channel, Target, Tls};
use crate::rules::Severity;
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
    let who = match who_may_come(&config) {
        Ok(who) => who,
        Err(problem) => return fail(EXIT_CONFIG, problem),
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
    let buffers: u64 = buffers(&config).iter().map(|line| line.bytes).sum();
    println!(
        "# {:>10}  of it in buffers (down to closed rollups): MemoryHigh= of the service is to be twice that at least",
        ByteSize(buffers).to_string()
    );
    println!("\n# Who may come: {who}");
    print_rules(&config);
    tell_channels(&config);
    println!("\n# The configuration is good.");
    if check.offline { ExitCode::SUCCESS } else { reach_all(&config) }
}

/// In words; or why the daemon would not start.
fn who_may_come(config: &Config) -> Result<String, String> {
    let auth = &config.auth;
    let keys = list(&auth.keys_file).map_err(|error| error.to_string())?;
    let certificates = config.tls.as_ref().is_some_and(|tls| tls.clients.is_some());
    let asked = [
        (!keys.is_empty()).then(|| format!("{} keys ({})", keys.len(), auth.keys_file.display())),
        auth.jwt.as_ref().map(|_| "JWTs".to_owned()),
        certificates.then(|| "client certificates".to_owned()),
    ];
    let asked: Vec<_> = asked.into_iter().flatten().collect();
    match (auth.anonymous, asked.is_empty()) {
        (Anonymous::Anywhere, _) => Ok("EVERYBODY who reaches it (auth.anonymous)".to_owned()),
        (_, false) => Ok(format!("who shows one of {}", asked.join(", "))),
        (_, true) if !config.listen.ip().is_loopback() => {
            Err(ListenError::Exposed(config.listen).to_string())
        }
        (Anonymous::Loopback, true) => Ok("everybody on this machine, until there is a key".into()),
        (Anonymous::Nobody, true) => Ok("who can read the state directory".to_owned()),
    }
}

/// Mistakes in them were told before.
fn print_rules(config: &Config) {
    let rules = &config.alerts.rules;
    println!(
        "\n# Alert rules: {}, and those that are there anyway (tidegate alerts rules)",
        rules.len()
    );
    if !rules.is_empty() {
        println!("#");
    }
    for spec in rules {
        let limits = [("above", spec.above), ("below", spec.below)];
        let limits = limits.into_iter().filter_map(|(name, limit)| Some((name, limit?)));
        let limits = limits.filter(|(_, limit)| !limit.is_nan());
        let limits: String = limits.map(|(name, limit)| format!(" {name} {limit}")).collect();
        let of = match spec.kind.as_str() {
            "daemon" => spec.what.clone(),
            "offline" => spec.device.join(" "),
            _ => format!("{} of {}", spec.metric.join(" "), spec.device.join(" ")),
        };
        println!("# {:>10}  {}: {}{limits}, {of}", spec.severity, printable(&spec.name), spec.kind);
    }
}

/// All are asked, whatever the first say.
fn reach_all(config: &Config) -> ExitCode {
    let sinks = reach_sinks(config);
    #[cfg(feature = "mqtt")]
    let brokers = mqtt::reach(config);
    #[cfg(not(feature = "mqtt"))]
    let brokers = ExitCode::SUCCESS;
    let channels = reach_channels(&config.notify.channels);
    let all = [sinks, brokers, channels];
    all.into_iter().find(|code| *code != ExitCode::SUCCESS).unwrap_or(ExitCode::SUCCESS)
}

/// Who would be told of alerts.
fn tell_channels(config: &Config) {
    if config.notify.channels.is_empty() {
        return;
    }
    println!("\n# Alerts are told to:\n#");
    for Channel { name, wanted, target } in &config.notify.channels {
        let how = match target {
            Target::Webhook(webhook) if webhook.secret_file.is_some() => "signed".to_owned(),
            Target::Webhook(_) => "NOT signed (secret_file)".to_owned(),
            Target::Email(email) => {
                let tls = match email.tls {
                    Tls::Implicit => "with TLS",
                    Tls::Starttls => "after STARTTLS",
                    Tls::Plain => "in clear",
                };
                format!("{tls}, for {} people", email.to.len())
            }
        };
        let least = match wanted.severity_min {
            Severity::Info => "everything",
            Severity::Warning => "warnings and worse",
            Severity::Critical => "what is critical",
        };
        println!("# {name:>10}  {} {}, {how}: {least}", target.kind(), target.place());
    }
}

fn reach_channels(channels: &[Channel]) -> ExitCode {
    if channels.is_empty() {
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let found = match runtime {
        Ok(runtime) => {
            let asking = channels.iter().map(|channel| channel.target.reach());
            runtime.block_on(futures_util::future::join_all(asking))
        }
        Err(error) => return fail(1, error),
    };
    println!("# Told nothing yet, those who are told of alerts answer:\n#");
    for (channel, found) in channels.iter().zip(&found) {
        let found = found.as_ref().map_or_else(ToString::to_string, |()| "good".to_owned());
        println!("# {:>10}  {}: {found}", channel.name, channel.target.place());
    }
    match found.iter().filter(|found| found.is_err()).count() {
        0 => ExitCode::SUCCESS,
        bad => {
            fail(EXIT_UNAVAILABLE, format!("{bad} of {} channels can't be reached", found.len()))
        }
    }
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
